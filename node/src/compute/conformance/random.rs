//! Random programs: structured, valid, deterministic from a seed. They compute with the edges of every number type, branch,
//! loop, call each other, read and write memory, grow it, and now and then trap or run out of fuel.
//!
//! Where it sits: evaluated by [`super::random`] with both compilers. A log of [`MESSAGES`] messages goes to each program, of
//! which some fail and are rolled back.

use super::program::Program;
use crate::compute::ModuleFormat;

/// Messages to each program.
const MESSAGES: u64 = 4;
/// Functions of each; one calls only those before it.
const FUNCTIONS: usize = 4;
/// Iterations of a loop at most.
const ITERATIONS: u64 = 9;
/// How deep expressions and statements go into each other.
const EXPRESSION: u32 = 4;
const STATEMENT: u32 = 2;

/// Number types; each function has a parameter and a local of each.
const TYPES: [&str; 4] = ["i32", "i64", "f32", "f64"];

/// Bits that make trouble: zeros, ones, infinities, NaNs with and without payload, subnormals, bounds of integers.
const EDGES: [u64; 20] = [
    0,
    1,
    u64::MAX,
    1 << 63,
    (1 << 63) - 1,
    0x8000_0000,
    0x7fff_ffff,
    0xffff_ffff,
    33,
    0x7f80_0000,
    0x7fc0_0001,
    0xffa0_0000,
    0x0000_0001_0000_0000,
    0x7ff0_0000_0000_0000,
    0x7ff8_0000_0000_0001,
    0xfff4_0000_0000_0000,
    0x3ff0_0000_0000_0000,
    0x4330_0000_0000_0001,
    0x3f80_0000,
    0x41e0_0000_0000_0000,
];

const INTEGER: [&str; 15] = [
    "add", "sub", "mul", "and", "or", "xor", "shl", "shr_s", "shr_u", "rotl", "rotr", "div_s", "div_u", "rem_s",
    "rem_u",
];
const INTEGER_ONE: [&str; 5] = ["clz", "ctz", "popcnt", "extend8_s", "extend16_s"];
const INTEGER_TEST: [&str; 10] = ["eq", "ne", "lt_s", "lt_u", "gt_s", "gt_u", "le_s", "le_u", "ge_s", "ge_u"];
const FLOAT: [&str; 7] = ["add", "sub", "mul", "div", "min", "max", "copysign"];
const FLOAT_ONE: [&str; 7] = ["abs", "neg", "sqrt", "ceil", "floor", "trunc", "nearest"];
const FLOAT_TEST: [&str; 6] = ["eq", "ne", "lt", "gt", "le", "ge"];
/// Conversions: result, name, operand. Those that trap are rare in what people compile and frequent here.
const CONVERSIONS: [(&str, &str, &str); 21] = [
    ("i32", "wrap_i64", "i64"),
    ("i32", "trunc_sat_f32_s", "f32"),
    ("i32", "trunc_sat_f64_u", "f64"),
    ("i32", "reinterpret_f32", "f32"),
    ("i32", "trunc_f64_s", "f64"),
    ("i64", "extend_i32_s", "i32"),
    ("i64", "extend_i32_u", "i32"),
    ("i64", "trunc_sat_f32_u", "f32"),
    ("i64", "trunc_sat_f64_s", "f64"),
    ("i64", "reinterpret_f64", "f64"),
    ("i64", "trunc_f32_u", "f32"),
    ("f32", "convert_i32_s", "i32"),
    ("f32", "convert_i64_u", "i64"),
    ("f32", "convert_i64_s", "i64"),
    ("f32", "demote_f64", "f64"),
    ("f32", "reinterpret_i32", "i32"),
    ("f64", "convert_i32_u", "i32"),
    ("f64", "convert_i64_u", "i64"),
    ("f64", "convert_i64_s", "i64"),
    ("f64", "promote_f32", "f32"),
    ("f64", "reinterpret_i64", "i64"),
];

/// The `number`th program of `seed`.
pub(super) fn program(seed: u64, number: u32) -> Program {
    let mut writer = Writer { state: seed ^ (u64::from(number) << 32), address: "i32", calls: 0, loops: 0 };
    let format = if writer.below(2) == 0 { ModuleFormat::Plain } else { ModuleFormat::Emscripten64 };
    if format == ModuleFormat::Emscripten64 {
        writer.address = "i64";
    }
    let mut parts = String::new();
    for ty in TYPES {
        let value = writer.constant(ty);
        // A global begins with a plain constant.
        let value = if value.contains("reinterpret") { format!("({ty}.const -0.5)") } else { value };
        parts.push_str(&format!("(global $g{ty} (mut {ty}) {value})\n"));
    }
    for function in 0..FUNCTIONS {
        parts.push_str(&writer.function(function));
    }
    let cases: Vec<_> = (0..MESSAGES).map(|message| (format!("message {message}"), writer.case())).collect();
    Program::new(&format!("random {number}"), format, ["", &parts], &cases)
}

struct Writer {
    state: u64,
    /// Type of an address.
    address: &'static str,
    /// Functions that can be called from here.
    calls: usize,
    /// Loops around here: each counts in a local of its own.
    loops: usize,
}

impl Writer {
    /// SplitMix64: the same on every machine.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    fn pick<T: Copy + Default>(&mut self, from: &[T]) -> T {
        let at = self.below(from.len() as u64);
        usize::try_from(at).ok().and_then(|at| from.get(at)).copied().unwrap_or_default()
    }

    /// The type of what function `function` gives.
    fn result(function: usize) -> &'static str {
        TYPES.get(function % TYPES.len()).copied().unwrap_or("i64")
    }

    fn constant(&mut self, ty: &str) -> String {
        let bits = if self.below(3) == 0 { self.next() } else { self.pick(&EDGES) };
        match ty {
            "i32" => format!("(i32.const {})", bits as u32),
            "i64" => format!("(i64.const {bits})"),
            "f32" => format!("(f32.reinterpret_i32 (i32.const {}))", bits as u32),
            _ => format!("(f64.reinterpret_i64 (i64.const {bits}))"),
        }
    }

    fn function(&mut self, number: usize) -> String {
        (self.calls, self.loops) = (number, 0);
        let result = Self::result(number);
        let body = self.statements(STATEMENT, 4);
        let value = self.expression(result, EXPRESSION);
        format!(
            "(func $r{number} (param i32 i64 f32 f64) (result {result}) (local i32 i64 f32 f64)
                (local $n0 i32) (local $n1 i32) (local $n2 i32) {body} {value})\n"
        )
    }

    /// The bits of what one of the functions gives.
    fn case(&mut self) -> String {
        (self.calls, self.loops) = (FUNCTIONS, 0);
        let function = FUNCTIONS - 1 - usize::from(self.below(3) == 0);
        let arguments: Vec<_> = TYPES.iter().map(|ty| self.constant(ty)).collect();
        let call = format!("(call $r{function} {})", arguments.join(" "));
        match Self::result(function) {
            "i32" => format!("(call $u {call})"),
            "f32" => format!("(call $fbits {call})"),
            "f64" => format!("(call $dbits {call})"),
            _ => call,
        }
    }

    fn statements(&mut self, depth: u32, most: u64) -> String {
        let count = 1 + self.below(most);
        (0..count).map(|_| self.statement(depth)).collect::<Vec<_>>().join(" ")
    }

    fn statement(&mut self, depth: u32) -> String {
        let ty = self.pick(&TYPES);
        let kind = if depth == 0 { self.below(5) } else { self.below(10) };
        match kind {
            0 => {
                let value = self.expression(ty, EXPRESSION);
                format!("(local.set {} {value})", self.variable(ty))
            }
            1 => format!("(global.set $g{ty} {})", self.expression(ty, EXPRESSION)),
            2 | 3 => {
                let (store, address, offset) = (self.width(ty, "store"), self.place(), self.below(16));
                format!("({store} offset={offset} {address} {})", self.expression(ty, EXPRESSION))
            }
            4 => self.bulk(),
            5 | 6 => {
                let condition = self.expression("i32", 2);
                let (yes, no) = (self.statements(depth - 1, 2), self.statements(depth - 1, 2));
                format!("(if {condition} (then {yes}) (else {no}))")
            }
            7 => {
                let condition = self.expression("i32", 2);
                format!("(block $out (br_if $out {condition}) {})", self.statements(depth - 1, 3))
            }
            _ => self.repeated(depth),
        }
    }

    /// A loop that ends, with a way out of it.
    fn repeated(&mut self, depth: u32) -> String {
        let (counter, times) = (self.loops.min(2), 1 + self.below(ITERATIONS));
        self.loops += 1;
        let (body, early) = (self.statements(depth - 1, 3), self.expression("i32", 2));
        self.loops -= 1;
        format!(
            "(local.set $n{counter} (i32.const {times}))
            (block $done (loop $again {body} (br_if $done (i32.eqz {early}))
                (br_if $again (local.tee $n{counter} (i32.sub (local.get $n{counter}) (i32.const 1))))))"
        )
    }

    fn bulk(&mut self) -> String {
        let (address, from, ty) = (self.place(), self.place(), self.address);
        let length = self.below(300);
        match self.below(3) {
            0 => format!("(memory.fill {address} {} ({ty}.const {length}))", self.expression("i32", 1)),
            1 => format!("(memory.copy {address} {from} ({ty}.const {length}))"),
            _ => {
                let pages = if self.below(8) == 0 { self.next() >> 20 } else { self.below(2) };
                let pages = if ty == "i32" { pages & 0xffff_ffff } else { pages };
                format!("(drop (memory.grow ({ty}.const {pages})))")
            }
        }
    }

    /// An address: mostly within the second to fourth quarter of the first page, sometimes anything.
    fn place(&mut self) -> String {
        let ty = self.address;
        let value = self.expression(ty, 2);
        if self.below(40) == 0 {
            return value;
        }
        format!("({ty}.or ({ty}.const 0x4000) ({ty}.and ({ty}.const 0xbfff) {value}))")
    }

    /// The name of a load or store of `ty`, sometimes of fewer bits.
    fn width(&mut self, ty: &str, what: &str) -> String {
        let sign = if what == "load" { if self.below(2) == 0 { "_s" } else { "_u" } } else { "" };
        match (ty, self.below(4)) {
            ("i32" | "i64", 0) => format!("{ty}.{what}8{sign}"),
            ("i32" | "i64", 1) => format!("{ty}.{what}16{sign}"),
            ("i64", 2) => format!("{ty}.{what}32{sign}"),
            _ => format!("{ty}.{what}"),
        }
    }

    /// The number of a parameter or local of `ty`.
    fn variable(&mut self, ty: &str) -> usize {
        let at = TYPES.iter().position(|other| *other == ty).unwrap_or_default();
        if self.below(2) == 0 { at } else { at + TYPES.len() }
    }

    fn expression(&mut self, ty: &str, depth: u32) -> String {
        if depth == 0 {
            return match self.below(4) {
                0 => self.constant(ty),
                1 => format!("(global.get $g{ty})"),
                _ => format!("(local.get {})", self.variable(ty)),
            };
        }
        match self.below(16) {
            0 => self.expression(ty, 0),
            1 => {
                let (load, address, offset) = (self.width(ty, "load"), self.place(), self.below(16));
                format!("({load} offset={offset} {address})")
            }
            2 => {
                let (left, right) = (self.expression(ty, depth - 1), self.expression(ty, depth - 1));
                format!("(select {left} {right} {})", self.expression("i32", depth - 1))
            }
            3 => {
                let condition = self.expression("i32", depth - 1);
                let (yes, no) = (self.expression(ty, depth - 1), self.expression(ty, depth - 1));
                format!("(if (result {ty}) {condition} (then {yes}) (else {no}))")
            }
            4 => format!("(local.tee {} {})", self.variable(ty), self.expression(ty, depth - 1)),
            5 => self.call(ty, depth),
            6..9 => self.converted(ty, depth),
            9 | 10 if ty == "i32" => self.test(depth),
            9..11 => self.one(ty, depth),
            _ => {
                let operator = if ty.starts_with('i') { self.pick(&INTEGER) } else { self.pick(&FLOAT) };
                let right = self.operand(ty, operator, depth);
                format!("({ty}.{operator} {} {right})", self.expression(ty, depth - 1))
            }
        }
    }

    /// The right side of an operator; a division by zero is the exception, or nothing would ever come of a program.
    fn operand(&mut self, ty: &str, operator: &str, depth: u32) -> String {
        let value = self.expression(ty, depth - 1);
        let divides = ty.starts_with('i') && (operator.starts_with("div") || operator.starts_with("rem"));
        if divides && self.below(20) > 0 { format!("({ty}.or ({ty}.const 3) {value})") } else { value }
    }

    fn one(&mut self, ty: &str, depth: u32) -> String {
        let operator = if ty.starts_with('i') { self.pick(&INTEGER_ONE) } else { self.pick(&FLOAT_ONE) };
        format!("({ty}.{operator} {})", self.expression(ty, depth - 1))
    }

    fn test(&mut self, depth: u32) -> String {
        let of = self.pick(&TYPES);
        let operator = if of.starts_with('i') { self.pick(&INTEGER_TEST) } else { self.pick(&FLOAT_TEST) };
        let (left, right) = (self.expression(of, depth - 1), self.expression(of, depth - 1));
        format!("({of}.{operator} {left} {right})")
    }

    fn converted(&mut self, ty: &str, depth: u32) -> String {
        let fitting: Vec<_> = CONVERSIONS.iter().filter(|(to, ..)| *to == ty).copied().collect();
        let (to, mut name, from) = self.pick(&fitting);
        // Most of what traps would end the program before anything else happened.
        if name.starts_with("trunc_f") && self.below(20) > 0 {
            name = if name == "trunc_f64_s" { "trunc_sat_f64_s" } else { "trunc_sat_f32_u" };
        }
        format!("({to}.{name} {})", self.expression(from, depth - 1))
    }

    /// A call of an earlier function that gives `ty`, if there is one.
    fn call(&mut self, ty: &str, depth: u32) -> String {
        let Some(function) = (0..self.calls.min(FUNCTIONS)).find(|function| Self::result(*function) == ty) else {
            return self.expression(ty, depth - 1);
        };
        let arguments: Vec<_> = TYPES.iter().map(|ty| self.expression(ty, depth.saturating_sub(2))).collect();
        format!("(call $r{function} {})", arguments.join(" "))
    }
}
