//! What fuel costs: the one table. Whatever is changed here changes [`TABLE`] too, and with it the profile of every node.

use wasmparser::{BlockType, Operator};

use crate::compute::rewrite::narrow::Module as Arities;

/// The rule in a line, part of the engine's profile.
pub(crate) const TABLE: &str = "weft-fuel-1: one unit an operator; block, else, end, nop, drop, return and unreachable none; \
     memory.copy, memory.fill and memory.init one more for 16 bytes; memory.grow 4096 more for a page, at most 65536 pages; a block with a type one more for each of its values, a call one for each result but the first, \
     a function one for two of its locals beyond 256; where ways part for at most 16 units, the longest of them; \
     a call of the host 100, one back into the module 150, growing by the host 1000, a byte of a date's pattern 256";

/// A unit is paid for `1 << BYTES_SHIFT` bytes that an operator copies or fills, the rest is free.
pub(super) const BYTES_SHIFT: u8 = 4;
/// `1 << PAGE_SHIFT` units are paid for a page that is asked for.
pub(super) const PAGE_SHIFT: u8 = 12;
/// More pages than this are paid like this many: no memory has more, so the request is only refused.
pub(super) const MOST_PAGES: u32 = 1 << 16;

/// The cost of an operator that is executed, for operators with a length without what the length costs. `loop` is paid
/// each time that its beginning is passed, so that no way around a loop is free; a call is paid by the caller.
pub(super) fn of(operator: &Operator<'_>) -> u32 {
    match operator {
        Operator::Block { .. }
        | Operator::Else
        | Operator::End
        | Operator::Nop
        | Operator::Drop
        | Operator::Return
        | Operator::Unreachable => 0,
        _ => 1,
    }
}

/// Locals of a function that its call pays for. More are paid for when it begins, because a compiler may set them all to 0.
const FREE_LOCALS: u32 = 256;

/// The cost of a function's locals.
pub(super) fn of_locals(locals: u32) -> u64 {
    u64::from(locals.saturating_sub(FREE_LOCALS) / 2)
}

/// The cost of the values that an operator with a type may move: those that a block takes and gives (or a loop each turn),
/// those that a call gives but the first. What a call takes was pushed, and paid for one by one.
pub(super) fn of_values(operator: &Operator<'_>, module: &Arities) -> u64 {
    let block = |ty: u32| module.arity_of_type(ty).map_or(0, |(takes, gives)| takes.saturating_add(gives));
    let call = |arity: Option<(usize, usize)>| arity.map_or(0, |(_, gives)| gives.saturating_sub(1));
    let values = match operator {
        Operator::Block { blockty: BlockType::FuncType(ty) }
        | Operator::Loop { blockty: BlockType::FuncType(ty) }
        | Operator::If { blockty: BlockType::FuncType(ty) } => block(*ty),
        Operator::Call { function_index } => call(module.arity_of(*function_index)),
        Operator::CallIndirect { type_index, .. } | Operator::CallRef { type_index } => {
            call(module.arity_of_type(*type_index))
        }
        _ => 0,
    };
    values as u64
}

/// What the length of an operator is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    /// Bytes, as wide as the memory's addresses.
    Bytes,
    /// Bytes of a data segment, which are 32 bits wide for every memory.
    SegmentBytes,
    /// Pages, as wide as the memory's addresses.
    Pages,
}

/// Whether the operator has a length on top of the stack that it is paid by.
pub(super) fn length(operator: &Operator<'_>) -> Option<Length> {
    match operator {
        Operator::MemoryCopy { .. } | Operator::MemoryFill { .. } => Some(Length::Bytes),
        Operator::MemoryInit { .. } => Some(Length::SegmentBytes),
        Operator::MemoryGrow { .. } => Some(Length::Pages),
        _ => None,
    }
}
