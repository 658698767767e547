//! What the HTTP doors need from the node, and nothing more: the trait [`Door`] and the plain values it speaks.
//!
//! Where it sits: `http/` serves a `Door` and knows nothing else of the node; `api.rs` is the real one, over the services'
//! handles; the tests of `http/` bring their own.

use std::{future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;
use weft_protocol::Id;

use crate::messenger::Pushed;

/// How far a message has come. Receipts only grow (design.md §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// A node holds the bytes; no slot is promised.
    Accepted,
    /// The scheduler has given it a slot, durably.
    Sealed,
    /// A compute node has signed its outcome.
    Attested,
    /// Message and assignment are on Arweave, as deep as the network asks.
    Anchored,
}

/// What kind of failure it was; `http/` turns it into a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// 400: the request itself is wrong.
    BadRequest,
    /// 403: well-formed but not allowed.
    Forbidden,
    /// 404: no such process, message or item.
    NotFound,
    /// 409: contradicts what is already there.
    Conflict,
    /// 413: larger than the network allows.
    TooLarge,
    /// 422: understood, but cannot be carried out (unknown module format, not a module …).
    Unprocessable,
    /// 429: this caller asks too often.
    TooMany,
    /// 500: a fault of this node.
    Internal,
    /// 502: another node or gateway answered wrongly.
    BadGateway,
    /// 503: who would have to do it is down or full; try again.
    Unavailable,
    /// 504: it was not done within the wait.
    Timeout,
}

/// A failure a person can act on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct DoorError {
    /// What kind, for the status code.
    pub kind: ErrorKind,
    /// What happened and what to do next.
    pub reason: String,
    /// When trying again may help.
    pub retry_after: Option<Duration>,
}

impl DoorError {
    /// A failure of `kind` with a `reason` for people.
    pub fn new(kind: ErrorKind, reason: impl Into<String>) -> Self {
        Self { kind, reason: reason.into(), retry_after: None }
    }
}

/// A sealed item or assignment.
#[derive(Clone, Debug, Serialize)]
pub struct Submitted {
    /// The item's id; for a pure assignment the assignment's id; for a spawn the process id.
    pub id: Id,
    /// The process whose log it is in.
    pub process: Id,
    /// Its slot.
    pub slot: u64,
    /// The assignment item's id.
    pub assignment: Id,
    /// The assignment's timestamp in milliseconds.
    pub timestamp: u64,
    /// It had this slot before this call.
    pub duplicate: bool,
    /// `Sealed` or more.
    pub level: Level,
}

/// An item that this node has checked and passed on, and for which it goes on asking the scheduler. No slot is promised.
#[derive(Clone, Debug, Serialize)]
pub struct Accepted {
    /// The item's id.
    pub id: Id,
    /// The process it is for.
    pub process: Id,
    /// `Accepted`.
    pub level: Level,
}

/// One slot of a log: the two signed items, parsed by `http/` as it needs.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Slot number.
    pub slot: u64,
    /// The assignment's ANS-104 bytes.
    pub assignment: Bytes,
    /// The message's ANS-104 bytes; empty for an assignment of a layer-1 transaction.
    pub item: Bytes,
    /// True if the log holds a pure assignment of an existing item (the AO scheduler shows `message: null`).
    pub pure_assignment: bool,
    /// The rest of what an evaluator is shown.
    pub beside: Beside,
}

/// What a log has of a slot beside assignment and item.
#[derive(Clone, Debug, Default)]
pub struct Beside {
    /// Header of the layer-1 transaction that was assigned, as JSON; else empty.
    pub assigned: Bytes,
    /// What the slot may read.
    pub reads: Vec<weft_protocol::wire::Read>,
}

/// A part of a log, ascending.
#[derive(Clone, Debug)]
pub struct LogPage {
    /// The entries.
    pub entries: Vec<Entry>,
    /// The process's next free slot.
    pub next_slot: u64,
}

/// Which part of a log. Bounds on slots are inclusive, those on time as AO's scheduler has them.
#[derive(Clone, Copy, Debug)]
pub struct LogRange {
    /// First slot.
    pub from_slot: u64,
    /// Last slot, inclusive; `u64::MAX` for all.
    pub to_slot: u64,
    /// Only entries with a timestamp greater than this (milliseconds).
    pub after_ms: Option<u64>,
    /// Only entries with a timestamp up to and including this.
    pub until_ms: Option<u64>,
    /// At most so many entries.
    pub limit: u32,
}

/// An evaluated slot.
#[derive(Clone, Debug, Serialize)]
pub struct SlotResult {
    /// Slot number.
    pub slot: u64,
    /// The message (or assignment) evaluated.
    pub message: Id,
    /// The assignment's timestamp in milliseconds.
    pub timestamp: u64,
    /// The block height the assignment names.
    pub block_height: u64,
    /// AO's result: `Messages, Assignments, Spawns, Output[, Error], GasUsed`.
    pub result: Value,
    /// The attestation's ANS-104 bytes.
    #[serde(skip)]
    pub attestation: Bytes,
    /// Key of the compute node that signed it.
    pub provider: String,
    /// The cron whose tick it is, as cursors name it: `<index>-<interval>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
}

/// Which results of a process. Slot bounds inclusive.
#[derive(Clone, Copy, Debug)]
pub struct ResultsRange {
    /// First slot.
    pub from_slot: u64,
    /// Last slot, inclusive.
    pub to_slot: u64,
    /// At most so many.
    pub limit: u32,
    /// Newest first.
    pub descending: bool,
}

/// A page of results.
#[derive(Clone, Debug)]
pub struct ResultsPage {
    /// In the order asked for. Failed slots (with `Error`) are included; the legacy route leaves them out.
    pub results: Vec<SlotResult>,
    /// More follow.
    pub more: bool,
}

/// What one slot sends, delivered once more.
#[derive(Clone, Debug, Default)]
pub struct PushedSlot {
    /// What became of its deliveries: (number of the entry, how it went).
    pub done: Vec<(u32, Pushed)>,
    /// Entries that give no delivery, with the reason; named with the first ones.
    pub bad: Vec<(u32, String)>,
    /// The first delivery that was left for another request.
    pub next: Option<u32>,
}

/// Deliveries of a slot that one request has made again at most.
pub const PUSHED_AT_ONCE: u32 = 64;

/// The memory of a process.
#[derive(Clone, Debug)]
pub struct StateView {
    /// The slot after which it stood like this.
    pub slot: u64,
    /// That slot's timestamp in milliseconds.
    pub timestamp: u64,
    /// The block height that slot's assignment names.
    pub block_height: u64,
    /// Size of the memory in bytes.
    pub memory_bytes: u64,
    /// What is not zero: (offset, bytes), ascending, inside the memory and without overlap.
    pub parts: Vec<(u64, Bytes)>,
    /// Its share of what all copies may take; given back with the last clone.
    pub share: Option<Arc<OwnedSemaphorePermit>>,
}

/// Everything about one process that anyone can recompute; shown by `weft process show`.
#[derive(Clone, Debug, Serialize)]
pub struct ProcessView {
    /// The process id.
    pub id: Id,
    /// Next free slot.
    pub next_slot: u64,
    /// The election as `weft_protocol::election::Election` serialises it: inputs, order, seats, why.
    pub election: Value,
    /// Name and key of the scheduler that orders it.
    pub scheduler: NodeRef,
    /// The messengers in their order of duty.
    pub messengers: Vec<NodeRef>,
    /// The compute node that holds its lease now.
    pub provider: Option<NodeRef>,
    /// The intervals of its crons, as its tags have them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub crons: Vec<String>,
    /// The spawn item's ANS-104 bytes.
    #[serde(skip)]
    pub item: Bytes,
    /// The slot-0 assignment's ANS-104 bytes.
    #[serde(skip)]
    pub assignment: Bytes,
}

/// A node by name and key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NodeRef {
    /// Name from the network's registry.
    pub name: String,
    /// ed25519 key, 43 characters.
    pub key: String,
}

/// How far one message has come, with what proves it.
#[derive(Clone, Debug, Serialize)]
pub struct Receipt {
    /// The message's id.
    pub id: Id,
    /// Its process.
    pub process: Id,
    /// Its slot, once it is sealed.
    pub slot: Option<u64>,
    /// How far.
    pub level: Level,
    /// The assignment's id, once it is sealed.
    pub assignment: Option<Id>,
    /// Who seals it.
    pub scheduler: NodeRef,
    /// Who attested its outcome.
    pub provider: Option<NodeRef>,
    /// The attestation's id.
    pub attestation: Option<Id>,
    /// The bundle's layer-1 transaction, once it is there.
    pub anchor: Option<Value>,
    /// It is a cast: its outcome is given to its sender and the process's owner only.
    pub cast: bool,
}

/// The node as its owner sees it (`/v1/status`, `weft status`).
#[derive(Clone, Debug, Serialize)]
pub struct StatusView {
    /// Program version.
    pub version: String,
    /// This node.
    pub node: NodeRef,
    /// Roles it carries.
    pub roles: Vec<String>,
    /// Network name, id and address.
    pub network: Value,
    /// Mesh: peers, addresses, counters.
    pub mesh: Value,
    /// Processes ordered, evaluated and cranked here, with counts.
    pub work: Value,
    /// Anchoring: waiting, posted, confirmed, wallet.
    pub anchor: Value,
    /// Seconds since start.
    pub uptime_seconds: u64,
    /// Why the node is not ready; empty when it is.
    pub not_ready: Vec<String>,
}

/// A process as a list shows it.
#[derive(Clone, Debug, Serialize)]
pub struct ProcessSummary {
    /// The process id.
    pub id: Id,
    /// Value of its `Name` tag.
    pub name: Option<String>,
    /// Next free slot.
    pub next_slot: u64,
    /// Who orders it.
    pub scheduler: NodeRef,
}

/// Something that moved, newest last; the status page shows the last few hundred.
#[derive(Clone, Debug, Serialize)]
pub struct Activity {
    /// Wall clock, milliseconds.
    pub at_ms: u64,
    /// `sealed`, `attested`, `cranked`, `anchored`, `awarded`, `refused`, `replayed`, `adopted`, `checkpoint`.
    pub kind: &'static str,
    /// The process concerned.
    pub process: Option<Id>,
    /// The slot concerned.
    pub slot: Option<u64>,
    /// One line for people.
    pub text: String,
}

/// An item or transaction as the gateway routes serve it.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Id.
    pub id: Id,
    /// Tags in order.
    pub tags: Vec<(String, String)>,
    /// Payload.
    pub data: Bytes,
}

/// A gateway's answer, handed on.
#[derive(Clone, Debug)]
pub struct PassedOn {
    /// HTTP status.
    pub status: u16,
    /// Media type.
    pub kind: Option<String>,
    /// Body.
    pub body: Bytes,
}

/// What a node offers to the outside.
pub trait Door: Clone + Send + Sync + 'static {
    /// Checks a data item and has it sealed: a process, or a message for any process of the network.
    fn submit(&self, raw: Bytes) -> impl Future<Output = Result<Submitted, DoorError>> + Send;
    /// Checks a data item, passes it on, and answers before it is sealed; the receipt then grows.
    fn accept(&self, raw: Bytes) -> impl Future<Output = Result<Accepted, DoorError>> + Send;
    /// Has an existing item or transaction assigned to `process`.
    fn assign(
        &self,
        process: Id,
        tx: Id,
        exclude: Vec<String>,
        base_layer: bool,
    ) -> impl Future<Output = Result<Submitted, DoorError>> + Send;
    /// The outcome of one message, waiting for its evaluation up to `wait`. A cast's is forbidden: see
    /// [`Door::read_outcome`]; in [`Door::results`] it is shown without its content, as `"Cast": true`.
    fn result(
        &self,
        process: Id,
        message: Id,
        wait: Duration,
    ) -> impl Future<Output = Result<SlotResult, DoorError>> + Send;
    /// As [`Door::result`], with a signed item that proves the right to a cast's outcome (`weft_protocol::cast`).
    fn read_outcome(
        &self,
        process: Id,
        message: Id,
        proof: Bytes,
        wait: Duration,
    ) -> impl Future<Output = Result<SlotResult, DoorError>> + Send;
    /// Waits up to `wait` until whatever is sealed of `process` now, up to slot `to_slot`, has been evaluated.
    fn settled(&self, process: Id, to_slot: u64, wait: Duration) -> impl Future<Output = Result<(), DoorError>> + Send;
    /// Outcomes of a range of slots.
    fn results(&self, process: Id, range: ResultsRange) -> impl Future<Output = Result<ResultsPage, DoorError>> + Send;
    /// Outcomes of those slots of a range that hold ticks of the process's crons.
    fn ticks(&self, process: Id, range: ResultsRange) -> impl Future<Output = Result<ResultsPage, DoorError>> + Send;
    /// Evaluates `message` (the caller's JSON) on the newest state and forgets it. Returns AO's result JSON.
    fn dry_run(&self, process: Id, message: Value) -> impl Future<Output = Result<Value, DoorError>> + Send;
    /// As [`Door::dry_run`], on the state just after `slot`.
    fn dry_run_after(
        &self,
        process: Id,
        slot: u64,
        message: Value,
    ) -> impl Future<Output = Result<Value, DoorError>> + Send;
    /// The memory of a process as it was just after `slot` (`None`: after the newest one evaluated).
    fn state(&self, process: Id, slot: Option<u64>) -> impl Future<Output = Result<StateView, DoorError>> + Send;
    /// A part of a process's log.
    fn log(&self, process: Id, range: LogRange) -> impl Future<Output = Result<LogPage, DoorError>> + Send;
    /// The entry of one message or assignment id.
    fn entry(&self, process: Id, id: Id) -> impl Future<Output = Result<Entry, DoorError>> + Send;
    /// Who was elected for a process and why.
    fn process(&self, process: Id) -> impl Future<Output = Result<ProcessView, DoorError>> + Send;
    /// How far a message has come.
    fn receipt(&self, process: Id, message: Id) -> impl Future<Output = Result<Receipt, DoorError>> + Send;
    /// Processes this node knows of, by id, after `after`.
    fn processes(
        &self,
        after: Option<Id>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<ProcessSummary>, DoorError>> + Send;
    /// An item by id from this node, its peers or the gateway.
    fn stored(&self, id: Id) -> impl Future<Output = Result<Stored, DoorError>> + Send;
    /// Delivers entry `number` of what a message has sent once more (messages, then spawns, then assignments). A result that
    /// the caller brings along must have that entry too.
    fn push(
        &self,
        process: Id,
        message: Id,
        number: u32,
        supplied: Option<Value>,
        wait: Duration,
    ) -> impl Future<Output = Result<Vec<Pushed>, DoorError>> + Send;
    /// Delivers all that a slot sends once more, from its delivery number `first` on and at most [`PUSHED_AT_ONCE`].
    fn push_slot(
        &self,
        process: Id,
        slot: &SlotResult,
        first: u32,
    ) -> impl Future<Output = Result<PushedSlot, DoorError>> + Send;
    /// Hands a request for `path` on to the gateway (posting `body` as JSON, if there is one).
    fn pass(&self, path: String, body: Option<Bytes>) -> impl Future<Output = Result<PassedOn, DoorError>> + Send;
    /// Answers a GraphQL request from the gateway's index and from what this node knows before it. `door` is the address
    /// that the client has asked.
    fn graphql(&self, body: Bytes, door: &str) -> impl Future<Output = Result<Bytes, DoorError>> + Send;
    /// Passes a signed data item to the uploader (modules and other data that no process orders).
    fn upload(&self, raw: Bytes) -> impl Future<Output = Result<Id, DoorError>> + Send;
    /// This node, for its owner.
    fn status(&self) -> impl Future<Output = StatusView> + Send;
    /// Offers, quotes, awards, refusals (`weft_node::market::MarketView` as JSON).
    fn market(&self) -> impl Future<Output = Value> + Send;
    /// The last things that moved, oldest first, at most `limit`.
    fn activity(&self, limit: usize) -> Vec<Activity>;
    /// This node's address (AO shows it as the unit's wallet) and clock in milliseconds.
    fn identity(&self) -> (Id, u64);
    /// The newest block height this node knows.
    fn block_height(&self) -> u64;
    /// All metrics in Prometheus text form.
    fn metrics(&self) -> String;
    /// Largest item the network allows, in bytes.
    fn max_item_bytes(&self) -> usize;
}
