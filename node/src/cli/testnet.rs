//! `weft testnet`: starts, shows and breaks a local network of real nodes.
//!
//! Where it sits: words around `weft_testnet`, which does the work. `up` runs in the foreground until Ctrl-C; the other
//! commands steer it from another terminal by its folder.

mod screen;
mod up;

use std::{io::Write, ops::ControlFlow, path::PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;
use weft_testnet::TestnetError;

use super::{
    connect::DEFAULT_TESTNET,
    exit::{CliError, CliResult, Done, Exit},
    progress,
};

/// `weft testnet …`.
#[derive(Subcommand, Debug)]
#[command(after_help = "\
Nodes are called node-1, node-2 …; the Arweave stand-in is called arweave. Everything listens on this machine only.

Examples:
  weft testnet up                                  5 nodes; Ctrl-C stops them, up resumes
  weft testnet up --nodes 7 --seed demo --reset    start over with 7 nodes and other keys
  weft testnet status
  weft testnet logs node-2 --follow
  weft testnet kill node-2                         kill -9: the network has to cope
  weft testnet start node-2
  weft testnet down")]
pub enum Testnet {
    /// Start or resume a network and show it
    Up(up::Up),
    /// What runs, and whether it is ready
    Status(Folder),
    /// The log of a node
    Logs(Logs),
    /// Kill a node at once (SIGKILL)
    Kill(OneNode),
    /// Start a killed node again
    Start(OneNode),
    /// Stop the network
    Down(Folder),
}

/// The folder a testnet lives in.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  weft testnet status
  weft testnet down --data /tmp/other-testnet")]
pub struct Folder {
    /// Folder of the testnet
    #[arg(long, env = "WEFT_TESTNET", hide_env_values = true, value_name = "DIR", default_value = DEFAULT_TESTNET)]
    data: PathBuf,
}

/// `weft testnet kill` and `start`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  weft testnet kill node-2
  weft testnet start node-2")]
pub struct OneNode {
    /// node-1, node-2 …, or arweave
    #[arg(value_name = "NODE")]
    node: String,
    #[command(flatten)]
    folder: Folder,
}

/// `weft testnet logs`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  weft testnet logs node-1
  weft testnet logs arweave --lines 100
  weft testnet logs node-2 --follow")]
pub struct Logs {
    /// node-1, node-2 …, or arweave
    #[arg(value_name = "NODE")]
    node: String,
    /// How many of the last lines
    #[arg(long, short = 'n', default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    lines: u16,
    /// Go on with what comes, until Ctrl-C
    #[arg(long, short)]
    follow: bool,
    #[command(flatten)]
    folder: Folder,
}

impl Testnet {
    pub(super) async fn run(self, json: bool) -> CliResult<Done> {
        match self {
            Self::Up(up) => up.run(json),
            Self::Status(folder) => {
                let dir = folder.data.clone();
                let status = progress::during("asking the nodes", blocking(move || weft_testnet::status(&dir))).await?;
                screen::status(&status, &folder.data)
            }
            Self::Logs(logs) => logs.run(json).await,
            Self::Kill(one) => {
                let (dir, node) = (one.folder.data, one.node.clone());
                blocking(move || weft_testnet::kill(&dir, &node)).await?;
                let text = format!("{} is killed; the others go on.", one.node);
                Ok(Done::new(text, json!({ "killed": one.node })).next(format!("weft testnet start {}", one.node)))
            }
            Self::Start(one) => {
                let (dir, node) = (one.folder.data, one.node.clone());
                let label = format!("starting {node}");
                progress::during(&label, blocking(move || weft_testnet::start(&dir, &node))).await?;
                let text = format!("{} runs and is ready.", one.node);
                Ok(Done::new(text, json!({ "started": one.node })).next("weft testnet status"))
            }
            Self::Down(folder) => {
                let dir = folder.data.clone();
                progress::during("stopping the testnet", blocking(move || weft_testnet::down(&dir))).await?;
                let text = format!("The testnet in {} is stopped; its data stays.", folder.data.display());
                Ok(Done::new(text, json!({ "stopped": folder.data })).next("weft testnet up"))
            }
        }
    }
}

impl Logs {
    async fn run(self, json: bool) -> CliResult<Done> {
        if json && self.follow {
            return Err(CliError::new(Exit::Usage, "--follow never ends, and --json prints one document")
                .fix("leave one of them out"));
        }
        let (dir, node, lines, follow) = (self.folder.data, self.node.clone(), usize::from(self.lines), self.follow);
        let kept = blocking(move || {
            let mut kept = Vec::new();
            weft_testnet::logs(&dir, &node, lines, follow, |line| {
                if follow {
                    return say(line);
                }
                kept.push(line.to_owned());
                ControlFlow::Continue(())
            })
            .map(|()| kept)
        })
        .await?;
        let done = Done::new(kept.join("\n"), json!({ "node": self.node, "lines": kept }));
        Ok(if follow { done.silent() } else { done })
    }
}

/// A followed line; a closed pipe ends the following.
fn say(line: &str) -> ControlFlow<()> {
    match writeln!(std::io::stdout().lock(), "{line}") {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    }
}

/// The testnet's functions wait and read files: off the runtime's threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, TestnetError> + Send + 'static) -> CliResult<T> {
    let joined = tokio::task::spawn_blocking(work).await.map_err(|e| CliError::new(Exit::Failed, e))?;
    joined.map_err(|e| failed(&e))
}

/// The texts of `weft_testnet` already say what to do; here they get their exit codes.
fn failed(error: &TestnetError) -> CliError {
    let exit = match error {
        TestnetError::Option { field, value, fix } => {
            return CliError::usage(field, value, "cannot be used").fix(fix);
        }
        TestnetError::Different { .. } | TestnetError::OtherNetwork { .. } | TestnetError::ForeignFolder { .. } => {
            Exit::Usage
        }
        TestnetError::NoTestnet { .. } | TestnetError::UnknownNode { .. } => Exit::NotFound,
        TestnetError::NotRunning { .. } | TestnetError::Silent { .. } => Exit::Unreachable,
        TestnetError::StillStopping { .. } => Exit::Timeout,
        _ => Exit::Failed,
    };
    CliError::new(exit, error)
}
