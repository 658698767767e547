//! Addresses, shutdown, and what happens when too many ask at once.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use weft_node::http::{self, HttpError};
use weft_protocol::ans104::Ed25519Signer;

use crate::fake::{Fake, action};

#[tokio::test]
async fn every_address_carries_the_same_router_and_a_taken_one_is_named() {
    let fake = Fake::new();
    let shutdown = CancellationToken::new();
    let any = "127.0.0.1:0".parse().unwrap();
    let server = http::serve(fake.clone(), vec![any, any, any], shutdown.clone()).await.unwrap();
    let ports: std::collections::BTreeSet<u16> = server.addresses().iter().map(std::net::SocketAddr::port).collect();
    assert!(ports.len() == 3 && !ports.contains(&0));
    for address in server.addresses() {
        let text = reqwest::get(format!("http://{address}/livez")).await.unwrap().text().await.unwrap();
        assert_eq!(text, "ok\n");
    }
    let taken = server.addresses()[1];
    let fault = http::serve(fake, vec![any, taken], CancellationToken::new()).await.unwrap_err();
    assert!(matches!(&fault, HttpError::Bind { address, .. } if *address == taken));
    assert!(fault.to_string().contains(&taken.to_string()));
    shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(20), server.finished()).await.unwrap().unwrap();
    assert!(tokio::net::TcpStream::connect(taken).await.is_err());
}

#[tokio::test]
async fn waiting_clients_are_told_when_the_node_stops() {
    let fake = Fake::new();
    let user = Ed25519Signer::from_seed([1; 32]);
    let process = fake.spawn(&user);
    let message = fake.send(process, &user, &[("Action", action::HANG)], b"").id;
    let open = fake.open().await;
    let waiting = tokio::spawn(open.client.get(format!("{}/result/{message}?process-id={process}", open.url)).send());
    // The door has seen the request: it is waiting now.
    tokio::time::timeout(Duration::from_secs(20), async {
        while fake.waited().is_none() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    open.shutdown.cancel();
    let reply = tokio::time::timeout(Duration::from_secs(20), waiting).await.unwrap().unwrap().unwrap();
    assert_eq!((reply.status().as_u16(), reply.headers()["retry-after"].to_str().unwrap()), (503, "1"));
    tokio::time::timeout(Duration::from_secs(20), open.server.finished()).await.unwrap().unwrap();
}

#[tokio::test]
async fn waiting_requests_have_their_own_bound() {
    let fake = Fake::new();
    let user = Ed25519Signer::from_seed([1; 32]);
    let process = fake.spawn(&user);
    let message = fake.send(process, &user, &[("Action", action::HANG)], b"").id;
    let open = fake.open().await;
    let url = format!("{}/result/{message}?process-id={process}", open.url);
    // More than may wait: the first refusal proves the bound, and the held ones are let go with the client.
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..600 {
        asking.spawn(open.client.get(&url).send());
    }
    let refused =
        tokio::time::timeout(Duration::from_secs(60), asking.join_next()).await.unwrap().unwrap().unwrap().unwrap();
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    // Work goes on beside them.
    assert_eq!(open.get("/timestamp").await.0, 200);
    asking.abort_all();
}
