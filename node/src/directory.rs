//! Which scheduler orders a process: cached, else asked of those who can be it.
//!
//! Where it sits: used by `api.rs`, the messenger and the compute service. The answer is checked, not believed: the scheduler
//! follows from the spawn item and the network file (`weft_protocol::election`), and its own assignment of slot 0 must verify.
//! No DHT lookup is on this path.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
};

use futures::{StreamExt as _, stream::FuturesUnordered};
use lru::LruCache;
use weft_protocol::{
    Id,
    ans104::{DataItem, Profile},
    assignment::Assignment,
    attestation::signer_key,
    election,
    keys::NodeKey,
    network::{Network, Role},
    refusal::Code,
    settlement, wire,
};

use crate::{peers::Peers, scheduler::LogStore};

/// Processes remembered.
const KNOWN: NonZeroUsize = crate::bounds::at_least_one(20_000);

/// Processes with a spawn item over [`SMALL`] remembered besides.
const LARGE: NonZeroUsize = crate::bounds::at_least_one(32);
/// Bytes of spawn item up to which a process counts as small.
const SMALL: usize = 16 << 10;

/// A process and who orders it.
#[derive(Clone, Debug)]
pub struct Located {
    /// The scheduler.
    pub scheduler: NodeKey,
    /// The spawn item.
    pub item: DataItem,
    /// Its assignment, slot 0.
    pub assignment: DataItem,
}

impl Located {
    /// The module the process names.
    pub fn module(&self) -> Option<Id> {
        self.item.tag("Module").and_then(|m| m.parse().ok())
    }
}

/// Why a process was not located.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocateError {
    /// Every scheduler that could have it says no.
    #[error("no scheduler of this network knows process {0}: check the id, or spawn it first")]
    NotFound(Id),
    /// Nobody has it, but not everybody could be asked.
    #[error("process {process} is not found yet: {silent} did not answer; try again")]
    Unavailable {
        /// The process.
        process: Id,
        /// Who was silent.
        silent: String,
    },
}

impl LocateError {
    /// The same as a refusal to a peer.
    pub fn refusal(&self) -> wire::Refusal {
        match self {
            Self::NotFound(_) => Code::UnknownProcess.refuse(self.to_string()),
            Self::Unavailable { .. } => Code::Unavailable.refuse(self.to_string()),
        }
    }
}

/// The directory. Cheap to clone.
#[derive(Clone)]
pub struct Directory(Arc<Inner>);

struct Inner {
    network: Network,
    me: NodeKey,
    peers: Peers,
    log: LogStore,
    known: Mutex<LruCache<Id, Located>>,
    large: Mutex<LruCache<Id, Located>>,
}

impl Directory {
    /// A directory of `network` as `me` sees it; `log` holds the processes it orders itself.
    pub fn new(network: Network, me: NodeKey, peers: Peers, log: LogStore) -> Self {
        Self(Arc::new(Inner {
            network,
            me,
            peers,
            log,
            known: Mutex::new(LruCache::new(KNOWN)),
            large: Mutex::new(LruCache::new(LARGE)),
        }))
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.0.network
    }

    /// Who would order this spawn item.
    ///
    /// # Errors
    /// When its `Scheduler` tag names neither the network nor one of its schedulers.
    pub fn scheduler_for(&self, item: &DataItem) -> Result<NodeKey, election::ElectionError> {
        let network = &self.0.network;
        let tag = item.tag("Scheduler").unwrap_or_default();
        let committee = election::scheduler_of(network, item.id(), tag)?;
        committee.leader().ok_or(election::ElectionError::TooFewSeats { found: 0, seats: 1 })
    }

    /// The messengers of a located process, in their order of duty.
    pub fn messengers(&self, process: &Id, scheduler: &NodeKey) -> Vec<NodeKey> {
        election::messengers_of(&self.0.network, *process, scheduler)
    }

    /// Confirmations that a transaction needs before this process is assigned it: what its tag says, else the network.
    pub fn settlement_depth(&self, process: Option<&Located>) -> u64 {
        let usual = self.network().parameters().anchor.settlement_depth.into();
        settlement::depth(process.map_or(&[], |located| located.item.tags()), usual)
    }

    /// What is known without asking anybody.
    pub fn known(&self, process: &Id) -> Option<Located> {
        let cached = |shelf: &Mutex<LruCache<Id, Located>>| {
            shelf.lock().unwrap_or_else(PoisonError::into_inner).get(process).cloned()
        };
        cached(&self.0.known).or_else(|| cached(&self.0.large)).or_else(|| self.own(process))
    }

    fn own(&self, process: &Id) -> Option<Located> {
        let entry = self.0.log.entry(process, 0).ok()??;
        self.learn(entry.item, entry.assignment)
    }

    /// Checks a spawn item and its assignment and remembers them.
    pub fn learn(&self, item: bytes::Bytes, assignment: bytes::Bytes) -> Option<Located> {
        let item = DataItem::parse_verified(item, Profile::Strict).ok()?;
        let scheduler = self.scheduler_for(&item).ok()?;
        let assignment = DataItem::parse_verified(assignment, Profile::Strict).ok()?;
        let read = Assignment::read(&assignment).ok()?;
        if signer_key(&assignment) != Some(scheduler) || read.process != item.id() || read.slot != 0 {
            return None;
        }
        let located = Located { scheduler, item, assignment };
        let id = located.item.id();
        let shelf = if located.item.raw().len() <= SMALL { &self.0.known } else { &self.0.large };
        shelf.lock().unwrap_or_else(PoisonError::into_inner).put(id, located.clone());
        Some(located)
    }

    /// Finds the scheduler of `process`: from memory, from the elected one, then from all others at once.
    ///
    /// # Errors
    /// [`LocateError`]; `NotFound` only when every scheduler has answered.
    pub async fn locate(&self, process: &Id) -> Result<Located, LocateError> {
        if let Some(located) = self.known(process) {
            return Ok(located);
        }
        let elected = election::scheduler_of(&self.0.network, *process, &self.0.network.address().to_string())
            .ok()
            .and_then(|committee| committee.leader());
        let mut silent = Vec::new();
        if let Some(elected) = elected.filter(|e| *e != self.0.me) {
            match self.ask(elected, process).await {
                Ok(Some(located)) => return Ok(located),
                Ok(None) => {}
                Err(()) => silent.push(elected),
            }
        }
        let others = self.0.network.members(Role::Scheduler).map(|m| m.key);
        let mut answers: FuturesUnordered<_> = others
            .filter(|key| *key != self.0.me && Some(*key) != elected)
            .map(|key| async move { (key, self.ask(key, process).await) })
            .collect();
        while let Some((key, answer)) = answers.next().await {
            match answer {
                Ok(Some(located)) => return Ok(located),
                Ok(None) => {}
                Err(()) => silent.push(key),
            }
        }
        match silent.is_empty() {
            true => Err(LocateError::NotFound(*process)),
            false => Err(LocateError::Unavailable { process: *process, silent: self.names(&silent) }),
        }
    }

    /// `Ok(None)`: it answered that it does not have the process. `Err`: no answer one can rely on.
    async fn ask(&self, key: NodeKey, process: &Id) -> Result<Option<Located>, ()> {
        match self.0.peers.process(key, process).await {
            Ok(wire::Process { item, assignment, .. }) => self.learn(item, assignment).map(Some).ok_or(()),
            Err(error) if matches!(error.code(), Code::UnknownProcess | Code::NotHere) => Ok(None),
            Err(_) => Err(()),
        }
    }

    /// Registry names of `keys`, for people.
    pub fn names(&self, keys: &[NodeKey]) -> String {
        keys.iter().map(|key| self.name(key)).collect::<Vec<_>>().join(", ")
    }

    /// Registry name of a key, or the key itself.
    pub fn name(&self, key: &NodeKey) -> String {
        self.0.network.member(key).map_or_else(|| key.to_string(), |m| m.name.clone())
    }
}
