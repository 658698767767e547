//! A provider's public terms.

use serde::{Deserialize, Serialize};

use super::{ASSET, Body, Kind, MAX_PRICE, QuoteRequest, Refusal, RefusalCode};
use crate::Id;

/// Most modules an offer may list.
pub const MAX_MODULES: usize = 64;

/// The most a provider does for one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Fuel burnt for one slot.
    pub max_fuel_per_slot: u64,
    /// Memory of the process, in bytes.
    pub max_memory_bytes: u64,
    /// Slots one lease covers.
    pub max_slots: u64,
    /// Seconds one lease lasts.
    pub max_seconds: u32,
    /// Slots replayed to catch up with a process.
    pub max_cold_slots: u64,
}

/// A provider's public prices and limits. Not binding; a [`super::Quote`] is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// Winston per 10^9 fuel, at most [`MAX_PRICE`].
    pub price_per_gfuel: u64,
    /// What may be asked for.
    pub limits: Limits,
    /// Hash of the engine profile; absent: not stated.
    pub profile: Option<Id>,
    /// Modules that are run; empty: all. At most [`MAX_MODULES`].
    pub modules: Vec<Id>,
    /// Leases that could be taken when the offer was signed.
    pub leases_free: u32,
    /// Leases held at once at most.
    pub leases_max: u32,
}

impl Body for Offer {
    const KIND: Kind = Kind::Offer;

    fn check(&self) -> Result<(), String> {
        if self.price_per_gfuel > MAX_PRICE {
            return Err(format!("price_per_gfuel {} is above {MAX_PRICE}", self.price_per_gfuel));
        }
        if self.modules.len() > MAX_MODULES {
            return Err(format!("{} modules are more than {MAX_MODULES}", self.modules.len()));
        }
        if self.leases_free > self.leases_max {
            return Err(format!("leases_free {} is above leases_max {}", self.leases_free, self.leases_max));
        }
        Ok(())
    }
}

impl Offer {
    /// Whether these terms meet a request. Both sides ask this: the provider before it quotes, the payer before it
    /// asks.
    ///
    /// # Errors
    /// The refusal a provider with these terms answers.
    pub fn suits(&self, request: &QuoteRequest) -> Result<(), Refusal> {
        let need = &request.need;
        let over = |code, what: &str, asked: u64, most: u64| {
            Err(Refusal::new(code, format!("{what}: {asked} asked, at most {most} given")))
        };
        let limits = &self.limits;
        if request.asset != ASSET {
            let reason = format!("payment in {:?} is not taken, only in {ASSET}", request.asset);
            return Err(Refusal::new(RefusalCode::PaymentAsset, reason));
        }
        if let (Some(asked), Some(own)) = (need.profile, self.profile)
            && asked != own
        {
            let reason = format!("engine profile {} asked, {} run", asked.short(), own.short());
            return Err(Refusal::new(RefusalCode::ProfileUnsupported, reason));
        }
        if !self.modules.is_empty() && !self.modules.contains(&need.module) {
            let reason = format!("module {} is not on this provider's list", need.module);
            return Err(Refusal::new(RefusalCode::ModuleNotAllowed, reason));
        }
        if need.max_memory_bytes > limits.max_memory_bytes {
            return over(
                RefusalCode::MemoryOverLimit,
                "memory in bytes",
                need.max_memory_bytes,
                limits.max_memory_bytes,
            );
        }
        if need.max_fuel_per_slot > limits.max_fuel_per_slot {
            return over(RefusalCode::FuelOverLimit, "fuel per slot", need.max_fuel_per_slot, limits.max_fuel_per_slot);
        }
        if need.log_slots > limits.max_cold_slots {
            return over(RefusalCode::ColdLoadTooLarge, "slots to replay", need.log_slots, limits.max_cold_slots);
        }
        if need.slots > limits.max_slots {
            return over(RefusalCode::LeaseLimit, "slots of a lease", need.slots, limits.max_slots);
        }
        if need.seconds > limits.max_seconds {
            return over(RefusalCode::LeaseLimit, "seconds of a lease", need.seconds.into(), limits.max_seconds.into());
        }
        if request.max_price_per_gfuel < self.price_per_gfuel {
            let reason =
                format!("{} bid, {} asked (winston per 10^9 fuel)", request.max_price_per_gfuel, self.price_per_gfuel);
            return Err(Refusal::new(RefusalCode::PriceBelowMin, reason));
        }
        Ok(())
    }
}
