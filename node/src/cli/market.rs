//! `weft market`: offers, quotes, awards and refusals as a node sees them; `explain` decides an award again.
//!
//! Where it sits: over `/v1/market`; the award rule is `weft_protocol::market`, so anyone can replay a record.

use std::collections::HashMap;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use weft_protocol::market::{Answer, AwardRecord, Outcome};

use super::{
    client::Client,
    connect::Connect,
    exit::{CliError, CliResult, Done, Exit},
    resolve::field,
    table::{self, Table},
};

/// Lines of each list; `--json` has everything the node keeps.
const SHOWN: usize = 10;

/// `weft market`.
#[derive(Args, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Prices are winston per 1,000,000,000 units of fuel (gfuel).

Examples:
  weft market
  weft market --json
  weft market explain LEASE                        who was asked, what they said, and why this one won"
)]
pub struct Market {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Decide an award again from its record, and say why it went as it did
    Explain(Explain),
}

/// `weft market explain`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  weft market explain LEASE                        first characters do
  weft market explain PROCESS-ID                   its newest award")]
pub struct Explain {
    /// Id of a lease, of an award, or of a process; its first six characters do
    #[arg(value_name = "LEASE")]
    lease: String,
    #[command(flatten)]
    connect: Connect,
}

impl Market {
    pub(super) async fn run(self) -> CliResult<Done> {
        if let Some(Command::Explain(explain)) = self.command {
            return explain.run().await;
        }
        let client = self.connect.client()?;
        let view = client.get("/v1/market", &[]).await?;
        let names = Names::of(&client).await;
        let parts = [
            offers(&view, &names),
            awards(&view, &names),
            leases(&view, &names),
            lost(&view, &names),
            refusals(&view, &names),
        ];
        let next = newest_lease(&view).map(|lease| format!("weft market explain {}", table::short(&lease)));
        Ok(Done::new(parts.join("\n\n"), view)
            .next(next.unwrap_or_else(|| "weft process spawn --name hello".to_owned())))
    }
}

/// Names of the registry's nodes by key, where the node tells them.
struct Names(HashMap<String, String>);

impl Names {
    async fn of(client: &Client) -> Self {
        let network = client.get("/v1/network", &[]).await.unwrap_or_default();
        let members = list(&network, "members");
        let pair = |m: &Value| Some((field(m, "key")?.to_owned(), field(m, "name")?.to_owned()));
        Self(members.iter().filter_map(pair).collect())
    }

    fn name(&self, key: &str) -> String {
        self.0.get(key).cloned().unwrap_or_else(|| table::short(key))
    }

    fn at(&self, value: &Value, member: &str) -> String {
        self.name(field(value, member).unwrap_or("-"))
    }
}

fn list(value: &Value, name: &str) -> Vec<Value> {
    value.get(name).and_then(Value::as_array).cloned().unwrap_or_default()
}

/// The last lines of a list, newest first.
fn newest(view: &Value, name: &str) -> (usize, Vec<Value>) {
    let all = list(view, name);
    (all.len(), all.into_iter().rev().take(SHOWN).collect())
}

fn number(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).filter(|v| !v.is_null()).map_or_else(|| "-".to_owned(), Value::to_string)
}

fn clock(value: &Value, member: &str) -> String {
    value.get(member).and_then(Value::as_u64).map(table::time).unwrap_or_default()
}

/// A titled table, or the title with "none".
fn titled(title: &str, count: usize, rows: &Table) -> String {
    if rows.is_empty() { format!("{title}: none") } else { format!("{title} ({count})\n{}", rows.text()) }
}

fn offers(view: &Value, names: &Names) -> String {
    let all = list(view, "offers");
    let mut rows = Table::new(&["PROVIDER", "PRICE/GFUEL", "LEASES FREE", "RTT", "EXPIRES (UTC)"]);
    for offer in all.iter().take(SHOWN) {
        let free = format!("{} of {}", number(offer, "/offer/leases_free"), number(offer, "/offer/leases_max"));
        let rtt = format!("{} ms", number(offer, "/latency_ms"));
        rows.row([
            names.at(offer, "provider"),
            number(offer, "/offer/price_per_gfuel"),
            free,
            rtt,
            clock(offer, "expires_ms"),
        ]);
    }
    titled("Offers", all.len(), &rows)
}

fn awards(view: &Value, names: &Names) -> String {
    let (count, newest) = newest(view, "awards");
    let mut rows = Table::new(&["AWARDED (UTC)", "PROCESS", "TO", "PAYS/GFUEL", "ASKED", "LEASE"]);
    for entry in &newest {
        let Some(record) = record(entry) else { continue };
        let (to, pays, lease) =
            record.winner().map_or(("nobody".to_owned(), "-".to_owned(), "-".to_owned()), |(key, pays, lease)| {
                (names.name(&key.to_string()), pays.to_string(), lease.short())
            });
        rows.row([clock(entry, "at_ms"), record.process.short(), to, pays, record.asked.len().to_string(), lease]);
    }
    titled("Awards", count, &rows)
}

fn leases(view: &Value, names: &Names) -> String {
    let (count, newest) = newest(view, "bought");
    let mut rows = Table::new(&["LEASE", "PROCESS", "EVALUATED BY", "PAYS/GFUEL", "SLOTS", "ENDS (UTC)"]);
    for lease in &newest {
        let short = |name: &str| table::short(field(lease, name).unwrap_or("-"));
        rows.row([
            short("id"),
            short("process"),
            names.at(lease, "provider"),
            number(lease, "/price_per_gfuel"),
            number(lease, "/slots"),
            clock(lease, "expires_ms"),
        ]);
    }
    titled("Leases this node pays for", count, &rows)
}

/// Providers that were replaced, and why.
fn lost(view: &Value, names: &Names) -> String {
    let (count, newest) = newest(view, "lost");
    let mut rows = Table::new(&["GIVEN UP (UTC)", "PROCESS", "PROVIDER", "WHY"]);
    for entry in &newest {
        let process = table::short(field(entry, "process").unwrap_or("-"));
        let why = table::clip(field(entry, "why").unwrap_or("-"), 90);
        rows.row([clock(entry, "at_ms"), process, names.at(entry, "provider"), why]);
    }
    titled("Leases this node gave up", count, &rows)
}

fn refusals(view: &Value, names: &Names) -> String {
    let (count, newest) = newest(view, "refusals");
    let mut rows = Table::new(&["REFUSED (UTC)", "BY", "TO", "CODE", "REASON"]);
    for refusal in &newest {
        let text = |pointer: &str| table::clip(refusal.pointer(pointer).and_then(Value::as_str).unwrap_or("-"), 60);
        rows.row([
            clock(refusal, "at_ms"),
            names.at(refusal, "by"),
            names.at(refusal, "to"),
            text("/refusal/code"),
            text("/refusal/reason"),
        ]);
    }
    titled("Refusals", count, &rows)
}

fn record(entry: &Value) -> Option<AwardRecord> {
    serde_json::from_value(entry.get("record")?.clone()).ok()
}

fn newest_lease(view: &Value) -> Option<String> {
    list(view, "awards").iter().rev().find_map(|entry| Some(record(entry)?.winner()?.2.to_string()))
}

impl Explain {
    async fn run(self) -> CliResult<Done> {
        if self.lease.len() < 6 {
            return Err(CliError::usage("LEASE", &self.lease, "too short to be told apart")
                .fix("give at least six characters; `weft market` shows the ids"));
        }
        let client = self.connect.client()?;
        let view = client.get("/v1/market", &[]).await?;
        let names = Names::of(&client).await;
        let fits = |entry: &Value| {
            let record = record(entry)?;
            let lease = record.winner().map(|(_, _, lease)| lease.to_string()).unwrap_or_default();
            let ids = [lease, record.process.to_string(), field(entry, "id").unwrap_or_default().to_owned()];
            ids.iter().any(|id| id.starts_with(&self.lease)).then_some(record)
        };
        let found = list(&view, "awards").iter().rev().find_map(fits).ok_or_else(|| {
            CliError::new(Exit::NotFound, "this node knows no such award")
                .at("LEASE", &self.lease)
                .fix("`weft market` shows the awards a node remembers; other nodes may remember others (--node)")
        })?;
        Ok(explained(&found, &names))
    }
}

/// Who was asked, what the rule says today, and whether the record agrees with it.
fn explained(record: &AwardRecord, names: &Names) -> Done {
    let mut asked = Table::new(&["ASKED", "RTT", "ANSWER"]);
    for one in &record.asked {
        let rtt = one.latency_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms"));
        let answer = match &one.answer {
            Answer::Quote { price_per_gfuel, .. } => format!("quotes {price_per_gfuel}"),
            Answer::Refused(refusal) => format!("refuses: {} ({})", refusal.code, refusal.reason),
            Answer::Silent(why) => format!("silent: {why}"),
        };
        asked.row([names.name(&one.provider.to_string()), rtt, table::printable(&answer)]);
    }
    let replayed = record.replay();
    let decision = replayed.as_ref().unwrap_or(&record.decision);
    let mut ranking = Table::new(&["PLACE", "PROVIDER", "SCORE", "PAYS", "WHY"]);
    for (place, placed) in (1_u32..).zip(&decision.ranking) {
        let provider = names.name(&placed.provider.to_string());
        ranking.row([
            place.to_string(),
            provider,
            placed.score.to_string(),
            placed.pays_per_gfuel.to_string(),
            table::clip(&placed.why, 160),
        ]);
    }
    for left_out in &decision.excluded {
        ranking.row([
            "-".to_owned(),
            names.name(&left_out.provider.to_string()),
            "-".to_owned(),
            "-".to_owned(),
            table::clip(&left_out.why, 160),
        ]);
    }
    let mut attempts = Table::new(&["AWARDED TO", "AT", "OUTCOME"]);
    for attempt in &record.attempts {
        let outcome = match &attempt.outcome {
            Outcome::Accepted(lease) => format!("accepted, lease {lease}"),
            Outcome::Refused(refusal) => format!("refused: {} ({})", refusal.code, refusal.reason),
            Outcome::Silent(why) => format!("silent: {why}"),
        };
        attempts.row([
            names.name(&attempt.provider.to_string()),
            attempt.price_per_gfuel.to_string(),
            table::printable(&outcome),
        ]);
    }
    let (verdict, exit) = match &replayed {
        Ok(_) => ("Replayed here: the rule gives the same ranking, and the awards followed it.".to_owned(), Exit::Ok),
        Err(e) => (format!("THE RECORD CONTRADICTS THE RULE: {e}"), Exit::Failed),
    };
    let head = format!("Award for process {}, at most {} per gfuel.", record.process, record.max_price_per_gfuel);
    let text = [head, asked.text(), ranking.text(), attempts.text(), verdict].join("\n\n");
    let contradiction = replayed.as_ref().err().map(ToString::to_string);
    let json = json!({ "record": record, "replayed": replayed.as_ref().ok(), "contradiction": contradiction });
    Done::new(text, json).exit(exit).next("weft market --json")
}
