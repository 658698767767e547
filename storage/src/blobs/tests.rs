#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use super::*;

#[test]
fn what_is_put_is_got_after_reopening_and_can_be_replaced_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (Id::sha256(b"one"), Id::sha256(b"two"));
    let blobs = Blobs::open(folder.path()).unwrap();
    assert_eq!(blobs.get(&one).unwrap(), None);
    blobs.put(&one, b"first").unwrap();
    blobs.put(&one, b"replaced").unwrap();
    blobs.put(&two, b"").unwrap();
    drop(blobs);
    let blobs = Blobs::open(folder.path()).unwrap();
    assert_eq!(blobs.get(&one).unwrap().unwrap(), &b"replaced"[..]);
    assert_eq!(blobs.get(&two).unwrap().unwrap(), &b""[..]);
    assert_eq!(fs::read(blobs.path(&one)).unwrap(), b"replaced");
    assert!(blobs.contains(&one));
    blobs.remove(&one).unwrap();
    blobs.remove(&one).unwrap();
    assert!(!blobs.contains(&one) && blobs.get(&one).unwrap().is_none());
}

#[test]
fn what_an_interrupted_write_left_is_removed_and_never_seen() {
    let folder = tempfile::tempdir().unwrap();
    let name = Id::sha256(b"name");
    let blobs = Blobs::open(folder.path()).unwrap();
    fs::write(folder.path().join("temp").join("1-1"), b"half").unwrap();
    assert_eq!(blobs.get(&name).unwrap(), None);
    let blobs = Blobs::open(folder.path()).unwrap();
    assert_eq!(fs::read_dir(folder.path().join("temp")).unwrap().count(), 0);
    blobs.put(&name, b"whole").unwrap();
    assert_eq!(blobs.get(&name).unwrap().unwrap(), &b"whole"[..]);
}

#[test]
fn an_error_names_the_file_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let name = Id::sha256(b"name");
    let blobs = Blobs::open(folder.path()).unwrap();
    fs::create_dir_all(blobs.path(&name)).unwrap();
    let error = blobs.put(&name, b"bytes").unwrap_err().to_string();
    assert!(error.contains(blobs.path(&name).to_str().unwrap()) && error.contains("check"), "{error}");
    assert_eq!(fs::read_dir(folder.path().join("temp")).unwrap().count(), 0, "no temporary file stays");
}
