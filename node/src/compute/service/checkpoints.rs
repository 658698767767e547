//! Checkpoints on this node's disk: the newest few snapshots of each process, taken at ends of windows.
//!
//! Where it sits: written beside the fold (`fold.rs`) when a window ends, read when a process is brought back
//! (`rebuild.rs`). A checkpoint is only a shortcut: it is used if its state root is the one in an attestation that this node
//! holds for that slot, and everything in one is hashed again when it is restored. So they are written without waiting for
//! the disk, and one that is damaged is deleted and the one before it is used, or the log from slot 0.
//!
//! ```text
//! FOLDER/ab/abcdef…/uploaded          which one was put on Arweave last, and when
//! FOLDER/ab/abcdef…/1024.snapshot     64 hex digits of the process, by the first two; the slot evaluated next
//! FOLDER/temp/                        being written; emptied when opened
//! ```

use std::{
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use bytes::Bytes;
use tokio::sync::mpsc;
use weft_protocol::Id;

use crate::compute::Snapshot;

#[cfg(test)]
mod tests;

/// Checkpoints kept of one process; the oldest goes first.
const KEPT: usize = 3;
/// Checkpoints written at the same time at most; one that comes while they are at work is left out.
const WRITERS: usize = 2;
/// Bytes of all checkpoints at most, unless the node's operator says otherwise.
pub const MAX_BYTES: u64 = 20 << 30;
/// Checkpoints that wait to be heard of.
const TOLD: usize = 1_024;
/// Says which one was uploaded last.
const PUBLISHED: &str = "uploaded";
const SUFFIX: &str = ".snapshot";

/// The folder could not be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {path}: {source}; check the disk's health and free space and the folder's permissions")]
pub struct CheckpointFault {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

fn fault(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CheckpointFault {
    let path = path.to_owned();
    move |source| CheckpointFault { action, path, source }
}

/// A checkpoint file as the bound on all of them sees it.
struct Kept {
    path: PathBuf,
    at: SystemTime,
    bytes: u64,
}

/// The checkpoints of this node. Cheap to clone. Calls block on the disk.
#[derive(Clone)]
pub struct Checkpoints {
    folder: Arc<Path>,
    limit: u64,
    used: Arc<AtomicU64>,
    serial: Arc<AtomicU64>,
    clearing: Arc<Mutex<()>>,
    writers: Arc<tokio::sync::Semaphore>,
    tell: Option<mpsc::Sender<(Id, u64)>>,
}

impl Checkpoints {
    /// Opens `folder`, creating it if needed; more than `limit` bytes of checkpoints are not kept in it. The folder belongs to
    /// a node's data folder, which its stores lock.
    ///
    /// # Errors
    /// The system refuses the folder.
    pub fn open(folder: &Path, limit: u64) -> Result<Self, CheckpointFault> {
        let temp = folder.join("temp");
        match fs::remove_dir_all(&temp) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fault("empty", &temp)(error)),
            _ => {}
        }
        fs::create_dir_all(&temp).map_err(fault("create", &temp))?;
        let opened = Self {
            folder: folder.into(),
            limit,
            used: Arc::default(),
            serial: Arc::default(),
            clearing: Arc::default(),
            writers: Arc::new(tokio::sync::Semaphore::new(WRITERS)),
            tell: None,
        };
        opened.used.store(opened.all().iter().map(|kept| kept.bytes).sum(), Ordering::Relaxed);
        opened.clear();
        Ok(opened)
    }

    /// The same, and whoever listens hears of each checkpoint that is kept; of one too many while it does not listen, not.
    pub fn telling(self) -> (Self, mpsc::Receiver<(Id, u64)>) {
        let (tell, kept) = mpsc::channel(TOLD);
        (Self { tell: Some(tell), ..self }, kept)
    }

    /// Keeps a snapshot of `process` that stands before `next_slot`, in the background; says so when it cannot.
    pub fn keep(&self, process: Id, next_slot: u64, snapshot: Snapshot) {
        let Ok(turn) = Arc::clone(&self.writers).try_acquire_owned() else {
            tracing::debug!(%process, next_slot, "checkpoint left out: the disk is still writing others");
            return;
        };
        let this = self.clone();
        tokio::task::spawn_blocking(move || {
            if let Err(error) = this.put(&process, next_slot, &snapshot) {
                tracing::warn!(%process, next_slot, %error, "checkpoint not kept; a restart replays more");
            }
            drop(turn);
        });
    }

    /// Keeps a snapshot of `process` that stands before `next_slot`, and lets go of what is beyond the bounds.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn put(&self, process: &Id, next_slot: u64, snapshot: &Snapshot) -> Result<(), CheckpointFault> {
        let (bytes, shelf) = (snapshot.as_bytes(), self.shelf(process));
        let size = bytes.len() as u64;
        if size > self.limit {
            return Ok(());
        }
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let temp = self.folder.join("temp").join(serial.to_string());
        let path = shelf.join(format!("{next_slot}{SUFFIX}"));
        let before = fs::metadata(&path).map_or(0, |file| file.len());
        let written = fs::create_dir_all(&shelf)
            .and_then(|()| fs::write(&temp, bytes))
            .and_then(|()| fs::rename(&temp, &path))
            .map_err(fault("write", &path));
        if written.is_err() {
            let _ = fs::remove_file(&temp); // the next start removes it as well
        }
        written?;
        self.add(size, before);
        for old in self.slots(process).into_iter().skip(KEPT) {
            self.remove(process, old);
        }
        if self.used.load(Ordering::Relaxed) > self.limit {
            self.clear();
        }
        if let Some(tell) = &self.tell {
            let _ = tell.try_send((*process, next_slot)); // the next one comes
        }
        Ok(())
    }

    /// Slots that checkpoints of `process` stand before, newest first.
    pub fn slots(&self, process: &Id) -> Vec<u64> {
        let Ok(listed) = fs::read_dir(self.shelf(process)) else { return Vec::new() };
        let slot = |name: &str| name.strip_suffix(SUFFIX)?.parse::<u64>().ok();
        let mut slots: Vec<u64> =
            listed.flatten().filter_map(|file| slot(file.file_name().to_str().unwrap_or_default())).collect();
        slots.sort_unstable_by(|left, right| right.cmp(left));
        slots
    }

    /// The checkpoint of `process` before `next_slot`. One that is not in the form of a snapshot is deleted.
    pub fn get(&self, process: &Id, next_slot: u64) -> Option<Snapshot> {
        let bytes = fs::read(self.path(process, next_slot)).ok()?;
        match Snapshot::from_bytes(Bytes::from(bytes)) {
            Ok(snapshot) => Some(snapshot),
            Err(error) => {
                self.damaged(process, next_slot, &error.to_string());
                None
            }
        }
    }

    /// Deletes a checkpoint that turned out to be unfit, and says so.
    pub fn damaged(&self, process: &Id, next_slot: u64, why: &str) {
        tracing::warn!(%process, next_slot, why, "checkpoint deleted; an earlier one is used, or the log from slot 0");
        self.remove(process, next_slot);
    }

    /// Deletes a checkpoint.
    pub fn remove(&self, process: &Id, next_slot: u64) {
        let path = self.path(process, next_slot);
        let bytes = fs::metadata(&path).map_or(0, |file| file.len());
        if fs::remove_file(&path).is_ok() {
            self.add(0, bytes);
        }
    }

    /// Bytes of all checkpoints.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Slot before which the checkpoint of `process` stands that was uploaded last, and when (ms since 1970).
    pub fn published(&self, process: &Id) -> Option<(u64, u64)> {
        let text = fs::read_to_string(self.shelf(process).join(PUBLISHED)).ok()?;
        let (slot, at) = text.trim().split_once(' ')?;
        Some((slot.parse().ok()?, at.parse().ok()?))
    }

    /// Notes that the checkpoint before `next_slot` was uploaded; if that is lost, one more is.
    pub fn set_published(&self, process: &Id, next_slot: u64, at_ms: u64) {
        let shelf = self.shelf(process);
        let noted =
            fs::create_dir_all(&shelf).and_then(|()| fs::write(shelf.join(PUBLISHED), format!("{next_slot} {at_ms}")));
        if let Err(error) = noted {
            tracing::debug!(%process, %error, "upload of a checkpoint not noted");
        }
    }

    fn add(&self, more: u64, less: u64) {
        let change = |used: u64| Some(used.saturating_add(more).saturating_sub(less));
        let _ = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change);
    }

    /// Deletes the oldest checkpoints until a tenth of the bound is free again.
    fn clear(&self) {
        let Ok(_one) = self.clearing.try_lock() else { return };
        let enough = self.limit.saturating_sub(self.limit / 10);
        if self.used() <= self.limit {
            return;
        }
        let mut all = self.all();
        all.sort_by_key(|kept| kept.at);
        for kept in all {
            if self.used() <= enough {
                return;
            }
            if fs::remove_file(&kept.path).is_ok() {
                self.add(0, kept.bytes);
            }
        }
    }

    fn all(&self) -> Vec<Kept> {
        let inside = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let shelves = inside(&self.folder).filter(|path| path.file_name().is_none_or(|name| name != "temp"));
        let files = shelves.flat_map(|shelf| inside(&shelf)).flat_map(|process| inside(&process));
        let kept = |path: PathBuf| {
            let file = fs::metadata(&path).ok()?;
            Some(Kept { path, at: file.modified().unwrap_or(SystemTime::UNIX_EPOCH), bytes: file.len() })
        };
        files.filter(|path| path.extension().is_some_and(|end| end == "snapshot")).filter_map(kept).collect()
    }

    fn path(&self, process: &Id, next_slot: u64) -> PathBuf {
        self.shelf(process).join(format!("{next_slot}{SUFFIX}"))
    }

    fn shelf(&self, process: &Id) -> PathBuf {
        let mut hex = String::with_capacity(64);
        for byte in process.as_bytes() {
            let _ = write!(hex, "{byte:02x}"); // writing to a string cannot fail
        }
        self.folder.join(hex.get(..2).unwrap_or_default()).join(hex)
    }
}
