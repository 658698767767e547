//! Two compilers: one whose code is there at once, and one whose code is fast.
//!
//! Where it sits: used by [`super::Engine`] when a module is loaded. A module that is not in the cache is compiled by the
//! baseline compiler (Winch, a tenth of the time), used, and compiled by the optimising one (Cranelift) in the background, on
//! one thread of low priority; then [`super::Module`] hands out the faster code, and live instances move over when they take
//! their next checkpoint. The cache keeps what the optimising compiler made, only.
//!
//! What an outcome depends on (fuel, the bits of a NaN, how deep calls go) is in the module's bytecode (`rewrite/`), so the
//! two give the same outcomes, fuel and state roots; `compute/conformance` compares them at each start. What only one of
//! them takes must not make nodes differ in which modules they run, so the optimising compiler alone decides what is
//! refused: modules with vector instructions or very large functions ([`MAX_BASELINE_FUNCTION`]) go to it directly, and
//! so does everything that Winch refuses, with whatever error.
//!
//! Is Winch fit for modules from anywhere? wasmtime's list of tiers of support has it in the first tier (on x86-64), as
//! Cranelift: fuzzed continuously, security faults handled as such. Its record is shorter and worse: CVE-2026-34987 let a
//! module reach memory outside of its own (fixed in 43.0.1; this is 48). So it is used on x86-64 only, without vector
//! instructions, and a node's owner can do without it (`baseline = false` under `[compute]` in `node.toml`), which costs
//! some seconds at the first message of each new module.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

use wasmtime::{InstancePre, Strategy};
use weft_protocol::Id;

use super::{
    cache::Cache,
    config::{Compilers, EngineConfig},
    engine::{EngineError, bind, settings},
    host::Host,
    module::{LoadError, ModuleFormat, Replaceable},
};

/// How good a module's code is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// Made at once by the baseline compiler.
    Baseline,
    /// Made by the optimising compiler.
    Optimised,
}

/// Bytes of the largest function of a module that the baseline compiler gets. Far below what the optimising compiler could
/// refuse for its size.
const MAX_BASELINE_FUNCTION: usize = 256 << 10;
/// Most modules that wait for the optimising compiler. Beyond, a module stays as it is until it is loaded again.
const MAX_WAITING: usize = 256;
/// Most bytes of their binaries.
const MAX_WAITING_BYTES: usize = 256 << 20;
/// Priority of the thread that compiles in the background, as `nice` counts.
const NICE: i32 = 19;

pub(super) struct Tiers {
    optimised: Arc<Optimised>,
    /// The engine of the baseline compiler, if it is used.
    baseline: Option<wasmtime::Engine>,
    /// `None`: modules stay with the code that they began with.
    background: Option<Background>,
}

struct Optimised {
    engine: wasmtime::Engine,
    /// The same settings, but compiles on the caller's thread alone.
    single: wasmtime::Engine,
    cache: Cache,
}

impl Tiers {
    pub(super) fn new(config: &EngineConfig) -> Result<Self, EngineError> {
        let engine = make(&settings())?;
        let single = make(settings().parallel_compilation(false))?;
        let cache = Cache::open(&config.cache_dir, config.max_cache_bytes, &engine, Tier::Optimised)
            .map_err(|source| EngineError::Cache { path: config.cache_dir.display().to_string(), source })?;
        let optimised = Arc::new(Optimised { engine, single, cache });
        let baseline = match config.compilers {
            Compilers::Optimising => None,
            // Elsewhere it does not exist or is not in the first tier of support.
            _ if cfg!(not(target_arch = "x86_64")) => None,
            Compilers::BaselineFirst | Compilers::BaselineOnly => Some(make(&baseline_settings())?),
        };
        let background = match (&baseline, config.compilers) {
            (Some(_), Compilers::BaselineFirst) => Some(Background::start(Arc::clone(&optimised))?),
            _ => None,
        };
        Ok(Self { optimised, baseline, background })
    }

    /// The translated module `wasm` with SHA-256 `id`, as the best code that can be had at once.
    pub(super) fn load(&self, id: Id, wasm: &[u8]) -> Result<(Tier, wasmtime::Module), LoadError> {
        let optimised = &self.optimised;
        // Who wants the baseline compiler's code only wants it for comparing.
        let only_baseline = self.baseline.is_some() && self.background.is_none();
        if let Some(module) = (!only_baseline).then(|| optimised.cache.find(&optimised.engine, id)).flatten() {
            return Ok((Tier::Optimised, module));
        }
        if let Some(module) = self.baseline.as_ref().and_then(|engine| baseline(engine, wasm)) {
            return Ok((Tier::Baseline, module));
        }
        let module = optimised.compile(&optimised.engine, id, wasm)?;
        Ok((Tier::Optimised, module))
    }

    /// Has `module` compiled by the optimising compiler, some time.
    pub(super) fn improve(&self, id: Id, wasm: Vec<u8>, format: ModuleFormat, module: Replaceable) {
        if let Some(background) = &self.background {
            background.add(Waiting { id, wasm, format, module });
        }
    }
}

impl Optimised {
    fn compile(&self, compiler: &wasmtime::Engine, id: Id, wasm: &[u8]) -> Result<wasmtime::Module, LoadError> {
        let artefact = compiler.precompile_module(wasm).map_err(|error| LoadError::NotWasm(format!("{error:#}")))?;
        self.cache.keep(id, &artefact);
        if let Some(mapped) = self.cache.find(&self.engine, id) {
            return Ok(mapped);
        }
        // SAFETY: these are the bytes that the compiler of the same version and settings has just returned.
        unsafe { wasmtime::Module::deserialize(&self.engine, artefact) }
            .map_err(|error| LoadError::Node(format!("{error:#}")))
    }

    fn improve(&self, waiting: &Waiting) -> Result<InstancePre<Host>, LoadError> {
        let compiled = match self.cache.find(&self.engine, waiting.id) {
            Some(compiled) => compiled,
            None => self.compile(&self.single, waiting.id, &waiting.wasm)?,
        };
        bind(&compiled, waiting.format)
    }
}

fn make(config: &wasmtime::Config) -> Result<wasmtime::Engine, EngineError> {
    wasmtime::Engine::new(config).map_err(|error| EngineError::Unavailable(format!("{error:#}")))
}

/// The same profile for the baseline compiler, which lacks what the optimising one has beside it.
fn baseline_settings() -> wasmtime::Config {
    let mut config = settings();
    config.strategy(Strategy::Winch).wasm_simd(false);
    config
}

/// What the baseline compiler makes of a module, if it is one for it.
fn baseline(engine: &wasmtime::Engine, wasm: &[u8]) -> Option<wasmtime::Module> {
    if largest_function(wasm)? > MAX_BASELINE_FUNCTION {
        return None;
    }
    // A panic of this compiler is a refusal like any other: the optimising one decides.
    let compiled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| wasmtime::Module::new(engine, wasm)));
    compiled
        .ok()?
        .inspect_err(|error| tracing::debug!(error = %format!("{error:#}"), "not for the baseline compiler"))
        .ok()
}

fn largest_function(wasm: &[u8]) -> Option<usize> {
    let mut largest = 0;
    for payload in wasmparser::Parser::new(0).parse_all(wasm) {
        if let wasmparser::Payload::CodeSectionEntry(body) = payload.ok()? {
            largest = body.range().len().max(largest);
        }
    }
    Some(largest)
}

/// A module that waits for the optimising compiler.
struct Waiting {
    id: Id,
    wasm: Vec<u8>,
    format: ModuleFormat,
    module: Replaceable,
}

/// The thread that compiles in the background. It ends when this is dropped, after what it is at.
struct Background {
    queue: SyncSender<Waiting>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    stopping: AtomicBool,
    waiting_bytes: AtomicUsize,
}

impl Background {
    fn start(optimised: Arc<Optimised>) -> Result<Self, EngineError> {
        let (queue, waiting) = sync_channel(MAX_WAITING);
        let shared = Arc::new(Shared::default());
        let seen = Arc::clone(&shared);
        thread::Builder::new()
            .name("weft-compile".to_owned())
            .stack_size(COMPILER_STACK)
            .spawn(move || work(&optimised, &waiting, &seen))
            .map_err(|error| EngineError::Unavailable(format!("no thread to compile on: {error}")))?;
        Ok(Self { queue, shared })
    }

    fn add(&self, waiting: Waiting) {
        let (id, bytes) = (waiting.id, waiting.wasm.len());
        let before = self.shared.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        let full = before.saturating_add(bytes) > MAX_WAITING_BYTES && before > 0;
        if full || self.queue.try_send(waiting).is_err() {
            self.shared.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            tracing::info!(module = %id, "too many modules wait for the optimising compiler; this one runs as it is until it is loaded again");
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
    }
}

/// Stack of the thread that compiles, in bytes: what the operating system gives a program's first thread.
const COMPILER_STACK: usize = 8 << 20;

fn work(optimised: &Optimised, queue: &Receiver<Waiting>, shared: &Shared) {
    // On Linux this is the thread's own priority. Without it, compiling takes its share beside evaluation.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(None, NICE);
    while let Ok(waiting) = queue.recv() {
        if shared.stopping.load(Ordering::Relaxed) {
            return;
        }
        if waiting.module.is_used() {
            // A module must not take the thread with it: the others still want to be compiled.
            let improved = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| optimised.improve(&waiting)));
            match improved {
                Ok(Ok(pre)) => waiting.module.replace(pre),
                Ok(Err(error)) => {
                    tracing::warn!(module = %waiting.id, %error, "module not optimised; it runs as it is")
                }
                Err(_) => {
                    tracing::error!(module = %waiting.id, "the optimising compiler panicked; the module runs as it is")
                }
            }
        }
        shared.waiting_bytes.fetch_sub(waiting.wasm.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
