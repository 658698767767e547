//! Random programs full of exceptions, as wasm text: nested tries, catches that throw, rethrows outwards, delegates, calls
//! (direct, through a table) that throw or do not, branches out of it all.

use std::fmt::Write as _;

const FUNCTIONS: u32 = 10;

/// Program number `seed`. Its `handle` calls each of its functions with several numbers and answers a hash of what came out.
pub fn program(seed: u64) -> String {
    let mut functions = String::new();
    for index in 0..FUNCTIONS {
        let mut writer = Writer::new(seed.wrapping_mul(1_000_003).wrapping_add(u64::from(index)), index);
        let body = writer.statements(4);
        let counters: String = (0..writer.loops).map(|n| format!("(local $n{n} i32)")).collect();
        writeln!(
            functions,
            "(func $f{index} (type $ii) (local $y i64) {counters}
               (local.set $y (i64.extend_i32_u (local.get 0)))
               {body}
               (i32.add (local.get 0) (i32.wrap_i64 (local.get $y))))"
        )
        .unwrap();
    }
    let table: String = (0..FUNCTIONS).map(|index| format!(" $f{index}")).collect();
    format!(
        r#"(module
  (type $ii (func (param i32) (result i32)))
  (tag $i (param i32)) (tag $li (param i64 i32)) (tag $none)
  (memory (export "memory") 2)
  (global $h (mut i64) (i64.const 1))
  (table {FUNCTIONS} funcref) (elem (i32.const 0){table})
  (func $note (param i32)
    (global.set $h (i64.xor (i64.mul (global.get $h) (i64.const 6364136223846793005)) (i64.extend_i32_u (local.get 0)))))
  {functions}
  (func $guarded (param i32 i32)
    try
      (call $note (call_indirect (type $ii) (local.get 1) (local.get 0)))
    catch $i
      call $note
    catch $li
      call $note i32.wrap_i64 call $note
    catch_all
      (call $note (i32.const 77))
    end)
  (func (export "alloc") (param i32) (result i32) (i32.const 65536))
  (func (export "handle") (param i32 i32 i32 i32) (result i64) (local $f i32) (local $x i32) (local $digit i32)
    (loop $functions
      (local.set $x (i32.const 0))
      (loop $numbers
        (call $guarded (local.get $f) (i32.mul (local.get $x) (i32.const 2654435)))
        (br_if $numbers (i32.lt_u (local.tee $x (i32.add (local.get $x) (i32.const 1))) (i32.const 12))))
      (br_if $functions (i32.lt_u (local.tee $f (i32.add (local.get $f) (i32.const 1))) (i32.const {FUNCTIONS}))))
    (local.set $x (i32.const 0))
    (loop $digits
      (local.set $digit (i32.wrap_i64 (i64.and (global.get $h) (i64.const 15))))
      (global.set $h (i64.shr_u (global.get $h) (i64.const 4)))
      (i32.store8 (i32.add (i32.const 49) (local.get $x)) (i32.add (i32.const 97) (local.get $digit)))
      (br_if $digits (i32.lt_u (local.tee $x (i32.add (local.get $x) (i32.const 1))) (i32.const 16))))
    (i64.const 0x1000000034))
  (data (i32.const 16) "{{\"ok\":true,\"response\":{{\"Output\":\"----------------\"}}}}"))"#
    )
}

struct Writer {
    state: u64,
    /// The function being written: it calls only those before it, so that all ends.
    index: u32,
    /// Labels in scope; those of tries in whose catch we are can be thrown again.
    labels: Vec<(String, bool)>,
    next_label: u32,
    loops: u32,
}

impl Writer {
    fn new(seed: u64, index: u32) -> Self {
        let state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        Self { state, index, labels: Vec::new(), next_label: 0, loops: 0 }
    }

    fn below(&mut self, bound: u32) -> u32 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 33) as u32 % bound
    }

    fn label(&mut self) -> String {
        self.next_label += 1;
        format!("$l{}", self.next_label)
    }

    fn inside(&mut self, label: &str, caught: bool, depth: u32) -> String {
        self.labels.push((label.to_owned(), caught));
        let statements = self.statements(depth);
        self.labels.pop();
        statements
    }

    pub fn statements(&mut self, depth: u32) -> String {
        let count = if depth == 0 { 1 } else { 1 + self.below(3) };
        (0..count).map(|_| self.statement(depth)).collect()
    }

    fn condition(&mut self) -> String {
        let bit = 1 << self.below(5);
        format!("(i32.and (i32.xor (local.get 0) (i32.wrap_i64 (local.get $y))) (i32.const {bit}))")
    }

    fn statement(&mut self, depth: u32) -> String {
        let kinds = if depth == 0 { 6 } else { 14 };
        match self.below(kinds) {
            0 => format!(
                "(local.set 0 (i32.add (i32.mul (local.get 0) (i32.const 31)) (i32.const {})))\n",
                self.below(99)
            ),
            1 => format!(
                "(local.set $y (i64.add (local.get $y) (i64.const {}))) (call $note (local.get 0))\n",
                self.below(99)
            ),
            2 => {
                let condition = self.condition();
                let thrown = match self.below(3) {
                    0 => "(throw $i (local.get 0))",
                    1 => "(throw $li (local.get $y) (local.get 0))",
                    _ => "(throw $none)",
                };
                format!("(if {condition} (then {thrown}))\n")
            }
            3 if self.index > 0 => {
                let callee = self.below(self.index);
                format!("(local.set 0 (call $f{callee} (i32.shr_u (local.get 0) (i32.const 1))))\n")
            }
            4 if self.index > 0 => {
                let callee = self.below(self.index);
                format!(
                    "(local.set 0 (call_indirect (type $ii) (i32.add (local.get 0) (i32.const 3)) (i32.const {callee})))\n"
                )
            }
            3..=5 => self.leave(),
            6 => {
                let condition = self.condition();
                let (yes, no) = (self.statements(depth - 1), self.statements(depth - 1));
                format!("(if {condition} (then {yes}) (else {no}))\n")
            }
            7 => {
                let label = self.label();
                let inner = self.inside(&label, false, depth - 1);
                format!("(block {label} {inner})\n")
            }
            8 => {
                let (label, counter) = (self.label(), self.loops);
                self.loops += 1;
                let inner = self.statements(depth - 1);
                format!(
                    "(local.set $n{counter} (i32.const 3)) (loop {label} {inner}
                       (br_if {label} (local.tee $n{counter} (i32.sub (local.get $n{counter}) (i32.const 1)))))\n"
                )
            }
            9 => {
                let (label, inner) = (self.label(), self.label());
                let body = self.inside(&label, false, depth - 1);
                let delegate = format!("try {inner} {body} delegate {label}\n");
                self.try_around(&label, &delegate, depth)
            }
            10 => {
                // A try that gives a value.
                let label = self.label();
                let body = self.statements(depth - 1);
                let caught = self.statements(depth - 1);
                format!(
                    "try {label} (result i32) {body} local.get 0 catch $i {caught} catch $li local.set 0 local.set $y local.get 0 end
                     local.set 0\n"
                )
            }
            _ => {
                let label = self.label();
                let body = self.inside(&label, false, depth - 1);
                self.try_around(&label, &body, depth)
            }
        }
    }

    /// A branch outwards, a return, or the caught exception thrown again, under a condition.
    fn leave(&mut self) -> String {
        let condition = self.condition();
        let place = self.below(self.labels.len() as u32 + 1) as usize;
        match self.labels.get(place).cloned() {
            None => format!("(if {condition} (then (return (local.get 0))))\n"),
            Some((label, true)) if self.below(3) > 0 => format!("(if {condition} (then (rethrow {label})))\n"),
            Some((label, _)) => format!("(br_if {label} {condition})\n"),
        }
    }

    fn try_around(&mut self, label: &str, body: &str, depth: u32) -> String {
        let mut catches = String::new();
        if self.below(2) == 0 {
            let inner = self.inside(label, true, depth - 1);
            write!(catches, "catch $i local.set 0 {inner}").unwrap();
        }
        if self.below(2) == 0 {
            let inner = self.inside(label, true, depth - 1);
            write!(catches, "catch $li local.set 0 local.set $y {inner}").unwrap();
        }
        if self.below(3) == 0 {
            let inner = self.inside(label, true, depth - 1);
            write!(catches, "catch_all {inner}").unwrap();
        }
        if catches.is_empty() {
            catches = "catch $none".to_owned();
        }
        format!("try {label} {body} {catches} end\n")
    }
}
