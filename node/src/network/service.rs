//! The network loop: one task that owns the swarm. Each arm hands its event to one function and returns quickly.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::StreamExt;
use libp2p::{
    Multiaddr, PeerId, Swarm, connection_limits,
    gossipsub::{self, MessageAcceptance},
    identify, kad, memory_connection_limits,
    metrics::{Metrics, Recorder, Registry},
    ping,
    request_response::{self, ResponseChannel},
    swarm::{ConnectionDenied, ConnectionError, ConnectionId, DialError, ListenError, SwarmEvent, dial_opts::DialOpts},
};
use tokio::{
    sync::{Semaphore, mpsc, oneshot, watch},
    time::{Instant, Interval, MissedTickBehavior, interval},
};
use weft_protocol::wire;

use super::{
    Inbound, NodeKey, anchors,
    behaviour::{self, Behaviour, BehaviourEvent},
    codec::{Fault, RequestFrame},
    config::{MAX_SHARDS, Names, NetworkConfig, NetworkError},
    discovery::{self, Discovery},
    gossip::{GossipDesk, Judged, Topic, Topics},
    handle::{Answer, Command, NetworkHandle, PeerView, PublishError, RequestError, Shared, View},
    keys,
    lanes::{self, Answered, Lane, LaneDesk, Pending, Reply, refusal},
    limits::{MAX_COMMANDS, MAX_INFLIGHT, Rates},
    metrics::{Counters, GossipEvent, LimitEvent, RequestEvent},
    peers::{Live, Peers},
};

mod events;

/// How often dialling, walking and pardoning are looked at.
const TICK: Duration = Duration::from_millis(200);

/// Remembered peers are written at most this often.
const SAVE: Duration = Duration::from_secs(1);

/// What the loop shows to the outside.
struct Windows {
    inbound: mpsc::Sender<Inbound>,
    view: watch::Sender<Arc<View>>,
    connected: watch::Sender<Arc<BTreeSet<NodeKey>>>,
    counters: Arc<Counters>,
    metrics: Metrics,
}

/// Who is out there.
struct World {
    version: String,
    topics: Topics,
    peers: Peers,
    discovery: Discovery,
    rates: Rates,
    anchors: Anchors,
}

/// The file of remembered peers, and whether it is out of date.
struct Anchors {
    file: Option<PathBuf>,
    stale: bool,
    saved: Instant,
}

/// The owner of the swarm.
pub struct Service {
    swarm: Swarm<Behaviour>,
    commands: mpsc::Receiver<Command>,
    lanes: LaneDesk,
    gossip: GossipDesk,
    world: World,
    windows: Windows,
    tick: Interval,
}

impl Service {
    /// Everything set up and listening; nothing runs yet.
    pub fn new(
        config: &NetworkConfig,
        registry: &mut Registry,
    ) -> Result<(NetworkHandle, mpsc::Receiver<Inbound>, Self), NetworkError> {
        if config.shards == 0 || config.shards > MAX_SHARDS {
            return Err(NetworkError::Shards(config.shards));
        }
        if config.bounds.inbound_queue < 4 {
            return Err(NetworkError::Queue(config.bounds.inbound_queue));
        }
        let names = Names::new(&config.network_id);
        let topics = Topics::new(&names, config.shards);
        let metrics = Metrics::new(registry);
        let counters = Counters::register(registry);
        let mut swarm = behaviour::swarm(config, &names, &topics, registry)?;
        listen(&mut swarm, config)?;
        let me = *swarm.local_peer_id();
        let key =
            keys::node_key(&me).ok_or_else(|| NetworkError::Setup("the node has no ed25519 identity".to_owned()))?;
        let (commands_in, commands) = mpsc::channel(MAX_COMMANDS);
        let (inbound, inbound_out) = mpsc::channel(config.bounds.inbound_queue);
        let (view, view_out) = watch::channel(Arc::default());
        let (connected, connected_out) = watch::channel(Arc::default());
        let handle = NetworkHandle(Arc::new(Shared {
            me: key,
            commands: commands_in,
            inbound: inbound.downgrade(),
            view: view_out,
            connected: connected_out,
            counters: Arc::clone(&counters),
            places: Arc::new(Semaphore::new(MAX_INFLIGHT)),
        }));
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let world = World {
            version: names.version(),
            topics,
            peers: address_book(me, config)?,
            discovery: Discovery::new(Instant::now()),
            rates: Rates::new(),
            anchors: Anchors { file: config.peers_file.clone(), stale: false, saved: Instant::now() },
        };
        let windows = Windows { inbound, view, connected, counters, metrics };
        let service =
            Self { swarm, commands, lanes: LaneDesk::default(), gossip: GossipDesk::default(), world, windows, tick };
        Ok((handle, inbound_out, service))
    }

    /// Run until told to stop or until nobody holds a handle.
    pub async fn run(mut self) {
        tracing::info!(peer = %self.swarm.local_peer_id(), network = %self.world.version, "network starts");
        loop {
            tokio::select! {
                event = self.swarm.select_next_some() => self.on_swarm(event),
                command = self.commands.recv() => if !self.on_command(command) { break },
                Some(answered) = self.lanes.answers.next() => self.on_answered(answered),
                Some(judged) = self.gossip.verdicts.next() => self.on_judged(&judged),
                _ = self.tick.tick() => self.on_tick(),
            }
        }
        tracing::info!("network ends");
    }

    fn on_tick(&mut self) {
        let now = Instant::now();
        self.remember(now);
        self.world.discovery.pardon(self.swarm.behaviour_mut(), now);
        self.world.discovery.walk(self.swarm.behaviour_mut(), &self.world.peers, now);
        for (peer, addresses) in self.world.peers.due(now) {
            // Already dialling is fine; every other failure comes back as an event.
            let _ = self.swarm.dial(DialOpts::peer_id(peer).addresses(addresses).build());
        }
    }

    fn remember(&mut self, now: Instant) {
        let anchors = &mut self.world.anchors;
        if anchors.stale && now.saturating_duration_since(anchors.saved) > SAVE {
            (anchors.stale, anchors.saved) = (false, now);
            if let Some(file) = anchors.file.clone() {
                anchors::save(file, self.world.peers.anchors());
            }
        }
    }

    /// False when the loop should end.
    fn on_command(&mut self, command: Option<Command>) -> bool {
        match command {
            None | Some(Command::Shutdown) => return false,
            Some(Command::Request { to, lane, request, place, answer }) => {
                let pending = Pending { to, answer, _place: place };
                self.ask(lane, *request, pending);
            }
            Some(Command::Publish { topic, data, done }) => {
                // The publisher may have given up waiting.
                let _ = done.send(self.publish(topic, &data));
            }
        }
        true
    }

    fn ask(&mut self, lane: Lane, request: wire::Request, pending: Pending) {
        let to = pending.to;
        let addresses = self.world.peers.addresses(&to);
        if addresses.is_empty() && !self.swarm.is_connected(&to) {
            return not_connected(&to, pending.answer);
        }
        self.windows.counters.request(lane, RequestEvent::Sent);
        let frame = RequestFrame { body: Ok(request), share: None };
        let id = self.swarm.behaviour_mut().lane(lane).send_request_with_addresses(&to, frame, addresses);
        self.lanes.asked(lane, id, pending);
    }

    fn publish(&mut self, topic: Topic, data: &Bytes) -> Result<(), PublishError> {
        let hash = self.world.topics.hash(topic).ok_or(PublishError::NoSuchTopic(topic))?;
        let counters = &self.windows.counters;
        match self.swarm.behaviour_mut().gossip.publish(hash, data.to_vec()) {
            Ok(_) => counters.gossip(GossipEvent::Published),
            Err(gossipsub::PublishError::Duplicate) => {}
            Err(gossipsub::PublishError::NoPeersSubscribedToTopic) => counters.gossip(GossipEvent::Alone),
            Err(gossipsub::PublishError::AllQueuesFull(_)) => return Err(PublishError::Busy),
            Err(gossipsub::PublishError::MessageTooLarge) => {
                return Err(PublishError::TooLarge(data.len()));
            }
            Err(error) => return Err(PublishError::Failed(error.to_string())),
        }
        Ok(())
    }

    fn on_answered(&mut self, (lane, channel, response): Answered) {
        self.lanes.closed(lane);
        // Without a response the channel is dropped here, which ends the caller's wait.
        let Some(response) = response else { return };
        // The caller may have hung up.
        let _ = self.swarm.behaviour_mut().lane(lane).send_response(channel, lanes::fitting(lane, response));
    }

    fn on_judged(&mut self, judged: &Judged) {
        let (id, source, acceptance) = judged;
        self.windows.counters.gossip(match acceptance {
            MessageAcceptance::Accept => GossipEvent::Accepted,
            MessageAcceptance::Reject => GossipEvent::Rejected,
            MessageAcceptance::Ignore => GossipEvent::Ignored,
        });
        self.swarm.behaviour_mut().gossip.report_message_validation_result(id, source, *acceptance);
    }

    fn on_swarm(&mut self, event: SwarmEvent<BehaviourEvent>) {
        self.windows.metrics.record(&event);
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour(event),
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                let address = endpoint.get_remote_address().clone();
                self.on_connected(peer_id, connection_id, address, endpoint.is_dialer());
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, cause, .. } => {
                self.on_closed(&peer_id, connection_id, cause.as_ref());
            }
            SwarmEvent::OutgoingConnectionError { peer_id: Some(peer), error, .. } => self.on_dial_failed(peer, &error),
            SwarmEvent::IncomingConnectionError { error: ListenError::Denied { cause }, .. } => self.on_denied(&cause),
            SwarmEvent::NewListenAddr { address, .. } => {
                tracing::info!(%address, "listening");
                self.show();
            }
            SwarmEvent::ExpiredListenAddr { .. } | SwarmEvent::ListenerClosed { .. } => self.show(),
            SwarmEvent::ListenerError { error, .. } => tracing::warn!(%error, "listener"),
            _ => {}
        }
    }

    fn on_behaviour(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Identify(event) => self.on_identify(event),
            BehaviourEvent::Ping(event) => self.on_ping(event),
            BehaviourEvent::Kad(event) => self.on_kad(event),
            BehaviourEvent::Gossip(event) => self.on_gossip(event),
            BehaviourEvent::Order(event) => self.on_lane(Lane::Order, event),
            BehaviourEvent::Read(event) => self.on_lane(Lane::Read, event),
            BehaviourEvent::Market(event) => self.on_lane(Lane::Market, event),
            BehaviourEvent::Compute(event) => self.on_lane(Lane::Compute, event),
            // Limits and the block list never speak.
            BehaviourEvent::Connections(_) | BehaviourEvent::Memory(_) | BehaviourEvent::Blocked(_) => {}
        }
    }
}

fn listen(swarm: &mut Swarm<Behaviour>, config: &NetworkConfig) -> Result<(), NetworkError> {
    for address in &config.listen {
        let failed = |reason: String| NetworkError::Listen { address: address.clone(), reason };
        swarm.listen_on(address.clone()).map_err(|error| failed(error.to_string()))?;
    }
    for address in &config.external {
        swarm.add_external_address(address.clone());
    }
    Ok(())
}

/// Boot nodes and registry members, ourselves left out.
fn address_book(me: PeerId, config: &NetworkConfig) -> Result<Peers, NetworkError> {
    let now = Instant::now();
    let mut peers = Peers::new(me, config.dev);
    for (peer, address) in config.boot_peers()? {
        peers.want(peer, Some(address), now);
    }
    for (peer, address) in config.peers_file.iter().flat_map(anchors::load) {
        peers.learn(peer, &address, true, now);
    }
    for member in &config.members {
        let peer = keys::peer_id(member).ok_or(NetworkError::BadMember(*member))?;
        peers.want(peer, None, now);
    }
    Ok(peers)
}

fn not_connected(to: &PeerId, answer: Answer) {
    let error = match keys::node_key(to) {
        Some(to) => RequestError::NotConnected { to, reason: "no address of it is known".to_owned() },
        None => RequestError::Stopped,
    };
    // The asker may have given up.
    let _ = answer.send(Err(error));
}
