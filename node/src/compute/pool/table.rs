//! Who waits, who runs, who is live: the pool's bookkeeping, without threads.

use std::collections::{HashMap, VecDeque};

use weft_protocol::Id;

use super::{PoolConfig, PoolStats, seat::Seat};

/// Works on a process. What it returns is called when the process is back in the table, so that whoever is told of the
/// result finds the table up to date.
pub(super) type Task = Box<dyn FnOnce(&mut Seat) -> Reply + Send>;
pub(super) type Reply = Box<dyn FnOnce() + Send>;

/// Why a task is not accepted.
pub(super) enum Refused {
    PoolFull,
    ProcessFull,
    Closed,
}

#[derive(Default)]
pub(super) struct Table {
    processes: HashMap<Id, Entry>,
    /// Processes with tasks and nobody working on them, each once.
    ready: VecDeque<Id>,
    waiting: usize,
    /// Counts uses, to tell which process was used longest ago.
    clock: u64,
    pub(super) closed: bool,
}

struct Entry {
    /// `None` while a thread works on it.
    seat: Option<Seat>,
    queue: VecDeque<Task>,
    next_slot: Option<u64>,
    used: u64,
    /// It is about to be parked.
    leaving: bool,
}

impl Table {
    pub(super) fn push(&mut self, process: Id, task: Task, config: &PoolConfig) -> Result<(), Refused> {
        if self.closed {
            return Err(Refused::Closed);
        }
        if self.waiting >= config.max_waiting {
            return Err(Refused::PoolFull);
        }
        let entry = self.processes.entry(process).or_insert_with(|| Entry {
            seat: Some(Seat::default()),
            queue: VecDeque::new(),
            next_slot: None,
            used: 0,
            leaving: false,
        });
        if entry.queue.len() >= config.max_waiting_per_process {
            return Err(Refused::ProcessFull);
        }
        if entry.seat.is_some() && entry.queue.is_empty() {
            self.ready.push_back(process);
        }
        entry.queue.push_back(task);
        self.waiting += 1;
        Ok(())
    }

    /// The next task and what it works on.
    pub(super) fn take(&mut self) -> Option<(Id, Task, Seat)> {
        let process = self.ready.pop_front()?;
        let entry = self.processes.get_mut(&process)?;
        let task = entry.queue.pop_front()?;
        self.waiting = self.waiting.saturating_sub(1);
        Some((process, task, entry.seat.take().unwrap_or_default()))
    }

    /// Ends a task and makes room. Whether there is more to do.
    pub(super) fn put_back(&mut self, process: Id, seat: Seat, config: &PoolConfig) -> bool {
        self.clock += 1;
        if let Some(entry) = self.processes.get_mut(&process) {
            entry.next_slot = seat.next_slot();
            entry.leaving = false;
            let parked = seat.parked_bytes() > 0;
            if !parked {
                entry.used = self.clock;
            }
            if seat.is_empty() && entry.queue.is_empty() {
                self.processes.remove(&process);
            } else {
                entry.seat = Some(seat);
                if !entry.queue.is_empty() {
                    self.ready.push_back(process);
                }
            }
        }
        self.forget(config);
        self.park(config);
        !self.ready.is_empty()
    }

    /// Schedules the parking of live processes beyond the limits, those used longest ago first.
    fn park(&mut self, config: &PoolConfig) {
        loop {
            let staying = || self.processes.values().filter(|entry| !entry.leaving);
            let weights = staying().filter_map(|entry| entry.seat.as_ref()).map(Seat::live_bytes);
            let (count, bytes) = weights
                .filter(|bytes| *bytes > 0)
                .fold((0, 0_usize), |(count, sum), bytes| (count + 1, sum.saturating_add(bytes)));
            // One process may be larger than the limit: it stays as long as it is alone.
            if count <= config.max_live.max(1) && (bytes <= config.max_live_bytes || count <= 1) {
                return;
            }
            let idle = |entry: &Entry| {
                !entry.leaving
                    && entry.queue.is_empty()
                    && entry.seat.as_ref().is_some_and(|seat| seat.live_bytes() > 0)
            };
            let oldest = self.processes.iter_mut().filter(|(_, entry)| idle(entry)).min_by_key(|(_, entry)| entry.used);
            let Some((process, entry)) = oldest else {
                return;
            };
            entry.leaving = true;
            entry.queue.push_back(Box::new(|seat| {
                seat.park();
                Box::new(|| {})
            }));
            self.ready.push_back(*process);
            self.waiting += 1;
        }
    }

    /// Forgets parked processes beyond the limit, those used longest ago first.
    fn forget(&mut self, config: &PoolConfig) {
        while self.stats().parked_bytes > config.max_parked_bytes {
            let parked = |entry: &Entry| {
                entry.queue.is_empty() && entry.seat.as_ref().is_some_and(|seat| seat.parked_bytes() > 0)
            };
            let oldest = self.processes.iter().filter(|(_, entry)| parked(entry)).min_by_key(|(_, entry)| entry.used);
            let Some(process) = oldest.map(|(process, _)| *process) else {
                return;
            };
            self.processes.remove(&process);
        }
    }

    pub(super) fn next_slot(&self, process: Id) -> Option<u64> {
        self.processes.get(&process).and_then(|entry| entry.next_slot)
    }

    pub(super) fn stats(&self) -> PoolStats {
        let mut stats = PoolStats { waiting: self.waiting, ..PoolStats::default() };
        for entry in self.processes.values() {
            let Some(seat) = &entry.seat else {
                stats.running += 1;
                continue;
            };
            let (live, parked) = (seat.live_bytes(), seat.parked_bytes());
            stats.live += usize::from(live > 0);
            stats.live_bytes = stats.live_bytes.saturating_add(live);
            stats.parked += usize::from(parked > 0);
            stats.parked_bytes = stats.parked_bytes.saturating_add(parked);
        }
        stats
    }

    /// Ends all waiting tasks: their callers are told.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.ready.clear();
        self.processes.clear();
        self.waiting = 0;
    }
}
