//! How deep a layer-1 transaction must be before a process is assigned it.
//!
//! Where it sits: schedulers check a process's tag when it is spawned and read it whenever a transaction is to be assigned;
//! messengers learn from it how long an assignment out of an outbox may wait for its transaction.

use crate::ans104::Tag;

/// The tag by which a process names the confirmations that it wants.
pub const TAG: &str = "Settlement-Depth";
/// Confirmations that a process can ask for at most; what the network's own parameter can be.
pub const MAX_DEPTH: u64 = 1_000;

/// Time allowed for each block: Arweave makes one about every two minutes.
const PER_BLOCK_MS: u64 = 5 * 60 * 1_000;
/// Blocks allowed for a transaction to be mined at all.
const TO_BE_MINED: u64 = 12;

fn written(tags: &[Tag]) -> Option<&str> {
    tags.iter().find(|tag| tag.name == TAG).map(|tag| tag.value.as_str())
}

/// Checks the tag of a process to be spawned; a process without it is fine.
///
/// # Errors
/// Names the tag, its value (shortened) and what to write.
pub fn check(tags: &[Tag]) -> Result<(), String> {
    let usable = |value: &str| value.parse().is_ok_and(|depth: u64| (1..=MAX_DEPTH).contains(&depth));
    match written(tags).filter(|value| !usable(value)) {
        None => Ok(()),
        Some(value) => {
            let value: String = value.chars().take(64).collect();
            Err(format!(
                "tag {TAG} = {value:?}: write the confirmations as a whole number from 1 to {MAX_DEPTH}, or leave it out"
            ))
        }
    }
}

/// Confirmations that the process with these tags wants; `usual` if it does not say. Processes spawned before their tag was
/// checked are read too: a number out of bounds is the nearest in bounds, what is no number is as if it were not there.
pub fn depth(tags: &[Tag], usual: u64) -> u64 {
    let digits = |value: &&str| !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    // More digits than fit are more confirmations than anybody can ask for.
    let own = written(tags).filter(digits).map(|value| value.parse().unwrap_or(u64::MAX));
    own.unwrap_or(usual).clamp(1, MAX_DEPTH)
}

/// Milliseconds after which an assignment out of an outbox no longer waits for its transaction to be `depth` blocks deep.
pub fn patience_ms(depth: u64) -> u64 {
    depth.min(MAX_DEPTH).saturating_add(TO_BE_MINED).saturating_mul(PER_BLOCK_MS)
}

#[cfg(test)]
mod tests;
