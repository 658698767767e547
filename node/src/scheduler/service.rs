//! The scheduler's loop: take what waits, give slots, flush once, move on, answer.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use tokio::sync::{broadcast, mpsc, oneshot};
use weft_protocol::{
    Id,
    ans104::{Ed25519Signer, SignError},
    assignment::Head,
    keys::NodeKey,
    refusal::Code,
    wire::{LogEntry, Refusal, Sealed, SealedBatch},
};
use weft_storage::store::StoreError;

use super::{Command, LogStore, MAILBOX, MAX_BATCH, Order, SchedulerHandle};
use crate::clock::now_ms;

/// Sealed entries that listeners may lag behind; who lags more catches up from the log.
const NOTICES: usize = 4_096;

/// Told to the node for each sealed entry, in slot order per process.
pub type SealedNotice = Arc<SealedBatch>;

/// Why the scheduler stopped.
#[derive(Debug, thiserror::Error)]
pub enum SchedulerError {
    /// The log can no longer be written or read.
    #[error("the scheduler's log cannot be used: {0}")]
    Store(#[from] StoreError),
}

/// The scheduler service.
pub struct Scheduler {
    signer: Ed25519Signer,
    log: LogStore,
    height: Arc<AtomicU64>,
    mailbox: mpsc::Receiver<Command>,
    sealed: broadcast::Sender<SealedNotice>,
}

/// A slot given in the batch at hand, not yet durable.
struct Given {
    batch: SealedBatch,
    sealed: Sealed,
    reply: oneshot::Sender<Result<Sealed, Refusal>>,
}

/// Heads and ids as they will be once the batch at hand is durable.
#[derive(Default)]
struct Ahead {
    heads: HashMap<Id, Head>,
    given: Vec<Given>,
    /// (process, message) and (process, hash of the crank) → number in `given`.
    ids: HashMap<(Id, Id), usize>,
    /// Answers to repeats of an order in this very batch: (number in `given`, where the answer goes).
    repeats: Vec<(usize, oneshot::Sender<Result<Sealed, Refusal>>)>,
}

impl Scheduler {
    /// The service and its handle. `height` is the newest Arweave height known.
    pub fn new(
        signer: Ed25519Signer,
        log: LogStore,
        height: Arc<AtomicU64>,
    ) -> (Self, SchedulerHandle, broadcast::Receiver<SealedNotice>) {
        let (tx, mailbox) = mpsc::channel(MAILBOX);
        let (sealed, notices) = broadcast::channel(NOTICES);
        (Self { signer, log: log.clone(), height, mailbox, sealed }, SchedulerHandle { mailbox: tx, log }, notices)
    }

    /// Runs until every handle is gone.
    ///
    /// # Errors
    /// When the store fails: what was answered stays true, nothing more may be.
    pub async fn run(mut self) -> Result<(), SchedulerError> {
        let mut waiting = Vec::with_capacity(MAX_BATCH);
        while self.mailbox.recv_many(&mut waiting, MAX_BATCH).await > 0 {
            let mut part = Vec::with_capacity(waiting.len());
            let mut size = 0_usize;
            for command in waiting.drain(..) {
                let more = command.order.size();
                if size.saturating_add(more) > super::MAX_BATCH_BYTES && !part.is_empty() {
                    self.seal(std::mem::take(&mut part)).await?;
                    size = 0;
                }
                size = size.saturating_add(more);
                part.push(command);
            }
            self.seal(part).await?;
        }
        Ok(())
    }

    /// Persist, advance, reply: in that order.
    async fn seal(&mut self, commands: Vec<Command>) -> Result<(), SchedulerError> {
        let mut ahead = Ahead::default();
        for Command { order, reply } in commands {
            self.give(&mut ahead, order, reply)?;
        }
        let batches: Vec<SealedBatch> = ahead.given.iter().map(|g| g.batch.clone()).collect();
        self.log.append(&batches).await?;
        for (number, reply) in ahead.repeats {
            if let Some(given) = ahead.given.get(number) {
                // A caller that has gone asks again and is told the same slot.
                let _ = reply.send(Ok(Sealed { duplicate: true, ..given.sealed.clone() }));
            }
        }
        for given in ahead.given {
            let _ = given.reply.send(Ok(given.sealed));
            let _ = self.sealed.send(Arc::new(given.batch));
        }
        Ok(())
    }

    fn give(
        &self,
        ahead: &mut Ahead,
        order: Order,
        reply: oneshot::Sender<Result<Sealed, Refusal>>,
    ) -> Result<(), SchedulerError> {
        if let Some(sealed) = self.existing(&order)? {
            let _ = reply.send(Ok(sealed));
            return Ok(());
        }
        let crank = order.draft.crank.as_ref().map(|crank| Id::sha256(crank.as_bytes()));
        let keys = [Some(order.draft.message), crank].into_iter().flatten().map(|id| (order.process, id));
        let keys: Vec<(Id, Id)> = keys.collect();
        if let Some(number) = keys.iter().find_map(|key| ahead.ids.get(key)) {
            ahead.repeats.push((*number, reply));
            return Ok(());
        }
        let head = match ahead.heads.remove(&order.process) {
            Some(head) => Some(head),
            None => self.log.head(&order.process)?,
        };
        let mut head = match (head, order.is_spawn()) {
            (Some(head), _) => head,
            (None, true) => Head::empty(order.process),
            (None, false) => {
                let reason = format!("process {} has no log on this scheduler", order.process);
                let _ = reply.send(Err(Code::UnknownProcess.refuse(reason)));
                return Ok(());
            }
        };
        let process = order.process;
        let assigned = self.assign(&mut head, order);
        // An assignment that cannot be written is the order's fault; the head stands where it stood.
        if head.next_slot > 0 {
            ahead.heads.insert(process, head);
        }
        let (batch, sealed) = match assigned {
            Ok(assigned) => assigned,
            Err(error) => {
                let _ = reply.send(Err(Code::BadItem.refuse(format!("the assignment cannot be made: {error}"))));
                return Ok(());
            }
        };
        ahead.ids.extend(keys.into_iter().map(|key| (key, ahead.given.len())));
        ahead.given.push(Given { batch, sealed, reply });
        Ok(())
    }

    fn assign(&self, head: &mut Head, order: Order) -> Result<(SealedBatch, Sealed), SignError> {
        let assignment = head.next(order.draft, now_ms(), self.height.load(Ordering::Relaxed));
        let item = assignment.sign(&self.signer)?;
        head.next_slot = assignment.slot.saturating_add(1);
        head.hash_chain = assignment.hash_chain;
        head.last_assignment = item.id();
        head.timestamp = assignment.timestamp;
        let sealed = Sealed {
            process: id_bytes(&order.process),
            slot: assignment.slot,
            assignment: item.raw().clone(),
            message_id: id_bytes(&assignment.message),
            duplicate: false,
            timestamp_ms: assignment.timestamp,
        };
        let entry = LogEntry {
            assignment: item.raw().clone(),
            item: order.item,
            assigned: order.assigned,
            proof: order.proof,
            reads: order.reads,
        };
        let batch = SealedBatch {
            process: id_bytes(&order.process),
            scheduler: key_bytes(&self.signer.key()),
            entries: vec![entry],
            next_slot: head.next_slot,
        };
        Ok((batch, sealed))
    }

    /// The slot this order has already.
    fn existing(&self, order: &Order) -> Result<Option<Sealed>, StoreError> {
        let slot = match &order.draft.crank {
            Some(crank) => self.log.slot_of_crank(&order.process, crank)?,
            None => None,
        };
        let slot = match slot {
            Some(slot) => Some(slot),
            None => self.log.slot_of(&order.process, &order.draft.message)?,
        };
        let Some(slot) = slot else { return Ok(None) };
        let entry = self.log.entry(&order.process, slot)?.and_then(super::StoredEntry::read);
        // The index also leads from an assignment's id to its slot: that is not this message.
        let same = entry.filter(|e| {
            e.assignment.message == order.draft.message
                || (order.draft.crank.is_some() && e.assignment.crank == order.draft.crank)
        });
        Ok(same.map(|entry| Sealed {
            process: id_bytes(&order.process),
            slot,
            timestamp_ms: entry.assignment.timestamp,
            message_id: id_bytes(&entry.assignment.message),
            assignment: entry.wire.assignment,
            duplicate: true,
        }))
    }
}

/// An id as the wire carries it.
pub(crate) fn id_bytes(id: &Id) -> Bytes {
    Bytes::copy_from_slice(id.as_bytes())
}

/// A node key as the wire carries it.
pub(crate) fn key_bytes(key: &NodeKey) -> Bytes {
    Bytes::copy_from_slice(key.as_bytes())
}
