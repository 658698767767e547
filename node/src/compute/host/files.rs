//! Files: those that the log fixed for the slot, to be read; nothing else exists. What a module writes is discarded.
//!
//! AO's modules open a file with `weavedrive_open` (0: no such file) and read it with `weavedrive_read`, which goes on where
//! the last read ended wherever `fseek` pointed since (`file:read(file:seek("end"))` is how AO's Lua reads a file whole);
//! here a seek to a place counted from the beginning moves it all the same. Other modules use the plain system calls.

use std::sync::Arc;

use bytes::Bytes;

use super::{Answer, Call, EACCES, ENOENT, Outcome, c_string};
use crate::compute::reads::Reads;

/// Fuel for looking at one element of an `iovec` list.
const FUEL_PER_VECTOR: u64 = 16;
/// Fuel for looking for a path.
const FUEL_PER_OPEN: u64 = 1000;
/// WASI's error numbers.
const EINVAL: i64 = 28;
const EBADF: i64 = 8;
/// Standard input, output and error.
const STANDARD: std::ops::RangeInclusive<u64> = 0..=2;
/// The number of the first file that is opened.
const FIRST: u64 = 3;
/// Most files that are open at once.
const MAX_OPEN: usize = 64;
/// Longest path that is looked at, in bytes.
const MAX_PATH: usize = 4096;
/// WASI's numbers for a file that is a terminal, and for a regular one.
const CHARACTER_DEVICE: u8 = 2;
const REGULAR_FILE: u8 = 4;
/// The bits of `open`'s flags that ask for writing.
const WRITING: u64 = 3;

/// The files of one slot.
#[derive(Default)]
pub(super) struct Files {
    reads: Arc<Reads>,
    open: Vec<Option<File>>,
}

struct File {
    content: Bytes,
    /// Where `weavedrive_read` goes on.
    drive_position: u64,
    /// Where `fd_read` goes on; moved by `fd_seek`.
    position: u64,
}

impl Files {
    pub(super) fn of(reads: &Arc<Reads>) -> Self {
        Self { reads: Arc::clone(reads), open: Vec::new() }
    }

    fn open(&mut self, path: &str) -> Option<u64> {
        let content = self.reads.get(path)?.clone();
        let file = File { content, drive_position: 0, position: 0 };
        let place = match self.open.iter().position(Option::is_none) {
            Some(place) => place,
            None if self.open.len() < MAX_OPEN => {
                self.open.push(None);
                self.open.len() - 1
            }
            None => return None,
        };
        *self.open.get_mut(place)? = Some(file);
        Some(FIRST + place as u64)
    }

    fn get(&mut self, number: u64) -> Option<&mut File> {
        let place = usize::try_from(number.checked_sub(FIRST)?).ok()?;
        self.open.get_mut(place)?.as_mut()
    }

    fn close(&mut self, number: u64) {
        let place = number.checked_sub(FIRST).and_then(|place| usize::try_from(place).ok());
        if let Some(file) = place.and_then(|place| self.open.get_mut(place)) {
            *file = None;
        }
    }
}

/// At most `length` bytes from `position` on.
fn part(content: &Bytes, position: u64, length: u64) -> Bytes {
    let size = content.len() as u64;
    let start = position.min(size);
    let end = start.saturating_add(length).min(size);
    content.slice(start as usize..end as usize)
}

fn open(call: &mut Call<'_, '_>, path_at: u64) -> wasmtime::Result<Option<u64>> {
    call.charge(FUEL_PER_OPEN)?;
    let path = c_string(call, path_at, MAX_PATH)?;
    let files = &mut call.caller.data_mut().files;
    Ok(std::str::from_utf8(&path).ok().and_then(|path| files.open(path)))
}

/// `weavedrive_open(path, mode)`: the file's number, 0 if there is none.
pub(super) fn drive_open(call: &mut Call<'_, '_>) -> Outcome {
    let path = call.arg(0);
    Ok(Answer::Int(open(call, path)?.unwrap_or(0).cast_signed()))
}

/// `weavedrive_read(file, to, length)`: how many bytes it was. AO's C library takes it for as many as it asked for, so the
/// rest becomes zeros instead of what happened to lie there.
pub(super) fn drive_read(call: &mut Call<'_, '_>) -> Outcome {
    let (number, to, length) = (call.arg(0), call.arg(1), call.arg(2));
    let Some(file) = call.caller.data_mut().files.get(number) else {
        return Ok(Answer::Int(0));
    };
    let bytes = part(&file.content, file.drive_position, length);
    file.drive_position = file.drive_position.saturating_add(bytes.len() as u64);
    call.charge(length)?;
    call.write(to, &bytes)?;
    call.clear(to.saturating_add(bytes.len() as u64), length.saturating_sub(bytes.len() as u64))?;
    Ok(Answer::Int(bytes.len() as i64))
}

/// `weavedrive_close(file)` and `fd_close(file)`.
pub(super) fn close(call: &mut Call<'_, '_>) -> Outcome {
    let number = call.arg(0);
    call.caller.data_mut().files.close(number);
    Ok(Answer::Int(0))
}

/// `openat(directory, path, flags, …)`.
pub(super) fn openat(call: &mut Call<'_, '_>) -> Outcome {
    let (path, flags) = (call.arg(1), call.arg(2));
    let opened = open(call, path)?;
    Ok(Answer::Int(match opened {
        Some(number) if flags & WRITING == 0 => number.cast_signed(),
        Some(number) => {
            call.caller.data_mut().files.close(number);
            EACCES
        }
        None => ENOENT,
    }))
}

/// The element's address and length.
fn vector(call: &mut Call<'_, '_>, vectors: u64, index: u64) -> wasmtime::Result<Option<(u64, u64)>> {
    let word = call.word();
    let at = vectors.checked_add(index.saturating_mul(word.saturating_mul(2)));
    let Some((at, length_at)) = at.and_then(|at| Some((at, at.checked_add(word)?))) else {
        return Ok(None);
    };
    Ok(Some((call.read_word(at)?, call.read_word(length_at)?)))
}

/// Counts the bytes and discards them.
pub(super) fn fd_write(call: &mut Call<'_, '_>) -> Outcome {
    let (vectors, count, written) = (call.arg(1), call.arg(2), call.arg(3));
    call.charge(count.saturating_mul(FUEL_PER_VECTOR))?;
    let mut total = 0_u64;
    for index in 0..count {
        let Some((_, length)) = vector(call, vectors, index)? else {
            return Ok(Answer::Int(EINVAL));
        };
        total = total.saturating_add(length);
    }
    call.write_word(written, total)?;
    Ok(Answer::Int(0))
}

/// Reads on in an open file; the standard input is at its end.
pub(super) fn fd_read(call: &mut Call<'_, '_>) -> Outcome {
    let (number, vectors, count, read) = (call.arg(0), call.arg(1), call.arg(2), call.arg(3));
    call.charge(count.saturating_mul(FUEL_PER_VECTOR))?;
    let mut total = 0_u64;
    for index in 0..count {
        let Some((to, length)) = vector(call, vectors, index)? else {
            return Ok(Answer::Int(EINVAL));
        };
        let Some(file) = call.caller.data_mut().files.get(number) else { break };
        let bytes = part(&file.content, file.position, length);
        file.position = file.position.saturating_add(bytes.len() as u64);
        call.charge(bytes.len() as u64)?;
        call.write(to, &bytes)?;
        total = total.saturating_add(bytes.len() as u64);
        if (bytes.len() as u64) < length {
            break;
        }
    }
    call.write_word(read, total)?;
    Ok(Answer::Int(0))
}

/// `fd_seek(file, offset, whence, result)`. (With 32-bit pointers the offset comes in two halves.) The position in a standard
/// stream is always 0.
pub(super) fn fd_seek(call: &mut Call<'_, '_>) -> Outcome {
    let halves = call.args.len() > 4;
    let offset = if halves { call.arg(1) | call.arg(2) << 32 } else { call.arg(1) }.cast_signed();
    let (number, whence) = (call.arg(0), call.arg(if halves { 3 } else { 2 }));
    let result = call.arg(call.args.len().saturating_sub(1));
    let position = match call.caller.data_mut().files.get(number) {
        None => 0,
        Some(file) => {
            let from = match whence {
                0 => 0,
                1 => file.position,
                2 => file.content.len() as u64,
                _ => return Ok(Answer::Int(EINVAL)),
            };
            let Some(position) = from.checked_add_signed(offset) else {
                return Ok(Answer::Int(EINVAL));
            };
            file.position = position;
            if whence == 0 {
                file.drive_position = position;
            }
            position
        }
    };
    call.write(result, &position.to_le_bytes())?;
    Ok(Answer::Int(0))
}

/// Writes two counts of nothing: no environment variables, no arguments.
pub(super) fn no_strings(call: &mut Call<'_, '_>) -> Outcome {
    let (count, bytes) = (call.arg(0), call.arg(1));
    call.write_word(count, 0)?;
    call.write_word(bytes, 0)?;
    Ok(Answer::Int(0))
}

/// The standard streams are terminals, opened files are regular; none has flags or rights.
pub(super) fn fd_fdstat_get(call: &mut Call<'_, '_>) -> Outcome {
    let (number, to) = (call.arg(0), call.arg(1));
    let kind = match call.caller.data_mut().files.get(number) {
        Some(_) => REGULAR_FILE,
        None if STANDARD.contains(&number) => CHARACTER_DEVICE,
        None => return Ok(Answer::Int(EBADF)),
    };
    let mut status = [0; 24];
    if let Some(first) = status.first_mut() {
        *first = kind;
    }
    call.write(to, &status)?;
    Ok(Answer::Int(0))
}
