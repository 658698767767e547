//! How often crons tick: what a process may ask for, and what one scheduler takes on.
//!
//! A tick costs a slot for ever, whether anybody wants it or not: rates are bounded, not only counts. Whole numbers only, so
//! that everybody refuses alike.

use std::iter::Sum;

/// Seconds that a block is taken to last, what Arweave aims at. Where blocks come faster, as on a local testnet, crons by
/// blocks tick more often than they are counted.
pub const BLOCK_SECONDS: u64 = 120;

/// Ticks per time. Sums of fractions of a second with divisors up to 40 are exact; others are rounded up by less than one
/// part in 10^4, those of the longest intervals most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate(u64);

impl Rate {
    /// One tick a second: the least common multiple of 1 to 40.
    const SECOND: u64 = 5_342_931_457_063_200;
    /// What the crons of one process may come to together: a tick a second.
    pub const PROCESS: Self = Self(Self::SECOND);
    /// What the crons of all processes of one scheduler may come to together, the same in every network: 64 ticks a second.
    pub const SCHEDULER: Self = Self(64 * Self::SECOND);

    /// A tick each time so many milliseconds have passed.
    pub(super) fn of_millis(every: u64) -> Self {
        // Intervals are whole seconds.
        Self(Self::SECOND.div_ceil((every / 1_000).max(1)))
    }

    /// A tick each time so many blocks have come.
    pub(super) fn of_blocks(every: u64) -> Self {
        Self(Self::SECOND.div_ceil(every.saturating_mul(BLOCK_SECONDS).max(1)))
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// What is left without `other`.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// Why a process's crons are too many.
    pub(super) fn too_many() -> String {
        format!(
            "with it the crons of this process come to more than one tick a second together, a block counted as \
             {BLOCK_SECONDS} seconds; write longer intervals or leave this one out"
        )
    }
}

impl Sum for Rate {
    fn sum<I: Iterator<Item = Self>>(rates: I) -> Self {
        rates.fold(Self::default(), Self::plus)
    }
}
