//! A client of Arweave gateways that trusts none of them.
//!
//! It knows a list of hosts, asks them in turn, leaves a failing one alone for a while, bounds every body and wait, and
//! checks everything it hands on: an item against its id and signature, a transaction against its id, signature and data
//! root. A host that serves other bytes is treated like one that is down.
//!
//! Where it sits: the only code of Weft that speaks to a gateway. The same for the devnet and a real gateway.

mod chain;
mod fetch;
mod http;
mod pass;
mod upload;

use std::{sync::Arc, time::Duration};

pub use chain::{BlockInfo, Info, Posted, TxStatus};
pub use fetch::{Fetched, Kind};
use http::Host;
pub use pass::Passed;
use tokio::sync::Semaphore;
pub use upload::Receipt;
use weft_protocol::Id;

/// Bundles read at the same time, each as large as a body may be.
const BUNDLES: usize = 2;

/// Where gateways are and how much to ask of them.
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// Base URLs of gateways (and nodes), best first, e.g. `http://127.0.0.1:4000`.
    pub urls: Vec<String>,
    /// Base URLs of services that take data items; empty: the gateways themselves.
    pub uploaders: Vec<String>,
    /// How long one request may take.
    pub timeout: Duration,
    /// The largest body read from a gateway, in bytes.
    pub max_body: usize,
}

impl GatewayConfig {
    /// The usual limits (30 s, 64 MiB) for these gateways.
    pub fn new(urls: Vec<String>) -> Self {
        Self { urls, uploaders: Vec::new(), timeout: Duration::from_secs(30), max_body: 64 << 20 }
    }
}

/// Why a gateway could not help.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The configuration names no usable gateway.
    #[error("{0:?} is not a gateway URL: write http://HOST:PORT or https://HOST")]
    Url(String),
    /// No gateway is configured.
    #[error("no gateway is configured: add one to `gateways` in the node's configuration")]
    NoGateway,
    /// The HTTP client could not be built.
    #[error("the HTTP client could not be set up: {0}")]
    Setup(String),
    /// Every gateway answered that it does not have it.
    #[error("no gateway knows {0}")]
    NotFound(String),
    /// The request was understood and turned down; sending it again unchanged is pointless.
    #[error("{url} refused {what}: {status} {reason}")]
    Refused {
        /// What was asked.
        what: String,
        /// The host that refused.
        url: String,
        /// Its HTTP status.
        status: u16,
        /// Its words, shortened.
        reason: String,
    },
    /// No gateway could be made to answer properly; trying later may help.
    #[error("{what} failed at every gateway; {}", tried.join("; "))]
    Unavailable {
        /// What was asked.
        what: String,
        /// For each host tried, why it failed.
        tried: Vec<String>,
    },
}

impl GatewayError {
    /// Whether the same request may succeed later.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

/// A handle on the configured gateways. Cheap to clone; clones share what is known about the hosts' health.
#[derive(Debug, Clone)]
pub struct Gateway {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    client: reqwest::Client,
    hosts: Vec<Host>,
    uploaders: Vec<Host>,
    max_body: usize,
    /// Bounds the bundles read at the same time to cut an item out.
    bundles: Semaphore,
}

impl Gateway {
    /// A client for the gateways of `config`. Contacts nobody yet.
    ///
    /// # Errors
    /// [`GatewayError::NoGateway`] for an empty list, [`GatewayError::Url`] for what is not an http(s) URL.
    pub fn new(config: GatewayConfig) -> Result<Self, GatewayError> {
        if config.urls.is_empty() {
            return Err(GatewayError::NoGateway);
        }
        let hosts = config.urls.iter().map(|url| Host::new(url)).collect::<Result<Vec<_>, _>>()?;
        let uploaders = config.uploaders.iter().map(|url| Host::new(url)).collect::<Result<Vec<_>, _>>()?;
        let client = reqwest::Client::builder()
            .timeout(config.timeout)
            .connect_timeout(config.timeout.min(Duration::from_secs(5)))
            .user_agent(concat!("weft/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| GatewayError::Setup(error.to_string()))?;
        Ok(Self {
            inner: Arc::new(Inner {
                client,
                hosts,
                uploaders,
                max_body: config.max_body,
                bundles: Semaphore::new(BUNDLES),
            }),
        })
    }

    /// The base URLs asked, best first.
    pub fn urls(&self) -> Vec<String> {
        self.inner.hosts.iter().map(|host| host.base().to_owned()).collect()
    }
}

/// A path with an id in it.
fn path(prefix: &str, id: &Id) -> String {
    format!("{prefix}{id}")
}

#[cfg(test)]
mod tests;
