//! The real [`Door`]: what clients ask over HTTP, carried out over this node's services and its peers.
//!
//! Where it sits: between `http/` and the services. It keeps nothing but a memory of recent slots; every answer comes from a
//! scheduler's log, a messenger's outcomes or Arweave, whichever node of the network a client asks.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use lru::LruCache;
use serde_json::Value;
use tokio::sync::Semaphore;
use weft_protocol::{Id, keys::NodeKey, network::Network, refusal::Code};
use weft_storage::arweave::gateway::Gateway;

use crate::{
    activity::ActivityLog,
    anchor::AnchorHandle,
    assigned::Finder,
    compute::service::ComputeHandle,
    directory::{Directory, LocateError, Located},
    door::{
        Accepted, Activity, Door, DoorError, Entry, ErrorKind, LogPage, LogRange, NodeRef, PassedOn, ProcessSummary,
        ProcessView, PushedSlot, Receipt, ResultsPage, ResultsRange, SlotResult, StateView, StatusView, Stored,
        Submitted,
    },
    market::MarketHandle,
    messenger::{MessengerHandle, Pushed},
    peers::{CallError, Peers},
    scheduler::LogStore,
};

mod gauges;
mod graphql;
mod push;
mod read;
mod results;
mod submit;
mod views;

pub use gauges::Gauges;

/// Slots of recent messages remembered, to find results without asking the scheduler.
const RECENT: NonZeroUsize = crate::bounds::at_least_one(16_384);

/// The services behind the door.
pub struct Behind {
    /// Calls to other nodes.
    pub peers: Peers,
    /// Who orders what.
    pub directory: Directory,
    /// Finds items.
    pub finder: Finder,
    /// Outcomes kept here.
    pub messenger: MessengerHandle,
    /// Evaluation here.
    pub compute: ComputeHandle,
    /// Offers and leases.
    pub market: MarketHandle,
    /// Arweave bundles of this node.
    pub anchor: Option<AnchorHandle>,
    /// What moved.
    pub activity: ActivityLog,
}

/// What the door knows of the node itself.
pub struct Identity {
    /// Name from the configuration.
    pub name: String,
    /// Key.
    pub key: NodeKey,
    /// Roles carried.
    pub roles: Vec<String>,
    /// Newest Arweave height.
    pub height: Arc<AtomicU64>,
    /// Since when it runs.
    pub started: Instant,
    /// The node's own gauges, in `registry`.
    pub gauges: Gauges,
    /// All metrics.
    pub registry: Arc<prometheus_client::registry::Registry>,
}

/// The door. Cheap to clone.
#[derive(Clone)]
pub struct Api(Arc<Inner>);

struct Inner {
    behind: Behind,
    identity: Identity,
    /// (process, message or assignment id) → slot and when the assignment was made.
    recent: Mutex<LruCache<(Id, Id), u64>>,
    pending: Mutex<submit::Pending>,
    /// Kibibytes that copies of memories may take.
    copies: Arc<Semaphore>,
    /// Slots that may be pushed again at the same time.
    pushing: Semaphore,
}

impl Api {
    /// A door over these services.
    pub fn new(behind: Behind, identity: Identity) -> Self {
        Self(Arc::new(Inner {
            behind,
            identity,
            recent: Mutex::new(LruCache::new(RECENT)),
            pending: Mutex::default(),
            copies: Arc::new(Semaphore::new(results::COPIES_KIB)),
            pushing: Semaphore::new(push::PUSHING),
        }))
    }

    fn behind(&self) -> &Behind {
        &self.0.behind
    }

    fn network(&self) -> &Network {
        self.0.behind.directory.network()
    }

    fn gateway(&self) -> &Gateway {
        &self.0.behind.finder.gateway
    }

    fn log_store(&self) -> &LogStore {
        &self.0.behind.finder.log
    }

    fn remember(&self, process: Id, id: Id, slot: u64) {
        self.0.recent.lock().unwrap_or_else(PoisonError::into_inner).put((process, id), slot);
    }

    fn recent(&self, process: Id, id: Id) -> Option<u64> {
        self.0.recent.lock().unwrap_or_else(PoisonError::into_inner).get(&(process, id)).copied()
    }

    async fn locate(&self, process: &Id) -> Result<Located, DoorError> {
        self.behind().directory.locate(process).await.map_err(|error| {
            let kind = match error {
                LocateError::NotFound(_) => ErrorKind::NotFound,
                LocateError::Unavailable { .. } => ErrorKind::Unavailable,
            };
            DoorError::new(kind, error.to_string())
        })
    }

    fn node_ref(&self, key: &NodeKey) -> NodeRef {
        NodeRef { name: self.behind().directory.name(key), key: key.to_string() }
    }
}

/// A failed call as a failure a client understands.
fn call_error(error: &CallError) -> DoorError {
    let kind = match error {
        CallError::Unreachable { .. } => ErrorKind::Unavailable,
        CallError::WrongAnswer { .. } => ErrorKind::BadGateway,
        CallError::Refused(refusal) => match Code::parse(&refusal.code) {
            Code::BadItem | Code::BadProof => ErrorKind::BadRequest,
            Code::TooLarge => ErrorKind::TooLarge,
            Code::UnknownProcess | Code::NotFound => ErrorKind::NotFound,
            Code::Forbidden => ErrorKind::Forbidden,
            Code::BadModule | Code::Unreadable | Code::NotSettled => ErrorKind::Unprocessable,
            Code::Timeout => ErrorKind::Timeout,
            Code::NotHere | Code::Capacity | Code::Unavailable | Code::Internal => ErrorKind::Unavailable,
        },
    };
    let reason = match error {
        CallError::Refused(refusal) => refusal.reason.clone(),
        other => other.to_string(),
    };
    let retry = match error {
        CallError::Refused(refusal) if Code::parse(&refusal.code) == Code::NotSettled => {
            Some(Duration::from_millis(refusal.retry_after_ms))
        }
        _ => (kind == ErrorKind::Unavailable).then_some(Duration::from_secs(1)),
    };
    DoorError { kind, reason, retry_after: retry }
}

impl Door for Api {
    async fn submit(&self, raw: Bytes) -> Result<Submitted, DoorError> {
        self.submit_item(raw).await
    }

    async fn accept(&self, raw: Bytes) -> Result<Accepted, DoorError> {
        self.accept_item(raw).await
    }

    async fn assign(
        &self,
        process: Id,
        tx: Id,
        exclude: Vec<String>,
        base_layer: bool,
    ) -> Result<Submitted, DoorError> {
        self.assign_item(process, tx, exclude, base_layer).await
    }

    async fn result(&self, process: Id, message: Id, wait: Duration) -> Result<SlotResult, DoorError> {
        self.result_of(process, message, Bytes::new(), wait).await
    }

    async fn read_outcome(
        &self,
        process: Id,
        message: Id,
        proof: Bytes,
        wait: Duration,
    ) -> Result<SlotResult, DoorError> {
        self.result_of(process, message, proof, wait).await
    }

    async fn results(&self, process: Id, range: ResultsRange) -> Result<ResultsPage, DoorError> {
        self.results_of(process, range).await
    }

    async fn ticks(&self, process: Id, range: ResultsRange) -> Result<ResultsPage, DoorError> {
        self.listed(process, range, true).await
    }

    async fn dry_run(&self, process: Id, message: Value) -> Result<Value, DoorError> {
        self.try_message(process, None, message).await
    }

    async fn dry_run_after(&self, process: Id, slot: u64, message: Value) -> Result<Value, DoorError> {
        self.try_message(process, Some(slot), message).await
    }

    async fn settled(&self, process: Id, to_slot: u64, wait: Duration) -> Result<(), DoorError> {
        self.settle(process, to_slot, wait).await.map(|_| ())
    }

    async fn state(&self, process: Id, slot: Option<u64>) -> Result<StateView, DoorError> {
        self.state_of(process, slot).await
    }

    async fn log(&self, process: Id, range: LogRange) -> Result<LogPage, DoorError> {
        self.log_of(process, range).await
    }

    async fn entry(&self, process: Id, id: Id) -> Result<Entry, DoorError> {
        self.entry_of(process, id).await
    }

    async fn process(&self, process: Id) -> Result<ProcessView, DoorError> {
        self.process_view(process).await
    }

    async fn receipt(&self, process: Id, message: Id) -> Result<Receipt, DoorError> {
        self.receipt_of(process, message).await
    }

    async fn processes(&self, after: Option<Id>, limit: u32) -> Result<Vec<ProcessSummary>, DoorError> {
        self.process_list(after, limit).await
    }

    async fn stored(&self, id: Id) -> Result<Stored, DoorError> {
        self.stored_item(id).await
    }

    async fn push(
        &self,
        process: Id,
        message: Id,
        number: u32,
        supplied: Option<Value>,
        wait: Duration,
    ) -> Result<Vec<Pushed>, DoorError> {
        self.push_entry(process, message, number, supplied, wait).await
    }

    async fn push_slot(&self, process: Id, slot: &SlotResult, first: u32) -> Result<PushedSlot, DoorError> {
        self.push_all(process, slot, first).await
    }

    async fn pass(&self, path: String, body: Option<Bytes>) -> Result<PassedOn, DoorError> {
        self.pass_on(path, body).await
    }

    async fn graphql(&self, body: Bytes, door: &str) -> Result<Bytes, DoorError> {
        self.ask_graphql(body, door).await
    }

    async fn upload(&self, raw: Bytes) -> Result<Id, DoorError> {
        self.upload_item(raw).await
    }

    async fn status(&self) -> StatusView {
        self.status_view().await
    }

    async fn market(&self) -> Value {
        let Some(view) = self.behind().market.view().await else { return Value::Null };
        let mut view = serde_json::to_value(view).unwrap_or_default();
        if let Some(members) = view.as_object_mut() {
            let lost = serde_json::to_value(self.behind().messenger.leases_lost()).unwrap_or_default();
            members.insert("lost".to_owned(), lost);
        }
        view
    }

    fn activity(&self, limit: usize) -> Vec<Activity> {
        self.behind().activity.newest(limit)
    }

    fn identity(&self) -> (Id, u64) {
        (self.0.identity.key.address(), crate::clock::now_ms())
    }

    fn block_height(&self) -> u64 {
        self.0.identity.height.load(Ordering::Relaxed)
    }

    fn metrics(&self) -> String {
        self.0.identity.gauges.set(&self.now());
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.0.identity.registry);
        text
    }

    fn max_item_bytes(&self) -> usize {
        usize::try_from(self.network().parameters().max_item_bytes).unwrap_or(usize::MAX)
    }
}
