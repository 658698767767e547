#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use super::*;

#[test]
fn a_bucket_gives_its_burst_and_then_its_rate() {
    let start = Instant::now();
    let mut bucket = TokenBucket::new(10, 5, start);
    assert_eq!((0..20).filter(|_| bucket.take(start)).count(), 5);
    let later = start + Duration::from_millis(200);
    assert_eq!((0..20).filter(|_| bucket.take(later)).count(), 2);
    assert_eq!(
        (0..20).filter(|_| bucket.take(later + Duration::from_secs(3_600))).count(),
        5,
        "no more than the burst is saved"
    );
    assert!(!bucket.take(start), "time that runs backwards gives nothing");
}

#[test]
fn lanes_and_peers_have_buckets_of_their_own() {
    let now = Instant::now();
    let mut rates = Rates::new();
    let (one, other) = (PeerId::random(), PeerId::random());
    let burst = usize::try_from(Lane::Market.limits().burst).unwrap();
    assert_eq!((0..burst * 2).filter(|_| rates.request(one, Lane::Market, now)).count(), burst);
    assert!(rates.request(one, Lane::Order, now) && rates.request(other, Lane::Market, now) && rates.gossip(one, now));
}

#[test]
fn a_budget_is_given_back() {
    let budget = Budget::new(4096);
    let share = budget.take(3000).unwrap();
    assert!(budget.take(1025).is_none());
    assert!(budget.take(1024).is_some());
    drop(share);
    assert!(budget.take(4096).is_some());
    assert!(budget.take(usize::MAX).is_none());
}
