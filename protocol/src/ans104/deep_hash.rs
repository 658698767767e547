//! The deep hash (SHA-384): what item and transaction signatures are made over.

use sha2::{Digest, Sha384};

/// A tree of byte strings to hash.
#[derive(Debug, Clone)]
pub enum DeepHash<'a> {
    /// Bytes.
    Blob(&'a [u8]),
    /// A list of trees.
    List(Vec<DeepHash<'a>>),
}

/// The deep hash of `tree`. Recurses as deep as the tree, which callers build, not their peers.
pub fn deep_hash(tree: &DeepHash<'_>) -> [u8; 48] {
    match tree {
        DeepHash::Blob(bytes) => blob(bytes),
        DeepHash::List(children) => {
            let mut list = ListHash::new(children.len());
            for child in children {
                list.push(&deep_hash(child));
            }
            list.finish()
        }
    }
}

fn blob(bytes: &[u8]) -> [u8; 48] {
    hashed_blob(bytes.len() as u64, &Sha384::digest(bytes).into())
}

/// The deep hash of a byte string of which only length and SHA-384 are at hand.
pub(super) fn hashed_blob(len: u64, hash: &[u8; 48]) -> [u8; 48] {
    let tag = Sha384::new().chain_update("blob").chain_update(len.to_string()).finalize();
    Sha384::new().chain_update(tag).chain_update(hash).finalize().into()
}

struct ListHash([u8; 48]);

impl ListHash {
    fn new(len: usize) -> Self {
        Self(Sha384::new().chain_update("list").chain_update(len.to_string()).finalize().into())
    }

    fn push(&mut self, child: &[u8; 48]) {
        self.0 = Sha384::new().chain_update(self.0).chain_update(child).finalize().into();
    }

    fn finish(self) -> [u8; 48] {
        self.0
    }
}

/// What an item signs besides its data.
pub(super) struct SignedFields<'a> {
    pub(super) signature_type: u16,
    pub(super) owner: &'a [u8],
    pub(super) target: &'a [u8],
    pub(super) anchor: &'a [u8],
    pub(super) raw_tags: &'a [u8],
}

/// The message of an item's signature; `data` is the [`hashed_blob`] of its data.
pub(super) fn item_hash(fields: &SignedFields<'_>, data: &[u8; 48]) -> [u8; 48] {
    let kind = fields.signature_type.to_string();
    let blobs =
        [b"dataitem".as_slice(), b"1", kind.as_bytes(), fields.owner, fields.target, fields.anchor, fields.raw_tags];
    let mut list = ListHash::new(blobs.len().saturating_add(1));
    for bytes in blobs {
        list.push(&blob(bytes));
    }
    list.push(data);
    list.finish()
}
