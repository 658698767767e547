//! Who orders a process, who delivers for it, who checks it: weighted rendezvous draws in integers.
//!
//! Where it sits: above [`crate::network`], below the scheduler and the messenger. The same registry, seed and process
//! give the same order on every machine; no floating point, no clock, no view of who is alive.
//!
//! # The draw
//!
//! For every candidate with a weight above zero: `u` = the first 8 bytes (big endian) of
//! SHA-256(domain ‖ seed ‖ process ‖ key), plus 1. `L(u) = 64·2^32 − log2_q32(u)`, where the logarithm's 32 fraction
//! bits come from 32 squarings in integers. Candidates are ordered by `L/weight`, compared as
//! `L_a·w_b < L_b·w_a`, ties by key bytes. The first `n` take the seats; one bond owner gets at most one seat.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    Id, NodeKey,
    network::{Member, Network, Role, SeedKind, dev_seed},
};

mod draw;
#[cfg(test)]
mod tests;

pub use draw::{Domain, Draw, Ranked, elect, inverse_log2_q32};

/// The schedulers of one process and how many of them must sign. Seats are in the order of the draw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committee {
    /// The process it orders.
    pub process: Id,
    /// The elected, first drawn first; at least one.
    pub seats: Vec<NodeKey>,
    /// Seats that must sign.
    pub quorum: u16,
    /// Whether the process named its scheduler itself.
    pub pinned: bool,
}

impl Committee {
    /// The seat that proposes: the first drawn.
    pub fn leader(&self) -> Option<NodeKey> {
        self.seats.first().copied()
    }

    /// Whether this key has a seat.
    pub fn holds_seat(&self, key: &NodeKey) -> bool {
        self.seats.contains(key)
    }
}

/// A candidate passed over although its place in the order would have given it a seat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// The candidate.
    pub key: NodeKey,
    /// Why, for people.
    pub reason: String,
}

/// Who was elected and why, complete enough that anyone can recompute it ([`Election::verify`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Election {
    /// The process.
    pub process: Id,
    /// The network's id.
    pub network: Id,
    /// The seed of the draw.
    pub seed: Id,
    /// Where the seed comes from. `dev`: derived from the network id alone, not safe against whoever wrote the file.
    pub seed_kind: SeedKind,
    /// The committee.
    pub committee: Committee,
    /// Every scheduler in the order drawn; after the seats comes the order of replacement. Drawn also for a pinned
    /// process, to show who would have been elected.
    pub order: Vec<Ranked>,
    /// Who was passed over, and why.
    pub skipped: Vec<Skipped>,
    /// The owner of each candidate's bond, in the order of `order`.
    pub owners: Vec<Id>,
}

/// Why there is no scheduler for a process, or an [`Election`] does not add up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ElectionError {
    /// The tag is no id.
    #[error(
        "Scheduler = {value:?} is not an address (43 characters of base64url): use {network}, the network's address, to \
         have a scheduler elected, or the address of one of its schedulers to pin it"
    )]
    NotAnAddress {
        /// The tag's value (shortened).
        value: String,
        /// The network's address.
        network: Id,
    },
    /// The tag is an id of nobody here.
    #[error(
        "Scheduler = {value} is no scheduler of network {name}: use {network}, the network's address, to have one \
         elected, or the address of one of its schedulers ({examples})"
    )]
    UnknownScheduler {
        /// The tag's value.
        value: Id,
        /// The network's name.
        name: String,
        /// The network's address.
        network: Id,
        /// Up to three schedulers' addresses.
        examples: String,
    },
    /// The tag is the address of a member without the role.
    #[error(
        "Scheduler = {value} is node {node}, which is registered without the role \"scheduler\": use {network}, the \
         network's address, to have a scheduler elected, or pin one of {examples}"
    )]
    NotAScheduler {
        /// The tag's value.
        value: Id,
        /// The member's name.
        node: String,
        /// The network's address.
        network: Id,
        /// Up to three schedulers' addresses.
        examples: String,
    },
    /// Fewer owners than seats.
    #[error("only {found} of {seats} seats can be filled: register schedulers of more owners or lower `seats`")]
    TooFewSeats {
        /// Seats that could be filled.
        found: usize,
        /// Seats wanted.
        seats: u16,
    },
    /// An explanation whose parts contradict each other.
    #[error("the election of process {process} does not add up: {what}; recompute it from the network file")]
    Mismatch {
        /// The process.
        process: Id,
        /// Which part, and how.
        what: &'static str,
    },
}

/// The scheduler of AO's public test network, which aos and most dapps name whatever network they talk to.
///
/// Nobody can be registered under it here (an address is a hash of the member's key), so it can mean only one thing: that
/// the process's author has no scheduler of this network in mind. It is read as "elect one".
pub const WELL_KNOWN_SCHEDULER: &str = "_GQ33BkPtZrqxA84vM8Zk-N2aO0toNNu_C-l-rawrBA";

/// Whether a `Scheduler` tag asks for an election: the network's address, or [`WELL_KNOWN_SCHEDULER`].
pub fn asks_for_election(scheduler_tag: &str, network_address: &Id) -> bool {
    scheduler_tag == WELL_KNOWN_SCHEDULER || scheduler_tag == network_address.to_string()
}

/// The committee of `process`, whose spawn item carries `scheduler_tag`.
///
/// The network's address as the tag means drawn (so does [`WELL_KNOWN_SCHEDULER`]), a scheduler's address means pinned to it.
///
/// # Errors
/// A tag that is neither; the error says what to use instead.
pub fn scheduler_of(network: &Network, process: Id, scheduler_tag: &str) -> Result<Committee, ElectionError> {
    explain(network, process, scheduler_tag).map(|election| election.committee)
}

/// As [`scheduler_of`], with everything that led to it.
///
/// # Errors
/// As [`scheduler_of`].
pub fn explain(network: &Network, process: Id, scheduler_tag: &str) -> Result<Election, ElectionError> {
    let pinned = pinned_scheduler(network, scheduler_tag)?;
    let (seed, seed_kind) = network.seed();
    let candidates: Vec<_> = network.members(Role::Scheduler).map(|member| (member.key, member.bond)).collect();
    let order = elect(Domain::Scheduler, seed, process, &candidates).order;
    let owner = |key: &NodeKey| network.member(key).map_or_else(|| key.address(), Member::bond_owner);
    let owners: Vec<_> = order.iter().map(|ranked| owner(&ranked.key)).collect();
    let parameters = network.parameters().order;
    let (committee, skipped) = match pinned {
        Some(key) => (pinned_committee(process, key), Vec::new()),
        None => seat(process, &order, &owners, parameters.seats, parameters.quorum)?,
    };
    Ok(Election { process, network: network.id(), seed, seed_kind, committee, order, skipped, owners })
}

/// The messengers of `process`, first choice first, with the process's own scheduler moved to the end: whoever orders
/// a process should not also deliver for it while there is somebody else.
pub fn messengers_of(network: &Network, process: Id, scheduler: &NodeKey) -> Vec<NodeKey> {
    let candidates: Vec<_> = network.members(Role::Messenger).map(|member| (member.key, member.bond)).collect();
    let (seed, _) = network.seed();
    let drawn = elect(Domain::Messenger, seed, process, &candidates).order;
    let mut keys: Vec<_> = drawn.into_iter().map(|ranked| ranked.key).collect();
    keys.sort_by_key(|key| key == scheduler);
    keys
}

impl Election {
    /// Recomputes everything from the inputs that the explanation itself carries: the seed, each `u`, `L`, the order,
    /// the owners' rule and the seats. Needs no network file; [`Election::verify_against`] also checks the candidates.
    ///
    /// # Errors
    /// [`ElectionError::Mismatch`] with the first part that differs.
    pub fn verify(&self) -> Result<(), ElectionError> {
        let mismatch = |what| Err(ElectionError::Mismatch { process: self.process, what });
        if self.seed_kind == SeedKind::Dev && self.seed != dev_seed(self.network) {
            return mismatch("the seed is not the development seed of the network");
        }
        let candidates: Vec<_> = self.order.iter().map(|ranked| (ranked.key, ranked.weight)).collect();
        if elect(Domain::Scheduler, self.seed, self.process, &candidates).order != self.order {
            return mismatch("the order differs from the draw");
        }
        if self.owners.len() != self.order.len() || self.committee.process != self.process {
            return mismatch("the owners or the committee belong to another draw");
        }
        if self.committee.pinned {
            return match self.committee.seats.as_slice() {
                [key] if self.committee.quorum == 1 && self.order.iter().any(|ranked| ranked.key == *key) => Ok(()),
                _ => mismatch("a pinned committee has one seat, held by a registered scheduler"),
            };
        }
        let seats = u16::try_from(self.committee.seats.len()).unwrap_or(u16::MAX);
        let (committee, skipped) = seat(self.process, &self.order, &self.owners, seats, self.committee.quorum)?;
        if committee != self.committee || skipped != self.skipped {
            return mismatch("the seats differ from the first of the order");
        }
        Ok(())
    }

    /// [`Election::verify`], and that candidates, weights, owners, seats and quorum are those of `network`.
    ///
    /// # Errors
    /// [`ElectionError::Mismatch`] with the first part that differs.
    pub fn verify_against(&self, network: &Network) -> Result<(), ElectionError> {
        self.verify()?;
        let tag = match self.committee.seats.first() {
            Some(key) if self.committee.pinned => key.address(),
            _ => network.address(),
        };
        let expected = explain(network, self.process, &tag.to_string())?;
        if expected == *self {
            return Ok(());
        }
        Err(ElectionError::Mismatch { process: self.process, what: "it was not drawn from this network's registry" })
    }
}

/// The key a tag pins to, `None` when the tag asks for a draw.
fn pinned_scheduler(network: &Network, tag: &str) -> Result<Option<NodeKey>, ElectionError> {
    let Ok(value) = tag.parse::<Id>() else {
        let value = tag.chars().take(80).collect();
        return Err(ElectionError::NotAnAddress { value, network: network.address() });
    };
    if asks_for_election(tag, &network.address()) {
        return Ok(None);
    }
    let examples = || {
        let addresses = network.members(Role::Scheduler).take(3).map(|member| member.address().to_string());
        addresses.collect::<Vec<_>>().join(", ")
    };
    match network.member_by_address(value) {
        Some(member) if member.roles.contains(&Role::Scheduler) => Ok(Some(member.key)),
        Some(member) => Err(ElectionError::NotAScheduler {
            value,
            node: member.name.clone(),
            network: network.address(),
            examples: examples(),
        }),
        None => Err(ElectionError::UnknownScheduler {
            value,
            name: network.name().to_owned(),
            network: network.address(),
            examples: examples(),
        }),
    }
}

fn pinned_committee(process: Id, key: NodeKey) -> Committee {
    Committee { process, seats: vec![key], quorum: 1, pinned: true }
}

/// Gives the first `seats` of the order their seats, at most one an owner.
fn seat(
    process: Id,
    order: &[Ranked],
    owners: &[Id],
    seats: u16,
    quorum: u16,
) -> Result<(Committee, Vec<Skipped>), ElectionError> {
    let (mut seated, mut skipped, mut held) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (ranked, owner) in order.iter().zip(owners) {
        if seated.len() >= usize::from(seats) {
            break;
        }
        if held.insert(*owner) {
            seated.push(ranked.key);
        } else {
            skipped.push(Skipped { key: ranked.key, reason: format!("owner {owner} holds a seat already") });
        }
    }
    if seated.len() < usize::from(seats) || seated.is_empty() {
        return Err(ElectionError::TooFewSeats { found: seated.len(), seats });
    }
    Ok((Committee { process, seats: seated, quorum, pinned: false }, skipped))
}
