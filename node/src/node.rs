//! The node: opens what it must not lose, starts the services, serves until told to stop.
//!
//! Where it sits: below the command line, above everything else. Each service is a handle, a bounded mailbox and a loop; the
//! first one that ends, ends the node, with its name and reason.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicU64},
    time::{Duration, Instant},
};

use prost::Message as _;
use tokio::{sync::broadcast, task::JoinSet};
use tokio_util::sync::CancellationToken;
use weft_protocol::{
    Id,
    ans104::{DataItem, Profile},
    keys::NodeKey,
    network::Network,
    wire,
};
use weft_storage::arweave::devnet::Fresh;

use crate::{
    config::NodeConfig,
    directory::Directory,
    messenger::MessengerHandle,
    network::{NetworkHandle, Topic},
    scheduler::SealedNotice,
};

mod setup;

pub use setup::NodeError;
pub(crate) use setup::engine_config;

/// Gossip of sealed entries is cut at this many bytes; what does not fit is announced without its entries.
const SEALED_BYTES: usize = 48 << 10;
/// Pause between two questions for the chain's height.
const HEIGHT_EVERY: Duration = Duration::from_secs(2);
/// Time that services have to end after the node was told to stop.
const GRACE: Duration = Duration::from_secs(5);
/// Time that live processes have after that to be parked on disk.
const PARK_WITHIN: Duration = Duration::from_secs(4);

/// Runs a node until `shutdown` is cancelled.
///
/// # Errors
/// When it cannot start (configuration, key, ports, disk) or a service ends before it was told to.
pub async fn run(config: NodeConfig, shutdown: CancellationToken) -> Result<(), NodeError> {
    let mut node = setup::start(config, shutdown.clone()).await?;
    let ended = tokio::select! {
        // The doors end by the same token: being told to stop comes first.
        biased;
        () = shutdown.cancelled() => Ok(()),
        ended = first_end(&mut node.tasks) => if shutdown.is_cancelled() { Ok(()) } else { Err(ended) },
    };
    shutdown.cancel();
    let stop = async {
        node.network.shutdown().await;
        node.tasks.abort_all();
        while node.tasks.join_next().await.is_some() {}
    };
    if tokio::time::timeout(GRACE, stop).await.is_err() {
        tracing::warn!("some services did not end in time");
    }
    node.pool.shut_down(PARK_WITHIN).await;
    ended
}

/// A started node.
pub(crate) struct Running {
    /// Every service; the value says which one ended and why.
    pub tasks: JoinSet<(&'static str, String)>,
    /// To end the mesh in an orderly way.
    pub network: NetworkHandle,
    /// To park what is live.
    pub pool: crate::compute::Pool,
}

async fn first_end(tasks: &mut JoinSet<(&'static str, String)>) -> NodeError {
    match tasks.join_next().await {
        Some(Ok((service, reason))) => NodeError::Ended { service, reason },
        Some(Err(error)) => NodeError::Ended { service: "a service", reason: error.to_string() },
        None => NodeError::Ended { service: "every service", reason: "nothing is left to run".into() },
    }
}

/// Keeps the newest Arweave height.
pub(crate) async fn follow_height(gateway: weft_storage::arweave::gateway::Gateway, height: Arc<AtomicU64>) {
    let mut known = true;
    loop {
        match gateway.height().await {
            Ok(now) => {
                // A gateway that lags, or one asked in another's place, does not take the chain back.
                height.fetch_max(now, std::sync::atomic::Ordering::Relaxed);
                known = true;
            }
            Err(error) if known => {
                known = false;
                tracing::warn!(%error, "no gateway gives the height of the chain; assignments go on with the last one known");
            }
            Err(_) => {}
        }
        tokio::time::sleep(HEIGHT_EVERY).await;
    }
}

/// What happens with what this node sealed: gossip, and the messenger if it is on duty for the process.
pub(crate) struct Teller {
    pub network: Network,
    pub mesh: NetworkHandle,
    pub directory: Directory,
    pub messenger: MessengerHandle,
    pub activity: crate::activity::ActivityLog,
    pub fresh: Fresh,
    pub me: NodeKey,
}

impl Teller {
    /// Runs until the scheduler ends. What a slow listener misses is found by the messengers' sweep.
    pub async fn run(self, mut notices: broadcast::Receiver<SealedNotice>) {
        loop {
            match notices.recv().await {
                Ok(first) => {
                    let mut all = vec![first];
                    while let Ok(more) = notices.try_recv() {
                        all.push(more);
                        if all.len() >= 256 {
                            break;
                        }
                    }
                    self.tell(all).await;
                }
                Err(broadcast::error::RecvError::Lagged(missed)) => tracing::debug!(missed, "sealed notices skipped"),
                Err(broadcast::error::RecvError::Closed) => return,
            }
        }
    }

    async fn tell(&self, notices: Vec<SealedNotice>) {
        for batch in join_by_process(notices) {
            let Some(process) = Id::from_slice(&batch.process) else { continue };
            if let Some(spawn) = batch.entries.first().filter(|_| self.directory.known(&process).is_none()) {
                self.directory.learn(spawn.item.clone(), spawn.assignment.clone());
            }
            batch.entries.iter().for_each(|entry| add_fresh(&self.fresh, entry));
            let count = batch.entries.len();
            self.activity.note(
                "sealed",
                Some(process),
                batch.next_slot.checked_sub(1),
                format!("{count} message(s) sealed"),
            );
            self.messenger.sealed_if_on_duty(process, &self.me, batch.next_slot, batch.entries.clone());
            let topic = Topic::Sealed(self.network.shard_of(process));
            let data = wire::Gossip { body: Some(wire::gossip::Body::Sealed(batch)) }.encode_to_vec();
            if let Err(error) = self.mesh.publish(topic, data.into()).await {
                tracing::debug!(%error, "sealed entries not gossiped");
            }
        }
    }
}

/// Takes in the items of a log entry that was made here or checked.
pub(crate) fn add_fresh(fresh: &Fresh, entry: &wire::LogEntry) {
    for raw in [&entry.item, &entry.assignment] {
        if let Ok(item) = DataItem::parse(raw.clone(), Profile::History) {
            fresh.add(&item);
        }
    }
}

/// Joins notices of one process, in order, up to [`SEALED_BYTES`] each; entries that do not fit are left out.
fn join_by_process(notices: Vec<SealedNotice>) -> Vec<wire::SealedBatch> {
    let mut joined: Vec<(wire::SealedBatch, usize)> = Vec::new();
    for notice in notices {
        let size: usize = notice.entries.iter().map(prost::Message::encoded_len).sum();
        let mut batch = wire::SealedBatch::clone(&notice);
        if size > SEALED_BYTES {
            batch.entries.clear();
        }
        let size = if batch.entries.is_empty() { 0 } else { size };
        match joined.iter_mut().rev().find(|(last, _)| last.process == batch.process) {
            Some((last, used)) if *used + size <= SEALED_BYTES => {
                last.entries.append(&mut batch.entries);
                last.next_slot = batch.next_slot;
                *used += size;
            }
            _ => joined.push((batch, size)),
        }
    }
    joined.into_iter().map(|(batch, _)| batch).collect()
}

/// Where each part keeps its files under the node's data folder.
pub(crate) struct Folders(pub PathBuf);

impl Folders {
    pub fn of(&self, part: &str) -> PathBuf {
        self.0.join(part)
    }
}

/// Since when the node runs.
pub(crate) fn started() -> Instant {
    Instant::now()
}
