//! `[compute]` of `node.toml`: what evaluation may take of this machine.

use std::{fmt, num::NonZeroUsize, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::CheckpointConfig;

/// What evaluation may take of this machine. What is left out follows from the machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ComputeConfig {
    /// Memory of live processes together, such as `"8 GiB"`; left out: half of what is free when the node starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Size>,
    /// Disk for processes that are parked, such as `"20 GiB"`; `"0"`: none is parked, what does not fit in memory is replayed.
    pub parked: Size,
    /// Threads that evaluate; left out: one for each processor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<NonZeroUsize>,
    /// Seconds after which a process that nobody asks is parked.
    pub idle_after_seconds: u64,
    /// Whether a module that the node has not met is compiled by a quick compiler first, so that its first message does not wait
    /// for the thorough one. On x86-64 only; `false`: never.
    pub baseline: bool,
    /// States of processes on Arweave: `[compute.checkpoints]`.
    pub checkpoints: CheckpointConfig,
}

impl Default for ComputeConfig {
    fn default() -> Self {
        Self {
            memory: None,
            parked: Size(20 << 30),
            threads: None,
            idle_after_seconds: 300,
            baseline: true,
            checkpoints: CheckpointConfig::default(),
        }
    }
}

/// A number of bytes, written with its unit: `"512 MiB"`, `"8 GiB"`, `"2 TiB"`, or `"0"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

const UNITS: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

/// A text that is not a size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a size; write a whole number and its unit, such as \"512 MiB\", \"8 GiB\" or \"2 TiB\" (or \"0\")"
)]
pub struct BadSize(String);

impl FromStr for Size {
    type Err = BadSize;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || BadSize(text.chars().take(40).collect());
        if text.trim() == "0" {
            return Ok(Self(0));
        }
        let unit = UNITS.into_iter().find_map(|(name, bytes)| Some((text.trim().strip_suffix(name)?, bytes)));
        let (number, unit) = unit.ok_or_else(bad)?;
        let number: u64 = number.trim().parse().map_err(|_| bad())?;
        number.checked_mul(unit).map(Self).ok_or_else(bad)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNITS.into_iter().find(|(_, unit)| self.0 >= *unit && self.0.is_multiple_of(*unit)) {
            Some((name, unit)) => write!(f, "{} {name}", self.0 / unit),
            // Only sizes with a unit are ever read.
            None => write!(f, "{} KiB", self.0.div_ceil(1 << 10)),
        }
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 == 0 { serializer.serialize_str("0") } else { serializer.collect_str(self) }
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
    use super::*;

    #[test]
    fn sizes_are_read_as_they_are_written() {
        for (text, bytes) in
            [("8 GiB", 8 << 30), ("512MiB", 512 << 20), (" 1 KiB ", 1024), ("2 TiB", 2 << 40), ("0", 0)]
        {
            let size: Size = text.parse().unwrap();
            assert_eq!(size, Size(bytes));
            let config = ComputeConfig { memory: Some(size), ..ComputeConfig::default() };
            let again: ComputeConfig = toml::from_str(&toml::to_string(&config).unwrap()).unwrap();
            assert_eq!(again.memory, Some(size), "{text}");
        }
        for text in ["", "8", "8 GB", "GiB", "-1 GiB", "1.5 GiB", "99999999999 TiB"] {
            let error = text.parse::<Size>().unwrap_err().to_string();
            assert!(error.contains(&format!("{text:?} is not a size")) && error.contains("8 GiB"), "{error}");
        }
    }

    #[test]
    fn what_is_left_out_is_usual_and_what_is_unknown_is_named() {
        let config: ComputeConfig = toml::from_str("idle_after_seconds = 9").unwrap();
        assert_eq!((config.memory, config.parked, config.idle_after_seconds), (None, Size(20 << 30), 9));
        let quick = |text: &str| toml::from_str::<ComputeConfig>(text).unwrap().baseline;
        assert!(config.baseline && !quick("baseline = false"));
        let error = |text: &str| toml::from_str::<ComputeConfig>(text).unwrap_err().to_string();
        assert!(error("memroy = \"8 GiB\"").contains("memroy"));
        assert!(error("memory = 8").contains("memory"));
        assert!(error("memory = \"8 gigs\"").contains("\"8 gigs\" is not a size"));
        assert!(error("threads = 0").contains("threads"));
    }
}
