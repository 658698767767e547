//! `weft process send` and `dry-run`: messages, ordered or only tried.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use weft_protocol::terms::CAST_TAG;

use super::{parse_wait, result};
use crate::cli::{
    connect::{Connect, Wallet},
    exit::{CliResult, Done, Exit},
    item::{self, Body, parse_tag},
    progress,
    resolve::{self, field},
    table::Table,
};

/// `weft process send`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  weft process send hello --action Ping
  weft process send hello --action Ping --wait         and wait for the result
  weft process send bank --action Transfer --tag Recipient=ADDRESS --tag Quantity=10
  weft process send hello --action Increment --cast --wait
  weft process send hello --file letter.txt")]
pub struct Send {
    /// Id, id prefix or name
    #[arg(value_name = "PROCESS")]
    process: String,
    #[command(flatten)]
    body: Body,
    /// The tag Action
    #[arg(long, short)]
    action: Option<String>,
    /// More tags, each NAME=VALUE
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_tag)]
    tag: Vec<(String, String)>,
    /// Make it a cast: what it sends is not delivered, and only you and the process's owner get its result
    #[arg(long)]
    cast: bool,
    /// Wait for the result and print it
    #[arg(long)]
    wait: bool,
    /// How long to wait for the result
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = parse_wait)]
    timeout: Duration,
    #[command(flatten)]
    connect: Connect,
    #[command(flatten)]
    wallet: Wallet,
}

impl Send {
    pub(super) async fn run(self) -> CliResult<Done> {
        let client = self.connect.client()?;
        let signer = self.wallet.signer(&self.connect)?;
        let data = self.body.read()?.unwrap_or_else(|| b" ".to_vec());
        let process = resolve::process(&client, &self.process).await?;
        let mut tags = with_action(self.action.as_deref(), &self.tag);
        tags.extend(self.cast.then(|| (CAST_TAG.to_owned(), "true".to_owned())));
        let item = item::sign(signer.as_ref(), "Message", Some(process), &tags, &[], data)?;
        let submitted = progress::during("having the message ordered", client.submit(item.raw().clone())).await?;
        if self.wait {
            let asked = client.result_as(process, item.id(), self.timeout, || self.wallet.signer(&self.connect));
            let answer = progress::during("waiting for the result", asked).await?;
            return Ok(result::report(&self.process, process, item.id(), &answer, Some(&submitted)));
        }
        let id = item.id().to_string();
        let slot = submitted.get("slot").map(Value::to_string).unwrap_or_default();
        let mut table = Table::pairs();
        table.row(["message", &id]).row(["process", &process.to_string()]).row(["slot", &slot]);
        table.row(["assignment", field(&submitted, "assignment").unwrap_or("")]);
        table.row(["receipt", field(&submitted, "level").unwrap_or("sealed")]);
        let text = format!("The message has slot {slot} of {}.\n\n{}", self.process, table.text());
        Ok(Done::new(text, submitted).next(format!("weft process result {} {slot}", self.process)))
    }
}

/// `weft process dry-run`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  weft process dry-run hello --action Get
  weft process dry-run bank --action Balance --tag Target=ADDRESS --json")]
pub struct DryRun {
    /// Id, id prefix or name
    #[arg(value_name = "PROCESS")]
    process: String,
    #[command(flatten)]
    body: Body,
    /// The tag Action
    #[arg(long, short)]
    action: Option<String>,
    /// More tags, each NAME=VALUE
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_tag)]
    tag: Vec<(String, String)>,
    /// Whom the process is to see as sender; nobody checks it, and nothing is kept
    #[arg(long, value_name = "ADDRESS", default_value = "1234")]
    owner: String,
    #[command(flatten)]
    connect: Connect,
}

impl DryRun {
    pub(super) async fn run(self) -> CliResult<Done> {
        let client = self.connect.client()?;
        let data = self.body.read()?.map(|d| String::from_utf8_lossy(&d).into_owned()).unwrap_or_default();
        let process = resolve::process(&client, &self.process).await?;
        let mut tags = with_action(self.action.as_deref(), &self.tag);
        tags.extend(
            [("Data-Protocol", "ao"), ("Type", "Message"), ("Variant", "ao.TN.1")]
                .map(|(n, v)| (n.to_owned(), v.to_owned())),
        );
        let tags: Vec<Value> = tags.into_iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
        let message =
            json!({ "Id": "1234", "Target": process, "Owner": self.owner, "Anchor": "0", "Data": data, "Tags": tags });
        let answer = progress::during("evaluating", client.dry_run(process, &message)).await?;
        let exit = if result::error_of(&answer).is_some() { Exit::Evaluation } else { Exit::Ok };
        let text = format!(
            "Tried on the newest state of {}; nothing was ordered or kept.\n\n{}",
            self.process,
            result::text(&answer)
        );
        let action = self.action.map(|action| format!(" --action {action}")).unwrap_or_default();
        Ok(Done::new(text, answer).exit(exit).next(format!("weft process send {}{action}", self.process)))
    }
}

fn with_action(action: Option<&str>, tags: &[(String, String)]) -> Vec<(String, String)> {
    action.iter().map(|a| ("Action".to_owned(), (*a).to_owned())).chain(tags.iter().cloned()).collect()
}
