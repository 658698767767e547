//! The node's own numbers in `/metrics`: set when somebody asks, so that nothing has to be counted twice.
//!
//! Where it sits: registered by `node/setup.rs` in the registry that the mesh counts in too; `api.rs` sets them before it
//! writes the document. They are the numbers of `weft status`.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::{metrics::gauge::Gauge, registry::Registry};

use super::Api;

/// Names and meanings, in the order of [`Now`].
const NUMBERS: [(&str, &str); 22] = [
    ("weft_sealed_records", "Log records written since the start"),
    ("weft_log_flushes", "Flushes of the log to disk since the start"),
    ("weft_log_bytes", "Size of the log"),
    ("weft_attested_records", "Outcomes signed since the start"),
    ("weft_processes_live", "Processes whose memory is ready to go on, those being evaluated included"),
    ("weft_processes_parked", "Processes at rest on disk"),
    ("weft_processes_parkings", "Times that a process was put on disk since the start"),
    ("weft_processes_revivals", "Times that a process was read from disk since the start"),
    (
        "weft_processes_evicted",
        "Processes forgotten for want of room since the start: their logs are replayed when asked",
    ),
    ("weft_processes_live_bytes", "Memory of the live processes, with the copies kept of them"),
    ("weft_processes_live_bytes_limit", "Most memory that live processes may take"),
    ("weft_processes_parked_bytes", "Disk taken by processes at rest"),
    ("weft_evaluations_waiting", "Evaluations waiting for a seat"),
    ("weft_anchor_waiting", "Items waiting to be bundled"),
    ("weft_anchor_posted", "Items in bundles posted and not confirmed yet"),
    ("weft_anchor_confirmed", "Items confirmed on Arweave"),
    ("weft_anchor_reposted", "Bundles posted again because they were dropped"),
    ("weft_arweave_height", "Newest Arweave height known; 0 before the first answer"),
    ("weft_leases_held", "Leases in force that this node pays for"),
    ("weft_leases_lost", "Leases given up lately because their provider failed, at most 64"),
    ("weft_peers", "Peers connected"),
    ("weft_uptime_seconds", "Seconds since the start"),
];

/// One value for each of the numbers, in the order they are registered.
pub(super) type Now = [u64; NUMBERS.len()];

/// The gauges. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Gauges(Vec<Gauge<u64, AtomicU64>>);

impl Gauges {
    /// Gauges at zero, registered.
    pub fn register(registry: &mut Registry) -> Self {
        let one = |(name, help): (&str, &str)| {
            let gauge = Gauge::<u64, AtomicU64>::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        Self(NUMBERS.map(one).to_vec())
    }

    pub(super) fn set(&self, now: &Now) {
        for (gauge, value) in self.0.iter().zip(now) {
            gauge.set(*value);
        }
    }
}

fn wide(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

impl Api {
    /// The values now.
    pub(super) fn now(&self) -> Now {
        let behind = self.behind();
        let log = self.log_store().stats();
        let machine = &behind.compute.tools().machine;
        let pool = machine.pool.stats();
        let anchor = behind.anchor.as_ref().map(crate::anchor::AnchorHandle::summary).unwrap_or_default();
        [
            log.records,
            log.syncs,
            log.end,
            machine.store.stats().records,
            wide(pool.live),
            wide(pool.parked),
            pool.parkings,
            pool.revivals,
            pool.evicted,
            wide(pool.live_bytes),
            wide(pool.max_live_bytes),
            pool.parked_bytes,
            wide(pool.waiting),
            anchor.waiting,
            anchor.posted,
            anchor.confirmed,
            anchor.reposted,
            self.0.identity.height.load(Ordering::Relaxed),
            wide(behind.messenger.leases_held()),
            wide(behind.messenger.leases_lost().len()),
            wide(behind.peers.network().peers().len()),
            self.0.identity.started.elapsed().as_secs(),
        ]
    }
}

#[cfg(test)]
mod tests;
