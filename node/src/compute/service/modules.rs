//! Modules by id: fetched through the gateway, checked, kept on disk, compiled once, shared.
//!
//! Where it sits: asked by the compute service for the module of each process. Whoever asks first for a module has it loaded,
//! by a task of its own: others who ask wait for the same task, whoever stops waiting does not stop it, and none waits for
//! another module (beyond the bounds below).

use std::{
    collections::HashMap,
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use lru::LruCache;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, watch};
use weft_protocol::{Id, ans104::Tag, message::Party};
use weft_storage::{
    arweave::gateway::{Gateway, GatewayError},
    blobs::Blobs,
};

use crate::compute::{Engine, EngineProfile, Limits, Module, ModuleFormat};

/// Modules kept compiled in memory.
const LOADED: NonZeroUsize = crate::bounds::at_least_one(256);
/// Modules that are being loaded, or wait for it, at most.
const LOADING: usize = 256;
/// Modules that are fetched at once: each may take as much memory as a module may be large.
const FETCHING: usize = 16;
/// Modules that are compiled at once. One that takes long does not hold up the others, and all together leave the machine
/// room to evaluate.
const COMPILING: usize = 4;

/// A module with its metadata; or why it can never run, which is the same on every node.
pub struct Loaded {
    /// Id, owner and tags, as the process's environment shows them.
    pub party: Party,
    /// The compiled module, or why there is none.
    pub machine: Result<Module, String>,
}

impl Loaded {
    /// The same for a process with these tags, within its own limits; or why it cannot run within them, which is then the
    /// outcome of each of its slots.
    pub fn within_limits(&self, process: &[Tag], profile: &EngineProfile) -> Arc<Self> {
        let most = Limits { memory_bytes: profile.max_memory_bytes, fuel: profile.fuel_per_slot };
        let machine = self.machine.clone().and_then(|machine| {
            let refused = |error: &dyn std::fmt::Display| format!("the process cannot run: {error}");
            let limits = Limits::of(process, &self.party.tags, most).map_err(|error| refused(&error))?;
            machine.limited(limits).map_err(|error| refused(&error))
        });
        Arc::new(Self { party: self.party.clone(), machine })
    }
}

/// Why a module cannot be had now.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ModuleError {
    /// No gateway has it.
    #[error("module {0} is on none of the gateways: publish it first (`weft module publish FILE`), or check the id")]
    NotFound(Id),
    /// It could not be asked for.
    #[error("module {id} cannot be fetched now: {reason}; try again")]
    Unavailable {
        /// The module.
        id: Id,
        /// What went wrong.
        reason: String,
    },
}

#[derive(Serialize, Deserialize)]
struct Meta {
    owner: String,
    tags: Vec<(String, String)>,
    sha256: Id,
}

/// The modules of this node. Cheap to clone.
#[derive(Clone)]
pub struct Modules {
    engine: Engine,
    gateway: Gateway,
    blobs: Blobs,
    table: Arc<Mutex<Table>>,
    fetching: Arc<Semaphore>,
    compiling: Arc<Semaphore>,
}

/// What came of a load; `None` while it is under way.
type Awaited = watch::Receiver<Option<Result<Arc<Loaded>, ModuleError>>>;

struct Table {
    loaded: LruCache<Id, Arc<Loaded>>,
    loading: HashMap<Id, Awaited>,
}

/// A load that is under way; dropped, it is none any more, however it ended.
struct Underway {
    modules: Modules,
    id: Id,
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.modules.table().loading.remove(&self.id);
    }
}

impl Modules {
    /// Modules fetched through `gateway`, kept in `blobs`, compiled by `engine`.
    pub fn new(engine: Engine, gateway: Gateway, blobs: Blobs) -> Self {
        let table = Table { loaded: LruCache::new(LOADED), loading: HashMap::new() };
        let bound = |at_once| Arc::new(Semaphore::new(at_once));
        let table = Arc::new(Mutex::new(table));
        Self { engine, gateway, blobs, table, fetching: bound(FETCHING), compiling: bound(COMPILING) }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cached(&self, id: &Id) -> Option<Arc<Loaded>> {
        self.table().loaded.get(id).cloned()
    }

    /// The module, loading it if need be.
    ///
    /// # Errors
    /// When it cannot be had now. A module that can never run is `Ok` with the reason inside.
    pub async fn load(&self, id: Id) -> Result<Arc<Loaded>, ModuleError> {
        let mut awaited = match self.begin(id)? {
            Ok(loaded) => return Ok(loaded),
            Err(awaited) => awaited,
        };
        let ended = ModuleError::Unavailable { id, reason: "loading it was broken off".to_owned() };
        let done = awaited.wait_for(Option::is_some).await.map(|done| done.clone());
        done.ok().flatten().unwrap_or(Err(ended))
    }

    /// The module, or how to wait for the task that loads it, which is started if need be.
    fn begin(&self, id: Id) -> Result<Result<Arc<Loaded>, Awaited>, ModuleError> {
        let mut table = self.table();
        if let Some(loaded) = table.loaded.get(&id) {
            return Ok(Ok(Arc::clone(loaded)));
        }
        if let Some(awaited) = table.loading.get(&id) {
            return Ok(Err(awaited.clone()));
        }
        if table.loading.len() >= LOADING {
            let reason = format!("{LOADING} other modules are being loaded on this node");
            return Err(ModuleError::Unavailable { id, reason });
        }
        let (tell, awaited) = watch::channel(None);
        table.loading.insert(id, awaited.clone());
        drop(table);
        let underway = Underway { modules: self.clone(), id };
        tokio::spawn(async move {
            let result = underway.modules.make(id).await;
            if let Ok(loaded) = &result {
                underway.modules.table().loaded.put(id, Arc::clone(loaded));
            }
            drop(underway);
            tell.send_replace(Some(result));
        });
        Ok(Err(awaited))
    }

    async fn make(&self, id: Id) -> Result<Arc<Loaded>, ModuleError> {
        let unavailable = |reason: String| ModuleError::Unavailable { id, reason };
        let fetching = self.fetching.acquire().await.map_err(|e| unavailable(e.to_string()))?;
        let (party, wasm) = match self.kept(&id) {
            Some(kept) => kept,
            None => self.fetch(id).await?,
        };
        let _compiling = self.compiling.acquire().await.map_err(|e| unavailable(e.to_string()))?;
        drop(fetching);
        let engine = self.engine.clone();
        let task = tokio::task::spawn_blocking(move || Loaded { machine: compile(&engine, &party, &wasm), party });
        task.await.map(Arc::new).map_err(|e| unavailable(e.to_string()))
    }

    /// Checks, without compiling it, that a module can be had and says it is one this network can run.
    ///
    /// # Errors
    /// `Err(Ok(reason))`: it can never run. `Err(Err(error))`: it cannot be had now.
    pub async fn inspect(&self, id: Id) -> Result<(), Result<String, ModuleError>> {
        if let Some(loaded) = self.cached(&id) {
            return loaded.machine.as_ref().map(|_| ()).map_err(|why| Ok(why.clone()));
        }
        let (party, wasm) = match self.kept(&id) {
            Some(kept) => kept,
            None => self.fetch(id).await.map_err(Err)?,
        };
        format_of(&party, &wasm).map(|_| ()).map_err(Ok)
    }

    async fn fetch(&self, id: Id) -> Result<(Party, Bytes), ModuleError> {
        let fetched = self.gateway.fetch(&id).await.map_err(|error| match error {
            GatewayError::NotFound(_) => ModuleError::NotFound(id),
            error => ModuleError::Unavailable { id, reason: error.to_string() },
        })?;
        let meta = Meta {
            owner: fetched.owner.to_string(),
            tags: fetched.tags.iter().map(|t| (t.name.clone(), t.value.clone())).collect(),
            sha256: Id::sha256(&fetched.data),
        };
        let party = Party { id, owner: meta.owner.clone(), tags: fetched.tags };
        if let Err(error) = self.keep(&id, &meta, &fetched.data) {
            tracing::warn!(module = %id, %error, "module is not kept on disk; it will be fetched again after a restart");
        }
        Ok((party, fetched.data))
    }

    fn keep(&self, id: &Id, meta: &Meta, wasm: &[u8]) -> Result<(), String> {
        let meta = serde_json::to_vec(meta).map_err(|e| e.to_string())?;
        let length = u32::try_from(meta.len()).map_err(|e| e.to_string())?;
        let blob = [&length.to_le_bytes(), meta.as_slice(), wasm].concat();
        self.blobs.put(id, &blob).map_err(|e| e.to_string())
    }

    /// A module kept on disk, if its bytes are still what they were.
    fn kept(&self, id: &Id) -> Option<(Party, Bytes)> {
        let blob = self.blobs.get(id).ok()??;
        let (length, rest) = blob.split_first_chunk::<4>()?;
        let (meta, wasm) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
        let read: Meta = serde_json::from_slice(meta).ok()?;
        if Id::sha256(wasm) != read.sha256 {
            return None;
        }
        let tags = read.tags.into_iter().map(|(name, value)| Tag::new(name, value)).collect();
        Some((Party { id: *id, owner: read.owner, tags }, Bytes::copy_from_slice(wasm)))
    }
}

fn compile(engine: &Engine, party: &Party, wasm: &[u8]) -> Result<Module, String> {
    let format = format_of(party, wasm)?;
    engine.load(wasm, format).map_err(|e| format!("module {} cannot run: {e}", party.id))
}

fn format_of(party: &Party, wasm: &[u8]) -> Result<ModuleFormat, String> {
    let tag = |name: &str| party.tags.iter().find(|t| t.name == name).map(|t| t.value.as_str());
    let fail = |why: String| format!("module {} cannot run: {why}", party.id);
    if tag("Type") != Some("Module") {
        return Err(fail("it is not a module (no tag Type = Module)".into()));
    }
    if !wasm.starts_with(b"\0asm") {
        return Err(fail("its data is not WebAssembly".into()));
    }
    tag("Module-Format").unwrap_or_default().parse().map_err(|e| fail(format!("{e}")))
}

#[cfg(test)]
mod tests;
