//! Crons over a real store, with a clock of the test's own, dropped and opened again at any moment.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::broadcast, task::JoinHandle};
use weft_protocol::{
    ans104::{Ed25519Signer, ItemBuilder},
    assignment::Head,
};

use super::{
    super::{Scheduler, SchedulerHandle, SealedNotice},
    *,
};

const WAIT: Duration = Duration::from_secs(60);
const START: u64 = 1_735_689_600_250;
const HEIGHT: u64 = 1_600_000;

fn network() -> Id {
    Id::sha256(b"network")
}

fn signer() -> Ed25519Signer {
    Ed25519Signer::from_seed([1; 32])
}

fn spawn(name: &str, intervals: &[&str]) -> DataItem {
    let mut builder = ItemBuilder::new().tag("Name", name);
    for interval in intervals {
        builder = builder.tag("Cron-Interval", *interval).tag("Cron-Tag-Action", *interval);
    }
    builder.data(b"x".to_vec()).sign(&signer()).unwrap()
}

fn order(process: Id, item: &DataItem) -> Order {
    let draft = Draft { message: item.id(), ..Draft::default() };
    Order { process, draft, item: item.raw().clone(), assigned: Bytes::new(), reads: Vec::new(), proof: None }
}

struct Running {
    handle: SchedulerHandle,
    notices: broadcast::Receiver<SealedNotice>,
    task: JoinHandle<()>,
}

impl Running {
    fn start(folder: &Path, clock: fn() -> u64, height: &Arc<AtomicU64>) -> Self {
        let log = LogStore::open(folder).unwrap();
        let (scheduler, handle, notices) = Scheduler::new(network(), signer(), log, Arc::clone(height));
        let scheduler = scheduler.with_clock(clock);
        Self { handle, notices, task: tokio::spawn(async move { scheduler.run().await.unwrap() }) }
    }

    async fn order(&self, process: Id, item: &DataItem) -> Result<u64, Refusal> {
        let asked = self.handle.order(order(process, item));
        tokio::time::timeout(WAIT, asked).await.expect("an answer").map(|sealed| sealed.slot)
    }

    /// Waits until the log of `process` has `slots` slots.
    async fn sealed(&mut self, process: Id, slots: u64) {
        while self.handle.log().head(&process).unwrap().is_none_or(|head| head.next_slot < slots) {
            tokio::time::timeout(WAIT, self.notices.recv()).await.expect("a tick").unwrap();
        }
    }

    /// Ends it wherever it is; gives the store up.
    async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

/// The log as an evaluator reads it: dense, chained, every tick made again, due, and the next of its cron. The ticks' texts
/// (empty for a message) with the items' ids.
fn followed(log: &LogStore, spawn: &DataItem) -> Vec<(String, Id)> {
    let mut head = Head::empty(spawn.id());
    let mut table: Option<Timetable> = None;
    let mut slots = Vec::new();
    while let Some(wire) = log.entry(&spawn.id(), head.next_slot).unwrap() {
        let item = DataItem::parse_verified(wire.item.clone(), Profile::Strict).unwrap();
        let entry = StoredEntry::read(wire).unwrap();
        assert_eq!(item.id(), entry.assignment.message);
        head.advance(&entry.assignment, entry.assignment_id).unwrap();
        match (&entry.assignment.cron, &mut table) {
            (Some(_), Some(table)) => {
                let tick = table.check(&entry.assignment, &item).unwrap();
                table.follow(&entry.assignment, &tick).unwrap();
            }
            (Some(_), None) => panic!("a tick before the process"),
            (None, None) => table = Timetable::new(network(), spawn, &entry.assignment).unwrap(),
            (None, Some(_)) => {}
        }
        slots.push((entry.assignment.cron.unwrap_or_default(), item.id()));
    }
    slots
}

fn texts(slots: &[(String, Id)]) -> Vec<&str> {
    slots.iter().map(|(text, _)| text.as_str()).collect()
}

#[tokio::test]
async fn what_is_due_is_sealed_between_messages() {
    static CLOCK: AtomicU64 = AtomicU64::new(START);
    let folder = tempfile::tempdir().unwrap();
    let height = Arc::new(AtomicU64::new(HEIGHT));
    let mut running = Running::start(folder.path(), || CLOCK.load(Ordering::Relaxed), &height);
    let process = spawn("clock", &["10-seconds", "2-blocks"]);
    running.order(process.id(), &process).await.unwrap();
    CLOCK.store(START + 9_999, Ordering::Relaxed);
    assert_eq!(running.order(process.id(), &spawn("message", &[])).await.unwrap(), 1);
    CLOCK.store(START + 20_500, Ordering::Relaxed);
    running.sealed(process.id(), 4).await;
    height.store(HEIGHT + 3, Ordering::Relaxed);
    running.sealed(process.id(), 5).await;
    // A clock that steps back makes nothing twice.
    CLOCK.store(START, Ordering::Relaxed);
    assert_eq!(running.order(process.id(), &spawn("message 2", &[])).await.unwrap(), 5);
    let log = followed(running.handle.log(), &process);
    let expected = [
        String::new(),
        String::new(),
        format!("time/0/10-seconds/1/{}", START + 10_000),
        format!("time/0/10-seconds/2/{}", START + 20_000),
        format!("block/0/2-blocks/1/{}", HEIGHT + 2),
        String::new(),
    ];
    assert_eq!(texts(&log), expected);
}

#[tokio::test]
async fn killed_at_any_point_every_tick_has_one_slot_and_the_same_id() {
    static CLOCK: AtomicU64 = AtomicU64::new(START);
    let folder = tempfile::tempdir().unwrap();
    let height = Arc::new(AtomicU64::new(HEIGHT));
    let processes = [spawn("one", &["2-seconds", "3-seconds", "1-block"]), spawn("two", &["2-seconds"])];
    let mut known: Vec<Vec<(String, Id)>> = vec![Vec::new(); 2];
    for round in 0..12_u64 {
        let mut running = Running::start(folder.path(), || CLOCK.load(Ordering::Relaxed), &height);
        for process in &processes {
            running.order(process.id(), process).await.unwrap();
        }
        // In all less than what is made up for, so that nothing is left out.
        CLOCK.fetch_add(5_200, Ordering::Relaxed);
        height.fetch_add(1, Ordering::Relaxed);
        // Pull the plug before, between and after the flushes that follow.
        for _ in 0..round % 5 {
            let asked = tokio::time::timeout(WAIT, running.notices.recv()).await;
            asked.expect("a tick").unwrap();
        }
        running.kill().await;
        let log = LogStore::open(folder.path()).unwrap();
        for (process, known) in processes.iter().zip(&mut known) {
            let now = followed(&log, process);
            assert_eq!(now[..known.len()], known[..], "what was in the log stays there");
            *known = now;
        }
    }
    // At rest, all that is due is there, nothing twice: what a scheduler that never died would have made.
    let mut running = Running::start(folder.path(), || CLOCK.load(Ordering::Relaxed), &height);
    let passed = CLOCK.load(Ordering::Relaxed) - START;
    let due = [1 + passed / 2_000 + passed / 3_000 + 12, 1 + passed / 2_000];
    for (process, due) in processes.iter().zip(due) {
        running.sealed(process.id(), due).await;
        let log = followed(running.handle.log(), process);
        assert_eq!(log.len() as u64, due);
        let alone = tempfile::tempdir().unwrap();
        let mut other = Running::start(alone.path(), || START, &Arc::new(AtomicU64::new(HEIGHT)));
        other.order(process.id(), process).await.unwrap();
        other.kill().await;
        other = Running::start(alone.path(), || CLOCK.load(Ordering::Relaxed), &height);
        other.sealed(process.id(), due).await;
        let sorted = |mut log: Vec<(String, Id)>| {
            log.sort();
            log
        };
        let all_at_once = sorted(followed(other.handle.log(), process));
        assert_eq!(all_at_once, sorted(log), "the same ticks with the same ids, however they came to be");
        other.kill().await;
    }
}

#[tokio::test]
async fn after_a_long_pause_the_newest_are_made_up_for() {
    static CLOCK: AtomicU64 = AtomicU64::new(START);
    let folder = tempfile::tempdir().unwrap();
    let height = Arc::new(AtomicU64::new(HEIGHT));
    let process = spawn("clock", &["1-second"]);
    let running = Running::start(folder.path(), || CLOCK.load(Ordering::Relaxed), &height);
    running.order(process.id(), &process).await.unwrap();
    running.kill().await;
    CLOCK.fetch_add(1_000_000, Ordering::Relaxed);
    let mut running = Running::start(folder.path(), || CLOCK.load(Ordering::Relaxed), &Arc::default());
    running.sealed(process.id(), 65).await;
    let log = followed(running.handle.log(), &process);
    assert_eq!(log.len(), 65);
    assert_eq!(log[1].0, format!("time/0/1-second/937/{}", START + 937_000));
    let first = DataItem::parse(running.handle.log().item(&log[1].1).unwrap().unwrap(), Profile::Strict).unwrap();
    assert_eq!(first.tag("Weft-Cron-Skipped"), Some("936"));
    // No gateway has answered this scheduler: it goes on with the height of its log.
    let entry = StoredEntry::read(running.handle.log().entry(&process.id(), 64).unwrap().unwrap()).unwrap();
    assert_eq!(entry.assignment.block_height, HEIGHT);
}

#[tokio::test]
async fn crons_that_cannot_be_are_refused_at_spawn() {
    let folder = tempfile::tempdir().unwrap();
    let height = Arc::new(AtomicU64::new(0));
    let running = Running::start(folder.path(), || START, &height);
    let refused = async |item: &DataItem| {
        let refusal = running.order(item.id(), item).await.unwrap_err();
        assert_eq!(running.handle.log().head(&item.id()).unwrap(), None);
        refusal
    };
    let malformed = refused(&spawn("bad", &["5-parsecs"])).await;
    assert_eq!(Code::parse(&malformed.code), Code::BadItem);
    assert!(malformed.reason.contains("Cron-Interval") && malformed.reason.contains("parsecs"), "{}", malformed.reason);
    let early = refused(&spawn("blocks", &["1-block"])).await;
    assert_eq!((Code::parse(&early.code), early.is_final), (Code::Unavailable, false));

    let items: Vec<DataItem> = (0..=MAX_PROCESSES).map(|n| spawn(&n.to_string(), &["1-hour"])).collect();
    for part in items[..MAX_PROCESSES].chunks(256) {
        let asked = part.iter().map(|item| running.order(item.id(), item));
        futures::future::join_all(asked).await.into_iter().for_each(|slot| assert_eq!(slot.unwrap(), 0));
    }
    let full = refused(&items[MAX_PROCESSES]).await;
    assert_eq!((Code::parse(&full.code), full.is_final), (Code::Forbidden, true));
    assert!(full.reason.contains("1024 processes with crons"), "{}", full.reason);
    let plain = spawn("plain", &[]);
    running.order(plain.id(), &plain).await.expect("a process without crons is still welcome");
    running.kill().await;
    let log = LogStore::open(folder.path()).unwrap();
    assert_eq!(Crons::load(&network(), &log).unwrap().load_of_all().processes, MAX_PROCESSES);
}

/// The bound is on ticks: it is met long before that on processes, in one flush and over several, and after a restart.
#[tokio::test]
async fn a_scheduler_takes_64_ticks_a_second_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let height = Arc::new(AtomicU64::new(HEIGHT));
    let mut running = Running::start(folder.path(), || START, &height);
    let most: Vec<DataItem> = (0..70).map(|n| spawn(&n.to_string(), &["1-second"])).collect();
    let asked = most.iter().map(|item| running.order(item.id(), item));
    let answers = futures::future::join_all(asked).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 64);
    for round in 0..2 {
        let slow = spawn(&format!("slow {round}"), &["1-hour"]);
        let refusal = running.order(slow.id(), &slow).await.unwrap_err();
        assert_eq!((Code::parse(&refusal.code), refusal.is_final), (Code::Forbidden, true));
        assert!(
            refusal.reason.contains("64 ticks a second") && refusal.reason.contains("spawn it again"),
            "{refusal:?}"
        );
        assert_eq!(running.handle.log().head(&slow.id()).unwrap(), None);
        let plain = spawn(&format!("plain {round}"), &[]);
        running.order(plain.id(), &plain).await.expect("a process without crons is still welcome");
        running.kill().await;
        running = Running::start(folder.path(), || START, &height);
    }
    running.kill().await;
    let log = LogStore::open(folder.path()).unwrap();
    let mut crons = Crons::load(&network(), &log).unwrap();
    assert_eq!(crons.load_of_all(), Load { processes: 64, rate: Rate::SCHEDULER });
    crons.give_up(&most[0].id());
    assert_eq!(crons.load_of_all(), Load { processes: 63, rate: Rate::SCHEDULER.minus(Rate::PROCESS) });
}

#[test]
fn without_crons_there_is_nothing_to_wait_for() {
    let mut crons = Crons::default();
    let now = Moment { timestamp: START, height: HEIGHT };
    assert_eq!(crons.pause(now), None);
    let process = spawn("clock", &["1-hour", "5-blocks"]);
    let draft = Draft { message: process.id(), ..Draft::default() };
    crons.add(network(), process.raw(), &Head::empty(process.id()).next(draft, START, HEIGHT));
    assert_eq!(crons.pause(now), Some(LOOK));
    let soon = Moment { timestamp: START + 3_599_900, ..now };
    assert_eq!(crons.pause(soon), Some(Duration::from_millis(100)));
    assert_eq!(crons.pause(Moment { height: HEIGHT + 5, ..now }), Some(Duration::ZERO));
    crons.give_up(&process.id());
    assert_eq!(crons.pause(soon), None);
}
