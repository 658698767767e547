//! Buying: ask several providers, award by the rule, fall to the next on a refusal. Runs in the caller's task.

use std::{collections::BTreeSet, fmt, time::Duration};

use futures::{StreamExt, stream::FuturesUnordered};
use serde::Serialize;
use tokio::time::{Instant, timeout, timeout_at};
use weft_protocol::{
    Id, NodeKey,
    market::{
        Answer, Asked, Attempt, Award, AwardRecord, Context, LeaseGrant, Need, Object, Outcome, Quote, QuoteRequest,
        Refusal,
        award::{Placed, decide},
        refusal::shorten,
        sign,
    },
    wire,
};

use super::{MarketHandle, handle::millis};

/// How long providers have to quote.
const QUOTE_WAIT: Duration = Duration::from_secs(2);
/// How long the others have once two providers that need not be avoided have quoted.
const GRACE: Duration = Duration::from_millis(250);
/// How long a provider has to accept an award.
const AWARD_WAIT: Duration = Duration::from_secs(2);
/// Quotes after which the grace begins.
const ENOUGH: usize = 2;

/// What a messenger needs compute for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Want {
    /// The process.
    pub process: Id,
    /// Its module.
    pub module: Id,
    /// Its scheduler: avoided as provider while two others quote.
    pub scheduler: NodeKey,
    /// The messenger that asks, this node: avoided likewise.
    pub messenger: NodeKey,
    /// Providers that failed lately and are not to be asked.
    pub exclude: BTreeSet<NodeKey>,
    /// Who held the last lease and may have the process loaded: preferred within a fifth of the score.
    pub incumbent: Option<NodeKey>,
    /// Slots in the log: what a cold provider replays.
    pub log_slots: u64,
}

/// The right to have a process evaluated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lease {
    /// Its id, for `wire::Eval`.
    pub id: Id,
    /// The process.
    pub process: Id,
    /// Who evaluates.
    pub provider: NodeKey,
    /// What is paid, winston per 10^9 fuel.
    pub price_per_gfuel: u64,
    /// When it ends, milliseconds of wall clock.
    pub expires_ms: u64,
    /// Slots covered.
    pub slots: u64,
}

/// Why one provider did not get the lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProviderReason {
    /// Which.
    pub provider: NodeKey,
    /// Why, for people; starts with the refusal code when there was one.
    pub reason: String,
}

/// Nobody evaluates this process now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
pub struct NoProvider {
    /// The process.
    pub process: Id,
    /// Each provider considered, and why not it.
    pub reasons: Vec<ProviderReason>,
    /// When asking again may help, in milliseconds; 0: no advice.
    pub retry_after_ms: u64,
}

impl fmt::Display for NoProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no compute node takes process {}: ", self.process)?;
        if self.reasons.is_empty() {
            return f.write_str("none is known; start one with the role \"compute\", or wait for its offer");
        }
        for (index, ProviderReason { provider, reason }) in self.reasons.iter().enumerate() {
            let comma = if index == 0 { "" } else { "; " };
            write!(f, "{comma}{} ({reason})", provider.short())?;
        }
        f.write_str(". `weft market` shows offers and refusals")
    }
}

/// Whom to ask what: made by the loop, which owns book and sequence numbers.
pub(super) struct Plan {
    pub need: Need,
    pub max_price_per_gfuel: u64,
    pub requests: Vec<Object<QuoteRequest>>,
    pub passed_over: Vec<ProviderReason>,
}

/// What an attempt to buy came to, for the loop's book and history.
pub(super) struct Concluded {
    pub record: AwardRecord,
    pub quotes: Vec<Object<Quote>>,
    pub lease: Option<Lease>,
}

/// One provider's answer with the quote in full.
struct Answered {
    asked: Asked,
    quote: Option<Object<Quote>>,
}

/// Buys a lease for `want`.
pub(super) async fn buy(market: &MarketHandle, want: Want) -> Result<Lease, NoProvider> {
    let plan = market.plan(want.clone()).await?;
    let answers = ask_all(market, &want, &plan).await;
    let mut record = AwardRecord {
        process: want.process,
        need: plan.need,
        max_price_per_gfuel: plan.max_price_per_gfuel,
        avoid: avoid(&want),
        incumbent: want.incumbent,
        asked: answers.iter().map(|answer| answer.asked.clone()).collect(),
        decision: weft_protocol::market::Decision { ranking: Vec::new(), excluded: Vec::new() },
        attempts: Vec::new(),
    };
    record.decision = decide(&record.inputs());
    let quotes: Vec<_> = answers.into_iter().filter_map(|answer| answer.quote).collect();
    let mut lease = None;
    for placed in &record.decision.ranking {
        let Some(quote) = quotes.iter().find(|quote| quote.id == placed.quote) else { continue };
        let outcome = award(market, quote, placed).await;
        let (outcome, won) = match outcome {
            Ok(won) => (Outcome::Accepted(won.id), Some(won)),
            Err(outcome) => (outcome, None),
        };
        let price_per_gfuel = placed.pays_per_gfuel;
        record.attempts.push(Attempt { provider: placed.provider, price_per_gfuel, outcome });
        lease = won;
        if lease.is_some() {
            break;
        }
    }
    let failure = no_provider(&record, plan.passed_over);
    market.conclude(Concluded { record, quotes, lease: lease.clone() }).await;
    lease.ok_or(failure)
}

/// The process's scheduler and messenger, each once.
fn avoid(want: &Want) -> Vec<NodeKey> {
    let both: BTreeSet<_> = [want.scheduler, want.messenger].into();
    both.into_iter().collect()
}

/// Asks everybody at once. Whoever has not answered when the wait or the grace is over counts as silent.
async fn ask_all(market: &MarketHandle, want: &Want, plan: &Plan) -> Vec<Answered> {
    let mut waiting: FuturesUnordered<_> =
        plan.requests.iter().map(|request| ask_one(market, want, plan, request)).collect();
    let mut deadline = Instant::now() + QUOTE_WAIT;
    let (mut answers, mut quoted) = (Vec::new(), 0);
    while let Ok(Some(answer)) = timeout_at(deadline, waiting.next()).await {
        let provider = answer.asked.provider;
        quoted += usize::from(answer.quote.is_some() && provider != want.scheduler && provider != want.messenger);
        if quoted == ENOUGH {
            deadline = deadline.min(Instant::now() + GRACE);
        }
        answers.push(answer);
    }
    drop(waiting);
    for request in &plan.requests {
        let provider = request.claim.body.provider;
        if !answers.iter().any(|answer| answer.asked.provider == provider) {
            let answer = Answer::Silent("no answer in time".to_owned());
            answers.push(Answered { asked: asked(market, provider, answer), quote: None });
        }
    }
    answers
}

async fn ask_one(market: &MarketHandle, want: &Want, plan: &Plan, request: &Object<QuoteRequest>) -> Answered {
    let provider = request.claim.body.provider;
    let body = wire::request::Body::Quote(wire::QuoteRequest { request: Some(request.signed.clone()) });
    let (answer, quote) = match market.ask(provider, wire::Request { body: Some(body) }).await {
        Err(reason) => (Answer::Silent(shorten(&reason)), None),
        Ok(wire::Response { body: Some(wire::response::Body::Refusal(refusal)) }) => {
            (Answer::Refused(Refusal::from(refusal)), None)
        }
        Ok(wire::Response { body: Some(wire::response::Body::Quote(wire::Quote { quote: Some(signed) })) }) => {
            match check_quote(&signed, &market.context(), want, plan, request) {
                Ok(quote) => {
                    let price_per_gfuel = quote.claim.body.price_per_gfuel;
                    (Answer::Quote { quote: quote.id, price_per_gfuel }, Some(quote))
                }
                Err(reason) => (Answer::Silent(shorten(&format!("unusable quote: {reason}"))), None),
            }
        }
        Ok(_) => (Answer::Silent("answered something that is no quote".to_owned()), None),
    };
    Answered { asked: asked(market, provider, answer), quote }
}

fn asked(market: &MarketHandle, provider: NodeKey, answer: Answer) -> Asked {
    Asked { provider, latency_ms: market.latency(provider).map(millis), answer }
}

fn check_quote(
    signed: &wire::Signed,
    context: &Context,
    want: &Want,
    plan: &Plan,
    request: &Object<QuoteRequest>,
) -> Result<Object<Quote>, String> {
    let quote = sign::open::<Quote>(signed, context).map_err(|rejection| rejection.to_string())?;
    let body = &quote.claim.body;
    if quote.claim.issuer != request.claim.body.provider {
        return Err("signed by another node than the one asked".to_owned());
    }
    if body.request != request.id || body.payer != request.claim.issuer || body.process != want.process {
        return Err("it answers another request".to_owned());
    }
    if body.slots != plan.need.slots || body.seconds != plan.need.seconds {
        return Err("it covers other slots or another time than asked for".to_owned());
    }
    Ok(quote)
}

/// Awards one quote and checks the grant.
async fn award(market: &MarketHandle, quote: &Object<Quote>, placed: &Placed) -> Result<Lease, Outcome> {
    let silent = |reason: &str| Outcome::Silent(shorten(reason));
    if quote.claim.expires_ms <= market.now_ms() {
        return Err(silent("its quote expired before its turn came"));
    }
    let provider = placed.provider;
    let award =
        Award { quote: quote.id, provider, process: quote.claim.body.process, price_per_gfuel: placed.pays_per_gfuel };
    let award = market.sign_award(award).await.map_err(|reason| silent(&reason))?;
    let body = wire::request::Body::Award(wire::Award { award: Some(award.signed.clone()) });
    let answer = timeout(AWARD_WAIT, market.ask(provider, wire::Request { body: Some(body) })).await;
    let response = answer.map_err(|_| silent("no answer to the award in time"))?.map_err(|reason| silent(&reason))?;
    match response.body {
        Some(wire::response::Body::Refusal(refusal)) => Err(Outcome::Refused(Refusal::from(refusal))),
        Some(wire::response::Body::Lease(wire::LeaseAccepted { lease: Some(signed) })) => {
            check_grant(&signed, &market.context(), quote, &award)
                .map_err(|reason| silent(&format!("unusable lease: {reason}")))
        }
        _ => Err(silent("answered something that is no lease")),
    }
}

fn check_grant(
    signed: &wire::Signed,
    context: &Context,
    quote: &Object<Quote>,
    award: &Object<Award>,
) -> Result<Lease, String> {
    let grant = sign::open::<LeaseGrant>(signed, context).map_err(|rejection| rejection.to_string())?;
    let (claim, body, asked) = (&grant.claim, &grant.claim.body, &award.claim.body);
    if claim.issuer != asked.provider || body.award != award.id || body.quote != quote.id {
        return Err("it belongs to another award".to_owned());
    }
    let same = body.payer == award.claim.issuer
        && body.process == asked.process
        && body.price_per_gfuel == asked.price_per_gfuel
        && body.slots == quote.claim.body.slots;
    if !same {
        return Err("payer, process, price or slots differ from the award".to_owned());
    }
    Ok(Lease {
        id: body.lease,
        process: body.process,
        provider: claim.issuer,
        price_per_gfuel: body.price_per_gfuel,
        // A provider's clock must not make the payer believe in more than was agreed.
        expires_ms: claim
            .expires_ms
            .min(context.now_ms.saturating_add(u64::from(quote.claim.body.seconds).saturating_mul(1_000))),
        slots: body.slots,
    })
}

/// Why each provider failed, in the order it was tried.
fn no_provider(record: &AwardRecord, passed_over: Vec<ProviderReason>) -> NoProvider {
    let mut retry_after_ms: Option<u64> = None;
    let mut refused = |refusal: &Refusal| {
        let advice = Some(refusal.retry_after_ms).filter(|ms| *ms > 0);
        retry_after_ms = [retry_after_ms, advice].into_iter().flatten().min();
        refusal.to_string()
    };
    let mut reasons = Vec::new();
    for attempt in &record.attempts {
        let reason = match &attempt.outcome {
            Outcome::Accepted(_) => continue,
            Outcome::Refused(refusal) => refused(refusal),
            Outcome::Silent(reason) => reason.clone(),
        };
        reasons.push(ProviderReason { provider: attempt.provider, reason });
    }
    for asked in &record.asked {
        let reason = match &asked.answer {
            Answer::Quote { .. } => continue,
            Answer::Refused(refusal) => refused(refusal),
            Answer::Silent(reason) => reason.clone(),
        };
        reasons.push(ProviderReason { provider: asked.provider, reason });
    }
    let excluded = record.decision.excluded.iter();
    reasons.extend(excluded.map(|out| ProviderReason { provider: out.provider, reason: out.why.clone() }));
    reasons.extend(passed_over);
    NoProvider { process: record.process, reasons, retry_after_ms: retry_after_ms.unwrap_or(0) }
}
