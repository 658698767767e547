//! The client believes no gateway.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{Method, StatusCode, Uri},
};
use common::{config, item, mine, start, transaction};
use weft_storage::arweave::gateway::{Gateway, GatewayConfig, GatewayError};

/// What the liar changes in what an honest gateway says.
struct Liar {
    honest: String,
    from: &'static str,
    to: &'static str,
}

async fn answer(State(liar): State<Arc<Liar>>, method: Method, uri: Uri, body: Bytes) -> (StatusCode, Bytes) {
    let request = reqwest::Client::new().request(method, format!("{}{uri}", liar.honest));
    let answer = request.header("content-type", "application/json").body(body).send().await.unwrap();
    let status = answer.status();
    let body = answer.bytes().await.unwrap();
    let changed = String::from_utf8(body.to_vec()).map(|text| text.replace(liar.from, liar.to).into());
    (status, changed.unwrap_or(body))
}

async fn liar(honest: &str, from: &'static str, to: &'static str) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(answer).with_state(Arc::new(Liar { honest: honest.to_owned(), from, to }));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

#[tokio::test]
async fn other_bytes_are_refused_and_the_next_gateway_is_asked() {
    let (devnet, gateway) = start(config()).await;
    let honest = devnet.urls()[0].clone();
    let item = item(1, "the truth");
    gateway.upload(&item).await.unwrap();
    let tx = transaction(&gateway, "the truth on layer one", vec![]).await;
    gateway.post_transaction(&tx).await.unwrap();
    for mined in [false, true] {
        let data = liar(&honest, "the truth", "the turth").await;
        let tags = liar(&honest, "Data-Protocol", "Data-Protocoll").await;
        for url in [&data, &tags] {
            let alone = Gateway::new(GatewayConfig::new(vec![url.clone()])).unwrap();
            // Once mined the item can also be cut from its bundle, which this liar cannot change.
            match alone.fetch(&item.id()).await {
                Err(error) => assert!(error.is_transient() && error.to_string().contains("served"), "{error}"),
                Ok(found) => assert!(mined && found.data == item.data()),
            }
            let both = Gateway::new(GatewayConfig::new(vec![url.clone(), honest.clone()])).unwrap();
            assert_eq!(both.fetch(&item.id()).await.unwrap().data, item.data());
            assert_eq!(both.raw_item(&item.id()).await.unwrap().raw(), item.raw());
            assert_eq!(both.fetch(&tx.id()).await.unwrap().data.as_ref(), b"the truth on layer one");
        }
        let alone = Gateway::new(GatewayConfig::new(vec![data])).unwrap();
        assert!(matches!(alone.fetch(&tx.id()).await, Err(GatewayError::Unavailable { .. })));
        mine(&devnet, 1).await;
    }
    devnet.shutdown().await;
}

#[tokio::test]
async fn a_dead_gateway_is_passed_over_and_long_answers_are_cut_off() {
    let (devnet, gateway) = start(config()).await;
    let tx = transaction(&gateway, vec![b'x'; 100_000], vec![]).await;
    gateway.post_transaction(&tx).await.unwrap();
    let both =
        Gateway::new(GatewayConfig::new(vec!["http://127.0.0.1:9".to_owned(), devnet.urls()[0].clone()])).unwrap();
    assert_eq!(both.fetch(&tx.id()).await.unwrap().data.len(), 100_000);
    let narrow = Gateway::new(GatewayConfig { max_body: 50_000, ..GatewayConfig::new(devnet.urls()) }).unwrap();
    let error = narrow.fetch(&tx.id()).await.unwrap_err();
    assert!(error.to_string().contains("longer than 50000 bytes"), "{error}");
    devnet.shutdown().await;
}

#[tokio::test]
async fn payloads_beyond_what_the_reader_takes_are_refused_and_not_read() {
    let (devnet, gateway) = start(config()).await;
    let tx = transaction(&gateway, vec![b'x'; 10_000], vec![]).await;
    gateway.post_transaction(&tx).await.unwrap();
    let text = "y".repeat(10_000);
    let item = item(1, &text);
    gateway.upload(&item).await.unwrap();
    for id in [tx.id(), item.id()] {
        assert_eq!(gateway.fetch_within(&id, 10_000).await.unwrap().data.len(), 10_000);
        let refused = gateway.fetch_within(&id, 9_999).await.unwrap_err();
        assert!(matches!(refused, GatewayError::Refused { status: 413, .. }), "{refused}");
        assert!(!refused.is_transient());
    }
    devnet.shutdown().await;
}

/// A gateway that has one item whose payload never ends.
async fn endless(State(of): State<String>, uri: Uri) -> axum::response::Response {
    use axum::response::IntoResponse as _;
    match uri.path() {
        "/graphql" => of.into_response(),
        path if path.starts_with("/raw/") => {
            let pieces = futures::stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 1024])));
            axum::body::Body::from_stream(pieces).into_response()
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

#[tokio::test]
async fn a_payload_that_never_ends_is_let_go_at_the_reader_s_bound() {
    let item = item(1, "x");
    let node = serde_json::json!({ "id": item.id(), "owner": { "key": "" }, "tags": [] });
    let row = serde_json::json!({ "data": { "transactions": { "edges": [{ "node": node }] } } });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(endless).with_state(row.to_string());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    // Only the reader's own bound can end it in time: the client's is beyond all memory.
    let gateway = Gateway::new(GatewayConfig { max_body: usize::MAX, ..GatewayConfig::new(vec![url]) }).unwrap();
    let refused = gateway.fetch_within(&item.id(), 5_000).await.unwrap_err();
    assert!(matches!(refused, GatewayError::Refused { status: 413, .. }), "{refused}");
}
