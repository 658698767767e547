//! A process whose first results this node does not have: it began at a checkpoint.
//!
//! Records: `0xF0` + where the hole begins ([`Progress`]) + `wire::Results` (the floor: attestation and assignment of the
//! last slot in the checkpoint, without outcome; then the assignments of each cron's last tick up to there), `0xF1` +
//! `wire::Result` (a result in the hole, made later). A result begins with another byte. Index: `f`+process → position of the
//! floor; `b`+process → next slot of the hole and the outcome chain there.

use prost::Message as _;
use weft_protocol::{
    Id,
    ans104::{DataItem, Profile},
    attestation::Attestation,
    outcome::Progress,
    wire,
};
use weft_storage::store::{IndexBatch, Position, StoreError};

use super::{ResultStore, key, tick_key, tick_of};

const FLOOR: u8 = 0xF0;
const FILLED: u8 = 0xF1;
/// Bytes of [`Progress::encode`].
const PROGRESS: usize = 40;

/// Slots of a process that this node has no results of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hole {
    /// The first of them, and the outcome chain before it.
    pub next: Progress,
    /// The slot after the last of them, at which the results go on.
    pub end: u64,
    /// The outcome chain there.
    pub chain: Id,
    /// The state root there.
    pub root: Option<Id>,
}

/// What a record other than a plain result changes in the index; false for a plain one.
pub(super) fn reduce(position: Position, record: &[u8], batch: &mut IndexBatch) -> bool {
    match record.split_first() {
        Some((&FLOOR, rest)) => reduce_floor(position, rest, batch).unwrap_or(()),
        Some((&FILLED, rest)) => reduce_filled(position, rest, batch).unwrap_or(()),
        _ => return false,
    }
    true
}

fn attested(result: &wire::Result) -> Option<Attestation> {
    Attestation::read(&DataItem::parse(result.attestation.clone(), Profile::History).ok()?).ok()
}

fn after(result: &wire::Result) -> Option<Progress> {
    let chain = attested(result)?.verdict.chain_after;
    Some(Progress { next_slot: result.slot.saturating_add(1), chain })
}

fn reduce_floor(position: Position, record: &[u8], batch: &mut IndexBatch) -> Option<()> {
    let (hole, results) = record.split_at_checked(PROGRESS)?;
    let results = wire::Results::decode(results).ok()?.results;
    let (floor, ticks) = results.split_first()?;
    batch.insert(key(b'p', &floor.process, &[]), after(floor)?.encode());
    batch.insert(key(b'f', &floor.process, &[]), position.to_bytes());
    batch.insert(key(b'b', &floor.process, &[]), hole);
    for tick in ticks.iter().filter_map(|result| tick_of(&result.assignment)) {
        batch.insert(tick_key(&floor.process, tick.class, tick.index), tick.number.to_be_bytes());
    }
    Some(())
}

fn reduce_filled(position: Position, record: &[u8], batch: &mut IndexBatch) -> Option<()> {
    let result = wire::Result::decode(record).ok()?;
    batch.insert(key(b'b', &result.process, &[]), after(&result)?.encode());
    batch.insert(key(b'o', &result.process, &result.slot.to_be_bytes()), position.to_bytes());
    batch.insert(key(b'q', &position.to_bytes(), &[]), []);
    Some(())
}

/// The result in a record, plain or filled in later.
pub(super) fn read(record: bytes::Bytes) -> Option<wire::Result> {
    let filled = record.first() == Some(&FILLED);
    wire::Result::decode(if filled { record.slice(1..) } else { record }).ok()
}

impl ResultStore {
    /// Makes durable that results of a process go on after `floor` (attestation and assignment of the last slot in a
    /// checkpoint), with the assignments of each cron's last tick up to there. What lies before and is not there is a hole.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn put_floor(
        &self,
        process: &Id,
        floor: wire::Result,
        ticks: Vec<wire::Result>,
    ) -> Result<(), StoreError> {
        let begin = match self.hole(process)? {
            Some(open) => open.next,
            None => self.progress(process)?,
        };
        let results = std::iter::once(floor).chain(ticks).collect();
        let body = wire::Results { results, ..wire::Results::default() }.encode_to_vec();
        let record = [&[FLOOR], begin.encode().as_slice(), &body].concat();
        self.0.append(vec![record.into()]).await.map(|_| ())
    }

    /// Makes results of slots in the hole durable: those that follow, in order.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn put_filled(&self, results: &[wire::Result]) -> Result<(), StoreError> {
        self.append_parts(results.iter().map(|result| [&[FILLED], result.encode_to_vec().as_slice()].concat())).await
    }

    /// The slots of a process that this node has no results of, if there are any.
    ///
    /// # Errors
    /// When index or journal cannot be read.
    pub fn hole(&self, process: &Id) -> Result<Option<Hole>, StoreError> {
        let Some(floor) = self.floor(process)? else { return Ok(None) };
        let Some(value) = self.0.get(&key(b'b', process.as_bytes(), &[]))? else { return Ok(None) };
        let next = Progress::decode(&value);
        let verdict = attested(&floor).map(|attestation| attestation.verdict);
        let (Some(next), Some(verdict)) = (next, verdict) else { return Ok(None) };
        let hole =
            Hole { next, end: floor.slot.saturating_add(1), chain: verdict.chain_after, root: verdict.state_root };
        Ok((hole.next.next_slot < hole.end).then_some(hole))
    }

    /// The newest floor of a process: attestation and assignment, no outcome.
    fn floor(&self, process: &Id) -> Result<Option<wire::Result>, StoreError> {
        let value = self.0.get(&key(b'f', process.as_bytes(), &[]))?;
        let Some(position) = value.and_then(|v| Position::from_slice(&v)) else { return Ok(None) };
        let record = self.0.read(position)?;
        let results = record.get(PROGRESS.saturating_add(1)..).and_then(|body| wire::Results::decode(body).ok());
        Ok(results.and_then(|results| results.results.into_iter().next()))
    }

    /// Attestation and assignment of a slot, of its result or, for the last slot in a checkpoint, without an outcome.
    ///
    /// # Errors
    /// When index or journal cannot be read.
    pub fn attested(&self, process: &Id, slot: u64) -> Result<Option<wire::Result>, StoreError> {
        if let Some(result) = self.result(process, slot)? {
            return Ok(Some(result));
        }
        Ok(self.floor(process)?.filter(|floor| floor.slot == slot))
    }
}

#[cfg(test)]
mod tests;
