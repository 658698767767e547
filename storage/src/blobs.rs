//! Large immutable things by name: modules, snapshots, item data. One file each, whole or absent, whatever is killed.
//!
//! Where it sits: beside the [`store`](crate::store), which journals names of blobs rather than their bytes. A blob is stored as
//! given: who reads one checks its hash before using it.
//!
//! ```text
//! FOLDER/ab/abcdef…    64 hex digits of the name (hex, since some file systems fold case), by the first two
//! FOLDER/temp/         being written; emptied when opened
//! ```

use std::{
    fmt::Write as _,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    process,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use weft_protocol::Id;

#[cfg(test)]
mod tests;

/// The system refused something a blob needed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {path}: {source}; check the disk's health and free space and the folder's permissions")]
pub struct BlobError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// A folder of blobs; cheap to clone. All calls block on the disk.
#[derive(Debug, Clone)]
pub struct Blobs {
    folder: Arc<Path>,
    next: Arc<AtomicU64>,
}

impl Blobs {
    /// Opens `folder`, creating it if needed, and removes what interrupted writes left. One process at a time: the folder
    /// belongs to a node's data folder, which its store locks.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, BlobError> {
        let folder: Arc<Path> = folder.as_ref().into();
        let temp = folder.join("temp");
        match fs::remove_dir_all(&temp) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("empty", &temp)(error));
            }
            _ => {}
        }
        fs::create_dir_all(&temp).map_err(failed("create", &temp))?;
        sync(&folder)?;
        Ok(Self { folder, next: Arc::default() })
    }

    /// Stores `bytes` as `name`; durable when this returns. An existing blob of that name is replaced in one step.
    pub fn put(&self, name: &Id, bytes: &[u8]) -> Result<(), BlobError> {
        let serial = self.next.fetch_add(1, Ordering::Relaxed);
        let temp = self.folder.join("temp").join(format!("{}-{serial}", process::id()));
        let result = self.put_through(&temp, name, bytes);
        if result.is_err() {
            // The error that matters is already on its way; opening the folder next time cleans up as well.
            let _ = fs::remove_file(&temp);
        }
        result
    }

    fn put_through(&self, temp: &Path, name: &Id, bytes: &[u8]) -> Result<(), BlobError> {
        let mut file = OpenOptions::new().write(true).create_new(true).open(temp).map_err(failed("create", temp))?;
        file.write_all(bytes).map_err(failed("write", temp))?;
        file.sync_all().map_err(failed("sync", temp))?;
        let path = self.path(name);
        let shelf = path.parent().unwrap_or(&self.folder);
        if !shelf.is_dir() {
            fs::create_dir_all(shelf).map_err(failed("create", shelf))?;
            sync(&self.folder)?;
        }
        fs::rename(temp, &path).map_err(failed("rename into place", &path))?;
        sync(shelf)
    }

    /// The blob's bytes, or `None` if there is none of that name. Check them against what the name promises.
    pub fn get(&self, name: &Id) -> Result<Option<Bytes>, BlobError> {
        let path = self.path(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", &path)(error)),
        }
    }

    /// Whether a blob of that name is there.
    pub fn contains(&self, name: &Id) -> bool {
        self.path(name).is_file()
    }

    /// Removes a blob; none of that name is fine.
    pub fn remove(&self, name: &Id) -> Result<(), BlobError> {
        let path = self.path(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("delete", &path)(error)),
            _ => Ok(()),
        }
    }

    /// Where the blob of that name lies, or would.
    pub fn path(&self, name: &Id) -> PathBuf {
        let mut hex = String::with_capacity(64);
        for byte in name.as_bytes() {
            // Writing to a string cannot fail.
            let _ = write!(hex, "{byte:02x}");
        }
        self.folder.join(hex.get(..2).unwrap_or_default()).join(hex)
    }
}

fn failed(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> BlobError {
    let path = path.into();
    move |source| BlobError { action, path, source }
}

fn sync(folder: &Path) -> Result<(), BlobError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("sync", folder))
}
