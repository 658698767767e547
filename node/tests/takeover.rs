//! A provider dies with its disk; another one takes its process over at a checkpoint from Arweave and evaluates only what came
//! after it. Checkpoints that lie are refused. Outcomes from before the checkpoint are made up for when they are asked for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::{fs, net::TcpListener, path::PathBuf, time::Duration};

use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use weft_node::config::{CheckpointConfig, ComputeConfig, NodeConfig, OfferConfig};
use weft_protocol::{
    Id, Jwk,
    ans104::{DataItem, Ed25519Signer, ItemBuilder},
    attestation::Attestation,
    checkpoint::{self, Checkpoint},
    network::Network,
};
use weft_storage::arweave::{
    devnet::{Devnet, DevnetConfig},
    gateway::{Gateway, GatewayConfig},
};

const COUNTER: &[u8] = include_bytes!("../../examples/counter-c/counter.wasm");
const DEADLINE: Duration = Duration::from_secs(60);
/// Orders and pays; evaluates, cheap; evaluates, dear.
const ROLES: [&[&str]; 3] = [&["scheduler", "messenger", "gateway"], &["compute", "gateway"], &["compute", "gateway"]];
const WINDOW: u64 = 8;
/// A checkpoint is kept, and here uploaded, every eight windows.
const EVERY: u64 = 64;

struct Net {
    folder: tempfile::TempDir,
    network: Network,
    configs: Vec<NodeConfig>,
    running: Vec<Option<(CancellationToken, JoinHandle<()>)>>,
    gateway: String,
    client: reqwest::Client,
    _devnet: Devnet,
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn wallet() -> Jwk {
    let keys = concat!(env!("CARGO_MANIFEST_DIR"), "/../protocol/tests/vectors/arweave/keys.json");
    let keys: Value = serde_json::from_slice(&fs::read(keys).unwrap()).unwrap();
    serde_json::from_value(keys["rsa"]["a"].clone()).unwrap()
}

fn signer(node: usize) -> Ed25519Signer {
    Ed25519Signer::from_seed([node as u8 + 1; 32])
}

/// Waits for `found` to give something.
async fn until<T, F: Future<Output = Option<T>>>(what: &str, found: impl Fn() -> F) -> T {
    let waiting = async {
        loop {
            match found().await {
                Some(found) => return found,
                None => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    };
    tokio::time::timeout(DEADLINE, waiting).await.unwrap_or_else(|_| panic!("{what} did not happen"))
}

impl Net {
    async fn start() -> Self {
        let _ = tracing_subscriber::fmt()
            .with_env_filter(std::env::var("RUST_LOG").unwrap_or_else(|_| "warn".into()))
            .with_test_writer()
            .try_init();
        let folder = tempfile::tempdir().unwrap();
        let devnet = Devnet::start(DevnetConfig {
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            block_interval: Some(Duration::from_millis(500)),
            mint: vec![(wallet().address(), 1_000_000_000_000_000)],
            ..DevnetConfig::default()
        })
        .await
        .unwrap();
        let gateway = devnet.urls()[0].clone();
        let p2p: Vec<u16> = ROLES.iter().map(|_| free_port()).collect();
        let peer = weft_node::network::keys::peer_id(&signer(0).key()).unwrap();
        let boot = format!("/ip4/127.0.0.1/tcp/{}/p2p/{peer}", p2p[0]);
        let mut toml = format!("name = \"test\"\nboot = [\"{boot}\"]\n[parameters]\nwindow = {WINDOW}\n");
        for (node, roles) in ROLES.iter().enumerate() {
            let key = signer(node).key();
            toml +=
                &format!("[[registry]]\nname = \"n{node}\"\nkey = \"{key}\"\nbond = 1000\nroles = {}\n", json!(roles));
        }
        fs::write(folder.path().join("network.toml"), &toml).unwrap();
        fs::write(folder.path().join("wallet.json"), serde_json::to_string(&wallet()).unwrap()).unwrap();
        let configs = (0..ROLES.len()).map(|node| config(folder.path().to_owned(), node, p2p[node], &gateway));
        let mut net = Self {
            network: Network::parse(&toml).unwrap(),
            configs: configs.collect(),
            running: ROLES.iter().map(|_| None).collect(),
            folder,
            gateway,
            client: reqwest::Client::new(),
            _devnet: devnet,
        };
        for node in 0..ROLES.len() {
            net.run(node);
        }
        net.meets(0, 2).await;
        net
    }

    fn run(&mut self, node: usize) {
        let (config, stop) = (self.configs[node].clone(), CancellationToken::new());
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            // What the node before it had open (ports, the lock of its folder) is let go of a moment after its end.
            while let Err(error) = weft_node::node::run(config.clone(), stopped.clone()).await {
                tracing::warn!(%error, "node does not start yet");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        });
        self.running[node] = Some((stop, task));
    }

    async fn kill(&mut self, node: usize) {
        let (stop, task) = self.running[node].take().unwrap();
        stop.cancel();
        task.await.unwrap();
    }

    fn data(&self, node: usize) -> PathBuf {
        self.folder.path().join(format!("data-{node}"))
    }

    fn url(&self, node: usize, path: &str) -> String {
        format!("http://{}{path}", self.configs[node].http[0])
    }

    /// Waits until a node sees `peers` others.
    async fn meets(&self, node: usize, peers: usize) {
        let seen = || async {
            let status = self.get(node, "/v1/status").await?;
            (status["mesh"]["peers"].as_array()?.len() >= peers).then_some(())
        };
        until("a mesh", seen).await;
    }

    async fn get(&self, node: usize, path: &str) -> Option<Value> {
        let answer = self.client.get(self.url(node, path)).send().await.ok()?;
        if answer.status().is_success() { answer.json().await.ok() } else { None }
    }

    async fn post(&self, item: &DataItem) -> u64 {
        let url = self.url(0, "/v1/items");
        let answer = self.client.post(url).body(item.raw().to_vec()).send().await.unwrap();
        let (status, body) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{status}: {body}");
        serde_json::from_str::<Value>(&body).unwrap()["slot"].as_u64().unwrap()
    }

    /// The result of a message, waiting for it.
    async fn result(&self, process: &Id, message: &Id) -> Value {
        let path = format!("/result/{message}?process-id={process}");
        until("a result", || self.get(0, &path)).await
    }

    async fn publish(&self, item: &DataItem) {
        let body = item.raw().to_vec();
        let request =
            self.client.post(format!("{}/tx", self.gateway)).header("content-type", "application/octet-stream");
        let answer = request.body(body).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }

    /// The newest checkpoint of a process on Arweave that stands before `next`.
    async fn checkpoint(&self, process: &Id, next: u64) -> DataItem {
        let gateway = Gateway::new(GatewayConfig::new(vec![self.gateway.clone()])).unwrap();
        let query = "query($t:[TagFilter!]!){transactions(tags:$t,first:1){edges{node{id}}}}";
        let tag = |name: &str, value: String| json!({ "name": name, "values": [value] });
        let tags = json!([
            tag("Type", "Checkpoint".into()),
            tag("Process", process.to_string()),
            tag("Slot", (next - 1).to_string())
        ]);
        let found = || async {
            let answer = gateway.graphql(query, json!({ "t": tags })).await.ok()?;
            let id = answer.pointer("/transactions/edges/0/node/id")?.as_str()?.parse().ok()?;
            gateway.raw_item(&id).await.ok()
        };
        until("a checkpoint on Arweave", found).await
    }

    /// What `weft process replay --json` prints.
    async fn replay(&self, process: &Id, options: &[&str]) -> Value {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_weft"));
        command.args(["process", "replay", &process.to_string(), "--json", "--node", &self.url(0, "")]).args(options);
        command.arg("--cache").arg(self.folder.path().join("cache"));
        let done = tokio::time::timeout(DEADLINE, command.output()).await.expect("it ends").unwrap();
        let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert!(done.status.success(), "{out}{err}");
        serde_json::from_str(&out).unwrap()
    }

    /// What a node says it did, of one kind.
    async fn activity(&self, node: usize, kind: &str) -> Vec<(u64, String)> {
        let all = self.get(node, "/v1/activity?limit=500").await.unwrap();
        let of_kind = all["activity"].as_array().unwrap().iter().filter(|line| line["kind"] == kind);
        of_kind.map(|line| (line["slot"].as_u64().unwrap_or(0), line["text"].as_str().unwrap().to_owned())).collect()
    }
}

fn config(folder: PathBuf, node: usize, p2p: u16, gateway: &str) -> NodeConfig {
    let key = folder.join(format!("key-{node}.json"));
    fs::write(&key, serde_json::to_string(&Jwk::ed25519([node as u8 + 1; 32])).unwrap()).unwrap();
    let checkpoints =
        CheckpointConfig { every_windows: EVERY / WINDOW, every_seconds: 0, ..CheckpointConfig::default() };
    NodeConfig {
        name: format!("n{node}"),
        network: folder.join("network.toml"),
        key,
        data: folder.join(format!("data-{node}")),
        roles: ROLES[node].iter().map(|role| (*role).to_owned()).collect(),
        listen: vec![format!("/ip4/127.0.0.1/tcp/{p2p}")],
        http: vec![format!("127.0.0.1:{}", free_port()).parse().unwrap()],
        gateways: vec![gateway.to_owned()],
        // Who orders is started twice in this program, and the anchor's loop lives as long as the program does.
        wallet: (node > 0).then(|| folder.join("wallet.json")),
        anchor_every_seconds: 1,
        offer: OfferConfig { price_per_gfuel: 100 * node as u64, ..OfferConfig::default() },
        compute: ComputeConfig { checkpoints, ..ComputeConfig::default() },
    }
}

fn item(tags: &[(&str, &str)], target: Option<Id>, data: &[u8], number: u32) -> DataItem {
    let mut anchor = [0; 32];
    anchor[..4].copy_from_slice(&number.to_be_bytes());
    let mut builder = ItemBuilder::new().anchor(anchor).tag("Data-Protocol", "ao").tag("Variant", "ao.TN.1");
    if let Some(target) = target {
        builder = builder.target(target);
    }
    for (name, value) in tags {
        builder = builder.tag(*name, *value);
    }
    builder.data(data.to_vec()).sign(&Ed25519Signer::from_seed([99; 32])).unwrap()
}

fn increment(process: Id, number: u32) -> DataItem {
    item(&[("Type", "Message"), ("Action", "Increment")], Some(process), b" ", number)
}

/// Checkpoints of the same slot by a registered provider that are not what they say.
fn lies(truth: &DataItem) -> [DataItem; 3] {
    let cheap = signer(1);
    let read = Checkpoint::read(truth.tags(), &truth.data()).unwrap();
    let attested = read.attestations[0].clone();
    // Right tags, a right attestation; the state is a byte off.
    let mut damaged = read.state.to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    let damaged = checkpoint::make(std::slice::from_ref(&attested), &damaged, &cheap).unwrap();
    // A state of another root than was attested.
    let other_root = |root: Id| {
        let mut state = read.state.to_vec();
        state[40..72].copy_from_slice(root.as_bytes());
        state
    };
    let other = checkpoint::make(std::slice::from_ref(&attested), &other_root(Id::sha256(b"lie")), &cheap).unwrap();
    // A root that the provider attests now, and did not when it had the lease.
    let mut forged = Attestation::read(&attested).unwrap();
    forged.verdict.state_root = Some(Id::sha256(b"lie"));
    let forged = forged.sign(&cheap).unwrap();
    let forged = checkpoint::make(&[forged], &other_root(Id::sha256(b"lie")), &cheap).unwrap();
    [damaged, other, forged]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_providers_process_goes_on_from_its_checkpoint() {
    let mut net = Net::start().await;
    let module = item(
        &[
            ("Type", "Module"),
            ("Module-Format", "wasm32-unknown-unknown"),
            ("Input-Encoding", "JSON-1"),
            ("Output-Encoding", "JSON-1"),
        ],
        None,
        COUNTER,
        0,
    );
    net.publish(&module).await;
    let (module, scheduler) = (module.id().to_string(), net.network.address().to_string());
    let spawn = item(&[("Type", "Process"), ("Module", &module), ("Scheduler", &scheduler)], None, b" ", 0);
    let process = spawn.id();
    assert_eq!(net.post(&spawn).await, 0);
    let messages: Vec<_> = (1..=150).map(|number| increment(process, number)).collect();
    for message in &messages {
        net.post(message).await;
    }
    let early = net.result(&process, &messages[4].id()).await;
    net.result(&process, &messages[149].id()).await;
    assert!(!net.activity(1, "attested").await.is_empty(), "the cheap one evaluates");

    let truth = net.checkpoint(&process, 2 * EVERY).await;
    for lie in lies(&truth) {
        net.publish(&lie).await;
    }
    // By nobody in the registry: not even looked at.
    let read = Checkpoint::read(truth.tags(), &truth.data()).unwrap();
    let stranger = checkpoint::make(&read.attestations, &read.state, &Ed25519Signer::from_seed([77; 32])).unwrap();
    net.publish(&stranger).await;
    net.kill(1).await;
    fs::remove_dir_all(net.data(1)).unwrap();

    let more: Vec<_> = (151..=155).map(|number| increment(process, number)).collect();
    for message in &more {
        net.post(message).await;
    }
    let last = net.result(&process, &more[4].id()).await;
    assert_eq!(last["Output"]["data"], json!("155"), "{last}");

    let adopted = net.activity(2, "adopted").await;
    assert_eq!(adopted.len(), 1, "{adopted:?}");
    assert_eq!(adopted[0].0, 2 * EVERY - 1, "{adopted:?}");
    assert!(adopted[0].1.contains(&truth.id().to_string()), "{adopted:?}");
    let refused = net.activity(2, "refused").await;
    for why in ["cannot be decompressed", "another root than was attested", "says something else"] {
        assert!(refused.iter().any(|(_, text)| text.contains(why)), "{why}: {refused:?}");
    }
    assert_eq!(refused.len(), 3, "{refused:?}");
    // Slots 128 to 155, and not the 128 before.
    let count = |text: &str| text.split(' ').next().unwrap().parse::<u64>().unwrap();
    let evaluated: u64 = net.activity(2, "attested").await.iter().map(|(_, text)| count(text)).sum();
    assert_eq!(evaluated, 156 - 2 * EVERY);

    // Anyone can check all that, from the log alone or from the checkpoint on.
    let whole = net.replay(&process, &[]).await;
    assert_eq!((&whole["equal"], &whole["from_slot"], &whole["to_slot"]), (&json!(true), &json!(0), &json!(155)));
    assert_eq!(whole["state_roots"], json!(156 / WINDOW));
    let part = net.replay(&process, &["--from-checkpoint", "--to", "150"]).await;
    assert_eq!((&part["equal"], &part["from_slot"], &part["to_slot"]), (&json!(true), &json!(2 * EVERY), &json!(150)));

    // The messenger loses what it knew: it asks for slot 0 on, which this provider has never evaluated.
    net.kill(0).await;
    fs::remove_dir_all(net.data(0).join("outcomes")).unwrap();
    net.run(0);
    net.meets(0, 1).await;
    assert_eq!(net.result(&process, &messages[4].id()).await, early);
    assert_eq!(net.result(&process, &more[4].id()).await, last);
    assert_eq!(net.activity(2, "refused").await.len(), 3);
    let page = net.get(0, &format!("/v1/processes/{process}/results?limit=1000")).await.unwrap();
    assert_eq!(page["results"].as_array().unwrap().len(), 156);
    net.kill(0).await;
    net.kill(2).await;
}
