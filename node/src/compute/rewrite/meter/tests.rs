#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::fmt::Write as _;

use proptest::prelude::*;
use wasmtime::{Config, Engine, Instance, Module, OptLevel, Store, Strategy as Compiler, Val};

use super::*;

const BUDGET: i64 = 20_000;

fn engines() -> Vec<Engine> {
    let make = |compiler: Compiler, level: OptLevel| {
        let mut config = Config::new();
        config.strategy(compiler);
        if compiler == Compiler::Cranelift {
            config.cranelift_opt_level(level);
        }
        Engine::new(&config).unwrap()
    };
    vec![
        make(Compiler::Cranelift, OptLevel::Speed),
        make(Compiler::Cranelift, OptLevel::None),
        make(Compiler::Winch, OptLevel::Speed),
    ]
}

/// What `f` gives (none if it traps) and the fuel that it used, more than [`BUDGET`] if there was not enough.
fn run(engine: &Engine, wasm: &[u8], argument: i32) -> (Option<i32>, i64) {
    run_with(engine, wasm, argument, BUDGET)
}

fn run_with(engine: &Engine, wasm: &[u8], argument: i32, budget: i64) -> (Option<i32>, i64) {
    let mut store = Store::new(engine, ());
    let instance = Instance::new(&mut store, &Module::new(engine, wasm).unwrap(), &[]).unwrap();
    let fuel = instance.get_global(&mut store, FUEL).unwrap();
    fuel.set(&mut store, Val::I64(budget)).unwrap();
    let result = instance.get_typed_func::<i32, i32>(&mut store, "f").unwrap().call(&mut store, argument);
    (result.ok(), budget - fuel.get(&mut store).unwrap_i64())
}

/// Every operator paid for by itself, right before it is executed.
fn one_by_one(wasm: &[u8]) -> Vec<u8> {
    let (graph, _) = depth::measure(wasm).unwrap();
    let mut section = Vec::new();
    let functions = bodies::functions(wasm).unwrap();
    write_leb(&mut section, functions.len() as u32);
    for function in &functions {
        let range = function.body.range();
        let mut operators = function.body.get_operators_reader().unwrap();
        let first = operators.original_position();
        let mut writer =
            Writer { fuel: graph.globals, apart: false, code: Vec::new(), added: Vec::new(), first_added: None };
        while !operators.eof() {
            let from = operators.original_position();
            let operator = operators.read().unwrap();
            let raw = &wasm[from..operators.original_position()];
            let is_loop = matches!(operator, Operator::Loop { .. });
            if is_loop {
                writer.code.extend_from_slice(raw);
            }
            let amount = u64::from(costs::of(&operator));
            writer.site(&Site { at: from, depth: 0, amount, kind: Kind::Inside }, amount > 0);
            if let Some(length) = costs::length(&operator) {
                let local = writer.local(ValType::I32, function).unwrap();
                writer.length(length, false, local, 0);
            }
            if !is_loop {
                writer.code.extend_from_slice(raw);
            }
        }
        let body = with_locals(&wasm[range.start..first], &writer.added, &writer.code).unwrap();
        write_leb(&mut section, body.len() as u32);
        section.extend_from_slice(&body);
    }
    let mut binary = Binary::parse(wasm).unwrap();
    binary.replace(binary::CODE, section);
    binary.append(binary::GLOBALS, binary::MEMORIES, &[vec![0x7e, 1, I64_CONST, 0, END]]).unwrap();
    binary.append(binary::EXPORTS, 0, &[binary::export(FUEL, super::super::GLOBAL, graph.globals)]).unwrap();
    binary.encode()
}

/// The module's fuel is what its operators cost, one by one; with slack it is not less, and whoever compiles it, it is
/// the same.
fn same(wasm: &[u8], argument: i32) {
    let engines = engines();
    let (expected, paid) = run(&engines[0], &one_by_one(wasm), argument);
    let exact = charge_within(wasm, 0).unwrap();
    let slack = charge(wasm).unwrap();
    let (result, with_slack) = run(&engines[0], &slack, argument);
    for engine in &engines {
        let (result, fuel) = run(engine, &exact, argument);
        if paid <= BUDGET && expected.is_some() {
            assert_eq!((result, fuel), (expected, paid));
        } else if paid <= BUDGET {
            // A trap, before which more was paid than was executed.
            assert!(result.is_none() && fuel >= paid);
        } else {
            assert!(fuel > BUDGET, "{fuel}");
        }
        assert_eq!(run(engine, &slack, argument).1, with_slack);
    }
    if paid <= BUDGET {
        assert!(with_slack >= paid && with_slack <= 20 * paid, "{with_slack} for {paid}");
        assert!(with_slack > BUDGET || result == expected);
    } else {
        assert!(with_slack > BUDGET, "{with_slack}");
    }
}

#[derive(Debug, Clone)]
enum Step {
    Count(i32),
    If(i32, Vec<Step>, Option<Vec<Step>>),
    Block(Vec<Step>),
    Loop(Vec<Step>),
    Branch(u32),
    BranchIf(i32, u32),
    Table(u32, u32, u32),
    Return,
    Call(usize),
    Small,
    Fill(i32),
    Grow,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let leaf = prop_oneof![
        4 => (-3..9).prop_map(Step::Count),
        1 => (0..4_u32).prop_map(Step::Branch),
        3 => (0..8, 0..4_u32).prop_map(|(mask, label)| Step::BranchIf(mask, label)),
        1 => (0..4_u32, 0..4_u32, 0..4_u32).prop_map(|(a, b, c)| Step::Table(a, b, c)),
        1 => Just(Step::Return),
        2 => (0..3_usize).prop_map(Step::Call),
        2 => Just(Step::Small),
        1 => (0..500).prop_map(Step::Fill),
        1 => Just(Step::Grow),
    ];
    let step = leaf.prop_recursive(5, 60, 6, |inner| {
        let steps = || proptest::collection::vec(inner.clone(), 0..6);
        prop_oneof![
            3 => (0..8, steps(), proptest::option::of(steps())).prop_map(|(mask, a, b)| Step::If(mask, a, b)),
            2 => steps().prop_map(Step::Block),
            2 => steps().prop_map(Step::Loop),
        ]
    });
    proptest::collection::vec(step, 1..8)
}

fn write(text: &mut String, steps: &[Step], open: u32) {
    for step in steps {
        let label = |label: &u32| label % (open + 1);
        match step {
            Step::Count(by) => write!(text, "(local.set 2 (i32.add (local.get 2) (i32.const {by})))").unwrap(),
            Step::If(mask, then, other) => {
                write!(text, "(if (i32.and (local.get 2) (i32.const {mask})) (then ").unwrap();
                write(text, then, open + 1);
                if let Some(other) = other {
                    text.push_str(") (else ");
                    write(text, other, open + 1);
                }
                text.push_str("))");
            }
            Step::Block(steps) => {
                text.push_str("(block ");
                write(text, steps, open + 1);
                text.push(')');
            }
            Step::Loop(steps) => {
                // Some turns, unless a branch goes back by another way: then until the fuel is gone.
                text.push_str("(loop (local.set 2 (i32.add (local.get 2) (i32.const 1)))");
                write(text, steps, open + 1);
                text.push_str("(br_if 0 (i32.and (local.get 2) (i32.const 3))))");
            }
            Step::Branch(to) => write!(text, "(block (br {}))", (label(to) + 1) % (open + 2)).unwrap(),
            Step::BranchIf(mask, to) => {
                let to = label(to);
                write!(text, "(block (br_if {} (i32.and (local.get 2) (i32.const {mask}))))", (to + 1) % (open + 2))
                    .unwrap();
            }
            Step::Table(a, b, c) => {
                let (a, b, c) = (label(a), label(b), label(c));
                write!(text, "(block (br_table {a} {b} {c} (i32.and (local.get 2) (i32.const 3))))").unwrap();
            }
            Step::Return => {
                text.push_str("(if (i32.eqz (i32.and (local.get 2) (i32.const 7))) (then (return (local.get 2))))")
            }
            Step::Call(function) => {
                let call = format!("(call $f{function} (local.get 2) (i32.sub (local.get 1) (i32.const 1)))");
                write!(text, "(if (local.get 1) (then (local.set 2 {call})))").unwrap();
            }
            Step::Small => text.push_str("(local.set 2 (call $small (local.get 2)))"),
            Step::Fill(length) => {
                write!(text, "(memory.fill (i32.const 0) (i32.const 1) (i32.const {length}))").unwrap()
            }
            Step::Grow => text.push_str("(drop (memory.grow (i32.const 0)))"),
        }
    }
}

/// Three functions that call each other, and a small one that they call.
fn program(functions: &[Vec<Step>]) -> Vec<u8> {
    let mut text =
        "(module (memory 1) (func $small (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))".to_owned();
    for (index, steps) in functions.iter().enumerate() {
        // The function's own label takes its result along, so branches go to a block around all.
        write!(text, "(func $f{index} (param i32 i32) (result i32) (local i32) (local.set 2 (local.get 0)) (block ")
            .unwrap();
        write(&mut text, steps, 0);
        text.push_str(") (local.get 2))");
    }
    text.push_str("(func (export \"f\") (param i32) (result i32) (call $f0 (local.get 0) (i32.const 4))))");
    wat::parse_str(text).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn fuel_is_what_the_operators_cost(functions in proptest::collection::vec(steps(), 3), argument in 0..16) {
        same(&program(&functions), argument);
    }
}

#[test]
fn the_operators_of_the_way_that_is_taken_are_paid() {
    let cases = [
        // An arm that leaves, and what follows the other.
        "(block $out (if (local.get 0) (then (br $out)) (else)) (drop (i32.const 1)) (drop (i32.const 1)))",
        "(block $a (block $b (br_if $a (local.get 0)) (drop (i32.const 1))) (drop (i32.const 2)) (drop (i32.const 2)))",
        "(loop $l (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if $l (i32.gt_s (local.get 0) (i32.const 0))))",
        "(block $a (block $b (block $c (br_table $a $b $c (local.get 0))) (drop (i32.const 1))) (drop (i32.const 2)))",
        "(if (local.get 0) (then (return (i32.const 5))))",
        "(if (local.get 0) (then (unreachable)))",
        "(memory.fill (i32.const 0) (i32.const 0) (i32.const 6400)) (memory.copy (i32.const 0) (i32.const 9) (i32.const 99))",
        "(drop (memory.grow (i32.const -1))) (drop (memory.grow (i32.const 1)))",
    ];
    for case in cases {
        let wasm = format!("(module (memory 1 2) (func (export \"f\") (param i32) (result i32) {case} (i32.const 7)))");
        let wasm = wat::parse_str(wasm).unwrap();
        for argument in [0, 1, 2, 3] {
            same(&wasm, argument);
        }
    }
}

#[test]
fn wide_lengths_are_paid_too() {
    let text = "(module (memory i64 1 2) (func (export \"f\") (param i32) (result i32)
        (memory.fill (i64.const 0) (i32.const 0) (i64.const 6400))
        (i32.wrap_i64 (memory.grow (i64.extend_i32_s (local.get 0))))))";
    let wasm = charge(&wat::parse_str(text).unwrap()).unwrap();
    for engine in engines() {
        assert_eq!(run(&engine, &wasm, 1), (Some(1), 8 + 400 + 4096));
        // A request that no memory can meet is paid like one of 65,536 pages.
        assert_eq!(run(&engine, &wasm, -1), (None, 8 + 400 + (65_536 << 12)));
    }
    let text = text.replace("6400", "-1");
    let wasm = charge(&wat::parse_str(text).unwrap()).unwrap();
    let (result, fuel) = run(&engines()[0], &wasm, 1);
    assert!(result.is_none() && fuel > 1 << 59);
}

#[test]
fn no_way_around_is_free() {
    let endless = [
        "(loop (br 0))",
        "(loop (block (br 1)))",
        "(loop (br_if 0 (i32.const 1)))",
        "(loop (loop (br 1)))",
        "(call $f (local.get 0)) (return)",
        "(call_indirect (param i32) (result i32) (local.get 0) (i32.const 0)) (return)",
    ];
    for body in endless {
        let text = format!(
            "(module (table 1 funcref) (elem (i32.const 0) $f) (func $f (export \"f\") (param i32) (result i32) {body} (i32.const 0)))"
        );
        let wasm = charge(&wat::parse_str(text).unwrap()).unwrap();
        for engine in engines() {
            // So little that the native stack does not end first.
            let (result, fuel) = run_with(&engine, &wasm, 0, 1000);
            assert!(result.is_none() && fuel > 1000 && fuel < 1100, "{body}: {fuel}");
        }
    }
}

#[test]
fn the_start_function_is_an_export() {
    let text = "(module (global $g (export \"g\") (mut i32) (i32.const 0)) (func $s (global.set $g (i32.const 5))) (start $s))";
    let wasm = charge(&wat::parse_str(text).unwrap()).unwrap();
    let engine = &engines()[0];
    let mut store = Store::new(engine, ());
    let instance = Instance::new(&mut store, &Module::new(engine, &wasm).unwrap(), &[]).unwrap();
    let global = instance.get_global(&mut store, "g").unwrap();
    assert_eq!(global.get(&mut store).unwrap_i32(), 0);
    instance.get_func(&mut store, START).unwrap().call(&mut store, &[], &mut []).unwrap();
    assert_eq!(global.get(&mut store).unwrap_i32(), 5);
    let fuel = instance.get_global(&mut store, FUEL).unwrap();
    assert_eq!(fuel.get(&mut store).unwrap_i64(), -2, "paid by the host, which gave none");
}

/// Takes moments, and longer than a test may run where the work grows with the square.
#[test]
fn deep_blocks_and_long_tables() {
    let depth = 60_000;
    let mut code = [0x02, 0x40].repeat(depth);
    for label in [0_u32, 30_000, depth as u32] {
        // local.get 0, br_if
        code.extend([0x20, 0, 0x0d]);
        write_leb(&mut code, label);
    }
    code.extend([0x20, 0, 0x0e]);
    write_leb(&mut code, depth as u32);
    (0..=depth as u32).for_each(|label| write_leb(&mut code, label));
    for _ in 0..depth {
        // end, local.get 0, br_if 0
        code.extend([0x0b, 0x20, 0, 0x0d, 0]);
    }
    code.push(0x0b);
    let mut body = vec![0];
    body.extend(code);
    let mut section = vec![1];
    write_leb(&mut section, body.len() as u32);
    section.extend(body);
    let mut wasm = b"\0asm\x01\0\0\0\x01\x05\x01\x60\x01\x7f\0\x03\x02\x01\0\x0a".to_vec();
    write_leb(&mut wasm, section.len() as u32);
    wasm.extend(section);
    let charged = charge(&wasm).unwrap();
    wasmparser::Validator::new().validate_all(&charged).unwrap();
}
