//! When a process's state is copied: often enough that going back is cheap, seldom enough that copying is.
//!
//! Where it sits: asked by `instance.rs` before each message. Nothing here is seen in an outcome; costs are counted in
//! fuel all the same, because a rule that looks at a clock cannot be tested.
//!
//! With `c` what a copy costs, and a failure after every `f` of good work, copying after every `w` costs `c/w` for each unit
//! of work and `w/2` for each failure. That is least at `w = √(2·c·f)`. How often messages fail is not known, so `f` is
//! the work since the last failure: a process whose messages all fail copies before each that follows a good one (and what
//! fails after a copy costs no replay), one that is left alone comes back to its longest window.

/// Bounds of what is replayed after a failed message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayPolicy {
    /// Most messages that are replayed after a failure.
    pub messages: usize,
    /// Most bytes of messages kept for a replay (one message more, however large, is kept).
    pub bytes: usize,
    /// Most fuel that a replay takes (plus that of one message). When `adaptive`, a process that is dear to copy may take
    /// more, and one whose messages fail takes less.
    pub fuel: u64,
    /// Whether the window follows what copying costs and how long ago a message failed.
    pub adaptive: bool,
}

impl Default for ReplayPolicy {
    fn default() -> Self {
        Self { messages: 256, bytes: 1 << 20, fuel: 300_000_000, adaptive: true }
    }
}

/// What looking through a memory costs, and copying a byte of what it holds, in fuel: measured, with 5 units of fuel a
/// nanosecond.
const LOOK: u64 = 50_000;
const FUEL_PER_BYTE: u64 = 1;
/// As many times what a copy costs may be done until the next: 1.6 % for copying.
const WORTH: u64 = 64;
/// Most fuel of a replay, whatever copying costs: half a second.
const LONGEST: u64 = 2_000_000_000;

/// What copying a state of this many bytes costs, in fuel.
pub(super) fn copy_fuel(bytes: usize) -> u64 {
    (bytes as u64).saturating_mul(FUEL_PER_BYTE).saturating_add(LOOK)
}

/// How a process's messages have gone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Fuel of good messages since the last that failed.
    since_failure: u64,
}

impl Default for Pace {
    /// Nothing has failed so far.
    fn default() -> Self {
        Self { since_failure: u64::MAX }
    }
}

impl Pace {
    pub(super) fn good(&mut self, fuel: u64) {
        self.since_failure = self.since_failure.saturating_add(fuel);
    }

    pub(super) fn failed(&mut self) {
        self.since_failure = 0;
    }

    /// After how much fuel the state is copied, when that costs `copy`.
    pub(super) fn window(&self, policy: &ReplayPolicy, copy: u64) -> u64 {
        if !policy.adaptive {
            return policy.fuel;
        }
        let longest = copy.saturating_mul(WORTH).clamp(policy.fuel, LONGEST.max(policy.fuel));
        let best = u128::from(copy).saturating_mul(2).saturating_mul(u128::from(self.since_failure)).isqrt();
        u64::try_from(best).unwrap_or(u64::MAX).min(longest)
    }
}

#[cfg(test)]
mod tests;
