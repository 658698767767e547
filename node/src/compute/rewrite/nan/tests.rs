#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::fmt::Write as _;

use proptest::prelude::*;
use wasmtime::{Config, Engine, Instance, Module, OptLevel, Store, Strategy as Compiler};

use super::*;

const UNARY: [&str; 5] = ["ceil", "floor", "trunc", "nearest", "sqrt"];
const BINARY: [&str; 6] = ["add", "sub", "mul", "div", "min", "max"];
const SIGN: [&str; 2] = ["abs", "neg"];
/// NaNs of all kinds and numbers whose arithmetic makes new ones.
const F64: [u64; 12] = [
    0x7ff8_0000_0000_0000,
    0xfff8_0000_0000_0000,
    0x7ff8_0000_dead_beef,
    0xfff0_0000_0000_0001,
    0x7ff4_0000_0000_0000,
    0x7ff0_0000_0000_0000,
    0xfff0_0000_0000_0000,
    0,
    1 << 63,
    0x3ff8_0000_0000_0000,
    0xbff0_0000_0000_0000,
    0x7fef_ffff_ffff_ffff,
];
const F32: [u32; 10] = [
    0x7fc0_0000,
    0xffc0_0000,
    0x7fc0_beef,
    0xff80_0001,
    0x7fa0_0000,
    0x7f80_0000,
    0xff80_0000,
    0,
    0xbf80_0000,
    0x3fc0_0000,
];

/// A compiler, and whether it replaces NaNs itself.
fn engine(compiler: Compiler, level: OptLevel, replaces: bool) -> Engine {
    let mut config = Config::new();
    config.strategy(compiler);
    if compiler == Compiler::Cranelift {
        config.cranelift_opt_level(level).cranelift_nan_canonicalization(replaces);
    }
    Engine::new(&config).unwrap()
}

fn run(engine: &Engine, wasm: &[u8]) -> Vec<i64> {
    let mut store = Store::new(engine, ());
    let instance = Instance::new(&mut store, &Module::new(engine, wasm).unwrap(), &[]).unwrap();
    let count = instance.exports(&mut store).count();
    (0..count)
        .map(|index| {
            instance.get_typed_func::<(), i64>(&mut store, &index.to_string()).unwrap().call(&mut store, ()).unwrap()
        })
        .collect()
}

/// A module whose functions give the bits of these expressions (i64 each).
fn module(expressions: &[String]) -> Vec<u8> {
    let mut text = "(module ".to_owned();
    for (index, expression) in expressions.iter().enumerate() {
        write!(text, "(func (export \"{index}\") (result i64) {expression})").unwrap();
    }
    wat::parse_str(text + ")").unwrap()
}

/// What the module gives after the pass is, on every compiler, what Cranelift gives when it replaces NaNs.
fn same(wasm: &[u8], vectors: bool) -> Vec<i64> {
    let rewritten = canonical(wasm).unwrap();
    let rewritten = rewritten.as_deref().unwrap_or(wasm);
    let expected = run(&engine(Compiler::Cranelift, OptLevel::Speed, true), wasm);
    for level in [OptLevel::Speed, OptLevel::None] {
        assert_eq!(run(&engine(Compiler::Cranelift, level, false), rewritten), expected);
    }
    // The baseline compiler knows vectors on few processors.
    if !vectors {
        assert_eq!(run(&engine(Compiler::Winch, OptLevel::Speed, false), rewritten), expected);
    }
    expected
}

fn f64(bits: u64) -> String {
    format!("(f64.reinterpret_i64 (i64.const {}))", bits.cast_signed())
}

fn f32(bits: u32) -> String {
    format!("(f32.reinterpret_i32 (i32.const {}))", bits.cast_signed())
}

#[test]
fn every_operator_gives_the_bits_that_the_compiler_gave() {
    let mut all = Vec::new();
    for a in F64 {
        for op in UNARY {
            all.push(format!("(i64.reinterpret_f64 (f64.{op} {}))", f64(a)));
        }
        all.push(format!("(i64.extend_i32_u (i32.reinterpret_f32 (f32.demote_f64 {})))", f64(a)));
        for (op, b) in BINARY.into_iter().flat_map(|op| F64.map(|b| (op, b))) {
            all.push(format!("(i64.reinterpret_f64 (f64.{op} {} {}))", f64(a), f64(b)));
        }
    }
    for a in F32 {
        for op in UNARY {
            all.push(format!("(i64.extend_i32_u (i32.reinterpret_f32 (f32.{op} {})))", f32(a)));
        }
        all.push(format!("(i64.reinterpret_f64 (f64.promote_f32 {}))", f32(a)));
        for (op, b) in BINARY.into_iter().flat_map(|op| F32.map(|b| (op, b))) {
            all.push(format!("(i64.extend_i32_u (i32.reinterpret_f32 (f32.{op} {} {})))", f32(a), f32(b)));
        }
    }
    let results = same(&module(&all), false);
    assert!(results.contains(&0x7ff8_0000_0000_0000) && results.contains(&0x7fc0_0000));
    let other = |bits: &i64| f64::from_bits(bits.cast_unsigned()).is_nan() && *bits != 0x7ff8_0000_0000_0000;
    assert_eq!(results.iter().filter(|bits| other(bits)).count(), 0);
}

#[test]
fn vectors_give_the_bits_that_the_compiler_gave() {
    let two = |values: [u64; 2]| format!("(v128.const i64x2 {} {})", values[0], values[1]);
    let four = |values: [u32; 4]| format!("(v128.const i32x4 {} {} {} {})", values[0], values[1], values[2], values[3]);
    let mut vectors = Vec::new();
    for (index, a) in F64.into_iter().enumerate() {
        let (a, b) = (two([a, F64[(index + 1) % 12]]), two([F64[(index + 5) % 12], F64[(index + 7) % 12]]));
        vectors.extend(UNARY.map(|op| format!("(f64x2.{op} {a})")));
        vectors.extend(BINARY.map(|op| format!("(f64x2.{op} {a} {b})")));
        vectors.push(format!("(f32x4.demote_f64x2_zero {a})"));
        // Made as one kind, taken as the other.
        vectors.push(format!("(f64x2.add (f32x4.add {a} {b}) {b})"));
        vectors.push(format!("(f64x2.add {b} (f32x4.add {a} {b}))"));
    }
    for (index, a) in F32.into_iter().enumerate() {
        let at = |step: usize| F32[(index + step) % 10];
        let (a, b) = (four([a, at(1), at(2), at(3)]), four([at(4), at(6), at(8), at(9)]));
        vectors.extend(UNARY.map(|op| format!("(f32x4.{op} {a})")));
        vectors.extend(BINARY.map(|op| format!("(f32x4.{op} {a} {b})")));
        vectors.push(format!("(f64x2.promote_low_f32x4 {a})"));
    }
    let halves = |vector: &String| [0, 1].map(|lane| format!("(i64x2.extract_lane {lane} {vector})"));
    let all: Vec<_> = vectors.iter().flat_map(halves).collect();
    same(&module(&all), true);
}

#[test]
fn what_needs_nothing_stays_as_it_is() {
    let plain = wat::parse_str(
        "(module (func (param f64 f64) (result f64) (f64.copysign (f64.neg (local.get 0)) (local.get 1))))",
    );
    assert_eq!(canonical(&plain.unwrap()).unwrap(), None);
    let compared =
        "(module (func (param f64) (result i32) (f64.lt (local.get 0) (f64.add (local.get 0) (local.get 0)))))";
    assert_eq!(canonical(&wat::parse_str(compared).unwrap()).unwrap(), None, "a comparison tells no NaN from another");
    let chain = "(module (func (param f64) (result f64) (f64.sqrt (f64.floor (f64.ceil (local.get 0))))))";
    let once = canonical(&wat::parse_str(chain).unwrap()).unwrap().unwrap();
    let nan = 0x7ff8_0000_0000_0000_u64.to_le_bytes();
    assert_eq!(once.windows(8).filter(|window| *window == nan).count(), 1);
}

/// A random expression of type f64.
fn expression() -> impl proptest::strategy::Strategy<Value = String> {
    let leaf = prop_oneof![
        (0..F64.len()).prop_map(|index| f64(F64[index])),
        (0..F32.len()).prop_map(|index| format!("(f64.promote_f32 {})", f32(F32[index]))),
        any::<u64>().prop_map(f64),
        (0..2_u8).prop_map(|local| format!("(local.get {local})")),
    ];
    leaf.prop_recursive(6, 40, 2, |inner| {
        prop_oneof![
            (0..BINARY.len(), inner.clone(), inner.clone())
                .prop_map(|(op, a, b)| format!("(f64.{} {a} {b})", BINARY[op])),
            (0..UNARY.len(), inner.clone()).prop_map(|(op, a)| format!("(f64.{} {a})", UNARY[op])),
            (0..SIGN.len(), inner.clone()).prop_map(|(op, a)| format!("(f64.{} {a})", SIGN[op])),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("(f64.copysign {a} {b})")),
            inner.clone().prop_map(|a| format!("(f64.promote_f32 (f32.demote_f64 {a}))")),
            (0..2_u8, inner.clone()).prop_map(|(local, a)| format!("(local.tee {local} {a})")),
            inner.clone().prop_map(|a| format!("(f64.reinterpret_i64 (i64.reinterpret_f64 {a}))")),
            (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(a, b, c)| format!("(if (result f64) (f64.lt {c} {a}) (then {a}) (else {b}))")),
            inner.prop_map(|a| format!("(f64.convert_i64_s (i64.trunc_sat_f64_s {a}))")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn random_expressions_give_the_bits_that_the_compiler_gave(all in proptest::collection::vec(expression(), 1..8)) {
        let all: Vec<_> = all.iter().map(|one| format!("(local f64 f64) (i64.reinterpret_f64 {one})")).collect();
        same(&module(&all), false);
    }
}
