//! Outcomes and answers to deliveries survive a restart; pages keep their bounds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use serde_json::json;
use weft_protocol::{
    ans104::Ed25519Signer,
    assignment::{Assignment, Draft, Head},
    attestation::{Subject, Verdict},
    crank::Kind,
    outcome::{Outcome, chain_next},
};

use weft_protocol::outcome::chain_start;

use super::*;

fn process() -> Id {
    Id::sha256(b"process")
}

/// Results of slots 0.., chained as they must be.
fn results(count: u64) -> Vec<wire::Result> {
    let signer = Ed25519Signer::from_seed([1; 32]);
    let (mut head, mut chain) = (Head::empty(process()), chain_start(&process()));
    let mut all = Vec::new();
    for slot in 0..count {
        let message = if slot == 0 { process() } else { Id::sha256(&slot.to_be_bytes()) };
        let assignment: Assignment = head.next(Draft { message, ..Draft::default() }, slot, 1);
        let item = assignment.sign(&signer).unwrap();
        head.advance(&assignment, item.id()).unwrap();
        let outcome = Outcome::from_response(&json!({ "Output": slot }), slot);
        let after = chain_next(&chain, &item.id(), &outcome.hash());
        let zero = Id::default();
        let attestation = Attestation {
            subject: Subject {
                network: zero,
                process: process(),
                slot,
                message,
                assignment: item.id(),
                module: zero,
                profile: zero,
            },
            verdict: Verdict {
                outcome: outcome.hash(),
                chain_before: chain,
                chain_after: after,
                outbox_root: outcome.outbox_root(),
                fuel: slot,
                state_root: None,
            },
            pushed_for: message,
            scheduler: String::new(),
            cast: false,
        };
        chain = after;
        all.push(wire::Result {
            process: Bytes::copy_from_slice(process().as_bytes()),
            slot,
            outcome: outcome.encode().into(),
            attestation: attestation.sign(&signer).unwrap().raw().clone(),
            assignment: item.raw().clone(),
        });
    }
    all
}

fn crank(slot: u64, index: u32) -> CrankId {
    CrankId { process: process(), slot, kind: Kind::Message, index, target: 0 }
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let all = results(5);
    let store = OutcomeStore::open(folder.path()).unwrap();
    assert_eq!(store.progress(&process()).unwrap(), Progress { next_slot: 0, chain: chain_start(&process()) });
    store.put_outcomes(&process(), &all[..3]).await.unwrap();
    store.put_outcomes(&process(), &all[3..]).await.unwrap();
    store.put_delivered(&crank(1, 0), Delivered::Done).await.unwrap();
    store.put_delivered(&crank(1, 1), Delivered::Refused).await.unwrap();
    store.put_cranked(&process(), 2).await.unwrap();
    let before = store.progress(&process()).unwrap();
    drop(store);

    let store = OutcomeStore::open(folder.path()).unwrap();
    assert_eq!((before.next_slot, store.progress(&process()).unwrap()), (5, before));
    for (slot, result) in (0..).zip(&all) {
        assert_eq!(store.outcome(&process(), slot).unwrap().as_ref(), Some(result));
        let item = DataItem::parse(result.assignment.clone(), Profile::Strict).unwrap();
        assert_eq!(store.slot_of(&process(), &item.id()).unwrap(), Some(slot));
    }
    assert_eq!(store.outcome(&process(), 5).unwrap(), None);
    let delivered = |slot, index| store.delivered(&crank(slot, index)).unwrap();
    assert_eq!(
        (delivered(1, 0), delivered(1, 1), delivered(0, 0)),
        (Some(Delivered::Done), Some(Delivered::Refused), None)
    );
    assert_eq!(store.cranked(&process()).unwrap(), 2);
    assert_eq!(store.processes(None, 10).unwrap(), [(process(), 5)]);
    assert_eq!(store.processes(Some(&process()), 10).unwrap(), []);
}

#[tokio::test]
async fn pages_go_both_ways_and_end_where_they_must() {
    let folder = tempfile::tempdir().unwrap();
    let store = OutcomeStore::open(folder.path()).unwrap();
    let slots = |from_slot, to_slot, limit, descending| {
        let query = ResultsQuery { from_slot, to_slot, limit, descending, ..ResultsQuery::default() };
        let page = store.results(&process(), &query).unwrap();
        (page.results.iter().map(|r| r.slot).collect::<Vec<_>>(), page.more)
    };
    assert_eq!(slots(0, u64::MAX, 10, false), (vec![], false));
    store.put_outcomes(&process(), &results(6)).await.unwrap();
    assert_eq!(slots(0, u64::MAX, 10, false), (vec![0, 1, 2, 3, 4, 5], false));
    assert_eq!(slots(2, 4, 2, false), (vec![2, 3], true));
    assert_eq!(slots(2, 4, 2, true), (vec![4, 3], true));
    assert_eq!(slots(2, 4, 3, true), (vec![4, 3, 2], false));
    assert_eq!(slots(6, u64::MAX, 3, false), (vec![], false));
    assert_eq!(slots(0, u64::MAX, 0, false), (vec![0], true), "no limit of nothing");
}

#[tokio::test]
async fn who_waits_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let store = OutcomeStore::open(folder.path()).unwrap();
    let mut told = store.subscribe(&process());
    assert!(!told.has_changed().unwrap());
    store.put_outcomes(&process(), &results(1)).await.unwrap();
    told.changed().await.unwrap();
}
