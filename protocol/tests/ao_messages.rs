//! What modules and other schedulers are shown, byte for byte as the reference has it: message and environment texts, the
//! assignment chain; and the items that come out of an outcome, tag for tag as the reference messenger makes them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;
use weft_protocol::{
    Id,
    ans104::{DataItem, Profile, Tag},
    assignment::{Assigned, Assignment, Draft, Head},
    attestation::{Attestation, Subject, Verdict},
    crank::{self, CRANK_TAG, Delivery, Kind, Outgoing},
    message::{Content, Party, dry_run_json, env_json, message_json},
    outcome::{Outcome, chain_next, chain_start},
};

fn vectors() -> Value {
    serde_json::from_str(include_str!("vectors/ao/messages.json")).unwrap()
}

fn messenger() -> Value {
    serde_json::from_str(include_str!("vectors/ao/messenger.json")).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

fn id(value: &Value) -> Id {
    text(value).parse().unwrap()
}

fn item(value: &Value) -> DataItem {
    let raw = URL_SAFE_NO_PAD.decode(text(value)).unwrap();
    DataItem::parse_verified(raw.into(), Profile::Strict).unwrap()
}

fn tags(value: &Value) -> Vec<Tag> {
    let tag = |tag: &Value| Tag::new(text(&tag["name"]), text(&tag["value"]));
    value.as_array().unwrap().iter().map(tag).collect()
}

fn scheduled() -> Vec<Value> {
    let steps = vectors()["steps"].as_array().unwrap().clone();
    steps.into_iter().filter(|step| step.get("assignmentItem").is_some()).collect()
}

#[test]
fn modules_are_shown_every_scheduled_message_as_the_reference_shows_it() {
    for step in scheduled() {
        let mut assignment = Assignment::read(&item(&step["assignmentItem"])).unwrap();
        let content = match step.get("hydratedTx") {
            None => Content::of_message(&item(&step["dataItem"])),
            Some(tx) => {
                assignment.assigned = Some(Assigned::BaseLayer);
                Content {
                    id: id(&tx["id"]),
                    signature: URL_SAFE_NO_PAD.decode(text(&tx["signature"])).unwrap(),
                    data: tx["data"].as_str().unwrap_or_default().as_bytes().to_vec(),
                    owner: text(&tx["owner"]).to_owned(),
                    target: text(&tx["recipient"]).to_owned(),
                    anchor: tx["anchor"].as_str().map(str::to_owned),
                    tags: tags(&tx["tags"]),
                }
            }
        };
        assert_eq!(message_json(&content, &assignment, None), text(&step["msgJSON"]), "{}", step["name"]);
    }
}

/// A tick is shown as its owner's own word, marked `Cron`, whatever its tags say of its sender.
#[test]
fn a_tick_is_shown_as_its_owner_s() {
    let process = item(&vectors()["steps"][0]["dataItem"]);
    let head = Head::empty(process.id());
    let draft = |cron: Option<&str>| Draft { message: process.id(), cron: cron.map(str::to_owned), ..Draft::default() };
    let mut content = Content { owner: "the owner".to_owned(), ..Content::of_message(&process) };
    content.tags = vec![Tag::new("From-Process", "somebody"), Tag::new("Action", "Tick")];
    let shown = |cron: Option<&str>| -> Value {
        let text = message_json(&content, &head.next(draft(cron), 77, 5), Some(&Id::sha256(b"network")));
        serde_json::from_str(&text).unwrap()
    };
    let (tick, message) = (shown(Some("time/0/1-second/1/1000")), shown(None));
    assert_eq!((&message["Cron"], text(&message["From"])), (&Value::Bool(false), "somebody"));
    assert_eq!(
        (&tick["Cron"], text(&tick["From"]), text(&tick["Owner"])),
        (&Value::Bool(true), "the owner", "the owner")
    );
    assert_eq!(tick.get("Forwarded-By"), None);
    assert_eq!((&tick["Timestamp"], &tick["Block-Height"], &tick["Nonce"]), (&77.into(), &5.into(), &0.into()));
}

#[test]
fn the_environment_is_the_reference_s_text() {
    let vectors = vectors();
    let expected = text(&vectors["envJSON"]);
    let env: Value = serde_json::from_str(expected).unwrap();
    let process = Party::of(&item(&vectors["steps"][0]["dataItem"]));
    let module = &env["Module"];
    let module = Party { id: id(&module["Id"]), owner: text(&module["Owner"]).to_owned(), tags: tags(&module["Tags"]) };
    assert_eq!(env_json(&process, &module, &Id::sha256(b"network")), expected);
}

#[test]
fn dry_runs_are_shown_as_the_reference_shows_them() {
    let vectors = vectors();
    let step = vectors["steps"].as_array().unwrap().iter().find(|s| s["name"] == "25-dry-run").unwrap().clone();
    let expected: Value = serde_json::from_str(text(&step["msgJSON"])).unwrap();
    let mut caller = expected.clone();
    for own in ["Timestamp", "Block-Height", "Cron", "Read-Only", "From", "Target"] {
        caller.as_object_mut().unwrap().remove(own);
    }
    let number = |name: &str| expected[name].as_u64().unwrap();
    let shown = dry_run_json(&id(&vectors["processId"]), &caller, number("Timestamp"), number("Block-Height"));
    assert_eq!(shown, text(&step["msgJSON"]));
}

#[test]
fn a_cranked_message_is_the_network_s_word_and_only_with_its_mark() {
    let step = scheduled().into_iter().find(|s| s["name"] == "15-pushed-trusted").unwrap();
    let mut assignment = Assignment::read(&item(&step["assignmentItem"])).unwrap();
    let content = Content::of_message(&item(&step["dataItem"]));
    let network = Id::sha256(b"network");
    assert_eq!(message_json(&content, &assignment, Some(&network)), text(&step["msgJSON"]), "no mark, no authority");
    assignment.crank = Some("x".into());
    let shown: Value = serde_json::from_str(&message_json(&content, &assignment, Some(&network))).unwrap();
    assert_eq!((text(&shown["Owner"]), text(&shown["Forwarded-By"])), (&*network.to_string(), &*network.to_string()));
    assert_eq!(text(&shown["From"]), content.tags.iter().find(|t| t.name == "From-Process").unwrap().value);
}

#[test]
fn the_reference_s_chain_of_assignments_is_followed() {
    let vectors = vectors();
    let mut head = Head::empty(id(&vectors["processId"]));
    for step in scheduled() {
        let item = item(&step["assignmentItem"]);
        head.advance(&Assignment::read(&item).unwrap(), item.id()).unwrap_or_else(|e| panic!("{}: {e}", step["name"]));
    }
    assert_eq!(head.next_slot, scheduled().len() as u64);
    let first = Assignment::read(&item(&scheduled()[0]["assignmentItem"])).unwrap();
    assert_eq!(first.hash_chain.to_string(), "MvBwTCUaDjVEYGzo13NGAc5e87LnV7_tYDC5lBdziz4");
    let second = Assignment::read(&item(&scheduled()[1]["assignmentItem"])).unwrap();
    assert_eq!(second.hash_chain.to_string(), "LBAPMBgzXzubwJFF_nqFonh3RZKXUMGcj1d4VEPudZc");
}

/// The attestation of a slot of the process `sender`, in the reference messenger's world.
fn attested(golden: &Value, sender: &Value, outcome: &Outcome) -> Attestation {
    let (ids, process, assignment) = (&golden["ids"], id(sender), Id::sha256(b"assignment"));
    Attestation {
        subject: Subject {
            network: Id::sha256(b"network"),
            process,
            slot: 1,
            message: id(&ids["firstId"]),
            assignment,
            module: id(&ids["MOD"]),
            profile: Id::sha256(b"profile"),
        },
        verdict: Verdict {
            outcome: outcome.hash(),
            chain_before: chain_start(&process),
            chain_after: chain_next(&chain_start(&process), &assignment, &outcome.hash()),
            outbox_root: outcome.outbox_root(),
            fuel: outcome.fuel,
            state_root: None,
        },
        pushed_for: id(&ids["firstId"]),
        scheduler: text(&ids["su"]).to_owned(),
        cast: false,
    }
}

fn deliveries(golden: &Value, sender: &Value, action: &str) -> Vec<Outgoing> {
    let outcome = Outcome::from_response(&golden["results"][action], 0);
    crank::deliveries(&attested(golden, sender, &outcome), &outcome).0
}

fn sent(outgoing: &Outgoing) -> &DataItem {
    match &outgoing.delivery {
        Delivery::Item(item) => item,
        Delivery::Assign { .. } => panic!("an assignment"),
    }
}

/// The golden item with this action (or type), made by the reference for one of `from`.
fn golden_item<'a>(golden: &'a Value, name: &str, value: &str) -> &'a Value {
    let has = |item: &&Value| tags(&item["tags"]).iter().any(|t| t.name == name && t.value == value);
    golden["items"].as_array().unwrap().iter().find(|item| has(item)).unwrap()
}

/// Same target, data, anchor and tags in order; our own last tag apart, and the child's id, which is another one here.
fn assert_same(ours: &DataItem, golden: &Value, child: Option<&DataItem>) {
    let mut expected = tags(&golden["tags"]);
    if let Some(child) = child {
        expected.iter_mut().filter(|t| t.name == "Process").for_each(|t| t.value = child.id().to_string());
    }
    let (mark, rest) = ours.tags().split_last().unwrap();
    assert_eq!(mark.name, CRANK_TAG);
    assert_eq!(rest, expected);
    assert_eq!(ours.target().map(|t| t.to_string()).unwrap_or_default(), text(&golden["target"]));
    assert_eq!(ours.data(), text(&golden["data"]).as_bytes());
    assert_eq!(ours.anchor().map_or(&b""[..], |a| a.as_slice()), text(&golden["anchor"]).as_bytes());
}

#[test]
fn outgoing_items_have_the_tags_the_reference_messenger_gives_them() {
    let golden = messenger();
    let process = golden["ids"]["P"].clone();
    let out = deliveries(&golden, &process, "Start");
    assert_same(sent(&out[0]), golden_item(&golden, "Action", "Hop"), None);
    assert_same(sent(&out[1]), golden_item(&golden, "Action", "ToWallet"), None);
    let spawn = out.iter().find(|o| o.id.kind == Kind::Spawn).unwrap();
    assert_same(sent(spawn), golden_item(&golden, "Type", "Process"), None);
    let notice = out.iter().find(|o| o.id.kind == Kind::Spawned).unwrap();
    assert_same(sent(notice), golden_item(&golden, "Action", "Spawned"), Some(sent(spawn)));
    let back = deliveries(&golden, &golden["ids"]["Q"], "Hop");
    assert_same(sent(&back[0]), golden_item(&golden, "Action", "HopBack"), None);
}

#[test]
fn where_we_differ_from_the_reference_nothing_is_lost() {
    let golden = messenger();
    let out = deliveries(&golden, &golden["ids"]["P"].clone(), "Start");
    // A number as a tag's value, and an anchor of another length: the reference drops or refuses these.
    let number = sent(&out[2]);
    assert_eq!(number.tag("N"), Some("5"));
    let short = sent(&out[3]);
    assert_eq!((short.anchor(), short.tag("Action")), (None, Some("ShortAnchor")));
    let assigns: Vec<_> = out.iter().filter(|o| o.id.kind == Kind::Assign).map(|o| &o.delivery).collect();
    let wanted = (id(&golden["ids"]["Q"]), id(&golden["ids"]["ATX"]));
    let told = |delivery: &Delivery| match delivery {
        Delivery::Assign { process, tx, exclude, base_layer } => ((*process, *tx), exclude.clone(), *base_layer),
        Delivery::Item(_) => panic!("an item"),
    };
    assert_eq!(told(assigns[0]), (wanted, vec![], false));
    assert_eq!(told(assigns[1]), (wanted, vec!["Data".to_owned(), "Anchor".to_owned()], true));
}
