#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use weft_storage::arweave::gateway::GatewayConfig;

use super::*;
use crate::compute::EngineConfig;

/// Modules of a node whose gateway takes connections and never answers.
struct Node {
    modules: Modules,
    silent: TcpListener,
    _dir: tempfile::TempDir,
}

impl Node {
    fn new() -> Self {
        let (dir, silent) = (tempfile::tempdir().unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
        let engine = Engine::new(EngineConfig::new(dir.path().join("compiled"))).unwrap();
        let gateway = format!("http://{}", silent.local_addr().unwrap());
        let gateway = Gateway::new(GatewayConfig::new(vec![gateway])).unwrap();
        let blobs = Blobs::open(dir.path().join("blobs")).unwrap();
        Self { modules: Modules::new(engine, gateway, blobs), silent, _dir: dir }
    }

    /// Keeps a module on disk, as if it had been fetched before.
    fn keep(&self, name: &str, wasm: &[u8]) -> Id {
        let id = Id::sha256(name.as_bytes());
        let tags = [("Type", "Module"), ("Module-Format", "wasm32-unknown-unknown")];
        let tags = tags.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        self.modules.keep(&id, &Meta { owner: name.to_owned(), tags, sha256: Id::sha256(wasm) }, wasm).unwrap();
        id
    }
}

const COUNTER: &[u8] = include_bytes!("../../../../../examples/counter-c/counter.wasm");

#[tokio::test]
async fn a_module_that_does_not_come_holds_up_no_other() {
    let node = Node::new();
    let never = Id::sha256(b"never");
    let waiting = tokio::spawn({
        let modules = node.modules.clone();
        async move { modules.load(never).await.map(|_| ()) }
    });
    // Under way for certain: it has reached the gateway.
    let silent = node.silent.try_clone().unwrap();
    let _connection = tokio::task::spawn_blocking(move || silent.accept().unwrap()).await.unwrap();
    let loaded = node.modules.load(node.keep("counter", COUNTER)).await.unwrap();
    assert!(loaded.machine.is_ok());
    assert!(node.modules.table().loading.contains_key(&never), "the other was not under way any more");
    waiting.abort();
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_stop_the_work() {
    let node = Node::new();
    let id = node.keep("counter", COUNTER);
    {
        let mut load = std::pin::pin!(node.modules.load(id));
        assert!(futures::poll!(&mut load).is_pending());
    }
    let deadline = Instant::now() + Duration::from_secs(60);
    while node.modules.cached(&id).is_none() {
        assert!(Instant::now() < deadline, "the module was not loaded");
        tokio::task::yield_now().await;
    }
    assert!(node.modules.table().loading.is_empty());
}

#[tokio::test]
async fn whoever_asks_meanwhile_gets_the_same_module() {
    let node = Node::new();
    let id = node.keep("counter", COUNTER);
    let (left, right) = tokio::join!(node.modules.load(id), node.modules.load(id));
    assert!(Arc::ptr_eq(&left.unwrap(), &right.unwrap()), "it was loaded twice");
    let bad = node.modules.load(node.keep("bad", b"\0asm, but no more")).await.unwrap();
    assert!(bad.machine.as_ref().unwrap_err().contains("cannot run"));
}

#[tokio::test]
async fn what_is_loaded_at_once_is_bounded() {
    let node = Node::new();
    for number in 0..LOADING {
        assert!(node.modules.begin(Id::sha256(&number.to_be_bytes())).unwrap().is_err());
    }
    let error = node.modules.load(Id::sha256(b"one more")).await.err().unwrap().to_string();
    assert!(error.contains("other modules are being loaded"), "{error}");
    assert_eq!(node.modules.table().loading.len(), LOADING);
}
