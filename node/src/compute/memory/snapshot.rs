//! A process's state as bytes that can be stored, sent and restored on any node with the same engine profile.
//!
//! Form: `WEFTSNP1` (8 bytes), module id (32), state root (32), memory size (u64), size of the body (u64), then the body
//! compressed with zstd: count of globals (u32) and per global type (1 byte) and bits (16 bytes), count of pages (u32),
//! their numbers (u32 each), their contents (4096 bytes each). All integers little-endian.

use bytes::Bytes;
use weft_protocol::Id;

use super::{GlobalValue, PAGE, checkpoint::Checkpoint};
use crate::compute::root;

const MAGIC: &[u8; 8] = b"WEFTSNP1";
const HEADER: usize = 8 + 32 + 32 + 8 + 8;
const MAX_GLOBALS: usize = 1024;
const LEVEL: i32 = 1;

/// The state of one process, compressed. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Snapshot {
    bytes: Bytes,
    module: Id,
    root: Id,
    memory_bytes: u64,
    body_bytes: u64,
}

/// Bytes that are not a snapshot, or not one for this module.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// Not in the form of a snapshot.
    #[error("this is not a process snapshot: {0}")]
    Malformed(&'static str),
    /// It belongs to another module.
    #[error("the snapshot is of module {found}, not of {expected}")]
    OtherModule {
        /// Module of the snapshot.
        found: Id,
        /// Module that it was to be restored with.
        expected: Id,
    },
    /// Its content does not have the root that it names.
    #[error("the snapshot's content does not match its state root; fetch it again or replay the log")]
    WrongRoot,
    /// It needs more memory than this node allows.
    #[error("the snapshot needs {needs} bytes of memory; this node allows {limit}")]
    TooLarge {
        /// Bytes needed.
        needs: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// This node could not do it.
    #[error("the snapshot could not be made or restored here: {0}")]
    Node(String),
}

impl Snapshot {
    pub(crate) fn of(module: Id, checkpoint: &Checkpoint) -> Result<Self, SnapshotError> {
        let mut body = Vec::with_capacity(checkpoint.weight() + 17 * checkpoint.globals.len() + 8);
        body.extend_from_slice(&(checkpoint.globals.len() as u32).to_le_bytes());
        for global in &checkpoint.globals {
            body.push(global.tag);
            body.extend_from_slice(&global.bits.to_le_bytes());
        }
        body.extend_from_slice(&(checkpoint.pages.len() as u32).to_le_bytes());
        for index in &checkpoint.pages {
            body.extend_from_slice(&index.to_le_bytes());
        }
        body.extend_from_slice(&checkpoint.data);
        let compressed = zstd::bulk::compress(&body, LEVEL).map_err(|error| SnapshotError::Node(error.to_string()))?;
        let (root, body_bytes) = (root::of(checkpoint), body.len() as u64);
        let mut bytes = Vec::with_capacity(HEADER + compressed.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(module.as_bytes());
        bytes.extend_from_slice(root.as_bytes());
        bytes.extend_from_slice(&checkpoint.memory_bytes.to_le_bytes());
        bytes.extend_from_slice(&body_bytes.to_le_bytes());
        bytes.extend_from_slice(&compressed);
        Ok(Self { bytes: bytes.into(), module, root, memory_bytes: checkpoint.memory_bytes, body_bytes })
    }

    /// Reads the head of a stored snapshot. The content is checked when it is restored.
    ///
    /// # Errors
    /// The bytes are not in the form of a snapshot.
    pub fn from_bytes(bytes: Bytes) -> Result<Self, SnapshotError> {
        let mut reader = Reader(&bytes);
        let short = SnapshotError::Malformed("it is too short");
        if reader.array::<8>().as_ref() != Some(MAGIC) {
            return Err(SnapshotError::Malformed("it does not begin with WEFTSNP1"));
        }
        let head = (|| Some((reader.array()?, reader.array()?, reader.array()?, reader.array()?)))();
        let (module, root, memory, body) = head.ok_or(short)?;
        Ok(Self {
            bytes,
            module: Id::from_bytes(module),
            root: Id::from_bytes(root),
            memory_bytes: u64::from_le_bytes(memory),
            body_bytes: u64::from_le_bytes(body),
        })
    }

    /// The stored form.
    pub fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The module that the process runs (SHA-256 of its binary).
    pub fn module(&self) -> Id {
        self.module
    }

    /// The state root that the snapshot claims; restoring checks it.
    pub fn root(&self) -> Id {
        self.root
    }

    /// Size of the process's linear memory in bytes.
    pub fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    /// Bytes that it takes unpacked, as it says itself; unpacking checks it.
    pub fn unpacked_bytes(&self) -> u64 {
        self.body_bytes
    }

    /// What is not zero in the memory, checked against the root: (offset, bytes), ascending, at most `limit` bytes of memory.
    ///
    /// # Errors
    /// The snapshot is damaged, or its memory is larger than `limit`.
    pub fn parts(&self, limit: u64) -> Result<Vec<(u64, Bytes)>, SnapshotError> {
        let Checkpoint { pages, data, .. } = self.checkpoint(self.module, limit)?;
        let data = Bytes::from(data);
        let offset = |page: &u32| u64::from(*page).saturating_mul(PAGE as u64);
        // There are exactly as many contents as page numbers: `parse` has seen to it.
        let content = |at: usize| data.slice(at.saturating_mul(PAGE)..at.saturating_add(1).saturating_mul(PAGE));
        Ok(pages.iter().enumerate().map(|(at, page)| (offset(page), content(at))).collect())
    }

    pub(crate) fn checkpoint(&self, expected: Id, limit: u64) -> Result<Checkpoint, SnapshotError> {
        if self.module != expected {
            return Err(SnapshotError::OtherModule { found: self.module, expected });
        }
        if self.memory_bytes > limit {
            return Err(SnapshotError::TooLarge { needs: self.memory_bytes, limit });
        }
        // All pages with their numbers, and the globals: nothing else can be in a body.
        let page_count = self.memory_bytes / PAGE as u64;
        let most = page_count * (PAGE as u64 + 4) + 8 + 17 * MAX_GLOBALS as u64;
        if !self.memory_bytes.is_multiple_of(PAGE as u64) || self.body_bytes > most {
            return Err(SnapshotError::Malformed("its sizes do not fit together"));
        }
        let size = usize::try_from(self.body_bytes).map_err(|_| SnapshotError::Malformed("it is too large"))?;
        let compressed = self.bytes.get(HEADER..).unwrap_or_default();
        let body = zstd::bulk::decompress(compressed, size)
            .map_err(|_| SnapshotError::Malformed("its body cannot be decompressed"))?;
        if body.len() != size {
            return Err(SnapshotError::Malformed("its body has another size than it says"));
        }
        let checkpoint = parse(&body, self.memory_bytes).ok_or(SnapshotError::Malformed("its body is damaged"))?;
        if root::of(&checkpoint) != self.root {
            return Err(SnapshotError::WrongRoot);
        }
        Ok(checkpoint)
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot")
            .field("module", &self.module)
            .field("root", &self.root)
            .field("memory_bytes", &self.memory_bytes)
            .field("bytes", &self.bytes.len())
            .finish()
    }
}

fn parse(body: &[u8], memory_bytes: u64) -> Option<Checkpoint> {
    let mut reader = Reader(body);
    let count = reader.u32()? as usize;
    if count > MAX_GLOBALS {
        return None;
    }
    let mut globals = Vec::with_capacity(count);
    for _ in 0..count {
        let [tag] = reader.array()?;
        let bits = u128::from_le_bytes(reader.array()?);
        if tag > 4 {
            return None;
        }
        globals.push(GlobalValue { tag, bits });
    }
    let count = reader.u32()? as usize;
    let (numbers, data) = reader.0.split_at_checked(count.checked_mul(4)?)?;
    let (numbers, _) = numbers.as_chunks::<4>();
    let pages: Vec<u32> = numbers.iter().map(|number| u32::from_le_bytes(*number)).collect();
    let ascending = pages.is_sorted_by(|left, right| left < right);
    let inside = pages.last().is_none_or(|last| (u64::from(*last) + 1) * PAGE as u64 <= memory_bytes);
    if !ascending || !inside || data.len() != count.checked_mul(PAGE)? {
        return None;
    }
    Some(Checkpoint { memory_bytes, globals, pages, data: data.to_vec() })
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }
}
