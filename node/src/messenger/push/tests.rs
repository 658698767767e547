//! What pushing again says of what is not its to deliver.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use serde_json::json;
use weft_protocol::{
    attestation::{Subject, Verdict},
    outcome::chain_start,
};

use super::*;

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
    let chain = chain_start(&id);
    let attestation = Attestation {
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
    };
    let (outgoing, _) = crank::deliveries(&attestation, &outcome);
    let Delivery::Item(item) = &outgoing[0].delivery else { panic!("a message") };
    let pushed = on_its_way(&outgoing[0], id, 4);
    assert_eq!((pushed.id, pushed.end), (item.id(), PushEnd::OnItsWay));
    assert!(pushed.text.starts_with("on its way: what slot 4"), "{}", pushed.text);
    let (end, text) = no_process(&outgoing[0].delivery);
    assert!(end == PushEnd::Done && text.contains("is a wallet"), "{text}");
}
