//! Evaluation of many processes on a bounded number of operating-system threads.
//!
//! Where it sits: between the compute service (async, on the network's runtime) and instances (blocking, seconds long).
//! Different processes run in parallel, one process one message at a time. Processes stay live between messages as long
//! as there is room, then they are parked as compressed snapshots, then they are forgotten: the service replays the log.
//!
//! Everything is bounded: waiting tasks (in all and per process), jobs of a task, live and parked processes. A task
//! that panics costs its process the live state and its caller an error, not the pool a thread.

mod seat;
mod table;

use std::{
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;
use weft_protocol::Id;

use super::{EVALUATION_STACK, Evaluation, Module, Reads, Snapshot, SnapshotError, module::LoadError};
use seat::Seat;
use table::{Refused, Reply, Table};

/// Limits of a [`Pool`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolConfig {
    /// Threads that evaluate.
    pub threads: NonZeroUsize,
    /// Most tasks that wait, of all processes.
    pub max_waiting: usize,
    /// Most tasks that wait for one process.
    pub max_waiting_per_process: usize,
    /// Most jobs of one [`Pool::run`].
    pub max_jobs: usize,
    /// Most live processes.
    pub max_live: usize,
    /// Most bytes of live processes, about.
    pub max_live_bytes: usize,
    /// Most bytes of parked processes; beyond, the one that was used longest ago is forgotten.
    pub max_parked_bytes: usize,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            max_waiting: 1024,
            max_waiting_per_process: 64,
            max_jobs: 1024,
            max_live: 256,
            max_live_bytes: 2 << 30,
            max_parked_bytes: 512 << 20,
        }
    }
}

/// One message to evaluate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The message's slot. Slots of a process begin at 0 and are dense.
    pub slot: u64,
    /// The message object as JSON text, byte for byte what every node gives to the module.
    pub msg_json: String,
    /// The environment object (`Process`, `Module`) as JSON text.
    pub env_json: Arc<str>,
    /// What the module may read during this slot.
    pub reads: Arc<Reads>,
    /// Whether the state root is wanted after it, whatever comes of it ([`Evaluation::root`]).
    pub root: bool,
}

/// Why the pool did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PoolError {
    /// Too much waits; try again later or ask another node.
    #[error("this node's evaluation queue is full ({0}); try again later")]
    Busy(&'static str),
    /// The process stands at another slot: evaluate from there, or restore a snapshot.
    #[error("the process stands at slot {at}, not at {wanted}")]
    WrongState {
        /// The slot that the process would evaluate next (0 when it is not loaded).
        at: u64,
        /// The slot that was asked for.
        wanted: u64,
    },
    /// The jobs' slots are not consecutive, or there are too many jobs.
    #[error("{0}")]
    BadJobs(&'static str),
    /// The process is not loaded.
    #[error("the process is not loaded here; evaluate its log or restore a snapshot first")]
    NotLoaded,
    /// The process was loaded with another module.
    #[error("the process runs module {loaded}, not {asked}")]
    OtherModule {
        /// The module that it runs.
        loaded: Id,
        /// The module of the request.
        asked: Id,
    },
    /// The module does not start.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The snapshot cannot be made or restored.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// This node failed while it evaluated `slot`; that message has no outcome. Those before it have.
    #[error("this node failed at slot {slot}: {message}")]
    NodeFault {
        /// The slot without outcome.
        slot: u64,
        /// What happened.
        message: String,
        /// The evaluations of the jobs before it.
        done: Vec<Evaluation>,
    },
    /// The task panicked; the process's live state is gone.
    #[error("evaluation failed inside this node; the process has to be loaded again")]
    Panicked,
    /// The pool was closed, or its threads cannot be started.
    #[error("the evaluation pool is not running{0}")]
    Closed(String),
}

/// What a pool holds at the moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Tasks waiting.
    pub waiting: usize,
    /// Processes being evaluated.
    pub running: usize,
    /// Live processes (without those being evaluated).
    pub live: usize,
    /// Bytes of live processes, about.
    pub live_bytes: usize,
    /// Parked processes.
    pub parked: usize,
    /// Bytes of parked processes.
    pub parked_bytes: usize,
}

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
    table: Mutex<Table>,
    wake: Condvar,
}

impl Pool {
    /// A pool with its threads started.
    ///
    /// # Errors
    /// The operating system refuses a thread.
    pub fn new(config: PoolConfig) -> Result<Self, PoolError> {
        let threads = config.threads.get();
        let shared = Arc::new(Shared { config, table: Mutex::default(), wake: Condvar::new() });
        let pool = Self { owner: Arc::new(Owner { shared: Arc::clone(&shared) }) };
        for index in 0..threads {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new()
                .name(format!("weft-eval-{index}"))
                .stack_size(EVALUATION_STACK)
                .spawn(move || work(&shared))
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
        let module = module.clone();
        self.submit(process, move |seat| seat.run(&module, &jobs)).await
    }

    /// Evaluates a message on a copy of the process; nothing remains of it.
    ///
    /// # Errors
    /// The process is not loaded, or the queue is full.
    pub async fn dry_run(&self, process: Id, msg_json: String, env_json: Arc<str>) -> Result<Evaluation, PoolError> {
        self.submit(process, move |seat| seat.dry_run(&msg_json, &env_json)).await
    }

    /// The state root of the process and the slot that it would evaluate next.
    ///
    /// # Errors
    /// The process is not loaded, or the queue is full.
    pub async fn root(&self, process: Id) -> Result<(u64, Id), PoolError> {
        self.submit(process, Seat::root).await
    }

    /// The state of the process and the slot that it would evaluate next.
    ///
    /// # Errors
    /// The process is not loaded, or the queue is full.
    pub async fn snapshot(&self, process: Id) -> Result<(u64, Snapshot), PoolError> {
        self.submit(process, Seat::snapshot).await
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
        self.submit(process, move |seat| seat.restore(&module, &snapshot, next_slot)).await
    }

    /// Forgets the process's state, after the tasks that wait for it.
    ///
    /// # Errors
    /// The queue is full.
    pub async fn drop_process(&self, process: Id) -> Result<(), PoolError> {
        self.submit(process, |seat| {
            *seat = Seat::default();
            Ok(())
        })
        .await
    }

    /// The slot that the process would evaluate next, as of its last finished task; `None` when it is not loaded.
    pub fn state(&self, process: Id) -> Option<u64> {
        self.owner.shared.lock().next_slot(process)
    }

    /// What the pool holds at the moment.
    pub fn stats(&self) -> PoolStats {
        self.owner.shared.lock().stats()
    }

    async fn submit<T: Send + 'static>(
        &self,
        process: Id,
        work: impl FnOnce(&mut Seat) -> Result<T, PoolError> + Send + 'static,
    ) -> Result<T, PoolError> {
        let (reply, result) = oneshot::channel();
        let task = Box::new(move |seat: &mut Seat| -> Reply {
            // Nobody waits any more: what the task would do is asked for again when it is needed.
            if reply.is_closed() {
                return Box::new(|| {});
            }
            let result = catch_unwind(AssertUnwindSafe(|| work(seat))).unwrap_or_else(|_| {
                tracing::error!(%process, "evaluation panicked; the process's live state is dropped");
                *seat = Seat::default();
                Err(PoolError::Panicked)
            });
            Box::new(move || {
                let _ = reply.send(result);
            })
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
        self.shared.lock().close();
        self.shared.wake.notify_all();
    }
}

impl Shared {
    /// The table is consistent between its methods, so a panic elsewhere while it was locked does not matter.
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One thread of the pool.
fn work(shared: &Shared) {
    let mut table = shared.lock();
    loop {
        if table.closed {
            return;
        }
        let Some((process, task, mut seat)) = table.take() else {
            table = shared.wake.wait(table).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        drop(table);
        let reply = catch_unwind(AssertUnwindSafe(|| task(&mut seat))).unwrap_or_else(|_| {
            tracing::error!(%process, "parking panicked; the process's live state is dropped");
            seat = Seat::default();
            Box::new(|| {})
        });
        let more = shared.lock().put_back(process, seat, &shared.config);
        if more {
            shared.wake.notify_all();
        }
        reply();
        table = shared.lock();
    }
}

#[cfg(test)]
mod tests;
