//! Checking a process from outside: its log evaluated again, without a node, and compared with what was attested.
//!
//! Where it sits: behind `weft process replay`; the same checks of the log and the same evaluation as a node's (`fold.rs`),
//! over a pool of its own, with nothing kept.

use std::sync::Arc;

use weft_protocol::{
    Id,
    ans104::{DataItem, Profile},
    assignment::Assignment,
    attestation::{Attestation, signer_key},
    checkpoint::{Checkpoint, Wanted},
    election,
    message::message_json,
    network::{Network, Role},
    outcome::{chain_next, chain_start},
    wire::LogEntry,
};

use super::{Loaded, adopt, fold, fold::Fold, ticks::Ticks};
use crate::{
    compute::{Engine, Job, Pool, Snapshot},
    directory::Located,
};

/// What evaluating a slot again gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Followed {
    /// The slot.
    pub slot: u64,
    /// Its assignment.
    pub assignment: Id,
    /// Hash of the outcome.
    pub outcome: Id,
    /// Outcome chain after it.
    pub chain: Id,
    /// Fuel burnt.
    pub fuel: u64,
    /// State root, for the last slot of a window.
    pub root: Option<Id>,
}

/// The first thing in which an attestation differs from what evaluation gives: what, attested, found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What differs.
    pub what: &'static str,
    /// As attested.
    pub attested: String,
    /// As evaluated here.
    pub found: String,
}

/// A process whose log is evaluated again.
pub struct Follower {
    network: Network,
    engine: Engine,
    pool: Pool,
    fold: Fold,
    chain: Id,
}

/// The process that a spawn item and its assignment (the log's slot 0) are, both checked.
///
/// # Errors
/// Why they are not, for people.
pub fn locate(network: &Network, first: &LogEntry) -> Result<Located, String> {
    let item = crate::verified::item(first.item.clone(), Profile::Strict).map_err(|e| format!("the process: {e}"))?;
    let tag = item.tag("Scheduler").unwrap_or_default();
    let committee = election::scheduler_of(network, item.id(), tag).map_err(|e| e.to_string())?;
    let scheduler = committee.leader().ok_or("nobody is elected to order it")?;
    let assignment = crate::verified::item(first.assignment.clone(), Profile::Strict).map_err(|e| e.to_string())?;
    let read = Assignment::read(&assignment).map_err(|e| e.to_string())?;
    if signer_key(&assignment) != Some(scheduler) || read.process != item.id() || read.slot != 0 {
        return Err("slot 0 is not assigned by the scheduler that is elected for it".to_owned());
    }
    Ok(Located { scheduler, item, assignment })
}

impl Follower {
    /// A process of `network` before slot 0, evaluated by `pool`.
    ///
    /// # Errors
    /// Why it cannot be evaluated, for people.
    pub fn new(
        network: Network,
        engine: Engine,
        pool: Pool,
        located: Located,
        module: &Loaded,
    ) -> Result<Self, String> {
        let process = located.item.id();
        let ticks = Ticks::from_start(&network, &located).map_err(|refusal| refusal.reason)?;
        let fold = Fold::at_start(&network, &engine, located, module, ticks);
        Ok(Self { network, engine, pool, fold, chain: chain_start(&process) })
    }

    /// The slot to evaluate next.
    pub fn next_slot(&self) -> u64 {
        self.fold.head.next_slot
    }

    /// Addresses of the network's providers.
    pub fn providers(&self) -> Vec<Id> {
        adopt::providers(&self.network)
    }

    fn process(&self) -> Id {
        self.fold.head.process
    }

    /// Begins after the slot of a checkpoint instead of at slot 0; `signer` is the address of who signed its item, and
    /// `entry` the log's entry of that slot.
    ///
    /// # Errors
    /// Why the checkpoint cannot be used, for people.
    pub async fn begin_at(&mut self, checkpoint: &Checkpoint, signer: Id, entry: &LogEntry) -> Result<(), String> {
        let claim = checkpoint.claim;
        let profile = self.engine.profile().id();
        let wanted = Wanted { process: self.process(), module: self.fold.module.party.id, profile };
        checkpoint.check(&self.network, signer, &wanted).map_err(|error| error.to_string())?;
        let assignment = crate::verified::item(entry.assignment.clone(), Profile::Strict).map_err(|e| e.to_string())?;
        if assignment.id() != claim.assignment || signer_key(&assignment) != Some(self.fold.located.scheduler) {
            return Err("the log has another assignment in its slot".to_owned());
        }
        let snapshot = Snapshot::from_bytes(checkpoint.state.clone()).map_err(|error| error.to_string())?;
        if snapshot.root() != claim.state_root {
            return Err("its state has another root than was attested".to_owned());
        }
        let module = self.fold.module.machine.clone()?;
        let next = claim.slot.saturating_add(1);
        self.pool.restore(self.process(), &module, snapshot, next).await.map_err(|error| error.to_string())?;
        self.fold.move_to(&entry.assignment).map_err(|refusal| refusal.reason)?;
        // Which ticks came before it is not known: that those after it are the next ones is not checked.
        self.fold.looking_back(u64::MAX);
        self.chain = claim.chain;
        Ok(())
    }

    /// Checks entries as the log's next ones and evaluates them.
    ///
    /// # Errors
    /// Why they are not, or why they cannot be evaluated, for people.
    pub async fn advance(&mut self, entries: Vec<LogEntry>) -> Result<Vec<Followed>, String> {
        let check = |entry| self.fold.check(entry).map_err(|refusal| refusal.reason);
        let steps = entries.into_iter().map(check).collect::<Result<Vec<_>, _>>()?;
        let window = u64::from(self.network.parameters().window.max(1));
        let mut followed = Vec::with_capacity(steps.len());
        for part in steps.chunk_by(|step, _| !step.assignment.slot.saturating_add(1).is_multiple_of(window)) {
            let outcomes = self.run(part).await?;
            let ends = part.last().filter(|step| step.assignment.slot.saturating_add(1).is_multiple_of(window));
            let root = match ends.filter(|_| self.fold.module.machine.is_ok()) {
                Some(_) => Some(self.pool.root(self.process()).await.map_err(|error| error.to_string())?.1),
                None => None,
            };
            let last = part.last().map(|step| step.assignment.slot);
            for (step, (outcome, fuel)) in part.iter().zip(outcomes) {
                let (slot, assignment) = (step.assignment.slot, step.item.id());
                self.chain = chain_next(&self.chain, &assignment, &outcome);
                let root = root.filter(|_| last == Some(slot));
                followed.push(Followed { slot, assignment, outcome, chain: self.chain, fuel, root });
            }
        }
        Ok(followed)
    }

    /// Hash of the outcome and fuel of each step.
    async fn run(&self, steps: &[fold::Step]) -> Result<Vec<(Id, u64)>, String> {
        let module = match &self.fold.module.machine {
            Ok(module) => module,
            Err(why) => {
                let failed = weft_protocol::outcome::Outcome::failed(why.clone().into(), 0);
                return Ok(steps.iter().map(|_| (failed.hash(), 0)).collect());
            }
        };
        let address = self.network.address();
        let job = |step: &fold::Step| Job {
            slot: step.assignment.slot,
            msg_json: message_json(&step.content, &step.assignment, Some(&address)),
            env_json: self.fold.env.clone(),
            reads: Arc::clone(&step.reads),
            root: false,
        };
        let jobs = steps.iter().map(job).collect();
        let done = self.pool.run(self.process(), module, jobs).await.map_err(|error| error.to_string())?;
        let one = |done| {
            let outcome = fold::outcome_of(done).map_err(|refusal| refusal.reason)?;
            Ok((outcome.hash(), outcome.outcome().fuel))
        };
        done.into_iter().map(one).collect()
    }

    /// What an attestation says otherwise of a slot than `found`; `None`: the same.
    ///
    /// # Errors
    /// It is no attestation of this slot by a provider of the network, or made with another engine profile.
    pub fn compare(&self, signed: &bytes::Bytes, found: &Followed) -> Result<Option<Difference>, String> {
        let item = crate::verified::item(signed.clone(), Profile::Strict).map_err(|error| error.to_string())?;
        let (attestation, profile) = (read(&item)?, self.engine.profile().id());
        let (subject, verdict) = (&attestation.subject, &attestation.verdict);
        let member = signer_key(&item).and_then(|key| self.network.member(&key));
        if !member.is_some_and(|member| member.roles.contains(&Role::Compute)) {
            return Err("it is not signed by a provider of this network".to_owned());
        }
        if (subject.network, subject.process, subject.slot) != (self.network.id(), self.process(), found.slot) {
            return Err("it is about something else".to_owned());
        }
        if subject.profile != profile {
            return Err(format!("it was made with engine profile {}, and this program has {profile}", subject.profile));
        }
        let differs =
            |what, attested: String, found: String| (attested != found).then_some(Difference { what, attested, found });
        let root = |root: Option<Id>| root.map_or_else(|| "none".to_owned(), |root| root.to_string());
        Ok(differs("assignment", subject.assignment.to_string(), found.assignment.to_string())
            .or_else(|| differs("module", subject.module.to_string(), self.fold.module.party.id.to_string()))
            .or_else(|| differs("fuel", verdict.fuel.to_string(), found.fuel.to_string()))
            .or_else(|| differs("outcome hash", verdict.outcome.to_string(), found.outcome.to_string()))
            .or_else(|| differs("outcome chain", verdict.chain_after.to_string(), found.chain.to_string()))
            .or_else(|| differs("state root", root(verdict.state_root), root(found.root))))
    }
}

fn read(item: &DataItem) -> Result<Attestation, String> {
    Attestation::read(item).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
