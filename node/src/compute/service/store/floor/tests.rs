#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::path::Path;

use weft_protocol::{
    ans104::Ed25519Signer,
    assignment::{Draft, Head},
    attestation::{Subject, Verdict},
    cron::Class,
    outcome::chain_start,
};

use super::*;

fn process() -> Id {
    Id::sha256(b"process")
}

fn chain(next: u64) -> Id {
    if next == 0 { chain_start(&process()) } else { Id::sha256(&next.to_be_bytes()) }
}

/// A result of `slot`; without outcome it is a floor.
fn result(slot: u64, outcome: &str) -> wire::Result {
    let signer = Ed25519Signer::from_seed([1; 32]);
    let id = Id::sha256(b"any");
    let subject =
        Subject { network: id, process: process(), slot, message: id, assignment: id, module: id, profile: id };
    let verdict = Verdict {
        outcome: id,
        chain_before: chain(slot),
        chain_after: chain(slot + 1),
        outbox_root: id,
        fuel: 1,
        state_root: Some(Id::sha256(b"root")),
    };
    let attestation = Attestation { subject, verdict, pushed_for: id, scheduler: String::new(), cast: false };
    wire::Result {
        process: process().as_bytes().to_vec().into(),
        slot,
        outcome: outcome.to_owned().into(),
        attestation: attestation.sign(&signer).unwrap().raw().clone(),
        ..wire::Result::default()
    }
}

/// The assignment of a tick of the process's first cron by time.
fn tick(number: u64) -> wire::Result {
    let cron = Some(format!("time/0/1-second/{number}/{}", number * 1_000));
    let draft = Draft { message: process(), cron, ..Draft::default() };
    let item = Head::empty(process()).next(draft, 1, 1).sign(&Ed25519Signer::from_seed([1; 32])).unwrap();
    wire::Result {
        process: process().as_bytes().to_vec().into(),
        assignment: item.raw().clone(),
        ..wire::Result::default()
    }
}

fn hole(store: &ResultStore) -> Option<(u64, Id, u64)> {
    store.hole(&process()).unwrap().map(|hole| (hole.next.next_slot, hole.next.chain, hole.end))
}

async fn open(folder: &Path) -> ResultStore {
    ResultStore::open(folder).unwrap()
}

#[tokio::test]
async fn results_go_on_after_a_floor_and_the_hole_before_it_can_be_filled() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    store.put(&[result(0, "{}"), result(1, "{}")]).await.unwrap();
    assert_eq!(hole(&store), None);
    let last = tick(7);
    assert!(tick_of(&last.assignment).is_some(), "it is a tick");
    store.put_floor(&process(), result(9, ""), vec![last]).await.unwrap();
    store.put(&[result(10, "{}")]).await.unwrap();

    let next = |store: &ResultStore| store.progress(&process()).unwrap().next_slot;
    assert_eq!((next(&store), hole(&store)), (11, Some((2, chain(2), 10))));
    assert_eq!(store.last_tick(&process(), Class::Time, 0).unwrap(), 7);
    assert!(store.result(&process(), 9).unwrap().is_none(), "its outcome is not known");
    assert!(store.attested(&process(), 9).unwrap().is_some() && store.attested(&process(), 8).unwrap().is_none());

    // A floor further on while the hole is open: it still begins where it began.
    store.put_floor(&process(), result(12, ""), Vec::new()).await.unwrap();
    assert_eq!((next(&store), hole(&store)), (13, Some((2, chain(2), 13))));
    let filled: Vec<_> = (2..6).map(|slot| result(slot, "{}")).collect();
    store.put_filled(&filled).await.unwrap();
    assert_eq!((next(&store), hole(&store)), (13, Some((6, chain(6), 13))));
    assert_eq!(store.result(&process(), 5).unwrap().unwrap().slot, 5);
    // All but the floors are anchored: three results and four filled in.
    let anchored = store.after(0, 100).unwrap();
    assert_eq!(anchored.len(), 7);
    let rest: Vec<_> = (6..13).map(|slot| result(slot, "{}")).collect();
    store.put_filled(&rest).await.unwrap();
    assert_eq!((next(&store), hole(&store)), (13, None));
}

#[tokio::test]
async fn a_page_of_large_results_is_filled_in() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    store.put_floor(&process(), result(5, ""), Vec::new()).await.unwrap();
    // Together more than the store takes in one append.
    let large = "x".repeat(weft_storage::store::MAX_APPEND / 4);
    let page: Vec<_> = (0..6).map(|slot| result(slot, &large)).collect();
    store.put_filled(&page).await.unwrap();
    assert_eq!(hole(&store), None);
    assert_eq!(store.result(&process(), 4).unwrap().unwrap().outcome.len(), large.len());
}
