//! What an engine is told ([`EngineConfig`]) and what it promises to other nodes ([`EngineProfile`]).
//!
//! Where it sits: read by [`super::Engine`]; the profile's id goes into attestations and offers.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use weft_protocol::Id;

use super::rewrite::FUEL_TABLE;

/// Most bytes of call stack, as a module counts them itself (`rewrite/depth.rs`).
pub(crate) const MAX_CALL_STACK: u32 = 4 << 20;
/// Part of the native stack that wasm (and host functions that it calls) may use, in bytes. Not met, so long as what a
/// module's frames take is less than ten times what it counts ([`MAX_CALL_STACK`]) and a host function that calls the
/// module takes less than 10 KiB ([`MAX_CALLS_BACK`]; 7 KiB in a build without optimisation).
pub(crate) const MAX_WASM_STACK: usize = 64 << 20;
/// Most calls from host functions into the module (`invoke_*` and the like) that are open at once. Their native frames are
/// this program's, which a module cannot count.
pub(crate) const MAX_CALLS_BACK: u32 = 2048;
/// Most elements of a module's function table.
pub(crate) const MAX_TABLE_ELEMENTS: usize = 1 << 20;
/// Largest memory that an engine can be configured for, in bytes.
pub(crate) const MEMORY_CEILING: u64 = 4 << 30;
/// The engine and its version. Raised together with the dependency.
pub(crate) const RUNTIME: &str = "wasmtime 48.0.8";
/// Version of the host environment of `host/`: raised when anything that a module can observe changes.
pub(crate) const ENVIRONMENT: &str = "weft-canonical-3";
/// What `emscripten_date_now` and `clock_time_get` answer, in milliseconds.
pub(crate) const CLOCK_MS: u64 = 10_000;

/// Settings of an [`super::Engine`].
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Folder of compiled modules; created if missing. Only this node may write to it: what lies there is run.
    pub cache_dir: PathBuf,
    /// Fuel for one message; when it is used up, the message fails and its effects are undone.
    pub fuel_per_slot: u64,
    /// Most bytes of linear memory of a process (at most 4 GiB).
    pub max_memory_bytes: u64,
    /// Most bytes of the JSON that a module returns for one message.
    pub max_output_bytes: usize,
    /// Most bytes of a module's binary.
    pub max_module_bytes: usize,
    /// Most bytes of the folder of compiled modules, beyond which those used longest ago go; 0: none is kept.
    pub max_cache_bytes: u64,
    /// Which compilers are used.
    pub compilers: Compilers,
}

/// Which compilers make a module's code. It changes when and how fast messages are evaluated, never what comes of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compilers {
    /// The optimising compiler only.
    #[default]
    Optimising,
    /// The baseline compiler first and the optimising one in the background.
    BaselineFirst,
    /// The baseline compiler only, as far as it can: for comparing.
    BaselineOnly,
}

impl EngineConfig {
    /// The usual limits with the cache in `cache_dir`: 20e9 fuel (some seconds of a core), 1 GiB of memory, 16 MiB of
    /// output, modules up to 64 MiB, 4 GiB of compiled modules, the optimising compiler only.
    pub fn new(cache_dir: impl Into<PathBuf>) -> Self {
        Self {
            cache_dir: cache_dir.into(),
            fuel_per_slot: 20_000_000_000,
            max_memory_bytes: 1 << 30,
            max_output_bytes: 16 << 20,
            max_module_bytes: 64 << 20,
            max_cache_bytes: 4 << 30,
            compilers: Compilers::Optimising,
        }
    }
}

/// Everything that decides an outcome besides the module and the messages. Two nodes with equal profiles give equal
/// outcomes, fuel and state roots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct EngineProfile {
    /// Engine and version.
    pub runtime: String,
    /// Version of the host environment: clock, time zone, files, metering of host functions.
    pub environment: String,
    /// The constant clock, in milliseconds since 1970.
    pub clock_ms: u64,
    /// Fuel for one message.
    pub fuel_per_slot: u64,
    /// What fuel is paid for, in words and numbers.
    pub fuel_table: String,
    /// Most bytes of linear memory.
    pub max_memory_bytes: u64,
    /// Most bytes of returned JSON.
    pub max_output_bytes: u64,
    /// Most bytes of call stack, as a module counts them itself: the same on every processor.
    pub max_stack_bytes: u64,
    /// Most elements of a table.
    pub max_table_elements: u64,
    /// Whether every NaN that is computed has the same bits.
    pub canonical_nan: bool,
    /// Whether the relaxed SIMD instructions, whose results depend on the processor, are available.
    pub relaxed_simd: bool,
}

impl EngineProfile {
    pub(crate) fn of(config: &EngineConfig) -> Self {
        Self {
            runtime: RUNTIME.to_owned(),
            environment: ENVIRONMENT.to_owned(),
            clock_ms: CLOCK_MS,
            fuel_per_slot: config.fuel_per_slot,
            fuel_table: FUEL_TABLE.to_owned(),
            max_memory_bytes: config.max_memory_bytes,
            max_output_bytes: config.max_output_bytes as u64,
            max_stack_bytes: u64::from(MAX_CALL_STACK),
            max_table_elements: MAX_TABLE_ELEMENTS as u64,
            canonical_nan: true,
            relaxed_simd: false,
        }
    }

    /// The profile's name: SHA-256 of its canonical JSON (members sorted by name, no spaces).
    pub fn id(&self) -> Id {
        Id::sha256(self.canonical_json().as_bytes())
    }

    fn canonical_json(&self) -> String {
        match serde_json::to_value(self) {
            // A flat object of strings, integers and booleans: sorting its members is all there is to do.
            Ok(Value::Object(members)) => {
                let sorted: BTreeMap<String, Value> = members.into_iter().collect();
                serde_json::to_string(&sorted).unwrap_or_default()
            }
            _ => String::new(),
        }
    }
}
