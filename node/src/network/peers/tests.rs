#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use super::*;

fn address(text: &str) -> Multiaddr {
    text.parse().unwrap()
}

fn book(dev: bool) -> (Peers, PeerId, Instant) {
    (Peers::new(PeerId::random(), dev), PeerId::random(), Instant::now())
}

#[test]
fn the_first_retry_is_quick_and_the_pause_is_capped() {
    for jitter in [0, 1, 77, u64::MAX] {
        assert!(delay(1, jitter) <= Duration::from_secs(1));
        assert!(delay(0, jitter) <= Duration::from_secs(1));
        for failures in 1..100 {
            assert!(delay(failures, jitter) <= LAST_DELAY && delay(failures, jitter) > Duration::from_millis(300));
        }
        assert!(delay(99, jitter) > Duration::from_secs(11));
    }
}

#[test]
fn wanted_peers_are_dialled_for_ever_and_others_forgotten() {
    let (mut peers, boot, mut now) = book(true);
    let found = PeerId::random();
    peers.want(boot, Some(address("/ip4/127.0.0.1/tcp/1")), now);
    assert!(peers.learn(found, &address("/ip4/127.0.0.1/tcp/2"), true, now));
    for _ in 0..20 {
        for (peer, addresses) in peers.due(now) {
            peers.failed(&peer, &addresses, now);
        }
        assert!(peers.due(now).is_empty(), "not again at once");
        now += LAST_DELAY;
    }
    let due: Vec<_> = peers.due(now).into_iter().map(|(peer, _)| peer).collect();
    assert_eq!(due, [boot]);
    assert_eq!(peers.missing(), [boot]);
}

#[test]
fn hearsay_is_forgotten_when_it_does_not_work_and_never_pushes_out_what_is_known() {
    let (mut peers, peer, now) = book(true);
    peers.want(peer, Some(address("/ip4/10.0.0.1/tcp/1")), now);
    for port in 2..50 {
        peers.learn(peer, &address(&format!("/ip4/10.0.0.1/tcp/{port}")), false, now);
    }
    assert_eq!(peers.addresses(&peer).len(), MAX_ADDRESSES);
    let dead: Vec<_> = peers.addresses(&peer).into_iter().map(|bare| bare.with_p2p(peer).unwrap()).collect();
    peers.failed(&peer, &dead, now);
    assert_eq!(peers.addresses(&peer), [address("/ip4/10.0.0.1/tcp/1")]);
}

#[test]
fn addresses_of_no_use_are_not_kept() {
    let (mut peers, peer, now) = book(false);
    let good = ["/ip4/8.8.8.8/tcp/9001", "/ip4/8.8.8.8/udp/9001/quic-v1", "/ip6/2600::1/tcp/1"];
    let bad = [
        "/ip4/127.0.0.1/tcp/1",
        "/ip4/10.1.2.3/tcp/1",
        "/ip4/0.0.0.0/tcp/1",
        "/ip4/100.64.0.1/tcp/1",
        "/ip4/8.8.8.8/tcp/0",
        "/ip4/8.8.8.8/udp/1",
        "/ip4/8.8.8.8",
        "/dns4/example.org/tcp/1",
        "/ip6/::1/tcp/1",
        "/ip6/fe80::1/tcp/1",
        "/ip4/8.8.8.8/tcp/1/ws",
        "/ip4/8.8.8.8/tcp/1/p2p/12D3KooWGQmdpzHXCqLno4mMxWXKNFQHASBeF99gTm2JR8Vu5Bdc/p2p-circuit",
    ];
    for text in good {
        assert!(peers.learn(peer, &address(text), false, now), "{text}");
    }
    for text in bad {
        assert!(!peers.learn(peer, &address(text), true, now), "{text}");
    }
    let other = address("/ip4/8.8.8.8/tcp/1").with_p2p(PeerId::random()).unwrap();
    assert!(!peers.learn(peer, &other, true, now), "somebody else's");
    let (mut dev, peer, now) = book(true);
    assert!(dev.learn(peer, &address("/ip4/127.0.0.1/tcp/1"), false, now));
}

#[test]
fn a_peer_that_came_back_makes_its_dead_connections_obsolete() {
    let (mut peers, peer, now) = book(true);
    let at = address("/ip4/127.0.0.1/tcp/1");
    let id = ConnectionId::new_unchecked;
    assert!(peers.connected(peer, id(1), at.clone(), true, now).is_empty());
    assert!(
        peers.connected(peer, id(2), at.clone(), false, now + Duration::from_millis(10)).is_empty(),
        "both dialled"
    );
    assert_eq!(peers.connected(peer, id(3), at, false, now + Duration::from_secs(60)), [id(1), id(2)]);
    assert!(!peers.closed(&peer, id(1), now) && !peers.closed(&peer, id(2), now));
    assert!(peers.closed(&peer, id(3), now));
}

#[test]
fn two_lost_pings_in_a_row_end_a_connection() {
    let (mut peers, peer, now) = book(true);
    let id = ConnectionId::new_unchecked(1);
    peers.connected(peer, id, address("/ip4/127.0.0.1/tcp/1"), true, now);
    assert!(!peers.pinged(&peer, id, Some(Duration::from_millis(100))));
    assert!(!peers.pinged(&peer, id, None));
    assert!(!peers.pinged(&peer, id, Some(Duration::from_millis(200))));
    assert_eq!(peers.live().next().unwrap().1.rtt, Some(Duration::from_millis(120)));
    assert!(!peers.pinged(&peer, id, None));
    assert!(peers.pinged(&peer, id, None));
}
