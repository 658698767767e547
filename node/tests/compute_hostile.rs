//! Modules and messages that mean harm: a clear error each, the process where it was, the node unharmed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "support/modules.rs"]
mod modules;

use modules::{FINE, plain};
use weft_node::compute::{
    Engine, EvalErrorKind, Instance, LoadError, Module, ModuleFormat, UnknownFormat, on_evaluation_stack,
};

fn engine() -> Engine {
    modules::engine(|config| {
        config.fuel_per_slot = 20_000_000;
        config.max_memory_bytes = 1 << 20;
        config.max_output_bytes = 1 << 10;
        config.max_module_bytes = 1 << 20;
    })
}

fn load(wat: &str) -> Result<Module, LoadError> {
    engine().load(&wat::parse_str(wat).unwrap(), ModuleFormat::Plain)
}

/// Applies one message to a module with this `handle`; the state must be what it was.
fn failure(handle: &str) -> (EvalErrorKind, String) {
    let module = engine().load(&plain(handle), ModuleFormat::Plain).unwrap();
    on_evaluation_stack(|| {
        let mut instance = Instance::new(&module).unwrap();
        let (root, size) = (instance.root().unwrap(), instance.memory_bytes());
        let evaluation = instance.apply("{}", "{}");
        assert!(!evaluation.committed);
        assert_eq!((instance.root().unwrap(), instance.memory_bytes()), (root, size));
        let error = evaluation.result.unwrap_err();
        assert!(error.kind.is_outcome());
        // The instance still works, and fails in the same way.
        assert_eq!(instance.apply("{}", "{}").result.unwrap_err(), error);
        (error.kind, error.message)
    })
    .unwrap()
}

#[test]
fn endless_loop() {
    let dirty =
        "(i32.store (i32.const 0) (i32.const 7)) (global.set $g (i64.const 3)) (drop (memory.grow (i32.const 3)))";
    assert_eq!(failure(&format!("{dirty} (loop (br 0)) (unreachable)")).0, EvalErrorKind::OutOfFuel);
}

#[test]
fn traps() {
    let dirty = "(i64.store (i32.const 70000) (i64.const 7)) (global.set $g (i64.const 3))";
    let (kind, message) = failure(&format!("{dirty} (unreachable)"));
    assert_eq!((kind, message.as_str()), (EvalErrorKind::Trap, "wasm trap: wasm `unreachable` instruction executed"));
    assert_eq!(failure("(i64.load (i32.const -1))").0, EvalErrorKind::Trap);
    assert_eq!(failure("(i64.div_u (i64.const 1) (i64.const 0))").0, EvalErrorKind::Trap);
}

#[test]
fn deep_recursion() {
    let call = "(call $handle (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))";
    assert_eq!(failure(&format!("(i64.add (i64.const 1) {call})")).0, EvalErrorKind::StackOverflow);
}

/// What a call of a function with one parameter, no locals and two operands costs, by the rule of the environment: 64 and 8
/// for each value.
const COST: u32 = 64 + 8 * 3;
/// The call stack of the profile, in the same measure.
const CALL_STACK: u32 = 4 << 20;

/// A module whose `handle` goes `depth` calls deep, by this call of `$down`.
fn deep(call: &str, depth: u32) -> Result<serde_json::Value, EvalErrorKind> {
    let wat = format!(
        r#"(module
            (type $down (func (param i32)))
            (memory (export "memory") 2)
            (table 1 funcref) (elem (i32.const 0) $down)
            (func (export "alloc") (param i32) (result i32) (i32.const 65536))
            (func $down (type $down)
                (if (i32.eq (local.get 0) (i32.const 1)) (then (return)))
                {call})
            (func (export "handle") (param i32 i32 i32 i32) (result i64) (call $down (i32.const {depth})) {FINE})
            (data (i32.const 16) "{{\"ok\":true,\"response\":{{\"Output\":\"fine\"}}}}"))"#
    );
    let module = load(&wat).unwrap();
    on_evaluation_stack(|| {
        let mut instance = Instance::new(&module).unwrap();
        let first = instance.apply("{}", "{}").result.map_err(|error| error.kind);
        assert_eq!(
            instance.apply("{}", "{}").result.map_err(|error| error.kind),
            first,
            "nothing is left of the first"
        );
        first
    })
    .unwrap()
}

#[test]
fn a_call_stack_ends_at_the_same_call_everywhere() {
    let direct = "(call $down (i32.sub (local.get 0) (i32.const 1)))";
    let most = CALL_STACK / COST;
    assert_eq!(deep(direct, most).unwrap()["Output"], "fine");
    assert_eq!(deep(direct, most + 1), Err(EvalErrorKind::StackOverflow));
    let indirect = "(call_indirect (type $down) (i32.sub (local.get 0) (i32.const 1)) (i32.const 0))";
    // A call through the table may reach what is exported: `handle`, of four parameters and one operand, counts as well.
    let most = (CALL_STACK - (64 + 8 * 5)) / COST;
    assert_eq!(deep(indirect, most).unwrap()["Output"], "fine");
    assert_eq!(deep(indirect, most + 1), Err(EvalErrorKind::StackOverflow));
}

/// Two messages to a module with emscripten's environment whose `handle` does this first: outcome and fuel, the same for both.
fn called_back(handle: &str) -> (Result<serde_json::Value, EvalErrorKind>, u64) {
    let wat = format!(
        r#"(module
            (type $down (func (param i32)))
            (import "env" "invoke_vi" (func $invoke (param i32 i32)))
            (import "env" "_emscripten_throw_longjmp" (func $longjmp))
            (memory (export "memory") 2)
            (table (export "__indirect_function_table") 2 funcref) (elem (i32.const 0) $down $jump)
            (func (export "malloc") (param i32) (result i32) (i32.const 65536))
            (func (export "stackSave") (result i32) (i32.const 0))
            (func (export "stackRestore") (param i32))
            (func (export "setThrew") (param i32 i32))
            (func $down (type $down)
                (if (i32.ne (local.get 0) (i32.const 1))
                    (then (call $invoke (i32.const 0) (i32.sub (local.get 0) (i32.const 1))))))
            (func $jump (type $down)
                (if (i32.eq (local.get 0) (i32.const 1)) (then (call $longjmp)))
                (call $invoke (i32.const 1) (i32.sub (local.get 0) (i32.const 1)))
                (call $longjmp))
            (func (export "handle") (param i32 i32) (result i32) {handle} (i32.const 64))
            (data (i32.const 64) "{{\"ok\":true,\"response\":{{\"Output\":\"fine\"}}}}"))"#
    );
    let module = engine().load(&wat::parse_str(wat).unwrap(), ModuleFormat::Emscripten32).unwrap();
    on_evaluation_stack(|| {
        let mut instance = Instance::new(&module).unwrap();
        let mut apply = || {
            let evaluation = instance.apply("{}", "{}");
            (evaluation.result.map_err(|error| error.kind), evaluation.fuel)
        };
        let first = apply();
        assert_eq!(apply(), first, "nothing is left of the first");
        first
    })
    .unwrap()
}

/// Calls of the host into a module that can be open at once.
const CALLS_BACK: u64 = 2048;

#[test]
fn recursion_through_the_host_ends_at_the_same_call_everywhere() {
    let through = |levels: u64| called_back(&format!("(call $invoke (i32.const 0) (i32.const {levels}))"));
    // At the innermost level no stack pointer is asked for: the last call is `$down` itself.
    let (deepest, fuel) = through(CALLS_BACK);
    assert_eq!(deepest.unwrap()["Output"], "fine");
    let (too_deep, stopped) = through(CALLS_BACK + 1);
    assert_eq!(too_deep, Err(EvalErrorKind::StackOverflow));
    // Each level costs the same, and one that is too deep stops before it begins.
    let level = through(2).1 - through(1).1;
    assert_eq!(fuel, through(1).1 + (CALLS_BACK - 1) * level);
    assert!(stopped < fuel + level, "{stopped} {fuel}");
    assert_eq!(through(1_000_000), (too_deep, stopped));
}

#[test]
fn longjmps_leave_the_calls_through_the_host() {
    let jumps = format!("(call $invoke (i32.const 1) (i32.const {}))", CALLS_BACK - 1).repeat(3);
    let deepest = format!("(call $invoke (i32.const 0) (i32.const {CALLS_BACK}))");
    assert_eq!(called_back(&format!("{jumps}{deepest}")).0.unwrap()["Output"], "fine");
}

#[test]
fn a_chain_of_functions_that_is_too_long_is_refused() {
    let chain = |length: usize| {
        let calls: String = (0..length).map(|n| format!("(func $f{n} (call $f{}))", n + 1)).collect();
        load(&format!(
            r#"(module (memory (export "memory") 1) {calls} (func $f{length})
                (func (export "alloc") (param i32) (result i32) (call $f0) (i32.const 0))
                (func (export "handle") (param i32 i32 i32 i32) (result i64) (i64.const 0)))"#
        ))
    };
    assert!(chain(1000).is_ok());
    let refused = chain(10_000).unwrap_err();
    assert!(matches!(&refused, LoadError::Unsupported(what) if what.contains("too long a chain")), "{refused}");
}

#[test]
fn starting_is_safe_on_any_thread() {
    let start = r#"(module (memory (export "memory") 1) (func $s (param i64) (call $s (local.get 0)) (drop (i64.const 1)))
        (func $start (call $s (i64.const 0))) (start $start)
        (func (export "alloc") (param i32) (result i32) (i32.const 0))
        (func (export "handle") (param i32 i32 i32 i32) (result i64) (i64.const 0)))"#;
    // A thread with less stack than the module could use.
    let small = std::thread::Builder::new().stack_size(1 << 20);
    let error = small.spawn(move || load(start).unwrap_err()).unwrap().join().unwrap();
    assert!(matches!(error, LoadError::Start(_)), "{error}");
}

#[test]
fn outputs_that_are_none() {
    assert_eq!(failure("(i64.const 0)").0, EvalErrorKind::BadOutput);
    assert_eq!(failure("(i64.const 0xffffffff00000010)").0, EvalErrorKind::BadOutput);
    assert_eq!(failure("(i64.const 0x10000000ff)").0, EvalErrorKind::BadOutput);
    assert_eq!(failure("(i64.const 0x00000000ffffffff)").0, EvalErrorKind::OutputTooLarge);
}

#[test]
fn memory_stays_within_the_limit() {
    // Grows until it may not: the answer is -1, as for any memory that is full, and the message goes on.
    let module = engine().load(
        &plain(&format!("(loop (br_if 0 (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) {FINE}")),
        ModuleFormat::Plain,
    );
    let mut instance = Instance::new(&module.unwrap()).unwrap();
    assert!(instance.apply("{}", "{}").committed);
    assert_eq!(instance.memory_bytes(), 1 << 20);
    let refused = load(r#"(module (memory (export "memory") 17))"#).unwrap_err();
    assert_eq!(refused, LoadError::MemoryTooLarge { needs: 17 << 16, limit: 1 << 20 });
}

#[test]
fn messages_that_do_not_fit() {
    let module = engine().load(&plain(FINE), ModuleFormat::Plain).unwrap();
    let mut instance = Instance::new(&module).unwrap();
    assert!(instance.apply("{}", "{}").committed);
    assert_eq!(instance.apply(&"x".repeat(65_537), "{}").result.unwrap_err().kind, EvalErrorKind::Trap);
    assert_eq!(instance.apply("a\0b", "{}").result.unwrap_err().kind, EvalErrorKind::BadInput);
    assert!(instance.apply("{}", "{}").committed);
}

#[test]
fn not_a_module() {
    let engine = engine();
    for bytes in
        [&b""[..], b"\0asm", b"hello, I am no module", b"\0asm\x0d\0\x01\0", b"\0asm\x01\0\0\0\x07\xff\xff\xff\xff\x0f"]
    {
        assert!(matches!(engine.load(bytes, ModuleFormat::Plain), Err(LoadError::NotWasm(_))), "{bytes:?}");
    }
    let valid = plain(FINE);
    for length in 0..valid.len() {
        // A cut between two sections may leave a whole module; any other is an error, none a panic.
        let cut = engine.load(&valid[..length], ModuleFormat::Plain);
        assert!(cut.is_err() || matches!(valid[length], 0 | 11), "cut at {length}");
    }
    assert!(matches!(engine.load(&vec![0; (1 << 20) + 1], ModuleFormat::Plain), Err(LoadError::TooLarge { .. })));
    let unknown: UnknownFormat = "wasm128".parse::<ModuleFormat>().unwrap_err();
    assert!(unknown.to_string().contains("wasm128"));
}

#[test]
fn imports_and_exports() {
    let import = |module: &str, name: &str, ty: &str, format| {
        let wat = format!(
            r#"(module (import "{module}" "{name}" {ty}) (memory (export "memory") 1)
                (func (export "handle") (param i32 i32) (result i32) (i32.const 0))
                (func (export "malloc") (param i32) (result i32) (i32.const 0)))"#
        );
        engine().load(&wat::parse_str(wat).unwrap(), format)
    };
    let emscripten = ModuleFormat::Emscripten32;
    let unknown = |name: &str| LoadError::UnknownImport(name.to_owned());
    let known = import("env", "emscripten_date_now", "(func (result f64))", emscripten);
    assert!(known.is_ok(), "{known:?}");
    assert_eq!(import("env", "launch_missiles", "(func)", emscripten).unwrap_err(), unknown("env.launch_missiles"));
    assert_eq!(import("env", "exit", "(func)", emscripten).unwrap_err(), unknown("env.exit"));
    assert_eq!(import("a", "a", "(func)", emscripten).unwrap_err(), unknown("a.a"));
    assert_eq!(import("env", "m", "(global i32)", emscripten).unwrap_err(), unknown("env.m"));
    assert_eq!(import("env", "exit", "(func (param i32))", ModuleFormat::Plain).unwrap_err(), unknown("env.exit"));
    assert_eq!(load("(module)").unwrap_err(), LoadError::MissingExport("memory".to_owned()));
    let no_alloc = load(r#"(module (memory (export "memory") 1))"#).unwrap_err();
    assert_eq!(no_alloc, LoadError::MissingExport("alloc(i32) -> i32".to_owned()));
    let wide = load(r#"(module (memory (export "memory") i64 1))"#).unwrap_err();
    assert!(matches!(wide, LoadError::Unsupported(_)), "{wide}");
}

#[test]
fn starts_that_fail() {
    let start = |body: &str| {
        load(&format!(
            r#"(module (memory (export "memory") 1) (func $s {body}) (start $s)
                (func (export "alloc") (param i32) (result i32) (i32.const 0))
                (func (export "handle") (param i32 i32 i32 i32) (result i64) (i64.const 0)))"#
        ))
    };
    assert!(start("").is_ok());
    assert_eq!(
        start("(unreachable)").unwrap_err(),
        LoadError::Start("wasm trap: wasm `unreachable` instruction executed".to_owned())
    );
    assert_eq!(start("(loop (br 0))").unwrap_err(), LoadError::Start("out of fuel".to_owned()));
}

#[test]
fn state_outside_of_memory_and_globals_is_refused() {
    let table = load(
        r#"(module (memory (export "memory") 1) (table 1 funcref)
            (func (drop (table.grow (ref.null func) (i32.const 1)))))"#,
    );
    assert_eq!(table.unwrap_err(), LoadError::Unsupported("the instruction table.grow".to_owned()));
    let dropped = load(r#"(module (memory (export "memory") 1) (data $d "x") (func (data.drop $d)))"#);
    assert_eq!(dropped.unwrap_err(), LoadError::Unsupported("the instruction data.drop".to_owned()));
    let reference = load(r#"(module (memory (export "memory") 1) (global (mut funcref) (ref.null func)))"#);
    assert!(matches!(reference.unwrap_err(), LoadError::Unsupported(_)));
}

#[test]
fn globals_are_state() {
    // Answers fine at every second message only, counting in a global.
    let body = format!(
        "(global.set $g (i64.add (global.get $g) (i64.const 1)))
         (if (i64.eqz (i64.and (i64.load (i32.const 0)) (i64.const 1))) (then (nop)))
         (if (i64.gt_u (global.get $g) (i64.const 3)) (then (unreachable))) {FINE}"
    );
    let module = engine().load(&plain(&body), ModuleFormat::Plain).unwrap();
    let mut instance = Instance::new(&module).unwrap();
    let mut roots = vec![instance.root().unwrap()];
    for _ in 0..3 {
        assert!(instance.apply("{}", "{}").committed);
        let root = instance.root().unwrap();
        assert!(!roots.contains(&root));
        roots.push(root);
    }
    let snapshot = instance.snapshot().unwrap();
    let mut restored = Instance::restore(&module, &snapshot).unwrap();
    for instance in [&mut instance, &mut restored] {
        assert_eq!(instance.apply("{}", "{}").result.unwrap_err().kind, EvalErrorKind::Trap);
        assert_eq!(instance.root().unwrap(), roots[3]);
    }
}

#[test]
fn damaged_artefacts_are_compiled_again() {
    let dir = tempfile::tempdir().unwrap();
    let engine = || modules::engine(|config| config.cache_dir = dir.path().to_owned());
    let wasm = plain(FINE);
    let check = || {
        let module = engine().load(&wasm, ModuleFormat::Plain).unwrap();
        assert!(Instance::new(&module).unwrap().apply("{}", "{}").committed);
    };
    check();
    let files = || std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let code = |path: &std::path::PathBuf| path.extension().is_some_and(|extension| extension == "code");
    let [file] = &files().into_iter().filter(code).collect::<Vec<_>>()[..] else {
        panic!("one artefact: {:?}", files())
    };
    let good = std::fs::read(file).unwrap();
    for damage in [Vec::new(), good[..good.len() / 2].to_vec(), [&good[..100], &[!good[100]], &good[101..]].concat()] {
        std::fs::write(file, damage).unwrap();
        check();
        assert_eq!(std::fs::read(file).unwrap().len(), good.len(), "the artefact was not written again");
    }
    assert_eq!(files().len(), 2, "an artefact and the hash beside it: {:?}", files());
}

#[test]
fn settings_out_of_range() {
    let config = weft_node::compute::EngineConfig {
        max_memory_bytes: u64::MAX,
        ..weft_node::compute::EngineConfig::new("unused")
    };
    let error = Engine::new(config).unwrap_err().to_string();
    assert!(error.starts_with("max_memory_bytes is 18446744073709551615; it must be between"), "{error}");
    let (one, two) = (modules::engine(|_| {}), engine());
    assert_eq!(one.profile().id(), modules::engine(|_| {}).profile().id());
    assert_ne!(one.profile().id(), two.profile().id());
}

#[test]
fn work_of_the_host_is_paid_for_even_if_it_comes_to_nothing() {
    let fuel = |import: &str, call: &str| {
        let wat = format!(
            r#"(module (import "env" {import}) (memory (export "memory") 2)
                (func (export "malloc") (param i32) (result i32) (i32.const 8))
                (func (export "handle") (param i32 i32) (result i32) (drop {call}) (i32.const 64))
                (data (i32.const 64) "{{\"ok\":true,\"response\":{{\"Output\":\"fine\"}}}}")
                (data (i32.const 4096) "{}"))"#,
            "%c".repeat(30_000)
        );
        let module = engine().load(&wat::parse_str(wat).unwrap(), ModuleFormat::Emscripten32).unwrap();
        on_evaluation_stack(|| {
            let evaluation = Instance::new(&module).unwrap().apply("{}", "{}");
            assert_eq!(evaluation.result.unwrap()["Output"], "fine");
            evaluation.fuel
        })
        .unwrap()
    };
    // A text that does not fit after 20 000 of 30 000 conversions.
    let text = "(call $h (i32.const 70000) (i32.const 500000) (i32.const 4096) (i32.const 128))";
    assert!(fuel(r#""strftime" (func $h (param i32 i32 i32 i32) (result i32))"#, text) > 256 * 60_000);
    assert!(
        fuel(r#""emscripten_resize_heap" (func $h (param i32) (result i32))"#, "(call $h (i32.const -65536))") > 1000
    );
    assert!(fuel(r#""emscripten_get_now" (func $h (result f64))"#, "(call $h)") > 100);
}

/// The fuel of one message to a module with these functions whose `handle` does this.
fn fuel_of(functions: &str, handle: &str) -> u64 {
    let wat = format!(
        r#"(module (memory (export "memory") 1) (func (export "alloc") (param i32) (result i32) (i32.const 1024)) {functions}
            (func (export "handle") (param i32 i32 i32 i32) (result i64) {handle} (i64.const 0x1000000028))
            (data (i32.const 16) "{{\"ok\":true,\"response\":{{\"Output\":\"fine\"}}}}"))"#
    );
    let module = load(&wat).unwrap();
    on_evaluation_stack(|| Instance::new(&module).unwrap().apply("{}", "{}").fuel).unwrap()
}

#[test]
fn values_that_are_moved_and_locals_that_are_cleared_are_paid_for() {
    let many = 900;
    let (types, values) = ("i64 ".repeat(many), "(i64.const 1)".repeat(many));
    let drops = "drop ".repeat(many);
    let given = format!("(func $many (result {types}) {values}) (func $on (result {types}) (call $many))");
    assert!(fuel_of(&given, &format!("(call $on) {drops}")) > 3 * many as u64 - 10);
    let block = format!("{values} (block (param {types}) (result {types})) {drops}");
    assert!(fuel_of("", &block) > 3 * many as u64);
    let locals = format!("(func $f (local {}) (local.set 9000 (i64.const 1)))", "i64 ".repeat(10_000));
    assert!(fuel_of(&locals, "(call $f)") > 4000);
}
