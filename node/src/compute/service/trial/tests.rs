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
    assert!(turns.counts().is_empty(), "nothing is kept of readers that are done");
}

#[test]
fn all_processes_together_are_bounded() {
    let turns = Turns::default();
    let taken: Vec<Turn> = (0..AT_ONCE as u64).map(|n| turns.take(process(n)).unwrap()).collect();
    assert!(turns.take(process(1_000)).is_err());
    drop(taken);
    assert!(turns.take(process(1_000)).is_ok());
}
