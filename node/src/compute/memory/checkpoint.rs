//! A copy of a process's state in this node's memory, made to go back to.

use super::{GlobalValue, PAGE, resident};
use crate::compute::live::Live;

/// All that a process is: the size of its memory, its globals, and its pages that are not zero.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub(crate) memory_bytes: u64,
    pub(crate) globals: Vec<GlobalValue>,
    /// Page numbers, ascending.
    pub(crate) pages: Vec<u32>,
    /// The pages' contents, in the same order.
    pub(crate) data: Vec<u8>,
}

impl Checkpoint {
    /// Copies the state of `live`, reusing the space of an older checkpoint.
    pub(crate) fn take(live: &mut Live, old: Self) -> Self {
        let globals = live.globals();
        let image = live.module().image();
        let memory = live.memory_bytes();
        let pages = resident::nonzero(memory, image);
        let mut data = old.data;
        data.clear();
        data.reserve(pages.len() * PAGE);
        for index in &pages {
            // A WebAssembly memory is a whole number of pages.
            let page = memory.get(*index as usize * PAGE..).and_then(|rest| rest.get(..PAGE));
            data.extend_from_slice(page.unwrap_or(&[0; PAGE]));
        }
        Self { memory_bytes: memory.len() as u64, globals, pages, data }
    }

    pub(crate) fn pages(&self) -> impl Iterator<Item = (u32, &[u8])> {
        self.pages.iter().copied().zip(self.data.chunks_exact(PAGE))
    }

    /// Bytes that this takes.
    pub(crate) fn weight(&self) -> usize {
        self.data.len() + self.pages.len() * 4
    }
}
