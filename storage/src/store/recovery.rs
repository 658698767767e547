//! Opening a store: lock, check the journal's end, bring the index up to date.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use super::{
    Reducer, StoreError,
    format::SEGMENT_HEADER,
    index::{Index, IndexBatch, Meta},
    segments::{self, Group, Segment, Segments, Tail, sync_folder},
};

/// A process that is just ending may hold the lock a moment longer: attempts and the pause between them.
const LOCK_ATTEMPTS: u32 = 10;
const LOCK_PAUSE: Duration = Duration::from_millis(50);
/// Bytes of journal folded into the index at a time.
const REPLAY_BATCH: u64 = 8 << 20;
/// How often a replay says how far it is.
const PROGRESS_EVERY: Duration = Duration::from_secs(2);
/// Marks an index to be rebuilt.
const INDEX_BAD: &str = "index.bad";

/// Everything an open store starts from.
pub(super) struct Recovered {
    pub lock: File,
    pub index: Index,
    pub meta: Meta,
    pub segments: Segments,
    pub tail: OpenTail,
    pub end: u64,
}

/// The segment that is written on.
pub(super) struct OpenTail {
    pub segment: Segment,
    pub file: File,
    /// Its length in bytes.
    pub len: u64,
}

/// Opens what is in `folder`, creating what is missing.
pub(super) fn open(folder: &Path, reducer: &impl Reducer) -> Result<Recovered, StoreError> {
    let journal = folder.join("journal");
    fs::create_dir_all(&journal).map_err(StoreError::io("create", &journal))?;
    let lock = lock(folder)?;
    sync_folder(folder)?;
    let segments = segments::find(&journal)?;
    let tail = open_tail(&segments, &journal)?;
    let end = tail.segment.header.start.saturating_add(tail.len);
    let (index, meta) = open_index(folder, reducer, &segments, end)?;
    Ok(Recovered { lock, index, meta, segments, tail, end })
}

fn lock(folder: &Path) -> Result<File, StoreError> {
    let path = folder.join("lock");
    let file = File::create(&path).map_err(StoreError::io("create", &path))?;
    let mut attempt = 0;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if attempt < LOCK_ATTEMPTS => {
                attempt = attempt.saturating_add(1);
                pause(LOCK_PAUSE);
            }
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::Locked { folder: folder.to_owned() });
            }
            Err(TryLockError::Error(error)) => return Err(StoreError::io("lock", &path)(error)),
        }
    }
}

/// Waits a moment for a lock that somebody is about to release; callers count their attempts.
#[allow(clippy::disallowed_methods, reason = "a file lock that is released sends no event")]
pub(super) fn pause(time: Duration) {
    thread::sleep(time);
}

/// Checks the newest segment and cuts off an interrupted write.
fn open_tail(segments: &Segments, journal: &Path) -> Result<OpenTail, StoreError> {
    let segment = match segments.last_key_value() {
        Some((_, segment)) => segment.clone(),
        None => {
            return Err(StoreError::Gap { folder: journal.to_owned(), expected: 0, found: 0 });
        }
    };
    let file = segment.open_to_write()?;
    let mut len = segment.len()?;
    if let Tail::Torn(valid) = segment.walk(SEGMENT_HEADER as u64, true, |_| Ok(()))? {
        tracing::warn!(
            file = %segment.path.display(), valid, cut = len.saturating_sub(valid),
            "the last write was interrupted; it was never acknowledged and is cut off"
        );
        file.set_len(valid).map_err(StoreError::io("truncate", &segment.path))?;
        len = valid;
    }
    // What a killed process wrote but did not sync is about to be served: make it durable first.
    file.sync_all().map_err(StoreError::io("sync", &segment.path))?;
    Ok(OpenTail { segment, file, len })
}

/// Opens the index and applies what it misses; deletes and rebuilds it if it cannot be what it should.
fn open_index(
    folder: &Path,
    reducer: &impl Reducer,
    segments: &Segments,
    end: u64,
) -> Result<(Index, Meta), StoreError> {
    let path = folder.join("index");
    let journal = segments.first_key_value().map_or(0, |(_, segment)| segment.header.salt);
    let empty = Meta { version: reducer.version(), journal, applied: 0 };
    let bad = folder.join(INDEX_BAD);
    let reason = if bad.exists() {
        "it failed in the last run".to_owned()
    } else {
        match usable(&path, empty, end) {
            Ok((index, meta)) => match replay(&index, meta, reducer, segments, end) {
                Ok(meta) => return Ok((index, meta)),
                Err(error) if blames_index(&error, meta, segments) => error.to_string(),
                Err(error) => return Err(error),
            },
            Err(reason) => reason,
        }
    };
    tracing::warn!(index = %path.display(), reason, "the index is deleted and rebuilt from the journal");
    let index = Index::recreate(&path)?;
    let meta = replay(&index, empty, reducer, segments, end)?;
    match fs::remove_file(&bad) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::io("delete", &bad)(error)),
        _ => Ok((index, meta)),
    }
}

/// The index as found, if it can be brought up to date by applying more records; otherwise why not.
fn usable(path: &Path, empty: Meta, end: u64) -> Result<(Index, Meta), String> {
    let index = Index::open(path).map_err(|error| error.to_string())?;
    let meta = index.meta().map_err(|error| error.to_string())?.unwrap_or(empty);
    if meta.version != empty.version {
        return Err(format!("it was made by reducer version {}, this is {}", meta.version, empty.version));
    }
    if meta.journal != empty.journal {
        return Err("it belongs to another journal".to_owned());
    }
    if meta.applied > end {
        return Err(format!(
            "it reflects the journal up to {}, but the journal ends at {end}: records that were once durable are GONE from \
             the journal (a disk that lies about syncs, or a file that was cut or restored from an old copy)",
            meta.applied
        ));
    }
    Ok((index, meta))
}

/// Whether a replay failed because of the index: sled said so, or the place where it should go on is no group's start.
fn blames_index(error: &StoreError, meta: Meta, segments: &Segments) -> bool {
    match error {
        StoreError::Index { .. } => true,
        StoreError::Corrupt { file, offset, .. } => segments
            .range(..=meta.applied)
            .next_back()
            .is_some_and(|(start, segment)| segment.path == *file && start.saturating_add(*offset) == meta.applied),
        _ => false,
    }
}

/// Folds everything from `meta.applied` to `end` into `index`.
fn replay(
    index: &Index,
    meta: Meta,
    reducer: &impl Reducer,
    segments: &Segments,
    end: u64,
) -> Result<Meta, StoreError> {
    let mut replay =
        Replay { index, meta, pending: IndexBatch::default(), reached: meta.applied, said: Instant::now(), end };
    let first = segments.range(..=meta.applied).next_back().map_or(0, |(start, _)| *start);
    for (start, segment) in segments.range(first..) {
        let offset = meta.applied.saturating_sub(*start).max(SEGMENT_HEADER as u64);
        // The tail has been checked and cut by now: nothing torn is left anywhere.
        segment.walk(offset, false, |group| replay.group(group, reducer))?;
    }
    replay.flush()?;
    Ok(replay.meta)
}

struct Replay<'a> {
    index: &'a Index,
    meta: Meta,
    pending: IndexBatch,
    reached: u64,
    said: Instant,
    end: u64,
}

impl Replay<'_> {
    fn group(&mut self, group: Group, reducer: &impl Reducer) -> Result<(), StoreError> {
        for (position, record) in &group.records {
            reducer.apply(*position, record, &mut self.pending);
        }
        self.reached = group.end;
        if self.reached.saturating_sub(self.meta.applied) >= REPLAY_BATCH {
            self.flush()?;
        }
        if self.said.elapsed() >= PROGRESS_EVERY {
            self.said = Instant::now();
            tracing::info!(done = self.reached, of = self.end, "bringing the index up to date, bytes of journal");
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        self.meta.applied = self.reached;
        self.index.apply(std::mem::take(&mut self.pending), self.meta)
    }
}

/// Leaves the mark that has the index rebuilt at the next start. Best effort: without it the next start finds the damage
/// itself, or meets it again.
pub(super) fn mark_index_bad(folder: &Path) {
    if let Err(error) = fs::write(folder.join(INDEX_BAD), b"") {
        tracing::warn!(%error, folder = %folder.display(), "could not mark the index to be rebuilt; delete its folder by hand");
    }
}
