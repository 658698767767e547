//! Results that this node has signed: journal and index. `p`+process → next slot and chain; `o`+process+slot → position;
//! `q`+position, to walk all results in the order they were signed; `t`+process+cron → its last tick. Results may begin at
//! a checkpoint: `store/floor.rs`.

use std::path::Path;

use prost::Message as _;
use weft_protocol::{
    Id,
    ans104::{DataItem, Profile},
    attestation::Attestation,
    cron::{CRON_TAG, Class, TickId},
    outcome::Progress,
    wire,
};
use weft_storage::store::{IndexBatch, Position, Reducer, Store, StoreError};

mod floor;

pub use floor::Hole;

/// Bytes appended at once at most; a single result may be larger.
const APPEND_BYTES: usize = 16 << 20;

fn key(kind: u8, process: &[u8], rest: &[u8]) -> Vec<u8> {
    [&[kind], process, rest].concat()
}

fn reduce(position: Position, record: &[u8], batch: &mut IndexBatch) {
    if floor::reduce(position, record, batch) {
        return;
    }
    let Ok(result) = wire::Result::decode(record) else { return };
    let Ok(item) = DataItem::parse(result.attestation.clone(), Profile::History) else { return };
    let Ok(attestation) = Attestation::read(&item) else { return };
    let progress = Progress { next_slot: result.slot.saturating_add(1), chain: attestation.verdict.chain_after };
    batch.insert(key(b'p', &result.process, &[]), progress.encode());
    batch.insert(key(b'o', &result.process, &result.slot.to_be_bytes()), position.to_bytes());
    batch.insert(key(b'q', &position.to_bytes(), &[]), []);
    if let Some(tick) = tick_of(&result.assignment) {
        batch.insert(tick_key(&result.process, tick.class, tick.index), tick.number.to_be_bytes());
    }
}

/// The tick that an assignment's slot holds.
pub(super) fn tick_of(assignment: &bytes::Bytes) -> Option<TickId> {
    DataItem::parse(assignment.clone(), Profile::History).ok()?.tag(CRON_TAG)?.parse().ok()
}

fn tick_key(process: &[u8], class: Class, index: u32) -> Vec<u8> {
    key(b't', process, &[class.number().to_be_bytes(), index.to_be_bytes()].concat())
}

struct Reduce;

impl Reducer for Reduce {
    fn apply(&self, position: Position, record: &[u8], batch: &mut IndexBatch) {
        reduce(position, record, batch);
    }

    fn version(&self) -> u32 {
        2
    }
}

/// The store. Cheap to clone. Reads block on disk at worst.
#[derive(Clone)]
pub struct ResultStore(Store);

impl ResultStore {
    /// Opens the store in `folder`.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        Store::open(folder, Reduce).map(Self)
    }

    /// Makes results durable.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn put(&self, results: &[wire::Result]) -> Result<(), StoreError> {
        self.append_parts(results.iter().map(wire::Result::encode_to_vec)).await
    }

    /// Appends records in order, no more at once than the store takes.
    async fn append_parts(&self, records: impl Iterator<Item = Vec<u8>>) -> Result<(), StoreError> {
        let (mut part, mut size) = (Vec::new(), 0_usize);
        for record in records {
            if size.saturating_add(record.len()) > APPEND_BYTES && !part.is_empty() {
                self.0.append(std::mem::take(&mut part)).await?;
                size = 0;
            }
            size = size.saturating_add(record.len());
            part.push(record.into());
        }
        self.0.append(part).await.map(|_| ())
    }

    /// The result of a slot.
    ///
    /// # Errors
    /// When index or journal cannot be read.
    pub fn result(&self, process: &Id, slot: u64) -> Result<Option<wire::Result>, StoreError> {
        let value = self.0.get(&key(b'o', process.as_bytes(), &slot.to_be_bytes()))?;
        let Some(position) = value.and_then(|v| Position::from_slice(&v)) else { return Ok(None) };
        Ok(floor::read(self.0.read(position)?))
    }

    /// The next slot to evaluate and the outcome chain before it.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn progress(&self, process: &Id) -> Result<Progress, StoreError> {
        let value = self.0.get(&key(b'p', process.as_bytes(), &[]))?;
        Ok(value.as_deref().and_then(Progress::decode).unwrap_or_else(|| Progress::start(process)))
    }

    /// Number of the last tick of a process's cron among the results; 0 for none.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn last_tick(&self, process: &Id, class: Class, index: u32) -> Result<u64, StoreError> {
        let value = self.0.get(&tick_key(process.as_bytes(), class, index))?;
        Ok(value.and_then(|b| b.as_ref().try_into().ok()).map_or(0, u64::from_be_bytes))
    }

    /// Attestations signed after `cursor` (0: from the first), each with the cursor just behind it.
    ///
    /// # Errors
    /// When index or journal cannot be read.
    pub fn after(&self, cursor: u64, limit: usize) -> Result<Vec<(u64, bytes::Bytes)>, StoreError> {
        let records = crate::feeder::records_after(&self.0, cursor, limit)?;
        let read = |(next, bytes): (u64, bytes::Bytes)| Some((next, floor::read(bytes)?.attestation));
        Ok(records.into_iter().filter_map(read).collect())
    }

    /// How many records, and flushes so far.
    pub fn stats(&self) -> weft_storage::store::StoreStats {
        self.0.stats()
    }

    /// Resolves when the store can no longer be written.
    pub async fn failed(&self) -> StoreError {
        self.0.failed().await
    }
}
