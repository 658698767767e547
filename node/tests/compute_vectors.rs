//! Real aos modules give the outcomes that AO's JavaScript loader gives.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "support/modules.rs"]
mod modules;

use serde_json::{Map, Value};
use weft_node::compute::{Instance, on_evaluation_stack};

/// The step whose message is a dry run.
const DRY_RUN: usize = 25;

#[test]
fn aos_64() {
    on_evaluation_stack(|| run(0)).unwrap();
}

#[test]
fn aos_32() {
    on_evaluation_stack(|| run(1)).unwrap();
}

fn run(index: usize) {
    let vectors = modules::vectors();
    let run = &vectors["runs"][index];
    let engine = modules::engine(|_| {});
    let wasm = modules::ao_module(run["wasm"].as_str().unwrap());
    let module = engine.load(&wasm, run["format"].as_str().unwrap().parse().unwrap()).unwrap();
    let mut instance = Instance::new(&module).unwrap();
    let env = run["envJSON"].as_str().unwrap();
    for (index, step) in run["steps"].as_array().unwrap().iter().enumerate() {
        let (name, msg) = (step["name"].as_str().unwrap(), step["msgJSON"].as_str().unwrap());
        let evaluation = if index == DRY_RUN {
            let (root, size) = (instance.root().unwrap(), instance.memory_bytes());
            let evaluation = instance.dry_run(msg, env);
            assert_eq!((instance.root().unwrap(), instance.memory_bytes()), (root, size), "{name} left a trace");
            evaluation
        } else {
            instance.apply(msg, env)
        };
        assert_eq!(evaluation.committed, step["committed"].as_bool().unwrap(), "{name}: {evaluation:?}");
        let response = evaluation.result.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(as_loader(response), masked(expected(name, &step["result"])), "{name}");
        assert!(evaluation.fuel > 100_000, "{name} took {} fuel", evaluation.fuel);
    }
}

/// The one deliberate difference: the loader's clock ticks, ours stands still, so `os.clock()` is 0.0 and not 0.001.
fn expected(name: &str, result: &Value) -> Value {
    let text = result.to_string();
    let text = if name == "20-clock-random" { text.replace(" 0.001", " 0.0") } else { text };
    serde_json::from_str(&text).unwrap()
}

/// The members that the loader passes on.
fn as_loader(response: Value) -> Value {
    let mut members = Map::new();
    for name in ["Error", "Output", "Messages", "Spawns", "Assignments"] {
        if let Some(value) = response.get(name) {
            members.insert(name.to_owned(), value.clone());
        }
    }
    members.insert("Patches".to_owned(), response.get("Patches").cloned().unwrap_or_else(|| Value::Array(Vec::new())));
    members.insert("GasUsed".to_owned(), 0.into());
    masked(Value::Object(members))
}

/// Lua prints the addresses of functions and tables, which depend on the memory's layout.
fn masked(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(mask(&text)),
        Value::Array(values) => values.into_iter().map(masked).collect(),
        Value::Object(members) => {
            Value::Object(members.into_iter().map(|(name, value)| (name, masked(value))).collect())
        }
        other => other,
    }
}

fn mask(text: &str) -> String {
    let mut parts = text.split("0x");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str("0x");
        out.push_str(part.trim_start_matches(|c: char| c.is_ascii_digit() || ('a'..='f').contains(&c)));
    }
    out
}
