#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use proptest::prelude::*;
use wasmtime::{Config, Engine, Instance, Memory, Store, StoreLimits, StoreLimitsBuilder, Val};

use super::*;

mod programs;

fn engine() -> Engine {
    let mut config = Config::new();
    config.wasm_memory64(true).cranelift_nan_canonicalization(true);
    Engine::new(&config).unwrap()
}

fn baseline() -> Engine {
    let mut config = Config::new();
    config.strategy(wasmtime::Strategy::Winch);
    Engine::new(&config).unwrap()
}

/// What can be seen of a module: how it starts, what each call gives, and the memory behind it.
#[derive(Debug, PartialEq)]
struct Seen {
    start: Option<String>,
    calls: Vec<Result<Vec<u64>, String>>,
    size: u64,
    memory: blake3::Hash,
}

fn trap(error: &wasmtime::Error) -> String {
    error.downcast_ref::<wasmtime::Trap>().map_or_else(|| format!("{error:#}"), ToString::to_string)
}

fn bits(value: &Val) -> u64 {
    match value {
        Val::I32(value) => u64::from(value.cast_unsigned()),
        Val::I64(value) => value.cast_unsigned(),
        Val::F32(bits) => u64::from(*bits),
        Val::F64(bits) => *bits,
        other => panic!("{other:?}"),
    }
}

fn see(engine: &Engine, wasm: &[u8], calls: &[(&str, Vec<u64>)], limit: usize) -> Seen {
    let module = wasmtime::Module::new(engine, wasm).unwrap();
    let mut store: Store<StoreLimits> = Store::new(engine, StoreLimitsBuilder::new().memory_size(limit).build());
    store.limiter(|limits| limits);
    let instance = match Instance::new(&mut store, &module, &[]) {
        Ok(instance) => instance,
        Err(error) => return Seen { start: Some(trap(&error)), calls: vec![], size: 0, memory: blake3::hash(&[]) },
    };
    let mut given = Vec::new();
    for (name, args) in calls {
        let function = instance.get_func(&mut store, name).unwrap();
        let ty = function.ty(&store);
        let args: Vec<Val> = args.iter().map(|arg| Val::I64(arg.cast_signed())).collect();
        let mut results = vec![Val::I64(0); ty.results().len()];
        let outcome = function.call(&mut store, &args, &mut results);
        given.push(outcome.map(|()| results.iter().map(bits).collect()).map_err(|error| trap(&error)));
    }
    let memory: Memory = instance.get_memory(&mut store, "memory").unwrap();
    let size = memory.data_size(&store) as u64;
    // Of a memory of 4 GiB only both ends.
    let data = memory.data(&store);
    let ends = [&data[..data.len().min(1 << 20)], &data[data.len() - data.len().min(1 << 17)..]].concat();
    Seen { start: None, calls: given, size, memory: blake3::hash(&ends) }
}

/// The module with its 64-bit memory, and narrowed: what is seen of both.
fn twice(text: &str, calls: &[(&str, Vec<u64>)], limit: usize) -> (Seen, Seen) {
    let engine = engine();
    let wide = wat::parse_str(text).unwrap();
    let narrowed = narrow(&wide).unwrap().expect("a 64-bit memory");
    assert!(narrow(&narrowed).unwrap().is_none(), "nothing is left to do");
    (see(&engine, &wide, calls, limit), see(&engine, &narrowed, calls, limit))
}

/// Both do the same; returns what.
fn same(text: &str, calls: &[(&str, Vec<u64>)], limit: usize) -> Seen {
    let (wide, narrowed) = twice(text, calls, limit);
    assert_eq!(wide, narrowed, "{text}");
    narrowed
}

const PAGE: u64 = 65_536;
/// Addresses on both sides of every end.
fn edges() -> Vec<u64> {
    let around = |place: u64| (0..20).map(move |back| place.wrapping_add(2).wrapping_sub(back));
    let places = [2, PAGE, 2 * PAGE, 1 << 31, 1 << 32, (1 << 32) + PAGE, 1 << 33, 1 << 63, u64::MAX];
    places.into_iter().flat_map(around).collect()
}

#[test]
fn each_load_at_every_edge() {
    let loads = [
        ("i32.load", 1),
        ("i64.load", 0),
        ("f32.load", 2),
        ("f64.load", 3),
        ("i32.load8_s", 1),
        ("i32.load8_u", 1),
        ("i32.load16_s", 1),
        ("i32.load16_u", 1),
        ("i64.load8_s", 0),
        ("i64.load8_u", 0),
        ("i64.load16_s", 0),
        ("i64.load16_u", 0),
        ("i64.load32_s", 0),
        ("i64.load32_u", 0),
        ("v128.load", 4),
        ("v128.load8x8_s", 4),
        ("v128.load8x8_u", 4),
        ("v128.load16x4_s", 4),
        ("v128.load16x4_u", 4),
        ("v128.load32x2_s", 4),
        ("v128.load32x2_u", 4),
        ("v128.load8_splat", 4),
        ("v128.load16_splat", 4),
        ("v128.load32_splat", 4),
        ("v128.load64_splat", 4),
        ("v128.load32_zero", 4),
        ("v128.load64_zero", 4),
    ];
    let to_i64 =
        ["", "i64.extend_i32_u", "i32.reinterpret_f32 i64.extend_i32_u", "i64.reinterpret_f64", "i64x2.extract_lane 1"];
    let mut functions = String::new();
    let mut calls = Vec::new();
    for (load, to) in loads {
        for offset in ["0", "1", "65528", "4294967295", "4294967296", "18446744073709551615"] {
            let name = format!("{load} {offset}");
            functions += &format!(
                "(func (export \"{name}\") (param i64) (result i64) local.get 0 {load} offset={offset} {})",
                to_i64[to]
            );
            calls.extend(edges().into_iter().map(|edge| (name.clone(), vec![edge])));
        }
    }
    let text = format!(
        "(module (memory (export \"memory\") i64 1 3) (data (i64.const 0) \"\\01\\82\\f3\\04\\95\\06\") \
         (data (i64.const 65530) \"abcdef\") {functions})"
    );
    let calls: Vec<_> = calls.iter().map(|(name, args)| (name.as_str(), args.clone())).collect();
    let seen = same(&text, &calls, 1 << 20);
    assert!(seen.calls.iter().any(Result::is_ok));
    assert!(seen.calls.iter().flat_map(Result::as_ref).count() < seen.calls.len());
    let failures: std::collections::BTreeSet<_> = seen.calls.iter().filter_map(|call| call.as_ref().err()).collect();
    assert_eq!(failures.into_iter().collect::<Vec<_>>(), ["wasm trap: out of bounds memory access"]);
}

#[test]
fn each_store_at_every_edge() {
    let values = [
        ("i32.store", "i32.const 0x12345678"),
        ("i32.store8", "i32.const 0x12345678"),
        ("i32.store16", "i32.const 0x12345678"),
        ("i64.store", "i64.const 0x123456789abcdef0"),
        ("i64.store8", "local.get 0"),
        ("i64.store16", "local.get 0"),
        ("i64.store32", "local.get 0 i64.const 3 i64.mul"),
        ("f32.store", "f32.const 1.5"),
        ("f64.store", "local.get 0 f64.convert_i64_u"),
        ("v128.store", "v128.const i64x2 1 2"),
    ];
    let lanes = ["8", "16", "32", "64"];
    let mut functions = String::new();
    let mut calls = Vec::new();
    let mut add = |code: String, name: String| {
        functions += &format!("(func (export \"{name}\") (param i64) {code})");
        calls.extend(edges().into_iter().map(|edge| (name.clone(), vec![edge])));
    };
    for offset in ["0", "7", "65532", "4294967295", "4294967296", "18446744073709551615"] {
        for (store, value) in values {
            add(format!("local.get 0 {value} {store} offset={offset}"), format!("{store} {offset}"));
        }
        for lane in lanes {
            add(
                format!("local.get 0 v128.const i64x2 1234567 2 v128.store{lane}_lane offset={offset} 1"),
                format!("store lane {lane} {offset}"),
            );
            let name = format!("load lane {lane} {offset}");
            add(
                format!(
                    "(i64.store (i64.const 32) (i64x2.extract_lane 0 \
                     (v128.load{lane}_lane offset={offset} 0 (local.get 0) (v128.const i64x2 9 9))))"
                ),
                name,
            );
        }
    }
    let text = format!("(module (memory (export \"memory\") i64 2) {functions})");
    let calls: Vec<_> = calls.iter().map(|(name, args)| (name.as_str(), args.clone())).collect();
    let seen = same(&text, &calls, 1 << 20);
    assert!(seen.calls.iter().any(Result::is_ok) && seen.calls.iter().any(Result::is_err));
}

/// Calls with every combination of three operands.
fn combinations(name: &'static str, operands: &[u64]) -> Vec<(&'static str, Vec<u64>)> {
    let mut calls = Vec::new();
    for first in operands {
        for second in operands {
            calls.extend(operands.iter().map(|third| (name, vec![*first, *second, *third])));
        }
    }
    calls
}

const BULK: &str = r#"
  (func (export "fill") (param i64 i64 i64) (memory.fill (local.get 0) (i32.wrap_i64 (local.get 1)) (local.get 2)))
  (func (export "copy") (param i64 i64 i64) (memory.copy (local.get 0) (local.get 1) (local.get 2)))
  (func (export "init") (param i64 i64 i64)
    (memory.init $passive (local.get 0) (i32.wrap_i64 (local.get 1)) (i32.wrap_i64 (local.get 2))))
  (func (export "size") (result i64) memory.size)
  (func (export "grow") (param i64) (result i64) (memory.grow (local.get 0)))
  (data $passive "123456789")"#;

#[test]
fn ranges_at_every_edge() {
    let text = format!("(module (memory (export \"memory\") i64 1) (data (i64.const 9) \"hello\") {BULK})");
    let operands = [0, 1, 9, 10, PAGE - 9, PAGE, PAGE + 1, (1 << 32) - 1, 1 << 32, (1 << 32) + 1, 1 << 63, u64::MAX];
    let calls: Vec<_> = ["fill", "copy", "init"].into_iter().flat_map(|name| combinations(name, &operands)).collect();
    let seen = same(&text, &calls, 1 << 20);
    assert!(seen.calls.iter().any(Result::is_ok) && seen.calls.iter().any(Result::is_err));
}

#[test]
fn ranges_at_the_end_of_four_gibibytes() {
    let text = format!("(module (memory (export \"memory\") i64 65536 65536) {BULK})");
    let end = 1 << 32;
    let operands = [0, 1, 9, 10, end - 9, end - 1, end, end + 1];
    let mut calls: Vec<_> = ["copy", "init"].into_iter().flat_map(|name| combinations(name, &operands)).collect();
    // Not everything at once: that takes as long as filling the memory.
    calls.retain(|(_, operands)| operands[2] <= 10 || operands[2] >= end);
    calls.retain(|(_, operands)| operands[0].max(operands[1]) > 0 || operands[2] != end);
    calls.extend(
        [end - 1, end, end + 1]
            .into_iter()
            .flat_map(|at| [0, 1, 2, end, end + 1].map(|count| ("fill", vec![at, 7, count]))),
    );
    let seen = same(&text, &calls, 1 << 33);
    let (copied, _) = calls.iter().zip(&seen.calls).find(|(call, _)| call.1 == [end, end, 0]).unwrap();
    assert_eq!(copied.0, "copy");
    assert!(seen.calls[calls.iter().position(|call| call.1 == [end, end, 0]).unwrap()].is_ok());
}

#[test]
fn memory_grows_as_before() {
    for limits in ["1", "1 3", "1 65536", "1 65537", "1 281474976710656", "0"] {
        let text = format!("(module (memory (export \"memory\") i64 {limits}) {BULK})");
        let by = [0, 1, 1, 1, 65_535, 65_536, (1 << 32) - 1, 1 << 32, (1 << 32) + 1, 1 << 48, u64::MAX, 1, 1];
        let calls: Vec<_> = by.iter().flat_map(|by| [("grow", vec![*by]), ("size", vec![])]).collect();
        let seen = same(&text, &calls, 5 << 16);
        assert_eq!(seen.calls[0], Ok(vec![u64::from(limits != "0")]));
        assert_eq!(seen.calls[14], Ok(vec![u64::MAX]), "2^32 pages more is an answer, not a growth by none");
    }
}

#[test]
fn segments_with_every_place() {
    for place in [
        "(i64.const 0)",
        "(i64.const 65535)",
        "(i64.const 65536)",
        "(i64.const 0x7fffffff)",
        "(i64.const 0x80000000)",
        "(i64.const 0xffffffff)",
        "(i64.const 0x100000000)",
        "(i64.const -1)",
        "(i64.add (i64.const 5) (i64.mul (i64.const 3) (i64.sub (i64.const 9) (i64.const 2))))",
        "(i64.add (i64.const 0xffffffff) (i64.const 2))",
    ] {
        for data in ["", "x", "xyz"] {
            let text = format!("(module (memory (export \"memory\") i64 1) (data {place} \"{data}\"))");
            let wide = wat::parse_str(&text).unwrap();
            let seen = see(&engine(), &wide, &[], 1 << 20);
            match narrow(&wide) {
                Ok(narrowed) => assert_eq!(see(&engine(), &narrowed.unwrap(), &[], 1 << 20), seen, "{text}"),
                Err(error) => assert_eq!(Some(error), seen.start.map(LoadError::Start), "{text}"),
            }
        }
    }
    let end = "(module (memory (export \"memory\") i64 65536) (data (i64.const 0x100000000) \"\"))";
    same(end, &[], 1 << 33);
    let own =
        wat::parse_str("(module (memory i64 1) (global i64 i64.const 3) (global (mut i64) i64.const 3))").unwrap();
    assert!(narrow(&own).unwrap().is_some());
}

#[test]
fn other_memories_are_left_or_refused() {
    let narrowed = |text: &str| narrow(&wat::parse_str(text).unwrap());
    assert_eq!(narrowed("(module (memory 1))"), Ok(None));
    assert_eq!(narrowed("(module (func))"), Ok(None));
    assert_eq!(narrowed("(module (import \"a\" \"b\" (memory i64 1)))"), Ok(None));
    let refused = |text: &str, why: &str| assert!(narrowed(text).unwrap_err().to_string().contains(why), "{text}");
    refused("(module (memory i64 1 2 shared))", "shared memory");
    refused("(module (memory i64 1 (pagesize 1)))", "pages of another size");
    refused("(module (memory i64 65537))", "4295032832 bytes of memory");
    refused("(module (memory i64 1) (func (drop (i32.atomic.load (i64.const 0)))))", "the proposal threads");
    refused("(module (memory i64 1) (func $f (drop (i64.load (i64.const 0))) return_call $f))", "proposal tail_call");
}

/// Number of tests of an upper half in a function.
fn tests_in(body: &str) -> usize {
    let text = format!(
        "(module (memory i64 1) (global $g (mut i64) (i64.const 0)) (func $f (param i64 i64) (local i64) {body}))"
    );
    let narrowed = narrow(&wat::parse_str(&text).unwrap()).unwrap().unwrap();
    let mut count = 0;
    for payload in Parser::new(0).parse_all(&narrowed) {
        if let Payload::CodeSectionEntry(body) = payload.unwrap() {
            count +=
                body.get_operators_reader().unwrap().into_iter().filter(|op| matches!(op, Ok(Operator::I64Ne))).count();
        }
    }
    count
}

#[test]
fn nothing_is_tested_twice() {
    let load = |address: &str| format!("(drop (i64.load offset=8 {address}))");
    let p = load("(local.get 0)");
    let q = load("(local.get 1)");
    let store = "(i64.store (local.get 0) (local.get 1))";
    assert_eq!(tests_in(&format!("{p} {store} {p}")), 1);
    assert_eq!(tests_in(&format!("{p} {q} {p} {q}")), 2);
    assert_eq!(tests_in(&format!("{p} (local.set 0 (i64.const -1)) {p}")), 2, "the local is another");
    assert_eq!(tests_in(&load("(local.tee 2 (i64.load (local.get 0)))")), 2);
    assert_eq!(tests_in(&format!("{} {}", load("(local.tee 2 (global.get $g))"), load("(local.get 2)"))), 1);
    assert_eq!(tests_in(&load("(i64.const 77)")), 0);
    assert_eq!(tests_in(&load("(i64.extend_i32_u (i32.const 1))")), 0);
    assert_eq!(tests_in(&load("(i64.load32_u (local.get 0))")), 1);
    assert_eq!(tests_in(&load("(i64.and (local.get 1) (i64.const 0xffffffff))")), 0);
    assert_eq!(tests_in(&format!("{p} {}", load("(i64.add (local.get 0) (i64.const 24))"))), 1, "the offset takes it");
    assert_eq!(tests_in(&format!("{p} {}", load("(i64.add (local.get 0) (i64.const -8))"))), 2);
    assert_eq!(tests_in(&format!("{p} {}", load("(i64.add (local.get 0) (i64.const 0xffffffff))"))), 2);
    // Ways that meet.
    assert_eq!(tests_in(&format!("(if (i32.const 1) (then {p}) (else {p})) {p}")), 2);
    assert_eq!(tests_in(&format!("(if (i32.const 1) (then {p})) {p}")), 2);
    assert_eq!(tests_in(&format!("(if (i32.const 1) (then {p}) (else return)) {p}")), 1);
    assert_eq!(tests_in(&format!("(block (br_if 0 (i32.const 1)) {p}) {p}")), 2);
    assert_eq!(tests_in(&format!("(block {p} (br_if 0 (i32.const 1)) {p}) {p}")), 1);
    assert_eq!(tests_in(&format!("(block (block {p} (br_table 0 1 (i32.const 1))) {q}) {p} {q}")), 3);
    // Loops know what they do not assign.
    assert_eq!(tests_in(&format!("{p} (loop {p} (br_if 0 (i32.const 1)))")), 1);
    assert_eq!(tests_in(&format!("{p} (loop {p} (local.set 0 (i64.const -1)) (br_if 0 (i32.const 1)))")), 2);
    assert_eq!(
        tests_in(&format!("{p} (loop (loop (local.set 0 (i64.const -1))) (br_if 0 (i32.const 1)) {p}) {p}")),
        2,
        "an inner loop assigns it"
    );
    assert_eq!(
        tests_in(&format!("{p} (loop {p} (loop (local.set 0 (global.get $g))) {p} (br_if 0 (i32.const 1)))")),
        3
    );
}

#[test]
fn what_is_kept_for_a_function_is_bounded() {
    // Deep nesting, many loops, many locals: nothing is known there, and the answer is the same.
    let deep = "(block ".repeat(3000) + "(drop (i64.load (local.get 0)))" + &")".repeat(3000);
    let many = "(loop (drop (i64.load (local.get 0))))".repeat(10_100);
    for code in [deep, many] {
        let text = format!(
            "(module (memory (export \"memory\") i64 1) (func (export \"f\") (param i64) (local {}) (local.set 519 (local.get 0))
             (drop (i64.load (local.get 519))) {code} (drop (i64.load (local.get 519)))))",
            "i64 ".repeat(520)
        );
        let seen = same(&text, &[("f", vec![8]), ("f", vec![1 << 32])], 1 << 20);
        assert!(seen.calls[0].is_ok() && seen.calls[1].is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_program_does_the_same(seed in any::<u64>()) {
        let (text, calls) = programs::program(seed);
        let calls: Vec<_> = calls.into_iter().map(|args| ("main", args)).collect();
        let (wide, narrowed) = twice(&text, &calls, 4 << 16);
        prop_assert_eq!(&wide, &narrowed, "{}", text);
        // What the baseline compiler makes of it, where it knows all instructions.
        let narrowed = narrow(&wat::parse_str(&text).unwrap()).unwrap().unwrap();
        let baseline = baseline();
        if wasmtime::Module::new(&baseline, &narrowed).is_ok() {
            prop_assert_eq!(wide, see(&baseline, &narrowed, &calls, 4 << 16), "{}", text);
        }
    }
}

/// Programs that always trap at once would show nothing.
#[test]
fn programs_go_far_enough() {
    let engine = engine();
    let (mut good, mut bad) = (0, 0);
    for seed in 0..40 {
        let (text, calls) = programs::program(seed);
        let calls: Vec<_> = calls.into_iter().map(|args| ("main", args)).collect();
        let seen = see(&engine, &wat::parse_str(&text).unwrap(), &calls, 4 << 16);
        good += seen.calls.iter().filter(|call| call.is_ok()).count();
        bad += seen.calls.iter().filter(|call| call.is_err()).count();
    }
    assert!(good > 40 && bad > 20, "{good} calls went through, {bad} trapped");
}
