//! The handle: what the rest of the node may do with the network.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use libp2p::{Multiaddr, PeerId, request_response::OutboundFailure};
use prost::Message;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch},
    time::timeout,
};
use weft_protocol::wire;

use super::{
    Inbound, NodeKey,
    gossip::Topic,
    keys,
    lanes::{Lane, Reply, refusal},
    limits::{DIAL_TIME, MAX_GOSSIP},
    metrics::{Counters, Status},
};

/// A connected peer of our network, as people and the market want to see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerView {
    /// Who it is.
    pub key: NodeKey,
    /// The same in libp2p's notation.
    pub peer_id: PeerId,
    /// Where it is connected from or to.
    pub address: Multiaddr,
    /// Round-trip time, smoothed over the last pings; `None` before the first.
    pub rtt: Option<Duration>,
    /// Since when.
    pub connected_since: Instant,
    /// Program and version it claims to run.
    pub agent: String,
}

/// What the network looks like right now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// Connected peers, by key.
    pub peers: Vec<PeerView>,
    /// Addresses we listen on.
    pub listen: Vec<Multiaddr>,
}

impl View {
    pub(super) fn new(mut peers: Vec<PeerView>, listen: Vec<Multiaddr>) -> Self {
        peers.sort_by_key(|peer| peer.key);
        Self { peers, listen }
    }
}

/// Why a request got no response. A refusal by the peer is a response, not an error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// No connection and no way to get one.
    #[error(
        "node {to} is not connected and could not be reached ({reason}): try again when it is back, or ask another node"
    )]
    NotConnected {
        /// The node.
        to: NodeKey,
        /// What was tried.
        reason: String,
    },
    /// No answer in the lane's time.
    #[error(
        "node {to} did not answer on the {lane} lane in time: it may have done the work, so ask by id before repeating"
    )]
    Timeout {
        /// The node.
        to: NodeKey,
        /// Name of the lane.
        lane: &'static str,
    },
    /// The request does not fit its lane.
    #[error("a request of {size} bytes does not fit the {lane} lane ({limit} bytes): send less at once")]
    TooLarge {
        /// Encoded size in bytes.
        size: usize,
        /// Largest size in bytes.
        limit: usize,
        /// Name of the lane.
        lane: &'static str,
    },
    /// The exchange broke off.
    #[error("node {to} broke off on the {lane} lane without an answer ({reason}): try again, or ask another node")]
    Closed {
        /// The node.
        to: NodeKey,
        /// Name of the lane.
        lane: &'static str,
        /// What the transport says.
        reason: String,
    },
    /// The peer does not serve this lane.
    #[error("node {to} does not speak this network's {lane} protocol: it runs another version or network")]
    Unsupported {
        /// The node.
        to: NodeKey,
        /// Name of the lane.
        lane: &'static str,
    },
    /// Too many requests of ours are under way.
    #[error("too many requests of this node are under way: wait for some to end")]
    Busy,
    /// The request has no body.
    #[error("the request is empty: set its body")]
    Empty,
    /// The network service has ended.
    #[error("the network service of this node has ended: restart the node")]
    Stopped,
}

impl RequestError {
    pub(super) fn from_failure(to: PeerId, lane: Lane, failure: &OutboundFailure) -> Self {
        let Some(to) = keys::node_key(&to) else {
            return Self::Stopped;
        };
        let lane = lane.name();
        match failure {
            OutboundFailure::DialFailure => {
                Self::NotConnected { to, reason: "dialling its addresses failed".to_owned() }
            }
            OutboundFailure::Timeout => Self::Timeout { to, lane },
            OutboundFailure::UnsupportedProtocols => Self::Unsupported { to, lane },
            OutboundFailure::ConnectionClosed => Self::Closed { to, lane, reason: "connection closed".to_owned() },
            OutboundFailure::Io(error) => Self::Closed { to, lane, reason: error.to_string() },
        }
    }
}

/// Why an item could not be published. Having no peers is no error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The item does not fit.
    #[error("a gossip item of {0} bytes does not fit ({MAX_GOSSIP} bytes): gossip its id and let peers ask for it")]
    TooLarge(usize),
    /// The network does not have this shard.
    #[error("topic {0:?} does not exist in this network: take the shard modulo the number of shards")]
    NoSuchTopic(Topic),
    /// All peers' queues are full.
    #[error("all peers are too slow to take more gossip: try again in a moment")]
    Busy,
    /// The stack failed otherwise.
    #[error("gossip could not be published: {0}")]
    Failed(String),
    /// The network service has ended.
    #[error("the network service of this node has ended: restart the node")]
    Stopped,
}

/// What handles ask of the loop.
pub(super) enum Command {
    Request { to: PeerId, lane: Lane, request: Box<wire::Request>, place: OwnedSemaphorePermit, answer: Answer },
    Publish { topic: Topic, data: Bytes, done: oneshot::Sender<Result<(), PublishError>> },
    Shutdown,
}

pub(super) type Answer = oneshot::Sender<Result<wire::Response, RequestError>>;

/// A cheap clone that talks to the network loop.
#[derive(Clone)]
pub struct NetworkHandle(pub(super) Arc<Shared>);

pub(super) struct Shared {
    pub me: NodeKey,
    pub commands: mpsc::Sender<Command>,
    /// Weak, so that the consumer sees the end of the loop as the end of its queue.
    pub inbound: mpsc::WeakSender<Inbound>,
    pub view: watch::Receiver<Arc<View>>,
    pub connected: watch::Receiver<Arc<BTreeSet<NodeKey>>>,
    pub counters: Arc<Counters>,
    pub places: Arc<Semaphore>,
}

impl NetworkHandle {
    /// Our own key.
    pub fn key(&self) -> NodeKey {
        self.0.me
    }

    /// Ask one node something and wait for its answer, dialling it first when needed. A request to ourselves goes
    /// straight to our own inbound queue.
    pub async fn request(&self, to: NodeKey, request: wire::Request) -> Result<wire::Response, RequestError> {
        let lane = Lane::of(&request).ok_or(RequestError::Empty)?;
        let (size, limit) = (request.encoded_len(), lane.limits().request_cap);
        if size > limit {
            return Err(RequestError::TooLarge { size, limit, lane: lane.name() });
        }
        if to == self.0.me {
            return self.request_self(lane, request).await;
        }
        let unknown = || RequestError::NotConnected { to, reason: "its key is not an ed25519 key".to_owned() };
        let peer = keys::peer_id(&to).ok_or_else(unknown)?;
        let place = timeout(lane.limits().timeout, Arc::clone(&self.0.places).acquire_owned()).await;
        let place = place.map_err(|_| RequestError::Busy)?.map_err(|_| RequestError::Stopped)?;
        let (answer, answered) = oneshot::channel();
        let command = Command::Request { to: peer, lane, request: Box::new(request), place, answer };
        self.0.commands.send(command).await.map_err(|_| RequestError::Stopped)?;
        // The stack times the exchange; this outer limit covers dialling and a stack that forgets.
        match timeout(lane.limits().timeout + DIAL_TIME, answered).await {
            Ok(outcome) => outcome.map_err(|_| RequestError::Stopped)?,
            Err(_) => Err(RequestError::Timeout { to, lane: lane.name() }),
        }
    }

    async fn request_self(&self, lane: Lane, request: wire::Request) -> Result<wire::Response, RequestError> {
        let (to, lane_name) = (self.0.me, lane.name());
        let inbound = self.0.inbound.upgrade().ok_or(RequestError::Stopped)?;
        let (reply, answered) = Reply::new(None);
        match inbound.try_send(Inbound::Request { from: to, request, reply }) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => {
                return Ok(refusal("capacity", "the inbound queue is full", 200));
            }
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(RequestError::Stopped),
        }
        drop(inbound);
        match timeout(lane.limits().timeout, answered).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(_)) => Err(RequestError::Closed { to, lane: lane_name, reason: "no answer was given".to_owned() }),
            Err(_) => Err(RequestError::Timeout { to, lane: lane_name }),
        }
    }

    /// Gossip to all peers. Not looped back to us; not an error when there are no peers or the item is known already.
    pub async fn publish(&self, topic: Topic, data: Bytes) -> Result<(), PublishError> {
        if data.len() > MAX_GOSSIP {
            return Err(PublishError::TooLarge(data.len()));
        }
        let (done, published) = oneshot::channel();
        self.0.commands.send(Command::Publish { topic, data, done }).await.map_err(|_| PublishError::Stopped)?;
        published.await.map_err(|_| PublishError::Stopped)?
    }

    /// The connected peers of our network.
    pub fn peers(&self) -> Vec<PeerView> {
        self.0.view.borrow().peers.clone()
    }

    /// Whether a node is connected and has shown that it is of our network.
    pub fn is_connected(&self, key: &NodeKey) -> bool {
        self.0.connected.borrow().contains(key)
    }

    /// The connected peers' keys, to be watched; changes with every arrival and departure.
    pub fn connected(&self) -> watch::Receiver<Arc<BTreeSet<NodeKey>>> {
        self.0.connected.clone()
    }

    /// Peers, round-trip times and listen addresses, to be watched.
    pub fn view(&self) -> watch::Receiver<Arc<View>> {
        self.0.view.clone()
    }

    /// Smoothed round-trip time to a connected peer; zero to ourselves.
    pub fn latency(&self, key: &NodeKey) -> Option<Duration> {
        if *key == self.0.me {
            return Some(Duration::ZERO);
        }
        self.0.view.borrow().peers.iter().find(|peer| peer.key == *key)?.rtt
    }

    /// The addresses we listen on, ports filled in, without `/p2p`. Empty until the system has opened them.
    pub fn listen_addresses(&self) -> Vec<Multiaddr> {
        self.0.view.borrow().listen.clone()
    }

    /// The same addresses as others can dial them: with `/p2p/<our peer id>`.
    pub fn dial_addresses(&self) -> Vec<Multiaddr> {
        let Some(me) = keys::peer_id(&self.0.me) else {
            return Vec::new();
        };
        self.listen_addresses().into_iter().filter_map(|address| address.with_p2p(me).ok()).collect()
    }

    /// Counters since the start.
    pub fn status(&self) -> Status {
        self.0.counters.status(self.0.connected.borrow().len())
    }

    /// End the service: connections close, the inbound queue ends. Returns when the loop is gone.
    pub async fn shutdown(&self) {
        // A loop that has ended already cannot be told to.
        let _ = self.0.commands.send(Command::Shutdown).await;
        self.0.commands.closed().await;
    }

    /// Resolves when the service has ended, for whatever reason.
    pub async fn closed(&self) {
        self.0.commands.closed().await;
    }
}
