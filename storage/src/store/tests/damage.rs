//! Cut, flipped, missing and foreign files.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::FileExt,
};

use proptest::prelude::*;

use super::*;
use crate::store::format::SEGMENT_HEADER;

/// Cuts the newest segment to `len` bytes.
fn cut(folder: &Path, len: u64) {
    OpenOptions::new().write(true).open(newest_segment(folder)).unwrap().set_len(len).unwrap();
}

/// Flips bit `bit` of the newest segment's byte `offset`.
fn flip(folder: &Path, offset: u64, bit: u8) {
    let file = OpenOptions::new().read(true).write(true).open(newest_segment(folder)).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    byte[0] ^= 1 << bit;
    file.write_all_at(&byte, offset).unwrap();
}

fn length(folder: &Path) -> u64 {
    fs::metadata(newest_segment(folder)).unwrap().len()
}

/// A folder's journal, to be restored before each trial.
fn snapshot(folder: &Path) -> (PathBuf, Vec<u8>) {
    let path = newest_segment(folder);
    let bytes = fs::read(&path).unwrap();
    (path, bytes)
}

#[test]
fn a_cut_at_every_byte_of_the_last_group_leaves_what_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    append(&store, &[b"first"]);
    append(&store, &[b"second", b"third"]);
    let acknowledged = store.stats().end;
    append(&store, &[b"torn record", b"and another"]);
    let end = store.stats().end;
    drop(store);
    let (path, bytes) = snapshot(folder.path());
    for len in acknowledged..end {
        fs::write(&path, &bytes).unwrap();
        cut(folder.path(), len);
        let store = open(folder.path());
        assert_eq!(contents(&store), [&b"first"[..], b"second", b"third"], "cut to {len}");
        append(&store, &[b"afterwards"]);
        drop(store);
        assert_eq!(contents(&open(folder.path())).last().unwrap(), &b"afterwards"[..]);
    }
}

#[test]
fn a_flipped_bit_before_the_last_group_is_found_wherever_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    append(&store, &[b"first"]);
    append(&store, &[b"second", b"third"]);
    let last = store.stats().end;
    append(&store, &[b"last"]);
    drop(store);
    let (path, bytes) = snapshot(folder.path());
    for offset in 0..last {
        fs::write(&path, &bytes).unwrap();
        flip(folder.path(), offset, (offset % 8) as u8);
        let error = Store::open(folder.path(), ByPosition).expect_err(&format!("byte {offset}"));
        let StoreError::Corrupt { file, offset: at, .. } = &error else { panic!("byte {offset}: {error}") };
        assert_eq!(*file, path);
        assert!(*at <= offset, "{error}");
        assert_eq!(fs::read(&path).unwrap().len(), bytes.len(), "nothing was cut");
    }
    fs::write(&path, &bytes).unwrap();
    assert_eq!(contents(&open(folder.path())).len(), 4);
}

#[test]
fn a_flipped_bit_in_an_older_segment_is_found_when_read_and_when_replayed() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let large = vec![9; 30 << 20];
    let positions: Vec<_> = (0..4).flat_map(|_| append(&store, &[&large])).collect();
    drop(store);
    let oldest = segments::find(&folder.path().join("journal")).unwrap().first_key_value().unwrap().1.path.clone();
    let file = OpenOptions::new().write(true).open(&oldest).unwrap();
    file.write_all_at(&[8], positions[1].to_u64() + 1000).unwrap();
    let store = open(folder.path());
    assert!(store.read(positions[0]).is_ok());
    let error = store.read(positions[1]).unwrap_err();
    assert!(matches!(&error, StoreError::Corrupt { file, .. } if *file == oldest), "{error}");
    drop(store);
    fs::remove_dir_all(folder.path().join("index")).unwrap();
    let error = Store::open(folder.path(), ByPosition).unwrap_err();
    assert!(matches!(&error, StoreError::Corrupt { file, .. } if *file == oldest), "{error}");
}

#[test]
fn a_lost_segment_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let large = vec![9; 30 << 20];
    for _ in 0..4 {
        append(&store, &[&large]);
    }
    drop(store);
    let oldest = segments::find(&folder.path().join("journal")).unwrap().first_key_value().unwrap().1.path.clone();
    fs::remove_file(oldest).unwrap();
    let error = Store::open(folder.path(), ByPosition).unwrap_err();
    assert!(matches!(error, StoreError::Gap { expected: 0, .. }), "{error}");
}

#[test]
fn an_unfinished_new_segment_is_started_again() {
    let folder = tempfile::tempdir().unwrap();
    append(&open(folder.path()), &[b"one"]);
    let next = folder.path().join("journal").join(format!("{:016x}.journal", length(folder.path())));
    for junk in [0, 5, SEGMENT_HEADER] {
        fs::write(&next, vec![0; junk]).unwrap();
        let store = open(folder.path());
        assert_eq!(contents(&store), [&b"one"[..]]);
    }
    append(&open(folder.path()), &[b"two"]);
    assert_eq!(contents(&open(folder.path())), [&b"one"[..], b"two"]);
}

#[test]
fn zeros_where_the_last_group_should_be_are_an_interrupted_write() {
    let folder = tempfile::tempdir().unwrap();
    append(&open(folder.path()), &[b"one"]);
    let len = length(folder.path());
    cut(folder.path(), len + 5000);
    assert_eq!(contents(&open(folder.path())), [&b"one"[..]]);
    assert_eq!(length(folder.path()), len);
}

#[test]
fn a_lost_damaged_foreign_or_too_new_index_is_rebuilt() {
    let folder = tempfile::tempdir().unwrap();
    let index = folder.path().join("index");
    let store = open(folder.path());
    for n in 0..200_u8 {
        append(&store, &[&[n; 100]]);
    }
    let expected = contents(&store);
    drop(store);

    fs::remove_dir_all(&index).unwrap();
    assert_eq!(contents(&open(folder.path())), expected, "lost");

    for entry in fs::read_dir(&index).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let noise: Vec<u8> = (0..fs::metadata(&path).unwrap().len()).map(|n| (n * 31) as u8).collect();
            fs::write(&path, noise).unwrap();
        }
    }
    assert_eq!(contents(&open(folder.path())), expected, "damaged");

    recovery::mark_index_bad(folder.path());
    assert_eq!(contents(&open(folder.path())), expected, "marked");
    assert!(!folder.path().join("index.bad").exists());

    let other = tempfile::tempdir().unwrap();
    append(&open(other.path()), &[b"of another journal"]);
    fs::remove_dir_all(&index).unwrap();
    fs::rename(other.path().join("index"), &index).unwrap();
    assert_eq!(contents(&open(folder.path())), expected, "foreign");

    let (path, bytes) = snapshot(folder.path());
    append(&open(folder.path()), &[b"in the index, but then not in the journal"]);
    fs::write(path, bytes).unwrap();
    assert_eq!(contents(&open(folder.path())), expected, "too new");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_cut_anywhere_leaves_a_prefix_of_whole_appends(
        appends in prop::collection::vec(prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 1..4), 1..12),
        cut_at in any::<prop::sample::Index>(),
        noise in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        let mut ends = vec![store.stats().end];
        for records in &appends {
            append(&store, &records.iter().map(Vec::as_slice).collect::<Vec<_>>());
            ends.push(store.stats().end);
        }
        drop(store);
        let floor = ends[0];
        let len = floor + cut_at.index((ends[appends.len()] - floor + 1) as usize) as u64;
        cut(folder.path(), len);
        // Garbage after the cut, as a file system may leave after a power loss.
        let file = OpenOptions::new().write(true).open(newest_segment(folder.path())).unwrap();
        file.write_all_at(&noise, len).unwrap();
        let whole = ends.iter().filter(|end| **end <= len).count() - 1;
        let expected: Vec<&[u8]> = appends[..whole].iter().flatten().map(Vec::as_slice).collect();
        match Store::open(folder.path(), ByPosition) {
            Ok(store) => prop_assert_eq!(contents(&store), expected),
            // Noise behind a group cut short within its last bytes looks like a damaged group with more after it.
            Err(StoreError::Corrupt { .. }) => prop_assert!(!noise.is_empty() && len > ends[whole]),
            Err(error) => prop_assert!(false, "{}", error),
        }
    }
}
