#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::{Id, NodeKey, wire};

const NOW: u64 = 1_800_000_000_000;

fn network() -> Id {
    Id::sha256(b"network")
}

fn issuer(n: u8) -> Issuer {
    Issuer::new(network(), &[n; 32])
}

fn context(now_ms: u64) -> Context {
    Context { network: network(), now_ms, skew_ms: 2_000 }
}

fn offer() -> Offer {
    Offer {
        price_per_gfuel: 100,
        limits: Limits {
            max_fuel_per_slot: 1_000,
            max_memory_bytes: 2_000,
            max_slots: 50,
            max_seconds: 60,
            max_cold_slots: 500,
        },
        profile: None,
        modules: vec![],
        leases_free: 3,
        leases_max: 4,
    }
}

fn request() -> QuoteRequest {
    QuoteRequest {
        provider: issuer(2).key(),
        process: Id::sha256(b"process"),
        scheduler: issuer(3).key(),
        need: Need {
            module: Id::sha256(b"module"),
            profile: None,
            max_fuel_per_slot: 1_000,
            max_memory_bytes: 2_000,
            slots: 50,
            seconds: 60,
            log_slots: 500,
        },
        asset: ASSET.to_owned(),
        max_price_per_gfuel: 100,
    }
}

fn provider(n: u8) -> NodeKey {
    NodeKey::from_bytes([n; 32])
}

fn quote(n: u8, price: u64, latency_ms: u64) -> QuoteInput {
    QuoteInput {
        provider: provider(n),
        quote: Id::from_bytes([n; 32]),
        price_per_gfuel: price,
        latency_ms: Some(latency_ms),
    }
}

fn inputs(quotes: Vec<QuoteInput>) -> Inputs {
    Inputs { process: Id::sha256(b"process"), max_price_per_gfuel: 1_000, avoid: vec![], incumbent: None, quotes }
}

fn ranked(inputs: &Inputs) -> Vec<u8> {
    award::decide(inputs).ranking.iter().map(|placed| placed.provider.as_bytes()[0]).collect()
}

// ---- signing ---------------------------------------------------------------------------------------------------

#[test]
fn signed_objects_open_to_what_was_signed() {
    let object = issuer(1).sign(offer(), 7, NOW, NOW + 1_000).unwrap();
    let opened = sign::open::<Offer>(&object.signed, &context(NOW)).unwrap();
    assert_eq!(opened, object);
    assert_eq!(opened.claim.issuer, issuer(1).key());
    let mut preimage = sign::DOMAIN.to_vec();
    preimage.extend_from_slice(&object.signed.body);
    assert_eq!(object.id, Id::sha256(&preimage));
}

#[test]
fn golden_bytes() {
    let object = issuer(1).sign(offer(), 7, NOW, NOW + 1_000).unwrap();
    let text = String::from_utf8(object.signed.body.to_vec()).unwrap();
    let key = issuer(1).key();
    let expected = format!(
        "{{\"net\":\"{}\",\"kind\":\"offer\",\"v\":1,\"issuer\":\"{key}\",\"seq\":7,\"issued_ms\":1800000000000,\
         \"expires_ms\":1800000001000,\"body\":{{\"price_per_gfuel\":100,\"limits\":{{\"max_fuel_per_slot\":1000,\
         \"max_memory_bytes\":2000,\"max_slots\":50,\"max_seconds\":60,\"max_cold_slots\":500}},\"profile\":null,\
         \"modules\":[],\"leases_free\":3,\"leases_max\":4}}}}",
        network()
    );
    assert_eq!(text, expected);
}

#[test]
fn another_network_and_late_objects_are_ignored_without_blame() {
    let foreign = Issuer::new(Id::sha256(b"other"), &[1; 32]).sign(offer(), 7, NOW, NOW + 1_000).unwrap();
    let error = sign::open::<Offer>(&foreign.signed, &context(NOW)).unwrap_err();
    assert_eq!((error.code, error.fault), (RefusalCode::WrongNetwork, Fault::None));

    let object = issuer(1).sign(offer(), 7, NOW, NOW + 1_000).unwrap();
    sign::open::<Offer>(&object.signed, &context(NOW + 3_000)).unwrap();
    let error = sign::open::<Offer>(&object.signed, &context(NOW + 3_001)).unwrap_err();
    assert_eq!((error.code, error.fault), (RefusalCode::Expired, Fault::None));
}

#[test]
fn objects_of_the_future_are_ignored_and_counted() {
    let ahead = NOW + sign::MAX_FUTURE_MS;
    let object = issuer(1).sign(offer(), 7, ahead, ahead + 1_000).unwrap();
    sign::open::<Offer>(&object.signed, &context(NOW)).unwrap();
    let object = issuer(1).sign(offer(), 7, ahead + 1, ahead + 1_000).unwrap();
    let error = sign::open::<Offer>(&object.signed, &context(NOW)).unwrap_err();
    assert_eq!((error.code, error.fault), (RefusalCode::Expired, Fault::Counted));
}

#[test]
fn anything_tampered_with_is_malice() {
    let good = issuer(1).sign(offer(), 7, NOW, NOW + 1_000).unwrap().signed;
    let text = String::from_utf8(good.body.to_vec()).unwrap();
    let with_body = |body: String| wire::Signed { body: Bytes::from(body), ..good.clone() };
    let other_kind = issuer(1).sign(request(), 7, NOW, NOW + 1_000).unwrap().signed;
    let backwards = issuer(1).sign(offer(), 7, NOW, NOW - 1).unwrap().signed;
    let bad = [
        with_body(text.replace("\"seq\":7", "\"seq\":8")),
        with_body(text.replace("\"seq\":7", "\"seq\": 7")),
        with_body(text.replace("\"seq\":7", "\"seq\":7,\"more\":1")),
        with_body(String::new()),
        with_body("[]".to_owned()),
        with_body("x".repeat(sign::MAX_BODY_BYTES + 1)),
        wire::Signed { signer: Bytes::copy_from_slice(issuer(2).key().as_bytes()), ..good.clone() },
        wire::Signed { signer: Bytes::new(), ..good.clone() },
        wire::Signed { signature: good.signature.slice(..63), ..good.clone() },
        wire::Signed { signature: Bytes::from(vec![0; 64]), ..good.clone() },
        wire::Signed::default(),
        other_kind,
        backwards,
    ];
    for (index, signed) in bad.iter().enumerate() {
        let error = sign::open::<Offer>(signed, &context(NOW)).unwrap_err();
        assert_eq!((error.code, error.fault), (RefusalCode::BadSignature, Fault::Malice), "{index}: {error}");
    }
    let newer = with_body(text.replace("\"v\":1", "\"v\":2"));
    assert_eq!(sign::open::<Offer>(&newer, &context(NOW)).unwrap_err().fault, Fault::None);
}

#[test]
fn bodies_out_of_bounds_are_neither_signed_nor_opened() {
    let bad = [
        Offer { price_per_gfuel: MAX_PRICE + 1, ..offer() },
        Offer { leases_free: 5, ..offer() },
        Offer { modules: vec![Id::default(); offer::MAX_MODULES + 1], ..offer() },
    ];
    for body in bad {
        issuer(1).sign(body, 1, NOW, NOW).unwrap_err();
    }
    let mut nothing = request();
    nothing.need.slots = 0;
    issuer(1).sign(nothing, 1, NOW, NOW).unwrap_err();
    issuer(1).sign(QuoteRequest { asset: String::new(), ..request() }, 1, NOW, NOW).unwrap_err();
    let grant = LeaseGrant {
        lease: Id::default(),
        award: Id::default(),
        quote: Id::default(),
        payer: provider(1),
        process: Id::default(),
        price_per_gfuel: 1,
        slots: 1,
    };
    issuer(1).sign(grant.clone(), 1, NOW, NOW).unwrap_err();
    let lease = lease_id(Id::default(), Id::default());
    issuer(1).sign(LeaseGrant { lease, ..grant }, 1, NOW, NOW).unwrap();
}

#[test]
fn sequences_find_repeats_and_equivocation() {
    let sign = |seq, price| issuer(1).sign(Offer { price_per_gfuel: price, ..offer() }, seq, NOW, NOW).unwrap();
    let mut seen = Sequences::new(2);
    assert_eq!(seen.observe(&sign(5, 1)), Observation::Newest);
    assert_eq!(seen.observe(&sign(5, 1)), Observation::Repeat);
    assert_eq!(seen.observe(&sign(5, 2)), Observation::Equivocation(sign(5, 1).id));
    assert_eq!(seen.observe(&sign(3, 1)), Observation::Late);
    assert_eq!(seen.observe(&sign(6, 1)), Observation::Newest);
    for seq in 100..200 {
        assert_eq!(seen.observe(&sign(seq, 1)), Observation::Newest);
    }
    assert_eq!(seen.observe(&sign(5, 2)), Observation::Stale);
    // Another kind of the same issuer has numbers of its own; a third pair is one too many.
    assert_eq!(seen.observe(&issuer(1).sign(request(), 5, NOW, NOW).unwrap()), Observation::Newest);
    assert_eq!(seen.observe(&issuer(2).sign(offer(), 5, NOW, NOW).unwrap()), Observation::Stale);
}

// ---- refusals --------------------------------------------------------------------------------------------------

#[test]
fn refusals_travel_and_unknown_codes_become_internal() {
    for code in RefusalCode::ALL {
        let refusal = Refusal::new(code, "because").retry_after(5);
        assert_eq!(Refusal::from(wire::Refusal::from(refusal.clone())), refusal);
        assert_eq!(serde_json::to_string(&code).unwrap(), format!("\"{code}\""));
    }
    let hostile =
        wire::Refusal { code: "\u{1b}[2J".to_owned(), reason: "y".repeat(10_000), retry_after_ms: 0, is_final: false };
    let read = Refusal::from(hostile);
    assert_eq!(read.code, RefusalCode::Internal);
    assert_eq!(read.reason.len(), refusal::MAX_REASON);
    assert!(!read.reason.contains('\u{1b}'));
}

#[test]
fn terms_refuse_with_the_code_of_what_does_not_fit() {
    offer().suits(&request()).unwrap();
    let ask = |change: fn(&mut QuoteRequest)| {
        let mut request = request();
        change(&mut request);
        Offer { profile: Some(Id::default()), ..offer() }.suits(&request).unwrap_err().code
    };
    assert_eq!(ask(|r| r.asset = "AO".to_owned()), RefusalCode::PaymentAsset);
    assert_eq!(ask(|r| r.need.profile = Some(Id::sha256(b"x"))), RefusalCode::ProfileUnsupported);
    assert_eq!(ask(|r| r.need.max_memory_bytes += 1), RefusalCode::MemoryOverLimit);
    assert_eq!(ask(|r| r.need.max_fuel_per_slot += 1), RefusalCode::FuelOverLimit);
    assert_eq!(ask(|r| r.need.log_slots += 1), RefusalCode::ColdLoadTooLarge);
    assert_eq!(ask(|r| r.need.slots += 1), RefusalCode::LeaseLimit);
    assert_eq!(ask(|r| r.need.seconds += 1), RefusalCode::LeaseLimit);
    assert_eq!(ask(|r| r.max_price_per_gfuel -= 1), RefusalCode::PriceBelowMin);
    let picky = Offer { modules: vec![Id::sha256(b"mine")], ..offer() };
    assert_eq!(picky.suits(&request()).unwrap_err().code, RefusalCode::ModuleNotAllowed);
}

// ---- the award rule --------------------------------------------------------------------------------------------

#[test]
fn price_and_latency_decide() {
    assert_eq!(ranked(&inputs(vec![quote(1, 120, 0), quote(2, 100, 0), quote(3, 110, 0)])), [2, 3, 1]);
    // A second of latency weighs as much as the double price.
    assert_eq!(ranked(&inputs(vec![quote(1, 100, 1_000), quote(2, 190, 0)])), [2, 1]);
    assert_eq!(ranked(&inputs(vec![quote(1, 100, 1_000), quote(2, 210, 0)])), [1, 2]);
    // Unknown counts as 250 ms.
    let unknown = QuoteInput { latency_ms: None, ..quote(1, 100, 0) };
    assert_eq!(ranked(&inputs(vec![unknown, quote(2, 100, 260)])), [1, 2]);
    assert_eq!(ranked(&inputs(vec![unknown, quote(2, 100, 240)])), [2, 1]);
    assert!(award::decide(&inputs(vec![])).winner().is_none());
}

#[test]
fn the_winner_is_paid_the_second_price_within_the_cap() {
    let pays = |quotes, cap| {
        let decision = award::decide(&Inputs { max_price_per_gfuel: cap, ..inputs(quotes) });
        decision.ranking.iter().map(|placed| placed.pays_per_gfuel).collect::<Vec<_>>()
    };
    assert_eq!(pays(vec![quote(1, 100, 0), quote(2, 130, 0)], 1_000), [130, 130]);
    assert_eq!(pays(vec![quote(1, 100, 0), quote(2, 130, 0)], 130), [130, 130]);
    // The next is slower but cheaper: own price.
    assert_eq!(pays(vec![quote(1, 100, 0), quote(2, 90, 1_000)], 1_000), [100, 90]);
    // Above the cap is out, so nobody is second.
    assert_eq!(pays(vec![quote(1, 100, 0), quote(2, 130, 0)], 120), [100]);
    let excluded = award::decide(&Inputs { max_price_per_gfuel: 120, ..inputs(vec![quote(2, 130, 0)]) }).excluded;
    assert!(excluded[0].why.contains("above the payer's highest price"));
}

#[test]
fn scheduler_and_messenger_come_last_when_two_others_quote() {
    let avoid = vec![provider(1), provider(2)];
    let with = |quotes| ranked(&Inputs { avoid: avoid.clone(), ..inputs(quotes) });
    assert_eq!(with(vec![quote(1, 1, 0), quote(2, 2, 0), quote(3, 50, 0), quote(4, 60, 0)]), [3, 4, 1, 2]);
    assert_eq!(with(vec![quote(1, 1, 0), quote(2, 2, 0), quote(3, 50, 0)]), [1, 2, 3]);
    // Two quotes of one other are not two others.
    assert_eq!(with(vec![quote(1, 1, 0), quote(3, 50, 0), quote(3, 51, 0)]), [1, 3]);
    assert_eq!(with(vec![quote(1, 1, 0)]), [1]);
}

#[test]
fn the_incumbent_keeps_the_process_within_a_fifth() {
    let with =
        |price| ranked(&Inputs { incumbent: Some(provider(2)), ..inputs(vec![quote(1, 100, 0), quote(2, price, 0)]) });
    assert_eq!(with(124), [2, 1]);
    assert_eq!(with(126), [1, 2]);
}

#[test]
fn equal_providers_share_the_processes() {
    let mut won = [0_u32; 4];
    for n in 0..400_u32 {
        let process = Id::sha256(&n.to_be_bytes());
        let quotes = (0..4).map(|n| quote(n, 100, u64::from(n) * 2)).collect();
        won[usize::from(ranked(&Inputs { process, ..inputs(quotes) })[0])] += 1;
    }
    assert!(won.iter().all(|count| *count > 60), "{won:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_rule_ignores_the_order_of_quotes_and_never_pays_less_than_asked_or_more_than_the_cap(
        asks in proptest::collection::vec((0_u8..12, 0_u64..200, proptest::option::of(0_u64..500)), 0..12),
        turn in 0_usize..12, cap in 0_u64..200, incumbent in proptest::option::of(0_u8..12),
    ) {
        let quotes: Vec<_> = asks.iter().zip(0_u8..).map(|((who, price, latency_ms), n)| QuoteInput {
            latency_ms: *latency_ms, quote: Id::from_bytes([n; 32]), ..quote(*who, *price, 0)
        }).collect();
        let inputs = Inputs {
            max_price_per_gfuel: cap, avoid: vec![provider(0), provider(1)], incumbent: incumbent.map(provider), ..inputs(quotes)
        };
        let decision = award::decide(&inputs);
        let mut turned = inputs.clone();
        if !turned.quotes.is_empty() {
            let by = turn % turned.quotes.len();
            turned.quotes.rotate_left(by);
            turned.quotes.reverse();
        }
        prop_assert_eq!(&award::decide(&turned), &decision);
        prop_assert_eq!(decision.ranking.len() + decision.excluded.len(), inputs.quotes.len());
        for placed in &decision.ranking {
            let asked = inputs.quotes.iter().find(|quote| quote.quote == placed.quote).unwrap();
            prop_assert!(placed.pays_per_gfuel >= asked.price_per_gfuel);
            prop_assert!(placed.pays_per_gfuel <= cap);
        }
    }
}

// ---- the record ------------------------------------------------------------------------------------------------

fn record() -> AwardRecord {
    let asked = |n, answer| Asked { provider: provider(n), latency_ms: Some(3), answer };
    let answer = |n: u8, price_per_gfuel| Answer::Quote { quote: Id::from_bytes([n; 32]), price_per_gfuel };
    let mut record = AwardRecord {
        process: Id::sha256(b"process"),
        need: request().need,
        max_price_per_gfuel: 1_000,
        avoid: vec![provider(3)],
        incumbent: None,
        asked: vec![
            asked(1, answer(1, 120)),
            asked(2, answer(2, 100)),
            asked(3, answer(3, 90)),
            asked(4, Answer::Refused(Refusal::new(RefusalCode::Capacity, "full").retry_after(500))),
            asked(5, Answer::Silent("no answer within 2 s".to_owned())),
        ],
        decision: Decision { ranking: vec![], excluded: vec![] },
        attempts: vec![],
    };
    record.decision = award::decide(&record.inputs());
    let attempt = |place: usize, outcome| Attempt {
        provider: record.decision.ranking[place].provider,
        price_per_gfuel: record.decision.ranking[place].pays_per_gfuel,
        outcome,
    };
    record.attempts =
        vec![attempt(0, Outcome::Silent("gone".to_owned())), attempt(1, Outcome::Accepted(Id::sha256(b"lease")))];
    record
}

#[test]
fn a_record_read_back_from_json_replays_to_the_same_winner() {
    let object = issuer(1).sign(record(), 1, NOW, NOW + 1_000).unwrap();
    let opened = sign::open::<AwardRecord>(&object.signed, &context(NOW)).unwrap().claim.body;
    let read: AwardRecord = serde_json::from_str(&serde_json::to_string_pretty(&opened).unwrap()).unwrap();
    let decision = read.replay().unwrap();
    assert_eq!(decision.winner().unwrap().provider, provider(2));
    assert_eq!(read.winner(), Some((provider(1), 120, Id::sha256(b"lease"))));
    assert!(decision.ranking[2].why.contains("scheduler or messenger"));
}

#[test]
fn records_that_contradict_the_rule_do_not_replay() {
    let broken = |change: fn(&mut AwardRecord)| {
        let mut record = record();
        change(&mut record);
        record.replay().unwrap_err()
    };
    assert!(matches!(broken(|r| r.decision.ranking.swap(0, 1)), ReplayError::Decision { .. }));
    assert!(matches!(broken(|r| r.asked[0].latency_ms = Some(9_000)), ReplayError::Decision { .. }));
    assert!(matches!(broken(|r| r.avoid.clear()), ReplayError::Decision { .. }));
    assert_eq!(broken(|r| drop(r.attempts.remove(0))), ReplayError::Attempt { index: 0 });
    assert_eq!(broken(|r| r.attempts[1].price_per_gfuel += 1), ReplayError::Attempt { index: 1 });
    assert_eq!(broken(|r| r.attempts[0].outcome = Outcome::Accepted(Id::default())), ReplayError::Attempt { index: 1 });
}

#[test]
fn records_are_bounded() {
    let mut long = record();
    long.asked[4].answer = Answer::Silent("x".repeat(refusal::MAX_REASON + 1));
    issuer(1).sign(long, 1, NOW, NOW).unwrap_err();
    let mut many = record();
    many.asked = vec![many.asked[4].clone(); MAX_ASKED + 1];
    issuer(1).sign(many, 1, NOW, NOW).unwrap_err();
    // The largest record fits its frame.
    let mut full = record();
    let asked = |n| Asked {
        provider: provider(n),
        latency_ms: Some(u64::MAX),
        answer: Answer::Quote { quote: Id::from_bytes([n; 32]), price_per_gfuel: 999 },
    };
    full.asked = (0..10).map(asked).collect();
    full.decision = award::decide(&full.inputs());
    let refused = Outcome::Refused(Refusal::new(RefusalCode::Internal, "\u{10ffff}".repeat(refusal::MAX_REASON)));
    full.attempts =
        (0..10).map(|n| Attempt { provider: provider(n), price_per_gfuel: 999, outcome: refused.clone() }).collect();
    issuer(1).sign(full, 1, NOW, NOW).unwrap();
}
