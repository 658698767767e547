//! What can go wrong in the [`Store`](super::Store), and what the operator does about it.

use std::{io, path::PathBuf, sync::Arc};

use super::Position;

/// Why the store refused, failed or could not be opened. Cheap to clone: a poisoned store answers every later append with
/// the error that poisoned it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Another process (or another handle in this one) has the folder open.
    #[error("{folder} is in use by another weft: stop it, or give this one its own data folder")]
    Locked {
        /// The store's folder.
        folder: PathBuf,
    },
    /// The operating system refused a read, a write or a sync.
    #[error(
        "cannot {action} {path}: {source}; check the disk's health and free space and the folder's permissions, then start again"
    )]
    Io {
        /// What was being done, as a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        source: Arc<io::Error>,
    },
    /// Bytes on disk are not what was written, at a place where an interrupted write cannot explain it.
    #[error(
        "{file} is damaged at byte {offset}: {what}; acknowledged records may be lost, so nothing was changed: restore this file \
         from a copy, or move the whole store folder away to start without its history"
    )]
    Corrupt {
        /// The damaged segment file.
        file: PathBuf,
        /// Byte offset in that file.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// A segment file is absent, so that records between two others are gone.
    #[error(
        "{folder}: the journal has a hole: expected a segment file that starts at position {expected}, found {found}; restore the missing file"
    )]
    Gap {
        /// The journal's folder.
        folder: PathBuf,
        /// Position where the next segment should start.
        expected: u64,
        /// Position where the next segment found starts.
        found: u64,
    },
    /// A record, or the records of one append together, exceed the bound.
    #[error(
        "{size} bytes is too large for one {what}: the limit is {limit} bytes; keep large data in a blob and journal its name"
    )]
    TooLarge {
        /// `record` or `append`.
        what: &'static str,
        /// Size asked for, in bytes.
        size: u64,
        /// The bound, in bytes.
        limit: u64,
    },
    /// A record of no bytes: never meaningful, so refused.
    #[error("a record must have at least one byte")]
    Empty,
    /// No record starts at this position.
    #[error("there is no record at {0}: positions come from append or from the reducer, and none was given out there")]
    NoRecord(Position),
    /// The index (sled) failed while the store was open. The journal is unharmed.
    #[error(
        "the index in {folder} failed: {reason}; the journal is unharmed: start again, the index is rebuilt from it when needed"
    )]
    Index {
        /// The index's folder.
        folder: PathBuf,
        /// What sled said.
        reason: Arc<str>,
    },
    /// The writer thread is gone, so nothing can be made durable any more.
    #[error("the journal's writer has stopped ({0}): nothing more can be stored, restart the node")]
    Stopped(&'static str),
}

impl StoreError {
    /// An [`StoreError::Io`] maker for `map_err`.
    pub(super) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source: Arc::new(source) }
    }
}
