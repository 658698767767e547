//! Which pages of a linear memory may have been written since the instance was made.
//!
//! A standard aos memory is 68 MiB of which 2 MiB hold something. Comparing all of it takes 10 ms, so on Linux the
//! kernel is asked which pages exist: with the `PAGEMAP_SCAN` call of `/proc/self/pagemap` (Linux 6.7 and later), else by
//! reading that file, else (other systems, or no such file) every page counts. A page that does not exist was never
//! written, and neither was one that still belongs to the file of the module's image: they are what they were at first.

use std::ops::Range;

use super::{PAGE, image::Image};

/// Calls `visit` with the numbers of all pages that may differ from `image`, ascending.
pub(crate) fn written(memory: &[u8], image: &Image, mut visit: impl FnMut(Range<u32>)) {
    let pages = u32::try_from(memory.len() / PAGE).unwrap_or(u32::MAX);
    let answered = if image.is_known() { ask(memory, pages, &mut visit) } else { 0 };
    if answered < pages {
        visit(answered..pages);
    }
}

/// Asks the operating system; up to which page it has answered.
#[cfg(target_os = "linux")]
fn ask(memory: &[u8], pages: u32, visit: &mut impl FnMut(Range<u32>)) -> u32 {
    let address = memory.as_ptr().addr();
    if rustix::param::page_size() != PAGE || !address.is_multiple_of(PAGE) {
        return 0;
    }
    let Some(file) = linux::pagemap() else { return 0 };
    let first = (address / PAGE) as u64;
    match linux::scan(file, first, pages, visit) {
        0 => linux::read(file, first, pages, visit),
        answered => answered,
    }
}

#[cfg(not(target_os = "linux"))]
fn ask(_: &[u8], _: u32, _: &mut impl FnMut(Range<u32>)) -> u32 {
    0
}

#[cfg(target_os = "linux")]
mod linux {
    //! Both ways to ask. Facts: Linux, `include/uapi/linux/fs.h` and `Documentation/admin-guide/mm/pagemap.rst`.

    use std::{ffi::c_void, fs::File, ops::Range, os::unix::fs::FileExt as _, sync::OnceLock};

    use rustix::ioctl::{Direction, Ioctl, IoctlOutput, Opcode, ioctl, opcode};

    use super::PAGE;

    const IS_FILE: u64 = 1 << 2;
    const IS_PRESENT: u64 = 1 << 3;
    const IS_SWAPPED: u64 = 1 << 4;
    /// A page that was read, never written, and shows the one page of zeros that all share.
    const IS_ZERO_PAGE: u64 = 1 << 5;

    /// Entries of the file that is read: present, swapped out, part of a file.
    const PRESENT_OR_SWAPPED: u64 = 0b11 << 62;
    const OF_A_FILE: u64 = 1 << 61;

    /// Regions answered by one call, entries read at once.
    const REGIONS: usize = 128;
    const ENTRIES: usize = 512;

    /// Opened once: the file tells of the process that opened it.
    pub(super) fn pagemap() -> Option<&'static File> {
        static PAGEMAP: OnceLock<Option<File>> = OnceLock::new();
        PAGEMAP.get_or_init(|| File::open("/proc/self/pagemap").ok()).as_ref()
    }

    /// `struct page_region`: addresses from, until, and what the pages are.
    #[repr(C)]
    #[derive(Clone, Copy, Default)]
    struct Region {
        start: u64,
        end: u64,
        categories: u64,
    }

    /// `struct pm_scan_arg`.
    #[repr(C)]
    struct Question {
        size: u64,
        flags: u64,
        range: [u64; 2],
        walk_end: u64,
        regions: u64,
        regions_len: u64,
        max_pages: u64,
        category_inverted: u64,
        category_mask: u64,
        category_anyof_mask: u64,
        return_mask: u64,
    }

    /// One call: the regions that it may fill, and what is asked.
    struct Scan<'a> {
        question: Question,
        regions: &'a mut [Region; REGIONS],
    }

    // SAFETY: the number and the layout are those of `PAGEMAP_SCAN`, which writes `walk_end` of the question and as many
    // regions as `regions_len` says; both are borrowed exclusively while the call lasts. It answers how many it filled.
    unsafe impl Ioctl for &mut Scan<'_> {
        type Output = usize;
        const IS_MUTATING: bool = true;

        fn opcode(&self) -> Opcode {
            opcode::from_components(Direction::ReadWrite, b'f', 16, size_of::<Question>())
        }

        fn as_ptr(&mut self) -> *mut c_void {
            self.question.regions = self.regions.as_mut_ptr().expose_provenance() as u64;
            self.question.regions_len = REGIONS as u64;
            (&raw mut self.question).cast()
        }

        unsafe fn output_from_ptr(out: IoctlOutput, _: *mut c_void) -> rustix::io::Result<usize> {
            usize::try_from(out).map_err(|_| rustix::io::Errno::INVAL)
        }
    }

    impl Scan<'_> {
        /// Which pages from address `start` until `end` were written; how many regions were filled, and up to which
        /// address the answer goes.
        fn ask(&mut self, start: u64, end: u64, file: &File) -> Option<(usize, u64)> {
            self.question.range = [start, end];
            // SAFETY: see the implementation of `Ioctl`; the file is this process's page map.
            let filled = unsafe { ioctl(file, &mut *self) }.ok()?;
            // Nothing new would be asked again for ever.
            (self.question.walk_end > start).then_some((filled, self.question.walk_end))
        }
    }

    pub(super) fn scan(file: &File, first: u64, pages: u32, visit: &mut impl FnMut(Range<u32>)) -> u32 {
        let page = |address: u64| u32::try_from((address / PAGE as u64).saturating_sub(first)).unwrap_or(u32::MAX);
        let end = (first + u64::from(pages)) * PAGE as u64;
        let question = Question {
            size: size_of::<Question>() as u64,
            flags: 0,
            range: [0; 2],
            walk_end: 0,
            regions: 0,
            regions_len: 0,
            max_pages: 0,
            category_inverted: IS_FILE | IS_ZERO_PAGE,
            category_mask: IS_FILE | IS_ZERO_PAGE,
            category_anyof_mask: IS_PRESENT | IS_SWAPPED,
            return_mask: IS_PRESENT,
        };
        let mut regions = [Region::default(); REGIONS];
        let mut scan = Scan { question, regions: &mut regions };
        let mut start = first * PAGE as u64;
        while start < end {
            let Some((filled, walked)) = scan.ask(start, end, file) else { break };
            for region in scan.regions.iter().take(filled) {
                visit(page(region.start)..page(region.end).min(pages));
            }
            start = walked;
        }
        page(start).min(pages)
    }

    pub(super) fn read(file: &File, first: u64, pages: u32, visit: &mut impl FnMut(Range<u32>)) -> u32 {
        let mut buffer = [0_u8; ENTRIES * 8];
        let mut next = 0_u32;
        while next < pages {
            let count = (pages - next).min(ENTRIES as u32);
            let Some(part) = buffer.get_mut(..count as usize * 8) else { break };
            if file.read_exact_at(part, (first + u64::from(next)) * 8).is_err() {
                break;
            }
            let (entries, _) = part.as_chunks::<8>();
            for (index, entry) in (next..).zip(entries) {
                let entry = u64::from_le_bytes(*entry);
                if entry & PRESENT_OR_SWAPPED != 0 && entry & OF_A_FILE == 0 {
                    visit(index..index + 1);
                }
            }
            next += count;
        }
        next
    }
}

#[cfg(test)]
mod tests;
