//! The draw itself: hash, logarithm and order. Described in [`crate::election`].

use std::cmp::Ordering;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};

use crate::{Id, NodeKey};

/// 64 in Q32: the logarithm of the largest `u`.
const FULL: u64 = 64 << 32;

/// What a draw is for. Different domains give independent orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Domain {
    /// Who orders a process.
    Scheduler,
    /// Who delivers for a process.
    Messenger,
    /// Who evaluates a process beside its lease holder, to attest or to check.
    Attest,
}

impl Domain {
    /// The bytes in front of the hashed seed.
    pub const fn bytes(self) -> &'static [u8] {
        match self {
            Self::Scheduler => b"ao/sched/elect/v1\0",
            Self::Messenger => b"ao/msgr/elect/v1\0",
            Self::Attest => b"ao/attest/elect/v1\0",
        }
    }
}

/// One candidate's place in a draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ranked {
    /// The candidate.
    pub key: NodeKey,
    /// Its weight (bond).
    pub weight: u64,
    /// Its number, 1 to 2^64; as JSON a string of decimal digits.
    #[serde(serialize_with = "write_u", deserialize_with = "read_u")]
    pub u: u128,
    /// `L(u)`, the inverse logarithm in Q32: small is good.
    pub l: u64,
}

/// All candidates of one draw in order, the first drawn first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draw {
    /// The order.
    pub order: Vec<Ranked>,
}

/// Draws an order of `candidates` (key and weight). Weight 0 cannot be drawn; of a key named twice the first counts.
pub fn elect(domain: Domain, seed: Id, process: Id, candidates: &[(NodeKey, u64)]) -> Draw {
    let mut order: Vec<_> = candidates
        .iter()
        .filter(|(_, weight)| *weight > 0)
        .map(|(key, weight)| {
            let u = number(domain, seed, process, key);
            Ranked { key: *key, weight: *weight, u, l: inverse_log2_q32(u) }
        })
        .collect();
    order.sort_by(compare);
    let mut seen = std::collections::BTreeSet::new();
    order.retain(|ranked| seen.insert(ranked.key));
    Draw { order }
}

fn number(domain: Domain, seed: Id, process: Id, key: &NodeKey) -> u128 {
    let mut hash = Sha256::new();
    hash.update(domain.bytes());
    hash.update(seed.as_bytes());
    hash.update(process.as_bytes());
    hash.update(key.as_bytes());
    let digest: [u8; 32] = hash.finalize().into();
    digest.first_chunk().map_or(0, |first| u128::from(u64::from_be_bytes(*first))) + 1
}

/// `L_a/w_a` against `L_b/w_b` without dividing: `L` has at most 39 bits and weights 64, so products fit.
fn compare(a: &Ranked, b: &Ranked) -> Ordering {
    let left = u128::from(a.l) * u128::from(b.weight);
    let right = u128::from(b.l) * u128::from(a.weight);
    left.cmp(&right).then_with(|| a.key.cmp(&b.key))
}

/// `L(u) = 64·2^32 − log2_q32(u)` for `u` of 1 to 2^64 (values outside are moved to the nearest).
pub fn inverse_log2_q32(u: u128) -> u64 {
    let u = u.clamp(1, 1 << 64);
    let whole = 127 - u.leading_zeros();
    // The mantissa in Q63, 1.0 to just below 2.0; its square fits 128 bits.
    let mut mantissa = if whole > 63 { u >> (whole - 63) } else { u << (63 - whole) };
    let mut log = u64::from(whole) << 32;
    for bit in (0..32).rev() {
        mantissa = (mantissa * mantissa) >> 63;
        if mantissa >> 64 != 0 {
            mantissa >>= 1;
            log |= 1 << bit;
        }
    }
    FULL.saturating_sub(log)
}

fn write_u<S: Serializer>(u: &u128, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(u)
}

fn read_u<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
    let text = String::deserialize(deserializer)?;
    let shape = text.len() <= 20 && !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let value = if shape { text.parse::<u128>().ok() } else { None };
    value
        .filter(|u| (1..=1 << 64).contains(u))
        .ok_or_else(|| de::Error::custom("u must be 1 to 2^64 in decimal digits"))
}
