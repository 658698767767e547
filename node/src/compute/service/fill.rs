//! Results of slots before the checkpoint at which this node took a process over (`adopt.rs`).
//!
//! Where it sits: beside the fold, for a messenger that has not seen those outcomes itself (it lost its disk, or another one
//! is on duty now). They are evaluated from the log in a seat of their own, a page after a page, each asked for by a
//! request, signed as any other, and kept. At the end chain and root must be those of the checkpoint: if not, the state
//! that this node serves since is false, and it stops selling compute until a person has looked.

use std::time::{Duration, Instant};

use weft_protocol::{
    Id,
    outcome::Progress,
    refusal::Code,
    wire::{self, Refusal},
};

use super::{ComputeTools, fold, pool_fault, rebuild, store::Hole, store_fault};
use crate::{market::ProviderState, scheduler::id_bytes};

/// After this the request is answered with what there is.
const ANSWER_AFTER: Duration = Duration::from_secs(2);

/// The pool's seat for the slots before a process's checkpoint.
fn seat(process: &Id) -> Id {
    Id::sha256(&[b"weft/before-checkpoint\0".as_slice(), process.as_bytes()].concat())
}

/// Evaluates slots of `hole` up to `to_slot`, as many as there is time for. The caller holds the process.
///
/// # Errors
/// As evaluation; [`Code::Internal`] when the log does not lead to the checkpoint.
pub async fn fill(tools: &ComputeTools, process: Id, hole: Hole, to_slot: u64) -> Result<(), Refusal> {
    let (started, seat) = (Instant::now(), seat(&process));
    let mut progress = hole.next;
    let mut state = fold::resume(tools, process, &progress).await?;
    state.looking_back(hole.end);
    if tools.machine.pool.state(seat).unwrap_or(0) != progress.next_slot {
        rebuild::rebuild(tools, &mut state, process, seat, progress.next_slot).await?;
    }
    let last = to_slot.min(hole.end.saturating_sub(1));
    while progress.next_slot <= last && started.elapsed() < ANSWER_AFTER {
        let done = Box::pin(page(tools, &mut state, process, seat, progress, &hole, last)).await;
        match done {
            Ok(next) => progress = next,
            Err(refusal) => {
                // The seat may be ahead of what was kept.
                fold::forget(tools, seat).await;
                return Err(refusal);
            }
        }
    }
    if progress.next_slot >= hole.end {
        fold::forget(tools, seat).await;
        tracing::info!(%process, slots = hole.end, "the slots before the checkpoint have been evaluated: they lead to it");
    }
    Ok(())
}

/// Evaluates and keeps one page of the hole; where it goes on.
async fn page(
    tools: &ComputeTools,
    state: &mut fold::Fold,
    process: Id,
    seat: Id,
    from: Progress,
    hole: &Hole,
    last: u64,
) -> Result<Progress, Refusal> {
    let steps = fold::next_steps(tools, state, &process, last, Vec::new()).await?;
    if steps.is_empty() {
        return Err(Code::Unavailable.refuse("the scheduler's log is shorter than the checkpoint; try again"));
    }
    let window = u64::from(tools.network.parameters().window.max(1));
    let (mut chain, mut root, mut results) = (from.chain, None, Vec::with_capacity(steps.len()));
    for part in steps.chunk_by(|step, _| !step.assignment.slot.saturating_add(1).is_multiple_of(window)) {
        let outcomes = fold::run(tools, state, seat, part).await?;
        let end = part.last().map_or(0, |step| step.assignment.slot);
        root = match end.saturating_add(1).is_multiple_of(window) && state.module.machine.is_ok() {
            true => Some(tools.machine.pool.root(seat).await.map_err(pool_fault)?.1),
            false => None,
        };
        for (step, (outcome, _)) in part.iter().zip(outcomes) {
            let state_root = root.filter(|_| step.assignment.slot == end);
            let attestation = fold::attest(tools, state, step, &outcome, chain, state_root);
            chain = attestation.verdict.chain_after;
            let item = attestation.sign(&tools.signer).map_err(|e| Code::Internal.refuse(e.to_string()))?;
            results.push(wire::Result {
                process: id_bytes(&process),
                slot: step.assignment.slot,
                outcome: outcome.into_bytes(),
                attestation: item.raw().clone(),
                assignment: step.item.raw().clone(),
            });
        }
    }
    let next = Progress { next_slot: state.head.next_slot, chain };
    if next.next_slot >= hole.end && (chain != hole.chain || root != hole.root) {
        return Err(is_false(tools, process, hole.end).await);
    }
    tools.machine.store.put_filled(&results).await.map_err(store_fault)?;
    Ok(next)
}

/// What this node serves since slot `end` does not follow from the log.
pub async fn is_false(tools: &ComputeTools, process: Id, end: u64) -> Refusal {
    let text = "the checkpoint that this process was taken over at does not follow from its log: this node takes no more leases";
    tracing::error!(%process, slot = end, "{text}");
    tools.activity.note("refused", Some(process), Some(end), text.to_owned());
    tools.market.set_state(ProviderState::Maintenance).await;
    Code::Internal.refuse(format!("the log of {process} does not lead to the checkpoint before slot {end}"))
}
