//! When a delivery no longer waits for what it wants to read.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use super::*;

#[test]
fn a_delivery_is_tired_after_a_time_and_not_after_so_many_tries() {
    let (fetches, start) = (Fetches::default(), Instant::now());
    let shortly = start + PATIENCE - Duration::from_millis(1);
    assert!((0..1_000).all(|_| !fetches.is_tired("one", start)), "anybody can try often");
    assert!(!fetches.is_tired("one", shortly) && !fetches.is_tired("two", shortly));
    assert!(fetches.is_tired("one", start + PATIENCE));
    assert!(!fetches.is_tired("two", start + PATIENCE), "each has its own time");
}

#[test]
fn first_tries_are_remembered_within_a_bound() {
    let (fetches, start) = (Fetches::default(), Instant::now());
    for number in 0..=REMEMBERED.get() {
        fetches.is_tired(&number.to_string(), start);
    }
    assert_eq!(fetches.0.first.lock().unwrap().len(), REMEMBERED.get());
    assert!(!fetches.is_tired("0", start + PATIENCE), "forgotten: it begins anew");
}
