//! The provider's side and gossip: what is accepted, what is refused and with which code.

use weft_protocol::market::{
    ASSET, Award, AwardRecord, Limits, Need, Object, Offer, Quote, QuoteRequest, Refusal, RefusalCode, sign,
};

use super::*;

fn need() -> Need {
    Need {
        module: id("module"),
        profile: None,
        max_fuel_per_slot: 1_000_000,
        max_memory_bytes: 1 << 20,
        slots: 100,
        seconds: 60,
        log_slots: 10,
    }
}

/// Node 1 asks node 2.
fn request(process: &str) -> QuoteRequest {
    QuoteRequest {
        provider: key(2),
        process: id(process),
        scheduler: key(3),
        need: need(),
        asset: ASSET.to_owned(),
        max_price_per_gfuel: 100,
    }
}

fn quote_wire(signed: wire::Signed) -> wire::Request {
    wire::Request { body: Some(wire::request::Body::Quote(wire::QuoteRequest { request: Some(signed) })) }
}

fn award_wire(signed: wire::Signed) -> wire::Request {
    wire::Request { body: Some(wire::request::Body::Award(wire::Award { award: Some(signed) })) }
}

fn refusal(response: wire::Response) -> Refusal {
    match response.body {
        Some(wire::response::Body::Refusal(refusal)) => refusal.into(),
        other => panic!("expected a refusal, got {other:?}"),
    }
}

impl World {
    fn context(&self) -> weft_protocol::market::Context {
        weft_protocol::market::Context { network: self.network.id(), now_ms: self.now(), skew_ms: 0 }
    }

    async fn quoted(&self, request: &Object<QuoteRequest>) -> Object<Quote> {
        match self.node(2).serve(request.claim.issuer, quote_wire(request.signed.clone())).await.body {
            Some(wire::response::Body::Quote(quote)) => sign::open(&quote.quote.unwrap(), &self.context()).unwrap(),
            other => panic!("expected a quote, got {other:?}"),
        }
    }

    async fn code(&self, from: u8, request: wire::Request) -> RefusalCode {
        refusal(self.node(2).serve(key(from), request).await).code
    }

    async fn refused(&self, change: impl FnOnce(&mut QuoteRequest), seq: u64) -> RefusalCode {
        let mut request = request("p");
        change(&mut request);
        self.code(1, quote_wire(self.sign(1, request, seq).signed)).await
    }
}

#[tokio::test]
async fn offers_are_published_heard_renewed_and_expire() {
    let mut world = World::start(&[None, Some(100), Some(100)]).await;
    let view = world.view(1).await;
    assert_eq!(view.offers.iter().map(|offer| offer.provider).collect::<BTreeSet<_>>(), [key(2), key(3)].into());
    assert_eq!(view.provider, None);
    let first = view.offers[0].seq;
    // Early ones come every five seconds, later ones at half of their life.
    for _ in 0..5 {
        world.pass(5_000).await;
        assert_eq!(world.gossip().await, 2);
    }
    world.pass(5_000).await;
    assert_eq!(world.gossip().await, 2);
    world.pass(59_000).await;
    assert_eq!(world.gossip().await, 0);
    world.pass(1_000).await;
    assert_eq!(world.gossip().await, 2);
    assert!(world.view(1).await.offers[0].seq > first);
    // Nobody publishes any more: the book empties.
    world.node(2).shutdown().await;
    world.node(3).shutdown().await;
    world.pass(120_001).await;
    assert!(world.view(1).await.offers.is_empty());
}

#[tokio::test]
async fn terms_and_payers_are_refused_with_their_codes() {
    let config = ProviderConfig {
        max_memory_bytes: 2 << 20,
        max_cold_slots: 100,
        modules: vec![id("module")],
        profile: Some(id("profile")),
        blocked_payers: [key(3)].into(),
        ..priced(100)
    };
    let world = World::with(vec![None, Some(config), None]).await;
    assert_eq!(world.refused(|r| r.max_price_per_gfuel = 99, 1).await, RefusalCode::PriceBelowMin);
    assert_eq!(world.refused(|r| r.need.module = id("x"), 2).await, RefusalCode::ModuleNotAllowed);
    assert_eq!(world.refused(|r| r.need.profile = Some(id("x")), 3).await, RefusalCode::ProfileUnsupported);
    assert_eq!(world.refused(|r| r.need.max_memory_bytes = 3 << 20, 4).await, RefusalCode::MemoryOverLimit);
    assert_eq!(world.refused(|r| r.need.max_fuel_per_slot = u64::MAX, 5).await, RefusalCode::FuelOverLimit);
    assert_eq!(world.refused(|r| r.need.log_slots = 101, 6).await, RefusalCode::ColdLoadTooLarge);
    assert_eq!(world.refused(|r| r.need.slots = 10_001, 7).await, RefusalCode::LeaseLimit);
    assert_eq!(world.refused(|r| r.asset = "AO".to_owned(), 8).await, RefusalCode::PaymentAsset);
    assert_eq!(world.refused(|r| r.provider = key(3), 9).await, RefusalCode::BadSignature);

    let blocked = world.sign(3, request("p"), 1).signed;
    assert_eq!(world.code(3, quote_wire(blocked)).await, RefusalCode::PayerBlocked);
    for stranger in [98, 99] {
        let request = world.sign(stranger, request("p"), 1).signed;
        assert_eq!(world.code(stranger, quote_wire(request)).await, RefusalCode::PayerBlocked);
    }
    let view = world.view(2).await;
    assert_eq!(view.refusals.len(), 12);
    assert!(view.refusals.iter().all(|entry| entry.by == key(2) && entry.process == Some(id("p"))));
    // A provider that sells nothing says so.
    let other = world.sign(1, QuoteRequest { provider: key(3), ..request("p") }, 10).signed;
    assert_eq!(refusal(world.node(3).serve(key(1), quote_wire(other)).await).code, RefusalCode::Draining);
}

#[tokio::test]
async fn hostile_and_late_requests_are_refused_with_their_codes() {
    let world = World::start(&[None, Some(100)]).await;
    let good = world.sign(1, request("p"), 1);
    assert_eq!(world.code(2, quote_wire(good.signed.clone())).await, RefusalCode::BadSignature);
    let tampered = wire::Signed { signature: vec![7; 64].into(), ..good.signed.clone() };
    assert_eq!(world.code(1, quote_wire(tampered)).await, RefusalCode::BadSignature);
    assert_eq!(world.code(1, quote_wire(wire::Signed::default())).await, RefusalCode::BadSignature);
    assert_eq!(world.code(1, award_wire(good.signed.clone())).await, RefusalCode::BadSignature);
    let empty = wire::Request { body: Some(wire::request::Body::Quote(wire::QuoteRequest { request: None })) };
    assert_eq!(world.code(1, empty).await, RefusalCode::BadSignature);
    assert_eq!(world.code(1, wire::Request { body: None }).await, RefusalCode::BadSignature);

    let foreign = Issuer::new(id("other network"), &seed(1)).sign(request("p"), 1, NOW, NOW + 1_000).unwrap();
    assert_eq!(world.code(1, quote_wire(foreign.signed)).await, RefusalCode::WrongNetwork);
    let late = issuer(&world.network, 1).sign(request("p"), 1, NOW - 9_000, NOW - 8_000).unwrap();
    assert_eq!(world.code(1, quote_wire(late.signed)).await, RefusalCode::Expired);
    let ahead = NOW + sign::MAX_FUTURE_MS + 1;
    let early = issuer(&world.network, 1).sign(request("p"), 1, ahead, ahead + 1).unwrap();
    assert_eq!(world.code(1, quote_wire(early.signed)).await, RefusalCode::Expired);

    // The same request again gets the same quote; another under its number gets none.
    let quote = world.quoted(&good).await;
    assert_eq!(world.quoted(&good).await, quote);
    let other = world.sign(1, request("another"), 1).signed;
    assert_eq!(world.code(1, quote_wire(other)).await, RefusalCode::SeqReplayed);
    let counters = world.view(2).await.counters;
    assert_eq!((counters.wrong_network, counters.expired, counters.future), (1, 1, 1));
}

#[tokio::test]
async fn quotes_hold_capacity_until_they_expire() {
    let world = World::with(vec![None, Some(ProviderConfig { max_leases: 4, ..priced(100) }), None]).await;
    for seq in 1..=2 {
        world.quoted(&world.sign(1, request(&format!("p{seq}")), seq)).await;
    }
    // One payer holds at most half in quotes it has not awarded.
    let full = refusal(world.node(2).serve(key(1), quote_wire(world.sign(1, request("p3"), 3).signed)).await);
    assert_eq!((full.code, full.retry_after_ms, full.is_final), (RefusalCode::Capacity, 2_000, false));
    for seq in 1..=2 {
        world.quoted(&world.sign(3, request(&format!("q{seq}")), seq)).await;
    }
    assert_eq!(world.code(2, quote_wire(world.sign(2, request("r"), 1).signed)).await, RefusalCode::Capacity);
    world.pass(10_000).await;
    world.quoted(&world.sign(1, request("p3"), 4)).await;
}

#[tokio::test]
async fn awards_are_honoured_once_and_only_for_their_quote() {
    let world = World::start(&[None, Some(100), None]).await;
    let quote = world.quoted(&world.sign(1, request("p"), 1)).await;
    let good = Award { quote: quote.id, provider: key(2), process: id("p"), price_per_gfuel: 100 };
    let cases = [
        (1, Award { price_per_gfuel: 99, ..good.clone() }, RefusalCode::PriceBelowMin),
        (1, Award { quote: Id::default(), ..good.clone() }, RefusalCode::Expired),
        (1, Award { process: id("q"), ..good.clone() }, RefusalCode::BadSignature),
        (1, Award { provider: key(3), ..good.clone() }, RefusalCode::BadSignature),
        (3, good.clone(), RefusalCode::BadSignature),
    ];
    for (index, (payer, award, code)) in (10..).zip(cases) {
        assert_eq!(world.code(payer, award_wire(world.sign(payer, award, index).signed)).await, code, "{index}");
    }
    let award = world.sign(1, Award { price_per_gfuel: 105, ..good.clone() }, 20);
    let first = world.node(2).serve(key(1), award_wire(award.signed.clone())).await;
    assert!(matches!(first.body, Some(wire::response::Body::Lease(_))));
    assert_eq!(world.node(2).serve(key(1), award_wire(award.signed)).await, first);
    let view = world.view(2).await;
    assert_eq!((view.granted.len(), view.granted[0].price_per_gfuel), (1, 105));
    // The quote is used up.
    assert_eq!(world.code(1, award_wire(world.sign(1, good, 21).signed)).await, RefusalCode::Expired);
}

#[tokio::test]
async fn draining_honours_its_quotes_and_maintenance_does_not() {
    let mut world = World::start(&[None, Some(100)]).await;
    let award = |quote: &Object<Quote>| Award {
        quote: quote.id,
        provider: key(2),
        process: quote.claim.body.process,
        price_per_gfuel: 100,
    };
    let (first, second) =
        (world.quoted(&world.sign(1, request("p"), 1)).await, world.quoted(&world.sign(1, request("q"), 2)).await);
    world.node(2).set_state(ProviderState::Draining).await;
    assert_eq!(world.refused(|_| {}, 3).await, RefusalCode::Draining);
    world.gossip().await;
    assert_eq!(world.view(1).await.offers[0].offer.leases_free, 0);
    let taken = world.node(2).serve(key(1), award_wire(world.sign(1, award(&first), 4).signed)).await;
    assert!(matches!(taken.body, Some(wire::response::Body::Lease(_))));
    world.node(2).set_state(ProviderState::Maintenance).await;
    assert_eq!(world.refused(|_| {}, 5).await, RefusalCode::Maintenance);
    assert_eq!(world.code(1, award_wire(world.sign(1, award(&second), 6).signed)).await, RefusalCode::Maintenance);
    world.node(2).set_state(ProviderState::Open).await;
    assert_eq!(world.view(2).await.provider, Some(ProviderState::Open));
    world.quoted(&world.sign(1, request("r"), 7)).await;
}

#[tokio::test]
async fn slots_are_charged_once_within_the_lease() {
    let mut world = World::start(&[None, Some(100)]).await;
    let lease = world.node(1).lease(want("p")).await.unwrap();
    world.gossip().await;
    let charge = |from, to| world.node(2).charge(lease.id, key(1), id("p"), from, to);
    assert_eq!(charge(5, 9).await.unwrap().slots_used, 5);
    assert_eq!(charge(5, 9).await.unwrap().slots_used, 5);
    assert_eq!(charge(8, 10).await.unwrap().slots_used, 6);
    assert_eq!(charge(11, u64::MAX).await.unwrap_err().code, RefusalCode::LeaseLimit);
    assert_eq!(charge(0, 10_004).await.unwrap().slots_used, 10_000);
    assert_eq!(charge(10_005, 10_005).await.unwrap_err().code, RefusalCode::LeaseLimit);
    assert_eq!(charge(9, 2).await.unwrap().slots_used, 10_000);
    let node = world.node(2).clone();
    assert_eq!(node.charge(lease.id, key(3), id("p"), 0, 0).await.unwrap_err().code, RefusalCode::PayerBlocked);
    assert_eq!(node.charge(lease.id, key(1), id("q"), 0, 0).await.unwrap_err().code, RefusalCode::PayerBlocked);
    assert_eq!(node.charge(Id::default(), key(1), id("p"), 0, 0).await.unwrap_err().code, RefusalCode::Expired);
    world.pass(600_000).await;
    assert_eq!(node.charge(lease.id, key(1), id("p"), 0, 0).await.unwrap_err().code, RefusalCode::Expired);
    world.gossip().await;
    let lease = world.node(1).lease(want("p")).await.unwrap();
    assert!(node.release(lease.id).await);
    assert!(!node.release(lease.id).await);
    assert!(world.view(2).await.granted.is_empty());
}

#[tokio::test]
async fn a_restarted_provider_knows_no_leases_and_sells_again() {
    let mut world = World::start(&[None, Some(100)]).await;
    let lease = world.node(1).lease(want("p")).await.unwrap();
    let seq = world.view(1).await.offers[0].seq;
    world.node(2).shutdown().await;
    world.launch(2, Some(priced(100)));
    world.tick().await;
    assert_eq!(world.gossip().await, 2);
    assert!(world.view(1).await.offers[0].seq > seq);
    let error = world.node(2).charge(lease.id, key(1), id("p"), 0, 0).await.unwrap_err();
    assert_eq!((error.code, error.is_final), (RefusalCode::Expired, true));
    let again = world.node(1).lease(want("p")).await.unwrap();
    assert_eq!(again.provider, key(2));
    world.node(2).charge(again.id, key(1), id("p"), 0, 0).await.unwrap();
}

fn offer(price_per_gfuel: u64) -> Offer {
    let limits = Limits {
        max_fuel_per_slot: u64::MAX,
        max_memory_bytes: u64::MAX,
        max_slots: u64::MAX,
        max_seconds: u32::MAX,
        max_cold_slots: u64::MAX,
    };
    Offer { price_per_gfuel, limits, profile: None, modules: vec![], leases_free: 1, leases_max: 1 }
}

#[tokio::test]
async fn gossip_is_judged() {
    let world = World::start(&[None, None, None]).await;
    let node = world.node(1);
    let signed = world.sign(2, offer(1), 10).signed;
    assert_eq!(node.on_offer(signed.clone()).await, Judgement::Accept);
    assert_eq!(node.on_offer(signed).await, Judgement::Ignore);
    assert_eq!(node.on_offer(world.sign(2, offer(2), 9).signed).await, Judgement::Ignore);
    // A gateway, a stranger, one that lives too long, an award record in its place.
    assert_eq!(node.on_offer(world.sign(99, offer(1), 1).signed).await, Judgement::Reject);
    assert_eq!(node.on_offer(world.sign(98, offer(1), 1).signed).await, Judgement::Reject);
    let long = issuer(&world.network, 2).sign(offer(1), 11, NOW, NOW + 120_001).unwrap();
    assert_eq!(node.on_offer(long.signed).await, Judgement::Reject);
    assert_eq!(node.on_award(world.sign(2, offer(1), 12).signed).await, Judgement::Reject);
    let foreign = Issuer::new(id("other"), &seed(2)).sign(offer(1), 13, NOW, NOW + 1).unwrap();
    assert_eq!(node.on_offer(foreign.signed).await, Judgement::Ignore);
    let old = issuer(&world.network, 2).sign(offer(1), 14, NOW - 10_000, NOW - 9_000).unwrap();
    assert_eq!(node.on_offer(old.signed).await, Judgement::Ignore);
    let counters = world.view(1).await.counters;
    assert_eq!((counters.rejected, counters.wrong_network, counters.expired), (4, 1, 1));
    assert_eq!(world.view(1).await.offers.len(), 1);
}

#[tokio::test]
async fn equivocation_is_caught_and_kept_as_evidence() {
    let world = World::start(&[None, None]).await;
    assert_eq!(world.node(1).on_offer(world.sign(2, offer(1), 10).signed).await, Judgement::Accept);
    assert_eq!(world.node(1).on_offer(world.sign(2, offer(2), 10).signed).await, Judgement::Reject);
    let view = world.view(1).await;
    assert_eq!(view.counters.equivocations, 1);
    let evidence = &view.evidence[0];
    assert_eq!((evidence.issuer, evidence.seq), (key(2), 10));
    assert!(evidence.first.body.contains("\"price_per_gfuel\":1,"));
    assert!(evidence.second.body.contains("\"price_per_gfuel\":2,"));
    assert_eq!(evidence.first.signature.len(), 128);
}

#[tokio::test]
async fn records_that_do_not_replay_are_rejected() {
    let mut world = World::start(&[None, Some(100), Some(110), Some(120)]).await;
    world.node(1).lease(want("p")).await.unwrap();
    let record = world.view(1).await.awards[0].record.clone();
    world.gossip().await;
    let judged = |n: u8, record: AwardRecord, seq: u64| {
        let signed = world.sign(n, record, seq).signed;
        async { world.node(2).on_award(signed).await }
    };
    assert_eq!(judged(1, record.clone(), 1).await, Judgement::Accept);
    assert_eq!(judged(1, record.clone(), 1).await, Judgement::Ignore);
    assert_eq!(judged(99, record.clone(), 2).await, Judgement::Reject);
    let mut bent = record.clone();
    bent.asked[0].latency_ms = Some(60_000);
    assert_eq!(judged(1, bent.clone(), 3).await, Judgement::Reject);
    bent.asked.clear();
    assert_eq!(judged(1, bent, 1).await, Judgement::Reject);
}

#[tokio::test]
async fn sequence_numbers_survive_and_never_repeat() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("market.seq");
    let mut last = 0;
    for now_ms in [500, 500, 100, 1_000_000] {
        let mut sequence = sequence::Sequence::open(path.clone(), now_ms).unwrap();
        for _ in 0..1_500 {
            let next = sequence.next().await.unwrap();
            assert!(next > last && next >= now_ms);
            last = next;
        }
        let reserved: u64 = std::fs::read_to_string(&path).unwrap().trim().parse().unwrap();
        assert!(reserved > last, "on disk before it is used");
    }
    std::fs::write(&path, "not a number").unwrap();
    let error = sequence::Sequence::open(path, 0).unwrap_err();
    assert!(error.to_string().contains("remove it"));
    let mut nowhere = sequence::Sequence::open(folder.path().join("no/such/folder"), 0).unwrap();
    assert!(nowhere.next().await.is_err());
}

#[tokio::test]
async fn a_node_that_cannot_persist_its_numbers_refuses_instead_of_signing() {
    let world = World::start(&[None, Some(100)]).await;
    // Use up the block that is reserved, with the folder gone.
    std::fs::remove_dir_all(world.folder.path()).unwrap();
    let mut refusals = 0;
    for seq in 1..=1_100 {
        let request = quote_wire(world.sign(1, request(&format!("p{seq}")), seq).signed);
        if let Some(wire::response::Body::Refusal(refusal)) = world.node(2).serve(key(1), request).await.body {
            assert!(["capacity", "internal"].contains(&refusal.code.as_str()), "{refusal:?}");
            refusals += usize::from(refusal.code == "internal");
        }
        world.clock.0.fetch_add(100, Ordering::SeqCst);
    }
    assert!(refusals > 0);
}
