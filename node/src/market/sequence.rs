//! Sequence numbers that never repeat, whatever crashes: a number is on disk before it is used.
//!
//! The file holds one decimal number, the first that has never been reserved; numbers are reserved in blocks, so that
//! the disk is touched once in a while. The clock is a floor besides: a node whose folder was deleted still rises.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Numbers reserved by one write.
const BLOCK: u64 = 1_000;

/// Why there is no next number.
#[derive(Debug, thiserror::Error)]
pub enum SequenceError {
    /// The file cannot be read or written.
    #[error("the market's sequence file {path}: {source}. See that the folder exists and the disk has room")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{path} does not hold a sequence number: remove it (numbers then continue from the clock)")]
    Corrupt {
        /// The file.
        path: PathBuf,
    },
}

/// The numbers of one node.
#[derive(Debug)]
pub struct Sequence {
    path: PathBuf,
    next: u64,
    reserved: u64,
}

impl Sequence {
    /// Continues after everything the file has reserved; `now_ms` is the least number. A missing file starts there.
    ///
    /// # Errors
    /// A file that cannot be read, or holds something else.
    pub fn open(path: PathBuf, now_ms: u64) -> Result<Self, SequenceError> {
        let reserved = match fs::read_to_string(&path) {
            Ok(text) => text.trim().parse().map_err(|_| SequenceError::Corrupt { path: path.clone() })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(source) => return Err(SequenceError::Io { path, source }),
        };
        let next = now_ms.max(reserved);
        Ok(Self { path, next, reserved: next })
    }

    /// The next number. Touches the disk when a block is used up.
    ///
    /// # Errors
    /// A file that cannot be written; the number is then not used.
    pub async fn next(&mut self) -> Result<u64, SequenceError> {
        if self.next >= self.reserved {
            let (path, value) = (self.path.clone(), self.next.saturating_add(BLOCK));
            let written = tokio::task::spawn_blocking(move || write(&path, value)).await;
            let written = written.unwrap_or_else(|error| Err(io::Error::other(error)));
            written.map_err(|source| SequenceError::Io { path: self.path.clone(), source })?;
            self.reserved = value;
        }
        let number = self.next;
        self.next = number.saturating_add(1);
        Ok(number)
    }
}

/// Replaces the file: temporary file, fsync, rename, fsync of the folder.
fn write(path: &Path, value: u64) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = File::create(&temporary)?;
    writeln!(file, "{value}")?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    File::open(folder)?.sync_all()
}
