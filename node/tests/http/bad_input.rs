//! Whatever is sent: the right status, a reason that helps, and a server that still answers.

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use weft_protocol::{
    Id,
    ans104::{Ed25519Signer, ItemBuilder},
};

use crate::fake::{Fake, MAX_ITEM, Open, action};

/// Method, path, body, the status, and a word of the reason.
type Case = (&'static str, String, Vec<u8>, u16, &'static str);

async fn check(open: &Open, (method, path, body, status, word): Case) {
    let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
    let reply = open.client.request(method.clone(), format!("{}{path}", open.url)).body(body).send().await.unwrap();
    let headers = reply.headers().clone();
    let found = reply.status().as_u16();
    let text = reply.text().await.unwrap();
    let shown: String = path.chars().take(120).collect();
    assert_eq!(found, status, "{method} {shown}: {text}");
    assert_eq!(headers["content-type"], "application/json", "{method} {shown}");
    let value: Value = serde_json::from_str(&text).unwrap();
    let reason = value["error"].as_str().unwrap();
    assert!(reason.contains(word), "{method} {shown}: {reason}");
    assert!(reason.len() < 600, "reasons do not echo floods: {}", reason.len());
    if status == 405 {
        assert!(!headers["allow"].is_empty());
    }
    if status == 503 || status == 429 {
        assert!(headers.contains_key("retry-after"));
    }
    assert_eq!(open.get("/livez").await.0, 200, "after {method} {shown}");
}

#[tokio::test]
async fn requests_that_are_wrong() {
    let fake = Fake::new();
    let user = Ed25519Signer::from_seed([1; 32]);
    let p = fake.spawn(&user);
    let never = fake.send(p, &user, &[("Action", action::NEVER)], b"").id;
    let open = fake.open().await;
    let unknown = Id::sha256(b"unknown");
    let message = |target: Id| {
        ItemBuilder::new().target(target).tag("Type", "Message").data("x").sign(&user).unwrap().raw().to_vec()
    };
    let mut tampered = message(p);
    *tampered.last_mut().unwrap() ^= 1;
    let long = "x".repeat(100);
    let flood = "y".repeat(9_000);
    let cases: Vec<Case> = vec![
        ("POST", "/".into(), vec![], 400, "body: missing"),
        ("POST", "/".into(), b"unsigned bytes".to_vec(), 400, "not a data item"),
        ("POST", "/".into(), vec![0; 2000], 400, "not a data item"),
        ("POST", "/".into(), tampered, 400, "signature"),
        ("POST", "/".into(), message(unknown), 404, "process"),
        ("POST", "/v1/items".into(), b"{}".to_vec(), 400, "not a data item"),
        ("POST", "/".into(), vec![1; MAX_ITEM + 1], 413, "at most 1048576"),
        ("POST", "/v1/items".into(), vec![1; MAX_ITEM * 8], 413, "at most 1048576"),
        ("POST", format!("/?process-id={p}"), vec![], 400, "assign: missing"),
        ("POST", format!("/?assign={unknown}"), vec![], 400, "process-id: missing"),
        ("POST", format!("/?process-id={p}&assign=MSGID"), vec![], 400, "assign: \"MSGID\""),
        ("POST", format!("/?process-id={unknown}&assign={unknown}"), vec![], 404, "process"),
        ("POST", format!("/?process-id={p}&assign={unknown}&exclude={long}"), vec![], 400, "exclude"),
        ("POST", format!("/monitor/{unknown}"), message(unknown), 404, "process"),
        ("POST", "/monitor/short".into(), message(p), 400, "short"),
        ("POST", format!("/push/{never}/0?process-id={p}"), vec![], 504, "evaluated"),
        ("POST", format!("/push/{never}/one?process-id={p}"), vec![], 400, "number"),
        ("POST", format!("/push/{never}/0"), vec![], 400, "process-id: missing"),
        ("POST", format!("/push/{unknown}/0?process-id={p}"), vec![], 404, "message"),
        ("GET", format!("/result/{never}"), vec![], 400, "process-id: missing"),
        ("GET", format!("/result/{never}?process-id={p}"), vec![], 504, "not evaluated"),
        ("GET", format!("/result/{unknown}?process-id={p}"), vec![], 404, "message"),
        ("GET", format!("/result/{never}?process-id={unknown}"), vec![], 404, "process"),
        ("GET", format!("/result/MSGID?process-id={p}"), vec![], 400, "MSGID"),
        ("GET", format!("/results/{unknown}"), vec![], 404, "process"),
        ("GET", format!("/results/{p}?from=nonsense"), vec![], 400, "from"),
        ("GET", format!("/results/{p}?to=e30="), vec![], 400, "to"),
        ("GET", format!("/results/{p}?limit=0"), vec![], 400, "limit"),
        ("GET", format!("/results/{p}?limit=-3"), vec![], 400, "limit"),
        ("GET", format!("/results/{p}?sort=UP"), vec![], 400, "ASC or DESC"),
        ("GET", "/cron/nope".into(), vec![], 400, "nope"),
        ("GET", format!("/cron/{p}?from=x"), vec![], 400, "from"),
        ("GET", format!("/cron/{unknown}"), vec![], 404, "process"),
        ("POST", "/dry-run".into(), b"{}".to_vec(), 400, "process-id: missing"),
        ("POST", format!("/dry-run?process-id={p}"), b"not json".to_vec(), 400, "not JSON"),
        ("POST", format!("/dry-run?process-id={p}"), b"[1]".to_vec(), 400, "one JSON object"),
        ("POST", format!("/dry-run?process-id={p}"), br#"{"Tags":{"a":"b"}}"#.to_vec(), 400, "Tags"),
        ("POST", format!("/dry-run?process-id={p}"), br#"{"Tags":[{"name":"a","value":1}]}"#.to_vec(), 400, "Tags"),
        ("POST", format!("/dry-run?process-id={p}"), br#"{"Owner":5}"#.to_vec(), 400, "Owner"),
        ("POST", format!("/dry-run?process-id={p}&to=newest"), b"{}".to_vec(), 400, "to:"),
        ("POST", format!("/dry-run?process-id={unknown}"), b"{}".to_vec(), 404, "process"),
        ("POST", format!("/dry-run?process-id={p}"), "[".repeat(100_000).into_bytes(), 400, "not JSON"),
        ("GET", format!("/{unknown}"), vec![], 404, "item"),
        ("GET", format!("/{unknown}?process-id={p}"), vec![], 404, "message"),
        ("GET", format!("/{p}?process-id=short"), vec![], 400, "process-id"),
        ("GET", format!("/{p}?process-id={p}&from=yesterday"), vec![], 400, "from"),
        ("GET", format!("/{p}?process-id={p}&limit=many"), vec![], 400, "limit"),
        ("GET", format!("/{p}?to-nonce=last"), vec![], 400, "to-nonce"),
        ("GET", format!("/{unknown}/latest"), vec![], 404, "process"),
        ("GET", format!("/processes/{unknown}"), vec![], 404, "process"),
        ("GET", "/raw/x".into(), vec![], 400, "43 characters"),
        ("POST", "/graphql".into(), vec![], 400, "body: missing"),
        ("POST", "/tx".into(), b"junk".to_vec(), 400, "not a data item"),
        ("GET", "/v1/processes?after=x".into(), vec![], 400, "after"),
        ("GET", format!("/v1/processes/{p}/log?from=5&to=1"), vec![], 400, "below from"),
        ("GET", format!("/v1/processes/{p}/log?from=x"), vec![], 400, "from"),
        ("GET", format!("/v1/processes/{unknown}"), vec![], 404, "process"),
        ("GET", format!("/v1/processes/{p}/messages/{unknown}"), vec![], 404, "message"),
        ("GET", "/reslts/x".into(), vec![], 404, "/results/{pid}"),
        ("GET", "/v1/stats".into(), vec![], 404, "/v1/status"),
        ("GET", "/timestmp".into(), vec![], 404, "/timestamp"),
        ("GET", "/../../etc/passwd".into(), vec![], 404, "nearest"),
        ("GET", "/%ff%fe".into(), vec![], 400, "path"),
        ("PUT", "/".into(), vec![], 405, "GET, POST"),
        ("GET", "/graphql".into(), vec![], 405, "POST"),
        ("POST", "/timestamp".into(), vec![], 405, "GET"),
        ("PATCH", format!("/monitor/{p}"), vec![], 405, "POST, DELETE"),
        ("GET", format!("/{p}?{flood}"), vec![], 414, "8192"),
    ];
    for case in cases {
        check(&open, case).await;
    }
}

#[tokio::test]
async fn a_body_that_grows_past_the_bound_is_cut_off() {
    let open = Fake::new().open().await;
    let pieces = futures::stream::iter((0..40).map(|_| Ok::<_, std::io::Error>(vec![1_u8; MAX_ITEM / 16])));
    let (status, body) = open.post("/", reqwest::Body::wrap_stream(pieces)).await;
    assert_eq!(status, 413);
    assert!(body["error"].as_str().unwrap().contains("at most"));
    assert_eq!(open.get("/livez").await.0, 200);
}

/// What the server says to these bytes before it closes or falls silent.
async fn raw(open: &Open, bytes: &[u8]) -> String {
    let mut stream = tokio::net::TcpStream::connect(open.url.trim_start_matches("http://")).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut reply = vec![0; 4096];
    let read = stream.read(&mut reply).await.unwrap_or(0);
    String::from_utf8_lossy(&reply[..read]).into_owned()
}

#[tokio::test]
async fn what_is_no_request_at_all() {
    let open = Fake::new().open().await;
    assert!(raw(&open, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").await.starts_with("HTTP/1.1 400"));
    assert!(raw(&open, b"GET / HTTP/9.9\r\n\r\n").await.starts_with("HTTP/1.1 "));
    assert!(
        raw(&open, b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: nonsense\r\n\r\n").await.starts_with("HTTP/1.1 400")
    );
    // Announced, never sent: the refusal comes before the body.
    let head =
        format!("POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n", u64::MAX / 4);
    assert!(raw(&open, head.as_bytes()).await.starts_with("HTTP/1.1 413"));
    let fat = format!("GET / HTTP/1.1\r\nhost: x\r\nx-fat: {}\r\n\r\n", "z".repeat(40_000));
    assert!(raw(&open, fat.as_bytes()).await.starts_with("HTTP/1.1 431"));
    let many = format!("GET / HTTP/1.1\r\nhost: x\r\n{}\r\n", "a: b\r\n".repeat(5_000));
    assert!(raw(&open, many.as_bytes()).await.starts_with("HTTP/1.1 4"));
    assert_eq!(open.get("/livez").await.0, 200);
}
