//! `weft process log` and `list`.

use clap::Args;
use serde_json::{Value, json};

use super::result::tag;
use crate::cli::{
    connect::Connect,
    exit::{CliResult, Done},
    resolve::{self, field},
    table::{self, Table},
};

/// Characters of a message's data that a line of the log shows.
const SHOWN_DATA: usize = 32;

/// `weft process log`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  weft process log hello
  weft process log hello --from 100 --limit 50
  weft process log hello --json                    the signed assignments and messages")]
pub struct Log {
    /// Id, id prefix or name
    #[arg(value_name = "PROCESS")]
    process: String,
    /// First slot [default: the last --limit slots]
    #[arg(long, value_name = "SLOT")]
    from: Option<u64>,
    /// At most so many
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    #[command(flatten)]
    connect: Connect,
}

impl Log {
    pub(super) async fn run(self) -> CliResult<Done> {
        let client = self.connect.client()?;
        let process = resolve::process(&client, &self.process).await?;
        let shown = client.get(&format!("/v1/processes/{process}"), &[]).await?;
        let next = shown.get("next_slot").and_then(Value::as_u64).unwrap_or(0);
        let from = self.from.unwrap_or_else(|| next.saturating_sub(u64::from(self.limit)));
        let entries = resolve::log(&client, process, from, self.limit).await?;
        let mut lines = Table::new(&["SLOT", "TIME (UTC)", "MESSAGE", "FROM", "ACTION", "DATA"]);
        for entry in &entries {
            lines.row(line(entry));
        }
        let text = format!("{} has {next} slots ({process}).\n\n{}", self.process, lines.text());
        let json = json!({ "process": process, "next_slot": next, "entries": entries });
        Ok(Done::new(text, json).next(format!("weft process result {} {}", self.process, next.saturating_sub(1))))
    }
}

fn line(entry: &Value) -> [String; 6] {
    let null = Value::Null;
    let message = entry.get("message").unwrap_or(&null);
    let assignment = entry.get("assignment").unwrap_or(&null);
    let stamp = tag(assignment, "Timestamp").and_then(|t| t.parse().ok());
    let from = tag(assignment, "Weft-Cron")
        .map(|_| "its cron")
        .or_else(|| tag(message, "From-Process"))
        .or_else(|| message.pointer("/owner/address").and_then(Value::as_str))
        .unwrap_or("-");
    let action = tag(message, "Action").or_else(|| tag(message, "Type").filter(|t| *t == "Process").map(|_| "(spawn)"));
    [
        resolve::slot(entry).map(|s| s.to_string()).unwrap_or_default(),
        stamp.map(table::time).unwrap_or_default(),
        table::short(resolve::message_id(entry).unwrap_or("-")),
        table::short(from),
        table::printable(action.unwrap_or("-")),
        table::clip(field(message, "data").unwrap_or("").trim(), SHOWN_DATA),
    ]
}

/// `weft process list`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  weft process list
  weft process list --limit 1000 --json")]
pub struct List {
    /// At most so many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    #[command(flatten)]
    connect: Connect,
}

impl List {
    pub(super) async fn run(self) -> CliResult<Done> {
        let client = self.connect.client()?;
        let listed = resolve::processes(&client, usize::try_from(self.limit).unwrap_or(usize::MAX)).await?;
        let mut lines = Table::new(&["NAME", "PROCESS", "SLOTS", "ORDERED BY"]);
        for process in &listed {
            let slots = process.get("next_slot").map(Value::to_string).unwrap_or_default();
            let by = process.pointer("/scheduler/name").and_then(Value::as_str).unwrap_or("-");
            lines.row([
                &table::clip(field(process, "name").unwrap_or("-"), 24),
                field(process, "id").unwrap_or("-"),
                &slots,
                by,
            ]);
        }
        let done = |text: String| Done::new(text, json!({ "processes": listed }));
        if listed.is_empty() {
            return Ok(done("This node knows no process yet.".to_owned()).next("weft process spawn --name hello"));
        }
        Ok(done(lines.text()).next("weft process show PROCESS"))
    }
}
