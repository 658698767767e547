//! Which pages of a linear memory are not zero.
//!
//! A standard aos memory is 85 MiB of which 2 MiB hold something. Comparing all of it takes 10 ms, so on Linux the
//! kernel is asked which pages exist (`/proc/self/pagemap`, a file that is simply read). A page that does not exist was
//! never touched: it is zero, or it is data of the module's image that nobody has read yet; the caller passes those.

use std::collections::BTreeSet;

use super::{PAGE, is_zero};

/// Present in memory, or swapped out.
const PRESENT_OR_SWAPPED: u64 = 0b11 << 62;

/// The pages that are not zero, ascending, by looking at all of them.
pub(crate) fn all_nonzero(memory: &[u8]) -> Vec<u32> {
    (0_u32..).zip(memory.chunks(PAGE)).filter(|(_, page)| !is_zero(page)).map(|(index, _)| index).collect()
}

/// The pages that are not zero, ascending. `image` are those that were not zero when the instance was made.
pub(crate) fn nonzero(memory: &[u8], image: &[u32]) -> Vec<u32> {
    let Some(present) = present(memory) else {
        return all_nonzero(memory);
    };
    let candidates: BTreeSet<u32> = present.into_iter().chain(image.iter().copied()).collect();
    let page = |index: u32| memory.get(index as usize * PAGE..).map(|rest| rest.get(..PAGE).unwrap_or(rest));
    candidates.into_iter().filter(|index| page(*index).is_some_and(|page| !is_zero(page))).collect()
}

#[cfg(target_os = "linux")]
fn present(memory: &[u8]) -> Option<Vec<u32>> {
    use std::os::unix::fs::FileExt as _;

    let address = memory.as_ptr().addr();
    if rustix::param::page_size() != PAGE || !address.is_multiple_of(PAGE) {
        return None;
    }
    let pages = memory.len().div_ceil(PAGE);
    let mut entries = vec![0_u8; pages.checked_mul(8)?];
    let offset = u64::try_from(address / PAGE).ok()?.checked_mul(8)?;
    std::fs::File::open("/proc/self/pagemap").ok()?.read_exact_at(&mut entries, offset).ok()?;
    let (entries, _) = entries.as_chunks::<8>();
    let exists = |entry: &[u8; 8]| u64::from_le_bytes(*entry) & PRESENT_OR_SWAPPED != 0;
    Some((0_u32..).zip(entries).filter(|(_, entry)| exists(entry)).map(|(index, _)| index).collect())
}

#[cfg(not(target_os = "linux"))]
fn present(_: &[u8]) -> Option<Vec<u32>> {
    None
}
