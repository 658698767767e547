//! The devnet keeps Arweave's rules, as seen over HTTP.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use common::{AR, config, get, item, jwk, mine, post, question, start, transaction, wallet};
use serde_json::{Value, json};
use weft_protocol::{
    Id,
    ans104::{DataItem, EthereumSigner, ItemBuilder, Tag, bundle},
    arweave::Transaction,
    b64,
};
use weft_storage::arweave::{
    bundler::{self, Terms},
    devnet::DevnetConfig,
    gateway::{Gateway, GatewayError, Kind, Posted, TxStatus},
};

fn large(len: usize) -> Vec<u8> {
    (0_u32..).flat_map(|number| *Id::sha256(&number.to_be_bytes()).as_bytes()).take(len).collect()
}

async fn post_bundle(gateway: &Gateway, data: impl Into<bytes::Bytes>) -> Transaction {
    let tags = bundle::carrier_tags().to_vec();
    let transaction = transaction(gateway, data, tags).await;
    assert_eq!(gateway.post_transaction(&transaction).await.unwrap(), Posted::Accepted);
    transaction
}

#[tokio::test]
async fn the_life_of_a_small_transaction() {
    let (devnet, gateway) = start(config()).await;
    let tags =
        vec![Tag::new("Content-Type", "text/plain"), Tag::new("Type", "Process"), Tag::new("Utf8", "naïve ✓ 漢")];
    let transaction = transaction(&gateway, "hello devnet", tags).await;
    let id = transaction.id();
    assert_eq!(gateway.status(&id).await.unwrap(), TxStatus::Unknown);
    assert_eq!(gateway.post_transaction(&transaction).await.unwrap(), Posted::Accepted);
    assert_eq!(gateway.post_transaction(&transaction).await.unwrap(), Posted::Already);
    assert_eq!(get(&devnet, &format!("/tx/{id}/status")).await, (202, "Pending".to_owned()));
    assert_eq!(get(&devnet, &format!("/tx/{id}")).await, (202, "Pending".to_owned()));
    assert_eq!(gateway.fetch(&id).await.unwrap().data.as_ref(), b"hello devnet", "pending data is there already");

    mine(&devnet, 1).await;
    let TxStatus::Mined { height: 1, confirmations: 1, block } = gateway.status(&id).await.unwrap() else {
        panic!("not mined")
    };
    let found = gateway.block_at(1).await.unwrap().unwrap();
    assert_eq!((found.hash.as_str(), found.txs.as_slice()), (block.as_str(), [id].as_slice()));
    assert_eq!(gateway.block_by_hash(&block).await.unwrap(), Some(found));
    assert_eq!(gateway.post_transaction(&transaction).await.unwrap(), Posted::Already);
    mine(&devnet, 2).await;
    assert!(matches!(gateway.status(&id).await.unwrap(), TxStatus::Mined { confirmations: 3, .. }));

    let fetched = gateway.fetch(&id).await.unwrap();
    assert_eq!(
        (fetched.kind, fetched.owner, fetched.tag("Utf8")),
        (Kind::Transaction, jwk().address(), Some("naïve ✓ 漢"))
    );
    assert_eq!(gateway.balance(&jwk().address()).await.unwrap(), 1000 * AR - transaction.reward());
    assert_eq!(get(&devnet, &format!("/wallet/{}/last_tx", jwk().address())).await.1, id.to_string());
    assert_eq!(get(&devnet, &format!("/tx/{id}/data")).await.1, b64::encode("hello devnet"));
    assert_eq!(get(&devnet, &format!("/tx/{id}/owner")).await.1, b64::encode(transaction.owner()));
    assert_eq!(get(&devnet, &format!("/tx/{id}/offset")).await.1, json!({"offset":"12","size":"12"}).to_string());

    let answer = reqwest::get(format!("{}/{id}", devnet.urls()[0])).await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/plain");
    assert_eq!(answer.headers()["type"], "Process", "tags travel as headers");
    let head = reqwest::Client::new().head(format!("{}/raw/{id}", devnet.urls()[0])).send().await.unwrap();
    assert_eq!((head.status().as_u16(), head.headers()["content-length"].to_str().unwrap()), (200, "12"));
    devnet.shutdown().await;
}

#[tokio::test]
async fn transactions_that_break_a_rule_are_refused_in_arweaves_words() {
    let (devnet, gateway) = start(config()).await;
    let good = transaction(&gateway, "data", vec![]).await;
    let refused = async |change: &dyn Fn(&mut Value)| {
        let mut json = serde_json::to_value(&good).unwrap();
        change(&mut json);
        post(&devnet, "/tx", &json).await
    };
    let failed = (400, "Transaction verification failed.".to_owned());
    assert_eq!(refused(&|tx| tx["reward"] = "1".into()).await, failed);
    assert_eq!(refused(&|tx| tx["tags"] = json!([{"name":"YQ","value":"Yg"}])).await, failed);
    assert_eq!(
        refused(&|tx| tx["data"] = b64::encode("other").into()).await.1,
        "The attached data is split in an unknown way."
    );
    assert_eq!(refused(&|tx| tx["owner"] = 7.into()).await.0, 400);
    assert_eq!(refused(&|tx| tx["id"] = Id::sha256(b"x").to_string().into()).await.0, 400);

    let poor = Transaction::builder(vec![1; 48], 1_000_000_000_000).data("x").sign(&wallet()).unwrap();
    let answer = post(&devnet, "/tx", &serde_json::to_value(&poor).unwrap()).await;
    assert_eq!(answer, (400, "Invalid anchor (last_tx).".to_owned()));
    let anchor = b64::decode(&gateway.tx_anchor().await.unwrap()).unwrap();
    let cheap = Transaction::builder(anchor.clone(), 5).data("x").sign(&wallet()).unwrap();
    assert!(matches!(gateway.post_transaction(&cheap).await, Err(GatewayError::Refused { status: 400, .. })));
    let rich = Transaction::builder(anchor, 1001 * AR).data("x").sign(&wallet()).unwrap();
    assert_eq!(post(&devnet, "/tx", &serde_json::to_value(&rich).unwrap()).await, failed);

    mine(&devnet, 56).await;
    let late = post(&devnet, "/tx", &serde_json::to_value(&good).unwrap()).await;
    assert_eq!(late.1, "Invalid anchor (last_tx).", "the anchor has grown too old");
    assert_eq!(get(&devnet, "/tx/pending").await.1, "[]");
    devnet.shutdown().await;
}

#[tokio::test]
async fn chunks_come_in_any_order_and_bogus_ones_not_at_all() {
    let (devnet, gateway) = start(config()).await;
    let data = large(700 << 10);
    let signed = transaction(&gateway, data.clone(), vec![]).await;
    let bundle = bundler::BundleTransaction { header: signed.header(), data: data.clone().into() };
    let mut chunks = bundle.chunks().collect::<Vec<_>>();
    assert_eq!(chunks.len(), 3);
    let early: Value = serde_json::from_slice(&chunks[0]).unwrap();
    assert_eq!(post(&devnet, "/chunk", &early).await, (400, json!({"error":"data_root_not_found"}).to_string()));
    assert!(gateway.post_chunk(chunks[0].clone()).await.unwrap_err().is_transient());

    gateway.post_transaction(&bundle.to_post().unwrap()).await.unwrap();
    let mut bogus = early.clone();
    bogus["chunk"] = b64::encode(vec![0; 1000]).into();
    assert_eq!(post(&devnet, "/chunk", &bogus).await.1, json!({"error":"invalid_proof"}).to_string());
    mine(&devnet, 1).await;
    assert_eq!(get(&devnet, &format!("/raw/{}", signed.id())).await.0, 404, "a header in a block is not data");
    chunks.reverse();
    for chunk in chunks {
        gateway.post_chunk(chunk.clone()).await.unwrap();
        gateway.post_chunk(chunk).await.unwrap();
    }
    assert_eq!(gateway.fetch(&signed.id()).await.unwrap().data, data);
    let (_, chunk) = get(&devnet, "/chunk/262145").await;
    let chunk: Value = serde_json::from_str(&chunk).unwrap();
    assert_eq!(b64::decode(chunk["chunk"].as_str().unwrap()).unwrap(), data[262_144..524_288]);
    devnet.shutdown().await;
}

#[tokio::test]
async fn a_tampered_item_is_not_served_and_hides_no_other() {
    let (devnet, gateway) = start(config()).await;
    let ethereum =
        ItemBuilder::new().tag("N", "3").data("nested").sign(&EthereumSigner::from_bytes(&[9; 32]).unwrap()).unwrap();
    let inner = bundle::carrier_tags().into_iter().fold(ItemBuilder::new(), |b, tag| b.tag(tag.name, tag.value));
    let inner = inner.data(bundle::write(std::slice::from_ref(&ethereum))).sign(&wallet()).unwrap();
    let (good, bad) = (item(1, "good"), item(2, "evil"));
    let bytes = bundle::write(&[bad.clone(), good.clone(), inner.clone()]);
    let mut bytes = bytes.to_vec();
    let at = bytes.windows(4).position(|window| window == b"evil").unwrap();
    bytes[at] = b'E';
    let tx = post_bundle(&gateway, bytes).await;

    assert_eq!(get(&devnet, &format!("/raw/{}", bad.id())).await.0, 404);
    assert!(matches!(gateway.fetch(&bad.id()).await, Err(GatewayError::NotFound(_))));
    for wanted in [&good, &inner, &ethereum] {
        assert_eq!(gateway.raw_item(&wanted.id()).await.unwrap().raw(), wanted.raw());
    }
    let nested = question(
        &devnet,
        "query($id:ID!){transaction(id:$id){block{height} bundledIn{id}}}",
        json!({"id": ethereum.id()}),
    )
    .await;
    assert_eq!(nested["transaction"], json!({"block": null, "bundledIn": {"id": inner.id()}}));
    mine(&devnet, 1).await;
    let rows = question(
        &devnet,
        "query($b:[ID!]){transactions(bundledIn:$b){edges{node{id block{height} bundledIn{id}}}}}",
        json!({"b": [tx.id()]}),
    )
    .await;
    let rows = rows["transactions"]["edges"].as_array().unwrap().clone();
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert!(rows.iter().all(|row| row["node"]["block"]["height"] == 1));
    devnet.shutdown().await;
}

#[tokio::test]
async fn uploaded_items_are_there_at_once_and_in_a_bundle_after_the_next_block() {
    let (devnet, gateway) = start(config()).await;
    let items = (1..=5).map(|number| item(number, &format!("item {number}"))).collect::<Vec<DataItem>>();
    for item in &items {
        assert_eq!(gateway.upload(item).await.unwrap().id, item.id());
        assert_eq!(gateway.upload(item).await.unwrap().id, item.id(), "again is fine");
    }
    let seen =
        question(&devnet, "query($id:ID!){transaction(id:$id){block{id} bundledIn{id}}}", json!({"id": items[0].id()}))
            .await;
    assert_eq!(seen["transaction"], json!({"block": null, "bundledIn": null}));
    assert_eq!(gateway.fetch(&items[0].id()).await.unwrap().kind, Kind::Item);
    mine(&devnet, 1).await;
    let query = "query($ids:[ID!]){transactions(ids:$ids){edges{node{id bundledIn{id} block{height}}}}}";
    let rows = question(&devnet, query, json!({"ids": items.iter().map(DataItem::id).collect::<Vec<_>>()})).await;
    let rows = rows["transactions"]["edges"].as_array().unwrap().clone();
    assert_eq!(rows.len(), 5);
    let bundle = rows[0]["node"]["bundledIn"]["id"].as_str().unwrap().parse::<Id>().unwrap();
    assert!(
        rows.iter()
            .all(|row| row["node"]["block"]["height"] == 1 && row["node"]["bundledIn"]["id"] == bundle.to_string())
    );
    let fetched = gateway.fetch(&bundle).await.unwrap();
    assert_eq!(bundle::read(&fetched.data, bundle::Limits::default()).unwrap().len(), 5);
    assert_eq!(gateway.raw_item(&items[4].id()).await.unwrap().raw(), items[4].raw());

    let client = reqwest::Client::new();
    let junk = client
        .post(format!("{}/v1/tx", devnet.urls()[0]))
        .header("content-type", "application/octet-stream")
        .body("junk");
    assert_eq!(junk.send().await.unwrap().status(), 400);
    devnet.shutdown().await;
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let config = DevnetConfig { dir: Some(folder.path().to_owned()), ..config() };
    let (devnet, gateway) = start(config.clone()).await;
    let data = large(300 << 10);
    let chunked = transaction(&gateway, data.clone(), vec![]).await;
    let carrier = bundler::BundleTransaction { header: chunked.header(), data: data.clone().into() };
    gateway.post_transaction(&carrier.header).await.unwrap();
    for chunk in carrier.chunks() {
        gateway.post_chunk(chunk).await.unwrap();
    }
    let terms = Terms { anchor: gateway.tx_anchor().await.unwrap(), reward: AR };
    let bundle = bundler::build(&[item(1, "one"), item(2, "two")], &terms, &wallet()).unwrap();
    gateway.post_transaction(&bundle.to_post().unwrap()).await.unwrap();
    gateway.upload(&item(3, "three")).await.unwrap();
    mine(&devnet, 2).await;
    gateway.upload(&item(4, "four")).await.unwrap();
    let pending = transaction(&gateway, "pending", vec![]).await;
    gateway.post_transaction(&pending).await.unwrap();
    let lost = transaction(&gateway, "lost", vec![]).await;
    gateway.post_transaction(&lost).await.unwrap();
    assert_eq!(get(&devnet, &format!("/devnet/drop/{}", lost.id())).await.0, 200);

    let everything = "{transactions(first:100){edges{cursor node{id anchor signature owner{address} tags{name value} block{id height} \
                      bundledIn{id} data{size type}}}} blocks(first:100){edges{node{id height previous timestamp}}}}";
    let before = (question(&devnet, everything, json!({})).await, get(&devnet, "/info").await);
    let balance = gateway.balance(&jwk().address()).await.unwrap();
    devnet.shutdown().await;

    let (devnet, gateway) = start(config).await;
    assert_eq!((question(&devnet, everything, json!({})).await, get(&devnet, "/info").await), before);
    assert_eq!(gateway.balance(&jwk().address()).await.unwrap(), balance);
    assert_eq!(gateway.fetch(&chunked.id()).await.unwrap().data, data);
    assert_eq!(gateway.status(&lost.id()).await.unwrap(), TxStatus::Unknown);
    assert_eq!(gateway.status(&pending.id()).await.unwrap(), TxStatus::Pending);
    for number in 1..=4_u8 {
        let wanted = item(number, ["one", "two", "three", "four"][usize::from(number) - 1]);
        assert_eq!(gateway.raw_item(&wanted.id()).await.unwrap().raw(), wanted.raw());
    }
    mine(&devnet, 1).await;
    assert!(matches!(gateway.status(&pending.id()).await.unwrap(), TxStatus::Mined { height: 3, .. }));
    devnet.shutdown().await;
}
