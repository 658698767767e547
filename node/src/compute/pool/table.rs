//! Who waits, who runs, who is live, who is on disk: the pool's bookkeeping, without threads and without a disk.
//!
//! Every step takes time that grows with the logarithm of what there is at most: with 10,000 processes on disk a task costs
//! what it costs with one.
//!
//! Who goes first: the process that has had the least of the threads' time. One that comes back after a pause does not get
//! back what it did not use: it begins where the others are. A process with more to do than a quantum goes back among them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    time::{Duration, Instant},
};

use lru::LruCache;
use weft_protocol::Id;

use super::{
    PoolConfig, PoolStats,
    parking::Filed,
    seat::{Seat, Trouble, Turn},
};
use crate::compute::Module;

mod room;

pub(super) use room::Room;

/// Works on a process until it is done or the turn is over.
pub(super) type Task = Box<dyn FnMut(&mut Seat, &Turn<'_>) -> Step + Send>;
/// Called when the process is back in the table, so that whoever is told of the result finds the table up to date.
pub(super) type Reply = Box<dyn FnOnce() + Send>;

/// How far a task is.
pub(super) enum Step {
    Done(Reply),
    /// The turn is over, the task is not.
    More,
    /// The operating system refused memory: again, when others have made room.
    NoRoom,
}

/// Why a task is not accepted.
pub(super) enum Refused {
    PoolFull,
    ProcessFull,
    Closed,
}

/// Modules of processes on disk that are remembered, so that they can be asked without naming it.
const MODULES: std::num::NonZeroUsize = crate::bounds::at_least_one(256);
/// Parked processes known at most, about 100 MiB of table; those used longest ago go first, as where the disk is full.
const MAX_FILES: usize = 1_000_000;
/// Processes that are live and idle are left alone this long at least when memory gets scarce on the machine.
const SETTLED: Duration = Duration::from_secs(1);
/// Longest pause between two looks at processes that are live and idle.
const LOOK_AT_MOST: Duration = Duration::from_secs(5);

pub(super) struct Table {
    /// Processes that are live, have tasks, or are being worked on.
    entries: HashMap<Id, Entry>,
    /// Processes with tasks that nobody works on: by the time they had, then by arrival.
    ready: BTreeSet<(u64, u64, Id)>,
    /// Live processes with nothing to do, by when they were used.
    idle: BTreeMap<u64, (Instant, Id)>,
    files: Files,
    room: Room,
    /// Time had by the process that was taken last, in microseconds.
    now: u64,
    /// Counts events, to tell which came first.
    clock: u64,
    stats: PoolStats,
    phase: Phase,
}

/// What is on disk.
struct Files {
    /// At most [`MAX_FILES`]: `Table::evict` sees to it.
    known: LruCache<Id, Filed>,
    /// How many of them have an entry in the table as well.
    entered: usize,
    modules: LruCache<Id, Module>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    /// No more tasks; what is live is put on disk.
    Parking,
    Closed,
}

struct Entry {
    /// `None` while a thread works on it.
    seat: Option<Seat>,
    queue: VecDeque<Task>,
    next_slot: Option<u64>,
    /// Microseconds of the threads that it had, on the scale of `Table::now`.
    had: u64,
    /// Its place in `ready` or `idle`.
    order: u64,
    /// Bytes that it is counted with; 0 exactly when it is not counted as live.
    counted: usize,
}

/// What a thread does next.
pub(super) enum Next {
    Work(Taken),
    /// Put this process on disk.
    Park(Id, Seat),
    /// Nothing, until something happens or this time has passed.
    Wait(Option<Duration>),
    End,
}

/// A task and what it works on.
pub(super) struct Taken {
    pub(super) process: Id,
    pub(super) task: Task,
    pub(super) seat: Seat,
    pub(super) module: Option<Module>,
    pub(super) others: bool,
}

/// What became of what was taken.
pub(super) struct Returned {
    pub(super) process: Id,
    pub(super) seat: Seat,
    /// The task, if there is more to do.
    pub(super) more: Option<Task>,
    pub(super) took: Duration,
}

impl Table {
    pub(super) fn new(room: Room, filed: Vec<(Id, Filed)>) -> Self {
        let mut table = Self {
            entries: HashMap::new(),
            ready: BTreeSet::new(),
            idle: BTreeMap::new(),
            files: Files { known: LruCache::unbounded(), entered: 0, modules: LruCache::new(MODULES) },
            room,
            now: 0,
            clock: 0,
            stats: PoolStats::default(),
            phase: Phase::Open,
        };
        for (process, filed) in filed {
            table.file(process, Some(filed));
        }
        table
    }

    pub(super) fn push(&mut self, process: Id, task: Task, config: &PoolConfig) -> Result<(), Refused> {
        if self.phase != Phase::Open {
            return Err(Refused::Closed);
        }
        if self.stats.waiting >= config.max_waiting {
            return Err(Refused::PoolFull);
        }
        let (clock, filed) = (self.tick(), self.files.known.peek(&process).copied());
        let entry = self.entries.entry(process).or_insert_with(|| {
            self.files.entered += usize::from(filed.is_some());
            Entry::new(filed)
        });
        if entry.queue.len() >= config.max_waiting_per_process {
            return Err(Refused::ProcessFull);
        }
        if entry.seat.is_some() && entry.queue.is_empty() {
            self.idle.remove(&entry.order);
            entry.had = entry.had.max(self.now);
            entry.order = clock;
            self.ready.insert((entry.had, clock, process));
        }
        entry.queue.push_back(task);
        self.stats.waiting += 1;
        Ok(())
    }

    /// What a thread does now. What it takes it has to return with [`Table::put_back`].
    pub(super) fn next(&mut self, config: &PoolConfig) -> Next {
        match self.phase {
            Phase::Closed => return Next::End,
            Phase::Parking => return self.oldest_idle().map_or(Next::End, |process| self.park(process)),
            Phase::Open => {}
        }
        let stats = &self.stats;
        if self.room.is_over(stats)
            && let Some(process) = self.oldest_idle()
        {
            return self.park(process);
        }
        let Some((had, _, first)) = self.ready.first().copied() else { return self.rest(config) };
        let needs_room = self.entries.get(&first).is_some_and(|entry| entry.counted == 0);
        if !needs_room || self.room.has_place(stats) {
            self.now = self.now.max(had);
            return self.work(first);
        }
        match self.oldest_idle().or_else(|| self.last_ready_live()) {
            Some(process) => self.park(process),
            // Everything that is live is being worked on: it comes back.
            None => Next::Wait(None),
        }
    }

    /// Nobody waits: what was not used for long goes to disk, so does what fills the last eighth of the room.
    fn rest(&mut self, config: &PoolConfig) -> Next {
        let Some((_, (used, process))) = self.idle.first_key_value() else { return Next::Wait(None) };
        let (process, passed) = (*process, used.elapsed());
        let scarce = self.room.is_scarce() && passed >= SETTLED;
        if self.room.is_tight(&self.stats) || scarce || (passed >= config.idle_after && self.room.parks()) {
            return self.park(process);
        }
        // What has nowhere to go is not waited for.
        let wait = if self.room.parks() { config.idle_after.saturating_sub(passed) } else { LOOK_AT_MOST };
        // Scarcity on the machine shows only when somebody looks.
        Next::Wait(Some(wait.clamp(Duration::from_millis(50), LOOK_AT_MOST)))
    }

    fn work(&mut self, process: Id) -> Next {
        let others = self.stats.live > 0;
        let Some(entry) = self.entries.get_mut(&process) else { return Next::Wait(None) };
        self.ready.remove(&(entry.had, entry.order, process));
        let (Some(task), Some(seat)) = (entry.queue.pop_front(), entry.seat.take()) else { return Next::Wait(None) };
        self.stats.waiting = self.stats.waiting.saturating_sub(1);
        self.stats.running += 1;
        let module = if seat.is_live() { None } else { self.files.modules.get(&process).cloned() };
        if entry.counted == 0 {
            // Until it is known what it takes.
            let expected = self.room.expected(&self.stats);
            self.count(process, expected);
        }
        Next::Work(Taken { process, task, seat, module, others })
    }

    fn park(&mut self, process: Id) -> Next {
        let Some(entry) = self.entries.get_mut(&process) else { return Next::Wait(None) };
        self.idle.remove(&entry.order);
        self.ready.remove(&(entry.had, entry.order, process));
        let Some(seat) = entry.seat.take() else { return Next::Wait(None) };
        self.stats.running += 1;
        Next::Park(process, seat)
    }

    fn oldest_idle(&self) -> Option<Id> {
        self.idle.first_key_value().map(|(_, (_, process))| *process)
    }

    /// The live process whose turn is farthest away. It makes room for one that has had less.
    fn last_ready_live(&self) -> Option<Id> {
        let live = |id: &Id| self.entries.get(id).is_some_and(|entry| entry.counted > 0);
        // Only so far: what is ready is not bounded by what can be live. But while nobody works nobody comes back either.
        let far = if self.stats.running == 0 { usize::MAX } else { 64 };
        self.ready.iter().rev().take(far).map(|(_, _, id)| *id).find(live)
    }

    /// Ends a piece of work. Processes whose files are to be deleted for want of room are returned.
    pub(super) fn put_back(&mut self, mut returned: Returned, max_disk: u64) -> Vec<Id> {
        let (process, seat) = (returned.process, &mut returned.seat);
        self.stats.running = self.stats.running.saturating_sub(1);
        self.stats.revivals += u64::from(std::mem::take(&mut seat.revived));
        if seat.filed != self.files.known.peek(&process).copied() {
            self.stats.parkings += u64::from(seat.filed.is_some());
            self.file(process, seat.filed);
        }
        let bytes = seat.bytes();
        self.count(process, bytes);
        self.settle(returned);
        self.evict(max_disk)
    }

    /// Puts a process where it belongs: among those with tasks, those with none, or nowhere.
    fn settle(&mut self, returned: Returned) {
        let Returned { process, seat, more, took } = returned;
        let clock = self.tick();
        let Some(entry) = self.entries.get_mut(&process) else { return };
        entry.next_slot = seat.next_slot();
        entry.had = entry.had.max(self.now).saturating_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1));
        entry.order = clock;
        if let Some(task) = more {
            entry.queue.push_front(task);
            self.stats.waiting += 1;
        }
        if self.phase != Phase::Open {
            self.stats.waiting = self.stats.waiting.saturating_sub(entry.queue.len());
            entry.queue.clear();
        }
        let live = seat.is_live();
        entry.seat = Some(seat);
        if !entry.queue.is_empty() {
            self.ready.insert((entry.had, clock, process));
        } else if live {
            self.idle.insert(clock, (Instant::now(), process));
        } else {
            self.entries.remove(&process);
            self.files.entered = self.files.entered.saturating_sub(usize::from(self.files.known.contains(&process)));
        }
    }

    /// Notes what is on disk of a process.
    fn file(&mut self, process: Id, filed: Option<Filed>) {
        let old = match filed {
            Some(filed) => self.files.known.put(process, filed),
            None => self.files.known.pop(&process),
        };
        if self.entries.contains_key(&process) {
            let (before, after) = (usize::from(old.is_some()), usize::from(filed.is_some()));
            self.files.entered = self.files.entered.saturating_sub(before).saturating_add(after);
        }
        let (old, new) = (old.map_or(0, |old| old.bytes), filed.map_or(0, |new| new.bytes));
        self.stats.parked_bytes = self.stats.parked_bytes.saturating_sub(old).saturating_add(new);
    }

    fn evict(&mut self, max_disk: u64) -> Vec<Id> {
        let mut gone = Vec::new();
        while self.stats.parked_bytes > max_disk || self.files.known.len() > MAX_FILES {
            let Some((process, _)) = self.files.known.peek_lru().map(|(id, filed)| (*id, *filed)) else { break };
            self.file(process, None);
            match self.entries.get_mut(&process) {
                Some(Entry { seat: Some(seat), .. }) => seat.filed = None,
                Some(_) => {}
                None => self.stats.evicted += 1,
            }
            gone.push(process);
        }
        gone
    }

    /// Counts a process with other bytes than before.
    fn count(&mut self, process: Id, bytes: usize) {
        let Some(entry) = self.entries.get_mut(&process) else { return };
        let before = std::mem::replace(&mut entry.counted, bytes);
        let stats = &mut self.stats;
        stats.live_bytes = stats.live_bytes.saturating_sub(before).saturating_add(bytes);
        stats.live = stats.live.saturating_sub(usize::from(before > 0)).saturating_add(usize::from(bytes > 0));
    }

    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// Whether a thread that waits has something to do.
    pub(super) fn has_work(&self) -> bool {
        !self.ready.is_empty() || self.phase != Phase::Open
    }

    pub(super) fn room(&mut self) -> (&mut Room, PoolStats) {
        (&mut self.room, self.stats)
    }

    /// Counts a process that was live and is neither that nor on disk any more.
    pub(super) fn count_evicted(&mut self) {
        self.stats.evicted += 1;
    }

    pub(super) fn next_slot(&self, process: Id) -> Option<u64> {
        match self.entries.get(&process) {
            Some(entry) => entry.next_slot,
            None => self.files.known.peek(&process).map(|filed| filed.slot),
        }
    }

    /// Remembers the module of a process that is on disk.
    pub(super) fn know(&mut self, process: Id, module: &Module) {
        if !self.entries.contains_key(&process) && self.files.known.contains(&process) {
            self.files.modules.put(process, module.clone());
        }
    }

    pub(super) fn stats(&self) -> PoolStats {
        PoolStats {
            parked: self.files.known.len().saturating_sub(self.files.entered),
            max_live_bytes: self.room.max_bytes(),
            ..self.stats
        }
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase
    }

    /// Ends all waiting tasks: their callers are told. What is live is put on disk first, or forgotten.
    pub(super) fn close(&mut self, phase: Phase) {
        self.phase = phase;
        self.ready.clear();
        self.idle.clear();
        self.stats.waiting = 0;
        let stays = |seat: &Seat| phase == Phase::Parking && seat.is_live();
        self.entries.retain(|_, entry| {
            entry.queue.clear();
            entry.seat.as_ref().is_none_or(stays)
        });
        for (process, entry) in self.entries.iter_mut().filter(|(_, entry)| entry.seat.is_some()) {
            self.clock += 1;
            entry.order = self.clock;
            self.idle.insert(entry.order, (Instant::now(), *process));
        }
    }
}

impl Entry {
    fn new(filed: Option<Filed>) -> Self {
        Self {
            seat: Some(filed.map_or_else(Seat::default, Seat::on_disk)),
            queue: VecDeque::new(),
            next_slot: filed.map(|filed| filed.slot),
            had: 0,
            order: 0,
            counted: 0,
        }
    }
}

impl<T> From<Result<Option<T>, Trouble>> for Progress<T> {
    fn from(result: Result<Option<T>, Trouble>) -> Self {
        match result {
            Ok(Some(value)) => Self::Done(Ok(value)),
            Ok(None) => Self::More,
            Err(Trouble::NoRoom) => Self::NoRoom,
            Err(Trouble::Failed(error)) => Self::Done(Err(error)),
        }
    }
}

/// [`Step`], before the caller has been told.
pub(super) enum Progress<T> {
    Done(Result<T, super::PoolError>),
    More,
    NoRoom,
}
