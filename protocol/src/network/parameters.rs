//! The numbers all nodes of a network agree on. Part of the network id; every one has a documented default and a
//! unit in its name.

use serde::{Deserialize, Serialize};

/// What all nodes must agree on: `[parameters]` in the network file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkParameters {
    /// Gossip topics that processes are spread over. Default 8, 1 to 1,024.
    pub shards: u16,
    /// Slots in a window, which ends with a state root. Default 32, 1 to 65,536.
    pub window: u32,
    /// Largest data item a node accepts, in bytes. Default 10 MiB, 1 KiB to 11 MiB.
    pub max_item_bytes: u64,
    /// How far two honest clocks may differ, in milliseconds. Default 2,000, at most 60,000.
    pub max_clock_skew_ms: u64,
    /// Ordering: `[parameters.order]`.
    pub order: OrderParameters,
    /// Evaluation: `[parameters.compute]`.
    pub compute: ComputeParameters,
    /// Offers, quotes and leases: `[parameters.market]`.
    pub market: MarketParameters,
    /// Anchoring on Arweave: `[parameters.anchor]`.
    pub anchor: AnchorParameters,
}

impl Default for NetworkParameters {
    fn default() -> Self {
        Self {
            shards: 8,
            window: 32,
            max_item_bytes: 10 * 1024 * 1024,
            max_clock_skew_ms: 2_000,
            order: OrderParameters::default(),
            compute: ComputeParameters::default(),
            market: MarketParameters::default(),
            anchor: AnchorParameters::default(),
        }
    }
}

/// How processes are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OrderParameters {
    /// Seats of a process's committee. Default 1 (AO's single SU), at most 32.
    pub seats: u16,
    /// Seats that must sign a certificate: more than half, at most all. Default 1.
    pub quorum: u16,
}

impl Default for OrderParameters {
    fn default() -> Self {
        Self { seats: 1, quorum: 1 }
    }
}

/// How processes are evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ComputeParameters {
    /// Most fuel one slot may burn; a slot that needs more fails. Default 25,000,000,000, 1,000,000 to 10^15.
    pub max_fuel_per_slot: u64,
    /// Most memory one process may hold, in bytes. Default 1 GiB, 1 MiB to 16 GiB.
    pub max_memory_bytes: u64,
    /// Equal attestations that make an outcome final when the process names no number. Default 1, at most 32.
    pub quorum: u16,
}

impl Default for ComputeParameters {
    fn default() -> Self {
        Self { max_fuel_per_slot: 25_000_000_000, max_memory_bytes: 1024 * 1024 * 1024, quorum: 1 }
    }
}

/// How compute is bought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MarketParameters {
    /// How long an offer lives, in seconds; it is published anew at half of that. Default 120, 2 to 86,400.
    pub offer_seconds: u32,
    /// How long a quote binds its provider, in seconds. Default 10, 1 to 600.
    pub quote_seconds: u32,
    /// How long a lease lasts, in seconds. Default 600, 5 to 86,400.
    pub lease_seconds: u32,
    /// How many slots a lease covers, if they come before its time is up. Default 10,000, 1 to 10^9.
    pub lease_slots: u64,
}

impl Default for MarketParameters {
    fn default() -> Self {
        Self { offer_seconds: 120, quote_seconds: 10, lease_seconds: 600, lease_slots: 10_000 }
    }
}

/// When something counts as being on Arweave for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AnchorParameters {
    /// Blocks on top of the one that holds a bundle, that one included. Default 2, 1 to 1,000.
    pub confirmations: u16,
    /// Blocks on top of the one that holds a layer-1 transaction, that one included, before it may be assigned to a process
    /// that names no `Settlement-Depth`. Default 20 (AO's), 1 to 1,000.
    pub settlement_depth: u16,
}

impl Default for AnchorParameters {
    fn default() -> Self {
        Self { confirmations: 2, settlement_depth: 20 }
    }
}

impl NetworkParameters {
    /// Every parameter by its path in the file, in the order of the canonical form.
    pub fn entries(&self) -> [(&'static str, u64); 15] {
        [
            ("shards", self.shards.into()),
            ("window", self.window.into()),
            ("max_item_bytes", self.max_item_bytes),
            ("max_clock_skew_ms", self.max_clock_skew_ms),
            ("order.seats", self.order.seats.into()),
            ("order.quorum", self.order.quorum.into()),
            ("compute.max_fuel_per_slot", self.compute.max_fuel_per_slot),
            ("compute.max_memory_bytes", self.compute.max_memory_bytes),
            ("compute.quorum", self.compute.quorum.into()),
            ("market.offer_seconds", self.market.offer_seconds.into()),
            ("market.quote_seconds", self.market.quote_seconds.into()),
            ("market.lease_seconds", self.market.lease_seconds.into()),
            ("market.lease_slots", self.market.lease_slots),
            ("anchor.confirmations", self.anchor.confirmations.into()),
            ("anchor.settlement_depth", self.anchor.settlement_depth.into()),
        ]
    }

    /// The bounds of each parameter, in the order of [`NetworkParameters::entries`].
    pub(super) const BOUNDS: [(u64, u64); 15] = [
        (1, 1_024),
        (1, 65_536),
        // One item and its frame fit a request of 12 MiB (node: the order lane).
        (1_024, 11 * 1024 * 1024),
        (0, 60_000),
        (1, 32),
        (1, 32),
        (1_000_000, 1_000_000_000_000_000),
        (1024 * 1024, 16 * 1024 * 1024 * 1024),
        (1, 32),
        (2, 86_400),
        (1, 600),
        (5, 86_400),
        (1, 1_000_000_000),
        (1, 1_000),
        (1, 1_000),
    ];
}
