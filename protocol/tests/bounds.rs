//! What a client or a process may write is bounded before anybody signs it or keeps it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use serde_json::json;
use weft_protocol::{
    Id,
    ans104::Ed25519Signer,
    assignment::{Draft, Head, MAX_EXCLUDE, MAX_EXCLUDE_BYTES, check_exclude},
    outcome::{MAX_BYTES, Outcome},
    reads::{MAX_READS, Read, ReadPath},
    terms::Terms,
};

#[test]
fn the_most_that_may_be_excluded_can_be_signed() {
    let most = vec!["x".repeat(MAX_EXCLUDE_BYTES); MAX_EXCLUDE];
    check_exclude(&most).unwrap();
    let mut more = most.clone();
    more.push("Data".into());
    assert!(check_exclude(&more).is_err());
    assert!(check_exclude(&["x".repeat(MAX_EXCLUDE_BYTES + 1)]).is_err());
    assert!(check_exclude(&[String::new()]).is_err());

    let id = Id::sha256(b"process");
    let crank = Some(format!("{id}/{0}/3/{1}/{1}", u64::MAX, u32::MAX));
    let head = Head { next_slot: u64::MAX - 1, timestamp: u64::MAX - 2, ..Head::empty(id) };
    let assigned = Some(weft_protocol::assignment::Assigned::BaseLayer);
    let pushed_for = Some(id);
    let terms = Terms { exclude: most, pushed_for, ..Terms::default() };
    let draft = Draft { message: id, crank: crank.clone(), assigned, terms, ..Draft::default() };
    head.next(draft, 0, u64::MAX).sign(&Ed25519Signer::from_seed([7; 32])).unwrap();
    // A message excludes nothing, and an assigned item reads nothing.
    let read = Read { path: ReadPath::Data(id), content: Some(id) };
    let terms = Terms { reads: vec![read; MAX_READS], cast: Some(id.to_string()), pushed_for, ..Terms::default() };
    let draft = Draft { message: id, crank, terms, ..Draft::default() };
    head.next(draft, 0, u64::MAX).sign(&Ed25519Signer::from_seed([7; 32])).unwrap();
}

#[test]
fn an_outcome_too_large_to_travel_is_an_error_of_its_slot() {
    let fits = Outcome::from_response(&json!({ "Output": "x".repeat(MAX_BYTES - 200) }), 1);
    assert_eq!(fits.error, None);
    // 1e15 is written with 18 characters: what the module returned was small enough, its outcome is not.
    let grown = json!({ "Output": vec![1e15; MAX_BYTES / 18] });
    for outcome in [Outcome::from_response(&grown, 1), Outcome::failed(json!("x".repeat(10)), 1)] {
        let read = Outcome::decode(outcome.encode().as_bytes()).unwrap();
        assert_eq!(read, outcome);
        assert!(outcome.error.is_some() && outcome.encode().len() < 200);
    }
    let error = Outcome::from_response(&json!({ "Error": "x".repeat(MAX_BYTES) }), 1);
    assert!(error.encode().len() < 200);
}
