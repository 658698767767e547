//! What the reference's scheduler and messenger get wrong about assignments, and what odd items mean.

use serde_json::{Value, json};
use weft_node::intake::{Purpose, purpose};
use weft_protocol::{
    Id,
    ans104::{DataItem, Ed25519Signer, ItemBuilder},
    assignment::{Assigned, Draft, Head, MAX_EXCLUDE, check_exclude},
    attestation::{Attestation, Subject, Verdict},
    crank::{self, Delivery},
    message::{Content, message_json},
    outcome::{Outcome, chain_start},
    terms::Terms,
};

fn named(text: &str) -> Id {
    Id::sha256(text.as_bytes())
}

fn item(tags: &[(&str, &str)]) -> DataItem {
    let item = tags.iter().fold(ItemBuilder::new(), |item, (name, value)| item.tag(*name, *value));
    item.target(named("target")).anchor([b'a'; 32]).data("data").sign(&Ed25519Signer::from_seed([3; 32])).unwrap()
}

/// What a process is shown of an assigned item.
fn shown(exclude: &[&str]) -> Value {
    let content = Content::of_item(&item(&[("Name", "x")]));
    let exclude: Vec<String> = exclude.iter().map(|name| (*name).to_owned()).collect();
    check_exclude(&exclude).unwrap();
    let terms = Terms { exclude, ..Terms::default() };
    let draft = Draft { message: content.id, assigned: Some(Assigned::Item), terms, ..Draft::default() };
    let assignment = Head { next_slot: 4, ..Head::empty(named("process")) }.next(draft, 1, 1);
    serde_json::from_str(&message_json(&content, &assignment, None)).unwrap()
}

#[test]
fn f02_one_or_many_members_are_left_out() {
    let all = ["Data", "Tags", "Signature", "Anchor"];
    let whole = shown(&[]);
    for name in all {
        assert!(whole.get(name).is_some(), "{name}");
        for written in [name.to_owned(), name.to_lowercase(), name.to_uppercase()] {
            let left = shown(&[&written]);
            assert!(left.get(name).is_none(), "{written}");
            let others = all.iter().filter(|other| **other != name);
            others.for_each(|other| assert_eq!(left[*other], whole[*other], "{written} leaves {other}"));
        }
    }
    let left = shown(&all);
    assert!(all.iter().all(|name| left.get(*name).is_none()), "{left}");
    assert_eq!(shown(&["Owner", "Id", "Target", "From", "Nonsense"]), whole, "who sent it is never hidden");
    assert!(check_exclude(&vec!["Data".to_owned(); MAX_EXCLUDE + 1]).is_err());
}

#[test]
fn f03_assignments_of_an_outbox_keep_base_layer_and_exclude() {
    let (process, tx) = (named("process"), named("tx"));
    let entry = |more: Value| {
        let mut entry = json!({"Processes": [named("other")], "Message": tx});
        entry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        entry
    };
    let cases = [
        (json!({}), vec![], false),
        (json!({"BaseLayer": true}), vec![], true),
        (json!({"BaseLayer": "true", "Exclude": ["Data"]}), vec!["Data"], true),
        (json!({"BaseLayer": "false", "Exclude": "Data, Tags"}), vec!["Data", "Tags"], false),
        (json!({"Exclude": ["Data", "Anchor", "Tags"]}), vec!["Data", "Anchor", "Tags"], false),
    ];
    let entries: Vec<Value> = cases.iter().map(|(more, ..)| entry(more.clone())).collect();
    let outcome = Outcome::from_response(&json!({"Output": "", "Assignments": entries}), 0);
    let chain = chain_start(&process);
    let attestation = Attestation {
        subject: Subject {
            network: named("network"),
            process,
            slot: 1,
            message: named("message"),
            assignment: named("assignment"),
            module: named("module"),
            profile: named("profile"),
        },
        verdict: Verdict {
            outcome: outcome.hash(),
            chain_before: chain,
            chain_after: chain,
            outbox_root: outcome.outbox_root(),
            fuel: 0,
            state_root: None,
        },
        pushed_for: named("message"),
        scheduler: String::new(),
        cast: false,
    };
    let (out, bad) = crank::deliveries(&attestation, &outcome);
    assert_eq!((out.len(), bad.len()), (cases.len(), 0));
    for (one, (more, names, layer_one)) in out.iter().zip(&cases) {
        let Delivery::Assign { tx: found, exclude, base_layer, .. } = &one.delivery else { panic!("{more}") };
        assert_eq!((found, exclude.iter().map(String::as_str).collect(), base_layer), (&tx, names.clone(), layer_one));
    }
}

#[test]
fn r15_odd_items_mean_one_thing_or_are_refused() {
    let module = named("module").to_string();
    let what = |tags: &[(&str, &str)]| {
        let ao = [("Data-Protocol", "ao"), ("Module", &*module)];
        purpose(&item(&[&ao, tags].concat())).map(|purpose| match purpose {
            Purpose::Process => "process",
            Purpose::Message(_) => "message",
        })
    };
    // The first `Type` that is one of the two counts, whatever else calls itself so.
    assert_eq!(what(&[("Type", "Message")]), Ok("message"));
    assert_eq!(what(&[("Type", "Process"), ("Type", "Message")]), Ok("process"));
    assert_eq!(what(&[("Type", "Message"), ("Type", "Process")]), Ok("message"));
    assert_eq!(what(&[("Type", "Transfer"), ("Type", "Message")]), Ok("message"));
    for variant in ["ao.TN.1", "ao.N.1", "something new"] {
        assert_eq!(what(&[("Type", "Message"), ("Variant", variant)]), Ok("message"), "{variant}");
    }
    for (tags, word) in
        [(vec![("Type", "Transfer")], "Transfer"), (vec![], "Type"), (vec![("type", "Message")], "Type")]
    {
        let why = what(&tags).unwrap_err();
        assert!(why.contains(word), "{why}");
    }
    let why = purpose(&item(&[("Type", "Message")])).err().unwrap();
    assert!(why.contains("Data-Protocol"), "{why}");
    let why = purpose(&item(&[("Data-Protocol", "ao"), ("Type", "Process"), ("Module", "x")])).err().unwrap();
    assert!(why.contains("Module"), "{why}");
}
