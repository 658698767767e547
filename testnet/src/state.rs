//! `testnet.json`: what is running now; and the status made of it.

use std::{
    fs::{File, TryLockError},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{Plan, TestnetError, files};

/// Name of the devnet's process.
pub(crate) const ARWEAVE: &str = "arweave";

/// What the supervisor keeps up to date on disk.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct State {
    /// The supervisor's process id.
    pub supervisor: u32,
    /// The program the processes run.
    pub binary: PathBuf,
    /// The control socket.
    pub control: PathBuf,
    /// Every process.
    pub processes: Vec<ProcessState>,
}

/// One process in [`State`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ProcessState {
    /// `arweave`, `node-1`, …
    pub name: String,
    /// Process id; none while it does not run.
    pub pid: Option<u32>,
    /// The port that answers whether it is ready.
    pub port: u16,
}

impl State {
    /// The state written in `dir`, if any.
    pub fn load(dir: &Path) -> Result<Option<Self>, TestnetError> {
        let path = path(dir);
        let parse = |text: String| serde_json::from_str(&text);
        let state = files::read(&path)?.map(parse).transpose();
        state.map_err(|error| TestnetError::Broken { path, reason: error.to_string() })
    }

    /// Writes it to `dir`.
    pub fn save(&self, dir: &Path) -> Result<(), TestnetError> {
        let path = path(dir);
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| TestnetError::Broken { path: path.clone(), reason: error.to_string() })?;
        files::write(&path, &text, false)
    }
}

fn path(dir: &Path) -> PathBuf {
    dir.join("testnet.json")
}

/// Waits between two looks at what another process does: its files, locks and ports send no event. Every caller has a deadline
/// or a way to stop.
#[allow(clippy::disallowed_methods, reason = "there is no event to wait for")]
pub(crate) fn pause(time: Duration) {
    thread::sleep(time);
}

/// Takes the lock of `dir`, which must exist; `None` if a running supervisor has it.
pub(crate) fn lock(dir: &Path) -> Result<Option<File>, TestnetError> {
    let path = dir.join("lock");
    let file = File::create(&path).map_err(TestnetError::io("create", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(TestnetError::io("lock", &path)(error)),
    }
}

/// A local network as it is now. `Serialize` gives the form for scripts.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// Whether a supervisor runs it.
    pub running: bool,
    /// What it consists of.
    #[serde(flatten)]
    pub plan: Plan,
    /// The devnet and every node, as processes.
    pub processes: Vec<NodeStatus>,
}

/// One process of a local network as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeStatus {
    /// `arweave`, `node-1`, …
    pub name: String,
    /// Its process id while it runs.
    pub pid: Option<u32>,
    /// Whether it runs.
    pub alive: bool,
    /// Whether it answers that it is ready.
    pub ready: bool,
    /// Where it serves HTTP.
    pub urls: Vec<String>,
}
