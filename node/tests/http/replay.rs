//! Every request that the real client was seen to make, made again.

use serde_json::Value;
use weft_protocol::ans104::{Ed25519Signer, ItemBuilder};

use crate::fake::Fake;

#[tokio::test]
async fn every_captured_request_is_answered() {
    let capture: Value = serde_json::from_str(include_str!("../vectors/http/aoconnect-requests.json")).unwrap();
    let fake = Fake::new();
    let user = Ed25519Signer::from_seed([1; 32]);
    let process = fake.spawn(&user);
    let message = fake.send(process, &user, &[], b"x").id;
    let open = fake.open().await;
    let mut made = 0;
    for (call, entry) in capture["calls"].as_object().unwrap() {
        for request in entry["recs"].as_array().unwrap().iter().filter(|request| request["EXTERNAL"] != true) {
            // The capture served the roles under prefixes, and its ids are its own.
            let mut url = request["url"].as_str().unwrap().to_owned();
            for prefix in ["/mu", "/su", "/cu"] {
                if let Some(rest) = url.strip_prefix(prefix) {
                    url = if rest.starts_with('/') { rest.to_owned() } else { format!("/{rest}") };
                }
            }
            let url = url
                .replace("Do_Uc2Sju_ffp6Ev0AnLVdPtot15rvMjP-a9VVaA5fM", &process.to_string())
                .replace("zCzcT7gCv2u_yLr9CzPZqX79MhidtnPhQEdNpfEUzaQ", &message.to_string())
                .replace("MSGID", &message.to_string())
                .replace("/MSG?", &format!("/{message}?"));
            let method = reqwest::Method::from_bytes(request["method"].as_str().unwrap().as_bytes()).unwrap();
            let mut again = open.client.request(method, format!("{}{url}", open.url));
            for (name, value) in request["headers"].as_object().unwrap() {
                if !["host", "connection", "content-length", "accept-encoding"].contains(&name.as_str()) {
                    again = again.header(name, value.as_str().unwrap());
                }
            }
            if let Some(text) = request["body"].as_str() {
                again = again.body(text.to_owned());
            } else if let Some(item) = request.get("dataItem") {
                let mut builder = ItemBuilder::new().data(item["data"].as_str().unwrap().to_owned());
                if !item["target"].as_str().unwrap().is_empty() {
                    builder = builder.target(process);
                }
                if let Ok(anchor) = item["anchor"].as_str().unwrap().as_bytes().try_into() {
                    builder = builder.anchor(anchor);
                }
                for tag in item["tags"].as_array().unwrap() {
                    builder = builder.tag(tag["name"].as_str().unwrap(), tag["value"].as_str().unwrap());
                }
                again = again.body(builder.sign(&user).unwrap().raw().to_vec());
            }
            let reply = again.send().await.unwrap();
            let status = reply.status();
            let text = reply.text().await.unwrap();
            assert!(status.is_success(), "{call}: {url}: {status} {text}");
            if !url.contains("/monitor/") {
                serde_json::from_str::<Value>(&text).unwrap();
            }
            made += 1;
        }
    }
    assert!(made >= 20, "{made} requests");
}
