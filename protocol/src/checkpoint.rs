//! A process's state on Arweave: a data item that spares a new provider the log up to a slot.
//!
//! Where it sits: made by a provider that keeps a process, read by one that takes it over (node: `compute/service/adopt.rs`).
//! It proves nothing by itself. Its root must be in attestations by providers of the network, over the same process, slot,
//! assignment, module and engine profile, as many as the network's quorum asks for; its state must have that root; and the
//! assignment must be the one in the scheduler's log. With a quorum of 1, the usual one, that is one provider's word, as it
//! is for a crank.
//!
//! The item has the tags `Data-Protocol: weft`, `Type: Checkpoint`, `Network`, `Process`, `Slot`, `Assignment`, `Module`,
//! `Profile`, `State-Root`, `Outcome-Chain` (both as after the slot), which repeat what is attested, so that it can be found.
//! Its data: `WEFTCKP1` (8 bytes), count of attestations (1 byte), of each its length (u32, little-endian) and its
//! signed bytes, then the state in the form of the node's snapshots.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::{
    Id,
    ans104::{DataItem, ItemBuilder, Profile, SignError, Signer, Tag},
    attestation::{Attestation, signer_key},
    keys::NodeKey,
    network::{Network, Role},
};

#[cfg(test)]
mod tests;

/// Attestations in one checkpoint at most.
pub const MAX_ATTESTATIONS: usize = 32;
/// Bytes of one attestation in it at most.
const MAX_ATTESTATION: usize = 16 << 10;
/// The item's `Type`.
pub const TYPE: &str = "Checkpoint";
const MAGIC: &[u8; 8] = b"WEFTCKP1";

/// What a checkpoint is of: the part of an attestation that it stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The network.
    pub network: Id,
    /// The process.
    pub process: Id,
    /// The last slot that is in the state.
    pub slot: u64,
    /// The assignment of that slot.
    pub assignment: Id,
    /// The module.
    pub module: Id,
    /// The engine profile.
    pub profile: Id,
    /// Root of the state.
    pub state_root: Id,
    /// Outcome chain after the slot.
    pub chain: Id,
}

/// Why an item is no checkpoint that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// A tag.
    #[error("its tag {0} is missing or malformed")]
    Tag(&'static str),
    /// The data.
    #[error("its data is not that of a checkpoint: {0}")]
    Data(&'static str),
    /// An attestation in it.
    #[error("its attestation {number} cannot be used: {reason}")]
    Attestation {
        /// Which, from 0.
        number: usize,
        /// Why.
        reason: String,
    },
    /// It is about something else than was asked for.
    #[error("its {0} is not the one wanted")]
    Other(&'static str),
    /// Too few stand behind it.
    #[error("{found} of this network's providers attest it, {needed} have to")]
    TooFew {
        /// Providers that do.
        found: usize,
        /// Providers that have to.
        needed: usize,
    },
    /// It could not be signed.
    #[error("the checkpoint cannot be signed: {0}")]
    Sign(String),
}

impl From<SignError> for CheckpointError {
    fn from(error: SignError) -> Self {
        Self::Sign(error.to_string())
    }
}

impl Claim {
    /// What an attestation says of the state; `None` for a slot without a root.
    pub fn of(attestation: &Attestation) -> Option<Self> {
        let (subject, verdict) = (&attestation.subject, &attestation.verdict);
        Some(Self {
            network: subject.network,
            process: subject.process,
            slot: subject.slot,
            assignment: subject.assignment,
            module: subject.module,
            profile: subject.profile,
            state_root: verdict.state_root?,
            chain: verdict.chain_after,
        })
    }

    fn tags(&self) -> Vec<Tag> {
        vec![
            Tag::new("Data-Protocol", "weft"),
            Tag::new("Type", TYPE),
            Tag::new("Network", self.network.to_string()),
            Tag::new("Process", self.process.to_string()),
            Tag::new("Slot", self.slot.to_string()),
            Tag::new("Assignment", self.assignment.to_string()),
            Tag::new("Module", self.module.to_string()),
            Tag::new("Profile", self.profile.to_string()),
            Tag::new("State-Root", self.state_root.to_string()),
            Tag::new("Outcome-Chain", self.chain.to_string()),
        ]
    }

    /// Reads the claim in the tags of a checkpoint.
    ///
    /// # Errors
    /// Names the first tag that is missing or malformed.
    pub fn read(tags: &[Tag]) -> Result<Self, CheckpointError> {
        let tag = |name: &'static str| {
            let found = tags.iter().find(|tag| tag.name == name).map(|tag| tag.value.as_str());
            found.ok_or(CheckpointError::Tag(name))
        };
        let id = |name: &'static str| tag(name)?.parse::<Id>().map_err(|_| CheckpointError::Tag(name));
        if tag("Type")? != TYPE || tag("Data-Protocol")? != "weft" {
            return Err(CheckpointError::Tag("Type"));
        }
        Ok(Self {
            network: id("Network")?,
            process: id("Process")?,
            slot: tag("Slot")?.parse().map_err(|_| CheckpointError::Tag("Slot"))?,
            assignment: id("Assignment")?,
            module: id("Module")?,
            profile: id("Profile")?,
            state_root: id("State-Root")?,
            chain: id("Outcome-Chain")?,
        })
    }
}

/// A checkpoint as it lies on Arweave.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// What its tags say.
    pub claim: Claim,
    /// What is to prove it; signatures unchecked.
    pub attestations: Vec<DataItem>,
    /// The state, in the form of the node's snapshots.
    pub state: Bytes,
}

/// Signs a checkpoint of `state`, which the attestations, all of the same slot, name the root of.
///
/// # Errors
/// There are none of them or too many, one names no root, or the signer fails.
pub fn make(attestations: &[DataItem], state: &[u8], signer: &dyn Signer) -> Result<DataItem, CheckpointError> {
    let first = attestations.first().ok_or(CheckpointError::Data("it has no attestation"))?;
    let first = Attestation::read(first).map_err(|error| unfit(0, error))?;
    let claim = Claim::of(&first).ok_or_else(|| unfit(0, "it names no state root"))?;
    let count = u8::try_from(attestations.len()).ok().filter(|count| usize::from(*count) <= MAX_ATTESTATIONS);
    let count = count.ok_or(CheckpointError::Data("it has too many attestations"))?;
    let mut data = Vec::with_capacity(state.len().saturating_add(attestations.len().saturating_mul(2048)));
    data.extend_from_slice(MAGIC);
    data.push(count);
    for item in attestations {
        let length = u32::try_from(item.raw().len()).map_err(|error| unfit(0, error))?;
        data.extend_from_slice(&length.to_le_bytes());
        data.extend_from_slice(item.raw());
    }
    data.extend_from_slice(state);
    Ok(ItemBuilder::new().tags(claim.tags()).data(data).sign(signer)?)
}

impl Checkpoint {
    /// Reads a checkpoint item's tags and data. Nothing is believed yet: see [`Checkpoint::check`].
    ///
    /// # Errors
    /// Names what is malformed.
    pub fn read(tags: &[Tag], data: &Bytes) -> Result<Self, CheckpointError> {
        let claim = Claim::read(tags)?;
        let bad = CheckpointError::Data;
        let magic = data.split_first_chunk::<8>().filter(|(magic, _)| *magic == MAGIC);
        let (count, _) =
            magic.and_then(|(_, rest)| rest.split_first()).ok_or(bad("it does not begin with WEFTCKP1"))?;
        let count = usize::from(*count);
        if count == 0 || count > MAX_ATTESTATIONS {
            return Err(bad("it has no or too many attestations"));
        }
        let mut attestations = Vec::with_capacity(count);
        let mut at = MAGIC.len().saturating_add(1);
        for number in 0..count {
            let length = data.get(at..).and_then(|rest| rest.split_first_chunk::<4>()).map(|(length, _)| *length);
            let length = u32::from_le_bytes(length.ok_or(bad("it is cut short"))?) as usize;
            let start = at.saturating_add(4);
            let end = start.saturating_add(length);
            if length > MAX_ATTESTATION || end > data.len() {
                return Err(bad("an attestation is too long"));
            }
            let item = DataItem::parse(data.slice(start..end), Profile::Strict).map_err(|e| unfit(number, e))?;
            attestations.push(item);
            at = end;
        }
        Ok(Self { claim, attestations, state: data.slice(at..) })
    }

    /// Checks that `signer` is a provider of `network`, that all of it is about what `wanted` names, and that enough of the
    /// network's providers attest it. What remains to be checked is the state against the root, and the assignment against
    /// the scheduler's log.
    ///
    /// # Errors
    /// Names the first thing that is wrong.
    pub fn check(&self, network: &Network, signer: Id, wanted: &Wanted) -> Result<(), CheckpointError> {
        let claim = &self.claim;
        let about = [
            (claim.network == network.id(), "network"),
            (claim.process == wanted.process, "process"),
            (claim.module == wanted.module, "module"),
            (claim.profile == wanted.profile, "engine profile"),
            (network.members(Role::Compute).any(|member| member.key.address() == signer), "signer"),
        ];
        if let Some((_, what)) = about.iter().find(|(holds, _)| !holds) {
            return Err(CheckpointError::Other(what));
        }
        let found = self.attested_by(network)?.len();
        let needed = usize::from(network.parameters().compute.quorum.max(1));
        if found < needed { Err(CheckpointError::TooFew { found, needed }) } else { Ok(()) }
    }

    /// The providers of `network` whose signed attestations in it say what it claims.
    fn attested_by(&self, network: &Network) -> Result<BTreeSet<NodeKey>, CheckpointError> {
        let mut providers = BTreeSet::new();
        for (number, item) in self.attestations.iter().enumerate() {
            item.verify().map_err(|error| unfit(number, error))?;
            let attestation = Attestation::read(item).map_err(|error| unfit(number, error))?;
            if Claim::of(&attestation) != Some(self.claim) {
                return Err(unfit(number, "it says something else than the tags"));
            }
            let key = signer_key(item)
                .filter(|key| network.member(key).is_some_and(|member| member.roles.contains(&Role::Compute)));
            providers.insert(key.ok_or_else(|| unfit(number, "its signer is no provider of this network"))?);
        }
        Ok(providers)
    }
}

/// What a checkpoint has to be of to be of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The process.
    pub process: Id,
    /// The process's module.
    pub module: Id,
    /// The reader's own engine profile.
    pub profile: Id,
}

fn unfit(number: usize, reason: impl ToString) -> CheckpointError {
    CheckpointError::Attestation { number, reason: reason.to_string() }
}
