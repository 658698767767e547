//! A process's state as bytes that can be stored, sent and restored on any node with the same engine profile.
//!
//! Form: the head of `stored.rs` with `WEFTSNP1`; the body is the count of globals (u32) and per global type (1 byte) and
//! bits (16 bytes), the count of pages that are not zero (u32), their numbers (u32 each), their contents (4096 bytes each).

use bytes::Bytes;
use weft_protocol::Id;

use super::{
    PAGE,
    checkpoint::Checkpoint,
    image::Image,
    stored::{Reader, Stored, contents, globals_bytes, put_globals, put_numbers},
};
use crate::compute::module::Module;

const MAGIC: &[u8; 8] = b"WEFTSNP1";

/// The state of one process, compressed. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Snapshot(Stored);

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
    pub(crate) fn of(module: &Module, checkpoint: &Checkpoint) -> Result<Self, SnapshotError> {
        let image = module.image();
        let pages: Vec<u32> = checkpoint.nonzero(image).map(|(index, ..)| index).collect();
        let mut body = Vec::with_capacity(globals_bytes(&checkpoint.globals) + 4 + pages.len() * (PAGE + 4));
        put_globals(&mut body, &checkpoint.globals);
        put_numbers(&mut body, &pages);
        for (_, content, _) in checkpoint.nonzero(image) {
            body.extend_from_slice(content);
        }
        let root = checkpoint.root(image);
        Stored::pack(MAGIC, module.id(), root, checkpoint.memory_bytes, &body, &[]).map(Self)
    }

    /// Reads the head of a stored snapshot. The content is checked when it is restored.
    ///
    /// # Errors
    /// The bytes are not in the form of a snapshot.
    pub fn from_bytes(bytes: Bytes) -> Result<Self, SnapshotError> {
        Stored::read(MAGIC, "it does not begin with WEFTSNP1", bytes).map(Self)
    }

    /// The stored form.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0.bytes
    }

    /// The module that the process runs (SHA-256 of its binary).
    pub fn module(&self) -> Id {
        self.0.module
    }

    /// The state root that the snapshot claims; restoring checks it.
    pub fn root(&self) -> Id {
        self.0.root
    }

    /// Size of the process's linear memory in bytes.
    pub fn memory_bytes(&self) -> u64 {
        self.0.memory_bytes
    }

    /// Bytes that it takes unpacked, as it says itself; unpacking checks it.
    pub fn unpacked_bytes(&self) -> u64 {
        self.0.body_bytes
    }

    /// What is not zero in the memory, checked against the root: (offset, bytes), ascending, at most `limit` bytes of memory.
    ///
    /// # Errors
    /// The snapshot is damaged, or its memory is larger than `limit`.
    pub fn parts(&self, limit: u64) -> Result<Vec<(u64, Bytes)>, SnapshotError> {
        let Checkpoint { pages, data, .. } = self.complete(self.0.module, limit)?;
        let data = Bytes::from(data);
        let offset = |page: &u32| u64::from(*page).saturating_mul(PAGE as u64);
        // There are exactly as many contents as page numbers: `parse` has seen to it.
        let content = |at: usize| data.slice(at.saturating_mul(PAGE)..at.saturating_add(1).saturating_mul(PAGE));
        Ok(pages.iter().enumerate().map(|(at, page)| (offset(page), content(at))).collect())
    }

    pub(crate) fn checkpoint(&self, module: &Module) -> Result<Checkpoint, SnapshotError> {
        let mut checkpoint = self.complete(module.id(), module.limits().memory_bytes)?;
        let images = module.image().pages().map(|(index, ..)| index);
        checkpoint.cleared = images.filter(|index| !checkpoint.lists(*index)).collect();
        Ok(checkpoint)
    }

    /// The state with all its pages listed, checked against the root.
    fn complete(&self, module: Id, limit: u64) -> Result<Checkpoint, SnapshotError> {
        let body = self.0.unpack(module, limit, &[])?;
        let checkpoint = parse(body, self.0.memory_bytes).ok_or(SnapshotError::Malformed("its body is damaged"))?;
        if checkpoint.root(&Image::default()) != self.0.root {
            return Err(SnapshotError::WrongRoot);
        }
        Ok(checkpoint)
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot")
            .field("module", &self.0.module)
            .field("root", &self.0.root)
            .field("memory_bytes", &self.0.memory_bytes)
            .field("bytes", &self.0.bytes.len())
            .finish()
    }
}

fn parse(body: Vec<u8>, memory_bytes: u64) -> Option<Checkpoint> {
    let mut reader = Reader(&body);
    let globals = reader.globals()?;
    let pages = reader.page_numbers(memory_bytes)?;
    let left = reader.left();
    let data = contents(body, left, pages.len())?;
    Some(Checkpoint::new(memory_bytes, globals, Vec::new(), pages, data))
}
