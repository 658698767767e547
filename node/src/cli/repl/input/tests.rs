#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
use super::*;

#[test]
fn commands_begin_with_a_dot_and_a_letter() {
    assert!(is_command(".help") && is_command("  .load x.lua"));
    assert!(!is_command("..x") && !is_command(".5") && !is_command("x.help") && !is_command("") && !is_command("."));
}

#[test]
fn an_edited_text_is_what_stands_between_its_commands() {
    assert_eq!(without_editor(".editor\nlocal a = 1\n\nreturn a\n.done\n"), "local a = 1\n\nreturn a");
}
