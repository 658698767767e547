//! HyperBEAM-style paths: the real client in its mainnet mode, every request it was seen to make, and what others ask.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use weft_protocol::{
    Id,
    ans104::{DataItem, Ed25519Signer, ItemBuilder, Profile},
};

use crate::{
    fake::{Fake, Open, action},
    npm,
};

const CLIENT: &str = "@permaweb/aoconnect@0.0.98";

const SCRIPT: &str = r#"
import { generateKeyPairSync } from 'node:crypto';
import { connect, createSigner } from '@permaweb/aoconnect';

const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 4096 });
const signer = createSigner(privateKey.export({ format: 'jwk' }));
const URL = process.env.NODE_URL;
const ao = connect({ MODE: 'mainnet', URL, signer });
const out = { functions: Object.keys(ao).sort() };
const failed = async call => { try { return { value: await call() }; } catch (fault) { return { fault: fault.message }; } };
const tags = Object.entries({ Action: 'Say' }).map(([name, value]) => ({ name, value }));

out.process = await ao.spawn({ module: process.env.MODULE, tags: [{ name: 'Name', value: 'from the real client' }] });
const process_ = out.process;
out.slot = await ao.message({ process: process_, tags, data: 'one' });
out.id = await ao.message({ process: process_, tags, data: 'two', returnMessageId: true });
out.full = await ao.message({ process: process_, tags, data: 'three', opts: { fullResponse: true } });
out.both = await ao.message({ process: process_, tags, returnMessageId: true, returnAssignmentSlot: true });
out.bySlot = await ao.result({ process: process_, slot: out.slot });
out.byMessage = await ao.result({ process: process_, message: out.id });
out.results = await ao.results({ process: process_ });
out.dryrun = await ao.dryrun({ process: process_, data: 'what if', tags: [{ name: 'Action', value: 'In/fo & more=%' }] });
out.failure = await ao.message({ process: process_, tags: [{ name: 'Action', value: 'Fail' }], opts: { fullResponse: true } });
const info = await ao.request({ path: '/~meta@1.0/info' });
out.info = [info.status, await info.json()];
const posted = await ao.request({ path: `/${process_}~process@1.0/push`, method: 'POST', 'signing-format': 'ans104',
  target: process_, Type: 'Message', 'Data-Protocol': 'ao', Action: 'Say', data: 'by request' });
out.posted = [posted.status, posted.headers.get('slot'), await posted.json()];
const unsigned = await ao.request({ path: `/${process_}~process@1.0/push`, method: 'POST', target: process_, data: 'x' });
out.httpsig = [unsigned.status, await unsigned.json()];
const unknown = process.env.SCHEDULER;
out.unknown = await failed(() => ao.message({ process: unknown, data: 'x' }));
out.unknownResult = await failed(() => ao.result({ process: process_, message: unknown }));
out.later = await failed(() => ao.result({ process: process_, slot: 99 }));
console.log(JSON.stringify(out));
"#;

fn user() -> Ed25519Signer {
    Ed25519Signer::from_seed([1; 32])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_real_client_in_mainnet_mode() {
    let fake = Fake::new();
    let module = Id::sha256(b"module").to_string();
    let open = fake.open().await;
    let (url, scheduler) = (open.url.clone(), fake.address().to_string());
    let network = scheduler.clone();
    let out = tokio::task::spawn_blocking(move || {
        let folder = npm::installed("aoconnect", CLIENT);
        let variables = [("NODE_URL", &*url), ("MODULE", &module), ("SCHEDULER", &scheduler)];
        npm::run(&folder, "http-mainnet", SCRIPT, &variables)
    });
    let out: Value = serde_json::from_str(&out.await.unwrap()).unwrap();

    assert_eq!((&out["slot"], &out["both"]["slot"]), (&json!(1), &json!(4)));
    assert_eq!(out["bySlot"]["Output"]["data"], "ONE");
    assert_eq!(out["byMessage"]["Output"]["data"], "TWO");
    assert_eq!(out["full"]["Output"]["data"], "THREE");
    assert_eq!(out["results"]["edges"][0]["cursor"], "4");
    assert_eq!(
        out["results"]["edges"][0]["node"]["Output"]["data"], "1984",
        "the client's own data when it is given none"
    );
    assert_eq!(out["dryrun"]["Output"]["data"], "what if");
    assert!(out["failure"]["Error"].as_str().unwrap().contains("it failed"), "{}", out["failure"]);
    assert_eq!(out["info"][0], 200);
    assert_eq!(out["info"][1]["address"], *network);
    assert_eq!((&out["posted"][0], &out["posted"][1]), (&json!(200), &json!("6")));
    assert_eq!(out["posted"][2]["raw"]["Output"]["data"], "BY REQUEST");
    assert_eq!(out["httpsig"][0], 415);
    assert!(
        out["httpsig"][1]["error"].as_str().unwrap().contains("\"signing-format\": \"ans104\""),
        "{}",
        out["httpsig"]
    );
    for name in ["unknown", "unknownResult", "later"] {
        assert!(out[name]["fault"].is_string(), "{name}: {}", out[name]);
    }

    // The log has what the client says it sent, and a spawn is what mainnet mode makes of it.
    let process = out["process"].as_str().unwrap();
    let page = open.json(&format!("/{process}~process@1.0/schedule")).await;
    let message = |slot: usize| &page["edges"][slot]["node"]["message"];
    assert_eq!(message(0)["id"], out["process"]);
    assert_eq!((&message(2)["id"], &message(4)["id"]), (&out["id"], &out["both"]["id"]));
    let tag = |name: &str| {
        message(0)["tags"].as_array().unwrap().iter().find(|tag| tag["name"] == name).unwrap()["value"].clone()
    };
    assert_eq!(
        (tag("Scheduler"), tag("Authority")),
        (json!(network), json!(network)),
        "who to name was asked of the node"
    );
    assert_eq!((tag("execution-device"), tag("Variant")), (json!("genesis-wasm@1.0"), json!("ao.N.1")));
}

/// Made by a recording server in front of this fake: the requests of the script above, whole.
const CAPTURE: &str = include_str!("../vectors/http/aoconnect-mainnet-requests.json");

#[tokio::test]
async fn every_request_seen_in_mainnet_mode_is_answered_as_it_was() {
    let capture: Value = serde_json::from_str(CAPTURE).unwrap();
    let open = Fake::new().open().await;
    let calls = capture["calls"].as_array().unwrap();
    assert!(calls.len() >= 15, "{}", calls.len());
    for call in calls {
        let text = |name: &str| call[name].as_str().unwrap();
        let mut request = open
            .client
            .request(Method::from_bytes(text("method").as_bytes()).unwrap(), format!("{}{}", open.url, text("url")));
        for (name, value) in call["headers"].as_object().unwrap() {
            request = request.header(name, value.as_str().unwrap());
        }
        let reply = request.body(STANDARD.decode(text("body")).unwrap()).send().await.unwrap();
        assert_eq!(reply.status(), call["status"].as_u64().unwrap() as u16, "{}", text("url"));
        let header = |name: &str| reply.headers().get(name).map_or(Value::Null, |value| json!(value.to_str().unwrap()));
        assert_eq!(
            (header("process"), header("slot")),
            (call["process"].clone(), call["slot"].clone()),
            "{}",
            text("url")
        );
        let (now, then) = (reply.text().await.unwrap(), text("reply"));
        let Ok(Value::Object(then)) = serde_json::from_str(then) else {
            assert_eq!(now, then, "{}", text("url"));
            continue;
        };
        let now: Value = serde_json::from_str(&now).unwrap();
        for member in ["id", "process", "slot", "raw", "address"].iter().filter(|member| then.contains_key(**member)) {
            assert_eq!(now[member], then[*member], "{member} of {}", text("url"));
        }
    }
}

/// A fake with a process and three messages, each its own text in capitals.
async fn talked() -> (Open, Id) {
    let fake = Fake::new();
    let process = fake.spawn(&user());
    for text in ["one", "two", "three"] {
        fake.send(process, &user(), &[("Action", "Say")], text.as_bytes());
    }
    (fake.open().await, process)
}

fn message(process: Id, tags: &[(&str, &str)], data: &str) -> DataItem {
    let mut item = ItemBuilder::new().target(process).tag("Data-Protocol", "ao").tag("Type", "Message");
    for (name, value) in tags {
        item = item.tag(*name, *value);
    }
    item.data(data.to_owned()).sign(&user()).unwrap()
}

#[tokio::test]
async fn one_slot_is_read_in_every_spelling() {
    let (open, process) = talked().await;
    let by_id = open.json(&format!("/{process}~process@1.0/schedule?from=2&to=2")).await;
    let id = by_id["edges"][0]["node"]["message"]["id"].as_str().unwrap().to_owned();
    let wanted = open.json(&format!("/{process}~process@1.0/compute/results=2")).await;
    assert_eq!((&wanted["slot"], &wanted["at-slot"], &wanted["id"]), (&json!(2), &json!(2), &json!(id)));
    assert_eq!((&wanted["raw"]["Output"]["data"], &wanted["results"]["raw"]), (&json!("TWO"), &wanted["raw"]));
    for path in [
        "compute=2",
        "compute&slot=2",
        "compute&slot+integer=2",
        "compute?slot=2",
        "COMPUTE=2/~json@1.0/serialize",
        &format!("compute/results={id}"),
    ] {
        for device in ["", "~process@1.0", "~Process@1.0"] {
            assert_eq!(open.json(&format!("/{process}{device}/{path}")).await, wanted, "{device} {path}");
        }
    }
    let header = open.client.get(format!("{}/{process}/compute", open.url)).header("slot", "2").send().await.unwrap();
    assert_eq!(header.json::<Value>().await.unwrap(), wanted, "aoconnect's request() puts keys into headers");
    for newest in ["now", "compute"] {
        assert_eq!(open.json(&format!("/{process}/{newest}")).await["raw"]["Output"]["data"], "THREE", "{newest}");
    }
}

#[tokio::test]
async fn one_value_is_plain_text() {
    let (open, process) = talked().await;
    for (path, wanted) in [
        ("/PID/slot/current", "3"),
        ("/PID~process@1.0/now/results/data", "THREE"),
        ("/PID/compute=1/raw/output/data", "ONE"),
        ("/~meta@1.0/info/version", "0.1.0"),
        ("/~meta@1.0/info/roles/1", "scheduler"),
    ] {
        let reply =
            open.client.get(format!("{}{}", open.url, path.replace("PID", &process.to_string()))).send().await.unwrap();
        assert_eq!(
            (reply.status(), reply.headers()["content-type"].to_str().unwrap()),
            (StatusCode::OK, "text/plain; charset=utf-8")
        );
        assert_eq!(reply.headers()["x-content-type-options"], "nosniff");
        assert_eq!(reply.text().await.unwrap(), wanted, "{path}");
    }
    let slot = open.json(&format!("/{process}/slot")).await;
    assert_eq!((&slot["current"], &slot["block-height"]), (&json!(3), &json!(1_580_000)));
    let record = open.json(&format!("/{process}~process@1.0")).await;
    assert_eq!((&record["process"], &record["slot"]), (&json!(process), &json!(3)));
}

#[tokio::test]
async fn a_schedule_has_both_ends_and_says_whether_more_follows() {
    let (open, process) = talked().await;
    let slots = |page: &Value| {
        page["edges"].as_array().unwrap().iter().map(|e| e["cursor"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let page = open.json(&format!("/~scheduler@1.0/schedule?target={process}&from=1&to=2")).await;
    assert_eq!(
        (slots(&page), &page["page_info"]["has_next_page"]),
        (vec!["1".to_owned(), "2".to_owned()], &json!(false))
    );
    let page = open.json(&format!("/{process}~process@1.0/schedule&from=1&limit=2?accept=application/aos-2")).await;
    assert_eq!(
        (slots(&page), &page["page_info"]["has_next_page"]),
        (vec!["1".to_owned(), "2".to_owned()], &json!(true))
    );
    let legacy = open.json(&format!("/{process}?process-id={process}&from-nonce=0&to-nonce=1")).await;
    assert_eq!(page["edges"][0], legacy["edges"][0], "the legacy scheduler's form");
}

#[tokio::test]
async fn the_same_item_again_has_the_slot_it_has() {
    let (open, process) = talked().await;
    let item = message(process, &[("Action", "Say")], "again").raw().to_vec();
    let mut seen = Vec::new();
    for path in [
        "/PID~process@1.0/push",
        "/PID/push&async",
        "/push",
        "/PID~process@1.0/schedule",
        "/~scheduler@1.0/schedule",
        "/~process@1.0/schedule",
    ] {
        let reply = open
            .client
            .post(format!("{}{}", open.url, path.replace("PID", &process.to_string())))
            .body(item.clone())
            .send()
            .await
            .unwrap();
        assert_eq!((reply.status(), &reply.headers()["slot"]), (StatusCode::OK, &"4".parse().unwrap()), "{path}");
        assert_eq!(reply.headers()["process"], process.to_string());
        seen.push(reply.json::<Value>().await.unwrap());
    }
    assert_eq!((&seen[0]["duplicate"], &seen[1]["duplicate"]), (&json!(false), &json!(true)));
    assert_eq!(seen[0]["raw"]["Output"]["data"], "AGAIN");
    assert!(seen[1].get("raw").is_none() && seen[3].get("raw").is_none(), "neither waits for the outcome");
    assert_eq!(open.json(&format!("/{process}/slot/current")).await, json!(4));
}

#[tokio::test]
async fn a_dry_run_takes_tags_from_the_path_unless_the_item_has_them() {
    let (open, process) = talked().await;
    let path = format!("/{process}~process@1.0/as=execution/compute&Action=Path&Extra=a/b");
    let tags = |answer: &Value| answer["raw"]["Output"]["tags"].clone();
    let item = message(process, &[("action", "Item")], "what if");
    let (status, answer) = open.post(&path, item.raw().to_vec()).await;
    assert_eq!((status, &answer["raw"]["Output"]["data"]), (200, &json!("what if")));
    let all: Vec<(String, String)> = tags(&answer)
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| (tag["name"].as_str().unwrap().to_owned(), tag["value"].as_str().unwrap().to_owned()))
        .collect();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(all[2..], [pair("action", "Item"), pair("Extra", "a/b")]);
    assert_eq!(answer["raw"]["Output"]["owner"], item.signer_address(), "the signer asks");
    let unsigned = open.json(&path).await;
    assert_eq!(tags(&unsigned), json!([{ "name": "Action", "value": "Path" }, { "name": "Extra", "value": "a/b" }]));
    // `POST compute` is one too; it leaves no slot.
    let (status, answer) = open.post(&format!("/{process}/compute"), item.raw().to_vec()).await;
    assert_eq!((status, &answer["raw"]["Output"]["data"]), (200, &json!("what if")));
    assert_eq!(open.json(&format!("/{process}/slot/current")).await, json!(3));
}

#[tokio::test]
async fn what_cannot_be_done_has_its_status_and_its_reason() {
    let (open, process) = talked().await;
    let other = message(Id::sha256(b"other"), &[], "x").raw().to_vec();
    let good = message(process, &[], "x").raw().to_vec();
    let mut forged = good.clone();
    *forged.last_mut().unwrap() ^= 1;
    let refused: Vec<(&str, &str, Vec<u8>, u16, &str)> = vec![
        ("POST", "/PID~process@1.0/push", other.clone(), 400, "target of the item"),
        ("POST", "/PID~process@1.0/as=execution/compute", other.clone(), 400, "target of the item"),
        ("POST", "/PID~process@1.0/push", forged.clone(), 400, "body"),
        ("POST", "/PID~process@1.0/as=execution/compute", forged, 400, "body"),
        ("POST", "/PID~process@1.0/push", b"{}".to_vec(), 400, "ANS-104"),
        ("POST", "/PID~process@1.0/push", Vec::new(), 400, "missing"),
        ("POST", "/push", other, 404, "not known"),
        ("POST", "/push", vec![0; crate::fake::MAX_ITEM + 1], 413, "at most"),
        ("GET", "/PID~process@1.0/push", Vec::new(), 405, "use POST"),
        ("DELETE", "/PID/now", Vec::new(), 405, "use GET, POST"),
        ("POST", "/~meta@1.0/info", good, 405, "use GET"),
        ("GET", "/PID/compute=99", Vec::new(), 404, "slot/current"),
        ("GET", "/PID/compute=soon", Vec::new(), 400, "number of a slot"),
        ("GET", "/PID/compute?slot=-1", Vec::new(), 400, "number of a slot"),
        ("GET", "/PID/compute=1/raw/nothing", Vec::new(), 404, "Output"),
        ("GET", "/PID/elsewhere", Vec::new(), 404, "slot/current"),
        ("GET", "/PID~lua@5.3a/now", Vec::new(), 404, "process@1.0"),
        ("GET", "/PID/(now)", Vec::new(), 400, "sub-paths"),
        ("GET", "/~cron@1.0/every", Vec::new(), 404, "Cron-Interval"),
        ("GET", "/~scheduler@1.0/schedule", Vec::new(), 400, "target"),
        ("GET", "/~scheduler@1.0/schedule?target=x", Vec::new(), 400, "43 characters"),
    ];
    for (method, path, body, status, word) in refused {
        let url = format!("{}{}", open.url, path.replace("PID", &process.to_string()));
        let reply =
            open.client.request(Method::from_bytes(method.as_bytes()).unwrap(), url).body(body).send().await.unwrap();
        assert_eq!(reply.status().as_u16(), status, "{method} {path}");
        assert_eq!(reply.headers()["access-control-expose-headers"], "*", "{method} {path}");
        let reason = reply.json::<Value>().await.unwrap()["error"].as_str().unwrap().to_owned();
        assert!(reason.contains(word), "{method} {path}: {reason}");
    }
    let unknown = Id::sha256(b"nobody");
    assert_eq!(open.get(&format!("/{unknown}/slot/current")).await.0, 404);
    assert_eq!(open.get(&format!("/{process}/compute&a={}", "n".repeat(512))).await.0, 400);
}

#[tokio::test]
async fn a_push_whose_outcome_fails_to_come_is_sealed_all_the_same() {
    let (open, process) = talked().await;
    let item = message(process, &[("Action", action::NEVER)], "x").raw().to_vec();
    let (status, answer) = open.post(&format!("/{process}~process@1.0/push"), item).await;
    assert_eq!((status, &answer["slot"]), (200, &json!(4)));
    assert!(answer["raw"]["Error"].as_str().unwrap().starts_with("sealed in slot 4"), "{answer}");
}

#[tokio::test]
async fn what_a_slot_sends_is_pushed_again_and_nothing_is_sealed() {
    let (open, process) = talked().await;
    let item = message(process, &[("Action", action::SEND)], "x").raw().to_vec();
    let (_, sealed) = open.post(&format!("/{process}/push&async"), item.clone()).await;
    // A client that signs every request sends an item along; it is not sealed either.
    for body in [Vec::new(), message(process, &[], "not sealed").raw().to_vec()] {
        let (status, answer) = open.post(&format!("/{process}~process@1.0/push&slot=4"), body).await;
        let pushed = answer["pushed"].as_array().unwrap();
        assert_eq!((status, &answer["slot"], pushed.len()), (200, &sealed["slot"], 2));
        for (number, one) in pushed.iter().enumerate() {
            assert_eq!(one["text"], format!("entry {number} of slot 4"));
        }
    }
    assert_eq!(open.json(&format!("/{process}/slot/current")).await, json!(4));
    assert_eq!(open.post(&format!("/{process}/push&slot=9"), "").await.0, 404);
    let (_, rest) = open.post(&format!("/{process}/push&slot=4&from=1"), "").await;
    assert_eq!((rest["pushed"].as_array().unwrap().len(), &rest["next"]), (1, &Value::Null));
    let (status, why) = open.post(&format!("/{process}/push&slot=4&from=all"), "").await;
    assert!(status == 400 && why["error"].as_str().unwrap().contains("from"), "{why}");
}

#[tokio::test]
async fn a_proof_that_comes_along_is_looked_at_and_other_items_are_not() {
    let (open, process) = talked().await;
    let item = |kind: &str| ItemBuilder::new().tag("Type", kind).data("x").sign(&user()).unwrap().raw().to_vec();
    for (kind, broken, status) in [("Message", true, 200), ("Read-Outcome", true, 403), ("Read-Outcome", false, 200)] {
        let mut body = item(kind);
        *body.last_mut().unwrap() ^= u8::from(broken);
        for path in ["compute/results=1", "compute=1"] {
            assert_eq!(
                open.post(&format!("/{process}/{path}"), body.clone()).await.0,
                status,
                "{kind} {broken} {path}"
            );
        }
    }
}

#[tokio::test]
async fn pages_may_ask_with_the_headers_of_mainnet_mode() {
    let (open, process) = talked().await;
    let preflight = open.client.request(Method::OPTIONS, format!("{}/{process}~process@1.0/push", open.url));
    let preflight = preflight
        .header("origin", "https://a.page")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type,codec-device");
    let reply = preflight.send().await.unwrap();
    assert_eq!(reply.status(), 200);
    assert_eq!(
        (&reply.headers()["access-control-allow-origin"], &reply.headers()["access-control-allow-headers"]),
        (&"*".parse().unwrap(), &"*".parse().unwrap())
    );
}

#[test]
fn the_capture_holds_items_that_verify() {
    let capture: Value = serde_json::from_str(CAPTURE).unwrap();
    let items = capture["calls"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|call| call["headers"]["content-type"] == "application/ans104");
    let mut seen = 0;
    for call in items {
        let raw = STANDARD.decode(call["body"].as_str().unwrap()).unwrap();
        let item = DataItem::parse_verified(raw.into(), Profile::Strict).unwrap();
        assert_eq!(item.tag("Variant").unwrap_or("ao.N.1"), "ao.N.1");
        seen += 1;
    }
    assert!(seen >= 13, "{seen}");
}
