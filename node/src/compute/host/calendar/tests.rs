#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::compute::host::strftime::format;

fn text(pattern: &str, seconds: i64) -> String {
    String::from_utf8(format(pattern.as_bytes(), &break_down(seconds).unwrap(), 1_000).unwrap()).unwrap()
}

#[test]
fn known_dates() {
    assert_eq!(text("%c", 10), "Thu Jan 01 00:00:10 1970");
    assert_eq!(text("%F %T %j %u %w %Z %z", 951_826_554), "2000-02-29 12:15:54 060 2 2 UTC +0000");
    assert_eq!(text("%Y-%m-%d", -1), "1969-12-31");
    assert_eq!(
        text("%I:%M %p|%r|%D|%e|%C|%y|%h|%n%t%%|%Q", 1_735_689_600),
        "12:00 AM|12:00:00 AM|01/01/25| 1|20|25|Jan|\n\t%|%Q"
    );
}

#[test]
fn weeks() {
    // 2020-12-31 is in week 53 of 2020, 2021-01-03 still is, 2021-01-04 begins week 1 of 2021.
    assert_eq!(text("%G-%V %g %U %W", 1_609_372_800), "2020-53 20 52 52");
    assert_eq!(text("%G-%V %U %W", 1_609_632_000), "2020-53 01 00");
    assert_eq!(text("%G-%V %U %W", 1_609_718_400), "2021-01 01 01");
    assert_eq!(text("%G-%V", 1_230_681_600), "2009-01"); // 2008-12-31
}

#[test]
fn too_long_is_none_and_wild_fields_are_harmless() {
    assert_eq!(format(b"%Y%Y%Y", &BrokenDown::default(), 5), None);
    let wild =
        BrokenDown::from_fields([i32::MIN, i32::MAX, i32::MIN, i32::MAX, i32::MIN, i32::MAX, i32::MIN, i32::MAX, 0]);
    for conversion in 0..=255_u8 {
        format(&[b'%', conversion], &wild, 1_000);
    }
    assert_eq!(seconds(&wild), None);
    assert_eq!(break_down(i64::MAX), None);
}

proptest::proptest! {
    #[test]
    fn seconds_and_fields_agree(time in -RANGE..=RANGE) {
        let broken = break_down(time).unwrap();
        proptest::prop_assert_eq!(seconds(&broken), Some(time));
        proptest::prop_assert!((0..12).contains(&broken.month) && (1..=31).contains(&broken.day));
        proptest::prop_assert!((0..366).contains(&broken.yearday) && (0..7).contains(&broken.weekday));
    }

    #[test]
    fn normalising_is_stable(fields in proptest::array::uniform9(-10_000_i32..10_000)) {
        let time = BrokenDown::from_fields(fields);
        let at = seconds(&time).unwrap();
        proptest::prop_assert_eq!(seconds(&break_down(at).unwrap()), Some(at));
    }
}
