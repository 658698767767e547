//! The loop: owns price book, provider and history, signs what they decide.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    time::MissedTickBehavior,
};
use weft_protocol::{
    Id, Network, NodeKey,
    market::{
        ASSET, Answer, Award, AwardRecord, Body, Context, Fault, Issuer, Need, Object, Observation, Offer, Outcome,
        QuoteRequest, Refusal, RefusalCode, Rejection, Sequences, sign,
    },
    network::Role,
    wire,
};

use super::{
    AwardEntry, Clock, DynAsk, Judgement, MarketView, NoProvider, ProviderConfig, ProviderState, QuoteEntry,
    RefusalEntry, Want,
    book::PriceBook,
    handle::{Charge, Command, refused},
    history::History,
    payer::{Concluded, Plan},
    provider::{Considered, Provider, Taken},
    sequence::Sequence,
};

/// How often due work is looked for.
const TICK: Duration = Duration::from_secs(1);
/// The first offers come faster: a mesh takes a moment to form, and what is published before it is heard by nobody.
const EARLY_OFFERS: u32 = 6;
const EARLY_MS: u64 = 5_000;
/// How long a request, an award or a record stands before it is too late, in milliseconds.
const REQUEST_MS: u64 = 10_000;
const RECORD_MS: u64 = 60_000;

/// What the loop touches of the world.
pub(super) struct Outside {
    pub clock: Arc<dyn Clock>,
    pub ask: Arc<dyn DynAsk>,
    pub gossip: mpsc::Sender<wire::Gossip>,
}

/// What it sells and pays.
pub(super) struct Terms {
    pub provider: Option<ProviderConfig>,
    pub max_price_per_gfuel: u64,
}

/// When the next offer is due.
#[derive(Default)]
struct Schedule {
    due_ms: u64,
    published: u32,
}

pub(super) struct Service {
    network: Network,
    issuer: Arc<Issuer>,
    sequence: Sequence,
    outside: Outside,
    max_price_per_gfuel: u64,
    book: PriceBook,
    provider: Option<Provider>,
    records: Sequences,
    history: History,
    schedule: Schedule,
}

impl Service {
    pub fn new(network: Network, issuer: Arc<Issuer>, sequence: Sequence, terms: Terms, outside: Outside) -> Self {
        Self {
            book: PriceBook::new(network.clone()),
            provider: terms.provider.map(|config| Provider::new(config, network.clone())),
            records: Sequences::new(network.all_members().len()),
            max_price_per_gfuel: terms.max_price_per_gfuel,
            network,
            issuer,
            sequence,
            outside,
            history: History::default(),
            schedule: Schedule::default(),
        }
    }

    pub async fn run(mut self, mut mailbox: mpsc::Receiver<Command>) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                command = mailbox.recv() => match command {
                    None | Some(Command::Shutdown) => return,
                    Some(command) => self.handle(command).await,
                },
                _ = ticks.tick() => self.tick().await,
            }
        }
    }

    async fn handle(&mut self, command: Command) {
        match command {
            Command::Offer { signed, reply } => answer(reply, self.on_offer(&signed)),
            Command::Record { signed, reply } => answer(reply, self.on_record(&signed)),
            Command::Serve { from, request, reply } => answer(reply, self.serve(from, request).await),
            Command::Plan { want, reply } => answer(reply, self.plan(*want).await),
            Command::SignAward { award, reply } => answer(reply, self.sign_award(award).await),
            Command::Conclude { concluded, reply } => {
                self.conclude(*concluded).await;
                answer(reply, ());
            }
            Command::Charge { charge, reply } => answer(reply, self.charge(&charge)),
            Command::Release { lease, reply } => {
                answer(reply, self.provider.as_mut().is_some_and(|p| p.release(lease)))
            }
            Command::State { state, reply } => {
                self.set_state(state).await;
                answer(reply, ());
            }
            Command::View { reply } => answer(reply, self.view()),
            Command::Tick { reply } => {
                self.tick().await;
                answer(reply, ());
            }
            Command::Shutdown => {}
        }
    }

    fn now_ms(&self) -> u64 {
        self.outside.clock.now_ms()
    }

    fn context(&self) -> Context {
        let skew_ms = self.network.parameters().max_clock_skew_ms;
        Context { network: self.network.id(), now_ms: self.now_ms(), skew_ms }
    }

    fn me(&self) -> NodeKey {
        self.issuer.key()
    }

    /// Signs with a number that is on disk.
    async fn sign<T: Body>(&mut self, body: T, expires_ms: u64) -> Result<Object<T>, String> {
        let seq = self.sequence.next().await.map_err(|error| error.to_string())?;
        self.issuer.sign(body, seq, self.now_ms(), expires_ms).map_err(|error| error.to_string())
    }

    fn sweep(&mut self) {
        let now_ms = self.now_ms();
        self.book.sweep(now_ms);
        if let Some(provider) = &mut self.provider {
            provider.sweep(now_ms);
        }
        self.history.bought.retain(|lease| lease.expires_ms > now_ms);
    }

    async fn tick(&mut self) {
        self.sweep();
        if self.now_ms() >= self.schedule.due_ms {
            self.publish_offer().await;
        }
    }

    /// Signs this node's offer, enters it into our own book and publishes it.
    async fn publish_offer(&mut self) {
        let Some(offer) = self.provider.as_ref().map(Provider::offer) else { return };
        let (now_ms, life_ms) = (self.now_ms(), u64::from(self.network.parameters().market.offer_seconds) * 1_000);
        self.schedule.published = self.schedule.published.saturating_add(1);
        let early = self.schedule.published <= EARLY_OFFERS;
        let pause_ms = if early { EARLY_MS.min(life_ms / 2) } else { life_ms / 2 };
        self.schedule.due_ms = now_ms.saturating_add(pause_ms);
        let object = match self.sign(offer, now_ms.saturating_add(life_ms)).await {
            Ok(object) => object,
            Err(reason) => return tracing::error!(reason, "this node's offer cannot be published"),
        };
        self.publish(wire::gossip::Body::Offer(object.signed.clone()));
        if self.book.enter(object).0 == Judgement::Reject {
            tracing::warn!("the registry does not name this node as a compute node: nobody will buy from it");
        }
    }

    fn publish(&mut self, body: wire::gossip::Body) {
        if self.outside.gossip.try_send(wire::Gossip { body: Some(body) }).is_err() {
            self.history.counters.unpublished = self.history.counters.unpublished.saturating_add(1);
        }
    }

    fn on_offer(&mut self, signed: &wire::Signed) -> Judgement {
        let offer = match sign::open::<Offer>(signed, &self.context()) {
            Ok(offer) => offer,
            Err(rejection) => return self.judge_rejection(&rejection),
        };
        let (judgement, evidence) = self.book.enter(offer);
        if let Some(evidence) = evidence {
            tracing::warn!(issuer = %evidence.issuer, seq = evidence.seq, "two different offers with one number");
            self.history.counters.equivocations = self.history.counters.equivocations.saturating_add(1);
            self.history.evidence(evidence);
        }
        self.count_judgement(judgement)
    }

    fn on_record(&mut self, signed: &wire::Signed) -> Judgement {
        let object = match sign::open::<AwardRecord>(signed, &self.context()) {
            Ok(object) => object,
            Err(rejection) => return self.judge_rejection(&rejection),
        };
        let messenger = self.network.member(&object.claim.issuer).is_some_and(|m| m.roles.contains(&Role::Messenger));
        if !messenger || object.claim.body.replay().is_err() {
            return self.count_judgement(Judgement::Reject);
        }
        match self.records.observe(&object) {
            Observation::Newest | Observation::Late => {
                self.note_award(&object);
                Judgement::Accept
            }
            Observation::Repeat | Observation::Stale => Judgement::Ignore,
            Observation::Equivocation(_) => {
                self.history.counters.equivocations = self.history.counters.equivocations.saturating_add(1);
                self.count_judgement(Judgement::Reject)
            }
        }
    }

    fn judge_rejection(&mut self, rejection: &Rejection) -> Judgement {
        self.history.unopened(rejection.code, rejection.fault);
        match rejection.fault {
            Fault::None | Fault::Counted => Judgement::Ignore,
            Fault::Malice => Judgement::Reject,
        }
    }

    fn count_judgement(&mut self, judgement: Judgement) -> Judgement {
        if judgement == Judgement::Reject {
            self.history.counters.rejected = self.history.counters.rejected.saturating_add(1);
        }
        judgement
    }

    fn note_award(&mut self, object: &Object<AwardRecord>) {
        self.history.award(AwardEntry {
            at_ms: object.claim.issued_ms,
            id: object.id,
            payer: object.claim.issuer,
            record: object.claim.body.clone(),
        });
    }

    // ---- selling -----------------------------------------------------------------------------------------------

    async fn serve(&mut self, from: NodeKey, request: wire::Request) -> wire::Response {
        self.sweep();
        let mut process = None;
        let answer = match request.body {
            Some(wire::request::Body::Quote(wire::QuoteRequest { request: Some(signed) })) => {
                self.quote(from, &signed, &mut process).await
            }
            Some(wire::request::Body::Award(wire::Award { award: Some(signed) })) => {
                self.take_award(from, &signed, &mut process).await
            }
            _ => Err(Refusal::new(RefusalCode::BadSignature, "this is no request of the market")),
        };
        answer.unwrap_or_else(|refusal| {
            let by = self.me();
            self.history.refusal(RefusalEntry {
                at_ms: self.now_ms(),
                by,
                to: from,
                process,
                refusal: refusal.clone(),
            });
            refused(refusal)
        })
    }

    fn selling(&mut self) -> Result<&mut Provider, Refusal> {
        let refusal = || Refusal::new(RefusalCode::Draining, "this node sells no compute: ask another");
        self.provider.as_mut().ok_or_else(refusal)
    }

    /// `process` is set as soon as it is known, so that a refusal can name it.
    async fn quote(
        &mut self,
        from: NodeKey,
        signed: &wire::Signed,
        process: &mut Option<Id>,
    ) -> Result<wire::Response, Refusal> {
        let request = self.open::<QuoteRequest>(signed)?;
        *process = Some(request.claim.body.process);
        let me = self.me();
        let quote = match self.selling()?.consider(&request, from, me)? {
            Considered::Again(quote) => *quote,
            Considered::New(quote) => {
                let life_ms = u64::from(self.network.parameters().market.quote_seconds) * 1_000;
                let expires_ms = self.now_ms().saturating_add(life_ms);
                let quote = self.sign(quote, expires_ms).await.map_err(internal)?;
                self.note_quote(&quote);
                self.selling()?.stand(quote.clone());
                quote
            }
        };
        let quote = wire::Quote { quote: Some(quote.signed) };
        Ok(wire::Response { body: Some(wire::response::Body::Quote(quote)) })
    }

    async fn take_award(
        &mut self,
        from: NodeKey,
        signed: &wire::Signed,
        process: &mut Option<Id>,
    ) -> Result<wire::Response, Refusal> {
        let award = self.open::<Award>(signed)?;
        *process = Some(award.claim.body.process);
        let (me, now_ms) = (self.me(), self.now_ms());
        let grant = match self.selling()?.take(&award, from, me, now_ms)? {
            Taken::Again(grant) => *grant,
            Taken::New(grant, expires_ms) => {
                let grant = self.sign(grant, expires_ms).await.map_err(internal)?;
                self.selling()?.grant(grant.clone());
                grant
            }
        };
        let lease = wire::LeaseAccepted { lease: Some(grant.signed) };
        Ok(wire::Response { body: Some(wire::response::Body::Lease(lease)) })
    }

    fn open<T: Body>(&mut self, signed: &wire::Signed) -> Result<Object<T>, Refusal> {
        sign::open(signed, &self.context()).map_err(|rejection| {
            self.history.unopened(rejection.code, rejection.fault);
            Refusal::new(rejection.code, rejection.reason)
        })
    }

    fn charge(&mut self, charge: &Charge) -> Result<super::GrantedLease, Refusal> {
        self.sweep();
        let Charge { lease, payer, process, from_slot, to_slot } = *charge;
        self.selling()?.charge(lease, payer, process, from_slot, to_slot)
    }

    async fn set_state(&mut self, state: ProviderState) {
        if let Some(provider) = &mut self.provider {
            provider.set_state(state);
            self.publish_offer().await;
        }
    }

    fn note_quote(&mut self, quote: &Object<weft_protocol::market::Quote>) {
        let body = &quote.claim.body;
        self.history.quote(QuoteEntry {
            at_ms: self.now_ms(),
            quote: quote.id,
            provider: quote.claim.issuer,
            payer: body.payer,
            process: body.process,
            price_per_gfuel: body.price_per_gfuel,
            expires_ms: quote.claim.expires_ms,
        });
    }

    // ---- buying ------------------------------------------------------------------------------------------------

    async fn plan(&mut self, want: Want) -> Result<Plan, NoProvider> {
        self.sweep();
        let parameters = *self.network.parameters();
        let need = Need {
            module: want.module,
            profile: None,
            max_fuel_per_slot: parameters.compute.max_fuel_per_slot,
            max_memory_bytes: parameters.compute.max_memory_bytes,
            slots: parameters.market.lease_slots,
            seconds: parameters.market.lease_seconds,
            log_slots: want.log_slots,
        };
        let max_price_per_gfuel = self.max_price_per_gfuel;
        let request = |provider| QuoteRequest {
            provider,
            process: want.process,
            scheduler: want.scheduler,
            need,
            asset: ASSET.to_owned(),
            max_price_per_gfuel,
        };
        let me = self.me();
        let ask = Arc::clone(&self.outside.ask);
        let latency = |key| if key == me { Some(Duration::ZERO) } else { ask.latency(key) };
        let candidates = self.book.candidates(&want, &request(me), latency);
        let expires_ms = self.now_ms().saturating_add(REQUEST_MS);
        let mut requests = Vec::new();
        for provider in candidates.providers {
            let signed = self.sign(request(provider), expires_ms).await;
            requests.push(signed.map_err(|reason| {
                let reasons = vec![super::ProviderReason { provider: me, reason }];
                NoProvider { process: want.process, reasons, retry_after_ms: 0 }
            })?);
        }
        Ok(Plan { need, max_price_per_gfuel, requests, passed_over: candidates.passed_over })
    }

    async fn sign_award(&mut self, award: Award) -> Result<Object<Award>, String> {
        let expires_ms = self.now_ms().saturating_add(REQUEST_MS);
        self.sign(award, expires_ms).await
    }

    /// Keeps what was learnt and, when somebody won, tells everybody.
    async fn conclude(&mut self, concluded: Concluded) {
        let Concluded { record, quotes, lease } = concluded;
        let me = self.me();
        for quote in quotes.iter().filter(|quote| quote.claim.issuer != me) {
            self.note_quote(quote);
        }
        self.note_answers(&record);
        if let Some(lease) = lease {
            self.history.bought(lease);
        }
        if record.asked.is_empty() {
            return;
        }
        let expires_ms = self.now_ms().saturating_add(RECORD_MS);
        let won = record.winner().is_some();
        match self.sign(record, expires_ms).await {
            Ok(object) => {
                self.note_award(&object);
                if won {
                    self.publish(wire::gossip::Body::Award(object.signed));
                }
            }
            Err(reason) => tracing::error!(reason, "an award cannot be recorded"),
        }
    }

    fn note_answers(&mut self, record: &AwardRecord) {
        let (me, at_ms) = (self.me(), self.now_ms());
        let mut refusals = Vec::new();
        for asked in &record.asked {
            match &asked.answer {
                Answer::Quote { .. } => self.book.note_answer(&asked.provider),
                Answer::Refused(refusal) => {
                    self.book.note_answer(&asked.provider);
                    refusals.push((asked.provider, refusal.clone()));
                }
                Answer::Silent(_) => self.book.note_failure(asked.provider, at_ms),
            }
        }
        for attempt in &record.attempts {
            match &attempt.outcome {
                Outcome::Accepted(_) => {}
                Outcome::Refused(refusal) => refusals.push((attempt.provider, refusal.clone())),
                Outcome::Silent(_) => self.book.note_failure(attempt.provider, at_ms),
            }
        }
        let process = Some(record.process);
        for (by, refusal) in refusals.into_iter().filter(|(by, _)| *by != me) {
            self.history.refusal(RefusalEntry { at_ms, by, to: me, process, refusal });
        }
    }

    fn view(&mut self) -> MarketView {
        self.sweep();
        let (ask, me) = (Arc::clone(&self.outside.ask), self.me());
        MarketView {
            provider: self.provider.as_ref().map(Provider::state),
            offers: self.book.entries(|key| if key == me { Some(Duration::ZERO) } else { ask.latency(key) }),
            quotes: self.history.quotes.iter().cloned().collect(),
            awards: self.history.awards.iter().cloned().collect(),
            refusals: self.history.refusals.iter().cloned().collect(),
            bought: self.history.bought.iter().cloned().collect(),
            granted: self.provider.iter().flat_map(Provider::leases).cloned().collect(),
            evidence: self.history.evidence.iter().cloned().collect(),
            counters: self.history.counters,
        }
    }
}

/// A caller that has gone away does not want its answer any more.
fn answer<T>(reply: oneshot::Sender<T>, value: T) {
    let _ = reply.send(value);
}

fn internal(reason: String) -> Refusal {
    tracing::error!(reason, "the market cannot sign");
    Refusal::new(RefusalCode::Internal, "this node cannot sign at the moment")
}
