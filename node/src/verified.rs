//! Items whose signatures this node has checked lately: the same bytes reach a node by several ways (its door, gossip,
//! a request, a page of a log), and a signature does not change.
//!
//! Where it sits: in front of [`DataItem::parse_verified`] wherever items come in. It remembers hashes of whole items, never
//! ids: an id is the hash of a signature alone, and the same signature under other bytes is a forgery.

use std::{
    num::NonZeroUsize,
    sync::{LazyLock, Mutex, PoisonError},
};

use bytes::Bytes;
use lru::LruCache;
use weft_protocol::{
    Id,
    ans104::{DataItem, ItemError, Profile},
};

/// Items remembered, 32 bytes each: some seconds at the highest rate a node takes.
const KEPT: NonZeroUsize = crate::bounds::at_least_one(32_768);

/// Shared by the whole process: that a signature holds is true everywhere.
static SEEN: LazyLock<Mutex<LruCache<[u8; 32], ()>>> = LazyLock::new(|| Mutex::new(LruCache::new(KEPT)));

/// Addresses of the keys that signed them.
static SIGNERS: LazyLock<Mutex<LruCache<Id, ()>>> = LazyLock::new(|| Mutex::new(LruCache::new(KEPT)));

/// As [`DataItem::parse_verified`], without checking a signature again that was checked lately.
///
/// # Errors
/// As [`DataItem::parse_verified`].
pub fn item(raw: Bytes, profile: Profile) -> Result<DataItem, ItemError> {
    let hash = *blake3::hash(&raw).as_bytes();
    let item = DataItem::parse(raw, profile)?;
    if SEEN.lock().unwrap_or_else(PoisonError::into_inner).get(&hash).is_some() {
        return Ok(item);
    }
    item.verify()?;
    SIGNERS.lock().unwrap_or_else(PoisonError::into_inner).put(item.owner_address(), ());
    // What only history's rules accept is not remembered: the strict ones must not find it here.
    if profile == Profile::Strict {
        SEEN.lock().unwrap_or_else(PoisonError::into_inner).put(hash, ());
    }
    Ok(item)
}

/// Whether `address` is known to be a key's. Then no process has this id: an id is the hash of a signature.
pub fn is_signer(address: &Id) -> bool {
    SIGNERS.lock().unwrap_or_else(PoisonError::into_inner).get(address).is_some()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
    use weft_protocol::ans104::{Ed25519Signer, ItemBuilder};

    use super::*;

    #[test]
    fn a_known_item_is_accepted_again_and_the_same_signature_on_other_bytes_is_not() {
        let signed = ItemBuilder::new().data(b"one".to_vec()).sign(&Ed25519Signer::from_seed([7; 32])).unwrap();
        for _ in 0..2 {
            assert_eq!(item(signed.raw().clone(), Profile::Strict).unwrap().id(), signed.id());
        }
        assert!(is_signer(&signed.owner_address()));
        assert!(!is_signer(&signed.id()));
        let mut forged = signed.raw().to_vec();
        *forged.last_mut().unwrap() ^= 1;
        for _ in 0..2 {
            assert!(item(forged.clone().into(), Profile::History).is_err());
        }
    }
}
