//! What a person can choose about a local network.

use std::{path::PathBuf, time::Duration};

use crate::TestnetError;

/// Most nodes of one local network.
pub const MAX_NODES: usize = 32;
/// Nodes when nothing is said.
pub(crate) const DEFAULT_NODES: usize = 5;
/// Seed when nothing is said.
pub(crate) const DEFAULT_SEED: &str = "weft";
/// Longest seed, in bytes.
const MAX_SEED: usize = 256;

/// How to start a local network.
#[derive(Debug, Clone)]
pub struct TestnetOptions {
    /// Number of nodes, 1 to [`MAX_NODES`]; none: what the folder has, or 5.
    pub nodes: Option<usize>,
    /// Any text: the same seed gives the same keys, and so the same network id and elections. None: what the folder has, or
    /// `weft`.
    pub seed: Option<String>,
    /// The network's folder.
    pub dir: PathBuf,
    /// The `weft` program, usually the one that runs this.
    pub binary: PathBuf,
    /// Delete what an earlier run left in the folder first.
    pub reset: bool,
    /// Where to begin looking for free ports.
    pub first_ports: FirstPorts,
    /// How often the Arweave devnet makes a block.
    pub block_interval: Duration,
    /// How long a process may take to become ready.
    pub ready_within: Duration,
    /// How long a process may take to end after SIGTERM; then it is killed.
    pub stop_within: Duration,
}

impl TestnetOptions {
    /// The usual options for a network in `dir` of nodes that run `binary`.
    pub fn new(dir: impl Into<PathBuf>, binary: impl Into<PathBuf>) -> Self {
        Self {
            nodes: None,
            seed: None,
            dir: dir.into(),
            binary: binary.into(),
            reset: false,
            first_ports: FirstPorts::default(),
            block_interval: Duration::from_secs(2),
            ready_within: Duration::from_secs(120),
            stop_within: Duration::from_secs(10),
        }
    }

    /// Refuses what cannot be, naming option, value and fix.
    pub(crate) fn check(&self) -> Result<(), TestnetError> {
        let refuse = |field, value: String, fix: String| Err(TestnetError::Option { field, value, fix });
        if let Some(nodes) = self.nodes.filter(|nodes| !(1..=MAX_NODES).contains(nodes)) {
            return refuse("--nodes", nodes.to_string(), format!("use 1 to {MAX_NODES}"));
        }
        if let Some(seed) = self.seed.as_ref().filter(|seed| seed.is_empty() || seed.len() > MAX_SEED) {
            let shown = seed.chars().take(40).collect::<String>();
            return refuse("--seed", format!("{shown:?}"), format!("use any text of 1 to {MAX_SEED} bytes"));
        }
        if !self.binary.is_file() {
            let fix = "name the weft program (it starts itself for every node)".to_owned();
            return refuse("binary", self.binary.display().to_string(), fix);
        }
        Ok(())
    }
}

/// The preferred ports: what AO's tools expect. Whichever is taken is replaced by the next free one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FirstPorts {
    /// The devnet's gateway; the next one is its uploader; the three after that node 1's messenger, scheduler and compute doors.
    pub gateway: u16,
    /// HTTP of node 2; one more for each further node.
    pub nodes: u16,
    /// Peer-to-peer (UDP and TCP) of node 1; one more for each further node.
    pub peers: u16,
}

impl Default for FirstPorts {
    fn default() -> Self {
        Self { gateway: 4000, nodes: 4010, peers: 9100 }
    }
}
