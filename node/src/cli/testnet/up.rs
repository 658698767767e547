//! `weft testnet up`.

use std::{io::Write, path::PathBuf, time::Duration};

use clap::Args;
use serde_json::json;
use weft_testnet::{Event, TestnetOptions};

use super::{Folder, failed, screen};
use crate::cli::{
    exit::{CliError, CliResult, Done, Exit},
    process::parse_wait,
};

/// `weft testnet up`.
#[derive(Args, Debug)]
#[command(after_help = "\
The same seed gives the same keys, the same network id and the same elections. Ports are what AO tools expect (gateway
4000, messenger 4002, scheduler 4003, compute 4004) when they are free. --json prints the network as one document when
it is up, and goes on running.

Examples:
  weft testnet up
  weft testnet up --nodes 3 --seed demo --reset
  weft testnet up --json > network.json &")]
pub struct Up {
    /// Number of nodes [default: as last time, at first 5]
    #[arg(long, value_name = "N")]
    nodes: Option<usize>,
    /// Text that the keys are made from [default: as last time, at first "weft"]
    #[arg(long, value_name = "TEXT")]
    seed: Option<String>,
    /// Delete what an earlier run left, and start over
    #[arg(long)]
    reset: bool,
    /// How often the Arweave stand-in makes a block
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = parse_wait)]
    block_interval: Duration,
    #[command(flatten)]
    folder: Folder,
}

impl Up {
    /// Runs until the network stops. In the calling thread: the nodes live as long as it does.
    pub(super) fn run(self, json: bool) -> CliResult<Done> {
        let binary = std::env::current_exe()
            .map_err(|e| CliError::new(Exit::Failed, format!("cannot find the weft program itself: {e}")))?;
        let options = TestnetOptions {
            nodes: self.nodes,
            seed: self.seed,
            reset: self.reset,
            block_interval: self.block_interval,
            ..TestnetOptions::new(&self.folder.data, binary)
        };
        let mut teller = Teller { json, dir: self.folder.data, notices: Vec::new() };
        let end = tokio::task::block_in_place(|| weft_testnet::up(&options, |event| teller.tell(event)));
        end.map_err(|e| failed(&e))?;
        Ok(Done::new("", json!({ "stopped": true })).silent())
    }
}

/// Says on stderr what happens, and shows the screen on stdout once everything is up.
struct Teller {
    json: bool,
    dir: PathBuf,
    notices: Vec<String>,
}

impl Teller {
    fn tell(&mut self, event: Event) {
        let line = match event {
            Event::Planned { resumed: true } => format!("resuming the testnet in {}", self.dir.display()),
            Event::Planned { resumed: false } => format!("starting a new testnet in {}", self.dir.display()),
            Event::PortMoved(moved) => {
                let notice = format!("port {} is taken: {} is on {} instead", moved.usual, moved.what, moved.port);
                self.notices.push(notice.clone());
                notice
            }
            Event::Started { name, pid } => format!("{name}: started (process {pid})"),
            Event::Ready { name, after } => format!("{name}: ready after {:.1} s", after.as_secs_f64()),
            Event::Up(plan) => return self.show(&plan),
            Event::Died { name, how, log, last_lines } => {
                let tail: Vec<String> = last_lines.iter().map(|line| format!("  | {line}")).collect();
                format!(
                    "{name}: ENDED, {how}; the end of {}:\n{}\n  bring it back with `weft testnet start {name}`",
                    log.display(),
                    tail.join("\n")
                )
            }
            Event::Killed { name } => format!("{name}: killed; bring it back with `weft testnet start {name}`"),
            Event::Stopping => "stopping; Ctrl-C again stops at once".to_owned(),
            Event::Stopped { name, forced: false } => format!("{name}: stopped"),
            Event::Stopped { name, forced: true } => format!("{name}: did not stop in time and was killed"),
            Event::Warning(text) => format!("warning: {text}"),
        };
        // Nothing can be done about a closed stderr.
        let _ = writeln!(std::io::stderr().lock(), "{line}");
    }

    fn show(&self, plan: &weft_testnet::Plan) {
        let text = if self.json {
            let mut document = json!(plan);
            if let Some(members) = document.as_object_mut() {
                members.insert("notices".to_owned(), json!(self.notices));
            }
            format!("{document:#}")
        } else {
            screen::up(plan, &self.dir, &self.notices)
        };
        let mut stdout = std::io::stdout().lock();
        // Whoever closed the pipe has what it wanted; the network goes on.
        let _ = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
    }
}
