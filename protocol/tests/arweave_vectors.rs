//! Golden vectors for layer-1 transactions, chunks and paths.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use common::{generated, list, load, raw, text, wallet};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use weft_protocol::{
    Id,
    ans104::{RsaSigner, Tag},
    arweave::{
        Format, Transaction, TransactionError,
        merkle::{self, PathError},
    },
    b64,
};

fn read(vector: &Value) -> Transaction {
    Transaction::from_json(vector["tx"].to_string().as_bytes()).unwrap()
}

/// The transaction made again from its parts by the same wallet.
fn again(tx: &Transaction) -> Transaction {
    let mut builder = Transaction::builder(tx.last_tx().to_vec(), tx.reward()).tags(tx.text_tags());
    if let Some(target) = tx.target() {
        builder = builder.transfer(target, tx.quantity());
    }
    builder = match tx.data_root() {
        Some(root) if tx.data().is_empty() => builder.data_root(tx.data_size(), root),
        _ => builder.data(tx.data().clone()),
    };
    builder.sign(&RsaSigner::from_jwk(&wallet("a")).unwrap().unsalted()).unwrap()
}

#[test]
fn transactions_of_format_2_are_read_verified_and_made_again() {
    let vectors = load("transactions");
    for name in ["tx_700KiB", "tx_small", "tx_transfer_no_data"] {
        let vector = &vectors[name];
        let tx = read(vector);
        assert_eq!(tx.format(), Format::Two);
        assert_eq!(tx.id().to_string(), text(&vector["tx"], "id"), "{name}");
        assert_eq!(b64::encode(tx.signed_message()), text(vector, "deep_hash"), "{name}");
        assert_eq!(tx.owner_address().to_string(), text(&vectors["addresses"], "rsa_a"));
        tx.verify().unwrap();
        assert_eq!(again(&tx), tx, "{name}");
        let json = serde_json::to_value(&tx).unwrap();
        for (field, value) in vector["tx"].as_object().unwrap() {
            assert_eq!(&json[field], value, "{name} {field}");
        }
        assert_eq!(serde_json::from_value::<Transaction>(json).unwrap(), tx);
    }
}

#[test]
fn salted_signatures_verify_too() {
    let tx = read(&load("transactions")["tx_small"]);
    let signer = RsaSigner::from_jwk(&wallet("b")).unwrap();
    let make = || Transaction::builder(tx.last_tx().to_vec(), 1).data(tx.data().clone()).sign(&signer).unwrap();
    let (first, second) = (make(), make());
    assert_ne!(first.id(), second.id());
    first.verify().unwrap();
    second.verify().unwrap();
}

#[test]
fn a_transaction_of_format_1_is_verified() {
    let vectors = load("transactions");
    let vector = &vectors["tx_format1"];
    let tx = read(vector);
    assert_eq!(tx.format(), Format::One);
    assert_eq!(tx.signed_message(), raw(vector, "signed_bytes"));
    assert_eq!(tx.id().to_string(), text(&vector["tx"], "id"));
    tx.verify().unwrap();
    let mut other = vector["tx"].clone();
    other["data"] = b64::encode("legacy format 2").into();
    let other = Transaction::from_json(other.to_string().as_bytes()).unwrap();
    assert!(matches!(other.verify(), Err(TransactionError::Signature(_))));
}

#[test]
fn seven_hundred_kibibytes_in_three_chunks() {
    let vectors = load("transactions");
    let vector = &vectors["tx_700KiB"];
    let data = generated(716_800);
    assert_eq!(b64::encode(Sha256::digest(&data)), text(vector, "data_sha256"));
    let tx = read(vector);
    tx.check_data(&data).unwrap();
    let cut = merkle::chunk(&data).unwrap();
    assert_eq!(Some(cut.data_root), tx.data_root());
    assert_eq!(cut.chunks.len(), 3);
    for (chunk, golden) in cut.chunks.iter().zip(list(vector, "chunks")) {
        assert_eq!(chunk.start, golden["min"].as_u64().unwrap());
        assert_eq!(chunk.end, golden["max"].as_u64().unwrap());
        assert_eq!(chunk.offset, golden["proof_offset"].as_u64().unwrap());
        assert_eq!(chunk.data_hash.to_string(), text(golden, "data_hash"));
        assert_eq!(chunk.data_path, raw(golden, "data_path"));
    }
}

#[test]
fn roots_and_borders_of_seventeen_sizes() {
    let vectors = load("transactions");
    let sizes = list(&vectors, "data_roots_by_size");
    assert_eq!(sizes.len(), 17);
    for vector in sizes {
        let size = vector["size"].as_u64().unwrap();
        let data = generated(size as usize);
        let root = merkle::data_root(&data).map(|root| root.to_string()).unwrap_or_default();
        assert_eq!(root, text(vector, "data_root"), "{size}");
        let chunks = merkle::chunk(&data).map(|cut| cut.chunks).unwrap_or_default();
        let borders: Vec<Value> = chunks.iter().map(|chunk| vec![chunk.start, chunk.end].into()).collect();
        assert_eq!(Value::Array(borders), vector["chunks"], "{size}");
        check_paths(&data);
    }
}

fn check_paths(data: &[u8]) {
    let Some(cut) = merkle::chunk(data) else { return };
    let size = data.len() as u64;
    for chunk in &cut.chunks {
        let bytes = &data[chunk.start as usize..chunk.end as usize];
        for offset in [chunk.start, chunk.offset] {
            let proof = merkle::validate_chunk(&cut.data_root, offset, size, &chunk.data_path, bytes).unwrap();
            assert_eq!((proof.start, proof.end, proof.data_hash), (chunk.start, chunk.end, chunk.data_hash));
        }
        let outside = merkle::validate_path(&cut.data_root, size, size, &chunk.data_path);
        assert_eq!(outside, Err(PathError::Offset { offset: size, size }));
        let short = merkle::validate_chunk(&cut.data_root, chunk.offset, size, &chunk.data_path, &bytes[1..]);
        assert_eq!(short, Err(PathError::Chunk));
        if chunk.start > 0 {
            assert!(merkle::validate_path(&cut.data_root, 0, size, &chunk.data_path).is_err());
        }
    }
}

#[test]
fn a_path_with_any_byte_changed_proves_nothing() {
    let data = generated(716_800);
    let cut = merkle::chunk(&data).unwrap();
    let chunk = &cut.chunks[1];
    for index in 0..chunk.data_path.len() {
        let mut path = chunk.data_path.clone();
        path[index] ^= 1;
        assert!(merkle::validate_path(&cut.data_root, chunk.offset, data.len() as u64, &path).is_err(), "{index}");
    }
    for len in 0..chunk.data_path.len() {
        assert!(
            merkle::validate_path(&cut.data_root, chunk.offset, data.len() as u64, &chunk.data_path[..len]).is_err()
        );
    }
    assert!(merkle::validate_path(&Id::default(), chunk.offset, data.len() as u64, &chunk.data_path).is_err());
}

#[test]
fn a_changed_transaction_is_refused_with_the_field() {
    let golden = load("transactions")["tx_small"]["tx"].clone();
    let with = |field: &str, value: Value| {
        let mut json = golden.clone();
        json[field] = value;
        Transaction::from_json(json.to_string().as_bytes())
    };
    for (field, value) in [
        ("quantity", "01"),
        ("quantity", "-1"),
        ("reward", "1e3"),
        ("reward", ""),
        ("target", "AAAA"),
        ("last_tx", "AAAA"),
        ("data_root", "x"),
        ("data_size", "340282366920938463463374607431768211456"),
        ("owner", "="),
    ] {
        let error = with(field, value.into()).unwrap_err();
        assert!(matches!(error, TransactionError::Field { field: named, .. } if named == field), "{field}: {error}");
    }
    assert!(matches!(with("id", Id::default().to_string().into()), Err(TransactionError::WrongId { .. })));
    assert!(with("format", 3.into()).is_err());
    for (field, value) in
        [("reward", "2"), ("quantity", "0"), ("target", "Zl0GmNvI-5Wvwlw6TZzygNh6WFt5mSQ8pgCP0DJYl18")]
    {
        let changed = with(field, value.into()).unwrap();
        assert_eq!(changed.verify().is_err(), golden[field] != value, "{field}");
    }
    assert_eq!(
        with("data", b64::encode("hello arweavE").into()).unwrap().verify(),
        Err(TransactionError::Data("data_root"))
    );
    assert_eq!(with("data", b64::encode("hello").into()).unwrap().verify(), Err(TransactionError::Data("data_size")));
    assert!(with("owner", "".into()).unwrap().verify().is_err());
}

#[test]
fn tags_over_the_limit_are_not_signed() {
    let signer = RsaSigner::from_jwk(&wallet("a")).unwrap();
    let long = Tag::new("n", "v".repeat(2048));
    let error = Transaction::builder(vec![], 1).tags([long]).sign(&signer).unwrap_err();
    assert_eq!(error, TransactionError::Tags { count: 1, bytes: 2049 });
}
