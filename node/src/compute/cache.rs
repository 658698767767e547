//! Compiled modules on disk, so that a module is compiled once per node and engine configuration.
//!
//! Where it sits: between [`super::Engine`] and the compiler. An artefact is machine code: it comes from this node's own
//! compiler only and is never sent to or taken from a peer. Each file holds a BLAKE3 hash over its name and content,
//! so that a torn, flipped or misplaced file is compiled again instead of run. The hash is no defence against somebody
//! who may write to the folder; such a person could replace the node's binary as well.

use std::{
    fs,
    hash::{Hash, Hasher},
    io::Write as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use weft_protocol::Id;

use super::module::LoadError;

const MAGIC: &[u8; 16] = b"weft-artefact-1\n";
const HASH_LEN: usize = 32;
/// Most bytes of an artefact that is read back (machine code is several times larger than its wasm).
const MAX_ARTEFACT: u64 = 1 << 30;

static TEMPORARY: AtomicU64 = AtomicU64::new(0);

pub(crate) struct Cache {
    dir: PathBuf,
    /// Everything besides the module that the machine code depends on.
    environment: Id,
}

impl Cache {
    pub(crate) fn open(dir: &Path, engine: &wasmtime::Engine) -> std::io::Result<Self> {
        fs::create_dir_all(dir)?;
        let mut hasher = Collect(blake3::Hasher::new());
        super::config::RUNTIME.hash(&mut hasher);
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Self { dir: dir.to_owned(), environment: Id::from_bytes(*hasher.0.finalize().as_bytes()) })
    }

    /// The module whose translated binary `wasm` has SHA-256 `id`, from the cache or compiled from `wasm`.
    pub(crate) fn module(&self, engine: &wasmtime::Engine, id: Id, wasm: &[u8]) -> Result<wasmtime::Module, LoadError> {
        let path = self.path(id);
        if let Some(module) = self.read(engine, id, &path) {
            return Ok(module);
        }
        let module = wasmtime::Module::new(engine, wasm).map_err(|error| LoadError::NotWasm(format!("{error:#}")))?;
        if let Err(error) = module
            .serialize()
            .map_err(|error| format!("{error:#}"))
            .and_then(|artefact| self.write(id, &path, &artefact).map_err(|error| error.to_string()))
        {
            // Only the next start pays for this.
            tracing::warn!(module = %id, path = %path.display(), %error, "compiled module not cached");
        }
        Ok(module)
    }

    fn path(&self, id: Id) -> PathBuf {
        self.dir.join(format!("{id}.{}.artefact", self.environment))
    }

    fn read(&self, engine: &wasmtime::Engine, id: Id, path: &Path) -> Option<wasmtime::Module> {
        let size = fs::metadata(path).ok()?.len();
        if size > MAX_ARTEFACT {
            return None;
        }
        let file = fs::read(path).ok()?;
        let (magic, rest) = file.split_at_checked(MAGIC.len())?;
        let (hash, artefact) = rest.split_at_checked(HASH_LEN)?;
        if magic != MAGIC || hash != self.hash(id, artefact).as_bytes() {
            tracing::warn!(module = %id, path = %path.display(), "damaged compiled module ignored; compiling again");
            return None;
        }
        // SAFETY: `deserialize` runs what these bytes say, so they must be what `Module::serialize` of this version
        // produced. They are: the file lies in a folder that only this node writes, the hash over module, engine
        // version, configuration and content is the one that `write` put there, and wasmtime itself refuses other
        // versions, targets and settings.
        let module = unsafe { wasmtime::Module::deserialize(engine, artefact) };
        match module {
            Ok(module) => Some(module),
            Err(error) => {
                tracing::warn!(module = %id, error = %format!("{error:#}"), "compiled module refused; compiling again");
                None
            }
        }
    }

    /// Written beside and renamed, so that a reader sees the old file, the new one or none.
    fn write(&self, id: Id, path: &Path, artefact: &[u8]) -> std::io::Result<()> {
        let unique = TEMPORARY.fetch_add(1, Ordering::Relaxed);
        let temporary = self.dir.join(format!("{id}.{}.{unique}.tmp", std::process::id()));
        let written = (|| {
            let mut file = fs::File::create(&temporary)?;
            file.write_all(MAGIC)?;
            file.write_all(self.hash(id, artefact).as_bytes())?;
            file.write_all(artefact)?;
            file.sync_all()?;
            fs::rename(&temporary, path)
        })();
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    fn hash(&self, id: Id, artefact: &[u8]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        hasher.update(MAGIC);
        hasher.update(id.as_bytes());
        hasher.update(self.environment.as_bytes());
        hasher.update(artefact);
        hasher.finalize()
    }
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
