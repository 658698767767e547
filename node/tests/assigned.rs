//! Assigned data, reads fixed in the log, and casts, on a network of real nodes with real clients: arweave-js makes layer-1
//! transactions, arbundles items, aoconnect assigns and asks, aos evaluates. Then the nodes that hold the casts are killed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "support/http.rs"]
mod http;
#[path = "support/modules.rs"]
mod modules;
#[path = "support/npm.rs"]
mod npm;
#[path = "support/testnet.rs"]
mod testnet;

use std::{fs, path::Path, time::Duration};

use http::Http;
use serde_json::{Value, json};
use testnet::{Testnet, eventually, weft};

const CLIENT: &str = "@permaweb/aoconnect@0.0.98";
const SCRIPT: &str = include_str!("clients/assigned.mjs");
const LARGE: usize = 700_000;

#[test]
fn assigned_data_reads_and_casts_are_the_log_s() {
    let folder = npm::installed("aoconnect", CLIENT);
    let mut net = Testnet::start(4);
    let out = drive(&net, &folder);
    transactions_settle(&out);
    what_is_excluded_is_left_out(&out);
    items_of_any_key_are_assigned(&out);
    casts_are_not_everybody_s(&out);
    casts_survive_their_messengers(&net, &out);
    reads_are_fixed(&out);
    net.stop();
}

fn drive(net: &Testnet, folder: &Path) -> Value {
    let wasm = tempfile::tempdir().unwrap();
    let module = wasm.path().join("aos2_0_6.wasm");
    fs::write(&module, modules::ao_module("aos2_0_6.wasm")).unwrap();
    let variables = [
        ("NODE_A", net.door(1)),
        ("NODE_B", net.door(3)),
        ("GATEWAY", net.gateway()),
        ("UPLOADER", net.uploader()),
        ("NETWORK", net.address()),
        ("ALICE", net.wallet("alice").display().to_string()),
        ("BOB", net.wallet("bob").display().to_string()),
        ("CAROL", net.wallet("carol").display().to_string()),
        ("MODULE", module.display().to_string()),
    ];
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    serde_json::from_str(&npm::run(folder, "assigned", SCRIPT, &variables)).unwrap()
}

fn text<'a>(out: &'a Value, path: &str) -> &'a str {
    out.pointer(&format!("/{path}")).and_then(Value::as_str).unwrap_or_else(|| panic!("{path} is not there: {out:#}"))
}

/// That a request was refused with this status, in these words.
fn refused(out: &Value, path: &str, status: u64, words: &[&str]) {
    let answer = out.pointer(&format!("/{path}")).unwrap_or_else(|| panic!("{path} is not there"));
    assert_eq!(answer["status"], status, "{path}: {answer}");
    let said = answer["text"].as_str().unwrap();
    for word in words {
        assert!(said.contains(word), "{path} does not say {word:?}: {said}");
    }
}

fn tags(item: &Value, name: &str) -> Vec<String> {
    let all = item["tags"].as_array().unwrap();
    all.iter().filter(|tag| tag["name"] == name).map(|tag| tag["value"].as_str().unwrap().to_owned()).collect()
}

/// A layer-1 transaction is assigned when it is deep enough, for users at once and for processes in the end.
fn transactions_settle(out: &Value) {
    refused(out, "pending", 422, &[text(out, "small"), " confirmations", "wants 3"]);
    assert!(out["pending"]["retry"].is_string(), "it says when to try again: {}", out["pending"]);
    refused(out, "early", 422, &["wants 4"]);
    refused(out, "tooEarly", 422, &["3 confirmations", "wants 4"]);
    refused(out, "unknown", 404, &["no gateway knows"]);
    let shown = json!({
        "Id": out["small"], "Data": "from layer one", "Name": "small", "Signature": "there",
        "Owner": out["smallShown"]["Owner"], "Target": "", "Anchor": out["smallShown"]["Anchor"],
        "File": out["smallShown"]["File"],
    });
    assert_eq!(out["smallShown"], shown);
    assert_eq!(out["smallShown"], out["smallElsewhere"], "every node shows the same");
    assert_eq!(text(out, "smallShown/Owner").len(), 43);
    assert_eq!(text(out, "smallShown/Anchor").len(), 64, "a block's hash");
    assert_eq!(out["largeShown"]["Data"], json!(LARGE), "data that came in chunks is there whole");
    let arrived = &out["arrived"]["assignment"];
    assert_eq!(tags(arrived, "Weft-Assigned"), ["base-layer"]);
    assert_eq!(tags(arrived, "Exclude"), ["Anchor"]);
    assert_eq!(tags(arrived, "Weft-Crank").len(), 1, "proven to come out of an outbox");
    assert_eq!(out["arrivedShown"]["Target"], "FPjbN_btYKzcf8QASjs30v5C0FPv7XpwKXENDhaOfss");
    assert_eq!(out["arrivedShown"]["Anchor"], "none");
}

fn what_is_excluded_is_left_out(out: &Value) {
    let shown = &out["withoutDataShown"];
    assert_eq!(
        (&shown["Data"], &shown["Name"], &shown["Signature"]),
        (&json!("none"), &json!("large"), &json!("there"))
    );
    let shown = &out["manyShown"];
    assert_eq!(
        [&shown["Data"], &shown["Signature"], &shown["Anchor"], &shown["Name"]],
        [&json!("none"), &json!("none"), &json!("none"), &json!("ether")]
    );
}

fn items_of_any_key_are_assigned(out: &Value) {
    assert_eq!(out["itemShown"]["Data"], "from ethereum");
    assert!(text(out, "itemShown/Owner").starts_with("0x"), "{}", out["itemShown"]);
    refused(out, "notLayerOne", 404, &["leave the base layer out"]);
}

/// What a read gave, on the node that evaluated and asked of another one.
fn read<'a>(out: &'a Value, name: &str) -> &'a str {
    assert!(out[name][0].get("Error").is_none(), "{name}: {}", out[name][0]);
    assert_eq!(out[name][0]["Output"], out[name][1], "{name}: every node shows the same");
    text(out, &format!("{name}/0/Output/data"))
}

fn reads_are_fixed(out: &Value) {
    assert_eq!(read(out, "readData"), "14 from layer one");
    assert_eq!(read(out, "readItem"), "13 from ethereum");
    assert!(read(out, "readTx").contains("{\"format\":2"), "{}", out["readTx"]);
    assert!(read(out, "readBlock").contains('{'), "{}", out["readBlock"]);
    assert_eq!(read(out, "readNothing"), "no file", "what was not fixed for the slot is not there");
    refused(out, "unreadable", 422, &["/data/AAAA", "no node and no gateway knows"]);
    refused(out, "noBlock", 422, &["/block/999999999"]);
    refused(out, "noPath", 400, &["Weft-Read", "/etc/passwd", "/block/<height>"]);
    assert_eq!(tags(&out["note"]["assignment"], "Weft-Read"), [format!("/data/{} -", "A".repeat(43))]);
    assert_eq!(out["noteShown"]["File"], "no file");
    assert_eq!(out["ownSlot"]["File"], "read in its own slot", "an assigned item can be read without being asked for");
    assert_eq!(tags(&out["bootLog"], "Weft-Read").len(), 1, "{}", out["bootLog"]);
    assert!(tags(&out["bootLog"], "Weft-Read")[0].starts_with(&format!("/data/{} ", text(out, "bootSource"))));
}

/// The slot of a message among all results.
fn slot<'a>(out: &'a Value, message: &str) -> &'a Value {
    let all = out["slots"].as_array().unwrap();
    all.iter().find(|slot| slot["message"] == message).unwrap_or_else(|| panic!("{message} has no result"))
}

fn casts_are_not_everybody_s(out: &Value) {
    let asked = |who: &str| format!("castAsked/{who}");
    refused(out, &asked("openly"), 403, &["is a cast", "Read-Outcome", "Expires"]);
    refused(out, &asked("stranger"), 403, &["neither the sender", "nor the owner"]);
    refused(out, &asked("notOfA"), 403, &["neither the sender"]);
    refused(out, &asked("late"), 400, &["expired"]);
    refused(out, &asked("early"), 400, &["at most"]);
    refused(out, &asked("other"), 400, &["Message"]);
    for (who, word) in [("sender", "secret bob"), ("owner", "secret bob"), ("senderOfA", "secret a")] {
        let answer = &out["castAsked"][who];
        assert_eq!(answer["status"], 200, "{who}: {answer}");
        let result: Value = serde_json::from_str(answer["text"].as_str().unwrap()).unwrap();
        assert_eq!(
            (&result["Cast"], result["Messages"].as_array().unwrap().len()),
            (&json!(true), 1),
            "{who}: {result}"
        );
        assert!(result["Output"]["data"].as_str().unwrap().contains(word), "{who}: {result}");
    }
    for cast in ["cast", "castOfA"] {
        let shown = &slot(out, text(out, cast))["result"];
        let hidden = json!({
            "Messages": [], "Assignments": [], "Spawns": [], "Output": "", "Cast": true, "GasUsed": shown["GasUsed"],
        });
        assert_eq!(*shown, hidden);
    }
    assert_eq!(slot(out, text(out, "open"))["result"]["Messages"].as_array().unwrap().len(), 1);
    let listed = out["listed"].as_array().unwrap();
    assert_eq!(listed.iter().filter(|node| node["Cast"] == true && node["Output"] == "").count(), 2);
    assert_eq!(out["receipt"]["cast"], true);
    // The answers to the casts would have come before that to the open question.
    let heard = out["logOfA"].as_array().unwrap();
    assert!(heard.contains(&json!("for openly")) && !heard.contains(&json!("for a")), "{heard:?}");
}

/// Kill -9 of every messenger of the process: no cast's outbox goes out afterwards, none becomes everybody's, and those who
/// may read it still may, through any node.
fn casts_survive_their_messengers(net: &Testnet, out: &Value) {
    let http = Http::new();
    let (process, cast) = (text(out, "p"), text(out, "cast"));
    let view = http.get(&format!("{}/v1/processes/{process}", net.door(0))).ok().json();
    let name = |node: &Value| node["name"].as_str().unwrap().to_owned();
    let first = name(&view["messengers"][0]);
    net.kill_node(&first);
    net.start_node(&first);
    let wallet = |name: &str| net.wallet(name).display().to_string();
    for door in net.doors() {
        let read = |who: &str| {
            let args = ["process", "result", process, cast, "--json", "--node", &door, "--wallet", &wallet(who)];
            weft().args(args).output().unwrap()
        };
        let bobs = eventually("the cast is read again", Duration::from_secs(60), || {
            Some(read("bob")).filter(|output| output.status.success())
        });
        let result: Value = serde_json::from_slice(&bobs.stdout).unwrap();
        assert!(result["Output"]["data"].as_str().unwrap().contains("secret bob"), "{result}");
        let carols = read("carol");
        assert_eq!(carols.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&carols.stderr).contains("neither the sender"), "{carols:?}");
    }
    let log = http.get(&format!("{}/v1/processes/{}/log?limit=1000", net.door(0), text(out, "a"))).ok().json();
    let heard = log["entries"].as_array().unwrap();
    assert!(heard.iter().all(|entry| entry["message"]["data"] != "for a"), "a cast's answer went out");
}
