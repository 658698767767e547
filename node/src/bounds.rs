//! Sizes that cannot be zero, as constants.

use std::num::NonZeroUsize;

/// `size`, or 1 for 0.
pub const fn at_least_one(size: usize) -> NonZeroUsize {
    match NonZeroUsize::new(size) {
        Some(size) => size,
        None => NonZeroUsize::MIN,
    }
}
