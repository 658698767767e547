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
