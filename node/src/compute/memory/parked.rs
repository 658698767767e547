//! A process that rests on this node's disk: its difference to the module's image, compressed.
//!
//! Where it sits: made and revived by [`crate::compute::Instance`]; the pool writes, authenticates and reads the bytes. Never
//! sent to others: the image is what this version of Weft makes of the module.
//!
//! Form: the head of `stored.rs` with `WEFTPRK1`; the body is the globals, the pages of the image that are zero now
//! (count u32, numbers u32 each), the pages that hold something else than in the image (the same), and their contents
//! (4096 bytes each), compressed with the image as zstd's dictionary: a fifth smaller. Reviving checks the whole state against the root in the head.

use bytes::Bytes;
use weft_protocol::Id;

use super::{
    checkpoint::Checkpoint,
    snapshot::SnapshotError,
    stored::{Reader, Stored, contents, globals_bytes, put_globals, put_numbers},
};
use crate::compute::module::Module;

const MAGIC: &[u8; 8] = b"WEFTPRK1";

/// One process at rest. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Parked(Stored);

impl Parked {
    pub(crate) fn of(module: &Module, checkpoint: &Checkpoint) -> Result<Self, SnapshotError> {
        let image = module.image();
        let differs = |(index, content): &(u32, &[u8])| image.content(*index) != Some(*content);
        let pages: Vec<u32> = checkpoint.listed().filter(differs).map(|(index, _)| index).collect();
        let numbers = (pages.len() + checkpoint.cleared.len()) * 4 + 8;
        let size = globals_bytes(&checkpoint.globals) + numbers + pages.len() * super::PAGE;
        let mut body = Vec::with_capacity(size);
        put_globals(&mut body, &checkpoint.globals);
        put_numbers(&mut body, &checkpoint.cleared);
        put_numbers(&mut body, &pages);
        for (_, content) in checkpoint.listed().filter(differs) {
            body.extend_from_slice(content);
        }
        let root = checkpoint.root(image);
        Stored::pack(MAGIC, module.id(), root, checkpoint.memory_bytes, &body, image.dictionary()).map(Self)
    }

    /// Reads the head of a parked process. The content is checked when it is revived.
    ///
    /// # Errors
    /// The bytes are not in the form of a parked process.
    pub fn from_bytes(bytes: Bytes) -> Result<Self, SnapshotError> {
        Stored::read(MAGIC, "it does not begin with WEFTPRK1", bytes).map(Self)
    }

    /// The stored form.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0.bytes
    }

    /// The module that the process runs (SHA-256 of its binary).
    pub fn module(&self) -> Id {
        self.0.module
    }

    /// The state root that the head claims; reviving checks it.
    pub fn root(&self) -> Id {
        self.0.root
    }

    /// Size of the process's linear memory in bytes.
    pub fn memory_bytes(&self) -> u64 {
        self.0.memory_bytes
    }

    pub(crate) fn checkpoint(&self, module: &Module) -> Result<Checkpoint, SnapshotError> {
        let body = self.0.unpack(module.id(), module.limits().memory_bytes, module.image().dictionary())?;
        let checkpoint = parse(body, self.0.memory_bytes).ok_or(SnapshotError::Malformed("its body is damaged"))?;
        let image = module.image();
        let sound = checkpoint.cleared.iter().all(|index| image.has(*index) && !checkpoint.lists(*index));
        if !sound {
            return Err(SnapshotError::Malformed("its body is damaged"));
        }
        if checkpoint.root(image) != self.0.root {
            return Err(SnapshotError::WrongRoot);
        }
        Ok(checkpoint)
    }
}

fn parse(body: Vec<u8>, memory_bytes: u64) -> Option<Checkpoint> {
    let mut reader = Reader(&body);
    let globals = reader.globals()?;
    let cleared = reader.page_numbers(memory_bytes)?;
    let pages = reader.page_numbers(memory_bytes)?;
    let left = reader.left();
    let data = contents(body, left, pages.len())?;
    Some(Checkpoint::new(memory_bytes, globals, cleared, pages, data))
}

impl std::fmt::Debug for Parked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parked")
            .field("module", &self.0.module)
            .field("root", &self.0.root)
            .field("memory_bytes", &self.0.memory_bytes)
            .field("bytes", &self.0.bytes.len())
            .finish()
    }
}
