//! Properties of items, streams, bundles and paths that must hold for any input.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use bytes::Bytes;
use common::{deterministic_signer, generated, list, load, raw};
use proptest::{collection::vec, option, prelude::*};
use weft_protocol::{
    Id,
    ans104::{
        DataItem, Ed25519Signer, ItemBuilder, ItemError, ItemStream, MAX_HEAD_LEN, Profile, Signer, Tag,
        bundle::{self, Limits},
    },
    arweave::{Transaction, merkle},
};

fn signer() -> Ed25519Signer {
    Ed25519Signer::from_seed([5; 32])
}

fn builders() -> impl Strategy<Value = ItemBuilder> {
    let tag = ("\\PC{0,20}", "\\PC{0,80}").prop_map(|(name, value)| Tag::new(name, value));
    let parts =
        (option::of(any::<[u8; 32]>()), option::of(any::<[u8; 32]>()), vec(tag, 0..12), vec(any::<u8>(), 0..600));
    parts.prop_map(|(target, anchor, tags, data)| {
        let mut builder = ItemBuilder::new().tags(tags).data(data);
        if let Some(target) = target {
            builder = builder.target(Id::from_bytes(target));
        }
        if let Some(anchor) = anchor {
            builder = builder.anchor(anchor);
        }
        builder
    })
}

fn items() -> impl Strategy<Value = DataItem> {
    builders().prop_map(|builder| builder.sign(&signer()).unwrap())
}

/// Damaged items: some bytes changed, something cut off or added.
fn damaged() -> impl Strategy<Value = Bytes> {
    let changes = vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (items(), changes, option::of(any::<prop::sample::Index>()), vec(any::<u8>(), 0..4)).prop_map(
        |(item, changes, cut, more)| {
            let mut bytes = item.raw().to_vec();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            bytes.extend(more);
            bytes.into()
        },
    )
}

/// The result of reading in pieces whose sizes are given, repeated.
fn streamed(bytes: &[u8], sizes: &[usize], profile: Profile) -> Result<(Id, u64), ItemError> {
    let mut stream = ItemStream::new(profile, bytes.len() as u64);
    let mut rest = bytes;
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, after) = rest.split_at((*size).min(rest.len()));
        stream.push(piece)?;
        rest = after;
    }
    let item = stream.finish()?;
    Ok((item.head.id(), item.data_len))
}

/// Truncation is seen with fewer bytes at hand while streaming: only the field is compared.
fn comparable(error: ItemError) -> String {
    match error {
        ItemError::Truncated { field, .. } => format!("truncated {field}"),
        other => other.to_string(),
    }
}

proptest! {
    #[test]
    fn what_is_built_is_read_and_verified(builder in builders()) {
        let item = builder.clone().sign(&signer()).unwrap();
        let back = DataItem::parse_verified(item.raw().clone(), Profile::Strict).unwrap();
        prop_assert_eq!(&back, &item);
        let (signer, again) = (signer(), builder.sign(&signer()).unwrap());
        prop_assert_eq!(back.owner(), signer.owner());
        prop_assert_eq!(again, back);
    }

    #[test]
    fn a_stream_finds_what_the_whole_finds(bytes in damaged(), sizes in vec(1_usize..700, 1..6)) {
        for profile in [Profile::Strict, Profile::History] {
            let whole = DataItem::parse_verified(bytes.clone(), profile);
            let whole = whole.map(|item| (item.id(), item.data().len() as u64)).map_err(comparable);
            prop_assert_eq!(streamed(&bytes, &sizes, profile).map_err(comparable), whole);
        }
    }

    #[test]
    fn what_is_strictly_right_is_right_in_history(bytes in damaged()) {
        if let Ok(item) = DataItem::parse(bytes.clone(), Profile::Strict) {
            let history = DataItem::parse(bytes, Profile::History).unwrap();
            prop_assert_eq!(history.tags(), item.tags());
            prop_assert_eq!(history.deviation(), None);
        }
    }

    #[test]
    fn readers_never_panic(bytes in vec(any::<u8>(), 0..2000), kind in 0_u8..9, root in any::<[u8; 32]>(), offset: u64) {
        let mut item = bytes.clone();
        item.splice(..item.len().min(2), [kind, 0]);
        for bytes in [Bytes::from(item), Bytes::from(bytes.clone())] {
            for profile in [Profile::Strict, Profile::History] {
                let _ = DataItem::parse_verified(bytes.clone(), profile);
                let _ = streamed(&bytes, &[13, 500], profile);
                let _ = bundle::unbundle(&bytes, Limits::default(), profile);
            }
            let _ = bundle::read(&bytes, Limits::default());
        }
        let _ = merkle::validate_path(&Id::from_bytes(root), offset, u64::MAX, &bytes);
        let _ = Transaction::from_json(&bytes);
    }

    #[test]
    fn bundles_round_trip_and_damaged_ones_never_panic(items in vec(items(), 0..6), at: prop::sample::Index, byte: u8) {
        let bytes = bundle::write(&items);
        let entries = bundle::read(&bytes, Limits::default()).unwrap();
        let read = bundle::items(&bytes, Limits::default(), Profile::Strict).unwrap();
        let mut unique = items.clone();
        let mut seen = std::collections::HashSet::new();
        unique.retain(|item| seen.insert(item.id()));
        prop_assert_eq!(entries.len(), unique.len());
        let read: Vec<DataItem> = read.into_iter().map(|(_, item)| item.unwrap()).collect();
        prop_assert_eq!(read, unique);

        let mut damaged = bytes.to_vec();
        let at = at.index(damaged.len());
        damaged[at] = byte;
        let damaged = Bytes::from(damaged);
        for entry in bundle::read(&damaged, Limits::default()).unwrap_or_default() {
            prop_assert!(entry.offset + entry.size <= damaged.len());
        }
        let _ = bundle::unbundle(&damaged, Limits::default(), Profile::Strict);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn every_chunk_of_data_of_any_size_is_proven(size in 1_usize..1_500_000) {
        let data = generated(size);
        let cut = merkle::chunk(&data).unwrap();
        prop_assert_eq!(Some(cut.data_root), merkle::data_root(&data));
        let mut next = 0;
        for chunk in &cut.chunks {
            prop_assert_eq!(chunk.start, next);
            prop_assert!(chunk.end - chunk.start <= merkle::MAX_CHUNK);
            let bytes = &data[chunk.start as usize..chunk.end as usize];
            let proof = merkle::validate_chunk(&cut.data_root, chunk.offset, size as u64, &chunk.data_path, bytes).unwrap();
            prop_assert_eq!((proof.start, proof.end), (chunk.start, chunk.end));
            next = chunk.end;
        }
        prop_assert_eq!(next, size as u64);
    }
}

/// Nothing of an item can be changed without its being noticed: every bit of an Ed25519 item, of the other types one bit
/// in some bytes (their keys are large and their refusal slow).
#[test]
fn no_bit_of_an_item_can_be_changed() {
    for (name, step, bits) in [("ed25519", 1, 8), ("solana", 3, 1), ("eth", 3, 1), ("rsa-a/salt-0", 13, 1)] {
        let signer = deterministic_signer(name).unwrap();
        let builder = ItemBuilder::new().target(Id::sha256(b"target")).tag("Type", "Message").data("some data");
        let item = builder.sign(&*signer).unwrap();
        for at in (0..item.raw().len()).step_by(step) {
            for bit in 0..bits {
                let mut bytes = item.raw().to_vec();
                bytes[at] ^= 1 << bit;
                for profile in [Profile::Strict, Profile::History] {
                    let outcome = DataItem::parse_verified(bytes.clone().into(), profile);
                    assert!(outcome.is_err(), "{name}: bit {bit} of byte {at} under {profile:?}");
                }
            }
        }
    }
}

#[test]
fn reading_copies_no_data() {
    let item = ItemBuilder::new().data(vec![1; 100_000]).sign(&signer()).unwrap();
    let raw = item.raw().clone();
    let again = DataItem::parse(raw.clone(), Profile::Strict).unwrap();
    assert_eq!(again.data().as_ptr(), raw[raw.len() - 100_000..].as_ptr());
    let nested = bundle::write(&[again]);
    let found = bundle::unbundle(&nested, Limits::default(), Profile::Strict).unwrap();
    assert_eq!(found.items[0].item.data().as_ptr(), nested[nested.len() - 100_000..].as_ptr());
}

#[test]
fn a_large_item_is_verified_in_pieces_and_a_cut_or_oversized_one_is_not() {
    let data = generated(8 << 20);
    let item = ItemBuilder::new().tag("Type", "Module").data(data).sign(&signer()).unwrap();
    assert_eq!(streamed(item.raw(), &[65_536], Profile::Strict).unwrap(), (item.id(), 8 << 20));
    let short = &item.raw()[..item.raw().len() - 1];
    assert!(matches!(streamed(short, &[65_536], Profile::Strict), Err(ItemError::Signature { .. })));
    let mut stream = ItemStream::new(Profile::Strict, 10_000);
    stream.push(&item.raw()[..10_000]).unwrap();
    assert_eq!(stream.head().unwrap().tag("Type"), Some("Module"));
    assert_eq!(stream.push(&[0]), Err(ItemError::TooLarge { limit: 10_000 }));
}

/// The longest head there can be still leads to a decision: the buffer of a stream never has to grow beyond it.
#[test]
fn the_longest_head_fits_the_buffer() {
    let vectors = load("malformed");
    let long = list(&vectors, "data_items").iter().max_by_key(|vector| raw(vector, "raw").len()).unwrap();
    assert!(raw(long, "raw").len() < MAX_HEAD_LEN);
    let signer = deterministic_signer("rsa-a/salt-0").unwrap();
    let full = ItemBuilder::new().target(Id::default()).anchor([0; 32]).tag("n".repeat(1016), "v".repeat(3072));
    let item = full.sign(&*signer).unwrap();
    assert_eq!(item.raw_tags().len(), 4094);
    assert_eq!(streamed(item.raw(), &[4096], Profile::Strict).unwrap(), (item.id(), 0));
}
