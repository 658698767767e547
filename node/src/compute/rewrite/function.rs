//! One function body without exception instructions; [`super::exceptions`] says what becomes of them.
//!
//! Instructions that stay are copied byte for byte. A body becomes
//!
//! ```text
//! block                      the way out with an exception in flight
//!   … the body …
//!   return
//! end
//! default values of the results
//! ```
//!
//! and a `try` with catches becomes
//!
//! ```text
//! block T                    branches to the `try` come here
//!   block                    exceptions of the body come here
//!     … the body …           each call that may throw: global.get $in_flight; br_if (innermost handler)
//!     br (block T)
//!   end
//!   block                    one for each `catch`: skipped when the tag is another
//!     global.get $in_flight, i32.const TAG, i32.ne, br_if 0
//!     $in_flight := 0; the values are pushed
//!     … the catch …
//!     br (block T)
//!   end
//!   …                        `catch_all`, or else: br (next handler outside)
//! end
//! ```

use wasmparser::{BlockType, FunctionBody, Operator, ValType};

use super::{
    binary::{read_leb, write_leb, write_signed},
    exceptions::{Module, broken, type_byte},
    not_wasm,
};
use crate::compute::module::LoadError;

pub(super) const END: u8 = 0x0b;
const BLOCK: u8 = 0x02;
const EMPTY: u8 = 0x40;
const BR: u8 = 0x0c;
const BR_IF: u8 = 0x0d;
const BR_TABLE: u8 = 0x0e;
const RETURN: u8 = 0x0f;
const DROP: u8 = 0x1a;
const LOCAL_GET: u8 = 0x20;
const LOCAL_SET: u8 = 0x21;
const GLOBAL_GET: u8 = 0x23;
const GLOBAL_SET: u8 = 0x24;
const I32_CONST: u8 = 0x41;
const I32_NE: u8 = 0x47;
/// Most locals that a body gets for exceptions that are thrown again.
const MAX_LOCALS: usize = 10_000;

/// What a `try` is, which only its end tells.
#[derive(Clone, Copy)]
enum Try {
    Catching { thrown_again: bool },
    Delegating(u32),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// A block, loop, if, a `try` that delegates, or the function itself.
    Plain,
    Body,
    Catch,
    CatchAll,
}

#[derive(Clone, Copy)]
struct Frame {
    part: Part,
    /// The new label, counted from the outside, that branches to this frame lead to.
    label: u32,
    /// The new label that exceptions inside this frame lead to.
    handler: u32,
    /// First of the locals that hold the caught exception for a `rethrow`.
    saved: Option<u32>,
}

struct Body<'m> {
    module: &'m mut Module,
    out: Vec<u8>,
    /// New labels that are open.
    depth: u32,
    frames: Vec<Frame>,
    tries: std::vec::IntoIter<Try>,
    /// Locals that the function has; new ones come behind them.
    locals: u32,
    added: Vec<ValType>,
}

/// The new body of function `index` (imports not counted), of type `ty`.
pub(super) fn lower(
    module: &mut Module,
    ty: u32,
    index: usize,
    body: &FunctionBody<'_>,
    wasm: &[u8],
) -> Result<Vec<u8>, LoadError> {
    let bytes = |range: std::ops::Range<usize>| wasm.get(range).ok_or_else(|| broken("bytes that are not there"));
    let signature = module.types.get(ty as usize).ok_or_else(|| broken("a type that does not exist"))?.clone();
    let mut locals = u32::try_from(signature.params().len()).unwrap_or(u32::MAX);
    for group in body.get_locals_reader().map_err(not_wasm)? {
        locals = locals.checked_add(group.map_err(not_wasm)?.0).ok_or_else(|| broken("too many locals"))?;
    }
    let function = Frame { part: Part::Plain, label: 0, handler: 1, saved: None };
    let tries = tries(body)?;
    let guarded = module.throws(index) || !tries.is_empty();
    let tries = tries.into_iter();
    let mut new = Body { module, out: Vec::new(), depth: 1, frames: vec![function], tries, locals, added: Vec::new() };
    if guarded {
        new.open(EMPTY);
    }
    let mut operators = body.get_operators_reader().map_err(not_wasm)?;
    while !operators.eof() {
        let start = operators.original_position();
        let operator = operators.read().map_err(not_wasm)?;
        let raw = bytes(start..operators.original_position())?;
        if new.frames.len() == 1 && matches!(operator, Operator::End) {
            new.finish(guarded, signature.results())?;
        } else {
            new.operator(&operator, raw)?;
        }
    }
    let first = body.get_operators_reader().map_err(not_wasm)?.original_position();
    with_locals(bytes(body.range().start..first)?, &new.added, &new.out)
}

/// The body: the old declarations of locals with the new ones, then the code.
pub(super) fn with_locals(old: &[u8], added: &[ValType], code: &[u8]) -> Result<Vec<u8>, LoadError> {
    let (count, groups) = read_leb(old).ok_or_else(|| broken("locals that are not there"))?;
    let mut out = Vec::with_capacity(old.len() + 2 * added.len() + code.len() + 5);
    write_leb(&mut out, count.saturating_add(added.len() as u32));
    out.extend_from_slice(groups);
    for ty in added {
        out.extend_from_slice(&[1, type_byte(*ty)?]);
    }
    out.extend_from_slice(code);
    Ok(out)
}

/// What each `try` of the body is, in order.
fn tries(body: &FunctionBody<'_>) -> Result<Vec<Try>, LoadError> {
    let (mut tries, mut open): (Vec<Try>, Vec<Option<usize>>) = (Vec::new(), Vec::new());
    for operator in body.get_operators_reader().map_err(not_wasm)? {
        match operator.map_err(not_wasm)? {
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => open.push(None),
            Operator::Try { .. } => {
                open.push(Some(tries.len()));
                tries.push(Try::Catching { thrown_again: false });
            }
            Operator::Delegate { relative_depth } => {
                let delegating = open.pop().flatten().and_then(|index| tries.get_mut(index));
                *delegating.ok_or_else(|| broken("a try that does not exist"))? = Try::Delegating(relative_depth);
            }
            Operator::Rethrow { relative_depth } => {
                let target = outwards(&open, relative_depth).copied().flatten();
                let target = target.and_then(|index| tries.get_mut(index));
                *target.ok_or_else(|| broken("a try that does not exist"))? = Try::Catching { thrown_again: true };
            }
            Operator::End => {
                open.pop();
            }
            _ => {}
        }
    }
    Ok(tries)
}

/// The entry `depth` steps outwards from the innermost.
fn outwards<T>(stack: &[T], depth: u32) -> Option<&T> {
    stack.len().checked_sub(1)?.checked_sub(depth as usize).and_then(|index| stack.get(index))
}

impl Body<'_> {
    fn open(&mut self, block_type: u8) {
        self.out.extend_from_slice(&[BLOCK, block_type]);
        self.depth += 1;
    }

    fn close(&mut self) {
        self.out.push(END);
        self.depth -= 1;
    }

    fn branch(&mut self, instruction: u8, label: u32) {
        self.out.push(instruction);
        self.label(label);
    }

    fn label(&mut self, label: u32) {
        write_leb(&mut self.out, self.depth.saturating_sub(1).saturating_sub(label));
    }

    fn indexed(&mut self, instruction: u8, index: u32) {
        self.out.push(instruction);
        write_leb(&mut self.out, index);
    }

    fn top(&self) -> Result<Frame, LoadError> {
        self.frames.last().copied().ok_or_else(|| broken("a block that does not exist"))
    }

    fn frame(&self, depth: u32) -> Result<Frame, LoadError> {
        outwards(&self.frames, depth).copied().ok_or_else(|| broken("a block that does not exist"))
    }

    /// The handler outside of the innermost frame.
    fn handler_outside(&self) -> Result<u32, LoadError> {
        Ok(self.frame(1)?.handler)
    }

    /// The end of the function.
    fn finish(&mut self, guarded: bool, results: &[ValType]) -> Result<(), LoadError> {
        if guarded {
            self.out.push(RETURN);
            self.close();
            for ty in results {
                write_default(&mut self.out, *ty)?;
            }
        }
        self.close();
        self.frames.pop();
        Ok(())
    }

    fn operator(&mut self, operator: &Operator<'_>, raw: &[u8]) -> Result<(), LoadError> {
        match operator {
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => {
                let handler = self.top()?.handler;
                self.out.extend_from_slice(raw);
                self.frames.push(Frame { part: Part::Plain, label: self.depth, handler, saved: None });
                self.depth += 1;
            }
            Operator::Try { blockty } => self.begin_try(*blockty, raw)?,
            Operator::Catch { tag_index } => self.begin_catch(*tag_index)?,
            Operator::CatchAll => self.begin_catch_all()?,
            Operator::Delegate { .. } => {
                self.frames.pop();
                self.close();
            }
            Operator::End => self.end()?,
            Operator::Throw { tag_index } => self.throw(*tag_index)?,
            Operator::Rethrow { relative_depth } => self.throw_again(*relative_depth)?,
            Operator::Br { relative_depth } => self.branch(BR, self.frame(*relative_depth)?.label),
            Operator::BrIf { relative_depth } => self.branch(BR_IF, self.frame(*relative_depth)?.label),
            Operator::BrTable { targets } => {
                self.indexed(BR_TABLE, targets.len());
                for target in targets.targets() {
                    self.label(self.frame(target.map_err(not_wasm)?)?.label);
                }
                self.label(self.frame(targets.default())?.label);
            }
            Operator::Call { function_index } if self.module.is_gas(*function_index) => self.out.push(DROP),
            Operator::Call { function_index } => self.call(raw, self.module.may_throw(*function_index))?,
            Operator::CallIndirect { .. } | Operator::CallRef { .. } => self.call(raw, self.module.has_tags())?,
            Operator::TryTable { .. } | Operator::ThrowRef => {
                let what = "try_table and throw_ref, the newer exception instructions; build it with the legacy ones";
                return Err(LoadError::Unsupported(what.to_owned()));
            }
            other if leaves(other) => {
                return Err(LoadError::Unsupported("exceptions together with newer branch instructions".to_owned()));
            }
            _ => self.out.extend_from_slice(raw),
        }
        Ok(())
    }

    fn call(&mut self, raw: &[u8], may_throw: bool) -> Result<(), LoadError> {
        self.out.extend_from_slice(raw);
        if may_throw {
            self.indexed(GLOBAL_GET, self.module.in_flight());
            self.branch(BR_IF, self.top()?.handler);
        }
        Ok(())
    }

    fn begin_try(&mut self, block_type: BlockType, raw: &[u8]) -> Result<(), LoadError> {
        let kind = self.tries.next().ok_or_else(|| broken("a try that does not exist"))?;
        // The immediate of `try` is the one of `block`.
        let (_, immediate) = raw.split_first().ok_or_else(|| broken("bytes that are not there"))?;
        self.out.push(BLOCK);
        self.out.extend_from_slice(immediate);
        let label = self.depth;
        self.depth += 1;
        let frame = match kind {
            Try::Delegating(depth) => {
                Frame { part: Part::Plain, label, handler: self.frame(depth)?.handler, saved: None }
            }
            Try::Catching { thrown_again } => {
                let handler = self.depth;
                match block_type {
                    BlockType::FuncType(ty) => {
                        let ty = self.module.swallowing(ty)?;
                        self.out.push(BLOCK);
                        write_signed(&mut self.out, ty);
                        self.depth += 1;
                    }
                    _ => self.open(EMPTY),
                }
                let saved = if thrown_again { Some(self.new_locals()?) } else { None };
                Frame { part: Part::Body, label, handler, saved }
            }
        };
        self.frames.push(frame);
        Ok(())
    }

    /// Locals for the tag and the values of an exception.
    fn new_locals(&mut self) -> Result<u32, LoadError> {
        let first = self.locals.checked_add(self.added.len() as u32).ok_or_else(|| broken("too many locals"))?;
        self.added.push(ValType::I32);
        self.added.extend(self.module.values().map(|(_, ty)| ty));
        if self.added.len() > MAX_LOCALS {
            return Err(LoadError::Unsupported("a function that throws again in too many places".to_owned()));
        }
        Ok(first)
    }

    /// Ends the part of the innermost `try` that comes before a catch.
    fn end_part(&mut self) -> Result<Frame, LoadError> {
        let frame = self.top()?;
        if !matches!(frame.part, Part::Body | Part::Catch) {
            return Err(broken("a catch without its try"));
        }
        self.branch(BR, frame.label);
        self.close();
        if let (Part::Body, Some(saved)) = (frame.part, frame.saved) {
            let globals = std::iter::once(self.module.in_flight()).chain(self.module.values().map(|(at, _)| at));
            for (local, global) in (saved..).zip(globals.collect::<Vec<_>>()) {
                self.indexed(GLOBAL_GET, global);
                self.indexed(LOCAL_SET, local);
            }
        }
        Ok(frame)
    }

    fn enter(&mut self, part: Part) -> Result<(), LoadError> {
        let outside = self.handler_outside()?;
        if let Some(frame) = self.frames.last_mut() {
            frame.part = part;
            frame.handler = outside;
        }
        Ok(())
    }

    fn clear(&mut self) {
        self.out.extend_from_slice(&[I32_CONST, 0]);
        self.indexed(GLOBAL_SET, self.module.in_flight());
    }

    fn begin_catch(&mut self, tag: u32) -> Result<(), LoadError> {
        self.end_part()?;
        self.open(EMPTY);
        self.indexed(GLOBAL_GET, self.module.in_flight());
        self.out.push(I32_CONST);
        write_signed(&mut self.out, tag.saturating_add(1));
        self.out.extend_from_slice(&[I32_NE, BR_IF, 0]);
        self.clear();
        for value in self.module.values_of(tag)? {
            self.indexed(GLOBAL_GET, value);
        }
        self.enter(Part::Catch)
    }

    fn begin_catch_all(&mut self) -> Result<(), LoadError> {
        self.end_part()?;
        self.clear();
        self.enter(Part::CatchAll)
    }

    fn end(&mut self) -> Result<(), LoadError> {
        if matches!(self.top()?.part, Part::Body | Part::Catch) {
            self.end_part()?;
            let outside = self.handler_outside()?;
            self.branch(BR, outside);
        }
        self.frames.pop();
        self.close();
        Ok(())
    }

    fn throw(&mut self, tag: u32) -> Result<(), LoadError> {
        for value in self.module.values_of(tag)?.into_iter().rev() {
            self.indexed(GLOBAL_SET, value);
        }
        self.out.push(I32_CONST);
        write_signed(&mut self.out, tag.saturating_add(1));
        self.indexed(GLOBAL_SET, self.module.in_flight());
        self.branch(BR, self.top()?.handler);
        Ok(())
    }

    fn throw_again(&mut self, depth: u32) -> Result<(), LoadError> {
        let target = self.frame(depth)?;
        let saved = target.saved.filter(|_| matches!(target.part, Part::Catch | Part::CatchAll));
        let saved = saved.ok_or_else(|| broken("an exception that was not caught"))?;
        let globals = std::iter::once(self.module.in_flight()).chain(self.module.values().map(|(at, _)| at));
        for (local, global) in (saved..).zip(globals.collect::<Vec<_>>()) {
            self.indexed(LOCAL_GET, local);
            self.indexed(GLOBAL_SET, global);
        }
        self.branch(BR, self.top()?.handler);
        Ok(())
    }
}

/// Whether the instruction holds labels or leaves the function in a way that is not handled above.
pub(super) fn leaves(operator: &Operator<'_>) -> bool {
    matches!(
        operator,
        Operator::BrOnNull { .. }
            | Operator::BrOnNonNull { .. }
            | Operator::BrOnCast { .. }
            | Operator::BrOnCastFail { .. }
            | Operator::ReturnCall { .. }
            | Operator::ReturnCallIndirect { .. }
            | Operator::ReturnCallRef { .. }
    )
}

/// The zero of a type.
pub(super) fn write_default(out: &mut Vec<u8>, ty: ValType) -> Result<(), LoadError> {
    match ty {
        ValType::I32 => out.extend_from_slice(&[I32_CONST, 0]),
        ValType::I64 => out.extend_from_slice(&[0x42, 0]),
        ValType::F32 => out.extend_from_slice(&[0x43, 0, 0, 0, 0]),
        ValType::F64 => out.extend_from_slice(&[0x44, 0, 0, 0, 0, 0, 0, 0, 0]),
        ValType::V128 => {
            out.extend_from_slice(&[0xfd, 0x0c]);
            out.extend_from_slice(&[0; 16]);
        }
        ValType::Ref(_) => out.extend_from_slice(&[0xd0, type_byte(ty)?]),
    }
    Ok(())
}
