//! The award rule: a pure function of quotes, latencies and preferences, in integers.
//!
//! # The rule
//!
//! * A quote above the payer's highest price is out. Of a provider that appears twice the better quote counts.
//! * Score = max(price, 1) × (1000 + latency), where latency is in milliseconds, rounded down to steps of 10 (so that
//!   noise decides nothing), counted as 250 when unknown and at most 60,000: a second of latency weighs as much as
//!   doubling the price. Times 8 for the incumbent (who has the state loaded), times 10 for everyone else. Low is good.
//! * Nodes to avoid (the process's scheduler and the messenger itself: whoever orders or pays should not also judge)
//!   come after all others if at least two others quote; otherwise they compete like everyone.
//! * Ties go by SHA-256(`"weft/award/v1\0"` ‖ process ‖ provider), so that equal providers share the processes.
//! * Who is taken is paid max(own, min(next, cap)): its own price or, if higher, the price of the next in the ranking
//!   up to the payer's highest (second price with a reserve). The last of the ranking gets its own price.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{Id, NodeKey};

const TIE_DOMAIN: &[u8] = b"weft/award/v1\0";
const LATENCY_STEP_MS: u64 = 10;
const UNKNOWN_LATENCY_MS: u64 = 250;
const MAX_LATENCY_MS: u64 = 60_000;
const LATENCY_BASE_MS: u64 = 1_000;
const INCUMBENT_TENTHS: u64 = 8;

/// One quote as the rule sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuoteInput {
    /// Who quoted.
    pub provider: NodeKey,
    /// The id of the quote.
    pub quote: Id,
    /// Its price, winston per 10^9 fuel.
    pub price_per_gfuel: u64,
    /// The payer's own measurement, in milliseconds.
    pub latency_ms: Option<u64>,
}

/// Everything the rule looks at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inputs {
    /// The process: decides ties.
    pub process: Id,
    /// The payer's highest price, winston per 10^9 fuel.
    pub max_price_per_gfuel: u64,
    /// Scheduler and messenger of the process.
    pub avoid: Vec<NodeKey>,
    /// Who held the last lease and may still have the process loaded.
    pub incumbent: Option<NodeKey>,
    /// The quotes, in any order.
    pub quotes: Vec<QuoteInput>,
}

/// A quote's place in the ranking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// Who quoted.
    pub provider: NodeKey,
    /// The id of the quote.
    pub quote: Id,
    /// The score; low is good.
    pub score: u64,
    /// What the payer pays if this quote is taken, winston per 10^9 fuel.
    pub pays_per_gfuel: u64,
    /// How place and price came about, for people.
    pub why: String,
}

/// A quote that was not considered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Excluded {
    /// Who quoted.
    pub provider: NodeKey,
    /// The id of the quote.
    pub quote: Id,
    /// Why, for people.
    pub why: String,
}

/// What the rule says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The quotes to take, the winner first; who refuses is followed by the next.
    pub ranking: Vec<Placed>,
    /// The quotes that were not considered.
    pub excluded: Vec<Excluded>,
}

impl Decision {
    /// The first of the ranking.
    pub fn winner(&self) -> Option<&Placed> {
        self.ranking.first()
    }
}

/// A quote with everything that orders it; the derived order is the ranking.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Sortable {
    avoided: bool,
    score: u64,
    tie: Id,
    quote: Id,
    provider: NodeKey,
    price: u64,
    latency_ms: Option<u64>,
}

/// Ranks the quotes (module documentation). The result does not depend on their order.
pub fn decide(inputs: &Inputs) -> Decision {
    let cap = inputs.max_price_per_gfuel;
    let (within, above): (Vec<_>, Vec<_>) = inputs.quotes.iter().partition(|quote| quote.price_per_gfuel <= cap);
    let others = |quote: &&&QuoteInput| !inputs.avoid.contains(&quote.provider);
    let others: BTreeSet<_> = within.iter().filter(others).map(|quote| quote.provider).collect();
    let avoiding = others.len() >= 2;
    let mut sorted: Vec<_> = within.into_iter().map(|quote| sortable(inputs, quote, avoiding)).collect();
    sorted.sort();
    let (ranked, repeated) = split_repeated(sorted);
    let mut excluded: Vec<_> = above.into_iter().map(|quote| over_cap(quote, cap)).chain(repeated).collect();
    excluded.sort_by_key(|quote| (quote.provider, quote.quote));
    let next = ranked.iter().skip(1).map(|next| Some(next.price)).chain([None]);
    let ranking = ranked.iter().zip(next).map(|(own, next)| place(inputs, own, next)).collect();
    Decision { ranking, excluded }
}

fn sortable(inputs: &Inputs, quote: &QuoteInput, avoiding: bool) -> Sortable {
    let tenths = if inputs.incumbent == Some(quote.provider) { INCUMBENT_TENTHS } else { 10 };
    let weight = LATENCY_BASE_MS + counted_latency(quote.latency_ms);
    Sortable {
        avoided: avoiding && inputs.avoid.contains(&quote.provider),
        score: quote.price_per_gfuel.max(1).saturating_mul(weight).saturating_mul(tenths),
        tie: tie(inputs.process, &quote.provider),
        quote: quote.quote,
        provider: quote.provider,
        price: quote.price_per_gfuel,
        latency_ms: quote.latency_ms,
    }
}

fn counted_latency(latency_ms: Option<u64>) -> u64 {
    let latency = latency_ms.unwrap_or(UNKNOWN_LATENCY_MS).min(MAX_LATENCY_MS);
    latency - latency % LATENCY_STEP_MS
}

fn tie(process: Id, provider: &NodeKey) -> Id {
    let mut bytes = TIE_DOMAIN.to_vec();
    bytes.extend_from_slice(process.as_bytes());
    bytes.extend_from_slice(provider.as_bytes());
    Id::sha256(&bytes)
}

fn split_repeated(sorted: Vec<Sortable>) -> (Vec<Sortable>, Vec<Excluded>) {
    let mut seen = BTreeSet::new();
    let (ranked, repeated): (Vec<_>, Vec<_>) = sorted.into_iter().partition(|quote| seen.insert(quote.provider));
    let excluded = repeated.into_iter().map(|quote| Excluded {
        provider: quote.provider,
        quote: quote.quote,
        why: "a better quote of the same provider counts".to_owned(),
    });
    (ranked, excluded.collect())
}

fn over_cap(quote: &QuoteInput, cap: u64) -> Excluded {
    let why = format!("{} is above the payer's highest price, {cap}", quote.price_per_gfuel);
    Excluded { provider: quote.provider, quote: quote.quote, why }
}

fn place(inputs: &Inputs, own: &Sortable, next: Option<u64>) -> Placed {
    let pays = next.map_or(own.price, |next| own.price.max(next.min(inputs.max_price_per_gfuel)));
    let latency = own.latency_ms.map_or_else(|| "unknown".to_owned(), |ms| format!("{ms} ms"));
    let mut why = format!("asks {}, latency {latency}", own.price);
    if inputs.incumbent == Some(own.provider) {
        why.push_str("; has the process loaded");
    }
    if own.avoided {
        why.push_str("; after all others: it is the process's scheduler or messenger");
    }
    match next {
        Some(next) => why.push_str(&format!("; would be paid {pays} (next asks {next})")),
        None => why.push_str(&format!("; would be paid {pays} (nobody after it)")),
    }
    Placed { provider: own.provider, quote: own.quote, score: own.score, pays_per_gfuel: pays, why }
}
