//! The messenger's side: who is asked, who wins, what happens when they fail.

use weft_protocol::market::{Answer, LeaseGrant, Outcome, Quote, RefusalCode, lease_id};

use super::*;

fn asked(view: &MarketView) -> BTreeSet<NodeKey> {
    view.awards.back_record().asked.iter().map(|asked| asked.provider).collect()
}

trait BackRecord {
    fn back_record(&self) -> &weft_protocol::market::AwardRecord;
}

impl BackRecord for Vec<AwardEntry> {
    fn back_record(&self) -> &weft_protocol::market::AwardRecord {
        &self.last().unwrap().record
    }
}

#[tokio::test]
async fn the_cheapest_wins_at_the_second_price_and_everybody_can_replay_it() {
    let mut world = World::start(&[None, Some(90), Some(100), Some(120), Some(140)]).await;
    let lease = world.node(1).lease(want("p")).await.unwrap();
    // Node 2 is cheapest but orders the process.
    assert_eq!((lease.provider, lease.price_per_gfuel), (key(3), 120));
    assert_eq!(lease.expires_ms, NOW + 600_000);
    assert_eq!(lease.slots, 10_000);
    assert_eq!(asked(&world.view(1).await), (2..=5).map(key).collect());

    assert_eq!(world.gossip().await, 1);
    for n in 1..=5 {
        let view = world.view(n).await;
        let entry = view.awards.last().unwrap();
        assert_eq!(entry.payer, key(1));
        let read: weft_protocol::market::AwardRecord =
            serde_json::from_str(&serde_json::to_string(&entry.record).unwrap()).unwrap();
        assert_eq!(read.replay().unwrap().winner().unwrap().provider, key(3));
        assert_eq!(read.winner(), Some((key(3), 120, lease.id)));
    }
    assert_eq!(world.view(1).await.bought, std::slice::from_ref(&lease));
    let granted = world.view(3).await.granted;
    assert_eq!(granted.len(), 1);
    assert_eq!((granted[0].id, granted[0].payer, granted[0].process), (lease.id, key(1), id("p")));
    assert_eq!(world.view(1).await.quotes.len(), 4);
    let json = serde_json::to_value(world.view(3).await).unwrap();
    assert_eq!(json["granted"][0]["process"], id("p").to_string());
    assert_eq!(json["provider"], "open");
}

#[tokio::test]
async fn latency_counts() {
    let world = World::start(&[None, Some(100), Some(100), Some(110), Some(130)]).await;
    world.latencies.lock().unwrap().insert(key(3), Duration::from_millis(900));
    for n in [2, 4, 5] {
        world.latencies.lock().unwrap().insert(key(n), Duration::from_millis(5));
    }
    assert_eq!(world.node(1).lease(want("p")).await.unwrap().provider, key(4));
}

#[tokio::test]
async fn scheduler_and_messenger_serve_when_there_is_nobody_else() {
    let world = World::start(&[Some(100), Some(100), Some(500)]).await;
    // One other quotes: no avoiding, so price decides, and 500 is out.
    let lease = world.node(1).lease(want("p")).await.unwrap();
    assert!(lease.provider == key(1) || lease.provider == key(2));
    let alone = World::start(&[Some(100)]).await;
    assert_eq!(alone.node(1).lease(want("p")).await.unwrap().provider, key(1));
}

#[tokio::test]
async fn a_dead_provider_is_replaced_and_a_silent_one_does_not_hold_the_others_up() {
    let world = World::start(&[None, Some(300), Some(90), Some(100), Some(120)]).await;
    world.set_peer(3, Peer::Down);
    let lease = world.node(1).lease(want("p")).await.unwrap();
    assert_eq!(lease.provider, key(4));
    world.set_peer(3, Peer::Hangs);
    let lease = world.node(1).lease(want("p")).await.unwrap();
    assert_eq!(lease.provider, key(4));
    let view = world.view(1).await;
    let silent = view.awards.back_record().asked.iter().find(|asked| asked.provider == key(3)).unwrap();
    assert!(matches!(&silent.answer, Answer::Silent(reason) if reason.contains("no answer")));
    // Excluded by the caller: not asked at all.
    let exclude = [key(4)].into();
    let lease = world.node(1).lease(Want { exclude, ..want("p") }).await.unwrap();
    assert_eq!(lease.provider, key(5));
    assert!(!asked(&world.view(1).await).contains(&key(4)));
}

#[tokio::test]
async fn a_winner_that_refuses_or_dies_before_the_lease_is_followed_by_the_next() {
    let mut world = World::start(&[None, Some(300), Some(90), Some(100), Some(120)]).await;
    let refuse = |_: NodeKey, request: wire::Request| {
        let refusal = weft_protocol::market::Refusal::new(RefusalCode::Internal, "broken");
        matches!(request.body, Some(wire::request::Body::Award(_))).then(|| handle::refused(refusal))
    };
    world.set_peer(3, Peer::Scripted(Arc::new(refuse), world.node(3).clone()));
    let peers = Arc::clone(&world.peers);
    let die = move |_: NodeKey, request: wire::Request| {
        if matches!(request.body, Some(wire::request::Body::Award(_))) {
            peers.lock().unwrap().insert(key(4), Peer::Down);
            return Some(wire::Response { body: None });
        }
        None
    };
    world.set_peer(4, Peer::Scripted(Arc::new(die), world.node(4).clone()));
    let lease = world.node(1).lease(want("p")).await.unwrap();
    assert_eq!(lease.provider, key(5));
    let view = world.view(1).await;
    let record = view.awards.back_record();
    assert_eq!(record.attempts.len(), 3);
    assert!(matches!(&record.attempts[0].outcome, Outcome::Refused(refusal) if refusal.code == RefusalCode::Internal));
    assert!(matches!(&record.attempts[1].outcome, Outcome::Silent(_)));
    record.replay().unwrap();
    assert!(view.refusals.iter().any(|entry| entry.by == key(3) && entry.refusal.code == RefusalCode::Internal));
    // The others accept such a record too.
    assert_eq!(world.gossip().await, 1);
}

#[tokio::test]
async fn nobody_left_is_told_with_a_reason_for_each() {
    let full = ProviderConfig { max_leases: 0, ..priced(100) };
    let other = ProviderConfig { modules: vec![id("other")], ..priced(100) };
    let world = World::with(vec![None, Some(full), Some(other), Some(priced(5_000)), Some(priced(100))]).await;
    world.set_peer(5, Peer::Down);
    let error = world.node(1).lease(want("p")).await.unwrap_err();
    let reason = |n: u8| {
        let reasons: Vec<_> = error.reasons.iter().filter(|r| r.provider == key(n)).map(|r| &r.reason).collect();
        assert_eq!(reasons.len(), 1, "{n}: {error:?}");
        reasons[0].clone()
    };
    assert!(reason(1).starts_with("draining"), "{}", reason(1));
    assert!(reason(2).starts_with("capacity"));
    assert!(reason(3).starts_with("module_not_allowed"));
    assert!(reason(4).starts_with("price_below_min"));
    assert!(reason(5).contains("connection refused"));
    let text = error.to_string();
    assert!(text.contains("module_not_allowed") && text.contains("weft market"), "{text}");
    // The failure is in the history, but not gossip.
    assert_eq!(world.view(1).await.awards.back_record().winner(), None);
}

#[tokio::test]
async fn registered_nodes_are_asked_while_offers_have_not_been_heard() {
    let mut world = World::empty(3);
    world.launch(1, None);
    world.launch(2, Some(priced(100)));
    world.launch(3, Some(priced(100)));
    let lease = world.node(1).lease(want("p")).await.unwrap();
    assert!(lease.provider == key(2) || lease.provider == key(3));
    assert_eq!(asked(&world.view(1).await).len(), 3);
}

#[tokio::test]
async fn the_incumbent_keeps_the_process_at_equal_terms() {
    let world = World::start(&[None, Some(300), Some(100), Some(100), Some(100), Some(100)]).await;
    for n in 3..=6 {
        for round in 0..5 {
            let want = Want { incumbent: Some(key(n)), ..want(&format!("process {round}")) };
            assert_eq!(world.node(1).lease(want).await.unwrap().provider, key(n));
        }
    }
}

#[tokio::test]
async fn quotes_that_are_not_what_was_asked_for_are_not_used() {
    let world = World::start(&[None, Some(300), Some(200), Some(210), Some(220)]).await;
    let network = world.network.clone();
    let (now, honest) = (world.now(), world.node(3).clone());
    type Change = fn(&mut Quote);
    let changes: [(u8, Change); 6] = [
        (3, |quote| quote.process = id("another")),
        (3, |quote| quote.payer = key(4)),
        (3, |quote| quote.request = Id::default()),
        (3, |quote| quote.slots = 1),
        (3, |quote| quote.seconds += 1),
        (4, |_| {}),
    ];
    for (signer, change) in changes {
        let issuer = issuer(&network, signer);
        let network = network.clone();
        let script = move |payer: NodeKey, request: wire::Request| {
            let Some(wire::request::Body::Quote(wire::QuoteRequest { request: Some(signed) })) = request.body else {
                return None;
            };
            let context = weft_protocol::market::Context { network: network.id(), now_ms: now, skew_ms: 0 };
            let request =
                weft_protocol::market::sign::open::<weft_protocol::market::QuoteRequest>(&signed, &context).unwrap();
            let need = request.claim.body.need;
            let mut quote = Quote {
                request: request.id,
                payer,
                process: request.claim.body.process,
                price_per_gfuel: 1,
                slots: need.slots,
                seconds: need.seconds,
            };
            change(&mut quote);
            let quote = issuer.sign(quote, 1, now, now + 10_000).unwrap().signed;
            Some(wire::Response { body: Some(wire::response::Body::Quote(wire::Quote { quote: Some(quote) })) })
        };
        world.set_peer(3, Peer::Scripted(Arc::new(script), honest.clone()));
        assert_eq!(world.node(1).lease(want("p")).await.unwrap().provider, key(4));
        let view = world.view(1).await;
        let answer = &view.awards.back_record().asked.iter().find(|asked| asked.provider == key(3)).unwrap().answer;
        assert!(matches!(answer, Answer::Silent(reason) if reason.contains("unusable")), "{answer:?}");
    }
}

#[tokio::test]
async fn grants_that_differ_from_the_award_are_not_taken() {
    let world = World::start(&[None, Some(300), Some(200), Some(210), Some(220)]).await;
    let (network, now, honest) = (world.network.clone(), world.now(), world.node(3).clone());
    let issuer = issuer(&network, 3);
    let script = move |payer: NodeKey, request: wire::Request| {
        let Some(wire::request::Body::Award(wire::Award { award: Some(signed) })) = request.body else { return None };
        let context = weft_protocol::market::Context { network: network.id(), now_ms: now, skew_ms: 0 };
        let award = weft_protocol::market::sign::open::<weft_protocol::market::Award>(&signed, &context).unwrap();
        let grant = LeaseGrant {
            lease: lease_id(award.claim.body.quote, award.id),
            award: award.id,
            quote: award.claim.body.quote,
            payer,
            process: award.claim.body.process,
            price_per_gfuel: award.claim.body.price_per_gfuel + 1,
            slots: 10_000,
        };
        let lease = issuer.sign(grant, 1, now, now + 10_000).unwrap().signed;
        Some(wire::Response { body: Some(wire::response::Body::Lease(wire::LeaseAccepted { lease: Some(lease) })) })
    };
    world.set_peer(3, Peer::Scripted(Arc::new(script), honest));
    assert_eq!(world.node(1).lease(want("p")).await.unwrap().provider, key(4));
}

#[tokio::test]
async fn capacity_moves_processes_on_and_comes_back_with_time() {
    let one = ProviderConfig { max_leases: 1, ..priced(100) };
    let mut world = World::with(vec![None, None, Some(one.clone()), Some(one)]).await;
    let first = world.node(1).lease(want("p1")).await.unwrap();
    // The loser's quote still holds its place until it expires.
    world.gossip().await;
    world.pass(10_001).await;
    world.gossip().await;
    let second = world.node(1).lease(want("p2")).await.unwrap();
    assert_ne!(first.provider, second.provider);
    let error = world.node(1).lease(want("p3")).await.unwrap_err();
    assert!(error.reasons.iter().filter(|reason| reason.reason.starts_with("capacity")).count() >= 1, "{error}");
    assert_eq!(error.retry_after_ms, 2_000);
    world.gossip().await;
    world.pass(600_001).await;
    world.gossip().await;
    world.node(1).lease(want("p3")).await.unwrap();
    assert_eq!(world.view(1).await.bought.len(), 1);
}

#[tokio::test]
async fn an_ended_service_says_so() {
    let world = World::start(&[None, Some(100)]).await;
    world.node(1).shutdown().await;
    assert!(world.node(1).lease(want("p")).await.is_err());
    assert!(world.node(1).view().await.is_none());
    let response = world.node(1).serve(key(2), wire::Request { body: None }).await;
    assert!(matches!(response.body, Some(wire::response::Body::Refusal(refusal)) if refusal.code == "internal"));
}
