//! Gossipsub: the topics of a network, its settings, and the verdicts that decide what is forwarded.
//!
//! Nothing is passed on before the consumer has accepted it. Message ids are content hashes, so that the same item is
//! one item whoever publishes it, and the score of a peer falls for invalid items only.

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture, stream::FuturesUnordered};
use libp2p::{
    PeerId,
    gossipsub::{
        self, ConfigBuilder, IdentTopic, MaxCountSubscriptionFilter, Message, MessageAcceptance, MessageAuthenticity,
        MessageId, PeerScoreParams, PeerScoreThresholds, TopicHash, TopicScoreParams, ValidationMode,
        WhitelistSubscriptionFilter,
    },
    metrics::Registry,
};
use tokio::sync::oneshot;

use super::{
    config::{Names, NetworkError},
    limits::{GOSSIP_ENVELOPE, MAX_GOSSIP, MAX_VERDICTS, VERDICT_TIME},
};

/// Mesh peers a topic: wanted, at least, at most. libp2p does not check them; a compile-time assertion here does.
const MESH: (usize, usize, usize) = (6, 5, 12);
/// Of the mesh, peers that we dialled ourselves: below the minimum and at most half of what is wanted.
const MESH_OUTBOUND: usize = 2;
const _: () = assert!(MESH.1 <= MESH.0 && MESH.0 <= MESH.2 && MESH_OUTBOUND < MESH.1 && MESH_OUTBOUND * 2 <= MESH.0);

/// Gossipsub with an allow-list of topics.
pub type Gossipsub =
    gossipsub::Behaviour<gossipsub::IdentityTransform, MaxCountSubscriptionFilter<WhitelistSubscriptionFilter>>;

/// What a gossip item is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    /// Data items on their way to a scheduler, of the processes of one shard.
    Messages(u16),
    /// What schedulers sealed, of the processes of one shard.
    Sealed(u16),
    /// Attestations.
    Attestations,
    /// Offers and awards.
    Market,
}

impl Topic {
    fn name(self, names: &Names) -> String {
        match self {
            Self::Messages(shard) => names.topic(&format!("messages/{shard}")),
            Self::Sealed(shard) => names.topic(&format!("sealed/{shard}")),
            Self::Attestations => names.topic("attestations"),
            Self::Market => names.topic("market"),
        }
    }
}

/// The topics of one network, both ways round.
pub struct Topics {
    by_topic: HashMap<Topic, IdentTopic>,
    by_hash: HashMap<TopicHash, Topic>,
}

impl Topics {
    /// The topics of the network with these names and this number of shards.
    pub fn new(names: &Names, shards: u16) -> Self {
        let sharded = (0..shards).flat_map(|shard| [Topic::Messages(shard), Topic::Sealed(shard)]);
        let by_topic: HashMap<_, _> = sharded
            .chain([Topic::Attestations, Topic::Market])
            .map(|topic| (topic, IdentTopic::new(topic.name(names))))
            .collect();
        let by_hash = by_topic.iter().map(|(topic, ident)| (ident.hash(), *topic)).collect();
        Self { by_topic, by_hash }
    }

    /// The topic a peer means.
    pub fn topic(&self, hash: &TopicHash) -> Option<Topic> {
        self.by_hash.get(hash).copied()
    }

    /// The hash of a topic, or `None` for a shard this network does not have.
    pub fn hash(&self, topic: Topic) -> Option<TopicHash> {
        self.by_topic.get(&topic).map(IdentTopic::hash)
    }
}

/// The behaviour, subscribed to all `topics`.
pub fn behaviour(
    names: &Names,
    topics: &Topics,
    dev: bool,
    registry: &mut Registry,
) -> Result<Gossipsub, NetworkError> {
    let setup = |error: &dyn std::fmt::Display| NetworkError::Setup(format!("gossip: {error}"));
    let allowed: HashSet<_> = topics.by_hash.keys().cloned().collect();
    let filter = MaxCountSubscriptionFilter {
        max_subscribed_topics: allowed.len(),
        max_subscriptions_per_request: allowed.len().saturating_mul(2),
        filter: WhitelistSubscriptionFilter(allowed),
    };
    let config = ConfigBuilder::default()
        .protocol_id_prefix(names.gossip_prefix())
        .validation_mode(ValidationMode::Anonymous)
        .validate_messages()
        .message_id_fn(content_id)
        .max_transmit_size(MAX_GOSSIP + GOSSIP_ENVELOPE)
        .max_publish_messages(500)
        .duplicate_cache_time(Duration::from_secs(120))
        .mesh_n(MESH.0)
        .mesh_n_low(MESH.1)
        .mesh_n_high(MESH.2)
        .mesh_outbound_min(MESH_OUTBOUND)
        // The first heartbeat soon, so that a young network forwards at once; validated items are held for ten.
        .heartbeat_initial_delay(Duration::from_millis(500))
        .history_length(10)
        .build()
        .map_err(|error| setup(&error))?;
    // No author's signature around the item: every kind of item carries its own, which the consumer checks. A second one
    // cost a fifth of the processor time under load, and said nothing that is used.
    let privacy = MessageAuthenticity::Anonymous;
    let mut gossip = Gossipsub::new_with_subscription_filter(privacy, config, filter)
        .map_err(|error| setup(&error))?
        .with_metrics(registry.sub_registry_with_prefix("gossipsub"), gossipsub::MetricsConfig::default());
    gossip.with_peer_score(scores(topics, dev), PeerScoreThresholds::default()).map_err(|error| setup(&error))?;
    for topic in topics.by_topic.values() {
        gossip.subscribe(topic).map_err(|error| setup(&error))?;
    }
    Ok(gossip)
}

/// BLAKE3 of topic and content.
fn content_id(message: &Message) -> MessageId {
    let mut hasher = blake3::Hasher::new();
    hasher.update(message.topic.as_str().as_bytes()).update(&[0]).update(&message.data);
    MessageId::from(hasher.finalize().as_bytes().to_vec())
}

/// Invalid items and abuse of the protocol cost score, being quiet or slow does not: topics here are often quiet.
fn scores(topics: &Topics, dev: bool) -> PeerScoreParams {
    let topic = TopicScoreParams {
        topic_weight: 1.0,
        time_in_mesh_weight: 0.0,
        first_message_deliveries_weight: 0.0,
        mesh_message_deliveries_weight: 0.0,
        mesh_failure_penalty_weight: 0.0,
        // Nine invalid items in quick succession reach the graylist; one is forgotten within minutes.
        invalid_message_deliveries_weight: -1.0,
        invalid_message_deliveries_decay: gossipsub::score_parameter_decay(Duration::from_secs(300)),
        ..TopicScoreParams::default()
    };
    let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    PeerScoreParams {
        topics: topics.by_hash.keys().map(|hash| (hash.clone(), topic.clone())).collect(),
        ip_colocation_factor_threshold: 3.0,
        ip_colocation_factor_whitelist: if dev { loopback.into() } else { HashSet::new() },
        // A node that restarts grafts again before its back-off is over, honestly.
        behaviour_penalty_threshold: 6.0,
        slow_peer_weight: 0.0,
        ..PeerScoreParams::default()
    }
}

/// The consumer's judgement of one gossip item; decides whether it is passed on. Dropping it is [`Verdict::ignore`].
#[derive(Debug)]
#[must_use = "an item is forwarded only after accept()"]
pub struct Verdict(oneshot::Sender<MessageAcceptance>);

impl Verdict {
    /// Valid: pass it on.
    pub fn accept(self) {
        // The loop may have stopped waiting; then the item is ignored.
        let _ = self.0.send(MessageAcceptance::Accept);
    }

    /// Invalid: do not pass it on, and hold it against the peer it came from.
    pub fn reject(self) {
        let _ = self.0.send(MessageAcceptance::Reject);
    }

    /// Useless but harmless (known, late, not ours to judge): do not pass it on.
    pub fn ignore(self) {
        let _ = self.0.send(MessageAcceptance::Ignore);
    }
}

/// A verdict that has come in: item, peer it came from, judgement.
pub(super) type Judged = (MessageId, PeerId, MessageAcceptance);

/// The items that await their verdict.
#[derive(Default)]
pub(super) struct GossipDesk {
    pub verdicts: FuturesUnordered<BoxFuture<'static, Judged>>,
}

impl GossipDesk {
    /// A verdict to hand out for an item, or `None` when too many are out already.
    pub fn open(&mut self, id: MessageId, source: PeerId) -> Option<Verdict> {
        if self.verdicts.len() >= MAX_VERDICTS {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        let wait = tokio::time::timeout(VERDICT_TIME, receiver);
        let judged =
            |verdict: Result<Result<_, _>, _>| verdict.ok().and_then(Result::ok).unwrap_or(MessageAcceptance::Ignore);
        self.verdicts.push(wait.map(move |verdict| (id, source, judged(verdict))).boxed());
        Some(Verdict(sender))
    }
}
