//! When to look for peers, and whom to turn away.
//!
//! A walk is a Kademlia query for a random place, and one for each registry member that is missing: soon after the first
//! peer answers, then less and less often. Peers that show another network are shunned for a while, without penalty.

use std::{collections::HashMap, time::Duration};

use libp2p::{PeerId, kad};
use tokio::time::Instant;

use super::{behaviour::Behaviour, peers::Peers};

/// Walks start this soon after a new peer, and end up this far apart.
const WALK: (Duration, Duration) = (Duration::from_millis(300), Duration::from_secs(30));
/// Members looked up in one walk.
const LOOKUPS: usize = 3;
/// Queries under way at once.
const MAX_QUERIES: usize = 12;
/// How long a peer of another network is not talked to.
const SHUN: Duration = Duration::from_secs(60);
/// How many of them are remembered.
const MAX_SHUNNED: usize = 1_024;

/// The timetable of walks and the list of those turned away.
pub struct Discovery {
    next: Instant,
    pause: Duration,
    turn: usize,
    shunned: HashMap<PeerId, Instant>,
}

impl Discovery {
    /// A first walk is due at once.
    pub fn new(now: Instant) -> Self {
        Self { next: now, pause: WALK.0, turn: 0, shunned: HashMap::new() }
    }

    /// A peer has appeared: it may know others, and those it knows may not know us.
    pub fn stir(&mut self, now: Instant) {
        self.pause = WALK.0;
        self.next = self.next.min(now + WALK.0);
    }

    /// Walk when it is time to.
    pub fn walk(&mut self, behaviour: &mut Behaviour, peers: &Peers, now: Instant) {
        if now < self.next || peers.live().next().is_none() {
            return;
        }
        self.next = now + self.pause;
        self.pause = (self.pause * 2).min(WALK.1);
        let mut room = MAX_QUERIES.saturating_sub(behaviour.kad.iter_queries().count());
        let missing = peers.missing();
        self.turn = self.turn.wrapping_add(LOOKUPS);
        let offset = self.turn.checked_rem(missing.len()).unwrap_or_default();
        let members = missing.iter().cycle().skip(offset).take(missing.len().min(LOOKUPS)).copied();
        for target in std::iter::once(PeerId::random()).chain(members) {
            if room == 0 {
                return;
            }
            room -= 1;
            behaviour.kad.get_closest_peers(target);
        }
    }

    /// Turn `peer` away for a while, as long as there is room to remember it. False when it is shunned already.
    pub fn shun(&mut self, behaviour: &mut Behaviour, peers: &mut Peers, peer: PeerId, now: Instant) -> bool {
        if self.shunned.contains_key(&peer) {
            return false;
        }
        if self.shunned.len() >= MAX_SHUNNED {
            return true;
        }
        let until = now + SHUN;
        self.shunned.insert(peer, until);
        peers.shun(&peer, until);
        behaviour.kad.remove_peer(&peer);
        behaviour.blocked.block_peer(peer);
        true
    }

    /// Talk again to those whose time is over.
    pub fn pardon(&mut self, behaviour: &mut Behaviour, now: Instant) {
        self.shunned.retain(|peer, until| {
            let still = *until > now;
            if !still {
                behaviour.blocked.unblock_peer(*peer);
            }
            still
        });
    }
}

/// The peers a query has brought up, with their addresses.
pub fn found(result: kad::QueryResult) -> Vec<kad::PeerInfo> {
    match result {
        kad::QueryResult::GetClosestPeers(Ok(found)) => found.peers,
        kad::QueryResult::GetClosestPeers(Err(kad::GetClosestPeersError::Timeout { peers, .. })) => peers,
        _ => Vec::new(),
    }
}
