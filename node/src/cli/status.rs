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

/// Winston in one AR.
const WINSTON: u128 = 1_000_000_000_000;
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
    table.row(["peers", &peers(&status)]);
    for (at, address) in list(status.get("mesh").unwrap_or(&Value::Null), "listen").iter().enumerate() {
        table.row([if at == 0 { "listens on" } else { "" }, without_peer(address)]);
    }
    let work = status.get("work").unwrap_or(&Value::Null);
    for (name, line) in [("ordering", ordering(work)), ("compute", compute(work))] {
        table.row([name, &line]);
    }
    if let Some(why) = field(work, "compute_off") {
        table.row(["TROUBLE", &format!("compute is not offered: {}", table::printable(why))]);
    }
    let anchor = status.get("anchor").unwrap_or(&Value::Null);
    for (name, line) in anchoring(anchor) {
        table.row([name, &line]);
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

/// How many peers, and who is missing of the network file's members.
fn peers(status: &Value) -> String {
    let count = status.pointer("/mesh/peers").and_then(Value::as_array).map_or(0, Vec::len);
    let members = status.pointer("/network/members").and_then(Value::as_array).cloned().unwrap_or_default();
    let away = members.iter().filter(|m| m.get("connected") == Some(&Value::Bool(false)));
    let away: Vec<&str> = away.filter_map(|m| field(m, "name")).collect();
    if away.is_empty() { count.to_string() } else { format!("{count}; not connected: {}", away.join(", ")) }
}

/// A listen address without the node's own peer id, which only other nodes need (`--json` has it).
fn without_peer(address: &str) -> &str {
    address.split_once("/p2p/").map_or(address, |(address, _)| address)
}

fn number(value: &Value, name: &str) -> u64 {
    value.get(name).and_then(Value::as_u64).unwrap_or(0)
}

fn ordering(work: &Value) -> String {
    let (sealed, flushes) = (number(work, "sealed_since_start"), number(work, "log_flushes_since_start"));
    format!("{sealed} sealed in {flushes} flushes since start; log {}", table::bytes(number(work, "log_bytes")))
}

fn compute(work: &Value) -> String {
    let n = |name| number(work, name);
    let size = |name| table::bytes(n(name));
    let mut line = format!(
        "{} attested since start; processes {} live in {} of {}, {} parked in {}; {} evaluations waiting",
        n("attested_since_start"),
        n("live_processes"),
        size("live_bytes"),
        size("live_bytes_limit"),
        n("parked_processes"),
        size("parked_bytes"),
        n("evaluations_waiting"),
    );
    if n("evicted_since_start") > 0 {
        line.push_str(&format!(
            "; {} forgotten for want of room (their logs are replayed when they are asked: give [compute] more)",
            n("evicted_since_start")
        ));
    }
    line
}

/// The lines about anchoring, with what is wrong on a line of its own.
fn anchoring(anchor: &Value) -> Vec<(&'static str, String)> {
    if let Some(off) = field(anchor, "off") {
        return vec![("anchoring", format!("off: {off}"))];
    }
    let n = |name| number(anchor, name);
    let mut line = format!("items {} waiting, {} posted, {} confirmed", n("waiting"), n("posted"), n("confirmed"));
    for (name, count) in [("reposted", n("reposted")), ("rebuilt", n("rebuilt"))] {
        if count > 0 {
            line.push_str(&format!("; bundles {name} {count}"));
        }
    }
    let mut lines = vec![("anchoring", line)];
    if let Some(winston) = field(anchor, "balance").and_then(|b| b.parse::<u128>().ok()) {
        lines.push(("wallet", format!("{}.{:06} AR", winston / WINSTON, winston % WINSTON / 1_000_000)));
    }
    if let Some(trouble) = field(anchor, "trouble") {
        lines.push(("TROUBLE", format!("anchoring: {}", table::printable(trouble))));
    }
    lines
}

#[cfg(test)]
mod tests;
