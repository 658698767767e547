//! What fuel costs: the one table. Whatever is changed here changes [`TABLE`] too, and with it the profile of every node.

use wasmparser::Operator;

/// The rule in a line, part of the engine's profile.
pub(crate) const TABLE: &str = "weft-fuel-1: one unit an operator; block, else, end, nop, drop, return and unreachable none; \
     memory.copy, memory.fill and memory.init one more for 16 bytes; memory.grow 4096 more for a page, at most 65536 pages; where ways part for at most 16 units, the longest of them";

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
