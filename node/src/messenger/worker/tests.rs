//! What a worker sends along, and what goes out after what.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use serde_json::json;
use weft_protocol::{
    attestation::{Subject, Verdict},
    outcome::{Outcome, chain_start},
};

use super::*;

fn entry(size: usize) -> LogEntry {
    LogEntry { item: vec![0; size].into(), ..LogEntry::default() }
}

fn target(slots: &[(u64, usize)]) -> Target {
    Target { next_slot: 100, entries: slots.iter().map(|(slot, size)| (*slot, entry(*size))).collect() }
}

#[test]
fn entries_are_sent_along_without_holes_and_within_their_bound() {
    let known = target(&[(3, 1), (4, 1), (6, 1)]);
    assert_eq!(entries(&known, 3, 10).len(), 2, "up to the hole");
    assert_eq!(entries(&known, 3, 3).len(), 1, "up to the last slot asked for");
    assert_eq!(entries(&known, 2, 10).len(), 0, "from the first slot asked for");
    let large = target(&[(0, ENTRY_BYTES / 2), (1, ENTRY_BYTES / 3), (2, ENTRY_BYTES / 2)]);
    assert_eq!(entries(&large, 0, 2).len(), 2);
    assert_eq!(entries(&target(&[(0, ENTRY_BYTES + 1)]), 0, 0).len(), 0, "the provider pulls what is too large");
}

#[test]
fn the_notice_of_a_spawn_waits_for_the_spawn() {
    let id = Id::sha256(b"x");
    let spawn = json!({"Tags": [{"name": "Module", "value": id.to_string()}]});
    let response = json!({"Messages": [{"Target": id.to_string()}], "Spawns": [spawn, spawn]});
    let outcome = Outcome::from_response(&response, 0);
    let attestation = Attestation {
        subject: Subject { network: id, process: id, slot: 0, message: id, assignment: id, module: id, profile: id },
        verdict: Verdict {
            outcome: outcome.hash(),
            chain_before: chain_start(&id),
            chain_after: chain_next(&chain_start(&id), &id, &outcome.hash()),
            outbox_root: outcome.outbox_root(),
            fuel: 0,
            state_root: None,
        },
        pushed_for: id,
        scheduler: id.to_string(),
        cast: false,
    };
    let (outgoing, bad) = crank::deliveries(&attestation, &outcome);
    assert_eq!((outgoing.len(), bad.len()), (5, 0));
    let all = parcels(outgoing, &outcome.outbox_leaves(), &bytes::Bytes::new());
    let kinds = |parcel: &Parcel| (parcel.outgoing.id.kind, parcel.then.as_ref().map(|next| next.outgoing.id.kind));
    let spawned = (Kind::Spawn, Some(Kind::Spawned));
    assert_eq!(all.iter().map(kinds).collect::<Vec<_>>(), [(Kind::Message, None), spawned, spawned]);
    for parcel in &all[1..] {
        assert_eq!(parcel.then.as_ref().unwrap().outgoing.id.index, parcel.outgoing.id.index, "its own notice");
    }
}
