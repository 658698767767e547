//! What a transaction or chunk must be to be taken, in Arweave's words when it is not.

use bytes::Bytes;
use serde::Deserialize;
use weft_protocol::{
    Id,
    ans104::Tag,
    arweave::{Format, Transaction, merkle},
    b64,
};

use super::{
    DevnetError,
    body::BodyKey,
    chain,
    state::{State, says_bundle},
};

const FAILED: DevnetError = DevnetError::Refused(400, "Transaction verification failed.");
/// The most transactions waiting for a block.
const POOL: usize = 20_000;

/// What names a transaction's data; `None` when it has none.
pub(super) fn body_key(header: &Transaction) -> Option<BodyKey> {
    header.data_root().map(|root| BodyKey { root, size: header.data_size() })
}

/// A transaction's tags as text.
pub(super) fn tags(header: &Transaction) -> Vec<Tag> {
    header.text_tags()
}

/// Whether a transaction says that its data is a bundle.
pub(super) fn is_bundle(header: &Transaction) -> bool {
    says_bundle(&header.text_tags())
}

/// The checks that need no state: form, sizes, data, signature. The header without its data.
pub(super) fn check(transaction: &Transaction) -> Result<Transaction, DevnetError> {
    if transaction.format() != Format::Two {
        return Err(DevnetError::Refused(400, "The devnet takes transactions of format 2 only."));
    }
    let data = transaction.data();
    if !data.is_empty() && transaction.check_data(data).is_err() {
        return Err(DevnetError::Refused(400, "The attached data is split in an unknown way."));
    }
    transaction.verify().map_err(|error| {
        tracing::debug!(id = %transaction.id(), %error, "transaction refused");
        FAILED
    })?;
    if transaction.target() == Some(transaction.owner_address()) {
        return Err(FAILED);
    }
    Ok(transaction.header())
}

/// The checks against the chain and the pool.
pub(super) fn admit(state: &State, header: &Transaction) -> Result<(), DevnetError> {
    match state.txs.get(&header.id()).map(|tx| tx.mined) {
        Some(Some(_)) => return Err(DevnetError::Refused(400, "Transaction is already on the weave.")),
        Some(None) => return Err(DevnetError::Refused(208, "Transaction already processed.")),
        None => {}
    }
    let owner = header.owner_address();
    if !state.is_anchor(header.last_tx(), &owner) {
        return Err(DevnetError::Refused(400, "Invalid anchor (last_tx)."));
    }
    if state.pool.len() >= POOL {
        return Err(DevnetError::Refused(503, "The mempool is full: mine a block."));
    }
    let is_new = header.target().is_some_and(|target| !state.wallets.contains_key(&target));
    let balance = state.wallets.get(&owner).map_or(0, |wallet| wallet.balance);
    let needed = header.reward().saturating_add(header.quantity());
    if header.reward() < chain::fee(header.data_size(), is_new) || balance < needed {
        return Err(FAILED);
    }
    Ok(())
}

/// The body of `POST /chunk`.
#[derive(Deserialize)]
pub(super) struct PostedChunk {
    data_root: Id,
    data_size: Number,
    data_path: String,
    offset: Number,
    chunk: String,
}

/// A number that clients write as text or plainly.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Text(String),
    Plain(u64),
}

impl Number {
    fn get(&self) -> Option<u64> {
        match self {
            Self::Text(text) => text.parse().ok(),
            Self::Plain(number) => Some(*number),
        }
    }
}

/// A chunk that belongs to the data it says it belongs to.
pub(super) struct CheckedChunk {
    pub root: Id,
    pub size: u64,
    pub start: u64,
    pub path: Vec<u8>,
    pub bytes: Vec<u8>,
}

/// Checks a chunk against the root it names.
pub(super) fn check_chunk(body: &Bytes) -> Result<CheckedChunk, DevnetError> {
    let posted: PostedChunk = serde_json::from_slice(body).map_err(|_| DevnetError::Chunk("invalid_json"))?;
    let size = posted.data_size.get().ok_or(DevnetError::Chunk("invalid_json"))?;
    let offset = posted.offset.get().ok_or(DevnetError::Chunk("invalid_json"))?;
    let path = b64::decode(&posted.data_path).ok_or(DevnetError::Chunk("invalid_json"))?;
    let bytes = b64::decode(&posted.chunk).ok_or(DevnetError::Chunk("invalid_json"))?;
    if bytes.len() as u64 > merkle::MAX_CHUNK {
        return Err(DevnetError::Chunk("chunk_too_big"));
    }
    if offset >= size {
        return Err(DevnetError::Chunk("offset_too_big"));
    }
    let proof = merkle::validate_chunk(&posted.data_root, offset, size, &path, &bytes)
        .map_err(|_| DevnetError::Chunk("invalid_proof"))?;
    Ok(CheckedChunk { root: posted.data_root, size, start: proof.start, path, bytes })
}
