//! The network that `weft bench` starts for itself: fresh, in a folder of its own, gone afterwards.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdout, Command},
};

use crate::cli::exit::{CliError, CliResult, Exit};

/// Longest wait for the network to be up.
const READY_WITHIN: Duration = Duration::from_secs(180);
/// The screen's document is a few KiB.
const MAX_LINES: usize = 10_000;

/// A running network.
pub(super) struct Own {
    folder: PathBuf,
    child: Child,
    /// One HTTP address of each node.
    pub urls: Vec<String>,
    /// The nodes' process ids (the Arweave stand-in is not among them).
    pub pids: Vec<u32>,
    /// From the command to its ready screen.
    pub start_up: Duration,
}

impl Own {
    /// Runs `weft testnet up` in `folder` and waits until it says that the network is up.
    pub async fn start(folder: PathBuf, nodes: usize) -> CliResult<Self> {
        let failed = |what: &str, why: &dyn std::fmt::Display| {
            CliError::new(Exit::Failed, format!("no network to measure: {what}: {why}"))
                .fix(format!("look at {}, or measure a running network with --node", folder.display()))
        };
        if folder.exists() {
            return Err(CliError::usage("--data", folder.display(), "exists already; it would be deleted at the end")
                .fix("name a folder that does not exist"));
        }
        let binary = std::env::current_exe().map_err(|e| failed("cannot find the weft program itself", &e))?;
        let began = Instant::now();
        let mut child = Command::new(binary)
            .args(["testnet", "up", "--json", "--seed", "bench", "--nodes", &nodes.to_string(), "--data"])
            .arg(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| failed("cannot start `weft testnet up`", &e))?;
        let stdout = child.stdout.take().ok_or_else(|| failed("`weft testnet up`", &"its output cannot be read"))?;
        let plan = match tokio::time::timeout(READY_WITHIN, screen(stdout)).await {
            Ok(Some(plan)) => plan,
            Ok(None) => {
                return Err(failed("`weft testnet up`", &"it ended before the network was ready; run it to see why"));
            }
            Err(_) => return Err(failed("`weft testnet up`", &"it was not ready in time")),
        };
        let start_up = began.elapsed();
        let urls = urls(&plan);
        let pids = pids(&folder).map_err(|e| failed("its processes", &e))?;
        Ok(Self { folder, child, urls, pids, start_up })
    }

    /// Where its files are, a folder for each node among them.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Ends the network and deletes its folder.
    pub async fn stop(mut self) {
        let folder = self.folder.clone();
        let down = tokio::task::spawn_blocking(move || weft_testnet::down(&folder));
        if !matches!(down.await, Ok(Ok(()))) {
            // Its processes end with it.
            let _ = self.child.start_kill();
        }
        let _ = self.child.wait().await;
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The document that `testnet up --json` prints when everything is ready.
async fn screen(stdout: ChildStdout) -> Option<Value> {
    let mut lines = BufReader::new(stdout).lines();
    let mut text = String::new();
    for _ in 0..MAX_LINES {
        let line = lines.next_line().await.ok()??;
        text.push_str(&line);
        text.push('\n');
        if line == "}" {
            return serde_json::from_str(&text).ok();
        }
    }
    None
}

fn urls(plan: &Value) -> Vec<String> {
    let nodes = plan.get("nodes").and_then(Value::as_array).into_iter().flatten();
    nodes.filter_map(|node| node.pointer("/urls/0")?.as_str().map(str::to_owned)).collect()
}

fn pids(folder: &Path) -> Result<Vec<u32>, weft_testnet::TestnetError> {
    let status = weft_testnet::status(folder)?;
    Ok(status.processes.into_iter().filter(|p| p.name.starts_with("node-")).filter_map(|p| p.pid).collect())
}
