//! A copy of a process's state in this node's memory, made to go back to.

use std::cell::OnceCell;

use weft_protocol::Id;

use super::{GlobalValue, PAGE, image::Image, is_zero, page, resident};
use crate::compute::{live::Live, root};

/// All that a process is: the size of its memory, its globals, and in what its pages differ from the module's image.
/// A page that is in neither list is as it is in the image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub(crate) memory_bytes: u64,
    pub(crate) globals: Vec<GlobalValue>,
    /// Pages of the image that are zero now, ascending.
    pub(crate) cleared: Vec<u32>,
    /// Numbers of pages that are not zero, ascending. They may be as in the image.
    pub(crate) pages: Vec<u32>,
    /// The pages' contents, in the same order.
    pub(crate) data: Vec<u8>,
    /// The state root, once somebody asked for it.
    root: OnceCell<Id>,
}

impl Checkpoint {
    /// Copies the state of `live`, reusing the space of an older checkpoint.
    pub(crate) fn take(live: &mut Live, old: Self) -> Self {
        let Self { mut cleared, mut pages, mut data, .. } = old;
        cleared.clear();
        pages.clear();
        data.clear();
        let globals = live.globals();
        let (image, memory) = (live.module().image(), live.memory_bytes());
        resident::written(memory, image, |range| {
            for index in range {
                match page(memory, index) {
                    Some(content) if !is_zero(content) => {
                        pages.push(index);
                        data.extend_from_slice(content);
                    }
                    Some(_) if image.has(index) => cleared.push(index),
                    _ => {}
                }
            }
        });
        Self { memory_bytes: memory.len() as u64, globals, cleared, pages, data, root: OnceCell::new() }
    }

    /// The state of which these are the parts.
    pub(super) fn new(
        memory_bytes: u64,
        globals: Vec<GlobalValue>,
        cleared: Vec<u32>,
        pages: Vec<u32>,
        data: Vec<u8>,
    ) -> Self {
        Self { memory_bytes, globals, cleared, pages, data, root: OnceCell::new() }
    }

    /// The state root; `image` is that of the module.
    pub(crate) fn root(&self, image: &Image) -> Id {
        *self.root.get_or_init(|| root::of(self, image))
    }

    /// The pages that are listed, with their contents.
    pub(crate) fn listed(&self) -> impl Iterator<Item = (u32, &[u8])> {
        self.pages.iter().copied().zip(self.data.chunks_exact(PAGE))
    }

    /// What is listed of this page.
    pub(crate) fn lists(&self, index: u32) -> bool {
        self.pages.binary_search(&index).is_ok()
    }

    /// All pages that are not zero, ascending: contents, and the BLAKE3 hash of those that the image knows.
    pub(crate) fn nonzero<'a>(
        &'a self,
        image: &'a Image,
    ) -> impl Iterator<Item = (u32, &'a [u8], Option<&'a [u8; blake3::OUT_LEN]>)> {
        let mut listed = self.listed().peekable();
        let mut unlisted = image
            .pages()
            .filter(|(index, ..)| self.cleared.binary_search(index).is_err() && !self.lists(*index))
            .peekable();
        std::iter::from_fn(move || match (listed.peek(), unlisted.peek()) {
            (Some((next, _)), Some((other, ..))) if next > other => {
                unlisted.next().map(|(index, content, hash)| (index, content, Some(hash)))
            }
            (None, _) => unlisted.next().map(|(index, content, hash)| (index, content, Some(hash))),
            _ => listed.next().map(|(index, content)| (index, content, None)),
        })
    }

    /// Bytes that this takes.
    pub(crate) fn weight(&self) -> usize {
        self.data.len() + (self.pages.len() + self.cleared.len()) * 4
    }
}
