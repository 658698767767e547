//! What pushing again says of what is not its to deliver.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use serde_json::json;
use weft_protocol::{
    attestation::{Subject, Verdict},
    outcome::chain_start,
};

use super::*;

fn attestation_of(outcome: &Outcome) -> Attestation {
    let id = Id::sha256(b"x");
    let chain = chain_start(&id);
    Attestation {
        subject: Subject { network: id, process: id, slot: 4, message: id, assignment: id, module: id, profile: id },
        verdict: Verdict {
            outcome: outcome.hash(),
            chain_before: chain,
            chain_after: chain,
            outbox_root: outcome.outbox_root(),
            fuel: 0,
            state_root: None,
        },
        pushed_for: id,
        scheduler: id.to_string(),
        cast: false,
    }
}

#[test]
fn slots_that_the_courier_has_not_had_answered_are_on_their_way() {
    assert!(is_on_its_way(0, 0), "this node has delivered nothing of the process");
    assert!(is_on_its_way(7, 7) && is_on_its_way(8, 7), "pushed now, they could overtake");
    assert!(!is_on_its_way(6, 7), "answered before: found to be there");
}

#[test]
fn what_is_on_its_way_has_the_id_that_it_will_have() {
    let id = Id::sha256(b"x");
    let outcome = Outcome::from_response(&json!({ "Messages": [{ "Target": id.to_string() }] }), 0);
    let attestation = attestation_of(&outcome);
    let (outgoing, _) = crank::deliveries(&attestation, &outcome);
    let Delivery::Item(item) = &outgoing[0].delivery else { panic!("a message") };
    let pushed = on_its_way(&outgoing[0], id, 4);
    assert_eq!((pushed.id, pushed.end), (item.id(), PushEnd::OnItsWay));
    assert!(pushed.text.starts_with("on its way: what slot 4"), "{}", pushed.text);
    let (end, text) = no_process(&outgoing[0].delivery);
    assert!(end == PushEnd::Done && text.contains("is a wallet"), "{text}");
}

/// The deliveries of so many messages and then so many spawns, each with its notice.
fn deliveries(messages: usize, spawns: usize) -> Vec<Outgoing> {
    let id = Id::sha256(b"x");
    let message = json!({ "Target": id.to_string() });
    let spawn = json!({ "Tags": [{ "name": "Module", "value": id.to_string() }] });
    let response = json!({ "Messages": vec![message; messages], "Spawns": vec![spawn; spawns] });
    let outcome = Outcome::from_response(&response, 0);
    let (outgoing, bad) = crank::deliveries(&attestation_of(&outcome), &outcome);
    assert!(bad.is_empty());
    outgoing
}

#[test]
fn a_request_makes_so_many_deliveries_and_no_more_and_leaves_none_out() {
    let most = usize::try_from(PUSHED_AT_ONCE).unwrap();
    for (messages, spawns) in [(0, 0), (1, 0), (64, 0), (65, 0), (200, 0), (63, 40), (0, 33), (1, 64)] {
        let all = deliveries(messages, spawns);
        let (mut at, mut seen) = (0, Vec::new());
        while at < all.len() {
            let (from, to) = part(&all, at, most);
            assert!(from == at && to > from && to - from <= most);
            assert!(all[from].id.kind != Kind::Spawned, "a notice never goes without its spawn");
            seen.extend(from..to);
            at = to;
        }
        assert_eq!(seen, (0..all.len()).collect::<Vec<_>>());
        assert_eq!(part(&all, all.len() + 5, most), (all.len(), all.len()));
    }
    // Whoever asks for a notice gets the spawn with it.
    assert_eq!(part(&deliveries(1, 1), 2, most), (1, 3));
}
