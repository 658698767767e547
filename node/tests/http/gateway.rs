//! Items by id, GraphQL and uploads.

use serde_json::{Value, json};
use weft_protocol::{
    Id,
    ans104::{Ed25519Signer, ItemBuilder},
};

use crate::fake::Fake;

#[tokio::test]
async fn data_comes_with_its_tags_but_never_as_a_page_of_the_node() {
    let fake = Fake::new();
    let tags = [
        ("Content-Type", "text/html"),
        ("Data-Protocol", "ao"),
        ("Type", "Module"),
        ("Memory-Limit", "1-gb"),
        ("Type", "Other"),
        ("Set-Cookie", "a=b"),
        ("Location", "http://x"),
        ("Content-Length", "7"),
        ("X-Frame", "1"),
        ("Bad name", "v"),
        ("Line", "a\nb"),
        ("Access-Control-Allow-Credentials", "true"),
    ];
    let id = fake.store(&tags, b"<script>1</script>");
    let open = fake.open().await;
    for path in [format!("/raw/{id}"), format!("/{id}")] {
        let reply = open.client.get(format!("{}{path}", open.url)).send().await.unwrap();
        assert_eq!(reply.status(), 200);
        let headers = reply.headers().clone();
        assert_eq!(headers["content-type"], "text/html");
        assert_eq!(headers["memory-limit"], "1-gb");
        assert_eq!(headers.get_all("type").iter().collect::<Vec<_>>(), ["Module", "Other"]);
        assert!(headers["content-security-policy"].to_str().unwrap().starts_with("sandbox"));
        assert_eq!(headers["x-content-type-options"], "nosniff");
        for kept_out in ["set-cookie", "location", "x-frame", "line", "access-control-allow-credentials"] {
            assert!(!headers.contains_key(kept_out), "{kept_out}");
        }
        assert_eq!(reply.bytes().await.unwrap(), "<script>1</script>");
        let head = open.client.head(format!("{}{path}", open.url)).send().await.unwrap();
        assert_eq!((head.status().as_u16(), head.headers()["data-protocol"].to_str().unwrap()), (200, "ao"));
        assert_eq!(head.headers()["content-length"], "18");
    }
}

#[tokio::test]
async fn many_tags_do_not_make_an_unreadable_head() {
    let fake = Fake::new();
    let long = "v".repeat(3000);
    let tags: Vec<(&str, &str)> = vec![("Long", &long); 40];
    let id = fake.store(&tags, b"data");
    let open = fake.open().await;
    let reply = open.client.get(format!("{}/raw/{id}", open.url)).send().await.unwrap();
    assert_eq!(reply.headers().get_all("long").iter().count(), 2);
    assert_eq!(reply.headers()["content-type"], "application/octet-stream");
}

#[tokio::test]
async fn graphql_is_passed_on() {
    let fake = Fake::new();
    let open = fake.open().await;
    let query = json!({ "query": "query { transactions { edges { node { id } } } }", "variables": {} });
    let (status, answer) = open.post("/graphql", query.to_string()).await;
    assert_eq!(status, 200);
    assert!(answer["data"]["transactions"]["edges"].is_array());
    assert_eq!(fake.graphql_bodies(), [query]);
}

#[tokio::test]
async fn a_graphql_question_is_smaller_than_an_item() {
    let fake = Fake::new();
    let open = fake.open().await;
    let (status, body) = open.post("/graphql", vec![b' '; (256 << 10) + 1]).await;
    assert_eq!(status, 413, "{body}");
    let reason = body["error"].as_str().unwrap();
    assert!(reason.contains("GraphQL questions of at most 262144 bytes"), "{reason}");
    assert_eq!(fake.graphql_bodies(), [] as [Value; 0]);
}

#[tokio::test]
async fn uploads_answer_with_the_id() {
    let open = Fake::new().open().await;
    let item = ItemBuilder::new().tag("Type", "Module").data("wasm").sign(&Ed25519Signer::from_seed([3; 32])).unwrap();
    for path in ["/tx", "/tx/arweave"] {
        let (status, body) = open.post(path, item.raw().to_vec()).await;
        assert_eq!((status, &body["id"]), (200, &json!(item.id())));
    }
    let transaction = open
        .client
        .post(format!("{}/tx/arweave", open.url))
        .header("content-type", "application/json")
        .body("{}")
        .send()
        .await
        .unwrap();
    assert_eq!(transaction.status(), 400);
    let body: Value = transaction.json().await.unwrap();
    assert!(body["error"].as_str().unwrap().contains("content-type"));
    assert_eq!(open.get(&format!("/raw/{}", Id::sha256(b"none"))).await.0, 404);
}
