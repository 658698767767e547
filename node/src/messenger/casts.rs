//! Casts: outcomes that are not for everybody. Who asks for one proves that he is its sender or its process's owner; the
//! messenger that holds the outcome checks that itself, whichever node passed the question on.

use bytes::Bytes;
use weft_protocol::{
    Id,
    ans104::{DataItem, Profile},
    assignment::Assignment,
    attestation::Attestation,
    cast::{MAX_PROOF_BYTES, check_proof},
    refusal::Code,
    terms::crank_process,
    wire::{self, Refusal},
};

use super::Tools;
use crate::clock::now_ms;

/// Processes that spawned each other, up to the first one that a key's owner spawned.
const MAX_ANCESTORS: usize = 16;

fn attestation(result: &wire::Result) -> Option<Attestation> {
    Attestation::read(&DataItem::parse(result.attestation.clone(), Profile::History).ok()?).ok()
}

/// The result as anybody may see it: a cast's without its outcome.
pub(super) fn shown(result: wire::Result) -> wire::Result {
    // What was checked when it was stored can be read; if it cannot, nothing is shown.
    match attestation(&result) {
        Some(attestation) if !attestation.cast => result,
        _ => wire::Result { outcome: Bytes::new(), ..result },
    }
}

/// The result for whoever brings `proof`; who brings none is shown what anybody may see.
pub(super) async fn given(
    tools: &Tools,
    process: &Id,
    result: wire::Result,
    proof: &Bytes,
) -> Result<wire::Result, Refusal> {
    let broken = || Code::Internal.refuse("a stored result cannot be read");
    let attestation = attestation(&result).ok_or_else(broken)?;
    if !attestation.cast {
        return Ok(result);
    }
    if proof.is_empty() {
        return Ok(shown(result));
    }
    let subject = &attestation.subject;
    let bad = |why: String| Code::BadItem.refuse(format!("the proof of the right to read it does not hold: {why}"));
    if proof.len() > MAX_PROOF_BYTES {
        return Err(bad(format!("it has {} bytes; {MAX_PROOF_BYTES} are allowed", proof.len())));
    }
    let item = crate::verified::item(proof.clone(), Profile::Strict).map_err(|e| bad(e.to_string()))?;
    let skew = tools.directory.network().parameters().max_clock_skew_ms;
    let names = [subject.message, subject.assignment];
    check_proof(&item, process, &names, now_ms(), skew).map_err(|e| bad(e.to_string()))?;
    let assignment = DataItem::parse(result.assignment.clone(), Profile::History).map_err(|_| broken())?;
    let assignment = Assignment::read(&assignment).map_err(|_| broken())?;
    match is_reader(tools, process, &assignment, &item.signer_address()).await? {
        true => Ok(result),
        false => Err(Code::Forbidden.refuse(format!(
            "{} is neither the sender of message {} nor the owner of process {process}: its outcome is not given to others",
            item.signer_address(),
            subject.message
        ))),
    }
}

/// Whether `reader` sent the cast, owns the process, or owns the process that sent it.
async fn is_reader(tools: &Tools, process: &Id, assignment: &Assignment, reader: &str) -> Result<bool, Refusal> {
    let sender = assignment.terms.cast.as_deref().unwrap_or_default();
    let from_process = assignment.crank.is_some() || assignment.cron.is_some();
    if !from_process && sender == reader {
        return Ok(true);
    }
    if owner(tools, *process).await?.as_deref() == Some(reader) {
        return Ok(true);
    }
    match sender.parse::<Id>() {
        Ok(sender) if from_process && sender != *process => Ok(owner(tools, sender).await?.as_deref() == Some(reader)),
        _ => Ok(false),
    }
}

/// Who signs for a process: the signer of its spawn item, or, where another process spawned it (the key that signed the item
/// is then anybody's), who signs for that one.
async fn owner(tools: &Tools, mut process: Id) -> Result<Option<String>, Refusal> {
    for _ancestor in 0..MAX_ANCESTORS {
        let located = tools.directory.locate(&process).await.map_err(|e| e.refusal())?;
        let assignment = Assignment::read(&located.assignment).map_err(|e| Code::Internal.refuse(e.to_string()))?;
        match assignment.crank {
            None => return Ok(Some(located.item.signer_address())),
            Some(crank) => match crank_process(&crank) {
                Some(parent) => process = parent,
                None => return Ok(None),
            },
        }
    }
    Ok(None)
}
