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
    outcome::{Outcome, Progress, Written, chain_next, chain_start},
    refusal::Code,
    wire::{self, LogEntry, Refusal},
};

use super::{
    ComputeTools, Loaded, ModuleError,
    keep::{self, Evaluated, Keeper},
    pool_fault, rebuild, store_fault,
    ticks::Ticks,
};
use crate::{
    assigned::reads_of,
    compute::{Engine, Evaluation, Job, Module, Reads},
    directory::Located,
    scheduler::{entry_content, id_bytes},
};

/// Slots evaluated with one flush at most.
const BATCH: u32 = 64;
/// Windows between two checkpoints on disk.
const SNAPSHOT_WINDOWS: u64 = 8;

/// Where the fold of one process stands in memory.
#[derive(Clone)]
pub struct Fold {
    /// The log up to which the live state has been evaluated.
    pub head: Head,
    /// The outcome chain there.
    pub chain: Id,
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

/// One process here: where it stands, and what of it is being kept.
#[derive(Default)]
pub struct Held {
    /// `None` when it has to be read from the store.
    pub fold: Option<Fold>,
    /// Keeps what was evaluated.
    pub(super) keeper: Keeper,
}

impl Held {
    /// The slot to evaluate next.
    pub async fn next_slot(&self, tools: &ComputeTools, process: &Id) -> Result<u64, Refusal> {
        match &self.fold {
            Some(fold) => Ok(fold.head.next_slot),
            None => {
                self.keeper.settled().await;
                Ok(tools.machine.store.progress(process).map_err(store_fault)?.next_slot)
            }
        }
    }

    /// The fold as it stands; taken out, so that a fold left behind half-way is never used again.
    async fn take(&mut self, tools: &ComputeTools, process: Id) -> Result<Fold, Refusal> {
        match self.fold.take() {
            Some(fold) => Ok(fold),
            None => self.reread(tools, process).await,
        }
    }

    async fn reread(&self, tools: &ComputeTools, process: Id) -> Result<Fold, Refusal> {
        self.keeper.settled().await;
        let progress = tools.machine.store.progress(&process).map_err(store_fault)?;
        resume(tools, process, &progress).await
    }
}

/// Evaluates the next slots of `process` up to `to_slot`, at most [`BATCH`]; how many there were. They are being kept when
/// this returns: [`Keeper::kept`] waits for it.
pub async fn advance(
    tools: &Arc<ComputeTools>,
    held: &mut Held,
    process: Id,
    to_slot: u64,
    entries: Vec<LogEntry>,
) -> Result<usize, Refusal> {
    let mut state = held.take(tools, process).await?;
    if !is_live(tools, &state, &process) {
        let target = state.head.next_slot;
        rebuild::rebuild(tools, &mut state, process, process, target).await?;
    }
    let given = !entries.is_empty();
    let steps = match next_steps(tools, &mut state, &process, to_slot, entries).await {
        // What the messenger sent along may be wrong; the scheduler is the one to ask.
        Err(_) if given => {
            state = held.reread(tools, process).await?;
            next_steps(tools, &mut state, &process, to_slot, Vec::new()).await?
        }
        steps => steps?,
    };
    let count = steps.len();
    if count > 0
        && let Err(refusal) = evaluate_and_keep(tools, &mut state, &held.keeper, process, steps).await
    {
        // The live state may be ahead of what was kept: drop both, the next request rebuilds them.
        forget(tools, process).await;
        return Err(refusal);
    }
    held.fold = Some(state);
    Ok(count)
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
    fold.chain = progress.chain;
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
        let process = located.item.id();
        let (head, chain) = (Head::empty(process), chain_start(&process));
        Self { head, chain, block_height: 0, env, module, located, ticks }
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
    let wanted = wanted.min(until_checkpoint(from, window(tools)));
    let fits = given.first().and_then(slot_of) == Some(from);
    let entries = if fits { given } else { pull(tools, state, process, to_slot).await? };
    let limit = usize::try_from(wanted).unwrap_or(1);
    entries.into_iter().take(limit).map(|entry| state.check(entry)).collect()
}

/// Slots from `from` on up to where a checkpoint is due.
fn until_checkpoint(from: u64, window: u64) -> u32 {
    let every = window.saturating_mul(SNAPSHOT_WINDOWS).max(1);
    let past = from.checked_rem(every).unwrap_or(0);
    u32::try_from(every.saturating_sub(past)).unwrap_or(u32::MAX)
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

/// Slots in a window, which ends with a state root.
fn window(tools: &ComputeTools) -> u64 {
    u64::from(tools.network.parameters().window.max(1))
}

fn jobs(tools: &ComputeTools, state: &Fold, steps: &[Step]) -> Vec<Job> {
    let (network, window) = (tools.network.address(), window(tools));
    let job = |step: &Step| Job {
        slot: step.assignment.slot,
        msg_json: message_json(&step.content, &step.assignment, Some(&network)),
        env_json: state.env.clone(),
        reads: Arc::clone(&step.reads),
        root: step.assignment.slot.saturating_add(1).is_multiple_of(window),
    };
    steps.iter().map(job).collect()
}

/// The outcome of an evaluation; a fault of this node is none.
pub fn outcome_of(done: Evaluation) -> Result<Written, Refusal> {
    match done.result {
        Ok(response) => Ok(Written::of_response(response, done.fuel)),
        Err(error) if error.kind.is_outcome() => Ok(Written::of(Outcome::failed(error.message.into(), done.fuel))),
        Err(error) => Err(Code::Internal.refuse(error.message)),
    }
}

/// Runs steps on the live state: the outcome of each, and at the end of a window the state root.
pub(super) async fn run(
    tools: &ComputeTools,
    state: &Fold,
    process: Id,
    steps: &[Step],
) -> Result<Vec<(Written, Option<Id>)>, Refusal> {
    let module: &Module = match &state.module.machine {
        Ok(module) => module,
        Err(why) => {
            let failed = Written::of(Outcome::failed(why.clone().into(), 0));
            return Ok(steps.iter().map(|_| (failed.clone(), None)).collect());
        }
    };
    let done = tools.machine.pool.run(process, module, jobs(tools, state, steps)).await.map_err(pool_fault)?;
    if done.len() != steps.len() {
        return Err(Code::Internal.refuse("the pool answered for fewer slots than it was given"));
    }
    done.into_iter().map(|one| (one.root, one)).map(|(root, one)| Ok((outcome_of(one)?, root))).collect()
}

async fn evaluate_and_keep(
    tools: &Arc<ComputeTools>,
    state: &mut Fold,
    keeper: &Keeper,
    process: Id,
    steps: Vec<Step>,
) -> Result<(), Refusal> {
    let outcomes = run(tools, state, process, &steps).await?;
    let mut batch = Vec::with_capacity(steps.len());
    for (step, (outcome, root)) in steps.into_iter().zip(outcomes) {
        let attestation = attest(tools, state, &step, &outcome, state.chain, root);
        state.chain = attestation.verdict.chain_after;
        batch.push(Evaluated { attestation, outcome: outcome.into_bytes(), assignment: step.item.raw().clone() });
    }
    checkpoint_if_due(tools, state, process).await;
    let turn = keeper.turn().await?;
    keep::hand_over(tools, turn, process, batch);
    Ok(())
}

pub(super) fn attest(
    tools: &ComputeTools,
    state: &Fold,
    step: &Step,
    outcome: &Written,
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
            fuel: outcome.outcome().fuel,
            state_root: root,
        },
        pushed_for: step.assignment.terms.pushed_for.unwrap_or(step.assignment.message),
        scheduler: state.located.item.tag("Scheduler").unwrap_or_default().to_owned(),
        cast: step.assignment.terms.cast.is_some(),
    }
}

/// A batch never goes beyond the slot after which a checkpoint is due: the state that is kept is one whose root is signed.
async fn checkpoint_if_due(tools: &ComputeTools, state: &Fold, process: Id) {
    let due = state.head.next_slot.is_multiple_of(window(tools).saturating_mul(SNAPSHOT_WINDOWS));
    if !due || state.module.machine.is_err() {
        return;
    }
    match tools.machine.pool.snapshot(process).await {
        Ok((at, snapshot)) => tools.machine.checkpoints.keep(process, at, snapshot),
        Err(error) => tracing::warn!(%process, %error, "no checkpoint; a restart replays more"),
    }
}

#[cfg(test)]
mod tests;
