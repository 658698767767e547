//! The index: a sled tree that the reducer fills from the journal, and that can always be thrown away and rebuilt.
//!
//! Beside the reducer's keys (prefix byte 1) it holds one entry (prefix byte 0) that says which journal it belongs to, which
//! reducer version filled it and up to which position: written in the same atomic batch as the keys themselves.

use std::{
    any::Any,
    fs, io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;

use super::{StoreError, recovery::pause};

/// sled's page cache, in bytes (its own default is 1 GiB; several nodes share a machine in a test network).
const CACHE: u64 = 32 << 20;
/// How often sled writes its log out, in milliseconds. Only shortens the replay after a kill: the journal is the truth.
const FLUSH_EVERY: u64 = 1_000;
/// Key of the entry that says what the index reflects.
const META_KEY: [u8; 1] = [0];
/// Prefix of the reducer's keys.
const USER: u8 = 1;
/// A handle just dropped releases sled's lock a little later: attempts and pause between them.
const OPEN_ATTEMPTS: u32 = 40;
const OPEN_PAUSE: Duration = Duration::from_millis(50);

/// Changes to the index that one or more records cause. Filled by a [`Reducer`](super::Reducer), applied atomically.
#[derive(Debug, Default)]
pub struct IndexBatch {
    batch: sled::Batch,
    operations: usize,
}

impl IndexBatch {
    /// Sets `key` to `value`. Keep values small (well under 100 KiB): index a record's [`Position`](super::Position) rather
    /// than its bytes.
    pub fn insert(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.operations = self.operations.saturating_add(1);
        self.batch.insert(user_key(key.as_ref()), value.as_ref());
    }

    /// Removes `key` if it is there.
    pub fn remove(&mut self, key: impl AsRef<[u8]>) {
        self.operations = self.operations.saturating_add(1);
        self.batch.remove(user_key(key.as_ref()));
    }

    /// How many changes are in it.
    pub fn len(&self) -> usize {
        self.operations
    }

    /// Whether nothing would change.
    pub fn is_empty(&self) -> bool {
        self.operations == 0
    }
}

/// Which way [`Store::scan`](super::Store::scan) walks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Ascending byte order of keys.
    Forward,
    /// Descending byte order of keys.
    Backward,
}

/// What an index reflects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Meta {
    /// The reducer's version.
    pub version: u32,
    /// Salt of the journal's first segment: tells this journal from any other.
    pub journal: u64,
    /// Everything before this position has been applied.
    pub applied: u64,
}

impl Meta {
    fn encode(self) -> Vec<u8> {
        let mut bytes = self.version.to_le_bytes().to_vec();
        bytes.extend_from_slice(&self.journal.to_le_bytes());
        bytes.extend_from_slice(&self.applied.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first_chunk::<4>()?;
        let (journal, rest) = rest.split_first_chunk::<8>()?;
        let applied: &[u8; 8] = rest.try_into().ok()?;
        Some(Self {
            version: u32::from_le_bytes(*version),
            journal: u64::from_le_bytes(*journal),
            applied: u64::from_le_bytes(*applied),
        })
    }
}

/// The open index.
pub(super) struct Index {
    db: sled::Db,
    folder: PathBuf,
}

impl Index {
    /// Opens or creates the index in `folder`.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let mut attempt = 0;
        loop {
            match guarded(folder, || sled_config(folder).open()) {
                Ok(db) => {
                    return Ok(Self { db, folder: folder.to_owned() });
                }
                Err(error) if attempt < OPEN_ATTEMPTS && error.to_string().contains("could not acquire lock") => {
                    attempt = attempt.saturating_add(1);
                    pause(OPEN_PAUSE);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Deletes whatever is in `folder` and creates an empty index there.
    pub fn recreate(folder: &Path) -> Result<Self, StoreError> {
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StoreError::io("delete the index", folder)(error));
            }
            _ => {}
        }
        Self::open(folder)
    }

    /// What it reflects; `None` for a new one.
    pub fn meta(&self) -> Result<Option<Meta>, StoreError> {
        let bytes = guarded(&self.folder, || self.db.get(META_KEY))?;
        match bytes {
            None => Ok(None),
            Some(bytes) => Meta::decode(&bytes).map(Some).ok_or_else(|| self.failed("its own entry is malformed")),
        }
    }

    /// Applies the changes and the new `meta` together.
    pub fn apply(&self, mut changes: IndexBatch, meta: Meta) -> Result<(), StoreError> {
        changes.batch.insert(&META_KEY, meta.encode());
        guarded(&self.folder, || self.db.apply_batch(changes.batch))
    }

    /// The value of `key`.
    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let value = guarded(&self.folder, || self.db.get(user_key(key)))?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    /// Up to `limit` entries whose key begins with `prefix`, from `start` (inclusive) on.
    pub fn scan(
        &self,
        prefix: &[u8],
        start: Option<&[u8]>,
        limit: usize,
        direction: Direction,
    ) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        let low = user_key(prefix);
        let range = self.db.scan_prefix(&low);
        match (start, direction) {
            (None, Direction::Forward) => self.collect(range, limit),
            (None, Direction::Backward) => self.collect(range.rev(), limit),
            (Some(start), Direction::Forward) => {
                let from = user_key(start).max(low.clone());
                let within = self.db.range(from..).take_while(|entry| starts_with(entry, &low));
                self.collect(within, limit)
            }
            (Some(start), Direction::Backward) => {
                let to = user_key(start);
                if to < low {
                    Ok(Vec::new())
                } else if to.starts_with(&low) {
                    self.collect(self.db.range(low..=to).rev(), limit)
                } else {
                    self.collect(range.rev(), limit)
                }
            }
        }
    }

    fn collect(
        &self,
        entries: impl Iterator<Item = sled::Result<(sled::IVec, sled::IVec)>>,
        limit: usize,
    ) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        let copied = |entry: sled::Result<(sled::IVec, sled::IVec)>| {
            entry.map(|(key, value)| {
                (Bytes::copy_from_slice(key.get(1..).unwrap_or_default()), Bytes::copy_from_slice(&value))
            })
        };
        guarded(&self.folder, || entries.take(limit).map(copied).collect())
    }

    fn failed(&self, reason: &str) -> StoreError {
        StoreError::Index { folder: self.folder.clone(), reason: reason.into() }
    }
}

fn sled_config(folder: &Path) -> sled::Config {
    sled::Config::new().path(folder).cache_capacity(CACHE).flush_every_ms(Some(FLUSH_EVERY))
}

fn user_key(key: &[u8]) -> Vec<u8> {
    let mut prefixed = Vec::with_capacity(key.len().saturating_add(1));
    prefixed.push(USER);
    prefixed.extend_from_slice(key);
    prefixed
}

/// Errors pass, so that they are reported and not silently the end of a scan.
fn starts_with(entry: &sled::Result<(sled::IVec, sled::IVec)>, prefix: &[u8]) -> bool {
    entry.as_ref().map_or(true, |(key, _)| key.starts_with(prefix))
}

/// Runs a sled call. sled 0.34 panics on some damaged files: that is an error like any other here, since the index can be
/// rebuilt.
fn guarded<T>(folder: &Path, call: impl FnOnce() -> sled::Result<T>) -> Result<T, StoreError> {
    let reason: Arc<str> = match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(error)) => error.to_string().into(),
        Err(panic) => panic_text(&*panic).into(),
    };
    Err(StoreError::Index { folder: folder.to_owned(), reason })
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    format!("sled panicked: {}", text.unwrap_or("no reason given"))
}
