//! Every AO client at home, in legacy mode: the real packages of the npm registry, unmodified, against a testnet of real
//! nodes. Scripts beside this file do what a person would do; what came back is judged here.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "support/modules.rs"]
mod modules;
#[path = "support/npm.rs"]
mod npm;
#[path = "support/testnet.rs"]
mod testnet;

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::{Value, json};
use testnet::Testnet;
use weft_protocol::ans104::Signer as _;

const CLIENT: &str = "@permaweb/aoconnect@0.0.98";
/// Packages of other clients come with this one.
const WAO: &str = "wao@0.35.7";
/// Stands in for DNS where packages have a host hard-wired.
const ROUTE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/route.mjs");
const LEGACY: &str = include_str!("clients/legacy.mjs");
const WAO_SCRIPT: &str = include_str!("clients/wao.mjs");
const MESSENGER: &str = include_str!("clients/messenger.mjs");
const GOLDEN: &str = include_str!("../../protocol/tests/vectors/ao/messenger.json");
const REPLIES: &str = include_str!("vectors/ao-messenger-replies.json");

/// Runs a script against the first and the third node.
fn drive(net: &Testnet, folder: &Path, name: &str, script: &str, more: &[(&str, &str)]) -> Value {
    let wasm = tempfile::tempdir().unwrap();
    let module = wasm.path().join("aos.wasm");
    fs::write(&module, modules::ao_module("aos2_0_6.wasm")).unwrap();
    let (node_a, node_b, gateway) = (net.door(0), net.door(2), net.gateway());
    let routes = format!("su-router.ao-testnet.xyz={node_b}");
    let (alice, bob) = (net.wallet("alice").display().to_string(), net.wallet("bob").display().to_string());
    let (network, module, preload) =
        (net.address(), module.display().to_string(), format!("--import=file://{ROUTE} --no-warnings"));
    let mut variables = vec![
        ("NODE_A", &*node_a),
        ("NODE_B", &*node_b),
        ("MU_URL", &*node_a),
        ("CU_URL", &*node_b),
        ("GATEWAY_URL", &*node_a),
        ("GATEWAY", &*gateway),
        ("NETWORK", &*network),
        ("ALICE", &*alice),
        ("BOB", &*bob),
        ("MODULE", &*module),
        ("ROUTES", &*routes),
        ("NODE_OPTIONS", &*preload),
    ];
    variables.extend_from_slice(more);
    let printed = npm::run(folder, name, script, &variables);
    let document = printed.lines().last().unwrap_or_default();
    serde_json::from_str(document).unwrap_or_else(|fault| panic!("{fault} in what {name} printed: {printed}"))
}

/// The text at `path` (names with `/` between them).
fn text<'a>(out: &'a Value, path: &str) -> &'a str {
    out.pointer(&format!("/{path}")).and_then(Value::as_str).unwrap_or_else(|| panic!("{path} is not there: {out:#}"))
}

fn tags(item: &Value) -> Vec<(String, String)> {
    let tags = item["tags"].as_array().unwrap_or_else(|| panic!("no tags: {item:#}"));
    tags.iter().map(|tag| (text(tag, "name").to_owned(), text(tag, "value").to_owned())).collect()
}

fn has_tag(item: &Value, name: &str, value: &str) -> bool {
    tags(item).iter().any(|(n, v)| n == name && v == value)
}

#[test]
fn every_function_of_aoconnect_works_and_pushing_again_changes_nothing() {
    let folder = npm::installed("aoconnect", CLIENT);
    let mut net = Testnet::start(3);
    let out = drive(&net, &folder, "legacy", LEGACY, &[]);
    println!("the script took, in ms: {}", out["times"]);
    every_function_was_called(&out);
    messages_went_and_results_came(&net, &out);
    schedulers_were_found(&net, &out);
    pushing_again_changed_nothing(&out);
    a_spawn_with_a_target_was_assigned_once(&out);
    four_signature_types_send_and_own(&out);
    fresh_items_are_found(&out);
    refusals_have_their_status(&out);
    net.stop();
}

fn every_function_was_called(out: &Value) {
    let set =
        |name: &str| -> BTreeSet<&str> { out[name].as_array().unwrap().iter().map(|f| f.as_str().unwrap()).collect() };
    let (all, called) = (set("functions"), set("called"));
    assert!(all.len() > 20, "{all:?}");
    assert_eq!(all.difference(&called).collect::<Vec<_>>(), [] as [&&str; 0], "functions that were not tried");
}

fn messages_went_and_results_came(net: &Testnet, out: &Value) {
    assert_eq!((&out["published"], &out["slot"], &out["lastSlot"]), (&json!(200), &json!("1"), &json!("3")));
    assert_eq!((text(out, "sum/Output/data"), text(out, "evaluated/Output/data")), ("2", "42"));
    let bob = net.signer("bob").address();
    assert_eq!(text(out, "who/Messages/0/Data"), format!("{bob} {bob}"));
    assert_eq!(out["assigned"], out["who"], "an item has one slot in a log");
    assert_eq!(text(out, "dryrun/Messages/0/Data"), format!("{0} {0}", "O".repeat(43)));
    assert_eq!(out["results"]["edges"][0]["node"]["Messages"], out["who"]["Messages"], "newest first");
    assert_eq!(out["signed"][0], out["signed"][1]);
    for (name, count) in [("monitor", 2), ("unmonitor", 2), ("monitored", 2)] {
        let ids = out[name].as_array().unwrap();
        assert_eq!(ids.iter().filter(|id| id.as_str().is_some_and(|id| id.len() == 43)).count(), count, "{name}");
    }
    let edges = out["messages"]["edges"].as_array().unwrap();
    assert_eq!(edges.len(), 4, "the process, two messages and the one that was signed before it was sent");
    assert_eq!(out["byId"]["message"]["id"], edges[2]["node"]["message"]["id"]);
    assert_eq!((&out["pages"]["edges"].as_array().unwrap().len(), text(out, "assignedTop").len()), (&1, 43));
    assert!(out["tried"]["Output"].is_object());
    assert_eq!(out["cron"][0], json!({ "name": "Cron-Interval", "value": "10-minutes" }));
}

fn schedulers_were_found(net: &Testnet, out: &Value) {
    let here = net.door(2);
    assert_eq!(out["located"][0], json!({ "url": here, "address": net.address() }));
    assert_eq!(out["located"][1]["url"], here);
    assert_eq!((&out["raw"]["url"], &out["valid"]), (&json!(here), &json!([true, "TransactionNotFound"])));
}

fn pushing_again_changed_nothing(out: &Value) {
    let pushed = out["pushed"].as_array().unwrap();
    let delivered = out["delivered"].as_array().unwrap();
    assert_eq!(delivered.len(), 1, "once");
    for one in &pushed[..2] {
        assert_eq!((&one["status"], &one["body"]["id"]), (&json!(202), &delivered[0]), "{one:#}");
    }
    assert_eq!(pushed[2]["status"], 409, "what was not attested is not pushed: {:#}", pushed[2]);
    assert_eq!(out["notThere"]["status"], 404);
    assert_eq!(out["lengths"][0], out["lengths"][1], "no log has grown");
    let [of_process, of_message, of_wallet] = [0, 1, 2].map(|n| &out["traces"][n]["body"]["traces"]);
    assert_eq!(of_process[0]["type"], "SPAWN");
    assert_eq!(of_process.as_array().unwrap().len(), out["lengths"][1][1].as_u64().unwrap() as usize);
    assert_eq!(of_message[0]["id"], of_process[1]["id"], "found by its id alone");
    assert!(of_message[0]["receipt"]["slot"] == 1 && of_wallet[0]["parent"] == of_message[0]["id"], "{of_wallet:#}");
}

fn a_spawn_with_a_target_was_assigned_once(out: &Value) {
    for post in out["child"]["posts"].as_array().unwrap() {
        assert_eq!((&post["status"], &post["body"]["id"]), (&json!(202), &out["child"]["id"]), "{post:#}");
    }
    assert_eq!(out["child"]["assigned"], 1);
}

fn four_signature_types_send_and_own(out: &Value) {
    for (name, kind) in [("arweave", 1), ("ed25519", 2), ("ethereum", 3), ("solana", 4)] {
        let one = &out["signers"][name];
        assert_eq!((&one["type"], &one["posted"], &one["spawned"]), (&json!(kind), &json!(202), &json!(202)), "{name}");
        let address = text(one, "owner/address");
        assert_eq!(one["owner"]["key"], one["key"], "{name}");
        assert_eq!(address.starts_with("0x"), name == "ethereum", "{name}: {address}");
        assert_eq!(text(one, "answer/Messages/0/Data"), format!("{address} {address}"), "{name}");
        assert_eq!(text(one, "evaluated/Output/data"), address, "{name}: the process knows it as its owner");
    }
}

fn fresh_items_are_found(out: &Value) {
    let fresh = &out["fresh"];
    let node = &fresh["graphql"]["data"]["transactions"]["edges"][0]["node"];
    assert_eq!((&node["id"], &node["recipient"]), (&fresh["id"], &out["process"]), "{fresh:#}");
    assert!(has_tag(node, "Colour", "green"));
    assert_eq!(
        fresh["named"]["data"]["transactions"]["edges"][0]["node"]["id"], out["process"],
        "by owner, type and name"
    );
    assert_eq!((&fresh["head"]["colour"], &fresh["head"]["type"]), (&json!("green"), &json!("Message")));
    assert_eq!(fresh["raw"]["body"], "fresh");
    assert_eq!((&fresh["process"]["type"], &fresh["process"]["name"]), (&json!("Process"), &json!("whole")));
}

fn refusals_have_their_status(out: &Value) {
    for (name, status) in [
        ("garbage", 400),
        ("signature", 400),
        ("protocol", 400),
        ("kind", 400),
        ("target", 404),
        ("one", 400),
        ("unsigned", 400),
        ("stranger", 403),
        ("elsewhere", 400),
    ] {
        assert_eq!(out["wrong"][name]["status"], status, "{name}: {:#}", out["wrong"][name]);
        assert!(out["wrong"][name]["body"]["error"].as_str().is_some_and(|why| why.len() > 20), "{name}");
    }
}

#[test]
fn the_reference_messenger_s_capture_is_replayed() {
    let folder = npm::installed("aoconnect", CLIENT);
    let mut net = Testnet::start(3);
    let out = drive(&net, &folder, "messenger", MESSENGER, &[("GOLDEN", GOLDEN)]);
    let golden: Value = serde_json::from_str(GOLDEN).unwrap();
    let made = golden["items"].as_array().unwrap().iter().filter(|item| item["owner"] == golden["ids"]["mu"]);
    let compared = made.inspect(|item| item_is_the_reference_s(&golden, item, &out)).count();
    assert_eq!(compared, 6);
    differences_of_items_are_those_listed(&golden, &out);
    replies_are_the_reference_s_or_listed(&out);
    net.stop();
}

/// An item that the reference made, in the world of this run.
fn in_this_world(golden: &Value, item: &Value, out: &Value) -> Value {
    let mut text = item.to_string();
    let ids = golden["ids"].as_object().unwrap();
    for (name, theirs) in ids {
        text = text.replace(theirs.as_str().unwrap(), out["ids"][name].as_str().unwrap());
    }
    let boot = serde_json::to_string(&out["boot"]).unwrap();
    serde_json::from_str(&text.replace("\"child data\"", &boot)).unwrap()
}

/// The process that the capture's spawn made there.
fn golden_child(golden: &Value) -> &str {
    let notice = golden["items"].as_array().unwrap().iter().find(|item| has_tag(item, "Action", "Spawned")).unwrap();
    let tags = notice["tags"].as_array().unwrap();
    tags.iter().find(|tag| tag["name"] == "Process").unwrap()["value"].as_str().unwrap()
}

/// Target, anchor, data and tags in order are the same; D1 (who signs), D2 (one more tag) apart.
fn item_is_the_reference_s(golden: &Value, item: &Value, out: &Value) {
    let child = golden_child(golden);
    let text = in_this_world(golden, item, out).to_string().replace(child, text(out, "ids/child"));
    let expected: Value = serde_json::from_str(&text).unwrap();
    let name = tags(&expected).into_iter().rfind(|(name, _)| name == "Action").map_or("Process".to_owned(), |(_, v)| v);
    let ours = &out["items"][&name];
    let mut given = tags(ours);
    let (mark, _) = given.pop().unwrap();
    assert_eq!(mark, "Weft-Crank", "{name}");
    assert_eq!(given, tags(&expected), "{name}");
    assert_eq!(ours["data"], expected["data"], "{name}");
    for member in ["target", "anchor"] {
        assert_eq!(ours[member].as_str().unwrap_or_default(), text_or_empty(&expected, member), "{name}: {member}");
    }
}

fn text_or_empty<'a>(item: &'a Value, member: &str) -> &'a str {
    item[member].as_str().unwrap_or_default()
}

/// What the network makes and the reference does not, each by its number in node/docs/ao.md.
fn differences_of_items_are_those_listed(golden: &Value, out: &Value) {
    let made = |action: &str| golden["items"].as_array().unwrap().iter().any(|item| has_tag(item, "Action", action));
    let d5 = &out["items"]["NumTag"];
    assert!(!made("NumTag") && has_tag(d5, "N", "5"), "D5: a numeric tag is written out, its message delivered");
    let d33 = &out["items"]["ShortAnchor"];
    assert!(
        !made("ShortAnchor") && d33["anchor"].is_null(),
        "D33: an anchor that is none is left out, its message delivered"
    );
    assert_eq!(text(d33, "data"), "short anchor");
    // D15: the capture's second assignment is of the same item; the base layer does not have it (D7).
    assert_eq!(out["assigned"].as_array().unwrap().len(), 1);
}

fn replies_are_the_reference_s_or_listed(out: &Value) {
    let golden: Value = serde_json::from_str(REPLIES).unwrap();
    let mut compared = 0;
    for theirs in golden.as_array().unwrap() {
        let (note, status) = (text(theirs, "note"), theirs["status"].as_u64().unwrap());
        let ours = &out["replies"][note];
        let (ours_status, body) = match note {
            // F3: works here, with what may be assigned; tested with assigned items.
            "assign base-layer exclude" => continue,
            _ => (ours["status"].as_u64().unwrap_or_else(|| panic!("{note} was not replayed")), text(ours, "body")),
        };
        compared += 1;
        match note {
            // D17: what a caller did wrong is a 4xx, where the reference has 500 for everything.
            "garbage" | "bad signature" | "no Data-Protocol" | "unknown Type" => {
                assert_eq!((status, ours_status), (500, 400))
            }
            "target is not a process" => assert_eq!((status, ours_status), (500, 404)),
            // D34: monitoring twice is no fault.
            "monitor twice" | "unmonitor twice" => assert_eq!((status, ours_status), (500, 200)),
            _ => assert_eq!(status, ours_status, "{note}"),
        }
        if status == 202 {
            let (theirs, ours): (Value, Value) =
                (serde_json::from_str(text(theirs, "body")).unwrap(), serde_json::from_str(body).unwrap());
            assert_eq!(theirs["message"], ours["message"], "{note}");
            assert_eq!(text(&ours, "id").len(), 43, "{note}");
            assert!(ours["timestamp"].is_u64(), "D35: one reply for messenger and scheduler");
        }
    }
    assert_eq!(compared, 13);
}

#[test]
fn wao_finds_everything_by_one_port() {
    let folder = npm::installed("wao", WAO);
    let mut net = Testnet::start(3);
    let port = |url: &str| url.rsplit_once(':').unwrap().1.parse::<u16>().unwrap();
    let base = port(&net.gateway());
    let units =
        [net.uploader()].into_iter().chain((0..3).map(|at| text(&net.plan, &format!("nodes/0/urls/{at}")).to_owned()));
    // Five ports in a row, as AO's tools expect them, unless something else on this machine has one of them.
    let in_a_row = units.map(|url| port(&url)).eq(base + 1..base + 5);
    let base = if in_a_row { base.to_string() } else { String::new() };
    let out = drive(&net, &folder, "wao", WAO_SCRIPT, &[("PORT", &base)]);
    assert_eq!(out["address"], net.signer("alice").address().to_string());
    for name in ["module", "deployed", "assigned", "located", "bundle", "transfer"] {
        assert_eq!(out[name]["err"], Value::Null, "{name}");
    }
    for (name, said) in
        [("message", "Hi wao"), ("tag", "t"), ("dry", "Hi dry"), ("relayed", "heard Hi relay"), ("data", "kept")]
    {
        assert_eq!(out[name], said, "{name}: {out:#}");
    }
    assert_eq!(
        (&out["page"], &out["tx"], &out["received"]),
        (&json!(2), &out["module"]["id"], &json!("1.500000000000"))
    );
    assert!(out["byRecipient"].as_array().unwrap().iter().all(|to| *to == out["deployed"]["pid"]));
    assert!(out["byTag"].as_array().unwrap().contains(&out["located"]["id"]), "{:#}", out["byTag"]);
    let arweave = &out["arweave"];
    assert_eq!((&arweave["tags"], &arweave["length"]), (&json!(1), &json!(300_000)), "{arweave:#}");
    assert_eq!(arweave["status"]["status"], 200);
    assert!(text(arweave, "balance").parse::<u128>().unwrap() > 0);
    // Blocks go on being made between two questions.
    assert!(arweave["block"].as_u64().unwrap() >= arweave["height"].as_u64().unwrap(), "{arweave:#}");
    assert_eq!(text(arweave, "last").len(), 43);
    net.stop();
}
