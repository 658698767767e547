//! Every route answers in the form that its clients rely on.

use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use weft_node::door::Activity;
use weft_protocol::{
    Id,
    ans104::{DataItem, Ed25519Signer, ItemBuilder, Profile},
};

use crate::fake::{Fake, START};

fn user() -> Ed25519Signer {
    Ed25519Signer::from_seed([1; 32])
}

/// The log of the golden nodes, and the nodes.
fn golden() -> (Fake, Id, Vec<Value>) {
    let text = include_str!("../vectors/http/scheduler-nodes.json");
    let vectors: Value = serde_json::from_str(text).unwrap();
    let process: Id = vectors["process"].as_str().unwrap().parse().unwrap();
    let fake = Fake::new();
    let mut nodes = Vec::new();
    for (slot, step) in vectors["steps"].as_array().unwrap().iter().enumerate() {
        let raw = |name: &str| step[name].as_str().map(|text| URL_SAFE_NO_PAD.decode(text).unwrap().into());
        fake.put(process, slot as u64, raw("item"), raw("assignment").unwrap());
        nodes.push(step["node"].clone());
    }
    (fake, process, nodes)
}

#[tokio::test]
async fn nodes_are_byte_for_byte_what_the_scheduler_unit_shows() {
    let (fake, process, nodes) = golden();
    let open = fake.open().await;
    let page = open.json(&format!("/{process}?process-id={process}&limit=1000")).await;
    assert_eq!(page["page_info"], json!({ "has_next_page": false }));
    let edges = page["edges"].as_array().unwrap();
    assert_eq!(edges.len(), nodes.len());
    for (edge, node) in edges.iter().zip(&nodes) {
        assert_eq!(edge["node"].to_string(), node.to_string());
        let times = node["assignment"]["tags"].as_array().unwrap();
        let time = times.iter().find(|tag| tag["name"] == "Timestamp").unwrap();
        assert_eq!(edge["cursor"], time["value"]);
    }
    for node in &nodes {
        let by_assignment = format!("/{}?process-id={process}", node["assignment"]["id"].as_str().unwrap());
        assert_eq!(open.json(&by_assignment).await.to_string(), node.to_string());
    }
    let latest = open.json(&format!("/{process}/latest")).await;
    assert_eq!(latest.to_string(), nodes.last().unwrap().to_string());
}

#[tokio::test]
async fn the_process_record_is_the_scheduler_units() {
    let (fake, process, nodes) = golden();
    let open = fake.open().await;
    let record = open.json(&format!("/processes/{process}")).await;
    let names: Vec<&String> = record.as_object().unwrap().keys().collect();
    assert_eq!(names, ["process_id", "block", "owner", "tags", "timestamp", "data", "anchor", "signature", "target"]);
    let message = &nodes[0]["message"];
    for same in ["owner", "tags", "data", "anchor", "signature", "target"] {
        assert_eq!(record[same], message[same], "{same}");
    }
    assert_eq!(record["block"], "000001580000");
    assert!(record["timestamp"].is_u64());
}

#[tokio::test]
async fn a_path_that_is_a_process_needs_no_process_id() {
    let (fake, process, nodes) = golden();
    let open = fake.open().await;
    let reply = open.client.get(format!("{}/{process}?from=1&limit=3", open.url)).send().await.unwrap();
    assert_eq!(reply.headers()["type"], "Process", "a messenger reads the process's tags from here");
    assert_eq!(reply.headers()["content-type"], "application/json");
    let page: Value = reply.json().await.unwrap();
    assert_eq!(page["edges"].as_array().unwrap().len(), 3);
    assert_eq!(page["edges"][0]["node"], nodes[0]);
}

#[tokio::test]
async fn binary_data_keeps_its_bytes_beside_the_text() {
    let fake = Fake::new();
    let process = fake.spawn(&user());
    let bytes = [0xff, b'a', 0x00, 0xc3];
    let sent = fake.send(process, &user(), &[], &bytes);
    let open = fake.open().await;
    let node = open.json(&format!("/{}?process-id={process}", sent.id)).await;
    assert_eq!(node["message"]["data"], String::from_utf8_lossy(&bytes).as_ref());
    assert_eq!(node["message"]["data_base64"], URL_SAFE_NO_PAD.encode(bytes));
    // A message's target is its process, a process's is null.
    assert_eq!(node["message"]["target"], process.to_string());
    let spawn = ItemBuilder::new()
        .tag("Data-Protocol", "ao")
        .tag("Type", "Process")
        .data(bytes.to_vec())
        .sign(&user())
        .unwrap();
    let (status, _) = open.post("/", spawn.raw().to_vec()).await;
    assert_eq!(status, 202);
    let page = open.json(&format!("/{0}?process-id={0}", spawn.id())).await;
    let message = &page["edges"][0]["node"]["message"];
    assert_eq!((&message["data"], &message["target"]), (&Value::Null, &Value::Null));
    assert_eq!(message["data_base64"], URL_SAFE_NO_PAD.encode(bytes));
    assert_eq!(open.json(&format!("/processes/{}", spawn.id())).await["data"], Value::Null);
}

#[tokio::test]
async fn anchors_are_text_or_bytes_as_asked() {
    let (fake, process, nodes) = golden();
    let open = fake.open().await;
    let text = nodes[1]["assignment"]["anchor"].as_str().unwrap();
    let id = nodes[1]["assignment"]["id"].as_str().unwrap();
    let shown = open.json(&format!("/{id}?process-id={process}&show-anchor")).await;
    assert_eq!(shown["assignment"]["anchor"], URL_SAFE_NO_PAD.encode(text));
}

#[tokio::test]
async fn posting_answers_both_kinds_of_client() {
    let fake = Fake::new();
    let open = fake.open().await;
    let item = ItemBuilder::new().tag("Data-Protocol", "ao").tag("Type", "Process").data(" ").sign(&user()).unwrap();
    let reply = open.client.post(&open.url).body(item.raw().to_vec()).send().await.unwrap();
    assert_eq!(reply.status(), 202);
    let body: Value = reply.json().await.unwrap();
    assert_eq!(body, json!({ "message": "Processing DataItem", "id": item.id(), "timestamp": START + 1_000_000 }));
    // Again: the same answer, no second slot.
    assert_eq!(open.post("/", item.raw().to_vec()).await, (202, body));
    let sealed = open.post("/v1/items", item.raw().to_vec()).await;
    assert_eq!(sealed.0, 200);
    assert_eq!(
        (&sealed.1["slot"], &sealed.1["duplicate"], &sealed.1["level"]),
        (&json!(0), &json!(true), &json!("sealed"))
    );
}

#[tokio::test]
async fn assigning_answers_with_the_assignment() {
    let fake = Fake::new();
    let process = fake.spawn(&user());
    let open = fake.open().await;
    let tx = Id::sha256(b"tx");
    let (status, body) =
        open.post(&format!("/?process-id={process}&assign={tx}&base-layer&exclude=Data,Tags"), "").await;
    assert_eq!((status, &body["message"]), (202, &json!("Processing Assignment")));
    let result = open.json(&format!("/result/{}?process-id={process}", body["id"].as_str().unwrap())).await;
    assert_eq!(result["Output"], "Data+Tags true");
    let node = open.json(&format!("/{}?process-id={process}", body["id"].as_str().unwrap())).await;
    assert_eq!(node["message"], Value::Null);
}

#[tokio::test]
async fn who_and_when() {
    let fake = Fake::new();
    let open = fake.open().await;
    let who = json!({ "timestamp": (START + 1_000_000).to_string(), "address": fake.address() });
    assert_eq!(open.json("/").await, who);
    assert_eq!(open.json(&format!("/?process-id={}", fake.address())).await, who);
    let when = json!({ "timestamp": (START + 1_000_000).to_string(), "block_height": "000001580000" });
    assert_eq!(open.json("/timestamp").await, when);
    assert_eq!(open.get("/health").await, (200, json!("")));
    assert_eq!(open.get("/livez").await, (200, json!("ok\n")));
}

#[tokio::test]
async fn browsers_see_the_page_and_programs_the_facts() {
    let open = Fake::new().open().await;
    let ask = |accept: &'static str, path: &'static str| {
        open.client.get(format!("{}{path}", open.url)).header("accept", accept).send()
    };
    let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    let page = ask(browser, "/").await.unwrap();
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    assert!(page.headers()["content-security-policy"].to_str().unwrap().contains("default-src 'none'"));
    let text = page.text().await.unwrap();
    assert!(text.len() < 40 << 10 && text.contains("<title>"));
    assert!(
        !text.contains("innerHTML") && !text.contains("http://") && !text.contains("https://"),
        "self-contained, and only text"
    );
    for (accept, path) in [
        ("*/*", "/"),
        ("application/json", "/"),
        ("text/html;q=0.5, application/json", "/"),
        (browser, "/?process-id=x"),
    ] {
        let reply = ask(accept, path).await.unwrap();
        assert_eq!(reply.headers()["content-type"], "application/json", "{accept} {path}");
    }
}

#[tokio::test]
async fn results_are_handed_over_as_they_are() {
    let fake = Fake::new();
    let process = fake.spawn(&user());
    let sent = fake.send(process, &user(), &[], b"one");
    let open = fake.open().await;
    let result = open.json(&format!("/result/{}?process-id={process}&no-busy=1", sent.id)).await;
    let names: Vec<&String> = result.as_object().unwrap().keys().collect();
    assert_eq!(names, ["Messages", "Assignments", "Spawns", "Output", "GasUsed"]);
    assert_eq!(result["Output"]["data"], "ONE");
    assert_eq!(fake.waited().unwrap().as_secs(), 60);
    // By the assignment's id too.
    assert_eq!(open.json(&format!("/result/{}?process-id={process}", sent.assignment)).await, result);
    let tried = open.post(&format!("/dry-run?process-id={process}"), r#"{"Data":"hello","Tags":[]}"#).await;
    assert_eq!((tried.0, &tried.1["Output"]["data"]), (200, &json!("hello")));
    let empty = json!({ "pageInfo": { "hasNextPage": false }, "edges": [], "page_info": { "has_next_page": false } });
    assert_eq!(open.json(&format!("/cron/{process}?from=1735689600000&limit=50")).await, empty);
}

#[tokio::test]
async fn weft_routes() {
    let fake = Fake::new();
    let process = fake.spawn(&user());
    let sent = fake.send(process, &user(), &[("Action", "Fail")], b"x");
    let open = fake.open().await;
    assert_eq!(open.json("/v1/status").await["node"]["name"], "node-1");
    assert_eq!(open.json("/v1/network").await["name"], "weft-test");
    assert!(open.json("/v1/market").await["offers"].is_array());
    let line = |text: &str| Activity {
        at_ms: START,
        kind: "sealed",
        process: Some(process),
        slot: Some(1),
        text: text.into(),
    };
    fake.push_activity(line("first"));
    fake.push_activity(line("second"));
    let newest = json!([{ "at_ms": START, "kind": "sealed", "process": process, "slot": 1, "text": "second" }]);
    assert_eq!(open.json("/v1/activity?limit=1").await, json!({ "activity": newest }));
    fake.set_market(json!({ "offers": [1] }));
    assert_eq!(open.json("/v1/market").await, json!({ "offers": [1] }));
    let list = open.json("/v1/processes").await;
    assert_eq!((&list["processes"][0]["id"], &list["processes"][0]["name"]), (&json!(process), &json!("test")));
    assert_eq!(open.json(&format!("/v1/processes?after={process}")).await, json!({ "processes": [] }));
    let view = open.json(&format!("/v1/processes/{process}")).await;
    assert_eq!((&view["next_slot"], &view["election"]["why"]), (&json!(2), &json!("the only one")));
    let log = open.json(&format!("/v1/processes/{process}/log?from=1")).await;
    assert_eq!(
        (&log["entries"][0]["slot"], &log["entries"][0]["message"]["id"], &log["more"]),
        (&json!(1), &json!(sent.id), &json!(false))
    );
    let first = open.json(&format!("/v1/processes/{process}/log?limit=1")).await;
    assert_eq!((first["entries"].as_array().unwrap().len(), &first["more"]), (1, &json!(true)));
    let results = open.json(&format!("/v1/processes/{process}/results?sort=DESC&limit=1")).await;
    assert_eq!((&results["results"][0]["result"]["Error"], &results["more"]), (&json!("it failed"), &json!(true)));
    let receipt = open.json(&format!("/v1/processes/{process}/messages/{}", sent.id)).await;
    assert_eq!(
        (&receipt["slot"], &receipt["level"], &receipt["assignment"]),
        (&json!(1), &json!("sealed"), &json!(sent.assignment))
    );
}

#[tokio::test]
async fn readiness_says_why_not() {
    let fake = Fake::new();
    let open = fake.open().await;
    assert_eq!(open.json("/readyz").await, json!({ "ready": true }));
    assert_eq!(open.json("/readyz?verbose").await["status"]["mesh"]["peers"], 4);
    fake.set_not_ready(&["no peers", "journal is being read"]);
    let reply = open.client.get(format!("{}/readyz", open.url)).send().await.unwrap();
    assert_eq!((reply.status().as_u16(), reply.headers()["retry-after"].to_str().unwrap()), (503, "1"));
    let body: Value = reply.json().await.unwrap();
    assert_eq!(body["error"], "not ready: no peers; journal is being read");
    assert_eq!(open.get("/livez").await.0, 200);
}

#[tokio::test]
async fn metrics_are_one_document() {
    let open = Fake::new().open().await;
    open.get("/timestamp").await;
    open.get("/no/such/route/here").await;
    let text = open.client.get(format!("{}/metrics", open.url)).send().await.unwrap().text().await.unwrap();
    assert!(text.starts_with("# HELP weft_fake") && text.contains("\nweft_fake 1\n"));
    assert!(text.contains(r#"weft_http_requests_total{route="/timestamp",status="200"} 1"#), "{text}");
    assert!(text.contains(r#"weft_http_requests_total{route="other",status="404"} 1"#));
    assert_eq!(text.matches("# EOF").count(), 1);
    assert!(text.ends_with("# EOF\n"));
}

#[tokio::test]
async fn monitoring_takes_the_owners_word_only() {
    let fake = Fake::new();
    let process = fake.spawn(&user());
    let open = fake.open().await;
    let word = |signer: &Ed25519Signer, target: Id| {
        ItemBuilder::new().target(target).data(" ").sign(signer).unwrap().raw().to_vec()
    };
    let ask = |method: reqwest::Method, body: Vec<u8>| {
        open.client.request(method, format!("{}/monitor/{process}", open.url)).body(body).send()
    };
    for method in [reqwest::Method::POST, reqwest::Method::DELETE] {
        let good = ask(method.clone(), word(&user(), process)).await.unwrap();
        assert_eq!(good.status(), 200);
        assert!(good.text().await.unwrap().contains("Weft"));
        let other = ask(method.clone(), word(&Ed25519Signer::from_seed([2; 32]), process)).await.unwrap();
        assert_eq!(other.status(), 403);
        assert_eq!(ask(method.clone(), word(&user(), Id::sha256(b"x"))).await.unwrap().status(), 400);
        assert_eq!(ask(method.clone(), b"unsigned".to_vec()).await.unwrap().status(), 400);
    }
}

#[tokio::test]
async fn the_description_lists_exactly_the_routes() {
    let fake = Fake::new();
    let open = fake.open().await;
    let document = open.json("/v1/openapi.json").await;
    let mut described = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            assert!(operation["summary"].is_string() && operation["responses"].is_object(), "{method} {path}");
            described.insert((method.to_uppercase(), path.clone()));
        }
    }
    let routes = weft_node::http::route_list();
    assert_eq!(described, routes.iter().map(|(method, path)| ((*method).to_owned(), (*path).to_owned())).collect());
    // And the router carries each of them: whatever it says to a made-up request, it is not "no such route".
    for (method, path) in routes {
        let filled = path
            .replace("{pid}", &Id::sha256(b"p").to_string())
            .replace("{id}", &Id::sha256(b"i").to_string())
            .replace("{number}", "0");
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let reply = open.client.request(method.clone(), format!("{}{filled}", open.url)).send().await.unwrap();
        let status = reply.status();
        let text = reply.text().await.unwrap();
        assert!(status != 405 && !text.contains("no route"), "{method} {path}: {status} {text}");
    }
    // Every reference resolves.
    let text = document.to_string();
    for piece in text.split("\"$ref\":\"#/").skip(1) {
        let pointer = format!("/{}", piece.split('"').next().unwrap());
        assert!(document.pointer(&pointer).is_some(), "{pointer}");
    }
}

#[tokio::test]
async fn any_page_may_ask() {
    let open = Fake::new().open().await;
    let preflight = open.client.request(reqwest::Method::OPTIONS, format!("{}/dry-run", open.url));
    let preflight = preflight
        .header("origin", "https://a.page")
        .header("access-control-request-method", "POST")
        .send()
        .await
        .unwrap();
    assert_eq!(preflight.status(), 200);
    assert_eq!(preflight.headers()["access-control-allow-origin"], "*");
    for path in ["/timestamp", "/nowhere/at/all"] {
        let reply =
            open.client.get(format!("{}{path}", open.url)).header("origin", "https://a.page").send().await.unwrap();
        assert_eq!(reply.headers()["access-control-allow-origin"], "*");
        assert_eq!(reply.headers()["access-control-expose-headers"], "*");
    }
}

#[tokio::test]
async fn what_is_signed_comes_back_as_signed() {
    let (fake, process, nodes) = golden();
    let open = fake.open().await;
    let node = open.json(&format!("/{}?process-id={process}", nodes[0]["assignment"]["id"].as_str().unwrap())).await;
    let text = include_str!("../vectors/http/scheduler-nodes.json");
    let vectors: Value = serde_json::from_str(text).unwrap();
    let raw = URL_SAFE_NO_PAD.decode(vectors["steps"][0]["item"].as_str().unwrap()).unwrap();
    let item = DataItem::parse_verified(raw.into(), Profile::Strict).unwrap();
    assert_eq!(node["message"]["signature"], URL_SAFE_NO_PAD.encode(item.signature()));
    assert_eq!(node["message"]["id"], item.id().to_string());
}

#[tokio::test]
async fn a_dry_run_looks_at_the_state_after_a_message() {
    let fake = Fake::new();
    let user = Ed25519Signer::from_seed([1; 32]);
    let process = fake.spawn(&user);
    let sent = fake.send(process, &user, &[], b"x");
    let open = fake.open().await;
    let body = json!({ "Owner": "1234", "Data": "1", "Tags": [] }).to_string();
    let ask = async |to: String| open.post(&format!("/dry-run?process-id={process}{to}"), body.clone()).await;
    assert_eq!(ask(String::new()).await.1["Output"]["after"], Value::Null);
    for to in [sent.id, sent.assignment] {
        assert_eq!(ask(format!("&to={to}")).await.1["Output"]["after"], 1);
    }
    assert_eq!(ask(format!("&to={process}")).await.1["Output"]["after"], 0);
    assert_eq!(ask(format!("&to={}", Id::sha256(b"unknown"))).await.0, 404);
    assert_eq!(ask("&to=newest".to_owned()).await.0, 400);
}

#[tokio::test]
async fn a_state_is_the_whole_memory_under_the_slot_it_stands_after() {
    let fake = Fake::new();
    let user = Ed25519Signer::from_seed([1; 32]);
    let process = fake.spawn(&user);
    fake.send(process, &user, &[], b"x");
    fake.send(process, &user, &[], b"y");
    let open = fake.open().await;
    let ask = async |to: String| open.client.get(format!("{}/state/{process}{to}", open.url)).send().await.unwrap();
    let header = |reply: &reqwest::Response, name: &str| reply.headers()[name].to_str().unwrap().to_owned();
    let newest = ask(String::new()).await;
    assert_eq!(header(&newest, "last-ordinate"), "2");
    assert_eq!(header(&newest, "last-timestamp"), (START + 2000).to_string());
    assert_eq!(header(&newest, "last-block-height"), "1580000");
    assert_eq!(header(&newest, "content-type"), "application/octet-stream");
    let memory = newest.bytes().await.unwrap();
    assert_eq!((memory.len(), &memory[70_000..70_003], &memory[131_069..]), (131_072, &b"abc"[..], &b"end"[..]));
    assert!(memory[..70_000].iter().chain(&memory[70_003..131_069]).all(|byte| *byte == 0));
    assert_eq!(header(&ask(format!("?to={}", START + 1500)).await, "last-ordinate"), "1");
    assert_eq!(header(&ask(format!("?to={}", START + 1000)).await, "last-ordinate"), "1");
    assert_eq!(header(&ask(format!("?to={}", START + 99_000)).await, "last-ordinate"), "2");
    assert_eq!(ask(format!("?to={}", START - 1)).await.status(), 404);
}
