//! Bytes that are no text, and the addresses that AO's clients have built in: what modules are shown and what outboxes send.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use proptest::prelude::*;
use serde_json::{Value, json};
use weft_protocol::{
    Id,
    ans104::{DataItem, Ed25519Signer, ItemBuilder, Tag},
    assignment::{Draft, Head},
    attestation::{Attestation, Subject, Verdict},
    b64,
    crank::{self, Delivery},
    election::WELL_KNOWN_SCHEDULER,
    message::{Content, Party, WAO_AUTHORITY, WELL_KNOWN_AUTHORITY, dry_run_json, env_json, message_json},
    outcome::{Outcome, chain_start},
    terms::Terms,
};

const NOT_TEXT: &[u8] = &[0x66, 0xFF, 0x00, 0xC3, 0x28];

fn named(text: &str) -> Id {
    Id::sha256(text.as_bytes())
}

fn item(data: &[u8]) -> DataItem {
    ItemBuilder::new().target(named("process")).data(data.to_vec()).sign(&Ed25519Signer::from_seed([1; 32])).unwrap()
}

fn shown(data: &[u8], slot: u64, exclude: &[&str]) -> Value {
    let content = Content::of_message(&item(data));
    let exclude = exclude.iter().map(|name| (*name).to_owned()).collect();
    let terms = Terms { exclude, ..Terms::default() };
    let draft = Draft { message: content.id, terms, ..Draft::default() };
    let assignment = Head { next_slot: slot, ..Head::empty(named("process")) }.next(draft, 2, 1);
    serde_json::from_str(&message_json(&content, &assignment, None)).unwrap()
}

#[test]
fn f15_a_module_is_shown_bytes_that_are_no_text_whole() {
    let message = shown(NOT_TEXT, 1, &[]);
    assert_eq!(message["Data"], "f\u{FFFD}\0\u{FFFD}(", "the readable part, as AO's scheduler has it");
    assert_eq!(b64::decode(message["Data-Base64"].as_str().unwrap()).unwrap(), NOT_TEXT);
    let process = shown(NOT_TEXT, 0, &[]);
    assert_eq!(process["Data"], Value::Null, "AO's scheduler shows nothing of a process's bytes");
    assert_eq!(b64::decode(process["Data-Base64"].as_str().unwrap()).unwrap(), NOT_TEXT);
    let excluded = shown(NOT_TEXT, 1, &["Data"]);
    assert!(excluded.get("Data").is_none() && excluded.get("Data-Base64").is_none(), "{excluded}");
}

#[test]
fn a_dry_run_may_bring_bytes() {
    let caller = json!({"Data": "x", "Data-Base64": b64::encode(NOT_TEXT)});
    let text: Value = serde_json::from_str(&dry_run_json(&named("process"), &caller, 1, 2)).unwrap();
    assert_eq!((&text["Data"], &text["Data-Base64"]), (&caller["Data"], &caller["Data-Base64"]));
}

/// What an outbox entry with these members sends.
fn sent(members: Value) -> Result<Vec<u8>, String> {
    let mut entry = json!({"Target": named("target").to_string(), "Tags": []});
    entry.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    let outcome = Outcome::from_response(&json!({"Output": "", "Messages": [entry]}), 0);
    let process = named("process");
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
            chain_before: chain_start(&process),
            chain_after: chain_start(&process),
            outbox_root: outcome.outbox_root(),
            fuel: 0,
            state_root: None,
        },
        pushed_for: named("message"),
        scheduler: String::new(),
        cast: false,
    };
    match crank::deliveries(&attestation, &outcome) {
        (mut out, bad) if bad.is_empty() => match out.remove(0).delivery {
            Delivery::Item(item) => Ok(item.data().to_vec()),
            Delivery::Assign { .. } => panic!("an assignment"),
        },
        (_, bad) => Err(bad[0].reason.clone()),
    }
}

#[test]
fn f15_an_outbox_sends_bytes_whole() {
    assert_eq!(sent(json!({"Data": "text", "Data-Base64": b64::encode(NOT_TEXT)})).unwrap(), NOT_TEXT);
    assert_eq!(sent(json!({"Data-Base64": "Zv8Awyg="})).unwrap(), NOT_TEXT, "padding does no harm");
    assert_eq!(sent(json!({"Data-Base64": "+/8="})).unwrap(), [0xFB, 0xFF], "nor does the other alphabet");
    assert_eq!(sent(json!({"Data": "text", "Data-Base64": ""})).unwrap(), b"text");
    assert_eq!(sent(json!({"Data": "text"})).unwrap(), b"text");
    assert_eq!(sent(json!({})).unwrap(), b" ");
    let refused = sent(json!({"Data": "text", "Data-Base64": "?"})).unwrap_err();
    assert!(refused.contains("Data-Base64"), "{refused}");
}

proptest! {
    #[test]
    fn f15_any_bytes_come_through_a_process(bytes in proptest::collection::vec(any::<u8>(), 1..200)) {
        let message = shown(&bytes, 1, &[]);
        match message.get("Data-Base64") {
            Some(whole) => {
                prop_assert!(std::str::from_utf8(&bytes).is_err());
                prop_assert_eq!(sent(json!({"Data-Base64": whole})).unwrap(), bytes);
            }
            None => prop_assert_eq!(message["Data"].as_str().unwrap().as_bytes(), &bytes[..]),
        }
    }
}

/// The `Authority` tags a process with these tags is shown.
fn authorities(tags: &[(&str, &str)]) -> Vec<String> {
    let party = |tags: &[(&str, &str)]| Party {
        id: named("process"),
        owner: "me".to_owned(),
        tags: tags.iter().map(|(name, value)| Tag::new(*name, *value)).collect(),
    };
    let env: Value = serde_json::from_str(&env_json(&party(tags), &party(&[]), &named("network"))).unwrap();
    let shown = env["Process"]["Tags"].as_array().unwrap();
    let own = shown.iter().filter(|tag| tag["name"] == "Authority");
    own.map(|tag| tag["value"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn d12_the_authority_that_aos_names_is_joined_by_the_network() {
    let (network, other) = (named("network").to_string(), named("other").to_string());
    let aos = WELL_KNOWN_AUTHORITY;
    assert_eq!(authorities(&[("Scheduler", &network), ("Authority", WAO_AUTHORITY)]), [WAO_AUTHORITY, &network]);
    for elected in [network.as_str(), WELL_KNOWN_SCHEDULER] {
        let scheduler = ("Scheduler", elected);
        assert_eq!(authorities(&[scheduler]), [network.as_str()]);
        assert_eq!(authorities(&[scheduler, ("Authority", aos)]), [aos, &network]);
        assert_eq!(authorities(&[scheduler, ("Authority", &other)]), [other.as_str()]);
        assert_eq!(authorities(&[scheduler, ("Authority", aos), ("Authority", &other)]), [aos, &other]);
    }
    assert_eq!(authorities(&[("Scheduler", &other), ("Authority", aos)]), [aos], "a pinned process keeps its own");
    assert_eq!(authorities(&[("Scheduler", &other)]), Vec::<String>::new());
}
