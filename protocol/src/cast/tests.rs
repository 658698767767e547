//! A proof is for one process, one message and a short time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use super::*;
use crate::ans104::{Ed25519Signer, ItemBuilder};

const NOW: u64 = 1_800_000_000_000;
const SKEW: u64 = 2_000;

fn id(n: u8) -> Id {
    Id::from_bytes([n; 32])
}

fn signed(tags: Vec<Tag>) -> DataItem {
    ItemBuilder::new().tags(tags).sign(&Ed25519Signer::from_seed([1; 32])).unwrap()
}

fn check(tags: Vec<Tag>) -> Result<(), ProofError> {
    check_proof(&signed(tags), &id(1), &[id(2), id(3)], NOW, SKEW)
}

#[test]
fn a_proof_names_process_and_message_and_ends_soon() {
    for message in [id(2), id(3)] {
        assert_eq!(check(proof_tags(&id(1), &message, NOW + 1)), Ok(()));
    }
    assert_eq!(check(proof_tags(&id(9), &id(2), NOW)), Err(ProofError::Other("Process")));
    assert_eq!(check(proof_tags(&id(1), &id(9), NOW)), Err(ProofError::Other("Message")));
    let until = |expires| check(proof_tags(&id(1), &id(2), expires));
    assert_eq!(until(NOW - SKEW), Ok(()), "clocks differ");
    assert_eq!(until(NOW - SKEW - 1), Err(ProofError::Expired(SKEW + 1)));
    assert_eq!(until(NOW + MOST_AHEAD_MS + SKEW), Ok(()));
    assert_eq!(until(u64::MAX), Err(ProofError::TooFarAhead(u64::MAX - NOW)));
}

#[test]
fn every_tag_is_needed() {
    let whole = proof_tags(&id(1), &id(2), NOW);
    for at in 0..whole.len() {
        for value in [None, Some("x")] {
            let mut tags = whole.clone();
            let name = tags.remove(at).name;
            tags.extend(value.map(|value| Tag::new(name.clone(), value)));
            assert!(matches!(check(tags), Err(ProofError::Tag(tag)) if tag == name), "{name} {value:?}");
        }
    }
}
