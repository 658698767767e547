//! What the network counts, for `/metrics` and for the status page: the same atomic counters behind both.

use std::sync::Arc;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};
use serde::Serialize;

use super::lanes::Lane;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LaneLabels {
    lane: &'static str,
    what: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct What {
    what: &'static str,
}

/// What can happen to a request.
#[derive(Debug, Clone, Copy)]
pub enum RequestEvent {
    /// Asked by us.
    Sent,
    /// Answered to us.
    Answered,
    /// Not answered to us.
    Failed,
    /// Handed to the consumer.
    Received,
    /// Refused before it reached the consumer.
    Refused,
}

/// What can happen to a gossip item.
#[derive(Debug, Clone, Copy)]
pub enum GossipEvent {
    /// Published by us.
    Published,
    /// Published by us while nobody listened.
    Alone,
    /// Found valid and passed on.
    Accepted,
    /// Found invalid.
    Rejected,
    /// Neither.
    Ignored,
}

/// Which bound was reached.
#[derive(Debug, Clone, Copy)]
pub enum LimitEvent {
    /// Connections or memory: a connection was not taken.
    Connections,
    /// A peer was too fast.
    Rate,
    /// The inbound queue or the number of open questions.
    Queue,
    /// Bytes of frames held at once.
    Bytes,
}

/// The counters. Increase only, from any thread.
#[derive(Debug, Default)]
pub struct Counters {
    requests: Family<LaneLabels, Counter>,
    gossip: Family<What, Counter>,
    limits: Family<What, Counter>,
    wrong_network: Counter,
}

impl Counters {
    /// Fresh counters, shown in `registry` under `weft_network`.
    pub fn register(registry: &mut Registry) -> Arc<Self> {
        let counters = Self::default();
        let registry = registry.sub_registry_with_prefix("weft_network");
        registry.register("requests", "Requests by lane and what became of them", counters.requests.clone());
        registry.register("gossip", "Gossip items by what became of them", counters.gossip.clone());
        registry.register("limits", "Bounds reached", counters.limits.clone());
        registry.register("wrong_network", "Peers of other networks turned away", counters.wrong_network.clone());
        Arc::new(counters)
    }

    pub(super) fn request(&self, lane: Lane, event: RequestEvent) {
        self.requests.get_or_create(&request_labels(lane, event)).inc();
    }

    pub(super) fn gossip(&self, event: GossipEvent) {
        self.gossip.get_or_create(&gossip_label(event)).inc();
    }

    pub(super) fn limit(&self, event: LimitEvent) {
        self.limits.get_or_create(&limit_label(event)).inc();
    }

    pub(super) fn wrong_network(&self) {
        self.wrong_network.inc();
    }

    /// All of them now.
    pub fn status(&self, peers: usize) -> Status {
        let gossip = |event| self.gossip.get_or_create(&gossip_label(event)).get();
        let limit = |event| self.limits.get_or_create(&limit_label(event)).get();
        Status {
            peers,
            wrong_network: self.wrong_network.get(),
            gossip: GossipStatus {
                published: gossip(GossipEvent::Published),
                published_alone: gossip(GossipEvent::Alone),
                accepted: gossip(GossipEvent::Accepted),
                rejected: gossip(GossipEvent::Rejected),
                ignored: gossip(GossipEvent::Ignored),
            },
            requests: Lane::ALL.into_iter().map(|lane| self.lane(lane)).collect(),
            limits: LimitStatus {
                connections: limit(LimitEvent::Connections),
                rate: limit(LimitEvent::Rate),
                queue: limit(LimitEvent::Queue),
                bytes: limit(LimitEvent::Bytes),
            },
        }
    }

    fn lane(&self, lane: Lane) -> LaneStatus {
        let count = |event| self.requests.get_or_create(&request_labels(lane, event)).get();
        LaneStatus {
            lane: lane.name(),
            sent: count(RequestEvent::Sent),
            answered: count(RequestEvent::Answered),
            failed: count(RequestEvent::Failed),
            received: count(RequestEvent::Received),
            refused: count(RequestEvent::Refused),
        }
    }
}

fn request_labels(lane: Lane, event: RequestEvent) -> LaneLabels {
    let what = match event {
        RequestEvent::Sent => "sent",
        RequestEvent::Answered => "answered",
        RequestEvent::Failed => "failed",
        RequestEvent::Received => "received",
        RequestEvent::Refused => "refused",
    };
    LaneLabels { lane: lane.name(), what }
}

fn gossip_label(event: GossipEvent) -> What {
    let what = match event {
        GossipEvent::Published => "published",
        GossipEvent::Alone => "published_alone",
        GossipEvent::Accepted => "accepted",
        GossipEvent::Rejected => "rejected",
        GossipEvent::Ignored => "ignored",
    };
    What { what }
}

fn limit_label(event: LimitEvent) -> What {
    let what = match event {
        LimitEvent::Connections => "connections",
        LimitEvent::Rate => "rate",
        LimitEvent::Queue => "queue",
        LimitEvent::Bytes => "bytes",
    };
    What { what }
}

/// Counters since the start, as the status page shows them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Connected peers.
    pub peers: usize,
    /// Peers of other networks turned away.
    pub wrong_network: u64,
    /// Gossip.
    pub gossip: GossipStatus,
    /// Requests, one entry a lane.
    pub requests: Vec<LaneStatus>,
    /// Bounds reached.
    pub limits: LimitStatus,
}

/// Gossip items since the start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GossipStatus {
    /// By us.
    pub published: u64,
    /// By us while nobody listened.
    pub published_alone: u64,
    /// Valid, passed on.
    pub accepted: u64,
    /// Invalid, held against the peer.
    pub rejected: u64,
    /// Neither, or no room to judge them.
    pub ignored: u64,
}

/// Requests of one lane since the start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LaneStatus {
    /// Name of the lane.
    pub lane: &'static str,
    /// Asked by us.
    pub sent: u64,
    /// Answered to us.
    pub answered: u64,
    /// Not answered to us.
    pub failed: u64,
    /// Asked of us and handed to the consumer.
    pub received: u64,
    /// Asked of us and refused before.
    pub refused: u64,
}

/// Bounds reached since the start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LimitStatus {
    /// Connections not taken.
    pub connections: u64,
    /// Requests and gossip from peers that were too fast.
    pub rate: u64,
    /// Requests and gossip that found no place in a queue.
    pub queue: u64,
    /// Requests that found no room for their bytes.
    pub bytes: u64,
}
