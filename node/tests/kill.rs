//! Kills nodes without warning while clients load the network, and counts afterwards: every acknowledged message has one slot,
//! every outgoing message was delivered once, all nodes tell the same.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "kill/audit.rs"]
mod audit;
#[path = "kill/load.rs"]
mod load;
#[path = "support/testnet.rs"]
mod testnet;

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;
use testnet::Testnet;
use weft_protocol::{Id, ans104::Ed25519Signer, keys::NodeKey};

use load::{Load, World};

/// Processes that clients write to; each forwards to two others.
const SENDERS: usize = 3;
const TARGETS: usize = 2;
/// Acknowledgements that must come between two steps of the plan: the network works while a node is down, and after.
const BETWEEN: usize = 12;
/// How long one step may take, on a busy machine.
const STEP: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_when_nodes_are_killed_under_load() {
    let net = tokio::task::spawn_blocking(|| Testnet::start(5)).await.unwrap();
    let world = World::build(&net, SENDERS, TARGETS).await;
    let load = Load::start(&world, 2 * SENDERS);
    load.more(BETWEEN, STEP).await;
    for node in plan(&net, &world).await {
        eprintln!("kill {node} at {} acknowledged", load.acknowledged());
        tokio::task::block_in_place(|| net.kill_node(&node));
        load.more(BETWEEN, STEP).await;
        tokio::task::block_in_place(|| net.start_node(&node));
        load.more(BETWEEN, STEP).await;
    }
    // Two at a time: a scheduler and the messenger next to it.
    for pair in [[1, 2], [4, 5]] {
        let names = pair.map(|n| format!("node-{n}"));
        eprintln!("kill {names:?} at {} acknowledged", load.acknowledged());
        for name in &names {
            tokio::task::block_in_place(|| net.kill_node(name));
        }
        for name in &names {
            tokio::task::block_in_place(|| net.start_node(name));
        }
        load.more(BETWEEN, STEP).await;
    }
    let acks = load.stop(STEP).await;
    eprintln!("{} messages acknowledged", acks.len());
    audit::check(net, world, acks).await;
}

/// Every node once, then whoever orders, cranks and evaluates the busiest process, as it stands when its turn comes.
async fn plan(net: &Testnet, world: &World) -> Vec<String> {
    let view = world.get(0, &format!("/v1/processes/{}", world.senders[0])).await;
    let busy = [&view["scheduler"], &view["messengers"][0], &view["provider"]];
    let named = busy.into_iter().filter_map(|node| node["name"].as_str().map(str::to_owned));
    (1..=net.nodes()).map(|n| format!("node-{n}")).chain(named).collect()
}

/// Key and name of every node.
fn keys(net: &Testnet) -> BTreeMap<NodeKey, String> {
    let nodes = net.plan["nodes"].as_array().unwrap();
    let read = |node: &Value| (text(&node["key"]).parse().unwrap(), text(&node["name"]).to_owned());
    nodes.iter().map(read).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

fn user(n: usize) -> Ed25519Signer {
    Ed25519Signer::from_seed([u8::try_from(100 + n).unwrap(); 32])
}

/// Asks `look` again and again until it has an answer.
async fn eventually<T>(what: &str, within: Duration, mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
    let mut last = String::new();
    let looking = async {
        loop {
            match look().await {
                Ok(found) => return found,
                Err(why) => last = why,
            }
            // Nodes send their clients no events; the deadline is around it.
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let found = tokio::time::timeout(within, looking).await;
    found.unwrap_or_else(|_| panic!("not within {within:?}: {what}: {last}"))
}

/// A message for a counter.
fn message(
    signer: &Ed25519Signer,
    process: Id,
    anchor: [u8; 32],
    tags: &[(&str, &str)],
) -> weft_protocol::ans104::DataItem {
    let mut builder = weft_protocol::ans104::ItemBuilder::new()
        .target(process)
        .anchor(anchor)
        .tag("Data-Protocol", "ao")
        .tag("Variant", "ao.TN.1")
        .tag("Type", "Message");
    for (name, value) in tags {
        builder = builder.tag(*name, *value);
    }
    builder.data(b"1".to_vec()).sign(signer).unwrap()
}
