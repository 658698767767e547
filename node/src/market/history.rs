//! What the market did lately, for `weft market` and `/v1/market`: bounded lists, newest last.

use std::collections::VecDeque;

use serde::Serialize;
use weft_protocol::{
    Id, NodeKey,
    market::{AwardRecord, Fault, Offer, Refusal, RefusalCode, SignedText},
};

use super::{GrantedLease, Lease, ProviderState};

const MAX_QUOTES: usize = 128;
const MAX_AWARDS: usize = 64;
const MAX_REFUSALS: usize = 128;
const MAX_BOUGHT: usize = 256;
const MAX_EVIDENCE: usize = 16;

/// An offer in the price book.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OfferEntry {
    /// Who offers.
    pub provider: NodeKey,
    /// The terms.
    pub offer: Offer,
    /// Its sequence number.
    pub seq: u64,
    /// When it expires, milliseconds of wall clock.
    pub expires_ms: u64,
    /// Measured round-trip time, in milliseconds.
    pub latency_ms: Option<u64>,
}

/// A quote given or received here.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QuoteEntry {
    /// When, milliseconds of wall clock.
    pub at_ms: u64,
    /// Its id.
    pub quote: Id,
    /// Who quoted.
    pub provider: NodeKey,
    /// Who asked.
    pub payer: NodeKey,
    /// The process.
    pub process: Id,
    /// Winston per 10^9 fuel.
    pub price_per_gfuel: u64,
    /// Until when it binds, milliseconds of wall clock.
    pub expires_ms: u64,
}

/// A refusal given or received here.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RefusalEntry {
    /// When, milliseconds of wall clock.
    pub at_ms: u64,
    /// Who refused.
    pub by: NodeKey,
    /// Whom.
    pub to: NodeKey,
    /// The process, when the request could be read.
    pub process: Option<Id>,
    /// Code and reason.
    pub refusal: Refusal,
}

/// An award made here or heard of.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AwardEntry {
    /// When it was signed, milliseconds of wall clock.
    pub at_ms: u64,
    /// The record's id.
    pub id: Id,
    /// Who paid.
    pub payer: NodeKey,
    /// What was asked, answered and awarded.
    pub record: AwardRecord,
}

/// Two objects of one issuer with one sequence number: proof that it says different things to different nodes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evidence {
    /// The guilty.
    pub issuer: NodeKey,
    /// The number used twice.
    pub seq: u64,
    /// The first object.
    pub first: SignedText,
    /// The second.
    pub second: SignedText,
}

/// What was not accepted, since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Objects of another network, ignored.
    pub wrong_network: u64,
    /// Objects that came too late, ignored.
    pub expired: u64,
    /// Objects more than five minutes in the future, ignored.
    pub future: u64,
    /// Malformed, wrongly signed or not allowed.
    pub rejected: u64,
    /// Sequence numbers used twice.
    pub equivocations: u64,
    /// Publications dropped because the network was not taking any.
    pub unpublished: u64,
}

/// The market as this node sees it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MarketView {
    /// The state of this node's provider; `None` when it sells nothing.
    pub provider: Option<ProviderState>,
    /// Offers that have not expired, by provider.
    pub offers: Vec<OfferEntry>,
    /// Quotes, newest last.
    pub quotes: Vec<QuoteEntry>,
    /// Awards, newest last.
    pub awards: Vec<AwardEntry>,
    /// Refusals, newest last.
    pub refusals: Vec<RefusalEntry>,
    /// Leases this node holds as a payer and that have not expired, newest last.
    pub bought: Vec<Lease>,
    /// Leases this node has granted.
    pub granted: Vec<GrantedLease>,
    /// Proofs of equivocation, newest last.
    pub evidence: Vec<Evidence>,
    /// What was not accepted.
    pub counters: Counters,
}

/// The lists behind [`MarketView`].
#[derive(Default)]
pub(super) struct History {
    pub quotes: VecDeque<QuoteEntry>,
    pub awards: VecDeque<AwardEntry>,
    pub refusals: VecDeque<RefusalEntry>,
    pub bought: VecDeque<Lease>,
    pub evidence: VecDeque<Evidence>,
    pub counters: Counters,
}

impl History {
    pub fn quote(&mut self, entry: QuoteEntry) {
        push(&mut self.quotes, entry, MAX_QUOTES);
    }

    pub fn award(&mut self, entry: AwardEntry) {
        push(&mut self.awards, entry, MAX_AWARDS);
    }

    pub fn refusal(&mut self, entry: RefusalEntry) {
        push(&mut self.refusals, entry, MAX_REFUSALS);
    }

    pub fn evidence(&mut self, entry: Evidence) {
        push(&mut self.evidence, entry, MAX_EVIDENCE);
    }

    /// A lease bought here takes the place of the one before for the same process.
    pub fn bought(&mut self, lease: Lease) {
        self.bought.retain(|held| held.process != lease.process);
        push(&mut self.bought, lease, MAX_BOUGHT);
    }

    /// Counts an object that could not be opened.
    pub fn unopened(&mut self, code: RefusalCode, fault: Fault) {
        let counters = &mut self.counters;
        let counter = match (fault, code) {
            (Fault::Counted, _) => &mut counters.future,
            (Fault::None, RefusalCode::WrongNetwork) => &mut counters.wrong_network,
            (Fault::None, RefusalCode::Expired) => &mut counters.expired,
            (Fault::None | Fault::Malice, _) => &mut counters.rejected,
        };
        *counter = counter.saturating_add(1);
    }
}

fn push<T>(list: &mut VecDeque<T>, entry: T, most: usize) {
    if list.len() >= most {
        list.pop_front();
    }
    list.push_back(entry);
}
