//! The real client (`@permaweb/aoconnect`, unmodified) with real aos modules on a testnet of five nodes started through the
//! binary: what a person does with AO, through two different nodes, and what the network says about it afterwards.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "support/http.rs"]
mod http;
#[path = "support/modules.rs"]
mod modules;
#[path = "support/npm.rs"]
mod npm;
#[path = "support/testnet.rs"]
mod testnet;

use std::{collections::BTreeSet, fs, time::Duration};

use http::Http;
use serde_json::{Value, json};
use testnet::{Testnet, eventually};
use weft_protocol::{
    Id,
    ans104::{Profile, bundle},
};

const CLIENT: &str = "@permaweb/aoconnect@0.0.98";
const SCRIPT: &str = include_str!("clients/aos.mjs");
/// Anchoring takes a bundle every two seconds, blocks every two seconds, and two confirmations.
const ANCHORED: Duration = Duration::from_secs(90);

#[test]
fn aoconnect_drives_aos_through_two_nodes() {
    let folder = npm::installed("aoconnect", CLIENT);
    let mut net = Testnet::start(5);
    let out = drive(&net, &folder);
    println!("the script took, in ms: {}", out["times"]);
    lua_was_evaluated(&out);
    processes_talked(&net, &out);
    a_process_made_another(&net, &out);
    items_were_assigned(&out);
    dry_runs_and_errors_left_no_trace(&out);
    results_come_in_pages(&out);
    every_node_shows_the_same(&out);
    let http = Http::new();
    for process in ["a", "b", "c", "child"] {
        three_nodes_share_the_work(&http, &net, text(&out, process));
    }
    let message = text(&out, "ping/id");
    a_message_is_anchored(&http, &net, text(&out, "b"), message);
    a_message_is_anchored(&http, &net, text(&out, "a"), text(&out, "sum/message"));
    net.stop();
}

/// Runs the script against the second and the fourth node.
fn drive(net: &Testnet, folder: &std::path::Path) -> Value {
    let wasm = tempfile::tempdir().unwrap();
    let file = |name: &str| {
        let path = wasm.path().join(name);
        fs::write(&path, modules::ao_module(name)).unwrap();
        path.display().to_string()
    };
    let variables = [
        ("NODE_A", net.door(1)),
        ("NODE_B", net.door(3)),
        ("GATEWAY", net.gateway()),
        ("UPLOADER", net.uploader()),
        ("NETWORK", net.address()),
        ("ALICE", net.wallet("alice").display().to_string()),
        ("BOB", net.wallet("bob").display().to_string()),
        ("MODULE", file("aos2_0_6.wasm")),
        ("MODULE_32", file("aos2_0_4_32.wasm")),
    ];
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    serde_json::from_str(&npm::run(folder, "aos", SCRIPT, &variables)).unwrap()
}

/// The text at `path` (names with `/` between them).
fn text<'a>(out: &'a Value, path: &str) -> &'a str {
    out.pointer(&format!("/{path}")).and_then(Value::as_str).unwrap_or_else(|| panic!("{path} is not there: {out:#}"))
}

/// What an evaluation of Lua gave.
fn lua<'a>(out: &'a Value, name: &str) -> &'a str {
    assert!(out[name].get("Error").is_none(), "{name}: {}", out[name]);
    text(out, &format!("{name}/Output/data"))
}

fn tag<'a>(item: &'a Value, name: &str) -> Vec<&'a str> {
    let tags = item["tags"].as_array().unwrap();
    tags.iter().filter(|tag| tag["name"] == name).map(|tag| tag["value"].as_str().unwrap()).collect()
}

fn lua_was_evaluated(out: &Value) {
    assert_eq!(lua(out, "sum"), "2");
    assert_eq!(lua(out, "sumElsewhere"), "2");
    assert_eq!(lua(out, "sum32"), "2", "aos for 32-bit memory");
    let handlers = |name| lua(out, name).parse::<u32>().unwrap();
    assert!(handlers("handlersA") > 3 && handlers("handlersB") > 2);
}

fn processes_talked(net: &Testnet, out: &Value) {
    let (a, b) = (text(out, "a"), text(out, "b"));
    let sent = out["send"]["Messages"].as_array().unwrap();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0]["Target"], b);
    for (item, from, data) in [(&out["ping"], a, "hello"), (&out["pong"], b, "pong hello")] {
        assert_eq!(item["data"], data);
        assert_eq!(tag(item, "From-Process"), [from]);
        assert_eq!(tag(item, "From-Module"), [text(out, "module")]);
        assert_eq!(tag(item, "Pushed-For"), [text(out, "send/message")]);
        assert_ne!(
            item["owner"]["address"],
            *net.address(),
            "the key is derived; the process sees the network as owner"
        );
    }
    // Trusted: the handler ran, rather than aos saying that it does not trust the message.
    assert_eq!(lua(out, "pongResult"), "");
    assert_eq!(lua(out, "answers"), format!("1 {b} pong hello"));
    assert_eq!(lua(out, "received"), "pong again");
}

fn a_process_made_another(net: &Testnet, out: &Value) {
    let (a, child) = (text(out, "a"), text(out, "child"));
    assert_eq!(lua(out, "children"), child, "the parent heard of one child, once");
    assert_eq!(lua(out, "childWord"), format!("born {a}"), "booted with its data, owned by its parent");
    let item = &out["childItem"];
    assert_eq!(tag(item, "Type"), ["Process"]);
    assert_eq!(tag(item, "Module"), [text(out, "module")]);
    assert!(tag(item, "From-Process").iter().all(|from| *from == a));
    assert_eq!(tag(item, "Scheduler"), [net.address()]);
}

fn items_were_assigned(out: &Value) {
    assert_eq!(out["assignedInside"]["message"], Value::Null, "a pure assignment");
    assert_eq!(tag(&out["assignedInside"]["assignment"], "Process"), [text(out, "b")]);
    assert_eq!(out["assignment"], out["assignmentAgain"]);
    assert_eq!(lua(out, "noted"), "one;two;");
}

fn dry_runs_and_errors_left_no_trace(out: &Value) {
    assert_eq!(lua(out, "dryrun"), "pong again7");
    assert_eq!(out["dryrunByStranger"]["Messages"][0]["Data"], "pong dry");
    assert_eq!((&out["before"], lua(out, "trace")), (&out["after"], "nil"));
    assert!(text(out, "failed/Error").contains("on purpose"), "{}", out["failed"]);
    assert_eq!(lua(out, "unbroken"), "nil");
    assert_eq!(out["monitor"], "accepted");
    assert_eq!(out["unmonitor"], "accepted");
    assert!(text(out, "strangersMonitor").contains("403"), "{}", out["strangersMonitor"]);
}

fn results_come_in_pages(out: &Value) {
    let edges = |name: &str| out[name].as_array().unwrap().clone();
    let all = edges("all");
    // All but the one that failed.
    assert_eq!(all.len() + 1, out["logs"][0]["here"]["edges"].as_array().unwrap().len());
    let pages: Vec<Vec<Value>> = edges("pages").iter().map(|page| page.as_array().unwrap().clone()).collect();
    assert!(pages.len() > 3 && pages.iter().rev().skip(1).all(|page| page.len() == 3));
    assert_eq!(pages.concat(), all);
    let nodes = |edges: &[Value]| edges.iter().map(|edge| edge["node"].clone()).collect::<Vec<_>>();
    let mut backwards = nodes(&all);
    backwards.reverse();
    let (newest, older) = (edges("newest"), edges("older"));
    assert_eq!(nodes(&newest), backwards[..3]);
    assert_eq!(nodes(&older), backwards[2..5], "`to` repeats its own row");
    assert_eq!(edges("feed"), Vec::<Value>::new());
}

fn every_node_shows_the_same(out: &Value) {
    let logs = out["logs"].as_array().unwrap();
    assert_eq!(logs.len(), 4);
    for log in logs {
        assert_eq!(log["here"], log["there"]);
        let edges = log["here"]["edges"].as_array().unwrap();
        let nonces: Vec<String> = edges.iter().map(|e| tag(&e["node"]["assignment"], "Nonce")[0].to_owned()).collect();
        let dense: Vec<String> = (0..edges.len()).map(|slot| slot.to_string()).collect();
        assert_eq!(nonces, dense, "dense slots from the process itself");
        let ids: BTreeSet<_> = edges.iter().map(|e| e["node"]["assignment"]["id"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), edges.len());
    }
    assert_eq!(out["firstTwo"]["edges"].as_array().unwrap()[..], logs[0]["here"]["edges"].as_array().unwrap()[..2]);
    assert_eq!(out["oneMessage"][0], out["oneMessage"][1]);
    assert_eq!(out["oneMessage"][0]["message"]["id"], out["sum"]["message"]);
}

/// Scheduler, first messenger and provider are three nodes, and all doors say the same.
fn three_nodes_share_the_work(http: &Http, net: &Testnet, process: &str) {
    let shown: Vec<Value> =
        net.doors().iter().map(|door| http.get(&format!("{door}/v1/processes/{process}")).ok().json()).collect();
    let view = &shown[0];
    let names: BTreeSet<&str> = [&view["scheduler"], &view["messengers"][0], &view["provider"]]
        .map(|node| node["name"].as_str().unwrap_or_else(|| panic!("{view:#}")))
        .into();
    assert_eq!(names.len(), 3, "{view:#}");
    assert_eq!(view["election"]["committee"]["seats"], json!([view["scheduler"]["key"]]));
    for other in &shown {
        assert_eq!((&other["scheduler"], &other["messengers"]), (&view["scheduler"], &view["messengers"]));
    }
}

/// The receipt grows to `anchored`, and the bundle it names holds the message and its assignment, whole and signed.
fn a_message_is_anchored(http: &Http, net: &Testnet, process: &str, message: &str) {
    let url = format!("{}/v1/processes/{process}/messages/{message}", net.door(4));
    let receipt = eventually("the message is anchored", ANCHORED, || {
        let receipt = http.get(&url).ok().json();
        (receipt["level"] == "anchored").then_some(receipt)
    });
    assert_eq!(receipt["id"], message);
    assert_eq!(receipt["anchor"]["confirmed"], true);
    for part in ["assignment", "attestation"] {
        assert_eq!(receipt[part].as_str().unwrap().len(), 43, "{receipt:#}");
    }
    let bundle = receipt["anchor"]["bundle"].as_str().unwrap();
    let raw = http.get(&format!("{}/raw/{bundle}", net.gateway())).ok();
    let found = bundle::unbundle(&raw.body.into(), bundle::Limits::default(), Profile::Strict).unwrap();
    assert!(found.refused.is_empty(), "{:?}", found.refused);
    for wanted in [message, receipt["assignment"].as_str().unwrap()] {
        let wanted: Id = wanted.parse().unwrap();
        let item = found.items.iter().find(|found| found.item.id() == wanted);
        item.unwrap_or_else(|| panic!("{wanted} is not in bundle {bundle}")).item.verify().unwrap();
    }
}
