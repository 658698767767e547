//! The market service: publishes this node's offer, answers requests for quotes, and buys compute for the messenger.
//!
//! Where it sits: beside the network, over `weft_protocol::market`, which holds the rules. [`start`] gives a cheap
//! [`MarketHandle`]; behind it one loop owns the price book, the provider's standing quotes and leases, and the
//! history. Buying ([`MarketHandle::lease`]) runs in the caller's task, so that waiting for peers never holds the loop.
//!
//! What is kept on disk is the sequence number alone ([`sequence`]). A provider that restarts knows no leases: the
//! payer's next evaluation is refused with `expired` and it buys again.

mod book;
mod handle;
mod history;
mod payer;
mod provider;
pub mod sequence;
mod service;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, future::Future, path::PathBuf, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::{sync::mpsc, task::JoinHandle};
use weft_protocol::{Id, Network, NodeKey, market::Issuer, wire};

pub use self::{
    handle::MarketHandle,
    history::{AwardEntry, Counters, Evidence, MarketView, OfferEntry, QuoteEntry, RefusalEntry},
    payer::{Lease, NoProvider, ProviderReason, Want},
    provider::GrantedLease,
    sequence::SequenceError,
};

/// Commands waiting for the loop. Gossip that finds no room is ignored, a peer's request is refused with `capacity`,
/// our own callers wait.
const MAILBOX: usize = 256;

/// How the market reaches other nodes. The node implements it over its network handle.
pub trait Ask: Send + Sync + 'static {
    /// Asks one node; an error says why there is no answer.
    fn ask(&self, to: NodeKey, request: wire::Request) -> impl Future<Output = Result<wire::Response, String>> + Send;

    /// Measured round-trip time to a node, when there is one.
    fn latency(&self, to: NodeKey) -> Option<Duration>;
}

/// [`Ask`] behind a pointer.
trait DynAsk: Send + Sync + 'static {
    fn ask(&self, to: NodeKey, request: wire::Request) -> BoxFuture<'_, Result<wire::Response, String>>;
    fn latency(&self, to: NodeKey) -> Option<Duration>;
}

impl<A: Ask> DynAsk for A {
    fn ask(&self, to: NodeKey, request: wire::Request) -> BoxFuture<'_, Result<wire::Response, String>> {
        Box::pin(Ask::ask(self, to, request))
    }

    fn latency(&self, to: NodeKey) -> Option<Duration> {
        Ask::latency(self, to)
    }
}

/// Where the time comes from. Offers, quotes and leases are bound to wall clocks.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since 1970.
    fn now_ms(&self) -> u64;
}

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> u64 {
        crate::clock::now_ms()
    }
}

/// What gossip is worth. Only what is accepted is passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// Good and new.
    Accept,
    /// Not passed on, no blame: late, known already, another network.
    Ignore,
    /// Not passed on; whoever published it is at fault.
    Reject,
}

/// What this node sells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderConfig {
    /// Winston per 10^9 fuel.
    pub price_per_gfuel: u64,
    /// Leases held at once at most, standing quotes included.
    pub max_leases: u32,
    /// Memory of one process at most, in bytes; the network's limit applies besides.
    pub max_memory_bytes: u64,
    /// Slots replayed at most to catch up with a process.
    pub max_cold_slots: u64,
    /// Modules that are run; empty: all.
    pub modules: Vec<Id>,
    /// Hash of the engine profile, when it is to be stated.
    pub profile: Option<Id>,
    /// Payers that get no quote.
    pub blocked_payers: BTreeSet<NodeKey>,
}

impl Default for ProviderConfig {
    /// 100 winston per 10^9 fuel, 1,000 leases, 1 GiB, any log, any module, nobody blocked.
    fn default() -> Self {
        Self {
            price_per_gfuel: 100,
            max_leases: 1_000,
            max_memory_bytes: 1 << 30,
            max_cold_slots: u64::MAX,
            modules: Vec::new(),
            profile: None,
            blocked_payers: BTreeSet::new(),
        }
    }
}

/// Whether the provider takes work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProviderState {
    /// Quotes and takes leases.
    #[default]
    Open,
    /// Honours its quotes and leases and takes nothing new.
    Draining,
    /// Takes nothing, not even awards of its quotes.
    Maintenance,
}

/// What the market service needs to know.
pub struct MarketConfig {
    /// The network.
    pub network: Network,
    /// Seed of the node's ed25519 key.
    pub seed: [u8; 32],
    /// What it sells; `None`: nothing.
    pub provider: Option<ProviderConfig>,
    /// The highest price it pays, winston per 10^9 fuel.
    pub max_price_per_gfuel: u64,
    /// File that keeps the sequence number; its folder exists.
    pub sequence: PathBuf,
}

/// Starts the service. `gossip` takes what is to be published on the market topic; when it is full the item is dropped
/// and counted (an offer is published again soon). The service ends when the last handle is dropped or told to
/// [`MarketHandle::shutdown`].
///
/// # Errors
/// A sequence file that cannot be read or written.
pub fn start(
    config: MarketConfig,
    ask: impl Ask,
    clock: impl Clock,
    gossip: mpsc::Sender<wire::Gossip>,
) -> Result<(MarketHandle, JoinHandle<()>), SequenceError> {
    let clock: Arc<dyn Clock> = Arc::new(clock);
    let ask: Arc<dyn DynAsk> = Arc::new(ask);
    let sequence = sequence::Sequence::open(config.sequence, clock.now_ms())?;
    let issuer = Arc::new(Issuer::new(config.network.id(), &config.seed));
    let (commands, mailbox) = mpsc::channel(MAILBOX);
    let outside = service::Outside { clock: Arc::clone(&clock), ask: Arc::clone(&ask), gossip };
    let terms = service::Terms { provider: config.provider, max_price_per_gfuel: config.max_price_per_gfuel };
    let service = service::Service::new(config.network.clone(), Arc::clone(&issuer), sequence, terms, outside);
    let task = tokio::spawn(service.run(mailbox));
    Ok((MarketHandle::new(config.network, issuer.key(), commands, ask, clock), task))
}
