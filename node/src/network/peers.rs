//! The address book: who is known, who is connected, and whom to dial when. Pure bookkeeping; time is an argument.
//!
//! Boot nodes and registry members are *wanted*: dialled for ever. Others that discovery brought up are dialled while
//! there is room and forgotten when they stay unreachable. Delays double from half a second to fifteen.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use libp2p::{Multiaddr, PeerId, multiaddr::Protocol, swarm::ConnectionId};
use tokio::time::Instant;

/// Peers that discovery may bring up; wanted ones do not count.
const MAX_KNOWN: usize = 2_048;
/// Addresses kept a peer.
const MAX_ADDRESSES: usize = 8;
/// Connections we try to keep; wanted peers come on top.
const TARGET_PEERS: usize = 40;
/// An unwanted peer that failed so often in a row is forgotten.
const MAX_FAILURES: u32 = 8;
const FIRST_DELAY: Duration = Duration::from_millis(500);
const LAST_DELAY: Duration = Duration::from_secs(15);
/// A dial that was not heard of again counts as over.
const DIAL_DEADLINE: Duration = Duration::from_secs(20);
/// Two connections that came up within this time are two sides dialling at once; a later one means that the peer has
/// lost the earlier one, typically because it was killed and is back.
const SETTLE: Duration = Duration::from_secs(3);
/// Weight of a new ping in the smoothed round-trip time, in percent.
const RTT_WEIGHT: u32 = 20;

#[derive(Debug, Clone)]
struct Address {
    address: Multiaddr,
    /// From the configuration, from the peer itself, or dialled with success; not hearsay.
    confirmed: bool,
}

#[derive(Debug)]
struct Known {
    addresses: Vec<Address>,
    wanted: bool,
    failures: u32,
    next_dial: Instant,
}

/// One connection to a peer.
#[derive(Debug, Clone)]
pub struct Link {
    /// libp2p's name of it.
    pub id: ConnectionId,
    /// The other end.
    pub address: Multiaddr,
    since: Instant,
    lost_pings: u32,
}

/// A peer with at least one connection.
#[derive(Debug)]
pub struct Live {
    /// Its connections, oldest first.
    pub links: Vec<Link>,
    /// Since when without a gap, by the wall's monotonic clock.
    pub since: std::time::Instant,
    /// Smoothed round-trip time.
    pub rtt: Option<Duration>,
    /// What it says it runs; `None` until it has shown that it is of our network.
    pub agent: Option<String>,
}

/// The address book.
pub struct Peers {
    me: PeerId,
    /// Private addresses are fine.
    dev: bool,
    known: HashMap<PeerId, Known>,
    live: HashMap<PeerId, Live>,
    jitter: RandomState,
}

impl Peers {
    /// An empty book of the node `me`.
    pub fn new(me: PeerId, dev: bool) -> Self {
        Self { me, dev, known: HashMap::new(), live: HashMap::new(), jitter: RandomState::new() }
    }

    /// Keep connected to `peer`, for ever.
    pub fn want(&mut self, peer: PeerId, address: Option<Multiaddr>, now: Instant) {
        if peer == self.me {
            return;
        }
        let known = self.known.entry(peer).or_insert_with(|| Known::new(now));
        known.wanted = true;
        if let Some(address) = address {
            known.add(address, true);
        }
    }

    /// `peer` is said to live at `address`; `confirmed` when it said so itself. False when the address is of no use.
    pub fn learn(&mut self, peer: PeerId, address: &Multiaddr, confirmed: bool, now: Instant) -> bool {
        let Some(address) = usable(address, &peer, self.dev).filter(|_| peer != self.me) else {
            return false;
        };
        let room = self.known.len() < MAX_KNOWN;
        if !room && !self.known.contains_key(&peer) {
            return false;
        }
        self.known.entry(peer).or_insert_with(|| Known::new(now)).add(address, confirmed);
        true
    }

    /// Where `peer` may be found.
    pub fn addresses(&self, peer: &PeerId) -> Vec<Multiaddr> {
        self.known
            .get(peer)
            .map(|known| known.addresses.iter().map(|entry| entry.address.clone()).collect())
            .unwrap_or_default()
    }

    /// Whom to dial now. Each is not offered again before its dial had time to end.
    pub fn due(&mut self, now: Instant) -> Vec<(PeerId, Vec<Multiaddr>)> {
        let mut room = TARGET_PEERS.saturating_sub(self.live.len());
        let mut due = Vec::new();
        for (peer, known) in &mut self.known {
            let ready = !self.live.contains_key(peer) && known.next_dial <= now && !known.addresses.is_empty();
            if !ready || (!known.wanted && room == 0) {
                continue;
            }
            room = room.saturating_sub(usize::from(!known.wanted));
            known.next_dial = now + DIAL_DEADLINE;
            due.push((*peer, known.addresses.iter().map(|entry| entry.address.clone()).collect()));
        }
        due
    }

    /// Wanted peers that are not connected and keep failing, or have no address: to be looked up.
    pub fn missing(&self) -> Vec<PeerId> {
        let missing = |(peer, known): &(&PeerId, &Known)| {
            known.wanted && !self.live.contains_key(*peer) && (known.addresses.is_empty() || known.failures >= 2)
        };
        self.known.iter().filter(missing).map(|(peer, _)| *peer).collect()
    }

    /// Dialling `peer` failed. `dead` are the addresses that did not work: hearsay among them is forgotten.
    pub fn failed(&mut self, peer: &PeerId, dead: &[Multiaddr], now: Instant) {
        let delay_jitter = self.jitter.hash_one((peer, self.known.get(peer).map(|known| known.failures)));
        let Some(known) = self.known.get_mut(peer) else {
            return;
        };
        let bare =
            |address: &Multiaddr| super::config::split_peer(address).map_or_else(|| address.clone(), |(_, bare)| bare);
        let dead: Vec<_> = dead.iter().map(bare).collect();
        known.addresses.retain(|entry| entry.confirmed || !dead.contains(&entry.address));
        known.failures = known.failures.saturating_add(1);
        known.next_dial = now + delay(known.failures, delay_jitter);
        if !known.wanted && (known.failures >= MAX_FAILURES || known.addresses.is_empty()) {
            self.known.remove(peer);
        }
    }

    /// Do not dial `peer` before `until`.
    pub fn shun(&mut self, peer: &PeerId, until: Instant) {
        if let Some(known) = self.known.get_mut(peer) {
            known.next_dial = until;
        }
    }

    /// A connection is up. Returns connections to the same peer that it makes obsolete.
    pub fn connected(
        &mut self,
        peer: PeerId,
        id: ConnectionId,
        address: Multiaddr,
        dialled: bool,
        now: Instant,
    ) -> Vec<ConnectionId> {
        if let Some(known) = self.known.get_mut(&peer) {
            known.failures = 0;
        }
        if dialled {
            self.learn(peer, &address, true, now);
        }
        let fresh = || Live { links: Vec::new(), since: std::time::Instant::now(), rtt: None, agent: None };
        let live = self.live.entry(peer).or_insert_with(fresh);
        let old = live
            .links
            .iter()
            .filter(|link| now.saturating_duration_since(link.since) > SETTLE)
            .map(|link| link.id)
            .collect();
        live.links.push(Link { id, address, since: now, lost_pings: 0 });
        old
    }

    /// A connection is down. True when it was the last one.
    pub fn closed(&mut self, peer: &PeerId, id: ConnectionId, now: Instant) -> bool {
        let Some(live) = self.live.get_mut(peer) else {
            return false;
        };
        live.links.retain(|link| link.id != id);
        if !live.links.is_empty() {
            return false;
        }
        self.live.remove(peer);
        let jitter = self.jitter.hash_one(peer);
        if let Some(known) = self.known.get_mut(peer) {
            known.next_dial = known.next_dial.max(now + delay(0, jitter)).min(now + LAST_DELAY);
        }
        true
    }

    /// The peer has shown that it is of our network. True the first time.
    pub fn identified(&mut self, peer: &PeerId, agent: &str) -> bool {
        let Some(live) = self.live.get_mut(peer) else {
            return false;
        };
        // Shown to people: bounded, and no control characters.
        let agent = agent.chars().filter(|c| !c.is_control()).take(64).collect();
        live.agent.replace(agent).is_none()
    }

    /// A ping came back after `rtt`, or not at all. Returns true when the connection should be closed.
    pub fn pinged(&mut self, peer: &PeerId, id: ConnectionId, rtt: Option<Duration>) -> bool {
        let Some(live) = self.live.get_mut(peer) else {
            return false;
        };
        if let Some(rtt) = rtt {
            live.rtt = Some(live.rtt.map_or(rtt, |old| (old * (100 - RTT_WEIGHT) + rtt * RTT_WEIGHT) / 100));
        }
        let Some(link) = live.links.iter_mut().find(|link| link.id == id) else {
            return false;
        };
        link.lost_pings = if rtt.is_some() { 0 } else { link.lost_pings.saturating_add(1) };
        link.lost_pings >= 2
    }

    /// Where the connected peers can be dialled again, at most four addresses each, with `/p2p`.
    pub fn anchors(&self) -> Vec<Multiaddr> {
        let ours = self.live.iter().filter(|(_, live)| live.agent.is_some());
        ours.flat_map(|(peer, _)| {
            self.addresses(peer).into_iter().take(4).filter_map(|address| address.with_p2p(*peer).ok())
        })
        .collect()
    }

    /// The connected peers.
    pub fn live(&self) -> impl Iterator<Item = (&PeerId, &Live)> {
        self.live.iter()
    }
}

impl Known {
    fn new(now: Instant) -> Self {
        Self { addresses: Vec::new(), wanted: false, failures: 0, next_dial: now }
    }

    fn add(&mut self, address: Multiaddr, confirmed: bool) {
        if let Some(entry) = self.addresses.iter_mut().find(|entry| entry.address == address) {
            entry.confirmed |= confirmed;
            return;
        }
        if self.addresses.len() >= MAX_ADDRESSES {
            // Hearsay never pushes out what is confirmed; what is confirmed pushes out hearsay, then the oldest.
            let hearsay = self.addresses.iter().position(|entry| !entry.confirmed);
            match (hearsay, confirmed) {
                (Some(position), _) => drop(self.addresses.remove(position)),
                (None, true) => drop(self.addresses.remove(0)),
                (None, false) => return,
            }
        }
        self.addresses.push(Address { address, confirmed });
    }
}

/// Half a second after the first failure, doubling to fifteen; up to a quarter less, so that nodes do not march in step.
/// After zero failures, a moment.
fn delay(failures: u32, jitter: u64) -> Duration {
    let base = match failures {
        0 => Duration::from_millis(200),
        _ => FIRST_DELAY.saturating_mul(1 << (failures - 1).min(10)).min(LAST_DELAY),
    };
    let quarter = u64::try_from(base.as_millis() / 4).unwrap_or_default().max(1);
    base.saturating_sub(Duration::from_millis(jitter % quarter))
}

/// `address` without its `/p2p` part, or `None` when it is not of this peer, not plain TCP or QUIC over IP, or (outside
/// of development) not reachable from everywhere.
fn usable(address: &Multiaddr, peer: &PeerId, dev: bool) -> Option<Multiaddr> {
    let bare = match super::config::split_peer(address) {
        Some((named, bare)) if named == *peer => bare,
        Some(_) => return None,
        None => address.clone(),
    };
    let parts: Vec<_> = bare.iter().collect();
    let public = match parts.first()? {
        Protocol::Ip4(ip) if !ip.is_unspecified() && !ip.is_multicast() && !ip.is_broadcast() => {
            let shared = u32::from(*ip) >> 22 == u32::from(std::net::Ipv4Addr::new(100, 64, 0, 0)) >> 22;
            !(ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_documentation() || shared)
        }
        Protocol::Ip6(ip) if !ip.is_unspecified() && !ip.is_multicast() => {
            !(ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local())
        }
        _ => return None,
    };
    let plain = match parts.get(1..)? {
        [Protocol::Tcp(port)] => *port != 0,
        [Protocol::Udp(port), Protocol::QuicV1] => *port != 0,
        _ => false,
    };
    (plain && (public || dev)).then_some(bare)
}

#[cfg(test)]
mod tests;
