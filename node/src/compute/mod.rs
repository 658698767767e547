//! Compute: runs AO modules as deterministic WebAssembly and keeps processes alive between messages.
//!
//! Where it sits: the only part of Weft that names wasmtime. [`Engine`] compiles modules (with a cache on disk),
//! [`Instance`] is one process's live memory with rollback of failed messages, [`Pool`] evaluates many processes on
//! a bounded number of operating-system threads, away from the network's tasks.
//!
//! What makes two nodes agree on a result is in [`EngineProfile`]: engine and version, what fuel is paid for, limits and the
//! host environment that a module sees (constant clock, UTC, no environment, no files but those that the log fixed for the
//! message). A process's state is its linear memory and its mutable globals; modules that could keep state elsewhere are
//! refused when they are loaded, and what a module does by other means (exceptions, recursion) is translated into these. Fuel
//! and the bits of NaNs are in the translated module too, so they are the same whatever compiles it.

mod abi;
mod cache;
mod config;
pub mod conformance;
mod engine;
mod evaluation;
mod host;
mod instance;
mod live;
pub mod measure;
mod memory;
mod module;
mod pool;
mod prepare;
mod reads;
mod rewrite;
mod root;
pub mod service;
mod tiers;

pub use config::{Compilers, EngineConfig, EngineProfile};
pub use engine::{Engine, EngineError};
pub use evaluation::{EvalError, EvalErrorKind, Evaluation};
pub use instance::{Instance, InstanceError, ReplayPolicy};
pub use memory::{
    parked::Parked,
    snapshot::{Snapshot, SnapshotError},
};
pub use module::{LoadError, Module, ModuleFormat, UnknownFormat};
pub use pool::{Job, ParkingConfig, Pool, PoolConfig, PoolError, PoolStats, available_memory, total_memory};
pub use reads::Reads;
pub use tiers::Tier;
pub use weft_protocol::limits::Limits;

/// Stack, in bytes, of a thread that evaluates messages. What a module may use of it is fixed by the profile and far less; the
/// operating system gives a thread only what it touches.
pub const EVALUATION_STACK: usize = config::MAX_WASM_STACK + (16 << 20);

/// Runs `work` on a thread with [`EVALUATION_STACK`] and waits for it. [`Pool`] has such threads of its own; this is for
/// tools and tests that drive an [`Instance`] directly.
///
/// # Errors
/// The thread could not be started. A panic of `work` is passed on.
pub fn on_evaluation_stack<T: Send>(work: impl FnOnce() -> T + Send) -> std::io::Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("weft-eval".to_owned())
            .stack_size(EVALUATION_STACK)
            .spawn_scoped(scope, work)?;
        match thread.join() {
            Ok(value) => Ok(value),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
