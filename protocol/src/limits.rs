//! What one process may use: its tags `Memory-Limit` and `Compute-Limit`, or its module's, within what the network allows.
//!
//! Where it sits: a rule that all evaluators share, because a limit that is reached is part of an outcome.
//!
//! As in AO, the process's tag counts before the module's. Unlike in AO, a missing tag means the network's limit instead of
//! a refusal, a limit above the network's means the network's, and both limits hold while a message is evaluated.

use crate::ans104::Tag;

/// The tag that bounds memory: a number and a unit, `512-mb`, `1-gb`; units are 1024-based; no unit means bytes.
pub const MEMORY_LIMIT: &str = "Memory-Limit";
/// The tag that bounds the work for one message: a whole number, in units of fuel.
pub const COMPUTE_LIMIT: &str = "Compute-Limit";

/// Units of [`MEMORY_LIMIT`] and their bytes.
const UNITS: [(&str, u64); 5] = [("kb", 1 << 10), ("mb", 1 << 20), ("gb", 1 << 30), ("tb", 1 << 40), ("b", 1)];
/// Longest value that is looked at.
const MAX_LENGTH: usize = 32;

/// What one process may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of linear memory.
    pub memory_bytes: u64,
    /// Most fuel for one message.
    pub fuel: u64,
}

/// A tag that sets a limit cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the {of}'s tag {name} is {value:?}; {wanted}")]
pub struct LimitError {
    of: &'static str,
    name: &'static str,
    value: String,
    wanted: &'static str,
}

impl Limits {
    /// The limits of a process with these tags, whose module has those, on a network with limits `most`.
    ///
    /// # Errors
    /// When the tag that counts cannot be read: nobody may guess what was meant.
    pub fn of(process: &[Tag], module: &[Tag], most: Self) -> Result<Self, LimitError> {
        let memory = first(process, module, MEMORY_LIMIT)
            .map(|tag| tag.read(bytes, "write a number and a unit (b, kb, mb, gb or tb), for example 512-mb"));
        let fuel = first(process, module, COMPUTE_LIMIT)
            .map(|tag| tag.read(units, "write a whole number of at least 1, for example 9000000000000"));
        Ok(Self {
            memory_bytes: memory.transpose()?.map_or(most.memory_bytes, |limit| limit.min(most.memory_bytes)),
            fuel: fuel.transpose()?.map_or(most.fuel, |limit| limit.min(most.fuel)),
        })
    }
}

struct Found<'a> {
    of: &'static str,
    name: &'static str,
    value: &'a str,
}

impl Found<'_> {
    fn read(&self, parse: impl Fn(&str) -> Option<u64>, wanted: &'static str) -> Result<u64, LimitError> {
        let short = Some(self.value.trim()).filter(|value| value.len() <= MAX_LENGTH);
        short.and_then(parse).ok_or_else(|| LimitError {
            of: self.of,
            name: self.name,
            value: self.value.chars().take(MAX_LENGTH).collect(),
            wanted,
        })
    }
}

/// The tag that counts: the process's first of that name, else the module's.
fn first<'a>(process: &'a [Tag], module: &'a [Tag], name: &'static str) -> Option<Found<'a>> {
    let find =
        |of, tags: &'a [Tag]| tags.iter().find(|tag| tag.name == name).map(|tag| Found { of, name, value: &tag.value });
    find("process", process).or_else(|| find("module", module))
}

/// A whole number of at least 1; one beyond 64 bits is as good as any other beyond the network's limit.
fn units(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(u64::MAX)).filter(|number| *number > 0)
}

/// `512-mb`, `512mb`, `1.5-gb`, `1073741824`: at least one byte.
fn bytes(text: &str) -> Option<u64> {
    let text = text.to_ascii_lowercase();
    let unit = UNITS.iter().find(|(name, _)| text.ends_with(name));
    let (number, unit) = match unit {
        Some((name, bytes)) => (text.strip_suffix(name)?, *bytes),
        None => (text.as_str(), 1),
    };
    let number = number.strip_suffix(['-', ' ']).unwrap_or(number);
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(part) || part.len() > 6 {
        return None;
    }
    let whole = u128::from(whole.parse::<u64>().unwrap_or(u64::MAX)).saturating_mul(u128::from(unit));
    let scale = 10_u128.pow(part.len() as u32);
    let part = part.parse::<u128>().ok()?.saturating_mul(u128::from(unit)) / scale;
    Some(u64::try_from(whole.saturating_add(part)).unwrap_or(u64::MAX)).filter(|bytes| *bytes > 0)
}

#[cfg(test)]
mod tests;
