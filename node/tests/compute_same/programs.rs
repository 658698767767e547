//! The programs whose logs are evaluated in many ways, and the messages that random numbers make for them.

use std::sync::OnceLock;

use serde_json::Value;
use weft_node::compute::{Compilers, Module};

use crate::modules;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    Wide,
    Narrow,
    Counter,
    Lua,
    Aos,
}

/// What a message of [`Program::Wide`] and [`Program::Narrow`] begins with: writes a page; clears one; changes or clears a
/// page of the image; grows the memory; computes with NaN; copies; an `Error`; a trap; one after growing; a wild address; an
/// endless loop; recursion without end.
const COMMANDS: &[u8] = b"wwwwccizzgnmmetGoldr";

impl Program {
    pub const ALL: [Self; 5] = [Self::Wide, Self::Narrow, Self::Counter, Self::Lua, Self::Aos];

    /// Loaded once in each process of the operating system.
    pub fn module(self) -> Module {
        static MODULES: [OnceLock<Module>; 5] = [const { OnceLock::new() }; 5];
        MODULES[self as usize].get_or_init(|| self.load(Compilers::Optimising)).clone()
    }

    /// The same from the other compiler.
    pub fn baseline(self) -> Module {
        static MODULES: [OnceLock<Module>; 5] = [const { OnceLock::new() }; 5];
        MODULES[self as usize].get_or_init(|| self.load(Compilers::BaselineOnly)).clone()
    }

    fn load(self, compilers: Compilers) -> Module {
        let lua = include_bytes!("../../../examples/lua/lua.wasm");
        let (wasm, format, fuel) = match self {
            Self::Wide => (wrong(true), "wasm64-unknown-emscripten-draft_2024_02_15", 2_000_000),
            Self::Narrow => (wrong(false), "wasm32-unknown-emscripten4", 2_000_000),
            Self::Counter => (modules::COUNTER.to_vec(), "wasm32-unknown-unknown", 20_000_000_000),
            Self::Lua => (lua.to_vec(), "wasm32-unknown-emscripten4", 200_000_000),
            Self::Aos => {
                (modules::ao_module("aos2_0_6.wasm"), "wasm64-unknown-emscripten-draft_2024_02_15", 600_000_000)
            }
        };
        let engine = modules::engine(|config| (config.fuel_per_slot, config.compilers) = (fuel, compilers));
        engine.load(&wasm, format.parse().unwrap()).unwrap()
    }

    pub fn env(self) -> String {
        match self {
            Self::Lua | Self::Aos => modules::vectors()["runs"][0]["envJSON"].as_str().unwrap().to_owned(),
            _ => "{}".to_owned(),
        }
    }

    /// The messages that these numbers choose, after those that every process of the program begins with.
    pub fn log(self, choices: &[(u8, u8)]) -> Vec<String> {
        let lua = matches!(self, Self::Lua | Self::Aos);
        let boot = lua.then(|| step(0));
        boot.into_iter().chain(choices.iter().map(|(what, much)| self.message(*what, *much))).collect()
    }

    fn message(self, what: u8, much: u8) -> String {
        match self {
            Self::Wide | Self::Narrow => {
                let command = COMMANDS[usize::from(what) % COMMANDS.len()];
                // Neither a zero, which would end the text, nor more than one byte of UTF-8.
                [char::from(command), char::from(much % 126 + 1)].into_iter().collect()
            }
            Self::Counter => {
                let (action, data) = match what % 8 {
                    0..=3 => ("Increment", String::new()),
                    4 => ("Ping", "text".to_owned()),
                    5 => ("Forward", "x".repeat(usize::from(much) * 300)),
                    6 => ("Dance", String::new()),
                    _ => return "{\"Tags\":[".to_owned(),
                };
                modules::message(&[("Action", action), ("To", modules::SENDER)], &data)
            }
            Self::Lua | Self::Aos => {
                let mut message: Value = serde_json::from_str(&step(1)).unwrap();
                message["Data"] = lua(what, much).into();
                message.to_string()
            }
        }
    }
}

fn step(index: usize) -> String {
    modules::vectors()["runs"][0]["steps"][index]["msgJSON"].as_str().unwrap().to_owned()
}

fn lua(what: u8, much: u8) -> String {
    match what % 16 {
        0..=4 => format!("N = (N or 0) + {much}; return N"),
        5..=7 => format!("T = T or {{}}; for i = 1, {much} * 20 do T[#T + 1] = {{ i, tostring(i) }} end return #T"),
        8 => "T, B = nil, nil; collectgarbage(); return 'freed'".to_owned(),
        9 => format!("B = string.rep('x', {much} * 20000); return #B"),
        10 => "return tostring({}) .. ' ' .. tostring(math.random())".to_owned(),
        11 => format!("return tostring(0/0) .. string.format(' %.17g', {much} / 7)"),
        12 => format!("N = -1; T = nil; error('boom {much}')"),
        13 => "N = -1; local t = {}; for i = 1, 30000 do t[i] = { i } end; os.exit(3)".to_owned(),
        14 => "N = -1; this is no Lua".to_owned(),
        _ if much > 128 => "N = -1; while true do end".to_owned(),
        _ => "N = -1; local function f() return 1 + f() end; return f()".to_owned(),
    }
}

/// A module that does what the first letter of its message says, and changes globals and a page before that.
fn wrong(wide: bool) -> Vec<u8> {
    let command =
        |letter: char, code: &str| format!("(if (i32.eq (local.get $c) (i32.const {})) (then {code}))", letter as u32);
    let page = "(i64.add (i64.const 262144) (i64.mul (local.get $a) (i64.const 4096)))";
    let of_image = "(i64.mul (i64.add (i64.rem_u (local.get $a) (i64.const 3)) (i64.const 1)) (i64.const 4096))";
    let commands = [
        command('w', &format!("(STORE {page} (global.get $g))")),
        command('c', &format!("(FILL {page} (i32.const 0) (i64.const 4096))")),
        command('i', &format!("(STORE {of_image} (global.get $g))")),
        command('z', &format!("(FILL {of_image} (i32.const 0) (i64.const 4096))")),
        command('g', "(drop GROW)"),
        command('n', "(global.set $f (f64.div (f64.sub (global.get $f) (global.get $f)) (f64.convert_i64_u (i64.sub (local.get $a) (local.get $a))))) (STORE (i64.const 200000) (i64.reinterpret_f64 (global.get $f)))"),
        command('m', &format!("(COPY (i64.const 600000) {page} (i64.const 9999))")),
        command('e', "(return (ADDRESS (i64.const 64)))"),
        command('t', "(unreachable)"),
        command('G', "(drop GROW) (unreachable)"),
        command('o', "(STORE (i64.sub SIZE (i64.const 4)) (i64.const -1))"),
        command('l', "(loop $again (global.set $g (i64.add (global.get $g) (i64.const 1))) (br $again))"),
        command('d', "(call $deep)"),
        command('r', "(FILL (i64.const 262144) (i32.const 7) (i64.const 800000)) (unreachable)"),
    ]
    .concat();
    let filler = "image ".repeat(682);
    let text = format!(
        r#"(module
            (memory (export "memory") PAGES)
            (global $g (mut i64) (i64.const 1))
            (global $f (mut f64) (f64.const 0.5))
            (global $top (mut POINTER) (POINTER.const 65536))
            (func $deep (global.set $g (i64.add (global.get $g) (i64.const 1))) (call $deep))
            (func (export "malloc") (param POINTER) (result POINTER)
                (local POINTER)
                (local.set 1 (global.get $top))
                (global.set $top (POINTER.add (local.get 1) (local.get 0)))
                (local.get 1))
            (func (export "handle") (param $msg POINTER) (param POINTER) (result POINTER)
                (local $c i32) (local $a i64)
                (local.set $c (i32.load8_u (local.get $msg)))
                (local.set $a (i64.load8_u offset=1 (local.get $msg)))
                (global.set $top (POINTER.const 65536))
                (global.set $g (i64.add (i64.mul (global.get $g) (i64.const 31)) (local.get $a)))
                (STORE (i64.const 131072) (global.get $g))
                {commands}
                (POINTER.const 16))
            (data (POINTER.const 16) "{{\"ok\":true,\"response\":{{\"Output\":\"fine\"}}}}")
            (data (POINTER.const 64) "{{\"ok\":true,\"response\":{{\"Error\":\"no\"}}}}")
            (data (POINTER.const 4096) "{filler}")
            (data (POINTER.const 8192) "{filler}")
            (data (POINTER.const 12288) "{filler}"))"#
    );
    let words: &[(&str, &str)] = if wide {
        &[
            ("PAGES", "i64 20 40"),
            ("POINTER", "i64"),
            ("STORE", "i64.store"),
            ("FILL", "memory.fill"),
            ("COPY", "memory.copy"),
            ("GROW", "(memory.grow (i64.const 2))"),
            ("SIZE", "(i64.mul (memory.size) (i64.const 65536))"),
            ("(ADDRESS ", "(i64.or (i64.const 0) "),
        ]
    } else {
        &[
            ("PAGES", "20 40"),
            ("POINTER", "i32"),
            ("STORE", "call $store"),
            ("FILL", "call $fill"),
            ("COPY", "call $copy"),
            ("GROW", "(memory.grow (i32.const 2))"),
            ("SIZE", "(i64.extend_i32_u (i32.mul (memory.size) (i32.const 65536)))"),
            ("(ADDRESS ", "(i32.wrap_i64 "),
            (
                "(func $deep",
                "(func $store (param i64 i64) (i64.store (i32.wrap_i64 (local.get 0)) (local.get 1)))
                 (func $fill (param i64 i32 i64) (memory.fill (i32.wrap_i64 (local.get 0)) (local.get 1) (i32.wrap_i64 (local.get 2))))
                 (func $copy (param i64 i64 i64) (memory.copy (i32.wrap_i64 (local.get 0)) (i32.wrap_i64 (local.get 1)) (i32.wrap_i64 (local.get 2))))
                 (func $deep",
            ),
        ]
    };
    let text = words.iter().fold(text, |text, (word, meaning)| text.replace(word, meaning));
    wat::parse_str(text).unwrap()
}
