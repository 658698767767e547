//! A binary Merkle tree with separated leaf and node hashes: the root of an outcome's outbox, and paths to it.
//!
//! Leaf = SHA-256(0x00 ‖ bytes), node = SHA-256(0x01 ‖ left ‖ right); an odd node moves up unchanged; the empty tree has
//! the root SHA-256(0x02). The prefixes keep a node from being shown as a leaf (RFC 6962 §2.1 does the same).

use sha2::{Digest, Sha256};

use crate::Id;

/// Paths longer than this are refused (2^32 leaves).
pub const MAX_PATH: usize = 32;

/// Hash of a leaf.
pub fn leaf(bytes: &[u8]) -> Id {
    Id::from_bytes(Sha256::new().chain_update([0]).chain_update(bytes).finalize().into())
}

fn node(left: &Id, right: &Id) -> Id {
    Id::from_bytes(
        Sha256::new().chain_update([1]).chain_update(left.as_bytes()).chain_update(right.as_bytes()).finalize().into(),
    )
}

fn level_up(level: &[Id]) -> Vec<Id> {
    level
        .chunks(2)
        .filter_map(|pair| match pair {
            [left, right] => Some(node(left, right)),
            [odd] => Some(*odd),
            _ => None,
        })
        .collect()
}

/// Root over leaf hashes.
pub fn root(leaves: &[Id]) -> Id {
    let mut level = leaves.to_vec();
    while level.len() > 1 {
        level = level_up(&level);
    }
    level.first().copied().unwrap_or_else(|| Id::sha256(&[2]))
}

/// Siblings from leaf `index` up to the root, or `None` if there is no such leaf.
pub fn path(leaves: &[Id], index: usize) -> Option<Vec<Id>> {
    leaves.get(index)?;
    let (mut level, mut at, mut siblings) = (leaves.to_vec(), index, Vec::new());
    while level.len() > 1 {
        if let Some(sibling) = level.get(at ^ 1) {
            siblings.push(*sibling);
        }
        at /= 2;
        level = level_up(&level);
    }
    Some(siblings)
}

/// Whether `siblings` lead from `leaf`, number `index` of `count`, to `root`.
pub fn check(root: &Id, leaf: Id, index: usize, count: usize, siblings: &[Id]) -> bool {
    if index >= count || siblings.len() > MAX_PATH {
        return false;
    }
    let (mut hash, mut at, mut width) = (leaf, index, count);
    let mut siblings = siblings.iter();
    while width > 1 {
        if at ^ 1 < width {
            let Some(sibling) = siblings.next() else { return false };
            hash = if at % 2 == 0 { node(&hash, sibling) } else { node(sibling, &hash) };
        }
        at /= 2;
        width = width.div_ceil(2);
    }
    siblings.next().is_none() && hash == *root
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_leaf_of_every_small_tree_is_proved_and_no_other() {
        for count in 0..20_usize {
            let leaves: Vec<Id> = (0..count).map(|i| leaf(&[u8::try_from(i).unwrap()])).collect();
            let top = root(&leaves);
            for index in 0..count {
                let siblings = path(&leaves, index).unwrap();
                assert!(check(&top, leaves[index], index, count, &siblings));
                assert!(!check(&top, leaf(b"other"), index, count, &siblings));
                assert!(!check(&top, leaves[index], (index + 1) % count, count, &siblings) || count == 1);
                let mut longer = siblings.clone();
                longer.push(top);
                assert!(!check(&top, leaves[index], index, count, &longer));
            }
            assert!(path(&leaves, count).is_none());
        }
    }
}
