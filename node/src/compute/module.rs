//! A compiled module, its format, and why bytes do not become one.
//!
//! Where it sits: made by [`super::Engine::load`], cheap to clone, shared by all instances of the module.

use std::{
    fmt,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use wasmtime::{ExternType, InstancePre};
use weft_protocol::{Id, limits::Limits};

use super::{config::EngineConfig, host::Host, memory::image::Image, tiers::Tier};

/// The calling convention and environment that a module is written for: its `Module-Format` tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ModuleFormat {
    /// `wasm64-unknown-emscripten-draft_2024_02_15` and its metered sibling: 64-bit memory, what aos is built for.
    Emscripten64,
    /// `wasm32-unknown-emscripten4` and `…-metering`: 32-bit memory.
    Emscripten32,
    /// `wasm32-unknown-emscripten` (minified names), `…2` and `…3`: 32-bit memory of at most 500 MiB, metered when built.
    Emscripten32Early,
    /// `wasm32-unknown-unknown`: Weft's plain convention (`memory`, `alloc`, `handle`, no imports).
    Plain,
}

/// A `Module-Format` that this node cannot run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown Module-Format {0:?}; this node runs wasm64-unknown-emscripten-draft_2024_02_15, wasm32-unknown-emscripten4 \
     (also …emscripten, …2, …3 and -metering) and wasm32-unknown-unknown"
)]
pub struct UnknownFormat(String);

impl FromStr for ModuleFormat {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "wasm64-unknown-emscripten-draft_2024_02_15" | "wasm64-unknown-emscripten-draft_2024_10_16-metering" => {
                Ok(Self::Emscripten64)
            }
            "wasm32-unknown-emscripten4" | "wasm32-unknown-emscripten-metering" => Ok(Self::Emscripten32),
            "wasm32-unknown-emscripten" | "wasm32-unknown-emscripten2" | "wasm32-unknown-emscripten3" => {
                Ok(Self::Emscripten32Early)
            }
            "wasm32-unknown-unknown" => Ok(Self::Plain),
            other => Err(UnknownFormat(other.chars().take(80).collect())),
        }
    }
}

impl fmt::Display for ModuleFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Emscripten64 => "wasm64-unknown-emscripten-draft_2024_02_15",
            Self::Emscripten32 => "wasm32-unknown-emscripten4",
            Self::Emscripten32Early => "wasm32-unknown-emscripten3",
            Self::Plain => "wasm32-unknown-unknown",
        })
    }
}

/// Why bytes are not a module that this node runs. All but [`LoadError::Node`] blame the module.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// More bytes than the engine accepts.
    #[error("the module is {size} bytes; this node accepts at most {limit}")]
    TooLarge {
        /// Bytes of the module.
        size: usize,
        /// Most bytes accepted.
        limit: usize,
    },
    /// Not a valid WebAssembly binary.
    #[error("this is not a WebAssembly module: {0}")]
    NotWasm(String),
    /// The module imports something that the host environment of its format does not have.
    #[error("the module imports {0}, which this node does not provide for its Module-Format")]
    UnknownImport(String),
    /// The module lacks an export that its format needs, or it has another type.
    #[error("the module does not export {0}, which its Module-Format needs")]
    MissingExport(String),
    /// The module begins with more memory than a process may have.
    #[error(
        "the module begins with {needs} bytes of memory, {limit} are allowed: that is the network's limit, or the \
         Memory-Limit of process or module if it is lower"
    )]
    MemoryTooLarge {
        /// Bytes that the module begins with.
        needs: u64,
        /// Most bytes allowed.
        limit: u64,
    },
    /// The module uses something that cannot be evaluated and rolled back deterministically.
    #[error("the module uses {0}, which this node does not run")]
    Unsupported(String),
    /// The module failed while it was initialised.
    #[error("the module fails when it starts: {0}")]
    Start(String),
    /// This node failed; says nothing about the module.
    #[error("the module could not be loaded here: {0}")]
    Node(String),
}

/// A compiled module and the limits that its processes have. Clones share everything.
#[derive(Clone)]
pub struct Module {
    inner: Arc<Inner>,
    limits: Limits,
}

struct Inner {
    id: Id,
    format: ModuleFormat,
    code: Arc<Code>,
    config: EngineConfig,
    globals: usize,
    /// The memory of a new instance: what was never written is as it is here (`memory/resident.rs`).
    image: Image,
}

/// A module's code, which can be replaced by better code.
type Code = Mutex<(Tier, InstancePre<Host>)>;

/// The place of a module's code, for whoever makes better code of it; does not keep the module.
pub(super) struct Replaceable(Weak<Code>);

impl Replaceable {
    /// Whether anybody still has the module.
    pub(super) fn is_used(&self) -> bool {
        self.0.strong_count() > 0
    }

    /// From now on instances are made of `pre`, which the optimising compiler made.
    pub(super) fn replace(&self, pre: InstancePre<Host>) {
        if let Some(code) = self.0.upgrade() {
            *code.lock().unwrap_or_else(PoisonError::into_inner) = (Tier::Optimised, pre);
        }
    }
}

impl Module {
    pub(crate) fn new(
        id: Id,
        format: ModuleFormat,
        (tier, pre): (Tier, InstancePre<Host>),
        config: EngineConfig,
    ) -> Self {
        let globals = pre.module().exports().filter(|export| export.name().starts_with("weft:global:")).count();
        let limits = Limits { memory_bytes: config.max_memory_bytes, fuel: config.fuel_per_slot };
        let code = Arc::new(Mutex::new((tier, pre)));
        Self { inner: Arc::new(Inner { id, format, code, config, globals, image: Image::default() }), limits }
    }

    /// The same module, told what its initial memory holds.
    pub(crate) fn with_image(self, image: Image) -> Self {
        let Inner { id, format, ref code, ref config, globals, .. } = *self.inner;
        let inner = Inner { id, format, code: Arc::clone(code), config: config.clone(), globals, image };
        Self { inner: Arc::new(inner), limits: self.limits }
    }

    /// The same module for a process that may use less: never more than before.
    ///
    /// # Errors
    /// The module begins with more memory than that.
    pub fn limited(&self, limits: Limits) -> Result<Self, LoadError> {
        let limits = Limits {
            memory_bytes: limits.memory_bytes.min(self.limits.memory_bytes),
            fuel: limits.fuel.min(self.limits.fuel),
        };
        if let Some(ExternType::Memory(memory)) = self.pre().module().get_export("memory") {
            let needs = memory.minimum().saturating_mul(memory.page_size());
            if needs > limits.memory_bytes {
                return Err(LoadError::MemoryTooLarge { needs, limit: limits.memory_bytes });
            }
        }
        Ok(Self { inner: Arc::clone(&self.inner), limits })
    }

    /// What a process of this module may use.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// SHA-256 of the binary.
    pub fn id(&self) -> Id {
        self.inner.id
    }

    /// The format that it was loaded as.
    pub fn format(&self) -> ModuleFormat {
        self.inner.format
    }

    /// How good the code is that the next instance is made of. Never worse than before.
    pub fn tier(&self) -> Tier {
        self.inner.code.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    /// The best code there is, and how good it is.
    pub(crate) fn code(&self) -> (Tier, InstancePre<Host>) {
        self.inner.code.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn pre(&self) -> InstancePre<Host> {
        self.code().1
    }

    pub(super) fn replaceable(&self) -> Replaceable {
        Replaceable(Arc::downgrade(&self.inner.code))
    }

    pub(crate) fn config(&self) -> &EngineConfig {
        &self.inner.config
    }

    pub(crate) fn globals(&self) -> usize {
        self.inner.globals
    }

    pub(crate) fn image(&self) -> &Image {
        &self.inner.image
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module").field("id", &self.inner.id).field("format", &self.inner.format).finish()
    }
}
