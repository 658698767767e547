//! What follows from a message, and that nothing else is taken for it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use super::*;
use crate::ans104::{Ed25519Signer, ItemBuilder};

fn cast(value: &str) -> Vec<Tag> {
    vec![Tag::new("Action", "x"), Tag::new(CAST_TAG, value)]
}

fn occasion(tags: &[Tag]) -> Occasion<'_> {
    Occasion { tags, owner: "alice", speaker: None, kind: Kind::Message }
}

#[test]
fn the_first_cast_tag_decides() {
    for yes in ["true", "1", "yes", "no", " "] {
        assert!(is_cast(&cast(yes)), "{yes}");
    }
    for no in ["", "false", "False", "FALSE"] {
        assert!(!is_cast(&cast(no)), "{no}");
    }
    assert!(!is_cast(&[]) && !is_cast(&[Tag::new("cast", "true")]));
    let both = [cast("false"), cast("true")].concat();
    assert!(!is_cast(&both));
}

#[test]
fn only_a_message_of_its_own_is_a_cast_and_a_crank_is_its_process_s() {
    let tags = cast("true");
    let message = occasion(&tags);
    assert_eq!(message.terms(vec![], vec![]).cast.as_deref(), Some("alice"));
    let process = Id::sha256(b"process");
    let speaker = Some(process);
    assert_eq!(Occasion { speaker, ..message }.terms(vec![], vec![]).cast, Some(process.to_string()));
    assert_eq!(crank_process(&format!("{process}/7/0/1/0")), speaker);
    assert_eq!(crank_process("process/7/0/1/0"), None);
    let draft = Draft { cron: Some("time/0/1-second/1/1000".into()), ..Draft::default() };
    let tick = Occasion::ahead(process, &draft, &tags, "nobody");
    assert_eq!((tick.kind, tick.terms(vec![], vec![]).cast), (Kind::Tick, Some(process.to_string())));
    assert_eq!(Occasion { kind: Kind::Process, ..message }.terms(vec![], vec![]).cast, None);
    assert_eq!(Occasion { kind: Kind::Assigned, ..message }.terms(vec![], vec![]).cast, None);
}

#[test]
fn terms_fit_their_message_only() {
    let id = Id::sha256(b"chain");
    let path = ReadPath::Data(id);
    let tags =
        [cast("true"), vec![Tag::new("Pushed-For", id.to_string()), Tag::new(READ_TAG, path.to_string())]].concat();
    let message = occasion(&tags);
    assert_eq!(message.reads(), [path]);
    let terms = message.terms(vec![], vec![Read { path, content: Some(id) }]);
    assert!(terms.fit(&message));
    let wrong = [
        Terms { cast: None, ..terms.clone() },
        Terms { cast: Some("bob".into()), ..terms.clone() },
        Terms { pushed_for: None, ..terms.clone() },
        Terms { pushed_for: Some(Id::sha256(b"other")), ..terms.clone() },
        Terms { reads: vec![], ..terms.clone() },
        Terms { reads: vec![Read { path: ReadPath::Tx(id), content: None }], ..terms.clone() },
        Terms { reads: [terms.reads.clone(), terms.reads.clone()].concat(), ..terms.clone() },
    ];
    for (at, wrong) in wrong.iter().enumerate() {
        assert!(!wrong.fit(&message), "{at}");
    }
    let assigned = Occasion { kind: Kind::Assigned, ..message };
    assert!(!terms.fit(&assigned));
    assert!(assigned.terms(vec![], vec![]).fit(&assigned) && assigned.reads().is_empty());
}

#[test]
fn what_stands_in_the_tags_is_what_was_written() {
    let signer = Ed25519Signer::from_seed([1; 32]);
    let id = Id::sha256(b"x");
    let reads =
        |n: u64| (0..n).map(|n| Read { path: ReadPath::Block(n), content: (n % 2 == 0).then_some(id) }).collect();
    let all = [
        Terms::default(),
        Terms { exclude: vec!["Data".into()], reads: reads(16), cast: Some("0xabc".into()), pushed_for: Some(id) },
        Terms { cast: Some(id.to_string()), ..Terms::default() },
    ];
    for terms in all {
        let item = ItemBuilder::new().tags(terms.tags()).sign(&signer).unwrap();
        assert_eq!(Terms::read(&item), Ok(terms));
    }
    let bad = [
        (Tag::new(READ_TAG, "/block/1"), READ_TAG),
        (Tag::new("Weft-Cast", "x".repeat(65)), "Weft-Cast"),
        (Tag::new("Weft-Pushed-For", "no id"), "Weft-Pushed-For"),
    ];
    for (tag, name) in bad {
        let item = ItemBuilder::new().tags([tag]).sign(&signer).unwrap();
        assert_eq!(Terms::read(&item), Err(name));
    }
    let item = ItemBuilder::new().tags(Terms { reads: reads(17), ..Terms::default() }.tags()).sign(&signer).unwrap();
    assert_eq!(Terms::read(&item), Err(READ_TAG));
}
