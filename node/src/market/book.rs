//! The price book: the offers that have not expired, and whom to ask for a quote. Pure.

use std::{collections::BTreeMap, time::Duration};

use weft_protocol::{
    Network, NodeKey,
    market::{MAX_ASKED, Object, Observation, Offer, QuoteRequest, RefusalCode, Sequences},
    network::{Member, Role},
};

use super::{Evidence, Judgement, OfferEntry, ProviderReason, Want, handle::millis};

/// How long a provider that failed to answer is asked only after all others, in milliseconds.
const FAILED_MS: u64 = 30_000;

/// Offers by provider: at most one each, of registered compute nodes only, which bounds the book.
pub(super) struct PriceBook {
    network: Network,
    offers: BTreeMap<NodeKey, Object<Offer>>,
    seen: Sequences,
    failed: BTreeMap<NodeKey, u64>,
}

/// Whom to ask, and why not the others.
pub(super) struct Candidates {
    pub providers: Vec<NodeKey>,
    pub passed_over: Vec<ProviderReason>,
}

impl PriceBook {
    pub fn new(network: Network) -> Self {
        let seen = Sequences::new(network.all_members().len());
        Self { network, offers: BTreeMap::new(), seen, failed: BTreeMap::new() }
    }

    /// Takes an opened offer into the book if it is the newest of its provider.
    pub fn enter(&mut self, offer: Object<Offer>) -> (Judgement, Option<Evidence>) {
        let provider = offer.claim.issuer;
        let longest = u64::from(self.network.parameters().market.offer_seconds).saturating_mul(1_000);
        let life = offer.claim.expires_ms.saturating_sub(offer.claim.issued_ms);
        if !self.is_compute(&provider) || life > longest {
            return (Judgement::Reject, None);
        }
        match self.seen.observe(&offer) {
            Observation::Newest => {
                self.offers.insert(provider, offer);
                (Judgement::Accept, None)
            }
            // An older one is of no use to anybody.
            Observation::Late | Observation::Repeat | Observation::Stale => (Judgement::Ignore, None),
            Observation::Equivocation(first) => {
                let known = self.offers.get(&provider).filter(|known| known.id == first);
                let evidence = known.map(|known| Evidence {
                    issuer: provider,
                    seq: offer.claim.seq,
                    first: known.to_text(),
                    second: offer.to_text(),
                });
                (Judgement::Reject, evidence)
            }
        }
    }

    fn is_compute(&self, key: &NodeKey) -> bool {
        self.network.member(key).is_some_and(|member| member.roles.contains(&Role::Compute))
    }

    /// Drops what has expired.
    pub fn sweep(&mut self, now_ms: u64) {
        self.offers.retain(|_, offer| offer.claim.expires_ms > now_ms);
        self.failed.retain(|_, until| *until > now_ms);
    }

    /// Notes that a provider gave no usable answer.
    pub fn note_failure(&mut self, provider: NodeKey, now_ms: u64) {
        if self.is_compute(&provider) {
            self.failed.insert(provider, now_ms.saturating_add(FAILED_MS));
        }
    }

    /// Notes that a provider answered.
    pub fn note_answer(&mut self, provider: &NodeKey) {
        self.failed.remove(provider);
    }

    /// The offers, by provider.
    pub fn entries(&self, latency: impl Fn(NodeKey) -> Option<Duration>) -> Vec<OfferEntry> {
        let entry = |(provider, object): (&NodeKey, &Object<Offer>)| OfferEntry {
            provider: *provider,
            offer: object.claim.body.clone(),
            seq: object.claim.seq,
            expires_ms: object.claim.expires_ms,
            latency_ms: latency(*provider).map(millis),
        };
        self.offers.iter().map(entry).collect()
    }

    /// Whom to ask: suitable offers first, then (while fewer than two suit) registered compute nodes whose offer has
    /// not been heard; those that failed lately and those to avoid after the others, cheap and near before dear and
    /// far.
    pub fn candidates(
        &self,
        want: &Want,
        request: &QuoteRequest,
        latency: impl Fn(NodeKey) -> Option<Duration>,
    ) -> Candidates {
        let (mut fit, mut passed_over) = (Vec::new(), Vec::new());
        for (provider, offer) in &self.offers {
            match self.unfit(*provider, &offer.claim.body, want, request) {
                None => fit.push((*provider, offer.claim.body.price_per_gfuel)),
                Some(reason) => passed_over.push(ProviderReason { provider: *provider, reason }),
            }
        }
        if fit.len() < 2 {
            let silent = self.network.members(Role::Compute).map(|member: &Member| member.key);
            for provider in silent.filter(|key| !self.offers.contains_key(key)) {
                match self.excluded(provider, want) {
                    None => fit.push((provider, request.max_price_per_gfuel)),
                    Some(reason) => passed_over.push(ProviderReason { provider, reason }),
                }
            }
        }
        fit.sort_by_cached_key(|(provider, price)| {
            let far = latency(*provider).map_or(u64::MAX, millis);
            let avoid = *provider == want.scheduler || *provider == want.messenger;
            (self.failed.contains_key(provider), avoid, *price, far, *provider)
        });
        Candidates { providers: fit.into_iter().map(|(provider, _)| provider).take(MAX_ASKED).collect(), passed_over }
    }

    fn unfit(&self, provider: NodeKey, offer: &Offer, want: &Want, request: &QuoteRequest) -> Option<String> {
        if let Some(reason) = self.excluded(provider, want) {
            return Some(reason);
        }
        if offer.leases_free == 0 && want.incumbent != Some(provider) {
            return Some(format!("{}: its offer has no place free", RefusalCode::Capacity));
        }
        offer.suits(request).err().map(|refusal| refusal.to_string())
    }

    fn excluded(&self, provider: NodeKey, want: &Want) -> Option<String> {
        want.exclude.contains(&provider).then(|| "not asked: it failed lately".to_owned())
    }
}
