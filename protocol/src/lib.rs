//! What all Weft nodes must agree on. Pure: no clock, no socket, no disk, no thread, no async.
//!
//! Where it sits: below everything. `storage`, `node` and `testnet` depend on it; it depends on no part of Weft.

pub mod anchor;
pub mod ans104;
pub mod arweave;
pub mod b64;
pub mod election;
pub mod id;
pub mod keys;
pub mod market;
pub mod network;
pub mod wire;

pub use id::Id;
pub use keys::{Jwk, NodeKey};
pub use network::Network;
