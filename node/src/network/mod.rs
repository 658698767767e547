//! The peer-to-peer network: the only part of Weft that names libp2p (peer ids and addresses apart).
//!
//! [`Network::spawn`] starts one task that owns the libp2p swarm and gives back a [`NetworkHandle`] for asking and a
//! bounded queue of [`Inbound`] for being asked. Underneath: QUIC and TCP, noise, yamux; Kademlia to find peers from one
//! boot node; gossipsub for what concerns everybody; four request-response lanes for what has one recipient.
//!
//! The task does bookkeeping only. Frames are encoded and decoded in the connections' own tasks, and signatures are
//! checked by the consumer of the queue, which reports a [`Verdict`] for each gossip item.

mod anchors;
mod behaviour;
mod codec;
mod config;
mod discovery;
mod gossip;
mod handle;
pub mod keys;
mod lanes;
mod limits;
mod metrics;
mod peers;
mod service;
mod weight;

use bytes::Bytes;
use tokio::sync::mpsc;
use weft_protocol::wire;

pub use libp2p::{Multiaddr, PeerId};
pub use prometheus_client::registry::Registry;
pub use weft_protocol::keys::NodeKey;

pub use self::{
    config::{Bounds, MAX_SHARDS, NetworkConfig, NetworkError},
    gossip::{Topic, Verdict},
    handle::{NetworkHandle, PeerView, PublishError, RequestError, View},
    lanes::{Lane, LaneLimits, Reply, refusal},
    limits::MAX_GOSSIP,
    metrics::{Counters, GossipStatus, LaneStatus, LimitStatus, Status},
};

/// What the network brings. The queue is bounded: when it is full, gossip is ignored (already at three quarters, so that
/// requests still get in) and requests are refused with the code `capacity`; both are counted.
#[derive(Debug)]
pub enum Inbound {
    /// A gossip item that waits for its verdict.
    Gossip {
        /// What it is about.
        topic: Topic,
        /// The node that passed it on; not always the one that published it, which the item itself says where it matters.
        from: NodeKey,
        /// A `wire::Gossip`, not decoded yet.
        data: Bytes,
        /// To be given within ten seconds.
        verdict: Verdict,
    },
    /// A request that waits for its reply. It came on the lane it belongs to and within that lane's limits.
    Request {
        /// Who asks; ourselves for requests to ourselves.
        from: NodeKey,
        /// What; its body is set.
        request: wire::Request,
        /// The way back.
        reply: Reply,
    },
}

/// The network service. A namespace: the running thing is the task behind a [`NetworkHandle`].
pub struct Network;

impl Network {
    /// Join the network: listen, dial the boot nodes and start the task. Must be called within a tokio runtime.
    ///
    /// Metrics go to `registry` when there is one. The task ends when all handles are dropped or on
    /// [`NetworkHandle::shutdown`]; the queue then ends too.
    pub fn spawn(
        config: NetworkConfig,
        registry: Option<&mut Registry>,
    ) -> Result<(NetworkHandle, mpsc::Receiver<Inbound>), NetworkError> {
        let mut unseen = Registry::default();
        let (handle, inbound, service) = service::Service::new(&config, registry.unwrap_or(&mut unseen))?;
        tokio::spawn(service.run());
        Ok((handle, inbound))
    }
}

#[cfg(test)]
mod hostile_tests;
