//! The programs of the corpus: what compilers, processors and builds could do differently.
//!
//! Where it sits: evaluated by [`super::corpus`]; what must come out is in `expected.txt`. Each case is a name and a body that
//! gives an i64 (`program.rs`). Order matters: a program's cases are one log, in which what a case leaves in memory and
//! globals is in the state root of the next.

use super::program::Program;
use crate::compute::ModuleFormat;

type Cases = &'static [(&'static str, &'static str)];

/// All of it, in the order of `expected.txt`.
pub(super) fn programs() -> Vec<Program> {
    let plain = |name, parts, cases: Cases| Program::new(name, ModuleFormat::Plain, ["", parts], cases);
    let wide = |name, parts, cases: Cases| Program::new(name, ModuleFormat::Emscripten64, ["", parts], cases);
    vec![
        plain("integers", "", INTEGERS),
        plain("conversions", "", CONVERSIONS),
        plain("floats", "", FLOATS),
        plain("vectors", "", VECTORS),
        plain("memory", MEMORY_PARTS, MEMORY),
        wide("memory64", MEMORY64_PARTS, MEMORY64),
        plain("calls", CALLS_PARTS, CALLS),
        plain("fuel", FUEL_PARTS, FUEL),
        plain("globals", GLOBALS_PARTS, GLOBALS),
        wide("exceptions", EXCEPTIONS_PARTS, EXCEPTIONS),
        Program::new("host", ModuleFormat::Emscripten32, [HOST_IMPORTS, HOST_PARTS], HOST),
    ]
}

const INTEGERS: Cases = &[
    ("least divided by -1", "(i64.div_s (call $l (i64.const 0x8000000000000000)) (call $l (i64.const -1)))"),
    ("remainder of least by -1", "(i64.rem_s (call $l (i64.const 0x8000000000000000)) (call $l (i64.const -1)))"),
    ("divided by zero", "(i64.div_u (call $l (i64.const 1)) (call $l (i64.const 0)))"),
    ("remainder by zero", "(call $u (i32.rem_s (call $i (i32.const 1)) (call $i (i32.const 0))))"),
    ("least i32 divided by -1", "(call $u (i32.div_s (call $i (i32.const 0x80000000)) (call $i (i32.const -1))))"),
    ("remainder of least i32 by -1", "(call $u (i32.rem_s (call $i (i32.const 0x80000000)) (call $i (i32.const -1))))"),
    ("negative division", "(i64.div_s (call $l (i64.const -7)) (call $l (i64.const 2)))"),
    ("negative remainder", "(i64.rem_s (call $l (i64.const -7)) (call $l (i64.const 2)))"),
    ("shift by more than the width", "(i64.shl (call $l (i64.const 3)) (call $l (i64.const 65)))"),
    ("i32 shift by the width", "(call $u (i32.shr_s (call $i (i32.const -5)) (call $i (i32.const 33))))"),
    ("rotation", "(i64.rotl (call $l (i64.const 0x8123456789abcdef)) (call $l (i64.const -60)))"),
    ("i32 rotation", "(call $u (i32.rotr (call $i (i32.const 0x81234567)) (call $i (i32.const 36))))"),
    (
        "counts of zero",
        "(i64.add (i64.clz (call $l (i64.const 0))) (i64.mul (i64.const 1000) (call $u (i32.ctz (call $i (i32.const 0))))))",
    ),
    ("bits set", "(i64.popcnt (call $l (i64.const 0xf0f0_1234_8001_ffff)))"),
    (
        "sign extension",
        "(i64.add (i64.extend8_s (call $l (i64.const 0x1ff))) (i64.extend16_s (call $l (i64.const 0x18000))))",
    ),
    (
        "product that wraps",
        "(i64.mul (call $l (i64.const 0x123456789abcdef1)) (call $l (i64.const 0xfedcba9876543211)))",
    ),
    ("unsigned comparison", "(call $u (i64.lt_u (call $l (i64.const -1)) (call $l (i64.const 1))))"),
];

const CONVERSIONS: Cases = &[
    ("NaN to an integer", "(i64.trunc_f64_s (call $d (f64.const nan)))"),
    ("too large for an i32", "(call $u (i32.trunc_f64_s (call $d (f64.const 2147483648))))"),
    ("just small enough", "(call $u (i32.trunc_f64_s (call $d (f64.const -2147483648.9))))"),
    ("below zero, unsigned", "(call $u (i32.trunc_f32_u (call $f (f32.const -1))))"),
    ("just above -1, unsigned", "(i64.trunc_f64_u (call $d (f64.const -0.99)))"),
    ("large and unsigned", "(i64.trunc_f64_u (call $d (f64.const 18446744073709549568)))"),
    ("saturated NaN", "(i64.trunc_sat_f32_s (call $f (f32.const nan:0x200001)))"),
    ("saturated infinity", "(i64.trunc_sat_f64_u (call $d (f64.const inf)))"),
    ("saturated below", "(call $u (i32.trunc_sat_f64_s (call $d (f64.const -1e300))))"),
    ("u64 to double, a tie", "(call $dbits (f64.convert_i64_u (call $l (i64.const 0x8000000000000400))))"),
    ("u64 to double, above a tie", "(call $dbits (f64.convert_i64_u (call $l (i64.const 0x8000000000000401))))"),
    ("u64 to float", "(call $fbits (f32.convert_i64_u (call $l (i64.const 0xffffff7fffffffff))))"),
    ("i64 to float", "(call $fbits (f32.convert_i64_s (call $l (i64.const -9007199791611905))))"),
    ("u32 to float", "(call $fbits (f32.convert_i32_u (call $i (i32.const 0xffffff80))))"),
    ("double to float, a tie", "(call $fbits (f32.demote_f64 (call $d (f64.const 0x1.000001p0))))"),
    ("double to float, too large", "(call $fbits (f32.demote_f64 (call $d (f64.const 0x1.ffffffp127))))"),
    ("double to float, subnormal", "(call $fbits (f32.demote_f64 (call $d (f64.const 0x1.8p-149))))"),
];

const FLOATS: Cases = &[
    ("0 / 0", "(call $dbits (f64.div (call $d (f64.const 0)) (call $d (f64.const 0))))"),
    ("0 / 0 in single precision", "(call $fbits (f32.div (call $f (f32.const 0)) (call $f (f32.const -0))))"),
    ("infinity - infinity", "(call $dbits (f64.sub (call $d (f64.const inf)) (call $d (f64.const inf))))"),
    ("0 * infinity", "(call $fbits (f32.mul (call $f (f32.const 0)) (call $f (f32.const inf))))"),
    ("root of -1", "(call $dbits (f64.sqrt (call $d (f64.const -1))))"),
    ("root of -1 in single precision", "(call $fbits (f32.sqrt (call $f (f32.const -1))))"),
    ("a payload added to", "(call $dbits (f64.add (call $d (f64.const nan:0xdead)) (call $d (f64.const 1))))"),
    ("two payloads", "(call $fbits (f32.mul (call $f (f32.const -nan:0x1)) (call $f (f32.const nan:0x200002))))"),
    ("least with NaN", "(call $dbits (f64.min (call $d (f64.const -nan:0x8000000000001)) (call $d (f64.const 1))))"),
    ("greatest with NaN", "(call $fbits (f32.max (call $f (f32.const 1)) (call $f (f32.const nan:0x1))))"),
    ("least zero", "(call $dbits (f64.min (call $d (f64.const 0)) (call $d (f64.const -0))))"),
    ("greatest zero", "(call $fbits (f32.max (call $f (f32.const -0)) (call $f (f32.const 0))))"),
    ("a payload rounded", "(call $dbits (f64.nearest (call $d (f64.const nan:0x1))))"),
    ("a payload rounded up", "(call $fbits (f32.ceil (call $f (f32.const -nan:0x12345))))"),
    ("a payload narrowed", "(call $fbits (f32.demote_f64 (call $d (f64.const -nan:0xabcdef))))"),
    ("a payload widened", "(call $dbits (f64.promote_f32 (call $f (f32.const nan:0x1))))"),
    ("the root of a payload", "(call $dbits (f64.sqrt (call $d (f64.const -nan:0x77))))"),
    ("a payload negated", "(call $dbits (f64.neg (call $d (f64.const nan:0x1))))"),
    (
        "a payload with another sign",
        "(call $fbits (f32.copysign (call $f (f32.const nan:0x1)) (call $f (f32.const -1))))",
    ),
    (
        "a payload kept in a choice",
        "(call $dbits (select (f64.const -nan:0x42) (f64.const 1) (call $i (i32.const 1))))",
    ),
    ("NaN equals itself", "(call $u (f64.eq (call $d (f64.const nan)) (call $d (f64.const nan))))"),
    (
        "half to even",
        "(call $dbits (f64.add (f64.nearest (call $d (f64.const 2.5))) (f64.nearest (call $d (f64.const 3.5)))))",
    ),
    ("negative half", "(call $dbits (f64.nearest (call $d (f64.const -0.5))))"),
    ("towards zero", "(call $fbits (f32.trunc (call $f (f32.const -0.9))))"),
    (
        "a third, summed",
        "(call $dbits (f64.add (f64.div (call $d (f64.const 1)) (call $d (f64.const 3))) (call $d (f64.const 0.1))))",
    ),
    (
        "not fused",
        "(call $dbits (f64.add (f64.mul (call $d (f64.const 0x1.0000001p0)) (call $d (f64.const 0x1.0000001p0))) (call $d (f64.const -1))))",
    ),
    (
        "subnormal product",
        "(call $dbits (f64.mul (call $d (f64.const 0x1p-1000)) (call $d (f64.const 0x1.23456789p-60))))",
    ),
    ("subnormal quotient", "(call $fbits (f32.div (call $f (f32.const 0x1p-126)) (call $f (f32.const 3))))"),
    (
        "single precision throughout",
        "(call $fbits (f32.add (f32.add (call $f (f32.const 16777216)) (call $f (f32.const 1))) (call $f (f32.const 1))))",
    ),
];

const VECTORS: Cases = &[
    (
        "integer lanes",
        "(i64x2.extract_lane 1 (i32x4.add (i32x4.splat (call $i (i32.const -3))) (v128.const i32x4 1 2 3 4)))",
    ),
    (
        "float lanes",
        "(i64x2.extract_lane 0 (f32x4.add (f32x4.splat (call $f (f32.const 16777216))) (v128.const f32x4 1 3 5 7)))",
    ),
    (
        "saturated lanes",
        "(i64x2.extract_lane 0 (i8x16.add_sat_s (i8x16.splat (call $i (i32.const 100))) (i8x16.splat (i32.const 100))))",
    ),
    (
        "mixed bytes",
        "(i64x2.extract_lane 0 (i8x16.swizzle (v128.const i64x2 0x0706050403020100 -1) (i8x16.splat (call $i (i32.const 17)))))",
    ),
];

const MEMORY_PARTS: &str = r#"(data $later "0123456789abcdef") (data (i32.const 9000) "\01\02\03\04\05\06\07\88")"#;
const MEMORY: Cases = &[
    ("data", "(i64.load (i32.const 9000))"),
    ("signed byte", "(i64.load8_s (i32.const 9007))"),
    ("unaligned", "(i64.store (i32.const 8193) (i64.const 0x1122334455667788)) (i64.load32_u (i32.const 8195))"),
    ("last byte", "(i64.load8_u (call $i (i32.const 131071)))"),
    ("over the end", "(i64.load (call $i (i32.const 131065)))"),
    (
        "store over the end",
        "(i64.store (i32.const 8200) (i64.const 1)) (i64.store (call $i (i32.const 131065)) (i64.const -1)) (i64.const 0)",
    ),
    ("negative address", "(i64.load (call $i (i32.const -8)))"),
    ("offset over the end", "(i64.load8_u offset=0xffffffff (call $i (i32.const 1)))"),
    ("filled", "(memory.fill (call $i (i32.const 8300)) (i32.const 0x1ab) (i32.const 9)) (i64.load (i32.const 8301))"),
    ("filled over the end", "(memory.fill (call $i (i32.const 131000)) (i32.const 1) (i32.const 73)) (i64.const 0)"),
    (
        "copied forwards over itself",
        "(memory.copy (call $i (i32.const 9002)) (i32.const 9000) (i32.const 8)) (i64.load (i32.const 9000))",
    ),
    (
        "copied backwards over itself",
        "(memory.copy (i32.const 9000) (call $i (i32.const 9003)) (i32.const 6)) (i64.load (i32.const 9000))",
    ),
    (
        "copied from over the end",
        "(memory.copy (i32.const 0) (call $i (i32.const 131070)) (i32.const 3)) (i64.const 0)",
    ),
    (
        "copied nothing from the end",
        "(memory.copy (i32.const 0) (call $i (i32.const 131072)) (i32.const 0)) (i64.const 1)",
    ),
    (
        "initialised",
        "(memory.init $later (i32.const 8400) (call $i (i32.const 3)) (i32.const 8)) (i64.load (i32.const 8400))",
    ),
    (
        "initialised from over the end",
        "(memory.init $later (i32.const 8400) (call $i (i32.const 9)) (i32.const 8)) (i64.const 0)",
    ),
    ("grown", "(call $u (i32.add (memory.grow (call $i (i32.const 2))) (i32.mul (i32.const 10) (memory.size))))"),
    ("new memory", "(i64.store (i32.const 262136) (i64.const 77)) (i64.load (call $i (i32.const 262136)))"),
    ("grown too far", "(i64.extend_i32_s (memory.grow (call $i (i32.const 5))))"),
    ("grown and failed", "(drop (memory.grow (i32.const 1))) (unreachable)"),
    ("as before", "(call $u (memory.size))"),
];

const MEMORY64_PARTS: &str = r#"(data $later "0123456789abcdef") (data (i64.const 9000) "\01\02\03\04\05\06\07\88")"#;
const MEMORY64: Cases = &[
    ("data", "(i64.load (call $l (i64.const 9000)))"),
    ("last byte", "(i64.load8_u (call $l (i64.const 131071)))"),
    ("over the end", "(i64.load (call $l (i64.const 131065)))"),
    ("beyond 32 bits", "(i64.load8_u (call $l (i64.const 0x100002328)))"),
    ("beyond 32 bits, stored", "(i64.store (call $l (i64.const 0x100002328)) (i64.const -1)) (i64.const 0)"),
    ("greatest address", "(i64.load8_u (call $l (i64.const -1)))"),
    ("offset that wraps", "(i64.load8_u offset=0xffffffffffffffff (call $l (i64.const 9001)))"),
    ("offset beyond 32 bits", "(i64.load8_u offset=0x100000000 (call $l (i64.const 9000)))"),
    ("offset", "(i64.load offset=0x1000 (call $l (i64.const 4904)))"),
    (
        "filled",
        "(memory.fill (call $l (i64.const 8300)) (i32.const 0xab) (call $l (i64.const 9))) (i64.load (i64.const 8301))",
    ),
    (
        "filled beyond 32 bits",
        "(memory.fill (call $l (i64.const 0x100002000)) (i32.const 1) (i64.const 1)) (i64.const 0)",
    ),
    (
        "filled for too long",
        "(memory.fill (call $l (i64.const 8300)) (i32.const 1) (call $l (i64.const 0x100000000))) (i64.const 0)",
    ),
    (
        "copied over itself",
        "(memory.copy (call $l (i64.const 9002)) (i64.const 9000) (i64.const 8)) (i64.load (i64.const 9000))",
    ),
    (
        "copied from beyond 32 bits",
        "(memory.copy (i64.const 9000) (call $l (i64.const 0x100002000)) (i64.const 1)) (i64.const 0)",
    ),
    (
        "initialised",
        "(memory.init $later (call $l (i64.const 8400)) (i32.const 3) (i32.const 8)) (i64.load (i64.const 8400))",
    ),
    ("grown", "(i64.add (memory.grow (call $l (i64.const 2))) (i64.mul (i64.const 10) (memory.size)))"),
    ("grown by more than there can be", "(memory.grow (call $l (i64.const 0x100000001)))"),
    ("grown too far", "(memory.grow (call $l (i64.const 5)))"),
];

const CALLS_PARTS: &str = r"
    (type $none (func)) (type $down (func (param i64) (result i64)))
    (func $deep (type $down)
        (if (result i64) (i64.eqz (local.get 0)) (then (i64.const 1))
            (else (i64.add (i64.const 1) (call $deep (i64.sub (local.get 0) (i64.const 1)))))))
    (func $endless (param f64 i64) (result i64) (local f32)
        (i64.add (i64.const 1) (call $endless (f64.const 1) (local.get 1))))
    (func $pair (param i64) (result i64 i64) (local.get 0) (i64.mul (local.get 0) (local.get 0)))";
const CALLS: Cases = &[
    ("a function that is none", "(call_indirect (type $case) (call $i (i32.const 11)))"),
    ("beyond the table", "(call_indirect (type $case) (call $i (i32.const 14)))"),
    ("far beyond the table", "(call_indirect (type $case) (call $i (i32.const -1)))"),
    ("another type", "(call_indirect (type $none) (call $i (i32.const 5))) (i64.const 0)"),
    ("through the table", "(call_indirect (type $case) (call $i (i32.const 5)))"),
    ("1,000 deep", "(call $deep (i64.const 1000))"),
    ("too deep", "(call $endless (f64.const 0) (i64.const 1))"),
    ("too deep through the table", "(i64.add (i64.const 1) (call_indirect (type $case) (call $i (i32.const 7))))"),
    ("two results", "(call $pair (call $l (i64.const -12))) (i64.add)"),
    (
        "a jump table",
        "(block $a (block $b (block $c (br_table $a $b $c (call $i (i32.const 1)))) (return (i64.const 1)))
            (return (i64.const 2))) (i64.const 3)",
    ),
    (
        "a jump beyond its table",
        "(block $a (block $b (br_table $a $b (call $i (i32.const -1)))) (return (i64.const 1))) (i64.const 2)",
    ),
];

const FUEL_PARTS: &str = r"
    (func $fib (param i64) (result i64)
        (if (result i64) (i64.lt_u (local.get 0) (i64.const 2)) (then (local.get 0))
            (else (i64.add (call $fib (i64.sub (local.get 0) (i64.const 1)))
                (call $fib (i64.sub (local.get 0) (i64.const 2)))))))
    (func $sum (param $n i64) (result i64) (local $all i64)
        (loop $next
            (local.set $all (i64.add (local.get $all) (local.get $n)))
            (br_if $next (i32.eqz (i64.eqz (local.tee $n (i64.sub (local.get $n) (i64.const 1)))))))
        (local.get $all))";
const FUEL: Cases = &[
    ("nothing", "(i64.const 0)"),
    ("recursion", "(call $fib (i64.const 15))"),
    ("a loop", "(call $sum (i64.const 10000))"),
    (
        "a loop in a loop",
        "(local i32) (loop $o (drop (call $sum (i64.const 30))) (br_if $o (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 40)))) (i64.const 0)",
    ),
    ("one way", "(if (result i64) (call $i (i32.const 1)) (then (i64.const 1)) (else (call $sum (i64.const 99))))"),
    (
        "the other way",
        "(if (result i64) (call $i (i32.const 0)) (then (i64.const 1)) (else (call $sum (i64.const 99))))",
    ),
    ("a long fill", "(memory.fill (i32.const 65536) (i32.const 7) (i32.const 65536)) (i64.const 0)"),
    ("a long copy", "(memory.copy (i32.const 65536) (i32.const 8192) (i32.const 50000)) (i64.const 0)"),
    ("an endless loop", "(loop (br 0)) (i64.const 0)"),
    (
        "an endless loop that writes",
        "(loop (i64.store (i32.const 8192) (i64.add (i64.const 1) (i64.load (i32.const 8192)))) (br 0)) (i64.const 0)",
    ),
    ("endless fills", "(loop (memory.fill (i32.const 65536) (i32.const 9) (i32.const 65536)) (br 0)) (i64.const 0)"),
    ("an endless recursion of many", "(call $fib (i64.const 90))"),
    ("what is left", "(i64.load (i32.const 8192))"),
];

const GLOBALS_PARTS: &str = "
    (global $a (mut i32) (i32.const -1)) (global $b (mut i64) (i64.const 5)) (global $c (mut f32) (f32.const nan:0x1))
    (global $e (mut f64) (f64.const -0)) (global $k i64 (i64.const 42))";
const GLOBALS: Cases = &[
    ("counted", "(global.set $b (i64.add (global.get $b) (global.get $k))) (global.get $b)"),
    ("counted and failed", "(global.set $b (i64.const 0)) (global.set $a (i32.const 0)) (unreachable)"),
    ("as before", "(i64.add (global.get $b) (call $u (global.get $a)))"),
    ("a payload kept", "(call $fbits (global.get $c))"),
    ("a payload used", "(global.set $c (f32.add (global.get $c) (f32.const 1))) (call $fbits (global.get $c))"),
    ("a double", "(global.set $e (f64.div (f64.const 1) (global.get $e))) (call $dbits (global.get $e))"),
    ("until the fuel is out", "(loop (global.set $b (i64.add (global.get $b) (i64.const 1))) (br 0)) (i64.const 0)"),
    ("as before that", "(global.get $b)"),
];

const EXCEPTIONS_PARTS: &str = "
    (tag $t (param i64)) (tag $other)
    (func $throw (param i64) (throw $t (local.get 0)))
    (func $through (param i64) (call $throw (i64.add (local.get 0) (i64.const 1))))";
const EXCEPTIONS: Cases = &[
    ("caught", "try (result i64) i64.const 7 throw $t catch $t end"),
    ("caught further out", "try (result i64) (call $through (call $l (i64.const 7))) i64.const 0 catch $t end"),
    ("of another kind", "try (result i64) throw $other catch $t catch_all i64.const 9 end"),
    (
        "thrown again",
        "try (result i64) try (result i64) (call $throw (i64.const 3)) i64.const 0 catch_all rethrow 0 end
            catch $t i64.const 100 i64.add end",
    ),
    ("not caught", "(call $through (i64.const 1)) (i64.const 0)"),
    ("none", "try (result i64) (call $l (i64.const 1)) catch_all i64.const 2 end"),
];

const HOST_IMPORTS: &str = r#"
    (type $one (func (param i32)))
    (import "env" "invoke_vi" (func $invoke (param i32 i32)))
    (import "env" "_emscripten_throw_longjmp" (func $longjmp))
    (import "env" "emscripten_date_now" (func $now (result f64)))
    (import "env" "emscripten_resize_heap" (func $resize (param i32) (result i32)))
    (import "env" "_emscripten_memcpy_js" (func $memcpy (param i32 i32 i32)))
    (import "env" "exit" (func $exit (param i32)))"#;
const HOST_PARTS: &str = r#"
    (global $threw (mut i32) (i32.const 0))
    (func (export "stackSave") (result i32) (i32.const 0))
    (func (export "stackRestore") (param i32))
    (func (export "setThrew") (param i32 i32) (global.set $threw (i32.add (global.get $threw) (local.get 0))))
    (func $down (type $one) (if (local.get 0) (then (call $invoke (i32.const 8) (i32.sub (local.get 0) (i32.const 1))))))
    (func $jump (type $one) (call $longjmp))
    (elem (table 0) (i32.const 8) func $down $jump)"#;
const HOST: Cases = &[
    ("the clock", "(call $dbits (call $now))"),
    ("the clock again", "(call $dbits (call $now))"),
    ("calls through the host", "(call $invoke (i32.const 8) (i32.const 5)) (call $u (global.get $threw))"),
    ("too many of them", "(call $invoke (i32.const 8) (i32.const 100000)) (i64.const 0)"),
    ("a jump out of one", "(call $invoke (i32.const 9) (i32.const 5)) (call $u (global.get $threw))"),
    (
        "a copy that is cut",
        "(call $memcpy (i32.const 131064) (i32.const 64) (i32.const 100)) (i64.load (i32.const 131064))",
    ),
    ("more memory", "(call $u (call $resize (call $i (i32.const 200000))))"),
    ("an end", "(call $exit (i32.const 3)) (i64.const 0)"),
];
