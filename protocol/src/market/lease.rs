//! The award of a quote and the provider's countersignature, which together make a lease.

use serde::{Deserialize, Serialize};

use super::{Body, Kind, MAX_PRICE};
use crate::{Id, NodeKey};

const LEASE_DOMAIN: &[u8] = b"weft/lease/v1\0";

/// "You have it": the payer takes a quote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Award {
    /// The id of the quote.
    pub quote: Id,
    /// Who quoted.
    pub provider: NodeKey,
    /// The process.
    pub process: Id,
    /// What is paid, winston per 10^9 fuel: never below the quote ([`super::award`]).
    pub price_per_gfuel: u64,
}

impl Body for Award {
    const KIND: Kind = Kind::Award;

    fn check(&self) -> Result<(), String> {
        if self.price_per_gfuel > MAX_PRICE {
            return Err(format!("price_per_gfuel {} is above {MAX_PRICE}", self.price_per_gfuel));
        }
        Ok(())
    }
}

/// The provider's countersignature: the right and the duty to evaluate a process until the claim expires or the slots
/// are used up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseGrant {
    /// [`lease_id`] of quote and award.
    pub lease: Id,
    /// The id of the award.
    pub award: Id,
    /// The id of the quote.
    pub quote: Id,
    /// Who pays.
    pub payer: NodeKey,
    /// The process.
    pub process: Id,
    /// What is paid, winston per 10^9 fuel.
    pub price_per_gfuel: u64,
    /// Slots covered.
    pub slots: u64,
}

impl Body for LeaseGrant {
    const KIND: Kind = Kind::Lease;

    fn check(&self) -> Result<(), String> {
        if self.lease != lease_id(self.quote, self.award) {
            return Err("the lease's id does not follow from quote and award".to_owned());
        }
        Ok(())
    }
}

/// The id of the lease that an award of a quote makes: SHA-256(`"weft/lease/v1\0"` ‖ quote ‖ award).
pub fn lease_id(quote: Id, award: Id) -> Id {
    let mut bytes = LEASE_DOMAIN.to_vec();
    bytes.extend_from_slice(quote.as_bytes());
    bytes.extend_from_slice(award.as_bytes());
    Id::sha256(&bytes)
}
