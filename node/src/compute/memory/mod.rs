//! A process's state at rest: which pages hold something, checkpoints in memory, snapshots that can be stored and parked
//! processes.
//!
//! Where it sits: below `live.rs` and `instance.rs`; knows nothing of wasmtime.
//!
//! Three forms of the same state: a checkpoint is a copy in memory, made to go back to; a snapshot is complete in itself
//! and any node can restore it; a parked process is its difference to the module's image, small and quick to bring back,
//! for the disk of the node that made it.

pub(crate) mod checkpoint;
pub(crate) mod image;
pub mod parked;
pub(crate) mod resident;
pub mod snapshot;
mod stored;

/// Granularity of snapshots and state roots, in bytes. (A WebAssembly page is 16 of these.)
pub(crate) const PAGE: usize = 4096;

/// The value of a mutable global: its type's number and its bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GlobalValue {
    /// 0 i32, 1 i64, 2 f32, 3 f64, 4 v128.
    pub(crate) tag: u8,
    pub(crate) bits: u128,
}

static ZERO: [u8; PAGE] = [0; PAGE];

/// Whether a page (or the rest of one) is all zeros.
pub(crate) fn is_zero(page: &[u8]) -> bool {
    // The C library's comparison: as fast as a loop over wide registers, also in a build without optimisation.
    ZERO.get(..page.len()) == Some(page)
}

/// The page of this number in `memory`.
pub(crate) fn page(memory: &[u8], index: u32) -> Option<&[u8]> {
    memory.get(index as usize * PAGE..)?.get(..PAGE)
}

/// The same, to be written.
pub(crate) fn page_mut(memory: &mut [u8], index: u32) -> Option<&mut [u8]> {
    memory.get_mut(index as usize * PAGE..)?.get_mut(..PAGE)
}
