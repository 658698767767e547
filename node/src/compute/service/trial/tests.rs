#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use super::*;

fn process(n: u64) -> Id {
    Id::sha256(&n.to_be_bytes())
}

#[test]
fn one_process_never_takes_all_turns() {
    let turns = Turns::default();
    let taken: Vec<Turn> = (0..AT_ONCE_PROCESS).map(|_| turns.take(process(1)).unwrap()).collect();
    let refused = turns.take(process(1)).err().expect("the fifth is told to come back");
    assert_eq!((Code::parse(&refused.code), refused.is_final), (Code::Capacity, false));
    assert!(turns.take(process(2)).is_ok(), "another process has its own");
    drop(taken);
    assert!(turns.take(process(1)).is_ok());
    assert!(turns.taken().is_empty(), "nothing is kept of readers that are done");
}

#[test]
fn all_processes_together_are_bounded() {
    let turns = Turns::default();
    let taken: Vec<Turn> = (0..AT_ONCE as u64).map(|n| turns.take(process(n)).unwrap()).collect();
    assert!(turns.take(process(1_000)).is_err());
    drop(taken);
    assert!(turns.take(process(1_000)).is_ok());
}

#[test]
fn a_look_back_begins_at_the_snapshot_unless_that_is_later() {
    assert_eq!(from_nearest(0, 0), (0, 1));
    assert_eq!(from_nearest(0, 299), (0, 300));
    assert_eq!(from_nearest(256, 300), (256, 45));
    assert_eq!(from_nearest(256, 256), (256, 1));
    assert_eq!(from_nearest(256, 255), (256, 0), "the snapshot is that state");
    assert_eq!(from_nearest(256, 254), (0, 255));
    assert_eq!(from_nearest(512, 400), (0, 401), "out of reach: more than can be looked back");
    assert_eq!(from_nearest(0, u64::MAX), (0, u64::MAX));
}

#[test]
fn readers_look_back_in_a_few_seats_of_their_own() {
    let turns = Turns::default();
    let taken: Vec<Turn> = (0..AT_ONCE as u64).map(|n| turns.take(process(n)).unwrap()).collect();
    let seats: std::collections::BTreeSet<Id> = taken.iter().map(Turn::seat).collect();
    assert_eq!(seats.len(), AT_ONCE, "no two at once share one");
    drop(taken);
    for n in 0..1_000 {
        assert!(seats.contains(&turns.take(process(n)).unwrap().seat()), "whatever is asked for, no more are used");
    }
    let (first, second) = (turns.take(process(1)).unwrap(), turns.take(process(1)).unwrap());
    drop(first);
    let third = turns.take(process(1)).unwrap();
    assert_ne!(third.seat(), second.seat(), "a seat is not given away before its reader is done");
}
