//! Nodes with real sockets on loopback: finding each other, gossip, requests, limits, and coming back from the dead.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod killed;
mod support;

use bytes::Bytes;
use support::*;
use tokio::task::JoinHandle;
use weft_node::network::{Inbound, NodeKey, PublishError, Registry, RequestError, Topic};
use weft_protocol::wire::{self, request::Body};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_know_one_boot_node_find_all_others_and_gossip() {
    let (boot, addresses) = boot("mesh").await;
    let mut nodes = vec![boot];
    for number in 2..=5 {
        // One transport each, so that both are used.
        nodes.push(start(config("mesh", number, &addresses[usize::from(number % 2)..][..1])).await);
    }
    let handles: Vec<_> = nodes.iter().map(|node| node.handle.clone()).collect();
    full_mesh(&handles.iter().collect::<Vec<_>>()).await;

    let peer = &handles[4].peers()[0];
    assert!(peer.agent.starts_with("weft/"), "{}", peer.agent);
    assert!(handles[4].is_connected(&handles[0].key()));
    let mut view = handles[4].view();
    within("pings", view.wait_for(|view| view.peers.iter().all(|peer| peer.rtt.is_some()))).await.unwrap();
    assert!(handles[4].latency(&handles[0].key()).is_some());

    let data = Bytes::from_static(b"to all");
    // Subscriptions follow connections: publish until someone is listening everywhere.
    let publisher = handles[3].clone();
    publisher.publish(Topic::Messages(5), data.clone()).await.unwrap();
    until("published to somebody", || publisher.status().gossip.published == 1).await;
    for node in nodes.iter_mut().filter(|node| node.handle.key() != publisher.key()) {
        let (topic, _, received) = gossip(node, true).await;
        assert_eq!((topic, received), (Topic::Messages(5), data.clone()));
    }
    assert!(nodes[3].inbound.try_recv().is_err(), "own items do not come back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_rejected_is_not_passed_on() {
    // A line: the ends listen nowhere, so that they can only reach the middle.
    let (mut middle, addresses) = boot("line").await;
    let mut ends = Vec::new();
    for number in 2..=3 {
        let mut config = config("line", number, &addresses[..1]);
        config.listen.clear();
        ends.push(start(config).await);
    }
    connected(&middle.handle, &[ends[0].handle.key(), ends[1].handle.key()]).await;
    let sender = ends.remove(0);
    // A first item shows that the whole line works; repeated, with other bytes, until it does.
    let (head, mut tail) = (sender.handle.clone(), ends.remove(0));
    let middle_key = middle.handle.key();
    let warm_up = tokio::spawn(async move {
        for number in 0u32.. {
            head.publish(Topic::Market, Bytes::copy_from_slice(&number.to_be_bytes())).await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    });
    let relay = async {
        loop {
            gossip(&mut middle, true).await;
        }
    };
    tokio::select! {
        () = relay => {}
        (topic, from, _) = gossip(&mut tail, true) => assert_eq!((topic, from), (Topic::Market, middle_key)),
    }
    warm_up.abort();

    for data in ["bad", "good"] {
        sender.handle.publish(Topic::Attestations, data.into()).await.unwrap();
    }
    let mut judged = 0;
    while judged < 2 {
        let Inbound::Gossip { data, verdict, topic, .. } = within("gossip", middle.inbound.recv()).await.unwrap()
        else {
            continue;
        };
        judged += usize::from(topic == Topic::Attestations);
        if &data[..] == b"bad" { verdict.reject() } else { verdict.accept() }
    }
    loop {
        let (topic, _, data) = gossip(&mut tail, true).await;
        if topic == Topic::Attestations {
            assert_eq!(&data[..], b"good");
            break;
        }
    }
    assert_eq!(middle.handle.status().gossip.rejected, 1);
}

/// Answers every request in a way that shows its lane; some answers are special.
fn serve(mut node: Node) -> JoinHandle<()> {
    tokio::spawn(async move {
        while let Some(inbound) = node.inbound.recv().await {
            let Inbound::Request { request, reply, .. } = inbound else { continue };
            match request.body.unwrap() {
                Body::Item(query) if &query.id[..] == b"drop" => drop(reply),
                Body::Item(query) if &query.id[..] == b"huge" => reply.send(item_answer(vec![0; 17 << 20])),
                Body::Item(query) if &query.id[..] == b"large" => reply.send(item_answer(vec![1; 15 << 20])),
                Body::Item(query) => reply.send(item_answer(query.id)),
                Body::Submit(submit) => reply.send(item_answer(submit.item.len().to_string())),
                Body::Quote(_) => reply.refuse("capacity", "busy", 100),
                Body::Eval(_) => {
                    reply.send(wire::Response { body: Some(wire::response::Body::Eval(wire::EvalPage::default())) })
                }
                other => panic!("{other:?}"),
            }
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_of_all_lanes() {
    let (server, addresses) = boot("lanes").await;
    let (to, server_handle) = (server.handle.key(), server.handle.clone());
    let client = start(config("lanes", 2, &addresses)).await.handle;
    serve(server);
    // Known from the configuration, dialled when asked: no need to wait for a connection.
    assert_eq!(client.request(to, item(b"x")).await.unwrap(), item_answer(Bytes::from_static(b"x")));
    assert_eq!(client.request(to, submit(11 << 20)).await.unwrap(), item_answer(Bytes::from((11 << 20).to_string())));
    let quote = wire::Request { body: Some(Body::Quote(wire::QuoteRequest::default())) };
    assert_eq!(refusal_code(&client.request(to, quote).await.unwrap()), Some("capacity"));
    let eval = wire::Request { body: Some(Body::Eval(wire::Eval::default())) };
    assert!(matches!(client.request(to, eval).await.unwrap().body, Some(wire::response::Body::Eval(_))));
    assert_eq!(client.request(to, item(b"large")).await.unwrap(), item_answer(vec![1; 15 << 20]));

    let error = client.request(to, submit(13 << 20)).await.unwrap_err();
    assert!(matches!(error, RequestError::TooLarge { limit, .. } if limit == 12 << 20), "{error}");
    assert_eq!(refusal_code(&client.request(to, item(b"huge")).await.unwrap()), Some("too_large"));
    let error = client.request(to, item(b"drop")).await.unwrap_err();
    assert!(matches!(error, RequestError::Closed { .. }), "{error}");
    let error = client.request(to, wire::Request::default()).await.unwrap_err();
    assert_eq!(error, RequestError::Empty);
    let stranger = NodeKey::from_bytes(
        *weft_node::network::NetworkConfig::new([0; 32], weft_protocol::Id::default()).network_id.as_bytes(),
    );
    let error = client.request(stranger, item(b"x")).await.unwrap_err();
    assert!(matches!(error, RequestError::NotConnected { .. }), "{error}");

    // Many at once, and to oneself without the wire.
    let asked = (0..500u32).map(|number| {
        let client = client.clone();
        tokio::spawn(
            async move { client.request(to, item(&number.to_be_bytes())).await.map(|answer| (number, answer)) },
        )
    });
    for answer in asked.collect::<Vec<_>>() {
        let (number, answer) = answer.await.unwrap().unwrap();
        assert_eq!(answer, item_answer(number.to_be_bytes().to_vec()));
    }
    assert_eq!(server_handle.request(to, item(b"me")).await.unwrap(), item_answer(Bytes::from_static(b"me")));
    assert!(matches!(server_handle.request(to, item(b"drop")).await.unwrap_err(), RequestError::Closed { .. }));

    let status = client.status();
    let read = status.requests.iter().find(|lane| lane.lane == "read").unwrap();
    assert_eq!((read.sent, read.failed), (504, 1), "{status:?}");
    assert_eq!(serde_json::to_value(&status).unwrap()["requests"][0]["lane"], "order");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_another_network_is_turned_away() {
    let (here, addresses) = boot("here").await;
    let there = start(config("there", 2, &addresses)).await;
    until("turned away", || here.handle.status().wrong_network + there.handle.status().wrong_network > 0).await;
    let friend = start(config("here", 3, &addresses)).await;
    connected(&friend.handle, &[here.handle.key()]).await;
    connected(&here.handle, &[friend.handle.key()]).await;
    assert!(there.handle.peers().is_empty());
    assert!(there.handle.request(here.handle.key(), item(b"x")).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_restart_on_their_ports_are_found_again() {
    let (boot, addresses) = boot("restart").await;
    let second = start(config("restart", 2, &addresses)).await;
    let third = start(config("restart", 3, &addresses)).await;
    full_mesh(&[&boot.handle, &second.handle, &third.handle]).await;

    // The second knows nobody when it comes back: the others have to find it.
    let mut alone = config("restart", 2, &[]);
    alone.listen = second.handle.listen_addresses();
    second.handle.shutdown().await;
    connected(&boot.handle, &[third.handle.key()]).await;
    connected(&third.handle, &[boot.handle.key()]).await;
    let second = start(alone).await;
    full_mesh(&[&boot.handle, &second.handle, &third.handle]).await;

    // The boot node knows nobody either.
    let mut again = config("restart", 1, &[]);
    again.listen = boot.handle.listen_addresses();
    boot.handle.shutdown().await;
    connected(&third.handle, &[second.handle.key()]).await;
    let boot = start(again).await;
    full_mesh(&[&boot.handle, &second.handle, &third.handle]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_boot_node_may_come_up_last() {
    let (early, addresses) = boot("late").await;
    let mut late = config("late", 1, &[]);
    late.listen = early.handle.listen_addresses();
    early.handle.shutdown().await;
    let second = start(config("late", 2, &addresses)).await;
    let third = start(config("late", 3, &addresses)).await;
    let error = second.handle.request(early.handle.key(), item(b"x")).await.unwrap_err();
    assert!(matches!(error, RequestError::NotConnected { .. }), "{error}");
    let boot = start(late).await;
    full_mesh(&[&boot.handle, &second.handle, &third.handle]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registry_members_are_looked_up() {
    // The third is a wanted member of the second, which knows only the boot node; no walk would be needed for more.
    let (boot, addresses) = boot("members").await;
    let third = start(config("members", 3, &addresses)).await;
    let mut config = config("members", 2, &addresses);
    config.members = vec![third.handle.key(), boot.handle.key()];
    let second = start(config).await;
    full_mesh(&[&boot.handle, &second.handle, &third.handle]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_refuses_requests_and_ignores_gossip() {
    let mut slow = config("queue", 1, &[]);
    slow.bounds.inbound_queue = 4;
    let mut slow = start(slow).await;
    let quick = start(config("queue", 2, &slow.handle.dial_addresses())).await;
    full_mesh(&[&slow.handle, &quick.handle]).await;

    // Until the subscriptions have arrived, items reach nobody.
    let mut number = 0u32;
    while slow.handle.status().limits.queue == 0 {
        number += 1;
        assert!(number < 500, "gossip never reached the bound");
        quick.handle.publish(Topic::Sealed(0), Bytes::copy_from_slice(&number.to_be_bytes())).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    // One place is kept for requests.
    let client = quick.handle.clone();
    let to = slow.handle.key();
    let kept = tokio::spawn(async move { client.request(to, item(b"kept")).await });
    until("one request in the queue", || slow.handle.status().requests.iter().any(|lane| lane.received == 1)).await;
    assert_eq!(refusal_code(&quick.handle.request(to, item(b"late")).await.unwrap()), Some("capacity"));
    assert_eq!(refusal_code(&slow.handle.request(to, item(b"own")).await.unwrap()), Some("capacity"));
    while let Some(inbound) = within("queued", slow.inbound.recv()).await {
        if let Inbound::Request { reply, from, .. } = inbound {
            assert_eq!(from, quick.handle.key());
            reply.send(item_answer(Bytes::from_static(b"done")));
            break;
        }
    }
    assert_eq!(kept.await.unwrap().unwrap(), item_answer(Bytes::from_static(b"done")));
}

#[tokio::test]
async fn alone_and_at_the_end() {
    let mut registry = Registry::default();
    let config = config("alone", 1, &[]);
    let (handle, mut inbound) = weft_node::network::Network::spawn(config.clone(), Some(&mut registry)).unwrap();
    handle.publish(Topic::Market, Bytes::from_static(b"x")).await.unwrap();
    assert_eq!(handle.status().gossip.published_alone, 1);
    assert_eq!(handle.publish(Topic::Sealed(8), Bytes::new()).await, Err(PublishError::NoSuchTopic(Topic::Sealed(8))));
    assert!(matches!(handle.publish(Topic::Market, vec![0; 65_537].into()).await, Err(PublishError::TooLarge(65_537))));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    assert!(text.contains("weft_network_gossip_total{what=\"published_alone\"} 1"), "{text}");
    handle.shutdown().await;
    assert!(inbound.recv().await.is_none());
    assert_eq!(handle.request(handle.key(), item(b"x")).await, Err(RequestError::Stopped));

    let mut bad = config.clone();
    bad.shards = 0;
    assert!(weft_node::network::Network::spawn(bad, None).is_err_and(|error| error.to_string().contains("1 to 32")));
    let mut bad = config;
    bad.boot = vec!["/ip4/127.0.0.1/tcp/1".parse().unwrap()];
    assert!(weft_node::network::Network::spawn(bad, None).is_err_and(|error| error.to_string().contains("/p2p/")));
}
