#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use proptest::prelude::*;

use super::*;

fn open_in(folder: &Path) -> (Parking, Vec<(Id, Filed)>) {
    Parking::open(ParkingConfig { folder: folder.to_owned(), key: [7; 32], max_bytes: u64::MAX }).unwrap()
}

fn id(number: u8) -> Id {
    Id::from_bytes([number; 32])
}

#[test]
fn what_is_written_is_read_and_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let (parking, found) = open_in(dir.path());
    assert!(found.is_empty());
    assert_eq!(parking.read(&id(1)).unwrap(), None);
    parking.write(&id(1), &id(9), 3, b"older").unwrap();
    let filed = parking.write(&id(1), &id(9), 4, b"state").unwrap();
    let other = parking.write(&id(2), &id(9), 0, b"").unwrap();
    let read = Read { module: id(9), slot: 4, state: Bytes::from_static(b"state") };
    assert_eq!(parking.read(&id(1)).unwrap(), Some(read));
    assert_eq!(fs::metadata(parking.path(&id(1))).unwrap().len(), filed.bytes);
    let (parking, mut found) = open_in(dir.path());
    found.sort_by_key(|(id, _)| id.to_string());
    let mut expected = vec![(id(1), filed), (id(2), other)];
    expected.sort_by_key(|(id, _)| id.to_string());
    assert_eq!(found, expected);
    parking.remove(&id(1));
    assert!(!parking.contains(&id(1)) && parking.contains(&id(2)));
    parking.remove(&id(1));
}

#[test]
fn another_nodes_file_and_anothers_name_are_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (parking, _) = open_in(dir.path());
    parking.write(&id(1), &id(9), 3, b"state").unwrap();
    // A file of one process under the name of another.
    fs::create_dir_all(parking.path(&id(2)).parent().unwrap()).unwrap();
    fs::copy(parking.path(&id(1)), parking.path(&id(2))).unwrap();
    assert!(parking.read(&id(2)).is_err());
    assert_eq!(open_in(dir.path()).1.len(), 1);
    assert!(!parking.contains(&id(2)), "the scan deletes what cannot be used");
    let foreign = ParkingConfig { folder: dir.path().to_owned(), key: [8; 32], max_bytes: 1 };
    assert!(Parking::open(foreign).unwrap().1.is_empty());
    assert!(!parking.contains(&id(1)));
}

#[cfg(unix)]
#[test]
fn links_are_not_followed_and_the_file_is_ones_own() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let (parking, _) = open_in(dir.path());
    parking.write(&id(1), &id(9), 3, b"state").unwrap();
    assert_eq!(fs::metadata(parking.path(&id(1))).unwrap().permissions().mode() & 0o777, 0o600);
    let elsewhere = dir.path().join("elsewhere");
    fs::rename(parking.path(&id(1)), &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, parking.path(&id(1))).unwrap();
    assert!(parking.read(&id(1)).is_err());
}

#[test]
fn a_write_that_was_interrupted_leaves_the_older_state() {
    let dir = tempfile::tempdir().unwrap();
    let (parking, _) = open_in(dir.path());
    parking.write(&id(1), &id(9), 3, b"older").unwrap();
    // Killed while it wrote the next one.
    fs::write(dir.path().join("temp").join("5"), b"half of a newer").unwrap();
    let (parking, found) = open_in(dir.path());
    assert_eq!(found.len(), 1);
    assert_eq!(parking.read(&id(1)).unwrap().unwrap().state.as_ref(), b"older");
    assert_eq!(fs::read_dir(dir.path().join("temp")).unwrap().count(), 0);
}

#[test]
fn a_disk_that_takes_nothing_is_said_and_survived() {
    let dir = tempfile::tempdir().unwrap();
    let (parking, _) = open_in(dir.path());
    // Instead of a full disk: the place of the file is taken by a folder that is not empty.
    fs::create_dir_all(parking.path(&id(1)).join("x")).unwrap();
    assert_eq!(parking.write(&id(1), &id(9), 3, b"state"), None);
    assert!(!parking.is_healthy());
    assert_eq!(fs::read_dir(dir.path().join("temp")).unwrap().count(), 0, "no half files pile up");
    assert!(parking.write(&id(2), &id(9), 3, b"state").is_some());
    assert!(parking.is_healthy());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is changed, cut off or added: the state is not read.
    #[test]
    fn damage_is_always_noticed(state in prop::collection::vec(any::<u8>(), 0..300), at in any::<prop::sample::Index>(), bit in 0..8_u8, cut in any::<bool>()) {
        let dir = tempfile::tempdir().unwrap();
        let (parking, _) = open_in(dir.path());
        parking.write(&id(1), &id(9), 3, &state).unwrap();
        let path = parking.path(&id(1));
        let mut bytes = fs::read(&path).unwrap();
        let place = at.index(bytes.len());
        if cut { bytes.truncate(place) } else { bytes[place] ^= 1 << bit }
        fs::write(&path, &bytes).unwrap();
        prop_assert!(parking.read(&id(1)).is_err());
        // At the start only the head is looked at: what is found may still fail when it is read, as above.
        prop_assert!(open_in(dir.path()).1.iter().all(|(found, filed)| *found == id(1) && filed.slot == 3));
    }
}
