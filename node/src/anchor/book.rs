//! The anchor's truth: items handed in, bundles built over them, and where those stand.
//!
//! Records: length of the head (u32 little-endian), the head as JSON, then the raw item if it is one. Index:
//!
//! ```text
//! i ITEM        position of the item's record
//! q POSITION    a waiting item: id, when it came (ms), raw size
//! s ITEM        the bundle it is in
//! b BUNDLE      where the bundle stands
//! p BUNDLE      position of the bundle's record
//! l BUNDLE      the bundle is not over
//! ```

use std::path::Path;

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use weft_protocol::{
    Id,
    anchor::{AnchorState, Bundle, Stage},
    ans104::{DataItem, Profile},
    arweave::Transaction,
};
use weft_storage::{Direction, IndexBatch, Position, Store};

use super::AnchorError;

/// Raw bytes appended at a time.
const BATCH: usize = 8 << 20;
/// Index entries read at a time.
const PAGE: usize = 1000;

/// The head of a record.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "lowercase")]
enum Record {
    Item {
        id: Id,
        at: u64,
    },
    Bundle(Box<BundleRecord>),
    Standing {
        tx: Id,
        standing: Standing,
    },
    /// Waiting entries of items that are in a bundle already (handed in twice at the same moment).
    Forget {
        positions: Vec<u64>,
    },
}

/// A bundle transaction as it was signed, and what is in it. Its data is not repeated: it is the items in this order.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct BundleRecord {
    /// The header.
    pub header: Transaction,
    /// Height of its anchor's block.
    pub anchor_height: u64,
    /// Position of each item's record, and its id.
    pub items: Vec<(u64, Id)>,
    /// The dead bundle that had these items before.
    pub replaces: Option<Id>,
}

/// Where a bundle stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Standing {
    pub anchor_height: u64,
    pub items: u64,
    pub posts: u32,
    pub stage: Stage,
}

/// An item that waits for a bundle.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiter {
    pub position: Position,
    pub id: Id,
    pub at: u64,
    pub size: usize,
}

/// A handle on the anchor's store.
#[derive(Clone)]
pub(super) struct Book(Store);

fn key(kind: u8, rest: &[u8]) -> Vec<u8> {
    [&[kind], rest].concat()
}

fn bad(error: impl ToString) -> AnchorError {
    AnchorError::Record(error.to_string())
}

fn encode(record: &Record, raw: &[u8]) -> Result<Bytes, AnchorError> {
    let head = serde_json::to_vec(record).map_err(bad)?;
    let mut bytes = BytesMut::with_capacity(head.len().saturating_add(raw.len()).saturating_add(4));
    bytes.put_u32_le(u32::try_from(head.len()).map_err(bad)?);
    bytes.extend_from_slice(&head);
    bytes.extend_from_slice(raw);
    Ok(bytes.freeze())
}

fn decode(bytes: &[u8]) -> Result<(Record, &[u8]), AnchorError> {
    let (len, rest) = bytes.split_first_chunk::<4>().ok_or_else(|| bad("too short"))?;
    let (head, raw) = rest.split_at_checked(u32::from_le_bytes(*len) as usize).ok_or_else(|| bad("too short"))?;
    Ok((serde_json::from_slice(head).map_err(bad)?, raw))
}

/// What a record changes in the index. One that is not understood changes nothing; reading it says so.
fn index(position: Position, bytes: &[u8], batch: &mut IndexBatch) {
    let Ok((record, raw)) = decode(bytes) else { return };
    match record {
        Record::Item { id, at } => {
            batch.insert(key(b'i', id.as_bytes()), position.to_bytes());
            let size = (raw.len() as u64).to_be_bytes();
            let waiter = [id.as_bytes().as_slice(), &at.to_be_bytes(), &size].concat();
            batch.insert(key(b'q', &position.to_bytes()), waiter);
        }
        Record::Bundle(bundle) => {
            let tx = bundle.header.id();
            for (at, id) in &bundle.items {
                batch.remove(key(b'q', &Position::from_u64(*at).to_bytes()));
                batch.insert(key(b's', id.as_bytes()), tx.as_bytes());
            }
            if let Some(old) = bundle.replaces {
                batch.remove(key(b'l', old.as_bytes()));
            }
            let items = bundle.items.len() as u64;
            let standing = Standing { anchor_height: bundle.anchor_height, items, posts: 0, stage: Stage::Built };
            batch.insert(key(b'b', tx.as_bytes()), serde_json::to_vec(&standing).unwrap_or_default());
            batch.insert(key(b'p', tx.as_bytes()), position.to_bytes());
            batch.insert(key(b'l', tx.as_bytes()), b"");
        }
        Record::Forget { positions } => {
            for at in positions {
                batch.remove(key(b'q', &Position::from_u64(at).to_bytes()));
            }
        }
        Record::Standing { tx, standing } => {
            batch.insert(key(b'b', tx.as_bytes()), serde_json::to_vec(&standing).unwrap_or_default());
            if matches!(standing.stage, Stage::Settled { .. }) {
                batch.remove(key(b'l', tx.as_bytes()));
            }
        }
    }
}

impl Book {
    pub fn open(folder: &Path) -> Result<Self, AnchorError> {
        Ok(Self(Store::open(folder, index)?))
    }

    /// Makes new items durable; how many there were and their bytes.
    pub async fn take(&self, items: &[DataItem], at: u64) -> Result<(u64, u64), AnchorError> {
        let (mut count, mut bytes, mut size) = (0_u64, 0_u64, 0_usize);
        let mut batch = Vec::new();
        for item in items {
            let id = item.id();
            if self.0.get(&key(b'i', id.as_bytes()))?.is_some() {
                continue;
            }
            batch.push(encode(&Record::Item { id, at }, item.raw())?);
            count = count.saturating_add(1);
            bytes = bytes.saturating_add(item.raw().len() as u64);
            size = size.saturating_add(item.raw().len());
            if size >= BATCH {
                self.0.append(std::mem::take(&mut batch)).await?;
                size = 0;
            }
        }
        if !batch.is_empty() {
            self.0.append(batch).await?;
        }
        Ok((count, bytes))
    }

    pub async fn add_bundle(&self, bundle: BundleRecord) -> Result<(), AnchorError> {
        self.0.append(vec![encode(&Record::Bundle(Box::new(bundle)), &[])?]).await?;
        Ok(())
    }

    pub async fn set(&self, bundle: &Bundle, items: u64) -> Result<(), AnchorError> {
        let (tx, anchor_height, posts) = (bundle.tx, bundle.anchor_height, bundle.posts);
        let standing = Standing { anchor_height, items, posts, stage: bundle.stage.clone() };
        self.0.append(vec![encode(&Record::Standing { tx, standing }, &[])?]).await?;
        Ok(())
    }

    /// Takes entries off the list of waiting items.
    pub async fn forget(&self, waiters: &[Waiter]) -> Result<(), AnchorError> {
        let positions = waiters.iter().map(|waiter| waiter.position.to_u64()).collect();
        self.0.append(vec![encode(&Record::Forget { positions }, &[])?]).await?;
        Ok(())
    }

    /// Whether a bundle is not over (nor replaced).
    pub fn is_live(&self, tx: &Id) -> Result<bool, AnchorError> {
        Ok(self.0.get(&key(b'l', tx.as_bytes()))?.is_some())
    }

    /// Where an item stands.
    pub fn state(&self, id: &Id) -> Result<Option<AnchorState>, AnchorError> {
        if let Some(tx) = self.bundle_of(id)? {
            let standing = self.standing(&tx)?;
            return Ok(Some(AnchorState { bundle: Some(tx), stage: standing.stage }));
        }
        Ok(self.0.get(&key(b'i', id.as_bytes()))?.map(|_| AnchorState::WAITING))
    }

    pub fn bundle_of(&self, id: &Id) -> Result<Option<Id>, AnchorError> {
        let found = self.0.get(&key(b's', id.as_bytes()))?;
        found.map(|tx| Id::from_slice(&tx).ok_or_else(|| bad("bundle id"))).transpose()
    }

    pub fn standing(&self, tx: &Id) -> Result<Standing, AnchorError> {
        let found = self.0.get(&key(b'b', tx.as_bytes()))?.ok_or_else(|| bad("no such bundle"))?;
        serde_json::from_slice(&found).map_err(bad)
    }

    pub fn bundle(&self, tx: &Id) -> Result<BundleRecord, AnchorError> {
        let position = self.0.get(&key(b'p', tx.as_bytes()))?.ok_or_else(|| bad("no such bundle"))?;
        let position = Position::from_slice(&position).ok_or_else(|| bad("position"))?;
        match decode(&self.0.read(position)?)?.0 {
            Record::Bundle(bundle) => Ok(*bundle),
            other => Err(bad(format!("{other:?} instead of a bundle"))),
        }
    }

    /// The items at these positions.
    pub fn items(&self, positions: &[(u64, Id)]) -> Result<Vec<DataItem>, AnchorError> {
        let item = |(position, _): &(u64, Id)| {
            let record = self.0.read(Position::from_u64(*position))?;
            let at = record.len().saturating_sub(decode(&record)?.1.len());
            DataItem::parse(record.slice(at..), Profile::History).map_err(bad)
        };
        positions.iter().map(item).collect()
    }

    /// The oldest waiting items, at most `limit`.
    pub fn waiting(&self, limit: usize) -> Result<Vec<Waiter>, AnchorError> {
        self.waiting_from(None, limit)
    }

    fn waiting_from(&self, start: Option<&[u8]>, limit: usize) -> Result<Vec<Waiter>, AnchorError> {
        let rows = self.0.scan(b"q", start, limit, Direction::Forward)?;
        rows.iter().map(|(at, value)| waiter(at, value).ok_or_else(|| bad("waiting item"))).collect()
    }

    /// How many items wait, and their bytes.
    pub fn count_waiting(&self) -> Result<(u64, u64), AnchorError> {
        let (mut count, mut bytes) = (0_u64, 0_u64);
        let mut start: Option<Vec<u8>> = None;
        loop {
            let page = self.waiting_from(start.as_deref(), PAGE)?;
            count = count.saturating_add(page.len() as u64);
            bytes = page.iter().fold(bytes, |bytes, waiter| bytes.saturating_add(waiter.size as u64));
            let Some(last) = page.last().filter(|_| page.len() == PAGE) else { return Ok((count, bytes)) };
            start = Some(key(b'q', &Position::from_u64(last.position.to_u64().saturating_add(1)).to_bytes()));
        }
    }

    /// The bundles that are not over, and how many items are in bundles that are.
    pub fn bundles(&self) -> Result<(Vec<Id>, u64), AnchorError> {
        let (mut live, mut settled) = (Vec::new(), 0_u64);
        let mut start: Option<Vec<u8>> = None;
        loop {
            let page = self.0.scan(b"b", start.as_deref(), PAGE, Direction::Forward)?;
            for (at, value) in &page {
                let tx = at.get(1..).and_then(Id::from_slice).ok_or_else(|| bad("bundle id"))?;
                if self.is_live(&tx)? {
                    live.push(tx);
                    continue;
                }
                let standing: Standing = serde_json::from_slice(value).map_err(bad)?;
                if matches!(standing.stage, Stage::Settled { .. }) {
                    settled = settled.saturating_add(standing.items);
                }
            }
            let Some((last, _)) = page.last().filter(|_| page.len() == PAGE) else { return Ok((live, settled)) };
            start = Some([last.as_ref(), &[0]].concat());
        }
    }
}

fn waiter(at: &[u8], value: &[u8]) -> Option<Waiter> {
    let position = Position::from_slice(at.get(1..)?)?;
    let (id, rest) = value.split_first_chunk::<32>()?;
    let (at, size) = rest.split_first_chunk::<8>()?;
    let size = usize::try_from(u64::from_be_bytes(size.try_into().ok()?)).ok()?;
    Some(Waiter { position, id: Id::from_bytes(*id), at: u64::from_be_bytes(*at), size })
}
