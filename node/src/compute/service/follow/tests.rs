#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use weft_protocol::{
    ans104::{Ed25519Signer, ItemBuilder, Signer},
    assignment::{Draft, Head},
    attestation::{Subject, Verdict},
    message::Party,
};

use super::*;
use crate::compute::{EngineConfig, PoolConfig};

const COUNTER: &[u8] = include_bytes!("../../../../../examples/counter-c/counter.wasm");

fn node() -> Ed25519Signer {
    Ed25519Signer::from_seed([1; 32])
}

fn network() -> Network {
    let roles = "[\"scheduler\", \"compute\", \"messenger\"]";
    let key = node().key();
    Network::parse(&format!(
        "name = \"test\"\n[parameters]\nwindow = 2\n[[registry]]\nname = \"n\"\nkey = \"{key}\"\nbond = 1\nroles = {roles}\n"
    ))
    .unwrap()
}

/// A log of three slots.
fn log(network: &Network) -> Vec<LogEntry> {
    let user = Ed25519Signer::from_seed([9; 32]);
    let message = |builder: ItemBuilder| builder.tag("Data-Protocol", "ao").sign(&user).unwrap();
    let spawn = ItemBuilder::new().tag("Type", "Process").tag("Scheduler", network.address().to_string());
    let spawn = message(spawn);
    let increment = |n: u8| {
        let builder = ItemBuilder::new().target(spawn.id()).anchor([n; 32]);
        message(builder.tag("Type", "Message").tag("Action", "Increment"))
    };
    let mut head = Head::empty(spawn.id());
    let items = [spawn.clone(), increment(1), increment(2)];
    let entry = |item: &DataItem| {
        let assignment = head.next(Draft { message: item.id(), ..Draft::default() }, 1_000, 5);
        let signed = assignment.sign(&node() as &dyn Signer).unwrap();
        head.advance(&assignment, signed.id()).unwrap();
        LogEntry { assignment: signed.raw().clone(), item: item.raw().clone(), ..LogEntry::default() }
    };
    items.iter().map(entry).collect()
}

fn attested(follower: &Follower, found: &Followed, change: impl Fn(&mut Attestation)) -> bytes::Bytes {
    let subject = Subject {
        network: follower.network.id(),
        process: follower.process(),
        slot: found.slot,
        message: Id::default(),
        assignment: found.assignment,
        module: follower.fold.module.party.id,
        profile: follower.engine.profile().id(),
    };
    let verdict = Verdict {
        outcome: found.outcome,
        chain_before: Id::default(),
        chain_after: found.chain,
        outbox_root: Id::default(),
        fuel: found.fuel,
        state_root: found.root,
    };
    let pushed_for = Id::default();
    let mut attestation = Attestation { subject, verdict, pushed_for, scheduler: String::new(), cast: false };
    change(&mut attestation);
    attestation.sign(&node()).unwrap().raw().clone()
}

#[tokio::test]
async fn a_log_is_evaluated_again_and_what_was_attested_otherwise_is_named() {
    let (network, folder) = (network(), tempfile::tempdir().unwrap());
    let engine = Engine::new(EngineConfig::new(folder.path())).unwrap();
    let entries = log(&network);
    let located = locate(&network, &entries[0]).unwrap();
    assert!(locate(&network, &entries[1]).is_err(), "a message is no process");
    let machine = engine.load(COUNTER, "wasm32-unknown-unknown".parse().unwrap()).unwrap();
    let module = Loaded { party: Party::of(&located.item), machine: Ok(machine) };
    let pool = Pool::new(PoolConfig::default()).unwrap();
    let follow = || Follower::new(network.clone(), engine.clone(), pool.clone(), located.clone(), &module).unwrap();

    let mut follower = follow();
    let found = follower.advance(entries.clone()).await.unwrap();
    assert_eq!((found.len(), follower.next_slot()), (3, 3));
    assert!(found[1].root.is_some() && found[0].root.is_none() && found[2].root.is_none(), "a window has two slots");
    let same = |change: fn(&mut Attestation)| follower.compare(&attested(&follower, &found[1], change), &found[1]);
    assert_eq!(same(|_| ()), Ok(None));
    let what = |change: fn(&mut Attestation)| same(change).unwrap().unwrap().what;
    assert_eq!(what(|a| a.verdict.fuel += 1), "fuel");
    assert_eq!(what(|a| a.verdict.outcome = Id::sha256(b"lie")), "outcome hash");
    assert_eq!(what(|a| a.verdict.chain_after = Id::sha256(b"lie")), "outcome chain");
    assert_eq!(what(|a| a.verdict.state_root = None), "state root");
    assert_eq!(what(|a| a.subject.assignment = Id::sha256(b"lie")), "assignment");
    assert!(same(|a| a.subject.profile = Id::sha256(b"another")).unwrap_err().contains("engine profile"));
    assert!(same(|a| a.subject.slot = 7).unwrap_err().contains("something else"));

    // A log with a hole is not followed.
    pool.drop_process(located.item.id()).await.unwrap();
    let refused = follow().advance(vec![entries[0].clone(), entries[2].clone()]).await.unwrap_err();
    assert!(refused.contains("slot 1"), "{refused}");
}
