#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
use super::*;

#[test]
fn formats_are_told_apart_by_the_memory() {
    let wide = wat::parse_str("(module (memory i64 1))").unwrap();
    let narrow = wat::parse_str("(module (memory 1) (func))").unwrap();
    assert_eq!(guess_format(&wide), AOS_FORMAT);
    let importing = wat::parse_str("(module (import \"env\" \"f\" (func)) (memory 1))").unwrap();
    assert_eq!(guess_format(&narrow), PLAIN_FORMAT);
    assert_eq!(guess_format(&importing), EMSCRIPTEN_FORMAT);
    for cut in 0..wide.len() {
        guess_format(&wide[..cut]);
    }
}

#[test]
fn built_in_modules_have_the_same_id_everywhere_and_are_what_they_say() {
    for (name, wasm, format) in BUILT_IN {
        let item = || built_in(name).unwrap().unwrap().id();
        assert_eq!(item(), item());
        assert_eq!(guess_format(wasm), format, "{name}");
    }
    assert!(built_in("aos").is_none());
}
