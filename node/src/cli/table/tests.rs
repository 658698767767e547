#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
use super::*;

#[test]
fn columns_are_as_wide_as_their_widest_cell() {
    let mut table = Table::new(&["NAME", "PORT"]);
    table.row(["alice", "1"]).row(["bo", "23456"]);
    assert_eq!(table.text(), "  NAME   PORT\n  alice  1\n  bo     23456");
}

#[test]
fn bytes_in_human_units() {
    let cases = [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (3 << 20, "3.0 MiB"),
        (5 << 30, "5.0 GiB"),
    ];
    for (n, text) in cases {
        assert_eq!(bytes(n), text);
    }
    assert_eq!(bytes(u64::MAX).rsplit(' ').next(), Some("TiB"));
}

#[test]
fn a_process_cannot_drive_the_terminal() {
    let hostile = "a\u{1b}[31mred\u{1b}[0m\u{1b}]0;title\u{7}\u{1b}[2J\rb\n\tc";
    assert_eq!(without_commands(hostile, true), "a\u{1b}[31mred\u{1b}[0m]0;title[2Jb\n\tc");
    assert_eq!(without_commands(hostile, false), "ared]0;title[2Jb\n\tc", "no colours in a file");
    assert_eq!(without_commands("\u{1b}[", true), "[");
}

#[test]
fn clipped_text_says_so() {
    assert_eq!(clip("four", 4), "four");
    assert_eq!(clip("fives", 4), "fiv…");
    assert_eq!(clip("a\nb", 4), "a b");
}

#[test]
fn time_is_utc() {
    assert_eq!(time(1_700_000_000_000), "2023-11-14 22:13:20");
}
