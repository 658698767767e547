//! The courier: delivers outgoing items to their targets' schedulers until they have answered.
//!
//! At most one delivery is under way for each target, so what one process sends another arrives in order; different targets
//! go side by side. What the courier holds is bounded ([`HELD`], [`HELD_BYTES`], [`PER_TARGET`]); beyond that, and when
//! a target that does not answer takes room that others need, parcels are left to the sweep, which recomputes them from the
//! stored outcomes. What waits for a layer-1 transaction to be deep enough is not held either, and not for ever waited for.
//! So no target, and no number of them, can hold up the workers. An answer is durable before the next goes out.
//! Nothing goes out past the courier but what it has had answered before (`push.rs`), so nothing overtakes.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    num::NonZeroUsize,
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use lru::LruCache;
use tokio::{
    sync::{Semaphore, mpsc},
    time::Instant,
};
use weft_protocol::{
    Id,
    ans104::{DataItem, Profile},
    assignment::Assignment,
    crank::{CrankId, Delivery, Kind, Outgoing},
    refusal::Code,
    settlement,
    wire::{self, CrankProof, Refusal},
};
use weft_storage::store::StoreError;

use super::{Delivered, Tools};
use crate::{
    directory::{LocateError, Located},
    peers::CallError,
    scheduler::id_bytes,
};

/// Parcels held in all.
const HELD: usize = 8_192;
/// Bytes of parcels held, about.
const HELD_BYTES: usize = 256 << 20;
/// Parcels held for one target.
const PER_TARGET: usize = 1_024;
/// From this part of both bounds on, the targets that do not answer lose their parcels.
const CROWDED: usize = 2;
/// Deliveries on the wire at once. Those that wait to be tried again do not count.
const UNDER_WAY: usize = 128;
/// First and longest wait before a delivery is tried again.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Longest that a scheduler can have a delivery wait before it is tried again.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Deliveries whose pauses are remembered; others are only tried sooner.
const RESTING: NonZeroUsize = crate::bounds::at_least_one(16_384);

/// An outgoing item on its way.
#[derive(Clone, Debug)]
pub(crate) struct Parcel {
    pub outgoing: Outgoing,
    pub proof: CrankProof,
    /// What may go out only when this has been answered.
    pub then: Option<Box<Parcel>>,
}

impl Parcel {
    /// Bytes it takes up, about: the entry as text, in the proof and in the item.
    fn size(&self) -> usize {
        let then = self.then.as_ref().map_or(0, |next| next.size());
        self.outgoing.entry.len().saturating_mul(3).saturating_add(2_048).saturating_add(then)
    }

    /// The request to order it. The item itself is not sent: it follows from the proof.
    fn submit(&self) -> wire::Submit {
        wire::Submit { item: bytes::Bytes::new(), proof: Some(self.proof.clone()) }
    }

    /// What the deliveries are kept in order by: the process (or wallet) they go to.
    fn lane(&self) -> Id {
        match &self.outgoing.delivery {
            Delivery::Assign { process, .. } => *process,
            Delivery::Item(item) => match self.outgoing.id.kind {
                Kind::Spawn => item.id(),
                _ => item.target().unwrap_or_else(|| item.id()),
            },
        }
    }
}

/// A cheap handle on the courier.
#[derive(Clone)]
pub(super) struct CourierHandle(mpsc::Sender<Parcel>);

impl CourierHandle {
    /// Hands a parcel over, waiting for room.
    pub async fn send(&self, parcel: Parcel) {
        // A courier that has stopped stops the node; the parcel is found again at the next start.
        let _ = self.0.send(parcel).await;
    }
}

/// What became of one try.
pub(super) enum Tried {
    Answered(Delivered, String),
    /// Why not yet, and how long whoever said so wants to be left alone; zero: the courier tries again by itself.
    Later(String, Duration),
}

/// Deliveries that are left alone until a moment. None of them is held: the sweep brings them again.
struct Resting(LruCache<CrankId, Instant>);

impl Resting {
    fn put(&mut self, id: CrankId, until: Instant) {
        self.0.put(id, until);
    }

    /// Whether it is too early for this one; forgets it once it is not.
    fn holds(&mut self, id: &CrankId, now: Instant) -> bool {
        let early = self.0.peek(id).is_some_and(|until| *until > now);
        if !early {
            self.0.pop(id);
        }
        early
    }
}

type Try = BoxFuture<'static, Result<(Id, Tried), StoreError>>;

/// The courier service.
pub(super) struct Courier {
    tools: Arc<Tools>,
    mailbox: mpsc::Receiver<Parcel>,
    lanes: HashMap<Id, VecDeque<Parcel>>,
    waits: HashMap<Id, Duration>,
    held: HashSet<CrankId>,
    held_bytes: usize,
    resting: Resting,
    under_way: FuturesUnordered<Try>,
    turns: Arc<Semaphore>,
}

impl Courier {
    pub fn new(tools: Arc<Tools>) -> (Self, CourierHandle) {
        let (tx, mailbox) = mpsc::channel(256);
        let courier = Self {
            tools,
            mailbox,
            lanes: HashMap::new(),
            waits: HashMap::new(),
            held: HashSet::new(),
            held_bytes: 0,
            resting: Resting(LruCache::new(RESTING)),
            under_way: FuturesUnordered::new(),
            turns: Arc::new(Semaphore::new(UNDER_WAY)),
        };
        (courier, CourierHandle(tx))
    }

    /// Runs until every handle is gone and nothing is under way.
    pub async fn run(mut self) -> Result<(), StoreError> {
        loop {
            tokio::select! {
                Some(done) = self.under_way.next() => self.on_tried(done?),
                parcel = self.mailbox.recv() => match parcel {
                    Some(parcel) => self.on_parcel(parcel),
                    None if self.under_way.is_empty() => return Ok(()),
                    None => while let Some(done) = self.under_way.next().await { self.on_tried(done?) },
                },
            }
        }
    }

    fn on_parcel(&mut self, parcel: Parcel) {
        let lane = parcel.lane();
        // No room costs the senders time, nobody anything else: the sweep brings the parcel again.
        let full = self.lanes.get(&lane).map_or(0, VecDeque::len) >= PER_TARGET || self.is_filled(1);
        let early = self.resting.holds(&parcel.outgoing.id, Instant::now());
        if full || early || !self.held.insert(parcel.outgoing.id) {
            return;
        }
        self.held_bytes = self.held_bytes.saturating_add(parcel.size());
        let queue = self.lanes.entry(lane).or_default();
        queue.push_back(parcel);
        if queue.len() == 1 {
            self.start(lane, Duration::ZERO);
        }
    }

    fn start(&mut self, lane: Id, wait: Duration) {
        let Some(parcel) = self.lanes.get(&lane).and_then(VecDeque::front).cloned() else { return };
        let (tools, turns) = (Arc::clone(&self.tools), Arc::clone(&self.turns));
        self.under_way.push(Box::pin(async move {
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            // Never closed; were it, deliveries would only be less bounded.
            let _turn = turns.acquire().await;
            let tried = deliver(&tools, &parcel).await;
            if let Tried::Answered(how, _) = &tried {
                tools.store.put_delivered(&parcel.outgoing.id, *how).await?;
            }
            Ok((lane, tried))
        }));
    }

    fn on_tried(&mut self, (lane, tried): (Id, Tried)) {
        let wait = match tried {
            Tried::Later(why, asked) if !asked.is_zero() => {
                tracing::debug!(target = %lane, why, ?asked, "delivery rests");
                self.waits.remove(&lane);
                self.rest(lane, asked);
                Duration::ZERO
            }
            Tried::Later(why, _) => {
                let wait = self.waits.get(&lane).map_or(RETRY.0, |w| (*w * 2).min(RETRY.1));
                tracing::debug!(target = %lane, why, ?wait, "delivery waits");
                if self.is_filled(CROWDED) {
                    return self.give_up(&lane);
                }
                self.waits.insert(lane, wait);
                wait
            }
            Tried::Answered(how, text) => {
                self.waits.remove(&lane);
                self.finish(lane, how, text);
                Duration::ZERO
            }
        };
        if self.lanes.get(&lane).is_some_and(VecDeque::is_empty) {
            self.lanes.remove(&lane);
        }
        self.start(lane, wait);
    }

    /// Leaves the parcel that was tried to the sweep, for not before `pause` is over. What is behind it goes on.
    fn rest(&mut self, lane: Id, pause: Duration) {
        let Some(parcel) = self.lanes.get_mut(&lane).and_then(VecDeque::pop_front) else { return };
        self.let_go(&parcel);
        self.resting.put(parcel.outgoing.id, Instant::now() + pause);
    }

    /// Leaves a target's parcels to the sweep.
    fn give_up(&mut self, lane: &Id) {
        self.waits.remove(lane);
        for parcel in self.lanes.remove(lane).unwrap_or_default() {
            self.let_go(&parcel);
        }
    }

    fn let_go(&mut self, parcel: &Parcel) {
        self.held.remove(&parcel.outgoing.id);
        self.held_bytes = self.held_bytes.saturating_sub(parcel.size());
    }

    /// Whether what is held comes to one `part`-th of what may be.
    fn is_filled(&self, part: usize) -> bool {
        self.held.len() >= HELD / part || self.held_bytes >= HELD_BYTES / part
    }

    fn finish(&mut self, lane: Id, how: Delivered, text: String) {
        let Some(parcel) = self.lanes.get_mut(&lane).and_then(VecDeque::pop_front) else { return };
        let id = parcel.outgoing.id;
        self.let_go(&parcel);
        let kind = if how == Delivered::Done { "cranked" } else { "refused" };
        self.tools.activity.note(kind, Some(id.process), Some(id.slot), text);
        if let Some(next) = parcel.then
            && how == Delivered::Done
        {
            self.on_parcel(*next);
        }
    }
}

async fn deliver(tools: &Tools, parcel: &Parcel) -> Tried {
    match (to_scheduler(tools, parcel).await, &parcel.outgoing.delivery) {
        (Some(tried), _) => tried,
        (None, Delivery::Item(item)) => to_wallet(tools, item).await,
        (None, Delivery::Assign { process, .. }) => {
            Tried::Answered(Delivered::Refused, format!("assignment refused: no process {process}"))
        }
    }
}

/// One try at the scheduler that a parcel is for; `None` if it is for none.
pub(super) async fn to_scheduler(tools: &Tools, parcel: &Parcel) -> Option<Tried> {
    let tried = match &parcel.outgoing.delivery {
        Delivery::Item(item) if parcel.outgoing.id.kind == Kind::Spawn => match tools.directory.scheduler_for(item) {
            Ok(scheduler) => {
                let answer = tools.peers.submit(scheduler, parcel.submit()).await;
                answered(answer, |s| format!("spawned {} at slot {}", item.id(), s.slot))
            }
            Err(error) => Tried::Answered(Delivered::Refused, format!("spawn refused: {error}")),
        },
        Delivery::Item(item) => {
            // An address of a key is no process, and what no item's target holds neither: no scheduler needs to be asked.
            let target = item.target().filter(|target| !crate::verified::is_signer(target))?;
            match tools.directory.locate(&target).await {
                Ok(located) => {
                    let answer = tools.peers.submit(located.scheduler, parcel.submit()).await;
                    answered(answer, |s| format!("delivered to {target} as slot {}", s.slot))
                }
                Err(LocateError::NotFound(_)) => return None,
                Err(error) => Tried::Later(error.to_string(), Duration::ZERO),
            }
        }
        Delivery::Assign { process, tx, exclude, base_layer } => match tools.directory.locate(process).await {
            Ok(located) => {
                let request = wire::Assign {
                    process: id_bytes(process),
                    tx: id_bytes(tx),
                    exclude: exclude.clone(),
                    base_layer: *base_layer,
                    proof: Some(parcel.proof.clone()),
                };
                let answer = tools.peers.assign(located.scheduler, request).await;
                if let Err(CallError::Refused(refusal)) = &answer
                    && Code::parse(&refusal.code) == Code::NotSettled
                {
                    return Some(not_settled(tools, parcel, &located, refusal));
                }
                answered(answer, |s| format!("assigned {tx} to {process} as slot {}", s.slot))
            }
            Err(LocateError::NotFound(_)) => return None,
            Err(error) => Tried::Later(error.to_string(), Duration::ZERO),
        },
    };
    Some(tried)
}

/// No scheduler knows the target: it is a wallet, and the message goes to Arweave only.
async fn to_wallet(tools: &Tools, item: &weft_protocol::ans104::DataItem) -> Tried {
    let target = item.target().map(|target| target.to_string());
    let target = target.or_else(|| item.tag("Target").map(str::to_owned)).unwrap_or_default();
    let Some(anchor) = &tools.anchor else {
        return Tried::Answered(Delivered::Done, format!("{target} is no process here and this node anchors nothing"));
    };
    match anchor.enqueue(vec![item.clone()]).await {
        Ok(()) => Tried::Answered(Delivered::Done, format!("to wallet {target}: goes to Arweave")),
        Err(error) => Tried::Later(error.to_string(), Duration::ZERO),
    }
}

fn answered(answer: Result<wire::Sealed, CallError>, text: impl FnOnce(&wire::Sealed) -> String) -> Tried {
    match answer {
        Ok(sealed) => Tried::Answered(Delivered::Done, text(&sealed)),
        Err(CallError::Refused(refusal)) if refusal.is_final && Code::parse(&refusal.code) != Code::UnknownProcess => {
            Tried::Answered(Delivered::Refused, format!("delivery refused: {}", refusal.reason))
        }
        Err(error) => Tried::Later(error.to_string(), Duration::ZERO),
    }
}

/// The transaction to be assigned is not deep enough. It is waited for as long as the process's depth takes and some more,
/// from the slot that asks for it on; then the assignment is refused for good, whichever messenger tries it.
fn not_settled(tools: &Tools, parcel: &Parcel, located: &Located, refusal: &Refusal) -> Tried {
    let depth = tools.directory.settlement_depth(Some(located));
    let sent = tools.store.outcome(&parcel.outgoing.id.process, parcel.outgoing.id.slot).ok().flatten();
    let sent = sent.and_then(|result| sealed_at(&result));
    later_or_never(refusal, settlement::patience_ms(depth), sent, crate::clock::now_ms())
}

/// The time of a slot, in milliseconds, as its scheduler has signed it.
fn sealed_at(result: &wire::Result) -> Option<u64> {
    let item = DataItem::parse(result.assignment.clone(), Profile::History).ok()?;
    Assignment::read(&item).ok().map(|assignment| assignment.timestamp)
}

fn later_or_never(refusal: &Refusal, patience_ms: u64, sent: Option<u64>, now: u64) -> Tried {
    if sent.is_some_and(|sent| now.saturating_sub(sent) > patience_ms) {
        let minutes = patience_ms / 60_000;
        let text = format!("assignment refused: {}; {minutes} minutes have passed and it is given up", refusal.reason);
        return Tried::Answered(Delivered::Refused, text);
    }
    let pause = Duration::from_millis(refusal.retry_after_ms).clamp(RETRY.0, LONGEST_PAUSE);
    Tried::Later(refusal.reason.clone(), pause)
}

#[cfg(test)]
mod tests;
