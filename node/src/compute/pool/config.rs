//! What a pool is told, what it is given to do, what it answers.

use std::{num::NonZeroUsize, path::PathBuf, sync::Arc, time::Duration};

use weft_protocol::Id;

use crate::compute::{Evaluation, Reads, SnapshotError, module::LoadError};

/// Limits of a [`super::Pool`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolConfig {
    /// Threads that evaluate.
    pub threads: NonZeroUsize,
    /// Most tasks that wait, of all processes.
    pub max_waiting: usize,
    /// Most tasks that wait for one process.
    pub max_waiting_per_process: usize,
    /// Most jobs of one [`super::Pool::run`].
    pub max_jobs: usize,
    /// Most live processes. What the operating system can map may be less, and is then the bound.
    pub max_live: usize,
    /// Most bytes of live processes: what they have in memory, with the copies kept of them. One process alone may have more.
    pub max_live_bytes: usize,
    /// Bytes of memory that stay free on the machine: with less, no more processes become live than leave. 0: nobody looks.
    pub spare_bytes: u64,
    /// Where processes go that are not needed now. Without it they are forgotten, and their logs replayed.
    pub parking: Option<ParkingConfig>,
    /// A live process that nobody asked for this long is parked.
    pub idle_after: Duration,
    /// Time after which a process with more to do lets others go first. A message is never interrupted.
    pub quantum: Duration,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            max_waiting: 4096,
            max_waiting_per_process: 64,
            max_jobs: 1024,
            max_live: 1 << 20,
            max_live_bytes: 2 << 30,
            spare_bytes: 0,
            parking: None,
            idle_after: Duration::from_secs(300),
            quantum: Duration::from_millis(50),
        }
    }
}

/// Where and how processes are parked on disk.
#[derive(Clone, PartialEq, Eq)]
pub struct ParkingConfig {
    /// The folder; created if missing. It belongs to the pool alone, and holds nothing that cannot be made again.
    pub folder: PathBuf,
    /// What the files are authenticated with: a key that only this node has, another one for another engine profile.
    pub key: [u8; 32],
    /// Most bytes of all files; beyond, those used longest ago are deleted.
    pub max_bytes: u64,
}

impl std::fmt::Debug for ParkingConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { folder, max_bytes, .. } = self;
        f.debug_struct("ParkingConfig").field("folder", folder).field("max_bytes", max_bytes).finish_non_exhaustive()
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
    /// The pool was closed, or its threads or its folder cannot be used.
    #[error("the evaluation pool is not running{0}")]
    Closed(String),
}

/// What a pool holds at the moment, and did since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Tasks waiting.
    pub waiting: usize,
    /// Processes being worked on.
    pub running: usize,
    /// Live processes, those being evaluated included.
    pub live: usize,
    /// Bytes of live processes, with the copies kept of them.
    pub live_bytes: usize,
    /// The bound of `live_bytes`; lower than configured after the operating system refused memory.
    pub max_live_bytes: usize,
    /// Processes on disk that are not live.
    pub parked: usize,
    /// Bytes on disk.
    pub parked_bytes: u64,
    /// Times that a process was put on disk.
    pub parkings: u64,
    /// Times that a process was read from disk.
    pub revivals: u64,
    /// Processes forgotten because neither memory nor disk had room: their logs are replayed when they are asked.
    pub evicted: u64,
}
