//! Calling conventions: how two JSON texts get into a module and one comes out.
//!
//! Where it sits: used by `live.rs`. Two conventions: AO's (C strings on the module's C stack) and Weft's plain one
//! (`alloc`, lengths beside pointers).

use std::{borrow::Cow, ffi::CStr};

use serde_json::Value;
use wasmtime::{ExternType, Instance, Memory, Store, Val, ValType};

use super::{
    evaluation::{EvalError, EvalErrorKind},
    host::{Function, Host, HostError, STACK_RESTORE, STACK_SAVE, call_coerced},
    module::{LoadError, ModuleFormat},
};

const STACK_ALLOC: [&str; 2] = ["_emscripten_stack_alloc", "stackAlloc"];
/// Run, in this order, after a module of AO's convention is instantiated.
const INITIALISERS: [&str; 3] = ["emscripten_stack_init", "__wasm_call_ctors", "_initialize"];
/// Bytes of C stack that stay free for the module's own calls after the message was put there.
const STACK_RESERVE: u64 = 16 << 10;

/// Checks that `module` exports what `format` needs, with the right types.
pub(super) fn check_exports(module: &wasmtime::Module, format: ModuleFormat) -> Result<(), LoadError> {
    if format == ModuleFormat::Plain {
        need(module, "alloc(i32) -> i32", "alloc", &["i32"], Some("i32"))?;
        return need(module, "handle(i32, i32, i32, i32) -> i64", "handle", &["i32"; 4], Some("i64"));
    }
    let pointer = if format == ModuleFormat::Emscripten64 { "i64" } else { "i32" };
    need(module, "handle(pointer, pointer) -> pointer", "handle", &[pointer; 2], Some(pointer))?;
    let has = |names: &[&str]| names.iter().any(|name| matches!(module.get_export(name), Some(ExternType::Func(_))));
    if has(&["malloc"]) || (has(&STACK_ALLOC) && has(&STACK_SAVE) && has(&STACK_RESTORE)) {
        return Ok(());
    }
    Err(LoadError::MissingExport("_emscripten_stack_alloc (or malloc)".to_owned()))
}

fn need(
    module: &wasmtime::Module,
    described: &str,
    name: &str,
    params: &[&str],
    result: Option<&str>,
) -> Result<(), LoadError> {
    if let Some(ExternType::Func(ty)) = module.get_export(name) {
        let fits = ty.params().len() == params.len()
            && ty.params().zip(params).all(|(ty, wanted)| type_name(&ty) == *wanted)
            && ty.results().len() <= 1
            && ty.results().next().as_ref().map(type_name) == result;
        if fits {
            return Ok(());
        }
    }
    Err(LoadError::MissingExport(described.to_owned()))
}

fn type_name(ty: &ValType) -> &'static str {
    match ty {
        ValType::I32 => "i32",
        ValType::I64 => "i64",
        _ => "other",
    }
}

/// The functions of one instance that a call needs.
#[allow(clippy::large_enum_variant, reason = "one for each instance; a box would be one more step on every call")]
pub(super) enum Abi {
    /// AO's convention.
    C { handle: Function, place: Place },
    /// Weft's plain convention.
    Plain { handle: Function, alloc: Function },
}

/// Where the texts of a call are put in AO's convention.
#[allow(clippy::large_enum_variant, reason = "one for each instance; a box would be one more step on every call")]
pub(super) enum Place {
    Stack { save: Function, alloc: Function, restore: Function, free: Option<Function> },
    Heap { malloc: Function, free: Option<Function> },
}

impl Abi {
    pub(super) fn of(store: &mut Store<Host>, instance: &Instance, format: ModuleFormat) -> Result<Self, LoadError> {
        let mut find = |names: &[&str]| {
            let function = names.iter().find_map(|name| instance.get_func(&mut *store, name))?;
            Some(Function::of(&*store, function))
        };
        let missing = |name: &str| LoadError::MissingExport(name.to_owned());
        let handle = find(&["handle"]).ok_or_else(|| missing("handle"))?;
        if format == ModuleFormat::Plain {
            return Ok(Self::Plain { handle, alloc: find(&["alloc"]).ok_or_else(|| missing("alloc"))? });
        }
        let stack = (find(&STACK_SAVE), find(&STACK_ALLOC), find(&STACK_RESTORE));
        let place = match stack {
            (Some(save), Some(alloc), Some(restore)) => {
                Place::Stack { save, alloc, restore, free: find(&["emscripten_stack_get_free"]) }
            }
            _ => Place::Heap { malloc: find(&["malloc"]).ok_or_else(|| missing("malloc"))?, free: find(&["free"]) },
        };
        Ok(Self::C { handle, place })
    }

    /// Runs the module's initialisers.
    pub(super) fn initialise(&self, store: &mut Store<Host>, instance: &Instance) -> wasmtime::Result<()> {
        if matches!(self, Self::Plain { .. }) {
            return Ok(());
        }
        for name in INITIALISERS {
            if let Some(function) = instance.get_func(&mut *store, name) {
                call_coerced(&mut *store, function, &[])?;
            }
        }
        Ok(())
    }

    /// One `handle` call: the response of the module.
    pub(super) fn call(
        &self,
        store: &mut Store<Host>,
        memory: Memory,
        texts: [&str; 2],
        max_output: usize,
    ) -> Result<Value, EvalError> {
        if texts.iter().any(|text| text.contains('\0')) {
            return Err(EvalError::new(EvalErrorKind::BadInput, "the message holds a NUL byte"));
        }
        match self {
            Self::Plain { handle, alloc } => plain(store, memory, handle, alloc, texts, max_output),
            Self::C { handle, place } => c(store, memory, handle, place, texts, max_output),
        }
    }
}

fn plain(
    store: &mut Store<Host>,
    memory: Memory,
    handle: &Function,
    alloc: &Function,
    texts: [&str; 2],
    max_output: usize,
) -> Result<Value, EvalError> {
    let mut args = Vec::with_capacity(4);
    for text in texts {
        let length = i32::try_from(text.len())
            .map_err(|_| EvalError::new(EvalErrorKind::BadInput, "the message is longer than 2 GiB"))?;
        let at = integer(alloc.call(&mut *store, &[Val::I32(length)]).map_err(failure)?);
        // The address is a 32-bit one, whatever its sign.
        let at = at & u64::from(u32::MAX);
        put(store, memory, at, &[text.as_bytes()])?;
        args.extend([Val::I32(at as u32 as i32), Val::I32(length)]);
    }
    let packed = integer(handle.call(&mut *store, &args).map_err(failure)?);
    let (at, length) = ((packed >> 32) as usize, (packed & u64::from(u32::MAX)) as usize);
    if length > max_output {
        return Err(too_large(max_output));
    }
    let data = memory.data(&*store);
    let bytes = data.get(at..).and_then(|rest| rest.get(..length)).ok_or_else(outside)?;
    let text = std::str::from_utf8(bytes).map_err(|_| bad_output("it is not UTF-8"))?;
    response(text)
}

fn c(
    store: &mut Store<Host>,
    memory: Memory,
    handle: &Function,
    place: &Place,
    texts: [&str; 2],
    max_output: usize,
) -> Result<Value, EvalError> {
    let total = texts.iter().map(|text| text.len() as u64 + 32).sum::<u64>();
    let saved = match place {
        Place::Stack { save, free, .. } => {
            if let Some(free) = free {
                let free = integer(free.call(&mut *store, &[]).map_err(failure)?);
                if total.saturating_add(STACK_RESERVE) > free {
                    let what = format!("the message takes {total} bytes; the module's stack has {free}");
                    return Err(EvalError::new(EvalErrorKind::BadInput, what));
                }
            }
            save.call(&mut *store, &[]).map_err(failure)?
        }
        Place::Heap { .. } => None,
    };
    let mut args = Vec::with_capacity(2);
    for text in texts {
        let length = Val::I64(text.len() as i64 + 1);
        let function = match place {
            Place::Stack { alloc, .. } => alloc,
            Place::Heap { malloc, .. } => malloc,
        };
        let at = function.call(&mut *store, &[length]).map_err(failure)?.unwrap_or(Val::I32(0));
        put(store, memory, integer(Some(at)), &[text.as_bytes(), &[0]])?;
        args.push(at);
    }
    let at = integer(handle.call(&mut *store, &args).map_err(failure)?);
    let result = c_string(memory.data(&*store), at, max_output).and_then(|text| response(&text));
    match (place, saved) {
        (Place::Stack { restore, .. }, Some(saved)) => {
            restore.call(&mut *store, &[saved]).map_err(failure)?;
        }
        (Place::Heap { free: Some(free), .. }, _) => {
            for at in args {
                free.call(&mut *store, &[at]).map_err(failure)?;
            }
        }
        _ => {}
    }
    result
}

fn c_string(data: &[u8], at: u64, max_output: usize) -> Result<Cow<'_, str>, EvalError> {
    let rest = usize::try_from(at).ok().and_then(|at| data.get(at..)).ok_or_else(outside)?;
    let window = rest.get(..max_output.saturating_add(1)).unwrap_or(rest);
    match CStr::from_bytes_until_nul(window) {
        // As the loader's decoder does it: bytes that are not UTF-8 become U+FFFD.
        Ok(text) => Ok(String::from_utf8_lossy(text.to_bytes())),
        Err(_) if window.len() < rest.len() => Err(too_large(max_output)),
        Err(_) => Err(outside()),
    }
}

/// `{"ok":true,"response":…}` gives the response, `ok: false` is a refusal.
fn response(text: &str) -> Result<Value, EvalError> {
    let mut value: Value = serde_json::from_str(text).map_err(|error| bad_output(&error.to_string()))?;
    let response = value.get_mut("response").map(Value::take);
    match (value.get("ok"), response) {
        (Some(Value::Bool(true)), Some(response)) => Ok(response),
        (Some(Value::Bool(false)), response) => {
            let message = match response {
                Some(Value::String(text)) => text,
                Some(other) => other.to_string(),
                None => String::new(),
            };
            Err(EvalError::new(EvalErrorKind::Refused, message))
        }
        _ => Err(bad_output("it is not an object with `ok` and `response`")),
    }
}

fn put(store: &mut Store<Host>, memory: Memory, at: u64, parts: &[&[u8]]) -> Result<(), EvalError> {
    let mut place =
        usize::try_from(at).ok().and_then(|at| memory.data_mut(&mut *store).get_mut(at..)).unwrap_or_default();
    for part in parts {
        let Some((here, rest)) = place.split_at_mut_checked(part.len()) else {
            let message = "the module gave an address outside of its memory for the message";
            return Err(EvalError::new(EvalErrorKind::Trap, message));
        };
        here.copy_from_slice(part);
        place = rest;
    }
    Ok(())
}

fn integer(value: Option<Val>) -> u64 {
    match value {
        Some(Val::I32(value)) => u64::from(value.cast_unsigned()),
        Some(Val::I64(value)) => value.cast_unsigned(),
        _ => 0,
    }
}

fn bad_output(why: &str) -> EvalError {
    EvalError::new(EvalErrorKind::BadOutput, format!("the module returned no result: {why}"))
}

fn outside() -> EvalError {
    bad_output("it lies outside of the module's memory")
}

fn too_large(limit: usize) -> EvalError {
    EvalError::new(EvalErrorKind::OutputTooLarge, format!("the module returned more than {limit} bytes"))
}

/// What a failed call means.
pub(super) fn failure(error: wasmtime::Error) -> EvalError {
    if let Some(host) = error.downcast_ref::<HostError>() {
        let kind = match host {
            HostError::Exit(_) | HostError::Abort => EvalErrorKind::Exit,
            HostError::Node(_) => EvalErrorKind::NodeFault,
            HostError::LongJump | HostError::Uncaught | HostError::Address(_) | HostError::Fault(_) => {
                EvalErrorKind::Trap
            }
        };
        return EvalError::new(kind, host.to_string());
    }
    match error.downcast_ref::<wasmtime::Trap>() {
        Some(wasmtime::Trap::OutOfFuel) => EvalError::new(EvalErrorKind::OutOfFuel, "out of fuel"),
        Some(trap @ wasmtime::Trap::StackOverflow) => EvalError::new(EvalErrorKind::StackOverflow, trap.to_string()),
        Some(trap) => EvalError::new(EvalErrorKind::Trap, trap.to_string()),
        None => EvalError::new(EvalErrorKind::NodeFault, format!("{error:#}")),
    }
}
