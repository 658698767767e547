//! Evaluation of many processes on a bounded number of operating-system threads.
//!
//! Where it sits: between the compute service (async, on the network's runtime) and instances (blocking, seconds long).
//! Different processes run in parallel, one process one message at a time. Processes stay live between messages as long
//! as there is room and they are used; then they are parked on disk (`pool/parking.rs`), from where they go on in
//! milliseconds, also after a restart; then they are forgotten: the service replays the log.
//!
//! Who goes first is the process that has had the least time (`pool/table.rs`); one with much to do lets others go after a
//! quantum. Everything is bounded: waiting tasks (in all and per process), jobs of a task, live processes by number, bytes and
//! address space (`pool/table/room.rs`), bytes on disk. Over the bound processes are parked; when none can be, tasks wait,
//! and when too many wait, the next is told to come back. A task that panics costs its process the live state and its
//! caller an error, not the pool a thread.

mod config;
mod machine;
mod parking;
mod seat;
mod table;
mod worker;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::oneshot;
use weft_protocol::Id;

use super::{EVALUATION_STACK, Evaluation, Module, Snapshot};
pub use config::{Job, ParkingConfig, PoolConfig, PoolError, PoolStats};
pub use machine::{available_memory, total_memory};
use parking::Parking;
use seat::{Run, Seat, Trouble, Turn};
use table::{Phase, Progress, Refused, Room, Step, Table};

/// Handle of a pool. Clones share it; when the last one is dropped, the threads end after their present message.
#[derive(Clone)]
pub struct Pool {
    owner: Arc<Owner>,
}

struct Owner {
    shared: Arc<Shared>,
}

struct Shared {
    config: PoolConfig,
    parking: Option<Parking>,
    table: Mutex<Table>,
    wake: Condvar,
    /// Threads that have not ended; a sender goes with each.
    threads: tokio::sync::watch::Sender<usize>,
}

impl Pool {
    /// A pool with its threads started. Blocks while it looks at what is parked on disk: some milliseconds for 1,000 processes.
    ///
    /// # Errors
    /// The operating system refuses a thread, or the folder of parked processes cannot be used.
    pub fn new(config: PoolConfig) -> Result<Self, PoolError> {
        let threads = config.threads.get();
        let (parking, filed) = match config.parking.clone().map(|parking| (parking.folder.clone(), parking)) {
            Some((folder, parking)) => Parking::open(parking)
                .map(|(parking, filed)| (Some(parking), filed))
                .map_err(|error| PoolError::Closed(format!(": {}: {error}", folder.display())))?,
            None => (None, Vec::new()),
        };
        let table = Mutex::new(Table::new(Room::new(&config), filed));
        let (alive, _) = tokio::sync::watch::channel(threads);
        let shared = Arc::new(Shared { config, parking, table, wake: Condvar::new(), threads: alive });
        let pool = Self { owner: Arc::new(Owner { shared: Arc::clone(&shared) }) };
        for index in 0..threads {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new()
                .name(format!("weft-eval-{index}"))
                .stack_size(EVALUATION_STACK)
                .spawn(move || worker::work(&shared))
                .map_err(|error| PoolError::Closed(format!(": {error}")))?;
        }
        Ok(pool)
    }

    /// Evaluates `jobs` in order and gives their evaluations. The process must stand at the first one's slot; a process
    /// that is not loaded stands at 0 and is started with `module`. Failed messages use up their slot as well.
    ///
    /// # Errors
    /// See [`PoolError`]. Whatever it is, the state stands after the last job that was evaluated; ask [`Pool::state`].
    pub async fn run(&self, process: Id, module: &Module, jobs: Vec<Job>) -> Result<Vec<Evaluation>, PoolError> {
        let slots = jobs.iter().map(|job| job.slot);
        let dense = slots.clone().zip(slots.skip(1)).all(|(slot, next)| slot.checked_add(1) == Some(next));
        if !dense {
            return Err(PoolError::BadJobs("the jobs' slots are not consecutive"));
        }
        if jobs.len() > self.owner.shared.config.max_jobs {
            return Err(PoolError::BadJobs("too many jobs at once"));
        }
        let mut run = Run { module: module.clone(), done: Vec::with_capacity(jobs.len()), jobs: jobs.into_iter() };
        self.submit(process, move |seat, turn| seat.run(&mut run, turn)).await
    }

    /// Evaluates a message on a copy of the process; nothing remains of it.
    ///
    /// # Errors
    /// The process is not loaded, or the queue is full.
    pub async fn dry_run(&self, process: Id, msg_json: String, env_json: Arc<str>) -> Result<Evaluation, PoolError> {
        self.submit(process, move |seat, turn| seat.dry_run(&msg_json, &env_json, turn).map(Some)).await
    }

    /// The state root of the process and the slot that it would evaluate next.
    ///
    /// # Errors
    /// The process is not loaded, or the queue is full.
    pub async fn root(&self, process: Id) -> Result<(u64, Id), PoolError> {
        self.submit(process, |seat, turn| seat.root(turn).map(Some)).await
    }

    /// The state of the process and the slot that it would evaluate next.
    ///
    /// # Errors
    /// The process is not loaded, or the queue is full.
    pub async fn snapshot(&self, process: Id) -> Result<(u64, Snapshot), PoolError> {
        self.submit(process, |seat, turn| seat.snapshot(turn).map(Some)).await
    }

    /// Puts the process in the state of `snapshot`, to evaluate `next_slot` next. What was loaded before is replaced.
    ///
    /// # Errors
    /// The snapshot is damaged or of another module, or the queue is full.
    pub async fn restore(
        &self,
        process: Id,
        module: &Module,
        snapshot: Snapshot,
        next_slot: u64,
    ) -> Result<(), PoolError> {
        let module = module.clone();
        self.submit(process, move |seat, turn| seat.restore(&module, &snapshot, next_slot, turn).map(Some)).await
    }

    /// Forgets the process's state, also on disk, after the tasks that wait for it.
    ///
    /// # Errors
    /// The queue is full.
    pub async fn drop_process(&self, process: Id) -> Result<(), PoolError> {
        self.submit(process, |seat, turn| {
            seat.forget(turn);
            Ok(Some(()))
        })
        .await
    }

    /// As [`Pool::state`], for somebody who has the process's module at hand: a process that was parked before a restart
    /// can then be asked for its root, a snapshot or a dry run without naming it again.
    pub fn state_with(&self, process: Id, module: &Module) -> Option<u64> {
        let mut table = self.owner.shared.lock();
        table.know(process, module);
        table.next_slot(process)
    }

    /// The slot that the process would evaluate next, as of its last finished task, live or on disk; `None` when it is
    /// neither. What is on disk may turn out to be damaged: the process then stands at 0.
    pub fn state(&self, process: Id) -> Option<u64> {
        self.owner.shared.lock().next_slot(process)
    }

    /// What the pool holds at the moment.
    pub fn stats(&self) -> PoolStats {
        self.owner.shared.lock().stats()
    }

    /// Takes no more tasks, puts what is live on disk, and ends: so that nothing is replayed after a restart. After `within`
    /// what is not on disk yet is forgotten. Tasks that wait are told that the pool is closed.
    pub async fn shut_down(&self, within: Duration) {
        let shared = &self.owner.shared;
        shared.lock().close(if shared.parking.is_some() { Phase::Parking } else { Phase::Closed });
        shared.wake.notify_all();
        let mut alive = shared.threads.subscribe();
        let ended = alive.wait_for(|threads| *threads == 0);
        if tokio::time::timeout(within, ended).await.is_err() {
            let left = self.stats().live;
            tracing::warn!(left, "there was no time to park all processes; the logs of those left will be replayed");
        }
        shared.lock().close(Phase::Closed);
        shared.wake.notify_all();
    }

    /// Has `work` done on a process, turn by turn: it gives `Ok(None)` for as long as there is more to do.
    async fn submit<T: Send + 'static>(
        &self,
        process: Id,
        mut work: impl FnMut(&mut Seat, &Turn<'_>) -> Result<Option<T>, Trouble> + Send + 'static,
    ) -> Result<T, PoolError> {
        let (reply, result) = oneshot::channel();
        let mut reply = Some(reply);
        let task = Box::new(move |seat: &mut Seat, turn: &Turn<'_>| -> Step {
            // Nobody waits any more: what the task would do is asked for again when it is needed.
            if reply.as_ref().is_none_or(oneshot::Sender::is_closed) {
                return Step::Done(Box::new(|| {}));
            }
            let done = catch_unwind(AssertUnwindSafe(|| work(seat, turn))).unwrap_or_else(|_| {
                tracing::error!(%process, "evaluation panicked; the process's live state is dropped");
                seat.drop_live();
                Err(Trouble::Failed(PoolError::Panicked))
            });
            match Progress::from(done) {
                Progress::More => Step::More,
                Progress::NoRoom => Step::NoRoom,
                Progress::Done(result) => {
                    let reply = reply.take();
                    Step::Done(Box::new(move || {
                        if let Some(reply) = reply {
                            let _ = reply.send(result);
                        }
                    }))
                }
            }
        });
        let shared = &self.owner.shared;
        let pushed = shared.lock().push(process, task, &shared.config);
        match pushed {
            Ok(()) => shared.wake.notify_one(),
            Err(Refused::PoolFull) => return Err(PoolError::Busy("the node's")),
            Err(Refused::ProcessFull) => return Err(PoolError::Busy("the process's")),
            Err(Refused::Closed) => return Err(PoolError::Closed(String::new())),
        }
        // A task is only ever dropped when the pool is closed.
        result.await.unwrap_or_else(|_| Err(PoolError::Closed(String::new())))
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("stats", &self.stats()).finish()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.lock().close(Phase::Closed);
        self.shared.wake.notify_all();
    }
}

impl Shared {
    /// The table is consistent between its methods, so a panic elsewhere while it was locked does not matter.
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A thread has ended.
    fn ended(&self) {
        self.threads.send_modify(|threads| *threads = threads.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests;
