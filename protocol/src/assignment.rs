//! The scheduler's signed statement that a message has a slot, and the log head that hands slots out.
//!
//! An assignment is AO's assignment item (facts: AO wire reference §2.3): tags `Process, Epoch, Nonce, Hash-Chain,
//! Block-Height, Timestamp, Data-Protocol, Type, Variant, Message, Exclude…`, here signed with ed25519 (type 2) and with
//! more tags of ours that AO readers ignore: `Weft-Crank` (the message is a checked crank of another process's outcome),
//! `Weft-Assigned` (the slot holds an existing item, assigned by id), `Weft-Cron` (the message is a tick of the process's own
//! crons, [`crate::cron`]) and those of [`Terms`].
//!
//! [`Head`] is the whole state of an ordered log: next slot, last assignment, last timestamp, chain. It is used both ways:
//! [`Head::next`] proposes what the scheduler signs, [`Head::advance`] checks what it is shown, so leader and follower run
//! the same rules.

use sha2::{Digest, Sha256};

use crate::{
    Id,
    ans104::{DataItem, ItemBuilder, SignError, Signer, Tag},
    cron::CRON_TAG,
    terms::Terms,
};

/// `Exclude` values of one assignment at most.
pub const MAX_EXCLUDE: usize = 16;
/// Bytes of one `Exclude` value at most: they name members of a message, and all tags of an assignment share 4,096 bytes.
pub const MAX_EXCLUDE_BYTES: usize = 64;

/// Checks names of members to be left out of a message before an assignment is made with them.
///
/// # Errors
/// A reason for people.
pub fn check_exclude(names: &[String]) -> Result<(), String> {
    if names.len() > MAX_EXCLUDE {
        return Err(format!("exclude: {} names; at most {MAX_EXCLUDE} are allowed", names.len()));
    }
    match names.iter().find(|name| name.is_empty() || name.len() > MAX_EXCLUDE_BYTES) {
        Some(name) => Err(format!("exclude: a name of {} bytes; 1 to {MAX_EXCLUDE_BYTES} are allowed", name.len())),
        None => Ok(()),
    }
}

/// Where a slot's content comes from when it is not a message sent to the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assigned {
    /// An existing data item.
    Item,
    /// A layer-1 transaction.
    BaseLayer,
}

/// What an assignment says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The process.
    pub process: Id,
    /// The slot (AO's nonce).
    pub slot: u64,
    /// The message; for slot 0 the process item itself.
    pub message: Id,
    /// Hash chain value of this slot.
    pub hash_chain: Id,
    /// Arweave height the scheduler knew.
    pub block_height: u64,
    /// Milliseconds; strictly growing within a process.
    pub timestamp: u64,
    /// The checked crank this message is: text form of [`crate::crank::CrankId`].
    pub crank: Option<String>,
    /// Set when the slot holds an existing item, assigned by id.
    pub assigned: Option<Assigned>,
    /// The tick of the process's own crons that this message is: text form of [`crate::cron::TickId`].
    pub cron: Option<String>,
    /// What else the scheduler signs about the message.
    pub terms: Terms,
}

/// An item that is no assignment, or one that does not follow from the log before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssignmentError {
    /// A tag is missing or malformed.
    #[error("the assignment's tag {0} is missing or malformed")]
    Tag(&'static str),
    /// It does not follow from the head.
    #[error("assignment of slot {slot} does not follow: {reason}")]
    Chain {
        /// The slot it names.
        slot: u64,
        /// Which rule it breaks.
        reason: &'static str,
    },
}

/// What a log's next assignment is about: everything the scheduler does not compute itself.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    /// The message's id.
    pub message: Id,
    /// The checked crank this is.
    pub crank: Option<String>,
    /// Set for an existing item, assigned by id.
    pub assigned: Option<Assigned>,
    /// The tick that this is.
    pub cron: Option<String>,
    /// What else the scheduler signs about the message.
    pub terms: Terms,
}

impl Assignment {
    /// The tags, in AO's order.
    fn tags(&self) -> Vec<Tag> {
        let mut tags = vec![
            Tag::new("Process", self.process.to_string()),
            Tag::new("Epoch", "0"),
            Tag::new("Nonce", self.slot.to_string()),
            Tag::new("Hash-Chain", self.hash_chain.to_string()),
            Tag::new("Block-Height", format!("{:012}", self.block_height)),
            Tag::new("Timestamp", self.timestamp.to_string()),
            Tag::new("Data-Protocol", "ao"),
            Tag::new("Type", "Assignment"),
            Tag::new("Variant", "ao.TN.1"),
        ];
        if self.slot > 0 {
            tags.push(Tag::new("Message", self.message.to_string()));
        }
        tags.extend(self.terms.tags());
        tags.extend(self.crank.iter().map(|id| Tag::new("Weft-Crank", id.clone())));
        match self.assigned {
            Some(Assigned::Item) => tags.push(Tag::new("Weft-Assigned", "item")),
            Some(Assigned::BaseLayer) => tags.push(Tag::new("Weft-Assigned", "base-layer")),
            None => {}
        }
        tags.extend(self.cron.iter().map(|tick| Tag::new(CRON_TAG, tick.clone())));
        tags
    }

    /// Signs it. The anchor is the chain value: unique per slot, and the same bytes when signed again.
    ///
    /// # Errors
    /// When the signer fails.
    pub fn sign(&self, signer: &dyn Signer) -> Result<DataItem, SignError> {
        ItemBuilder::new().anchor(*self.hash_chain.as_bytes()).tags(self.tags()).sign(signer)
    }

    /// Reads an assignment item. Its signature is the caller's to check ([`DataItem::parse_verified`]).
    ///
    /// # Errors
    /// When a tag is missing or malformed.
    pub fn read(item: &DataItem) -> Result<Self, AssignmentError> {
        let tag = |name: &'static str| item.tag(name).ok_or(AssignmentError::Tag(name));
        let number = |name| tag(name)?.parse::<u64>().map_err(|_| AssignmentError::Tag(name));
        let id = |name| tag(name)?.parse::<Id>().map_err(|_| AssignmentError::Tag(name));
        if item.tag("Type") != Some("Assignment") {
            return Err(AssignmentError::Tag("Type"));
        }
        let (process, slot) = (id("Process")?, number("Nonce")?);
        let assigned = match item.tag("Weft-Assigned") {
            None => None,
            Some("item") => Some(Assigned::Item),
            Some("base-layer") => Some(Assigned::BaseLayer),
            Some(_) => return Err(AssignmentError::Tag("Weft-Assigned")),
        };
        Ok(Self {
            process,
            slot,
            message: if slot == 0 { process } else { id("Message")? },
            hash_chain: id("Hash-Chain")?,
            block_height: number("Block-Height")?,
            timestamp: number("Timestamp")?,
            crank: item.tag("Weft-Crank").map(str::to_owned),
            assigned,
            cron: item.tag(CRON_TAG).map(str::to_owned),
            terms: Terms::read(item).map_err(AssignmentError::Tag)?,
        })
    }
}

/// Where a process's log stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The process.
    pub process: Id,
    /// The next free slot.
    pub next_slot: u64,
    /// Chain value of the last slot (of no meaning while `next_slot` is 0).
    pub hash_chain: Id,
    /// Id of the last assignment.
    pub last_assignment: Id,
    /// Timestamp of the last assignment.
    pub timestamp: u64,
}

impl Head {
    /// Length of [`Head::encode`] in bytes.
    pub const ENCODED: usize = 112;

    /// The head of a log that is still empty.
    pub fn empty(process: Id) -> Self {
        Self { process, next_slot: 0, hash_chain: Id::default(), last_assignment: Id::default(), timestamp: 0 }
    }

    /// HC(0) = SHA-256(process); HC(n+1) = SHA-256(assignment id(n) ‖ HC(n)).
    fn chain(&self) -> Id {
        if self.next_slot == 0 {
            return Id::sha256(self.process.as_bytes());
        }
        let hash = Sha256::new().chain_update(self.last_assignment.as_bytes());
        Id::from_bytes(hash.chain_update(self.hash_chain.as_bytes()).finalize().into())
    }

    /// The next assignment. Its timestamp is `now_ms`, or one more than the last where the clock does not grow.
    pub fn next(&self, draft: Draft, now_ms: u64, block_height: u64) -> Assignment {
        Assignment {
            process: self.process,
            slot: self.next_slot,
            message: draft.message,
            hash_chain: self.chain(),
            block_height,
            timestamp: now_ms.max(self.timestamp.saturating_add(1)),
            crank: draft.crank,
            assigned: draft.assigned,
            cron: draft.cron,
            terms: draft.terms,
        }
    }

    /// Checks that `assignment` (whose item has id `id`) is the next one, and moves on.
    ///
    /// # Errors
    /// When it is for another process or slot, breaks the chain, or its timestamp does not grow. The head is unchanged then.
    pub fn advance(&mut self, assignment: &Assignment, id: Id) -> Result<(), AssignmentError> {
        let wrong = |reason| Err(AssignmentError::Chain { slot: assignment.slot, reason });
        if assignment.process != self.process {
            return wrong("it is for another process");
        }
        if assignment.slot != self.next_slot {
            return wrong("its slot is not the next one");
        }
        if assignment.hash_chain != self.chain() {
            return wrong("its hash chain does not cover the assignment before it");
        }
        if self.next_slot > 0 && assignment.timestamp <= self.timestamp {
            return wrong("its timestamp does not grow");
        }
        if self.next_slot == 0 && assignment.message != self.process {
            return wrong("slot 0 is not the process's own");
        }
        self.next_slot = self.next_slot.saturating_add(1);
        self.hash_chain = assignment.hash_chain;
        self.last_assignment = id;
        self.timestamp = assignment.timestamp;
        Ok(())
    }

    /// Fixed-size bytes for an index.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::ENCODED);
        bytes.extend_from_slice(self.process.as_bytes());
        bytes.extend_from_slice(&self.next_slot.to_be_bytes());
        bytes.extend_from_slice(self.hash_chain.as_bytes());
        bytes.extend_from_slice(self.last_assignment.as_bytes());
        bytes.extend_from_slice(&self.timestamp.to_be_bytes());
        bytes
    }

    /// Reads [`Head::encode`]; `None` for anything else.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (process, rest) = bytes.split_first_chunk::<32>()?;
        let (next_slot, rest) = rest.split_first_chunk::<8>()?;
        let (hash_chain, rest) = rest.split_first_chunk::<32>()?;
        let (last_assignment, rest) = rest.split_first_chunk::<32>()?;
        let timestamp: &[u8; 8] = rest.try_into().ok()?;
        Some(Self {
            process: Id::from_bytes(*process),
            next_slot: u64::from_be_bytes(*next_slot),
            hash_chain: Id::from_bytes(*hash_chain),
            last_assignment: Id::from_bytes(*last_assignment),
            timestamp: u64::from_be_bytes(*timestamp),
        })
    }
}
