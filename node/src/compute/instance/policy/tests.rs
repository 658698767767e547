#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use super::{Pace, ReplayPolicy, copy_fuel};

/// Fuel of an aos ping, and bytes of the pages of such a process.
const PING: u64 = 10_800_000;
const AOS: usize = 2 << 20;

/// What `messages` of `fuel` each cost on top of themselves when every `every`th fails at its end, per unit of their
/// own fuel: copies, going back (as dear as a copy) and replays.
fn overhead(every: u64, fuel: u64, copy: u64) -> f64 {
    let (policy, mut pace) = (ReplayPolicy::default(), Pace::default());
    let (mut replay, mut extra, messages) = (0, 0, 20_000);
    for number in 1..=messages {
        if replay > 0 && replay >= pace.window(&policy, copy) {
            (replay, extra) = (0, extra + copy);
        }
        if number % every == 0 {
            extra += copy + replay;
            pace.failed();
        } else {
            pace.good(fuel);
            replay += fuel;
        }
    }
    extra as f64 / (messages * fuel) as f64
}

#[test]
fn what_protection_costs() {
    let copy = copy_fuel(AOS);
    assert!((1_000_000..4_000_000).contains(&copy));
    // Never fails: under one per cent. All fail: a copy each. In between: never much more than that.
    assert!(overhead(u64::MAX, PING, copy) < 0.01);
    assert!(overhead(1, PING, copy) <= copy as f64 / PING as f64);
    for every in [2, 3, 5, 10, 20, 50, 100, 200, 1000] {
        let overhead = overhead(every, PING, copy);
        assert!(overhead < 2.0 * copy as f64 / PING as f64, "one of {every} fails: {overhead}");
    }
}

#[test]
fn dear_copies_are_made_seldom() {
    let policy = ReplayPolicy::default();
    let calm = Pace::default();
    assert_eq!(calm.window(&policy, copy_fuel(AOS)), policy.fuel);
    let large = calm.window(&policy, copy_fuel(17 << 20));
    assert!(large > 2 * policy.fuel && large < 2_000_000_000, "{large}");
    assert_eq!(calm.window(&policy, copy_fuel(usize::MAX)), 2_000_000_000);
    assert!(calm.window(&ReplayPolicy { fuel: u64::MAX, ..policy }, copy_fuel(AOS)) > 1 << 40);
}

#[test]
fn a_failure_makes_careful_until_it_is_long_ago() {
    let policy = ReplayPolicy::default();
    let copy = copy_fuel(AOS);
    let mut pace = Pace::default();
    pace.failed();
    assert_eq!(pace.window(&policy, copy), 0);
    pace.good(PING);
    assert!(pace.window(&policy, copy) < PING, "copied before each message");
    let mut last = 0;
    for _ in 0..100_000 {
        pace.good(PING);
        assert!(pace.window(&policy, copy) >= last);
        last = pace.window(&policy, copy);
    }
    assert_eq!(last, policy.fuel);
    // Not adaptive: as long as it says.
    assert_eq!(pace.window(&ReplayPolicy { adaptive: false, fuel: 7, ..policy }, copy), 7);
}
