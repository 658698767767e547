//! The network file: name, parameters, boot nodes and the genesis registry; and its validated form, [`Network`].
//!
//! Where it sits: above [`crate::id`] and [`crate::keys`], below the election, the market and everything in the node
//! that speaks to a peer. Pure: a node reads the file, this module reads the text.
//!
//! # Network id
//!
//! SHA-256 of the canonical form, which leaves out the boot nodes. Integers are 8 bytes, big endian; texts are their
//! length (8 bytes) and their UTF-8 bytes; keys and addresses are 32 bytes:
//!
//! `"weft/network/v1\0"`, network name, number of parameters, for each parameter its name and its value (in the order
//! of [`NetworkParameters::entries`]), number of members, for each member in ascending order of keys: key, name, bond,
//! roles as a bit set (scheduler 1, compute 2, messenger 4, gateway 8), owner.
//!
//! The network address is the SHA-256 of the id's 32 bytes.

use std::{collections::BTreeSet, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{Id, NodeKey};

mod parameters;
#[cfg(test)]
mod tests;
mod validate;

pub use parameters::{AnchorParameters, ComputeParameters, MarketParameters, NetworkParameters, OrderParameters};

/// Largest network file accepted, in bytes of text.
pub const MAX_FILE_BYTES: usize = 4 * 1024 * 1024;
/// Most members a registry may hold.
pub const MAX_MEMBERS: usize = 10_000;
/// Most boot nodes a file may name.
pub const MAX_BOOT_NODES: usize = 64;
/// Largest bond: 2^53 − 1, so that every reader of JSON keeps it exact.
pub const MAX_BOND: u64 = (1 << 53) - 1;

const CANONICAL_DOMAIN: &[u8] = b"weft/network/v1\0";
const DEV_SEED_DOMAIN: &[u8] = b"weft/seed/dev/v1";

/// What a node does for others. A node carries any set of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Orders the messages of the processes it is elected for (AO: SU).
    Scheduler,
    /// Evaluates processes it holds a lease for (AO: CU).
    Compute,
    /// Follows processes, buys compute for them and delivers their outboxes (AO: MU).
    Messenger,
    /// Serves HTTP to clients.
    Gateway,
}

impl Role {
    /// All roles, in the order of their bits.
    pub const ALL: [Self; 4] = [Self::Scheduler, Self::Compute, Self::Messenger, Self::Gateway];

    /// The name in files and on pages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scheduler => "scheduler",
            Self::Compute => "compute",
            Self::Messenger => "messenger",
            Self::Gateway => "gateway",
        }
    }

    /// The role's bit in the canonical form.
    const fn bit(self) -> u64 {
        match self {
            Self::Scheduler => 1,
            Self::Compute => 2,
            Self::Messenger => 4,
            Self::Gateway => 8,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Role {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|role| role.name() == text)
            .ok_or_else(|| NetworkError::invalid("roles", text, "use one of scheduler, compute, messenger, gateway"))
    }
}

/// Why a network file was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// The text is longer than [`MAX_FILE_BYTES`].
    #[error("the network file has {0} bytes, more than the {MAX_FILE_BYTES} allowed; is it really a network file?")]
    TooLarge(usize),
    /// The text is not TOML, or a field has the wrong name or type.
    #[error("the network file cannot be read: {0}")]
    Toml(String),
    /// A field has a value that cannot be.
    #[error("network file: {field} = {value}: {fix}")]
    Invalid {
        /// The field's path, e.g. `registry[2].bond`.
        field: String,
        /// The value found (shortened).
        value: String,
        /// What to write instead.
        fix: String,
    },
}

impl NetworkError {
    fn invalid(field: impl Into<String>, value: impl fmt::Display, fix: impl Into<String>) -> Self {
        let value = value.to_string().chars().take(80).collect();
        Self::Invalid { field: field.into(), value, fix: fix.into() }
    }
}

/// A network file as written: parsed, not yet validated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkFile {
    /// The network's name: 1 to 32 of `a-z 0-9 -`.
    pub name: String,
    /// Multiaddresses (with `/p2p/…`) to start from. Not part of the network id.
    #[serde(default)]
    pub boot: Vec<String>,
    /// What all nodes must agree on.
    #[serde(default)]
    pub parameters: NetworkParameters,
    /// The members at genesis.
    #[serde(default)]
    pub registry: Vec<Member>,
}

impl NetworkFile {
    /// Reads the text of a network file; [`NetworkFile::validate`] comes next.
    ///
    /// # Errors
    /// Text that is too long, or is not TOML of this shape.
    pub fn parse(text: &str) -> Result<Self, NetworkError> {
        if text.len() > MAX_FILE_BYTES {
            return Err(NetworkError::TooLarge(text.len()));
        }
        toml::from_str(text).map_err(|error| NetworkError::Toml(error.to_string()))
    }

    /// The file as text, every parameter written out.
    ///
    /// # Errors
    /// An integer that TOML cannot hold (above 2^63 − 1).
    pub fn to_toml(&self) -> Result<String, NetworkError> {
        toml::to_string_pretty(self).map_err(|error| NetworkError::Toml(error.to_string()))
    }

    /// Checks every field and computes the network's id.
    ///
    /// # Errors
    /// The first field that is wrong, with its value and what to write instead.
    pub fn validate(self) -> Result<Network, NetworkError> {
        validate::check(&self)?;
        let mut members = self.registry.clone();
        members.sort_by_key(|member| member.key);
        let id = Id::sha256(&canonical(&self.name, &self.parameters, &members));
        let address = Id::sha256(id.as_bytes());
        Ok(Network(Arc::new(Inner { file: self, members, id, address })))
    }
}

/// One node of the genesis registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Unique name for people: 1 to 32 of `a-z 0-9 -`.
    pub name: String,
    /// The node's key; unique.
    pub key: NodeKey,
    /// Bonded stake, 1 to [`MAX_BOND`]: the weight in every draw.
    pub bond: u64,
    /// What the node does for others; at least one.
    pub roles: BTreeSet<Role>,
    /// Whose bond it is; absent: the node's own. One owner gets at most one seat of a committee.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Id>,
}

impl Member {
    /// The node's address: SHA-256 of its key.
    pub fn address(&self) -> Id {
        self.key.address()
    }

    /// The owner of the bond: the named one, or the node itself.
    pub fn bond_owner(&self) -> Id {
        self.owner.unwrap_or_else(|| self.address())
    }
}

/// Where a draw's seed comes from, and so how far it can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SeedKind {
    /// SHA-256(`"weft/seed/dev/v1"` ‖ network id): known to whoever writes the network file, so not safe against them.
    Dev,
}

impl fmt::Display for SeedKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dev => f.pad("dev"),
        }
    }
}

/// A validated network. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Network(Arc<Inner>);

#[derive(PartialEq, Eq)]
struct Inner {
    file: NetworkFile,
    members: Vec<Member>,
    id: Id,
    address: Id,
}

impl Network {
    /// Reads and validates the text of a network file.
    ///
    /// # Errors
    /// As [`NetworkFile::parse`] and [`NetworkFile::validate`].
    pub fn parse(text: &str) -> Result<Self, NetworkError> {
        NetworkFile::parse(text)?.validate()
    }

    /// The file it was made from, boot nodes included.
    pub fn file(&self) -> &NetworkFile {
        &self.0.file
    }

    /// The network's name.
    pub fn name(&self) -> &str {
        &self.0.file.name
    }

    /// Multiaddresses to start from.
    pub fn boot(&self) -> &[String] {
        &self.0.file.boot
    }

    /// What all nodes must agree on.
    pub fn parameters(&self) -> &NetworkParameters {
        &self.0.file.parameters
    }

    /// The network id (module documentation).
    pub fn id(&self) -> Id {
        self.0.id
    }

    /// SHA-256 of the id: "elect a committee for me" as a process's `Scheduler`, "trust what the network has proven"
    /// as its `Authority`.
    pub fn address(&self) -> Id {
        self.0.address
    }

    /// The first 16 hex characters of the id, as in protocol and topic names.
    pub fn short(&self) -> String {
        hex::encode(self.0.id.as_bytes()).chars().take(16).collect()
    }

    /// All members, in ascending order of keys.
    pub fn all_members(&self) -> &[Member] {
        &self.0.members
    }

    /// The members that carry `role`, in ascending order of keys.
    pub fn members(&self, role: Role) -> impl Iterator<Item = &Member> {
        self.0.members.iter().filter(move |member| member.roles.contains(&role))
    }

    /// The member with this key.
    pub fn member(&self, key: &NodeKey) -> Option<&Member> {
        let at = self.0.members.binary_search_by_key(key, |member| member.key).ok()?;
        self.0.members.get(at)
    }

    /// The member with this address.
    pub fn member_by_address(&self, address: Id) -> Option<&Member> {
        self.0.members.iter().find(|member| member.address() == address)
    }

    /// The shard whose gossip topic carries this process: its first 8 bytes (big endian) modulo the number of shards.
    pub fn shard_of(&self, process: Id) -> u16 {
        let first = process.as_bytes().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        let shards = u64::from(self.parameters().shards.max(1));
        u16::try_from(first % shards).unwrap_or(0)
    }

    /// The seed of every draw, and its kind.
    pub fn seed(&self) -> (Id, SeedKind) {
        (dev_seed(self.id()), SeedKind::Dev)
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Network({} {}, {} members)", self.name(), self.short(), self.0.members.len())
    }
}

/// The seed of a development network with this id.
pub(crate) fn dev_seed(network: Id) -> Id {
    let mut bytes = DEV_SEED_DOMAIN.to_vec();
    bytes.extend_from_slice(network.as_bytes());
    Id::sha256(&bytes)
}

/// The canonical form (module documentation); `members` in ascending order of keys.
fn canonical(name: &str, parameters: &NetworkParameters, members: &[Member]) -> Vec<u8> {
    let mut out = CANONICAL_DOMAIN.to_vec();
    put_text(&mut out, name);
    let entries = parameters.entries();
    put_integer(&mut out, entries.len() as u64);
    for (name, value) in entries {
        put_text(&mut out, name);
        put_integer(&mut out, value);
    }
    put_integer(&mut out, members.len() as u64);
    for member in members {
        out.extend_from_slice(member.key.as_bytes());
        put_text(&mut out, &member.name);
        put_integer(&mut out, member.bond);
        put_integer(&mut out, member.roles.iter().map(|role| role.bit()).sum());
        out.extend_from_slice(member.bond_owner().as_bytes());
    }
    out
}

fn put_integer(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_be_bytes());
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_integer(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}
