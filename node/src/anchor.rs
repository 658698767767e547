//! The anchor: puts items on Arweave and knows when they are there.
//!
//! [`AnchorHandle::enqueue`] makes items durable before it returns; from then on one loop bundles them, posts the bundles,
//! watches them until they are deep enough, posts them again when they were dropped and builds them anew when their
//! anchors have died. The rules of that are `weft_protocol::anchor`, the truth is a store of its own: killed at any point,
//! the anchor goes on where it was. A gateway that is down only delays; [`Summary::trouble`] says why.
//!
//! Where it sits: the scheduler, messenger and compute service hand it what they sealed and attested.

mod book;
mod build;
mod service;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use book::Book;
use serde::Serialize;
use tokio::sync::{mpsc, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use weft_protocol::{
    Id,
    anchor::{AnchorRules, AnchorState},
    ans104::{DataItem, RsaSigner},
};
use weft_storage::{
    StoreError,
    arweave::{
        bundler::{Bounds, BundlerError},
        gateway::{Gateway, GatewayError},
    },
};

use crate::clock::now_ms;

/// What the anchor works with.
pub struct AnchorConfig {
    /// Its store.
    pub folder: PathBuf,
    /// Where bundles are posted and looked for.
    pub gateway: Gateway,
    /// The wallet that pays.
    pub wallet: Arc<RsaSigner>,
    /// Depths and lives, in blocks.
    pub rules: AnchorRules,
    /// How much goes into a bundle.
    pub bounds: Bounds,
    /// Waiting items are bundled, and bundles looked after, so often.
    pub every: Duration,
}

impl AnchorConfig {
    /// The usual bounds: 1,000 items or 900 KiB, every 5 seconds, settled at 20 confirmations.
    pub fn new(folder: PathBuf, gateway: Gateway, wallet: Arc<RsaSigner>) -> Self {
        let every = Duration::from_secs(5);
        Self { folder, gateway, wallet, rules: AnchorRules::default(), bounds: Bounds::default(), every }
    }
}

/// What goes wrong in the anchor.
#[derive(Debug, thiserror::Error)]
pub enum AnchorError {
    /// Its store failed: nothing can be promised.
    #[error("the anchor's store: {0}")]
    Store(#[from] StoreError),
    /// A stored record is not understood.
    #[error("the anchor's store has a record that is not understood ({0}): it was written by another version of Weft")]
    Record(String),
    /// A gateway could not help; it is asked again later.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    /// A bundle could not be built.
    #[error(transparent)]
    Bundler(#[from] BundlerError),
    /// The wallet cannot pay for the next bundle.
    #[error(
        "wallet {address} has {balance} winston and the next bundle costs {price}: send it AR (on a devnet: /mint)"
    )]
    Poor {
        /// The wallet's address.
        address: Id,
        /// What it has.
        balance: u128,
        /// What is needed.
        price: u128,
    },
}

/// How the anchor is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Items that wait for a bundle.
    pub waiting: u64,
    /// Items in bundles that are under way.
    pub posted: u64,
    /// Items on Arweave, deep enough.
    pub confirmed: u64,
    /// Bundles posted again since the start, because they were dropped or stayed pending.
    pub reposted: u64,
    /// Bundles built again since the start, because their anchors had died.
    pub rebuilt: u64,
    /// The newest bundle.
    pub last_bundle: Option<Id>,
    /// How long the oldest waiting item has waited, in milliseconds.
    pub oldest_ms: Option<u64>,
    /// What the wallet has, in winston, as far as known (text: JSON numbers end at 2^53).
    pub balance: Option<String>,
    /// Why nothing moves, when nothing does.
    pub trouble: Option<String>,
}

/// A handle on the running anchor; cheap to clone.
#[derive(Clone)]
pub struct AnchorHandle {
    book: Book,
    wake: mpsc::Sender<()>,
    waiting: Arc<Waiting>,
    bounds: Bounds,
    summary: watch::Receiver<Summary>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// How much waits for a bundle. Signed: an item may be counted off a moment before it is counted in.
#[derive(Debug, Default)]
struct Waiting {
    items: AtomicI64,
    bytes: AtomicI64,
}

impl Waiting {
    fn add(&self, items: u64, bytes: u64) {
        self.items.fetch_add(i64::try_from(items).unwrap_or(i64::MAX), Ordering::Relaxed);
        self.bytes.fetch_add(i64::try_from(bytes).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    fn take(&self, waiters: &[book::Waiter]) {
        let bytes = waiters.iter().map(|waiter| waiter.size as u64).sum::<u64>();
        self.items.fetch_sub(i64::try_from(waiters.len()).unwrap_or(i64::MAX), Ordering::Relaxed);
        self.bytes.fetch_sub(i64::try_from(bytes).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    fn items(&self) -> u64 {
        u64::try_from(self.items.load(Ordering::Relaxed)).unwrap_or(0)
    }

    fn fills(&self, bounds: Bounds) -> bool {
        let bytes = u64::try_from(self.bytes.load(Ordering::Relaxed)).unwrap_or(0);
        self.items() >= bounds.items as u64 || bytes >= bounds.bytes as u64
    }
}

/// Opens the anchor's store and starts its loop.
///
/// # Errors
/// [`AnchorError::Store`] when the folder is in use or damaged.
pub fn start(config: AnchorConfig) -> Result<AnchorHandle, AnchorError> {
    let book = Book::open(&config.folder)?;
    let waiting = Arc::new(Waiting::default());
    // One waiting wake-up is as good as many.
    let (wake, woken) = mpsc::channel(1);
    let (publish, summary) = watch::channel(Summary::default());
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    let bounds = config.bounds;
    let service = service::Service::open(config, book.clone(), waiting.clone(), publish)?;
    tasks.spawn(service.run(woken, stop.clone()));
    tasks.close();
    Ok(AnchorHandle { book, wake, waiting, bounds, summary, stop, tasks })
}

impl AnchorHandle {
    /// Takes items to anchor. They are durable when this returns; items known already are left as they are.
    ///
    /// # Errors
    /// [`AnchorError::Store`]: then nothing may be assumed, and handing them in again is right.
    pub async fn enqueue(&self, items: Vec<DataItem>) -> Result<(), AnchorError> {
        // A task of its own: a caller that gives up waiting must not leave items stored and not counted.
        let (book, waiting) = (self.book.clone(), self.waiting.clone());
        let taking = tokio::spawn(async move {
            let (count, bytes) = book.take(&items, now_ms()).await?;
            waiting.add(count, bytes);
            Ok::<_, AnchorError>(())
        });
        taking.await.map_err(|error| AnchorError::Record(error.to_string()))??;
        if self.waiting.fills(self.bounds) {
            // Full means that it is about to be woken anyway.
            let _woken = self.wake.try_send(());
        }
        Ok(())
    }

    /// Where an item stands; `None` when it was never handed in.
    ///
    /// # Errors
    /// [`AnchorError::Store`].
    pub fn state(&self, id: &Id) -> Result<Option<AnchorState>, AnchorError> {
        self.book.state(id)
    }

    /// How the anchor is doing.
    pub fn summary(&self) -> Summary {
        let mut summary = self.summary.borrow().clone();
        summary.waiting = self.waiting.items();
        summary
    }

    /// Waits until the summary changes (at most once per round of the loop).
    pub async fn changed(&mut self) {
        let _closed = self.summary.changed().await;
    }

    /// Resolves when the loop has ended: told to, by a fault of its own, or because its store can no longer be used.
    pub async fn ended(&self) {
        self.tasks.wait().await;
    }

    /// Ends the loop after what it is doing now. The store is closed when the last handle is gone.
    pub async fn shutdown(self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}
