//! What a node must not lose: an append-only journal, and an index over it.
//!
//! The journal is the truth: segment files of checksummed records, made durable with `fdatasync` before anybody is told. One
//! writer thread takes all appends that wait, writes them with one write and one sync (group commit), lets the [`Reducer`]
//! fold them into the index, and only then answers. The index is sled; it can be lost at any time and is rebuilt from the
//! journal (sled 0.34's flush is no durability barrier, so nothing here depends on it).
//!
//! Where it sits: the scheduler, the messenger and the anchor each append to the node's one store and read it back; nothing
//! else in Weft writes truth to disk.
//!
//! ```text
//! FOLDER/lock                      held while open: one store, one process
//! FOLDER/journal/0000….journal     the truth (bytes: `store/format.rs`)
//! FOLDER/index/                    sled
//! FOLDER/index.bad                 the index failed: rebuild it at the next start
//! ```

mod error;
mod format;
mod index;
mod recovery;
mod segments;
mod writer;

#[cfg(test)]
mod tests;

use std::{
    fmt,
    fs::File,
    path::{Path, PathBuf},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
};

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

pub use error::StoreError;
pub use format::{MAX_APPEND, MAX_RECORD};
pub use index::{Direction, IndexBatch};

use index::Index;
use segments::Segments;
use writer::{Append, Writer};

/// Appends that may wait for the writer; the next one waits for room.
const QUEUE: usize = 1024;
/// Bytes of records that may wait for the writer, in units of [`BUDGET_UNIT`]: 128 MiB.
const BUDGET: usize = 128 << 10;
/// 1 KiB.
const BUDGET_UNIT: usize = 1 << 10;

/// Where a record lies in the journal. Grows with every record; says nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(u64);

impl Position {
    /// The position as a number, for an index entry.
    pub const fn to_u64(self) -> u64 {
        self.0
    }

    /// The position that [`Self::to_u64`] gave.
    pub const fn from_u64(position: u64) -> Self {
        Self(position)
    }

    /// Eight bytes that sort as positions do.
    pub const fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// The position in exactly eight bytes of [`Self::to_bytes`].
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(|bytes| Self(u64::from_be_bytes(bytes)))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Folds records into the index. Must be a pure function of position and record: the index is rebuilt by running it over the
/// whole journal again.
pub trait Reducer: Send + Sync + 'static {
    /// Adds to `batch` what `record` at `position` changes in the index.
    fn apply(&self, position: Position, record: &[u8], batch: &mut IndexBatch);

    /// Give another number when the same records shall lead to other entries: the index is then rebuilt at the next start.
    fn version(&self) -> u32 {
        1
    }
}

impl<F: Fn(Position, &[u8], &mut IndexBatch) + Send + Sync + 'static> Reducer for F {
    fn apply(&self, position: Position, record: &[u8], batch: &mut IndexBatch) {
        self(position, record, batch);
    }
}

/// What a store has done since it was opened, and where its journal ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Appends that were made durable.
    pub appends: u64,
    /// Records in them.
    pub records: u64,
    /// `fdatasync` calls that took: far fewer than appends when many are concurrent.
    pub syncs: u64,
    /// Position just after the last durable record: about the journal's size in bytes.
    pub end: u64,
}

/// A handle on an open store; cheap to clone. When the last one is dropped, appends still waiting are written, and the
/// folder is free again when that drop returns.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    queue: Option<mpsc::Sender<Append>>,
    budget: Arc<Semaphore>,
    writer: Option<JoinHandle<()>>,
    /// Last field: released after everything else.
    _lock: File,
}

/// What readers and the writer thread both use.
struct Shared {
    folder: PathBuf,
    index: Index,
    segments: RwLock<Segments>,
    failure: watch::Sender<Option<StoreError>>,
    counters: Counters,
}

/// The numbers of [`StoreStats`].
#[derive(Default)]
struct Counters {
    appends: AtomicU64,
    records: AtomicU64,
    syncs: AtomicU64,
    end: AtomicU64,
}

impl Store {
    /// Opens the store in `folder`, creating it if needed: checks the journal's last file, cuts off an interrupted write, and
    /// brings the index up to date (rebuilding it if it is lost, damaged, of another journal or of another reducer version).
    /// Blocking, and long when an index has to be rebuilt: progress is logged.
    pub fn open(folder: impl AsRef<Path>, reducer: impl Reducer) -> Result<Self, StoreError> {
        let folder = folder.as_ref();
        let recovered = recovery::open(folder, &reducer)?;
        let shared = Arc::new(Shared {
            folder: folder.to_owned(),
            index: recovered.index,
            segments: RwLock::new(recovered.segments),
            failure: watch::Sender::new(None),
            counters: Counters::default(),
        });
        shared.counters.end.store(recovered.end, Ordering::Release);
        let (queue, waiting) = mpsc::channel(QUEUE);
        let writer = Writer::new(Arc::clone(&shared), reducer, recovered.tail, recovered.meta);
        let writer = thread::Builder::new()
            .name("weft-journal".to_owned())
            .spawn(move || writer.run(waiting))
            .map_err(StoreError::io("start the writer thread of", folder))?;
        Ok(Self(Arc::new(Inner {
            shared,
            queue: Some(queue),
            budget: Arc::new(Semaphore::new(BUDGET)),
            writer: Some(writer),
            _lock: recovered.lock,
        })))
    }

    /// Makes `records` durable, all or none, next to each other and in this order, and gives their positions. Resolves only
    /// after `fdatasync` and after the index reflects them. Dropping the future does not take the records back. After a
    /// failure of the disk every append gives that same error: the node must stop.
    pub async fn append(&self, records: Vec<Bytes>) -> Result<Vec<Position>, StoreError> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let size = checked_size(&records)?;
        if let Some(failure) = self.failure() {
            return Err(failure);
        }
        let units = u32::try_from(size.div_ceil(BUDGET_UNIT)).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.0.budget).acquire_many_owned(units).await.map_err(|_| self.stopped())?;
        let (reply, answer) = oneshot::channel();
        let queue = self.0.queue.as_ref().ok_or_else(|| self.stopped())?;
        queue.send(Append { records, size, reply, _permit: permit }).await.map_err(|_| self.stopped())?;
        answer.await.map_err(|_| self.stopped())?
    }

    /// The record at `position`, its checksum verified. Blocking, usually from the page cache.
    pub fn read(&self, position: Position) -> Result<Bytes, StoreError> {
        if position.0 >= self.0.shared.counters.end.load(Ordering::Acquire) {
            return Err(StoreError::NoRecord(position));
        }
        let segment = {
            let segments = self.0.shared.segments.read().unwrap_or_else(PoisonError::into_inner);
            segments.range(..=position.0).next_back().map(|(_, segment)| segment.clone())
        };
        segment.ok_or(StoreError::NoRecord(position))?.read(position)
    }

    /// The index entry of `key`. Blocking, usually from memory.
    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.0.shared.noting(self.0.shared.index.get(key))
    }

    /// Up to `limit` index entries whose key begins with `prefix`, in `direction`, from `start` (a whole key, inclusive; none:
    /// from the prefix's end that comes first) on. Blocking.
    pub fn scan(
        &self,
        prefix: &[u8],
        start: Option<&[u8]>,
        limit: usize,
        direction: Direction,
    ) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        self.0.shared.noting(self.0.shared.index.scan(prefix, start, limit, direction))
    }

    /// Work done and the journal's end.
    pub fn stats(&self) -> StoreStats {
        let counters = &self.0.shared.counters;
        StoreStats {
            appends: counters.appends.load(Ordering::Relaxed),
            records: counters.records.load(Ordering::Relaxed),
            syncs: counters.syncs.load(Ordering::Relaxed),
            end: counters.end.load(Ordering::Acquire),
        }
    }

    /// Why nothing can be appended any more, if so.
    pub fn failure(&self) -> Option<StoreError> {
        self.0.shared.failure.borrow().clone()
    }

    /// Waits until the store fails, and says why: the node's reason to stop.
    pub async fn failed(&self) -> StoreError {
        let mut failure = self.0.shared.failure.subscribe();
        match failure.wait_for(Option::is_some).await {
            Ok(found) => found.clone().unwrap_or(StoreError::Stopped("no reason was kept")),
            Err(_) => StoreError::Stopped("closed"),
        }
    }

    fn stopped(&self) -> StoreError {
        self.failure().unwrap_or(StoreError::Stopped("closed"))
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("folder", &self.0.shared.folder).field("stats", &self.stats()).finish()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(writer) = self.writer.take() {
            // A panic there has been reported by the writer itself.
            let _ = writer.join();
        }
    }
}

impl Shared {
    /// Passes `result` on; an index that failed is marked to be rebuilt at the next start.
    fn noting<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error @ StoreError::Index { .. }) = &result {
            tracing::error!(%error, "the index failed");
            recovery::mark_index_bad(&self.folder);
        }
        result
    }

    /// From now on every append gives `error`. The first reason stays.
    fn fail(&self, error: &StoreError) {
        tracing::error!(%error, folder = %self.folder.display(), "the store has failed; nothing more is stored");
        self.failure.send_if_modified(|failure| {
            let first = failure.is_none();
            failure.get_or_insert_with(|| error.clone());
            first
        });
    }
}

/// The framed size of an append within its bounds.
fn checked_size(records: &[Bytes]) -> Result<usize, StoreError> {
    let mut size: usize = 0;
    for record in records {
        if record.is_empty() {
            return Err(StoreError::Empty);
        }
        if record.len() > MAX_RECORD {
            return Err(StoreError::TooLarge { what: "record", size: record.len() as u64, limit: MAX_RECORD as u64 });
        }
        size = size.saturating_add(format::framed_len(record));
    }
    if size > MAX_APPEND {
        return Err(StoreError::TooLarge { what: "append", size: size as u64, limit: MAX_APPEND as u64 });
    }
    Ok(size)
}
