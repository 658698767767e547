//! Outcomes, from whichever messenger of the process can be reached, in the order of their duty.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use weft_protocol::{
    Id,
    ans104::{DataItem, Profile},
    assignment::Assignment,
    attestation::{Attestation, signer_key},
    cron::TickId,
    keys::NodeKey,
    network::Role,
    refusal::Code,
    wire,
};

use super::{Api, DoorError, ErrorKind, ResultsPage, ResultsRange, SlotResult, StateView, call_error};
use crate::{
    compute::{Snapshot, SnapshotError},
    directory::Located,
    peers::CallError,
    scheduler::id_bytes,
};

/// How long one messenger is given before the next is asked; a live one answers or says it is still evaluating.
const ONE_ASK: Duration = Duration::from_secs(10);
/// How long a dry run waits for what is sealed and not yet evaluated.
const SETTLED: Duration = Duration::from_secs(30);
/// Kibibytes that unpacked copies of memories may take together; unpacking takes each twice for a moment.
pub(super) const COPIES_KIB: usize = 2 << 20;
/// What a call may take beyond the wait it asks for.
const GRACE: Duration = Duration::from_secs(2);

impl Api {
    /// The outcome of a message; a cast's only with `proof` of the right to it (empty: none).
    pub(super) async fn result_of(
        &self,
        process: Id,
        message: Id,
        proof: Bytes,
        wait: Duration,
    ) -> Result<SlotResult, DoorError> {
        let slot = match self.recent(process, message) {
            Some(slot) => slot,
            None => self.slot_of(process, message).await?,
        };
        let is_open = proof.is_empty();
        let found = self.result_at(process, slot, proof, wait).await?;
        match found.result.get("Cast") {
            Some(_) if is_open => Err(DoorError::new(ErrorKind::Forbidden, whose_cast(&process, &found.message))),
            _ => Ok(found),
        }
    }

    /// The outcome of a slot, waiting for its evaluation up to `wait`; of a cast, without `proof`, only that there is one.
    async fn result_at(&self, process: Id, slot: u64, proof: Bytes, wait: Duration) -> Result<SlotResult, DoorError> {
        let located = self.locate(&process).await?;
        let messengers = self.behind().directory.messengers(&process, &located.scheduler);
        let until = Instant::now() + wait;
        let mut last = DoorError::new(
            ErrorKind::Timeout,
            format!("slot {slot} of process {process} is not evaluated yet; ask again"),
        );
        loop {
            for messenger in &messengers {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(last);
                }
                let query = wire::ResultQuery { process: id_bytes(&process), slot, wait_ms: 0, proof: proof.clone() };
                match self.ask_result(*messenger, query, left.min(ONE_ASK)).await {
                    Ok(result) => match self.slot_result(process, &located, &result) {
                        Ok(shown) if shown.slot == slot => return Ok(shown),
                        Ok(_) => last = DoorError::new(ErrorKind::BadGateway, "a messenger answered for another slot"),
                        Err(error) => last = error,
                    },
                    Err(error) if error.code() == Code::Timeout => {
                        last = call_error(&error);
                        break; // it is alive and at work: ask it again
                    }
                    Err(error) if matches!(error.code(), Code::Forbidden | Code::BadItem) => {
                        return Err(call_error(&error));
                    }
                    Err(error) => last = call_error(&error),
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn ask_result(
        &self,
        to: NodeKey,
        query: wire::ResultQuery,
        wait: Duration,
    ) -> Result<wire::Result, CallError> {
        let wait_ms = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX);
        let query = wire::ResultQuery { wait_ms, ..query };
        let silent = || CallError::Unreachable { node: to, reason: "no answer in time".into() };
        tokio::time::timeout(wait + GRACE, self.behind().peers.result(to, query))
            .await
            .unwrap_or_else(|_| Err(silent()))
    }

    async fn slot_of(&self, process: Id, message: Id) -> Result<u64, DoorError> {
        let entry = self.entry_of(process, message).await?;
        self.remember(process, message, entry.slot);
        Ok(entry.slot)
    }

    pub(super) async fn results_of(&self, process: Id, range: ResultsRange) -> Result<ResultsPage, DoorError> {
        self.listed(process, range, false).await
    }

    /// Outcomes of a range of slots, of all or of those with ticks.
    pub(super) async fn listed(&self, process: Id, range: ResultsRange, ticks: bool) -> Result<ResultsPage, DoorError> {
        let query = wire::ResultsQuery {
            process: id_bytes(&process),
            from_slot: range.from_slot,
            to_slot: range.to_slot,
            limit: range.limit,
            descending: range.descending,
            ticks,
        };
        let mut last = DoorError::new(ErrorKind::Unavailable, "no messenger of the process can be reached; try again");
        let located = self.locate(&process).await?;
        for messenger in self.behind().directory.messengers(&process, &located.scheduler) {
            match tokio::time::timeout(ONE_ASK, self.behind().peers.results(messenger, query.clone())).await {
                Ok(Ok(page)) => {
                    let shown = page.results.iter().map(|result| self.slot_result(process, &located, result));
                    match shown.collect::<Result<_, _>>() {
                        Ok(results) => return Ok(ResultsPage { results, more: page.more }),
                        Err(error) => last = error,
                    }
                }
                Ok(Err(error)) => last = call_error(&error),
                Err(_) => {}
            }
        }
        Err(last)
    }

    /// Waits until what is sealed now, up to `to_slot`, has been evaluated; the last slot that this covers.
    pub(super) async fn settle(&self, process: Id, to_slot: u64, wait: Duration) -> Result<u64, DoorError> {
        let scheduler = self.locate(&process).await?.scheduler;
        let head = self.behind().peers.process(scheduler, &process).await.map_err(|e| call_error(&e))?;
        let last = to_slot.min(head.next_slot.saturating_sub(1));
        self.result_at(process, last, Bytes::new(), wait).await.map(|_| last)
    }

    /// Tries a message on the newest state, or on that after `slot`.
    ///
    /// What is sealed is evaluated first, as messages are: under the messenger's lease and not by the dry run itself.
    pub(super) async fn try_message(&self, process: Id, slot: Option<u64>, message: Value) -> Result<Value, DoorError> {
        let at_least = match (self.settle(process, slot.unwrap_or(u64::MAX), SETTLED).await, slot) {
            (Ok(last), _) => last,
            (Err(error), Some(_)) => return Err(error),
            // Its scheduler does not answer, or it is slow: the newest state that there is does as well.
            (Err(error), None) if error.kind == ErrorKind::NotFound => return Err(error),
            (Err(_), None) => 0,
        };
        let query = wire::DryRun {
            process: id_bytes(&process),
            message: message.to_string().into(),
            slot: slot.unwrap_or(u64::MAX),
            at_least,
            ..wire::DryRun::default()
        };
        let result = self.by_a_messenger(process, |to| self.behind().peers.dry_run(to, query.clone())).await?;
        read_outcome(&result)
    }

    /// The memory of a process after `slot`, or after the newest one evaluated.
    ///
    /// Its content is checked against the root it claims, and that against the attestation of a slot that ends a window;
    /// of other slots nobody has signed a root.
    pub(super) async fn state_of(&self, process: Id, slot: Option<u64>) -> Result<StateView, DoorError> {
        if let Some(slot) = slot {
            self.settle(process, slot, SETTLED).await?;
        }
        let query = wire::StateQuery {
            process: id_bytes(&process),
            slot: slot.unwrap_or(u64::MAX),
            ..wire::StateQuery::default()
        };
        let state = self.by_a_messenger(process, |to| self.behind().peers.state(to, query.clone())).await?;
        let result = self.result_at(process, state.slot, Bytes::new(), ONE_ASK).await?;
        let wrong = |why: String| {
            DoorError::new(ErrorKind::BadGateway, format!("a provider gave a state that does not hold: {why}"))
        };
        if slot.is_some_and(|slot| slot != state.slot) {
            return Err(wrong(format!("it is that after slot {}", state.slot)));
        }
        let attestation = DataItem::parse(result.attestation, Profile::History).map_err(|e| wrong(e.to_string()))?;
        let attestation = Attestation::read(&attestation).map_err(|e| wrong(e.to_string()))?;
        let limit = self.behind().compute.tools().machine.engine.profile().max_memory_bytes;
        let snapshot = Snapshot::from_bytes(state.snapshot).map_err(|e| wrong(e.to_string()))?;
        let share = Arc::new(share_of(&self.0.copies, snapshot.unpacked_bytes())?);
        // Unpacking and hashing takes a while for a large memory, and goes on when the asker does not wait.
        let unpack = tokio::task::spawn_blocking(move || {
            Ok::<_, SnapshotError>((snapshot.root(), snapshot.memory_bytes(), snapshot.parts(limit)?, share))
        });
        let unpacked = unpack.await.map_err(|e| DoorError::new(ErrorKind::Internal, e.to_string()))?;
        let (root, memory_bytes, parts, share) = unpacked.map_err(|e| wrong(e.to_string()))?;
        if attestation.verdict.state_root.is_some_and(|signed| signed != root) {
            return Err(wrong("its root is not the one signed for that slot".to_owned()));
        }
        let (timestamp, block_height) = (result.timestamp, result.block_height);
        Ok(StateView { slot: state.slot, timestamp, block_height, memory_bytes, parts, share: Some(share) })
    }

    /// Asks the process's messengers in turn. What is the asker's own fault, or only "later", ends it.
    async fn by_a_messenger<T, F: Future<Output = Result<T, CallError>>>(
        &self,
        process: Id,
        ask: impl Fn(NodeKey) -> F,
    ) -> Result<T, DoorError> {
        let mut last = DoorError::new(ErrorKind::Unavailable, "no messenger of the process can be reached; try again");
        let located = self.locate(&process).await?;
        for messenger in self.behind().directory.messengers(&process, &located.scheduler) {
            match ask(messenger).await {
                Ok(answer) => return Ok(answer),
                Err(error @ CallError::Refused(_)) if error.code().is_final() => return Err(call_error(&error)),
                Err(error) if error.code() == Code::Capacity => {
                    return Err(DoorError { kind: ErrorKind::TooMany, ..call_error(&error) });
                }
                Err(error) => last = call_error(&error),
            }
        }
        Err(last)
    }
}

/// Room for a copy of so many bytes, taken before it is unpacked.
fn share_of(copies: &Arc<Semaphore>, bytes: u64) -> Result<OwnedSemaphorePermit, DoorError> {
    let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
    if usize::try_from(kib).unwrap_or(usize::MAX) > COPIES_KIB {
        let text = format!("the memory takes {bytes} bytes unpacked; this node gives out {COPIES_KIB} KiB at most");
        return Err(DoorError::new(ErrorKind::TooLarge, text));
    }
    Arc::clone(copies).try_acquire_many_owned(kib).map_err(|_| {
        let text = "this node already holds as much of other memories as it can; try again when they are sent";
        DoorError::new(ErrorKind::Unavailable, text)
    })
}

/// Why an outcome is not given, and how it is.
fn whose_cast(process: &Id, message: &Id) -> String {
    format!(
        "message {message} is a cast: its outcome is given to its sender and to the process's owner only; POST \
         /result/{message}?process-id={process} with a data item signed by one of them, with the tags Data-Protocol: weft, \
         Type: Read-Outcome, Process, Message and Expires (in milliseconds, at most five minutes ahead)"
    )
}

/// What everybody may see of a cast: that it was evaluated.
fn withheld(fuel: u64) -> Value {
    json!({ "Messages": [], "Assignments": [], "Spawns": [], "Output": "", "GasUsed": fuel, "Cast": true })
}

fn read_outcome(result: &wire::Result) -> Result<Value, DoorError> {
    serde_json::from_slice(&result.outcome)
        .map_err(|e| DoorError::new(ErrorKind::BadGateway, format!("an outcome is not JSON: {e}")))
}

impl Api {
    /// A result as the doors show it, checked: a compute node of the registry signed this outcome for this assignment, which
    /// the process's scheduler signed.
    fn slot_result(&self, process: Id, located: &Located, result: &wire::Result) -> Result<SlotResult, DoorError> {
        let wrong = |why: String| {
            DoorError::new(ErrorKind::BadGateway, format!("a messenger gave a result that does not hold: {why}"))
        };
        let verified =
            |raw: &bytes::Bytes| crate::verified::item(raw.clone(), Profile::Strict).map_err(|e| wrong(e.to_string()));
        let (signed, ordered) = (verified(&result.attestation)?, verified(&result.assignment)?);
        let attestation = Attestation::read(&signed).map_err(|e| wrong(e.to_string()))?;
        let assignment = Assignment::read(&ordered).map_err(|e| wrong(e.to_string()))?;
        let network = self.network();
        let signer = signer_key(&signed);
        let member = signer.as_ref().and_then(|key| network.member(key));
        let subject = &attestation.subject;
        let is_withheld = attestation.cast && result.outcome.is_empty();
        let checks = [
            (member.is_some_and(|m| m.roles.contains(&Role::Compute)), "no compute node of the registry signed it"),
            (signer_key(&ordered) == Some(located.scheduler), "its assignment is not the scheduler's"),
            (subject.network == network.id() && subject.process == process, "it is of another process"),
            (subject.slot == result.slot && assignment.slot == result.slot, "it is of another slot"),
            (assignment.process == process && subject.assignment == ordered.id(), "it is of another assignment"),
            (
                is_withheld || attestation.verdict.outcome == Id::sha256(&result.outcome),
                "the outcome is not the one signed",
            ),
        ];
        if let Some((_, why)) = checks.iter().find(|(holds, _)| !holds) {
            return Err(wrong((*why).to_owned()));
        }
        let mut outcome = if is_withheld { withheld(attestation.verdict.fuel) } else { read_outcome(result)? };
        if let Some(members) = outcome.as_object_mut().filter(|_| attestation.cast) {
            members.insert("Cast".to_owned(), true.into());
        }
        Ok(SlotResult {
            slot: result.slot,
            message: assignment.message,
            timestamp: assignment.timestamp,
            block_height: assignment.block_height,
            result: outcome,
            attestation: result.attestation.clone(),
            provider: signer.map(|key| key.to_string()).unwrap_or_default(),
            cron: assignment.cron.and_then(|text| text.parse().ok()).map(|tick: TickId| tick.cron()),
        })
    }
}

#[cfg(test)]
mod tests;
