//! The frame that snapshots and parked processes share: a head that says what they are of, and a compressed body.
//!
//! Form: what it is (8 bytes), module id (32), state root (32), memory size (u64), size of the body (u64), then the body
//! compressed with zstd. All integers little-endian. Nothing in it is believed: sizes are checked before anything is
//! allocated, and what a body says is checked against the root by those who read it.

use bytes::Bytes;
use weft_protocol::Id;
use zstd::zstd_safe::CParameter;

use super::{GlobalValue, PAGE, snapshot::SnapshotError};

const HEADER: usize = 8 + 32 + 32 + 8 + 8;
const MAX_GLOBALS: usize = 1024;
const LEVEL: i32 = 1;
/// Bytes of a global in a body.
const GLOBAL: usize = 17;

/// A stored state. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) bytes: Bytes,
    pub(super) module: Id,
    pub(super) root: Id,
    pub(super) memory_bytes: u64,
    pub(super) body_bytes: u64,
}

impl Stored {
    /// Packs a body; `dictionary` is what it may be like, and needed again to unpack it.
    pub(super) fn pack(
        magic: &[u8; 8],
        module: Id,
        root: Id,
        memory_bytes: u64,
        body: &[u8],
        dictionary: &[u8],
    ) -> Result<Self, SnapshotError> {
        let body_bytes = body.len() as u64;
        let compressed = compressed(body, dictionary).map_err(|error| SnapshotError::Node(error.to_string()))?;
        let mut bytes = Vec::with_capacity(HEADER + compressed.len());
        bytes.extend_from_slice(magic);
        bytes.extend_from_slice(module.as_bytes());
        bytes.extend_from_slice(root.as_bytes());
        bytes.extend_from_slice(&memory_bytes.to_le_bytes());
        bytes.extend_from_slice(&body_bytes.to_le_bytes());
        bytes.extend_from_slice(&compressed);
        Ok(Self { bytes: bytes.into(), module, root, memory_bytes, body_bytes })
    }

    /// Reads a head; `wrong` says what does not begin with `magic`.
    pub(super) fn read(magic: &[u8; 8], wrong: &'static str, bytes: Bytes) -> Result<Self, SnapshotError> {
        let mut reader = Reader(&bytes);
        if reader.array::<8>().as_ref() != Some(magic) {
            return Err(SnapshotError::Malformed(wrong));
        }
        let head = (|| Some((reader.array()?, reader.array()?, reader.array()?, reader.array()?)))();
        let (module, root, memory, body) = head.ok_or(SnapshotError::Malformed("it is too short"))?;
        Ok(Self {
            bytes,
            module: Id::from_bytes(module),
            root: Id::from_bytes(root),
            memory_bytes: u64::from_le_bytes(memory),
            body_bytes: u64::from_le_bytes(body),
        })
    }

    /// Unpacks the body of a state of `module`, whose memory may have `limit` bytes.
    pub(super) fn unpack(&self, module: Id, limit: u64, dictionary: &[u8]) -> Result<Vec<u8>, SnapshotError> {
        if self.module != module {
            return Err(SnapshotError::OtherModule { found: self.module, expected: module });
        }
        if self.memory_bytes > limit {
            return Err(SnapshotError::TooLarge { needs: self.memory_bytes, limit });
        }
        // All pages with their numbers, and the globals: nothing else can be in a body.
        let page_count = self.memory_bytes / PAGE as u64;
        let most = page_count * (PAGE as u64 + 4) + 12 + (GLOBAL * MAX_GLOBALS) as u64;
        if !self.memory_bytes.is_multiple_of(PAGE as u64) || self.body_bytes > most {
            return Err(SnapshotError::Malformed("its sizes do not fit together"));
        }
        let size = usize::try_from(self.body_bytes).map_err(|_| SnapshotError::Malformed("it is too large"))?;
        let compressed = self.bytes.get(HEADER..).unwrap_or_default();
        let body = zstd::bulk::Decompressor::with_dictionary(dictionary)
            .and_then(|mut decompressor| decompressor.decompress(compressed, size))
            .map_err(|_| SnapshotError::Malformed("its body cannot be decompressed"))?;
        if body.len() != size {
            return Err(SnapshotError::Malformed("its body has another size than it says"));
        }
        Ok(body)
    }
}

/// Fast compression that still finds what lies far back: by default it looks back half a MiB only, so that the dictionary
/// is soon out of sight, and remembers too few places to find much in it.
fn compressed(body: &[u8], dictionary: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut compressor = zstd::bulk::Compressor::with_dictionary(LEVEL, dictionary)?;
    compressor.set_parameter(CParameter::WindowLog(22))?;
    compressor.set_parameter(CParameter::HashLog(17))?;
    compressor.compress(body)
}

/// Bytes that a body begins with.
pub(super) fn globals_bytes(globals: &[GlobalValue]) -> usize {
    4 + globals.len() * GLOBAL
}

/// Count of globals (u32) and per global type (1 byte) and bits (16 bytes).
pub(super) fn put_globals(body: &mut Vec<u8>, globals: &[GlobalValue]) {
    body.extend_from_slice(&(globals.len() as u32).to_le_bytes());
    for global in globals {
        body.push(global.tag);
        body.extend_from_slice(&global.bits.to_le_bytes());
    }
}

/// Count (u32) and numbers (u32 each).
pub(super) fn put_numbers(body: &mut Vec<u8>, numbers: &[u32]) {
    body.extend_from_slice(&(numbers.len() as u32).to_le_bytes());
    for number in numbers {
        body.extend_from_slice(&number.to_le_bytes());
    }
}

/// Takes fields off the front of untrusted bytes.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl Reader<'_> {
    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// What [`put_globals`] wrote.
    pub(super) fn globals(&mut self) -> Option<Vec<GlobalValue>> {
        let count = self.u32()? as usize;
        if count > MAX_GLOBALS {
            return None;
        }
        let mut globals = Vec::with_capacity(count);
        for _ in 0..count {
            let [tag] = self.array()?;
            let bits = u128::from_le_bytes(self.array()?);
            if tag > 4 {
                return None;
            }
            globals.push(GlobalValue { tag, bits });
        }
        Some(globals)
    }

    /// What [`put_numbers`] wrote: page numbers of a memory of this size, ascending.
    pub(super) fn page_numbers(&mut self, memory_bytes: u64) -> Option<Vec<u32>> {
        let count = self.u32()? as usize;
        let (numbers, rest) = self.0.split_at_checked(count.checked_mul(4)?)?;
        self.0 = rest;
        let (numbers, _) = numbers.as_chunks::<4>();
        let numbers: Vec<u32> = numbers.iter().map(|number| u32::from_le_bytes(*number)).collect();
        let ascending = numbers.is_sorted_by(|left, right| left < right);
        let inside = numbers.last().is_none_or(|last| (u64::from(*last) + 1) * PAGE as u64 <= memory_bytes);
        (ascending && inside).then_some(numbers)
    }

    /// How many bytes are left.
    pub(super) fn left(&self) -> usize {
        self.0.len()
    }
}

/// Makes a body its last part, the contents of this many pages; `None` when another number of bytes is `left` to be read.
/// In place: a copy would cost as much as all the rest of reading.
pub(super) fn contents(mut body: Vec<u8>, left: usize, pages: usize) -> Option<Vec<u8>> {
    if left != pages.checked_mul(PAGE)? {
        return None;
    }
    let taken = body.len().checked_sub(left)?;
    body.drain(..taken);
    Some(body)
}
