//! One process's worker: evaluate what is sealed, keep it, send it on; then stop. A process with nothing to do has no worker.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::sync::watch;
use weft_protocol::{
    Id,
    ans104::{DataItem, Profile},
    assignment::Assignment,
    attestation::{Attestation, signer_key},
    crank::{self, Kind, Outgoing},
    keys::NodeKey,
    outcome::{self, Progress, Written, chain_next},
    wire::{self, LogEntry},
};
use weft_storage::store::StoreError;

use super::{
    Delivered, Tools,
    courier::{CourierHandle, Parcel},
};
use crate::{
    directory::Located,
    peers::CallError,
    scheduler::{id_bytes, key_bytes},
};

/// Slots asked for at once.
const SLOTS_AT_ONCE: u64 = 64;
/// Bytes of log entries sent along.
const ENTRY_BYTES: usize = 2 << 20;
/// First and longest wait after a failure.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// What a worker is told while it runs: how far the log goes, and entries seen on the way.
#[derive(Clone, Default)]
pub(super) struct Target {
    pub next_slot: u64,
    pub entries: BTreeMap<u64, LogEntry>,
}

/// Failures in a row after which a worker ends; the sweep starts it again if its scheduler says that there is work.
const GIVE_UP: u32 = 20;
/// Failures in a row after which a lease is given up even if its provider blames somebody else.
const PATIENCE: u32 = 8;

/// The worker of one process.
pub(super) struct Worker {
    pub process: Id,
    pub tools: Arc<Tools>,
    pub courier: CourierHandle,
    pub target: watch::Receiver<Target>,
}

/// What a provider has answered.
struct Asked {
    provider: NodeKey,
    page: wire::EvalPage,
}

/// Why a step gave nothing.
enum Trouble {
    /// This node's store is broken: the node must stop.
    Store(StoreError),
    /// Somebody else failed; try again later.
    Other(String),
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Worker {
    /// Runs until the process has nothing left to do; returns how far the log was known then.
    pub async fn run(mut self) -> Result<u64, StoreError> {
        let (mut wait, mut failures) = (RETRY.0, 0_u32);
        loop {
            let seen = self.target.borrow().next_slot;
            match self.step().await {
                Ok(Some(seen)) => {
                    self.tools.leases.note_success(&self.process);
                    return Ok(seen);
                }
                Ok(None) => (wait, failures) = (RETRY.0, 0),
                Err(Trouble::Store(error)) => return Err(error),
                Err(Trouble::Other(why)) => {
                    tracing::debug!(process = %self.process, why, "cannot go on yet");
                    self.tools.leases.note_trouble(&self.process, &why);
                    failures = failures.saturating_add(1);
                    if failures >= GIVE_UP {
                        return Ok(seen);
                    }
                    if failures.is_multiple_of(PATIENCE) {
                        self.tools.leases.drop_lease(&self.process, &why);
                    }
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(RETRY.1);
                }
            }
        }
    }

    /// One page of evaluation, or the crank of what was left over. `Some(seen)`: nothing left up to `seen`.
    async fn step(&mut self) -> Result<Option<u64>, Trouble> {
        let progress = self.tools.store.progress(&self.process)?;
        let target = self.target.borrow_and_update().clone();
        if progress.next_slot < target.next_slot {
            // A process that cannot be found has no log to follow now: if it is one, the sweep brings it again.
            let Ok(located) = self.tools.directory.locate(&self.process).await else {
                return Ok(Some(target.next_slot));
            };
            return match self.evaluate(progress, &located, &target).await {
                Ok(()) => Ok(None),
                Err(Trouble::Other(_)) if self.log_ends_at(&located, progress.next_slot).await => {
                    self.crank_rest(progress.next_slot).await?;
                    Ok(Some(target.next_slot))
                }
                Err(trouble) => Err(trouble),
            };
        }
        self.crank_rest(progress.next_slot).await?;
        Ok(Some(target.next_slot))
    }

    /// Whether the scheduler itself says that the log has no slot `next`: what this worker was told was wrong then.
    async fn log_ends_at(&self, located: &Located, next: u64) -> bool {
        self.tools.peers.process(located.scheduler, &self.process).await.is_ok_and(|p| p.next_slot <= next)
    }

    /// Has what is sealed evaluated, page after page: while one page is checked, kept and sent on, the next is evaluated.
    async fn evaluate(&mut self, progress: Progress, located: &Located, target: &Target) -> Result<(), Trouble> {
        let mut progress = progress;
        let mut asked = self.ask(progress, located, target).await?;
        loop {
            let Some(last) = asked.page.results.last() else {
                return Err(self.wrong(&asked.provider, "no results"));
            };
            let next = Progress { next_slot: last.slot.saturating_add(1), ..progress };
            let target = self.target.borrow_and_update().clone();
            // A page that is not what was asked for ends it.
            let more = next.next_slot > progress.next_slot && next.next_slot < target.next_slot;
            let ahead = async {
                match more {
                    true => Some(self.ask(next, located, &target).await),
                    false => None,
                }
            };
            let (ahead, kept) = tokio::join!(ahead, self.keep(progress, located, &asked));
            progress = kept?;
            match ahead {
                Some(page) => asked = page?,
                None => return Ok(()),
            }
        }
    }

    /// Has the slots from `progress` on evaluated by whoever holds the lease.
    async fn ask(&self, progress: Progress, located: &Located, target: &Target) -> Result<Asked, Trouble> {
        let lease = self.tools.lease(&self.process, located, &[]).await.map_err(Trouble::Other)?;
        let most = SLOTS_AT_ONCE.min(lease.slots.max(1));
        let last = target.next_slot.min(progress.next_slot.saturating_add(most)).saturating_sub(1);
        let request = wire::Eval {
            lease: id_bytes(&lease.id),
            process: id_bytes(&self.process),
            from_slot: progress.next_slot,
            to_slot: last,
            scheduler: key_bytes(&located.scheduler),
            entries: entries(target, progress.next_slot, last),
        };
        match self.tools.peers.eval(lease.provider, request).await {
            Ok(page) => Ok(Asked { provider: lease.provider, page }),
            Err(error) => Err(self.failed(&lease.provider, &error)),
        }
    }

    /// Checks a page, keeps it and sends on what its slots send; where the process stands then.
    async fn keep(&self, progress: Progress, located: &Located, asked: &Asked) -> Result<Progress, Trouble> {
        let checked = self.check(progress, located, &asked.provider, &asked.page.results);
        let outcomes = checked.map_err(|why| self.wrong(&asked.provider, &why))?;
        self.tools.store.put_outcomes(&self.process, &asked.page.results).await?;
        self.tools.leases.note_success(&self.process);
        let mut progress = progress;
        for (attestation, raw, outcome) in outcomes {
            let (slot, chain) = (attestation.subject.slot, attestation.verdict.chain_after);
            progress = Progress { next_slot: slot.saturating_add(1), chain };
            self.crank(&attestation, raw, &outcome).await?;
        }
        Ok(progress)
    }

    /// A provider whose answer does not hold loses the lease.
    fn wrong(&self, provider: &NodeKey, why: &str) -> Trouble {
        let why = format!("{} answered wrongly: {why}", self.tools.directory.name(provider));
        self.tools.leases.drop_lease(&self.process, &why);
        Trouble::Other(why)
    }

    /// A provider that did not evaluate: another one next time, unless the trouble is not its own.
    fn failed(&self, provider: &NodeKey, error: &CallError) -> Trouble {
        let name = self.tools.directory.name(provider);
        let why = match error {
            CallError::Unreachable { reason, .. } => format!("{name} did not evaluate: {reason}"),
            other => format!("{name} did not evaluate: {other}"),
        };
        match error {
            CallError::Refused(refusal) if ["expired", "lease_limit"].contains(&refusal.code.as_str()) => {
                self.tools.leases.end_lease(&self.process)
            }
            CallError::Refused(refusal) if refusal.code == "unavailable" => {}
            _ => {
                self.tools.activity.note("refused", Some(self.process), None, why.clone());
                self.tools.leases.drop_lease(&self.process, &why);
            }
        }
        Trouble::Other(why)
    }

    /// Checks a page slot by slot: who signed, what it is about, that it continues the chain and fits the outcome.
    fn check(
        &self,
        progress: Progress,
        located: &Located,
        provider: &NodeKey,
        results: &[wire::Result],
    ) -> Result<Vec<(Attestation, bytes::Bytes, Written)>, String> {
        if results.is_empty() {
            return Err("no results".into());
        }
        let network = self.tools.directory.network().id();
        let mut chain = progress.chain;
        let mut checked = Vec::with_capacity(results.len());
        for (slot, result) in (progress.next_slot..).zip(results) {
            let item = crate::verified::item(result.attestation.clone(), Profile::Strict)
                .map_err(|e| format!("attestation of slot {slot}: {e}"))?;
            let attestation = Attestation::read(&item).map_err(|e| e.to_string())?;
            if result.outcome.len() > outcome::MAX_BYTES {
                return Err(format!("the outcome of slot {slot} has {} bytes", result.outcome.len()));
            }
            let outcome = Written::read(&result.outcome).map_err(|e| e.to_string())?;
            let assignment = crate::verified::item(result.assignment.clone(), Profile::Strict)
                .map_err(|e| format!("assignment of slot {slot}: {e}"))?;
            let assigned = Assignment::read(&assignment).map_err(|e| e.to_string())?;
            let (subject, verdict) = (&attestation.subject, &attestation.verdict);
            let checks = [
                (signer_key(&item) == Some(*provider), "it is not signed by the provider"),
                (subject.network == network && subject.process == self.process, "it is about something else"),
                (
                    subject.slot == slot && result.slot == slot && assigned.slot == slot,
                    "the slot is not the one asked for",
                ),
                (assigned.process == self.process, "the assignment is of another process"),
                (signer_key(&assignment) == Some(located.scheduler), "the assignment is not the scheduler's"),
                (
                    subject.assignment == assignment.id() && subject.message == assigned.message,
                    "it is about another message",
                ),
                (Some(subject.module) == located.module(), "another module was run"),
                (
                    attestation.pushed_for == assigned.terms.pushed_for.unwrap_or(assigned.message),
                    "Pushed-For is not the message's",
                ),
                (
                    attestation.scheduler == located.item.tag("Scheduler").unwrap_or_default(),
                    "Scheduler is not the process's",
                ),
                (attestation.cast == assigned.terms.cast.is_some(), "it is wrong about whether the message is a cast"),
                (verdict.outcome == outcome.hash(), "the outcome is not the one signed"),
                (verdict.outbox_root == outcome.outbox_root(), "the outbox root is wrong"),
                (verdict.chain_before == chain, "it does not continue the outcome chain"),
                (verdict.chain_after == chain_next(&chain, &assignment.id(), &verdict.outcome), "the chain is wrong"),
            ];
            if let Some((_, why)) = checks.iter().find(|(holds, _)| !holds) {
                return Err(format!("slot {slot}: {why}"));
            }
            chain = verdict.chain_after;
            checked.push((attestation, result.attestation.clone(), outcome));
        }
        Ok(checked)
    }

    /// Hands a slot's deliveries to the courier; returns false if some had to be left for later.
    async fn crank(&self, attestation: &Attestation, raw: bytes::Bytes, outcome: &Written) -> Result<bool, Trouble> {
        let (outgoing, bad) = crank::deliveries(attestation, outcome.outcome());
        for error in bad {
            self.tools.activity.note("refused", Some(self.process), Some(attestation.subject.slot), error.to_string());
        }
        if outgoing.is_empty() {
            return Ok(true);
        }
        let mut all_done = true;
        for parcel in parcels(outgoing, outcome.outbox_leaves(), &raw) {
            let open = self.open(parcel)?;
            all_done &= open.is_none();
            if let Some(parcel) = open {
                self.courier.send(parcel).await;
            }
        }
        Ok(all_done)
    }

    /// Leaves out what has been answered already, and what was to follow something that was refused.
    fn open(&self, mut parcel: Parcel) -> Result<Option<Parcel>, StoreError> {
        loop {
            match self.tools.store.delivered(&parcel.outgoing.id)? {
                None => return Ok(Some(parcel)),
                Some(Delivered::Refused) => return Ok(None),
                Some(Delivered::Done) => match parcel.then.take() {
                    Some(next) => parcel = *next,
                    None => return Ok(None),
                },
            }
        }
    }

    /// Cranks evaluated slots whose deliveries are not all answered, and moves the mark past those that are.
    async fn crank_rest(&self, evaluated: u64) -> Result<(), Trouble> {
        let start = self.tools.store.cranked(&self.process)?;
        let mut mark = start;
        let mut contiguous = true;
        for slot in start..evaluated {
            let Some(result) = self.tools.store.outcome(&self.process, slot)? else { break };
            let item = DataItem::parse(result.attestation.clone(), Profile::History);
            let attestation = item.ok().and_then(|item| Attestation::read(&item).ok());
            let (Some(attestation), Ok(outcome)) = (attestation, Written::read(&result.outcome)) else { break };
            contiguous &= self.crank(&attestation, result.attestation, &outcome).await?;
            tokio::task::yield_now().await; // a long rest must not hold up the other tasks of its thread
            if contiguous {
                mark = slot.saturating_add(1);
            }
        }
        if mark > start {
            self.tools.store.put_cranked(&self.process, mark).await?;
        }
        Ok(())
    }
}

/// Known entries of a range, as long as they follow each other and fit.
fn entries(target: &Target, from: u64, last: u64) -> Vec<LogEntry> {
    use prost::Message as _;
    let mut size = 0;
    let mut out = Vec::new();
    for slot in from..=last {
        let Some(entry) = target.entries.get(&slot) else { break };
        size += entry.encoded_len();
        if size > ENTRY_BYTES {
            break;
        }
        out.push(entry.clone());
    }
    out
}

/// Deliveries with their proofs; a spawn's notice goes after the spawn.
pub(super) fn parcels(outgoing: Vec<Outgoing>, leaves: &[Id], attestation: &bytes::Bytes) -> Vec<Parcel> {
    let mut out: Vec<Parcel> = Vec::with_capacity(outgoing.len());
    for one in outgoing {
        let proof = crank::prove(&one, leaves, vec![attestation.clone()]);
        let parcel = Parcel { outgoing: one, proof, then: None };
        match out.last_mut() {
            Some(spawn) if parcel.outgoing.id.kind == Kind::Spawned && spawn.outgoing.id.kind == Kind::Spawn => {
                spawn.then = Some(Box::new(parcel));
            }
            _ => out.push(parcel),
        }
    }
    out
}

#[cfg(test)]
mod tests;
