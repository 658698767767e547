//! `weft repl`: a console for Lua processes, the box's own and aos. Each line becomes an `Eval` message; what the process
//! prints meanwhile is shown as it comes.
//!
//! Where it sits: the command and its loop. `repl/` has where lines come from (`input`), when Lua is complete (`lua`),
//! one evaluation (`session`) and the live feed (`feed`).

mod feed;
mod input;
mod lua;
mod session;

use std::{
    io::{IsTerminal as _, Write as _},
    path::Path,
    time::Duration,
};

use clap::Args;
use input::{Input, Line};
use serde_json::{Value, json};
use session::{Evaluated, Session};

use super::{
    connect::{Connect, Wallet},
    exit::{CliError, CliResult, Done, Exit},
    item,
    process::parse_wait,
    resolve, table,
};

/// `weft repl`.
#[derive(Args, Debug)]
#[command(after_help = "\
The key that signs has to be the process's owner's. Lines that are not complete Lua yet go on on the next line. From a
pipe, no prompt is shown, and the first error ends it with exit code 6.

Commands in the console: .help  .load FILE  .editor  .live on|off  .exit

Examples:
  weft repl hello
  weft repl hello --load handlers.lua
  weft repl hello --wallet owner.json --node http://127.0.0.1:4002")]
pub struct Repl {
    /// Id, id prefix or name
    #[arg(value_name = "PROCESS")]
    process: String,
    /// A file of Lua to evaluate first; may be repeated
    #[arg(long, value_name = "FILE")]
    load: Vec<std::path::PathBuf>,
    /// How long to wait for each result
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = parse_wait)]
    timeout: Duration,
    #[command(flatten)]
    connect: Connect,
    #[command(flatten)]
    wallet: Wallet,
}

const HELP: &str = "\
Type Lua; it is evaluated by the process, and its values are shown. An expression needs no `return`.
  .load FILE     evaluate a file
  .editor        write several lines; .done evaluates them, .cancel forgets them
  .live on|off   show what the process prints when other messages come (on)
  .help          this text
  .exit          leave (also Ctrl-D); the process goes on without you
Ctrl-C empties the line, or stops waiting for a result (the message stays ordered).
Try:  Inbox[#Inbox].Data        the data of the last message that no handler took
      Handlers.list             who answers what
      Send({ Target = ao.id, Action = \"Hello\" })";

/// What the loop does after a line.
enum Next {
    Go,
    Leave,
}

impl Repl {
    pub(super) async fn run(self, json: bool) -> CliResult<Done> {
        let client = self.connect.client()?;
        let signer = self.wallet.signer(&self.connect)?;
        let process = resolve::process(&client, &self.process).await?;
        let session = Session::new(client.clone(), signer, process, self.timeout);
        let at_terminal = !json && std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        let prompt = if at_terminal { session.prompt(&self.process).await? } else { String::new() };
        let mut console = Console { session, prompt, json, quiet: !at_terminal, evaluations: Vec::new() };
        for file in &self.load {
            console.load(file, "--load").await?;
            if let Some(done) = console.failed() {
                return Ok(done);
            }
        }
        let mut input = if at_terminal { Input::terminal()? } else { Input::pipe() };
        if at_terminal {
            say(&format!("Connected to {process}. Type Lua, .help for help, .exit to leave."));
        }
        let live = match input.rows() {
            Some(rows) => Some(feed::start(client, process, rows).await?),
            None => None,
        };
        loop {
            let (back, line) = input.read(console.prompt.clone()).await?;
            input = back;
            let next = match line {
                Line::Lua(code) => console.evaluate(&code).await.map(|()| Next::Go),
                Line::Command(command) => console.command(&command, live.as_ref()).await,
                Line::End => Ok(Next::Leave),
            };
            match next {
                Ok(Next::Go) => {}
                Ok(Next::Leave) => break,
                // At a terminal, somebody is there to try again.
                Err(error) if at_terminal => complain(&error.text()),
                Err(error) => return Err(error),
            }
            if !at_terminal && let Some(done) = console.failed() {
                return Ok(done);
            }
        }
        Ok(console.done(Exit::Ok))
    }
}

/// A session and how to show it.
struct Console {
    session: Session,
    prompt: String,
    json: bool,
    /// Not at a terminal: no words beside what the process says.
    quiet: bool,
    /// For `--json`.
    evaluations: Vec<Evaluated>,
}

impl Console {
    async fn evaluate(&mut self, code: &str) -> CliResult<()> {
        let evaluated = self.session.evaluate(code).await?;
        if let (false, Some(prompt)) = (self.quiet, evaluated.prompt()) {
            self.prompt = prompt;
        }
        if !self.json {
            match (evaluated.error(), evaluated.output()) {
                (Some(error), _) => complain(&error),
                (None, Some(output)) => say(&output),
                (None, None) => {}
            }
        }
        // Only what `--json` and a pipe still need; a long evening at a terminal must not fill the memory.
        if self.json {
            self.evaluations.push(evaluated);
        } else {
            self.evaluations = vec![evaluated];
        }
        Ok(())
    }

    async fn load(&mut self, file: &Path, field: &str) -> CliResult<()> {
        let code = item::read_file(file, field)?;
        let code = String::from_utf8(code)
            .map_err(|_| CliError::usage(field, file.display(), "not text: Lua is written in UTF-8"))?;
        self.evaluate(&code).await
    }

    async fn command(&mut self, command: &str, live: Option<&feed::Live>) -> CliResult<Next> {
        let (name, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
        match (name, rest.trim()) {
            (".exit" | ".quit", _) => return Ok(Next::Leave),
            (".help", _) => say(HELP),
            (".load", "") => {
                return Err(CliError::new(Exit::Usage, ".load needs a file").fix(".load handlers.lua"));
            }
            (".load", file) => self.load(Path::new(file), ".load").await?,
            (".live", state @ ("on" | "off")) => {
                if let Some(live) = live {
                    live.show(state == "on");
                }
            }
            _ => {
                return Err(CliError::usage("command", command, "no such command").fix(".help shows the commands"));
            }
        }
        Ok(Next::Go)
    }

    /// The end, if the last evaluation was an error.
    fn failed(&mut self) -> Option<Done> {
        self.evaluations.last().is_some_and(|last| last.error().is_some()).then(|| self.done(Exit::Evaluation))
    }

    fn done(&mut self, exit: Exit) -> Done {
        let evaluations: Vec<Value> = self.evaluations.drain(..).map(Evaluated::into_json).collect();
        let done = Done::new("", json!({ "process": self.session.process(), "evaluations": evaluations })).exit(exit);
        if self.json { done } else { done.silent() }
    }
}

/// A line of output; a closed pipe is no reason to fail.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{}", table::printable(text));
    let _ = out.flush();
}

fn complain(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", table::printable(text));
}
