#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use super::*;

/// A cursor that the reference compute unit gave.
const AO: &str = "eyJ0aW1lc3RhbXAiOjE3MzU2ODk2MDIwMDAsIm9yZGluYXRlIjoiMSIsImNyb24iOm51bGwsInNvcnQiOiJBU0MifQ==";

#[test]
fn cursors_are_what_ao_gives() {
    assert_eq!(write(1, 1_735_689_602_000, None, false), AO);
    let tick = STANDARD.decode(write(3, 5, Some("0-10-seconds"), false)).unwrap();
    assert_eq!(tick, br#"{"timestamp":5,"ordinate":"3","cron":"0-10-seconds","sort":"ASC"}"#);
    assert_eq!(read("from", AO).unwrap(), Cursor { place: Place::Slot(1), descending: Some(false) });
}

#[test]
fn a_cursor_survives_unescaped_urls() {
    // 62 and 63 of the alphabet turn up in text such as `?>` and `~~`; a `+` in a query arrives as a space.
    let text = STANDARD.encode(r#"{"ordinate":"7","x":"~~>?~~>>??"}"#);
    assert!(text.contains('+') || text.contains('/'));
    for mangled in [text.replace('+', " "), text.replace('=', ""), text.replace('+', "-").replace('/', "_")] {
        assert_eq!(read("from", &mangled).unwrap().place, Place::Slot(7));
    }
}

#[test]
fn bare_times_and_cursors_without_ordinate() {
    assert_eq!(read("to", "1735689602000").unwrap().place, Place::Bare(1_735_689_602_000));
    assert_eq!(read("to", "eyJ0aW1lc3RhbXAiOjF9").unwrap().place, Place::Time(1));
}

#[test]
fn anything_else_is_refused_by_name() {
    for bad in ["abc", "-1", "eyJ9", "e30=", "null", &"A".repeat(600)] {
        assert!(format!("{:?}", read("from", bad).unwrap_err()).contains("from"), "{bad}");
    }
}
