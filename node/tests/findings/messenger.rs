//! The messenger's rows that need a network with a node missing. The others are shown by the real clients (legacy.rs).

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};
use weft_protocol::{Id, ans104::ItemBuilder};

use crate::{
    http::Http,
    modules,
    testnet::eventually,
    world::{World, user},
};

/// A node that was killed, started and has to evaluate again what it had in memory.
const PATIENCE: Duration = Duration::from_secs(60);

/// A network whose processes are aos.
fn aos() -> World {
    let mut world = World::start(3);
    let mut item = ItemBuilder::new();
    for (name, value) in [
        ("Data-Protocol", "ao"),
        ("Variant", "ao.TN.1"),
        ("Type", "Module"),
        ("Module-Format", "wasm64-unknown-emscripten-draft_2024_02_15"),
        ("Input-Encoding", "JSON-1"),
        ("Output-Encoding", "JSON-1"),
    ] {
        item = item.tag(name, value);
    }
    let item = item.data(modules::ao_module("aos2_0_6.wasm")).sign(&user()).unwrap();
    world.http.post(&format!("{}/tx", world.net.gateway()), item.raw().to_vec()).ok();
    world.module = item.id();
    world
}

/// Processes by the node that orders them, one of each.
fn one_by_scheduler(world: &World) -> BTreeMap<String, Id> {
    let mut found = BTreeMap::new();
    for n in 0..64 {
        let process = world.process(&format!("process {n}"));
        let view = world.get(0, &format!("/v1/processes/{process}"));
        found.entry(view["scheduler"]["name"].as_str().unwrap().to_owned()).or_insert(process);
        if found.len() == 2 {
            return found;
        }
    }
    panic!("the network elects one node for everything");
}

/// What a gateway says is addressed to a process.
fn addressed(world: &World, at: &str, process: Id) -> Vec<Value> {
    let query =
        format!("{{ transactions(recipients: [\"{process}\"]) {{ edges {{ node {{ id block {{ height }} }} }} }} }}");
    let answer = world.http.post_json(&format!("{at}/graphql"), &json!({ "query": query })).ok().json();
    answer["data"]["transactions"]["edges"].as_array().unwrap().clone()
}

#[test]
fn r03_a_process_whose_scheduler_is_down_is_taken_for_no_wallet_on_a_network_() {
    let mut world = aos();
    let processes = one_by_scheduler(&world);
    let [(here, sender), (there, target)] = [0, 1].map(|at| processes.iter().nth(at).unwrap());
    let names = ["node-1", "node-2", "node-3"];
    world.net.kill_node(there);
    // Nobody who is left remembers the target: whether it is a process can be told by its scheduler only.
    for name in names.iter().filter(|name| *name != there) {
        world.net.kill_node(name);
        world.net.start_node(name);
    }
    // Its connections ended with the nodes they were to.
    world.http = Http::new();
    let door = names.iter().position(|name| name == here).unwrap();
    let code = format!("Send({{ Target = \"{target}\", Action = \"Late\", Data = \"still\" }})");
    let message = world.message(*sender, "Eval", code.as_bytes());
    let posted = world.http.post(&world.net.door(door), message.raw().to_vec());
    assert_eq!(posted.status, 202, "{}", posted.text());
    let result = eventually("the message is evaluated", PATIENCE, || {
        let answer = world.http.get(&format!("{}/result/{}?process-id={sender}", world.net.door(door), message.id()));
        (answer.status == 200).then(|| answer.json())
    });
    assert_eq!(result["Messages"][0]["Target"], target.to_string(), "{result}");
    // Pushed again by hand, it waits for its turn as before: it neither overtakes nor goes to Arweave.
    let push = format!("{}/push/{}/0?process-id={sender}", world.net.door(door), message.id());
    let answer = world.http.post(&push, Vec::new());
    assert_eq!(answer.status, 202, "{}", answer.text());
    let told = answer.json()["pushed"][0]["text"].as_str().unwrap().to_owned();
    assert!(told.starts_with("on its way"), "{told}");
    assert_eq!(addressed(&world, &world.net.gateway(), *target), [] as [Value; 0], "it did not go to Arweave instead");
    world.net.start_node(there);
    let arrived = eventually("the message arrives", PATIENCE, || {
        let log = world.http.get(&format!("{}/{target}?process-id={target}&limit=10", world.net.door(door)));
        let edges = (log.status == 200).then(|| log.json())?["edges"].as_array()?.clone();
        edges.into_iter().find(|edge| edge["node"]["message"]["data"] == "still")
    });
    let again = world.http.post(&push, Vec::new());
    assert_eq!((again.status, &again.json()["id"]), (202, &arrived["node"]["message"]["id"]), "once");
    world.stop();
}

#[test]
fn r04_what_was_ordered_is_found_without_any_gateway_on_a_network_() {
    let world = World::start(3);
    let process = world.process("lonely");
    let message = world.send(process, "Increment", b"1");
    // Everything but the gateway: the devnet is stopped, as a gateway that is down is.
    world.net.kill_node("arweave");
    for at in 0..3 {
        let door = world.net.door(at);
        // The other nodes hear of it by gossip.
        let edges = eventually("the message is found", PATIENCE, || {
            Some(addressed(&world, &door, process)).filter(|edges| !edges.is_empty())
        });
        assert_eq!(edges.len(), 1, "node {at}: {edges:?}");
        assert_eq!(edges[0]["node"]["id"], message.id().to_string());
        let raw = world.http.get(&format!("{door}/raw/{}", message.id()));
        assert_eq!((raw.status, raw.text().as_str()), (200, "1"));
    }
    assert_eq!(world.result(1, process, message.id())["Output"]["data"], "1");
}
