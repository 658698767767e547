//! The engine: one deterministic wasmtime configuration, and the way from a module's bytes to a [`Module`].
//!
//! Where it sits: one per node, shared by the pool and the service. Cheap to clone.

use std::sync::Arc;

use wasmtime::{ExternType, InstancePre, OptLevel};
use weft_protocol::Id;

use super::{
    abi,
    config::{EngineConfig, EngineProfile, MAX_WASM_STACK, MEMORY_CEILING},
    host::{self, Host},
    live::Live,
    module::{LoadError, Module, ModuleFormat},
    prepare::prepare,
    tiers::{Tier, Tiers},
};

/// The engine cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A setting is out of range.
    #[error("{field} is {value}; it must be between {least} and {most}")]
    Setting {
        /// Name of the setting.
        field: &'static str,
        /// Its value.
        value: u64,
        /// Least value allowed.
        least: u64,
        /// Greatest value allowed.
        most: u64,
    },
    /// The cache folder cannot be used.
    #[error("the folder for compiled modules, {path}, cannot be used: {source}; choose another or make it writable")]
    Cache {
        /// The folder.
        path: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// wasmtime does not run on this machine.
    #[error("the WebAssembly engine does not start on this machine: {0}")]
    Unavailable(String),
}

/// Compiles and runs modules under one [`EngineProfile`].
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    tiers: Tiers,
    config: EngineConfig,
    profile: EngineProfile,
}

impl Engine {
    /// An engine with these settings; creates the cache folder.
    ///
    /// # Errors
    /// A setting is out of range, the cache folder cannot be used, or the machine is not supported.
    pub fn new(config: EngineConfig) -> Result<Self, EngineError> {
        check("max_memory_bytes", config.max_memory_bytes, 1 << 16, MEMORY_CEILING)?;
        check("fuel_per_slot", config.fuel_per_slot, 1, i64::MAX as u64)?;
        check("max_output_bytes", config.max_output_bytes as u64, 1, 1 << 30)?;
        check("max_module_bytes", config.max_module_bytes as u64, 8, 1 << 30)?;
        let tiers = Tiers::new(&config)?;
        let profile = EngineProfile::of(&config);
        Ok(Self { inner: Arc::new(Inner { tiers, config, profile }) })
    }

    /// What decides outcomes besides module and messages.
    pub fn profile(&self) -> &EngineProfile {
        &self.inner.profile
    }

    /// Checks, compiles (or takes from the cache) and starts a module once. Takes up to some seconds of processor time
    /// for a new module, a tenth of that if the baseline compiler comes first: not for the network's tasks.
    ///
    /// # Errors
    /// The bytes are not a module of that format, ask for something that the host does not have or allow, or fail
    /// when started.
    pub fn load(&self, wasm: &[u8], format: ModuleFormat) -> Result<Module, LoadError> {
        let config = &self.inner.config;
        if wasm.len() > config.max_module_bytes {
            return Err(LoadError::TooLarge { size: wasm.len(), limit: config.max_module_bytes });
        }
        let id = Id::sha256(wasm);
        let prepared = prepare(wasm, format, config.max_memory_bytes)?;
        // Kept under what is compiled, not what was given: how modules are translated changes between versions of Weft.
        let key = Id::sha256(&prepared);
        let (tier, compiled) = self.inner.tiers.load(key, &prepared)?;
        let module = Module::new(id, format, (tier, bind(&compiled, format)?), config.clone());
        // The caller's thread may have any stack; what a module does when it starts is the module's.
        let image = super::on_evaluation_stack(|| Live::trial(&module));
        let image = image.map_err(|error| LoadError::Node(format!("no thread to start it on: {error}")))??;
        let module = module.with_image(image);
        if tier == Tier::Baseline {
            self.inner.tiers.improve(key, prepared, format, module.replaceable());
        }
        Ok(module)
    }
}

/// A compiled module with its imports, checked against what its format needs.
pub(super) fn bind(compiled: &wasmtime::Module, format: ModuleFormat) -> Result<InstancePre<Host>, LoadError> {
    check_memory(compiled)?;
    let linker = host::linker(compiled.engine(), compiled, format)?;
    abi::check_exports(compiled, format)?;
    linker.instantiate_pre(compiled).map_err(|error| LoadError::Unsupported(format!("{error:#}")))
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("profile", &self.inner.profile).finish_non_exhaustive()
    }
}

fn check(field: &'static str, value: u64, least: u64, most: u64) -> Result<(), EngineError> {
    if (least..=most).contains(&value) { Ok(()) } else { Err(EngineError::Setting { field, value, least, most }) }
}

/// The deterministic profile. Threads, garbage-collected types and stack switching are not even compiled in.
pub(super) fn settings() -> wasmtime::Config {
    let mut config = wasmtime::Config::new();
    config
        // Both are done in the module (`rewrite/meter.rs`, `rewrite/nan.rs`).
        .consume_fuel(false)
        .cranelift_nan_canonicalization(false)
        .cranelift_opt_level(OptLevel::Speed)
        .max_wasm_stack(MAX_WASM_STACK)
        // Not used (evaluation is synchronous), but it has to be larger than the stack of wasm.
        .async_stack_size(2 * MAX_WASM_STACK)
        .wasm_memory64(true)
        .wasm_multi_memory(false)
        .wasm_custom_page_sizes(false)
        .wasm_relaxed_simd(false)
        .wasm_wide_arithmetic(false)
        .wasm_tail_call(false)
        // A backtrace would cost time on every longjmp and put build details into messages.
        .wasm_backtrace_max_frames(None)
        .generate_address_map(false);
    config
}

fn check_memory(module: &wasmtime::Module) -> Result<(), LoadError> {
    let Some(ExternType::Memory(memory)) = module.get_export("memory") else {
        return Err(LoadError::MissingExport("memory".to_owned()));
    };
    if memory.is_shared() {
        return Err(LoadError::Unsupported("shared memory".to_owned()));
    }
    Ok(())
}
