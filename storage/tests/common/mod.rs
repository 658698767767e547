//! What the Arweave tests share: a devnet, a wallet with money, a client.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    dead_code,
    missing_docs,
    reason = "tests; each test file uses a part"
)]

use std::path::PathBuf;

use serde_json::{Value, json};
use weft_protocol::{
    Id, Jwk,
    ans104::{DataItem, Ed25519Signer, ItemBuilder, RsaSigner, Tag},
    arweave::Transaction,
    b64,
};
use weft_storage::arweave::{
    devnet::{Devnet, DevnetConfig},
    gateway::{Gateway, GatewayConfig},
};

pub const AR: u128 = 1_000_000_000_000;

pub fn keys_path() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../protocol/tests/vectors/arweave/keys.json"))
}

pub fn jwk() -> Jwk {
    let keys: Value = serde_json::from_slice(&std::fs::read(keys_path()).unwrap()).unwrap();
    serde_json::from_value(keys["rsa"]["a"].clone()).unwrap()
}

pub fn wallet() -> RsaSigner {
    RsaSigner::from_jwk(&jwk()).unwrap()
}

pub fn config() -> DevnetConfig {
    DevnetConfig {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        mint: vec![(jwk().address(), 1000 * AR)],
        ..DevnetConfig::default()
    }
}

pub async fn start(config: DevnetConfig) -> (Devnet, Gateway) {
    let devnet = Devnet::start(config).await.unwrap();
    let gateway = Gateway::new(GatewayConfig::new(devnet.urls())).unwrap();
    (devnet, gateway)
}

pub async fn get(devnet: &Devnet, path: &str) -> (u16, String) {
    let answer = reqwest::get(format!("{}{path}", devnet.urls()[0])).await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

pub async fn post(devnet: &Devnet, path: &str, body: &Value) -> (u16, String) {
    let request = reqwest::Client::new().post(format!("{}{path}", devnet.urls()[0])).json(body);
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

pub async fn mine(devnet: &Devnet, blocks: u32) {
    assert_eq!(get(devnet, &format!("/mine/{blocks}")).await.0, 200);
}

pub async fn question(devnet: &Devnet, query: &str, variables: Value) -> Value {
    let (status, text) = post(devnet, "/graphql", &json!({ "query": query, "variables": variables })).await;
    assert_eq!(status, 200, "{text}");
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert!(answer.get("errors").is_none_or(Value::is_null), "{text}");
    answer["data"].clone()
}

pub async fn transaction(gateway: &Gateway, data: impl Into<bytes::Bytes>, tags: Vec<Tag>) -> Transaction {
    let data = data.into();
    let anchor = b64::decode(&gateway.tx_anchor().await.unwrap()).unwrap();
    let reward = gateway.price(data.len() as u64, None).await.unwrap();
    Transaction::builder(anchor, reward).tags(tags).data(data).sign(&wallet()).unwrap()
}

pub fn item(number: u8, text: &str) -> DataItem {
    let builder =
        ItemBuilder::new().tag("Data-Protocol", "ao").tag("Type", "Message").tag("Number", number.to_string());
    builder
        .target(Id::sha256(b"process"))
        .anchor([7; 32])
        .data(text.to_owned())
        .sign(&Ed25519Signer::from_seed([number; 32]))
        .unwrap()
}
