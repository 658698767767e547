//! What all Weft nodes must agree on. Pure: no clock, no socket, no disk, no thread, no async.
//!
//! Where it sits: below everything. `storage`, `node` and `testnet` depend on it; it depends on no part of Weft.

pub mod anchor;
pub mod id;
pub mod wire;

pub use id::Id;
