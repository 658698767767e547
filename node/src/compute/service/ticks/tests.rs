#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use bytes::Bytes;
use weft_protocol::{
    ans104::{Ed25519Signer, ItemBuilder},
    assignment::{Assigned, Draft, Head},
    cron::{Moment, Tick},
};

use super::*;

const START: u64 = 1_735_689_600_000;

/// A process with a tick every second, its head after slot 0, and what an evaluator keeps of it before slot `next`.
fn clock(next: u64) -> (DataItem, Head, Ticks) {
    let spawn = ItemBuilder::new().tag("Cron-Interval", "1-second").sign(&Ed25519Signer::from_seed([1; 32])).unwrap();
    let empty = Head::empty(spawn.id());
    let first = empty.next(Draft { message: spawn.id(), ..Draft::default() }, START, 5);
    let table = Timetable::new(Id::sha256(b"network"), &spawn, &first).unwrap();
    let head = Head { next_slot: 1, timestamp: START, ..empty };
    (spawn, head, Ticks { table, owner: "the owner".to_owned(), followed: next })
}

/// An entry that holds `item`, as the scheduler would assign it `after` milliseconds later, with what a module is shown of it.
fn entry(head: &Head, item: &DataItem, cron: Option<&Tick>, after: u64) -> (LogEntry, Assignment, Content) {
    let draft = Draft { message: item.id(), cron: cron.map(|tick| tick.id.to_string()), ..Draft::default() };
    let wire = LogEntry { item: item.raw().clone(), ..LogEntry::default() };
    (wire, head.next(draft, START + after, 5), Content::of_message(item))
}

fn ticks(clock: &Ticks, until: u64) -> Vec<(Tick, DataItem)> {
    let table = clock.table.as_ref().unwrap();
    let due = table.due(Moment { timestamp: START + until, height: 5 }, 100);
    due.into_iter().map(|tick| (tick.clone(), table.item(&tick).unwrap())).collect()
}

#[test]
fn a_tick_is_its_owners_word_and_the_next_of_its_cron() {
    let (_, mut head, mut clock) = clock(1);
    let due = ticks(&clock, 3_000);
    for (tick, item) in &due[..2] {
        let (wire, assignment, mut content) = entry(&head, item, Some(tick), 3_000);
        clock.check(&wire, &assignment, &mut content).unwrap();
        assert_eq!(content.owner, "the owner");
        head.next_slot += 1;
    }
    let (wire, assignment, mut content) = entry(&head, &due[1].1, Some(&due[1].0), 3_000);
    let twice = clock.check(&wire, &assignment, &mut content).unwrap_err();
    assert!(twice.contains("tick 3 of its cron is the next one"), "{twice}");
    // A replay shows slots again that have been followed before.
    head.next_slot = 2;
    let (wire, assignment, mut content) = entry(&head, &due[1].1, Some(&due[1].0), 3_000);
    clock.check(&wire, &assignment, &mut content).unwrap();
    head.next_slot = 3;
    let (wire, assignment, mut content) = entry(&head, &due[2].1, Some(&due[2].0), 2_999);
    assert!(clock.check(&wire, &assignment, &mut content).unwrap_err().contains("not due yet"));
    let (wire, assignment, mut content) = entry(&head, &due[2].1, Some(&due[2].0), 3_000);
    clock.check(&wire, &assignment, &mut content).unwrap();
}

#[test]
fn what_only_claims_to_be_a_tick_is_refused() {
    let (spawn, head, mut clock) = clock(1);
    let (tick, item) = ticks(&clock, 1_000).remove(0);
    let forged = ItemBuilder::new().target(spawn.id()).tag("Weft-Cron", tick.id.to_string()).tag("Action", "Mint");
    let forged = forged.sign(&Ed25519Signer::from_seed([2; 32])).unwrap();
    let mut refused = |cron: Option<&Tick>, item: &DataItem| {
        let (wire, assignment, mut content) = entry(&head, item, cron, 1_000);
        clock.check(&wire, &assignment, &mut content).unwrap_err()
    };
    assert!(refused(None, &item).contains("does not say that it is a tick"));
    assert!(refused(None, &forged).contains("does not say that it is a tick"));
    assert!(refused(Some(&tick), &forged).contains("not the one that follows"));
    let mut without = Ticks { table: None, owner: String::new(), followed: 1 };
    let (wire, assignment, mut content) = entry(&head, &item, Some(&tick), 1_000);
    assert!(without.check(&wire, &assignment, &mut content).unwrap_err().contains("without crons"));
}

#[test]
fn messages_and_assigned_items_pass_untouched() {
    let (spawn, head, mut clock) = clock(1);
    let message = ItemBuilder::new().target(spawn.id()).sign(&Ed25519Signer::from_seed([2; 32])).unwrap();
    let (wire, mut assignment, mut content) = entry(&head, &message, None, 1);
    clock.check(&wire, &assignment, &mut content).unwrap();
    assert_eq!(content.owner, message.signer_address());
    assignment.assigned = Some(Assigned::BaseLayer);
    let transaction = LogEntry { item: Bytes::new(), ..wire };
    clock.check(&transaction, &assignment, &mut content).unwrap();
}
