//! Parked processes on disk: one file each, whatever is killed or damaged.
//!
//! Where it sits: below the pool's threads, which write and read; the table knows what is there. A file is written without
//! waiting for the disk, since nothing depends on it: a process that is missing is replayed. What is read is checked with
//! a key that only this node has, so that neither a torn write nor somebody else's file becomes a process's state.
//!
//! ```text
//! FOLDER/ab/abcdef…    64 hex digits of the process id, by the first two
//! FOLDER/temp/         being written; emptied when opened
//!
//! WEFTSEA1, process id (32), module id (32), next slot (u64), length of the state (u64), keyed BLAKE3 of these (32),
//! the state, keyed BLAKE3 of all before (32). Integers little-endian.
//! ```

use std::{
    fmt::Write as _,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use bytes::Bytes;
use weft_protocol::Id;

use super::config::ParkingConfig;

const MAGIC: &[u8; 8] = b"WEFTSEA1";
const HEAD: usize = 8 + 32 + 32 + 8 + 8;
const MAC: usize = 32;
/// Never used up: the journals of the same disk need room.
const SPARE: u64 = 256 << 20;

/// A file that the table knows of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Filed {
    /// The slot that the process evaluates next.
    pub(super) slot: u64,
    /// Bytes of the file.
    pub(super) bytes: u64,
}

/// A state as it was written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) module: Id,
    pub(super) slot: u64,
    pub(super) state: Bytes,
}

/// The folder.
#[derive(Debug)]
pub(super) struct Parking {
    config: ParkingConfig,
    serial: AtomicU64,
    /// Whether the disk refused the last write: it is said once.
    refused: AtomicBool,
}

impl Parking {
    /// Opens the folder and looks at the heads of what is there, those used longest ago first; what is damaged is deleted.
    pub(super) fn open(config: ParkingConfig) -> io::Result<(Self, Vec<(Id, Filed)>)> {
        let temp = config.folder.join("temp");
        match fs::remove_dir_all(&temp) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::create_dir_all(&temp)?;
        let parking = Self { config, serial: AtomicU64::new(0), refused: AtomicBool::new(false) };
        let mut found = parking.scan()?;
        found.sort_by_key(|(written, ..)| *written);
        Ok((parking, found.into_iter().map(|(_, id, filed)| (id, filed)).collect()))
    }

    fn scan(&self) -> io::Result<Vec<(std::time::SystemTime, Id, Filed)>> {
        let mut found = Vec::new();
        let mut damaged = 0_u64;
        for shelf in fs::read_dir(&self.config.folder)? {
            let shelf = shelf?;
            if shelf.file_name() == "temp" || !shelf.file_type()?.is_dir() {
                continue;
            }
            for file in fs::read_dir(shelf.path())? {
                let path = file?.path();
                match self.head_of(&path) {
                    Ok((written, id, filed)) if self.path(&id) == path => found.push((written, id, filed)),
                    _ => {
                        damaged += 1;
                        let _ = fs::remove_file(&path);
                    }
                }
            }
        }
        if damaged > 0 {
            tracing::warn!(
                damaged,
                "parked processes could not be used (written by another version, or torn); their logs will be replayed"
            );
        }
        Ok(found)
    }

    fn head_of(&self, path: &Path) -> io::Result<(std::time::SystemTime, Id, Filed)> {
        let mut file = open(path)?;
        let meta = file.metadata()?;
        let mut head = [0; HEAD + MAC];
        file.read_exact(&mut head)?;
        let (process, _, slot) = self.check_head(&head, meta.len()).ok_or_else(damaged)?;
        Ok((meta.modified()?, process, Filed { slot, bytes: meta.len() }))
    }

    /// Process, module and slot of a file of `length` bytes.
    fn check_head(&self, head: &[u8; HEAD + MAC], length: u64) -> Option<(Id, Id, u64)> {
        let (fields, mac) = head.split_first_chunk::<HEAD>()?;
        let good = blake3::keyed_hash(&self.config.key, fields) == *mac.first_chunk::<MAC>()?;
        let (magic, rest) = fields.split_first_chunk::<8>()?;
        let (process, rest) = rest.split_first_chunk::<32>()?;
        let (module, rest) = rest.split_first_chunk::<32>()?;
        let (slot, rest) = rest.split_first_chunk::<8>()?;
        let state = u64::from_le_bytes(*rest.first_chunk::<8>()?);
        let whole = state.checked_add((HEAD + 2 * MAC) as u64) == Some(length);
        let found = (Id::from_bytes(*process), Id::from_bytes(*module), u64::from_le_bytes(*slot));
        (good && magic == MAGIC && whole).then_some(found)
    }

    /// Most bytes of all files.
    pub(super) fn max_bytes(&self) -> u64 {
        self.config.max_bytes
    }

    /// Whether the disk took the last state. If it did not, live processes stay where they are as long as there is room.
    pub(super) fn is_healthy(&self) -> bool {
        !self.refused.load(Ordering::Relaxed)
    }

    /// Writes a state in place of an older one. `None`: the disk does not take it, which is said once.
    pub(super) fn write(&self, process: &Id, module: &Id, slot: u64, state: &[u8]) -> Option<Filed> {
        match self.try_write(process, module, slot, state) {
            Ok(filed) => {
                if self.refused.swap(false, Ordering::Relaxed) {
                    tracing::info!("processes can be parked on disk again");
                }
                Some(filed)
            }
            Err(error) => {
                if !self.refused.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        %error, folder = %self.config.folder.display(),
                        "processes cannot be parked on disk: check its space and the folder's permissions; what does not \
                         fit in memory is replayed from its log"
                    );
                }
                None
            }
        }
    }

    fn try_write(&self, process: &Id, module: &Id, slot: u64, state: &[u8]) -> io::Result<Filed> {
        let bytes = (HEAD + 2 * MAC + state.len()) as u64;
        let disk = rustix::fs::statvfs(&self.config.folder)?;
        if disk.f_bavail.saturating_mul(disk.f_frsize) < bytes.saturating_add(SPARE) {
            return Err(io::Error::other(format!("less than {} MiB of the disk are free", SPARE >> 20)));
        }
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let temp = self.config.folder.join("temp").join(serial.to_string());
        let written = self.write_through(&temp, process, module, slot, state);
        if written.is_err() {
            // The error that matters is already on its way.
            let _ = fs::remove_file(&temp);
        }
        written.map(|()| Filed { slot, bytes })
    }

    fn write_through(&self, temp: &Path, process: &Id, module: &Id, slot: u64, state: &[u8]) -> io::Result<()> {
        let mut head = Vec::with_capacity(HEAD + MAC);
        head.extend_from_slice(MAGIC);
        head.extend_from_slice(process.as_bytes());
        head.extend_from_slice(module.as_bytes());
        head.extend_from_slice(&slot.to_le_bytes());
        head.extend_from_slice(&(state.len() as u64).to_le_bytes());
        let mac = blake3::keyed_hash(&self.config.key, &head);
        head.extend_from_slice(mac.as_bytes());
        let all = blake3::Hasher::new_keyed(&self.config.key).update(&head).update(state).finalize();
        let mut file = create(temp)?;
        file.write_all(&head)?;
        file.write_all(state)?;
        file.write_all(all.as_bytes())?;
        drop(file);
        let path = self.path(process);
        if let Some(shelf) = path.parent() {
            fs::create_dir_all(shelf)?;
        }
        fs::rename(temp, &path)
    }

    /// The state of a process. `Ok(None)`: there is no file.
    ///
    /// # Errors
    /// It cannot be read, or is not what this node wrote for this process.
    pub(super) fn read(&self, process: &Id) -> io::Result<Option<Read>> {
        let mut file = match open(&self.path(process)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let length = file.metadata()?.len();
        let mut head = [0; HEAD + MAC];
        file.read_exact(&mut head)?;
        let (found, module, slot) = self.check_head(&head, length).ok_or_else(damaged)?;
        // The length is what this node wrote: the head was authentic.
        let size = usize::try_from(length).map_err(|_| damaged())?.checked_sub(HEAD + 2 * MAC).ok_or_else(damaged)?;
        let mut state = vec![0; size];
        file.read_exact(&mut state)?;
        let mut mac = [0; MAC];
        file.read_exact(&mut mac)?;
        let all = blake3::Hasher::new_keyed(&self.config.key).update(&head).update(&state).finalize();
        if found != *process || all != mac {
            return Err(damaged());
        }
        Ok(Some(Read { module, slot, state: state.into() }))
    }

    /// Whether there is a file; it may be damaged.
    pub(super) fn contains(&self, process: &Id) -> bool {
        self.path(process).is_file()
    }

    /// Deletes a process's file. What cannot be deleted is checked again when it is read.
    pub(super) fn remove(&self, process: &Id) {
        match fs::remove_file(self.path(process)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%process, %error, "a parked process could not be deleted");
            }
            _ => {}
        }
    }

    fn path(&self, process: &Id) -> PathBuf {
        let mut hex = String::with_capacity(64);
        for byte in process.as_bytes() {
            // Writing to a string cannot fail.
            let _ = write!(hex, "{byte:02x}");
        }
        self.config.folder.join(hex.get(..2).unwrap_or_default()).join(hex)
    }
}

fn damaged() -> io::Error {
    io::Error::other("it is not what this node wrote")
}

/// Opens a file for reading; a link is none.
fn open(path: &Path) -> io::Result<File> {
    let file = options(OpenOptions::new().read(true)).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(damaged()) }
}

fn create(path: &Path) -> io::Result<File> {
    options(OpenOptions::new().write(true).create_new(true)).open(path)
}

/// For the node's own user only, and not through links.
#[cfg(unix)]
fn options(options: &mut OpenOptions) -> &mut OpenOptions {
    use std::os::unix::fs::OpenOptionsExt as _;
    options.mode(0o600).custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
}

#[cfg(not(unix))]
fn options(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

#[cfg(test)]
mod tests;
