//! One function body whose accesses to a 64-bit memory become accesses to a 32-bit one; [`super`] says why that is the same.
//!
//! A body becomes
//!
//! ```text
//! block                      an address with an upper half comes here
//!   … the body …
//!   return
//! end
//! an access that is always out of bounds
//! ```
//!
//! Instructions that stay are copied byte for byte, but for branches to the function's own label, which is now one further out.

use wasmparser::{FunctionBody, MemArg, Operator, ValType};

use super::{
    super::{binary::write_leb, bodies::Function, exceptions::broken, function::with_locals, not_wasm},
    END, END_OF_ADDRESSES, I32_CONST, MAX_PAGES, Module,
    facts::{Facts, Value, is_foreign},
    write_integer,
};
use crate::compute::module::LoadError;

const EMPTY: u8 = 0x40;
const BLOCK: u8 = 0x02;
const IF: u8 = 0x04;
const BR: u8 = 0x0c;
const BR_IF: u8 = 0x0d;
const BR_TABLE: u8 = 0x0e;
const RETURN: u8 = 0x0f;
const UNREACHABLE: u8 = 0x00;
const DROP: u8 = 0x1a;
const SELECT: u8 = 0x1b;
const LOCAL_GET: u8 = 0x20;
const LOCAL_SET: u8 = 0x21;
const LOCAL_TEE: u8 = 0x22;
const I64_LOAD: u8 = 0x29;
const MEMORY_SIZE: u8 = 0x3f;
const I64_CONST: u8 = 0x42;
const I32_EQZ: u8 = 0x45;
const I32_EQ: u8 = 0x46;
const I64_EQZ: u8 = 0x50;
const I64_NE: u8 = 0x52;
const I64_LT_U: u8 = 0x54;
const I64_LE_U: u8 = 0x58;
const I32_AND: u8 = 0x71;
const I64_OR: u8 = 0x84;
const I64_SHR_U: u8 = 0x88;
const I32_WRAP_I64: u8 = 0xa7;
const I64_EXTEND_I32_S: u8 = 0xac;
const I64_EXTEND_I32_U: u8 = 0xad;
/// First byte of the instructions of SIMD.
const SIMD: u8 = 0xfd;

/// What a new local is for. Each is read right behind where it is set, so that one of a kind is enough.
#[derive(Clone, Copy)]
enum Temporary {
    /// An address, 64 bits.
    Address,
    /// Its lower half.
    Low,
    /// A length, 64 bits.
    Length,
    /// A value that lies above the address on the stack.
    I32,
    I64,
    F32,
    F64,
    V128,
}

impl Temporary {
    const COUNT: usize = 8;

    fn ty(self) -> ValType {
        match self {
            Self::Address | Self::Length | Self::I64 => ValType::I64,
            Self::Low | Self::I32 => ValType::I32,
            Self::F32 => ValType::F32,
            Self::F64 => ValType::F64,
            Self::V128 => ValType::V128,
        }
    }
}

struct Body {
    facts: Facts,
    out: Vec<u8>,
    /// Where the last instruction of the body begins in `out`, if all it does is push a local or a constant.
    pushed: Option<usize>,
    /// Locals that the function has; new ones come behind them.
    locals: u32,
    added: Vec<ValType>,
    temporaries: [Option<u32>; Temporary::COUNT],
}

/// The new body; `None` if it stays as it is.
pub(super) fn narrow(module: &Module, function: &Function<'_>, wasm: &[u8]) -> Result<Option<Vec<u8>>, LoadError> {
    let bytes = |range: std::ops::Range<usize>| wasm.get(range).ok_or_else(|| broken("bytes that are not there"));
    let body = &function.body;
    if !touches_memory(body)? {
        return Ok(None);
    }
    let mut operators = body.get_operators_reader().map_err(not_wasm)?;
    let code = operators.original_position();
    let mut new = Body {
        facts: Facts::new(body)?,
        out: Vec::with_capacity(body.range().len() * 3 / 2),
        pushed: None,
        locals: function.locals()?,
        added: Vec::new(),
        temporaries: [None; Temporary::COUNT],
    };
    new.out.extend_from_slice(&[BLOCK, EMPTY]);
    while !operators.eof() {
        let start = operators.original_position();
        let operator = operators.read().map_err(not_wasm)?;
        let raw = bytes(start..operators.original_position())?;
        let place = new.out.len();
        new.operator(&operator, raw)?;
        let pushes =
            matches!(operator, Operator::LocalGet { .. } | Operator::I32Const { .. } | Operator::I64Const { .. });
        new.pushed = pushes.then_some(place);
        new.facts.pass(module, &operator)?;
    }
    with_locals(bytes(body.range().start..code)?, &new.added, &new.out).map(Some)
}

fn touches_memory(body: &FunctionBody<'_>) -> Result<bool, LoadError> {
    for operator in body.get_operators_reader().map_err(not_wasm)? {
        let operator = operator.map_err(not_wasm)?;
        let other = matches!(
            operator,
            Operator::MemorySize { .. }
                | Operator::MemoryGrow { .. }
                | Operator::MemoryFill { .. }
                | Operator::MemoryCopy { .. }
                | Operator::MemoryInit { .. }
        );
        if other || access(&operator).is_some() || is_foreign(&operator) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// An access: where the memory is read or written, and what lies above the address on the stack.
fn access(operator: &Operator<'_>) -> Option<(MemArg, Option<Temporary>)> {
    let (memarg, value) = match operator {
        Operator::I32Load { memarg }
        | Operator::I64Load { memarg }
        | Operator::F32Load { memarg }
        | Operator::F64Load { memarg }
        | Operator::I32Load8S { memarg }
        | Operator::I32Load8U { memarg }
        | Operator::I32Load16S { memarg }
        | Operator::I32Load16U { memarg }
        | Operator::I64Load8S { memarg }
        | Operator::I64Load8U { memarg }
        | Operator::I64Load16S { memarg }
        | Operator::I64Load16U { memarg }
        | Operator::I64Load32S { memarg }
        | Operator::I64Load32U { memarg }
        | Operator::V128Load { memarg }
        | Operator::V128Load8x8S { memarg }
        | Operator::V128Load8x8U { memarg }
        | Operator::V128Load16x4S { memarg }
        | Operator::V128Load16x4U { memarg }
        | Operator::V128Load32x2S { memarg }
        | Operator::V128Load32x2U { memarg }
        | Operator::V128Load8Splat { memarg }
        | Operator::V128Load16Splat { memarg }
        | Operator::V128Load32Splat { memarg }
        | Operator::V128Load64Splat { memarg }
        | Operator::V128Load32Zero { memarg }
        | Operator::V128Load64Zero { memarg } => (memarg, None),
        Operator::I32Store { memarg } | Operator::I32Store8 { memarg } | Operator::I32Store16 { memarg } => {
            (memarg, Some(Temporary::I32))
        }
        Operator::I64Store { memarg }
        | Operator::I64Store8 { memarg }
        | Operator::I64Store16 { memarg }
        | Operator::I64Store32 { memarg } => (memarg, Some(Temporary::I64)),
        Operator::F32Store { memarg } => (memarg, Some(Temporary::F32)),
        Operator::F64Store { memarg } => (memarg, Some(Temporary::F64)),
        Operator::V128Store { memarg }
        | Operator::V128Load8Lane { memarg, .. }
        | Operator::V128Load16Lane { memarg, .. }
        | Operator::V128Load32Lane { memarg, .. }
        | Operator::V128Load64Lane { memarg, .. }
        | Operator::V128Store8Lane { memarg, .. }
        | Operator::V128Store16Lane { memarg, .. }
        | Operator::V128Store32Lane { memarg, .. }
        | Operator::V128Store64Lane { memarg, .. } => (memarg, Some(Temporary::V128)),
        _ => return None,
    };
    Some((*memarg, value))
}

impl Body {
    fn operator(&mut self, operator: &Operator<'_>, raw: &[u8]) -> Result<(), LoadError> {
        if let Some((memarg, above)) = access(operator) {
            return self.access(memarg, above, raw);
        }
        match operator {
            Operator::Br { relative_depth } => self.branch(BR, *relative_depth),
            Operator::BrIf { relative_depth } => self.branch(BR_IF, *relative_depth),
            Operator::BrTable { targets } => {
                self.indexed(BR_TABLE, targets.len());
                for target in targets.targets() {
                    self.label(target.map_err(not_wasm)?);
                }
                self.label(targets.default());
            }
            Operator::End if self.facts.outermost() == 0 => self.finish(),
            Operator::MemorySize { .. } => {
                self.out.extend_from_slice(raw);
                self.out.push(I64_EXTEND_I32_U);
            }
            Operator::MemoryGrow { .. } => self.grow(raw),
            Operator::MemoryFill { .. } => self.bulk(&[Temporary::Address, Temporary::I32, Temporary::Length], raw),
            Operator::MemoryCopy { .. } => self.bulk(&[Temporary::Address, Temporary::I64, Temporary::Length], raw),
            Operator::MemoryInit { .. } => self.bulk(&[Temporary::Address, Temporary::I32, Temporary::Low], raw),
            _ => self.out.extend_from_slice(raw),
        }
        Ok(())
    }

    fn indexed(&mut self, instruction: u8, index: u32) {
        self.out.push(instruction);
        write_leb(&mut self.out, index);
    }

    fn branch(&mut self, instruction: u8, label: u32) {
        self.out.push(instruction);
        self.label(label);
    }

    fn label(&mut self, label: u32) {
        // The block around the body has taken the label that the function had.
        let further = u32::from(label == self.facts.outermost());
        write_leb(&mut self.out, label.saturating_add(further));
    }

    fn constant(&mut self, instruction: u8, value: i64) {
        self.out.push(instruction);
        write_integer(&mut self.out, value);
    }

    fn finish(&mut self) {
        self.out.extend_from_slice(&[RETURN, END, I32_CONST, 0, I64_LOAD, 0]);
        write_leb(&mut self.out, u32::MAX);
        self.out.extend_from_slice(&[DROP, UNREACHABLE, END]);
    }

    fn temporary(&mut self, temporary: Temporary) -> u32 {
        let next = self.locals.saturating_add(self.added.len() as u32);
        match self.temporaries.get_mut(temporary as usize) {
            Some(Some(local)) => *local,
            Some(place) => {
                *place = Some(next);
                self.added.push(temporary.ty());
                next
            }
            None => next,
        }
    }

    fn local(&mut self, instruction: u8, temporary: Temporary) {
        let local = self.temporary(temporary);
        self.indexed(instruction, local);
    }

    /// A load or store.
    fn access(&mut self, memarg: MemArg, above: Option<Temporary>, raw: &[u8]) -> Result<(), LoadError> {
        if memarg.memory != 0 {
            return Err(broken("a memory that does not exist"));
        }
        let Ok(offset) = u32::try_from(memarg.offset) else {
            // Behind the end of every memory. What comes next in the text is not reached.
            self.indexed(BR, self.facts.outermost());
            return Ok(());
        };
        let offset = match above {
            None => self.address(self.facts.value(0), offset),
            Some(temporary) => {
                let address = self.facts.value(1);
                match self.pushed {
                    // Nothing happens between the address and here: the value can be pushed afterwards.
                    Some(place) if matches!(temporary, Temporary::I32 | Temporary::I64) => {
                        let value = self.out.split_off(place);
                        let offset = self.address(address, offset);
                        self.out.extend_from_slice(&value);
                        offset
                    }
                    _ => {
                        self.local(LOCAL_SET, temporary);
                        let offset = self.address(address, offset);
                        self.local(LOCAL_GET, temporary);
                        offset
                    }
                }
            }
        };
        self.encode(memarg, offset, raw)
    }

    /// The instruction with this offset.
    fn encode(&mut self, memarg: MemArg, offset: u32, raw: &[u8]) -> Result<(), LoadError> {
        let missing = || broken("bytes that are not there");
        let (opcode, lane) = match raw.split_first().ok_or_else(missing)? {
            (&SIMD, rest) => {
                let number = rest.iter().position(|byte| byte & 0x80 == 0).ok_or_else(missing)?;
                let (opcode, immediates) = raw.split_at_checked(number + 2).ok_or_else(missing)?;
                (opcode, lane(immediates))
            }
            _ => (raw.get(..1).ok_or_else(missing)?, None),
        };
        self.out.extend_from_slice(opcode);
        write_leb(&mut self.out, u32::from(memarg.align));
        write_leb(&mut self.out, offset);
        self.out.extend(lane);
        Ok(())
    }

    /// Makes the address on top of the stack one of 32 bits, or traps if it has an upper half. The offset that goes with it.
    fn address(&mut self, value: Value, offset: u32) -> u32 {
        if let Some((local, added)) = self.facts.base(value)
            && let Some(offset) = offset.checked_add(added)
        {
            self.out.push(DROP);
            self.indexed(LOCAL_GET, local);
            self.out.push(I32_WRAP_I64);
            return offset;
        }
        if self.facts.is_narrow(value) {
            self.out.push(I32_WRAP_I64);
            return offset;
        }
        let holder = self.facts.holder(value);
        let local = holder.unwrap_or_else(|| self.temporary(Temporary::Address));
        if holder.is_none() {
            self.indexed(LOCAL_TEE, local);
        }
        self.out.push(I32_WRAP_I64);
        self.local(LOCAL_TEE, Temporary::Low);
        self.out.push(I64_EXTEND_I32_U);
        self.indexed(LOCAL_GET, local);
        self.out.push(I64_NE);
        self.indexed(BR_IF, self.facts.outermost());
        self.local(LOCAL_GET, Temporary::Low);
        if let Some(local) = holder {
            // The local becomes the number that was compared, which it equals: an engine then keeps one of them only, and
            // knows what an address cut from it is.
            self.local(LOCAL_GET, Temporary::Low);
            self.out.push(I64_EXTEND_I32_U);
            self.indexed(LOCAL_SET, local);
            self.facts.learn(local);
        }
        offset
    }

    /// `memory.grow`: by as many pages as a memory cannot have if it is more than that.
    fn grow(&mut self, raw: &[u8]) {
        self.local(LOCAL_TEE, Temporary::Address);
        self.constant(I64_CONST, i64::from(u32::MAX));
        self.local(LOCAL_GET, Temporary::Address);
        self.constant(I64_CONST, i64::from(u32::MAX));
        self.out.extend_from_slice(&[I64_LT_U, SELECT, I32_WRAP_I64]);
        self.out.extend_from_slice(raw);
        self.out.push(I64_EXTEND_I32_S);
    }

    /// An instruction on ranges of the memory, with its three operands in the order in which they lie on the stack; the last
    /// is the length. Traps if one has an upper half, but for nothing at the very end of a memory of 4 GiB, which is allowed:
    /// the end is then cut to 0, where nothing is as well.
    fn bulk(&mut self, operands: &[Temporary; 3], raw: &[u8]) {
        let [first, second, length] = *operands;
        for operand in [length, second, first] {
            self.local(LOCAL_SET, operand);
        }
        self.local(LOCAL_GET, first);
        let wide = |operand: Temporary| operand.ty() == ValType::I64;
        for operand in [second, length].into_iter().filter(|operand| wide(*operand)) {
            self.local(LOCAL_GET, operand);
            self.out.push(I64_OR);
        }
        self.constant(I64_CONST, 32);
        self.out.push(I64_SHR_U);
        self.constant(I64_CONST, 0);
        self.out.extend_from_slice(&[I64_NE, IF, EMPTY]);
        self.local(LOCAL_GET, length);
        self.out.push(if wide(length) { I64_EQZ } else { I32_EQZ });
        for place in [first, second].into_iter().filter(|operand| wide(*operand)) {
            self.local(LOCAL_GET, place);
            self.constant(I64_CONST, END_OF_ADDRESSES.cast_signed());
            self.out.extend_from_slice(&[I64_LE_U, I32_AND]);
        }
        self.out.extend_from_slice(&[MEMORY_SIZE, 0]);
        self.constant(I32_CONST, MAX_PAGES.cast_signed());
        self.out.extend_from_slice(&[I32_EQ, I32_AND, I32_EQZ]);
        self.indexed(BR_IF, self.facts.outermost().saturating_add(1));
        self.out.push(END);
        for operand in operands {
            self.local(LOCAL_GET, *operand);
            if wide(*operand) {
                self.out.push(I32_WRAP_I64);
            }
        }
        self.out.extend_from_slice(raw);
    }
}

/// The lane, if there is something behind alignment and offset.
fn lane(immediates: &[u8]) -> Option<u8> {
    let behind = |bytes: &[u8]| bytes.iter().position(|byte| byte & 0x80 == 0).map(|last| last + 1);
    let align = behind(immediates)?;
    let offset = behind(immediates.get(align..)?)?;
    immediates.get(align + offset).copied()
}
