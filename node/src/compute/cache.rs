//! Compiled modules on disk, so that the optimising compiler sees a module once per node and engine configuration.
//!
//! Where it sits: between [`super::tiers`](super::tiers) and the compiler. An artefact is machine code: it comes from this
//! node's own compiler only and is never sent to or taken from a peer. It lies in a file of its own, exactly as the engine
//! wrote it, so that it can be mapped instead of read; beside it lies a BLAKE3 hash over module, engine, configuration,
//! compiler and content. A file is mapped only if
//! - it is a regular file (no link is followed) of the user that the node runs as, which nobody else may write to;
//! - it is no larger than [`MAX_ARTEFACT`];
//! - its bytes, read through the same open file, have that hash.
//!
//! So a torn, flipped or misplaced file is compiled again instead of run. It is no defence against somebody who acts as the
//! node's own user; such a person could replace the node's binary as well. The node itself never changes a file in place:
//! it writes beside and renames, which leaves what is mapped as it is.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    hash::{Hash, Hasher},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

use weft_protocol::Id;

use super::tiers::Tier;

const MAGIC: &[u8; 16] = b"weft-artefact-2\n";
const HASH_LEN: usize = 32;
/// Most bytes of an artefact that is used (machine code is several times larger than its wasm).
const MAX_ARTEFACT: u64 = 1 << 30;
/// Bytes hashed at a time.
const CHUNK: usize = 256 << 10;
/// A file that was being written this long ago was left by a process that died.
const ABANDONED: Duration = Duration::from_secs(3600);
/// Most files of the folder that are looked at when room is made.
const MAX_FILES: usize = 100_000;

/// Machine code.
const CODE: &str = "code";
/// The hash beside it.
const SUM: &str = "hash";
/// Being written.
const TEMPORARY: &str = "tmp";
/// What the versions of Weft before this one wrote.
const FORMER: &str = "artefact";

static COUNTER: AtomicU64 = AtomicU64::new(0);

/// The artefacts of one engine.
pub(crate) struct Cache {
    dir: PathBuf,
    /// Everything besides the module that the machine code depends on.
    environment: Id,
    /// Most bytes of the folder; 0: nothing is kept.
    most_bytes: u64,
}

impl Cache {
    /// The artefacts in `dir` that `engine` of `tier` made; makes room if they take more than `most_bytes`.
    pub(crate) fn open(dir: &Path, most_bytes: u64, engine: &wasmtime::Engine, tier: Tier) -> io::Result<Self> {
        let mut hasher = Collect(blake3::Hasher::new());
        super::config::RUNTIME.hash(&mut hasher);
        tier.hash(&mut hasher);
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let environment = Id::from_bytes(*hasher.0.finalize().as_bytes());
        let cache = Self { dir: dir.to_owned(), environment, most_bytes };
        if most_bytes > 0 {
            DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
            cache.make_room();
        }
        Ok(cache)
    }

    /// The module whose translated binary has SHA-256 `id`, mapped, if it lies here and is sound.
    pub(crate) fn find(&self, engine: &wasmtime::Engine, id: Id) -> Option<wasmtime::Module> {
        if self.most_bytes == 0 {
            return None;
        }
        let path = self.path(id, CODE);
        let mut file = match open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => return ignored(id, &path, &error.to_string()),
        };
        if let Err(reason) = self.check(id, &mut file) {
            return ignored(id, &path, &reason);
        }
        // When it was last used decides which goes first; that it cannot be noted is no reason not to use it.
        let _ = file.set_modified(SystemTime::now());
        // SAFETY: the engine runs what this file says, so it must be what it wrote itself, now and as long as it is mapped.
        // It is: `check` has compared these bytes, through this very file, with the hash that `keep` put beside it; only the
        // node's own user can write to the file, and the node never does (it renames others in its place). wasmtime itself
        // refuses other versions, targets and settings.
        match unsafe { wasmtime::Module::deserialize_open_file(engine, file) } {
            Ok(module) => Some(module),
            Err(error) => ignored(id, &path, &format!("{error:#}")),
        }
    }

    /// Keeps what the engine's own compiler has made of a module. Only the next start pays if it cannot be kept.
    pub(crate) fn keep(&self, id: Id, artefact: &[u8]) {
        if self.most_bytes == 0 {
            return;
        }
        let sum = self.hasher(id).update(artefact).finalize();
        let written = self
            .write(id, CODE, artefact)
            .and_then(|()| self.write(id, SUM, &[MAGIC, sum.as_bytes().as_slice()].concat()));
        if let Err(error) = written {
            tracing::warn!(module = %id, folder = %self.dir.display(), %error, "compiled module not kept");
        }
        self.make_room();
    }

    fn path(&self, id: Id, kind: &str) -> PathBuf {
        self.dir.join(format!("{id}.{}.{kind}", self.environment))
    }

    fn hasher(&self, id: Id) -> blake3::Hasher {
        let mut hasher = blake3::Hasher::new();
        hasher.update(MAGIC).update(id.as_bytes()).update(self.environment.as_bytes());
        hasher
    }

    /// Whether `file` may be run as the code of `id`.
    fn check(&self, id: Id, file: &mut File) -> Result<(), String> {
        let size = private(file)?;
        if size > MAX_ARTEFACT {
            return Err(format!("it is {size} bytes, more than the {MAX_ARTEFACT} that are used"));
        }
        let mut expected = [0; MAGIC.len() + HASH_LEN];
        let mut sum = open(&self.path(id, SUM)).map_err(|error| format!("the hash beside it: {error}"))?;
        private(&sum).map_err(|reason| format!("the hash beside it: {reason}"))?;
        sum.read_exact(&mut expected).map_err(|error| format!("the hash beside it: {error}"))?;
        let mut hasher = self.hasher(id);
        let mut chunk = vec![0; CHUNK];
        loop {
            match file.read(&mut chunk) {
                Ok(0) => break,
                Ok(count) => hasher.update(chunk.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.to_string()),
            };
        }
        let (magic, expected) = expected.split_at(MAGIC.len());
        if magic == MAGIC && expected == hasher.finalize().as_bytes() {
            Ok(())
        } else {
            Err("its content does not have the hash beside it".to_owned())
        }
    }

    /// Written beside and renamed, so that a reader sees the old file, the new one or none. Not flushed: what a crash tears
    /// does not have its hash.
    fn write(&self, id: Id, kind: &str, bytes: &[u8]) -> io::Result<()> {
        let unique = COUNTER.fetch_add(1, Ordering::Relaxed);
        let temporary = self.dir.join(format!("{id}.{}.{unique}.{TEMPORARY}", std::process::id()));
        let written = (|| {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
            file.write_all(bytes)?;
            fs::rename(&temporary, self.path(id, kind))
        })();
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    /// Deletes what was used longest ago until the folder is within its bound, and what nobody will use again.
    fn make_room(&self) {
        let Ok(entries) = fs::read_dir(&self.dir) else { return };
        let mut kept = Vec::new();
        for entry in entries.flatten().take(MAX_FILES) {
            let path = entry.path();
            let Ok(about) = entry.metadata() else { continue };
            let used = about.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            let age = SystemTime::now().duration_since(used).unwrap_or_default();
            match path.extension().and_then(|extension| extension.to_str()) {
                Some(CODE) if about.is_file() => kept.push((used, about.len().saturating_add(HASH_LEN as u64), path)),
                Some(TEMPORARY) if age > ABANDONED => remove(&path),
                Some(FORMER) => remove(&path),
                _ => {}
            }
        }
        kept.sort();
        let mut total = kept.iter().fold(0_u64, |sum, (_, size, _)| sum.saturating_add(*size));
        for (_, size, path) in kept {
            if total <= self.most_bytes {
                break;
            }
            remove(&path);
            remove(&path.with_extension(SUM));
            total = total.saturating_sub(size);
        }
    }
}

/// Opens a file that is no link.
fn open(path: &Path) -> io::Result<File> {
    let flags = (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits();
    OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path)
}

/// The size of a regular file that nobody but this process's user may change.
fn private(file: &File) -> Result<u64, String> {
    let about = file.metadata().map_err(|error| error.to_string())?;
    let me = rustix::process::geteuid().as_raw();
    if !about.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    if about.uid() != me {
        return Err(format!("it belongs to user {}, not to {me} that this node runs as", about.uid()));
    }
    if about.mode() & 0o022 != 0 {
        return Err(format!("others may write to it (mode {:o})", about.mode() & 0o7777));
    }
    Ok(about.len())
}

fn ignored(id: Id, path: &Path, reason: &str) -> Option<wasmtime::Module> {
    tracing::warn!(module = %id, path = %path.display(), %reason, "compiled module not used; compiling again");
    None
}

/// A file that is gone already is what was wanted; one that stays is met again the next time.
fn remove(path: &Path) {
    let _ = fs::remove_file(path);
}

/// Feeds a `Hash` value to BLAKE3: the standard hasher's 64 bits are too few to name code.
struct Collect(blake3::Hasher);

impl Hasher for Collect {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        self.0.finalize().as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }
}

#[cfg(test)]
mod tests;
