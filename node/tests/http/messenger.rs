//! The messenger unit's own routes: pushing again, traces; and Arweave's routes handed on.

use serde_json::json;

use weft_protocol::ans104::Ed25519Signer;

use crate::fake::Fake;

/// A process with its wallet.
fn process(fake: &Fake) -> (weft_protocol::Id, Ed25519Signer) {
    let user = Ed25519Signer::from_seed([1; 32]);
    (fake.spawn(&user), user)
}

#[tokio::test]
async fn an_entry_is_pushed_again_with_and_without_the_callers_result() {
    let fake = Fake::new();
    let (pid, user) = process(&fake);
    let mid = fake.send(pid, &user, &[("Action", "Ping")], b"hello").id;
    let open = fake.open().await;
    let (status, body) = open.post(&format!("/push/{mid}/2?process-id={pid}&custom-cu=http://x"), "").await;
    assert_eq!((status, &body["id"]), (202, &json!(mid)), "{body}");
    assert_eq!(body["pushed"][0]["text"], "entry 2 of slot 1, supplied: false");
    let (status, body) = open.post(&format!("/push-result/{mid}/0?process-id={pid}"), "{\"Messages\": []}").await;
    assert_eq!((status, &body["pushed"][0]["text"]), (202, &json!("entry 0 of slot 1, supplied: true")), "{body}");
    for (path, named) in [
        (format!("/push/{mid}/two?process-id={pid}"), "number in the path"),
        (format!("/push/{mid}/-1?process-id={pid}"), "number in the path"),
        (format!("/push/{mid}/0"), "process-id"),
        (format!("/push/short/0?process-id={pid}"), "message id in the path"),
        (format!("/push-result/{mid}/0?process-id={pid}"), "body"),
    ] {
        let (status, body) = open.post(&path, "").await;
        assert_eq!(status, 400, "{path}: {body}");
        assert!(body["error"].as_str().unwrap().starts_with(named), "{path}: {body}");
    }
    let (status, _) = open.post(&format!("/push/{pid}/0?process-id={mid}"), "").await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn f16_clients_own_slips_are_understood() {
    let fake = Fake::new();
    let (pid, user) = process(&fake);
    let ids: Vec<_> = (0..5).map(|n| fake.send(pid, &user, &[("Action", "Ping")], &[n]).id).collect();
    let open = fake.open().await;
    // Without `process-id`, as getMessages asks.
    let page = open.json(&format!("/{pid}?from=0&to=9999999999999&limit=2")).await;
    assert_eq!(page["edges"].as_array().unwrap().len(), 2);
    // A cursor as the messenger unit puts it into the address: base64 with whatever it has in it.
    let all = open.json(&format!("/results/{pid}?limit=6")).await;
    let edges = all["edges"].as_array().unwrap();
    for (at, edge) in edges.iter().enumerate().take(5) {
        let cursor = edge["cursor"].as_str().unwrap();
        let rest = open.json(&format!("/results/{pid}?limit=6&from={cursor}")).await;
        assert_eq!(rest["edges"].as_array().unwrap()[..], edges[at + 1..]);
    }
    // An assignment posted to `/?`, an item to the bare address.
    let (status, body) = open.post(&format!("/?process-id={pid}&assign={}", ids[0]), "").await;
    assert_eq!(status, 202, "{body}");
    let (status, _) = open.post(&format!("?process-id={pid}&assign={}", ids[0]), "").await;
    assert_eq!(status, 202);
    // A gateway's address with a path and no slash at its end.
    for path in ["/gwgraphql", "/a/bgraphql"] {
        let (status, body) = open.post(path, "{}").await;
        assert_eq!(status, 404, "{body}");
    }
    let (_, body) = open.post("/gwgraphql", "{}").await;
    assert!(body["error"].as_str().unwrap().contains("GATEWAY_URL"), "{body}");
}

#[tokio::test]
async fn traces_tell_what_became_of_messages() {
    let fake = Fake::new();
    let (pid, user) = process(&fake);
    let ids: Vec<_> = (0..3).map(|n| fake.send(pid, &user, &[("Action", "Ping")], &[n]).id).collect();
    let open = fake.open().await;
    let page = open.json(&format!("/?debug&process={pid}&page=2&page-size=2")).await;
    let traces = page["traces"].as_array().unwrap();
    assert_eq!((traces.len(), page["page"].clone(), page["pageSize"].clone()), (2, json!(2), json!(2)));
    assert_eq!(
        (&traces[0]["id"], &traces[0]["slot"], &traces[0]["type"]),
        (&json!(ids[1]), &json!(2), &json!("MESSAGE"))
    );
    assert_eq!(open.json(&format!("/?debug=1&process={pid}")).await["traces"][0]["type"], "SPAWN");
    let one = open.json(&format!("/?debug&message={}&process-id={pid}", ids[0])).await;
    assert_eq!(one["traces"][0]["receipt"]["level"], "sealed", "{one}");
    let wallet = user.key().address();
    for (query, expected) in
        [("page=2", 200), ("page=3", 400), ("page=3&page-size=40", 200), ("page=4&page-size=40", 400)]
    {
        let (status, body) = open.get(&format!("/?debug&wallet={wallet}&{query}")).await;
        assert_eq!(status, expected, "{query}: {body}");
        let told = expected == 200 || body["error"].as_str().unwrap().contains("newest 100 messages");
        assert!(told, "{query}: {body}");
    }
    let (status, body) = open.get("/?debug").await;
    assert_eq!(status, 400, "{body}");
    let (status, body) = open.get(&format!("/?debug&message={}", ids[0])).await;
    assert_eq!(status, 400, "the scripted door's index does not know whose it is: {body}");
}

#[tokio::test]
async fn arweaves_routes_are_handed_on_and_nothing_else_is() {
    let open = Fake::new().open().await;
    let id = "A".repeat(43);
    let hash = "B".repeat(64);
    for path in [
        "/info".to_owned(),
        "/block/current".to_owned(),
        "/block/height/7".to_owned(),
        format!("/block/hash/{hash}"),
        "/price/7".to_owned(),
        format!("/price/7/{id}"),
        format!("/wallet/{id}/balance"),
        format!("/wallet/{id}/last_tx"),
        format!("/tx/{id}"),
        format!("/tx/{id}/offset"),
        format!("/tx/{id}/data.json"),
        "/chunk/1".to_owned(),
    ] {
        let (status, body) = open.get(&path).await;
        assert_eq!((status, &body["path"], &body["posted"]), (202, &json!(path), &json!(null)));
    }
    assert_eq!(open.get("/tx_anchor").await.1, json!("an anchor"));
    for path in [
        "/block/height/-1".to_owned(),
        format!("/block/hash/{}%2F{}", &hash[..31], &hash[..32]),
        "/price/7/..%2Finfo".to_owned(),
        format!("/wallet/{id}/secrets"),
        format!("/tx/{id}/..%2F..%2Fmine"),
        "/tx/short".to_owned(),
        "/chunk/x".to_owned(),
    ] {
        assert_eq!(open.get(&path).await.0, 400, "{path}");
    }
    for path in ["/tx", "/chunk"] {
        let request = open.client.post(format!("{}{path}", open.url)).header("content-type", "application/json");
        let reply = request.body("{\"a\":1}").send().await.unwrap();
        assert_eq!(reply.status(), 202);
        let body: serde_json::Value = serde_json::from_str(&reply.text().await.unwrap()).unwrap();
        assert_eq!((&body["path"], &body["posted"]), (&json!(path), &json!("{\"a\":1}")));
    }
}
