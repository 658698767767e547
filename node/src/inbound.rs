//! The inbound router: every request and every gossip item that reaches this node, to the service it is for.
//!
//! Where it sits: between `network/` and the services. One loop takes from the network's bounded queue and starts a task for
//! each, at most `AT_ONCE` at a time; gossip is checked before it is passed on.

use std::{sync::Arc, time::Duration};

use prost::Message as _;
use tokio::sync::{Semaphore, mpsc};
use weft_protocol::{
    Id,
    ans104::{DataItem, Profile},
    assignment::Assignment,
    attestation::{Attestation, signer_key},
    keys::NodeKey,
    network::Role,
    refusal::Code,
    wire::{self, Refusal, gossip, request::Body as Ask, response::Body as Answer},
};

use crate::{
    compute::service::ComputeHandle,
    directory::Directory,
    intake::{self, Intake, Purpose},
    market::{Judgement, MarketHandle},
    messenger::MessengerHandle,
    network::{Inbound, Topic, Verdict},
    scheduler::{LogStore, id_bytes, key_bytes},
};

/// Requests and gossip items handled at the same time; the next waits in the network's queue.
const AT_ONCE: usize = 512;

/// How long the node that took an item from its client has to have it ordered.
const ORDER_AFTER: Duration = Duration::from_secs(2);
/// Gossiped items kept for that long at most.
pub const LATER: usize = 1_024;

/// The services that requests go to. Cheap to clone.
#[derive(Clone)]
pub struct Services {
    /// Orders items.
    pub intake: Intake,
    /// The logs kept here.
    pub log: LogStore,
    /// Outcomes and dry runs.
    pub messenger: MessengerHandle,
    /// Evaluation.
    pub compute: ComputeHandle,
    /// Quotes and leases.
    pub market: MarketHandle,
    /// Who orders what.
    pub directory: Directory,
    /// This node.
    pub me: NodeKey,
    /// Room for gossiped items that may have to be ordered later.
    pub later: Arc<Semaphore>,
}

/// Runs until the network ends.
pub async fn run(mut inbound: mpsc::Receiver<Inbound>, services: Services) {
    let room = Arc::new(Semaphore::new(AT_ONCE));
    while let Some(one) = inbound.recv().await {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let services = services.clone();
        tokio::spawn(async move {
            match one {
                Inbound::Request { from, request, reply } => {
                    // Whoever waits for a result or an evaluation must not take the place of whoever orders.
                    let _permit = (!waits(&request)).then_some(permit);
                    reply.send(services.answer(from, request).await);
                }
                Inbound::Gossip { topic, data, verdict, .. } => {
                    let _permit = permit;
                    services.on_gossip(topic, data, verdict).await;
                }
            }
        });
    }
}

/// Requests that may be held back for long; the network bounds how many there are.
fn waits(request: &wire::Request) -> bool {
    matches!(request.body, Some(Ask::Result(_) | Ask::Eval(_) | Ask::DryRun(_) | Ask::State(_) | Ask::Assign(_)))
}

impl Services {
    async fn answer(&self, from: NodeKey, request: wire::Request) -> wire::Response {
        let Some(body) = request.body else {
            return refused(Code::BadItem.refuse("the request is empty"));
        };
        let answer = match body {
            Ask::Submit(submit) => self.intake.submit(submit).await.map(Answer::Sealed),
            Ask::Assign(assign) => self.intake.assign(assign).await.map(Answer::Sealed),
            Ask::Log(query) => self.log_page(&query).map(Answer::Log),
            Ask::Heads(query) => self.heads(&query).map(Answer::Heads),
            Ask::Item(query) => self.item(&query).map(Answer::Item),
            Ask::Process(query) => self.process(&query).map(Answer::Process),
            Ask::Result(query) => self.messenger.result(&query).await.map(Answer::Result),
            Ask::Results(query) => self.messenger.results(&query).map(Answer::Results),
            Ask::Eval(eval) => self.compute.eval(from, eval).await.map(Answer::Eval),
            Ask::DryRun(query) if query.lease.is_empty() => self.messenger.dry_run(query).await.map(Answer::DryRun),
            Ask::DryRun(query) => self.compute.dry_run(from, query).await.map(Answer::DryRun),
            Ask::State(query) if query.lease.is_empty() => self.messenger.state(query).await.map(Answer::State),
            Ask::State(query) => self.compute.state(from, query).await.map(Answer::State),
            body @ (Ask::Quote(_) | Ask::Award(_)) => {
                return self.market.serve(from, wire::Request { body: Some(body) }).await;
            }
        };
        match answer {
            Ok(body) => wire::Response { body: Some(body) },
            Err(refusal) => refused(refusal),
        }
    }

    fn log_page(&self, query: &wire::LogQuery) -> Result<wire::LogPage, Refusal> {
        let process = id("process", &query.process)?;
        let fault = |e: weft_storage::store::StoreError| Code::Internal.refuse(e.to_string());
        if query.find.is_empty() {
            let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
            let page = self.log.page(&process, query.from_slot, limit).map_err(fault)?;
            return if page.next_slot == 0 { Err(unknown(&process)) } else { Ok(page) };
        }
        let find = id("find", &query.find)?;
        let next_slot = self.log.head(&process).map_err(fault)?.ok_or_else(|| unknown(&process))?.next_slot;
        let slot = self.log.slot_of(&process, &find).map_err(fault)?;
        let slot = slot
            .ok_or_else(|| Code::NotFound.refuse(format!("process {process} has no message or assignment {find}")))?;
        let entries = self.log.entry(&process, slot).map_err(fault)?.into_iter().collect();
        Ok(wire::LogPage { entries, next_slot })
    }

    fn heads(&self, query: &wire::HeadsQuery) -> Result<wire::Heads, Refusal> {
        let limit = usize::try_from(query.limit).unwrap_or(1).clamp(1, 1_000);
        let heads = self.log.heads(Id::from_slice(&query.after).as_ref(), limit);
        let heads = heads.map_err(|e| Code::Internal.refuse(e.to_string()))?;
        let more = heads.len() == limit;
        let heads =
            heads.iter().map(|h| wire::Head { process: id_bytes(&h.process), next_slot: h.next_slot }).collect();
        Ok(wire::Heads { heads, more })
    }

    fn item(&self, query: &wire::ItemQuery) -> Result<wire::Item, Refusal> {
        let id = id("id", &query.id)?;
        let item = self.log.item(&id).map_err(|e| Code::Internal.refuse(e.to_string()))?;
        item.map(|item| wire::Item { item })
            .ok_or_else(|| Code::NotFound.refuse(format!("no item {id} in a log kept here")))
    }

    fn process(&self, query: &wire::ProcessQuery) -> Result<wire::Process, Refusal> {
        let process = id("process", &query.process)?;
        let fault = |e: weft_storage::store::StoreError| Code::Internal.refuse(e.to_string());
        let head = self.log.head(&process).map_err(fault)?.ok_or_else(|| unknown(&process))?;
        let entry = self.log.entry(&process, 0).map_err(fault)?.ok_or_else(|| unknown(&process))?;
        Ok(wire::Process {
            item: entry.item,
            assignment: entry.assignment,
            scheduler: key_bytes(&self.me),
            next_slot: head.next_slot,
        })
    }

    async fn on_gossip(&self, topic: Topic, data: bytes::Bytes, verdict: Verdict) {
        let judgement = match wire::Gossip::decode(data).map(|g| g.body) {
            Ok(Some(body)) => self.judge(topic, body).await,
            Ok(None) | Err(_) => Judgement::Reject,
        };
        match judgement {
            Judgement::Accept => verdict.accept(),
            Judgement::Ignore => verdict.ignore(),
            Judgement::Reject => verdict.reject(),
        }
    }

    async fn judge(&self, topic: Topic, body: gossip::Body) -> Judgement {
        match (topic, body) {
            (Topic::Messages(shard), gossip::Body::Message(raw)) => self.on_message(shard, raw),
            (Topic::Sealed(shard), gossip::Body::Sealed(batch)) => self.on_sealed(shard, batch),
            (Topic::Attestations, gossip::Body::Attestations(all)) => self.on_attestations(&all),
            (Topic::Market, gossip::Body::Offer(offer)) => self.market.on_offer(offer).await,
            (Topic::Market, gossip::Body::Award(award)) => self.market.on_award(award).await,
            _ => Judgement::Reject,
        }
    }

    /// A message on its way: checked, passed on, and ordered at once if it is for a process of this scheduler.
    fn on_message(&self, shard: u16, raw: bytes::Bytes) -> Judgement {
        let Ok(item) = crate::verified::item(raw, Profile::Strict) else { return Judgement::Reject };
        let process = match intake::purpose(&item) {
            Ok(Purpose::Message(target)) => target,
            Ok(Purpose::Process) => item.id(),
            Err(_) => return Judgement::Reject,
        };
        if self.directory.network().shard_of(process) != shard {
            return Judgement::Reject;
        }
        let ours = match intake::purpose(&item) {
            Ok(Purpose::Process) => self.directory.scheduler_for(&item).is_ok_and(|key| key == self.me),
            _ => self.log.head(&process).is_ok_and(|head| head.is_some()),
        };
        if ours {
            self.order_later(process, item);
        }
        Judgement::Accept
    }

    /// Orders a gossiped item if the node that took it from its client has not had it ordered within [`ORDER_AFTER`]: then
    /// that node has died in between. Beyond [`LATER`] such items are left to their clients.
    fn order_later(&self, process: Id, item: DataItem) {
        let Ok(permit) = Arc::clone(&self.later).try_acquire_owned() else { return };
        let (intake, log) = (self.intake.clone(), self.log.clone());
        tokio::spawn(async move {
            let _permit = permit;
            tokio::time::sleep(ORDER_AFTER).await;
            if log.slot_of(&process, &item.id()).is_ok_and(|slot| slot.is_some()) {
                return;
            }
            if let Err(refusal) = intake.submit(wire::Submit { item: item.raw().clone(), proof: None }).await {
                tracing::debug!(reason = refusal.reason, "gossiped item not ordered");
            }
        });
    }

    /// A sealed batch: every assignment must be signed by the scheduler it names, for this process; and that scheduler must
    /// be the process's own, as far as this node knows the process.
    fn on_sealed(&self, shard: u16, batch: wire::SealedBatch) -> Judgement {
        let (Some(process), Some(scheduler)) = (Id::from_slice(&batch.process), NodeKey::from_slice(&batch.scheduler))
        else {
            return Judgement::Reject;
        };
        let network = self.directory.network();
        let is_scheduler = network.member(&scheduler).is_some_and(|m| m.roles.contains(&Role::Scheduler));
        if network.shard_of(process) != shard || !is_scheduler {
            return Judgement::Reject;
        }
        for entry in &batch.entries {
            let Ok(item) = crate::verified::item(entry.assignment.clone(), Profile::Strict) else {
                return Judgement::Reject;
            };
            let Ok(assignment) = Assignment::read(&item) else { return Judgement::Reject };
            if signer_key(&item) != Some(scheduler) || assignment.process != process {
                return Judgement::Reject;
            }
            if assignment.slot == 0 && self.directory.learn(entry.item.clone(), entry.assignment.clone()).is_none() {
                return Judgement::Ignore;
            }
        }
        match self.directory.known(&process) {
            Some(located) if located.scheduler != scheduler => Judgement::Reject,
            Some(_) => {
                batch.entries.iter().filter(|entry| is_whole(entry)).for_each(|entry| {
                    crate::node::add_fresh(&self.intake.finder.fresh, entry);
                });
                self.messenger.sealed_if_on_duty(process, &scheduler, batch.next_slot, batch.entries);
                Judgement::Accept
            }
            // Whoever is on duty for it asks the scheduler (the sweep) instead of believing this.
            None => Judgement::Ignore,
        }
    }

    /// Attestations must be signed by compute nodes of the registry, for this network.
    fn on_attestations(&self, all: &wire::Attestations) -> Judgement {
        let network = self.directory.network();
        for raw in &all.attestations {
            let Ok(item) = crate::verified::item(raw.clone(), Profile::Strict) else { return Judgement::Reject };
            let Ok(attestation) = Attestation::read(&item) else { return Judgement::Reject };
            let member = signer_key(&item).and_then(|key| network.member(&key));
            let may = member.is_some_and(|m| m.roles.contains(&Role::Compute));
            if !may || attestation.subject.network != network.id() {
                return Judgement::Reject;
            }
        }
        Judgement::Accept
    }
}

/// Whether the item of an entry whose assignment was checked is the one assigned, and signed.
fn is_whole(entry: &wire::LogEntry) -> bool {
    let assignment = DataItem::parse(entry.assignment.clone(), Profile::Strict).ok();
    let assignment = assignment.and_then(|item| Assignment::read(&item).ok());
    let item = crate::verified::item(entry.item.clone(), Profile::Strict).ok();
    assignment.is_some_and(|assignment| item.is_some_and(|item| item.id() == assignment.message))
}

fn id(field: &str, bytes: &[u8]) -> Result<Id, Refusal> {
    Id::from_slice(bytes).ok_or_else(|| Code::BadItem.refuse(format!("`{field}` is not 32 bytes")))
}

fn unknown(process: &Id) -> Refusal {
    Code::UnknownProcess.refuse(format!("process {process} has no log on this scheduler"))
}

fn refused(refusal: Refusal) -> wire::Response {
    wire::Response { body: Some(Answer::Refusal(refusal)) }
}
