//! The same messages to the box's Lua and to aos 2.0.6 from the npm registry: equal answers, but for what is listed.

use serde_json::{Value, json};
use weft_node::compute::on_evaluation_stack;

use super::*;

/// Steps of the vectors whose answers differ on purpose, and why.
const DIFFERENT: [(&str, &str); 2] = [
    ("07-assign", "Assign says once, not twice, that the assignment is in the outbox"),
    ("20-clock-random", "another generator of random numbers"),
];

/// A response without what is each module's own: prompt, colours, addresses, order of members, words of errors.
fn essence(response: &Value) -> Value {
    if response["Error"].is_string() {
        return "an error".into();
    }
    let data = plain(response["Output"]["data"].as_str().unwrap_or_default());
    let mut lines: Vec<&str> = data.lines().map(|line| line.trim_end_matches(',')).collect();
    if data.contains('{') {
        lines.sort_unstable();
    }
    // Each module has its own order of members in JSON.
    let data: Value = serde_json::from_str(&data).unwrap_or_else(|_| json!(lines));
    let list = |name: &str| -> Vec<Value> { response[name].as_array().unwrap().iter().map(entry).collect() };
    json!({
        "print": response["Output"]["print"] == true, "data": data, "Messages": list("Messages"),
        "Spawns": list("Spawns"), "Assignments": list("Assignments"),
    })
}

/// An entry of the outbox: tags beyond the fixed ones in any order, JSON data as a value.
fn entry(entry: &Value) -> Value {
    let mut entry = entry.clone();
    if let Some(all) = entry.get_mut("Tags").and_then(Value::as_array_mut) {
        all.sort_by_key(|tag| tag["name"].to_string());
    }
    if let Some(value) = entry["Data"].as_str().and_then(|text| serde_json::from_str::<Value>(text).ok()) {
        entry["Data"] = value;
    }
    entry
}

/// Without colours, with every address as `0x`.
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some(colour) = rest.strip_prefix("\u{1b}[") {
            rest = colour.split_once('m').map_or("", |(_, after)| after);
        } else if let Some(address) = rest.strip_prefix("0x") {
            out.push_str("0x");
            rest = address.trim_start_matches(|c: char| c.is_ascii_hexdigit());
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

#[test]
fn the_vectors_are_answered_as_aos_does() {
    let engine = modules::engine(|_| {});
    let (aos, lua) = (modules::aos(&engine), lua());
    let run = modules::vectors()["runs"][0].clone();
    let env = run["envJSON"].as_str().unwrap().to_owned();
    on_evaluation_stack(|| {
        let (mut theirs, mut ours) = (Instance::new(&aos).unwrap(), Instance::new(&lua).unwrap());
        let mut compared = 0;
        for step in run["steps"].as_array().unwrap() {
            let (name, message) = (step["name"].as_str().unwrap(), step["msgJSON"].as_str().unwrap());
            let dry = message.contains("\"Read-Only\":true");
            let answer = |instance: &mut Instance| {
                if dry { instance.dry_run(message, &env) } else { instance.apply(message, &env) }
            };
            let (theirs, ours) = (answer(&mut theirs), answer(&mut ours));
            assert_eq!(ours.committed, theirs.committed, "{name}: {ours:?}");
            if DIFFERENT.iter().all(|(known, _)| *known != name) {
                assert_eq!(essence(&ours.result.unwrap()), essence(&theirs.result.unwrap()), "{name}");
                compared += 1;
            }
        }
        assert!(compared >= 30, "{compared} steps were compared");
    })
    .unwrap();
}

const TOKEN: &str = include_str!("../../../examples/lua/blueprints/token.lua");
const STAKING: &str = include_str!("../../../examples/lua/blueprints/staking.lua");
const VOTING: &str = include_str!("../../../examples/lua/blueprints/voting.lua");
const CHAT: &str = include_str!("../../../examples/lua/blueprints/chat.lua");

/// Sender, tags, data.
type Step = (&'static str, Vec<(&'static str, &'static str)>, &'static str);

/// The blueprints at work, message by message.
fn blueprints() -> Vec<Step> {
    let eval = |code| (OWNER, vec![("Action", "Eval")], code);
    let mut steps = vec![
        eval(TOKEN),
        (OTHER, vec![("Action", "Info")], ""),
        (OWNER, vec![("Action", "Mint"), ("Quantity", "500")], ""),
        (OTHER, vec![("Action", "Mint"), ("Quantity", "500")], ""),
        (
            OWNER,
            vec![
                ("Action", "Transfer"),
                ("Quantity", "200"),
                ("Recipient", OTHER),
                ("X-Note", "n"),
                ("Reference", "7"),
            ],
            "",
        ),
        (OTHER, vec![("Action", "Transfer"), ("Quantity", "201"), ("Recipient", OWNER)], ""),
        (OTHER, vec![("Action", "Transfer"), ("Quantity", "1.5"), ("Recipient", OWNER)], ""),
        (OTHER, vec![("Action", "Balance")], ""),
        (OTHER, vec![("Action", "Balances")], ""),
        (OTHER, vec![("Action", "Total-Supply")], ""),
        eval(STAKING),
        (OTHER, vec![("Action", "Stake"), ("Quantity", "150")], ""),
        (OTHER, vec![("Action", "Stake"), ("Quantity", "51")], ""),
        (OTHER, vec![("Action", "Unstake"), ("Quantity", "50")], ""),
        (OTHER, vec![("Action", "Stakers")], ""),
        eval(VOTING),
        (OTHER, vec![("Action", "Vote"), ("Side", "yay"), ("Vote-For", OWNER)], ""),
        (OTHER, vec![("Action", "Vote"), ("Side", "nay"), ("Vote-For", OWNER)], ""),
        eval(CHAT),
        (OTHER, vec![("Action", "Broadcast")], "hello?"),
        (OTHER, vec![("Action", "Register")], ""),
        (OWNER, vec![("Action", "Register")], ""),
        (OTHER, vec![("Action", "Broadcast")], "hello!"),
        (OTHER, vec![("Action", "Unregister")], ""),
    ];
    // Blocks pass: the vote ends, the stake comes back.
    steps.extend((0..6).map(|_| (OWNER, vec![("Action", "Balance"), ("Target", OTHER)], "")));
    steps.push(eval("return require('json').encode({ Balances, Stakers, Votes })"));
    steps
}

#[test]
fn the_common_blueprints_work_as_on_aos() {
    let engine = modules::engine(|_| {});
    let (aos, lua) = (modules::aos(&engine), lua());
    on_evaluation_stack(|| {
        let (mut theirs, mut ours) = (Process::new(&aos, &[]), Process::new(&lua, &[]));
        let mut last = Value::Null;
        let boot = |process: &mut Process| {
            let message = process.boot_message(" ");
            process.apply(&message)
        };
        assert_eq!(essence(&boot(&mut ours).result.unwrap()), essence(&boot(&mut theirs).result.unwrap()));
        for (from, extra, data) in blueprints() {
            let answer = |process: &mut Process| {
                let message = process.message(from, from, &extra, data);
                process.apply(&message)
            };
            let (theirs, ours) = (answer(&mut theirs), answer(&mut ours));
            last = ours.result.unwrap();
            assert_eq!(essence(&last), essence(&theirs.result.unwrap()), "{extra:?}");
        }
        // What the blueprints came to, said once in full.
        let state: Value = serde_json::from_str(last["Output"]["data"].as_str().unwrap()).unwrap();
        assert_eq!(state[0][OTHER], "100", "200 received, 150 staked, 50 came back");
        assert_eq!(state[1][OTHER], "100");
        assert_eq!(state[2], json!([]), "the vote is over");
    })
    .unwrap();
}

#[test]
fn a_message_costs_a_tenth_of_what_it_costs_aos() {
    let engine = modules::engine(|_| {});
    let (aos, lua) = (modules::aos(&engine), lua());
    // Fuel of a ping, and of one with 100 KB of data: the JSON of aos is read by Lua.
    let costs = |module: &Module| {
        let mut process = Process::booted(module, &[], " ");
        process.eval("Handlers.add('ping', Handlers.utils.hasMatchingTag('Action', 'Ping'), function(m) m.reply({ Data = 'pong' }) end)");
        ["hi", &"x".repeat(100_000)].map(|data| {
            let message = process.message(OTHER, OTHER, &[("Action", "Ping")], data);
            process.apply(&message).fuel
        })
    };
    on_evaluation_stack(|| {
        let (theirs, ours) = (costs(&aos), costs(&lua));
        println!("fuel of aos {theirs:?}, of lua {ours:?}");
        assert!(ours[0] * 10 < theirs[0], "{ours:?} {theirs:?}");
        assert!(ours[1] * 50 < theirs[1], "{ours:?} {theirs:?}");
    })
    .unwrap();
}
