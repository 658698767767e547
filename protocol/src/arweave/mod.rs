//! Arweave's own formats: layer-1 transactions, and the tree of chunks under their data.
//!
//! Where it sits: pure formats only; speaking to gateways is the storage crate's work.

pub mod merkle;
mod transaction;
mod transaction_json;

pub use transaction::{Format, Transaction, TransactionBuilder, TransactionError, TxTag};
