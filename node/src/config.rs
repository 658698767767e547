//! A node's own settings: `node.toml`. What all nodes share is in the network file it names.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

mod checkpoints;
mod compute;

pub use checkpoints::CheckpointConfig;
pub use compute::{ComputeConfig, Size};

/// The file behind `weft node run --config`. Relative paths count from the file's folder.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    /// The node's name in logs and on its status page.
    pub name: String,
    /// The network file.
    pub network: PathBuf,
    /// The node's ed25519 key (JWK).
    pub key: PathBuf,
    /// Folder of everything the node must not lose.
    pub data: PathBuf,
    /// Roles to carry; must be among those the registry names for this key.
    pub roles: Vec<String>,
    /// Multiaddrs to listen on for peers.
    pub listen: Vec<String>,
    /// Addresses of the HTTP doors; the same routes on each.
    pub http: Vec<SocketAddr>,
    /// Arweave gateways, tried in order.
    pub gateways: Vec<String>,
    /// The RSA wallet (JWK) that pays for anchoring; without it this node anchors nothing.
    #[serde(default)]
    pub wallet: Option<PathBuf>,
    /// Seconds between two bundles at least, while few items wait. Fewer cost more: a bundle is paid by 256 KiB.
    #[serde(default = "anchor_every_seconds")]
    pub anchor_every_seconds: u64,
    /// What this node asks for compute.
    #[serde(default)]
    pub offer: OfferConfig,
    /// What evaluation may take of this machine.
    #[serde(default)]
    pub compute: ComputeConfig,
}

/// What this node asks for compute, and pays for it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OfferConfig {
    /// Winston per 1,000,000,000 units of fuel.
    pub price_per_gfuel: u64,
    /// Leases held at once at most.
    pub max_leases: u32,
    /// Memory of one process at most, in bytes.
    pub max_memory_bytes: u64,
    /// Modules allowed; empty: all.
    pub modules: Vec<String>,
    /// The highest price this node pays as a messenger, winston per 1,000,000,000 units of fuel.
    pub max_price_per_gfuel: u64,
}

fn anchor_every_seconds() -> u64 {
    60
}

impl Default for OfferConfig {
    fn default() -> Self {
        Self {
            price_per_gfuel: 100,
            max_leases: 1_000,
            max_memory_bytes: 1 << 30,
            modules: Vec::new(),
            max_price_per_gfuel: 1_000_000,
        }
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}. Name the file with --config")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not what it should be.
    #[error("{path} is not a node configuration: {reason}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line, field and what was expected.
        reason: String,
    },
}

impl NodeConfig {
    /// Reads the file and makes its paths absolute (relative to the file's folder).
    ///
    /// # Errors
    /// When the file cannot be read or a field is missing, unknown or of the wrong type.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let mut config: Self =
            toml::from_str(&text).map_err(|e| ConfigError::Parse { path: path.to_owned(), reason: e.to_string() })?;
        let base = path.parent().unwrap_or(Path::new(".")).to_owned();
        for part in [&mut config.network, &mut config.key, &mut config.data].into_iter().chain(config.wallet.as_mut()) {
            *part = base.join(&*part);
        }
        Ok(config)
    }
}
