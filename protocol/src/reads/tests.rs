//! What asks for a read, and what does not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use super::*;

fn id(n: u8) -> Id {
    Id::from_bytes([n; 32])
}

fn tags(all: &[(&str, String)]) -> Vec<Tag> {
    all.iter().map(|(name, value)| Tag::new(*name, value.clone())).collect()
}

#[test]
fn a_path_has_one_text() {
    for path in [ReadPath::Data(id(1)), ReadPath::Tx(id(255)), ReadPath::Block(0), ReadPath::Block(u64::MAX)] {
        assert_eq!(path.to_string().parse(), Ok(path));
        for content in [Some(id(9)), None] {
            let read = Read { path, content };
            assert_eq!(read.to_string().parse(), Ok(read));
        }
    }
    let good = id(3).to_string();
    for bad in
        ["", "/", "data/x", "/data/", "/data/short", "/block/-1", "/block/007", "/block/+7", "/block/1 ", "/file/x"]
    {
        assert!(bad.parse::<ReadPath>().is_err(), "{bad}");
    }
    for bad in [format!("/data/{good}/x"), format!("/data/{good} "), format!("//data/{good}"), format!("/tx{good}")] {
        assert!(bad.parse::<ReadPath>().is_err(), "{bad}");
    }
    for bad in [format!("/data/{good}"), format!("/data/{good} x"), format!("/data/{good}  -"), "- -".to_owned()] {
        assert!(bad.parse::<Read>().is_err(), "{bad}");
    }
}

#[test]
fn tags_ask_in_their_order_and_once() {
    let data = |n| ReadPath::Data(id(n));
    let asked = tags(&[
        (READ_TAG, data(1).to_string()),
        ("On-Boot", id(2).to_string()),
        (READ_TAG, "/block/5".into()),
        (READ_TAG, data(1).to_string()),
        (READ_TAG, data(2).to_string()),
        ("weft-read", data(7).to_string()),
    ]);
    assert_eq!(of_tags(&asked, false), [data(1), ReadPath::Block(5), data(2)], "a message does not boot");
    assert_eq!(of_tags(&asked, true), [data(2), data(1), ReadPath::Block(5)]);
    assert_eq!(check_tags(&asked, true), Ok(()));
    assert!(of_tags(&tags(&[("On-Boot", "Data".into())]), true).is_empty());
}

#[test]
fn what_is_wrong_is_refused_with_its_tag_or_passed_over_where_nobody_can_refuse() {
    let mut asked = tags(&[(READ_TAG, "/etc/passwd".into()), (READ_TAG, "/block/1".into())]);
    assert_eq!(check_tags(&asked, false), Err(ReadError::Path("/etc/passwd".into())));
    assert_eq!(of_tags(&asked, false), [ReadPath::Block(1)]);
    asked = (0..20).map(|n| Tag::new(READ_TAG, format!("/block/{n}"))).collect();
    assert_eq!(check_tags(&asked, false), Err(ReadError::TooMany(20)));
    assert_eq!(of_tags(&asked, false).len(), MAX_READS);
    assert_eq!(check_tags(&asked[..MAX_READS], false), Ok(()));
    asked.truncate(MAX_READS);
    asked.push(Tag::new("On-Boot", id(1).to_string()));
    assert_eq!(check_tags(&asked, true), Err(ReadError::TooMany(MAX_READS + 1)), "On-Boot counts");
}
