#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use super::*;

#[test]
fn a_replay_says_how_far_it_is_and_how_long_it_takes() {
    let mut replay = Replay::new(Id::sha256(b"one"), 100, 1_100);
    replay.fuel = 3_000_000_000;
    let text = |next, seconds| replay.text(next, Duration::from_secs(seconds));
    assert_eq!(text(350, 10), "replaying the log: slot 350 of 1100, 25 slots/s, 300 Mfuel/s, about 30 s left");
    assert_eq!(text(1_100, 20), "replaying the log: slot 1100 of 1100, 50 slots/s, 150 Mfuel/s");
    assert_eq!(text(100, 0), "replaying the log: slot 100 of 1100, 0 slots/s, 3000000000 Mfuel/s, about 1 s left");
}

#[test]
fn another_assignment_is_the_schedulers_doing() {
    use weft_protocol::{
        ans104::Ed25519Signer,
        assignment::{Draft, Head},
    };
    let item = |now_ms| {
        Head::empty(Id::sha256(b"process"))
            .next(Draft::default(), now_ms, 1)
            .sign(&Ed25519Signer::from_seed([1; 32]))
            .unwrap()
    };
    let held = wire::Result { slot: 7, assignment: item(1).raw().clone(), ..wire::Result::default() };
    assert!(same_log(&held, &item(1)).is_ok());
    let refusal = same_log(&held, &item(2)).unwrap_err();
    assert!(refusal.reason.contains("slot 7") && refusal.reason.contains("changed its log"), "{}", refusal.reason);
}
