//! What goes into a bundle, and that it comes out again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use super::*;

#[test]
fn a_bundle_is_filled_to_its_bounds_and_never_empty() {
    let bounds = Bounds { items: 3, bytes: 32 + 2 * (100 + 64) };
    assert_eq!(fill([], bounds), 0);
    assert_eq!(fill([100], bounds), 1);
    assert_eq!(fill([100, 100], bounds), 2);
    assert_eq!(fill([100, 100, 1], bounds), 2);
    assert_eq!(fill([1, 1, 1, 1], bounds), 3);
    assert_eq!(fill([1_000_000, 1], bounds), 1, "one item alone may be larger");
    assert_eq!(fill([1, 1_000_000], bounds), 1);
}
