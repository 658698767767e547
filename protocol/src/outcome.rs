//! What evaluating one slot gives: output, outbox, error, fuel; its canonical bytes, its hash chain, its outbox root.
//!
//! The member names are AO's (`Messages`, `Spawns`, `Assignments`, `Output`, `Error`); a failed slot has an empty outbox.
//! Outcomes are hash-chained per process, so one signature over the newest chain value covers all before it.

use std::ops::Range;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::{Id, canonical, merkle};

/// Entries of one slot's outbox at most; more is an error of the slot, the same on every node.
pub const MAX_OUTBOX: usize = 4_096;

/// Canonical bytes of one slot's outcome at most; more is an error of the slot, the same on every node. An outbox entry
/// travels as its JSON and lies in its target's log as item and proof: three times this must fit a frame of 16 MiB.
pub const MAX_BYTES: usize = 5 << 20;

/// The three lists of an outbox, in the order of their leaves.
const LISTS: [&str; 3] = ["Messages", "Spawns", "Assignments"];

/// The outcome of one slot.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Whatever the module gave as `Output`; `""` when it failed.
    pub output: Value,
    /// Outgoing messages, as the module wrote them.
    pub messages: Vec<Value>,
    /// Processes to spawn.
    pub spawns: Vec<Value>,
    /// Items to assign elsewhere.
    pub assignments: Vec<Value>,
    /// Why the slot failed; the state is then as before it.
    pub error: Option<Value>,
    /// Fuel burnt, in units of the engine profile.
    pub fuel: u64,
}

/// Bytes that are no outcome.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an outcome: {0}")]
pub struct OutcomeError(String);

impl Outcome {
    /// The outcome of a slot whose module answered `response`.
    pub fn from_response(response: &Value, fuel: u64) -> Self {
        Written::of_response(response.clone(), fuel).outcome
    }

    /// As the response has it, without looking at sizes.
    fn taken(response: Value, fuel: u64) -> Self {
        let Value::Object(mut members) = response else { return Self { output: json!(""), ..Self::empty(fuel) } };
        if let Some(error) = members.remove("Error").filter(|e| !matches!(e, Value::Null | Value::Bool(false))) {
            return Self::failed(error, fuel);
        }
        let mut list = |name| match members.remove(name) {
            Some(Value::Array(items)) => items,
            _ => Vec::new(), // an empty Lua table may be written as {} or left out
        };
        let [messages, spawns, assignments] = LISTS.map(&mut list);
        let output = members.remove("Output").unwrap_or_else(|| json!(""));
        Self { output, messages, spawns, assignments, error: None, fuel }
    }

    fn empty(fuel: u64) -> Self {
        Self { output: json!(""), messages: vec![], spawns: vec![], assignments: vec![], error: None, fuel }
    }

    /// The outcome of a slot that failed: no output, no outbox.
    pub fn failed(error: Value, fuel: u64) -> Self {
        Self { error: Some(error), ..Self::empty(fuel) }
    }

    /// AO's result document, as `/result` shows it.
    pub fn to_json(&self) -> Value {
        let mut members = Map::new();
        members.insert("Messages".into(), self.messages.clone().into());
        members.insert("Assignments".into(), self.assignments.clone().into());
        members.insert("Spawns".into(), self.spawns.clone().into());
        members.insert("Output".into(), self.output.clone());
        if let Some(error) = &self.error {
            members.insert("Error".into(), error.clone());
        }
        members.insert("GasUsed".into(), self.fuel.into());
        Value::Object(members)
    }

    /// Canonical bytes: canonical JSON of [`Outcome::to_json`].
    pub fn encode(&self) -> String {
        self.put().0
    }

    /// Writes the canonical bytes and says where the entries of each list lie in them, in the order of `LISTS`.
    fn put(&self) -> (String, [Vec<Range<usize>>; 3]) {
        let mut out = String::with_capacity(256);
        let list = |out: &mut String, name: &str, entries: &[Value]| -> Vec<Range<usize>> {
            out.push_str(name);
            let place = |(index, entry)| {
                if index > 0 {
                    out.push(',');
                }
                let start = out.len();
                canonical::write(entry, out);
                start..out.len()
            };
            let places = entries.iter().enumerate().map(place).collect();
            out.push(']');
            places
        };
        // Members in the order of their names.
        let assignments = list(&mut out, "{\"Assignments\":[", &self.assignments);
        if let Some(error) = &self.error {
            out.push_str(",\"Error\":");
            canonical::write(error, &mut out);
        }
        out.push_str(",\"GasUsed\":");
        out.push_str(&self.fuel.to_string());
        let messages = list(&mut out, ",\"Messages\":[", &self.messages);
        out.push_str(",\"Output\":");
        canonical::write(&self.output, &mut out);
        let spawns = list(&mut out, ",\"Spawns\":[", &self.spawns);
        out.push('}');
        (out, [messages, spawns, assignments])
    }

    /// Reads canonical bytes. Who also wants their hash or the outbox's leaves reads a [`Written`].
    ///
    /// # Errors
    /// When they are not JSON of an outcome.
    pub fn decode(bytes: &[u8]) -> Result<Self, OutcomeError> {
        Written::read(bytes).map(|written| written.outcome)
    }

    /// SHA-256 of the canonical bytes.
    pub fn hash(&self) -> Id {
        Id::sha256(self.encode().as_bytes())
    }

    /// The outbox's canonical entries in leaf order: messages, spawns, assignments.
    pub fn outbox(&self) -> Vec<String> {
        let lists = [&self.messages, &self.spawns, &self.assignments];
        lists.into_iter().flatten().map(canonical::to_string).collect()
    }

    /// Leaf hashes of the outbox, in leaf order. A leaf says which list its entry stands in and where.
    pub fn outbox_leaves(&self) -> Vec<Id> {
        let (bytes, places) = self.put();
        leaves(&bytes, &places)
    }

    /// Root over the outbox.
    pub fn outbox_root(&self) -> Id {
        merkle::root(&self.outbox_leaves())
    }
}

fn leaves(bytes: &str, places: &[Vec<Range<usize>>; 3]) -> Vec<Id> {
    let numbered = places.iter().enumerate().flat_map(|(list, entries)| {
        entries
            .iter()
            .enumerate()
            .map(move |(index, place)| (list, index, bytes.get(place.clone()).unwrap_or_default()))
    });
    numbered.map(|(list, index, entry)| outbox_leaf(list, index, entry)).collect()
}

/// An outcome with everything that follows from its canonical bytes, which are written once.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    outcome: Outcome,
    bytes: String,
    hash: Id,
    leaves: Vec<Id>,
}

impl Written {
    /// The outcome of a slot whose module answered `response`: an outbox or an outcome that is too large is an error of the
    /// slot.
    pub fn of_response(response: Value, fuel: u64) -> Self {
        let outcome = Outcome::taken(response, fuel);
        let count = outcome.messages.len() + outcome.spawns.len() + outcome.assignments.len();
        if count > MAX_OUTBOX {
            let why = format!("the outbox has {count} entries; at most {MAX_OUTBOX} are allowed");
            return Self::of(Outcome::failed(json!(why), fuel));
        }
        let (bytes, places) = outcome.put();
        if bytes.len() > MAX_BYTES {
            let why = format!("the outcome has {} bytes; at most {MAX_BYTES} are allowed", bytes.len());
            return Self::of(Outcome::failed(json!(why), fuel));
        }
        Self { hash: Id::sha256(bytes.as_bytes()), leaves: leaves(&bytes, &places), outcome, bytes }
    }

    /// Of any outcome.
    pub fn of(outcome: Outcome) -> Self {
        let (bytes, places) = outcome.put();
        Self { hash: Id::sha256(bytes.as_bytes()), leaves: leaves(&bytes, &places), outcome, bytes }
    }

    /// Reads canonical bytes.
    ///
    /// # Errors
    /// When they are not JSON of an outcome, or not in canonical form.
    pub fn read(bytes: &[u8]) -> Result<Self, OutcomeError> {
        let value = canonical::parse(bytes).map_err(|e| OutcomeError(e.to_string()))?;
        let fuel = value.get("GasUsed").and_then(Value::as_u64).ok_or_else(|| OutcomeError("no GasUsed".into()))?;
        let written = Self::of_response(value, fuel);
        if written.bytes.as_bytes() != bytes {
            return Err(OutcomeError("not in canonical form".into()));
        }
        Ok(written)
    }

    /// The outcome.
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// Its canonical bytes.
    pub fn bytes(&self) -> &str {
        &self.bytes
    }

    /// Its canonical bytes, to be kept.
    pub fn into_bytes(self) -> bytes::Bytes {
        self.bytes.into()
    }

    /// SHA-256 of the canonical bytes.
    pub fn hash(&self) -> Id {
        self.hash
    }

    /// As [`Outcome::outbox_leaves`].
    pub fn outbox_leaves(&self) -> &[Id] {
        &self.leaves
    }

    /// As [`Outcome::outbox_root`].
    pub fn outbox_root(&self) -> Id {
        merkle::root(&self.leaves)
    }
}

/// Leaf hash of entry `index` of list `list` (0 messages, 1 spawns, 2 assignments).
pub fn outbox_leaf(list: usize, index: usize, entry: &str) -> Id {
    let name = LISTS.get(list).copied().unwrap_or_default();
    merkle::leaf(format!("{name}/{index}\n{entry}").as_bytes())
}

/// The outcome chain's value before slot 0.
pub fn chain_start(process: &Id) -> Id {
    Id::from_bytes(Sha256::new().chain_update(b"weft/outcome/v1\0").chain_update(process.as_bytes()).finalize().into())
}

/// The outcome chain's value after a slot: SHA-256(before ‖ assignment id ‖ outcome hash).
pub fn chain_next(before: &Id, assignment: &Id, outcome: &Id) -> Id {
    let hash = Sha256::new().chain_update(before.as_bytes()).chain_update(assignment.as_bytes());
    Id::from_bytes(hash.chain_update(outcome.as_bytes()).finalize().into())
}

/// Where the evaluation of a process stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The next slot to evaluate.
    pub next_slot: u64,
    /// The outcome chain before that slot.
    pub chain: Id,
}

impl Progress {
    /// Nothing evaluated yet.
    pub fn start(process: &Id) -> Self {
        Self { next_slot: 0, chain: chain_start(process) }
    }

    /// Forty bytes for an index.
    pub fn encode(&self) -> Vec<u8> {
        [self.next_slot.to_be_bytes().as_slice(), self.chain.as_bytes()].concat()
    }

    /// Reads [`Progress::encode`]; `None` for anything else.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (slot, chain) = bytes.split_first_chunk::<8>()?;
        Some(Self { next_slot: u64::from_be_bytes(*slot), chain: Id::from_slice(chain)? })
    }
}
