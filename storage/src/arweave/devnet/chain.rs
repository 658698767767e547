//! Blocks, fees and anchors: the arithmetic of the devnet's chain.

use serde::{Deserialize, Serialize};
use weft_protocol::Id;

/// A transaction's anchor must be the hash of one of so many last blocks.
pub(super) const ANCHOR_LIFE: usize = 50;
/// How deep the anchor lies that `/tx_anchor` hands out.
const ANCHOR_DEPTH: usize = 6;
/// The most transactions in a block.
pub(super) const BLOCK_TXS: usize = 1000;
/// Data is paid by whole chunks of this size.
const CHUNK: u128 = 256 << 10;
/// Bytes that every transaction pays for besides its data.
const TX_BYTES: u128 = 3210;
/// Bytes that a first transfer to an address pays for.
pub(super) const NEW_WALLET_BYTES: u128 = 20_000_000;
/// Winston per GiB and minute, the last value fixed in Arweave's code.
const PER_GIB_MINUTE: u128 = 340;

/// A block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Block {
    /// 64 characters of base64url.
    pub hash: String,
    /// The block below; empty for the first.
    pub previous: String,
    /// Its height; the first has 0.
    pub height: u64,
    /// Seconds since 1970.
    pub timestamp: u64,
    /// Its transactions, in order.
    pub txs: Vec<Id>,
    /// Bytes of data in the chain up to and with this block.
    pub weave_size: u64,
}

impl Block {
    /// The block above `below` (the first one above nothing).
    pub fn above(below: Option<&Self>, timestamp: u64, txs: Vec<Id>, added: u64) -> Self {
        let previous = below.map(|block| block.hash.clone()).unwrap_or_default();
        let height = below.map_or(0, |block| block.height + 1);
        let timestamp = timestamp.max(below.map_or(0, |block| block.timestamp));
        let weave_size = below.map_or(0, |block| block.weave_size).saturating_add(added);
        let hash = hash(&previous, height, timestamp, &txs);
        Self { hash, previous, height, timestamp, txs, weave_size }
    }

    /// The block as Arweave nodes write it.
    pub fn json(&self, size: u64) -> serde_json::Value {
        serde_json::json!({
            "nonce": "", "previous_block": self.previous, "timestamp": self.timestamp, "last_retarget": self.timestamp,
            "diff": "0", "height": self.height, "hash": self.hash, "indep_hash": self.hash, "txs": self.txs,
            "wallet_list": "", "reward_addr": "unclaimed", "tags": [], "reward_pool": "0",
            "weave_size": self.weave_size.to_string(), "block_size": size.to_string(),
        })
    }
}

/// 48 bytes from two SHA-256 sums over everything the block is.
fn hash(previous: &str, height: u64, timestamp: u64, txs: &[Id]) -> String {
    let mut bytes = format!("weft-devnet {previous} {height} {timestamp}").into_bytes();
    txs.iter().for_each(|id| bytes.extend_from_slice(id.as_bytes()));
    let first = Id::sha256(&bytes);
    let second = Id::sha256(first.as_bytes());
    let mut text = first.to_string();
    text.push_str(&second.to_string());
    text.truncate(64);
    text
}

/// The hash that a new transaction should be anchored to.
pub(super) fn anchor(blocks: &[Block]) -> &str {
    blocks.get(blocks.len().saturating_sub(ANCHOR_DEPTH)).map_or("", |block| block.hash.as_str())
}

/// Whether `anchor` is the hash of a recent block.
pub(super) fn is_recent(blocks: &[Block], anchor: &str) -> bool {
    blocks.iter().rev().take(ANCHOR_LIFE).any(|block| block.hash == anchor)
}

/// The fee for storing `bytes` for good: 20 replicas, 200 years of falling prices, a twentieth on top.
pub(super) fn fee(bytes: u64, new_wallet: bool) -> u128 {
    let chunks = u128::from(bytes).div_ceil(CHUNK) * CHUNK;
    let extra = if new_wallet { NEW_WALLET_BYTES } else { 0 };
    let size = chunks + TX_BYTES + extra;
    let yearly = 21 * PER_GIB_MINUTE * 525_600 * size;
    yearly.saturating_mul(10_000_000) / 50_125 / (1 << 30)
}
