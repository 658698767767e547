//! Items on their way in: checked, gossiped, ordered.

use std::{collections::HashSet, sync::PoisonError, time::Duration};

use bytes::Bytes;
use prost::Message as _;
use weft_protocol::{
    Id,
    ans104::{DataItem, Profile},
    crank::CRANK_TAG,
    cron,
    keys::NodeKey,
    wire,
};

use super::{Accepted, Api, DoorError, ErrorKind, Submitted, call_error};
use crate::{
    compute::service::ModuleError,
    door::Level,
    intake::{Purpose, no_tick, purpose},
    network::Topic,
    peers::CallError,
    scheduler::id_bytes,
};

/// Items larger than this are not gossiped: whoever needs them pulls them. A gossip item holds 64 KiB.
const GOSSIPED_BYTES: usize = 60 << 10;

/// How often a scheduler that cannot be reached is asked before its client is told so, the first time included, and the pause
/// in between.
const TRIES: u32 = 5;
const BREATH: Duration = Duration::from_millis(400);
/// How long an accepted item is offered to its scheduler, and the pause in between.
const KEEP_ASKING: Duration = Duration::from_secs(60);
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// Accepted items held at once.
const HELD: usize = 1_024;

/// Items accepted and not yet sealed: (process, item).
#[derive(Default)]
pub(super) struct Pending(HashSet<(Id, Id)>);

impl Pending {
    /// Whether there was room, or it is held already.
    fn add(&mut self, process: Id, item: Id) -> bool {
        (self.0.len() < HELD && self.0.insert((process, item))) || self.0.contains(&(process, item))
    }

    fn remove(&mut self, process: Id, item: Id) {
        self.0.remove(&(process, item));
    }

    /// Whether this item is held.
    pub fn has(&self, process: Id, item: Id) -> bool {
        self.0.contains(&(process, item))
    }
}

/// Asks a scheduler again that broke off or could not be reached: an item has one slot however often it comes.
async fn again<T, F: Future<Output = Result<T, CallError>>>(ask: impl Fn() -> F) -> Result<T, CallError> {
    for _attempt in 2..TRIES {
        match ask().await {
            Err(CallError::Unreachable { .. }) => tokio::time::sleep(BREATH).await,
            answer => return answer,
        }
    }
    ask().await
}

impl Api {
    pub(super) async fn submit_item(&self, raw: Bytes) -> Result<Submitted, DoorError> {
        let (item, process, scheduler) = self.checked(raw).await?;
        self.seal(process, &item, scheduler).await
    }

    async fn seal(&self, process: Id, item: &DataItem, scheduler: NodeKey) -> Result<Submitted, DoorError> {
        let request = wire::Submit { item: item.raw().clone(), proof: None };
        let ask = || self.behind().peers.submit(scheduler, request.clone());
        let mut sealed = ask().await;
        if let Err(CallError::Unreachable { .. }) = sealed {
            // Its client waits, and asks again if this node dies: only what waits longer is everybody's business.
            self.gossip(process, item).await;
            tokio::time::sleep(BREATH).await;
            sealed = again(ask).await;
        }
        let submitted = self.submitted(process, item.id(), &sealed.map_err(|e| call_error(&e))?)?;
        self.introduce(process, item).await?;
        Ok(submitted)
    }

    /// A spawn that names a target is assigned to that process too. Asked again, it is found to be there: a client that is
    /// told that the target's scheduler is down posts its spawn again.
    async fn introduce(&self, process: Id, item: &DataItem) -> Result<(), DoorError> {
        let Some(target) = item.target().filter(|target| process == item.id() && *target != process) else {
            return Ok(());
        };
        match self.assign_item(target, process, Vec::new(), false).await {
            // A wallet, or what is nothing here: there is nobody to tell.
            Ok(_) | Err(DoorError { kind: ErrorKind::NotFound, .. }) => Ok(()),
            Err(error) => Err(DoorError {
                reason: format!("process {process} is there, but not assigned to {target} yet: {}", error.reason),
                ..error
            }),
        }
    }

    /// Answers once the item is checked and passed on; goes on asking the scheduler for [`KEEP_ASKING`].
    pub(super) async fn accept_item(&self, raw: Bytes) -> Result<Accepted, DoorError> {
        let (item, process, scheduler) = self.checked(raw).await?;
        let accepted = Accepted { id: item.id(), process, level: Level::Accepted };
        if !self.0.pending.lock().unwrap_or_else(PoisonError::into_inner).add(process, item.id()) {
            return Err(DoorError::new(ErrorKind::Unavailable, "this node has accepted all it can hold; try again"));
        }
        self.gossip(process, &item).await;
        let api = self.clone();
        tokio::spawn(async move {
            let asking = async {
                while let Err(error) = api.seal(process, &item, scheduler).await {
                    if !matches!(error.kind, ErrorKind::Unavailable | ErrorKind::Timeout) {
                        tracing::info!(id = %item.id(), reason = error.reason, "an accepted item was refused");
                        return;
                    }
                    tokio::time::sleep(ASK_AGAIN).await;
                }
            };
            if tokio::time::timeout(KEEP_ASKING, asking).await.is_err() {
                tracing::warn!(id = %item.id(), "an accepted item could not be sealed in time");
            }
            api.0.pending.lock().unwrap_or_else(PoisonError::into_inner).remove(process, item.id());
        });
        Ok(accepted)
    }

    /// A valid item, the process it is for and who orders that.
    async fn checked(&self, raw: Bytes) -> Result<(DataItem, Id, NodeKey), DoorError> {
        let item = crate::verified::item(raw, Profile::Strict)
            .map_err(|e| DoorError::new(ErrorKind::BadRequest, format!("body: not a valid data item: {e}")))?;
        let bad = |why: String| DoorError::new(ErrorKind::BadRequest, why);
        if item.tag(CRANK_TAG).is_some() {
            return Err(DoorError::new(
                ErrorKind::Forbidden,
                format!(
                    "tag {CRANK_TAG} marks messages that the network itself carries between processes: leave it out"
                ),
            ));
        }
        if let Some(tag) = cron::claims_tick(&item) {
            return Err(DoorError::new(ErrorKind::Forbidden, no_tick(tag)));
        }
        let (process, scheduler) = match purpose(&item).map_err(bad)? {
            Purpose::Process => {
                let scheduler = self.behind().directory.scheduler_for(&item).map_err(|e| bad(e.to_string()))?;
                self.check_module(&item).await?;
                (item.id(), scheduler)
            }
            Purpose::Message(target) => (target, self.locate(&target).await?.scheduler),
        };
        Ok((item, process, scheduler))
    }

    /// The module must be there and be one, before a process is bound to it for ever.
    async fn check_module(&self, item: &DataItem) -> Result<(), DoorError> {
        let id = item.tag("Module").and_then(|m| m.parse::<Id>().ok());
        let id = id.ok_or_else(|| DoorError::new(ErrorKind::BadRequest, "tag Module is no id"))?;
        match self.behind().compute.tools().machine.modules.inspect(id).await {
            Ok(()) => Ok(()),
            Err(Ok(why)) => Err(DoorError::new(ErrorKind::Unprocessable, why)),
            Err(Err(error @ ModuleError::NotFound(_))) => {
                Err(DoorError::new(ErrorKind::Unprocessable, error.to_string()))
            }
            Err(Err(error)) => Err(DoorError::new(ErrorKind::Unavailable, error.to_string())),
        }
    }

    /// So that every seat has it even if this node dies before it is sealed. Not needed for the order itself.
    async fn gossip(&self, process: Id, item: &DataItem) {
        if item.raw().len() > GOSSIPED_BYTES {
            return;
        }
        let body = Some(wire::gossip::Body::Message(item.raw().clone()));
        let topic = Topic::Messages(self.network().shard_of(process));
        if let Err(error) =
            self.behind().peers.network().publish(topic, wire::Gossip { body }.encode_to_vec().into()).await
        {
            tracing::debug!(%error, "item not gossiped");
        }
    }

    pub(super) async fn assign_item(
        &self,
        process: Id,
        tx: Id,
        exclude: Vec<String>,
        base_layer: bool,
    ) -> Result<Submitted, DoorError> {
        let scheduler = self.locate(&process).await?.scheduler;
        let request = wire::Assign { process: id_bytes(&process), tx: id_bytes(&tx), exclude, base_layer, proof: None };
        let sealed = again(|| self.behind().peers.assign(scheduler, request.clone())).await;
        let submitted = self.submitted(process, tx, &sealed.map_err(|e| call_error(&e))?)?;
        Ok(Submitted { id: submitted.assignment, ..submitted })
    }

    fn submitted(&self, process: Id, id: Id, sealed: &wire::Sealed) -> Result<Submitted, DoorError> {
        let assignment = DataItem::parse(sealed.assignment.clone(), Profile::Strict).map_err(|e| {
            DoorError::new(ErrorKind::BadGateway, format!("the scheduler's assignment cannot be read: {e}"))
        })?;
        self.remember(process, id, sealed.slot);
        self.remember(process, assignment.id(), sealed.slot);
        Ok(Submitted {
            id,
            process,
            slot: sealed.slot,
            assignment: assignment.id(),
            timestamp: sealed.timestamp_ms,
            duplicate: sealed.duplicate,
            level: Level::Sealed,
        })
    }

    pub(super) async fn upload_item(&self, raw: Bytes) -> Result<Id, DoorError> {
        let item = crate::verified::item(raw, Profile::Strict)
            .map_err(|e| DoorError::new(ErrorKind::BadRequest, format!("body: not a valid data item: {e}")))?;
        let id = item.id();
        self.gateway().upload(&item).await.map_err(|e| DoorError::new(ErrorKind::BadGateway, e.to_string()))?;
        Ok(id)
    }
}
