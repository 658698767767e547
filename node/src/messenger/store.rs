//! What a messenger must not lose: outcomes with their attestations, and which deliveries have been answered.
//!
//! Records: `1` + `wire::Result` (an outcome), `2` + crank id + status (a delivery answered), `3` + process + slot (all
//! deliveries of all slots before this one answered). Index: `p`+process → next slot to evaluate and outcome chain;
//! `o`+process+slot → position, and `t`+process+slot for a slot that holds a tick; `m`+process+message id → slot; `a`+crank id → status; `c`+process → first slot with open
//! deliveries.

use std::{path::Path, sync::Arc};

use bytes::Bytes;
use prost::Message as _;
use tokio::sync::watch;
use weft_protocol::{
    Id,
    ans104::{DataItem, Profile},
    attestation::Attestation,
    crank::CrankId,
    cron::CRON_TAG,
    outcome::Progress,
    wire::{self, ResultsQuery},
};
use weft_storage::store::{Direction, IndexBatch, Position, Reducer, Store, StoreError};

/// Results in one page at most.
const PAGE_RESULTS: u32 = 1_000;
/// Bytes in one page at most; one result always fits.
const PAGE_BYTES: usize = 8 << 20;
/// Channels that tell waiters something was stored; a process uses one of them.
const CHANNELS: usize = 256;

/// How a delivery was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// It has a slot at its target (or, to a wallet, waits to be anchored).
    Done,
    /// Its target refused it for good.
    Refused,
}

/// The store. Cheap to clone. Reads block on disk at worst.
#[derive(Clone)]
pub struct OutcomeStore {
    store: Store,
    told: Arc<Vec<watch::Sender<u64>>>,
}

fn crank_key(id: &CrankId) -> Vec<u8> {
    let mut key = vec![b'a'];
    key.extend_from_slice(id.process.as_bytes());
    key.extend_from_slice(&id.slot.to_be_bytes());
    for part in [id.kind.number(), id.index, id.target] {
        key.extend_from_slice(&part.to_be_bytes());
    }
    key
}

fn key(kind: u8, process: &[u8], rest: &[u8]) -> Vec<u8> {
    let mut key = vec![kind];
    key.extend_from_slice(process);
    key.extend_from_slice(rest);
    key
}

fn reduce(position: Position, record: &[u8], batch: &mut IndexBatch) {
    match record.split_first() {
        Some((1, body)) => reduce_outcome(position, body, batch),
        Some((2, body)) => {
            if let Some((status, id)) = body.split_last() {
                batch.insert(key(b'a', id, &[]), [*status]);
            }
        }
        Some((3, body)) => {
            if let Some((process, slot)) = body.split_first_chunk::<32>() {
                batch.insert(key(b'c', process, &[]), slot);
            }
        }
        _ => {}
    }
}

fn reduce_outcome(position: Position, body: &[u8], batch: &mut IndexBatch) {
    let Ok(result) = wire::Result::decode(body) else { return };
    let Ok(item) = DataItem::parse(result.attestation.clone(), Profile::History) else { return };
    let Ok(attestation) = Attestation::read(&item) else { return };
    let slot = result.slot.to_be_bytes();
    let progress = Progress { next_slot: result.slot.saturating_add(1), chain: attestation.verdict.chain_after };
    batch.insert(key(b'p', &result.process, &[]), progress.encode());
    batch.insert(key(b'o', &result.process, &slot), position.to_bytes());
    let ordered = DataItem::parse(result.assignment.clone(), Profile::History);
    if ordered.is_ok_and(|item| item.tag(CRON_TAG).is_some()) {
        batch.insert(key(b't', &result.process, &slot), position.to_bytes());
    }
    batch.insert(key(b'm', &result.process, attestation.subject.message.as_bytes()), slot);
    batch.insert(key(b'm', &result.process, attestation.subject.assignment.as_bytes()), slot);
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

impl OutcomeStore {
    /// Opens the store in `folder`.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let told = (0..CHANNELS).map(|_| watch::Sender::new(0)).collect();
        Ok(Self { store: Store::open(folder, Reduce)?, told: Arc::new(told) })
    }

    fn channel(&self, process: &Id) -> Option<&watch::Sender<u64>> {
        self.told.get(process.as_bytes().first().copied().map_or(0, usize::from))
    }

    /// Changes whenever an outcome of `process` (or of one that shares its channel) is stored.
    pub fn subscribe(&self, process: &Id) -> watch::Receiver<u64> {
        match self.channel(process) {
            Some(channel) => channel.subscribe(),
            None => watch::Sender::new(0).subscribe(),
        }
    }

    /// Makes outcomes of one process durable, then tells who waits for them.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn put_outcomes(&self, process: &Id, results: &[wire::Result]) -> Result<(), StoreError> {
        let record = |result: &wire::Result| {
            let mut bytes = Vec::with_capacity(1 + result.encoded_len());
            bytes.push(1);
            bytes.extend_from_slice(&result.encode_to_vec());
            Bytes::from(bytes)
        };
        self.store.append(results.iter().map(record).collect()).await?;
        if let Some(channel) = self.channel(process) {
            channel.send_modify(|n| *n = n.wrapping_add(1));
        }
        Ok(())
    }

    /// Notes how a delivery was answered, durably.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn put_delivered(&self, id: &CrankId, how: Delivered) -> Result<(), StoreError> {
        let mut bytes = vec![2];
        bytes.extend(crank_key(id).into_iter().skip(1));
        bytes.push(match how {
            Delivered::Done => 1,
            Delivered::Refused => 2,
        });
        self.store.append(vec![bytes.into()]).await.map(|_| ())
    }

    /// Notes that all deliveries of slots before `slot` are answered.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn put_cranked(&self, process: &Id, slot: u64) -> Result<(), StoreError> {
        let mut bytes = vec![3];
        bytes.extend_from_slice(process.as_bytes());
        bytes.extend_from_slice(&slot.to_be_bytes());
        self.store.append(vec![bytes.into()]).await.map(|_| ())
    }

    /// How a delivery was answered, if it was.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn delivered(&self, id: &CrankId) -> Result<Option<Delivered>, StoreError> {
        let value = self.store.get(&crank_key(id))?;
        Ok(value.and_then(|v| match v.first() {
            Some(1) => Some(Delivered::Done),
            Some(2) => Some(Delivered::Refused),
            _ => None,
        }))
    }

    /// The first slot whose deliveries are not all known to be answered.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn cranked(&self, process: &Id) -> Result<u64, StoreError> {
        let value = self.store.get(&key(b'c', process.as_bytes(), &[]))?;
        Ok(value.and_then(|v| v.as_ref().try_into().ok()).map_or(0, u64::from_be_bytes))
    }

    /// Where a process stands here.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn progress(&self, process: &Id) -> Result<Progress, StoreError> {
        let value = self.store.get(&key(b'p', process.as_bytes(), &[]))?;
        Ok(value.as_deref().and_then(Progress::decode).unwrap_or_else(|| Progress::start(process)))
    }

    /// The outcome of a slot.
    ///
    /// # Errors
    /// When index or journal cannot be read.
    pub fn outcome(&self, process: &Id, slot: u64) -> Result<Option<wire::Result>, StoreError> {
        let value = self.store.get(&key(b'o', process.as_bytes(), &slot.to_be_bytes()))?;
        match value.and_then(|v| Position::from_slice(&v)) {
            Some(position) => self.at(position),
            None => Ok(None),
        }
    }

    fn at(&self, position: Position) -> Result<Option<wire::Result>, StoreError> {
        let record = self.store.read(position)?;
        Ok(record.split_first().and_then(|(_, body)| wire::Result::decode(body).ok()))
    }

    /// The slot of a message or assignment id that has an outcome here.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn slot_of(&self, process: &Id, id: &Id) -> Result<Option<u64>, StoreError> {
        let value = self.store.get(&key(b'm', process.as_bytes(), id.as_bytes()))?;
        Ok(value.and_then(|v| v.as_ref().try_into().ok()).map(u64::from_be_bytes))
    }

    /// Outcomes of a range of slots, of all or of those with ticks, bounded by count and bytes.
    ///
    /// # Errors
    /// When index or journal cannot be read.
    pub fn results(&self, process: &Id, query: &ResultsQuery) -> Result<wire::Results, StoreError> {
        let evaluated = self.progress(process)?.next_slot;
        let last = query.to_slot.min(evaluated.saturating_sub(1));
        let (start, direction) = match query.descending {
            true => (last, Direction::Backward),
            false => (query.from_slot, Direction::Forward),
        };
        let mut page = wire::Results { results: Vec::new(), more: false, evaluated };
        if evaluated == 0 || query.from_slot > last {
            return Ok(page);
        }
        let limit = usize::try_from(query.limit.clamp(1, PAGE_RESULTS)).unwrap_or(1);
        let list = if query.ticks { b't' } else { b'o' };
        let prefix = key(list, process.as_bytes(), &[]);
        let from = key(list, process.as_bytes(), &start.to_be_bytes());
        let mut size = 0;
        for (_, value) in self.store.scan(&prefix, Some(&from), limit.saturating_add(1), direction)? {
            let Some(result) = Position::from_slice(&value).map(|p| self.at(p)).transpose()?.flatten() else {
                continue;
            };
            if result.slot < query.from_slot || result.slot > last {
                break;
            }
            size += result.encoded_len();
            if page.results.len() == limit || (size > PAGE_BYTES && !page.results.is_empty()) {
                page.more = true;
                break;
            }
            page.results.push(result);
        }
        Ok(page)
    }

    /// Processes with outcomes here, with the next slot to evaluate; for reports and the sweep.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn processes(&self, after: Option<&Id>, limit: usize) -> Result<Vec<(Id, u64)>, StoreError> {
        let start = after.map(|id| key(b'p', id.as_bytes(), &[0]));
        let rows = self.store.scan(b"p", start.as_deref(), limit, Direction::Forward)?;
        let read = |(k, v): &(Bytes, Bytes)| {
            let id = Id::from_slice(k.get(1..)?)?;
            Some((id, u64::from_be_bytes(*v.first_chunk::<8>()?)))
        };
        Ok(rows.iter().filter_map(read).collect())
    }

    /// Resolves when the store can no longer be written.
    pub async fn failed(&self) -> StoreError {
        self.store.failed().await
    }
}

#[cfg(test)]
mod tests;
