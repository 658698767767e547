//! The committed example process answers as its README says, and keeps, loses and repeats its state as it should.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "support/modules.rs"]
mod modules;

use std::process::Command;

use proptest::prelude::*;
use serde_json::{Value, json};
use weft_node::compute::{Evaluation, Instance, Module, ReplayPolicy, Snapshot, SnapshotError};

const OTHER: &str = "4XcMb8UBUdODZaN6toM402g9MBXURbZciOmdukVnOHI";

fn counter() -> Module {
    modules::engine(|_| {}).load(modules::COUNTER, "wasm32-unknown-unknown".parse().unwrap()).unwrap()
}

fn apply(instance: &mut Instance, tags: &[(&str, &str)], data: &str) -> Evaluation {
    instance.apply(&modules::message(tags, data), "{}")
}

fn good(instance: &mut Instance, tags: &[(&str, &str)]) -> Value {
    let evaluation = apply(instance, tags, "a \"quoted\" text 世界");
    assert!(evaluation.committed, "{evaluation:?}");
    evaluation.result.unwrap()
}

#[test]
fn answers() {
    let mut instance = Instance::new(&counter()).unwrap();
    assert_eq!(good(&mut instance, &[("Type", "Process")])["Output"]["data"], "ready");
    let pong = good(&mut instance, &[("Action", "Ping")]);
    assert_eq!(pong["Messages"][0]["Target"], modules::SENDER);
    assert_eq!(pong["Messages"][0]["Anchor"].as_str().unwrap().len(), 32);
    assert!(pong["Messages"][0]["Tags"].as_array().unwrap().contains(&json!({"name": "Action", "value": "Pong"})));
    for count in 1..=3 {
        let answer = good(&mut instance, &[("X", "Action"), ("Action", "Increment"), ("Action", "Ping")]);
        assert_eq!(answer["Output"]["data"], count.to_string());
        assert_eq!(answer["Messages"][0]["Data"], count.to_string());
    }
    let forwarded = good(&mut instance, &[("Action", "Forward"), ("To", OTHER)]);
    assert_eq!(forwarded["Messages"][0]["Target"], OTHER);
    assert_eq!(forwarded["Messages"][0]["Data"], "a \"quoted\" text 世界");
    assert!(
        forwarded["Messages"][0]["Tags"].as_array().unwrap().contains(&json!({"name": "Action", "value": "Increment"}))
    );
    assert_eq!(good(&mut instance, &[("Action", "Pong")])["Messages"], json!([]));
    for tags in [&[("Action", "Dance")][..], &[("Action", "Forward"), ("To", "short")], &[]] {
        let refused = apply(&mut instance, tags, "");
        assert!(!refused.committed);
        assert!(refused.result.unwrap()["Error"].is_string());
    }
    assert_eq!(good(&mut instance, &[("Action", "Increment")])["Output"]["data"], "4");
}

#[test]
fn messages_of_any_form_end() {
    let mut instance = Instance::new(&counter()).unwrap();
    for msg in [
        "",
        "{",
        "[",
        "]",
        "}",
        "{\"Tags\":[",
        "{\"Tags\":[{",
        "{\"Tags\":[{\"name\"",
        "\"\\",
        "{\"Tags\":{}}",
        ",,::",
        "null",
    ] {
        instance.apply(msg, "").result.unwrap();
    }
    let large = "x".repeat(5 << 20);
    assert!(apply(&mut instance, &[("Action", "Forward"), ("To", OTHER)], &large).committed);
    assert!(!instance.apply("\0", "").committed);
}

#[test]
fn rebuilding_gives_the_committed_binary() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/counter-c/build.sh");
    let output = Command::new(script).arg("--check").output().unwrap();
    match output.status.code() {
        Some(0) => {}
        // No compiler, or one that gives other bytes: where the recipe can be repeated is CI's business.
        Some(2) => eprintln!("not compared: {}", String::from_utf8_lossy(&output.stderr)),
        _ => panic!("{}", String::from_utf8_lossy(&output.stderr)),
    }
}

#[test]
fn damaged_snapshots_are_refused() {
    let module = counter();
    let mut instance = Instance::new(&module).unwrap();
    good(&mut instance, &[("Action", "Increment")]);
    let snapshot = instance.snapshot().unwrap();
    let bytes = snapshot.as_bytes();
    let restored = Snapshot::from_bytes(bytes.clone()).unwrap();
    assert_eq!(Instance::restore(&module, &restored).unwrap().root().unwrap(), snapshot.root());
    for at in 0..bytes.len() {
        let mut damaged = bytes.to_vec();
        damaged[at] ^= 0x40;
        let result = Snapshot::from_bytes(damaged.into()).and_then(|snapshot| Instance::restore(&module, &snapshot));
        // Some bits of a zstd frame mean nothing; such a snapshot is the same state.
        let changed = result.is_ok_and(|mut instance| instance.root().unwrap() != snapshot.root());
        assert!(!changed, "a flipped bit in byte {at} was not noticed");
    }
    for length in 0..bytes.len() {
        let cut = Snapshot::from_bytes(bytes.slice(..length));
        assert!(cut.and_then(|snapshot| Instance::restore(&module, &snapshot)).is_err());
    }
    let other = modules::engine(|_| {}).load(&modules::plain("(i64.const 0)"), module.format()).unwrap();
    assert!(matches!(Instance::restore(&other, &snapshot), Err(SnapshotError::OtherModule { .. })));
}

#[derive(Debug, Clone)]
enum Step {
    Increment,
    Fail,
    Dry,
    Root,
    Restore,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Increment),
        2 => Just(Step::Fail),
        1 => Just(Step::Dry),
        1 => Just(Step::Root),
        1 => Just(Step::Restore),
    ];
    prop::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever comes in between, the state is that of the good messages alone.
    #[test]
    fn only_good_messages_leave_a_trace(steps in steps(), messages in 1_usize..5, adaptive in any::<bool>()) {
        let module = counter();
        let policy = ReplayPolicy { messages, adaptive, ..ReplayPolicy::default() };
        let mut instance = Instance::new(&module).unwrap().with_policy(policy);
        let mut plain = Instance::new(&module).unwrap();
        for step in steps {
            match step {
                Step::Increment => {
                    let left = good(&mut instance, &[("Action", "Increment")]);
                    prop_assert_eq!(left, good(&mut plain, &[("Action", "Increment")]));
                }
                Step::Fail => prop_assert!(!apply(&mut instance, &[("Action", "Nothing")], "").committed),
                Step::Dry => {
                    let before = instance.root().unwrap();
                    let dry = instance.dry_run(&modules::message(&[("Action", "Increment")], ""), "{}");
                    prop_assert!(dry.result.is_ok() && !dry.committed);
                    prop_assert_eq!(instance.root().unwrap(), before);
                }
                Step::Root => prop_assert_eq!(instance.root().unwrap(), plain.root().unwrap()),
                Step::Restore => {
                    let snapshot = instance.snapshot().unwrap();
                    instance = Instance::restore(&module, &snapshot).unwrap().with_policy(policy);
                }
            }
        }
        prop_assert_eq!(instance.root().unwrap(), plain.root().unwrap());
        prop_assert_eq!(instance.memory_bytes(), plain.memory_bytes());
    }
}
