//! The names of ticks.

use std::{fmt, str::FromStr};

use super::interval::MAX_INTERVAL;

/// What a cron counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Blocks.
    Block,
    /// Milliseconds.
    Time,
}

impl Class {
    /// The number in keys.
    pub const fn number(self) -> u32 {
        match self {
            Self::Block => 0,
            Self::Time => 1,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Time => "time",
        }
    }
}

/// One tick of one cron of a process. Text form: `<class>/<index>/<interval>/<number>/<due>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TickId {
    /// By blocks or by time.
    pub class: Class,
    /// The cron's position within its class.
    pub index: u32,
    /// The cron's interval as written.
    pub interval: String,
    /// Which tick, from 1.
    pub number: u64,
    /// When it is due: a height, or milliseconds since 1970.
    pub due: u64,
}

impl TickId {
    /// The cron's name in cursors, as AO has it: `<index>-<interval>`.
    pub fn cron(&self) -> String {
        format!("{}-{}", self.index, self.interval)
    }
}

impl fmt::Display for TickId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{}/{}", self.class.name(), self.index, self.interval, self.number, self.due)
    }
}

/// Text that names no tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a tick's name: expected <class>/<index>/<interval>/<number>/<due>, such as time/0/10-seconds/3/1735689630000"
)]
pub struct NoTickId;

impl FromStr for TickId {
    type Err = NoTickId;

    fn from_str(text: &str) -> Result<Self, NoTickId> {
        let mut parts = text.split('/');
        let mut part = || parts.next().ok_or(NoTickId);
        let class = match part()? {
            "block" => Class::Block,
            "time" => Class::Time,
            _ => return Err(NoTickId),
        };
        let index = part()?.parse().map_err(|_| NoTickId)?;
        let interval = part()?.to_owned();
        let number = part()?.parse().map_err(|_| NoTickId)?;
        let due = part()?.parse().map_err(|_| NoTickId)?;
        match parts.next() {
            None if interval.len() <= MAX_INTERVAL => Ok(Self { class, index, interval, number, due }),
            _ => Err(NoTickId),
        }
    }
}

/// A tick, and how many of its cron were left out just before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tick {
    /// Which.
    pub id: TickId,
    /// Left out before it; 0 but after a long pause.
    pub skipped: u64,
}
