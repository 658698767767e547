//! The crank: from an attested outcome to the items that go out, and back: the check a receiving scheduler makes.
//!
//! Each outgoing item follows from (network, process, slot, kind, index) and the attested entry alone, to the byte: it is
//! signed with an ed25519 key that anyone can derive from those ([`CrankId::signer`]). So whoever delivers it, however
//! often, delivers the same item with the same id, and a spawned process has the same id even if its messenger dies half
//! way. The derived key proves nothing by itself; authority comes from the [`crate::wire::CrankProof`] beside the item,
//! which [`verify`] checks: the attestations, the path to the outbox root, and that the item is exactly what the entry
//! gives. Tag order and content follow AO's messenger (AO wire reference §3.3), with these differences, each for safety:
//! numbers and booleans in tag values become text instead of dropping the message; a foreign `From-Process` in a spawn is
//! removed; `BaseLayer` and `Exclude` of assignments are kept; bytes that are no text can be sent as `Data-Base64`; a
//! message to an Ethereum address, which an item's target cannot hold, has it as its tag `Target`. The outbox of a cast
//! goes nowhere.

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{
    Id,
    ans104::{DataItem, Ed25519Signer, ItemBuilder, Profile, Tag},
    assignment::check_exclude,
    attestation::{Attestation, signer_key},
    b64,
    cron::{CRON_TAG, SKIPPED_TAG},
    keys::NodeKey,
    merkle,
    outcome::{Outcome, outbox_leaf},
    wire,
};

/// Tag of every cranked item: its [`CrankId`]. An item that carries it is ordered only with a proof, so nobody can have a
/// cranked item ordered as an unproven one before its courier comes.
pub const CRANK_TAG: &str = "Weft-Crank";

/// The address of a recipient that is no 32 bytes.
const TARGET_TAG: &str = "Target";

/// Processes named by one entry of `Assignments` at most.
const MAX_TARGETS: usize = 64;

/// What kind of delivery it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// An entry of `Messages`, to a process or a wallet.
    Message,
    /// An entry of `Spawns`: the new process.
    Spawn,
    /// The notice to the parent that its spawn has been scheduled.
    Spawned,
    /// One target of an entry of `Assignments`.
    Assign,
}

impl Kind {
    /// The number on the wire.
    pub const fn number(self) -> u32 {
        match self {
            Self::Message => 0,
            Self::Spawn => 1,
            Self::Spawned => 2,
            Self::Assign => 3,
        }
    }

    /// The kind with this number.
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::Message),
            1 => Some(Self::Spawn),
            2 => Some(Self::Spawned),
            3 => Some(Self::Assign),
            _ => None,
        }
    }

    /// The kind that its entry is first of all.
    const fn entry(self) -> Self {
        match self {
            Self::Spawned => Self::Spawn,
            kind => kind,
        }
    }

    /// Which of the outcome's lists its entry stands in.
    const fn list(self) -> usize {
        match self {
            Self::Message => 0,
            Self::Spawn | Self::Spawned => 1,
            Self::Assign => 2,
        }
    }
}

/// The identity of one outgoing delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CrankId {
    /// The sending process.
    pub process: Id,
    /// Its slot.
    pub slot: u64,
    /// What kind.
    pub kind: Kind,
    /// Position among the outcome's entries of that kind.
    pub index: u32,
    /// Position among the entry's targets (assignments), else 0.
    pub target: u32,
}

impl std::fmt::Display for CrankId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}/{}/{}", self.process, self.slot, self.kind.number(), self.index, self.target)
    }
}

impl CrankId {
    /// The key that signs this delivery's item on `network`. Derived from public values: anyone can.
    pub fn signer(&self, network: &Id) -> Ed25519Signer {
        let hash = Sha256::new()
            .chain_update(b"weft/crank/v1\0")
            .chain_update(network.as_bytes())
            .chain_update(self.process.as_bytes())
            .chain_update(self.slot.to_be_bytes())
            .chain_update(self.kind.number().to_be_bytes())
            .chain_update(self.index.to_be_bytes());
        Ed25519Signer::from_seed(hash.finalize().into())
    }
}

/// What has to be done at the target.
#[derive(Clone, Debug)]
pub enum Delivery {
    /// Order this item (or, if its target is no process, just anchor it).
    Item(DataItem),
    /// Assign an existing item or transaction.
    Assign {
        /// The process to assign to.
        process: Id,
        /// What to assign.
        tx: Id,
        /// Members not to show.
        exclude: Vec<String>,
        /// It is a layer-1 transaction.
        base_layer: bool,
    },
}

/// One outgoing delivery of an outcome.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Its identity.
    pub id: CrankId,
    /// What to do.
    pub delivery: Delivery,
    /// Its entry's canonical JSON.
    pub entry: String,
    /// Its entry's position among all outbox leaves.
    pub leaf: u32,
}

/// An entry of an outbox that gives no delivery: malformed beyond repair.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("outbox entry {id}: {reason}")]
pub struct EntryError {
    /// Which entry.
    pub id: String,
    /// Its position among all outbox leaves.
    pub leaf: u32,
    /// What is wrong with it.
    pub reason: String,
}

/// All deliveries of an outcome that `attestation` covers, in order, and the entries that give none. A cast has neither.
pub fn deliveries(attestation: &Attestation, outcome: &Outcome) -> (Vec<Outgoing>, Vec<EntryError>) {
    let (mut out, mut bad) = (Vec::new(), Vec::new());
    if attestation.cast {
        return (out, bad);
    }
    let mut leaf = 0;
    let lists =
        [(Kind::Message, &outcome.messages), (Kind::Spawn, &outcome.spawns), (Kind::Assign, &outcome.assignments)];
    for (kind, entries) in lists {
        for (index, entry) in (0_u32..).zip(entries) {
            let text = crate::canonical::to_string(entry);
            for (kind, target) in parts(kind, entry) {
                let id = crank_id(attestation, kind, index, target);
                match build(attestation, id, entry) {
                    Ok(delivery) => out.push(Outgoing { id, delivery, entry: text.clone(), leaf }),
                    Err(reason) => bad.push(EntryError { id: id.to_string(), leaf, reason }),
                }
            }
            leaf += 1;
        }
    }
    (out, bad)
}

fn crank_id(attestation: &Attestation, kind: Kind, index: u32, target: u32) -> CrankId {
    CrankId { process: attestation.subject.process, slot: attestation.subject.slot, kind, index, target }
}

/// The deliveries one entry asks for.
fn parts(kind: Kind, entry: &Value) -> Vec<(Kind, u32)> {
    match kind {
        Kind::Spawn => vec![(Kind::Spawn, 0), (Kind::Spawned, 0)],
        Kind::Assign => {
            let count = entry.get("Processes").and_then(Value::as_array).map_or(1, Vec::len).min(MAX_TARGETS);
            (0_u32..).take(count).map(|target| (Kind::Assign, target)).collect()
        }
        kind => vec![(kind, 0)],
    }
}

fn build(attestation: &Attestation, id: CrankId, entry: &Value) -> Result<Delivery, String> {
    match id.kind {
        Kind::Message => message(attestation, id, entry).map(Delivery::Item),
        Kind::Spawn => spawn(attestation, id, entry).map(Delivery::Item),
        Kind::Spawned => spawned(attestation, id, entry).map(Delivery::Item),
        Kind::Assign => assign(id, entry),
    }
}

/// Tags of an entry as text pairs; numbers and booleans are written out.
fn entry_tags(entry: &Value) -> Result<Vec<Tag>, String> {
    let Some(Value::Array(tags)) = entry.get("Tags") else { return Ok(Vec::new()) };
    let text = |tag: &Value, member: &str| match tag.get(member) {
        Some(Value::String(s)) => Ok(s.clone()),
        Some(Value::Number(n)) => Ok(n.to_string()),
        Some(Value::Bool(b)) => Ok(b.to_string()),
        _ => Err(format!("a tag's {member} is neither text, number nor boolean")),
    };
    tags.iter().map(|tag| Ok(Tag::new(text(tag, "name")?, text(tag, "value")?))).collect()
}

/// The bytes an entry sends: of `Data-Base64` (either alphabet, padded or not) where it is given, else the text of `Data`.
fn entry_data(entry: &Value) -> Result<Vec<u8>, String> {
    if let Some(text) = entry.get("Data-Base64").and_then(Value::as_str).filter(|text| !text.is_empty()) {
        let plain = text.trim_end_matches('=').replace('+', "-").replace('/', "_");
        return b64::decode(&plain).ok_or_else(|| "its Data-Base64 is not base64".to_owned());
    }
    Ok(match entry.get("Data") {
        Some(Value::String(text)) if !text.is_empty() => text.clone().into_bytes(),
        None | Some(Value::Null | Value::String(_)) => b" ".to_vec(),
        Some(other) => crate::canonical::to_string(other).into_bytes(),
    })
}

fn finish(
    attestation: &Attestation,
    id: CrankId,
    builder: ItemBuilder,
    mut tags: Vec<Tag>,
) -> Result<DataItem, String> {
    // What only the network itself may say, no process says.
    tags.retain(|t| ![CRANK_TAG, CRON_TAG, SKIPPED_TAG].contains(&t.name.as_str()));
    tags.push(Tag::new(CRANK_TAG, id.to_string()));
    builder.tags(tags).sign(&id.signer(&attestation.subject.network)).map_err(|e| e.to_string())
}

/// `0x` and forty hexadecimal digits.
fn is_ethereum(address: &str) -> bool {
    address.strip_prefix("0x").is_some_and(|hex| hex.len() == 40 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn message(attestation: &Attestation, id: CrankId, entry: &Value) -> Result<DataItem, String> {
    const OWN: [&str; 5] = ["Data-Protocol", "Type", "From-Process", "From-Module", "Assignments"];
    let subject = &attestation.subject;
    let target = entry.get("Target").and_then(Value::as_str).ok_or("it has no Target")?;
    let mut builder = ItemBuilder::new().data(entry_data(entry)?);
    let mut tags = entry_tags(entry)?;
    match target.parse::<Id>() {
        Ok(target) => builder = builder.target(target),
        // An item's target has 32 bytes: an Ethereum wallet finds its messages by the tag.
        Err(_) if is_ethereum(target) => {
            tags.retain(|t| t.name != TARGET_TAG);
            tags.insert(0, Tag::new(TARGET_TAG, target));
        }
        Err(_) => {
            return Err(format!("its Target {target:?} is neither a process nor an Arweave or Ethereum address"));
        }
    }
    if let Some(anchor) = entry.get("Anchor").and_then(Value::as_str).and_then(|a| a.as_bytes().try_into().ok()) {
        builder = builder.anchor(anchor);
    }
    tags.retain(|t| !OWN.contains(&t.name.as_str()) && t.name != "Pushed-For");
    tags.push(Tag::new("Data-Protocol", "ao"));
    tags.push(Tag::new("Type", "Message"));
    tags.push(Tag::new("From-Process", subject.process.to_string()));
    tags.push(Tag::new("From-Module", subject.module.to_string()));
    tags.push(Tag::new("Pushed-For", attestation.pushed_for.to_string()));
    finish(attestation, id, builder, tags)
}

/// Tags that a spawn entry passes on: without protocol tags, and without a `From-Process` that is not the sender.
fn spawn_tags(attestation: &Attestation, entry: &Value) -> Result<Vec<Tag>, String> {
    let sender = attestation.subject.process.to_string();
    let mut tags = entry_tags(entry)?;
    tags.retain(|t| !["Data-Protocol", "Type", "Pushed-For"].contains(&t.name.as_str()));
    tags.retain(|t| t.name != "From-Process" || t.value == sender);
    Ok(tags)
}

fn spawn(attestation: &Attestation, id: CrankId, entry: &Value) -> Result<DataItem, String> {
    let mut tags = spawn_tags(attestation, entry)?;
    if !tags.iter().any(|t| t.name == "Module") {
        return Err("it has no Module tag".into());
    }
    let scheduler_named = tags.iter().any(|t| t.name == "Scheduler");
    tags.push(Tag::new("Variant", "ao.TN.1"));
    tags.push(Tag::new("Data-Protocol", "ao"));
    tags.push(Tag::new("Type", "Process"));
    tags.push(Tag::new("From-Process", attestation.subject.process.to_string()));
    tags.push(Tag::new("Pushed-For", attestation.pushed_for.to_string()));
    if !scheduler_named {
        tags.push(Tag::new("Scheduler", attestation.scheduler.clone()));
    }
    finish(attestation, id, ItemBuilder::new().data(entry_data(entry)?), tags)
}

fn spawned(attestation: &Attestation, id: CrankId, entry: &Value) -> Result<DataItem, String> {
    let child = spawn(attestation, CrankId { kind: Kind::Spawn, ..id }, entry)?.id();
    let parent = attestation.subject.process;
    let mut tags = spawn_tags(attestation, entry)?;
    tags.retain(|t| t.name != "Variant");
    if !tags.iter().any(|t| t.name == "From-Process") {
        tags.insert(0, Tag::new("From-Process", parent.to_string()));
    }
    tags.push(Tag::new("Data-Protocol", "ao"));
    tags.push(Tag::new("Type", "Message"));
    tags.push(Tag::new("Process", child.to_string()));
    tags.push(Tag::new("Action", "Spawned"));
    tags.push(Tag::new("Variant", "ao.TN.1"));
    finish(attestation, id, ItemBuilder::new().target(parent).data(b" ".to_vec()), tags)
}

fn assign(id: CrankId, entry: &Value) -> Result<Delivery, String> {
    let named = |value: Option<&Value>| value.and_then(Value::as_str).and_then(|s| s.parse::<Id>().ok());
    let target = usize::try_from(id.target).ok();
    let process = match entry.get("Processes") {
        Some(Value::Array(all)) => target.and_then(|t| all.get(t)).and_then(|p| named(Some(p))),
        other => named(other),
    };
    let exclude = match entry.get("Exclude") {
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Some(Value::String(names)) => names.split(',').map(|n| n.trim().to_owned()).filter(|n| !n.is_empty()).collect(),
        _ => Vec::new(),
    };
    check_exclude(&exclude)?;
    Ok(Delivery::Assign {
        process: process.ok_or("a member of Processes is not a process id")?,
        tx: named(entry.get("Message")).ok_or("its Message is not an id")?,
        exclude,
        base_layer: matches!(entry.get("BaseLayer"), Some(Value::Bool(true)))
            || entry.get("BaseLayer").and_then(Value::as_str).is_some_and(|s| s == "true"),
    })
}

/// The proof that travels with `outgoing`.
pub fn prove(outgoing: &Outgoing, leaves: &[Id], attestations: Vec<bytes::Bytes>) -> wire::CrankProof {
    let at = usize::try_from(outgoing.leaf).unwrap_or(usize::MAX);
    let path = merkle::path(leaves, at).unwrap_or_default();
    wire::CrankProof {
        kind: outgoing.id.kind.number(),
        index: outgoing.id.index,
        target: outgoing.id.target,
        entry: outgoing.entry.clone().into(),
        path: path.iter().map(|id| bytes::Bytes::copy_from_slice(id.as_bytes())).collect(),
        leaf: outgoing.leaf,
        leaves: u32::try_from(leaves.len()).unwrap_or(u32::MAX),
        attestations,
    }
}

/// A crank proof that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the crank proof does not hold: {0}")]
pub struct ProofError(pub String);

/// A proof that holds: which delivery it is for and what that delivery must be.
#[derive(Clone, Debug)]
pub struct Proven {
    /// The delivery's identity.
    pub id: CrankId,
    /// Exactly what may be ordered.
    pub delivery: Delivery,
}

/// Checks a proof: at least `quorum` attestations by distinct keys that `may_attest`, for `network`, all of one outcome,
/// whose outbox holds the entry. The caller then compares [`Proven::delivery`] with what it was asked to order.
///
/// # Errors
/// Names the first check that fails.
pub fn verify(
    proof: &wire::CrankProof,
    network: &Id,
    quorum: usize,
    may_attest: impl Fn(&NodeKey) -> bool,
) -> Result<Proven, ProofError> {
    let fail = |reason: &str| ProofError(reason.to_owned());
    let kind = Kind::from_number(proof.kind).ok_or_else(|| fail("unknown kind of delivery"))?;
    let attestation = quorum_of(proof, network, quorum.max(1), may_attest)?;
    if attestation.cast {
        return Err(fail("the outcome is a cast's: its outbox goes nowhere"));
    }
    let entry_text = std::str::from_utf8(&proof.entry).map_err(|_| fail("the entry is not text"))?;
    let entry = crate::canonical::parse(&proof.entry).map_err(|_| fail("the entry is not JSON"))?;
    let index = usize::try_from(proof.index).map_err(|_| fail("index too large"))?;
    let siblings: Vec<Id> = proof
        .path
        .iter()
        .map(|h| Id::from_slice(h))
        .collect::<Option<_>>()
        .ok_or_else(|| fail("a path hash is not 32 bytes"))?;
    let leaf = outbox_leaf(kind.list(), index, entry_text);
    let (at, count) = (usize::try_from(proof.leaf), usize::try_from(proof.leaves));
    let (Ok(at), Ok(count)) = (at, count) else { return Err(fail("leaf number too large")) };
    if !merkle::check(&attestation.verdict.outbox_root, leaf, at, count, &siblings) {
        return Err(fail("the path does not lead from the entry to the attested outbox root"));
    }
    // The target's number is in the item (its crank tag) but in no hash: one that the entry does not have would give a
    // second item for the same delivery.
    if !parts(kind.entry(), &entry).contains(&(kind, proof.target)) {
        return Err(fail("the entry has no delivery of that kind and number"));
    }
    let id = crank_id(&attestation, kind, proof.index, proof.target);
    let delivery = build(&attestation, id, &entry).map_err(ProofError)?;
    Ok(Proven { id, delivery })
}

fn quorum_of(
    proof: &wire::CrankProof,
    network: &Id,
    quorum: usize,
    may_attest: impl Fn(&NodeKey) -> bool,
) -> Result<Attestation, ProofError> {
    const MAX_ATTESTATIONS: usize = 64;
    let mut signers: Vec<NodeKey> = Vec::new();
    let mut agreed: Option<Attestation> = None;
    for raw in proof.attestations.iter().take(MAX_ATTESTATIONS) {
        let item = DataItem::parse_verified(raw.clone(), Profile::Strict)
            .map_err(|e| ProofError(format!("an attestation is not a valid item: {e}")))?;
        let key = signer_key(&item).ok_or_else(|| ProofError("an attestation is not signed with ed25519".into()))?;
        let attestation = Attestation::read(&item).map_err(|e| ProofError(e.to_string()))?;
        if attestation.subject.network != *network {
            return Err(ProofError("an attestation is for another network".into()));
        }
        if !may_attest(&key) {
            return Err(ProofError(format!("{key} is not a compute node of this network's registry")));
        }
        if agreed.as_ref().is_some_and(|a| *a != attestation) {
            return Err(ProofError("the attestations disagree".into()));
        }
        if !signers.contains(&key) {
            signers.push(key);
        }
        agreed = Some(attestation);
    }
    match agreed {
        Some(attestation) if signers.len() >= quorum => Ok(attestation),
        _ => Err(ProofError(format!("{} of {quorum} attestations", signers.len()))),
    }
}
