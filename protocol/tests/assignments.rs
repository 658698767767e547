//! The head of a log: what the scheduler proposes is what followers accept, and nothing else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use bytes::Bytes;
use proptest::prelude::*;
use weft_protocol::{
    Id,
    ans104::{DataItem, Ed25519Signer, Profile},
    assignment::{Assigned, Assignment, AssignmentError, Draft, Head, MAX_EXCLUDE},
    reads::{Read, ReadPath},
    terms::Terms,
};

fn scheduler() -> Ed25519Signer {
    Ed25519Signer::from_seed([1; 32])
}

fn process() -> Id {
    Id::sha256(b"process")
}

fn drafts() -> impl Strategy<Value = Draft> {
    let assigned = prop_oneof![Just(None), Just(Some(Assigned::Item)), Just(Some(Assigned::BaseLayer))];
    let exclude = prop::collection::vec("[A-Za-z-]{1,10}", 0..MAX_EXCLUDE);
    let name = || prop::option::of("[a-z0-9/]{1,60}");
    let message = any::<[u8; 32]>().prop_map(Id::from_bytes);
    (message, name(), assigned, name(), terms(exclude)).prop_map(|(message, crank, assigned, cron, terms)| Draft {
        message,
        crank,
        assigned,
        cron,
        terms,
    })
}

fn terms(exclude: impl Strategy<Value = Vec<String>>) -> impl Strategy<Value = Terms> {
    let hash = || any::<[u8; 32]>().prop_map(Id::from_bytes);
    let read = (any::<u64>(), prop::option::of(hash()));
    let reads = prop::collection::vec(read.prop_map(|(h, content)| Read { path: ReadPath::Block(h), content }), 0..4);
    (exclude, reads, prop::option::of("[A-Za-z0-9_-]{1,43}"), prop::option::of(hash()))
        .prop_map(|(exclude, reads, cast, pushed_for)| Terms { exclude, reads, cast, pushed_for })
}

fn spawn() -> Draft {
    Draft { message: process(), ..Draft::default() }
}

/// A log of these drafts, made and signed by the scheduler's head.
fn made(drafts: Vec<Draft>, clock: &[u64]) -> (Head, Vec<(Assignment, DataItem)>) {
    let mut head = Head::empty(process());
    let mut log = Vec::new();
    for (draft, now) in std::iter::once(spawn()).chain(drafts).zip(clock.iter().cycle()) {
        let assignment = head.next(draft, *now, 1_000_000);
        let item = assignment.sign(&scheduler()).unwrap();
        head.advance(&assignment, item.id()).unwrap();
        log.push((assignment, item));
    }
    (head, log)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn what_a_scheduler_signs_a_follower_accepts(
        drafts in prop::collection::vec(drafts(), 0..12),
        clock in prop::collection::vec(0..2_000_000_000_000_u64, 1..12),
    ) {
        let (leader, log) = made(drafts, &clock);
        let mut follower = Head::empty(process());
        let mut last = None;
        for (at, (assignment, item)) in log.iter().enumerate() {
            let raw = Bytes::copy_from_slice(item.raw());
            let read = Assignment::read(&DataItem::parse_verified(raw, Profile::Strict).unwrap()).unwrap();
            prop_assert_eq!(&read, assignment);
            prop_assert_eq!(read.slot, at as u64);
            prop_assert!(last.is_none_or(|last| read.timestamp > last), "the clock stepped back, timestamps may not");
            last = Some(read.timestamp);
            follower.advance(&read, item.id()).unwrap();
            prop_assert_eq!(Head::decode(&follower.encode()), Some(follower.clone()));
        }
        prop_assert_eq!(follower, leader);
    }

    #[test]
    fn bytes_that_are_no_head_are_none(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(Head::decode(&bytes).is_some(), bytes.len() == Head::ENCODED);
    }
}

#[test]
fn every_violation_is_refused_and_moves_nothing() {
    let message = |n: u8| Draft { message: Id::from_bytes([n; 32]), ..Draft::default() };
    let (mut head, log) = made(vec![message(1), message(2)], &[5, 6, 7]);
    let before = head.clone();
    let good = head.next(message(3), 8, 1);
    let mut refuse = |what: &str, change: &dyn Fn(&mut Assignment)| {
        let mut wrong = good.clone();
        change(&mut wrong);
        assert!(matches!(head.advance(&wrong, Id::sha256(b"id")), Err(AssignmentError::Chain { .. })), "{what}");
        assert_eq!(head, before, "{what}");
    };
    refuse("another process", &|a| a.process = Id::sha256(b"other"));
    refuse("a slot left out", &|a| a.slot += 1);
    refuse("a slot again", &|a| a.slot -= 1);
    refuse("another chain", &|a| a.hash_chain = Id::sha256(b"x"));
    refuse("the chain of the slot before", &|a| a.hash_chain = log[2].0.hash_chain);
    refuse("the same time", &|a| a.timestamp = 7);
    refuse("time going back", &|a| a.timestamp = 0);
    let mut empty = Head::empty(process());
    let first = empty.next(message(9), 1, 1);
    assert!(empty.advance(&first, Id::sha256(b"id")).is_err(), "slot 0 is the process itself");
}

#[test]
fn the_end_of_time_is_refused_not_wrapped() {
    let mut head = Head { timestamp: u64::MAX, next_slot: 5, ..Head::empty(process()) };
    let next = head.next(Draft::default(), 1, 1);
    assert_eq!(next.timestamp, u64::MAX);
    assert!(head.advance(&next, Id::default()).is_err());
}

#[test]
fn an_item_that_is_no_assignment_is_refused_by_name() {
    use weft_protocol::ans104::{ItemBuilder, Tag};
    let (_, log) = made(vec![Draft { message: Id::sha256(b"m"), ..Draft::default() }], &[5]);
    let tags = log[1].1.tags().to_vec();
    for name in ["Type", "Process", "Nonce", "Hash-Chain", "Block-Height", "Timestamp", "Message"] {
        let read = |tags: Vec<Tag>| Assignment::read(&ItemBuilder::new().tags(tags).sign(&scheduler()).unwrap());
        let without = tags.iter().filter(|t| t.name != name).cloned().collect();
        assert_eq!(read(without), Err(AssignmentError::Tag(name)));
        let change = |t: &Tag| if t.name == name { Tag::new(name, "-1") } else { t.clone() };
        assert_eq!(read(tags.iter().map(change).collect()), Err(AssignmentError::Tag(name)));
    }
    let mut many = tags;
    many.extend((0..=MAX_EXCLUDE).map(|n| Tag::new("Exclude", n.to_string())));
    assert_eq!(
        Assignment::read(&ItemBuilder::new().tags(many).sign(&scheduler()).unwrap()),
        Err(AssignmentError::Tag("Exclude"))
    );
}
