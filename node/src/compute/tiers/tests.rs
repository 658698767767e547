#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::time::{Duration, Instant};

use super::*;
use crate::compute::{Engine, Instance, ReplayPolicy, on_evaluation_stack};

/// A module that counts its messages in memory and in a global, with `extra` among its functions.
fn counting(extra: &str) -> Vec<u8> {
    wat::parse_str(format!(
        r#"(module (memory (export "memory") 1) (global $g (mut i64) (i64.const 0))
            (func (export "alloc") (param i32) (result i32) (i32.const 1024))
            {extra}
            (func (export "handle") (param i32 i32 i32 i32) (result i64)
                (i32.store (i32.const 512) (i32.add (i32.load (i32.const 512)) (i32.const 3)))
                (global.set $g (i64.add (global.get $g) (i64.const 1)))
                (if (i64.eq (i64.const 5) (global.get $g)) (then (unreachable)))
                (i64.const 0x1000000028))
            (data (i32.const 16) "{{\"ok\":true,\"response\":{{\"Output\":\"fine\"}}}}"))"#
    ))
    .unwrap()
}

fn engine(dir: &tempfile::TempDir, compilers: Compilers) -> Engine {
    let mut config = EngineConfig::new(dir.path());
    config.compilers = compilers;
    Engine::new(config).unwrap()
}

/// Waits for the background.
fn optimised(module: &crate::compute::Module) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while module.tier() != Tier::Optimised {
        assert!(Instant::now() < deadline, "the module was not optimised");
        thread::yield_now();
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_new_module_runs_at_once_and_its_instances_move_over() {
    let dir = tempfile::tempdir().unwrap();
    let (wasm, format) = (counting(""), ModuleFormat::Plain);
    let slow = engine(&dir, Compilers::BaselineOnly).load(&wasm, format).unwrap();
    assert_eq!(slow.tier(), Tier::Baseline);
    let first = engine(&dir, Compilers::BaselineFirst);
    let module = first.load(&wasm, format).unwrap();
    on_evaluation_stack(|| {
        let policy = ReplayPolicy { messages: 2, ..ReplayPolicy::default() };
        let mut stays = Instance::new(&slow).unwrap().with_policy(policy);
        // Of the baseline compiler if that was quicker than the optimising one, which is usual and not certain.
        let mut moves = Instance::new(&module).unwrap().with_policy(policy);
        assert_eq!(moves.apply("{}", "{}"), stays.apply("{}", "{}"));
        optimised(&module);
        for number in 1..7 {
            assert_eq!(moves.apply("{}", "{}"), stays.apply("{}", "{}"), "message {number}");
        }
        assert_eq!(moves.root().unwrap(), stays.root().unwrap());
        assert_eq!((moves.tier(), stays.tier()), (Some(Tier::Optimised), Some(Tier::Baseline)));
    })
    .unwrap();
    // The next start has it at once.
    let again = engine(&dir, Compilers::BaselineFirst).load(&wasm, format).unwrap();
    assert_eq!(again.tier(), Tier::Optimised);
    assert_eq!(engine(&dir, Compilers::BaselineOnly).load(&wasm, format).unwrap().tier(), Tier::Baseline);
}

#[test]
fn only_the_optimising_compiler_decides_what_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let of = |extra: &str| {
        let wasm = counting(extra);
        let load = |compilers| engine(&dir, compilers).load(&wasm, ModuleFormat::Plain).map(|module| module.tier());
        (load(Compilers::BaselineOnly), load(Compilers::Optimising))
    };
    let vectors = "(func (result v128) (i32x4.add (v128.const i32x4 1 2 3 4) (v128.const i32x4 1 2 3 4)))";
    let large = format!("(func {})", "(drop (i64.const 1234567890123))".repeat(MAX_BASELINE_FUNCTION / 8));
    for extra in [vectors, &large] {
        assert_eq!(of(extra), (Ok(Tier::Optimised), Ok(Tier::Optimised)));
    }
    let (left, right) = of("(func (result i32) (i64.const 1))");
    assert_eq!(left.unwrap_err(), right.unwrap_err());
}

#[test]
fn the_background_forgets_what_nobody_has_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(&dir, Compilers::BaselineFirst);
    let wasm = counting("");
    let replaceable = engine.load(&wasm, ModuleFormat::Plain).unwrap().replaceable();
    // It may hold the module for the moment in which it puts the better code in place.
    let deadline = Instant::now() + Duration::from_secs(60);
    while replaceable.is_used() {
        assert!(Instant::now() < deadline, "the module is still held");
        thread::yield_now();
    }
}
