//! Pushing again on a client's word: the outcome is read and checked as for `/result`, and one of its entries delivered.

use std::time::Duration;

use serde_json::Value;
use weft_protocol::{
    Id,
    ans104::{DataItem, Profile},
    attestation::Attestation,
    canonical,
    outcome::{Outcome, Written},
};

use super::{Api, DoorError, ErrorKind, SlotResult};
use crate::{
    door::PushedSlot,
    messenger::{PushEnd, Pushed},
};

/// Slots that are pushed again at the same time, on all requests of this node.
pub(super) const PUSHING: usize = 4;

impl Api {
    pub(super) async fn push_entry(
        &self,
        process: Id,
        message: Id,
        number: u32,
        supplied: Option<Value>,
        wait: Duration,
    ) -> Result<Vec<Pushed>, DoorError> {
        let shown = self.result_of(process, message, bytes::Bytes::new(), wait).await?;
        let (attestation, outcome) = attested(&shown.attestation, &shown.result)?;
        if let Some(supplied) = supplied {
            same_entry(outcome.outcome(), &supplied, number)?;
        }
        let refuse = |why: String| {
            let text = format!("entry {number} of slot {} of process {process} cannot be pushed: {why}", shown.slot);
            DoorError::new(ErrorKind::Unprocessable, text)
        };
        let count = outcome.outbox_leaves().len();
        if let Some(error) = &outcome.outcome().error {
            return Err(refuse(format!("the message failed and sends nothing: {error}")));
        }
        if usize::try_from(number).unwrap_or(usize::MAX) >= count {
            return Err(DoorError::new(
                ErrorKind::NotFound,
                format!("slot {} of process {process} sends {count}: there is no number {number}", shown.slot),
            ));
        }
        let pushed = self
            .behind()
            .messenger
            .push_again(&attestation, shown.attestation.clone(), outcome.outcome(), number)
            .await;
        let pushed = pushed.map_err(refuse)?;
        match pushed.last().map(|last| (last.end, last.text.clone())) {
            Some((PushEnd::Refused, why)) => Err(refuse(why)),
            Some((PushEnd::Later, why)) => {
                let text = format!("{why}; the network goes on trying by itself, or ask again");
                Err(DoorError::new(ErrorKind::Unavailable, text))
            }
            _ => Ok(pushed),
        }
    }
}

impl Api {
    pub(super) async fn push_all(&self, process: Id, shown: &SlotResult, first: u32) -> Result<PushedSlot, DoorError> {
        let lists = ["Messages", "Spawns", "Assignments"].map(|name| shown.result.get(name).and_then(Value::as_array));
        if lists.into_iter().flatten().all(Vec::is_empty) {
            return Ok(PushedSlot::default());
        }
        let Ok(_turn) = self.0.pushing.try_acquire() else {
            let text = format!("this node is pushing {PUSHING} other slots again at the moment; try again");
            return Err(DoorError::new(ErrorKind::Unavailable, text));
        };
        let (attestation, outcome) = attested(&shown.attestation, &shown.result)?;
        let pushed = self.behind().messenger.push_slot(&attestation, &shown.attestation, &outcome, first).await;
        pushed.map_err(|why| {
            let text = format!("slot {} of process {process} cannot be pushed: {why}", shown.slot);
            DoorError::new(ErrorKind::Unavailable, text)
        })
    }
}

/// What was attested, from a result that was checked; its outcome must still be the one that was signed.
fn attested(raw: &bytes::Bytes, result: &Value) -> Result<(Attestation, Written), DoorError> {
    let wrong = |why: String| DoorError::new(ErrorKind::BadGateway, format!("the result cannot be pushed: {why}"));
    let item = DataItem::parse(raw.clone(), Profile::History).map_err(|e| wrong(e.to_string()))?;
    let attestation = Attestation::read(&item).map_err(|e| wrong(e.to_string()))?;
    let outcome = Written::read(canonical::to_string(result).as_bytes()).map_err(|e| wrong(e.to_string()))?;
    if attestation.verdict.outcome != outcome.hash() {
        return Err(wrong("its outbox is not shown to everybody, and is not pushed".to_owned()));
    }
    Ok((attestation, outcome))
}

/// That a result brought along has the entry that was attested.
fn same_entry(outcome: &Outcome, supplied: &Value, number: u32) -> Result<(), DoorError> {
    let lists = ["Messages", "Spawns", "Assignments"].map(|name| supplied.get(name).and_then(Value::as_array));
    let number = usize::try_from(number).unwrap_or(usize::MAX);
    let entry = lists.into_iter().flatten().flatten().nth(number).map(canonical::to_string);
    match entry {
        None => Err(DoorError::new(
            ErrorKind::BadRequest,
            format!(
                "body: no entry number {number} in its Messages, Spawns and Assignments; send the whole result, or none"
            ),
        )),
        Some(entry) if outcome.outbox().get(number) == Some(&entry) => Ok(()),
        Some(_) => Err(DoorError::new(
            ErrorKind::Conflict,
            format!(
                "body: entry {number} is not what the process's compute node has attested; only that is pushed: leave the body out"
            ),
        )),
    }
}
