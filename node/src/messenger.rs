//! The messenger: gets the processes it is drawn for evaluated, keeps their outcomes, and turns the crank.
//!
//! Where it sits: told of sealed slots by gossip and by its own sweep over the schedulers' heads (so nothing missed stays
//! missed); buys evaluation on the market (`market/`); keeps outcomes durably ([`OutcomeStore`]) before anything leaves;
//! hands each outgoing item to the `courier`, which delivers it to its target's scheduler until that has answered.
//! Every step can be repeated: deliveries are recomputed from the stored outcome and have the same bytes each time.

use std::{sync::Arc, time::Duration};

use tokio::sync::mpsc;
use weft_protocol::{
    Id,
    keys::NodeKey,
    refusal::Code,
    wire::{self, LogEntry, Refusal},
};

mod casts;
mod courier;
mod lease;
mod push;
mod service;
mod store;
mod worker;

pub use lease::{Leases, LostLease};
pub use push::{PushEnd, Pushed};
pub use service::{Messenger, MessengerError};
pub use store::{Delivered, OutcomeStore};

use crate::{
    activity::ActivityLog,
    anchor::AnchorHandle,
    directory::{Directory, Located},
    market::MarketHandle,
    peers::{CallError, Peers},
};

/// Notices of sealed slots that may wait; more are dropped and found again by the sweep.
const MAILBOX: usize = 4_096;
/// Longest that a result query is held back.
pub const MAX_WAIT: Duration = Duration::from_secs(60);

/// What the messenger's parts work with.
pub(crate) struct Tools {
    pub me: NodeKey,
    pub directory: Directory,
    pub peers: Peers,
    pub market: MarketHandle,
    pub anchor: Option<AnchorHandle>,
    pub store: OutcomeStore,
    pub leases: Leases,
    pub activity: ActivityLog,
}

/// A process has slots to look at.
#[derive(Debug)]
pub(crate) enum Notice {
    /// Its log goes up to `next_slot`; some of its newest entries.
    Sealed { process: Id, next_slot: u64, entries: Vec<LogEntry> },
    /// Its worker has stopped, having seen the log up to `seen`.
    Stopped { process: Id, seen: u64 },
}

/// A cheap handle on the messenger.
#[derive(Clone)]
pub struct MessengerHandle {
    mailbox: mpsc::Sender<Notice>,
    tools: Arc<Tools>,
}

impl MessengerHandle {
    /// Says that `process` has slots up to `next_slot`. Dropped when the mailbox is full: the sweep finds it again.
    pub fn sealed(&self, process: Id, next_slot: u64, entries: Vec<LogEntry>) {
        let _ = self.mailbox.try_send(Notice::Sealed { process, next_slot, entries });
    }

    /// The outcomes kept here.
    pub fn store(&self) -> &OutcomeStore {
        &self.tools.store
    }

    /// Leases this messenger holds as a payer and that are in force.
    pub fn leases_held(&self) -> usize {
        self.tools.leases.held()
    }

    /// Leases given up lately because their provider failed, oldest first.
    pub fn leases_lost(&self) -> Vec<LostLease> {
        self.tools.leases.lost()
    }

    /// Who evaluates `process` now.
    pub fn provider(&self, process: &Id) -> Option<NodeKey> {
        self.tools.leases.current(process).map(|lease| lease.provider)
    }

    /// The outcome of a slot, waiting until it is evaluated. Being asked makes this node see to it, even when it is not the
    /// first messenger drawn: whoever asks could not reach those before it.
    ///
    /// # Errors
    /// A refusal: not evaluated within the wait (with the reason last seen), a cast asked for with a proof that does not
    /// hold, or a fault.
    pub async fn result(&self, query: &wire::ResultQuery) -> Result<wire::Result, Refusal> {
        let process = process_of(&query.process)?;
        let wait = Duration::from_millis(query.wait_ms.into()).min(MAX_WAIT);
        let mut stored = self.tools.store.subscribe(&process);
        let fault = |e: weft_storage::store::StoreError| Code::Internal.refuse(e.to_string());
        let found = async {
            let mut told = false;
            loop {
                stored.borrow_and_update();
                if let Some(result) = self.tools.store.outcome(&process, query.slot).map_err(fault)? {
                    return Ok(result);
                }
                if !std::mem::replace(&mut told, true) {
                    self.sealed(process, query.slot.saturating_add(1), Vec::new());
                }
                if stored.changed().await.is_err() {
                    return Err(Code::Unavailable.refuse("the messenger is stopping; try again"));
                }
            }
        };
        let late = || Err(Code::Timeout.refuse(self.why_not(&process, query.slot)));
        let result = tokio::time::timeout(wait, found).await.unwrap_or_else(|_| late())?;
        casts::given(&self.tools, &process, result, &query.proof).await
    }

    /// Why a slot has no outcome yet.
    fn why_not(&self, process: &Id, slot: u64) -> String {
        let trouble = self.tools.leases.trouble(process).map(|why| format!(": {why}")).unwrap_or_default();
        format!("slot {slot} of process {process} is not evaluated yet{trouble}; it will be, ask again")
    }

    /// Outcomes of a range of slots; those of casts are withheld.
    ///
    /// # Errors
    /// A refusal: bad query or a fault of the store.
    pub fn results(&self, query: &wire::ResultsQuery) -> Result<wire::Results, Refusal> {
        let process = process_of(&query.process)?;
        let page = self.tools.store.results(&process, query).map_err(|e| Code::Internal.refuse(e.to_string()))?;
        Ok(wire::Results { results: page.results.into_iter().map(casts::shown).collect(), ..page })
    }

    /// Has a message tried out by the provider that holds the process's lease.
    ///
    /// # Errors
    /// A refusal: unknown process, no provider, or what the provider said.
    pub async fn dry_run(&self, query: wire::DryRun) -> Result<wire::Result, Refusal> {
        let process = process_of(&query.process)?;
        let located = self.tools.directory.locate(&process).await.map_err(|e| e.refusal())?;
        let scheduler = crate::scheduler::key_bytes(&located.scheduler);
        self.by_the_provider(process, &located, |provider, lease| {
            let request = wire::DryRun { lease, scheduler: scheduler.clone(), ..query.clone() };
            async move { self.tools.peers.dry_run(provider, request).await }
        })
        .await
    }

    /// Has the provider that holds the process's lease give its memory.
    ///
    /// # Errors
    /// As [`MessengerHandle::dry_run`].
    pub async fn state(&self, query: wire::StateQuery) -> Result<wire::State, Refusal> {
        let process = process_of(&query.process)?;
        let located = self.tools.directory.locate(&process).await.map_err(|e| e.refusal())?;
        self.by_the_provider(process, &located, |provider, lease| {
            let request = wire::StateQuery { lease, ..query.clone() };
            async move { self.tools.peers.state(provider, request).await }
        })
        .await
    }

    /// Asks the provider under its lease; one that fails loses it, and the next is asked.
    async fn by_the_provider<T, F: Future<Output = Result<T, CallError>>>(
        &self,
        process: Id,
        located: &Located,
        ask: impl Fn(NodeKey, bytes::Bytes) -> F,
    ) -> Result<T, Refusal> {
        let mut failed = Vec::new();
        for _attempt in 0..3 {
            let lease =
                self.tools.lease(&process, located, &failed).await.map_err(|why| Code::Unavailable.refuse(why))?;
            match ask(lease.provider, crate::scheduler::id_bytes(&lease.id)).await {
                Ok(answer) => return Ok(answer),
                Err(CallError::Refused(refusal)) if is_the_askers(&refusal) => return Err(refusal),
                Err(error) => {
                    self.tools.leases.drop_lease(&process, &error.to_string());
                    failed.push(lease.provider);
                }
            }
        }
        Err(Code::Unavailable.refuse("no provider answered; try again"))
    }
}

/// Refusals that another provider would give as well, or that only mean "later": no reason to give up a lease.
fn is_the_askers(refusal: &Refusal) -> bool {
    match Code::parse(&refusal.code) {
        Code::Capacity => true,
        Code::Internal => false,
        _ => refusal.is_final,
    }
}

fn process_of(bytes: &[u8]) -> Result<Id, Refusal> {
    Id::from_slice(bytes).ok_or_else(|| Code::BadItem.refuse("`process` is not 32 bytes"))
}
