//! `weft process show`: who was elected for a process and why, in a way that anyone can recompute.

use clap::Args;
use serde_json::Value;

use crate::cli::{
    connect::Connect,
    exit::{CliResult, Done},
    resolve::{self, field},
    table::Table,
};

/// `weft process show`.
#[derive(Args, Debug)]
#[command(after_help = "\
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
            &view.get("provider").filter(|p| !p.is_null()).map_or("no lease yet".to_owned(), |p| node(Some(p))),
        ]);
        let text = format!("{}\n\n{}", table.text(), election(view.get("election").unwrap_or(&Value::Null)));
        Ok(Done::new(text, view).next(format!("weft process log {}", self.process)))
    }
}

fn node(node: Option<&Value>) -> String {
    let Some(node) = node else { return "-".to_owned() };
    let (name, key) = (field(node, "name").unwrap_or("?"), field(node, "key").unwrap_or("?"));
    format!("{name} ({})", crate::cli::table::short(key))
}

/// The election's inputs and its order, one line each.
fn election(election: &Value) -> String {
    let Some(members) = election.as_object() else { return String::new() };
    let mut lines = vec!["Election".to_owned()];
    let mut table = Table::pairs();
    for (name, value) in members {
        let shown = match value {
            Value::String(text) => text.clone(),
            Value::Array(list) if list.iter().any(Value::is_object) => continue,
            other => other.to_string(),
        };
        table.row([name.as_str(), &crate::cli::table::clip(&shown, 90)]);
    }
    lines.push(table.text());
    for (name, list) in members.iter().filter_map(|(n, v)| Some((n, v.as_array()?))) {
        let Some(Value::Object(first)) = list.first() else { continue };
        let heads: Vec<&str> = first.keys().map(String::as_str).collect();
        let mut table = Table::new(&heads);
        for row in list.iter().take(20) {
            table.row(heads.iter().map(|h| match row.get(*h) {
                Some(Value::String(text)) => crate::cli::table::clip(text, 46),
                Some(other) => other.to_string(),
                None => String::new(),
            }));
        }
        lines.push(format!("\n{name} ({})", list.len()));
        lines.push(table.text());
    }
    lines.join("\n")
}
