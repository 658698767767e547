//! Ending, growing and copying: what a module asks of the process around it.

use wasmtime::{Trap, Val};

use super::{Answer, Call, ENOSYS, HostError, Outcome};
use crate::compute::module::ModuleFormat;

const PAGE: u64 = 65_536;
/// Fuel for asking for a larger memory, granted or not.
const FUEL_PER_GROWTH: u64 = 1000;
/// How far a growth may run ahead of what was asked for.
const OVERGROWTH: f64 = 100_663_296.0;

pub(super) fn exit(call: &mut Call<'_, '_>) -> Outcome {
    let code = call.arg(0) as u32;
    Err(HostError::Exit(code.cast_signed()).into())
}

pub(super) fn abort(_: &mut Call<'_, '_>) -> Outcome {
    Err(HostError::Abort.into())
}

/// `system(NULL)` says whether there is a command processor: no.
pub(super) fn system(call: &mut Call<'_, '_>) -> Outcome {
    Ok(Answer::Int(if call.arg(0) == 0 { 0 } else { ENOSYS }))
}

/// The largest memory, in bytes, that emscripten's runtime would try for.
pub(super) fn heap_ceiling(format: ModuleFormat) -> u64 {
    match format {
        ModuleFormat::Emscripten64 => 16 << 30,
        ModuleFormat::Emscripten32 | ModuleFormat::Plain => (4 << 30) - PAGE,
        ModuleFormat::Emscripten32Early => 500 << 20,
    }
}

fn ceiling(call: &Call<'_, '_>) -> u64 {
    call.caller.data().heap_ceiling
}

/// The upper half of the last 64-bit result that passed between module and host.
pub(super) fn upper_half(call: &mut Call<'_, '_>) -> Outcome {
    Ok(Answer::Int(call.caller.data().upper_half))
}

pub(super) fn set_upper_half(call: &mut Call<'_, '_>) -> Outcome {
    let value = call.arg(0);
    call.caller.data_mut().upper_half = value.cast_signed();
    Ok(Answer::Int(0))
}

pub(super) fn heap_max(call: &mut Call<'_, '_>) -> Outcome {
    Ok(Answer::Int(ceiling(call).cast_signed()))
}

/// Grows the memory to at least the requested size by emscripten's rule, which leaves room to spare and tries three
/// times with less of it. The process can see the size, so the rule is part of the environment.
pub(super) fn resize_heap(call: &mut Call<'_, '_>) -> Outcome {
    call.charge(FUEL_PER_GROWTH)?;
    let requested = call.arg(0);
    let memory = call.memory()?;
    let old = memory.data_size(&*call.caller) as u64;
    let ceiling = ceiling(call);
    if requested > ceiling {
        return Ok(Answer::Int(0));
    }
    for cut_down in [1.0, 2.0, 4.0] {
        let ahead = old as f64 * (1.0 + 0.2 / cut_down);
        let target = ahead.min(requested as f64 + OVERGROWTH).max(requested as f64);
        let size = ((target / PAGE as f64).ceil() as u64).saturating_mul(PAGE).min(ceiling);
        let pages = size.saturating_sub(old).div_ceil(PAGE);
        match memory.grow(&mut *call.caller, pages) {
            Ok(_) => return Ok(Answer::Int(1)),
            // A fault of this node is not an answer.
            Err(error) if error.downcast_ref::<HostError>().is_some() => return Err(error),
            Err(_) => {}
        }
    }
    Ok(Answer::Int(0))
}

/// `memcpy` as the loader does it, with JavaScript's `copyWithin`: ranges are cut at the end of the memory instead of
/// trapping. aos relies on it after an allocation that failed.
pub(super) fn copy_within(call: &mut Call<'_, '_>) -> Outcome {
    let (to, from, count) = (position(call, 0), position(call, 1), position(call, 2));
    let memory = call.memory()?;
    let size = memory.data_size(&*call.caller);
    let start = relative(from, size);
    let end = relative(from.saturating_add(count), size);
    let target = relative(to, size);
    let length = end.saturating_sub(start).min(size.saturating_sub(target));
    call.charge(length as u64)?;
    if length > 0 {
        let data = memory.data_mut(&mut *call.caller);
        if start.checked_add(length).is_none_or(|end| end > data.len()) {
            return Err(Trap::MemoryOutOfBounds.into());
        }
        data.copy_within(start..start + length, target);
    }
    // Some versions of the C library declare the destination as result.
    Ok(Answer::Int(to))
}

fn position(call: &Call<'_, '_>, index: usize) -> i64 {
    match call.args.get(index) {
        Some(Val::I32(value)) => i64::from(value.cast_unsigned()),
        Some(Val::I64(value)) => *value,
        _ => 0,
    }
}

/// An index as JavaScript's array functions read it: negative ones count from the end.
fn relative(index: i64, size: usize) -> usize {
    let size = i64::try_from(size).unwrap_or(i64::MAX);
    let position = if index < 0 { size.saturating_add(index).max(0) } else { index.min(size) };
    usize::try_from(position).unwrap_or(0)
}
