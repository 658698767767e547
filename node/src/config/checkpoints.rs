//! `[compute.checkpoints]` of `node.toml`: states of processes on Arweave.

use serde::{Deserialize, Serialize};

use super::Size;

/// What this node puts on Arweave for whoever takes a process over, and what it takes from there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CheckpointConfig {
    /// Whether this node uploads checkpoints (it needs a wallet). Default: it does.
    pub upload: bool,
    /// Whether it begins at a checkpoint, where its root is attested, instead of evaluating a log from slot 0. Default: it does.
    pub adopt: bool,
    /// Windows of a process between two uploads at least. Default 64 (2,048 slots).
    pub every_windows: u64,
    /// Seconds between two uploads of a process at least. Default 3,600.
    pub every_seconds: u64,
    /// Size of one checkpoint at most, compressed, uploaded or taken. Default `"4 MiB"`; an aos process takes about 0.4.
    pub max_bytes: Size,
}

impl Default for CheckpointConfig {
    fn default() -> Self {
        Self { upload: true, adopt: true, every_windows: 64, every_seconds: 3_600, max_bytes: Size(4 << 20) }
    }
}
