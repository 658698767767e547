#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
use proptest::prelude::*;

use super::*;

#[test]
fn complete_lua_is_not_waited_for() {
    for text in [
        "1 + 1",
        "return 5",
        "x = 'do'",
        "-- function",
        "--[[ do ]] return 1",
        "for i = 1, 3 do print(i) end",
        "while true do break end",
        "repeat x = 1 until x",
        "if a then b() elseif c then d() else e() end",
        "Handlers.add('a', 'b', function(m) m.reply({Data = [[ end ( ]]}) end)",
        "local s = [==[ ]] ]==]",
        "do local x = 1 end",
        "s = \"it's\"",
        "s = 'unfinished",
        "endless = 1",
        "end end",
        ")",
        "a[1] = {}",
        "x = '\\\\'",
        "",
    ] {
        assert!(!is_open(text), "{text}");
    }
}

#[test]
fn open_lua_goes_on() {
    for text in [
        "function f()",
        "f(",
        "t = {",
        "Handlers.add('a', 'b', function(m)\n  print(m)",
        "for i = 1, 3 do",
        "while true do if x then",
        "repeat",
        "s = [[ text",
        "s = [=[ ]] ",
        "--[[ comment",
        "if a then b() else",
        "do",
        "s = 'next \\",
    ] {
        assert!(is_open(text), "{text}");
    }
}

proptest! {
    /// Whatever is typed, an answer comes, and a closed text followed by a comment stays closed.
    #[test]
    fn every_text_has_an_answer(text in "[-a-z\\[\\]={}()'\"\\\\\n ]{0,60}|.{0,40}") {
        is_open(&text);
    }

    #[test]
    fn blocks_balance(names in proptest::collection::vec("[a-z]{1,5}x", 1..8)) {
        let opened: String = names.iter().map(|name| format!("if {name} then ")).collect();
        prop_assert!(is_open(&opened));
        let closed = format!("{opened}{}", "end ".repeat(names.len()));
        prop_assert!(!is_open(&closed));
    }
}
