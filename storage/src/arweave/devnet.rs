//! A development network that speaks Arweave's HTTP: node, gateway, uploader and GraphQL in one server.
//!
//! It keeps Arweave's rules where they matter to a client (signatures, data roots, anchors, fees, pending before mined,
//! confirmations from 1, proven chunks, verified bundle items) and adds what tests need: mint, mine, evict. It is no
//! consensus and holds nothing of worth.
//!
//! Where it sits: run by the testnet and by tests; the node reaches it through [`super::gateway`] like any gateway.

mod body;
mod chain;
mod event;
mod fresh;
mod graphql;
mod http;
mod log;
mod node;
mod query;
mod record;
mod state;
mod tx;

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

pub use fresh::{DOOR, Fresh, FreshAnswer};
use node::Node;
pub use query::TooMuch;
use tokio::{net::TcpListener, time::MissedTickBehavior};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use weft_protocol::Id;

use super::bundler::BundlerError;
use crate::store::StoreError;

/// How long open requests may take to end at a shutdown.
const GRACE: Duration = Duration::from_secs(5);

/// What a devnet is started with.
#[derive(Debug, Clone, Default)]
pub struct DevnetConfig {
    /// Where to listen; the same server on each. Port 0 takes a free one.
    pub listen: Vec<SocketAddr>,
    /// Where to keep everything; `None` keeps it in memory.
    pub dir: Option<PathBuf>,
    /// Mine a block so often; `None` mines only when asked.
    pub block_interval: Option<Duration>,
    /// Wallets that start with winston, on a fresh folder.
    pub mint: Vec<(Id, u128)>,
}

/// What goes wrong in the devnet.
#[derive(Debug, thiserror::Error)]
pub enum DevnetError {
    /// An address could not be listened on.
    #[error("the Arweave devnet cannot listen on {address}: {source}; stop what uses the port or choose another")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Its store failed.
    #[error("the Arweave devnet's store: {0}")]
    Store(#[from] StoreError),
    /// A stored record is not understood.
    #[error("the Arweave devnet's folder has a record that is not understood ({0}): start again with an empty folder")]
    Record(String),
    /// Something stored is gone.
    #[error("the Arweave devnet lost {0}: start again with an empty folder")]
    Lost(String),
    /// Uploaded items could not be packed.
    #[error("the Arweave devnet cannot bundle: {0}")]
    Bundler(#[from] BundlerError),
    /// A transaction was turned down: HTTP status and Arweave's words.
    #[error("{1}")]
    Refused(u16, &'static str),
    /// A chunk was turned down: Arweave's word for it.
    #[error("{0}")]
    Chunk(&'static str),
}

/// A running devnet. Dropping it stops it without waiting; [`Devnet::shutdown`] waits.
#[derive(Debug)]
pub struct Devnet {
    addresses: Vec<SocketAddr>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Devnet {
    /// Opens the folder (replaying what it holds), listens and serves.
    ///
    /// # Errors
    /// [`DevnetError`]: an address in use, a folder in use or damaged.
    pub async fn start(config: DevnetConfig) -> Result<Self, DevnetError> {
        let mut listeners = Vec::new();
        for address in &config.listen {
            let listener = TcpListener::bind(address).await;
            listeners.push(listener.map_err(|source| DevnetError::Listen { address: *address, source })?);
        }
        let node = Arc::new(Node::open(config.dir.as_deref(), &config.mint).await?);
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let mut addresses = Vec::new();
        let router = http::router(node.clone());
        for listener in listeners {
            addresses.extend(listener.local_addr().ok());
            let (router, stop) = (router.clone(), stop.clone());
            tasks.spawn(async move {
                if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await {
                    tracing::error!(%error, "the Arweave devnet's server ended");
                }
            });
        }
        if let Some(interval) = config.block_interval {
            tasks.spawn(mine(node, interval, stop.clone()));
        }
        tasks.close();
        Ok(Self { addresses, stop, tasks })
    }

    /// The base URLs, in the order of [`DevnetConfig::listen`].
    pub fn urls(&self) -> Vec<String> {
        self.addresses.iter().map(|address| format!("http://{address}")).collect()
    }

    /// Stops serving, lets open requests end (at most 5 seconds) and closes the folder.
    pub async fn shutdown(self) {
        self.stop.cancel();
        if tokio::time::timeout(GRACE, self.tasks.wait()).await.is_err() {
            tracing::warn!("the Arweave devnet still had open requests when it stopped");
        }
    }
}

impl Drop for Devnet {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn mine(node: Arc<Node>, interval: Duration, stop: CancellationToken) {
    let mut tick = tokio::time::interval(interval);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick.tick().await;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        if let Err(error) = node.mine().await {
            tracing::error!(%error, "the Arweave devnet could not mine");
        }
    }
}

#[cfg(test)]
mod tests;
