#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;

use super::*;
use crate::network::{NetworkFile, NetworkParameters};

fn key(n: u32) -> NodeKey {
    NodeKey::from_bytes(*Id::sha256(&n.to_be_bytes()).as_bytes())
}

fn process(n: u32) -> Id {
    Id::sha256(format!("process {n}").as_bytes())
}

fn member(n: u32, roles: &[Role]) -> Member {
    Member { name: format!("node-{n}"), key: key(n), bond: 1_000, roles: roles.iter().copied().collect(), owner: None }
}

fn file(nodes: u32) -> NetworkFile {
    let registry = (1..=nodes).map(|n| member(n, &[Role::Scheduler, Role::Compute, Role::Messenger])).collect();
    NetworkFile { name: "test".to_owned(), boot: vec![], parameters: NetworkParameters::default(), registry }
}

fn network(nodes: u32) -> Network {
    file(nodes).validate().unwrap()
}

#[test]
fn inverse_logarithm_vectors() {
    for (u, l) in [
        (1_u128, 274_877_906_944_u64),
        (2, 270_582_939_648),
        (3, 268_070_544_839),
        (1 << 32, 137_438_953_472),
        (1 << 63, 4_294_967_296),
        ((1 << 64) - 1, 1),
        (1 << 64, 0),
    ] {
        assert_eq!(inverse_log2_q32(u), l, "u = {u}");
    }
    assert_eq!(inverse_log2_q32(0), inverse_log2_q32(1));
    assert_eq!(inverse_log2_q32(u128::MAX), 0);
}

#[test]
fn draw_vector() {
    let candidates: Vec<_> = (0..5_u8).map(|i| (NodeKey::from_bytes([i; 32]), 10 * (u64::from(i) + 1))).collect();
    let draw = elect(Domain::Scheduler, Id::from_bytes([0; 32]), Id::from_bytes([1; 32]), &candidates);
    let order: Vec<_> = draw.order.iter().map(|ranked| ranked.key.as_bytes()[0]).collect();
    assert_eq!(order, [1, 2, 3, 0, 4]);
    let mut by_key = draw.order;
    by_key.sort_by_key(|ranked| ranked.key);
    let u: Vec<_> = by_key.iter().map(|ranked| format!("{:016x}", ranked.u)).collect();
    assert_eq!(u, ["b5107e3264dcaa2a", "f2d01d9eec62c06d", "cf990a595cce780d", "5b81f2337ea57749", "0f81c4fe1c1f44c9"]);
}

#[test]
fn domains_draw_independently() {
    let candidates: Vec<_> = (0..50).map(|n| (key(n), 1)).collect();
    let first = |domain| elect(domain, Id::default(), process(1), &candidates).order;
    assert_ne!(first(Domain::Scheduler), first(Domain::Messenger));
    assert_ne!(first(Domain::Scheduler), first(Domain::Attest));
}

#[test]
fn weight_zero_and_repeated_keys_are_left_out() {
    let draw = elect(Domain::Scheduler, Id::default(), process(1), &[(key(1), 0), (key(2), 5), (key(2), 5)]);
    assert_eq!(draw.order.len(), 1);
    assert!(elect(Domain::Scheduler, Id::default(), process(1), &[]).order.is_empty());
}

#[test]
fn shares_follow_weights() {
    let candidates: Vec<_> = (0..10_u32).map(|n| (key(n), u64::from(1 + n * 6))).collect();
    let total: u64 = candidates.iter().map(|(_, weight)| weight).sum();
    let mut led: HashMap<NodeKey, u32> = HashMap::new();
    for n in 0..20_000 {
        let draw = elect(Domain::Scheduler, Id::default(), process(n), &candidates);
        *led.entry(draw.order[0].key).or_default() += 1;
    }
    for (key, weight) in candidates {
        let share = f64::from(led.get(&key).copied().unwrap_or(0)) / 20_000.0;
        let expected = weight as f64 / total as f64;
        assert!((share - expected).abs() < 0.012, "weight {weight}: {share} of the draws, expected {expected}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn order_is_independent_of_input_order(
        weights in proptest::collection::vec(1_u64..=u64::MAX, 1..30), n in any::<u32>(), turn in 0_usize..30,
    ) {
        let candidates: Vec<_> = weights.iter().zip(0_u32..).map(|(weight, n)| (key(n), *weight)).collect();
        let order = elect(Domain::Scheduler, Id::default(), process(n), &candidates).order;
        let mut turned = candidates.clone();
        turned.rotate_left(turn % candidates.len());
        turned.reverse();
        prop_assert_eq!(&elect(Domain::Scheduler, Id::default(), process(n), &turned).order, &order);
    }

    #[test]
    fn removing_a_member_keeps_the_others_order(
        weights in proptest::collection::vec(1_u64..1_000_000, 2..30), n in any::<u32>(), gone in 0_usize..30,
    ) {
        let mut candidates: Vec<_> = weights.iter().zip(0_u32..).map(|(weight, n)| (key(n), *weight)).collect();
        let mut order = elect(Domain::Scheduler, Id::default(), process(n), &candidates).order;
        let (removed, _) = candidates.remove(gone % weights.len());
        order.retain(|ranked| ranked.key != removed);
        prop_assert_eq!(elect(Domain::Scheduler, Id::default(), process(n), &candidates).order, order);
    }

    #[test]
    fn logarithm_falls_with_u(a in 1_u128..=(1 << 64), b in 1_u128..=(1 << 64)) {
        let (low, high) = (a.min(b), a.max(b));
        prop_assert!(inverse_log2_q32(low) >= inverse_log2_q32(high));
    }
}

#[test]
fn the_networks_address_draws_and_anyone_can_recompute() {
    let network = network(5);
    let mut led = BTreeMap::new();
    for n in 0..200 {
        let election = explain(&network, process(n), &network.address().to_string()).unwrap();
        election.verify_against(&network).unwrap();
        assert_eq!(election.seed_kind, SeedKind::Dev);
        assert!(!election.committee.pinned);
        assert_eq!(election.committee.seats.len(), 1);
        assert_eq!(election.committee.leader(), Some(election.order[0].key));
        *led.entry(election.committee.seats[0]).or_insert(0) += 1;
        let json = serde_json::to_string(&election).unwrap();
        let read: Election = serde_json::from_str(&json).unwrap();
        assert_eq!(read, election);
        assert!(json.contains("\"seed_kind\":\"dev\""));
    }
    assert_eq!(led.len(), 5, "every scheduler is elected for some process: {led:?}");
}

#[test]
fn d11_the_scheduler_that_aos_names_means_elect_one() {
    let network = network(5);
    let drawn = scheduler_of(&network, process(1), &network.address().to_string()).unwrap();
    assert_eq!(scheduler_of(&network, process(1), WELL_KNOWN_SCHEDULER).unwrap(), drawn);
    explain(&network, process(1), WELL_KNOWN_SCHEDULER).unwrap().verify_against(&network).unwrap();
}

#[test]
fn a_schedulers_address_pins() {
    let network = network(3);
    let election = explain(&network, process(1), &key(2).address().to_string()).unwrap();
    assert!(election.committee.pinned);
    assert_eq!(election.committee.seats, [key(2)]);
    assert!(election.committee.holds_seat(&key(2)) && !election.committee.holds_seat(&key(1)));
    election.verify_against(&network).unwrap();
    assert_eq!(scheduler_of(&network, process(1), &key(2).address().to_string()).unwrap(), election.committee);
}

#[test]
fn other_tags_are_refused_with_what_to_use() {
    let mut file = file(2);
    file.registry.push(member(3, &[Role::Gateway]));
    let network = file.validate().unwrap();
    let address = network.address().to_string();
    for (tag, parts) in [
        ("nonsense".to_owned(), vec!["\"nonsense\"", &address]),
        (process(9).to_string(), vec!["no scheduler of network test", &address]),
        (key(3).address().to_string(), vec!["node-3", "without the role", &address]),
        (network.id().to_string(), vec!["no scheduler of network", &address]),
    ] {
        let error = scheduler_of(&network, process(1), &tag).unwrap_err().to_string();
        for part in parts {
            assert!(error.contains(part), "{error:?} lacks {part:?}");
        }
    }
    let long = "x".repeat(10_000);
    assert!(scheduler_of(&network, process(1), &long).unwrap_err().to_string().len() < 500);
}

#[test]
fn tampered_explanations_do_not_verify() {
    let network = network(4);
    let tag = network.address().to_string();
    let good = explain(&network, process(1), &tag).unwrap();
    let broken = |change: fn(&mut Election)| {
        let mut election = good.clone();
        change(&mut election);
        election.verify().is_err()
    };
    assert!(broken(|e| e.seed = Id::default()));
    assert!(broken(|e| e.order.swap(0, 1)));
    assert!(broken(|e| e.order[0].u += 1));
    assert!(broken(|e| e.order[3].l -= 1));
    assert!(broken(|e| e.order[3].weight = 100_000_000));
    assert!(broken(|e| e.committee.seats = vec![e.order[1].key]));
    assert!(broken(|e| e.committee.seats.clear()));
    assert!(broken(|e| e.process = Id::default()));
    assert!(broken(|e| e.owners.truncate(3)));
    assert!(broken(|e| {
        e.committee.pinned = true;
        e.committee.seats = vec![key(99)];
    }));
    let mut fewer = good.clone();
    fewer.order.pop();
    fewer.owners.pop();
    fewer.verify().unwrap();
    assert!(fewer.verify_against(&network).is_err());
    let mut heavier = good;
    heavier.order[3].weight += 1;
    assert!(heavier.verify_against(&network).is_err());
}

#[test]
fn several_seats_go_to_several_owners() {
    let mut file = file(6);
    file.parameters.order.seats = 3;
    file.parameters.order.quorum = 2;
    let owner = Some(Id::sha256(b"whale"));
    file.registry.iter_mut().take(4).for_each(|member| member.owner = owner);
    let network = file.validate().unwrap();
    let mut skips = 0;
    for n in 0..50 {
        let election = explain(&network, process(n), &network.address().to_string()).unwrap();
        election.verify_against(&network).unwrap();
        assert_eq!((election.committee.seats.len(), election.committee.quorum), (3, 2));
        let owners: BTreeSet<_> =
            election.committee.seats.iter().map(|k| network.member(k).unwrap().bond_owner()).collect();
        assert_eq!(owners.len(), 3);
        skips += election.skipped.len();
    }
    assert!(skips > 0);
}

#[test]
fn messengers_rank_with_the_scheduler_last() {
    let network = network(5);
    let mut firsts = BTreeSet::new();
    for n in 0..50 {
        let scheduler = scheduler_of(&network, process(n), &network.address().to_string()).unwrap().leader().unwrap();
        let messengers = messengers_of(&network, process(n), &scheduler);
        assert_eq!(messengers.len(), 5);
        assert_eq!(messengers.last(), Some(&scheduler));
        // The others keep their order whoever the scheduler is.
        let other = messengers_of(&network, process(n), &messengers[0]);
        assert_eq!(other.last(), Some(&messengers[0]));
        firsts.insert(messengers[0]);
    }
    assert!(firsts.len() >= 4);
    let alone = self::network(1);
    assert_eq!(messengers_of(&alone, process(1), &key(1)), [key(1)]);
}
