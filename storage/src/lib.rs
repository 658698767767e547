//! What a node must not lose: journal, index, blobs, and Arweave (client, bundler, embedded devnet).
//!
//! Where it sits: above `weft-protocol`, below the node. Only this crate names sled and speaks to a gateway.

pub mod arweave;
pub mod blobs;
pub mod store;

pub use blobs::{BlobError, Blobs};
pub use store::{Direction, IndexBatch, Position, Reducer, Store, StoreError, StoreStats};
