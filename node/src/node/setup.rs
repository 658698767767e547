//! Starting a node: configuration, keys, stores, mesh, services, doors, in that order.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;
use weft_protocol::{
    Id, Jwk,
    ans104::{Ed25519Signer, RsaSigner},
    election::WELL_KNOWN_SCHEDULER,
    keys::NodeKey,
    network::{Network, Role},
    wire,
};
use weft_storage::{
    arweave::{
        devnet::Fresh,
        gateway::{Gateway, GatewayConfig},
    },
    blobs::Blobs,
};

use super::{Folders, Running, Teller, follow_height};
use crate::{
    activity::ActivityLog,
    anchor::{self, AnchorConfig, AnchorHandle},
    api::{Api, Behind, Gauges, Identity},
    assigned::{Fetches, Finder},
    compute::{
        Compilers, Engine, EngineConfig, conformance,
        service::{
            Checkpoints, ComputeHandle, ComputeTools, MAX_CHECKPOINT_BYTES, Machine, Modules, PublishRules, Publisher,
            ResultStore, Shelf,
        },
    },
    config::{CheckpointConfig, NodeConfig},
    directory::Directory,
    feeder, http, inbound,
    intake::Intake,
    market::{self, Ask, MarketConfig, MarketHandle, ProviderConfig, SystemClock},
    messenger::{Leases, Messenger, MessengerHandle, OutcomeStore, Tools},
    network::{self as mesh, Inbound, Multiaddr, NetworkConfig, NetworkHandle, Registry, Topic},
    peers::Peers,
    scheduler::{LogStore, Scheduler},
};

/// Largest body read from a gateway beyond the largest item: room for a bundle's head.
const GATEWAY_BODY: usize = 64 << 20;

/// Bytes of JSON that a module may return for one slot. An outbox entry travels as its JSON and lies in its target's log as
/// item and proof: three times this must fit a frame of 16 MiB.
const MAX_OUTPUT: usize = 4 << 20;

mod pool;

/// Why a node did not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// A file cannot be used.
    #[error("{field} = {path}: {reason}")]
    File {
        /// Field of `node.toml`.
        field: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// A value cannot be used.
    #[error("{field} = {value}: {reason}")]
    Value {
        /// Field of `node.toml`.
        field: &'static str,
        /// Its value.
        value: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// A part did not start.
    #[error("the {part} does not start: {reason}")]
    Start {
        /// Which.
        part: &'static str,
        /// Why.
        reason: String,
    },
    /// A service ended before the node was told to stop.
    #[error("{service} ended: {reason}")]
    Ended {
        /// Which.
        service: &'static str,
        /// Why.
        reason: String,
    },
}

fn start_error<E: std::fmt::Display>(part: &'static str) -> impl FnOnce(E) -> NodeError {
    move |error| NodeError::Start { part, reason: error.to_string() }
}

/// Configuration with everything it names read and checked.
struct Checked {
    config: NodeConfig,
    network: Network,
    seed: [u8; 32],
    wallet: Option<Jwk>,
}

fn read(field: &'static str, path: &Path) -> Result<String, NodeError> {
    fs::read_to_string(path).map_err(|e: io::Error| NodeError::File {
        field,
        path: path.to_owned(),
        reason: e.to_string(),
    })
}

fn check(config: NodeConfig) -> Result<Checked, NodeError> {
    let file = |field, path: &Path, reason: String| NodeError::File { field, path: path.to_owned(), reason };
    let network = Network::parse(&read("network", &config.network)?)
        .map_err(|e| file("network", &config.network, e.to_string()))?;
    let jwk: Jwk =
        serde_json::from_str(&read("key", &config.key)?).map_err(|e| file("key", &config.key, e.to_string()))?;
    let seed = jwk
        .ed25519_seed()
        .map_err(|e| file("key", &config.key, format!("{e}; make one with `weft keys new --type ed25519`")))?;
    let wallet = match &config.wallet {
        Some(path) => {
            let jwk: Jwk =
                serde_json::from_str(&read("wallet", path)?).map_err(|e| file("wallet", path, e.to_string()))?;
            Some(jwk)
        }
        None => None,
    };
    check_order(&config, &network)?;
    check_roles(&config, &network, &Ed25519Signer::from_seed(seed).key())?;
    Ok(Checked { config, network, seed, wallet })
}

/// This version orders with one seat and cranks on one attestation: a network that wants more must not be served with less.
fn check_order(config: &NodeConfig, network: &Network) -> Result<(), NodeError> {
    let parameters = network.parameters();
    for (what, value) in [("order.seats", parameters.order.seats), ("compute.quorum", parameters.compute.quorum)] {
        if value != 1 {
            let reason = format!("it sets {what} = {value}; this version of weft serves networks with {what} = 1 only");
            return Err(NodeError::File { field: "network", path: config.network.clone(), reason });
        }
    }
    Ok(())
}

/// A node carries exactly the roles the registry gives its key (the gateway is free): others count on them.
fn check_roles(config: &NodeConfig, network: &Network, key: &NodeKey) -> Result<(), NodeError> {
    let registered = network.member(key).map(|m| m.roles.clone()).unwrap_or_default();
    let carried = |role: Role| config.roles.iter().any(|r| r == role.name());
    for word in &config.roles {
        if !Role::ALL.iter().any(|role| role.name() == word) {
            let reason = "unknown role; known are scheduler, compute, messenger, gateway".to_owned();
            return Err(NodeError::Value { field: "roles", value: word.clone(), reason });
        }
    }
    for role in Role::ALL.into_iter().filter(|r| *r != Role::Gateway) {
        let reason = match (carried(role), registered.contains(&role)) {
            (true, false) => format!(
                "network {} does not register key {key} for it: leave it out, or join its registry",
                network.name()
            ),
            (false, true) => {
                format!("network {} registers key {key} for it, and others will count on it: add it", network.name())
            }
            _ => continue,
        };
        return Err(NodeError::Value { field: "roles", value: role.name().to_owned(), reason });
    }
    Ok(())
}

/// The market's way to other nodes.
struct Asker(Peers);

impl Ask for Asker {
    async fn ask(&self, to: NodeKey, request: wire::Request) -> Result<wire::Response, String> {
        self.0.network().request(to, request).await.map_err(|e| e.to_string())
    }

    fn latency(&self, to: NodeKey) -> Option<Duration> {
        self.0.network().latency(&to)
    }
}

/// The stores, opened.
struct Stores {
    log: LogStore,
    outcomes: OutcomeStore,
    results: ResultStore,
    modules: Blobs,
    checkpoints: Checkpoints,
}

/// Opens all stores; long after a crash with a lost index.
fn open_stores(folders: &Folders) -> Result<Stores, NodeError> {
    let blobs = |part| Blobs::open(folders.of(part)).map_err(start_error("blob store"));
    Ok(Stores {
        log: LogStore::open(&folders.of("log")).map_err(start_error("scheduler's log"))?,
        outcomes: OutcomeStore::open(&folders.of("outcomes")).map_err(start_error("messenger's store"))?,
        results: ResultStore::open(&folders.of("results")).map_err(start_error("compute store"))?,
        modules: blobs("modules")?,
        checkpoints: Checkpoints::open(&folders.of("checkpoints"), MAX_CHECKPOINT_BYTES)
            .map_err(start_error("checkpoints"))?,
    })
}

fn multiaddrs(field: &'static str, texts: &[String]) -> Result<Vec<Multiaddr>, NodeError> {
    let parse = |text: &String| {
        text.parse().map_err(|e| NodeError::Value {
            field,
            value: text.clone(),
            reason: format!("not a multiaddr: {e}"),
        })
    };
    texts.iter().map(parse).collect()
}

fn join_mesh(
    checked: &Checked,
    registry: &mut Registry,
) -> Result<(NetworkHandle, mpsc::Receiver<Inbound>), NodeError> {
    let network = &checked.network;
    let me = Ed25519Signer::from_seed(checked.seed).key();
    let mut config = NetworkConfig::new(checked.seed, network.id());
    config.listen = multiaddrs("listen", &checked.config.listen)?;
    let own = mesh::keys::peer_id(&me).map(|id| id.to_string()).unwrap_or_default();
    let boot: Vec<String> = network.boot().iter().filter(|b| own.is_empty() || !b.ends_with(&own)).cloned().collect();
    config.boot = multiaddrs("boot", &boot)?;
    config.members = network.all_members().iter().map(|m| m.key).collect();
    config.shards = network.parameters().shards;
    config.dev = checked.config.listen.iter().all(|l| l.starts_with("/ip4/127.") || l.starts_with("/ip6/::1/"));
    config.bounds.inbound_queue = 4_096;
    config.peers_file = Some(checked.config.data.join("peers"));
    mesh::Network::spawn(config, Some(registry)).map_err(start_error("mesh"))
}

/// The engine of a network's nodes, with compiled modules in `folder`.
pub(crate) fn engine_config(network: &Network, folder: PathBuf) -> EngineConfig {
    let limits = network.parameters().compute;
    let mut config = EngineConfig::new(folder);
    config.fuel_per_slot = limits.max_fuel_per_slot;
    config.max_memory_bytes = limits.max_memory_bytes;
    config.max_output_bytes = MAX_OUTPUT;
    config
}

fn engine(checked: &Checked, folders: &Folders) -> Result<Engine, NodeError> {
    let mut config = engine_config(&checked.network, folders.of("compiled"));
    config.compilers = if checked.config.compute.baseline { Compilers::BaselineFirst } else { Compilers::Optimising };
    Engine::new(config).map_err(start_error("evaluation engine"))
}

/// Starts everything; what has been started stops when the returned value is dropped.
pub(super) async fn start(config: NodeConfig, shutdown: CancellationToken) -> Result<Running, NodeError> {
    let checked = check(config)?;
    let folders = Folders(checked.config.data.clone());
    fs::create_dir_all(&folders.0).map_err(|e| NodeError::File {
        field: "data",
        path: folders.0.clone(),
        reason: e.to_string(),
    })?;
    let gateway = gateway(&checked)?;
    let stores = {
        let folders = Folders(folders.0.clone());
        let opened = tokio::task::spawn_blocking(move || open_stores(&folders)).await;
        opened.map_err(start_error("stores"))??
    };
    let mut registry = Registry::default();
    let gauges = Gauges::register(&mut registry);
    let (network, inbound) = join_mesh(&checked, &mut registry)?;
    let mut tasks = JoinSet::new();
    let built = build(&checked, &folders, gateway, stores, &network, &mut tasks).await?;
    tasks.spawn(async move {
        inbound::run(inbound, built.services).await;
        ("inbound router", "the mesh ended".to_owned())
    });
    let pool = built.behind.compute.tools().machine.pool.clone();
    let identity = Identity {
        name: checked.config.name.clone(),
        key: network.key(),
        roles: checked.config.roles.clone(),
        height: built.height,
        started: super::started(),
        gauges,
        registry: Arc::new(registry),
    };
    let server = http::serve(Api::new(built.behind, identity), checked.config.http.clone(), shutdown)
        .await
        .map_err(start_error("HTTP door"))?;
    for address in server.addresses() {
        tracing::info!("http door open at http://{address}");
    }
    tasks.spawn(async move { ("http door", ended(server.finished().await)) });
    Ok(Running { tasks, network, pool })
}

fn gateway(checked: &Checked) -> Result<Gateway, NodeError> {
    let mut config = GatewayConfig::new(checked.config.gateways.clone());
    config.max_body =
        GATEWAY_BODY.max(usize::try_from(checked.network.parameters().max_item_bytes).unwrap_or(GATEWAY_BODY) * 2);
    Gateway::new(config).map_err(start_error("gateway client"))
}

fn ended<E: std::fmt::Display>(result: Result<(), E>) -> String {
    result.map_or_else(|e| e.to_string(), |()| "it returned".to_owned())
}

/// Everything that [`start`] needs of the services.
struct Built {
    services: inbound::Services,
    behind: Behind,
    height: Arc<AtomicU64>,
}

type Tasks = JoinSet<(&'static str, String)>;

async fn build(
    checked: &Checked,
    folders: &Folders,
    gateway: Gateway,
    stores: Stores,
    network: &NetworkHandle,
    tasks: &mut Tasks,
) -> Result<Built, NodeError> {
    let (me, peers, activity) = (network.key(), Peers::new(network.clone()), ActivityLog::default());
    let directory = Directory::new(checked.network.clone(), me, peers.clone(), stores.log.clone());
    let height = Arc::new(AtomicU64::new(0));
    tasks.spawn({
        let (gateway, height) = (gateway.clone(), Arc::clone(&height));
        async move {
            follow_height(gateway, height).await;
            ("height", String::new())
        }
    });
    let signer = Ed25519Signer::from_seed(checked.seed);
    let (scheduler, ordering, notices) =
        Scheduler::new(checked.network.id(), signer, stores.log.clone(), Arc::clone(&height));
    tasks.spawn(async move { ("scheduler", ended(scheduler.run().await)) });
    let engine = engine(checked, folders)?;
    let off = conforms(&checked.config.roles).await?;
    let market = start_market(checked, folders, &engine, &peers, tasks)?;
    if off.is_some() {
        market.set_state(market::ProviderState::Maintenance).await;
    }
    let anchor = start_anchor(checked, folders, &gateway)?;
    let messenger = start_messenger(
        Tools {
            me,
            directory: directory.clone(),
            peers: peers.clone(),
            market: market.clone(),
            anchor: anchor.clone(),
            store: stores.outcomes,
            leases: Leases::default(),
            activity: activity.clone(),
        },
        tasks,
    );
    let (checkpoints, kept) = stores.checkpoints.telling();
    let machine = Machine {
        pool: pool::start(checked, folders, &engine).await?,
        modules: Modules::new(engine.clone(), gateway.clone(), stores.modules),
        engine,
        store: stores.results.clone(),
        checkpoints: checkpoints.clone(),
        shelf: shelf(&checked.config.compute.checkpoints, &gateway),
    };
    let compute = ComputeHandle::new(ComputeTools {
        network: checked.network.clone(),
        signer: Ed25519Signer::from_seed(checked.seed),
        peers: peers.clone(),
        directory: directory.clone(),
        market: market.clone(),
        machine,
        activity: activity.clone(),
        off,
    });
    watch_stores(stores.results.clone(), messenger.store().clone(), tasks);
    if let Some(anchor) = anchor.clone() {
        tasks.spawn({
            let anchor = anchor.clone();
            async move {
                anchor.ended().await;
                ("anchor", anchor.summary().trouble.unwrap_or_else(|| "its loop returned".to_owned()))
            }
        });
        if let Some(rules) = publish_rules(checked) {
            let publisher = Publisher {
                checkpoints,
                results: stores.results.clone(),
                anchor: anchor.clone(),
                signer: Ed25519Signer::from_seed(checked.seed),
                rules,
                activity: activity.clone(),
            };
            tasks.spawn(async move {
                publisher.run(kept).await;
                // Nothing keeps checkpoints any more: the services end, and their own tasks say why.
                std::future::pending().await
            });
        }
        let feed = feeder::run(folders.of("anchor"), stores.log.clone(), stores.results, anchor);
        tasks.spawn(async move { ("anchor feeder", ended(feed.await)) });
    }
    let fresh = Fresh::new(scheduler_addresses(&checked.network));
    let teller = Teller {
        network: checked.network.clone(),
        mesh: network.clone(),
        directory: directory.clone(),
        messenger: messenger.clone(),
        activity: activity.clone(),
        fresh: fresh.clone(),
        me,
    };
    tasks.spawn(async move {
        teller.run(notices).await;
        // The scheduler has ended: its own task says why.
        std::future::pending().await
    });
    let finder = Finder {
        network: checked.network.clone(),
        peers: peers.clone(),
        log: stores.log.clone(),
        gateway,
        fresh,
        fetches: Fetches::default(),
    };
    let intake = Intake { directory: directory.clone(), scheduler: ordering, finder: finder.clone() };
    let services = inbound::Services {
        intake,
        log: stores.log,
        messenger: messenger.clone(),
        compute: compute.clone(),
        market: market.clone(),
        directory: directory.clone(),
        me,
        later: Arc::new(tokio::sync::Semaphore::new(inbound::LATER)),
    };
    let behind = Behind { peers, directory, finder, messenger, compute, market, anchor, activity };
    Ok(Built { services, behind, height })
}

/// Whether this machine evaluates as it must, before it offers to: why not. The node goes on without that role.
async fn conforms(roles: &[String]) -> Result<Option<String>, NodeError> {
    if !roles.iter().any(|role| role == Role::Compute.name()) {
        return Ok(None);
    }
    let checked = tokio::task::spawn_blocking(conformance::check).await.map_err(start_error("conformance check"))?;
    Ok(match checked {
        Ok(cases) => {
            tracing::debug!(cases, "this machine evaluates as it must");
            None
        }
        Err(error) => {
            tracing::error!(%error, "compute is not offered; the other roles go on");
            Some(error.to_string())
        }
    })
}

/// Where checkpoints of others are looked for, if this node takes any.
fn shelf(config: &CheckpointConfig, gateway: &Gateway) -> Shelf {
    let most = usize::try_from(config.max_bytes.0).unwrap_or(usize::MAX);
    Shelf::new(gateway.clone(), if config.adopt { most } else { 0 })
}

/// How often this node uploads checkpoints, if it does.
fn publish_rules(checked: &Checked) -> Option<PublishRules> {
    let config = &checked.config.compute.checkpoints;
    let window = u64::from(checked.network.parameters().window.max(1));
    config.upload.then_some(PublishRules {
        slots: config.every_windows.saturating_mul(window),
        every: Duration::from_secs(config.every_seconds),
        max_bytes: usize::try_from(config.max_bytes.0).unwrap_or(usize::MAX),
    })
}

/// What a process may name as its scheduler: any node, this one too, is a door to it.
fn scheduler_addresses(network: &Network) -> Vec<Id> {
    let members = network.members(Role::Scheduler).map(|member| member.key.address());
    let well_known = WELL_KNOWN_SCHEDULER.parse().ok();
    members.chain([network.address()]).chain(well_known).collect()
}

/// What can no longer be kept must not be promised: a failed store ends the node. (The scheduler's ends the scheduler.)
fn watch_stores(results: ResultStore, outcomes: OutcomeStore, tasks: &mut Tasks) {
    tasks.spawn(async move { ("compute store", results.failed().await.to_string()) });
    tasks.spawn(async move { ("messenger's store", outcomes.failed().await.to_string()) });
}

fn start_messenger(tools: Tools, tasks: &mut Tasks) -> MessengerHandle {
    let (messenger, handle) = Messenger::new(tools);
    tasks.spawn(async move { ("messenger", ended(messenger.run().await)) });
    handle
}

fn start_market(
    checked: &Checked,
    folders: &Folders,
    engine: &Engine,
    peers: &Peers,
    tasks: &mut Tasks,
) -> Result<MarketHandle, NodeError> {
    let offer = &checked.config.offer;
    let modules: Result<_, _> = offer.modules.iter().map(|m| m.parse()).collect();
    let modules = modules.map_err(|e: weft_protocol::id::ParseIdError| NodeError::Value {
        field: "offer.modules",
        value: offer.modules.join(", "),
        reason: e.to_string(),
    })?;
    let provider = checked.config.roles.iter().any(|r| r == Role::Compute.name()).then(|| ProviderConfig {
        price_per_gfuel: offer.price_per_gfuel,
        max_leases: offer.max_leases,
        max_memory_bytes: offer.max_memory_bytes,
        modules,
        profile: Some(engine.profile().id()),
        ..ProviderConfig::default()
    });
    let folder = folders.of("market");
    fs::create_dir_all(&folder).map_err(start_error("market"))?;
    let config = MarketConfig {
        network: checked.network.clone(),
        seed: checked.seed,
        provider,
        max_price_per_gfuel: offer.max_price_per_gfuel,
        sequence: folder.join("sequence"),
    };
    let (gossip, mut published) = mpsc::channel::<wire::Gossip>(64);
    let (handle, task) =
        market::start(config, Asker(peers.clone()), SystemClock, gossip).map_err(start_error("market"))?;
    tasks.spawn(async move { ("market", task.await.map_or_else(|e| e.to_string(), |()| "it returned".to_owned())) });
    let mesh = peers.network().clone();
    tasks.spawn(async move {
        use prost::Message as _;
        while let Some(item) = published.recv().await {
            if let Err(error) = mesh.publish(Topic::Market, item.encode_to_vec().into()).await {
                tracing::debug!(%error, "market gossip not published");
            }
        }
        ("market gossip", "the market ended".to_owned())
    });
    Ok(handle)
}

fn start_anchor(checked: &Checked, folders: &Folders, gateway: &Gateway) -> Result<Option<AnchorHandle>, NodeError> {
    let Some(wallet) = &checked.wallet else {
        tracing::warn!("no wallet is configured: this node anchors nothing (set `wallet` in node.toml)");
        return Ok(None);
    };
    let path = checked.config.wallet.clone().unwrap_or_default();
    let wallet =
        RsaSigner::from_jwk(wallet).map_err(|e| NodeError::File { field: "wallet", path, reason: e.to_string() })?;
    let mut config = AnchorConfig::new(folders.of("anchor"), gateway.clone(), Arc::new(wallet));
    config.rules.confirmations = checked.network.parameters().anchor.confirmations.into();
    config.every = Duration::from_secs(checked.config.anchor_every_seconds.max(1));
    anchor::start(config).map(Some).map_err(start_error("anchor"))
}
