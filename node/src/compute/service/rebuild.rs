//! Bringing a process's state back: from the nearest state that is kept, then by replaying its log.
//!
//! Where it sits: under the fold (`fold.rs`) when the pool no longer holds a process, and under the readers of earlier states
//! (`trial.rs`). It begins with what the pool has parked, if that is not too far on, else with the newest checkpoint whose
//! root this node holds an attestation for, else with slot 0. Each replayed outcome must be the one signed before. While
//! a page of the log is evaluated the next one is fetched; how far it is is said once a second at most.

use std::time::{Duration, Instant};

use weft_protocol::{
    Id,
    ans104::{DataItem, Profile},
    attestation::Attestation,
    outcome::{Written, chain_next, chain_start},
    refusal::Code,
    wire::Refusal,
};

use super::{ComputeTools, fill, fold, store_fault};
use crate::market::ProviderState;

/// How often a long replay says how far it is.
const SAY_EVERY: Duration = Duration::from_secs(1);

/// Brings the pool's `seat` (the process's own, or one to look back with) and the fold to just before slot `target`.
///
/// # Errors
/// The log cannot be had or does not check, this node cannot evaluate now, or a replayed outcome is not the one signed.
pub async fn rebuild(
    tools: &ComputeTools,
    state: &mut fold::Fold,
    process: Id,
    seat: Id,
    target: u64,
) -> Result<(), Refusal> {
    let start = begin(tools, state, process, seat, target).await?;
    let mut said = Replay::new(process, start, target);
    let mut chain = chain_before(tools, &process, start)?;
    if start < target {
        tracing::info!(%process, from = start, to = target, "replaying the log to rebuild a process");
    }
    let last = target.saturating_sub(1);
    let mut ahead = Vec::new();
    while state.head.next_slot < target {
        let steps = fold::next_steps(tools, state, &process, last, std::mem::take(&mut ahead)).await?;
        if steps.is_empty() {
            return Err(Code::Unavailable.refuse("the scheduler's log is shorter than what was evaluated; try again"));
        }
        // A page that does not come is asked for again when it is needed.
        let (outcomes, page) =
            tokio::join!(fold::run(tools, state, seat, &steps), fold::pull(tools, state, &process, last));
        let outcomes = outcomes?;
        ahead = page.unwrap_or_default();
        for (step, (outcome, _)) in steps.iter().zip(&outcomes) {
            chain = chain_next(&chain, &step.item.id(), &outcome.hash());
            compare(tools, &process, step, outcome, chain).await?;
        }
        let fuel = outcomes.iter().fold(0_u64, |sum, (one, _)| sum.saturating_add(one.outcome().fuel));
        said.note(tools, state.head.next_slot, fuel);
    }
    Ok(())
}

/// Puts the seat in the nearest state before `target` that is kept, and the fold beside it; the slot both stand before.
async fn begin(
    tools: &ComputeTools,
    state: &mut fold::Fold,
    process: Id,
    seat: Id,
    target: u64,
) -> Result<u64, Refusal> {
    // A seat to look back with may hold what was looked at before, of any process.
    let parked = tools.machine.pool.state(seat).filter(|at| seat == process && *at > 0 && *at <= target);
    let start = match parked {
        Some(at) => at,
        None => {
            fold::forget(tools, seat).await;
            restore(tools, state, process, seat, target).await
        }
    };
    state.stand(tools, process, start)?;
    Ok(start)
}

/// Restores the newest usable checkpoint that is not ahead of `target`; the slot it stands before, 0 when there is none.
async fn restore(tools: &ComputeTools, state: &fold::Fold, process: Id, seat: Id, target: u64) -> u64 {
    let Ok(module) = state.module.machine.as_ref() else { return 0 };
    let checkpoints = &tools.machine.checkpoints;
    for at in checkpoints.slots(&process).into_iter().filter(|at| *at <= target) {
        let Some(attested) = attested_root(tools, &process, at) else { continue };
        let Some(snapshot) = checkpoints.get(&process, at) else { continue };
        if snapshot.root() != attested {
            checkpoints.damaged(&process, at, "its state root is not the one attested");
            continue;
        }
        match tools.machine.pool.restore(seat, module, snapshot, at).await {
            Ok(()) => return at,
            Err(super::PoolError::Snapshot(error)) => checkpoints.damaged(&process, at, &error.to_string()),
            Err(error) => tracing::debug!(%process, at, %error, "checkpoint not restored now"),
        }
    }
    0
}

/// The newest slot up to `target` that a usable checkpoint of `process` stands before; 0 when there is none.
pub fn nearest(tools: &ComputeTools, process: &Id, target: u64) -> u64 {
    let slots = tools.machine.checkpoints.slots(process);
    slots.into_iter().find(|at| *at <= target && attested_root(tools, process, *at).is_some()).unwrap_or(0)
}

/// The state root before slot `at` in the attestation that this node holds, made with the engine profile it has now.
fn attested_root(tools: &ComputeTools, process: &Id, at: u64) -> Option<Id> {
    let result = tools.machine.store.attested(process, at.checked_sub(1)?).ok()??;
    let item = DataItem::parse(result.attestation, Profile::History).ok()?;
    let attestation = Attestation::read(&item).ok()?;
    let same = attestation.subject.profile == tools.machine.engine.profile().id();
    attestation.verdict.state_root.filter(|_| same)
}

/// The outcome chain before slot `start`, up to which this node has attestations.
fn chain_before(tools: &ComputeTools, process: &Id, start: u64) -> Result<Id, Refusal> {
    let Some(last) = start.checked_sub(1) else { return Ok(chain_start(process)) };
    let held = tools.machine.store.attested(process, last).map_err(store_fault)?;
    let item = held.and_then(|held| DataItem::parse(held.attestation, Profile::History).ok());
    let attestation = item.and_then(|item| Attestation::read(&item).ok());
    let attestation = attestation.ok_or_else(|| Code::Internal.refuse(format!("result of slot {last} is missing")))?;
    Ok(attestation.verdict.chain_after)
}

/// A replay must give what was signed. A node that cannot reproduce its own word sells no more compute until a person has
/// looked: its disk, its memory or its engine is not what it was.
async fn compare(
    tools: &ComputeTools,
    process: &Id,
    step: &fold::Step,
    outcome: &Written,
    chain: Id,
) -> Result<(), Refusal> {
    let slot = step.assignment.slot;
    let kept = tools.machine.store.result(process, slot).map_err(store_fault)?;
    match kept {
        Some(kept) if kept.outcome.as_ref() == outcome.bytes().as_bytes() => return Ok(()),
        Some(_) => {}
        // Before a checkpoint nothing was signed; at it the chain must be the attested one.
        None => {
            let hole = tools.machine.store.hole(process).map_err(store_fault)?;
            return match hole {
                Some(hole) if slot.saturating_add(1) == hole.end && chain != hole.chain => {
                    Err(fill::is_false(tools, *process, hole.end).await)
                }
                Some(hole) if slot < hole.end => Ok(()),
                _ => Err(Code::Internal.refuse(format!("result of slot {slot} is missing from the store"))),
            };
        }
    }
    tracing::error!(%process, slot, "replay differs from the outcome this node signed: it takes no more leases");
    tools.activity.note("refused", Some(*process), Some(slot), "replay differs from what this node signed".to_owned());
    tools.market.set_state(ProviderState::Maintenance).await;
    Err(Code::Internal.refuse(format!("replaying slot {slot} gave another outcome than the one signed before")))
}

/// How far a replay is.
struct Replay {
    process: Id,
    from: u64,
    to: u64,
    fuel: u64,
    started: Instant,
    said: Instant,
}

impl Replay {
    fn new(process: Id, from: u64, to: u64) -> Self {
        let now = Instant::now();
        Self { process, from, to, fuel: 0, started: now, said: now }
    }

    /// Notes what was evaluated up to `next` and says it when a second has passed, or at the end of a long one.
    fn note(&mut self, tools: &ComputeTools, next: u64, fuel: u64) {
        self.fuel = self.fuel.saturating_add(fuel);
        let long = self.started.elapsed() >= SAY_EVERY;
        if self.said.elapsed() < SAY_EVERY && !(long && next >= self.to) {
            return;
        }
        self.said = Instant::now();
        let text = self.text(next, self.started.elapsed());
        tracing::info!(process = %self.process, "{text}");
        tools.activity.note("replayed", Some(self.process), Some(next.saturating_sub(1)), text);
    }

    fn text(&self, next: u64, passed: Duration) -> String {
        let done = next.saturating_sub(self.from);
        let micros = passed.as_micros().max(1);
        let rate = |count: u64| u128::from(count).saturating_mul(1_000_000) / micros;
        let left = match u128::from(self.to.saturating_sub(next)).saturating_mul(micros) / u128::from(done.max(1)) {
            0 => String::new(),
            left => format!(", about {} s left", left.div_ceil(1_000_000)),
        };
        format!(
            "replaying the log: slot {next} of {}, {} slots/s, {} Mfuel/s{left}",
            self.to,
            rate(done),
            rate(self.fuel) / 1_000_000
        )
    }
}

#[cfg(test)]
mod tests;
