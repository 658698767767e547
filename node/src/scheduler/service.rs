//! The scheduler's loop: take what waits or is due, give slots, flush once, move on, answer.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::{broadcast, mpsc, oneshot};
use weft_protocol::{
    Id,
    ans104::{Ed25519Signer, SignError},
    assignment::{Assignment, Head},
    cron::{Moment, Tick},
    keys::NodeKey,
    refusal::Code,
    wire::{LogEntry, Refusal, Sealed, SealedBatch},
};
use weft_storage::store::StoreError;

use super::{
    Command, LogStore, MAILBOX, MAX_BATCH, Order, SchedulerHandle,
    cron::{self, Crons, Load},
};
use crate::clock::now_ms;

/// Sealed entries that listeners may lag behind; who lags more catches up from the log.
const NOTICES: usize = 4_096;
/// Ticks sealed with one flush at most: what was asked for has its turn between them.
const MAX_TICKS: usize = 64;

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
    network: Id,
    signer: Ed25519Signer,
    log: LogStore,
    height: Arc<AtomicU64>,
    /// Height of the log's newest entry at start.
    floor: u64,
    clock: fn() -> u64,
    crons: Crons,
    mailbox: mpsc::Receiver<Command>,
    sealed: broadcast::Sender<SealedNotice>,
}

/// A slot given in the batch at hand, not yet durable.
struct Given {
    batch: SealedBatch,
    sealed: Sealed,
    /// Nobody waits for a tick.
    reply: Option<oneshot::Sender<Result<Sealed, Refusal>>>,
    /// It is slot 0 of a process with crons.
    spawn: Option<Assignment>,
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
    /// What the crons of new processes in `given` ask for.
    crons: Load,
}

/// A caller that has gone asks again and is told the same.
fn answer(reply: Option<oneshot::Sender<Result<Sealed, Refusal>>>, with: Result<Sealed, Refusal>) {
    let _ = reply.map(|reply| reply.send(with));
}

async fn nap(pause: Option<Duration>) {
    match pause {
        Some(pause) => tokio::time::sleep(pause).await,
        None => std::future::pending().await,
    }
}

impl Scheduler {
    /// The service and its handle, in the network with this id. `height` is the newest Arweave height known.
    pub fn new(
        network: Id,
        signer: Ed25519Signer,
        log: LogStore,
        height: Arc<AtomicU64>,
    ) -> (Self, SchedulerHandle, broadcast::Receiver<SealedNotice>) {
        let (tx, mailbox) = mpsc::channel(MAILBOX);
        let (sealed, notices) = broadcast::channel(NOTICES);
        let (handle, crons, clock) = (SchedulerHandle { mailbox: tx, log: log.clone() }, Crons::default(), now_ms as _);
        (Self { network, signer, log, height, floor: 0, clock, crons, mailbox, sealed }, handle, notices)
    }

    /// With another clock than the wall's.
    #[cfg(test)]
    pub(super) fn with_clock(self, clock: fn() -> u64) -> Self {
        Self { clock, ..self }
    }

    /// Now. After a restart, until a gateway answers, the log's newest height: a chain does not get shorter.
    fn moment(&self) -> Moment {
        Moment { timestamp: (self.clock)(), height: self.height.load(Ordering::Relaxed).max(self.floor) }
    }

    /// Runs until every handle is gone.
    ///
    /// # Errors
    /// When the store fails: what was answered stays true, nothing more may be.
    pub async fn run(mut self) -> Result<(), SchedulerError> {
        self.crons = Crons::load(&self.network, &self.log)?;
        self.floor = self.log.last_height()?;
        let mut waiting = Vec::with_capacity(MAX_BATCH);
        loop {
            let pause = self.crons.pause(self.moment());
            tokio::select! {
                count = self.mailbox.recv_many(&mut waiting, MAX_BATCH) => if count == 0 { return Ok(()) },
                () = nap(pause) => {}
            }
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
            self.tick().await?;
        }
    }

    async fn seal(&mut self, commands: Vec<Command>) -> Result<(), SchedulerError> {
        let (mut ahead, now) = (Ahead::default(), self.moment());
        for Command { order, reply } in commands {
            self.give(&mut ahead, now, order, Some(reply))?;
        }
        self.keep(ahead).await
    }

    /// Seals ticks that are due.
    async fn tick(&mut self) -> Result<(), SchedulerError> {
        let now = self.moment();
        let (mut ahead, mut ticks, mut broken) = (Ahead::default(), BTreeMap::<Id, Vec<Tick>>::new(), BTreeSet::new());
        for cron::Due { tick, order } in self.crons.due(now, MAX_TICKS) {
            let (process, before) = (order.process, ahead.given.len());
            self.give(&mut ahead, now, order, None)?;
            if ahead.given.len() == before {
                broken.insert(process);
            }
            ticks.entry(process).or_default().push(tick);
        }
        self.keep(ahead).await?;
        for (process, ticks) in ticks {
            self.crons.sealed(process, &ticks);
        }
        // A tick can always be made and is made once; whatever this is, it must not be tried again and again.
        for process in broken {
            tracing::error!(%process, "a tick could not be sealed: no more of this process until the next start");
            self.crons.give_up(&process);
        }
        Ok(())
    }

    /// Persist, advance, reply: in that order.
    async fn keep(&mut self, ahead: Ahead) -> Result<(), SchedulerError> {
        let batches: Vec<SealedBatch> = ahead.given.iter().map(|g| g.batch.clone()).collect();
        self.log.append(&batches).await?;
        for (number, reply) in ahead.repeats {
            if let Some(given) = ahead.given.get(number) {
                // A caller that has gone asks again and is told the same slot.
                let _ = reply.send(Ok(Sealed { duplicate: true, ..given.sealed.clone() }));
            }
        }
        for given in ahead.given {
            if let (Some(first), Some(entry)) = (given.spawn, given.batch.entries.first()) {
                self.crons.add(self.network, &entry.item, &first);
            }
            answer(given.reply, Ok(given.sealed));
            let _ = self.sealed.send(Arc::new(given.batch));
        }
        Ok(())
    }

    fn give(
        &self,
        ahead: &mut Ahead,
        now: Moment,
        order: Order,
        reply: Option<oneshot::Sender<Result<Sealed, Refusal>>>,
    ) -> Result<(), SchedulerError> {
        if let Some(sealed) = self.existing(&order)? {
            answer(reply, Ok(sealed));
            return Ok(());
        }
        let crank = order.draft.crank.as_ref().map(|crank| Id::sha256(crank.as_bytes()));
        let keys = [Some(order.draft.message), crank].into_iter().flatten().map(|id| (order.process, id));
        let keys: Vec<(Id, Id)> = keys.collect();
        if let Some(number) = keys.iter().find_map(|key| ahead.ids.get(key)) {
            ahead.repeats.extend(reply.map(|reply| (*number, reply)));
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
                answer(reply, Err(Code::UnknownProcess.refuse(reason)));
                return Ok(());
            }
        };
        let has_crons = match head.next_slot {
            0 => cron::admit(&order.item, self.crons.load_of_all().plus(ahead.crons), now),
            _ => Ok(None),
        };
        let has_crons = match has_crons {
            Ok(has_crons) => has_crons,
            Err(refusal) => {
                answer(reply, Err(refusal));
                return Ok(());
            }
        };
        let process = order.process;
        let assigned = self.assign(&mut head, now, order);
        // An assignment that cannot be written is the order's fault; the head stands where it stood.
        if head.next_slot > 0 {
            ahead.heads.insert(process, head);
        }
        let (batch, sealed, assignment) = match assigned {
            Ok(assigned) => assigned,
            Err(error) => {
                answer(reply, Err(Code::BadItem.refuse(format!("the assignment cannot be made: {error}"))));
                return Ok(());
            }
        };
        ahead.ids.extend(keys.into_iter().map(|key| (key, ahead.given.len())));
        ahead.crons = ahead.crons.plus(has_crons.unwrap_or_default());
        ahead.given.push(Given { batch, sealed, reply, spawn: has_crons.map(|_| assignment) });
        Ok(())
    }

    fn assign(
        &self,
        head: &mut Head,
        now: Moment,
        order: Order,
    ) -> Result<(SealedBatch, Sealed, Assignment), SignError> {
        let assignment = head.next(order.draft, now.timestamp, now.height);
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
        Ok((batch, sealed, assignment))
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
