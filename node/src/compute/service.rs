//! The compute service: evaluates leased processes slot by slot and signs what came out.
//!
//! Where it sits: asked by messengers ([`ComputeHandle::eval`], [`ComputeHandle::dry_run`]); pulls logs from schedulers and
//! modules through the gateway; evaluates in the [`Pool`], off the network's tasks. Results are durable
//! ([`ResultStore`]) before they are answered; attestations are gossiped, and anchored from the
//! store (`feeder.rs`).
//!
//! A process is evaluated by one request at a time. Its state is rebuilt after a restart from the nearest state that is kept
//! (`rebuild.rs`) by replaying the log, and each replayed outcome must hash to the one signed before.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use lru::LruCache;
use prost::Message as _;
use weft_protocol::{
    Id,
    ans104::Ed25519Signer,
    keys::NodeKey,
    network::Network,
    refusal::Code,
    wire::{self, Refusal},
};

use super::{Engine, Pool, PoolError};
use crate::{activity::ActivityLog, directory::Directory, market::MarketHandle, peers::Peers};

mod adopt;
mod checkpoints;
mod fill;
mod fold;
mod follow;
mod keep;
mod modules;
mod publish;
mod rebuild;
mod store;
mod ticks;
mod trial;

pub use adopt::{Shelf, find_checkpoints};
pub use checkpoints::{CheckpointFault, Checkpoints, MAX_BYTES as MAX_CHECKPOINT_BYTES};
pub use follow::{Difference, Followed, Follower, locate};
pub use modules::{Loaded, ModuleError, Modules};
pub use publish::{PublishRules, Publisher};
pub use store::{Hole, ResultStore};

use fold::Held;

/// Processes whose position is remembered; a forgotten one is read from the store again.
const KNOWN: NonZeroUsize = crate::bounds::at_least_one(20_000);
/// After this a request is answered with what there is; the messenger asks on.
const ANSWER_AFTER: Duration = Duration::from_secs(2);
/// Bytes of results in one answer at most; one always fits.
const PAGE_BYTES: usize = 8 << 20;
/// Results in one answer at most.
const PAGE_RESULTS: usize = 256;

/// What the compute service works with.
pub struct ComputeTools {
    /// The network.
    pub network: Network,
    /// This node's signer.
    pub signer: Ed25519Signer,
    /// Calls to schedulers.
    pub peers: Peers,
    /// Who orders what.
    pub directory: Directory,
    /// Checks leases.
    pub market: MarketHandle,
    /// Compiles modules, evaluates.
    pub machine: Machine,
    /// What moved.
    pub activity: ActivityLog,
    /// Why this node does not offer compute although it has the role.
    pub off: Option<String>,
}

/// Everything that evaluates and keeps results.
pub struct Machine {
    /// Names the engine profile.
    pub engine: Engine,
    /// Live processes.
    pub pool: Pool,
    /// Modules by id.
    pub modules: Modules,
    /// Results, durable.
    pub store: ResultStore,
    /// Newest few states of each process, on disk.
    pub checkpoints: Checkpoints,
    /// States of others, on Arweave.
    pub shelf: Shelf,
}

type Slot = Arc<tokio::sync::Mutex<Held>>;

/// A cheap handle on the compute service.
#[derive(Clone)]
pub struct ComputeHandle {
    tools: Arc<ComputeTools>,
    folds: Arc<Mutex<LruCache<Id, Slot>>>,
    turns: trial::Turns,
}

impl ComputeHandle {
    /// A service over `tools`. It has no task of its own: requests drive it.
    pub fn new(tools: ComputeTools) -> Self {
        Self {
            tools: Arc::new(tools),
            folds: Arc::new(Mutex::new(LruCache::new(KNOWN))),
            turns: trial::Turns::default(),
        }
    }

    /// What it works with.
    pub fn tools(&self) -> &ComputeTools {
        &self.tools
    }

    fn slot(&self, process: &Id) -> Slot {
        let mut folds = self.folds.lock().unwrap_or_else(PoisonError::into_inner);
        folds.get_or_insert(*process, Slot::default).clone()
    }

    /// Evaluates the slots asked for and answers with what is there after `ANSWER_AFTER` at the latest (at least one).
    ///
    /// # Errors
    /// A refusal: no such lease, log or module out of reach, or a fault of this node.
    pub async fn eval(&self, from: NodeKey, request: wire::Eval) -> Result<wire::EvalPage, Refusal> {
        let process = id("process", &request.process)?;
        let lease = id("lease", &request.lease)?;
        let (first, last) = (request.from_slot, request.to_slot);
        self.tools.market.charge(lease, from, process, first, last).await.map_err(market_refusal)?;
        let page = self.page(&process, request.from_slot, request.to_slot)?;
        if !page.is_empty() {
            return Ok(wire::EvalPage { results: page });
        }
        let slot = self.slot(&process);
        let mut held = slot.lock().await;
        if let Some(hole) = self.tools.machine.store.hole(&process).map_err(store_fault)?.filter(|h| first < h.end) {
            fill::fill(&self.tools, process, hole, last).await?;
            return self.answer(&process, first, last);
        }
        if held.next_slot(&self.tools, &process).await? < first {
            // What is being kept is no less there than what is on disk.
            held.keeper.kept().await?;
            if adopt::adopt(&self.tools, from, process, first).await {
                held.fold = None;
            }
        }
        let started = Instant::now();
        let mut entries = request.entries;
        loop {
            let next = held.next_slot(&self.tools, &process).await?;
            if next > request.to_slot || (next > request.from_slot && started.elapsed() > ANSWER_AFTER) {
                break;
            }
            let given = std::mem::take(&mut entries);
            if fold::advance(&self.tools, &mut held, process, request.to_slot, given).await? == 0 {
                break;
            }
        }
        // Whoever asks for the slots after these has them evaluated while these are being kept.
        let keeper = held.keeper.clone();
        drop(held);
        keeper.kept().await?;
        self.answer(&process, first, last)
    }

    /// The results there are from slot `first` on.
    fn answer(&self, process: &Id, first: u64, last: u64) -> Result<wire::EvalPage, Refusal> {
        let results = self.page(process, first, last)?;
        if !results.is_empty() {
            return Ok(wire::EvalPage { results });
        }
        let hole = self.tools.machine.store.hole(process).map_err(store_fault)?.filter(|hole| first < hole.end);
        Err(Code::Unavailable.refuse(match hole {
            Some(hole) => format!(
                "this node took the process over at slot {}; of the slots before, {} are evaluated from the log so far; \
                 ask again",
                hole.end, hole.next.next_slot
            ),
            None => format!("the log has no slot {first} yet"),
        }))
    }

    fn page(&self, process: &Id, from: u64, to: u64) -> Result<Vec<wire::Result>, Refusal> {
        let store = &self.tools.machine.store;
        let end = store.progress(process).map_err(store_fault)?.next_slot.min(to.saturating_add(1));
        let (mut page, mut size) = (Vec::new(), 0);
        for slot in from..end {
            let Some(result) = store.result(process, slot).map_err(store_fault)? else { break };
            size += result.encoded_len();
            if page.len() == PAGE_RESULTS || (size > PAGE_BYTES && !page.is_empty()) {
                break;
            }
            page.push(result);
        }
        Ok(page)
    }
}

fn id(field: &str, bytes: &[u8]) -> Result<Id, Refusal> {
    Id::from_slice(bytes).ok_or_else(|| Code::BadItem.refuse(format!("`{field}` is not 32 bytes")))
}

fn market_refusal(refusal: weft_protocol::market::Refusal) -> Refusal {
    Refusal {
        code: refusal.code.name().to_owned(),
        reason: refusal.reason,
        retry_after_ms: refusal.retry_after_ms,
        is_final: refusal.is_final,
    }
}

fn store_fault(error: weft_storage::store::StoreError) -> Refusal {
    Code::Internal.refuse(format!("results cannot be kept or read: {error}"))
}

fn pool_fault(error: PoolError) -> Refusal {
    Code::Unavailable.refuse(format!("cannot evaluate now: {error}"))
}
