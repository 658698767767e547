//! Five nodes and an Arweave devnet in one program: spawn, message, result, crank between processes, dry run, from any node.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::{fs, net::TcpListener, path::Path, time::Duration};

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use weft_node::config::NodeConfig;
use weft_protocol::{
    Id, Jwk,
    ans104::{DataItem, Ed25519Signer, ItemBuilder},
    network::Network,
};
use weft_storage::arweave::devnet::{Devnet, DevnetConfig};

const COUNTER: &[u8] = include_bytes!("../../examples/counter-c/counter.wasm");

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

struct Net {
    _folder: tempfile::TempDir,
    network: Network,
    doors: Vec<String>,
    gateway: String,
    client: reqwest::Client,
    stop: CancellationToken,
    nodes: Vec<tokio::task::JoinHandle<()>>,
    _devnet: Devnet,
}

impl Net {
    async fn start(count: u8) -> Self {
        let _ = tracing_subscriber::fmt()
            .with_env_filter(std::env::var("RUST_LOG").unwrap_or_else(|_| "warn".into()))
            .with_test_writer()
            .try_init();
        let folder = tempfile::tempdir().unwrap();
        let devnet = Devnet::start(DevnetConfig {
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            block_interval: Some(Duration::from_millis(500)),
            ..DevnetConfig::default()
        })
        .await
        .unwrap();
        let gateway = devnet.urls()[0].clone();
        let seeds: Vec<[u8; 32]> = (1..=count).map(|i| [i; 32]).collect();
        let (p2p, http): (Vec<u16>, Vec<u16>) = seeds.iter().map(|_| (free_port(), free_port())).unzip();
        let peer = weft_node::network::keys::peer_id(&Ed25519Signer::from_seed(seeds[0]).key()).unwrap();
        let mut toml =
            format!("name = \"test\"\nboot = [\"/ip4/127.0.0.1/tcp/{}/p2p/{peer}\"]\n[parameters]\n", p2p[0]);
        for (i, seed) in seeds.iter().enumerate() {
            let key = Ed25519Signer::from_seed(*seed).key();
            toml += &format!(
                "[[registry]]\nname = \"n{}\"\nkey = \"{key}\"\nbond = 1000\nroles = [\"scheduler\", \"compute\", \"messenger\", \"gateway\"]\n",
                i + 1
            );
        }
        let network_file = folder.path().join("network.toml");
        fs::write(&network_file, &toml).unwrap();
        let stop = CancellationToken::new();
        let mut nodes = Vec::new();
        for (i, seed) in seeds.iter().enumerate() {
            let config = config(folder.path(), i, seed, p2p[i], http[i], &gateway);
            let stop = stop.clone();
            nodes.push(tokio::spawn(async move { weft_node::node::run(config, stop).await.unwrap() }));
        }
        let doors = http.iter().map(|port| format!("http://127.0.0.1:{port}")).collect();
        let net = Self {
            _folder: folder,
            network: Network::parse(&toml).unwrap(),
            doors,
            gateway,
            client: reqwest::Client::new(),
            stop,
            nodes,
            _devnet: devnet,
        };
        net.ready().await;
        net
    }

    async fn ready(&self) {
        for door in &self.doors {
            let ready = async {
                loop {
                    let status = self.client.get(format!("{door}/v1/status")).send().await;
                    if let Ok(answer) = status {
                        let status: Value = answer.json().await.unwrap();
                        if status["mesh"]["peers"].as_array().unwrap().len() + 1 == self.doors.len() {
                            return;
                        }
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(30), ready).await.expect("the mesh forms");
        }
    }

    async fn post(&self, door: usize, item: &DataItem) -> Value {
        let url = format!("{}/v1/items", self.doors[door]);
        let answer = self.client.post(url).body(item.raw().to_vec()).send().await.unwrap();
        let (status, body) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{status}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    async fn result(&self, door: usize, process: &Id, message: &Id) -> Value {
        let url = format!("{}/result/{message}?process-id={process}", self.doors[door]);
        let answer = self.client.get(url).send().await.unwrap();
        let (status, body) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{status}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    async fn publish(&self, signer: &Ed25519Signer) -> Id {
        let module = ItemBuilder::new()
            .tag("Data-Protocol", "ao")
            .tag("Variant", "ao.TN.1")
            .tag("Type", "Module")
            .tag("Module-Format", "wasm32-unknown-unknown")
            .tag("Input-Encoding", "JSON-1")
            .tag("Output-Encoding", "JSON-1")
            .data(COUNTER.to_vec())
            .sign(signer)
            .unwrap();
        let url = format!("{}/tx", self.gateway);
        let answer = self
            .client
            .post(url)
            .header("content-type", "application/octet-stream")
            .body(module.raw().to_vec())
            .send()
            .await
            .unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
        module.id()
    }

    fn spawn_item(&self, signer: &Ed25519Signer, module: Id, name: &str) -> DataItem {
        ItemBuilder::new()
            .tag("Data-Protocol", "ao")
            .tag("Variant", "ao.TN.1")
            .tag("Type", "Process")
            .tag("Module", module.to_string())
            .tag("Scheduler", self.network.address().to_string())
            .tag("Name", name)
            .data(b" ".to_vec())
            .sign(signer)
            .unwrap()
    }

    async fn stop(self) {
        self.stop.cancel();
        for node in self.nodes {
            node.await.unwrap();
        }
    }
}

fn config(folder: &Path, i: usize, seed: &[u8; 32], p2p: u16, http: u16, gateway: &str) -> NodeConfig {
    let key = folder.join(format!("key-{i}.json"));
    fs::write(&key, serde_json::to_string(&Jwk::ed25519(*seed)).unwrap()).unwrap();
    NodeConfig {
        name: format!("n{}", i + 1),
        network: folder.join("network.toml"),
        key,
        data: folder.join(format!("data-{i}")),
        roles: ["scheduler", "compute", "messenger", "gateway"].map(str::to_owned).to_vec(),
        listen: vec![format!("/ip4/127.0.0.1/tcp/{p2p}"), format!("/ip4/127.0.0.1/udp/{p2p}/quic-v1")],
        http: vec![format!("127.0.0.1:{http}").parse().unwrap()],
        gateways: vec![gateway.to_owned()],
        wallet: None,
        anchor_every_seconds: 1,
        offer: weft_node::config::OfferConfig::default(),
        compute: weft_node::config::ComputeConfig::default(),
    }
}

fn message(signer: &Ed25519Signer, process: Id, tags: &[(&str, &str)], n: u8) -> DataItem {
    let mut builder = ItemBuilder::new()
        .target(process)
        .anchor([n; 32])
        .tag("Data-Protocol", "ao")
        .tag("Variant", "ao.TN.1")
        .tag("Type", "Message");
    for (name, value) in tags {
        builder = builder.tag(*name, *value);
    }
    builder.data(b" ".to_vec()).sign(signer).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_live_on_five_nodes() {
    let net = Net::start(5).await;
    let user = Ed25519Signer::from_seed([99; 32]);
    let module = net.publish(&user).await;
    let (a, b) = (net.spawn_item(&user, module, "a"), net.spawn_item(&user, module, "b"));
    let spawned = net.post(0, &a).await;
    assert_eq!((spawned["slot"].as_u64(), spawned["level"].as_str()), (Some(0), Some("sealed")));
    net.post(1, &b).await;

    let first = message(&user, a.id(), &[("Action", "Increment")], 1);
    let sealed = net.post(2, &first).await;
    assert_eq!(sealed["slot"], json!(1));
    assert_eq!(net.post(3, &first).await["slot"], json!(1), "the same item has the slot it has");
    let result = net.result(4, &a.id(), &first.id()).await;
    assert!(result.get("Error").is_none(), "{result}");

    // From process to process: a forwards an Increment to b, as the network's own word.
    let to = b.id().to_string();
    let forward = message(&user, a.id(), &[("Action", "Forward"), ("To", &to), ("Forward-Action", "Increment")], 2);
    net.post(1, &forward).await;
    let result = net.result(0, &a.id(), &forward.id()).await;
    assert_eq!(result["Messages"].as_array().unwrap().len(), 1, "{result}");
    let arrived = async {
        loop {
            let url = format!("{}/v1/processes/{}/results", net.doors[3], b.id());
            let page: Value = net.client.get(url).send().await.unwrap().json().await.unwrap();
            if page["results"].as_array().is_some_and(|r| r.len() >= 2) {
                return page;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let page = tokio::time::timeout(Duration::from_secs(30), arrived).await.expect("the message arrives");
    assert_eq!(page["results"].as_array().unwrap().len(), 2, "{page}");
    let url = format!("{}/{}?process-id={}", net.doors[0], b.id(), b.id());
    let log: Value = net.client.get(url).send().await.unwrap().json().await.unwrap();
    let tags = log["edges"][1]["node"]["message"]["tags"].to_string();
    assert!(tags.contains(&a.id().to_string()) && tags.contains("From-Process"), "{tags}");

    // Taken before it is sealed: the receipt grows from there.
    let early = message(&user, a.id(), &[("Action", "Ping")], 3);
    let url = format!("{}/v1/items?wait=accepted", net.doors[4]);
    let taken = net.client.post(url).body(early.raw().to_vec()).send().await.unwrap();
    assert_eq!(taken.status().as_u16(), 202);
    let taken: Value = taken.json().await.unwrap();
    assert_eq!((taken["level"].as_str(), taken["id"].as_str()), (Some("accepted"), Some(&*early.id().to_string())));
    let url = format!("{}/v1/processes/{}/messages/{}", net.doors[4], a.id(), early.id());
    let grown = async {
        loop {
            let receipt: Value = net.client.get(&url).send().await.unwrap().json().await.unwrap();
            match receipt["level"].as_str() {
                Some("accepted") => assert_eq!(receipt["slot"], Value::Null),
                Some("attested") => return receipt,
                level => assert_eq!(level, Some("sealed"), "{receipt}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let receipt = tokio::time::timeout(Duration::from_secs(30), grown).await.expect("it is sealed and attested");
    assert!(receipt["slot"].is_u64(), "{receipt}");

    let url = format!("{}/dry-run?process-id={}", net.doors[2], a.id());
    let ask = json!({"Tags": [{"name": "Action", "value": "Ping"}], "Owner": "me"});
    let dry: Value = net.client.post(url).json(&ask).send().await.unwrap().json().await.unwrap();
    assert!(dry.get("Error").is_none() && dry.get("Output").is_some(), "{dry}");

    let url = format!("{}/v1/processes/{}", net.doors[4], a.id());
    let shown: Value = net.client.get(url).send().await.unwrap().json().await.unwrap();
    assert!(shown["next_slot"].as_u64() >= Some(3), "spawn, Increment, Forward at least: {shown}");
    assert_ne!(shown["scheduler"], shown["messengers"][0], "{shown}");
    net.stop().await;
}
