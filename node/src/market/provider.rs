//! The selling side's book: standing quotes, granted leases, and what is refused. Pure: the loop signs and sends.
//!
//! `quoted (quote_seconds) → leased (lease_seconds or slots) → gone`; every state has a deadline that frees its
//! capacity. A standing quote holds a place, because it binds.

use std::collections::BTreeMap;

use serde::Serialize;
use weft_protocol::{
    Id, Network, NodeKey,
    market::{
        Award, LeaseGrant, Limits, Object, Observation, Offer, Quote, QuoteRequest, Refusal, RefusalCode, Sequences,
        lease_id,
    },
    network::{Member, Role},
};

use super::{ProviderConfig, ProviderState};

/// Advice to a payer that found no place, in milliseconds.
const RETRY_MS: u64 = 2_000;

/// A lease this node granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GrantedLease {
    /// Its id.
    pub id: Id,
    /// Who pays.
    pub payer: NodeKey,
    /// The process.
    pub process: Id,
    /// What is paid, winston per 10^9 fuel.
    pub price_per_gfuel: u64,
    /// When it ends, milliseconds of wall clock.
    pub expires_ms: u64,
    /// Slots covered.
    pub slots: u64,
    /// Slots evaluated so far, each counted once.
    pub slots_used: u64,
    /// The first slot that has not been evaluated under this lease.
    #[serde(skip)]
    next_slot: u64,
}

/// What to answer to a request for a quote.
pub(super) enum Considered {
    /// The quote that stands already.
    Again(Box<Object<Quote>>),
    /// A new one, to be signed and then noted with [`Provider::stand`].
    New(Quote),
}

/// What to answer to an award.
pub(super) enum Taken {
    /// The grant that was given already.
    Again(Box<Object<LeaseGrant>>),
    /// A new one and when it ends, to be signed and then noted with [`Provider::grant`].
    New(LeaseGrant, u64),
}

pub(super) struct Provider {
    config: ProviderConfig,
    state: ProviderState,
    network: Network,
    quotes: BTreeMap<Id, Object<Quote>>,
    leases: BTreeMap<Id, GrantedLease>,
    /// Grants by award, so that a repeated award gets the same answer; swept with the leases.
    grants: BTreeMap<Id, Object<LeaseGrant>>,
    seen: Sequences,
}

impl Provider {
    pub fn new(config: ProviderConfig, network: Network) -> Self {
        let seen = Sequences::new(network.all_members().len().saturating_mul(2).max(2));
        Self {
            config,
            state: ProviderState::default(),
            network,
            quotes: BTreeMap::new(),
            leases: BTreeMap::new(),
            grants: BTreeMap::new(),
            seen,
        }
    }

    pub fn state(&self) -> ProviderState {
        self.state
    }

    pub fn set_state(&mut self, state: ProviderState) {
        self.state = state;
    }

    pub fn leases(&self) -> impl Iterator<Item = &GrantedLease> {
        self.leases.values()
    }

    /// The terms as they stand.
    pub fn offer(&self) -> Offer {
        let parameters = self.network.parameters();
        let open = self.state == ProviderState::Open;
        Offer {
            price_per_gfuel: self.config.price_per_gfuel,
            limits: Limits {
                max_fuel_per_slot: parameters.compute.max_fuel_per_slot,
                max_memory_bytes: self.config.max_memory_bytes.min(parameters.compute.max_memory_bytes),
                max_slots: parameters.market.lease_slots,
                max_seconds: parameters.market.lease_seconds,
                max_cold_slots: self.config.max_cold_slots,
            },
            profile: self.config.profile,
            modules: self.config.modules.clone(),
            leases_free: if open { self.free() } else { 0 },
            leases_max: self.config.max_leases,
        }
    }

    fn free(&self) -> u32 {
        let taken = u32::try_from(self.quotes.len() + self.leases.len()).unwrap_or(u32::MAX);
        self.config.max_leases.saturating_sub(taken)
    }

    /// Drops what has passed its deadline. Call before anything that looks at capacity.
    pub fn sweep(&mut self, now_ms: u64) {
        self.quotes.retain(|_, quote| quote.claim.expires_ms > now_ms);
        self.leases.retain(|_, lease| lease.expires_ms > now_ms);
        let leases = &self.leases;
        self.grants.retain(|_, grant| leases.contains_key(&grant.claim.body.lease));
    }

    /// Decides on a request. The quote it may lead to holds a place from [`Provider::stand`] on.
    pub fn consider(
        &mut self,
        request: &Object<QuoteRequest>,
        from: NodeKey,
        me: NodeKey,
    ) -> Result<Considered, Refusal> {
        let (payer, body) = (request.claim.issuer, &request.claim.body);
        self.check_payer(payer, from)?;
        if body.provider != me {
            return refuse(RefusalCode::BadSignature, "the request is for another provider");
        }
        self.check_sequence(request)?;
        if let Some(standing) = self.quotes.values().find(|quote| quote.claim.body.request == request.id) {
            return Ok(Considered::Again(Box::new(standing.clone())));
        }
        match self.state {
            ProviderState::Open => {}
            ProviderState::Draining => return refuse(RefusalCode::Draining, "this node is going away: ask another"),
            ProviderState::Maintenance => return self.maintenance(),
        }
        self.offer().suits(body)?;
        self.check_room(payer)?;
        Ok(Considered::New(Quote {
            request: request.id,
            payer,
            process: body.process,
            price_per_gfuel: self.config.price_per_gfuel,
            slots: body.need.slots,
            seconds: body.need.seconds,
        }))
    }

    /// Notes a signed quote; it holds a place until it expires.
    pub fn stand(&mut self, quote: Object<Quote>) {
        self.quotes.insert(quote.id, quote);
    }

    /// Decides on an award of a standing quote.
    pub fn take(&mut self, award: &Object<Award>, from: NodeKey, me: NodeKey, now_ms: u64) -> Result<Taken, Refusal> {
        let (payer, body) = (award.claim.issuer, &award.claim.body);
        self.check_payer(payer, from)?;
        if let Some(grant) = self.grants.get(&award.id) {
            return Ok(Taken::Again(Box::new(grant.clone())));
        }
        if body.provider != me {
            return refuse(RefusalCode::BadSignature, "the award is for another provider");
        }
        self.check_sequence(award)?;
        if self.state == ProviderState::Maintenance {
            return self.maintenance();
        }
        let Some(standing) = self.quotes.get(&body.quote) else {
            return refuse(RefusalCode::Expired, "no such quote stands here (any more): ask for a new one");
        };
        let quote = &standing.claim.body;
        if quote.payer != payer || quote.process != body.process {
            return refuse(RefusalCode::BadSignature, "the quote was given to another payer or for another process");
        }
        if body.price_per_gfuel < quote.price_per_gfuel {
            let reason = format!("{} awarded, {} quoted", body.price_per_gfuel, quote.price_per_gfuel);
            return refuse(RefusalCode::PriceBelowMin, reason);
        }
        let grant = LeaseGrant {
            lease: lease_id(body.quote, award.id),
            award: award.id,
            quote: body.quote,
            payer,
            process: body.process,
            price_per_gfuel: body.price_per_gfuel,
            slots: quote.slots,
        };
        Ok(Taken::New(grant, now_ms.saturating_add(u64::from(quote.seconds).saturating_mul(1_000))))
    }

    /// Notes a signed grant in the place of its quote. The payer's earlier leases of the same process end: one process
    /// takes one place.
    pub fn grant(&mut self, grant: Object<LeaseGrant>) {
        let body = &grant.claim.body;
        self.quotes.remove(&body.quote);
        self.leases.retain(|_, lease| lease.process != body.process || lease.payer != body.payer);
        let lease = GrantedLease {
            id: body.lease,
            payer: body.payer,
            process: body.process,
            price_per_gfuel: body.price_per_gfuel,
            expires_ms: grant.claim.expires_ms,
            slots: body.slots,
            slots_used: 0,
            next_slot: 0,
        };
        self.leases.insert(lease.id, lease);
        self.grants.insert(body.award, grant);
    }

    /// Counts slots `from..=to` against a lease, each once, before they are evaluated.
    pub fn charge(
        &mut self,
        lease: Id,
        payer: NodeKey,
        process: Id,
        from: u64,
        to: u64,
    ) -> Result<GrantedLease, Refusal> {
        let Some(lease) = self.leases.get_mut(&lease) else {
            return refuse(RefusalCode::Expired, "no such lease is held here (any more): take a new one");
        };
        if lease.payer != payer || lease.process != process {
            return refuse(RefusalCode::PayerBlocked, "the lease belongs to another payer or process");
        }
        let fresh = to.saturating_add(1).saturating_sub(from.max(lease.next_slot));
        let used = lease.slots_used.saturating_add(fresh);
        if used > lease.slots {
            let reason =
                format!("the lease covers {} slots, {} are used: take a new one", lease.slots, lease.slots_used);
            return refuse(RefusalCode::LeaseLimit, reason);
        }
        lease.slots_used = used;
        lease.next_slot = lease.next_slot.max(to.saturating_add(1));
        Ok(lease.clone())
    }

    /// Ends a lease early; whether there was one.
    pub fn release(&mut self, lease: Id) -> bool {
        self.leases.remove(&lease).is_some()
    }

    fn check_payer(&self, payer: NodeKey, from: NodeKey) -> Result<(), Refusal> {
        if payer != from {
            return refuse(RefusalCode::BadSignature, "signed by another node than the one that sends it");
        }
        let messenger = |member: &Member| member.roles.contains(&Role::Messenger);
        if !self.network.member(&payer).is_some_and(messenger) {
            return refuse(RefusalCode::PayerBlocked, "the payer is not registered as a messenger of this network");
        }
        if self.config.blocked_payers.contains(&payer) {
            return refuse(RefusalCode::PayerBlocked, "this provider does not work for this payer");
        }
        Ok(())
    }

    /// Only for registered payers: they bound the table.
    fn check_sequence<T>(&mut self, object: &Object<T>) -> Result<(), Refusal> {
        match self.seen.observe(object) {
            Observation::Newest | Observation::Late | Observation::Repeat => Ok(()),
            Observation::Stale => {
                refuse(RefusalCode::SeqReplayed, "its number is older than all remembered: use a new one")
            }
            Observation::Equivocation(first) => {
                refuse(RefusalCode::SeqReplayed, format!("its number was used for {} already", first.short()))
            }
        }
    }

    /// A place in all, and for one payer at most half of them in standing quotes.
    fn check_room(&self, payer: NodeKey) -> Result<(), Refusal> {
        let full = |reason: String| Err(Refusal::new(RefusalCode::Capacity, reason).retry_after(RETRY_MS));
        if self.free() == 0 {
            return full(format!("all {} places are taken", self.config.max_leases));
        }
        let standing = self.quotes.values().filter(|quote| quote.claim.body.payer == payer).count();
        let most = (self.config.max_leases / 2).max(1);
        if u32::try_from(standing).unwrap_or(u32::MAX) >= most {
            return full(format!("this payer holds {standing} quotes that it has not awarded"));
        }
        Ok(())
    }

    fn maintenance<T>(&self) -> Result<T, Refusal> {
        Err(Refusal::new(RefusalCode::Maintenance, "this node is under maintenance").retry_after(RETRY_MS))
    }
}

fn refuse<T>(code: RefusalCode, reason: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::new(code, reason))
}
