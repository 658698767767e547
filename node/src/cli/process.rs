//! `weft process`: spawn, message and read processes.
//!
//! Where it sits: the parser and the dispatch; `process/` has a file for each group of commands.

mod eval;
mod read;
mod replay;
mod result;
mod send;
mod show;
mod spawn;

use std::time::Duration;

use clap::Subcommand;
pub use result::{error_of, not_evaluated, output_of, tag};
pub(super) use spawn::network_address;

use super::exit::{CliResult, Done};

/// `weft process …`.
#[derive(Subcommand, Debug)]
#[command(after_help = "\
PROCESS is a process id, at least six of its first characters, or the process's name.

Examples:
  weft process spawn --name hello                  a Lua process
  weft process eval hello 'return 1 + 1'
  weft process send hello --action Ping
  weft process result hello
  weft process log hello
  weft process show hello                          who orders it, who evaluates it, and why
  weft process replay hello                        check all that was ever attested of it")]
pub enum Process {
    /// Start a new process
    Spawn(spawn::Spawn),
    /// Send a process a message
    Send(send::Send),
    /// Have a Lua process evaluate Lua, and wait for the answer
    Eval(eval::Eval),
    /// What the evaluation of a message gave
    Result(result::ResultOf),
    /// The ordered messages of a process
    Log(read::Log),
    /// Who was elected to order, evaluate and deliver for a process, and why
    Show(show::Show),
    /// Check a process: evaluate its log on this machine and compare with what was attested
    Replay(replay::Replay),
    /// The processes a node knows
    List(read::List),
    /// Evaluate a message on the newest state without ordering it
    DryRun(send::DryRun),
}

impl Process {
    pub(super) async fn run(self) -> CliResult<Done> {
        match self {
            Self::Spawn(c) => c.run().await,
            Self::Send(c) => c.run().await,
            Self::Eval(c) => c.run().await,
            Self::Result(c) => c.run().await,
            Self::Log(c) => c.run().await,
            Self::Show(c) => c.run().await,
            Self::Replay(c) => Box::pin(c.run()).await,
            Self::List(c) => c.run().await,
            Self::DryRun(c) => c.run().await,
        }
    }
}

/// A duration as people write it.
pub fn parse_wait(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|e| format!("{e}; write it as 30s, 2m or 500ms"))
}
