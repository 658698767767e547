//! The `weft` command: a person's way into the node, and a script's (`--json`).
//!
//! Where it sits: above everything else; `main.rs` calls [`run`]. One file a command. Each command returns a [`Done`]
//! (text for people, one JSON document, the next thing to type) or a [`CliError`] (field, value, reason, fix, exit code);
//! only this file prints them.

mod arweave;
mod bench;
mod client;
mod completions;
mod conformance;
mod connect;
mod exit;
mod item;
mod keys;
mod market;
mod message;
mod module;
mod node;
mod process;
mod progress;
mod repl;
mod resolve;
mod service;
mod status;
mod table;
mod testnet;

use std::{ffi::OsString, io::Write, process::ExitCode};

use clap::{CommandFactory, Parser, Subcommand};
pub use exit::{CliError, CliResult, Done, Exit};

/// The arguments of `weft`.
#[derive(Parser, Debug)]
#[command(
    name = "weft",
    version,
    about = "A peer-to-peer node for the AO computer on Arweave, and the tools to use it",
    after_help = AFTER_HELP,
    max_term_width = 110,
    subcommand_required = true,
    arg_required_else_help = true
)]
struct Cli {
    /// Print one JSON document on stdout and nothing else; errors are JSON on stderr
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Examples:
  weft testnet up                                  start a network of 5 nodes on this machine
  weft process spawn --name hello                  spawn a Lua process
  weft repl hello                                  talk to it
  weft status                                      is my node well?

Where commands connect to:
  --node URL or WEFT_NODE, else the running testnet's first node (.weft/testnet), else http://127.0.0.1:4002
  --wallet FILE or WEFT_WALLET, else the testnet's wallet \"alice\"

Exit codes:
    0  done
    1  tried, and refused or failed
    2  wrong command line, file or value; nothing was tried
    3  no such process, message, module or node
    4  the node, or one it needs, does not answer
    5  not done within the time allowed (it may still happen)
    6  evaluated, and the process answered with an error, or (`process replay`) differs from what was attested
  130  interrupted";

#[derive(Subcommand, Debug)]
enum Command {
    /// Start, watch and break a local network of real nodes
    #[command(subcommand)]
    Testnet(testnet::Testnet),
    /// Run one node, or write what a node needs
    #[command(subcommand)]
    Node(node::Node),
    /// Run a local stand-in for Arweave
    #[command(subcommand)]
    Arweave(arweave::Arweave),
    /// Make and look at key files
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Publish the code that processes run
    #[command(subcommand)]
    Module(module::Module),
    /// Spawn processes, send them messages, read their results
    #[command(subcommand)]
    Process(process::Process),
    /// Talk to a Lua or aos process: type Lua, see what it prints
    Repl(repl::Repl),
    /// How far a message has come, and what proves it
    #[command(subcommand)]
    Message(message::Message),
    /// Offers, quotes, awards and refusals of compute
    Market(market::Market),
    /// Is the node well, and what is it doing?
    Status(status::Status),
    /// How fast and how large a network is on this machine
    Bench(bench::Bench),
    /// Does this machine evaluate messages as every other?
    Conformance(conformance::Conformance),
    /// Print completions for a shell
    Completions(completions::Completions),
}

impl Command {
    async fn run(self, json: bool) -> CliResult<Done> {
        match self {
            Self::Testnet(c) => c.run(json).await,
            Self::Node(c) => c.run().await,
            Self::Arweave(c) => c.run().await,
            Self::Keys(c) => c.run().await,
            Self::Module(c) => c.run().await,
            Self::Process(c) => c.run().await,
            Self::Repl(c) => c.run(json).await,
            Self::Message(c) => c.run().await,
            Self::Market(c) => c.run().await,
            Self::Status(c) => c.run().await,
            Self::Bench(c) => c.run().await,
            Self::Conformance(c) => c.run().await,
            Self::Completions(c) => c.run(),
        }
    }
}

/// The whole command line as clap knows it (completions, tests of the help texts and the README).
pub fn command() -> clap::Command {
    Cli::command()
}

/// Parses `args` (the program's name first), does what they say, prints, and returns the exit code.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let wants_json = args.iter().any(|arg| arg == "--json");
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(e) if wants_json && e.use_stderr() => return failed(&misused(&e), true),
        Err(e) => return usage(&e),
    };
    let json = cli.json;
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return failed(&CliError::new(Exit::Failed, format!("cannot start: {e}")), json),
    };
    match runtime.block_on(Box::pin(cli.command.run(json))) {
        Ok(done) => succeeded(&done, json),
        Err(error) => failed(&error, json),
    }
}

/// A mistake in the command line as the error document of `--json`.
fn misused(error: &clap::Error) -> CliError {
    use clap::error::ContextKind;
    let text = error.render().to_string();
    let (reason, rest) = text.split_once("\n\n").unwrap_or((&text, ""));
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let context = |kind| error.get(kind).map(ToString::to_string);
    let mut out = CliError::new(Exit::Usage, words(reason.trim_start_matches("error: "))).fix(words(rest));
    out.field = context(ContextKind::InvalidArg);
    out.value = context(ContextKind::InvalidValue);
    out
}

fn usage(error: &clap::Error) -> ExitCode {
    // Help and version go to stdout with 0, mistakes to stderr with 2: clap knows which. A closed pipe changes nothing.
    let _ = error.print();
    u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}

fn succeeded(done: &Done, json: bool) -> ExitCode {
    if done.silent {
        return done.exit.into();
    }
    let mut text = if json { format!("{:#}", done.json) } else { done.text.clone() };
    if let (false, Some(next)) = (json, &done.next) {
        text.push_str("\n\nNext: ");
        text.push_str(&next_command(next));
    }
    text.push('\n');
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Ok(()) => done.exit.into(),
        // `weft … | head` is not a failure.
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => done.exit.into(),
        Err(_) => Exit::Failed.into(),
    }
}

/// A command as it has to be typed here: somebody who runs `cargo weft …` has no `weft` on the path.
fn next_command(command: &str) -> String {
    let by_cargo = std::env::var_os("CARGO_PKG_NAME").is_some_and(|name| name == "weft");
    match command.strip_prefix("weft ") {
        Some(rest) if by_cargo => format!("cargo weft {rest}"),
        _ => command.to_owned(),
    }
}

fn failed(error: &CliError, json: bool) -> ExitCode {
    let text = if json { error.json().to_string() } else { error.text() };
    let _ = writeln!(std::io::stderr().lock(), "{text}");
    error.exit.into()
}
