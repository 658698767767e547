//! The logs a scheduler keeps: journal records and the index over them.
//!
//! A record is one `wire::SealedBatch` of one entry. Index: `h`+process → head; `e`+process+slot → position; `i`+process+id
//! → slot, for message and assignment ids; `x`+item id → process+slot, to find an item by its id alone; `c`+process+hash of
//! a crank's identity → slot; `q`+position, to walk
//! all entries in the order they were sealed; `k`+process for each process with crons; `t`+process+cron → its last tick.

use std::path::Path;

use bytes::Bytes;
use prost::Message as _;
use weft_protocol::{
    Id,
    ans104::{DataItem, Profile},
    assignment::{Assigned, Assignment, Head},
    cron::{self, Class, TickId},
    message::Content,
    terms::Occasion,
    wire::{LogEntry, LogPage, SealedBatch},
};
use weft_storage::store::{Direction, IndexBatch, Position, Reducer, Store, StoreError};

/// Bytes of entries in one page at most; one entry always fits.
pub const PAGE_BYTES: usize = 8 << 20;
/// Entries in one page at most.
pub const PAGE_ENTRIES: usize = 1_000;

/// A log entry with its assignment read.
#[derive(Clone, Debug)]
pub struct StoredEntry {
    /// The entry as it travels.
    pub wire: LogEntry,
    /// What its assignment says.
    pub assignment: Assignment,
    /// The assignment item's id.
    pub assignment_id: Id,
}

impl StoredEntry {
    /// Reads an entry. Does not check signatures.
    pub fn read(wire: LogEntry) -> Option<Self> {
        let item = DataItem::parse(wire.assignment.clone(), Profile::History).ok()?;
        let assignment = Assignment::read(&item).ok()?;
        Some(Self { assignment_id: item.id(), wire, assignment })
    }
}

/// What the module is shown of an entry; `None` if its item cannot be read or is not the one assigned, or if the assignment
/// says of it what is not so.
pub fn entry_content(wire: &LogEntry, assignment: &Assignment) -> Option<Content> {
    let content = item_content(wire, assignment)?;
    let occasion = Occasion::of(assignment, &content.tags, &content.owner);
    let holds = assignment.terms.fit(&occasion) && crate::assigned::checked_reads(wire, assignment);
    holds.then_some(content)
}

fn item_content(wire: &LogEntry, assignment: &Assignment) -> Option<Content> {
    match assignment.assigned {
        Some(Assigned::BaseLayer) => {
            crate::assigned::content_of_transaction(&wire.assigned, assignment.message, &assignment.terms.exclude)
        }
        kind => {
            let item = crate::verified::item(wire.item.clone(), Profile::History).ok()?;
            let content = if kind.is_some() { Content::of_item(&item) } else { Content::of_message(&item) };
            (item.id() == assignment.message).then_some(content)
        }
    }
}

fn key(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = vec![kind];
    for part in parts {
        key.extend_from_slice(part);
    }
    key
}

fn reduce(position: Position, record: &[u8], batch: &mut IndexBatch) {
    let Ok(sealed) = SealedBatch::decode(record) else { return };
    for wire in sealed.entries {
        let Some(entry) = StoredEntry::read(wire) else { continue };
        let (process, slot) = (entry.assignment.process, entry.assignment.slot.to_be_bytes());
        let head = Head {
            process,
            next_slot: entry.assignment.slot.saturating_add(1),
            hash_chain: entry.assignment.hash_chain,
            last_assignment: entry.assignment_id,
            timestamp: entry.assignment.timestamp,
        };
        let message = entry.assignment.message;
        batch.insert(key(b'h', &[process.as_bytes()]), head.encode());
        batch.insert(key(b'e', &[process.as_bytes(), &slot]), position.to_bytes());
        batch.insert(key(b'q', &[&position.to_bytes()]), []);
        batch.insert(key(b'i', &[process.as_bytes(), message.as_bytes()]), slot);
        batch.insert(key(b'i', &[process.as_bytes(), entry.assignment_id.as_bytes()]), slot);
        if let Some(crank) = &entry.assignment.crank {
            batch.insert(key(b'c', &[process.as_bytes(), Id::sha256(crank.as_bytes()).as_bytes()]), slot);
        }
        if entry.assignment.slot == 0 && has_crons(&entry.wire.item) {
            batch.insert(key(b'k', &[process.as_bytes()]), []);
        }
        if let Some(tick) = entry.assignment.cron.as_deref().and_then(|text| text.parse::<TickId>().ok()) {
            batch.insert(tick_key(&process, tick.class, tick.index), tick.number.to_be_bytes());
        }
        if entry.assignment.assigned.is_none() {
            batch.insert(key(b'x', &[message.as_bytes()]), [process.as_bytes().as_slice(), &slot].concat());
        }
    }
}

fn has_crons(spawn: &Bytes) -> bool {
    let item = DataItem::parse(spawn.clone(), Profile::History);
    item.is_ok_and(|item| item.tag(cron::INTERVAL_TAG).is_some())
}

/// Key of a cron's last tick.
fn tick_key(process: &Id, class: Class, index: u32) -> Vec<u8> {
    key(b't', &[process.as_bytes(), &class.number().to_be_bytes(), &index.to_be_bytes()])
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

/// The logs, to read and to append to. Cheap to clone. Reads block on disk at worst.
#[derive(Clone)]
pub struct LogStore(Store);

impl LogStore {
    /// Opens the store in `folder`.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        Store::open(folder, Reduce).map(Self)
    }

    /// Makes `batches` (one entry each) durable.
    pub(super) async fn append(&self, batches: &[SealedBatch]) -> Result<(), StoreError> {
        self.0.append(batches.iter().map(|b| b.encode_to_vec().into()).collect()).await.map(|_| ())
    }

    /// Journal and flush counters.
    pub fn stats(&self) -> weft_storage::store::StoreStats {
        self.0.stats()
    }

    /// The head of a process's log; `None` if it has no log here.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn head(&self, process: &Id) -> Result<Option<Head>, StoreError> {
        Ok(self.0.get(&key(b'h', &[process.as_bytes()]))?.and_then(|b| Head::decode(&b)))
    }

    /// Heads of processes after `after`, ascending by id.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn heads(&self, after: Option<&Id>, limit: usize) -> Result<Vec<Head>, StoreError> {
        let start = after.map(|id| key(b'h', &[id.as_bytes(), &[0]]));
        let rows = self.0.scan(b"h", start.as_deref(), limit, Direction::Forward)?;
        Ok(rows.iter().filter_map(|(_, value)| Head::decode(value)).collect())
    }

    /// The slot of a message or assignment id.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn slot_of(&self, process: &Id, id: &Id) -> Result<Option<u64>, StoreError> {
        let value = self.0.get(&key(b'i', &[process.as_bytes(), id.as_bytes()]))?;
        Ok(value.and_then(|b| b.as_ref().try_into().ok()).map(u64::from_be_bytes))
    }

    /// The slot of a crank, by its identity: what was delivered once is not ordered again, whatever its bytes are.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn slot_of_crank(&self, process: &Id, crank: &str) -> Result<Option<u64>, StoreError> {
        let value = self.0.get(&key(b'c', &[process.as_bytes(), Id::sha256(crank.as_bytes()).as_bytes()]))?;
        Ok(value.and_then(|b| b.as_ref().try_into().ok()).map(u64::from_be_bytes))
    }

    /// Processes with crons, up to `limit`.
    pub(super) fn cron_processes(&self, limit: usize) -> Result<Vec<Id>, StoreError> {
        let rows = self.0.scan(b"k", None, limit, Direction::Forward)?;
        Ok(rows.iter().filter_map(|(key, _)| Id::from_slice(key.get(1..)?)).collect())
    }

    /// Number of the last tick of a process's cron.
    pub(super) fn last_tick(&self, process: &Id, class: Class, index: u32) -> Result<Option<u64>, StoreError> {
        let value = self.0.get(&tick_key(process, class, index))?;
        Ok(value.and_then(|b| b.as_ref().try_into().ok()).map(u64::from_be_bytes))
    }

    /// Block height that the newest entry names; 0 for an empty log.
    pub(super) fn last_height(&self) -> Result<u64, StoreError> {
        let newest = self.0.scan(b"q", None, 1, Direction::Backward)?.into_iter().next();
        let Some(position) = newest.and_then(|(key, _)| Position::from_slice(key.get(1..)?)) else { return Ok(0) };
        let record = self.0.read(position)?;
        let entry = SealedBatch::decode(record).ok().and_then(|batch| batch.entries.into_iter().next());
        Ok(entry.and_then(StoredEntry::read).map_or(0, |entry| entry.assignment.block_height))
    }

    /// The entry in a slot.
    ///
    /// # Errors
    /// When index or journal cannot be read.
    pub fn entry(&self, process: &Id, slot: u64) -> Result<Option<LogEntry>, StoreError> {
        let value = self.0.get(&key(b'e', &[process.as_bytes(), &slot.to_be_bytes()]))?;
        let Some(position) = value.and_then(|b| Position::from_slice(&b)) else { return Ok(None) };
        let record = self.0.read(position)?;
        Ok(SealedBatch::decode(record).ok().and_then(|batch| batch.entries.into_iter().next()))
    }

    /// Entries from a slot on, bounded by `PAGE_ENTRIES` and `PAGE_BYTES`.
    ///
    /// # Errors
    /// When index or journal cannot be read.
    pub fn page(&self, process: &Id, from_slot: u64, limit: usize) -> Result<LogPage, StoreError> {
        let next_slot = self.head(process)?.map_or(0, |h| h.next_slot);
        let (mut entries, mut size) = (Vec::new(), 0);
        let last = from_slot.saturating_add(u64::try_from(limit.min(PAGE_ENTRIES)).unwrap_or(0)).min(next_slot);
        for slot in from_slot..last {
            let Some(entry) = self.entry(process, slot)? else { break };
            size += entry.encoded_len();
            if size > PAGE_BYTES && !entries.is_empty() {
                break;
            }
            entries.push(entry);
        }
        Ok(LogPage { entries, next_slot })
    }

    /// Entries of all processes sealed after `cursor` (0: from the first), each with the cursor just behind it.
    ///
    /// # Errors
    /// When index or journal cannot be read.
    pub fn after(&self, cursor: u64, limit: usize) -> Result<Vec<(u64, LogEntry)>, StoreError> {
        let mut out = Vec::new();
        for record in crate::feeder::records_after(&self.0, cursor, limit)? {
            let (next, bytes) = record;
            if let Some(entry) = SealedBatch::decode(bytes).ok().and_then(|batch| batch.entries.into_iter().next()) {
                out.push((next, entry));
            }
        }
        Ok(out)
    }

    /// An item by its id alone.
    ///
    /// # Errors
    /// When index or journal cannot be read.
    pub fn item(&self, id: &Id) -> Result<Option<Bytes>, StoreError> {
        let Some(place) = self.0.get(&key(b'x', &[id.as_bytes()]))? else { return Ok(None) };
        let Some((process, slot)) = place.split_first_chunk::<32>() else { return Ok(None) };
        let slot = slot.try_into().map(u64::from_be_bytes).unwrap_or_default();
        Ok(self.entry(&Id::from_bytes(*process), slot)?.map(|entry| entry.item))
    }
}
