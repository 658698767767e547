//! `weft process show`: who was elected for a process and why, in a way that anyone can recompute.

use clap::Args;
use serde_json::Value;

use crate::cli::{
    connect::Connect,
    exit::{CliResult, Done},
    resolve::{self, field},
    table::{self, Table},
};

/// Places of the ranking that are shown; `--json` has all.
const SHOWN: usize = 20;

/// `weft process show`.
#[derive(Args, Debug)]
#[command(after_help = "\
To recompute the election, for each scheduler in the network file:
  draw  = 1 + the first 8 bytes (big endian) of SHA-256(\"ao/sched/elect/v1\" 00 ‖ seed ‖ process ‖ key)
  score = 2^32 · (64 − log2(draw)), in integers
  order by score / weight (the bond), lowest first; ties by key. The first take the seats.
Seed, process and key are the 32 bytes that their base64url says. The seed of a development network (dev) is
SHA-256(\"weft/seed/dev/v1\" ‖ network id). Messengers are drawn the same way with \"ao/msgr/elect/v1\" 00, the
process's own scheduler last. Who computes is not drawn: the market awards it (weft market explain PROCESS-ID).

Examples:
  weft process show hello
  weft process show hello --json                   with everything the election was drawn from")]
pub struct Show {
    /// Id, id prefix or name
    #[arg(value_name = "PROCESS")]
    process: String,
    #[command(flatten)]
    connect: Connect,
}

impl Show {
    pub(super) async fn run(self) -> CliResult<Done> {
        let client = self.connect.client()?;
        let process = resolve::process(&client, &self.process).await?;
        let view = client.get(&format!("/v1/processes/{process}"), &[]).await?;
        let mut table = Table::pairs();
        table.row(["process", &process.to_string()]);
        table.row(["next slot", &view.get("next_slot").map(Value::to_string).unwrap_or_default()]);
        table.row(["scheduler", &node(view.get("scheduler"))]);
        let messengers = view.get("messengers").and_then(Value::as_array).cloned().unwrap_or_default();
        let messengers: Vec<String> = messengers.iter().map(|m| node(Some(m))).collect();
        table.row(["messengers", &messengers.join(", ")]);
        table.row([
            "compute",
            &view.get("provider").filter(|p| !p.is_null()).map_or_else(
                || "nobody yet: nothing was evaluated".to_owned(),
                |p| {
                    format!(
                        "{}, by the market: weft market explain {}",
                        node(Some(p)),
                        table::short(&process.to_string())
                    )
                },
            ),
        ]);
        let crons = view.get("crons").and_then(Value::as_array).cloned().unwrap_or_default();
        if !crons.is_empty() {
            let every: Vec<&str> = crons.iter().filter_map(Value::as_str).collect();
            table.row(["crons", &format!("every {}", table::printable(&every.join(", ")))]);
        }
        let text = format!("{}\n\n{}", table.text(), election(&view));
        Ok(Done::new(text, view).next(format!("weft process log {}", self.process)))
    }
}

fn node(node: Option<&Value>) -> String {
    let Some(node) = node else { return "-".to_owned() };
    let (name, key) = (field(node, "name").unwrap_or("?"), field(node, "key").unwrap_or("?"));
    format!("{name} ({})", table::short(key))
}

/// Why these: the election's inputs and its ranking. The rule (weighted rendezvous, lowest score first) needs nothing else.
fn election(view: &Value) -> String {
    let Some(drawn) = view.get("election").filter(|e| e.is_object()) else { return String::new() };
    let text = |name: &str| field(drawn, name).unwrap_or("-").to_owned();
    let committee = |name: &str| drawn.pointer(&format!("/committee/{name}")).cloned().unwrap_or_default();
    let names = names(view);
    let mut inputs = Table::pairs();
    inputs.row(["network", &text("network")]);
    inputs.row(["seed", &format!("{} ({})", text("seed"), text("seed_kind"))]);
    let seats = committee("seats").as_array().cloned().unwrap_or_default();
    let seats: Vec<String> = seats.iter().filter_map(Value::as_str).map(|key| name_of(&names, key)).collect();
    inputs.row(["seats", &format!("{}, quorum {}", seats.join(", "), committee("quorum"))]);
    if committee("pinned") == Value::Bool(true) {
        return format!("Pinned: the process's Scheduler tag names this node; nobody was elected\n{}", inputs.text());
    }
    let mut ranking = Table::new(&["PLACE", "NODE", "KEY", "WEIGHT", "DRAW", "SCORE"]);
    let order = drawn.get("order").and_then(Value::as_array).cloned().unwrap_or_default();
    for (place, ranked) in (1_u32..).zip(order.iter().take(SHOWN)) {
        let key = field(ranked, "key").unwrap_or("-");
        let text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
        let number = |name: &str| ranked.get(name).map(text).unwrap_or_default();
        ranking.row([
            place.to_string(),
            name_of(&names, key),
            key.to_owned(),
            number("weight"),
            number("u"),
            number("l"),
        ]);
    }
    let head = "Scheduler, elected: order by SCORE / WEIGHT, lowest first (how to recompute it: weft process show --help)\n\
        \x20 DRAW = 1 + first 8 bytes of SHA-256(\"ao/sched/elect/v1\" 00 ‖ seed ‖ process ‖ key); \
        SCORE = 2^32 · (64 − log2 DRAW)";
    format!("{head}\n{}\n\n{}", inputs.text(), ranking.text())
}

/// Names by key, as far as the answer tells them.
fn names(view: &Value) -> Vec<(String, String)> {
    let messengers = view.get("messengers").and_then(Value::as_array).into_iter().flatten();
    let pair = |node: &Value| Some((field(node, "key")?.to_owned(), field(node, "name")?.to_owned()));
    messengers.chain(view.get("scheduler")).filter_map(pair).collect()
}

fn name_of(names: &[(String, String)], key: &str) -> String {
    names.iter().find(|(k, _)| k == key).map_or_else(|| table::short(key), |(_, name)| name.clone())
}
