//! How many processes may be live, and with how many bytes: as configured, and less where the system has less.

use super::{PoolConfig, PoolStats};
use crate::compute::pool::machine;

/// Bytes that a process is expected to take as long as none is known.
const EXPECTED: usize = 4 << 20;
/// However much memory was refused, this much is tried again.
const LEAST_BYTES: usize = 64 << 20;

/// The bounds of what is live.
pub(in crate::compute::pool) struct Room {
    max_live: usize,
    max_bytes: usize,
    /// Whether the machine, or the control group, is about to run out of memory: whoever uses it.
    scarce: bool,
    parks: bool,
    /// Maps of memory when nothing was live.
    maps: usize,
    /// How many are live when the maps are counted next.
    count_maps_at: usize,
}

impl Room {
    pub(in crate::compute::pool) fn new(config: &PoolConfig) -> Self {
        let maps = machine::maps().unwrap_or(0);
        Self {
            max_live: config.max_live.clamp(1, machine::most_live(None, maps)),
            max_bytes: config.max_live_bytes,
            scarce: false,
            parks: config.parking.is_some(),
            maps,
            count_maps_at: 64,
        }
    }

    /// More than there may be.
    pub(super) fn is_over(&self, stats: &PoolStats) -> bool {
        // One process may be larger than the bound: it stays as long as it is alone.
        stats.live > self.max_live || (stats.live_bytes > self.max_bytes && stats.live > 1)
    }

    /// So much that the next process may have to wait.
    pub(super) fn is_tight(&self, stats: &PoolStats) -> bool {
        stats.live > self.max_live - self.max_live / 8
            || (stats.live_bytes > self.max_bytes - self.max_bytes / 8 && stats.live > 1)
    }

    /// Whether one more process can be live.
    pub(super) fn has_place(&self, stats: &PoolStats) -> bool {
        let bytes = stats.live_bytes.saturating_add(self.expected(stats));
        stats.live == 0 || (!self.scarce && stats.live < self.max_live && bytes <= self.max_bytes)
    }

    /// What one more process takes, about: as much as the others.
    pub(super) fn expected(&self, stats: &PoolStats) -> usize {
        stats.live_bytes.checked_div(stats.live).unwrap_or(EXPECTED).max(1 << 16)
    }

    pub(super) fn is_scarce(&self) -> bool {
        self.scarce
    }

    /// Whether idle processes have somewhere to go.
    pub(super) fn parks(&self) -> bool {
        self.parks
    }

    pub(super) fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    /// Notes whether memory is short on the machine, and whether the disk takes processes.
    pub(in crate::compute::pool) fn note(&mut self, scarce: bool, parks: bool) {
        (self.scarce, self.parks) = (scarce, parks);
    }

    /// The operating system refused memory, or one more map of it: what there is now is too much.
    pub(in crate::compute::pool) fn shrink(&mut self, stats: &PoolStats) {
        let others = stats.live.saturating_sub(1).max(1);
        self.max_live = self.max_live.min(others);
        self.max_bytes = self.max_bytes.min((stats.live_bytes - stats.live_bytes / 8).max(LEAST_BYTES));
        tracing::warn!(
            max_live = self.max_live,
            max_live_bytes = self.max_bytes,
            "the operating system refuses memory for one more process: this many stay live from now on, others are \
             parked; check the machine's memory, the limits of this program and vm.max_map_count"
        );
    }

    /// Whether it is time to count this program's maps.
    pub(in crate::compute::pool) fn wants_maps(&self, stats: &PoolStats) -> bool {
        stats.live >= self.count_maps_at
    }

    /// Corrects how many can be live by what they really take.
    pub(in crate::compute::pool) fn note_maps(&mut self, maps: Option<usize>, stats: &PoolStats) {
        self.count_maps_at = self.count_maps_at.saturating_mul(2);
        let Some(maps) = maps else { return };
        let each = maps.saturating_sub(self.maps).div_ceil(stats.live.max(1)).max(1);
        self.max_live = self.max_live.min(machine::most_live(Some(each), self.maps));
        tracing::debug!(each, max_live = self.max_live, "maps of memory of a live process");
    }
}
