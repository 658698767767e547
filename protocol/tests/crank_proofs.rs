//! Crank proofs: what is proven is delivered the same by everybody, and nothing else passes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};
use weft_protocol::{
    Id,
    ans104::Ed25519Signer,
    attestation::{Attestation, Subject, Verdict},
    crank::{self, Delivery, Kind, Outgoing},
    outcome::{MAX_OUTBOX, Outcome, chain_next, chain_start},
    wire::CrankProof,
};

fn network() -> Id {
    Id::sha256(b"network")
}

fn provider(n: u8) -> Ed25519Signer {
    Ed25519Signer::from_seed([n; 32])
}

fn named(text: &str) -> Id {
    Id::sha256(text.as_bytes())
}

/// An outbox with every kind of delivery.
fn outcome() -> Outcome {
    let to = named("target").to_string();
    let forged = json!({"name": "Weft-Cron", "value": "time/0/1-second/1/1000"});
    let tags = json!([{"name": "Action", "value": "X"}, {"name": "From-Process", "value": "FORGED"}, forged]);
    let spawn = json!([
        {"name": "Module", "value": named("module").to_string()},
        forged,
        {"name": "Weft-Cron-Skipped", "value": "3"},
        {"name": "From-Process", "value": named("somebody else").to_string()},
    ]);
    let response = json!({
        "Output": "",
        "Messages": [{"Target": to, "Data": "1", "Tags": tags}, {"Target": to, "Data": "2", "Tags": tags}, {"Target": to}],
        "Spawns": [{"Data": "child", "Tags": spawn}],
        "Assignments": [{"Processes": [to, named("other").to_string()], "Message": named("tx").to_string(), "Exclude": ["Data"]}],
    });
    Outcome::from_response(&response, 7)
}

fn attest(outcome: &Outcome) -> Attestation {
    let (process, assignment) = (named("process"), named("assignment"));
    Attestation {
        subject: Subject {
            network: network(),
            process,
            slot: 3,
            message: named("message"),
            assignment,
            module: named("module"),
            profile: named("profile"),
        },
        verdict: Verdict {
            outcome: outcome.hash(),
            chain_before: chain_start(&process),
            chain_after: chain_next(&chain_start(&process), &assignment, &outcome.hash()),
            outbox_root: outcome.outbox_root(),
            fuel: outcome.fuel,
            state_root: None,
        },
        pushed_for: named("first"),
        scheduler: network().to_string(),
        cast: false,
    }
}

fn signed(attestation: &Attestation, by: u8) -> Bytes {
    attestation.sign(&provider(by)).unwrap().raw().clone()
}

fn proven(outcome: &Outcome, by: &[u8]) -> Vec<(Outgoing, CrankProof)> {
    let attestation = attest(outcome);
    let (out, bad) = crank::deliveries(&attestation, outcome);
    assert_eq!(bad, []);
    let leaves = outcome.outbox_leaves();
    let attestations: Vec<Bytes> = by.iter().map(|n| signed(&attestation, *n)).collect();
    out.into_iter()
        .map(|one| {
            let proof = crank::prove(&one, &leaves, attestations.clone());
            (one, proof)
        })
        .collect()
}

/// Providers 1 and 2 are members.
fn verify(proof: &CrankProof, quorum: usize) -> Result<crank::Proven, crank::ProofError> {
    let members = [provider(1).key(), provider(2).key()];
    crank::verify(proof, &network(), quorum, |key| members.contains(key))
}

fn same(a: &Delivery, b: &Delivery) -> bool {
    match (a, b) {
        (Delivery::Item(a), Delivery::Item(b)) => a.raw() == b.raw(),
        (a, b) => format!("{a:?}") == format!("{b:?}"),
    }
}

#[test]
fn every_kind_is_proved_and_proves_exactly_itself() {
    let all = proven(&outcome(), &[1]);
    let kinds: Vec<Kind> = all.iter().map(|(one, _)| one.id.kind).collect();
    use Kind::{Assign, Message, Spawn, Spawned};
    assert_eq!(kinds, [Message, Message, Message, Spawn, Spawned, Assign, Assign]);
    for (one, proof) in &all {
        let found = verify(proof, 1).unwrap();
        assert_eq!(found.id, one.id);
        assert!(same(&found.delivery, &one.delivery));
    }
}

#[test]
fn whoever_delivers_delivers_the_same_bytes() {
    // Two messengers, with the attestations of two providers.
    for ((one, _), (other, _)) in proven(&outcome(), &[1]).iter().zip(&proven(&outcome(), &[2])) {
        assert_eq!(one.id, other.id);
        assert!(same(&one.delivery, &other.delivery));
    }
}

#[test]
fn two_equal_entries_are_two_deliveries() {
    let entry = json!({"Target": named("target").to_string(), "Data": "same"});
    let outcome = Outcome::from_response(&json!({"Messages": [entry, entry]}), 0);
    let all = proven(&outcome, &[1]);
    let ids: Vec<Id> = all
        .iter()
        .map(|(one, _)| match &one.delivery {
            Delivery::Item(item) => item.id(),
            _ => panic!(),
        })
        .collect();
    assert_ne!(ids[0], ids[1]);
}

#[test]
fn nobody_speaks_for_another_process() {
    for (one, _) in proven(&outcome(), &[1]) {
        let Delivery::Item(item) = one.delivery else { continue };
        let from: Vec<&str> =
            item.tags().iter().filter(|t| t.name == "From-Process").map(|t| t.value.as_str()).collect();
        assert_eq!(from, [named("process").to_string()]);
        assert_eq!(item.tag("Weft-Crank"), Some(&*one.id.to_string()));
        assert_eq!(weft_protocol::cron::claims_tick(&item), None, "no process makes ticks");
    }
}

#[test]
fn the_notice_names_the_child_that_was_spawned() {
    let all = proven(&outcome(), &[1]);
    let item = |kind| {
        all.iter().find_map(|(one, _)| match &one.delivery {
            Delivery::Item(item) if one.id.kind == kind => Some(item.clone()),
            _ => None,
        })
    };
    assert_eq!(item(Kind::Spawned).unwrap().tag("Process"), Some(&*item(Kind::Spawn).unwrap().id().to_string()));
}

#[test]
fn no_field_of_a_proof_can_be_changed() {
    let all = proven(&outcome(), &[1]);
    for (at, (one, proof)) in all.iter().enumerate() {
        let mut wrong: Vec<(&str, CrankProof)> = Vec::new();
        let mut add = |what, change: &dyn Fn(&mut CrankProof)| {
            let mut other = proof.clone();
            change(&mut other);
            wrong.push((what, other));
        };
        add("index", &|p| p.index += 1);
        add("leaf", &|p| p.leaf = (p.leaf + 1) % p.leaves);
        add("leaf beyond", &|p| p.leaf = p.leaves);
        add("leaves", &|p| p.leaves += 4);
        add("no leaves", &|p| p.leaves = 0);
        add("entry", &|p| p.entry = Bytes::from(String::from_utf8(p.entry.to_vec()).unwrap() + " "));
        add("no entry", &|p| p.entry = Bytes::new());
        add("binary entry", &|p| p.entry = Bytes::from_static(&[0xff]));
        add("path cut", &|p| {
            p.path.pop();
        });
        add("path grown", &|p| p.path.push(Bytes::from_static(&[0; 32])));
        add("path element", &|p| p.path[0] = Bytes::from_static(&[1; 32]));
        add("short path element", &|p| p.path[0] = Bytes::from_static(&[1; 31]));
        add("endless path", &|p| p.path = vec![Bytes::from_static(&[0; 32]); 1_000]);
        add("no attestation", &|p| p.attestations.clear());
        add("a kind that is none", &|p| p.kind = 4);
        let other_entry = all[(at + 1) % all.len()].1.entry.clone();
        if other_entry != proof.entry {
            add("another entry", &|p| p.entry = other_entry.clone());
        }
        for (what, proof) in wrong {
            assert!(verify(&proof, 1).is_err(), "{what} of {:?}", one.id);
        }
    }
}

#[test]
fn another_kind_or_number_never_gives_a_second_item() {
    let all = proven(&outcome(), &[1]);
    for (one, proof) in &all {
        for kind in 0..5 {
            for target in [0, 1, 2, 63, 64, u32::MAX] {
                let changed = CrankProof { kind, target, ..proof.clone() };
                let Ok(found) = verify(&changed, 1) else { continue };
                // What passes is one of the outcome's own deliveries, to the byte.
                let own = all.iter().find(|(own, _)| own.id == found.id);
                assert!(
                    own.is_some_and(|(own, _)| same(&own.delivery, &found.delivery)),
                    "{:?} as {kind}/{target}",
                    one.id
                );
            }
        }
    }
}

#[test]
fn only_members_attest_and_each_counts_once() {
    let outcome = outcome();
    let one = |by: &[u8]| proven(&outcome, by).swap_remove(0).1;
    verify(&one(&[1]), 1).unwrap();
    verify(&one(&[1, 2]), 2).unwrap();
    assert!(verify(&one(&[3]), 1).is_err(), "no member");
    assert!(verify(&one(&[1, 3]), 2).is_err());
    assert!(verify(&one(&[1, 1]), 2).is_err(), "the same twice");
    assert!(verify(&one(&[1]), 2).is_err());
    verify(&one(&[1]), 0).expect("a quorum of none is one");
}

#[test]
fn attestations_of_something_else_prove_nothing() {
    let outcome = outcome();
    let good = attest(&outcome);
    let mut proof = proven(&outcome, &[1]).swap_remove(0).1;
    let mut refuse = |what: &str, change: &dyn Fn(&mut Attestation)| {
        let mut other = good.clone();
        change(&mut other);
        proof.attestations = vec![signed(&other, 1)];
        assert!(verify(&proof, 1).is_err(), "{what}");
        proof.attestations = vec![signed(&good, 1), signed(&other, 2)];
        assert!(verify(&proof, 2).is_err(), "{what}, beside a good one");
    };
    refuse("another network", &|a| a.subject.network = named("x"));
    refuse("another outbox", &|a| a.verdict.outbox_root = named("x"));
    let attestation = signed(&good, 1);
    for at in [0, 2, 70, attestation.len() - 1] {
        let mut damaged = attestation.to_vec();
        damaged[at] ^= 1;
        proof.attestations = vec![damaged.into()];
        assert!(verify(&proof, 1).is_err(), "byte {at}");
    }
    proof.attestations = vec![Bytes::new()];
    assert!(verify(&proof, 1).is_err());
}

#[test]
fn entries_that_give_nothing_are_named_and_the_rest_goes_out() {
    let to = named("target").to_string();
    let response = json!({
        "Messages": [{"Data": "no target"}, {"Target": "0xabc"}, {"Target": to, "Tags": [{"name": "N", "value": {}}]}, {"Target": to}, 5],
        "Spawns": [{"Tags": []}],
        "Assignments": [{"Message": to}, {"Processes": ["x"], "Message": to}, {"Processes": [to], "Message": 1}],
    });
    let outcome = Outcome::from_response(&response, 0);
    let (out, bad) = crank::deliveries(&attest(&outcome), &outcome);
    assert_eq!(out.len(), 1);
    assert_eq!(bad.len(), 4 + 2 + 3);
}

#[test]
fn an_outcome_has_one_form_and_a_bound() {
    let outcome = outcome();
    assert_eq!(Outcome::decode(outcome.encode().as_bytes()).unwrap(), outcome);
    for wrong in ["", "{}", "null", r#"{"GasUsed":1}"#, &format!(" {}", outcome.encode())] {
        assert!(Outcome::decode(wrong.as_bytes()).is_err(), "{wrong}");
    }
    let failed = Outcome::from_response(&json!({"Messages": [{"Target": "x"}], "Output": "o", "Error": "boom"}), 9);
    assert_eq!(
        (failed.messages.len(), failed.output, failed.error, failed.fuel),
        (0, json!(""), Some(json!("boom")), 9)
    );
    let many = |n: usize| Outcome::from_response(&json!({"Messages": vec![json!({}); n]}), 0);
    assert!(many(MAX_OUTBOX).error.is_none());
    let over = many(MAX_OUTBOX + 1);
    assert!(over.error.is_some() && over.messages.is_empty());
    assert_eq!(Outcome::decode(over.encode().as_bytes()).unwrap(), over);
}

fn json_values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("\\PC{0,6}", inner, 0..5).prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn outcomes_of_any_output_are_read_back(output in json_values(), data in json_values(), fuel: u64) {
        let response = json!({"Output": output, "Messages": [{"Target": named("t").to_string(), "Data": data}]});
        let outcome = Outcome::from_response(&response, fuel);
        let read = Outcome::decode(outcome.encode().as_bytes()).unwrap();
        prop_assert_eq!(read.hash(), outcome.hash());
        prop_assert_eq!(read.outbox_root(), outcome.outbox_root());
        for (one, proof) in proven(&outcome, &[1]) {
            prop_assert!(same(&verify(&proof, 1).unwrap().delivery, &one.delivery));
        }
    }

    #[test]
    fn no_proof_at_all_panics(kind: u32, index: u32, target: u32, leaf: u32, leaves: u32, entry: Vec<u8>, path: Vec<Vec<u8>>) {
        let mut proof = proven(&outcome(), &[1]).swap_remove(0).1;
        let path = path.into_iter().map(Bytes::from).collect();
        proof = CrankProof { kind, index, target, leaf, leaves, entry: entry.into(), path, ..proof };
        prop_assert!(verify(&proof, 1).is_err());
    }
}

/// Not even somebody who was given the outcome of a cast, and has attestations of it, can have its outbox ordered.
#[test]
fn the_outbox_of_a_cast_goes_nowhere() {
    let outcome = outcome();
    let open = proven(&outcome, &[1]);
    let attestation = Attestation { cast: true, ..attest(&outcome) };
    let (out, bad) = crank::deliveries(&attestation, &outcome);
    assert_eq!((out.len(), bad.len()), (0, 0));
    for (one, mut proof) in open {
        verify(&proof, 1).unwrap();
        proof.attestations = vec![signed(&attestation, 1)];
        let error = verify(&proof, 1).unwrap_err();
        assert!(error.0.contains("cast"), "{:?}: {error}", one.id);
    }
}

#[test]
fn a_message_to_an_ethereum_wallet_names_it_in_a_tag() {
    let wallet = "0x61FbF391b4b1f6ad3D3e4dE90B6A2e0aE5DfF0c4";
    let forged = json!([{"name": "Target", "value": "0x00"}, {"name": "Action", "value": "Notice"}]);
    let outcome = Outcome::from_response(&json!({"Messages": [{"Target": wallet, "Data": "hi", "Tags": forged}]}), 0);
    let (one, proof) = &proven(&outcome, &[1])[0];
    let Delivery::Item(item) = &one.delivery else { panic!() };
    assert_eq!((item.target(), item.data().as_ref()), (None, b"hi".as_slice()));
    let named: Vec<&str> = item.tags().iter().filter(|t| t.name == "Target").map(|t| t.value.as_str()).collect();
    assert_eq!(named, [wallet], "and nothing else under that name");
    assert!(same(&verify(proof, 1).unwrap().delivery, &one.delivery));
    for none in ["0xabc", "0x61FbF391b4b1f6ad3D3e4dE90B6A2e0aE5DfF0cg", "61FbF391b4b1f6ad3D3e4dE90B6A2e0aE5DfF0c4", ""]
    {
        let outcome = Outcome::from_response(&json!({"Messages": [{"Target": none}]}), 0);
        assert_eq!(crank::deliveries(&attest(&outcome), &outcome).1.len(), 1, "{none:?}");
    }
}
