//! One payer's question to one provider, and the binding answer.

use serde::{Deserialize, Serialize};

use super::{Body, Kind, MAX_PRICE};
use crate::{Id, NodeKey};

/// What a process needs of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Need {
    /// The module.
    pub module: Id,
    /// Hash of the engine profile; absent: any.
    pub profile: Option<Id>,
    /// Fuel a slot may burn.
    pub max_fuel_per_slot: u64,
    /// Memory the process may hold, in bytes.
    pub max_memory_bytes: u64,
    /// Slots to lease; at least 1.
    pub slots: u64,
    /// Seconds to lease; at least 1.
    pub seconds: u32,
    /// Slots in the log already: what a provider that starts cold replays.
    pub log_slots: u64,
}

/// "What do you ask for this process?"
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuoteRequest {
    /// Whom it is for: a request cannot be shown to another.
    pub provider: NodeKey,
    /// The process.
    pub process: Id,
    /// The scheduler whose log is to be followed.
    pub scheduler: NodeKey,
    /// What is needed.
    pub need: Need,
    /// What would be paid with ([`super::ASSET`]).
    pub asset: String,
    /// Highest price the payer accepts, winston per 10^9 fuel.
    pub max_price_per_gfuel: u64,
}

impl Body for QuoteRequest {
    const KIND: Kind = Kind::QuoteRequest;

    fn check(&self) -> Result<(), String> {
        if self.asset.is_empty() || self.asset.len() > 43 {
            return Err(format!("asset of {} bytes: use 1 to 43", self.asset.len()));
        }
        if self.need.slots == 0 || self.need.seconds == 0 {
            return Err("a lease of nothing: slots and seconds are at least 1".to_owned());
        }
        Ok(())
    }
}

/// A provider's binding answer: until the claim expires, an award of it is honoured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quote {
    /// The id of the request it answers.
    pub request: Id,
    /// Who may award it.
    pub payer: NodeKey,
    /// The process.
    pub process: Id,
    /// The provider's price, winston per 10^9 fuel.
    pub price_per_gfuel: u64,
    /// Slots the lease would cover.
    pub slots: u64,
    /// Seconds the lease would last.
    pub seconds: u32,
}

impl Body for Quote {
    const KIND: Kind = Kind::Quote;

    fn check(&self) -> Result<(), String> {
        if self.price_per_gfuel > MAX_PRICE {
            return Err(format!("price_per_gfuel {} is above {MAX_PRICE}", self.price_per_gfuel));
        }
        Ok(())
    }
}
