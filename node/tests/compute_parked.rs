//! A process at rest: small, brought back as it was, and no damaged or forged bytes become a state of another root.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "support/lua.rs"]
mod lua;
#[path = "support/modules.rs"]
mod modules;

use std::sync::LazyLock;

use proptest::prelude::*;
use weft_node::compute::{Instance, Module, Parked, SnapshotError, on_evaluation_stack};

/// Bytes before the compressed body.
const HEAD: usize = 8 + 32 + 32 + 8 + 8;

/// A module whose image has pages that its processes clear, change and leave alone.
fn pages() -> Module {
    static MODULE: LazyLock<Module> = LazyLock::new(|| {
        let wasm = wat::parse_str(format!(
            r#"(module
                (memory (export "memory") 16 40)
                (global $count (mut i64) (i64.const 0))
                (func (export "alloc") (param i32) (result i32) (i32.const 131072))
                (func (export "handle") (param i32 i32 i32 i32) (result i64)
                    (global.set $count (i64.add (global.get $count) (i64.const 1)))
                    (i64.store (i32.const 16384) (global.get $count))
                    (memory.fill (i32.const 8192) (i32.const 0) (i32.const 4096))
                    (memory.fill (i32.const 900000) (i32.const 5) (i32.const 9000))
                    (drop (memory.grow (i32.const 1)))
                    {fine})
                (data (i32.const 16) "{{\"ok\":true,\"response\":{{\"Output\":\"fine\"}}}}")
                (data (i32.const 4096) "{filler}")
                (data (i32.const 8192) "{filler}")
                (data (i32.const 12288) "{filler}"))"#,
            fine = modules::FINE,
            filler = "image ".repeat(682),
        ))
        .unwrap();
        modules::engine(|_| {}).load(&wasm, "wasm32-unknown-unknown".parse().unwrap()).unwrap()
    });
    MODULE.clone()
}

/// A process after a few messages.
fn used() -> Instance {
    let mut instance = Instance::new(&pages()).unwrap();
    for _ in 0..3 {
        assert!(instance.apply("a message", "{}").committed);
    }
    instance
}

fn parked() -> Parked {
    static PARKED: LazyLock<Parked> = LazyLock::new(|| used().park().unwrap());
    PARKED.clone()
}

/// What was compressed, with the module's image as the dictionary.
fn body() -> Vec<u8> {
    let image = Instance::new(&pages()).unwrap().snapshot().unwrap().parts(u64::MAX).unwrap();
    let image: Vec<u8> = image.iter().flat_map(|(_, page)| page.to_vec()).collect();
    let mut decompressor = zstd::bulk::Decompressor::with_dictionary(&image).unwrap();
    decompressor.decompress(&parked().as_bytes()[HEAD..], 1 << 20).unwrap()
}

/// Data that zstd would take for a dictionary of its own form serves as none.
#[test]
fn an_image_that_looks_like_a_dictionary() {
    let wasm = wat::parse_str(format!(
        r#"(module (memory (export "memory") 2)
            (func (export "alloc") (param i32) (result i32) (i32.const 65536))
            (func (export "handle") (param i32 i32 i32 i32) (result i64) {fine})
            (data (i32.const 0) "\37\a4\30\ec and more")
            (data (i32.const 16) "{{\"ok\":true,\"response\":{{\"Output\":\"fine\"}}}}"))"#,
        fine = modules::FINE,
    ))
    .unwrap();
    let module = modules::engine(|_| {}).load(&wasm, "wasm32-unknown-unknown".parse().unwrap()).unwrap();
    let mut instance = Instance::new(&module).unwrap();
    assert!(instance.apply("a message", "{}").committed);
    let parked = instance.park().unwrap();
    assert_eq!(Instance::revive(&module, &parked).unwrap().root().unwrap(), instance.root().unwrap());
}

#[test]
fn comes_back_as_it_was() {
    let mut instance = used();
    let parked = Parked::from_bytes(instance.park().unwrap().as_bytes().clone()).unwrap();
    assert_eq!((parked.root(), parked.module()), (instance.root().unwrap(), instance.module().id()));
    assert_eq!(parked.memory_bytes(), instance.memory_bytes());
    let mut again = Instance::revive(&pages(), &parked).unwrap();
    assert_eq!(again.root().unwrap(), instance.root().unwrap());
    // Not by the root alone: every byte, and what it does next.
    let all = |instance: &mut Instance| instance.snapshot().unwrap().parts(u64::MAX).unwrap();
    assert_eq!(all(&mut again), all(&mut instance));
    assert_eq!(again.apply("next", "{}"), instance.apply("next", "{}"));
    assert_eq!(again.root().unwrap(), instance.root().unwrap());
    // What is as in the image is left out: the page of text that nothing changed.
    let body = body();
    assert!(!body.windows(12).any(|part| part == b"image image "));
    assert!(body.len() < 6 * 4096, "{}", body.len());
}

#[test]
fn a_process_that_has_done_nothing_takes_nothing() {
    let mut instance = Instance::new(&pages()).unwrap();
    let parked = instance.park().unwrap();
    assert!(parked.as_bytes().len() < 200, "{}", parked.as_bytes().len());
    assert_eq!(Instance::revive(&pages(), &parked).unwrap().root().unwrap(), instance.root().unwrap());
}

#[test]
fn foreign_and_large_ones_are_refused() {
    let other = modules::engine(|_| {}).load(modules::COUNTER, pages().format()).unwrap();
    assert!(matches!(Instance::revive(&other, &parked()), Err(SnapshotError::OtherModule { .. })));
    let mut limits = pages().limits();
    limits.memory_bytes = 16 << 16;
    let small = pages().limited(limits).unwrap();
    assert!(matches!(Instance::revive(&small, &parked()), Err(SnapshotError::TooLarge { .. })));
    let snapshot = used().snapshot().unwrap();
    assert!(matches!(Parked::from_bytes(snapshot.as_bytes().clone()), Err(SnapshotError::Malformed(_))));
    // A body that says it is far larger than its memory allows is not even unpacked.
    let mut bytes = parked().as_bytes().to_vec();
    bytes[HEAD - 8..HEAD].copy_from_slice(&(u64::MAX / 2).to_le_bytes());
    assert!(matches!(revived(bytes), Err(SnapshotError::Malformed(_))));
}

fn revived(bytes: Vec<u8>) -> Result<Instance, SnapshotError> {
    Instance::revive(&pages(), &Parked::from_bytes(bytes.into())?)
}

/// Nothing but the parked state itself comes of `bytes`.
fn harmless(bytes: Vec<u8>) {
    if let Ok(mut instance) = revived(bytes) {
        assert_eq!(instance.root().unwrap(), parked().root());
    }
}

/// The parked bytes with another body.
fn with_body(body: &[u8]) -> Vec<u8> {
    let mut bytes = parked().as_bytes()[..HEAD - 8].to_vec();
    bytes.extend((body.len() as u64).to_le_bytes());
    bytes.extend(zstd::bulk::compress(body, 1).unwrap());
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300), keep in 0..=HEAD) {
        let mut forged = parked().as_bytes()[..keep].to_vec();
        forged.extend(bytes);
        harmless(forged);
    }

    #[test]
    fn damaged_bytes(at in any::<prop::sample::Index>(), flip in 1_u8.., cut in any::<bool>()) {
        let mut bytes = parked().as_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if cut {
            bytes.truncate(at);
        }
        harmless(bytes);
    }

    /// Well packed, so that what reads the body sees it.
    #[test]
    fn forged_bodies(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4), front in any::<bool>(), cut in 0_usize..6) {
        let mut body = body();
        let until = if front { 100.min(body.len()) } else { body.len() };
        for (at, value) in changes {
            body[at.index(until)] = value;
        }
        body.truncate(body.len() - if cut == 5 { 1 } else { 0 });
        harmless(with_body(&body));
    }
}

#[test]
fn the_same_state_otherwise_described_is_accepted_and_another_is_not() {
    let body = body();
    let mut same = revived(with_body(&body)).unwrap();
    assert_eq!(same.root().unwrap(), parked().root());
    let mut other = body.clone();
    *other.last_mut().unwrap() ^= 1;
    assert!(matches!(revived(with_body(&other)), Err(SnapshotError::WrongRoot)));
    // The count of cleared pages (one: 2), behind three globals at most: a page that was never in the image.
    let globals = u32::from_le_bytes(body[..4].try_into().unwrap()) as usize;
    let cleared = 4 + globals * 17;
    assert_eq!(body[cleared..cleared + 8], [1, 0, 0, 0, 2, 0, 0, 0]);
    let mut other = body;
    other[cleared + 4] = 9;
    assert!(matches!(revived(with_body(&other)), Err(SnapshotError::Malformed(_))));
}

#[test]
fn a_real_process_is_small() {
    let module = modules::aos(&modules::engine(|_| {}));
    on_evaluation_stack(|| {
        let mut process = lua::Lua::boot(&module, 0);
        for count in 1..=20 {
            assert_eq!(process.data("N = (N or 0) + 1; return N"), count.to_string());
        }
        let parked = process.instance.park().unwrap();
        assert!(parked.as_bytes().len() < 320 << 10, "{} bytes", parked.as_bytes().len());
        let mut again = Instance::revive(&module, &parked).unwrap();
        let next = process.message("N = N + 1; return N");
        assert_eq!(again.apply(&next, &process.env), process.instance.apply(&next, &process.env));
        assert_eq!(again.root().unwrap(), process.instance.root().unwrap());
    })
    .unwrap();
}
