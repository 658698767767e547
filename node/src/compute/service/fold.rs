//! Folding a process's log into its state: fetch, check, evaluate, sign, keep.

use std::sync::Arc;

use weft_protocol::{
    Id,
    ans104::{DataItem, Profile},
    assignment::{Assignment, Head},
    attestation::{Attestation, Subject, Verdict, signer_key},
    message::{Content, Party, env_json, message_json},
    outcome::{Outcome, Progress, Written, chain_next},
    refusal::Code,
    wire::{self, LogEntry, Refusal},
};

use super::{
    ComputeTools, Loaded, ModuleError,
    keep::{self, Evaluated, Keeper},
    pool_fault, store_fault,
    ticks::Ticks,
};
use crate::{
    assigned::reads_of,
    compute::{Evaluation, Job, Module, Reads},
    directory::Located,
    market::ProviderState,
    scheduler::{entry_content, id_bytes},
};

/// Slots evaluated with one flush at most.
const BATCH: u32 = 64;
/// Windows between two snapshots on disk.
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
    located: Located,
    ticks: Ticks,
}

/// A checked entry, ready to be shown to the module.
struct Step {
    assignment: Assignment,
    item: DataItem,
    content: Content,
    reads: Arc<Reads>,
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
        rebuild(tools, &mut state, process, process, target).await?;
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
    state.module.machine.is_err() || tools.machine.pool.state(*process).unwrap_or(0) == state.head.next_slot
}

/// The fold as the result store has it: the head follows from the last result's assignment.
async fn resume(tools: &ComputeTools, process: Id, progress: &Progress) -> Result<Fold, Refusal> {
    let located = tools.directory.locate(&process).await.map_err(|e| e.refusal())?;
    let module = located.module().ok_or_else(|| Code::BadModule.refuse("the process names no module"))?;
    let module = tools.machine.modules.load(module).await.map_err(|error| match error {
        ModuleError::NotFound(_) => Code::Unavailable.refuse(error.to_string()),
        ModuleError::Unavailable { .. } => Code::Unavailable.refuse(error.to_string()),
    })?;
    let ticks = Ticks::new(tools, &located, progress.next_slot)?;
    let party = Party { owner: ticks.owner.clone(), ..Party::of(&located.item) };
    let module = module.within_limits(&party.tags, tools.machine.engine.profile());
    let env = env_json(&party, &module.party, &tools.network.address());
    let (head, chain) = (Head::empty(process), progress.chain);
    let mut fold = Fold { head, chain, block_height: 0, env: env.into(), module, located, ticks };
    if let Some(last) = progress.next_slot.checked_sub(1) {
        let result = tools.machine.store.result(&process, last).map_err(store_fault)?;
        let result =
            result.ok_or_else(|| Code::Internal.refuse(format!("result of slot {last} is missing from the store")))?;
        fold.move_to(&result.assignment)?;
    }
    Ok(fold)
}

impl Fold {
    /// Sets the head to just after `assignment`, an item this node has checked before.
    fn move_to(&mut self, assignment: &bytes::Bytes) -> Result<(), Refusal> {
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

    /// Checks an entry as the log's next one and moves the head past it.
    fn check(&mut self, entry: LogEntry) -> Result<Step, Refusal> {
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
async fn next_steps(
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
    let wanted = wanted.min(until_snapshot(from, window(tools)));
    let fits = given.first().and_then(slot_of) == Some(from);
    let entries = if fits {
        given
    } else {
        let query =
            wire::LogQuery { process: id_bytes(process), from_slot: from, limit: wanted, find: bytes::Bytes::new() };
        let page = tools.peers.log(state.located.scheduler, query).await;
        page.map_err(|e| Code::Unavailable.refuse(format!("the log cannot be read from its scheduler: {e}")))?.entries
    };
    let limit = usize::try_from(wanted).unwrap_or(1);
    entries.into_iter().take(limit).map(|entry| state.check(entry)).collect()
}

/// Slots from `from` on up to where a snapshot is due.
fn until_snapshot(from: u64, window: u64) -> u32 {
    let every = window.saturating_mul(SNAPSHOT_WINDOWS).max(1);
    let past = from.checked_rem(every).unwrap_or(0);
    u32::try_from(every.saturating_sub(past)).unwrap_or(u32::MAX)
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
async fn run(
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
        let attestation = attest(tools, state, &step, &outcome, root);
        state.chain = attestation.verdict.chain_after;
        batch.push(Evaluated { attestation, outcome: outcome.into_bytes(), assignment: step.item.raw().clone() });
    }
    snapshot_if_due(tools, state, process).await;
    let turn = keeper.turn().await?;
    keep::hand_over(tools, turn, process, batch);
    Ok(())
}

fn attest(tools: &ComputeTools, state: &Fold, step: &Step, outcome: &Written, root: Option<Id>) -> Attestation {
    let (hash, chain) = (outcome.hash(), state.chain);
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

/// A batch never goes beyond the slot after which a snapshot is due.
async fn snapshot_if_due(tools: &ComputeTools, state: &Fold, process: Id) {
    let due = state.head.next_slot.is_multiple_of(window(tools).saturating_mul(SNAPSHOT_WINDOWS));
    if !due || state.module.machine.is_err() {
        return;
    }
    match tools.machine.pool.snapshot(process).await {
        Ok((slot, snapshot)) => {
            let blob = [slot.to_be_bytes().as_slice(), snapshot.as_bytes()].concat();
            if let Err(error) = tools.machine.snapshots.put(&process, &blob) {
                tracing::warn!(%process, %error, "snapshot not kept; a restart replays more");
            }
        }
        Err(error) => tracing::warn!(%process, %error, "no snapshot; a restart replays more"),
    }
}

/// Brings the pool's `seat` (the process's own, or one to look back with) and the fold to just before slot `target`: newest
/// snapshot, then replay of the log, each outcome compared with the one signed before.
pub async fn rebuild(
    tools: &ComputeTools,
    state: &mut Fold,
    process: Id,
    seat: Id,
    target: u64,
) -> Result<(), Refusal> {
    forget(tools, seat).await;
    let start = restore_snapshot(tools, state, process, seat, target).await.unwrap_or(0);
    state.head = Head::empty(process);
    if let Some(last) = start.checked_sub(1) {
        let result = tools.machine.store.result(&process, last).map_err(store_fault)?;
        let result = result.ok_or_else(|| Code::Internal.refuse(format!("result of slot {last} is missing")))?;
        state.move_to(&result.assignment)?;
    }
    if start < target {
        tracing::info!(%process, from = start, to = target, "replaying the log to rebuild a process");
    }
    while state.head.next_slot < target {
        let steps = next_steps(tools, state, &process, target.saturating_sub(1), Vec::new()).await?;
        if steps.is_empty() {
            return Err(Code::Unavailable.refuse("the scheduler's log is shorter than what was evaluated; try again"));
        }
        let outcomes = run(tools, state, seat, &steps).await?;
        for (step, (outcome, _)) in steps.iter().zip(&outcomes) {
            compare(tools, &process, step, outcome).await?;
        }
    }
    Ok(())
}

/// A replay must give what was signed. A node that cannot reproduce its own word sells no more compute until a person has
/// looked: its disk, its memory or its engine is not what it was.
async fn compare(tools: &ComputeTools, process: &Id, step: &Step, outcome: &Written) -> Result<(), Refusal> {
    let slot = step.assignment.slot;
    let kept = tools.machine.store.result(process, slot).map_err(store_fault)?;
    if kept.is_some_and(|kept| kept.outcome.as_ref() == outcome.bytes().as_bytes()) {
        return Ok(());
    }
    tracing::error!(%process, slot, "replay differs from the outcome this node signed: it takes no more leases");
    tools.activity.note("refused", Some(*process), Some(slot), "replay differs from what this node signed".to_owned());
    tools.market.set_state(ProviderState::Maintenance).await;
    Err(Code::Internal.refuse(format!("replaying slot {slot} gave another outcome than the one signed before")))
}

/// Restores the newest snapshot that is not ahead of `target`; the slot it stands at.
async fn restore_snapshot(tools: &ComputeTools, state: &Fold, process: Id, seat: Id, target: u64) -> Option<u64> {
    let module = state.module.machine.as_ref().ok()?;
    let (slot, snapshot) = stored_snapshot(tools, process)?;
    if slot > target {
        return None;
    }
    tools.machine.pool.restore(seat, module, snapshot, slot).await.ok()?;
    Some(slot)
}

/// The newest snapshot on disk and the slot it stands at.
pub fn stored_snapshot(tools: &ComputeTools, process: Id) -> Option<(u64, crate::compute::Snapshot)> {
    let blob = tools.machine.snapshots.get(&process).ok()??;
    let slot = blob.first_chunk::<8>().copied().map(u64::from_be_bytes)?;
    Some((slot, crate::compute::Snapshot::from_bytes(blob.slice(8..)).ok()?))
}

#[cfg(test)]
mod tests;
