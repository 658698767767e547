//! What is asked of a process without ordering anything: dry runs and copies of its memory, on the newest state or an
//! earlier one.
//!
//! Where it sits: the part of [`ComputeHandle`] that answers readers; evaluation that counts is in `service.rs` and `fold.rs`.
//!
//! Readers pay nothing, so what they can cause is bounded:
//! - At most [`AT_ONCE`] are under way on this node, [`AT_ONCE_PROCESS`] of them on one process; the next is told to come back.
//!   One dry run takes the fuel of one message at most.
//! - None makes a provider evaluate what nobody has leased: whoever asks for the newest state has had it evaluated before,
//!   and catching up to there counts against the lease exactly as an evaluation of that slot would.
//! - An earlier state is replayed beside the live one, over at most [`LOOK_BACK`] slots that together took no more fuel than
//!   one message may take; farther back it is refused, with the reason.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::OwnedMutexGuard;
use weft_protocol::{
    Id,
    keys::NodeKey,
    message::dry_run_json,
    outcome::{Outcome, Written},
    refusal::Code,
    wire::{self, Refusal},
};

use super::{
    ComputeHandle,
    fold::{self, Fold, Held},
    id, market_refusal, pool_fault, rebuild, store_fault,
};
use crate::scheduler::id_bytes;

/// Readers at once on this node.
const AT_ONCE: usize = 32;
/// Readers of one process at once.
const AT_ONCE_PROCESS: usize = 4;
/// Slots replayed for one look at an earlier state at most: as many as lie between two snapshots on disk.
const LOOK_BACK: u64 = 256;
/// Bytes of a compressed memory that fit into an answer.
const MAX_STATE: usize = 15 << 20;

/// Readers under way: the process of each, by the number of its turn.
#[derive(Clone, Default)]
pub struct Turns(Arc<Mutex<BTreeMap<usize, Id>>>);

/// A reader under way; dropped, it makes room for the next.
struct Turn {
    turns: Turns,
    number: usize,
}

impl Turn {
    /// The pool's seat to look back in. It is this reader's own as long as it has its turn, and taken again by later ones:
    /// there are never more than [`AT_ONCE`], whatever is asked for.
    fn seat(&self) -> Id {
        let number = u64::try_from(self.number).unwrap_or(u64::MAX);
        Id::sha256(&[b"weft/look-back\0".as_slice(), &number.to_be_bytes()].concat())
    }
}

impl Turns {
    fn taken(&self) -> MutexGuard<'_, BTreeMap<usize, Id>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, process: Id) -> Result<Turn, Refusal> {
        let mut taken = self.taken();
        let all = taken.len();
        let count = taken.values().filter(|other| **other == process).count();
        let free = (0..AT_ONCE).find(|number| !taken.contains_key(number));
        let Some(number) = free.filter(|_| count < AT_ONCE_PROCESS) else {
            let reason = format!(
                "{count} dry runs or copies of process {process} are under way, {all} on this node; at most \
                 {AT_ONCE_PROCESS} and {AT_ONCE} are taken: try again in a second"
            );
            return Err(Code::Capacity.refuse(reason));
        };
        taken.insert(number, process);
        Ok(Turn { turns: self.clone(), number })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.taken().remove(&self.number);
    }
}

/// A state to read from: the pool's seat that holds it and the fold that says where it stands.
struct Standing {
    seat: Id,
    held: OwnedMutexGuard<Held>,
}

impl Standing {
    fn fold(&self) -> Result<&Fold, Refusal> {
        self.held.fold.as_ref().ok_or_else(|| Code::Unavailable.refuse("the process cannot be loaded; try again"))
    }

    fn next_slot(&self) -> Result<u64, Refusal> {
        self.fold().map(|fold| fold.head.next_slot)
    }
}

impl ComputeHandle {
    /// Tries a message on the newest state, or on that after an earlier slot, and forgets it.
    ///
    /// # Errors
    /// As [`ComputeHandle::eval`]; also when the message is not a JSON object, too many are tried at once, or the earlier
    /// state is out of reach.
    pub async fn dry_run(&self, from: NodeKey, request: wire::DryRun) -> Result<wire::Result, Refusal> {
        let process = id("process", &request.process)?;
        let caller: serde_json::Value = serde_json::from_slice(&request.message)
            .map_err(|e| Code::BadItem.refuse(format!("the dry-run message is not JSON: {e}")))?;
        let turn = self.turns.take(process)?;
        let wanted = if request.slot == u64::MAX { request.at_least } else { request.slot };
        self.charge(from, &request.lease, process, wanted).await?;
        let standing = self.stand(process, request.slot, wanted, &turn).await?;
        let tried = self.try_message(&standing, process, &caller).await;
        self.leave(process, &standing).await;
        Ok(wire::Result {
            process: id_bytes(&process),
            slot: standing.next_slot()?.saturating_sub(1),
            outcome: tried?.into_bytes(),
            ..wire::Result::default()
        })
    }

    /// The process's memory on the newest state, or on that after an earlier slot.
    ///
    /// # Errors
    /// As [`ComputeHandle::dry_run`]; also when it is too large to be sent.
    pub async fn state(&self, from: NodeKey, request: wire::StateQuery) -> Result<wire::State, Refusal> {
        let process = id("process", &request.process)?;
        let turn = self.turns.take(process)?;
        let wanted = if request.slot == u64::MAX { 0 } else { request.slot };
        self.charge(from, &request.lease, process, wanted).await?;
        let standing = self.stand(process, request.slot, wanted, &turn).await?;
        let taken = self.tools().machine.pool.snapshot(standing.seat).await;
        self.leave(process, &standing).await;
        let (_, snapshot) = taken.map_err(pool_fault)?;
        let size = snapshot.as_bytes().len();
        if size > MAX_STATE {
            let reason = format!("the memory of {process} takes {size} bytes compressed; {MAX_STATE} can be sent");
            return Err(Code::TooLarge.refuse(reason));
        }
        Ok(wire::State { slot: standing.next_slot()?.saturating_sub(1), snapshot: snapshot.as_bytes().clone() })
    }

    /// Reading the state after `slot` counts as evaluating it: not at all, where that has been done under this lease.
    async fn charge(&self, from: NodeKey, lease: &[u8], process: Id, slot: u64) -> Result<(), Refusal> {
        let lease = id("lease", lease)?;
        // Not beyond the next slot: whoever names a far one would have had all before it for nothing.
        let next = self.tools().machine.store.progress(&process).map_err(store_fault)?.next_slot;
        let slot = slot.min(next);
        self.tools().market.charge(lease, from, process, slot, slot).await.map_err(market_refusal).map(|_| ())
    }

    async fn try_message(
        &self,
        standing: &Standing,
        process: Id,
        caller: &serde_json::Value,
    ) -> Result<Written, Refusal> {
        let state = standing.fold()?;
        let text = dry_run_json(&process, caller, state.head.timestamp, state.block_height);
        let pool = &self.tools().machine.pool;
        let done = pool.dry_run(standing.seat, text, state.env.clone()).await.map_err(pool_fault)?;
        fold::outcome_of(done)
    }

    /// A state to read from: the live one if `slot` is `u64::MAX` or its last, else one replayed beside it.
    async fn stand(&self, process: Id, slot: u64, wanted: u64, turn: &Turn) -> Result<Standing, Refusal> {
        let mut held = self.slot(&process).lock_owned().await;
        while fold::advance(&self.tools, &mut held, process, wanted, Vec::new()).await? > 0 {}
        held.keeper.kept().await?;
        let live = Standing { seat: process, held };
        let state = live.fold()?;
        state.module.machine.as_ref().map_err(|why| Code::BadModule.refuse(why.clone()))?;
        let next = state.head.next_slot;
        if next <= wanted {
            return Err(Code::NotFound.refuse(format!("process {process} has no slot {wanted} yet")));
        }
        if slot == u64::MAX || slot.saturating_add(1) == next {
            return Ok(live);
        }
        let beside = state.clone();
        // The process goes on while its past is looked at.
        drop(live);
        self.look_back(process, slot, beside, turn).await
    }

    async fn look_back(&self, process: Id, slot: u64, mut beside: Fold, turn: &Turn) -> Result<Standing, Refusal> {
        self.can_look_back(process, slot)?;
        let seat = turn.seat();
        let rebuilt = rebuild::rebuild(self.tools(), &mut beside, process, seat, slot.saturating_add(1)).await;
        if let Err(refusal) = rebuilt {
            fold::forget(self.tools(), seat).await;
            return Err(refusal);
        }
        // Nobody else knows of this place: it goes with its reader.
        let held = Held { fold: Some(beside), ..Held::default() };
        let held = super::Slot::new(tokio::sync::Mutex::new(held)).lock_owned().await;
        Ok(Standing { seat, held })
    }

    /// What lies between the state after `slot` and the nearest kept before it must be a small part of a log.
    fn can_look_back(&self, process: Id, slot: u64) -> Result<(), Refusal> {
        let machine = &self.tools().machine;
        let kept = rebuild::nearest(self.tools(), &process, slot.saturating_add(1));
        let (start, count) = from_nearest(kept, slot);
        let too_far = |what: String| {
            let reason = format!(
                "the state of {process} after slot {slot} is no longer kept, and {what} would have to be evaluated again for \
                 it: ask for one of the first {LOOK_BACK} slots, or of the {LOOK_BACK} from slot {} on",
                kept.saturating_sub(1)
            );
            Err(Code::TooLarge.refuse(reason))
        };
        if count > LOOK_BACK {
            return too_far(format!("{count} slots (more than {LOOK_BACK})"));
        }
        let limit = machine.engine.profile().fuel_per_slot;
        let mut fuel = 0_u64;
        for at in start..=slot {
            let result = machine.store.result(&process, at).map_err(store_fault)?;
            let Some(result) = result else {
                return too_far(format!("slot {at}, from before this node took the process over,"));
            };
            let outcome = Outcome::decode(&result.outcome).ok();
            fuel = fuel.saturating_add(outcome.map_or(0, |outcome| outcome.fuel));
            if fuel > limit {
                return too_far(format!("more than {limit} of fuel"));
            }
        }
        Ok(())
    }

    /// A state that was replayed to be looked at is dropped again.
    async fn leave(&self, process: Id, standing: &Standing) {
        if standing.seat != process {
            fold::forget(self.tools(), standing.seat).await;
        }
    }
}

/// Where a replay for the state after `slot` begins, when the newest snapshot stands just before slot `kept` (0: there is
/// none), and over how many slots it goes.
fn from_nearest(kept: u64, slot: u64) -> (u64, u64) {
    let next = slot.saturating_add(1);
    let start = if kept <= next { kept } else { 0 };
    (start, next.saturating_sub(start))
}

#[cfg(test)]
mod tests;
