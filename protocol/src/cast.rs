//! Proof of the right to read a cast's outcome.
//!
//! A cast ([`crate::terms::is_cast`]) is ordered, evaluated and attested like any message, but its outbox is not delivered,
//! and its outcome is given only to its sender and to its process's owner. They prove themselves with a signed data item,
//! of any signature type and never ordered, with the tags `Data-Protocol: weft`, `Type: Read-Outcome`, `Process`, `Message`
//! (its id or its assignment's) and `Expires` (milliseconds since 1970, at most [`MOST_AHEAD_MS`] ahead). Whoever holds the
//! outcome checks it; whoever is shown the proof can use it for this one outcome until it expires.

use crate::{
    Id,
    ans104::{DataItem, Tag},
};

/// How far ahead a proof may expire, in milliseconds.
pub const MOST_AHEAD_MS: u64 = 5 * 60 * 1_000;
/// Bytes of a proof at most.
pub const MAX_PROOF_BYTES: usize = 16 << 10;

const PROTOCOL: &str = "weft";
/// The tag `Type` of a proof.
pub const KIND: &str = "Read-Outcome";

/// Why an item does not prove the right to read an outcome.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// A tag is missing or malformed.
    #[error("tag {0} of the proof is missing or malformed")]
    Tag(&'static str),
    /// It is for something else.
    #[error("the proof's tag {0} names another one than is asked for")]
    Other(&'static str),
    /// It was good until some time ago.
    #[error("the proof expired {0} ms ago: sign a new one")]
    Expired(u64),
    /// It would be good for too long.
    #[error("the proof expires {0} ms ahead; at most {MOST_AHEAD_MS} are allowed")]
    TooFarAhead(u64),
}

/// The tags of a proof.
pub fn proof_tags(process: &Id, message: &Id, expires_ms: u64) -> Vec<Tag> {
    vec![
        Tag::new("Data-Protocol", PROTOCOL),
        Tag::new("Type", KIND),
        Tag::new("Process", process.to_string()),
        Tag::new("Message", message.to_string()),
        Tag::new("Expires", expires_ms.to_string()),
    ]
}

/// Checks what a proof says; its signature, and whose it is, are the caller's to check. `names` are the ids that the message
/// may be named by; clocks may differ by `skew_ms`.
///
/// # Errors
/// [`ProofError`] for the first tag that is wrong.
pub fn check_proof(item: &DataItem, process: &Id, names: &[Id], now_ms: u64, skew_ms: u64) -> Result<(), ProofError> {
    let tag = |name: &'static str| item.tag(name).ok_or(ProofError::Tag(name));
    let id = |name: &'static str| tag(name)?.parse::<Id>().map_err(|_| ProofError::Tag(name));
    for (name, value) in [("Data-Protocol", PROTOCOL), ("Type", KIND)] {
        if tag(name)? != value {
            return Err(ProofError::Tag(name));
        }
    }
    if id("Process")? != *process {
        return Err(ProofError::Other("Process"));
    }
    if !names.contains(&id("Message")?) {
        return Err(ProofError::Other("Message"));
    }
    let expires: u64 = tag("Expires")?.parse().map_err(|_| ProofError::Tag("Expires"))?;
    if let Some(late) = now_ms.checked_sub(expires).filter(|late| *late > skew_ms) {
        return Err(ProofError::Expired(late));
    }
    match expires.saturating_sub(now_ms) {
        ahead if ahead > MOST_AHEAD_MS.saturating_add(skew_ms) => Err(ProofError::TooFarAhead(ahead)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
