//! Room in the module's memory that serves one message and then the next: it is taken from the end of the program's own
//! data upwards, and all given back at once.

use core::{
    arch::wasm32::{memory_grow, memory_size},
    ptr::addr_of,
};

extern "C" {
    /// Where the linker says that free memory begins.
    static __heap_base: u8;
}

const PAGE: u32 = 65_536;

/// First free address; 0 when all is free.
static mut TOP: u32 = 0;
/// The room belongs to a message that has its answer.
static mut ANSWERED: bool = false;

/// Takes `length` bytes; 0 if there are no more.
pub fn take(length: u32) -> u32 {
    // SAFETY: one thread; nobody else reaches these.
    unsafe {
        if TOP == 0 || ANSWERED {
            TOP = addr_of!(__heap_base) as u32;
            ANSWERED = false;
        }
        let at = (TOP + 15) & !15;
        let end = match at.checked_add(length) {
            Some(end) => end,
            None => return 0,
        };
        let pages = end / PAGE + 1;
        let have = memory_size(0) as u32;
        if pages > have && memory_grow(0, (pages - have) as usize) == usize::MAX {
            return 0;
        }
        TOP = end;
        at
    }
}

/// Everything taken so far may be taken again from the next `take` on; until then the result can be read.
pub fn give_back_at_the_next_message() {
    // SAFETY: as above.
    unsafe { ANSWERED = true }
}
