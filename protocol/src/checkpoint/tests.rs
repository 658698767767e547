#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use proptest::prelude::*;

use super::*;
use crate::{
    ans104::Ed25519Signer,
    attestation::{Subject, Verdict},
};

fn signer(number: u8) -> Ed25519Signer {
    Ed25519Signer::from_seed([number; 32])
}

/// Providers 1 and 2, and 3, which only orders.
fn network(quorum: u16) -> Network {
    let mut toml = format!("name = \"test\"\n[parameters.compute]\nquorum = {quorum}\n");
    for (number, roles) in [(1, "[\"compute\"]"), (2, "[\"compute\"]"), (3, "[\"scheduler\", \"messenger\"]")] {
        let key = signer(number).key();
        toml += &format!("[[registry]]\nname = \"n{number}\"\nkey = \"{key}\"\nbond = 1000\nroles = {roles}\n");
    }
    Network::parse(&toml).unwrap()
}

fn id(text: &str) -> Id {
    Id::sha256(text.as_bytes())
}

fn attestation(network: &Network) -> Attestation {
    Attestation {
        subject: Subject {
            network: network.id(),
            process: id("process"),
            slot: 255,
            message: id("message"),
            assignment: id("assignment"),
            module: id("module"),
            profile: id("profile"),
        },
        verdict: Verdict {
            outcome: id("outcome"),
            chain_before: id("before"),
            chain_after: id("after"),
            outbox_root: id("outbox"),
            fuel: 7,
            state_root: Some(id("root")),
        },
        pushed_for: id("message"),
        scheduler: "somebody".to_owned(),
        cast: false,
    }
}

fn wanted() -> Wanted {
    Wanted { process: id("process"), module: id("module"), profile: id("profile") }
}

/// A checkpoint by `by` with this attestation by each of `attested`.
fn made(attestation: &Attestation, attested: &[u8], by: u8) -> DataItem {
    let items: Vec<_> = attested.iter().map(|number| attestation.sign(&signer(*number)).unwrap()).collect();
    make(&items, b"a state", &signer(by)).unwrap()
}

fn checked(item: &DataItem, network: &Network) -> Result<Checkpoint, CheckpointError> {
    let read = Checkpoint::read(item.tags(), &item.data())?;
    read.check(network, item.owner_address(), &wanted())?;
    Ok(read)
}

#[test]
fn a_true_checkpoint_is_taken() {
    let network = network(1);
    let item = made(&attestation(&network), &[1], 2);
    let read = checked(&item, &network).unwrap();
    assert_eq!((read.claim.slot, read.claim.chain, read.claim.state_root), (255, id("after"), id("root")));
    assert_eq!(read.state.as_ref(), b"a state");
}

#[test]
fn what_is_about_something_else_or_by_somebody_else_is_refused() {
    let network = network(1);
    let changed = |change: fn(&mut Attestation)| {
        let mut attestation = attestation(&network);
        change(&mut attestation);
        checked(&made(&attestation, &[1], 1), &network).err().unwrap()
    };
    assert_eq!(changed(|a| a.subject.network = id("other")), CheckpointError::Other("network"));
    assert_eq!(changed(|a| a.subject.process = id("other")), CheckpointError::Other("process"));
    assert_eq!(changed(|a| a.subject.module = id("other")), CheckpointError::Other("module"));
    assert_eq!(changed(|a| a.subject.profile = id("other")), CheckpointError::Other("engine profile"));
    // Who orders or is nobody neither offers nor attests states.
    for stranger in [3, 9] {
        let own = made(&attestation(&network), &[1], stranger);
        assert_eq!(checked(&own, &network).err(), Some(CheckpointError::Other("signer")));
        let attested = made(&attestation(&network), &[stranger], 1);
        assert!(matches!(checked(&attested, &network), Err(CheckpointError::Attestation { number: 0, .. })));
    }
    let mut rootless = attestation(&network);
    rootless.verdict.state_root = None;
    let rootless = rootless.sign(&signer(1)).unwrap();
    assert!(matches!(make(&[rootless], b"", &signer(1)), Err(CheckpointError::Attestation { .. })));
}

#[test]
fn the_quorum_counts_providers_not_signatures() {
    let network = network(2);
    let few = Some(CheckpointError::TooFew { found: 1, needed: 2 });
    assert_eq!(checked(&made(&attestation(&network), &[1], 1), &network).err(), few);
    assert_eq!(checked(&made(&attestation(&network), &[1, 1], 1), &network).err(), few);
    assert!(checked(&made(&attestation(&network), &[1, 2], 1), &network).is_ok());
}

#[test]
fn tags_that_say_more_than_was_attested_are_refused() {
    let network = network(1);
    let item = made(&attestation(&network), &[1], 1);
    for name in ["Slot", "State-Root", "Outcome-Chain", "Assignment"] {
        let value = if name == "Slot" { "511".to_owned() } else { id("other").to_string() };
        let tags: Vec<Tag> = item
            .tags()
            .iter()
            .map(|tag| if tag.name == name { Tag::new(name, value.clone()) } else { tag.clone() })
            .collect();
        let lie = ItemBuilder::new().tags(tags).data(item.data()).sign(&signer(1)).unwrap();
        assert!(matches!(checked(&lie, &network), Err(CheckpointError::Attestation { number: 0, .. })), "{name}");
    }
    // An attestation whose signature does not hold.
    let mut data = item.data().to_vec();
    data[8 + 1 + 4 + 10] ^= 1;
    let forged = ItemBuilder::new().tags(item.tags().to_vec()).data(data).sign(&signer(1)).unwrap();
    assert!(checked(&forged, &network).is_err());
}

proptest! {
    #[test]
    fn no_data_makes_it_panic(cut in 0_usize..2_000, at in 0_usize..2_000, bits: u8) {
        let network = network(1);
        let item = made(&attestation(&network), &[1], 1);
        let mut data = item.data().to_vec();
        if let Some(byte) = data.get_mut(at) {
            *byte ^= bits;
        }
        data.truncate(cut);
        let _ = Checkpoint::read(item.tags(), &data.into());
    }
}
