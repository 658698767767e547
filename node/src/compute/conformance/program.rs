//! The frame of a conformance program: a module whose messages say which of its cases to run, and whose answer is what
//! the case gave, as 16 hexadecimal digits.
//!
//! Where it sits: `corpus.rs` and `random.rs` write the cases. A message is `{"n":07}`; a case is a function without parameters
//! that gives an i64. Every frame has functions that give back what they are given (`$i`, `$l`, `$f`, `$d`), so that a
//! compiler cannot work out a case before it runs, and the bits of floats (`$fbits`, `$dbits`).

use std::fmt::Write as _;

use crate::compute::ModuleFormat;

/// A program and the names of its cases.
pub(super) struct Program {
    pub(super) name: String,
    pub(super) format: ModuleFormat,
    /// The module as WebAssembly text.
    pub(super) text: String,
    pub(super) cases: Vec<String>,
}

/// Where the answer lies, and how long it is.
const ANSWER: u32 = 64;
const ANSWER_LENGTH: u32 = 52;
/// Where its digits begin.
const DIGITS: u32 = ANSWER + 33;
/// Where a message is put. What cases write lies from here + 4096 on.
const INPUT: u32 = 4096;

impl Program {
    /// A program of this format with `parts` (imports first, then what the cases need) and cases by name and body.
    pub(super) fn new(
        name: &str,
        format: ModuleFormat,
        parts: [&str; 2],
        cases: &[(impl AsRef<str>, impl AsRef<str>)],
    ) -> Self {
        let [imports, parts] = parts;
        let address = if format == ModuleFormat::Emscripten64 { "i64" } else { "i32" };
        let mut functions = String::new();
        let mut names = String::new();
        for (number, (_, body)) in cases.iter().enumerate() {
            let _ = write!(functions, "(func $case{number} (type $case) {})", body.as_ref());
            let _ = write!(names, " $case{number}");
        }
        let count = cases.len();
        let text = format!(
            r#"(module {imports}
            (type $case (func (result i64)))
            (memory (export "memory") {memory} 2 8)
            (table (export "__indirect_function_table") {table} funcref)
            (elem (table 0) (i32.const 0) func{names})
            (data ({address}.const {ANSWER}) "{{\"ok\":true,\"response\":{{\"Output\":\"0000000000000000\"}}}}\00")
            {HELPERS}
            (func $digits (param $value i64) (local $at i32) (local $digit i32)
                (local.set $at (i32.const 15))
                (loop $next
                    (local.set $digit (i32.and (i32.wrap_i64 (local.get $value)) (i32.const 15)))
                    (i32.store8 offset={DIGITS} {at}
                        (i32.add (i32.add (local.get $digit) (i32.const 48))
                            (i32.mul (i32.const 39) (i32.gt_u (local.get $digit) (i32.const 9)))))
                    (local.set $value (i64.shr_u (local.get $value) (i64.const 4)))
                    (local.set $at (i32.sub (local.get $at) (i32.const 1)))
                    (br_if $next (i32.ge_s (local.get $at) (i32.const 0)))))
            (func $digit (param $at {address}) (result i32) (i32.sub (i32.load8_u (local.get $at)) (i32.const 48)))
            {handle} {parts} {functions})"#,
            memory = if address == "i64" { "i64" } else { "" },
            // Some elements more than there are cases: nothing is in them, or what the parts put there.
            table = count + 3,
            at = if address == "i64" { "(i64.extend_i32_u (local.get $at))" } else { "(local.get $at)" },
            handle = handle(format, address),
        );
        Self {
            name: name.to_owned(),
            format,
            text,
            cases: cases.iter().map(|(name, _)| name.as_ref().to_owned()).collect(),
        }
    }
}

const HELPERS: &str = "
    (func $i (param i32) (result i32) (local.get 0))
    (func $l (param i64) (result i64) (local.get 0))
    (func $f (param f32) (result f32) (local.get 0))
    (func $d (param f64) (result f64) (local.get 0))
    (func $u (param i32) (result i64) (i64.extend_i32_u (local.get 0)))
    (func $fbits (param f32) (result i64) (i64.extend_i32_u (i32.reinterpret_f32 (local.get 0))))
    (func $dbits (param f64) (result i64) (i64.reinterpret_f64 (local.get 0)))";

/// The calling convention of the format, around running one case.
fn handle(format: ModuleFormat, address: &str) -> String {
    let case = format!(
        "(call $digits (call_indirect (type $case)
            (i32.add (i32.mul (i32.const 10) (call $digit ({address}.add (local.get 0) ({address}.const 5))))
                (call $digit ({address}.add (local.get 0) ({address}.const 6))))))"
    );
    if format == ModuleFormat::Plain {
        let packed = (u64::from(ANSWER) << 32) | u64::from(ANSWER_LENGTH);
        return format!(
            r#"(func (export "alloc") (param i32) (result i32)
                (select (i32.const {INPUT}) (i32.const {env}) (i32.gt_u (local.get 0) (i32.const 2))))
            (func (export "handle") (param i32 i32 i32 i32) (result i64) {case} (i64.const {packed}))"#,
            env = INPUT + 64,
        );
    }
    // The length counts the NUL here.
    format!(
        r#"(func (export "malloc") (param {address}) (result {address})
            (select ({address}.const {INPUT}) ({address}.const {env}) ({address}.gt_u (local.get 0) ({address}.const 3))))
        (func (export "handle") (param {address} {address}) (result {address}) {case} ({address}.const {ANSWER}))"#,
        env = INPUT + 64,
    )
}
