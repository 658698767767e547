//! The real client in its mainnet mode with a real aos module on a testnet of real nodes: every function it has there, and
//! the same processes in legacy mode.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "support/modules.rs"]
mod modules;
#[path = "support/npm.rs"]
mod npm;
#[path = "support/testnet.rs"]
mod testnet;

use std::fs;

use serde_json::{Value, json};
use testnet::Testnet;

const CLIENT: &str = "@permaweb/aoconnect@0.0.98";
const SCRIPT: &str = include_str!("clients/mainnet.mjs");
/// Stands in for DNS: the client asks one hard-wired host where a process's scheduler is.
const ROUTE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/route.mjs");

/// What the client has in this mode; a new name here is one more thing to try.
const FUNCTIONS: [&str; 11] = [
    "createDataItemSigner",
    "createSigner",
    "dryrun",
    "getLastSlot",
    "getMessageById",
    "getMessages",
    "message",
    "request",
    "result",
    "results",
    "spawn",
];

#[test]
fn r14_mainnet_mode_serves_the_processes_that_legacy_mode_does() {
    let folder = npm::installed("aoconnect", CLIENT);
    let mut net = Testnet::start(3);
    let out = drive(&net, &folder);
    every_form_of_a_message_and_its_result(&out);
    processes_talk_unasked(&out);
    dry_runs_and_failures_leave_no_trace(&out);
    both_modes_see_the_same(&out);
    paths_and_refusals(&net, &out);
    net.stop();
}

fn drive(net: &Testnet, folder: &std::path::Path) -> Value {
    let wasm = tempfile::tempdir().unwrap();
    let module = wasm.path().join("aos.wasm");
    fs::write(&module, modules::ao_module("aos2_0_6.wasm")).unwrap();
    let variables = [
        ("NODE_A", net.door(0)),
        ("NODE_B", net.door(2)),
        ("GATEWAY", net.gateway()),
        ("UPLOADER", net.uploader()),
        ("NETWORK", net.address()),
        ("ALICE", net.wallet("alice").display().to_string()),
        ("BOB", net.wallet("bob").display().to_string()),
        ("AOS_FILE", module.display().to_string()),
        ("NODE_OPTIONS", format!("--import={ROUTE}")),
        ("ROUTES", format!("su-router.ao-testnet.xyz={}", net.door(1))),
    ];
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    serde_json::from_str(&npm::run(folder, "mainnet", SCRIPT, &variables)).unwrap()
}

/// What an evaluation of Lua gave.
fn lua<'a>(out: &'a Value, path: &str) -> &'a str {
    let found = out.pointer(&format!("/{path}")).unwrap_or_else(|| panic!("{path} is not there: {out:#}"));
    assert!(found.get("Error").is_none_or(Value::is_null), "{path}: {found}");
    found["Output"]["data"].as_str().unwrap_or_else(|| panic!("{path}: {found}"))
}

fn every_form_of_a_message_and_its_result(out: &Value) {
    assert_eq!(out["functions"], json!(FUNCTIONS));
    assert_eq!(lua(out, "sum"), "2", "the answer to a push has the outcome");
    assert_eq!((&out["slot"], &out["both"]["slot"]), (&json!(2), &json!(4)));
    assert_eq!(lua(out, "bySlot"), "1");
    assert_eq!(lua(out, "byMessage"), "by id");
    assert_eq!(out["spawned"]["Messages"], json!([]));
    let newest = &out["results"]["edges"][0];
    assert_eq!((&newest["cursor"], lua(newest, "node")), (&json!("4"), "both"));
}

fn processes_talk_unasked(out: &Value) {
    assert_eq!(out["send"]["Messages"][0]["Target"], out["b"]);
    assert_eq!(
        (&out["again"][0], &out["again"][1]["pushed"][0]["number"]),
        (&json!(200), &json!(0)),
        "{}",
        out["again"]
    );
    assert_eq!(out["headsAgain"][0], out["headsAgain"][1], "nothing is doubled");
    assert_eq!(lua(out, "pongs"), format!("1 {} pong hello", out["b"].as_str().unwrap()));
}

fn dry_runs_and_failures_leave_no_trace(out: &Value) {
    assert_eq!(lua(out, "dryrun"), "8");
    assert_eq!(out["dryrunByStranger"]["Messages"][0]["Data"], "pong dry");
    assert_eq!(out["before"], out["after"]);
    assert!(out["failure"]["Error"].as_str().unwrap().contains("on purpose"), "{}", out["failure"]);
    assert_eq!(lua(out, "unbroken"), "nil");
}

fn both_modes_see_the_same(out: &Value) {
    assert_eq!(lua(out, "crossed/0"), "by id");
    assert_eq!(lua(out, "crossed/1"), "by legacy");
    assert_eq!(lua(out, "crossed/2"), "by mainnet");
    let edges = out["messages"]["edges"].as_array().unwrap();
    assert_eq!(edges.len(), 3);
    assert_eq!(edges[0]["node"]["message"]["id"], out["a"]);
    assert_eq!(out["messageById"]["message"]["id"], out["id"]);
    assert_eq!(out["lastSlot"], out["head"].to_string());
}

fn paths_and_refusals(net: &Testnet, out: &Value) {
    assert_eq!(out["address"], *net.address());
    assert_eq!(out["data"], "1");
    assert_eq!(out["schedule"]["edges"].as_array().unwrap().len(), 2);
    assert_eq!((&out["posted"][0], &out["posted"][1]), (&json!(200), &out["a"]));
    assert_eq!(out["posted"][2]["raw"]["Output"]["data"], "by request");
    assert_eq!(out["unsigned"], 415);
    for name in ["noModule", "nobody", "notYet"] {
        assert!(out[name]["fault"].is_string(), "{name}: {}", out[name]);
    }
}
