//! The host environment: what a module's imports do. The same for every node, so that outcomes are.
//!
//! Where it sits: [`linker`] gives a compiled module its imports; [`Host`] is the data of a store. The functions are
//! described by name and number of parameters and work on any pointer width: values are taken as integers and
//! answers are converted to the type that the module declared.
//!
//! Canonical environment (what AO's loader gives a module, made deterministic): the clock stands at 10 000 ms, time zone UTC, no
//! environment variables, no files but those that the log fixed for the slot, output of the module discarded.
//! Deliberate difference to the JavaScript loader, whose clock ticks with every call: `os.clock()` is always 0.0.

mod calendar;
mod files;
mod function;
mod jump;
mod process;
mod strftime;
mod time;

use std::sync::Arc;

use wasmtime::{
    Caller, Extern, ExternType, Func, FuncType, Global, Linker, Memory, ResourceLimiter, Trap, Val, ValType,
};

use super::{
    config::MAX_TABLE_ELEMENTS,
    module::{LoadError, ModuleFormat},
    reads::Reads,
};

pub(crate) use function::{Function, call_coerced};
pub(crate) use jump::{STACK_RESTORE, STACK_SAVE};

/// Fuel for a call of a host function beside what its work costs: leaving the module and coming back takes as long as
/// hundreds of operators.
const FUEL_PER_CALL: u64 = 100;

/// Data of a store: the limits of one process, and what it has beside its memory during a slot.
pub(crate) struct Host {
    max_memory_bytes: usize,
    /// The largest memory, in bytes, that the C library of the module's format tries for.
    heap_ceiling: u64,
    files: files::Files,
    /// The upper half of a 64-bit value, where early builds pass it.
    upper_half: i64,
    /// Not 0 while an exception is in flight (`rewrite/exceptions.rs`).
    in_flight: Option<Global>,
    /// How deep the module's functions call each other (`rewrite/depth.rs`).
    depth: Option<Global>,
    /// The fuel that is left (`rewrite/meter.rs`).
    fuel: Option<Global>,
    /// Calls of host functions into the module that are open.
    calls_back: u32,
}

impl Host {
    pub(crate) fn new(max_memory_bytes: u64, format: ModuleFormat) -> Self {
        Self {
            max_memory_bytes: usize::try_from(max_memory_bytes).unwrap_or(usize::MAX),
            heap_ceiling: process::heap_ceiling(format),
            files: files::Files::default(),
            upper_half: 0,
            in_flight: None,
            depth: None,
            fuel: None,
            calls_back: 0,
        }
    }

    pub(crate) fn depth(&self) -> Option<Global> {
        self.depth
    }

    /// Tells the globals that the translated module and the host share.
    pub(crate) fn share(&mut self, in_flight: Option<Global>, depth: Option<Global>, fuel: Global) {
        (self.in_flight, self.depth, self.fuel) = (in_flight, depth, Some(fuel));
    }

    pub(crate) fn in_flight(&self) -> Option<Global> {
        self.in_flight
    }

    pub(crate) fn fuel(&self) -> Option<Global> {
        self.fuel
    }

    /// Begins a slot in which `reads` can be opened. Nothing of an earlier slot is left: a snapshot holds none of this.
    pub(crate) fn begin(&mut self, reads: &Arc<Reads>) {
        self.files = files::Files::of(reads);
        self.upper_half = 0;
    }
}

impl ResourceLimiter for Host {
    fn memory_growing(&mut self, _current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= self.max_memory_bytes && maximum.is_none_or(|maximum| desired <= maximum))
    }

    /// The operating system refused: that must not become something that a process can observe.
    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        // Called as well when the module's own maximum is reached, which is an answer (-1) and no fault. wasmtime tells
        // the two apart by text only.
        if error.to_string().contains("type's limits") {
            return Ok(());
        }
        Err(HostError::Node(format!("memory could not be grown: {error:#}")).into())
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= MAX_TABLE_ELEMENTS)
    }
}

/// How a host function ends an evaluation (or, for `LongJump`, unwinds to the nearest `invoke_*`).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HostError {
    #[error("longjmp without a matching setjmp")]
    LongJump,
    #[error("Program terminated with exit({0})")]
    Exit(i32),
    #[error("Aborted()")]
    Abort,
    #[error("the module threw an exception that nothing in it catches")]
    Uncaught,
    #[error("the module gave {0} an address outside of its memory")]
    Address(&'static str),
    #[error("{0}")]
    Fault(String),
    #[error("{0}")]
    Node(String),
}

/// What a host function answers; converted to the declared result type.
pub(crate) enum Answer {
    Int(i64),
    Float(f64),
}

type Outcome = wasmtime::Result<Answer>;
type HostFn = fn(&mut Call<'_, '_>) -> Outcome;

/// One call of a host function.
pub(crate) struct Call<'a, 'b> {
    pub(crate) caller: &'a mut Caller<'b, Host>,
    pub(crate) args: &'a [Val],
    /// Name of the import, for messages.
    pub(crate) name: &'static str,
    /// Whether pointers and `size_t` are 64 bits wide.
    pub(crate) wide: bool,
}

impl Call<'_, '_> {
    /// The argument as an unsigned integer (zero-extended); 0 if there is none.
    pub(crate) fn arg(&self, index: usize) -> u64 {
        match self.args.get(index) {
            Some(Val::I32(value)) => u64::from(value.cast_unsigned()),
            Some(Val::I64(value)) => value.cast_unsigned(),
            _ => 0,
        }
    }

    pub(crate) fn memory(&mut self) -> wasmtime::Result<Memory> {
        match self.caller.get_export("memory") {
            Some(Extern::Memory(memory)) => Ok(memory),
            _ => Err(HostError::Fault("the module has no memory".to_owned()).into()),
        }
    }

    /// Charges fuel for work that the host does for the module: without it, host calls would be the cheap way to keep
    /// a node busy.
    pub(crate) fn charge(&mut self, fuel: u64) -> wasmtime::Result<()> {
        charge(self.caller, fuel)
    }

    pub(crate) fn read<const N: usize>(&mut self, address: u64) -> wasmtime::Result<[u8; N]> {
        let memory = self.memory()?;
        let data = memory.data(&*self.caller);
        usize::try_from(address)
            .ok()
            .and_then(|start| data.get(start..)?.first_chunk::<N>().copied())
            .ok_or_else(|| HostError::Address(self.name).into())
    }

    pub(crate) fn write(&mut self, address: u64, bytes: &[u8]) -> wasmtime::Result<()> {
        let memory = self.memory()?;
        let place = usize::try_from(address)
            .ok()
            .and_then(|start| memory.data_mut(&mut *self.caller).get_mut(start..)?.get_mut(..bytes.len()));
        match place {
            Some(place) => {
                place.copy_from_slice(bytes);
                Ok(())
            }
            None => Err(HostError::Address(self.name).into()),
        }
    }

    /// Writes `length` zeros.
    pub(crate) fn clear(&mut self, address: u64, length: u64) -> wasmtime::Result<()> {
        let memory = self.memory()?;
        let range = usize::try_from(address).ok().zip(usize::try_from(length).ok());
        let place =
            range.and_then(|(start, length)| memory.data_mut(&mut *self.caller).get_mut(start..)?.get_mut(..length));
        place.ok_or(HostError::Address(self.name))?.fill(0);
        Ok(())
    }

    /// Writes a `size_t` (or `long`) of the module's width.
    pub(crate) fn write_word(&mut self, address: u64, value: u64) -> wasmtime::Result<()> {
        if self.wide {
            self.write(address, &value.to_le_bytes())
        } else {
            self.write(address, &(value as u32).to_le_bytes())
        }
    }

    /// Reads a `size_t` of the module's width.
    pub(crate) fn read_word(&mut self, address: u64) -> wasmtime::Result<u64> {
        if self.wide {
            self.read(address).map(u64::from_le_bytes)
        } else {
            self.read(address).map(|bytes| u64::from(u32::from_le_bytes(bytes)))
        }
    }

    /// Bytes of a `size_t`.
    pub(crate) fn word(&self) -> u64 {
        if self.wide { 8 } else { 4 }
    }
}

/// Takes fuel from the module that called.
fn charge(caller: &mut Caller<'_, Host>, fuel: u64) -> wasmtime::Result<()> {
    let Some(global) = caller.data().fuel else {
        return Err(HostError::Node("the fuel is not reachable".to_owned()).into());
    };
    let left = global.get(&mut *caller).i64().unwrap_or(0);
    let left = left.saturating_sub(i64::try_from(fuel).unwrap_or(i64::MAX));
    global.set(&mut *caller, Val::I64(left))?;
    if left < 0 { Err(Trap::OutOfFuel.into()) } else { Ok(()) }
}

/// A host function: module, name, accepted numbers of parameters, function.
struct Binding(&'static str, &'static str, &'static [usize], HostFn);

const ENV: &str = "env";
const WASI: &str = "wasi_snapshot_preview1";

fn constant<const VALUE: i64>(_: &mut Call<'_, '_>) -> Outcome {
    Ok(Answer::Int(VALUE))
}

// Error numbers as emscripten's C library counts them (those of WASI), negated as system calls return them.
const EACCES: i64 = -2;
const ENOENT: i64 = -44;
const EPERM: i64 = -63;
const ENOSYS: i64 = -52;
const EINVAL: i64 = -28;
const EBADF: i64 = -8;
const ENOTTY: i64 = -59;

const BINDINGS: &[Binding] = &[
    Binding(ENV, "_emscripten_throw_longjmp", &[0], jump::throw),
    Binding(ENV, "exit", &[1], process::exit),
    Binding(WASI, "proc_exit", &[1], process::exit),
    Binding(ENV, "_abort_js", &[0], process::abort),
    Binding(ENV, "abort", &[0], process::abort),
    Binding(ENV, "__cxa_throw", &[3], process::abort),
    Binding(ENV, "__assert_fail", &[4], process::abort),
    Binding(ENV, "emscripten_err", &[1], constant::<0>),
    Binding(ENV, "_munmap_js", &[6, 7], constant::<ENOSYS>),
    Binding(ENV, "emscripten_get_heap_max", &[0], process::heap_max),
    Binding(ENV, "emscripten_resize_heap", &[1], process::resize_heap),
    Binding(ENV, "_emscripten_memcpy_js", &[3], process::copy_within),
    Binding(ENV, "emscripten_memcpy_js", &[3], process::copy_within),
    Binding(ENV, "emscripten_memcpy_big", &[3], process::copy_within),
    Binding(ENV, "_emscripten_system", &[1], process::system),
    Binding(ENV, "system", &[1], process::system),
    Binding(ENV, "__resumeException", &[1], process::abort),
    Binding(ENV, "__cxa_find_matching_catch_2", &[0], constant::<0>),
    Binding(ENV, "getTempRet0", &[0], process::upper_half),
    Binding(ENV, "setTempRet0", &[1], process::set_upper_half),
    Binding(ENV, "_dlinit", &[1], constant::<0>),
    Binding(ENV, "_dlopen_js", &[1], constant::<0>),
    Binding(ENV, "_dlsym_js", &[2], constant::<0>),
    Binding(ENV, "_mmap_js", &[6, 7], constant::<ENOSYS>),
    // Only an indirect call gets here: direct ones are gone before the module is compiled.
    Binding("metering", "usegas", &[1], constant::<0>),
    Binding(ENV, "metering_gasUsed", &[0, 1], constant::<0>),
    Binding(ENV, "emscripten_date_now", &[0], time::date_now),
    Binding(ENV, "_emscripten_date_now", &[0], time::date_now),
    Binding(ENV, "emscripten_get_now", &[0], constant::<0>),
    Binding(ENV, "_emscripten_get_now_is_monotonic", &[0], constant::<1>),
    Binding(WASI, "clock_time_get", &[3, 4], time::clock_time_get),
    Binding(ENV, "_tzset_js", &[3, 4], time::tzset),
    Binding(ENV, "_localtime_js", &[2, 3], time::localtime),
    Binding(ENV, "_gmtime_js", &[2, 3], time::gmtime),
    Binding(ENV, "_mktime_js", &[1], time::mktime),
    Binding(ENV, "_timegm_js", &[1], time::mktime),
    Binding(ENV, "strftime", &[4], time::strftime),
    Binding(ENV, "strftime_l", &[5], time::strftime),
    Binding(WASI, "environ_sizes_get", &[2], files::no_strings),
    Binding(WASI, "environ_get", &[2], constant::<0>),
    Binding(WASI, "args_sizes_get", &[2], files::no_strings),
    Binding(WASI, "args_get", &[2], constant::<0>),
    Binding(WASI, "fd_write", &[4], files::fd_write),
    Binding(WASI, "fd_read", &[4], files::fd_read),
    Binding(WASI, "fd_seek", &[4, 5], files::fd_seek),
    Binding(WASI, "fd_close", &[1], files::close),
    Binding(WASI, "fd_fdstat_get", &[2], files::fd_fdstat_get),
    Binding(WASI, "fd_sync", &[1], constant::<0>),
    Binding(ENV, "__asyncjs__weavedrive_open", &[2], files::drive_open),
    Binding(ENV, "__asyncjs__weavedrive_read", &[3], files::drive_read),
    Binding(ENV, "__asyncjs__weavedrive_close", &[1], files::close),
    Binding(ENV, "__syscall_openat", &[4], files::openat),
    Binding(ENV, "__syscall_stat64", &[2], constant::<ENOENT>),
    Binding(ENV, "__syscall_lstat64", &[2], constant::<ENOENT>),
    Binding(ENV, "__syscall_newfstatat", &[4], constant::<ENOENT>),
    Binding(ENV, "__syscall_readlinkat", &[4], constant::<ENOENT>),
    Binding(ENV, "__syscall_unlinkat", &[3], constant::<ENOENT>),
    Binding(ENV, "__syscall_rmdir", &[1], constant::<ENOENT>),
    Binding(ENV, "__syscall_renameat", &[4], constant::<ENOENT>),
    Binding(ENV, "__syscall_faccessat", &[4], constant::<ENOENT>),
    Binding(ENV, "__syscall_chmod", &[2], constant::<ENOENT>),
    Binding(ENV, "__syscall_utimensat", &[4], constant::<ENOENT>),
    Binding(ENV, "__syscall_mkdirat", &[3], constant::<EPERM>),
    Binding(ENV, "__syscall_fchmod", &[2], constant::<EBADF>),
    Binding(ENV, "__syscall_fchown32", &[3], constant::<EBADF>),
    Binding(ENV, "__syscall_fstat64", &[2], constant::<EBADF>),
    Binding(ENV, "__syscall_ftruncate64", &[2, 3], constant::<EBADF>),
    Binding(ENV, "__syscall_getdents64", &[3], constant::<EBADF>),
    Binding(ENV, "__syscall_dup3", &[3], constant::<EINVAL>),
    Binding(ENV, "__syscall_fcntl64", &[3], constant::<EINVAL>),
    Binding(ENV, "__syscall_ioctl", &[3], constant::<ENOTTY>),
    Binding(ENV, "__syscall_getcwd", &[2], constant::<ENOSYS>),
];

/// Whether the environment of `format` has a function of this name (with whatever type).
pub(crate) fn knows(format: ModuleFormat, module: &str, name: &str) -> bool {
    let bound = || BINDINGS.iter().any(|Binding(in_module, called, ..)| *in_module == module && *called == name);
    format != ModuleFormat::Plain && ((module == ENV && name.starts_with("invoke_")) || bound())
}

/// A linker that satisfies all imports of `module`.
///
/// # Errors
/// Names the first import that the format's environment does not have.
pub(crate) fn linker(
    engine: &wasmtime::Engine,
    module: &wasmtime::Module,
    format: ModuleFormat,
) -> Result<Linker<Host>, LoadError> {
    let mut linker = Linker::new(engine);
    for import in module.imports() {
        let name = format!("{}.{}", import.module(), import.name());
        let ExternType::Func(ty) = import.ty() else {
            return Err(LoadError::UnknownImport(name));
        };
        if format == ModuleFormat::Plain || !numeric(&ty) {
            return Err(LoadError::UnknownImport(name));
        }
        let wide = format == ModuleFormat::Emscripten64;
        let defined = if import.module() == ENV && import.name().starts_with("invoke_") {
            jump::define_invoke(&mut linker, import.name(), ty)
        } else {
            define(&mut linker, import.module(), import.name(), ty, wide)
        };
        match defined {
            // The same import twice is one definition.
            Some(Ok(())) => {}
            Some(Err(error)) => return Err(LoadError::Node(format!("{error:#}"))),
            None => return Err(LoadError::UnknownImport(name)),
        }
    }
    Ok(linker)
}

fn numeric(ty: &FuncType) -> bool {
    let number = |ty: ValType| matches!(ty, ValType::I32 | ValType::I64 | ValType::F32 | ValType::F64);
    ty.params().all(number) && ty.results().all(number) && ty.results().len() <= 1
}

fn define(
    linker: &mut Linker<Host>,
    module: &str,
    name: &str,
    ty: FuncType,
    wide: bool,
) -> Option<wasmtime::Result<()>> {
    let arity = ty.params().len();
    let &Binding(module, name, _, function) = BINDINGS.iter().find(|Binding(in_module, called, arities, _)| {
        *in_module == module && *called == name && arities.contains(&arity)
    })?;
    let result = ty.results().next();
    linker.allow_shadowing(true);
    let defined = linker.func_new(module, name, ty, move |mut caller, args, results| {
        charge(&mut caller, FUEL_PER_CALL)?;
        let answer = function(&mut Call { caller: &mut caller, args, name, wide })?;
        if let (Some(slot), Some(ty)) = (results.first_mut(), &result) {
            *slot = answer.into_val(ty);
        }
        Ok(())
    });
    Some(defined.map(|_| ()))
}

impl Answer {
    fn into_val(self, ty: &ValType) -> Val {
        let (int, float) = match self {
            Self::Int(value) => (value, value as f64),
            Self::Float(value) => (value as i64, value),
        };
        match ty {
            ValType::I32 => Val::I32(int as i32),
            ValType::F32 => Val::F32((float as f32).to_bits()),
            ValType::F64 => Val::F64(float.to_bits()),
            _ => Val::I64(int),
        }
    }
}

/// A copy of the C string at `address`, cut after `limit` bytes.
fn c_string(call: &mut Call<'_, '_>, address: u64, limit: usize) -> wasmtime::Result<Vec<u8>> {
    let memory = call.memory()?;
    let data = memory.data(&*call.caller);
    let rest = usize::try_from(address).ok().and_then(|start| data.get(start..)).unwrap_or_default();
    Ok(rest.iter().take(limit).take_while(|byte| **byte != 0).copied().collect())
}

/// The exported function called `name`, if there is one.
pub(crate) fn exported(caller: &mut Caller<'_, Host>, name: &str) -> Option<Func> {
    caller.get_export(name).and_then(Extern::into_func)
}
