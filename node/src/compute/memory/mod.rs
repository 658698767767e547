//! A process's state at rest: which pages hold something, checkpoints in memory, snapshots that can be stored.
//!
//! Where it sits: below `live.rs` and `instance.rs`; knows nothing of wasmtime.

pub(crate) mod checkpoint;
pub(crate) mod resident;
pub mod snapshot;

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
    ZERO.get(..page.len()) == Some(page)
}
