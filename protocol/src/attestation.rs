//! A compute unit's signature over one evaluated slot.
//!
//! An attestation is a data item (ed25519, type 2, no data) whose tags say: network, process, slot, message, assignment,
//! module, engine profile, outcome hash, outcome chain before and after, outbox root, fuel; what the crank needs to
//! recompute an outgoing item (the sender's `Scheduler` tag, the chain's first item); for a slot that ends a window, the
//! state root; and for a cast `Cast: true`: its outbox goes nowhere.

use crate::{
    Id,
    ans104::{DataItem, ItemBuilder, SignError, Signer, Tag},
    keys::NodeKey,
};

/// What an attestation says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attestation {
    /// Where and what was evaluated.
    pub subject: Subject,
    /// What came out.
    pub verdict: Verdict,
    /// Id of the item that started the chain of messages this one belongs to (AO's `Pushed-For`).
    pub pushed_for: Id,
    /// The process's `Scheduler` tag: spawned processes that name none get the same.
    pub scheduler: String,
    /// The message is a cast: its outbox is not delivered, and its outcome is not for everybody.
    pub cast: bool,
}

/// What was evaluated, by whom, on what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The network.
    pub network: Id,
    /// The process.
    pub process: Id,
    /// The slot.
    pub slot: u64,
    /// The message in the slot.
    pub message: Id,
    /// The assignment that put it there.
    pub assignment: Id,
    /// The module that evaluated it.
    pub module: Id,
    /// The engine profile (hash of its canonical form).
    pub profile: Id,
}

/// What came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Hash of the outcome's canonical bytes.
    pub outcome: Id,
    /// Outcome chain before the slot.
    pub chain_before: Id,
    /// Outcome chain after it.
    pub chain_after: Id,
    /// Merkle root of the outbox.
    pub outbox_root: Id,
    /// Fuel burnt.
    pub fuel: u64,
    /// State root, for the last slot of a window.
    pub state_root: Option<Id>,
}

/// An item that is no attestation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the attestation's tag {0} is missing or malformed")]
pub struct AttestationError(&'static str);

impl Attestation {
    fn tags(&self) -> Vec<Tag> {
        let (subject, verdict) = (&self.subject, &self.verdict);
        let mut tags = vec![
            Tag::new("Data-Protocol", "weft"),
            Tag::new("Type", "Outcome-Attestation"),
            Tag::new("Network", subject.network.to_string()),
            Tag::new("Process", subject.process.to_string()),
            Tag::new("Nonce", subject.slot.to_string()),
            Tag::new("Message", subject.message.to_string()),
            Tag::new("Assignment", subject.assignment.to_string()),
            Tag::new("Module", subject.module.to_string()),
            Tag::new("Profile", subject.profile.to_string()),
            Tag::new("Outcome", verdict.outcome.to_string()),
            Tag::new("Chain-Before", verdict.chain_before.to_string()),
            Tag::new("Chain-After", verdict.chain_after.to_string()),
            Tag::new("Outbox-Root", verdict.outbox_root.to_string()),
            Tag::new("Fuel", verdict.fuel.to_string()),
            Tag::new("Pushed-For", self.pushed_for.to_string()),
            Tag::new("Scheduler", self.scheduler.clone()),
        ];
        tags.extend(verdict.state_root.map(|root| Tag::new("State-Root", root.to_string())));
        tags.extend(self.cast.then(|| Tag::new("Cast", "true")));
        tags
    }

    /// Signs it. Same content, same key: same bytes.
    ///
    /// # Errors
    /// When the signer fails.
    pub fn sign(&self, signer: &dyn Signer) -> Result<DataItem, SignError> {
        ItemBuilder::new().tags(self.tags()).sign(signer)
    }

    /// Reads an attestation item. Its signature is the caller's to check.
    ///
    /// # Errors
    /// When a tag is missing or malformed.
    pub fn read(item: &DataItem) -> Result<Self, AttestationError> {
        let tag = |name: &'static str| item.tag(name).ok_or(AttestationError(name));
        let number = |name| tag(name)?.parse::<u64>().map_err(|_| AttestationError(name));
        let id = |name| tag(name)?.parse::<Id>().map_err(|_| AttestationError(name));
        if tag("Type")? != "Outcome-Attestation" {
            return Err(AttestationError("Type"));
        }
        let state_root = match item.tag("State-Root") {
            Some(text) => Some(text.parse().map_err(|_| AttestationError("State-Root"))?),
            None => None,
        };
        let cast = match item.tag("Cast") {
            None => false,
            Some("true") => true,
            Some(_) => return Err(AttestationError("Cast")),
        };
        Ok(Self {
            subject: Subject {
                network: id("Network")?,
                process: id("Process")?,
                slot: number("Nonce")?,
                message: id("Message")?,
                assignment: id("Assignment")?,
                module: id("Module")?,
                profile: id("Profile")?,
            },
            verdict: Verdict {
                outcome: id("Outcome")?,
                chain_before: id("Chain-Before")?,
                chain_after: id("Chain-After")?,
                outbox_root: id("Outbox-Root")?,
                fuel: number("Fuel")?,
                state_root,
            },
            pushed_for: id("Pushed-For")?,
            scheduler: tag("Scheduler")?.to_owned(),
            cast,
        })
    }
}

/// The ed25519 key that signed `item`, or `None` for another signature type.
pub fn signer_key(item: &DataItem) -> Option<NodeKey> {
    item.owner().try_into().ok().map(NodeKey::from_bytes)
}
