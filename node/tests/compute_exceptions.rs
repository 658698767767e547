//! Modules with legacy exception handling do here what they do in V8, which has it natively: a real one from the npm
//! registry, and random programs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "support/modules.rs"]
mod modules;
#[path = "compute_exceptions/programs.rs"]
mod programs;

use std::{fs, path::Path, process::Command};

use serde_json::Value;
use weft_node::compute::{Engine, EvalErrorKind, Instance, LoadError, ModuleFormat, on_evaluation_stack};

/// Runs a script with a folder as its argument and gives what it printed, one JSON document.
fn v8(script: &str, folder: &Path) -> Value {
    let file = folder.join("run.mjs");
    fs::write(&file, script).unwrap();
    let output = Command::new("node").arg(&file).arg(folder).output().expect("node is needed to compare with V8");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Answers the real module in Node.js: its imports are those of a machine whose clock stands at ten seconds.
const PURE_IN_V8: &str = r#"
import { readFileSync } from 'node:fs'
import { setFlagsFromString } from 'node:v8'
try { setFlagsFromString('--experimental-wasm-memory64') } catch {}
const folder = process.argv[2]
const module = new WebAssembly.Module(readFileSync(`${folder}/module.wasm`))
let view
const functions = {
  clock_time_get: (id, precision, to) => (view().setBigUint64(Number(to), 10_000_000_000n, true), 0),
  environ_sizes_get: (count, size) => (view().setBigUint64(Number(count), 0n, true), view().setBigUint64(Number(size), 0n, true), 0),
  proc_exit: code => { throw new Error(`exit ${code}`) },
}
const imports = {}
for (const { module: from, name } of WebAssembly.Module.imports(module)) {
  imports[from] ??= {}
  imports[from][name] = functions[name] ?? (() => 0)
}
const { exports } = new WebAssembly.Instance(module, imports)
view = () => new DataView(exports.memory.buffer)
const { env, messages } = JSON.parse(readFileSync(`${folder}/messages.json`))
const put = text => {
  const bytes = Buffer.from(text + '\0')
  const at = exports._emscripten_stack_alloc(BigInt(bytes.length))
  new Uint8Array(exports.memory.buffer).set(bytes, Number(at))
  return at
}
const answers = messages.map(message => {
  const stack = exports.emscripten_stack_get_current()
  const at = Number(exports.handle(put(message), put(env)))
  const bytes = new Uint8Array(exports.memory.buffer)
  const text = Buffer.from(bytes.subarray(at, bytes.indexOf(0, at))).toString()
  exports._emscripten_stack_restore(stack)
  return JSON.parse(text)
})
console.log(JSON.stringify(answers))
"#;

#[test]
fn a_pure_aos_module_answers_as_in_v8() {
    let run = modules::vectors()["runs"][0].clone();
    let step = |index: usize| run["steps"][index]["msgJSON"].as_str().unwrap().to_owned();
    let env = run["envJSON"].as_str().unwrap();
    let eval = |lua: &str| {
        let mut message: Value = serde_json::from_str(&step(1)).unwrap();
        message["Data"] = lua.into();
        message.to_string()
    };
    // None of these fails: a failure is undone here and stays in V8.
    let messages = [
        step(0),
        eval("return 1 + 1"),
        eval("N = 0; for i = 1, 100 do local ok = pcall(error, i); if not ok then N = N + i end end; return N"),
        eval("return select(2, pcall(function() local ok, e = pcall(error, 'in'); error(e .. 'out', 0) end))"),
        eval(
            "local c = coroutine.wrap(function() coroutine.yield(1); error('late') end); c(); return tostring(select(2, pcall(c)))",
        ),
        eval(
            "local function f() return 1 + f() end; local ok, e = pcall(f); return tostring(e):match('stack overflow')",
        ),
        eval("return tostring(load('this is no Lua'))"),
        eval("ao.send({Target = ao.id, Action = 'Hello', Data = 'x'}); return #ao.outbox.Messages"),
        eval("return string.format('%5.2f|%s|%q', 1/3, {} ~= nil, 'a\\nb') .. N"),
    ];
    let wasm = modules::ao_module(modules::PURE);
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("module.wasm"), &wasm).unwrap();
    let given = serde_json::json!({"env": env, "messages": messages});
    fs::write(folder.path().join("messages.json"), given.to_string()).unwrap();
    let expected = v8(PURE_IN_V8, folder.path());
    let module = modules::engine(|_| {}).load(&wasm, ModuleFormat::Emscripten64).unwrap();
    on_evaluation_stack(|| {
        let mut instance = Instance::new(&module).unwrap();
        for (message, expected) in messages.iter().zip(expected.as_array().unwrap()) {
            assert_eq!(expected["ok"], true, "{expected}");
            let evaluation = instance.apply(message, env);
            assert!(evaluation.committed, "{message}: {evaluation:?}");
            assert_eq!(evaluation.result.unwrap(), expected["response"], "{message}");
        }
        // A failure leaves no trace, as in any module.
        let root = instance.root().unwrap();
        let failed = instance.apply(&eval("N = -1; error('boom')"), env);
        assert!(!failed.committed);
        assert!(failed.result.unwrap()["Error"].to_string().contains("boom"));
        assert_eq!(instance.root().unwrap(), root);
        let endless = instance.apply(&eval("while true do end"), env).result.unwrap_err();
        assert_eq!(endless.kind, EvalErrorKind::OutOfFuel);
    })
    .unwrap();
}

/// Runs every module of the folder's list and prints the text that each answers.
const PROGRAMS_IN_V8: &str = r#"
import { readFileSync, readdirSync } from 'node:fs'
const folder = process.argv[2]
const answers = {}
for (const name of readdirSync(folder).filter(name => name.endsWith('.wasm'))) {
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(readFileSync(`${folder}/${name}`)))
  const packed = exports.handle(0, 0, 0, 0)
  const at = Number(packed >> 32n)
  answers[name] = Buffer.from(exports.memory.buffer, at, Number(packed & 0xffffffffn)).toString()
}
console.log(JSON.stringify(answers))
"#;

#[test]
fn random_programs_end_as_in_v8() {
    const PROGRAMS: u64 = 40;
    let folder = tempfile::tempdir().unwrap();
    let wasm: Vec<_> = (0..PROGRAMS).map(|seed| wat::parse_str(programs::program(seed)).unwrap()).collect();
    for (seed, wasm) in wasm.iter().enumerate() {
        fs::write(folder.path().join(format!("{seed}.wasm")), wasm).unwrap();
    }
    let expected = v8(PROGRAMS_IN_V8, folder.path());
    let engine = modules::engine(|_| {});
    let mut answers = std::collections::BTreeSet::new();
    for (seed, wasm) in wasm.iter().enumerate() {
        let module = engine.load(wasm, ModuleFormat::Plain).unwrap_or_else(|error| panic!("program {seed}: {error}"));
        let answer = Instance::new(&module).unwrap().apply("{}", "{}").result.unwrap();
        let theirs: Value = serde_json::from_str(expected[format!("{seed}.wasm")].as_str().unwrap()).unwrap();
        assert_eq!(answer, theirs["response"], "program {seed}:\n{}", programs::program(seed as u64));
        answers.insert(answer.to_string());
    }
    assert_eq!(answers.len() as u64, PROGRAMS, "the programs are too alike to show anything");
}

fn engine() -> Engine {
    modules::engine(|config| config.fuel_per_slot = 20_000_000)
}

/// A plain module with tags `$i` (i32), `$li` (i64, i32), `$none` and this `handle`.
fn with_tags(functions: &str, handle: &str) -> Vec<u8> {
    wat::parse_str(format!(
        r#"(module
            (tag $i (export "tag") (param i32)) (tag $li (param i64 i32)) (tag $none)
            (memory (export "memory") 2)
            (global $g (mut i32) (i32.const 0))
            (func (export "alloc") (param i32) (result i32) (i32.const 65536))
            {functions}
            (func (export "handle") (param i32 i32 i32 i32) (result i64) {handle})
            (data (i32.const 16) "{{\"ok\":true,\"response\":{{\"Output\":\"fine\"}}}}"))"#
    ))
    .unwrap()
}

fn answer(functions: &str, handle: &str) -> Result<Value, (EvalErrorKind, String)> {
    let module = engine().load(&with_tags(functions, handle), ModuleFormat::Plain).unwrap();
    let mut instance = Instance::new(&module).unwrap();
    let root = instance.root().unwrap();
    let first = instance.apply("{}", "{}");
    if !first.committed {
        assert_eq!(instance.root().unwrap(), root);
    }
    let again = instance.apply("{}", "{}");
    assert_eq!(again.result, first.result, "the second message ends like the first");
    first.result.map_err(|error| (error.kind, error.message))
}

#[test]
fn an_exception_that_nothing_catches_fails_the_message() {
    let uncaught = (EvalErrorKind::Trap, "the module threw an exception that nothing in it catches".to_owned());
    assert_eq!(answer("", "(global.set $g (i32.const 1)) (throw $i (i32.const 5))"), Err(uncaught.clone()));
    let through = "(func $f (result f64 f32) (throw $none))";
    assert_eq!(answer(through, "(call $f) (drop) (drop) (i64.const 0)"), Err(uncaught.clone()));
    let passed = "try (throw $none) catch $i drop end (i64.const 0)";
    assert_eq!(answer("", passed), Err(uncaught.clone()));
    // A start function that throws is a module that fails when it starts.
    let start = with_tags("(func $s (throw $none)) (start $s)", modules::FINE);
    assert_eq!(engine().load(&start, ModuleFormat::Plain).unwrap_err(), LoadError::Start(uncaught.1));
}

#[test]
fn traps_are_not_exceptions() {
    let (kind, message) = answer("", "try unreachable catch_all end (i64.const 0)").unwrap_err();
    assert_eq!((kind, message.as_str()), (EvalErrorKind::Trap, "wasm trap: wasm `unreachable` instruction executed"));
    assert_eq!(answer("", "try (loop (br 0)) catch_all end (i64.const 0)").unwrap_err().0, EvalErrorKind::OutOfFuel);
}

#[test]
fn blocks_with_parameters_and_values_of_every_type() {
    let functions = format!(
        "(tag $all (param i32 i64 f32 f64 v128))
         (func $throw (param i32) (result i64)
            (throw $all (local.get 0) (i64.const 2) (f32.const 3) (f64.const 4) (v128.const i64x2 5 6)))
         (func $catch (param i32) (result i64) (local $v v128) (local $d f64)
            local.get 0
            try (param i32) (result i64)
              call $throw
            catch $all
              local.set $v local.set $d
              drop drop
              i64.extend_i32_u
              local.get $d i64.trunc_f64_s i64.add
              local.get $v i64x2.extract_lane 1 i64.add
            end)
         (func $fine (result i64) {})",
        modules::FINE
    );
    let handle = "(if (i64.ne (call $catch (i32.const 100)) (i64.const 110)) (then (unreachable))) (call $fine)";
    assert_eq!(answer(&functions, handle).unwrap()["Output"], "fine");
}

#[test]
fn what_cannot_be_translated_is_refused_by_name() {
    let load = |wat: &str| engine().load(&wat::parse_str(wat).unwrap(), ModuleFormat::Plain).unwrap_err();
    let newer = load(
        r#"(module (tag $t) (memory (export "memory") 1)
            (func (block $b (try_table (catch $t $b) (throw $t)))))"#,
    );
    assert!(matches!(&newer, LoadError::Unsupported(what) if what.contains("try_table")), "{newer}");
    let imported = load(r#"(module (import "env" "tag" (tag (param i32))) (memory (export "memory") 1))"#);
    assert_eq!(imported, LoadError::UnknownImport("env.tag".to_owned()));
    let many = format!(r#"(module {} (memory (export "memory") 1))"#, "(tag)".repeat(17));
    assert!(matches!(load(&many), LoadError::Unsupported(_)));
    let reference = load(r#"(module (tag (param externref)) (memory (export "memory") 1))"#);
    assert!(matches!(reference, LoadError::Unsupported(_)), "{reference}");
    let reserved = load(r#"(module (memory (export "memory") 1) (global (export "weft:thrown") i32 (i32.const 0)))"#);
    assert!(matches!(&reserved, LoadError::Unsupported(what) if what.contains("weft:thrown")), "{reserved}");
}
