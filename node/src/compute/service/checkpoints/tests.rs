#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use super::*;
use crate::compute::{Engine, EngineConfig, Instance};

const COUNTER: &[u8] = include_bytes!("../../../../../examples/counter-c/counter.wasm");

fn snapshot() -> Snapshot {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::new(EngineConfig::new(dir.path())).unwrap();
    let module = engine.load(COUNTER, "wasm32-unknown-unknown".parse().unwrap()).unwrap();
    Instance::new(&module).unwrap().snapshot().unwrap()
}

#[test]
fn the_newest_few_are_kept_and_come_back_as_they_were() {
    let (dir, snapshot, process) = (tempfile::tempdir().unwrap(), snapshot(), Id::sha256(b"one"));
    let kept = Checkpoints::open(dir.path(), 1 << 30).unwrap();
    for slot in [256, 512, 768, 1024] {
        kept.put(&process, slot, &snapshot).unwrap();
    }
    assert_eq!(kept.slots(&process), [1024, 768, 512]);
    assert_eq!(kept.slots(&Id::sha256(b"another")), [] as [u64; 0]);
    assert_eq!(kept.get(&process, 768).unwrap(), snapshot);
    assert!(kept.get(&process, 256).is_none());
    let again = Checkpoints::open(dir.path(), 1 << 30).unwrap();
    assert_eq!(again.slots(&process), [1024, 768, 512]);
    assert_eq!(again.used(), 3 * snapshot.as_bytes().len() as u64);
    again.remove(&process, 768);
    assert_eq!((again.slots(&process), again.used()), (vec![1024, 512], 2 * snapshot.as_bytes().len() as u64));
}

#[test]
fn what_is_no_snapshot_is_deleted() {
    let (dir, snapshot, process) = (tempfile::tempdir().unwrap(), snapshot(), Id::sha256(b"one"));
    let kept = Checkpoints::open(dir.path(), 1 << 30).unwrap();
    kept.put(&process, 256, &snapshot).unwrap();
    kept.put(&process, 512, &snapshot).unwrap();
    fs::write(kept.path(&process, 512), b"WEFTSNP").unwrap();
    assert!(kept.get(&process, 512).is_none());
    assert_eq!(kept.slots(&process), [256]);
}

#[test]
fn the_oldest_go_when_the_bound_is_reached() {
    let (dir, snapshot) = (tempfile::tempdir().unwrap(), snapshot());
    let size = snapshot.as_bytes().len() as u64;
    let kept = Checkpoints::open(dir.path(), 20 * size).unwrap();
    let process = |number: u8| Id::sha256(&[number]);
    for number in 0..100 {
        kept.put(&process(number), 256, &snapshot).unwrap();
        assert!(kept.used() <= 20 * size);
    }
    let left: Vec<u8> = (0..100).filter(|number| !kept.slots(&process(*number)).is_empty()).collect();
    assert_eq!(kept.used(), left.len() as u64 * size);
    assert!(left.len() >= 18 && left.contains(&99), "{left:?}");
    // One that alone is more than all may be is not kept at all.
    let small = Checkpoints::open(&dir.path().join("small"), size - 1).unwrap();
    small.put(&process(0), 256, &snapshot).unwrap();
    assert_eq!((small.used(), small.slots(&process(0))), (0, vec![]));
}
