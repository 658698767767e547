//! Files: there are none. What a module writes is discarded, what it reads is at its end.

use super::{Answer, Call, Outcome};

/// Fuel for looking at one element of an `iovec` list.
const FUEL_PER_VECTOR: u64 = 16;
const EINVAL: i64 = 28;
const EBADF: i64 = 8;
/// Standard input, output and error.
const STANDARD: std::ops::RangeInclusive<u64> = 0..=2;
/// WASI's number for a file that is a terminal.
const CHARACTER_DEVICE: u8 = 2;

/// Counts the bytes and discards them.
pub(super) fn fd_write(call: &mut Call<'_, '_>) -> Outcome {
    let (vectors, count, written) = (call.arg(1), call.arg(2), call.arg(3));
    call.charge(count.saturating_mul(FUEL_PER_VECTOR))?;
    let stride = call.word().saturating_mul(2);
    let mut total = 0_u64;
    for index in 0..count {
        let length_at =
            vectors.checked_add(index.saturating_mul(stride)).and_then(|address| address.checked_add(call.word()));
        let Some(length_at) = length_at else {
            return Ok(Answer::Int(EINVAL));
        };
        total = total.saturating_add(call.read_word(length_at)?);
    }
    call.write_word(written, total)?;
    Ok(Answer::Int(0))
}

/// Always at the end of the file.
pub(super) fn fd_read(call: &mut Call<'_, '_>) -> Outcome {
    let read = call.arg(3);
    call.write_word(read, 0)?;
    Ok(Answer::Int(0))
}

/// The position is always 0. (With 32-bit pointers the offset comes in two halves, hence the place of the result.)
pub(super) fn fd_seek(call: &mut Call<'_, '_>) -> Outcome {
    let position = call.arg(call.args.len().saturating_sub(1));
    call.write(position, &[0; 8])?;
    Ok(Answer::Int(0))
}

/// No environment variables.
pub(super) fn environ_sizes_get(call: &mut Call<'_, '_>) -> Outcome {
    let (count, bytes) = (call.arg(0), call.arg(1));
    call.write_word(count, 0)?;
    call.write_word(bytes, 0)?;
    Ok(Answer::Int(0))
}

/// The standard streams are terminals without flags or rights; there are no others.
pub(super) fn fd_fdstat_get(call: &mut Call<'_, '_>) -> Outcome {
    let (file, to) = (call.arg(0), call.arg(1));
    if !STANDARD.contains(&file) {
        return Ok(Answer::Int(EBADF));
    }
    let mut status = [0; 24];
    if let Some(kind) = status.first_mut() {
        *kind = CHARACTER_DEVICE;
    }
    call.write(to, &status)?;
    Ok(Answer::Int(0))
}
