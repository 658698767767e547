//! The promises of the anchor's state machine: nothing is lost, nothing lives twice.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use proptest::prelude::*;

use super::*;

const RULES: AnchorRules = AnchorRules { anchor_life: 50, margin: 18, confirmations: 3, repost_after: 10 };

fn fresh() -> Bundle {
    Bundle::fresh(Id::sha256(b"bundle"), 100)
}

fn mined(height: u64, block: &str) -> Event {
    Event::Seen(Sighting::Mined { height, block: block.to_owned() })
}

#[test]
fn the_straight_way() {
    let mut bundle = fresh();
    assert_eq!(bundle.on(Event::Seen(Sighting::Unknown), 100, &RULES), Action::Post);
    assert_eq!(bundle.on(Event::Accepted, 100, &RULES), Action::Watch);
    assert_eq!(bundle.stage, Stage::Posted);
    assert_eq!(bundle.on(Event::Seen(Sighting::Pending), 101, &RULES), Action::Watch);
    assert_eq!(bundle.on(mined(102, "a"), 102, &RULES), Action::Seed);
    assert_eq!(bundle.on(Event::Accepted, 102, &RULES), Action::Watch);
    assert_eq!(bundle.on(mined(102, "a"), 103, &RULES), Action::Watch);
    assert_eq!(bundle.on(mined(102, "a"), 104, &RULES), Action::Done);
    assert_eq!(bundle.stage, Stage::Settled { height: 102, block: "a".to_owned() });
    assert_eq!(bundle.on(Event::Seen(Sighting::Unknown), 105, &RULES), Action::Done);
}

#[test]
fn dropped_is_posted_again_and_counted() {
    let mut bundle = fresh();
    bundle.on(Event::Accepted, 100, &RULES);
    assert_eq!(bundle.on(Event::Seen(Sighting::Unknown), 110, &RULES), Action::Post);
    bundle.on(Event::Accepted, 110, &RULES);
    assert_eq!(bundle.posts, 2);
}

#[test]
fn long_pending_is_posted_again() {
    let mut bundle = fresh();
    bundle.on(Event::Accepted, 100, &RULES);
    assert_eq!(bundle.on(Event::Seen(Sighting::Pending), 109, &RULES), Action::Watch);
    assert_eq!(bundle.on(Event::Seen(Sighting::Pending), 110, &RULES), Action::Post);
}

#[test]
fn an_expired_anchor_is_dead_only_beyond_any_reorganisation() {
    let mut bundle = fresh();
    bundle.on(Event::Accepted, 100, &RULES);
    assert_eq!(bundle.on(Event::Seen(Sighting::Unknown), 150, &RULES), Action::Watch);
    assert_eq!(bundle.on(Event::Seen(Sighting::Unknown), 168, &RULES), Action::Watch);
    assert_eq!(bundle.on(Event::Seen(Sighting::Unknown), 169, &RULES), Action::Rebuild);
    assert_eq!(bundle.stage, Stage::Dead);
}

#[test]
fn refused_for_good_is_rebuilt_at_once_only_if_nobody_can_hold_it() {
    assert_eq!(fresh().on(Event::Refused, 100, &RULES), Action::Rebuild);
    let mut unsure = fresh();
    unsure.on(Event::Unclear, 100, &RULES);
    assert_eq!(unsure.on(Event::Refused, 100, &RULES), Action::Watch);
    let mut old = Bundle::reopened(Id::sha256(b"x"), 100, Stage::Built, 0);
    assert_eq!(old.on(Event::Refused, 120, &RULES), Action::Watch);
}

#[test]
fn a_reorganisation_starts_again() {
    let mut bundle = fresh();
    bundle.on(Event::Accepted, 100, &RULES);
    bundle.on(mined(102, "a"), 102, &RULES);
    bundle.on(Event::Accepted, 102, &RULES);
    assert_eq!(bundle.on(mined(103, "b"), 104, &RULES), Action::Seed, "another block: seed again");
    bundle.on(Event::Accepted, 104, &RULES);
    assert_eq!(bundle.on(Event::Seen(Sighting::Unknown), 104, &RULES), Action::Post);
    assert_eq!(bundle.stage, Stage::Built);
}

proptest! {
    /// A bundle that anybody may hold is given up only when it cannot be mined on any fork.
    #[test]
    fn never_two_live_bundles(events in proptest::collection::vec((0_u8..6, 0_u64..6), 1..60)) {
        let mut bundle = fresh();
        let (mut tip, mut out) = (100_u64, false);
        for (kind, blocks) in events {
            tip += blocks;
            let event = match kind {
                0 => { out = true; Event::Accepted }
                1 => Event::Refused,
                2 => { out = true; Event::Unclear }
                3 => Event::Seen(Sighting::Unknown),
                4 => { out = true; Event::Seen(Sighting::Pending) }
                _ => { out = true; mined(tip, "x") }
            };
            let action = bundle.on(event, tip, &RULES);
            if action == Action::Rebuild && out {
                prop_assert!(tip > 100 + RULES.anchor_life + RULES.margin);
            }
            if bundle.is_over() { break; }
        }
    }
}
