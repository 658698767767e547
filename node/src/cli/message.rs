//! `weft message show`: the receipt of one message. Receipts grow: accepted, sealed, attested, anchored.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::{
    connect::Connect,
    exit::{CliResult, Done},
    resolve::{self, field},
    table::Table,
};

/// `weft message …`.
#[derive(Subcommand, Debug)]
#[command(after_help = "\
Examples:
  weft message show hello 3
  weft message show hello MESSAGE-ID --json")]
pub enum Message {
    /// Show how far a message has come
    Show(Show),
}

/// `weft message show`.
#[derive(Args, Debug)]
#[command(after_help = "\
A receipt says accepted (a node holds it), sealed (it has its slot, durably), attested (a compute node has signed its
outcome) or anchored (it is on Arweave, deep enough).

Examples:
  weft message show hello 3
  weft message show hello MESSAGE-ID --json")]
pub struct Show {
    /// Id, id prefix or name of the process
    #[arg(value_name = "PROCESS")]
    process: String,
    /// Id of the message, or its slot
    #[arg(value_name = "MESSAGE")]
    message: String,
    #[command(flatten)]
    connect: Connect,
}

impl Message {
    pub(super) async fn run(self) -> CliResult<Done> {
        let Self::Show(show) = self;
        let client = show.connect.client()?;
        let process = resolve::process(&client, &show.process).await?;
        let message = resolve::message(&client, process, &show.message).await?;
        let receipt = client.get(&format!("/v1/processes/{process}/messages/{message}"), &[]).await?;
        let text = |name: &str| field(&receipt, name).unwrap_or("-").to_owned();
        let who =
            |name: &str| receipt.pointer(&format!("/{name}/name")).and_then(Value::as_str).unwrap_or("-").to_owned();
        let mut table = Table::pairs();
        table.row(["message", &message.to_string()]).row(["process", &process.to_string()]);
        table.row(["slot", &receipt.get("slot").map(Value::to_string).unwrap_or_default()]);
        table.row(["receipt", &text("level")]);
        table.row(["sealed by", &who("scheduler")]).row(["assignment", &text("assignment")]);
        if receipt.get("cast") == Some(&Value::Bool(true)) {
            table.row(["cast", "yes: its result is given to its sender and the process's owner only"]);
        }
        table.row(["attested by", &who("provider")]).row(["attestation", &text("attestation")]);
        let anchor = receipt.get("anchor").filter(|a| !a.is_null());
        table.row([
            "anchor",
            &anchor.map_or("not yet".to_owned(), |a| a.as_str().map_or_else(|| a.to_string(), str::to_owned)),
        ]);
        let next = format!("weft process result {} {}", show.process, show.message);
        Ok(Done::new(table.text(), receipt).next(next))
    }
}
