//! Where the devnet's records live: in the journal of a folder, or in memory when it has none.

use std::path::Path;

use bytes::Bytes;

use super::DevnetError;
use crate::store::{Direction, IndexBatch, Position, Store};

/// The largest item or body that fits a record with its head.
pub(super) const MAX_PAYLOAD: usize = 24 << 20;
/// Index keys read at a time while replaying.
const PAGE: usize = 512;

/// The records, append-only.
pub(super) enum Log {
    Memory,
    Disk(Store),
}

/// Bytes inside a stored record.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    home: Home,
    offset: u64,
    len: u64,
}

/// Where a record is.
#[derive(Debug, Clone)]
pub(super) enum Home {
    Memory(Bytes),
    Journal(Position),
}

impl Slot {
    pub const fn new(home: Home, offset: u64, len: u64) -> Self {
        Self { home, offset, len }
    }

    pub const fn len(&self) -> u64 {
        self.len
    }

    /// The whole record that it is in.
    pub fn whole(&self) -> Self {
        Self { home: self.home.clone(), offset: 0, len: u64::MAX }
    }

    /// The part of it that begins at `from` and has `len` bytes.
    pub fn part(&self, from: u64, len: u64) -> Self {
        Self { home: self.home.clone(), offset: self.offset.saturating_add(from), len }
    }
}

impl Log {
    /// The log in a folder; in memory without one.
    pub fn open(folder: Option<&Path>) -> Result<Self, DevnetError> {
        let Some(folder) = folder else { return Ok(Self::Memory) };
        let each_position =
            |position: Position, _: &[u8], batch: &mut IndexBatch| batch.insert(position.to_bytes(), b"");
        Ok(Self::Disk(Store::open(folder, each_position)?))
    }

    /// Makes a record durable; where it is now.
    pub async fn append(&self, record: Bytes) -> Result<Home, DevnetError> {
        match self {
            Self::Memory => Ok(Home::Memory(record)),
            Self::Disk(store) => {
                let positions = store.append(vec![record]).await?;
                positions
                    .first()
                    .copied()
                    .map(Home::Journal)
                    .ok_or_else(|| DevnetError::Lost("a new record".to_owned()))
            }
        }
    }

    /// The bytes in a slot.
    pub fn read(&self, slot: &Slot) -> Result<Bytes, DevnetError> {
        let record = match (self, &slot.home) {
            (_, Home::Memory(record)) => record.clone(),
            (Self::Disk(store), Home::Journal(position)) => store.read(*position)?,
            (Self::Memory, Home::Journal(position)) => return Err(DevnetError::Lost(format!("record {position}"))),
        };
        if slot.len == u64::MAX {
            return Ok(record);
        }
        let range = usize::try_from(slot.offset).ok().zip(usize::try_from(slot.len).ok());
        range
            .and_then(|(offset, len)| Some((offset, offset.checked_add(len)?)))
            .filter(|(_, end)| *end <= record.len())
            .map(|(offset, end)| record.slice(offset..end))
            .ok_or_else(|| DevnetError::Lost(format!("{} bytes of a record", slot.len)))
    }

    /// Hands every record to `each`, oldest first.
    pub fn replay(&self, mut each: impl FnMut(Home, Bytes) -> Result<(), DevnetError>) -> Result<(), DevnetError> {
        let Self::Disk(store) = self else { return Ok(()) };
        let mut start: Option<Vec<u8>> = None;
        loop {
            let page = store.scan(b"", start.as_deref(), PAGE, Direction::Forward)?;
            for (key, _) in &page {
                let position =
                    Position::from_slice(key).ok_or_else(|| DevnetError::Lost("an index entry".to_owned()))?;
                each(Home::Journal(position), store.read(position)?)?;
            }
            let Some((last, _)) = page.last().filter(|_| page.len() == PAGE) else { return Ok(()) };
            start = Some([last.as_ref(), &[0]].concat());
        }
    }
}
