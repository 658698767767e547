//! Arweave: a client for gateways, an embedded development network with the same HTTP, and the packing of data items
//! into bundle transactions.
//!
//! Where it sits: `node/src/anchor` and the node's HTTP door use the client and the bundler; the testnet runs the
//! devnet. The formats themselves (items, bundles, transactions, Merkle paths) are in `weft_protocol`.

pub mod bundler;
pub mod devnet;
pub mod gateway;
