//! The market's language and rules: offers, quotes, awards, leases, refusals; pure, so that every node and every
//! reader of a record comes to the same conclusion.
//!
//! Where it sits: above [`crate::network`]; `node/src/market` performs what is decided here. Every object is the
//! canonical JSON of a [`Claim`] under an ed25519 signature ([`sign`]).
//!
//! An exchange: a provider gossips an [`Offer`]; a payer sends a [`QuoteRequest`] to several providers; each answers
//! with a binding [`Quote`] or a [`Refusal`]; [`award::decide`] names the winner; the payer sends it an [`Award`]; the
//! provider countersigns with a [`LeaseGrant`]. The payer then gossips the [`AwardRecord`]: what was asked, answered
//! and awarded, which anyone can replay.
//!
//! Prices are winston per 1,000,000,000 units of fuel. Nothing is paid yet: prices order the offers and are recorded.

pub mod award;
pub mod lease;
pub mod offer;
pub mod quote;
pub mod record;
pub mod refusal;
pub mod sequence;
pub mod sign;
#[cfg(test)]
mod tests;

pub use award::{Decision, Inputs, QuoteInput};
pub use lease::{Award, LeaseGrant, lease_id};
pub use offer::{Limits, Offer};
pub use quote::{Need, Quote, QuoteRequest};
pub use record::{Answer, Asked, Attempt, AwardRecord, Outcome, ReplayError};
pub use refusal::{Refusal, RefusalCode};
pub use sequence::{Observation, Sequences};
pub use sign::{Body, Claim, Context, Fault, Issuer, Kind, Object, Rejection, SignError, SignedText};

/// What prices are in, today the only asset.
pub const ASSET: &str = "winston";
/// Highest price of an offer or quote, per 10^9 fuel: one AR.
pub const MAX_PRICE: u64 = 1_000_000_000_000;
/// Most providers asked for one lease.
pub const MAX_ASKED: usize = 10;
