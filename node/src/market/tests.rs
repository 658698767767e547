//! A market of several nodes in one process: real services, real signatures, a fake network and a fake clock.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod buying;
mod selling;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use tempfile::TempDir;
use weft_protocol::{
    market::Body,
    network::{Member, NetworkFile, NetworkParameters, Role},
};

use super::*;

const NOW: u64 = 1_800_000_000_000;

fn seed(n: u8) -> [u8; 32] {
    [n; 32]
}

fn issuer(network: &Network, n: u8) -> Issuer {
    Issuer::new(network.id(), &seed(n))
}

/// The key of node `n`.
fn key(n: u8) -> NodeKey {
    Issuer::new(Id::default(), &seed(n)).key()
}

fn id(text: &str) -> Id {
    Id::sha256(text.as_bytes())
}

#[derive(Clone)]
struct FakeClock(Arc<AtomicU64>);

impl Clock for FakeClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// How the fake network treats requests to one node.
#[derive(Clone)]
enum Peer {
    Up(MarketHandle),
    /// Refuses connections.
    Down,
    /// Never answers.
    Hangs,
    /// Answers as told.
    Scripted(Arc<dyn Fn(NodeKey, wire::Request) -> Option<wire::Response> + Send + Sync>, MarketHandle),
}

type Peers = Arc<Mutex<BTreeMap<NodeKey, Peer>>>;

struct FakeAsk {
    me: NodeKey,
    peers: Peers,
    latencies: Arc<Mutex<BTreeMap<NodeKey, Duration>>>,
}

impl Ask for FakeAsk {
    async fn ask(&self, to: NodeKey, request: wire::Request) -> Result<wire::Response, String> {
        let peer = self.peers.lock().unwrap().get(&to).cloned();
        match peer {
            None | Some(Peer::Down) => Err("connection refused".to_owned()),
            Some(Peer::Hangs) => std::future::pending().await,
            Some(Peer::Up(handle)) => Ok(handle.serve(self.me, request).await),
            Some(Peer::Scripted(script, handle)) => match script(self.me, request.clone()) {
                Some(response) => Ok(response),
                None => Ok(handle.serve(self.me, request).await),
            },
        }
    }

    fn latency(&self, to: NodeKey) -> Option<Duration> {
        self.latencies.lock().unwrap().get(&to).copied()
    }
}

/// A network of nodes 1..=n. Node 1 is the messenger of the tests; all but node 1 sell unless told otherwise.
struct World {
    network: Network,
    clock: FakeClock,
    peers: Peers,
    latencies: Arc<Mutex<BTreeMap<NodeKey, Duration>>>,
    handles: BTreeMap<u8, MarketHandle>,
    outboxes: BTreeMap<u8, mpsc::Receiver<wire::Gossip>>,
    folder: TempDir,
}

fn network(nodes: u8) -> Network {
    let member = |n: u8| Member {
        name: format!("node-{n}"),
        key: key(n),
        bond: 1_000,
        roles: [Role::Scheduler, Role::Compute, Role::Messenger].into(),
        owner: None,
    };
    let gateway = Member { roles: [Role::Gateway].into(), ..member(99) };
    let registry = (1..=nodes).map(member).chain([gateway]).collect();
    let parameters = NetworkParameters::default();
    NetworkFile { name: "test".to_owned(), boot: vec![], parameters, registry }.validate().unwrap()
}

impl World {
    /// Nodes with these prices, from node 1 on; `None` sells nothing. Offers have been heard by all.
    async fn start(prices: &[Option<u64>]) -> Self {
        let configs = prices.iter().map(|price| price.map(priced)).collect::<Vec<_>>();
        Self::with(configs).await
    }

    async fn with(configs: Vec<Option<ProviderConfig>>) -> Self {
        let mut world = Self::empty(u8::try_from(configs.len()).unwrap());
        for (n, config) in (1..).zip(configs) {
            world.launch(n, config);
        }
        world.tick().await;
        world.gossip().await;
        world
    }

    /// A network of so many nodes, none of them running.
    fn empty(nodes: u8) -> Self {
        Self {
            network: network(nodes),
            clock: FakeClock(Arc::new(AtomicU64::new(NOW))),
            peers: Arc::default(),
            latencies: Arc::default(),
            handles: BTreeMap::new(),
            outboxes: BTreeMap::new(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn launch(&mut self, n: u8, provider: Option<ProviderConfig>) {
        let config = MarketConfig {
            network: self.network.clone(),
            seed: seed(n),
            provider,
            max_price_per_gfuel: 1_000,
            sequence: self.sequence(n),
        };
        let ask = FakeAsk { me: key(n), peers: Arc::clone(&self.peers), latencies: Arc::clone(&self.latencies) };
        let (gossip, outbox) = mpsc::channel(64);
        let (handle, _task) = start(config, ask, self.clock.clone(), gossip).unwrap();
        self.set_peer(n, Peer::Up(handle.clone()));
        self.handles.insert(n, handle);
        self.outboxes.insert(n, outbox);
    }

    fn sequence(&self, n: u8) -> PathBuf {
        self.folder.path().join(format!("{n}.seq"))
    }

    fn set_peer(&self, n: u8, peer: Peer) {
        self.peers.lock().unwrap().insert(key(n), peer);
    }

    fn node(&self, n: u8) -> &MarketHandle {
        &self.handles[&n]
    }

    fn now(&self) -> u64 {
        self.clock.now_ms()
    }

    async fn pass(&self, ms: u64) {
        self.clock.0.fetch_add(ms, Ordering::SeqCst);
        self.tick().await;
    }

    async fn tick(&self) {
        for handle in self.handles.values() {
            handle.tick().await;
        }
    }

    /// Brings everything published to all others; returns how many items there were.
    async fn gossip(&mut self) -> usize {
        let mut count = 0;
        for (from, outbox) in &mut self.outboxes {
            while let Ok(item) = outbox.try_recv() {
                count += 1;
                for (n, handle) in &self.handles {
                    if n == from {
                        continue;
                    }
                    let judgement = match item.body.clone().unwrap() {
                        wire::gossip::Body::Offer(signed) => handle.on_offer(signed).await,
                        wire::gossip::Body::Award(signed) => handle.on_award(signed).await,
                        other => panic!("the market published {other:?}"),
                    };
                    assert_eq!(judgement, Judgement::Accept);
                }
            }
        }
        count
    }

    async fn view(&self, n: u8) -> MarketView {
        self.node(n).view().await.unwrap()
    }

    fn sign<T: Body>(&self, n: u8, body: T, seq: u64) -> weft_protocol::market::Object<T> {
        issuer(&self.network, n).sign(body, seq, self.now(), self.now() + 10_000).unwrap()
    }
}

fn priced(price_per_gfuel: u64) -> ProviderConfig {
    ProviderConfig { price_per_gfuel, ..ProviderConfig::default() }
}

/// Node 1 wants compute for a process that node 2 orders.
fn want(process: &str) -> Want {
    Want {
        process: id(process),
        module: id("module"),
        scheduler: key(2),
        messenger: key(1),
        exclude: BTreeSet::new(),
        incumbent: None,
        log_slots: 0,
    }
}
