//! For measurements only: a module in wasmtime's default configuration, called directly. The limit that everything else
//! is compared with.
//!
//! Where it sits: beside the engine, used by `benches/evaluation` and by nothing that a node does. The module is compiled
//! as it came, without what [`super::Engine`] does to it: no fuel, no bound of calls, no rollback, no cache, no check of
//! what it may contain. Only its imports are the host's, because without them it does not run.

use wasmtime::{ExternType, Global, GlobalType, Instance, Memory, Mutability, Store, TypedFunc, Val, ValType};

use super::{
    host::{self, Host, STACK_RESTORE, STACK_SAVE},
    module::{LoadError, ModuleFormat},
    reads::Reads,
};

/// Most bytes of memory of a bare process.
const MEMORY: u64 = 4 << 30;
/// Most bytes that are looked through for the end of an answer.
const ANSWER: usize = 64 << 20;

/// For measurements: one live instance of a module, with nothing around it.
pub struct Bare {
    store: Store<Host>,
    memory: Memory,
    calls: Calls,
}

/// The module's functions, by the width of its pointers.
enum Calls {
    Narrow {
        save: TypedFunc<(), i32>,
        alloc: TypedFunc<i32, i32>,
        restore: TypedFunc<i32, ()>,
        handle: TypedFunc<(i32, i32), i32>,
    },
    Wide {
        save: TypedFunc<(), i64>,
        alloc: TypedFunc<i64, i64>,
        restore: TypedFunc<i64, ()>,
        handle: TypedFunc<(i64, i64), i64>,
    },
    Plain {
        alloc: TypedFunc<i32, i32>,
        handle: TypedFunc<(i32, i32, i32, i32), i64>,
    },
}

impl Bare {
    /// Compiles and starts a module under `wasmtime::Config::new()`. With `profiled`, what is compiled is named in a file
    /// that `perf` reads.
    ///
    /// # Errors
    /// wasmtime does not take the module, or it lacks what its format needs.
    pub fn start(wasm: &[u8], format: ModuleFormat, profiled: bool) -> Result<Self, LoadError> {
        let mut config = wasmtime::Config::new();
        if profiled {
            config.profiler(wasmtime::ProfilingStrategy::PerfMap);
        }
        Self::launch(&config, wasm, format).map_err(|error| LoadError::Node(format!("{error:#}")))
    }

    fn launch(config: &wasmtime::Config, wasm: &[u8], format: ModuleFormat) -> wasmtime::Result<Self> {
        let engine = wasmtime::Engine::new(config)?;
        let module = wasmtime::Module::new(&engine, wasm)?;
        let wide = matches!(module.get_export("memory"), Some(ExternType::Memory(memory)) if memory.is_64());
        let linker = host::linker(&engine, &module, format)?;
        let mut store = Store::new(&engine, Host::new(MEMORY, format));
        // What host functions charge goes there; nobody reads it.
        let counter = GlobalType::new(ValType::I64, Mutability::Var);
        let fuel = Global::new(&mut store, counter, Val::I64(i64::MAX))?;
        store.data_mut().share(None, None, fuel);
        let instance = linker.instantiate(&mut store, &module)?;
        let memory = instance.get_memory(&mut store, "memory").ok_or_else(|| missing("memory"))?;
        for name in ["emscripten_stack_init", "__wasm_call_ctors", "_initialize"] {
            if let Ok(function) = instance.get_typed_func::<(), ()>(&mut store, name)
                && format != ModuleFormat::Plain
            {
                function.call(&mut store, ())?;
            }
        }
        let calls = Calls::of(&mut store, &instance, format, wide)?;
        Ok(Self { store, memory, calls })
    }

    /// One `handle` call: the bytes that the module answered.
    ///
    /// # Errors
    /// The module failed; there is no rollback.
    pub fn call(&mut self, message: &str, environment: &str) -> Result<Vec<u8>, String> {
        self.store.data_mut().begin(&Reads::none());
        self.handle(message.as_bytes(), environment.as_bytes()).map_err(|error| format!("{error:#}"))
    }

    fn handle(&mut self, message: &[u8], environment: &[u8]) -> wasmtime::Result<Vec<u8>> {
        let Self { store, memory, calls } = self;
        match calls {
            Calls::Narrow { save, alloc, restore, handle } => {
                let saved = save.call(&mut *store, ())?;
                let mut at = [0; 2];
                for (text, at) in [message, environment].into_iter().zip(&mut at) {
                    *at = alloc.call(&mut *store, i32::try_from(text.len() + 1)?)?;
                    put(store, *memory, u64::from(at.cast_unsigned()), &[text, &[0]])?;
                }
                let [message, environment] = at;
                let answer = handle.call(&mut *store, (message, environment))?;
                let answer = text_at(store, *memory, u64::from(answer.cast_unsigned()))?;
                restore.call(&mut *store, saved)?;
                Ok(answer)
            }
            Calls::Wide { save, alloc, restore, handle } => {
                let saved = save.call(&mut *store, ())?;
                let mut at = [0; 2];
                for (text, at) in [message, environment].into_iter().zip(&mut at) {
                    *at = alloc.call(&mut *store, i64::try_from(text.len() + 1)?)?;
                    put(store, *memory, at.cast_unsigned(), &[text, &[0]])?;
                }
                let [message, environment] = at;
                let answer = handle.call(&mut *store, (message, environment))?;
                let answer = text_at(store, *memory, answer.cast_unsigned())?;
                restore.call(&mut *store, saved)?;
                Ok(answer)
            }
            Calls::Plain { alloc, handle } => {
                let mut at = [(0, 0); 2];
                for (text, at) in [message, environment].into_iter().zip(&mut at) {
                    let length = i32::try_from(text.len())?;
                    *at = (alloc.call(&mut *store, length)?, length);
                    put(store, *memory, u64::from(at.0.cast_unsigned()), &[text])?;
                }
                let [message, environment] = at;
                let packed = handle.call(&mut *store, (message.0, message.1, environment.0, environment.1))?;
                let (at, length) = ((packed.cast_unsigned() >> 32) as usize, (packed & 0xffff_ffff) as usize);
                let data = memory.data(&*store);
                let bytes = data.get(at..).and_then(|rest| rest.get(..length));
                bytes.map(<[u8]>::to_vec).ok_or_else(outside)
            }
        }
    }
}

impl Calls {
    fn of(store: &mut Store<Host>, instance: &Instance, format: ModuleFormat, wide: bool) -> wasmtime::Result<Self> {
        if format == ModuleFormat::Plain {
            let alloc = instance.get_typed_func(&mut *store, "alloc")?;
            return Ok(Self::Plain { alloc, handle: instance.get_typed_func(&mut *store, "handle")? });
        }
        let mut found = |names: &[&'static str]| {
            names
                .iter()
                .copied()
                .find(|name| instance.get_func(&mut *store, name).is_some())
                .ok_or_else(|| missing("a stack"))
        };
        let (save, alloc) = (found(&STACK_SAVE)?, found(&["_emscripten_stack_alloc", "stackAlloc"])?);
        let restore = found(&STACK_RESTORE)?;
        Ok(if wide {
            Self::Wide {
                save: instance.get_typed_func(&mut *store, save)?,
                alloc: instance.get_typed_func(&mut *store, alloc)?,
                restore: instance.get_typed_func(&mut *store, restore)?,
                handle: instance.get_typed_func(&mut *store, "handle")?,
            }
        } else {
            Self::Narrow {
                save: instance.get_typed_func(&mut *store, save)?,
                alloc: instance.get_typed_func(&mut *store, alloc)?,
                restore: instance.get_typed_func(&mut *store, restore)?,
                handle: instance.get_typed_func(&mut *store, "handle")?,
            }
        })
    }
}

impl std::fmt::Debug for Bare {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bare").finish_non_exhaustive()
    }
}

fn put(store: &mut Store<Host>, memory: Memory, at: u64, parts: &[&[u8]]) -> wasmtime::Result<()> {
    let mut place = usize::try_from(at)?;
    for part in parts {
        memory.write(&mut *store, place, part)?;
        place += part.len();
    }
    Ok(())
}

fn text_at(store: &Store<Host>, memory: Memory, at: u64) -> wasmtime::Result<Vec<u8>> {
    let rest = memory.data(store).get(usize::try_from(at)?..).ok_or_else(outside)?;
    let window = rest.get(..ANSWER).unwrap_or(rest);
    let text = std::ffi::CStr::from_bytes_until_nul(window).map_err(|_| outside())?;
    Ok(text.to_bytes().to_vec())
}

fn missing(what: &str) -> wasmtime::Error {
    LoadError::MissingExport(what.to_owned()).into()
}

fn outside() -> wasmtime::Error {
    wasmtime::Error::msg("the answer lies outside of the module's memory")
}
