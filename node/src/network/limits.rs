//! Every number that bounds what peers can make this node hold or do, and the two counters of such things: a token
//! bucket (how often) and a byte budget (how much at once).

use std::{sync::Arc, time::Duration};

use libp2p::{PeerId, connection_limits::ConnectionLimits};
use lru::LruCache;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use super::lanes::Lane;

/// Largest gossip payload in bytes.
pub const MAX_GOSSIP: usize = 64 * 1024;
/// What gossipsub adds around a payload: topic, author, signature.
pub const GOSSIP_ENVELOPE: usize = 1024;
/// Gossip items whose verdict is awaited; beyond this new ones are ignored.
pub const MAX_VERDICTS: usize = 4096;
/// How long a verdict is awaited before it counts as "ignore".
pub const VERDICT_TIME: Duration = Duration::from_secs(10);
/// Requests of ours that await an answer.
pub const MAX_INFLIGHT: usize = 2048;
/// Commands waiting for the network loop.
pub const MAX_COMMANDS: usize = 1024;
/// Bytes of request frames held at once, until they are answered.
pub const REQUEST_BUDGET: usize = 256 << 20;
/// Bytes of response frames being read at once.
pub const RESPONSE_BUDGET: usize = 512 << 20;
/// Time to reach a peer before a request's own time starts.
pub const DIAL_TIME: Duration = Duration::from_secs(8);
/// Peers whose rates are remembered.
const MAX_RATED_PEERS: usize = 1024;
/// Gossip items one peer may hand us: per second, and at once.
const GOSSIP_RATE: (u32, u32) = (4_000, 16_000);

/// Connections: 150 in, 50 out, 30 pending each way. Four a peer: two when both dialled at once, and two more so that a
/// peer that was killed and is back gets in before its dead connections have timed out.
pub fn connections() -> ConnectionLimits {
    ConnectionLimits::default()
        .with_max_established_incoming(Some(150))
        .with_max_established_outgoing(Some(50))
        .with_max_pending_incoming(Some(30))
        .with_max_pending_outgoing(Some(30))
        .with_max_established_per_peer(Some(4))
}

/// A bucket of tokens that refills steadily; taking from an empty one fails.
#[derive(Debug, Clone)]
pub struct TokenBucket {
    tokens: f64,
    burst: f64,
    rate: f64,
    filled: Instant,
}

impl TokenBucket {
    /// A full bucket: `rate` tokens a second, at most `burst` saved up.
    pub fn new(rate: u32, burst: u32, now: Instant) -> Self {
        Self { tokens: burst.into(), burst: burst.into(), rate: rate.into(), filled: now }
    }

    /// Take one token, or fail.
    pub fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.filled = now;
        self.tokens = (self.tokens + passed * self.rate).min(self.burst);
        let granted = self.tokens >= 1.0;
        if granted {
            self.tokens -= 1.0;
        }
        granted
    }
}

struct PeerRates {
    order: TokenBucket,
    read: TokenBucket,
    market: TokenBucket,
    compute: TokenBucket,
    gossip: TokenBucket,
}

impl PeerRates {
    fn new(now: Instant) -> Self {
        let lane = |lane: Lane| TokenBucket::new(lane.limits().rate, lane.limits().burst, now);
        Self {
            order: lane(Lane::Order),
            read: lane(Lane::Read),
            market: lane(Lane::Market),
            compute: lane(Lane::Compute),
            gossip: TokenBucket::new(GOSSIP_RATE.0, GOSSIP_RATE.1, now),
        }
    }
}

/// The token buckets of the peers heard from most recently. They outlive connections, so reconnecting wins nothing.
pub struct Rates(LruCache<PeerId, PeerRates>);

impl Rates {
    /// No peer known yet.
    pub fn new() -> Self {
        Self(LruCache::new(std::num::NonZeroUsize::new(MAX_RATED_PEERS).unwrap_or(std::num::NonZeroUsize::MIN)))
    }

    /// May `peer` ask one more thing on `lane`?
    pub fn request(&mut self, peer: PeerId, lane: Lane, now: Instant) -> bool {
        let rates = self.0.get_or_insert_mut(peer, || PeerRates::new(now));
        match lane {
            Lane::Order => rates.order.take(now),
            Lane::Read => rates.read.take(now),
            Lane::Market => rates.market.take(now),
            Lane::Compute => rates.compute.take(now),
        }
    }

    /// May `peer` hand us one more gossip item?
    pub fn gossip(&mut self, peer: PeerId, now: Instant) -> bool {
        self.0.get_or_insert_mut(peer, || PeerRates::new(now)).gossip.take(now)
    }
}

/// A share of a [`Budget`], given back when dropped.
pub type Share = OwnedSemaphorePermit;

/// Bytes that may be held at once by everybody together, counted in KiB.
#[derive(Clone)]
pub struct Budget(Arc<Semaphore>);

impl Budget {
    /// A budget of `bytes`.
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes / 1024)))
    }

    /// Take `bytes` out of it, or `None` when so much is not left.
    pub fn take(&self, bytes: usize) -> Option<Share> {
        let kib = u32::try_from(bytes.div_ceil(1024)).ok()?;
        Arc::clone(&self.0).try_acquire_many_owned(kib).ok()
    }
}

#[cfg(test)]
mod tests;
