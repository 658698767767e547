//! Nodes on loopback and waiting for what should happen.

use std::{collections::BTreeSet, future::Future, time::Duration};

use bytes::Bytes;
use tokio::{sync::mpsc, time::timeout};
use weft_node::network::{Inbound, Multiaddr, Network, NetworkConfig, NetworkError, NetworkHandle, NodeKey, Topic};
use weft_protocol::{Id, wire};

/// No test waits longer for anything.
pub const DEADLINE: Duration = Duration::from_secs(20);

pub struct Node {
    pub handle: NetworkHandle,
    pub inbound: mpsc::Receiver<Inbound>,
}

/// The configuration of node `number` of the network named `network`: QUIC and TCP on free ports.
pub fn config(network: &str, number: u8, boot: &[Multiaddr]) -> NetworkConfig {
    let mut config = NetworkConfig::new([number; 32], Id::sha256(network.as_bytes()));
    config.listen = vec!["/ip4/127.0.0.1/udp/0/quic-v1".parse().unwrap(), "/ip4/127.0.0.1/tcp/0".parse().unwrap()];
    config.boot = boot.to_vec();
    config.dev = true;
    config
}

/// Start, and wait until the listen addresses are known. A port that its last owner has not let go of yet is tried again.
pub async fn start(config: NetworkConfig) -> Node {
    let wanted = config.listen.len();
    let (handle, inbound) = within("ports are free", async {
        loop {
            match Network::spawn(config.clone(), None) {
                Ok(spawned) => return spawned,
                Err(NetworkError::Listen { .. }) => tokio::time::sleep(Duration::from_millis(50)).await,
                Err(error) => panic!("{error}"),
            }
        }
    })
    .await;
    let mut view = handle.view();
    within("listening", view.wait_for(|view| view.listen.len() >= wanted)).await.unwrap();
    Node { handle, inbound }
}

/// A boot node and its addresses.
pub async fn boot(network: &str) -> (Node, Vec<Multiaddr>) {
    let node = start(config(network, 1, &[])).await;
    let mut addresses = node.handle.dial_addresses();
    // TCP first.
    addresses.sort_by_key(ToString::to_string);
    assert!(addresses.len() == 2 && addresses[0].to_string().contains("/tcp/"));
    (node, addresses)
}

pub async fn within<T>(what: &str, event: impl Future<Output = T>) -> T {
    timeout(DEADLINE, event).await.unwrap_or_else(|_| panic!("waited {DEADLINE:?} for: {what}"))
}

/// Wait until `node` is connected to exactly these.
pub async fn connected(node: &NetworkHandle, others: &[NodeKey]) {
    let others: BTreeSet<_> = others.iter().copied().collect();
    let mut connected = node.connected();
    within("connections", connected.wait_for(|keys| **keys == others)).await.unwrap();
}

/// Wait until all nodes are connected with all others.
pub async fn full_mesh(nodes: &[&NetworkHandle]) {
    for node in nodes {
        let others: Vec<_> = nodes.iter().map(|other| other.key()).filter(|key| *key != node.key()).collect();
        connected(node, &others).await;
    }
}

/// Wait until a counter or anything else that cannot be watched says so.
pub async fn until(what: &str, condition: impl Fn() -> bool) {
    within(what, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// The next gossip item; accepted or rejected as told.
pub async fn gossip(node: &mut Node, accept: bool) -> (Topic, NodeKey, Bytes) {
    loop {
        match within("gossip", node.inbound.recv()).await.expect("the network has ended") {
            Inbound::Gossip { topic, from, data, verdict } => {
                if accept {
                    verdict.accept();
                } else {
                    verdict.reject();
                }
                return (topic, from, data);
            }
            Inbound::Request { .. } => {}
        }
    }
}

pub fn item(id: &[u8]) -> wire::Request {
    wire::Request { body: Some(wire::request::Body::Item(wire::ItemQuery { id: id.to_vec().into() })) }
}

pub fn submit(bytes: usize) -> wire::Request {
    let item = Bytes::from(vec![7; bytes]);
    wire::Request { body: Some(wire::request::Body::Submit(wire::Submit { item, proof: None })) }
}

pub fn item_answer(data: impl Into<Bytes>) -> wire::Response {
    wire::Response { body: Some(wire::response::Body::Item(wire::Item { item: data.into() })) }
}

pub fn refusal_code(response: &wire::Response) -> Option<&str> {
    match response.body.as_ref()? {
        wire::response::Body::Refusal(refusal) => Some(&refusal.code),
        _ => None,
    }
}
