//! The anchor loses nothing and puts nothing on Arweave twice, whatever the gateway does and wherever it is stopped.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{Method, StatusCode, Uri},
};
use serde_json::{Value, json};
use weft_node::anchor::{self, AnchorConfig, AnchorHandle};
use weft_protocol::{
    Id, Jwk,
    anchor::{AnchorRules, Stage},
    ans104::{DataItem, Ed25519Signer, ItemBuilder, RsaSigner},
};
use weft_storage::arweave::{
    devnet::{Devnet, DevnetConfig},
    gateway::{Gateway, GatewayConfig},
};

const DEADLINE: Duration = Duration::from_secs(30);

fn jwk() -> Jwk {
    let keys = concat!(env!("CARGO_MANIFEST_DIR"), "/../protocol/tests/vectors/arweave/keys.json");
    let keys: Value = serde_json::from_slice(&std::fs::read(keys).unwrap()).unwrap();
    serde_json::from_value(keys["rsa"]["a"].clone()).unwrap()
}

async fn devnet() -> Devnet {
    let listen: Vec<SocketAddr> = vec!["127.0.0.1:0".parse().unwrap()];
    let mint = vec![(jwk().address(), 1_000_000_000_000_000)];
    Devnet::start(DevnetConfig { listen, mint, ..DevnetConfig::default() }).await.unwrap()
}

fn gateway(urls: Vec<String>) -> Gateway {
    Gateway::new(GatewayConfig::new(urls)).unwrap()
}

fn start(folder: &Path, url: &str) -> AnchorHandle {
    let wallet = Arc::new(RsaSigner::from_jwk(&jwk()).unwrap());
    let mut config = AnchorConfig::new(folder.to_owned(), gateway(vec![url.to_owned()]), wallet);
    config.every = Duration::from_millis(50);
    config.rules = AnchorRules { margin: 2, confirmations: 3, ..AnchorRules::default() };
    anchor::start(config).unwrap()
}

fn items(from: u32, count: u32) -> Vec<DataItem> {
    let signer = Ed25519Signer::from_seed([1; 32]);
    let item =
        |number: u32| ItemBuilder::new().tag("Number", number.to_string()).data("payload").sign(&signer).unwrap();
    (from..from + count).map(item).collect()
}

/// Lets rounds of the anchor pass until `done`.
async fn until(anchor: &mut AnchorHandle, what: &str, done: impl Fn(&AnchorHandle) -> bool) {
    let waiting = async {
        while !done(anchor) {
            anchor.changed().await;
        }
    };
    if tokio::time::timeout(DEADLINE, waiting).await.is_err() {
        panic!("{what} did not happen: {:?}", anchor.summary());
    }
}

fn stage(anchor: &AnchorHandle, id: &Id) -> Stage {
    anchor.state(id).unwrap().unwrap().stage
}

fn is_settled(anchor: &AnchorHandle, items: &[DataItem]) -> bool {
    items.iter().all(|item| matches!(stage(anchor, &item.id()), Stage::Settled { .. }))
}

async fn call(devnet: &Devnet, path: &str) {
    let answer = reqwest::get(format!("{}{path}", devnet.urls()[0])).await.unwrap();
    assert!(answer.status().is_success(), "{path}: {}", answer.status());
}

/// Mines until everything is settled.
async fn settle(devnet: &Devnet, anchor: &mut AnchorHandle, items: &[DataItem]) {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while !is_settled(anchor, items) {
        assert!(tokio::time::Instant::now() < deadline, "not settled: {:?}", anchor.summary());
        if anchor.summary().posted > 0 {
            call(devnet, "/mine").await;
        }
        anchor.changed().await;
    }
}

/// How many bundle transactions of ours are on the chain, and that every item is there and verifies.
async fn bundles_on_chain(devnet: &Devnet, items: &[DataItem]) -> usize {
    let gateway = gateway(devnet.urls());
    for item in items {
        assert_eq!(gateway.raw_item(&item.id()).await.unwrap().raw(), item.raw());
    }
    let query = "query($o:[String!]){transactions(owners:$o,first:100,tags:[{name:\"App-Name\",values:[\"Weft\"]}]){edges{node{id block{height}}}}}";
    let found = gateway.graphql(query, json!({ "o": [jwk().address()] })).await.unwrap();
    let rows = found["transactions"]["edges"].as_array().unwrap().clone();
    assert!(rows.iter().all(|row| !row["node"]["block"].is_null()), "{rows:?}");
    rows.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn items_are_anchored_in_one_bundle() {
    let (devnet, folder) = (devnet().await, tempfile::tempdir().unwrap());
    let mut anchor = start(folder.path(), &devnet.urls()[0]);
    let all = items(0, 40);
    anchor.enqueue(all.clone()).await.unwrap();
    anchor.enqueue(all.clone()).await.unwrap();
    settle(&devnet, &mut anchor, &all).await;
    until(&mut anchor, "all is counted", |anchor| anchor.summary().confirmed == 40).await;
    let summary = anchor.summary();
    assert_eq!((summary.waiting, summary.posted, summary.trouble.clone()), (0, 0, None));
    assert_eq!(bundles_on_chain(&devnet, &all).await, 1);
    assert_eq!(anchor.state(&Id::sha256(b"unknown")).unwrap(), None);
    anchor.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_bundle_travels_as_chunks() {
    let (devnet, folder) = (devnet().await, tempfile::tempdir().unwrap());
    let mut anchor = start(folder.path(), &devnet.urls()[0]);
    let large = ItemBuilder::new().data(vec![7; 600 << 10]).sign(&Ed25519Signer::from_seed([2; 32])).unwrap();
    anchor.enqueue(vec![large.clone()]).await.unwrap();
    settle(&devnet, &mut anchor, std::slice::from_ref(&large)).await;
    assert_eq!(bundles_on_chain(&devnet, &[large]).await, 1);
    anchor.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_bundle_is_posted_again() {
    let (devnet, folder) = (devnet().await, tempfile::tempdir().unwrap());
    let mut anchor = start(folder.path(), &devnet.urls()[0]);
    let all = items(0, 3);
    anchor.enqueue(all.clone()).await.unwrap();
    until(&mut anchor, "posted", |anchor| stage(anchor, &all[0].id()) == Stage::Posted).await;
    let bundle = anchor.state(&all[0].id()).unwrap().unwrap().bundle.unwrap();
    call(&devnet, &format!("/devnet/drop/{bundle}")).await;
    until(&mut anchor, "posted again", |anchor| anchor.summary().reposted >= 1).await;
    settle(&devnet, &mut anchor, &all).await;
    assert_eq!(anchor.state(&all[0].id()).unwrap().unwrap().bundle, Some(bundle), "the same transaction");
    assert_eq!(bundles_on_chain(&devnet, &all).await, 1);
    anchor.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_whose_anchor_died_is_built_again() {
    let (devnet, folder) = (devnet().await, tempfile::tempdir().unwrap());
    let all = items(0, 3);
    let mut anchor = start(folder.path(), &devnet.urls()[0]);
    anchor.enqueue(all.clone()).await.unwrap();
    until(&mut anchor, "posted", |anchor| stage(anchor, &all[0].id()) == Stage::Posted).await;
    let bundle = anchor.state(&all[0].id()).unwrap().unwrap().bundle.unwrap();
    anchor.shutdown().await;
    call(&devnet, &format!("/devnet/drop/{bundle}")).await;
    call(&devnet, "/mine/60").await;
    let mut anchor = start(folder.path(), &devnet.urls()[0]);
    until(&mut anchor, "built again", |anchor| anchor.summary().rebuilt == 1).await;
    assert_ne!(anchor.state(&all[0].id()).unwrap().unwrap().bundle, Some(bundle));
    settle(&devnet, &mut anchor, &all).await;
    assert_eq!(bundles_on_chain(&devnet, &all).await, 1);
    anchor.shutdown().await;
}

/// Between the anchor and the devnet: can refuse to pass on what is posted, or lose the answer.
struct Proxy {
    devnet: String,
    deaf: AtomicBool,
    mute: AtomicBool,
}

async fn pass(State(proxy): State<Arc<Proxy>>, method: Method, uri: Uri, body: Bytes) -> (StatusCode, Bytes) {
    let posts = method == Method::POST && uri.path() != "/graphql";
    if posts && proxy.deaf.load(Ordering::SeqCst) {
        return (StatusCode::SERVICE_UNAVAILABLE, Bytes::from_static(b"deaf"));
    }
    let request = reqwest::Client::new().request(method, format!("{}{uri}", proxy.devnet));
    let answer = request.header("content-type", "application/json").body(body).send().await.unwrap();
    let status = answer.status();
    let body = answer.bytes().await.unwrap();
    if posts && proxy.mute.load(Ordering::SeqCst) {
        return (StatusCode::BAD_GATEWAY, Bytes::from_static(b"mute"));
    }
    (status, body)
}

async fn proxy(devnet: &Devnet) -> (Arc<Proxy>, String) {
    let proxy = Proxy { devnet: devnet.urls()[0].clone(), deaf: AtomicBool::new(false), mute: AtomicBool::new(false) };
    let proxy = Arc::new(proxy);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(pass).with_state(proxy.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (proxy, url)
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_between_any_two_steps_it_goes_on_and_makes_one_bundle() {
    let (devnet, folder) = (devnet().await, tempfile::tempdir().unwrap());
    let (proxy, url) = proxy(&devnet).await;
    let all = items(0, 5);
    // Durable, and no gateway at all.
    let mut anchor = start(folder.path(), "http://127.0.0.1:9");
    anchor.enqueue(all.clone()).await.unwrap();
    until(&mut anchor, "trouble is said", |anchor| anchor.summary().trouble.is_some()).await;
    assert_eq!(anchor.summary().waiting, 5);
    anchor.shutdown().await;
    // Bundled, and the post does not get through.
    proxy.deaf.store(true, Ordering::SeqCst);
    let mut anchor = start(folder.path(), &url);
    assert_eq!(anchor.summary().waiting, 5, "nothing was lost");
    until(&mut anchor, "bundled", |anchor| anchor.state(&all[0].id()).unwrap().unwrap().bundle.is_some()).await;
    let bundle = anchor.state(&all[0].id()).unwrap().unwrap().bundle;
    anchor.shutdown().await;
    // Posted, and the answer does not get back.
    proxy.deaf.store(false, Ordering::SeqCst);
    proxy.mute.store(true, Ordering::SeqCst);
    let mut anchor = start(folder.path(), &url);
    until(&mut anchor, "posted", |anchor| stage(anchor, &all[0].id()) == Stage::Posted).await;
    anchor.shutdown().await;
    proxy.mute.store(false, Ordering::SeqCst);
    // Mined, not yet deep.
    call(&devnet, "/mine").await;
    let mut anchor = start(folder.path(), &url);
    until(&mut anchor, "mined", |anchor| matches!(stage(anchor, &all[0].id()), Stage::Mined { .. })).await;
    anchor.shutdown().await;
    let mut anchor = start(folder.path(), &url);
    settle(&devnet, &mut anchor, &all).await;
    assert_eq!(anchor.state(&all[0].id()).unwrap().unwrap().bundle, bundle, "the first bundle, all the way");
    anchor.shutdown().await;
    // Settled: nothing is left to do.
    let anchor = start(folder.path(), &url);
    assert_eq!((anchor.summary().posted, anchor.summary().confirmed), (0, 5));
    anchor.shutdown().await;
    assert_eq!(bundles_on_chain(&devnet, &all).await, 1);
}
