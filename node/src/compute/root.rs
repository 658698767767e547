//! The state root: one hash that two nodes compare to know that a process is in the same state on both.
//!
//! Where it sits: over a checkpoint; the compute service attests it at the end of each window.
//!
//! `BLAKE3("weft state 1\n" ‖ size ‖ globals ‖ pages)`: the size of the memory in bytes (u64, little-endian: a process can
//! see it); the count of mutable globals (u32) and of each its type (1 byte) and bits (16 bytes, little-endian); then, per
//! 4 KiB page that is not all zeros, ascending, its number (u32, little-endian) and the BLAKE3 hash of its content.

use weft_protocol::Id;

use super::memory::{checkpoint::Checkpoint, image::Image};

/// The root of a state that is described as a difference to `image`.
pub(crate) fn of(checkpoint: &Checkpoint, image: &Image) -> Id {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"weft state 1\n");
    hasher.update(&checkpoint.memory_bytes.to_le_bytes());
    hasher.update(&(checkpoint.globals.len() as u32).to_le_bytes());
    for global in &checkpoint.globals {
        hasher.update(&[global.tag]);
        hasher.update(&global.bits.to_le_bytes());
    }
    for (index, content, known) in checkpoint.nonzero(image) {
        hasher.update(&index.to_le_bytes());
        match known {
            Some(hash) => hasher.update(hash),
            None => hasher.update(blake3::hash(content).as_bytes()),
        };
    }
    Id::from_bytes(*hasher.finalize().as_bytes())
}
