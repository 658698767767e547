//! The scheduler over a real store, dropped and opened again at any moment.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use bytes::Bytes;
use futures::{FutureExt as _, future::join_all};
use tokio::task::JoinHandle;
use weft_protocol::{
    Id,
    ans104::{DataItem, Ed25519Signer, ItemBuilder},
    assignment::{Assignment, Draft, Head},
    refusal::Code,
    wire::{Refusal, Sealed},
};

use super::{LogStore, MAILBOX, Order, Scheduler, SchedulerHandle, StoredEntry};

const WAIT: Duration = Duration::from_secs(60);

fn signer() -> Ed25519Signer {
    Ed25519Signer::from_seed([1; 32])
}

fn network() -> Id {
    Id::sha256(b"network")
}

fn item(name: &str) -> DataItem {
    ItemBuilder::new().tag("Name", name).data(b"x".to_vec()).sign(&signer()).unwrap()
}

fn order(process: Id, item: &DataItem) -> Order {
    let draft = Draft { message: item.id(), ..Draft::default() };
    Order { process, draft, item: item.raw().clone(), assigned: Bytes::new(), reads: Vec::new(), proof: None }
}

struct Running {
    handle: SchedulerHandle,
    task: JoinHandle<()>,
}

impl Running {
    fn start(folder: &Path) -> Self {
        let log = LogStore::open(folder).unwrap();
        let (scheduler, handle, _notices) = Scheduler::new(network(), signer(), log, Arc::new(AtomicU64::new(7)));
        Self { handle, task: tokio::spawn(async move { scheduler.run().await.unwrap() }) }
    }

    async fn order(&self, process: Id, item: &DataItem) -> Result<Sealed, Refusal> {
        tokio::time::timeout(WAIT, self.handle.order(order(process, item))).await.expect("an answer")
    }

    /// Ends it wherever it is; gives the store up.
    async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

/// The log as a follower reads it: dense, chained, each id once.
fn followed(log: &LogStore, process: Id) -> BTreeMap<Id, u64> {
    let mut head = Head::empty(process);
    let mut slots = BTreeMap::new();
    while let Some(wire) = log.entry(&process, head.next_slot).unwrap() {
        let entry = StoredEntry::read(wire).unwrap();
        assert_eq!(slots.insert(entry.assignment.message, entry.assignment.slot), None, "an id twice");
        head.advance(&entry.assignment, entry.assignment_id).unwrap();
    }
    assert_eq!(log.head(&process).unwrap(), (head.next_slot > 0).then_some(head));
    slots
}

#[tokio::test]
async fn killed_at_any_point_no_acknowledged_slot_is_lost_or_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let process = item("process");
    let items: Vec<DataItem> = (0..60).map(|n| item(&format!("message {n}"))).collect();
    let mut known: BTreeMap<Id, u64> = BTreeMap::new();
    for round in 0..12_usize {
        let running = Running::start(folder.path());
        running.order(process.id(), &process).await.unwrap();
        // Ask for everything at once, and pull the plug after some answers.
        let (told, mut answers) = tokio::sync::mpsc::channel(items.len());
        for item in items.iter().take(5 * (round + 1)) {
            let (handle, told, order, id) =
                (running.handle.clone(), told.clone(), order(process.id(), item), item.id());
            tokio::spawn(async move {
                if let Ok(sealed) = handle.order(order).await {
                    let _ = told.send((id, sealed)).await;
                }
            });
        }
        drop(told);
        for _ in 0..round * 3 {
            let Some((id, sealed)) = tokio::time::timeout(WAIT, answers.recv()).await.unwrap() else { break };
            assert!(sealed.duplicate || !known.contains_key(&id));
            assert_eq!(*known.entry(id).or_insert(sealed.slot), sealed.slot, "another slot than before");
        }
        running.kill().await;
        while let Some((id, sealed)) = tokio::time::timeout(WAIT, answers.recv()).await.unwrap() {
            assert_eq!(*known.entry(id).or_insert(sealed.slot), sealed.slot);
        }
    }
    let running = Running::start(folder.path());
    let slots = followed(running.handle.log(), process.id());
    for (id, slot) in known {
        assert_eq!(slots.get(&id), Some(&slot), "acknowledged, then gone");
    }
    for (id, slot) in slots {
        let found = items.iter().chain([&process]).find(|item| item.id() == id).unwrap();
        let sealed = running.order(process.id(), found).await.unwrap();
        assert_eq!((sealed.slot, sealed.duplicate), (slot, true));
    }
}

#[tokio::test]
async fn repeats_in_one_batch_and_later_have_the_slot_they_have() {
    let folder = tempfile::tempdir().unwrap();
    let (process, message) = (item("process"), item("message"));
    let running = Running::start(folder.path());
    running.order(process.id(), &process).await.unwrap();
    let all = join_all((0..20).map(|_| running.order(process.id(), &message))).await;
    let all: Vec<Sealed> = all.into_iter().map(Result::unwrap).collect();
    assert_eq!(all.iter().filter(|sealed| !sealed.duplicate).count(), 1);
    assert!(all.iter().all(|sealed| sealed.slot == 1 && sealed.assignment == all[0].assignment));
    running.kill().await;
    let running = Running::start(folder.path());
    let again = running.order(process.id(), &message).await.unwrap();
    assert_eq!((again.slot, again.duplicate, &again.assignment), (1, true, &all[0].assignment));
    assert_eq!(followed(running.handle.log(), process.id()).len(), 2);
}

#[tokio::test]
async fn logs_of_different_processes_do_not_mix() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b, message) = (item("a"), item("b"), item("message"));
    let running = Running::start(folder.path());
    for process in [&a, &b] {
        running.order(process.id(), process).await.unwrap();
    }
    let both = join_all([running.order(a.id(), &message), running.order(b.id(), &message)]).await;
    assert!(both.iter().all(|sealed| sealed.as_ref().is_ok_and(|s| s.slot == 1 && !s.duplicate)));
    let heads = running.handle.log().heads(None, 10).unwrap();
    assert_eq!(heads.len(), 2);
    assert_eq!(running.handle.log().heads(Some(&heads[0].process), 10).unwrap(), heads[1..]);
}

#[tokio::test]
async fn timestamps_grow_however_fast_messages_come() {
    let folder = tempfile::tempdir().unwrap();
    let process = item("process");
    let running = Running::start(folder.path());
    running.order(process.id(), &process).await.unwrap();
    let items: Vec<DataItem> = (0..100).map(|n| item(&n.to_string())).collect();
    join_all(items.iter().map(|item| running.order(process.id(), item)))
        .await
        .into_iter()
        .for_each(|s| drop(s.unwrap()));
    let page = running.handle.log().page(&process.id(), 0, 1_000).unwrap();
    let read = |wire| StoredEntry::read(wire).unwrap().assignment;
    let log: Vec<Assignment> = page.entries.into_iter().map(read).collect();
    assert_eq!(log.len(), 101);
    assert!(log.windows(2).all(|two| two[0].timestamp < two[1].timestamp));
    assert!(log.iter().all(|entry| entry.block_height == 7));
}

#[tokio::test]
async fn a_process_without_a_log_is_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path());
    let refusal = running.order(Id::sha256(b"nobody"), &item("message")).await.unwrap_err();
    assert_eq!((Code::parse(&refusal.code), refusal.is_final), (Code::UnknownProcess, true));
    assert_eq!(running.handle.log().head(&Id::sha256(b"nobody")).unwrap(), None);
}

#[tokio::test]
async fn a_full_mailbox_refuses_and_says_to_try_again() {
    let folder = tempfile::tempdir().unwrap();
    let (process, message) = (item("process"), item("message"));
    let log = LogStore::open(folder.path()).unwrap();
    let (scheduler, handle, _notices) = Scheduler::new(network(), signer(), log, Arc::default());
    let waiting: Vec<_> = (0..MAILBOX)
        .map(|_| {
            let (handle, order) = (handle.clone(), order(process.id(), &process));
            let mut asked = Box::pin(async move { handle.order(order).await });
            assert!((&mut asked).now_or_never().is_none());
            asked
        })
        .collect();
    let refusal = handle.order(order(process.id(), &message)).await.unwrap_err();
    assert_eq!((Code::parse(&refusal.code), refusal.is_final), (Code::Capacity, false));
    let task = tokio::spawn(scheduler.run());
    let sealed = tokio::time::timeout(WAIT, join_all(waiting)).await.unwrap();
    assert!(sealed.into_iter().all(|sealed| sealed.unwrap().slot == 0), "those that waited are answered");
    task.abort();
}

/// Attestations of one slot that disagree about what a crank is made from give items of other bytes and ids: the crank's
/// identity has one slot all the same, in one batch, later, and after a restart.
#[tokio::test]
async fn a_crank_has_one_slot_whatever_its_bytes_are() {
    let folder = tempfile::tempdir().unwrap();
    let (process, other) = (item("process"), item("other process"));
    let cranked = |process: &DataItem, name: &str| {
        let mut order = order(process.id(), &item(name));
        order.draft.crank = Some("sender/1/0/0/0".to_owned());
        order
    };
    let running = Running::start(folder.path());
    running.order(process.id(), &process).await.unwrap();
    running.order(other.id(), &other).await.unwrap();
    let handle = &running.handle;
    let both = join_all([handle.order(cranked(&process, "one")), handle.order(cranked(&process, "two"))]).await;
    let slots: Vec<u64> = both.iter().map(|sealed| sealed.as_ref().unwrap().slot).collect();
    assert_eq!(slots, [1, 1]);
    let third = handle.order(cranked(&process, "three")).await.unwrap();
    assert_eq!((third.slot, third.duplicate), (1, true));
    assert_eq!(handle.order(cranked(&other, "four")).await.unwrap().slot, 1, "another target has its own");
    running.kill().await;

    let running = Running::start(folder.path());
    let again = running.handle.order(cranked(&process, "five")).await.unwrap();
    assert_eq!((again.slot, again.duplicate), (1, true));
    assert_eq!(running.order(process.id(), &item("plain")).await.unwrap().slot, 2, "an ordinary message goes on");
    assert_eq!(followed(running.handle.log(), process.id()).len(), 3);
}
