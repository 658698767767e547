//! What a module's memory holds before anything has run in it: a live process is described by its difference to this.
//!
//! Where it sits: made once when a module is loaded, shared by all its instances; checkpoints, state roots and parked
//! processes leave out what is as it was here.

use super::{PAGE, is_zero, page};

/// Most bytes of pages that are kept. More than any module's binary can hold; only what runs at instantiation writes more.
const MOST_KEPT: usize = 64 << 20;

/// Most bytes of the image that serve as a dictionary: it is looked through each time something is compressed.
const MOST_DICTIONARY: usize = 1 << 20;
/// What a dictionary of zstd's own form begins with.
const FORMATTED: [u8; 4] = 0xEC30_A437_u32.to_le_bytes();

/// The pages that are not zero in a new instance, with their contents.
#[derive(Default)]
pub(crate) struct Image {
    /// Page numbers, ascending.
    pages: Vec<u32>,
    data: Vec<u8>,
    hashes: Vec<[u8; blake3::OUT_LEN]>,
    /// Whether there was too much to be kept.
    too_large: bool,
}

impl Image {
    /// The image of an instance in which nothing has been called yet.
    pub(crate) fn of(memory: &[u8]) -> Self {
        let mut image = Self::default();
        for (index, content) in (0_u32..).zip(memory.chunks_exact(PAGE)) {
            if is_zero(content) {
                continue;
            }
            if image.data.len() >= MOST_KEPT {
                return Self { too_large: true, ..Self::default() };
            }
            image.pages.push(index);
            image.data.extend_from_slice(content);
            image.hashes.push(*blake3::hash(content).as_bytes());
        }
        image
    }

    /// Whether a page that was never written is known to be as it is here. If not, every page has to be looked at, and
    /// the image counts as empty.
    pub(crate) fn is_known(&self) -> bool {
        !self.too_large
    }

    /// Whether this page is not zero in a new instance.
    pub(crate) fn has(&self, index: u32) -> bool {
        self.pages.binary_search(&index).is_ok()
    }

    /// What this page holds in a new instance; `None`: only zeros.
    pub(crate) fn content(&self, index: u32) -> Option<&[u8]> {
        let at = self.pages.binary_search(&index).ok()?;
        page(&self.data, u32::try_from(at).ok()?)
    }

    /// Text that processes of this module hold much of, for a compressor. Empty if zstd would take it for more than text.
    pub(crate) fn dictionary(&self) -> &[u8] {
        if self.data.starts_with(&FORMATTED) {
            return &[];
        }
        self.data.get(..MOST_DICTIONARY).unwrap_or(&self.data)
    }

    /// Page numbers (ascending), contents and their BLAKE3 hashes.
    pub(crate) fn pages(&self) -> impl Iterator<Item = (u32, &[u8], &[u8; blake3::OUT_LEN])> {
        let contents = self.pages.iter().copied().zip(self.data.chunks_exact(PAGE));
        contents.zip(&self.hashes).map(|((index, content), hash)| (index, content, hash))
    }
}
