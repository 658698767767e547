//! The libp2p behaviours of a node and the swarm that runs them.

use std::time::Duration;

use libp2p::{
    Swarm, SwarmBuilder, allow_block_list, connection_limits, identify, identity::Keypair, kad,
    memory_connection_limits, metrics::Registry, noise, ping, request_response, swarm::NetworkBehaviour, tcp, yamux,
};

use super::{
    codec::FrameCodec,
    config::{Names, NetworkConfig, NetworkError},
    gossip::{self, Gossipsub, Topics},
    lanes::Lane,
    limits::{self, Budget},
};

/// Program and version, as peers see it.
const AGENT: &str = concat!("weft/", env!("CARGO_PKG_VERSION"));
/// How often each connection is pinged, and how long a ping may take. Two lost in a row close the connection.
const PING: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(10));
/// A connection nobody uses is closed after this long.
const IDLE: Duration = Duration::from_secs(600);
/// Streams in one connection, all protocols together.
const STREAMS: u16 = 2_048;

/// Everything the node speaks. The order of fields is the order in which they decide about a connection: limits and the
/// block list first, so that what they refuse never reaches the others.
#[derive(NetworkBehaviour)]
pub struct Behaviour {
    connections: connection_limits::Behaviour,
    memory: memory_connection_limits::Behaviour,
    pub blocked: allow_block_list::Behaviour<allow_block_list::BlockedPeers>,
    pub identify: identify::Behaviour,
    ping: ping::Behaviour,
    pub kad: kad::Behaviour<kad::store::MemoryStore>,
    pub gossip: Gossipsub,
    order: request_response::Behaviour<FrameCodec>,
    read: request_response::Behaviour<FrameCodec>,
    market: request_response::Behaviour<FrameCodec>,
    compute: request_response::Behaviour<FrameCodec>,
}

impl Behaviour {
    /// The behaviour of one lane.
    pub fn lane(&mut self, lane: Lane) -> &mut request_response::Behaviour<FrameCodec> {
        match lane {
            Lane::Order => &mut self.order,
            Lane::Read => &mut self.read,
            Lane::Market => &mut self.market,
            Lane::Compute => &mut self.compute,
        }
    }
}

/// A swarm for this configuration that does not listen yet.
pub fn swarm(
    config: &NetworkConfig,
    names: &Names,
    topics: &Topics,
    registry: &mut Registry,
) -> Result<Swarm<Behaviour>, NetworkError> {
    let setup = |error: &dyn std::fmt::Display| NetworkError::Setup(error.to_string());
    let keys = Keypair::ed25519_from_bytes(config.seed).map_err(|error| setup(&error))?;
    let behaviour = behaviour(config, &keys, names, topics, registry)?;
    let muxer = || {
        let mut muxer = yamux::Config::default();
        muxer.set_max_num_streams(STREAMS.into());
        muxer
    };
    let swarm = SwarmBuilder::with_existing_identity(keys)
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, muxer)
        .map_err(|error| setup(&error))?
        .with_quic_config(|mut quic| {
            quic.max_concurrent_stream_limit = STREAMS.into();
            // A peer that is gone is noticed within five seconds, one that is not there within three.
            quic.keep_alive_interval = Duration::from_millis(1_500);
            quic.max_idle_timeout = 5_000;
            quic.handshake_timeout = Duration::from_secs(3);
            quic
        })
        .with_bandwidth_metrics(registry)
        .with_behaviour(|_| behaviour)
        .map_err(|error| setup(&error))?
        .with_swarm_config(|swarm| swarm.with_idle_connection_timeout(IDLE).with_smart_dial())
        .with_connection_timeout(limits::DIAL_TIME)
        .build();
    Ok(swarm)
}

fn behaviour(
    config: &NetworkConfig,
    keys: &Keypair,
    names: &Names,
    topics: &Topics,
    registry: &mut Registry,
) -> Result<Behaviour, NetworkError> {
    let (requests, responses) = (Budget::new(limits::REQUEST_BUDGET), Budget::new(limits::RESPONSE_BUDGET));
    let lane = |lane: Lane| {
        let limits = lane.limits();
        let codec = FrameCodec {
            request_cap: limits.request_cap,
            response_cap: limits.response_cap,
            requests: requests.clone(),
            responses: responses.clone(),
        };
        let settings = request_response::Config::default()
            .with_request_timeout(limits.timeout)
            .with_max_concurrent_streams(limits.streams);
        let protocol = [(names.lane(lane)?, request_response::ProtocolSupport::Full)];
        Ok::<_, NetworkError>(request_response::Behaviour::with_codec(codec, protocol, settings))
    };
    let identify = identify::Config::new(names.version(), keys.public())
        .with_agent_version(AGENT.to_owned())
        .with_push_listen_addr_updates(true);
    Ok(Behaviour {
        connections: connection_limits::Behaviour::new(limits::connections()),
        memory: memory_connection_limits::Behaviour::with_max_bytes(config.bounds.memory),
        blocked: allow_block_list::Behaviour::default(),
        identify: identify::Behaviour::new(identify),
        ping: ping::Behaviour::new(ping::Config::new().with_interval(PING.0).with_timeout(PING.1)),
        kad: kademlia(keys, names)?,
        gossip: gossip::behaviour(names, topics, config.dev, registry)?,
        order: lane(Lane::Order)?,
        read: lane(Lane::Read)?,
        market: lane(Lane::Market)?,
        compute: lane(Lane::Compute)?,
    })
}

/// Kademlia finds peers and nothing else: records that others want to store here are dropped unseen.
fn kademlia(keys: &Keypair, names: &Names) -> Result<kad::Behaviour<kad::store::MemoryStore>, NetworkError> {
    let me = keys.public().to_peer_id();
    let mut config = kad::Config::new(names.kad()?);
    config
        .set_query_timeout(Duration::from_secs(15))
        .disjoint_query_paths(true)
        .set_record_filtering(kad::StoreInserts::FilterBoth);
    let mut kad = kad::Behaviour::with_config(me, kad::store::MemoryStore::new(me), config);
    kad.set_mode(Some(kad::Mode::Server));
    Ok(kad)
}
