//! The whole pass with the real client, the process's scheduler, messenger and compute node being three different nodes;
//! then again with each of the three killed -9 in the middle and started again. It ends the same every time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "support/http.rs"]
mod http;
#[path = "support/modules.rs"]
mod modules;
#[path = "support/npm.rs"]
mod npm;
#[path = "support/testnet.rs"]
mod testnet;

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, sync_channel},
    thread,
    time::Duration,
};

use http::Http;
use serde_json::{Value, json};
use testnet::{Testnet, weft};

const CLIENT: &str = "@permaweb/aoconnect@0.0.98";
const SCRIPT: &str = include_str!("clients/passes.mjs");
/// How long the script may be silent: its own patience and a little.
const SILENT: Duration = Duration::from_secs(100);

/// Who dies in the middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Nobody,
    Scheduler,
    Messenger,
    Compute,
}

#[test]
fn the_whole_pass_ends_the_same_whoever_dies_in_the_middle() {
    let folder = npm::installed("aoconnect", CLIENT);
    let mut net = Testnet::start(5);
    let module = publish(&net);
    let calm = pass(&net, &folder, &module, Victim::Nobody);
    went_as_it_should(&calm);
    for victim in [Victim::Scheduler, Victim::Messenger, Victim::Compute] {
        same(&pass(&net, &folder, &module, victim), &calm, &format!("{victim:?} died in the middle"));
    }
    net.stop();
}

/// Both ends, member by member so that a difference can be found.
fn same(end: &Value, calm: &Value, when: &str) {
    match (end, calm) {
        (Value::Object(end), Value::Object(calm)) => {
            assert!(end.keys().eq(calm.keys()), "{when}: {:?} {:?}", end.keys(), calm.keys());
            end.iter().for_each(|(name, value)| same(value, &calm[name], &format!("{when}: {name}")));
        }
        (end, calm) => assert_eq!(end, calm, "{when}"),
    }
}

/// aos, published once for all passes.
fn publish(net: &Testnet) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("aos.wasm");
    fs::write(&file, modules::ao_module("aos2_0_6.wasm")).unwrap();
    let told = weft().args(["module", "publish", "--json", "--testnet"]).arg(net.dir()).arg(&file).output().unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let told: Value = serde_json::from_slice(&told.stdout).unwrap();
    told["id"].as_str().unwrap().to_owned()
}

/// Runs the script once; what it ended with.
fn pass(net: &Testnet, folder: &Path, module: &str, victim: Victim) -> Value {
    let mut script = Script::start(net, folder, module);
    let middle = script.next_that(|event| event == "middle");
    let a = middle["a"].as_str().unwrap();
    let roles = three_nodes(net, a);
    eprintln!("{victim:?}: {roles:?}");
    let doors = doors_of_others(net, &roles);
    let down = match victim {
        Victim::Nobody => None,
        Victim::Scheduler => Some(&roles[0]),
        Victim::Messenger => Some(&roles[1]),
        Victim::Compute => Some(&roles[2]),
    };
    if let Some(node) = down {
        net.kill_node(node);
    }
    script.answer(&json!({ "doors": doors }));
    if let Some(node) = down {
        // Nobody orders while the scheduler is dead; without one of the others the work goes on.
        let sign = if victim == Victim::Scheduler { "refused" } else { "went on" };
        script.next_that(|event| event == sign);
        net.start_node(node);
    }
    script.next_that(|event| event == "back");
    script.answer(&json!({}));
    let end = script.next_that(|event| event == "end");
    script.ended();
    all_nodes_tell_the_same(net, &end["ids"]);
    end["ends"].clone()
}

/// Names of the process's scheduler, first messenger and provider.
fn three_nodes(net: &Testnet, process: &str) -> [String; 3] {
    let view = Http::new().get(&format!("{}/v1/processes/{process}", net.door(0))).ok().json();
    let roles = [&view["scheduler"], &view["messengers"][0], &view["provider"]]
        .map(|node| node["name"].as_str().unwrap_or_else(|| panic!("{view:#}")).to_owned());
    assert!(roles[0] != roles[1] && roles[1] != roles[2] && roles[0] != roles[2], "{roles:?}");
    roles
}

/// Doors of two nodes that have none of these roles.
fn doors_of_others(net: &Testnet, roles: &[String; 3]) -> Vec<String> {
    let nodes = net.plan["nodes"].as_array().unwrap().iter().enumerate();
    let others = nodes.filter(|(_, node)| !roles.iter().any(|role| node["name"] == **role));
    let doors: Vec<String> = others.map(|(at, _)| net.door(at)).collect();
    assert_eq!(doors.len(), 2);
    doors
}

/// The same log with the same ids in every node's words, dense from slot 0.
fn all_nodes_tell_the_same(net: &Testnet, ids: &Value) {
    let http = Http::new();
    for name in ["a", "b", "child", "fresh"] {
        let process = ids[name].as_str().unwrap();
        let logs: Vec<String> = net
            .doors()
            .iter()
            .map(|door| {
                http.get(&format!("{door}/{process}?process-id={process}&limit=1000&from-nonce=-1")).ok().text()
            })
            .collect();
        assert!(logs.iter().all(|log| *log == logs[0]), "{name}");
        let page: Value = serde_json::from_str(&logs[0]).unwrap();
        let cursors: Vec<&str> =
            page["edges"].as_array().unwrap().iter().map(|e| e["cursor"].as_str().unwrap()).collect();
        let dense: Vec<String> = (0..cursors.len()).map(|slot| slot.to_string()).collect();
        assert_eq!(cursors, dense, "{name}");
    }
}

fn went_as_it_should(ends: &Value) {
    assert_eq!(ends["counted"], "2");
    assert_eq!(ends["heardByA"], "pong before, pong during, pong after");
    assert_eq!(ends["heardByB"], "answer during");
    assert_eq!(ends["noted"], "first tick, noted by a process, noted by a client");
    assert_eq!(ends["cast"]["secrets"], json!(["a secret", "a secret"]));
    assert_eq!(ends["cast"]["unproven"], json!([403, 403]));
    let shown = &ends["cast"]["shown"];
    assert_eq!((&shown["Cast"], &shown["Messages"], &shown["Output"]), (&json!(true), &json!([]), &json!("")));
    assert_eq!((&ends["ticksAreDense"], &ends["ticksAreListed"]), (&json!(true), &json!(true)));
    assert_eq!(ends["born"], "born a");
    assert_eq!(ends["pagesAreAll"], true);
    assert_eq!(ends["dryrun"], "pong dry");
    let mainnet = &ends["mainnet"];
    assert_eq!((&mainnet["result"], &mainnet["results"]), (&json!("2"), &json!("2")));
    assert_eq!((&mainnet["dryrun"], &mainnet["fresh"]), (&json!("pong dry"), &json!("fresh")));
}

/// The script at work, heard line by line.
struct Script {
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
    file: std::path::PathBuf,
}

impl Script {
    fn start(net: &Testnet, folder: &Path, module: &str) -> Self {
        let file = folder.join(format!("passes-{}.mjs", std::process::id()));
        fs::write(&file, SCRIPT).unwrap();
        let mut command = Command::new("node");
        command.arg(&file).env("DOOR", net.door(0)).env("GATEWAY", net.gateway()).env("NETWORK", net.address());
        command.env("ALICE", net.wallet("alice")).env("AOS", module);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("node runs the real client");
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (sender, lines) = sync_channel(64);
        thread::spawn(move || {
            BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { child, input, lines, file }
    }

    /// The next event of this kind; those before it are shown and passed over.
    fn next_that(&self, wanted: impl Fn(&str) -> bool) -> Value {
        loop {
            let line = self.lines.recv_timeout(SILENT).expect("the script says something before its patience ends");
            let event: Value = serde_json::from_str(&line).unwrap_or_else(|fault| panic!("{fault}: {line}"));
            if wanted(event["event"].as_str().unwrap()) {
                return event;
            }
            eprintln!("{}", line.chars().take(300).collect::<String>());
        }
    }

    fn answer(&mut self, value: &Value) {
        writeln!(self.input, "{value}").unwrap();
    }

    fn ended(mut self) {
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.file);
    }
}
