//! What stands in the log is what is read, and nothing else passes for it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use serde_json::Value;
use weft_protocol::{
    Id,
    ans104::{Ed25519Signer, ItemBuilder},
    assignment::{Assigned, Assignment, Draft, Head},
    reads::{Read, ReadPath},
    terms::{Occasion, Terms},
    wire::{self, LogEntry},
};

use super::*;
use crate::scheduler::entry_content;

fn named(text: &str) -> Id {
    Id::sha256(text.as_bytes())
}

fn message(tags: &[(&str, String)]) -> DataItem {
    let mut item = ItemBuilder::new().target(named("process"));
    for (name, value) in tags {
        item = item.tag(*name, value.clone());
    }
    item.data("x").sign(&Ed25519Signer::from_seed([1; 32])).unwrap()
}

/// The assignment of slot 1, with these terms.
fn assigned(draft: Draft) -> Assignment {
    Head { next_slot: 1, ..Head::empty(named("process")) }.next(draft, 1, 1)
}

fn held(path: ReadPath, content: &'static str) -> wire::Read {
    wire::Read { path: path.to_string(), content: content.into() }
}

fn transactions() -> Value {
    let text = include_str!("../../../protocol/tests/vectors/arweave/transactions.json");
    serde_json::from_str(text).unwrap()
}

#[test]
fn an_entry_holds_what_its_message_asked_to_read() {
    let (one, two) = (ReadPath::Data(named("one")), ReadPath::Block(7));
    let item = message(&[("Weft-Read", one.to_string()), ("Weft-Read", two.to_string())]);
    let fixed = |content: Option<&str>| content.map(|content| Id::sha256(content.as_bytes()));
    let reads = |a, b| vec![Read { path: one, content: fixed(a) }, Read { path: two, content: fixed(b) }];
    let holds = |reads: Vec<Read>, held: Vec<wire::Read>| {
        let terms = Terms { reads, ..Terms::default() };
        let assignment = assigned(Draft { message: item.id(), terms, ..Draft::default() });
        let entry = LogEntry { item: item.raw().clone(), reads: held, ..LogEntry::default() };
        let content = entry_content(&entry, &assignment)?;
        Some(reads_of(&entry, &assignment, &content))
    };
    let both = holds(reads(Some("1"), Some("2")), vec![held(one, "1"), held(two, "2")]).unwrap();
    assert_eq!(both.get(&one.to_string()).unwrap(), "1".as_bytes());
    assert_eq!(both.get("/block/7").unwrap(), "2".as_bytes());
    assert!(both.get("/block/8").is_none() && both.get(&format!("/data/{}", item.id())).is_none());
    let refused = holds(reads(None, Some("2")), vec![held(two, "2")]).unwrap();
    assert!(refused.get(&one.to_string()).is_none());

    let wrong = [
        ("other bytes", reads(Some("1"), None), vec![held(one, "x")]),
        ("bytes for a refused read", reads(None, None), vec![held(one, "1")]),
        ("bytes missing", reads(Some("1"), None), vec![]),
        ("bytes under another path", reads(Some("1"), None), vec![held(two, "1")]),
        ("bytes in another order", reads(Some("1"), Some("2")), vec![held(two, "2"), held(one, "1")]),
        ("a read left out", reads(Some("1"), None)[..1].to_vec(), vec![held(one, "1")]),
        ("no read at all", vec![], vec![]),
    ];
    for (what, reads, held) in wrong {
        assert!(holds(reads, held).is_none(), "{what}");
    }
}

#[test]
fn an_assignment_says_whose_cast_it_is_and_which_chain_it_belongs_to() {
    let chain = named("chain");
    let item = message(&[("Cast", "true".into()), ("Pushed-For", chain.to_string())]);
    let entry = LogEntry { item: item.raw().clone(), ..LogEntry::default() };
    let draft = Draft { message: item.id(), ..Draft::default() };
    let owner = item.signer_address();
    let terms = Occasion::ahead(named("process"), &draft, item.tags(), &owner).terms(vec![], vec![]);
    assert_eq!((terms.cast.as_deref(), terms.pushed_for), (Some(&*owner), Some(chain)));
    let holds = |terms: Terms| entry_content(&entry, &assigned(Draft { terms, ..draft.clone() })).is_some();
    assert!(holds(terms.clone()));
    assert!(!holds(Terms::default()), "an open message");
    assert!(!holds(Terms { cast: Some("somebody".into()), ..terms.clone() }), "another's cast");
    assert!(!holds(Terms { pushed_for: Some(named("other")), ..terms }), "another chain");
}

#[test]
fn a_transaction_is_read_with_its_data_or_where_it_is_excluded_without() {
    let all = transactions();
    let mut seen = (0, 0);
    for json in all.as_object().unwrap().values().filter_map(|one| one.get("tx")) {
        let text = json.to_string();
        let transaction = Transaction::from_json(text.as_bytes()).unwrap();
        if transaction.verify().is_err() || transaction.data_size() == 0 || transaction.data().is_empty() {
            continue;
        }
        let id = transaction.id();
        let exclude = ["data".to_owned()];
        let whole = content_of_transaction(text.as_bytes(), id, &[]).unwrap();
        assert_eq!(whole.data, transaction.data().to_vec());
        assert!(content_of_transaction(text.as_bytes(), named("other"), &[]).is_none());
        let header = serde_json::to_vec(&transaction.header()).unwrap();
        assert!(content_of_transaction(&header, id, &[]).is_none(), "its data is missing");
        match transaction.format() {
            // The signature of the old format covers the data.
            Format::One => assert!(content_of_transaction(&header, id, &exclude).is_none()),
            Format::Two => assert_eq!(content_of_transaction(&header, id, &exclude).unwrap().data, b""),
        }
        let terms = |exclude: &[String]| Terms { exclude: exclude.to_vec(), ..Terms::default() };
        let draft = Draft { message: id, assigned: Some(Assigned::BaseLayer), ..Draft::default() };
        let open = |exclude: &[String]| {
            let assignment = assigned(Draft { terms: terms(exclude), ..draft.clone() });
            let entry = LogEntry { assigned: text.clone().into(), ..LogEntry::default() };
            let content = entry_content(&entry, &assignment).unwrap();
            reads_of(&entry, &assignment, &content)
        };
        let (data, tx) = (ReadPath::Data(id).to_string(), ReadPath::Tx(id).to_string());
        assert_eq!(open(&[]).get(&data), Some(transaction.data()));
        assert_eq!(open(&exclude).get(&data), None);
        let file: Value = serde_json::from_slice(open(&exclude).get(&tx).unwrap()).unwrap();
        assert_eq!(file["ownerAddress"], transaction.owner_address().to_string());
        match transaction.format() {
            Format::One => seen.0 += 1,
            Format::Two => seen.1 += 1,
        }
    }
    assert!(seen.0 > 0 && seen.1 > 0, "both formats: {seen:?}");
}
