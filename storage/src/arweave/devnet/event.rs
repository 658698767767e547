//! What the devnet remembers: one record per thing accepted, replayed in order at the next start.
//!
//! Layout of a record: length of the head (u32 little-endian), the head as JSON, then the bytes it speaks of.

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use weft_protocol::{Id, arweave::Transaction};

use super::{DevnetError, chain::Block};

/// The head of a record.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(super) enum Event {
    /// Money from nowhere.
    Mint {
        /// Whose.
        address: Id,
        /// How much, in winston (text: JSON numbers end at 2^53).
        winston: String,
    },
    /// A transaction was accepted; the bytes are its data when it came with the header.
    Transaction {
        /// The header, without data.
        header: Box<Transaction>,
    },
    /// A chunk was accepted; the bytes are its proof, then the chunk.
    Chunk {
        /// The data's Merkle root.
        root: Id,
        /// The data's size.
        size: u64,
        /// Where in the data the chunk begins.
        start: u64,
        /// Length of the proof.
        path_len: u32,
    },
    /// An item came through the uploader; the bytes are the item.
    Item {
        /// When, in milliseconds since 1970.
        at: u64,
    },
    /// The verified items inside a transaction's data.
    Unbundled {
        /// The transaction.
        tx: Id,
        /// The items.
        items: Vec<Found>,
    },
    /// A block was mined.
    Block {
        /// The block.
        block: Block,
        /// Transactions that left the mempool because their anchors were too old.
        expired: Vec<Id>,
    },
    /// A pending transaction was made to vanish.
    Drop {
        /// The transaction.
        tx: Id,
    },
}

/// An item inside a transaction's data.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Found {
    /// Its id.
    pub id: Id,
    /// The transaction or item whose payload lists it.
    pub parent: Id,
    /// Where its raw bytes begin in the transaction's data.
    pub offset: u64,
    /// How many raw bytes it has.
    pub size: u64,
}

impl Event {
    /// The record of this event with its bytes, and how many bytes precede those.
    pub fn encode(&self, payload: &[u8]) -> Result<(Bytes, u64), DevnetError> {
        let head = serde_json::to_vec(self).map_err(|error| DevnetError::Record(error.to_string()))?;
        let len = u32::try_from(head.len()).map_err(|_| DevnetError::Record("head too long".to_owned()))?;
        let mut record = BytesMut::with_capacity(head.len() + payload.len() + 4);
        record.put_u32_le(len);
        record.extend_from_slice(&head);
        record.extend_from_slice(payload);
        Ok((record.freeze(), u64::from(len) + 4))
    }

    /// The event in a record, its bytes, and how many bytes precede those.
    pub fn decode(record: &Bytes) -> Result<(Self, Bytes, u64), DevnetError> {
        let bad = |why: &str| DevnetError::Record(why.to_owned());
        let (len, _) = record.split_first_chunk::<4>().ok_or_else(|| bad("shorter than its length field"))?;
        let at = u32::from_le_bytes(*len) as usize + 4;
        let head = record.get(4..at).ok_or_else(|| bad("shorter than its head"))?;
        let event = serde_json::from_slice(head).map_err(|error| DevnetError::Record(error.to_string()))?;
        Ok((event, record.slice(at..), at as u64))
    }
}
