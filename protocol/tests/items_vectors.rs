//! Golden vectors for data items, tags, deep hashes and bundles.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use common::{deterministic_signer, list, load, raw, text};
use serde_json::Value;
use weft_protocol::{
    Id,
    ans104::{
        DataItem, DeepHash, Deviation, ItemBuilder, ItemError, ItemStream, Profile, SignatureType, Tag, TagError,
        bundle::{self, BundleError, Limits, Refused},
        deep_hash, tags,
    },
    b64,
};

fn tags_of(vector: &Value) -> Vec<Tag> {
    list(vector, "tags").iter().map(|tag| Tag::new(text(tag, "name"), text(tag, "value"))).collect()
}

fn optional(bytes: &[u8]) -> Option<[u8; 32]> {
    bytes.try_into().ok()
}

fn accepted(vector: &Value) -> bool {
    matches!(vector["signature_type"].as_u64(), Some(1..=4))
}

fn check_item(vector: &Value) {
    let name = text(vector, "name");
    let item =
        DataItem::parse_verified(raw(vector, "raw"), Profile::Strict).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(item.id().to_string(), text(vector, "id"), "{name}");
    assert_eq!(u64::from(item.signature_type().number()), vector["signature_type"].as_u64().unwrap(), "{name}");
    assert_eq!(item.signature(), raw(vector, "signature"), "{name}");
    assert_eq!(item.owner(), raw(vector, "owner"), "{name}");
    assert_eq!(item.owner_address().to_string(), text(vector, "owner_address"), "{name}");
    assert_eq!(item.target(), optional(&raw(vector, "target")).map(Id::from_bytes), "{name}");
    assert_eq!(item.anchor().copied(), optional(&raw(vector, "anchor")), "{name}");
    assert_eq!(item.raw_tags(), raw(vector, "tags_raw"), "{name}");
    assert_eq!(item.tags(), tags_of(vector), "{name}");
    assert_eq!(item.data(), raw(vector, "data"), "{name}");
    assert_eq!(item.signed_hash().as_slice(), raw(vector, "deep_hash"), "{name}");
    assert_eq!(item.deviation(), None, "{name}");
    assert_eq!(DataItem::parse_verified(item.raw().clone(), Profile::History).unwrap().deviation(), None, "{name}");
    check_signer(vector, &item);
    check_stream(&item);
}

/// Deterministic signers must give the golden bytes; the others must at least make an item that verifies.
fn check_signer(vector: &Value, item: &DataItem) {
    let name = text(vector, "name");
    let Some(signer) = deterministic_signer(text(vector, "signer")) else { return };
    assert_eq!(signer.owner(), item.owner(), "{name}");
    assert_eq!(signer.sign(&item.signed_hash()).unwrap(), item.signature(), "{name}");
    if tags::encode(item.tags()).unwrap() != item.raw_tags() {
        assert!(name.contains("Avro"), "only the odd encodings of Avro are not ours: {name}");
        return;
    }
    let mut builder = ItemBuilder::new().tags(item.tags().to_vec()).data(item.data());
    if let Some(target) = item.target() {
        builder = builder.target(target);
    }
    if let Some(anchor) = item.anchor() {
        builder = builder.anchor(*anchor);
    }
    assert_eq!(builder.sign(&*signer).unwrap().raw(), item.raw(), "{name}");
}

fn check_stream(item: &DataItem) {
    for size in [1, 7, 600, usize::MAX] {
        let mut stream = ItemStream::new(Profile::Strict, item.raw().len() as u64);
        for piece in item.raw().chunks(size.min(item.raw().len())) {
            stream.push(piece).unwrap();
        }
        let streamed = stream.finish().unwrap();
        assert_eq!(streamed.head.id(), item.id());
        assert_eq!(streamed.head.tags(), item.tags());
        assert_eq!(streamed.data_len, item.data().len() as u64);
        assert_eq!(streamed.data_offset + streamed.data_len, item.raw().len() as u64);
    }
}

#[test]
fn every_valid_item_of_an_accepted_type_is_read_verified_and_made_again() {
    let vectors = load("data-items");
    let accepted: Vec<&Value> = list(&vectors, "items").iter().filter(|vector| accepted(vector)).collect();
    assert_eq!(accepted.len(), 40);
    accepted.into_iter().for_each(check_item);
}

#[test]
fn valid_items_of_refused_types_are_refused_by_name() {
    let vectors = load("data-items");
    let refused: Vec<&Value> = list(&vectors, "items").iter().filter(|vector| !accepted(vector)).collect();
    assert_eq!(refused.len(), 6);
    for vector in refused {
        let number = vector["signature_type"].as_u64().unwrap() as u16;
        let kind = SignatureType::from_number(number).unwrap();
        for profile in [Profile::Strict, Profile::History] {
            assert_eq!(DataItem::parse(raw(vector, "raw"), profile).unwrap_err(), ItemError::RefusedType(kind));
        }
        assert!(ItemError::RefusedType(kind).to_string().contains(&format!("type {number} (")));
    }
}

#[test]
fn every_malformed_item_is_refused() {
    let vectors = load("malformed");
    let items = list(&vectors, "data_items");
    assert_eq!(items.len(), 38);
    for vector in items {
        let item = DataItem::parse_verified(raw(vector, "raw"), Profile::Strict);
        assert!(item.is_err(), "{}", text(vector, "name"));
        let mut stream = ItemStream::new(Profile::Strict, 1 << 20);
        let pushed = raw(vector, "raw").chunks(50).try_for_each(|piece| stream.push(piece));
        let streamed = pushed.and_then(|()| stream.finish()).map(|_| ());
        match (item.map(|_| ()), streamed) {
            // A stream does not know how much is still to come.
            (Err(ItemError::Truncated { field: a, .. }), Err(ItemError::Truncated { field: b, .. })) => {
                assert_eq!(a, b)
            }
            (whole, streamed) => assert_eq!(whole, streamed, "{}", text(vector, "name")),
        }
    }
}

#[test]
fn history_lets_only_the_harmless_pass_and_marks_it() {
    let expected = [
        ("129 tags", Deviation::TagCount),
        ("tag name 1025 bytes", Deviation::FieldLength),
        ("tag value 3073 bytes", Deviation::FieldLength),
        ("Avro array without the closing zero block", Deviation::NoTerminator),
        ("junk after the closing zero block, inside the tag bytes", Deviation::Trailing),
        ("tag name is not UTF-8 (byte ff)", Deviation::NotUtf8),
        ("Avro count as over-long varint", Deviation::LongNumber),
    ];
    let vectors = load("malformed");
    let mut passed = Vec::new();
    for vector in list(&vectors, "data_items") {
        if let Ok(item) = DataItem::parse_verified(raw(vector, "raw"), Profile::History) {
            passed.push((text(vector, "name"), item.deviation().unwrap()));
        }
    }
    assert_eq!(passed, expected);
}

#[test]
fn errors_name_what_is_wrong() {
    let vectors = load("malformed");
    let error = |name: &str| {
        let vector = list(&vectors, "data_items").iter().find(|vector| text(vector, "name") == name).unwrap();
        DataItem::parse_verified(raw(vector, "raw"), Profile::Strict).unwrap_err()
    };
    assert!(matches!(error("empty input"), ItemError::Truncated { field: "signature type", needed: 2, available: 0 }));
    assert_eq!(error("signature type 0x0102"), ItemError::UnknownType(0x0102));
    let presence = "absent anchor written with presence byte 255 (signature still fits)";
    assert_eq!(error(presence), ItemError::Presence { field: "anchor", byte: 255 });
    assert_eq!(error("tag count 5 with two tags"), ItemError::Tags(TagError::CountDiffers { declared: 5, found: 2 }));
    assert_eq!(error("tag byte length 2^63"), ItemError::Tags(TagError::SectionTooLong(1 << 63)));
    assert_eq!(error("tag count 2^64-1"), ItemError::Tags(TagError::TooMany(u64::MAX)));
    assert!(error("RSA owner all zero").to_string().contains("not 4096 bits"));
    assert!(error("Ed25519 small-order key (identity point), R = identity, S = 0").to_string().contains("small order"));
    for name in
        ["Ethereum high-s signature", "Ethereum recovery byte swapped (27 <-> 28)", "Ed25519 signature with S + L"]
    {
        assert!(matches!(error(name), ItemError::Signature { .. }), "{name}");
    }
}

fn to_tree(value: &Value) -> DeepHash<'_> {
    match value {
        Value::Array(children) => DeepHash::List(children.iter().map(to_tree).collect()),
        blob => DeepHash::Blob(blob.as_str().unwrap().as_bytes()),
    }
}

#[test]
fn deep_hashes() {
    let vectors = load("deephash-avro");
    for vector in list(&vectors, "deep_hash") {
        let input = text(vector, "input");
        let zeros = [0; 1000];
        let hash = match input {
            "blob \"\"" => deep_hash(&DeepHash::Blob(b"")),
            "blob \"abc\"" => deep_hash(&DeepHash::Blob(b"abc")),
            "blob 1000 zero bytes" => deep_hash(&DeepHash::Blob(&zeros)),
            tree => deep_hash(&to_tree(&serde_json::from_str(tree).unwrap())),
        };
        assert_eq!(b64::encode(hash), text(vector, "hash"), "{input}");
    }
}

#[test]
fn avro_tag_sections() {
    let vectors = load("deephash-avro");
    for vector in list(&vectors, "avro_tags") {
        let encoded = tags::encode(&tags_of(vector));
        if text(vector, "name") == "value 8191" {
            // Right Avro, but no reader of items takes such a value.
            assert_eq!(encoded, Err(TagError::FieldTooLong { field: "value", len: 4000, max: tags::MAX_VALUE }));
            continue;
        }
        assert_eq!(b64::encode(encoded.unwrap()), text(vector, "bytes"), "{}", text(vector, "name"));
    }
}

#[test]
fn a_bundle_is_read_and_written_again() {
    let vectors = load("bundles");
    let vector = &vectors["bundle3"];
    let bytes = raw(vector, "raw");
    let entries = bundle::read(&bytes, Limits::default()).unwrap();
    assert_eq!(entries.len(), 3);
    for (entry, golden) in entries.iter().zip(list(vector, "entries")) {
        assert_eq!(entry.id.to_string(), text(golden, "id"));
        assert_eq!(entry.offset as u64, golden["offset"].as_u64().unwrap());
        assert_eq!(entry.size as u64, golden["size"].as_u64().unwrap());
    }
    let items = bundle::items(&bytes, Limits::default(), Profile::Strict).unwrap();
    let items: Vec<DataItem> = items.into_iter().map(|(_, item)| item.unwrap()).collect();
    assert_eq!(bundle::write(&items), bytes);
    list(vector, "items").iter().for_each(check_item);
}

#[test]
fn a_nested_bundle_is_opened_with_offsets_in_the_outermost() {
    let vectors = load("bundles");
    let bytes = raw(&vectors["nested"], "raw");
    let carrier: Id = text(&vectors["nested"], "bundle_data_item_id").parse().unwrap();
    let all = bundle::unbundle(&bytes, Limits::default(), Profile::Strict).unwrap();
    assert_eq!(all.refused, []);
    assert_eq!(all.items[0].item.id(), carrier);
    let inner: Vec<String> = all.items[1..].iter().map(|found| found.item.id().to_string()).collect();
    assert_eq!(inner, list(&vectors["nested"], "inner_ids").iter().map(|id| id.as_str().unwrap()).collect::<Vec<_>>());
    for found in &all.items {
        let len = found.item.raw().len();
        assert_eq!(bytes[found.offset..found.offset + len], found.item.raw()[..]);
    }
    assert!(all.items[1..].iter().all(|found| found.parent == Some(carrier)));

    let shallow = Limits { max_depth: 0, ..Limits::default() };
    let outer = bundle::unbundle(&bytes, shallow, Profile::Strict).unwrap();
    assert_eq!((outer.items.len(), outer.refused), (1, vec![Refused::TooDeep(carrier)]));

    let poor = Limits { max_items: 3, ..Limits::default() };
    let partly = bundle::unbundle(&bytes, poor, Profile::Strict).unwrap();
    let reason = BundleError::TooManyItems { count: 3, limit: 2 };
    assert_eq!((partly.items.len(), partly.refused), (1, vec![Refused::Nested { id: carrier, reason }]));
}

#[test]
fn malformed_bundles() {
    let vectors = load("malformed");
    let bundles = list(&vectors, "bundles");
    assert_eq!(bundles.len(), 11);
    for vector in bundles {
        let (name, bytes) = (text(vector, "name"), raw(vector, "raw"));
        let read = bundle::read(&bytes, Limits::default());
        let items = bundle::items(&bytes, Limits::default(), Profile::Strict);
        match name {
            "same item twice" => assert_eq!((read.unwrap().len(), items.unwrap().len()), (1, 1)),
            "zero items" => assert_eq!((read.unwrap().len(), items.unwrap().len()), (0, 0)),
            "last item has a flipped data byte" => {
                assert_eq!(read.unwrap().len(), 3);
                let good: Vec<bool> = items.unwrap().iter().map(|(_, item)| item.is_ok()).collect();
                assert_eq!(good, [true, true, false]);
            }
            _ => assert!(read.is_err(), "{name}"),
        }
    }
}
