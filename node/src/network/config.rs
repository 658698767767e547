//! What the network service needs to know before it starts, and how starting can fail.

use std::path::PathBuf;

use libp2p::{Multiaddr, PeerId, StreamProtocol, multiaddr::Protocol};
use weft_protocol::Id;

use super::{NodeKey, lanes::Lane};

/// Shards more than this would overrun the subscription limits of gossipsub peers.
pub const MAX_SHARDS: u16 = 32;

/// How to join one Weft network. Build with [`NetworkConfig::new`] and set what differs.
#[derive(Clone)]
pub struct NetworkConfig {
    /// The 32-byte secret of the node's ed25519 key, which is its libp2p identity too.
    pub seed: [u8; 32],
    /// The id of the network; in every protocol and topic name.
    pub network_id: Id,
    /// Addresses to listen on, QUIC and TCP; port 0 lets the system choose.
    pub listen: Vec<Multiaddr>,
    /// Nodes to ask first, each with `/p2p/<peer id>`; redialled for ever.
    pub boot: Vec<Multiaddr>,
    /// Addresses this node is reachable at from elsewhere, when they differ from `listen`.
    pub external: Vec<Multiaddr>,
    /// The registry's nodes: looked up, dialled and kept connected.
    pub members: Vec<NodeKey>,
    /// Number of message and of sealed topics, 1 to [`MAX_SHARDS`].
    pub shards: u16,
    /// Development network: loopback and private addresses are used, many nodes may share one address.
    pub dev: bool,
    /// Where to remember peers across restarts; `None`: nowhere.
    pub peers_file: Option<PathBuf>,
    /// What the node holds at most.
    pub bounds: Bounds,
}

/// Bounds that depend on the machine.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Capacity of the inbound queue. Full: gossip is ignored, requests are refused.
    pub inbound_queue: usize,
    /// No new connections while the process uses more physical memory than this many bytes.
    pub memory: usize,
}

impl NetworkConfig {
    /// A configuration that listens nowhere and knows nobody: 8 shards, 1,024 inbound places, 4 GiB memory limit.
    pub fn new(seed: [u8; 32], network_id: Id) -> Self {
        Self {
            seed,
            network_id,
            listen: Vec::new(),
            boot: Vec::new(),
            external: Vec::new(),
            members: Vec::new(),
            shards: 8,
            dev: false,
            peers_file: None,
            bounds: Bounds { inbound_queue: 1024, memory: 4 << 30 },
        }
    }

    /// The boot nodes as peer id and address (without its `/p2p` part).
    pub(super) fn boot_peers(&self) -> Result<Vec<(PeerId, Multiaddr)>, NetworkError> {
        self.boot
            .iter()
            .map(|address| split_peer(address).ok_or_else(|| NetworkError::BootWithoutPeer(address.clone())))
            .collect()
    }
}

/// `address` without its last `/p2p/<peer>`, and that peer.
pub(super) fn split_peer(address: &Multiaddr) -> Option<(PeerId, Multiaddr)> {
    let mut address = address.clone();
    match address.pop() {
        Some(Protocol::P2p(peer)) if !address.is_empty() => Some((peer, address)),
        _ => None,
    }
}

/// Why the network service could not start.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// A boot address lacks the peer id.
    #[error("boot address {0} does not say which peer lives there: append /p2p/<peer id>")]
    BootWithoutPeer(Multiaddr),
    /// A registry member's key is no ed25519 key.
    #[error("registry member {0} is not an ed25519 public key: correct the network file")]
    BadMember(NodeKey),
    /// `shards` is out of range.
    #[error("{0} shards: choose 1 to {MAX_SHARDS} in the network file")]
    Shards(u16),
    /// The inbound queue has no room for anything.
    #[error("inbound_queue is {0}: choose at least 4")]
    Queue(usize),
    /// An address could not be listened on.
    #[error("cannot listen on {address}: {reason}; is another program using the port?")]
    Listen {
        /// The address.
        address: Multiaddr,
        /// What the system said.
        reason: String,
    },
    /// The libp2p stack refused its settings.
    #[error("cannot set up the network stack: {0}")]
    Setup(String),
}

/// The names that carry the network id: 16 hexadecimal digits of it.
#[derive(Debug, Clone)]
pub(super) struct Names(String);

impl Names {
    pub fn new(network: &Id) -> Self {
        let digits = network.as_bytes().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Self(digits)
    }

    /// What identify shows; a peer that shows anything else is of another network.
    pub fn version(&self) -> String {
        format!("/weft/{}/1", self.0)
    }

    pub fn gossip_prefix(&self) -> String {
        format!("/weft/{}/meshsub", self.0)
    }

    pub fn topic(&self, rest: &str) -> String {
        format!("/weft/{}/{rest}", self.0)
    }

    pub fn kad(&self) -> Result<StreamProtocol, NetworkError> {
        self.protocol("kad")
    }

    pub fn lane(&self, lane: Lane) -> Result<StreamProtocol, NetworkError> {
        self.protocol(lane.name())
    }

    fn protocol(&self, name: &str) -> Result<StreamProtocol, NetworkError> {
        let name = format!("/weft/{}/{name}/1", self.0);
        StreamProtocol::try_from_owned(name).map_err(|error| NetworkError::Setup(error.to_string()))
    }
}
