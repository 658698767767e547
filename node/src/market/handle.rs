//! The handle: what the rest of the node may ask of the market.

use std::{sync::Arc, time::Duration};

use tokio::sync::{mpsc, oneshot};
use weft_protocol::{
    Id, Network, NodeKey,
    market::{Award, Context, Object, Refusal, RefusalCode},
    wire,
};

use super::{
    Clock, DynAsk, GrantedLease, Judgement, Lease, MarketView, NoProvider, ProviderState, Want,
    payer::{self, Concluded, Plan},
};

/// Advice to a peer whose request found the mailbox full, in milliseconds.
const BUSY_RETRY_MS: u64 = 500;

/// What handles ask of the loop.
pub(super) enum Command {
    Offer { signed: wire::Signed, reply: oneshot::Sender<Judgement> },
    Record { signed: wire::Signed, reply: oneshot::Sender<Judgement> },
    Serve { from: NodeKey, request: wire::Request, reply: oneshot::Sender<wire::Response> },
    Plan { want: Box<Want>, reply: oneshot::Sender<Result<Plan, NoProvider>> },
    SignAward { award: Award, reply: oneshot::Sender<Result<Object<Award>, String>> },
    Conclude { concluded: Box<Concluded>, reply: oneshot::Sender<()> },
    Charge { charge: Charge, reply: oneshot::Sender<Result<GrantedLease, Refusal>> },
    Release { lease: Id, reply: oneshot::Sender<bool> },
    State { state: ProviderState, reply: oneshot::Sender<()> },
    View { reply: oneshot::Sender<MarketView> },
    Tick { reply: oneshot::Sender<()> },
    Shutdown,
}

/// Slots about to be evaluated under a lease.
pub(super) struct Charge {
    pub lease: Id,
    pub payer: NodeKey,
    pub process: Id,
    pub from_slot: u64,
    pub to_slot: u64,
}

/// A cheap clone that talks to the market's loop.
#[derive(Clone)]
pub struct MarketHandle(Arc<Shared>);

struct Shared {
    network: Network,
    me: NodeKey,
    commands: mpsc::Sender<Command>,
    ask: Arc<dyn DynAsk>,
    clock: Arc<dyn Clock>,
}

impl MarketHandle {
    pub(super) fn new(
        network: Network,
        me: NodeKey,
        commands: mpsc::Sender<Command>,
        ask: Arc<dyn DynAsk>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self(Arc::new(Shared { network, me, commands, ask, clock }))
    }

    /// Buys compute for a process: asks up to ten providers (two at least when there are two), awards by the rule and
    /// falls to the next when one refuses. Takes at most a few seconds; dropping it leaves nothing but quotes that
    /// expire.
    ///
    /// # Errors
    /// When nobody takes it: each provider with its reason.
    pub async fn lease(&self, want: Want) -> Result<Lease, NoProvider> {
        payer::buy(self, want).await
    }

    /// Judges an offer from gossip and takes it into the price book.
    pub async fn on_offer(&self, signed: wire::Signed) -> Judgement {
        self.judge(|reply| Command::Offer { signed, reply }).await
    }

    /// Judges an award record from gossip and takes it into the history.
    pub async fn on_award(&self, signed: wire::Signed) -> Judgement {
        self.judge(|reply| Command::Record { signed, reply }).await
    }

    async fn judge(&self, command: impl FnOnce(oneshot::Sender<Judgement>) -> Command) -> Judgement {
        let (reply, answer) = oneshot::channel();
        if self.0.commands.try_send(command(reply)).is_err() {
            return Judgement::Ignore;
        }
        answer.await.unwrap_or(Judgement::Ignore)
    }

    /// Answers a peer's request of the market lane: `quote` with a binding quote, `award` with a lease, or a refusal.
    pub async fn serve(&self, from: NodeKey, request: wire::Request) -> wire::Response {
        let (reply, answer) = oneshot::channel();
        match self.0.commands.try_send(Command::Serve { from, request, reply }) {
            Ok(()) => answer.await.unwrap_or_else(|_| refused(stopped())),
            Err(mpsc::error::TrySendError::Full(_)) => {
                let refusal = Refusal::new(RefusalCode::Capacity, "too many requests are waiting");
                refused(refusal.retry_after(BUSY_RETRY_MS))
            }
            Err(mpsc::error::TrySendError::Closed(_)) => refused(stopped()),
        }
    }

    /// Counts slots `from_slot..=to_slot` against a lease this node granted, each once; to be called before they are
    /// evaluated for `payer`.
    ///
    /// # Errors
    /// The refusal to answer: `expired` for a lease that is not held (any more), `payer_blocked` for somebody else's,
    /// `lease_limit` when it is used up.
    pub async fn charge(
        &self,
        lease: Id,
        payer: NodeKey,
        process: Id,
        from_slot: u64,
        to_slot: u64,
    ) -> Result<GrantedLease, Refusal> {
        let charge = Charge { lease, payer, process, from_slot, to_slot };
        self.call(|reply| Command::Charge { charge, reply }).await.unwrap_or_else(|| Err(stopped()))
    }

    /// Ends a lease this node granted, before its time; whether it held it.
    pub async fn release(&self, lease: Id) -> bool {
        self.call(|reply| Command::Release { lease, reply }).await.unwrap_or(false)
    }

    /// Opens or closes this node's provider; a new offer says so at once.
    pub async fn set_state(&self, state: ProviderState) {
        self.call(|reply| Command::State { state, reply }).await;
    }

    /// The market as this node sees it; `None` when the service has ended.
    pub async fn view(&self) -> Option<MarketView> {
        self.call(|reply| Command::View { reply }).await
    }

    /// Does now what else happens once a second: drops what has expired, publishes an offer that is due.
    pub async fn tick(&self) {
        self.call(|reply| Command::Tick { reply }).await;
    }

    /// Ends the service.
    pub async fn shutdown(&self) {
        // A loop that has ended already cannot be told to.
        let _ = self.0.commands.send(Command::Shutdown).await;
        self.0.commands.closed().await;
    }

    pub(super) async fn plan(&self, want: Want) -> Result<Plan, NoProvider> {
        let process = want.process;
        let want = Box::new(want);
        let ended = || NoProvider { process, reasons: Vec::new(), retry_after_ms: 0 };
        self.call(|reply| Command::Plan { want, reply }).await.unwrap_or_else(|| Err(ended()))
    }

    pub(super) async fn sign_award(&self, award: Award) -> Result<Object<Award>, String> {
        let ended = || Err("the market service has ended".to_owned());
        self.call(|reply| Command::SignAward { award, reply }).await.unwrap_or_else(ended)
    }

    pub(super) async fn conclude(&self, concluded: Concluded) {
        let concluded = Box::new(concluded);
        self.call(|reply| Command::Conclude { concluded, reply }).await;
    }

    /// Asks a node; ourselves without the network.
    pub(super) async fn ask(&self, to: NodeKey, request: wire::Request) -> Result<wire::Response, String> {
        if to == self.0.me {
            return Ok(self.serve(to, request).await);
        }
        self.0.ask.ask(to, request).await
    }

    pub(super) fn latency(&self, to: NodeKey) -> Option<Duration> {
        if to == self.0.me { Some(Duration::ZERO) } else { self.0.ask.latency(to) }
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.0.clock.now_ms()
    }

    pub(super) fn context(&self) -> Context {
        let skew_ms = self.0.network.parameters().max_clock_skew_ms;
        Context { network: self.0.network.id(), now_ms: self.now_ms(), skew_ms }
    }

    /// Sends a command, waiting for room, and waits for its answer; `None` when the service has ended.
    async fn call<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.0.commands.send(command(reply)).await.ok()?;
        answer.await.ok()
    }
}

fn stopped() -> Refusal {
    Refusal::new(RefusalCode::Internal, "the market service of this node has ended")
}

/// A refusal as a response.
pub(super) fn refused(refusal: Refusal) -> wire::Response {
    wire::Response { body: Some(wire::response::Body::Refusal(refusal.into())) }
}

/// Whole milliseconds.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
