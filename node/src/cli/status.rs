//! `weft status`: one look at a node, for its owner.

use std::{io::IsTerminal, time::Duration};

use clap::Args;
use serde_json::Value;

use super::{
    client::Client,
    connect::Connect,
    exit::{CliError, CliResult, Done, Exit},
    resolve::field,
    table::{self, Table},
};

const EVERY: Duration = Duration::from_secs(2);

/// `weft status`.
#[derive(Args, Debug)]
#[command(after_help = "\
Ends with 0 when the node is ready and with 1 when it is not.

Examples:
  weft status
  weft status --watch
  weft status --node http://127.0.0.1:4010 --json")]
pub struct Status {
    /// Draw it again every two seconds until Ctrl-C
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    connect: Connect,
}

impl Status {
    pub(super) async fn run(self) -> CliResult<Done> {
        let client = self.connect.client()?;
        if !self.watch {
            return look(&client).await;
        }
        if !std::io::stdout().is_terminal() {
            return Err(CliError::new(Exit::Usage, "--watch draws on a terminal, and stdout is none")
                .fix("leave --watch out, and call `weft status --json` as often as you like"));
        }
        loop {
            // A node that is being restarted is part of what one watches for.
            let text = look(&client).await.map_or_else(|e| e.text(), |done| done.text);
            print!("\u{1b}[2J\u{1b}[H{text}\n\nCtrl-C ends.\n");
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                _ = tokio::signal::ctrl_c() => return Err(CliError::new(Exit::Interrupted, "interrupted")),
            }
        }
    }
}

async fn look(client: &Client) -> CliResult<Done> {
    let status = client.get("/v1/status", &[]).await?;
    let text = |pointer: &str| status.pointer(pointer).and_then(Value::as_str).unwrap_or("-").to_owned();
    let waits: Vec<&str> = list(&status, "not_ready");
    let mut table = Table::pairs();
    table.row(["node", &format!("{} ({})", text("/node/name"), text("/node/key"))]);
    table.row(["at", client.address()]).row(["version", field(&status, "version").unwrap_or("-")]);
    table.row(["network", &format!("{} {}", text("/network/name"), text("/network/id"))]);
    table.row(["roles", &list(&status, "roles").join(", ")]);
    let uptime = status.get("uptime_seconds").and_then(Value::as_u64).unwrap_or(0);
    table.row(["up for", &table::duration(uptime)]);
    for part in ["mesh", "work", "anchor"] {
        table.row([part, &summary(status.get(part).unwrap_or(&Value::Null))]);
    }
    let (head, exit) = if waits.is_empty() {
        ("Ready.".to_owned(), Exit::Ok)
    } else {
        (format!("NOT READY: {}", waits.join("; ")), Exit::Failed)
    };
    let text = format!("{head}\n\n{}", table.text());
    Ok(Done::new(text, status.clone()).exit(exit).next("weft process list"))
}

fn list<'a>(value: &'a Value, name: &str) -> Vec<&'a str> {
    value.get(name).and_then(Value::as_array).map(|l| l.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
}

/// `name value` pairs of an object on one line; lists as their length, nested objects left to `--json`.
fn summary(value: &Value) -> String {
    let Some(members) = value.as_object() else { return "-".to_owned() };
    let shown = members.iter().filter_map(|(name, value)| {
        let name = name.replace('_', " ");
        match value {
            Value::Null | Value::Object(_) => None,
            Value::Array(list) => Some(format!("{name} {}", list.len())),
            Value::String(text) => Some(format!("{name} {}", table::clip(text, 12))),
            other => Some(format!("{name} {other}")),
        }
    });
    shown.collect::<Vec<_>>().join(", ")
}
