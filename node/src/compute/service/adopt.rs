//! Taking a process over at a checkpoint from Arweave instead of evaluating its log from slot 0.
//!
//! Where it sits: asked by the service when a process is wanted far beyond what this node has evaluated. A checkpoint is
//! used when all of this holds (`weft_protocol::checkpoint` has the first three):
//! 1. its item is signed by a provider in the network's registry;
//! 2. it is of this process, its module and this node's engine profile;
//! 3. as many registered providers attest slot, assignment, outcome chain and state root as the network's quorum asks for;
//! 4. the scheduler's log has that assignment in that slot (by its hash chain it covers all before);
//! 5. the messenger that asks holds an attestation of that slot with the same outcome chain and the same root: that of the
//!    provider which had the lease then;
//! 6. the state has that root, hashed here.
//!
//! With a quorum of 1, the usual one, the state is in the end the word of the provider that had the lease: the same
//! word that the crank goes by. Whatever is wrong is said, and the next one is tried, at last the log from slot 0.
//!
//! Results of slots before the checkpoint are then not there. Who asks for them has them evaluated from the log (`fill.rs`),
//! and when that comes to the checkpoint it must have the same chain and root.

use std::{
    collections::BTreeSet,
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use lru::LruCache;
use serde_json::{Value, json};
use weft_protocol::{
    Id,
    ans104::{Profile, Tag},
    assignment::Assignment,
    attestation::{Attestation, signer_key},
    checkpoint::{Checkpoint, Claim, TYPE, Wanted},
    keys::NodeKey,
    network::{Network, Role},
    outcome::Progress,
    wire,
};
use weft_storage::arweave::gateway::Gateway;

use super::{ComputeTools, fold, store::tick_of};
use crate::{clock::now_ms, compute::Snapshot, scheduler::id_bytes};

/// Checkpoints looked at for one process at most.
const ROWS: usize = 8;
/// Providers named in one question at most: gateways bound it.
const OWNERS: usize = 100;
/// After this a process is looked up again.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// Processes whose last look is remembered.
const KNOWN: NonZeroUsize = crate::bounds::at_least_one(10_000);
/// Bytes of a checkpoint item besides the state, about.
const BESIDES: usize = 64 << 10;
/// Slots of a page when looking for the last ticks of a process's crons, and pages at most.
const PAGE: u64 = 64;
const PAGES: usize = 1_000;
/// How long the messenger is waited for.
const ONE_ASK: Duration = Duration::from_secs(10);

const QUERY: &str = "query($tags:[TagFilter!]!,$owners:[String!]!,$first:Int!){transactions(tags:$tags,owners:$owners,\
                     first:$first,sort:HEIGHT_DESC){edges{node{id tags{name value}}}}}";

/// Where checkpoints of others are looked for. Cheap to clone.
#[derive(Clone)]
pub struct Shelf {
    gateway: Gateway,
    max_bytes: usize,
    looked: Arc<Mutex<LruCache<Id, Instant>>>,
}

impl Shelf {
    /// Looks through `gateway`; states of more than `max_bytes` are left alone (0: nothing is looked for).
    pub fn new(gateway: Gateway, max_bytes: usize) -> Self {
        Self { gateway, max_bytes, looked: Arc::new(Mutex::new(LruCache::new(KNOWN))) }
    }

    /// Whether it is time to look for checkpoints of `process`; then it is not, for a while.
    fn is_time(&self, process: &Id) -> bool {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = looked.get(process).is_some_and(|at| at.elapsed() < LOOK_AGAIN);
        if !fresh {
            looked.put(*process, Instant::now());
        }
        !fresh && self.max_bytes > 0
    }
}

/// Addresses of a network's providers, as many as a gateway can be asked for at once.
pub fn providers(network: &Network) -> Vec<Id> {
    network.members(Role::Compute).map(|member| member.key.address()).take(OWNERS).collect()
}

/// Checkpoint items of `process` by these owners, newest first, with what their tags claim.
///
/// # Errors
/// Why the gateway could not be asked.
pub async fn find_checkpoints(gateway: &Gateway, process: &Id, owners: &[Id]) -> Result<Vec<(Id, Claim)>, String> {
    let tag = |name: &str, value: String| json!({ "name": name, "values": [value] });
    let tags = [tag("Type", TYPE.to_owned()), tag("Process", process.to_string())];
    let variables = json!({ "tags": tags, "owners": owners, "first": ROWS });
    let answer = gateway.graphql(QUERY, variables).await.map_err(|error| error.to_string())?;
    let edges = answer.pointer("/transactions/edges").and_then(Value::as_array);
    let row = |edge: &Value| {
        let node = edge.get("node")?;
        let id = node.get("id")?.as_str()?.parse().ok()?;
        let tags: Vec<Tag> = serde_json::from_value(node.get("tags")?.clone()).ok()?;
        Some((id, Claim::read(&tags).ok()?))
    };
    Ok(edges.into_iter().flatten().take(ROWS).filter_map(row).collect())
}

/// Looks for a checkpoint of `process` that spares this node at least a window of the slots before `wanted`, for the
/// messenger `from`, and begins there; whether it did. The caller holds the process and then reads its fold anew.
pub async fn adopt(tools: &ComputeTools, from: NodeKey, process: Id, wanted: u64) -> bool {
    let window = u64::from(tools.network.parameters().window.max(1));
    let Ok(progress) = tools.machine.store.progress(&process) else { return false };
    let worth = progress.next_slot.saturating_add(window)..wanted;
    if worth.is_empty() || !tools.machine.shelf.is_time(&process) {
        return false;
    }
    let owners = providers(&tools.network);
    let found = match Box::pin(find_checkpoints(&tools.machine.shelf.gateway, &process, &owners)).await {
        Ok(found) => found,
        Err(error) => {
            tracing::debug!(%process, error, "checkpoints are out of reach; the log is evaluated");
            return false;
        }
    };
    for (id, claim) in found {
        if !worth.contains(&claim.slot.saturating_add(1)) && claim.slot.saturating_add(1) != wanted {
            continue;
        }
        match Box::pin(begin_at(tools, from, process, progress, (id, claim))).await {
            Ok(slot) => {
                let text = format!("state taken from checkpoint {id}: {} slots need no evaluation", slot + 1);
                tracing::info!(%process, slot, checkpoint = %id, "process taken over at a checkpoint");
                tools.activity.note("adopted", Some(process), Some(slot), text);
                return true;
            }
            Err(why) => {
                tracing::warn!(%process, checkpoint = %id, why, "checkpoint not used");
                let text = format!("checkpoint {id} not used: {why}");
                tools.activity.note("refused", Some(process), Some(claim.slot), text);
            }
        }
    }
    false
}

/// Checks a checkpoint and makes it this process's state and the place where its results go on; its slot.
async fn begin_at(
    tools: &ComputeTools,
    from: NodeKey,
    process: Id,
    progress: Progress,
    (id, found_as): (Id, Claim),
) -> Result<u64, String> {
    let shelf = &tools.machine.shelf;
    let fetched = shelf.gateway.fetch_within(&id, shelf.max_bytes.saturating_add(BESIDES)).await;
    let fetched = fetched.map_err(|error| error.to_string())?;
    let checkpoint = Checkpoint::read(&fetched.tags, &fetched.data).map_err(|error| error.to_string())?;
    let state = fold::resume(tools, process, &progress).await.map_err(|refusal| refusal.reason)?;
    let module = state.module.machine.clone()?;
    let wanted = Wanted { process, module: state.module.party.id, profile: tools.machine.engine.profile().id() };
    checkpoint.check(&tools.network, fetched.owner, &wanted).map_err(|error| error.to_string())?;
    let claim = checkpoint.claim;
    // What is worth it was decided by what the gateway said of it.
    if claim != found_as {
        return Err("the gateway named other tags than it has".to_owned());
    }
    let snapshot = Snapshot::from_bytes(checkpoint.state.clone()).map_err(|error| error.to_string())?;
    if snapshot.root() != claim.state_root {
        return Err("its state has another root than was attested".to_owned());
    }
    let entry = logged(tools, state.located.scheduler, process, claim.slot, 1).await?.into_iter().next();
    let (assignment, ordered) = entry.ok_or("the scheduler's log does not have its slot")?;
    if ordered != claim.assignment {
        return Err("the scheduler's log has another assignment in its slot".to_owned());
    }
    stands_in_book(tools, from, &claim).await?;
    let ticks = last_ticks(tools, &state, process, progress.next_slot, claim.slot).await?;
    let next = claim.slot.checked_add(1).ok_or("its slot is the last there can be")?;
    let restored = tools.machine.pool.restore(process, &module, snapshot.clone(), next).await;
    restored.map_err(|error| error.to_string())?;
    let floor = wire::Result {
        process: id_bytes(&process),
        slot: claim.slot,
        attestation: checkpoint.attestations.first().map(|item| item.raw().clone()).unwrap_or_default(),
        assignment,
        ..wire::Result::default()
    };
    // Who uploaded it has done so for this node as well.
    tools.machine.checkpoints.set_published(&process, next, now_ms());
    tools.machine.checkpoints.keep(process, next, snapshot);
    tools.machine.store.put_floor(&process, floor, ticks).await.map_err(|error| error.to_string())?;
    Ok(claim.slot)
}

/// The messenger's own attestation of the slot must say the same of chain and root.
async fn stands_in_book(tools: &ComputeTools, messenger: NodeKey, claim: &Claim) -> Result<(), String> {
    let query =
        wire::ResultQuery { process: id_bytes(&claim.process), slot: claim.slot, ..wire::ResultQuery::default() };
    let asked = tokio::time::timeout(ONE_ASK, tools.peers.result(messenger, query)).await;
    let result = asked.map_err(|_| "the messenger did not say in time what was attested for its slot".to_owned())?;
    let result =
        result.map_err(|error| format!("the messenger does not say what was attested for its slot: {error}"))?;
    let item = crate::verified::item(result.attestation, Profile::Strict).map_err(|error| error.to_string())?;
    let held = Attestation::read(&item).map_err(|error| error.to_string())?;
    let network = &tools.network;
    let by_provider = signer_key(&item)
        .is_some_and(|key| network.member(&key).is_some_and(|member| member.roles.contains(&Role::Compute)));
    match Claim::of(&held) {
        Some(same) if by_provider && same == *claim => Ok(()),
        _ => Err("the attestation that the messenger holds for its slot says something else".to_owned()),
    }
}

/// Assignments from `from` on as their scheduler has signed them, with their ids: raw bytes and id.
async fn logged(
    tools: &ComputeTools,
    scheduler: NodeKey,
    process: Id,
    from: u64,
    count: u64,
) -> Result<Vec<(bytes::Bytes, Id)>, String> {
    let limit = u32::try_from(count).unwrap_or(u32::MAX);
    let query = wire::LogQuery { process: id_bytes(&process), from_slot: from, limit, find: bytes::Bytes::new() };
    let page = tools.peers.log(scheduler, query).await;
    let page = page.map_err(|error| format!("the log cannot be read from its scheduler: {error}"))?;
    let mut out = Vec::new();
    for (slot, entry) in (from..from.saturating_add(count)).zip(page.entries) {
        let item = crate::verified::item(entry.assignment.clone(), Profile::Strict).map_err(|e| e.to_string())?;
        let read = Assignment::read(&item).map_err(|e| e.to_string())?;
        if signer_key(&item) != Some(scheduler) || read.process != process || read.slot != slot {
            return Err(format!("the scheduler gave a bad entry for slot {slot}"));
        }
        out.push((entry.assignment, item.id()));
    }
    Ok(out)
}

/// The last tick of each of the process's crons in slots `first` to `last`, read backwards in the log.
async fn last_ticks(
    tools: &ComputeTools,
    state: &fold::Fold,
    process: Id,
    first: u64,
    last: u64,
) -> Result<Vec<wire::Result>, String> {
    let mut open: BTreeSet<_> = state.crons().into_iter().collect();
    let (mut found, mut end) = (Vec::new(), last.saturating_add(1));
    for _ in 0..PAGES {
        if open.is_empty() || end <= first {
            return Ok(found);
        }
        let begin = end.saturating_sub(PAGE).max(first);
        let mut page = Vec::new();
        while begin.saturating_add(page.len() as u64) < end {
            let from = begin.saturating_add(page.len() as u64);
            let more = logged(tools, state.located.scheduler, process, from, end.saturating_sub(from)).await?;
            if more.is_empty() {
                return Err("the scheduler's log is shorter than the checkpoint".to_owned());
            }
            page.extend(more);
        }
        for (assignment, _) in page.into_iter().rev() {
            let Some(tick) = tick_of(&assignment) else { continue };
            if open.remove(&(tick.class, tick.index)) {
                found.push(wire::Result { process: id_bytes(&process), assignment, ..wire::Result::default() });
            }
        }
        end = begin;
    }
    Err("the last ticks of its crons are too far back in the log".to_owned())
}
