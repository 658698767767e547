//! Folding a process's log into its state: fetch, check, evaluate, sign, keep.

use std::sync::Arc;

use weft_protocol::{
    Id,
    ans104::{DataItem, Profile},
    assignment::{Assignment, Head},
    attestation::{Attestation, Subject, Verdict, signer_key},
    cron::Class,
    message::{Content, Party, env_json, message_json},
    network::Network,
    outcome::{Outcome, Progress, chain_next},
    refusal::Code,
    wire::{self, LogEntry, Refusal},
};

use super::{ComputeTools, Loaded, ModuleError, pool_fault, rebuild, store_fault, ticks::Ticks};
use crate::{
    assigned::reads_of,
    compute::{Engine, Evaluation, Job, Module, Reads},
    directory::Located,
    network::Topic,
    scheduler::{entry_content, id_bytes},
};

/// Slots evaluated with one flush at most.
const BATCH: u32 = 64;
/// Attestations in one gossip item.
const GOSSIPED: usize = 32;
/// Windows between two checkpoints on disk.
const SNAPSHOT_WINDOWS: u64 = 8;

/// Where the fold of one process stands in memory.
#[derive(Clone)]
pub struct Fold {
    /// The log up to which the live state has been evaluated.
    pub head: Head,
    /// Height the last assignment named.
    pub block_height: u64,
    /// The environment text.
    pub env: Arc<str>,
    /// The module.
    pub module: Arc<Loaded>,
    /// The process and its scheduler.
    pub(super) located: Located,
    ticks: Ticks,
}

/// A checked entry, ready to be shown to the module.
pub(super) struct Step {
    pub assignment: Assignment,
    pub item: DataItem,
    pub content: Content,
    pub reads: Arc<Reads>,
}

/// Evaluates the next slots of `process` up to `to_slot`, at most [`BATCH`]; how many there were.
pub async fn advance(
    tools: &ComputeTools,
    fold: &mut Option<Fold>,
    process: Id,
    to_slot: u64,
    entries: Vec<LogEntry>,
) -> Result<usize, Refusal> {
    let progress = tools.machine.store.progress(&process).map_err(store_fault)?;
    if fold.as_ref().is_none_or(|f| f.head.next_slot != progress.next_slot) {
        *fold = Some(resume(tools, process, &progress).await?);
    }
    let Some(state) = fold.as_mut() else { return Ok(0) };
    if !is_live(tools, state, &process) {
        let target = state.head.next_slot;
        rebuild::rebuild(tools, state, process, process, target).await?;
    }
    let given = !entries.is_empty();
    let steps = match next_steps(tools, state, &process, to_slot, entries).await {
        // What the messenger sent along may be wrong; the scheduler is the one to ask.
        Err(_) if given => {
            *state = resume(tools, process, &progress).await?;
            next_steps(tools, state, &process, to_slot, Vec::new()).await?
        }
        steps => steps?,
    };
    if steps.is_empty() {
        return Ok(0);
    }
    let count = steps.len();
    let done = evaluate_and_keep(tools, state, process, progress, steps).await;
    if done.is_err() {
        // The live state may be ahead of what was kept: drop both, the next request rebuilds them.
        forget(tools, process).await;
        *fold = None;
    }
    done.map(|()| count)
}

/// Drops the live state. A pool too busy for that is noticed by its slot: it is then rebuilt all the same.
pub async fn forget(tools: &ComputeTools, process: Id) {
    if let Err(error) = tools.machine.pool.drop_process(process).await {
        tracing::debug!(%process, %error, "live state not dropped");
    }
}

/// Whether the pool's live state (if the module has one) stands where the fold does.
fn is_live(tools: &ComputeTools, state: &Fold, process: &Id) -> bool {
    let stands = |module| tools.machine.pool.state_with(*process, module).unwrap_or(0);
    state.module.machine.as_ref().map_or(true, |module| stands(module) == state.head.next_slot)
}

/// The fold as the result store has it: the head follows from the last result's assignment.
pub(super) async fn resume(tools: &ComputeTools, process: Id, progress: &Progress) -> Result<Fold, Refusal> {
    let located = tools.directory.locate(&process).await.map_err(|e| e.refusal())?;
    let module = located.module().ok_or_else(|| Code::BadModule.refuse("the process names no module"))?;
    let module = tools.machine.modules.load(module).await.map_err(|error| match error {
        ModuleError::NotFound(_) => Code::Unavailable.refuse(error.to_string()),
        ModuleError::Unavailable { .. } => Code::Unavailable.refuse(error.to_string()),
    })?;
    let ticks = Ticks::new(tools, &located, progress.next_slot)?;
    let mut fold = Fold::at_start(&tools.network, &tools.machine.engine, located, &module, ticks);
    fold.stand(tools, process, progress.next_slot)?;
    Ok(fold)
}

impl Fold {
    /// A process before slot 0.
    pub(super) fn at_start(
        network: &Network,
        engine: &Engine,
        located: Located,
        module: &Loaded,
        ticks: Ticks,
    ) -> Self {
        let party = Party { owner: ticks.owner.clone(), ..Party::of(&located.item) };
        let module = module.within_limits(&party.tags, engine.profile());
        let env = env_json(&party, &module.party, &network.address()).into();
        Self { head: Head::empty(located.item.id()), block_height: 0, env, module, located, ticks }
    }

    /// Sets the head to just before `next_slot`, up to which this node has results.
    pub(super) fn stand(&mut self, tools: &ComputeTools, process: Id, next_slot: u64) -> Result<(), Refusal> {
        let Some(last) = next_slot.checked_sub(1) else {
            (self.head, self.block_height) = (Head::empty(process), 0);
            return Ok(());
        };
        let result = tools.machine.store.attested(&process, last).map_err(store_fault)?;
        let result =
            result.ok_or_else(|| Code::Internal.refuse(format!("result of slot {last} is missing from the store")))?;
        self.move_to(&result.assignment)
    }

    /// Sets the head to just after `assignment`, an item this node has checked before.
    pub(super) fn move_to(&mut self, assignment: &bytes::Bytes) -> Result<(), Refusal> {
        let broken =
            |e: &dyn std::fmt::Display| Code::Internal.refuse(format!("a stored assignment cannot be read: {e}"));
        let item = DataItem::parse(assignment.clone(), Profile::History).map_err(|e| broken(&e))?;
        let read = Assignment::read(&item).map_err(|e| broken(&e))?;
        self.head = Head {
            process: read.process,
            next_slot: read.slot.saturating_add(1),
            hash_chain: read.hash_chain,
            last_assignment: item.id(),
            timestamp: read.timestamp,
        };
        self.block_height = read.block_height;
        Ok(())
    }

    /// The process's crons.
    pub(super) fn crons(&self) -> Vec<(Class, u32)> {
        self.ticks.crons()
    }

    /// Ticks in slots before `end` are shown again: they need not be the next ones.
    pub(super) fn looking_back(&mut self, end: u64) {
        self.ticks.looking_back(end);
    }

    /// Checks an entry as the log's next one and moves the head past it.
    pub(super) fn check(&mut self, entry: LogEntry) -> Result<Step, Refusal> {
        let slot = self.head.next_slot;
        let bad =
            |why: String| Code::Unavailable.refuse(format!("the scheduler gave a bad entry for slot {slot}: {why}"));
        let item = crate::verified::item(entry.assignment.clone(), Profile::Strict).map_err(|e| bad(e.to_string()))?;
        let assignment = Assignment::read(&item).map_err(|e| bad(e.to_string()))?;
        if signer_key(&item) != Some(self.located.scheduler) {
            return Err(bad("its assignment is not signed by the process's scheduler".into()));
        }
        let mut content =
            entry_content(&entry, &assignment).ok_or_else(|| bad("it does not hold what was assigned".into()))?;
        let reads = reads_of(&entry, &assignment, &content);
        // What is refused changes nothing: the timetable moves last.
        let mut head = self.head.clone();
        head.advance(&assignment, item.id()).map_err(|e| bad(e.to_string()))?;
        self.ticks.check(&entry, &assignment, &mut content).map_err(bad)?;
        self.head = head;
        self.block_height = assignment.block_height;
        Ok(Step { assignment, item, content, reads })
    }
}

/// Checked entries from the head on: those given, else pulled from the scheduler.
pub(super) async fn next_steps(
    tools: &ComputeTools,
    state: &mut Fold,
    process: &Id,
    to_slot: u64,
    given: Vec<LogEntry>,
) -> Result<Vec<Step>, Refusal> {
    let from = state.head.next_slot;
    if from > to_slot {
        return Ok(Vec::new());
    }
    let wanted = u32::try_from(to_slot.saturating_sub(from).saturating_add(1)).unwrap_or(BATCH).min(BATCH);
    let fits = given.first().and_then(slot_of) == Some(from);
    let entries = if fits { given } else { pull(tools, state, process, to_slot).await? };
    let limit = usize::try_from(wanted).unwrap_or(1);
    entries.into_iter().take(limit).map(|entry| state.check(entry)).collect()
}

/// The scheduler's entries from the head on, up to `to_slot`, unchecked; at most [`BATCH`].
pub(super) async fn pull(
    tools: &ComputeTools,
    state: &Fold,
    process: &Id,
    to_slot: u64,
) -> Result<Vec<LogEntry>, Refusal> {
    let from = state.head.next_slot;
    if from > to_slot {
        return Ok(Vec::new());
    }
    let limit = u32::try_from(to_slot.saturating_sub(from).saturating_add(1)).unwrap_or(BATCH).min(BATCH);
    let query = wire::LogQuery { process: id_bytes(process), from_slot: from, limit, find: bytes::Bytes::new() };
    let page = tools.peers.log(state.located.scheduler, query).await;
    Ok(page.map_err(|e| Code::Unavailable.refuse(format!("the log cannot be read from its scheduler: {e}")))?.entries)
}

fn slot_of(entry: &LogEntry) -> Option<u64> {
    let item = DataItem::parse(entry.assignment.clone(), Profile::History).ok()?;
    Some(Assignment::read(&item).ok()?.slot)
}

fn jobs(tools: &ComputeTools, state: &Fold, steps: &[Step]) -> Vec<Job> {
    let network = tools.network.address();
    let job = |step: &Step| Job {
        slot: step.assignment.slot,
        msg_json: message_json(&step.content, &step.assignment, Some(&network)),
        env_json: state.env.clone(),
        reads: Arc::clone(&step.reads),
    };
    steps.iter().map(job).collect()
}

/// The outcome of an evaluation; a fault of this node is none.
pub fn outcome_of(done: &Evaluation) -> Result<Outcome, Refusal> {
    match &done.result {
        Ok(response) => Ok(Outcome::from_response(response, done.fuel)),
        Err(error) if error.kind.is_outcome() => Ok(Outcome::failed(error.message.clone().into(), done.fuel)),
        Err(error) => Err(Code::Internal.refuse(error.message.clone())),
    }
}

/// Runs steps on the live state.
pub(super) async fn run(
    tools: &ComputeTools,
    state: &Fold,
    process: Id,
    steps: &[Step],
) -> Result<Vec<Outcome>, Refusal> {
    let module: &Module = match &state.module.machine {
        Ok(module) => module,
        Err(why) => return Ok(steps.iter().map(|_| Outcome::failed(why.clone().into(), 0)).collect()),
    };
    let done = tools.machine.pool.run(process, module, jobs(tools, state, steps)).await.map_err(pool_fault)?;
    if done.len() != steps.len() {
        return Err(Code::Internal.refuse("the pool answered for fewer slots than it was given"));
    }
    done.iter().map(outcome_of).collect()
}

async fn evaluate_and_keep(
    tools: &ComputeTools,
    state: &Fold,
    process: Id,
    progress: Progress,
    steps: Vec<Step>,
) -> Result<(), Refusal> {
    let window = u64::from(tools.network.parameters().window.max(1));
    let mut chain = progress.chain;
    let mut results = Vec::with_capacity(steps.len());
    // A window's root is taken just after its last slot: batches are cut there.
    for part in steps.chunk_by(|step, _| (step.assignment.slot + 1) % window != 0) {
        let outcomes = run(tools, state, process, part).await?;
        let last = part.last().map_or(0, |step| step.assignment.slot);
        let root = match (last + 1) % window == 0 && state.module.machine.is_ok() {
            true => Some(window_root(tools, process, last + 1, window).await?),
            false => None,
        };
        for (step, outcome) in part.iter().zip(&outcomes) {
            let state_root = root.filter(|_| step.assignment.slot == last);
            let attestation = attest(tools, state, step, outcome, chain, state_root);
            chain = attestation.verdict.chain_after;
            let item = attestation.sign(&tools.signer).map_err(|e| Code::Internal.refuse(e.to_string()))?;
            results.push(wire::Result {
                process: id_bytes(&process),
                slot: step.assignment.slot,
                outcome: outcome.encode().into(),
                attestation: item.raw().clone(),
                assignment: step.item.raw().clone(),
            });
        }
    }
    tools.machine.store.put(&results).await.map_err(store_fault)?;
    tell(tools, process, &results).await;
    Ok(())
}

/// The state root just before `next_slot`, at the end of a window. Every few windows the state itself is kept as well: taken
/// here, at a slot whose root is then signed, it can be used later.
async fn window_root(tools: &ComputeTools, process: Id, next_slot: u64, window: u64) -> Result<Id, Refusal> {
    let pool = &tools.machine.pool;
    if !next_slot.is_multiple_of(window.saturating_mul(SNAPSHOT_WINDOWS)) {
        return Ok(pool.root(process).await.map_err(pool_fault)?.1);
    }
    let (at, snapshot) = pool.snapshot(process).await.map_err(pool_fault)?;
    let root = snapshot.root();
    tools.machine.checkpoints.keep(process, at, snapshot);
    Ok(root)
}

pub(super) fn attest(
    tools: &ComputeTools,
    state: &Fold,
    step: &Step,
    outcome: &Outcome,
    chain: Id,
    root: Option<Id>,
) -> Attestation {
    let hash = outcome.hash();
    Attestation {
        subject: Subject {
            network: tools.network.id(),
            process: step.assignment.process,
            slot: step.assignment.slot,
            message: step.assignment.message,
            assignment: step.item.id(),
            module: state.module.party.id,
            profile: tools.machine.engine.profile().id(),
        },
        verdict: Verdict {
            outcome: hash,
            chain_before: chain,
            chain_after: chain_next(&chain, &step.item.id(), &hash),
            outbox_root: outcome.outbox_root(),
            fuel: outcome.fuel,
            state_root: root,
        },
        pushed_for: step.assignment.terms.pushed_for.unwrap_or(step.assignment.message),
        scheduler: state.located.item.tag("Scheduler").unwrap_or_default().to_owned(),
        cast: step.assignment.terms.cast.is_some(),
    }
}

/// Attestations go out by gossip; a lost one costs nothing. (The anchor takes them from the store, see `feeder.rs`.)
async fn tell(tools: &ComputeTools, process: Id, results: &[wire::Result]) {
    use prost::Message as _;
    // A gossip item holds 64 KiB; an attestation is about 1.2.
    for part in results.chunks(GOSSIPED) {
        let attestations = part.iter().map(|r| r.attestation.clone()).collect();
        let body = Some(wire::gossip::Body::Attestations(wire::Attestations { attestations }));
        let data = wire::Gossip { body }.encode_to_vec().into();
        if let Err(error) = tools.peers.network().publish(Topic::Attestations, data).await {
            tracing::debug!(%error, "attestations not gossiped");
        }
    }
    let last = results.last().map(|r| r.slot);
    tools.activity.note("attested", Some(process), last, format!("{} slot(s) evaluated and signed", results.len()));
}

#[cfg(test)]
mod tests;
