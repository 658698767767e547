//! Transaction data as it arrives: whole with the header, or chunk by chunk in any order.

use std::collections::{BTreeMap, HashMap};

use bytes::{Bytes, BytesMut};
use weft_protocol::Id;

use super::{DevnetError, log::Log, log::Slot};

/// Data is named by its Merkle root and size: transactions with equal data share it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct BodyKey {
    pub root: Id,
    pub size: u64,
}

/// A run of bytes inside some data.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub source: Source,
    pub offset: u64,
    pub len: u64,
}

/// Which data a [`Place`] lies in.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// The data of transactions.
    Body(BodyKey),
    /// A record of its own (an item that came through the uploader).
    Own(Slot),
}

/// A stored run of some data, with its Merkle proof when it came as a chunk.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub slot: Slot,
    pub path: Option<Bytes>,
}

/// What is there of some data.
#[derive(Debug, Default)]
struct Body {
    pieces: BTreeMap<u64, Piece>,
    have: u64,
    users: u32,
}

/// All transaction data.
#[derive(Debug, Default)]
pub(super) struct Bodies(HashMap<BodyKey, Body>);

impl Bodies {
    /// One more transaction has this data.
    pub fn retain(&mut self, key: BodyKey) {
        let body = self.0.entry(key).or_default();
        body.users = body.users.saturating_add(1);
    }

    /// One transaction fewer has this data; without any it is forgotten.
    pub fn release(&mut self, key: BodyKey) {
        if let Some(body) = self.0.get_mut(&key) {
            body.users = body.users.saturating_sub(1);
            if body.users == 0 {
                self.0.remove(&key);
            }
        }
    }

    /// Whether some transaction has this data.
    pub fn is_wanted(&self, key: &BodyKey) -> bool {
        self.0.contains_key(key)
    }

    /// Whether all bytes are there.
    pub fn is_complete(&self, key: &BodyKey) -> bool {
        key.size == 0 || self.0.get(key).is_some_and(|body| body.have >= key.size)
    }

    /// Whether a piece starts at `start`.
    pub fn has_piece(&self, key: &BodyKey, start: u64) -> bool {
        self.0.get(key).is_some_and(|body| body.pieces.contains_key(&start))
    }

    /// Adds a piece; true when it completed the data.
    pub fn add(&mut self, key: BodyKey, start: u64, piece: Piece) -> bool {
        let Some(body) = self.0.get_mut(&key) else { return false };
        if body.have >= key.size {
            return false;
        }
        let len = piece.slot.len();
        if body.pieces.insert(start, piece).is_none() {
            body.have = body.have.saturating_add(len);
        }
        body.have >= key.size
    }

    /// The stored pieces that make up `offset .. offset + len`, each with where it starts.
    fn pieces(&self, key: &BodyKey, offset: u64, len: u64) -> Option<Vec<(u64, Slot)>> {
        let body = self.0.get(key)?;
        if body.have < key.size {
            return None;
        }
        let first = body.pieces.range(..=offset).next_back().map_or(0, |(start, _)| *start);
        let end = offset.checked_add(len)?;
        Some(body.pieces.range(first..end.max(first)).map(|(start, piece)| (*start, piece.slot.clone())).collect())
    }

    /// The piece that holds byte `at`, and where it starts.
    pub fn piece_at(&self, key: &BodyKey, at: u64) -> Option<(u64, Piece)> {
        let (start, piece) = self.0.get(key)?.pieces.range(..=at).next_back()?;
        (at - start < piece.slot.len()).then(|| (*start, piece.clone()))
    }

    /// What must be read to get `place`; `None` while some of it is missing.
    pub fn plan(&self, place: &Place) -> Option<ReadPlan> {
        let slots = match &place.source {
            Source::Own(slot) => vec![(0, slot.clone())],
            Source::Body(key) => self.pieces(key, place.offset, place.len)?,
        };
        Some(ReadPlan { slots, offset: place.offset, len: place.len })
    }
}

/// A read that needs the state no longer, so that no lock is held while the disk works.
#[derive(Debug)]
pub(super) struct ReadPlan {
    slots: Vec<(u64, Slot)>,
    offset: u64,
    len: u64,
}

impl ReadPlan {
    /// Does the read.
    pub fn read(self, log: &Log) -> Result<Bytes, DevnetError> {
        let lost = || DevnetError::Lost(format!("{} bytes at {}", self.len, self.offset));
        let end = self.offset.checked_add(self.len).ok_or_else(lost)?;
        let mut parts = Vec::new();
        for (start, slot) in &self.slots {
            let from = self.offset.saturating_sub(*start).min(slot.len());
            let to = end.saturating_sub(*start).min(slot.len());
            if from < to {
                parts.push(log.read(&slot.part(from, to - from))?);
            }
        }
        let bytes = match parts.len() {
            1 => parts.pop().unwrap_or_default(),
            _ => parts
                .iter()
                .fold(BytesMut::new(), |mut all, part| {
                    all.extend_from_slice(part);
                    all
                })
                .freeze(),
        };
        if bytes.len() as u64 == self.len { Ok(bytes) } else { Err(lost()) }
    }
}
