#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use weft_protocol::{
    ans104::{Ed25519Signer, ItemBuilder},
    assignment::Draft,
    cron::{Moment, Timetable},
};

use super::*;

fn scheduler() -> Ed25519Signer {
    Ed25519Signer::from_seed([1; 32])
}

fn user() -> Ed25519Signer {
    Ed25519Signer::from_seed([2; 32])
}

fn message(process: Option<Id>, data: &str) -> DataItem {
    let item = match process {
        Some(process) => ItemBuilder::new().target(process).tag("Type", "Message"),
        None => ItemBuilder::new().tag("Type", "Process").tag("Scheduler", scheduler().key().address().to_string()),
    };
    item.tag("Data-Protocol", "ao").data(data.as_bytes().to_vec()).sign(&user()).unwrap()
}

/// A log: the process and some messages, as its scheduler signs them.
struct Log {
    entries: Vec<LogEntry>,
    head: Head,
    process: DataItem,
}

impl Log {
    fn new(messages: &[&str]) -> Self {
        let mut log = Self::of(message(None, "process"));
        let process = log.process.clone();
        for data in messages {
            log.add(&message(Some(process.id()), data), &scheduler());
        }
        log
    }

    fn of(process: DataItem) -> Self {
        let mut log = Self { entries: Vec::new(), head: Head::empty(process.id()), process: process.clone() };
        log.add(&process, &scheduler());
        log
    }

    fn add(&mut self, item: &DataItem, by: &Ed25519Signer) {
        self.add_at(item, by, None, 1_000);
    }

    fn add_at(&mut self, item: &DataItem, by: &Ed25519Signer, cron: Option<String>, now: u64) {
        let draft = Draft { message: item.id(), cron, ..Draft::default() };
        let assignment = self.head.next(draft, now, 5);
        let signed = assignment.sign(by).unwrap();
        self.head.advance(&assignment, signed.id()).unwrap();
        let entry = LogEntry { assignment: signed.raw().clone(), item: item.raw().clone(), ..LogEntry::default() };
        self.entries.push(entry);
    }

    /// An evaluator that knows the process and has seen nothing of its log.
    fn fold(&self, table: Option<Timetable>) -> Fold {
        let assignment = DataItem::parse(self.entries[0].assignment.clone(), Profile::Strict).unwrap();
        let located = Located { scheduler: scheduler().key(), item: self.process.clone(), assignment };
        let module = Loaded { party: Party::of(&self.process), machine: Err("not needed".to_owned()) };
        Fold {
            head: Head::empty(self.process.id()),
            chain: weft_protocol::outcome::chain_start(&self.process.id()),
            block_height: 0,
            env: "{}".into(),
            module: module.into(),
            located,
            ticks: Ticks::of(table),
        }
    }

    /// What such an evaluator makes of these entries: how many it takes, and why not the next.
    fn checked(&self, entries: &[LogEntry]) -> (usize, String) {
        let mut fold = self.fold(None);
        for (taken, entry) in entries.iter().enumerate() {
            if let Err(refusal) = fold.check(entry.clone()) {
                assert_eq!(fold.head.next_slot, taken as u64, "a refused entry moves nothing");
                return (taken, refusal.reason);
            }
        }
        (entries.len(), String::new())
    }

    /// What is made of the log with entry 2 changed.
    fn with_second(&self, change: impl Fn(&mut LogEntry)) -> (usize, String) {
        let mut entries = self.entries.clone();
        change(&mut entries[2]);
        self.checked(&entries)
    }
}

fn flipped(bytes: &bytes::Bytes, at: usize) -> bytes::Bytes {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1;
    bytes.into()
}

/// AO's compute unit takes what its scheduler says for the log, but for the links of the hash chain.
#[test]
fn f18_history_that_is_not_signed_and_linked_is_not_evaluated() {
    let log = Log::new(&["one", "two", "three"]);
    assert_eq!(log.checked(&log.entries), (4, String::new()), "what its scheduler signed is taken");
    let refused = |(taken, why): (usize, String)| {
        assert_eq!(taken, 2, "{why}");
        assert!(why.contains("slot 2"), "{why}");
    };
    let other = message(Some(log.process.id()), "another");
    refused(log.with_second(|entry| entry.item = other.raw().clone()));
    refused(log.with_second(|entry| entry.item = bytes::Bytes::new()));
    // Signature, owner, target, tags and data of message and assignment.
    for at in [2, 100, 300, 514, 540, log.entries[2].item.len() - 1] {
        refused(log.with_second(|entry| entry.item = flipped(&entry.item, at.min(entry.item.len() - 1))));
        refused(log.with_second(|entry| {
            entry.assignment = flipped(&entry.assignment, at.min(entry.assignment.len() - 1));
        }));
    }
    let mut forged = Log::new(&["one"]);
    forged.add(&message(Some(log.process.id()), "two"), &user());
    refused(log.checked(&forged.entries));
}

#[test]
fn f18_a_log_with_a_hole_or_another_order_is_not_evaluated() {
    let log = Log::new(&["one", "two", "three"]);
    let [zero, one, two, three] = [0, 1, 2, 3].map(|at| log.entries[at].clone());
    for (entries, taken) in [
        (vec![zero.clone(), two.clone()], 1),
        (vec![zero.clone(), one.clone(), three.clone()], 2),
        (vec![zero.clone(), one.clone(), one.clone()], 2),
        (vec![one.clone(), two.clone()], 0),
    ] {
        assert_eq!(log.checked(&entries).0, taken);
    }
    // Another log of the same process by the same scheduler: its links do not lead from here.
    let mut twin = Log::new(&["uno", "two"]);
    twin.add(&message(Some(log.process.id()), "three"), &scheduler());
    let mixed = [zero, one, twin.entries[2].clone()];
    let (taken, why) = log.checked(&mixed);
    assert!(taken == 2 && why.contains("chain"), "{taken} {why}");
}

/// A tick that is due, in a slot that does not follow, and then the true one: the first must not count.
#[test]
fn a_refused_entry_moves_no_cron() {
    let process = ItemBuilder::new().tag("Type", "Process").tag("Cron-Interval", "1-second");
    let mut log = Log::of(process.sign(&user()).unwrap());
    let first = DataItem::parse(log.entries[0].assignment.clone(), Profile::Strict).unwrap();
    let first = Assignment::read(&first).unwrap();
    let table = Timetable::new(Id::sha256(b"network"), &log.process, &first).unwrap().unwrap();
    let now = Moment { timestamp: 2_000, height: 5 };
    let tick = table.due(now, 1).remove(0);
    let item = table.item(&tick).unwrap();
    let mut twin = Log { entries: Vec::new(), head: log.head.clone(), process: log.process.clone() };
    twin.head.last_assignment = Id::default();
    for log in [&mut log, &mut twin] {
        log.add_at(&item, &scheduler(), Some(tick.id.to_string()), now.timestamp);
    }
    let mut fold = log.fold(Some(table));
    fold.check(log.entries[0].clone()).unwrap();
    let refused = fold.check(twin.entries[0].clone()).err().expect("it is linked to nothing").reason;
    assert!(refused.contains("hash chain"), "{refused}");
    assert_eq!(fold.head.next_slot, 1);
    fold.check(log.entries[1].clone()).map(|_| ()).expect("the tick is still the next one");
}
