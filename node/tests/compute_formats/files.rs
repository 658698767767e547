//! Files that the log fixed for a slot: readable in it, nowhere else.

use std::sync::Arc;

use weft_node::compute::{Instance, Reads, on_evaluation_stack};

use crate::{
    lua::{Lua, returned},
    modules,
};

const TEXT: &str = "line one\nline two\n";

fn reads() -> Arc<Reads> {
    let large: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
    let files = [("/data/text", TEXT.as_bytes().to_vec()), ("/data/large", large), ("/data/empty", Vec::new())];
    Arc::new(Reads::new(files.map(|(path, content)| (path.to_owned(), content.into()))))
}

/// How AO's Lua reads a file whole.
const WHOLE: &str = "local function whole(path) local f, e = io.open(path); if not f then return 'no: ' .. e end; \
                     local text = f:read(f:seek('end')); f:close(); return text end; ";

#[test]
fn f13_a_slot_reads_its_files_and_no_others() {
    let module = modules::aos(&modules::engine(|_| {}));
    on_evaluation_stack(|| {
        let mut lua = Lua::boot(&module, 0);
        let read = |lua: &mut Lua, code: &str| {
            let evaluation = lua.eval_reading(&format!("{WHOLE}{code}"), &reads());
            assert!(evaluation.committed, "{code}: {evaluation:?}");
            returned(&evaluation)
        };
        assert_eq!(read(&mut lua, "return whole('/data/text')"), TEXT);
        assert_eq!(read(&mut lua, "return whole('/data/text') .. whole('/data/text')"), TEXT.repeat(2));
        let sum = "local s, n = whole('/data/large'), 0; for i = 1, #s do n = n + s:byte(i) end; return #s .. ' ' .. n";
        let expected: u64 = (0..300_000_u64).map(|n| n % 251).sum();
        assert_eq!(read(&mut lua, sum), format!("300000 {expected}"));
        assert_eq!(
            read(&mut lua, "local f = io.open('/data/text'); local a = f:read(4); return a .. f:read(4)"),
            "line one"
        );
        let again = "local f = io.open('/data/text'); f:read(4); f:seek('set', 5); return f:read(3)";
        assert_eq!(read(&mut lua, again), "one");
        // Beyond the end are zeros, not what lay in memory.
        assert_eq!(read(&mut lua, "local f = io.open('/data/empty'); return (f:read(3):gsub('%z', '0'))"), "000");
        for path in ["/data/other", "/data/", "text", "/data/text/", "/etc/passwd", ""] {
            let answer = read(&mut lua, &format!("return whole('{path}')"));
            assert!(answer.starts_with("no: "), "{path}: {answer}");
        }
        // Without the reads there is no such file, and a file kept open is closed.
        read(&mut lua, "kept = io.open('/data/text'); return whole('/data/text')");
        assert!(lua.data(&format!("{WHOLE} return whole('/data/text')")).starts_with("no: "));
        let stale = lua.data("local text = kept:read(4); return (text:gsub('%z', '0'))");
        assert_ne!(stale, "line");
    })
    .unwrap();
}

#[test]
fn what_was_read_is_read_again_when_a_failure_is_undone() {
    let module = modules::aos(&modules::engine(|_| {}));
    on_evaluation_stack(|| {
        let (mut lua, mut clean) = (Lua::boot(&module, 0), Lua::boot(&module, 0));
        let keep = format!("{WHOLE} text = whole('/data/text'); return #text");
        for lua in [&mut lua, &mut clean] {
            assert_eq!(returned(&lua.eval_reading(&keep, &reads())), TEXT.len().to_string());
        }
        // Undone by evaluating the message before it again, which needs its file.
        assert!(!lua.eval_reading(&format!("{WHOLE} text = whole('/data/large'); error('no')"), &reads()).committed);
        assert_eq!(lua.data("return text"), TEXT);
        assert_eq!(clean.data("return text"), TEXT);
        assert_eq!(lua.instance.root().unwrap(), clean.instance.root().unwrap());
        let mut restored = Instance::restore(&module, &lua.instance.snapshot().unwrap()).unwrap();
        assert_eq!(restored.root().unwrap(), clean.instance.root().unwrap());
    })
    .unwrap();
}

#[test]
fn the_plain_system_calls_read_too() {
    // A module that opens by `openat`, seeks to the end and back, and reads with an iovec.
    let wasm = wat::parse_str(
        r#"(module
            (import "env" "__syscall_openat" (func $open (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_seek" (func $seek (param i32 i64 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
            (memory (export "memory") 2)
            (data (i32.const 16) "/data/text\00")
            (data (i32.const 64) "{\"ok\":true,\"response\":{\"Output\":\"----\"}}\00")
            (global $top (mut i32) (i32.const 70000))
            (func (export "malloc") (param i32) (result i32)
              (global.set $top (i32.add (global.get $top) (local.get 0)))
              (i32.sub (global.get $top) (local.get 0)))
            (func $check (param i32) (if (i32.eqz (local.get 0)) (then (unreachable))))
            (func (export "handle") (param i32 i32) (result i32) (local $file i32)
              (global.set $top (i32.const 70000))
              ;; For writing there is no file.
              (call $check (i32.lt_s (call $open (i32.const -100) (i32.const 16) (i32.const 2) (i32.const 0)) (i32.const 0)))
              (local.set $file (call $open (i32.const -100) (i32.const 16) (i32.const 0) (i32.const 0)))
              (call $check (i32.ge_s (local.get $file) (i32.const 3)))
              (call $check (i32.eqz (call $seek (local.get $file) (i64.const -4) (i32.const 2) (i32.const 256))))
              (call $check (i64.eq (i64.load (i32.const 256)) (i64.const 14)))
              ;; {97, 4} and {300, 100}: the second is met by the end of the file.
              (i32.store (i32.const 128) (i32.const 97)) (i32.store (i32.const 132) (i32.const 3))
              (i32.store (i32.const 136) (i32.const 300)) (i32.store (i32.const 140) (i32.const 100))
              (call $check (i32.eqz (call $read (local.get $file) (i32.const 128) (i32.const 2) (i32.const 264))))
              (call $check (i32.eq (i32.load (i32.const 264)) (i32.const 4)))
              (call $check (i32.eq (i32.load8_u (i32.const 300)) (i32.const 10)))
              (drop (call $close (local.get $file)))
              (call $check (i32.eqz (call $read (local.get $file) (i32.const 128) (i32.const 2) (i32.const 264))))
              (call $check (i32.eqz (i32.load (i32.const 264))))
              (i32.const 64)))"#,
    )
    .unwrap();
    let module = modules::engine(|_| {}).load(&wasm, "wasm32-unknown-emscripten4".parse().unwrap()).unwrap();
    let mut instance = Instance::new(&module).unwrap();
    for _ in 0..3 {
        let evaluation = instance.apply_reading("{}", "{}", &reads());
        assert_eq!(evaluation.result.unwrap()["Output"], "two-");
    }
    assert!(instance.apply("{}", "{}").result.is_err(), "without its file it fails its own check");
}
