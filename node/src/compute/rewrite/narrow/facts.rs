//! What is known about 64-bit values at a place of a function: which locals hold a number below 2^32 on every way there,
//! and what the values on top of the operand stack are. What is not known costs a test more and is never wrong.
//!
//! Where it sits: [`super::body`] asks before each access and tells every instruction.

use wasmparser::{FunctionBody, Operator, for_each_operator};

use super::{super::not_wasm, Module};
use crate::compute::module::LoadError;

/// Words of a set of locals. Nothing is known about locals behind them.
const WORDS: usize = 8;
const TRACKED: u32 = 64 * WORDS as u32;
/// Blocks deeper than this begin with nothing known, and loops after so many as well: what is kept for a function is
/// bounded, and compilers come nowhere near.
const MAX_NESTING: usize = 1000;
const MAX_LOOPS: usize = 10_000;

/// A set of the first locals.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Locals([u64; WORDS]);

impl Locals {
    fn has(&self, local: u32) -> bool {
        self.0.get(local as usize / 64).is_some_and(|word| word >> (local % 64) & 1 == 1)
    }

    fn set(&mut self, local: u32, value: bool) {
        if let Some(word) = self.0.get_mut(local as usize / 64) {
            *word = *word & !(1 << (local % 64)) | u64::from(value) << (local % 64);
        }
    }

    fn zip(&mut self, other: &Self, merge: fn(u64, u64) -> u64) {
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word = merge(*word, *other));
    }
}

/// What is known of a value on the operand stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    Unknown,
    /// Below 2^32.
    Narrow,
    Constant(u64),
    /// What the local held at that version of it; `narrow` if it was below 2^32 then.
    Local {
        local: u32,
        version: u32,
        narrow: bool,
    },
    /// What the local held at that version, and a constant, which wraps.
    Sum {
        local: u32,
        version: u32,
        added: u32,
    },
}

/// What happens to facts at a branch to the frame's label.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Label {
    /// They are joined with those at the end.
    End,
    /// Nothing: what a loop changes is not known in it.
    Loop,
}

struct Frame {
    label: Label,
    /// Whether the end is reached by a branch, and what is known on all of these ways; `None` is nothing.
    reached: bool,
    at_end: Option<Box<Locals>>,
    /// Of an `if` whose `else` has not come: what is known where it begins, if that can be reached.
    otherwise: Option<(bool, Option<Box<Locals>>)>,
}

/// See the module.
pub(super) struct Facts {
    known: Locals,
    reachable: bool,
    /// How often each local was assigned so far in the text. Code between two places of the same block that runs on the
    /// way from one to the other lies between them in the text, so that an unchanged count is an unchanged local.
    versions: Vec<u32>,
    /// The upper end of the operand stack; below it nothing is known.
    stack: Vec<Value>,
    frames: Vec<Frame>,
    loops: std::vec::IntoIter<Option<Box<Locals>>>,
}

/// What instructions take from the operand stack and give, unless it depends on types or labels.
enum Arity {
    Fixed(usize, usize),
    Depends,
    /// An instruction of a proposal that is not known here.
    Foreign(&'static str),
}

fn arity(operator: &Operator<'_>) -> Arity {
    macro_rules! arity_in {
        (mvp $($arity:tt)*) => { arity_in!(known $($arity)*) };
        (sign_extension $($arity:tt)*) => { arity_in!(known $($arity)*) };
        (saturating_float_to_int $($arity:tt)*) => { arity_in!(known $($arity)*) };
        (bulk_memory $($arity:tt)*) => { arity_in!(known $($arity)*) };
        (reference_types $($arity:tt)*) => { arity_in!(known $($arity)*) };
        (simd $($arity:tt)*) => { arity_in!(known $($arity)*) };
        (known arity custom) => { Arity::Depends };
        (known arity $takes:tt -> $gives:tt) => { Arity::Fixed($takes, $gives) };
        ($foreign:ident $($arity:tt)*) => { Arity::Foreign(stringify!($foreign)) };
    }
    macro_rules! all {
        ($(@$proposal:ident $op:ident $({ $($arg:ident: $ty:ty),* })? => $visit:ident ($($arity:tt)*))*) => {
            match operator {
                $(Operator::$op { .. } => arity_in!($proposal $($arity)*),)*
                _ => Arity::Foreign("later"),
            }
        };
    }
    for_each_operator!(all)
}

/// Whether an instruction is one that [`Facts::pass`] refuses.
pub(super) fn is_foreign(operator: &Operator<'_>) -> bool {
    matches!(arity(operator), Arity::Foreign(_))
}

impl Facts {
    /// At the beginning of `body`.
    pub(super) fn new(body: &FunctionBody<'_>) -> Result<Self, LoadError> {
        let function = Frame { label: Label::End, reached: false, at_end: None, otherwise: None };
        Ok(Self {
            known: Locals::default(),
            reachable: true,
            versions: vec![0; TRACKED as usize],
            stack: Vec::new(),
            frames: vec![function],
            loops: assigned(body)?.into_iter(),
        })
    }

    /// The label of the function itself.
    pub(super) fn outermost(&self) -> u32 {
        u32::try_from(self.frames.len()).unwrap_or(u32::MAX).saturating_sub(1)
    }

    /// The value so many places below the top of the operand stack.
    pub(super) fn value(&self, below: usize) -> Value {
        let place = self.stack.len().checked_sub(1).and_then(|last| last.checked_sub(below));
        place.and_then(|place| self.stack.get(place)).copied().unwrap_or(Value::Unknown)
    }

    /// The local that holds the value now.
    pub(super) fn holder(&self, value: Value) -> Option<u32> {
        match value {
            Value::Local { local, version, .. } if self.version(local) == Some(version) => Some(local),
            _ => None,
        }
    }

    /// The local below 2^32 to which the value adds a constant, and this.
    pub(super) fn base(&self, value: Value) -> Option<(u32, u32)> {
        match value {
            Value::Sum { local, version, added } if self.version(local) == Some(version) && self.known.has(local) => {
                Some((local, added))
            }
            _ => None,
        }
    }

    /// Whether the value is below 2^32.
    pub(super) fn is_narrow(&self, value: Value) -> bool {
        match value {
            Value::Unknown | Value::Sum { .. } => false,
            Value::Narrow => true,
            Value::Constant(value) => u32::try_from(value).is_ok(),
            Value::Local { local, narrow, .. } => narrow || self.holder(value) == Some(local) && self.known.has(local),
        }
    }

    /// The local was tested to be below 2^32.
    pub(super) fn learn(&mut self, local: u32) {
        self.known.set(local, true);
    }

    fn version(&self, local: u32) -> Option<u32> {
        self.versions.get(local as usize).copied()
    }

    fn pop(&mut self) -> Value {
        self.stack.pop().unwrap_or(Value::Unknown)
    }

    fn replace(&mut self, takes: usize, gives: usize) {
        self.stack.truncate(self.stack.len().saturating_sub(takes));
        self.stack.extend(std::iter::repeat_n(Value::Unknown, gives));
    }

    /// The local's value as it is put on the stack.
    fn get(&self, local: u32) -> Value {
        match self.version(local) {
            Some(version) => Value::Local { local, version, narrow: self.known.has(local) },
            None => Value::Unknown,
        }
    }

    fn assign(&mut self, local: u32) {
        let value = self.pop();
        let narrow = self.is_narrow(value);
        if let Some(version) = self.versions.get_mut(local as usize) {
            *version = version.wrapping_add(1);
        }
        self.known.set(local, narrow);
    }

    /// Goes past an instruction.
    pub(super) fn pass(&mut self, module: &Module, operator: &Operator<'_>) -> Result<(), LoadError> {
        if self.control(operator)? {
            return Ok(());
        }
        match operator {
            Operator::LocalGet { local_index } => self.stack.push(self.get(*local_index)),
            Operator::LocalSet { local_index } => self.assign(*local_index),
            Operator::LocalTee { local_index } => {
                self.assign(*local_index);
                self.stack.push(self.get(*local_index));
            }
            Operator::Call { function_index } => self.call(module.arity_of(*function_index), 0),
            Operator::CallIndirect { type_index, .. } => self.call(module.arity_of_type(*type_index), 1),
            _ => match arity(operator) {
                Arity::Fixed(takes, gives) => {
                    let result = self.result(operator);
                    self.replace(takes, gives);
                    if let (Some(top), Some(result)) = (self.stack.last_mut(), result) {
                        *top = result;
                    }
                }
                Arity::Depends => self.stack.clear(),
                Arity::Foreign(proposal) => {
                    let what = format!("an instruction of the proposal {proposal} beside a 64-bit memory");
                    return Err(LoadError::Unsupported(what));
                }
            },
        }
        Ok(())
    }

    fn call(&mut self, arity: Option<(usize, usize)>, more: usize) {
        match arity {
            Some((takes, gives)) => self.replace(takes.saturating_add(more), gives),
            None => self.stack.clear(),
        }
    }

    /// The result of an instruction, where something is known of it.
    fn result(&self, operator: &Operator<'_>) -> Option<Value> {
        let (left, right) = (self.value(1), self.value(0));
        let both = || self.is_narrow(left) && self.is_narrow(right);
        let narrow = match operator {
            Operator::I64Const { value } => return Some(Value::Constant(value.cast_unsigned())),
            Operator::I64Add => return sum(left, right).or_else(|| sum(right, left)),
            Operator::I64ExtendI32U
            | Operator::I64Load8U { .. }
            | Operator::I64Load16U { .. }
            | Operator::I64Load32U { .. }
            | Operator::I64Clz
            | Operator::I64Ctz
            | Operator::I64Popcnt
            | Operator::MemorySize { .. } => true,
            Operator::I64And | Operator::I64RemU => self.is_narrow(left) || self.is_narrow(right),
            Operator::I64Or | Operator::I64Xor => both(),
            Operator::I64DivU => self.is_narrow(left),
            Operator::I64ShrU => self.is_narrow(left) || matches!(right, Value::Constant(by) if by % 64 >= 32),
            Operator::Select | Operator::TypedSelect { .. } => self.is_narrow(self.value(2)) && self.is_narrow(left),
            _ => false,
        };
        narrow.then_some(Value::Narrow)
    }

    /// Goes past an instruction of control, and says whether it was one.
    fn control(&mut self, operator: &Operator<'_>) -> Result<bool, LoadError> {
        match operator {
            Operator::Block { .. } => self.enter(Label::End),
            Operator::Loop { .. } => self.enter_loop(),
            Operator::If { .. } => {
                self.enter(Label::End);
                let otherwise = Some((self.reachable, self.kept()));
                if let Some(frame) = self.frames.last_mut() {
                    frame.otherwise = otherwise;
                }
            }
            Operator::Else => {
                self.branch(0);
                let otherwise = self.frames.last_mut().and_then(|frame| frame.otherwise.take());
                self.go_on(otherwise.unwrap_or_default());
            }
            Operator::End => self.end(),
            Operator::Br { relative_depth } => {
                self.branch(*relative_depth);
                self.leave();
            }
            Operator::BrIf { relative_depth } => {
                self.pop();
                self.branch(*relative_depth);
            }
            Operator::BrTable { targets } => {
                for target in targets.targets() {
                    self.branch(target.map_err(not_wasm)?);
                }
                self.branch(targets.default());
                self.leave();
            }
            Operator::Return | Operator::Unreachable => self.leave(),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn kept(&self) -> Option<Box<Locals>> {
        (self.known != Locals::default()).then(|| Box::new(self.known))
    }

    fn enter(&mut self, label: Label) {
        self.stack.clear();
        if self.frames.len() > MAX_NESTING {
            self.known = Locals::default();
        }
        self.frames.push(Frame { label, reached: false, at_end: None, otherwise: None });
    }

    fn enter_loop(&mut self) {
        match self.loops.next().flatten() {
            Some(assigned) => self.known.zip(&assigned, |known, assigned| known & !assigned),
            None => self.known = Locals::default(),
        }
        self.enter(Label::Loop);
    }

    /// A branch to the label so many blocks outwards may be taken here.
    fn branch(&mut self, depth: u32) {
        let place = self.frames.len().checked_sub(1).and_then(|last| last.checked_sub(depth as usize));
        // Kept only where the nesting is bounded.
        let kept = if place.is_some_and(|place| place <= MAX_NESTING) { self.kept() } else { None };
        let Some(frame) = place.and_then(|place| self.frames.get_mut(place)) else { return };
        if !self.reachable || frame.label == Label::Loop {
            return;
        }
        frame.at_end = match (frame.reached, frame.at_end.take(), kept) {
            (false, _, kept) => kept,
            (true, Some(mut before), Some(kept)) => {
                before.zip(&kept, |before, now| before & now);
                Some(before)
            }
            _ => None,
        };
        frame.reached = true;
    }

    /// What comes next in the text is not reached from here.
    fn leave(&mut self) {
        self.reachable = false;
        self.stack.clear();
    }

    fn go_on(&mut self, (reachable, known): (bool, Option<Box<Locals>>)) {
        self.reachable = reachable;
        self.known = known.map_or_else(Locals::default, |known| *known);
        self.stack.clear();
    }

    fn end(&mut self) {
        if let Some(frame) = self.frames.last_mut() {
            // What falls out of a loop is a way to its end like any other; branches to it go elsewhere.
            frame.label = Label::End;
        }
        self.branch(0);
        // An `if` without `else`.
        let otherwise = self.frames.last_mut().and_then(|frame| frame.otherwise.take());
        if let Some(otherwise) = otherwise {
            self.go_on(otherwise);
            self.branch(0);
        }
        if let Some(frame) = self.frames.pop() {
            self.go_on((frame.reached, frame.at_end));
        }
    }
}

/// `local + constant`, if the sum is one.
fn sum(local: Value, constant: Value) -> Option<Value> {
    let Value::Constant(constant) = constant else { return None };
    match local {
        Value::Constant(other) => Some(Value::Constant(other.wrapping_add(constant))),
        Value::Local { local, version, .. } => {
            Some(Value::Sum { local, version, added: u32::try_from(constant).ok()? })
        }
        Value::Sum { local, version, added } => {
            Some(Value::Sum { local, version, added: added.checked_add(u32::try_from(constant).ok()?)? })
        }
        _ => None,
    }
}

/// The locals that each loop of `body` assigns, in the order of the loops; `None` where there are too many.
fn assigned(body: &FunctionBody<'_>) -> Result<Vec<Option<Box<Locals>>>, LoadError> {
    let mut loops: Vec<Option<Box<Locals>>> = Vec::new();
    // The loop around each open block, and whether the block is that loop.
    let mut open: Vec<(Option<usize>, bool)> = Vec::new();
    for operator in body.get_operators_reader().map_err(not_wasm)? {
        let around = open.last().and_then(|(around, _)| *around);
        match operator.map_err(not_wasm)? {
            Operator::Block { .. } | Operator::If { .. } => open.push((around, false)),
            Operator::Loop { .. } => {
                open.push((Some(loops.len()), true));
                loops.push((loops.len() < MAX_LOOPS).then(Box::default));
            }
            Operator::LocalSet { local_index } | Operator::LocalTee { local_index } => {
                if let Some(Some(locals)) = around.and_then(|index| loops.get_mut(index)) {
                    locals.set(local_index, true);
                }
            }
            Operator::End => {
                if let Some((Some(ended), true)) = open.pop() {
                    let inner = loops.get(ended).cloned().flatten();
                    let outer = open.last().and_then(|(around, _)| *around).and_then(|index| loops.get_mut(index));
                    match (outer, inner) {
                        (Some(Some(outer)), Some(inner)) => outer.zip(&inner, |outer, inner| outer | inner),
                        // What the inner one assigns was not kept: neither is anything of the outer one.
                        (Some(outer), None) => *outer = None,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Ok(loops)
}
