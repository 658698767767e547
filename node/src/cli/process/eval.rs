//! `weft process eval`: Lua for a Lua process, and its answer in plain words.

use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::{parse_wait, result};
use crate::cli::{
    connect::{Connect, Wallet},
    exit::{CliError, CliResult, Done, Exit},
    item::{self, Body},
    progress, resolve, table,
};

/// `weft process eval`.
#[derive(Args, Debug)]
#[command(after_help = "\
The process has to be a Lua process (--module lua, aos), and the key that signs its owner's.

Examples:
  weft process eval mine 'return 1 + 1'
  weft process eval mine --file handlers.lua
  weft process eval mine 'Send({Target = Owner, Data = \"hi\"})'")]
pub struct Eval {
    /// Id, id prefix or name
    #[arg(value_name = "PROCESS")]
    process: String,
    #[command(flatten)]
    body: Body,
    /// How long to wait for the result
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = parse_wait)]
    timeout: Duration,
    #[command(flatten)]
    connect: Connect,
    #[command(flatten)]
    wallet: Wallet,
}

impl Eval {
    pub(super) async fn run(self) -> CliResult<Done> {
        let lua = self.body.read()?.ok_or_else(|| {
            CliError::new(Exit::Usage, "no Lua to evaluate: DATA is missing")
                .fix(format!("weft process eval {} 'return 1 + 1', or --file handlers.lua", self.process))
        })?;
        let client = self.connect.client()?;
        let signer = self.wallet.signer(&self.connect)?;
        let process = resolve::process(&client, &self.process).await?;
        let tags = [("Action".to_owned(), "Eval".to_owned())];
        let item = item::sign(signer.as_ref(), "Message", Some(process), &tags, &[], lua)?;
        let submitted = progress::during("having the message ordered", client.submit(item.raw().clone())).await?;
        let answer =
            progress::during("waiting for the result", client.result(process, item.id(), self.timeout)).await?;
        let next = format!("weft process log {}", self.process);
        let json = json!({ "process": process, "message": item.id(), "submitted": submitted, "result": answer });
        if let Some(error) = result::error_of(&answer) {
            return Ok(Done::new(format!("The process answered with an error:\n{}", result::indent(&error)), json)
                .exit(Exit::Evaluation)
                .next(next));
        }
        if let Some(why) = result::not_evaluated(&answer, &signer.signer_address()) {
            return Ok(Done::new(why, json).exit(Exit::Evaluation).next(next));
        }
        let output = result::output_of(&answer).unwrap_or_else(|| "(no output)".to_owned());
        let sent = result::outbox(&answer);
        let text = if sent.is_empty() { output } else { format!("{output}\n\n{sent}") };
        Ok(Done::new(table::printable(&text), json).next(next))
    }
}
