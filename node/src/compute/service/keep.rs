//! What becomes of slots that have been evaluated: signed, made durable, told. All of it goes on beside the evaluation of the
//! slots after them.
//!
//! Where it sits: behind `fold.rs`. The batches of one process are kept one after the other, in the order of its slots: each
//! has the process's [`Turn`] until it is on disk, and the next one is handed over only then. So one batch at most is under
//! way while another is evaluated, nobody is answered or told of a slot before it is durable, and whoever waits for a turn
//! knows that everything before is.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;
use tokio::sync::{Mutex, OwnedMutexGuard};
use weft_protocol::{
    Id,
    attestation::Attestation,
    refusal::Code,
    wire::{self, Refusal},
};

use super::{ComputeTools, store_fault};
use crate::{network::Topic, scheduler::id_bytes};

/// Slots signed on the spot; more are signed away from the tasks that serve the network.
const SIGNED_HERE: usize = 2;

/// Why a process's last batch was not kept; `None` when it was. Whoever holds the lock is the one that keeps.
#[derive(Clone, Default)]
pub(super) struct Keeper(Arc<Mutex<Option<Refusal>>>);

/// The right to keep the next batch of a process.
pub(super) type Turn = OwnedMutexGuard<Option<Refusal>>;

impl Keeper {
    /// The turn after everything handed over before.
    ///
    /// # Errors
    /// Why what was evaluated before is lost. It is told once: who hears it forgets the state that is ahead of the disk.
    pub async fn turn(&self) -> Result<Turn, Refusal> {
        let mut turn = Arc::clone(&self.0).lock_owned().await;
        match turn.take() {
            None => Ok(turn),
            Some(refusal) => Err(refusal),
        }
    }

    /// Waits until nothing is being kept any more, whatever became of it. What is on disk then is all there is: who goes on
    /// from there has nothing to forget.
    pub async fn settled(&self) {
        *self.0.lock().await = None;
    }

    /// Waits until everything handed over before is durable.
    ///
    /// # Errors
    /// Why it will not be.
    pub async fn kept(&self) -> Result<(), Refusal> {
        match &*self.0.lock().await {
            None => Ok(()),
            Some(refusal) => Err(refusal.clone()),
        }
    }
}

/// A slot that was evaluated.
pub(super) struct Evaluated {
    /// What is signed.
    pub attestation: Attestation,
    /// The outcome's canonical bytes.
    pub outcome: Bytes,
    /// The signed assignment.
    pub assignment: Bytes,
}

/// Keeps a batch of one process, and tells of it. It goes on whether anybody waits for it or not.
pub(super) fn hand_over(tools: &Arc<ComputeTools>, mut turn: Turn, process: Id, batch: Vec<Evaluated>) {
    let tools = Arc::clone(tools);
    *turn = Some(Code::Internal.refuse("keeping the results broke off inside this node; try again"));
    tokio::spawn(async move {
        let kept = keep(&tools, process, batch).await;
        match kept {
            Ok(results) => {
                *turn = None;
                drop(turn);
                tell(&tools, process, &results).await;
            }
            Err(refusal) => {
                tracing::error!(%process, reason = refusal.reason, "results not kept: they are evaluated again");
                *turn = Some(refusal);
            }
        }
    });
}

async fn keep(tools: &Arc<ComputeTools>, process: Id, batch: Vec<Evaluated>) -> Result<Vec<wire::Result>, Refusal> {
    let results = if batch.len() <= SIGNED_HERE {
        sign(tools, process, batch)?
    } else {
        let signer = Arc::clone(tools);
        let signed = tokio::task::spawn_blocking(move || sign(&signer, process, batch)).await;
        signed.map_err(|error| Code::Internal.refuse(error.to_string()))??
    };
    tools.machine.store.put(&results).await.map_err(store_fault)?;
    Ok(results)
}

fn sign(tools: &ComputeTools, process: Id, batch: Vec<Evaluated>) -> Result<Vec<wire::Result>, Refusal> {
    let one = |slot: Evaluated| {
        let item = slot.attestation.sign(&tools.signer).map_err(|e| Code::Internal.refuse(e.to_string()))?;
        Ok(wire::Result {
            process: id_bytes(&process),
            slot: slot.attestation.subject.slot,
            outcome: slot.outcome,
            attestation: item.raw().clone(),
            assignment: slot.assignment,
        })
    };
    batch.into_iter().map(one).collect()
}

/// The attestation that ends a window goes out by gossip: it has the state's root, and its outcome chain covers the slots
/// before it, of which whoever needs them asks. A lost one costs nothing. (The anchor takes all from the store, `feeder.rs`.)
async fn tell(tools: &ComputeTools, process: Id, results: &[wire::Result]) {
    let Some(last) = results.last() else { return };
    let window = u64::from(tools.network.parameters().window.max(1));
    if let Some(end) = results.iter().rfind(|result| result.slot.saturating_add(1).is_multiple_of(window)) {
        let attestations = vec![end.attestation.clone()];
        let body = Some(wire::gossip::Body::Attestations(wire::Attestations { attestations }));
        let data = wire::Gossip { body }.encode_to_vec().into();
        if let Err(error) = tools.peers.network().publish(Topic::Attestations, data).await {
            tracing::debug!(%error, "attestation not gossiped");
        }
    }
    let text = format!("{} slot(s) evaluated and signed", results.len());
    tools.activity.note("attested", Some(process), Some(last.slot), text);
}

#[cfg(test)]
mod tests;
