//! What the vector tests share: reading the golden files and making their signers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    dead_code,
    missing_docs,
    reason = "tests"
)]

use std::sync::OnceLock;

use bytes::Bytes;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use weft_protocol::{
    Jwk,
    ans104::{Ed25519Signer, EthereumSigner, RsaSigner, Signer, SolanaSigner},
    b64,
};

pub fn load(name: &str) -> Value {
    let path = format!("{}/tests/vectors/arweave/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

pub fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} in {value}"))
}

pub fn raw(value: &Value, key: &str) -> Bytes {
    b64::decode(text(value, key)).unwrap().into()
}

pub fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().unwrap()
}

pub fn keys() -> &'static Value {
    static KEYS: OnceLock<Value> = OnceLock::new();
    KEYS.get_or_init(|| load("keys"))
}

pub fn seed(kind: &str, member: &str) -> [u8; 32] {
    hex::decode(text(&keys()[kind], member)).unwrap().try_into().unwrap()
}

pub fn wallet(name: &str) -> Jwk {
    serde_json::from_value(keys()["rsa"][name].clone()).unwrap()
}

/// The signer a vector names, when equal bytes must come out of it.
pub fn deterministic_signer(name: &str) -> Option<Box<dyn Signer>> {
    Some(match name {
        "ed25519" => Box::new(Ed25519Signer::from_seed(seed("ed25519", "seed_hex"))),
        "solana" => Box::new(SolanaSigner::from_seed(seed("solana", "seed_hex"))),
        "eth" => Box::new(EthereumSigner::from_bytes(&seed("secp256k1", "private_hex")).unwrap()),
        "rsa-a/salt-0" => Box::new(RsaSigner::from_jwk(&wallet("a")).unwrap().unsalted()),
        _ => return None,
    })
}

/// The generator rule of the vectors for large data.
pub fn generated(size: usize) -> Vec<u8> {
    let block =
        |index: u32| Sha256::new().chain_update("ao-anchor-vector").chain_update(index.to_be_bytes()).finalize();
    let mut data: Vec<u8> = (0..size.div_ceil(32) as u32).flat_map(block).collect();
    data.truncate(size);
    data
}
