//! The scheduler: gives each message of a process a slot, durably, once.
//!
//! Where it sits: asked by the node's inbound router (peers) and by `api.rs` (this node's own door); owns the log store;
//! tells the rest of the node what it sealed through a broadcast. One loop takes whatever waits (up to [`MAX_BATCH`]), gives
//! slots by the rules of [`weft_protocol::assignment::Head`], writes one journal group (one `fdatasync`), moves on, and only
//! then answers. Between two groups it seals what processes' crons make due ([`weft_protocol::cron`]). A store that fails
//! ends the service, and with it the node.

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use weft_protocol::{
    Id,
    assignment::Draft,
    refusal::Code,
    wire::{CrankProof, Read, Refusal, Sealed},
};

mod cron;
mod log;
mod service;
#[cfg(test)]
mod tests;

pub use log::{LogStore, StoredEntry, entry_content};
pub use service::{Scheduler, SchedulerError, SealedNotice};
pub(crate) use service::{id_bytes, key_bytes};

/// Requests that may wait; the next is refused with `capacity`.
pub const MAILBOX: usize = 1_024;
/// Requests sealed with one flush at most.
pub const MAX_BATCH: usize = 256;

/// Bytes of items sealed with one flush at most; a single item may be larger.
const MAX_BATCH_BYTES: usize = 16 << 20;

/// One checked request for a slot.
#[derive(Clone, Debug)]
pub struct Order {
    /// The process whose log it is for.
    pub process: Id,
    /// Message id, excluded members, crank identity, whether it is a pure assignment.
    pub draft: Draft,
    /// The item's bytes; empty for an assigned layer-1 transaction.
    pub item: Bytes,
    /// The layer-1 transaction as JSON with its data, for such an assignment.
    pub assigned: Bytes,
    /// What the slot may read, as the draft's terms fix it.
    pub reads: Vec<Read>,
    /// Kept beside a cranked message.
    pub proof: Option<CrankProof>,
}

impl Order {
    /// Bytes that it adds to the log, about.
    fn size(&self) -> usize {
        let reads = self.reads.iter().map(|read| read.content.len()).fold(0, usize::saturating_add);
        self.item.len().saturating_add(self.assigned.len()).saturating_add(reads)
    }

    /// Whether this is the process item itself, for slot 0.
    pub fn is_spawn(&self) -> bool {
        self.draft.message == self.process
    }
}

/// An order and where its answer goes.
pub struct Command {
    order: Order,
    reply: oneshot::Sender<Result<Sealed, Refusal>>,
}

/// A cheap handle on the scheduler.
#[derive(Clone)]
pub struct SchedulerHandle {
    mailbox: mpsc::Sender<Command>,
    log: LogStore,
}

impl SchedulerHandle {
    /// Asks for a slot; resolves when the slot is durable.
    ///
    /// # Errors
    /// A refusal: the log is not here, the mailbox is full, or the node is stopping.
    pub async fn order(&self, order: Order) -> Result<Sealed, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.mailbox
            .try_send(Command { order, reply })
            .map_err(|_| Code::Capacity.refuse("this scheduler has more requests waiting than it takes; try again"))?;
        answer.await.map_err(|_| Code::Unavailable.refuse("the scheduler is stopping; try again"))?
    }

    /// The logs this scheduler keeps, to read.
    pub fn log(&self) -> &LogStore {
        &self.log
    }
}
