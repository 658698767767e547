//! The oldest format: minified names, 64-bit values in two halves, at most 500 MiB, gas counted by calls. No registry has
//! a module of it, so here is one with all of its imports, each with its type, and what a C library does with them.

use weft_node::compute::{EvalErrorKind, Instance};

use crate::modules;

const MODULE: &str = r#"(module
  (import "a" "a" (func $now (result f64)))
  (import "a" "b" (func $set_upper (param i32)))
  (import "a" "c" (func (param i32) (result i32)))
  (import "a" "d" (func (param i32 i32 i32) (result i32)))
  (import "a" "e" (func (param i32 i32 i32) (result i32)))
  (import "a" "f" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "a" "g" (func $open (param i32 i32 i32 i32) (result i32)))
  (import "a" "h" (func $upper (result i32)))
  (import "a" "i" (func $mktime (param i32) (result i32)))
  (import "a" "j" (func $tzset (param i32 i32 i32)))
  (import "a" "k" (func $memcpy (param i32 i32 i32)))
  (import "a" "l" (func $exit (param i32)))
  (import "a" "m" (func $system (param i32) (result i32)))
  (import "a" "n" (func $strftime (param i32 i32 i32 i32) (result i32)))
  (import "a" "o" (func (param i32 i32 i32 i32 i32) (result i32)))
  (import "a" "p" (func $longjmp))
  (import "a" "q" (func $resize (param i32) (result i32)))
  (import "a" "r" (func (param i32 i32) (result i32)))
  (import "a" "s" (func (param i32 i32 i32 i32) (result i32)))
  (import "a" "t" (func (param i32) (result i32)))
  (import "a" "u" (func $environ (param i32 i32) (result i32)))
  (import "a" "v" (func $environ_sizes (param i32 i32) (result i32)))
  (import "a" "w" (func (param i32 i32 i32) (result i32)))
  (import "a" "x" (func $invoke (param i32 i32 i32)))
  (import "a" "y" (func (param i32 i32 i32 i32) (result i32)))
  (import "a" "z" (func (param i32 i32 i32) (result i32)))
  (import "a" "A" (func (result i32)))
  (import "a" "B" (func (param i32 i32)))
  (import "a" "C" (func $localtime (param i32 i32)))
  (import "a" "D" (func $abort))
  (import "metering" "usegas" (func $gas (param i32)))
  (memory (export "E") 2 16384)
  (table (export "I") 1 funcref) (elem (i32.const 0) $jump)
  (global $stack (mut i32) (i32.const 65536))
  (global $heap (mut i32) (i32.const 70000))
  (global $threw (mut i32) (i32.const 0))
  (global $ready (mut i32) (i32.const 0))
  (func (export "F") (global.set $ready (i32.const 1)))
  (func (export "H") (param i32 i32) (result i32) (unreachable))
  (func $malloc (export "J") (param i32) (result i32)
    (call $gas (i32.const 1000000))
    (global.set $heap (i32.add (global.get $heap) (local.get 0)))
    (i32.sub (global.get $heap) (local.get 0)))
  (func (export "K") (result i32) (i32.const 8))
  (func (export "L") (param i32 i32) (global.set $threw (local.get 0)))
  (func (export "M") (result i32) (global.get $stack))
  (func (export "N") (param i32) (global.set $stack (local.get 0)))
  (func (export "O") (param i32) (result i32)
    (global.set $stack (i32.and (i32.sub (global.get $stack) (local.get 0)) (i32.const -16)))
    (global.get $stack))
  (func $jump (param i32 i32)
    (call $check (i32.eq (i32.sub (local.get 0) (local.get 1)) (i32.const 1)))
    (global.set $stack (i32.const 5))
    (call $longjmp))
  (func $check (param i32) (if (i32.eqz (local.get 0)) (then (unreachable))))
  (data (i32.const 16) "%Y-%m-%d %H:%M:%S\00")
  (data (i32.const 1024) "{\"ok\":true,\"response\":{\"Output\":\"-------------------\"}}\00")
  (func (export "G") (param $message i32) (param $env i32) (result i32)
    (call $check (global.get $ready))
    (call $check (f64.eq (call $now) (f64.const 10000)))
    ;; A longjmp comes back here with the stack as it was.
    (call $invoke (i32.const 0) (i32.const 3) (i32.const 2))
    (call $check (global.get $threw)) (global.set $threw (i32.const 0))
    (call $check (i32.ne (global.get $stack) (i32.const 5)))
    ;; Half of a value.
    (call $check (i32.eqz (call $upper)))
    (call $set_upper (i32.const 7)) (call $check (i32.eq (call $upper) (i32.const 7)))
    ;; No zone, and its name twice.
    (call $tzset (i32.const 100) (i32.const 104) (i32.const 108))
    (call $check (i32.eq (i32.load (i32.load (i32.const 108))) (i32.const 0x435455)))
    (call $check (i32.eq (i32.load (i32.load (i32.const 112))) (i32.const 0x435455)))
    ;; 951826554 seconds after 1970, there and back, as text.
    (i64.store (i32.const 200) (i64.const 951826554))
    (call $localtime (i32.const 200) (i32.const 208))
    (call $check (i32.eq (call $mktime (i32.const 208)) (i32.const 951826554)))
    (call $check (i32.eq (call $strftime (i32.const 1057) (i32.const 40) (i32.const 16) (i32.const 208)) (i32.const 19)))
    (i32.store8 (i32.const 1076) (i32.const 34))
    ;; No environment, no files, no commands.
    (i32.store (i32.const 300) (i32.const 9))
    (call $check (i32.eqz (call $environ_sizes (i32.const 300) (i32.const 304))))
    (call $check (i32.eqz (i32.load (i32.const 300))))
    (call $check (i32.eq (call $open (i32.const -100) (i32.const 16) (i32.const 0) (i32.const 0)) (i32.const -44)))
    (call $check (i32.eqz (call $system (i32.const 0))))
    ;; Memory: copied, grown by the rule, never beyond 500 MiB.
    (call $memcpy (i32.const 400) (i32.const 16) (i32.const 8))
    (call $check (i64.eq (i64.load (i32.const 400)) (i64.load (i32.const 16))))
    (call $check (i32.eqz (call $resize (i32.const 524288001))))
    (if (i32.eq (memory.size) (i32.const 2)) (then
      (call $check (call $resize (i32.const 200000)))
      ;; 200000 is more than a fifth above 128 KiB: exactly what was asked for, in whole pages.
      (call $check (i32.eq (memory.size) (i32.const 4)))))
    (i32.const 1024)))"#;

#[test]
fn a_minified_module_finds_all_that_it_imports() {
    let wasm = wat::parse_str(MODULE).unwrap();
    let counting = "    (call $gas (i32.const 1000000))\n";
    assert!(MODULE.contains(counting));
    let unmetered = wat::parse_str(MODULE.replace(counting, "")).unwrap();
    let engine = modules::engine(|_| {});
    for format in ["wasm32-unknown-emscripten", "wasm32-unknown-emscripten2"] {
        let module = engine.load(&wasm, format.parse().unwrap()).unwrap();
        let mut instance = Instance::new(&module).unwrap();
        let mut plain = Instance::new(&engine.load(&unmetered, format.parse().unwrap()).unwrap()).unwrap();
        for _ in 0..2 {
            let evaluation = instance.apply("{}", "{}");
            assert!(evaluation.committed, "{evaluation:?}");
            assert_eq!(evaluation.result.unwrap()["Output"], "2000-02-29 12:15:54");
            // A million units of gas a call of malloc are no fuel: only what stands there instead of the call is.
            let more = evaluation.fuel - plain.apply("{}", "{}").fuel;
            assert!(more <= 20, "{more} more than without counting");
        }
        assert_eq!(instance.memory_bytes(), 4 << 16);
    }
    // To a later format these names mean nothing.
    assert!(engine.load(&wasm, "wasm32-unknown-emscripten4".parse().unwrap()).is_err());
    let unknown = MODULE.replace("\"a\" \"a\" (func $now (result f64))", "\"a\" \"Z\" (func $now (result f64))");
    let error = engine.load(&wat::parse_str(unknown).unwrap(), "wasm32-unknown-emscripten".parse().unwrap());
    assert!(error.unwrap_err().to_string().contains("a.Z"));
}

#[test]
fn its_exit_and_abort_fail_the_message() {
    let engine = modules::engine(|_| {});
    for (call, text) in
        [("(call $exit (i32.const 3))", "Program terminated with exit(3)"), ("(call $abort)", "Aborted()")]
    {
        let wasm = wat::parse_str(MODULE.replace("(call $check (global.get $ready))", call)).unwrap();
        let module = engine.load(&wasm, "wasm32-unknown-emscripten".parse().unwrap()).unwrap();
        let error = Instance::new(&module).unwrap().apply("{}", "{}").result.unwrap_err();
        assert_eq!((error.kind, error.message.as_str()), (EvalErrorKind::Exit, text));
    }
}
