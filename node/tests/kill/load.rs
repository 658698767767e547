//! The load: clients that post one message after the other, each again and again until some node has acknowledged it.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::Value;
use tokio::task::JoinSet;
use weft_protocol::{
    Id,
    ans104::{DataItem, Ed25519Signer, ItemBuilder},
    election,
    network::Network,
};

use super::{eventually, message, testnet::Testnet, user};

const COUNTER: &[u8] = include_bytes!("../../../examples/counter-c/counter.wasm");
/// Pause of a client between two messages: the test is about deaths, not about speed.
const PACE: Duration = Duration::from_millis(60);
/// How long a client waits for one answer before it tries another node.
const PATIENCE: Duration = Duration::from_secs(10);

/// A message that was acknowledged.
#[derive(Clone, Debug)]
pub struct Ack {
    pub process: Id,
    pub message: Id,
    pub slot: u64,
}

/// The network's doors and the processes on it.
#[derive(Clone)]
pub struct World {
    pub doors: Vec<String>,
    pub senders: Vec<Id>,
    pub targets: Vec<Id>,
    pub network: Network,
    pub client: reqwest::Client,
}

impl World {
    /// Publishes the module and spawns the processes, each sender's scheduler another node.
    pub async fn build(net: &Testnet, senders: usize, targets: usize) -> Self {
        let network = Network::parse(&fs::read_to_string(net.dir().join("network.toml")).unwrap()).unwrap();
        let client = reqwest::Client::builder().timeout(PATIENCE).build().unwrap();
        let mut world = Self { doors: net.doors(), senders: Vec::new(), targets: Vec::new(), network, client };
        let owner = user(0);
        let module = world.publish(&net.gateway(), &owner).await;
        let mut taken = Vec::new();
        for n in 0..senders + targets {
            let spawn = world.spawn_elsewhere(&owner, module, n, &mut taken);
            eventually("a process is spawned", Duration::from_secs(60), async || world.post(n % 5, &spawn).await).await;
            let list = if n < senders { &mut world.senders } else { &mut world.targets };
            list.push(spawn.id());
        }
        world
    }

    /// A spawn item whose elected scheduler is none of `taken`.
    fn spawn_elsewhere(
        &self,
        owner: &Ed25519Signer,
        module: Id,
        n: usize,
        taken: &mut Vec<weft_protocol::NodeKey>,
    ) -> DataItem {
        let address = self.network.address().to_string();
        for attempt in 0..1_000 {
            let item = ItemBuilder::new()
                .tag("Data-Protocol", "ao")
                .tag("Variant", "ao.TN.1")
                .tag("Type", "Process")
                .tag("Module", module.to_string())
                .tag("Scheduler", address.clone())
                .tag("Name", format!("counter {n} {attempt}"))
                .data(b" ".to_vec())
                .sign(owner)
                .unwrap();
            let elected = election::scheduler_of(&self.network, item.id(), &address).unwrap().leader().unwrap();
            if !taken.contains(&elected) {
                taken.push(elected);
                return item;
            }
        }
        panic!("no spawn item elects another scheduler")
    }

    async fn publish(&self, gateway: &str, owner: &Ed25519Signer) -> Id {
        let module = ItemBuilder::new()
            .tag("Data-Protocol", "ao")
            .tag("Variant", "ao.TN.1")
            .tag("Type", "Module")
            .tag("Module-Format", "wasm32-unknown-unknown")
            .tag("Input-Encoding", "JSON-1")
            .tag("Output-Encoding", "JSON-1")
            .data(COUNTER.to_vec())
            .sign(owner)
            .unwrap();
        let post = self.client.post(format!("{gateway}/tx")).header("content-type", "application/octet-stream");
        let answer = post.body(module.raw().to_vec()).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
        module.id()
    }

    /// Posts an item; the acknowledgement, or why there is none.
    pub async fn post(&self, door: usize, item: &DataItem) -> Result<Value, String> {
        let url = format!("{}/v1/items", self.doors[door % self.doors.len()]);
        let answer = self.client.post(url).body(item.raw().to_vec()).send().await.map_err(|e| e.to_string())?;
        let (status, body) = (answer.status(), answer.text().await.map_err(|e| e.to_string())?);
        assert!(status.is_success() || status.as_u16() == 429 || status.is_server_error(), "{status}: {body}");
        match status.is_success() {
            true => Ok(serde_json::from_str(&body).unwrap()),
            false => Err(format!("{status}: {body}")),
        }
    }

    /// What a node answers, as text.
    pub async fn text(&self, door: usize, path: &str) -> Result<String, String> {
        let answer = self.client.get(format!("{}{path}", self.doors[door])).send().await.map_err(|e| e.to_string())?;
        let (status, body) = (answer.status(), answer.text().await.map_err(|e| e.to_string())?);
        if status.is_success() { Ok(body) } else { Err(format!("{path}: {status}: {body}")) }
    }

    /// What a node answers in the end.
    pub async fn get(&self, door: usize, path: &str) -> Value {
        let text = eventually(path, Duration::from_secs(60), async || self.text(door, path).await).await;
        serde_json::from_str(&text).unwrap()
    }
}

/// Clients at work.
pub struct Load {
    count: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    clients: JoinSet<Vec<Ack>>,
}

impl Load {
    /// Starts this many clients.
    pub fn start(world: &World, clients: usize) -> Self {
        let mut load = Self { count: Arc::default(), stop: Arc::default(), clients: JoinSet::new() };
        for n in 0..clients {
            let client =
                Client { n, world: world.clone(), count: Arc::clone(&load.count), stop: Arc::clone(&load.stop) };
            load.clients.spawn(client.run());
        }
        load
    }

    pub fn acknowledged(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Waits until `more` messages than now are acknowledged.
    pub async fn more(&self, more: usize, within: Duration) {
        let enough = self.acknowledged() + more;
        let look =
            async || (self.acknowledged() >= enough).then_some(()).ok_or_else(|| self.acknowledged().to_string());
        eventually("the network acknowledges messages", within, look).await;
    }

    /// Lets every client finish the message it is at; everything acknowledged.
    pub async fn stop(mut self, within: Duration) -> Vec<Ack> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        let end = async {
            while let Some(acks) = self.clients.join_next().await {
                all.extend(acks.unwrap());
            }
        };
        tokio::time::timeout(within, end).await.expect("every client gets its last acknowledgement");
        all
    }
}

struct Client {
    n: usize,
    world: World,
    count: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl Client {
    async fn run(self) -> Vec<Ack> {
        let signer = user(self.n);
        let mut acks = Vec::new();
        for turn in 0_usize.. {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            let item = self.item(&signer, turn);
            let process = item.target().unwrap();
            let (mut door, sealed) = self.until_acknowledged(&item, self.n + turn).await;
            let slot = sealed["slot"].as_u64().unwrap();
            acks.push(Ack { process, message: item.id(), slot });
            self.count.fetch_add(1, Ordering::Relaxed);
            if turn % 5 == 0 {
                // A client that did not trust the answer asks elsewhere.
                door += 1;
                let (_, again) = self.until_acknowledged(&item, door).await;
                assert_eq!(again["slot"].as_u64(), Some(slot), "{again}");
                assert_eq!(again["assignment"], sealed["assignment"], "{again}");
            }
            tokio::time::sleep(PACE).await;
        }
        acks
    }

    /// Mostly forwards from a sender to a target; now and then a direct increment of a target.
    fn item(&self, signer: &Ed25519Signer, turn: usize) -> DataItem {
        let world = &self.world;
        let mut anchor = [0; 32];
        anchor[..8].copy_from_slice(&(turn as u64).to_be_bytes());
        let target = world.targets[turn % world.targets.len()];
        if turn % 7 == 6 {
            return message(signer, target, anchor, &[("Action", "Increment")]);
        }
        let sender = world.senders[self.n % world.senders.len()];
        message(signer, sender, anchor, &[("Action", "Forward"), ("To", &target.to_string())])
    }

    /// Posts the same item to one node after the other until one acknowledges it.
    async fn until_acknowledged(&self, item: &DataItem, first: usize) -> (usize, Value) {
        for door in first.. {
            if let Ok(sealed) = self.world.post(door, item).await {
                return (door, sealed);
            }
            tokio::time::sleep(PACE).await;
        }
        panic!("doors do not end")
    }
}
