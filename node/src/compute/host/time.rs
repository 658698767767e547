//! Clock and calendar: the clock stands still, the time zone is UTC.

use wasmtime::Val;

use super::{
    Answer, Call, HostError, Outcome, c_string,
    calendar::{self, BrokenDown},
    exported, jump, strftime as format,
};
use crate::compute::config::CLOCK_MS;

const FIELDS: usize = 36;
/// Fuel for a byte of a pattern, half of a conversion that may make some thirty bytes. Paid first: a text that does not fit
/// has cost as much.
const FUEL_PER_PATTERN_BYTE: u64 = 256;

pub(super) fn date_now(_: &mut Call<'_, '_>) -> Outcome {
    Ok(Answer::Float(CLOCK_MS as f64))
}

/// WASI's clock: nanoseconds written to the last parameter.
pub(super) fn clock_time_get(call: &mut Call<'_, '_>) -> Outcome {
    let to = call.arg(call.args.len().saturating_sub(1));
    call.write(to, &(CLOCK_MS * 1_000_000).to_le_bytes())?;
    Ok(Answer::Int(0))
}

/// `timezone`, `daylight` and the two zone names. Early builds want the names as an array of two addresses, in memory that
/// the module gives.
pub(super) fn tzset(call: &mut Call<'_, '_>) -> Outcome {
    if call.args.len() == 3 {
        let (zone, daylight, names) = (call.arg(0), call.arg(1), call.arg(2));
        call.write_word(zone, 0)?;
        call.write(daylight, &0_i32.to_le_bytes())?;
        for at in [names, names.saturating_add(call.word())] {
            let malloc = exported(call.caller, "malloc");
            let malloc = malloc.ok_or_else(|| HostError::Fault("the module does not export malloc".to_owned()))?;
            let name = match jump::call_back(call.caller, malloc, &[Val::I32(4)])? {
                Some(Val::I32(address)) => u64::from(address.cast_unsigned()),
                Some(Val::I64(address)) => address.cast_unsigned(),
                _ => 0,
            };
            call.write(name, b"UTC\0")?;
            call.write_word(at, name)?;
        }
        return Ok(Answer::Int(0));
    }
    let (zone, daylight, standard, summer) = (call.arg(0), call.arg(1), call.arg(2), call.arg(3));
    call.write_word(zone, 0)?;
    call.write(daylight, &0_i32.to_le_bytes())?;
    call.write(standard, b"UTC\0")?;
    call.write(summer, b"UTC\0")?;
    Ok(Answer::Int(0))
}

pub(super) fn gmtime(call: &mut Call<'_, '_>) -> Outcome {
    let (seconds, to) = seconds_and_target(call)?;
    let time = calendar::break_down(seconds).unwrap_or_default();
    write_fields(call, to, &time, 8)?;
    Ok(Answer::Int(0))
}

pub(super) fn localtime(call: &mut Call<'_, '_>) -> Outcome {
    let (seconds, to) = seconds_and_target(call)?;
    let time = calendar::break_down(seconds).unwrap_or_default();
    write_fields(call, to, &time, 9)?;
    let offset_at = to.saturating_add(if call.wide { 40 } else { FIELDS as u64 });
    call.write_word(offset_at, 0)?;
    Ok(Answer::Int(0))
}

/// Normalises a broken-down time in place and returns its seconds.
pub(super) fn mktime(call: &mut Call<'_, '_>) -> Outcome {
    let at = call.arg(0);
    let time = read_fields(call, at)?;
    let normal = calendar::seconds(&time).and_then(|seconds| Some((seconds, calendar::break_down(seconds)?)));
    let seconds = match normal {
        Some((seconds, normal)) => {
            write_fields(call, at, &normal, 9)?;
            seconds
        }
        None => -1,
    };
    if !call.wide {
        // 32-bit modules take the upper half of a 64-bit result from here.
        let upper = ["_emscripten_tempret_set", "setTempRet0"].iter().find_map(|name| exported(call.caller, name));
        if let Some(upper) = upper {
            jump::call_back(call.caller, upper, &[Val::I32((seconds >> 32) as i32)])?;
        }
    }
    Ok(Answer::Int(seconds))
}

/// `strftime(to, size, format, time)`: bytes written without the NUL, 0 if they do not fit.
pub(super) fn strftime(call: &mut Call<'_, '_>) -> Outcome {
    let (to, size, pattern, time_at) = (call.arg(0), call.arg(1), call.arg(2), call.arg(3));
    let time = read_fields(call, time_at)?;
    let pattern = c_string(call, pattern, 1 << 16)?;
    call.charge((pattern.len() as u64).saturating_mul(FUEL_PER_PATTERN_BYTE))?;
    let limit = usize::try_from(size).unwrap_or(usize::MAX).min(1 << 20);
    let Some(mut text) = format::format(&pattern, &time, limit.saturating_sub(1)) else {
        return Ok(Answer::Int(0));
    };
    call.charge(text.len() as u64)?;
    if text.len() >= limit {
        return Ok(Answer::Int(0));
    }
    let length = text.len() as i64;
    text.push(0);
    call.write(to, &text)?;
    Ok(Answer::Int(length))
}

/// The time comes as a 64-bit value, as two halves, or (old 32-bit builds) by address; the target follows it.
fn seconds_and_target(call: &mut Call<'_, '_>) -> wasmtime::Result<(i64, u64)> {
    match (call.args.first(), call.args.len()) {
        (Some(Val::I64(seconds)), _) => Ok((*seconds, call.arg(1))),
        (_, 3) => Ok(((call.arg(0) | call.arg(1) << 32).cast_signed(), call.arg(2))),
        _ => {
            let from = call.arg(0);
            Ok((i64::from_le_bytes(call.read(from)?), call.arg(1)))
        }
    }
}

fn read_fields(call: &mut Call<'_, '_>, address: u64) -> wasmtime::Result<BrokenDown> {
    let bytes: [u8; FIELDS] = call.read(address)?;
    let mut fields = [0_i32; 9];
    for (field, chunk) in fields.iter_mut().zip(bytes.chunks_exact(4)) {
        *field = chunk.first_chunk().map_or(0, |bytes| i32::from_le_bytes(*bytes));
    }
    Ok(BrokenDown::from_fields(fields))
}

fn write_fields(call: &mut Call<'_, '_>, address: u64, time: &BrokenDown, count: usize) -> wasmtime::Result<()> {
    let bytes: Vec<u8> = time.fields().iter().take(count).flat_map(|field| field.to_le_bytes()).collect();
    call.write(address, &bytes)
}
