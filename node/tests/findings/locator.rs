//! The package that AO's units find a process's scheduler with (`@permaweb/ao-scheduler-utils`, unmodified), against a node.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    thread,
};

use serde_json::Value;
use weft_protocol::Id;

use crate::{npm, world::World};

const PACKAGE: &str = "@permaweb/ao-scheduler-utils@0.0.29";
const SCRIPT: &str = include_str!("../clients/scheduler-utils.mjs");
const ROUTE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/route.mjs");
/// The host that the package asks before anything else.
const ROUTER: &str = "su-router.ao-testnet.xyz";

/// The package asks one host first, whatever it is told, and gives up when that does not answer. Where that name leads to a
/// node, and where it leads to somebody who knows nothing, the process is found through the network.
pub fn f01_a_process_s_scheduler_is_found_through_any_node(world: &World) {
    let process = world.process("to be found");
    let message = world.send(process, "Increment", b"1").id();
    let node = ask(world, process, message, &world.net.door(2));
    assert_eq!(node["exports"].as_array().unwrap().len(), 7, "{}", node["exports"]);
    assert_eq!(node["located"]["value"]["url"], format!("https://{ROUTER}"), "{}", node["located"]);
    for same in ["again", "default", "redirects"] {
        assert_eq!(node[same], node["located"], "{same}");
    }
    the_log_is_read(&node, process, message);

    let elsewhere = ask(world, process, message, &nobody());
    let (located, door) = (&elsewhere["located"]["value"], world.net.door(1));
    assert_eq!(
        *located,
        serde_json::json!({ "url": door, "address": world.net.address() }),
        "{}",
        elsewhere["located"]
    );
    assert_eq!(elsewhere["redirects"]["value"], *located, "{}", elsewhere["redirects"]);
    for out in [&node, &elsewhere] {
        assert_eq!(out["hinted"]["value"]["url"], door, "{}", out["hinted"]);
        assert_eq!(out["elected"]["value"]["url"], door, "{}", out["elected"]);
        assert_eq!(out["raw"]["value"]["url"], door);
        assert_eq!(out["valid"]["value"], true);
        assert!(out["stranger"]["fault"].as_str().unwrap().contains("Scheduler-Location"), "{}", out["stranger"]);
        assert_eq!(out["process"]["value"]["id"], process.to_string(), "{}", out["process"]);
    }
    the_log_is_read(&elsewhere, process, message);
}

fn the_log_is_read(out: &Value, process: Id, message: Id) {
    let edges = out["page"]["edges"].as_array().unwrap();
    assert_eq!(edges.len(), 2);
    assert_eq!(out["unnamed"]["edges"], out["page"]["edges"], "without process-id, as getMessages asks");
    assert_eq!(out["message"]["message"]["id"], message.to_string());
    assert_eq!(out["message"], edges[1]["node"]);
    assert_eq!(out["record"]["process_id"], process.to_string());
    assert!(out["time"]["timestamp"].is_string() && out["time"]["block_height"].as_str().unwrap().len() == 12);
}

/// Runs the script with the package's first host led to `router`.
fn ask(world: &World, process: Id, message: Id, router: &str) -> Value {
    let folder = npm::installed("ao-scheduler-utils", PACKAGE);
    let graphql = format!("{}/graphql", world.net.door(1));
    let pinned = world.get(0, &format!("/v1/processes/{process}"))["scheduler"]["key"].as_str().unwrap().to_owned();
    let pinned: weft_protocol::NodeKey = pinned.parse().unwrap();
    let variables = [
        ("GRAPHQL", graphql.clone()),
        ("GRAPHQL_URL", graphql),
        ("PROCESS", process.to_string()),
        ("MESSAGE", message.to_string()),
        ("PINNED", pinned.address().to_string()),
        ("NETWORK", world.net.address()),
        ("STRANGER", Id::sha256(b"a stranger").to_string()),
        ("CLOSED", "http://127.0.0.1:9".to_owned()),
        ("NODE_OPTIONS", format!("--import={ROUTE}")),
        ("ROUTES", format!("{ROUTER}={router}")),
    ];
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    serde_json::from_str(&npm::run(&folder, "scheduler-utils", SCRIPT, &variables)).unwrap()
}

/// A host that answers 404 to everything, until the test ends.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            if lines.any(|line| line.is_empty()) {
                let mut stream = stream;
                let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            }
        }
    });
    address
}
