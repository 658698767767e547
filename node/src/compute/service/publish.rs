//! Putting checkpoints of this node's processes on Arweave, for whoever takes them over.
//!
//! Where it sits: a task beside the service; hears of each checkpoint kept on disk and hands some of them to the anchor,
//! with the attestation that names their root: every so many slots of a process and every so often at most, up to a size.
//! What it leaves out costs nobody anything but the evaluation of more of the log.

use std::time::Duration;

use tokio::sync::mpsc;
use weft_protocol::{
    Id,
    ans104::{DataItem, Ed25519Signer, Profile},
    attestation::Attestation,
    checkpoint,
};

use super::{Checkpoints, ResultStore};
use crate::{activity::ActivityLog, anchor::AnchorHandle, clock::now_ms};

/// How long the results of a window's last slot are waited for: they are kept a moment after the state.
const RESULT_WITHIN: Duration = Duration::from_secs(30);
const ASK_EVERY: Duration = Duration::from_millis(100);

/// How often checkpoints are uploaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishRules {
    /// Slots of a process between two at least.
    pub slots: u64,
    /// Time between two of a process at least.
    pub every: Duration,
    /// Bytes of one at most.
    pub max_bytes: usize,
}

/// What uploads checkpoints.
pub struct Publisher {
    /// Where they lie.
    pub checkpoints: Checkpoints,
    /// Where their attestations are.
    pub results: ResultStore,
    /// Takes them to Arweave.
    pub anchor: AnchorHandle,
    /// Signs them.
    pub signer: Ed25519Signer,
    /// How often.
    pub rules: PublishRules,
    /// Says what was done.
    pub activity: ActivityLog,
}

impl Publisher {
    /// Runs for ever: takes what was `kept` (process, slot evaluated next) one by one.
    pub async fn run(self, mut kept: mpsc::Receiver<(Id, u64)>) {
        while let Some((process, next)) = kept.recv().await {
            if !self.is_due(&process, next) {
                continue;
            }
            match self.publish(process, next).await {
                Ok(Some(id)) => {
                    let text = format!("checkpoint {id} handed to the anchor: who takes the process over begins there");
                    self.activity.note("checkpoint", Some(process), Some(next.saturating_sub(1)), text);
                }
                Ok(None) => {}
                Err(why) => tracing::warn!(%process, slot = next, why, "checkpoint not uploaded"),
            }
        }
    }

    fn is_due(&self, process: &Id, next: u64) -> bool {
        let Some((slot, at)) = self.checkpoints.published(process) else { return next >= self.rules.slots };
        let every = u64::try_from(self.rules.every.as_millis()).unwrap_or(u64::MAX);
        next >= slot.saturating_add(self.rules.slots) && now_ms() >= at.saturating_add(every)
    }

    /// Hands the checkpoint before `next` to the anchor; its id.
    async fn publish(&self, process: Id, next: u64) -> Result<Option<Id>, String> {
        let Some(snapshot) = self.checkpoints.get(&process, next) else { return Ok(None) };
        let size = snapshot.as_bytes().len();
        if size > self.rules.max_bytes {
            return Err(format!(
                "it has {size} bytes and {} are allowed: raise compute.checkpoints.max_bytes in node.toml, or whoever takes \
                 the process over evaluates its log from slot 0",
                self.rules.max_bytes
            ));
        }
        let attestation = self.attestation(&process, next.saturating_sub(1)).await?;
        let read = Attestation::read(&attestation).map_err(|error| error.to_string())?;
        if read.verdict.state_root != Some(snapshot.root()) {
            return Err("its state root is not the one attested".to_owned());
        }
        let item = checkpoint::make(&[attestation], snapshot.as_bytes(), &self.signer).map_err(|e| e.to_string())?;
        let id = item.id();
        self.anchor.enqueue(vec![item]).await.map_err(|error| error.to_string())?;
        self.checkpoints.set_published(&process, next, now_ms());
        Ok(Some(id))
    }

    /// This node's attestation of a slot, waiting for it.
    async fn attestation(&self, process: &Id, slot: u64) -> Result<DataItem, String> {
        let waited = tokio::time::timeout(RESULT_WITHIN, async {
            loop {
                match self.results.result(process, slot).map_err(|error| error.to_string())? {
                    Some(result) => {
                        return DataItem::parse(result.attestation, Profile::History)
                            .map_err(|error| error.to_string());
                    }
                    None => tokio::time::sleep(ASK_EVERY).await,
                }
            }
        });
        waited.await.unwrap_or_else(|_| Err("its slot was not attested in time".to_owned()))
    }
}
