//! What copies of memories may take together.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use super::*;

#[test]
fn copies_of_memories_are_bounded_together() {
    let copies = Arc::new(Semaphore::new(COPIES_KIB));
    let most = 1024 * COPIES_KIB as u64;
    let refused = |bytes: u64| share_of(&copies, bytes).map(|_| ()).map_err(|error| error.kind);
    assert_eq!(refused(most + 1), Err(ErrorKind::TooLarge), "waiting would not help");
    assert_eq!(refused(u64::MAX), Err(ErrorKind::TooLarge));
    let first = share_of(&copies, most - 2048).unwrap();
    let second = share_of(&copies, 2047).unwrap();
    assert_eq!(refused(1), Err(ErrorKind::Unavailable));
    drop(second);
    assert_eq!(refused(2048), Ok(()));
    drop(first);
    assert_eq!(refused(most), Ok(()));
}
