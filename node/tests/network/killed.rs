//! A node that is killed without a word and started again, as an operating-system process of its own.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use weft_node::network::{Multiaddr, NetworkHandle, NodeKey, RequestError};

use crate::support::*;

/// Set for the process that is to be killed: the addresses it listens on, none for free ports.
const CHILD: &str = "WEFT_TEST_CHILD_LISTEN";
/// Set for the same process: its file of remembered peers.
const PEERS: &str = "WEFT_TEST_CHILD_PEERS";

/// This test binary again, as a node; and where it can be dialled.
fn spawn(listen: &[Multiaddr], peers_file: &Path) -> (Child, Vec<Multiaddr>) {
    let listen: Vec<_> = listen.iter().map(ToString::to_string).collect();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "killed::child", "--ignored", "--nocapture"])
        .env(CHILD, listen.join(" "))
        .env(PEERS, peers_file)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let line = lines.find_map(|line| Some(line.split_once("dial ")?.1.to_owned())).unwrap();
    // Read on, or the child dies of a broken pipe.
    std::thread::spawn(move || lines.count());
    let mut addresses: Vec<Multiaddr> = line.split(' ').map(|address| address.parse().unwrap()).collect();
    // TCP first.
    addresses.sort_by_key(ToString::to_string);
    (child, addresses)
}

#[test]
#[ignore = "the process that the other test kills"]
fn child() {
    let Ok(listen) = std::env::var(CHILD) else { return };
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let mut config = config("killed", 1, &[]);
        config.peers_file = std::env::var_os(PEERS).map(Into::into);
        if !listen.is_empty() {
            config.listen = listen.split(' ').map(|address| address.parse().unwrap()).collect();
        }
        let node = start(config).await;
        let addresses: Vec<_> = node.handle.dial_addresses().iter().map(ToString::to_string).collect();
        println!("dial {}", addresses.join(" "));
        let _running = node.handle.clone();
        crate::serve(node).await.unwrap();
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_node_is_back_in_the_mesh_when_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("peers");
    let start_child = |listen: Vec<Multiaddr>| {
        let file = file.clone();
        async move { tokio::task::spawn_blocking(move || spawn(&listen, &file)).await.unwrap() }
    };
    let (mut child, addresses) = start_child(Vec::new()).await;
    let listen: Vec<_> = addresses.iter().map(without_peer).collect();
    // One over TCP, one over QUIC: their connections die in different ways.
    let first = start(config("killed", 2, &addresses[..1])).await;
    let second = start(config("killed", 3, &addresses[1..])).await;
    let key: NodeKey = child_key();
    full(&first.handle, &second.handle, key).await;
    until("peers are remembered", || std::fs::read_to_string(&file).is_ok_and(|peers| peers.lines().count() >= 4))
        .await;

    for noticed in [false, true] {
        child.kill().unwrap();
        child.wait().unwrap();
        if noticed {
            connected(&first.handle, &[second.handle.key()]).await;
            connected(&second.handle, &[first.handle.key()]).await;
        }
        (child, _) = start_child(listen.clone()).await;
        for node in [&first, &second] {
            within("an answer from the node that is back", async {
                while let Err(error) = node.handle.request(key, item(b"x")).await {
                    assert!(
                        matches!(error, RequestError::NotConnected { .. } | RequestError::Closed { .. }),
                        "{error}"
                    );
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            })
            .await;
        }
        full(&first.handle, &second.handle, key).await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

fn without_peer(address: &Multiaddr) -> Multiaddr {
    let mut address = address.clone();
    address.pop();
    address
}

async fn full(first: &NetworkHandle, second: &NetworkHandle, child: NodeKey) {
    connected(first, &[child, second.key()]).await;
    connected(second, &[child, first.key()]).await;
}

/// The key of the child: seed of all ones.
fn child_key() -> NodeKey {
    let handle = weft_node::network::Network::spawn(config("key", 1, &[]), None).unwrap().0;
    handle.key()
}
