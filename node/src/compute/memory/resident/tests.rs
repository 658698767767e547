#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::ops::Range;

use super::{Image, PAGE, written};

fn found(memory: &[u8], image: &Image) -> Vec<u32> {
    let mut pages = Vec::new();
    written(memory, image, |range| pages.extend(range));
    pages
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{fs::File, io::Write as _};

    use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous};

    use super::*;
    use crate::compute::memory::resident::linux;

    /// Anonymous memory, of which `file` pages in the middle are a private view of a file.
    fn mapped(pages: usize, file: Range<usize>) -> &'static mut [u8] {
        let mut content = tempfile::tempfile().unwrap();
        content.write_all(&vec![7; file.len() * PAGE]).unwrap();
        let flags = MapFlags::PRIVATE;
        // SAFETY: new memory at a place of the kernel's choice, then a part of it replaced; never unmapped.
        unsafe {
            let start = mmap_anonymous(std::ptr::null_mut(), pages * PAGE, ProtFlags::READ | ProtFlags::WRITE, flags);
            let start = start.unwrap();
            let middle = start.cast::<u8>().add(file.start * PAGE).cast();
            let access = ProtFlags::READ | ProtFlags::WRITE;
            mmap(middle, file.len() * PAGE, access, flags | MapFlags::FIXED, &content, 0).unwrap();
            std::slice::from_raw_parts_mut(start.cast(), pages * PAGE)
        }
    }

    type Ask = fn(&File, u64, u32, &mut Vec<Range<u32>>) -> u32;

    fn ways() -> [(&'static str, Ask); 2] {
        [
            ("scan", |file, first, pages, found| linux::scan(file, first, pages, &mut |range| found.push(range))),
            ("read", |file, first, pages, found| linux::read(file, first, pages, &mut |range| found.push(range))),
        ]
    }

    #[test]
    fn only_what_was_written_is_found() {
        let pages = 3000;
        let memory = mapped(pages, 1000..1100);
        // Read, not written: a page of zeros, and one of the file.
        assert_eq!((memory[500 * PAGE], memory[1050 * PAGE]), (0, 7));
        // Every other page is a region of its own: more than one call answers.
        let mut expected: Vec<u32> = (0..600).step_by(2).collect();
        expected.extend([1000, 1001, 1099, 1100, 2999]);
        for index in &expected {
            memory[*index as usize * PAGE + 100] = 1;
        }
        let file = linux::pagemap().unwrap();
        for (name, ask) in ways() {
            let mut ranges = Vec::new();
            let answered = ask(file, (memory.as_ptr().addr() / PAGE) as u64, pages as u32, &mut ranges);
            let found: Vec<u32> = ranges.into_iter().flatten().collect();
            if name == "scan" && answered == 0 {
                eprintln!("this kernel does not know PAGEMAP_SCAN");
                continue;
            }
            assert_eq!((answered, &found), (pages as u32, &expected), "{name}");
        }
        assert_eq!(found(memory, &Image::default()), expected);
    }
}

#[test]
fn without_an_answer_every_page_counts() {
    // Not at the start of a page, so the operating system is not asked.
    let memory = vec![0_u8; 8 * PAGE];
    let odd = usize::from(memory.as_ptr().addr().is_multiple_of(PAGE));
    assert_eq!(found(&memory[odd..odd + 6 * PAGE], &Image::default()), [0, 1, 2, 3, 4, 5]);
}
