//! What the loop does about each event of the swarm.

use super::*;

impl Service {
    pub(super) fn on_connected(&mut self, peer: PeerId, id: ConnectionId, address: Multiaddr, dialled: bool) {
        if keys::node_key(&peer).is_none() {
            tracing::info!(%peer, "peer turned away: its identity is not an ed25519 key");
            self.swarm.close_connection(id);
            return;
        }
        tracing::debug!(%peer, %address, dialled, "connected");
        for obsolete in self.world.peers.connected(peer, id, address, dialled, Instant::now()) {
            self.swarm.close_connection(obsolete);
        }
    }

    pub(super) fn on_closed(&mut self, peer: &PeerId, id: ConnectionId, cause: Option<&ConnectionError>) {
        tracing::debug!(%peer, cause = cause.map(tracing::field::display), "connection closed");
        if self.world.peers.closed(peer, id, Instant::now()) {
            self.show();
        }
    }

    pub(super) fn on_dial_failed(&mut self, peer: PeerId, error: &DialError) {
        let dead: Vec<Multiaddr> = match error {
            // Another dial to the same peer is under way and will be heard of.
            DialError::DialPeerConditionFalse(_) => return,
            DialError::Denied { cause } => {
                self.on_denied(cause);
                Vec::new()
            }
            DialError::WrongPeerId { address, .. } | DialError::LocalPeerId { address } => {
                vec![address.clone()]
            }
            DialError::Transport(failures) => failures.iter().map(|(address, _)| address.clone()).collect(),
            DialError::NoAddresses | DialError::Aborted => Vec::new(),
        };
        tracing::debug!(%peer, %error, "dial failed");
        self.world.peers.failed(&peer, &dead, Instant::now());
    }

    pub(super) fn on_denied(&mut self, cause: &ConnectionDenied) {
        let memory = cause.downcast_ref::<memory_connection_limits::MemoryUsageLimitExceeded>().is_some();
        if memory || cause.downcast_ref::<connection_limits::Exceeded>().is_some() {
            tracing::warn!(%cause, "connection not taken");
            self.windows.counters.limit(LimitEvent::Connections);
        }
    }

    pub(super) fn on_identify(&mut self, event: identify::Event) {
        let identify::Event::Received { peer_id: peer, info, .. } = event else {
            return;
        };
        let now = Instant::now();
        if info.protocol_version != self.world.version {
            if self.world.discovery.shun(self.swarm.behaviour_mut(), &mut self.world.peers, peer, now) {
                let theirs: String = info.protocol_version.chars().filter(|c| !c.is_control()).take(64).collect();
                tracing::info!(%peer, reason = "other network", %theirs, ours = %self.world.version, "peer turned away");
                self.windows.counters.wrong_network();
            }
            // Also when the list of those turned away is full. Not connected any more is fine.
            let _ = self.swarm.disconnect_peer_id(peer);
            return;
        }
        for address in info.listen_addrs.iter().take(16) {
            if self.world.peers.learn(peer, address, true, now) {
                self.swarm.behaviour_mut().kad.add_address(&peer, address.clone());
            }
        }
        if self.world.peers.identified(&peer, &info.agent_version) {
            tracing::info!(%peer, agent = %info.agent_version.escape_debug(), "peer joined");
            self.world.discovery.stir(now);
            self.world.anchors.stale = true;
        }
        self.show();
    }

    pub(super) fn on_ping(&mut self, event: ping::Event) {
        self.windows.metrics.record(&event);
        if matches!(event.result, Err(ping::Failure::Unsupported)) {
            return;
        }
        if self.world.peers.pinged(&event.peer, event.connection, event.result.ok()) {
            tracing::info!(peer = %event.peer, "connection closed: the peer does not answer pings");
            self.swarm.close_connection(event.connection);
        }
        self.show();
    }

    pub(super) fn on_kad(&mut self, event: kad::Event) {
        self.windows.metrics.record(&event);
        let now = Instant::now();
        match event {
            kad::Event::OutboundQueryProgressed { result, .. } => {
                for found in discovery::found(result) {
                    for address in found.addrs.iter().take(16) {
                        self.world.peers.learn(found.peer_id, address, false, now);
                    }
                }
            }
            kad::Event::RoutingUpdated { peer, addresses, .. } => {
                for address in addresses.iter().take(16) {
                    self.world.peers.learn(peer, address, false, now);
                }
            }
            _ => {}
        }
    }

    pub(super) fn on_gossip(&mut self, event: gossipsub::Event) {
        self.windows.metrics.record(&event);
        let gossipsub::Event::Message { propagation_source: source, message_id: id, message } = event else {
            return;
        };
        let (Some(topic), Some(from)) = (self.world.topics.topic(&message.topic), keys::node_key(&source)) else {
            return self.on_judged(&(id, source, MessageAcceptance::Reject));
        };
        if !self.world.rates.gossip(source, Instant::now()) {
            self.windows.counters.limit(LimitEvent::Rate);
            return self.on_judged(&(id, source, MessageAcceptance::Ignore));
        }
        let queue = &self.windows.inbound;
        let place = if queue.capacity() > queue.max_capacity() / 4 { queue.try_reserve().ok() } else { None };
        let Some((place, verdict)) = place.and_then(|place| Some((place, self.gossip.open(id.clone(), source)?)))
        else {
            self.windows.counters.limit(LimitEvent::Queue);
            return self.on_judged(&(id, source, MessageAcceptance::Ignore));
        };
        place.send(Inbound::Gossip { topic, from, data: message.data.into(), verdict });
    }

    pub(super) fn on_lane(&mut self, lane: Lane, event: request_response::Event<RequestFrame, wire::Response>) {
        use request_response::{Event, Message};
        let (id, outcome) = match event {
            Event::Message { peer, message: Message::Request { request, channel, .. }, .. } => {
                return self.on_request(lane, peer, request, channel);
            }
            Event::Message { message: Message::Response { request_id, response }, .. } => (request_id, Ok(response)),
            Event::OutboundFailure { request_id, error, .. } => (request_id, Err(error)),
            Event::InboundFailure { peer, error, .. } => {
                tracing::debug!(%peer, lane = lane.name(), %error, "request from peer failed");
                return;
            }
            Event::ResponseSent { .. } => return,
        };
        let good = self.lanes.answered(lane, id, outcome);
        self.windows.counters.request(lane, if good { RequestEvent::Answered } else { RequestEvent::Failed });
    }

    fn on_request(&mut self, lane: Lane, peer: PeerId, frame: RequestFrame, channel: ResponseChannel<wire::Response>) {
        match self.admit(lane, peer, frame) {
            Ok(answer) => {
                self.windows.counters.request(lane, RequestEvent::Received);
                self.lanes.await_answer(lane, channel, answer);
            }
            Err(refusal) => {
                self.windows.counters.request(lane, RequestEvent::Refused);
                // The caller may have hung up.
                let _ = self.swarm.behaviour_mut().lane(lane).send_response(channel, *refusal);
            }
        }
    }

    /// Hand the request to the consumer, or say why not.
    fn admit(
        &mut self,
        lane: Lane,
        peer: PeerId,
        frame: RequestFrame,
    ) -> Result<oneshot::Receiver<wire::Response>, Box<wire::Response>> {
        let counters = &self.windows.counters;
        let refuse = |event, reason: &str, wait| {
            counters.limit(event);
            Box::new(refusal("capacity", reason, wait))
        };
        let malformed = |reason: String| Box::new(refusal("malformed", reason, 0));
        if !self.world.rates.request(peer, lane, Instant::now()) {
            return Err(refuse(LimitEvent::Rate, "you ask too often on this lane; slow down", 1_000));
        }
        let request = frame.body.map_err(|fault| {
            if fault == Fault::Overloaded {
                counters.limit(LimitEvent::Bytes);
            }
            Box::new(lanes::fault_refusal(lane, fault))
        })?;
        let from = keys::node_key(&peer).ok_or_else(|| malformed("your identity is no ed25519 key".to_owned()))?;
        let belongs = Lane::of(&request).ok_or_else(|| malformed("the request is empty".to_owned()))?;
        if belongs != lane {
            return Err(malformed(format!("this belongs on the {} lane, not {}", belongs.name(), lane.name())));
        }
        if !self.lanes.has_room(lane) {
            return Err(refuse(LimitEvent::Queue, "too many requests are being worked on; try again shortly", 500));
        }
        let full = |_| refuse(LimitEvent::Queue, "the inbound queue is full; try again shortly", 200);
        let place = self.windows.inbound.try_reserve().map_err(full)?;
        let (reply, answer) = Reply::new(frame.share);
        place.send(Inbound::Request { from, request, reply });
        Ok(answer)
    }

    /// Show peers and addresses to the outside.
    pub(super) fn show(&self) {
        let peers: Vec<PeerView> = self.world.peers.live().filter_map(|(peer, live)| view_of(peer, live)).collect();
        let keys: BTreeSet<NodeKey> = peers.iter().map(|peer| peer.key).collect();
        let listen = self.swarm.listeners().cloned().collect();
        self.windows.view.send_replace(Arc::new(View::new(peers, listen)));
        self.windows.connected.send_if_modified(|shown| {
            let changed = **shown != keys;
            if changed {
                *shown = Arc::new(keys);
            }
            changed
        });
    }
}

/// A peer as it is shown, once it has shown that it is of our network.
fn view_of(peer: &PeerId, live: &Live) -> Option<PeerView> {
    Some(PeerView {
        key: keys::node_key(peer)?,
        peer_id: *peer,
        address: live.links.last()?.address.clone(),
        rtt: live.rtt,
        connected_since: live.since,
        agent: live.agent.clone()?,
    })
}
