//! Depths that can be asked for, and those that old processes may have.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use super::*;

fn tags(value: &str) -> Vec<Tag> {
    vec![Tag::new("Name", "x"), Tag::new(TAG, value)]
}

#[test]
fn a_settlement_depth_is_a_number_within_bounds_or_refused_with_its_tag() {
    assert_eq!(check(&[]), Ok(()));
    for good in ["1", "20", "1000"] {
        assert_eq!(check(&tags(good)), Ok(()), "{good}");
    }
    for bad in ["0", "1001", "18446744073709551615", "99999999999999999999", "", "-1", "four", "4.0", " 4"] {
        let why = check(&tags(bad)).unwrap_err();
        assert!(why.starts_with(&format!("tag Settlement-Depth = {bad:?}")) && why.contains("1 to 1000"), "{why}");
    }
    assert!(check(&tags(&"9".repeat(3_000))).unwrap_err().len() < 300);
}

#[test]
fn depths_of_old_processes_are_brought_within_bounds() {
    let cases =
        [("4", 4), ("0", 1), ("1001", 1_000), ("18446744073709551615", 1_000), ("99999999999999999999999", 1_000)];
    for (value, wanted) in cases {
        assert_eq!(depth(&tags(value), 20), wanted, "{value}");
    }
    for none in ["", "many", "-5", "1e3"] {
        assert_eq!(depth(&tags(none), 20), 20, "{none}");
    }
    assert_eq!(depth(&[], 3), 3);
}

#[test]
fn waiting_for_a_transaction_ends() {
    let minutes = |depth| patience_ms(depth) / 60_000;
    assert!(minutes(20) > 20 * 2 && minutes(20) < 24 * 60, "{}", minutes(20));
    assert_eq!(patience_ms(u64::MAX), patience_ms(MAX_DEPTH));
    assert!(minutes(MAX_DEPTH) < 5 * 24 * 60);
}
