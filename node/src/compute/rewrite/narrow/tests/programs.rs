//! Random structured programs with a 64-bit memory: many of their addresses are good, some lie at an edge.

use std::fmt::Write as _;

/// Locals 0 and 1 are parameters.
const LOCALS: u64 = 7;

struct Programs {
    state: u64,
    /// Counters of loops that were made.
    counters: u64,
    /// Blocks that are open.
    depth: u64,
    /// What may still be written.
    budget: u32,
}

/// A module with a function `main` of two numbers, and the arguments of some calls.
pub(super) fn program(seed: u64) -> (String, Vec<Vec<u64>>) {
    let mut programs = Programs { state: seed | 1, counters: 0, depth: 0, budget: 160 };
    let body = programs.statements();
    let result = programs.number(3);
    let counters: String = (0..programs.counters).map(|counter| format!("(local $c{counter} i32)")).collect();
    let text = format!(
        "(module (memory (export \"memory\") i64 1 3) (global $g (mut i64) (i64.const 40))
          (data (i64.const 8) \"\\10\\00\\00\\00\\00\\00\\00\\00\\ff\\ff\\ff\\ff\\ff\\ff\\ff\\ff\\00\\00\\00\\00\\01\")
          (data $passive \"passive data\")
          (func $half (param i64) (result i64) (i64.shr_u (local.get 0) (i64.const 1)))
          (func (export \"main\") (param i64 i64) (result i64) (local i64 i64 i64 i64 i64) (local $v v128) {counters}
            (local.set 2 (i64.const 64)) (local.set 3 (i64.const 1000)) {body} {result}))"
    );
    let calls = (0..4).map(|_| vec![programs.constant(), programs.below(PAGE)]).collect();
    (text, calls)
}

const PAGE: u64 = 65_536;

impl Programs {
    fn next(&mut self) -> u64 {
        // xorshift64*
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 11) % limit
    }

    fn constant(&mut self) -> u64 {
        match self.below(12) {
            0 => u64::MAX - self.below(70_000),
            1 => (1 << 32) - 9 + self.below(18),
            2 => PAGE - 9 + self.below(18),
            3 => self.next(),
            _ => self.below(2000),
        }
    }

    fn local(&mut self) -> u64 {
        self.below(LOCALS)
    }

    fn offset(&mut self) -> u64 {
        match self.below(40) {
            0 => 0xffff_ffff,
            1 => 1 << 32,
            2 => u64::MAX,
            3 => PAGE - 4,
            _ => self.below(40),
        }
    }

    fn address(&mut self, deep: u32) -> String {
        match self.below(10) {
            0 => format!("(i64.const {})", self.constant()),
            1 => self.number(deep),
            2 | 3 => format!("(i64.and {} (i64.const 4095))", self.number(deep)),
            4 => format!("(i64.add (local.get {}) (i64.const {}))", self.local(), self.below(64)),
            5 => format!("(i64.add (local.get {}) (i64.const -{}))", self.local(), self.below(64)),
            _ => format!("(local.get {})", self.local()),
        }
    }

    /// An i64.
    fn number(&mut self, deep: u32) -> String {
        if deep == 0 {
            return match self.below(3) {
                0 => format!("(i64.const {})", self.constant()),
                _ => format!("(local.get {})", self.local()),
            };
        }
        let deep = deep - 1;
        match self.below(16) {
            0 => format!("(local.tee {} {})", self.local(), self.number(deep)),
            1 | 2 => {
                let operator = ["add", "sub", "and", "or", "xor", "shr_u", "mul", "shl"][self.below(8) as usize];
                format!("(i64.{operator} {} {})", self.number(deep), self.number(deep))
            }
            3..=7 => {
                let load = ["load", "load", "load32_u", "load8_u", "load16_s", "load32_s"][self.below(6) as usize];
                format!("(i64.{load} offset={} {})", self.offset(), self.address(deep))
            }
            8 => format!("(i64.extend_i32_u {})", self.word(deep)),
            9 => format!("(select {} {} {})", self.number(deep), self.number(deep), self.word(deep)),
            10 => "(global.get $g)".to_owned(),
            11 => "(memory.size)".to_owned(),
            12 => format!("(memory.grow {})", self.constant()).replace("grow ", "grow (i64.const ") + ")",
            13 => format!("(call $half {})", self.number(deep)),
            14 => format!("(i64x2.extract_lane 0 (v128.load offset={} {}))", self.offset(), self.address(deep)),
            _ => format!(
                "(block (result i64) (drop (br_if 0 {} {})) {})",
                self.number(deep),
                self.word(deep),
                self.number(deep)
            ),
        }
    }

    /// An i32.
    fn word(&mut self, deep: u32) -> String {
        match self.below(4) {
            0 => format!("(i32.const {})", self.below(3)),
            1 => format!("(i64.lt_u {} {})", self.number(deep.saturating_sub(1)), self.number(0)),
            2 => format!("(i32.load8_u {})", self.address(deep.saturating_sub(1))),
            _ => format!("(i32.wrap_i64 {})", self.number(deep.saturating_sub(1))),
        }
    }

    fn statements(&mut self) -> String {
        let mut text = String::new();
        for _ in 0..=self.below(6) {
            if self.budget == 0 {
                break;
            }
            self.budget -= 1;
            let statement = self.statement();
            writeln!(text, "{statement}").unwrap();
        }
        text
    }

    fn inside(&mut self, levels: u64) -> String {
        self.depth += levels;
        let text = self.statements();
        self.depth -= levels;
        text
    }

    fn statement(&mut self) -> String {
        match self.below(20) {
            0..=2 => format!("(local.set {} {})", self.local(), self.number(3)),
            3 => format!("(local.set {} (i64.and {} (i64.const 8191)))", self.local(), self.number(2)),
            4..=6 => {
                let store = ["store", "store8", "store16", "store32"][self.below(4) as usize];
                format!("(i64.{store} offset={} {} {})", self.offset(), self.address(2), self.number(2))
            }
            7 => format!("(i32.store offset={} {} {})", self.offset(), self.address(2), self.word(2)),
            8 => format!("(f64.store {} (f64.convert_i64_u {}))", self.address(2), self.number(2)),
            9 => format!("(v128.store {} (i64x2.splat {}))", self.address(2), self.number(2)),
            10 => {
                let load = format!("(v128.load16_lane offset={} 3 {} (local.get $v))", self.offset(), self.address(2));
                format!("(local.set $v {load}) (v128.store32_lane 1 {} (local.get $v))", self.address(2))
            }
            11 => format!("(memory.fill {} {} (i64.const {}))", self.address(1), self.word(1), self.below(90)),
            12 => format!("(memory.copy {} {} (i64.const {}))", self.address(1), self.address(1), self.below(90)),
            13 => format!("(memory.init $passive {} (i32.const {}) (i32.const 3))", self.address(1), self.below(11)),
            14 => format!("(global.set $g {})", self.number(2)),
            15 => {
                let (word, then, other) = (self.word(2), self.inside(1), self.inside(1));
                format!("(if {word} (then {then}) (else {other}))")
            }
            16 => {
                let (first, word, second) = (self.inside(1), self.word(1), self.inside(1));
                format!("(block {first} (br_if 0 {word}) {second})")
            }
            17 => {
                let (inner, word, between) = (self.inside(2), self.word(1), self.inside(1));
                format!("(block (block {inner} (br_table 0 1 0 {word})) {between})")
            }
            18 => {
                let counter = self.counters;
                self.counters += 1;
                let (count, body) = (1 + self.below(4), self.inside(1));
                let set = format!("(local.set $c{counter} (i32.const {count}))");
                let down = format!("(local.tee $c{counter} (i32.sub (local.get $c{counter}) (i32.const 1)))");
                format!("{set} (loop {body} (br_if 0 {down}))")
            }
            // The function's own label, whatever is open.
            _ => {
                let (label, number, word) = (self.depth, self.number(1), self.word(1));
                format!("(drop (br_if {label} {number} (i32.eqz {word})))")
            }
        }
    }
}
