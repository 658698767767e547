#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod crash;
mod damage;
mod model;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;

use super::{Direction, IndexBatch, MAX_RECORD, Position, Reducer, Store, StoreError, recovery, segments};

/// Indexes each record by position, and by its bytes up to 32.
struct ByPosition;

impl Reducer for ByPosition {
    fn apply(&self, position: Position, record: &[u8], batch: &mut IndexBatch) {
        let mut key = b"p".to_vec();
        key.extend_from_slice(&position.to_bytes());
        batch.insert(&key, &record[..record.len().min(32)]);
    }
}

fn open(folder: &Path) -> Store {
    Store::open(folder, ByPosition).unwrap()
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn append(store: &Store, records: &[&[u8]]) -> Vec<Position> {
    block_on(store.append(records.iter().map(|record| Bytes::copy_from_slice(record)).collect())).unwrap()
}

/// Every record, found through the index and read from the journal.
fn contents(store: &Store) -> Vec<Bytes> {
    let entries = store.scan(b"p", None, usize::MAX, Direction::Forward).unwrap();
    let position = |key: &Bytes| Position::from_slice(&key[1..]).unwrap();
    let records: Vec<Bytes> = entries.iter().map(|(key, _)| store.read(position(key)).unwrap()).collect();
    for ((_, start), record) in entries.iter().zip(&records) {
        assert_eq!(start[..], record[..record.len().min(32)], "the index says what the journal says");
    }
    records
}

fn newest_segment(folder: &Path) -> PathBuf {
    segments::find(&folder.join("journal")).unwrap().last_key_value().unwrap().1.path.clone()
}

#[test]
fn reopening_finds_everything_that_was_appended() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let first = append(&store, &[b"one", b"two"]);
    let second = append(&store, &[b"three"]);
    assert!(first[0] < first[1] && first[1] < second[0]);
    drop(store);
    for _ in 0..3 {
        let store = open(folder.path());
        assert_eq!(contents(&store), [&b"one"[..], b"two", b"three"]);
        assert_eq!(store.read(first[1]).unwrap(), &b"two"[..]);
    }
}

#[test]
fn a_store_in_use_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let _store = open(folder.path());
    let error = Store::open(folder.path(), ByPosition).unwrap_err();
    assert!(matches!(error, StoreError::Locked { .. }), "{error}");
    assert!(error.to_string().contains(folder.path().to_str().unwrap()), "{error}");
}

#[test]
fn bounds_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    block_on(async {
        assert!(matches!(store.append(vec![Bytes::new()]).await, Err(StoreError::Empty)));
        let large = Bytes::from(vec![7; MAX_RECORD + 1]);
        assert!(matches!(store.append(vec![large]).await, Err(StoreError::TooLarge { what: "record", .. })));
        let largest = Bytes::from(vec![7; MAX_RECORD]);
        let many = vec![largest.clone(), largest.clone()];
        assert!(matches!(store.append(many).await, Err(StoreError::TooLarge { what: "append", .. })));
        let positions = store.append(vec![largest.clone()]).await.unwrap();
        assert_eq!(store.read(positions[0]).unwrap(), largest);
        assert!(store.append(Vec::new()).await.unwrap().is_empty());
    });
    assert!(matches!(store.read(Position(u64::MAX)), Err(StoreError::NoRecord(_))));
    assert!(store.read(Position(0)).is_err() && store.read(Position(41)).is_err());
}

#[test]
fn segments_rotate_and_all_are_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let record = |n: u8| Bytes::from(vec![n; 20 << 20]);
    let store = open(folder.path());
    let positions = block_on(async {
        let mut positions = Vec::new();
        for n in 1..=6 {
            positions.extend(store.append(vec![record(n)]).await.unwrap());
        }
        positions
    });
    drop(store);
    std::fs::remove_dir_all(folder.path().join("index")).unwrap();
    let store = open(folder.path());
    assert_eq!(segments::find(&folder.path().join("journal")).unwrap().len(), 2);
    for (n, position) in (1..).zip(positions) {
        assert_eq!(store.read(position).unwrap(), record(n));
    }
    assert_eq!(contents(&store).len(), 6);
}

#[test]
fn concurrent_appends_share_syncs() {
    let folder = tempfile::tempdir().unwrap();
    // The first group waits in the reducer until the other appends are queued: no luck involved.
    let (go, wait) = std::sync::mpsc::sync_channel::<()>(1);
    let wait = std::sync::Mutex::new(Some(wait));
    let store = Store::open(folder.path(), move |position: Position, record: &[u8], batch: &mut IndexBatch| {
        if let Some(wait) = wait.lock().unwrap().take() {
            wait.recv().unwrap();
        }
        ByPosition.apply(position, record, batch);
    })
    .unwrap();
    let appends = (0_u32..500).map(|n| store.append(vec![Bytes::copy_from_slice(&n.to_le_bytes())]));
    let all = block_on(async {
        let all = futures::future::join_all(appends);
        let release = async {
            tokio::task::yield_now().await;
            go.send(()).unwrap();
        };
        futures::join!(all, release).0
    });
    assert!(all.iter().all(Result::is_ok));
    let stats = store.stats();
    assert_eq!((stats.appends, stats.records), (500, 500));
    assert!(stats.syncs <= 3, "{stats:?}");
    assert_eq!(contents(&store).len(), 500);
}

#[test]
fn scans_keep_to_prefix_start_limit_and_direction() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), |_: Position, record: &[u8], batch: &mut IndexBatch| {
        match record.strip_prefix(b"-") {
            Some(key) => batch.remove(key),
            None => batch.insert(record, record),
        }
    })
    .unwrap();
    append(&store, &[b"a", b"b1", b"b2", b"b3", b"b\xff\xff", b"c", b"b4", b"-b4"]);
    let keys = |start: Option<&[u8]>, limit, direction| -> Vec<Bytes> {
        store.scan(b"b", start, limit, direction).unwrap().into_iter().map(|(key, _)| key).collect()
    };
    use Direction::{Backward, Forward};
    assert_eq!(keys(None, 9, Forward), [&b"b1"[..], b"b2", b"b3", b"b\xff\xff"]);
    assert_eq!(keys(None, 2, Backward), [&b"b\xff\xff"[..], b"b3"]);
    assert_eq!(keys(Some(b"b2"), 9, Forward), [&b"b2"[..], b"b3", b"b\xff\xff"]);
    assert_eq!(keys(Some(b"b2"), 9, Backward), [&b"b2"[..], b"b1"]);
    assert_eq!(keys(Some(b"c"), 1, Backward), [&b"b\xff\xff"[..]]);
    assert_eq!(keys(Some(b"a"), 1, Forward), [&b"b1"[..]]);
    assert!(keys(Some(b"a"), 9, Backward).is_empty() && keys(Some(b"c"), 9, Forward).is_empty());
    assert_eq!(store.scan(b"", None, 9, Forward).unwrap().len(), 6);
    assert_eq!(store.get(b"b4").unwrap(), None);
    assert_eq!(store.get(b"c").unwrap().unwrap(), &b"c"[..]);
}

#[test]
fn a_failure_poisons_every_later_append() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(
        Store::open(folder.path(), |position: Position, record: &[u8], batch: &mut IndexBatch| {
            assert_ne!(record, b"bad", "a reducer that panics");
            ByPosition.apply(position, record, batch);
        })
        .unwrap(),
    );
    append(&store, &[b"good"]);
    block_on(async {
        let first = store.append(vec![Bytes::from_static(b"bad")]).await.unwrap_err().to_string();
        let later = store.append(vec![Bytes::from_static(b"good")]).await.unwrap_err().to_string();
        assert_eq!(first, later);
        assert_eq!(store.failed().await.to_string(), first);
    });
    assert_eq!(contents(&store), [&b"good"[..]], "reading goes on");
}

#[test]
fn another_reducer_version_rebuilds_the_index() {
    struct Newer;
    impl Reducer for Newer {
        fn apply(&self, position: Position, _: &[u8], batch: &mut IndexBatch) {
            batch.insert(position.to_bytes(), b"newer");
        }
        fn version(&self) -> u32 {
            2
        }
    }
    let folder = tempfile::tempdir().unwrap();
    append(&open(folder.path()), &[b"one", b"two"]);
    let store = Store::open(folder.path(), Newer).unwrap();
    let all = store.scan(b"", None, 9, Direction::Forward).unwrap();
    assert_eq!(all.iter().map(|(_, value)| &value[..]).collect::<Vec<_>>(), [b"newer", b"newer"]);
}
