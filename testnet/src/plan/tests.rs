#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::{
    fs,
    sync::atomic::{AtomicU16, Ordering},
};

use super::*;
use crate::FirstPorts;

fn options(dir: &Path, seed: Option<&str>, nodes: Option<usize>) -> TestnetOptions {
    TestnetOptions {
        seed: seed.map(str::to_owned),
        nodes,
        first_ports: own_ports(),
        ..TestnetOptions::new(dir, "/bin/sh")
    }
}

/// Ports that no other test of this file probes at the same time; the same ones for the same test.
fn own_ports() -> FirstPorts {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    thread_local! { static MINE: u16 = NEXT.fetch_add(300, Ordering::Relaxed); }
    // Test runners start a process a test: those must differ as well.
    let process = 23_000 + (std::process::id() % 20) as u16 * 300;
    let gateway = process + MINE.with(|mine| *mine);
    FirstPorts { gateway, nodes: gateway + 100, peers: gateway + 200 }
}

fn fresh(seed: Option<&str>, nodes: usize) -> Plan {
    let dir = tempfile::tempdir().unwrap();
    prepare(&options(dir.path(), seed, Some(nodes))).unwrap().plan
}

fn keys(plan: &Plan) -> Vec<NodeKey> {
    plan.nodes.iter().map(|node| node.key).collect()
}

#[test]
fn the_same_seed_gives_the_same_network_and_another_seed_another() {
    let (one, two) = (fresh(Some("a seed"), 5), fresh(Some("a seed"), 5));
    assert_eq!((one.id, one.address, keys(&one)), (two.id, two.address, keys(&two)));
    let other = fresh(Some("another"), 5);
    assert_ne!(one.id, other.id);
    assert!(keys(&one).iter().all(|key| !keys(&other).contains(key)));
    let smaller = fresh(Some("a seed"), 3);
    assert_eq!(keys(&smaller), keys(&one)[..3]);
    assert_ne!(smaller.id, one.id);
    assert_ne!(fresh(None, 5).id, one.id);
}

#[test]
fn the_files_are_what_a_node_reads() {
    let dir = tempfile::tempdir().unwrap();
    let plan = prepare(&options(dir.path(), Some("files"), Some(3))).unwrap().plan;
    let text = fs::read_to_string(dir.path().join("network.toml")).unwrap();
    let network = Network::parse(&text).unwrap();
    assert_eq!((network.id(), network.address()), (plan.id, plan.address));
    assert_eq!(network.members(Role::Scheduler).count(), 3);
    let peer = peer_id(&plan.nodes[0].key);
    assert!(network.boot().iter().all(|boot| boot.ends_with(&format!("/p2p/{peer}"))));
    assert_eq!(network.boot().len(), 2);
    for (index, node) in plan.nodes.iter().enumerate() {
        let folder = dir.path().join(&node.name);
        let config: toml::Table = fs::read_to_string(folder.join("node.toml")).unwrap().parse().unwrap();
        assert_eq!(config["http"].as_array().unwrap().len(), if index == 0 { 3 } else { 1 });
        assert!(folder.join(config["network"].as_str().unwrap()).is_file());
        let key: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(folder.join(config["key"].as_str().unwrap())).unwrap()).unwrap();
        assert_eq!(key["x"].as_str().unwrap(), node.key.to_string());
        assert!(folder.join(config["wallet"].as_str().unwrap()).is_file());
        assert_eq!(config["gateways"].as_array().unwrap()[0].as_str().unwrap(), plan.gateway);
    }
    assert_eq!(plan.wallets.len(), 10);
    assert!(plan.wallets.iter().all(|wallet| wallet.path.is_file()));
}

#[test]
fn a_later_start_resumes_and_other_options_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let first = prepare(&options(dir.path(), Some("mine"), Some(2))).unwrap();
    assert!(!first.resumed);
    let again = prepare(&options(dir.path(), None, None)).unwrap();
    assert!(again.resumed);
    assert_eq!(serde_json::to_string(&again.plan).unwrap(), serde_json::to_string(&first.plan).unwrap());
    let error = prepare(&options(dir.path(), Some("other"), None)).unwrap_err().to_string();
    assert!(error.contains("seed mine") && error.contains("--reset"), "{error}");
    let error = prepare(&options(dir.path(), None, Some(3))).unwrap_err().to_string();
    assert!(error.contains("number of nodes 2, not 3"), "{error}");
}

#[test]
fn a_network_file_of_another_network_is_not_written_over() {
    let dir = tempfile::tempdir().unwrap();
    prepare(&options(dir.path(), None, Some(2))).unwrap();
    let path = dir.path().join("network.toml");
    let mine = fs::read_to_string(&path).unwrap();
    for other in [mine.replace("bond = 1000", "bond = 1001"), "of an older version".to_owned()] {
        assert_ne!(other, mine);
        fs::write(&path, &other).unwrap();
        let error = prepare(&options(dir.path(), None, None)).unwrap_err().to_string();
        assert!(error.contains("network.toml") && error.contains("--reset"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), other);
    }
}

#[test]
fn a_damaged_plan_is_refused_with_the_way_out() {
    let dir = tempfile::tempdir().unwrap();
    prepare(&options(dir.path(), None, Some(2))).unwrap();
    for text in ["", "{}", r#"{"seed":"x","nodes":9,"ports":{"gateway":[1,2],"nodes":[]}}"#] {
        fs::write(dir.path().join("plan.json"), text).unwrap();
        let error = load(dir.path()).unwrap_err().to_string();
        assert!(error.contains("plan.json") && error.contains("--reset"), "{error}");
    }
}
