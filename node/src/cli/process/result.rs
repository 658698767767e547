//! `weft process result`: what the evaluation of a message gave, and the words for it that other commands use.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use weft_protocol::Id;

use super::parse_wait;
use crate::cli::{
    client::Client,
    connect::{Connect, Wallet},
    exit::{CliError, CliResult, Done, Exit},
    progress,
    resolve::{self, field},
    table::{self, Table},
};

/// Characters of a message's tags that are shown.
const SHOWN_TAGS: usize = 100;
/// Tags of every message: the protocol's, and the action, which has its own column.
const EVERY_MESSAGE: [&str; 6] = ["Action", "Data-Protocol", "Reference", "Type", "Variant", "X-Reference"];

/// `weft process result`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  weft process result hello                        of the newest message
  weft process result hello 3                      of slot 3
  weft process result hello MESSAGE-ID --json      AO's result document

Of a cast the result is given only to who sent it and to who owns the process: --wallet says as whom to ask.")]
pub struct ResultOf {
    /// Id, id prefix or name
    #[arg(value_name = "PROCESS")]
    process: String,
    /// Id of the message, or its slot [default: the newest]
    #[arg(value_name = "MESSAGE")]
    message: Option<String>,
    /// How long to wait for the evaluation
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = parse_wait)]
    timeout: Duration,
    #[command(flatten)]
    connect: Connect,
    #[command(flatten)]
    wallet: Wallet,
}

impl ResultOf {
    pub(super) async fn run(self) -> CliResult<Done> {
        let client = self.connect.client()?;
        let process = resolve::process(&client, &self.process).await?;
        let message = match &self.message {
            Some(text) => resolve::message(&client, process, text).await?,
            None => newest(&client, process).await?,
        };
        let signer = || self.wallet.signer(&self.connect);
        let asked = client.result_as(process, message, self.timeout, signer);
        let answer = progress::during("waiting for the result", asked).await?;
        Ok(report(&self.process, process, message, &answer, None))
    }
}

/// The message in the last slot of a process's log.
async fn newest(client: &Client, process: Id) -> CliResult<Id> {
    let shown = client.get(&format!("/v1/processes/{process}"), &[]).await?;
    let last = shown.get("next_slot").and_then(Value::as_u64).and_then(|next| next.checked_sub(1));
    match last {
        Some(slot) => resolve::message(client, process, &slot.to_string()).await,
        None => Err(CliError::new(Exit::NotFound, "the log of this process is empty").at("PROCESS", process)),
    }
}

/// The screen and the document of one result.
pub fn report(called: &str, process: Id, message: Id, answer: &Value, submitted: Option<&Value>) -> Done {
    let exit = if error_of(answer).is_some() { Exit::Evaluation } else { Exit::Ok };
    let json = match submitted {
        Some(submitted) => json!({ "process": process, "message": message, "submitted": submitted, "result": answer }),
        None => answer.clone(),
    };
    let text = format!("Result of message {message}\n\n{}", text(answer));
    Done::new(text, json).exit(exit).next(format!("weft message show {called} {message}"))
}

/// A result document in words.
pub fn text(answer: &Value) -> String {
    let mut parts = Vec::new();
    if let Some(error) = error_of(answer) {
        parts.push(format!("The process answered with an error:\n{}", indent(&error)));
    }
    if let Some(output) = output_of(answer) {
        parts.push(format!("Output:\n{}", indent(&output)));
    }
    let sent = outbox(answer);
    if !sent.is_empty() {
        parts.push(sent);
    }
    if parts.is_empty() {
        parts.push("It printed nothing and sent nothing.".to_owned());
    }
    if let Some(gas) = answer.get("GasUsed").filter(|g| g.as_u64() != Some(0)) {
        parts.push(format!("Fuel used: {gas}"));
    }
    table::printable(&parts.join("\n\n"))
}

/// What an endless loop comes to.
const OUT_OF_FUEL: &str = "out of fuel: it used all that one message may use (an endless loop?), and nothing of it was \
    kept; the process goes on from before. The limit is the network's, or the Compute-Limit of process or module";

/// The error of a result, if it is one. aos puts Lua errors in `Error`, or in `Output` with the word first.
pub fn error_of(answer: &Value) -> Option<String> {
    match answer.get("Error")? {
        Value::Null => None,
        Value::String(text) if text.is_empty() => None,
        Value::String(text) if text.starts_with("out of fuel") => Some(OUT_OF_FUEL.to_owned()),
        Value::String(text) => Some(table::printable(text)),
        Value::Object(empty) if empty.is_empty() => {
            Some("the evaluation was stopped (trap, or out of fuel)".to_owned())
        }
        other => Some(table::printable(&other.to_string())),
    }
}

/// The printed part of a result: aos's `Output.data`, or what other modules put in `Output`.
pub fn output_of(answer: &Value) -> Option<String> {
    let output = answer.get("Output")?;
    let data = output.get("data").unwrap_or(output);
    let shown = data.get("output").unwrap_or(data);
    let text = match shown {
        Value::Null => return None,
        Value::String(text) => text.clone(),
        Value::Object(o) if o.is_empty() => return None,
        other => format!("{other:#}"),
    };
    (!text.is_empty()).then(|| table::printable(&text))
}

/// What a result sends: messages, spawns, assignments.
pub fn outbox(answer: &Value) -> String {
    let list = |name: &str| answer.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let mut lines = Table::new(&["SENT", "TO", "ACTION", "DATA", "TAGS"]);
    for message in list("Messages") {
        let to = field(&message, "Target").unwrap_or("?");
        let data = table::clip(field(&message, "Data").unwrap_or(""), 50);
        let tags = table::clip(&own_tags(&message), SHOWN_TAGS);
        lines.row(["message", to, tag(&message, "Action").unwrap_or("-"), &data, &tags]);
    }
    for spawn in list("Spawns") {
        lines.row(["spawn", tag(&spawn, "Module").unwrap_or("new process"), "-", tag(&spawn, "Name").unwrap_or("-")]);
    }
    for assignment in list("Assignments") {
        let to = assignment.get("Processes").map(|p| table::clip(&p.to_string(), 50)).unwrap_or_default();
        lines.row(["assignment", &to, "-", field(&assignment, "Message").unwrap_or("-")]);
    }
    if lines.is_empty() { String::new() } else { lines.text() }
}

/// The tags that a process gave its message, without those that every message has and without the action.
fn own_tags(message: &Value) -> String {
    let tags = message.get("Tags").and_then(Value::as_array).into_iter().flatten();
    let pairs = tags.filter_map(|t| Some((field(t, "name")?, field(t, "value")?)));
    let own = pairs.filter(|(name, _)| !EVERY_MESSAGE.contains(name));
    own.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}

/// Why Lua that was sent to be evaluated was not, if so. A process marks the output of messages that are no evaluation
/// with `print`; an `Eval` that is not its owner's is such a message.
pub fn not_evaluated(answer: &Value, signer: &str) -> Option<String> {
    (answer.pointer("/Output/print") == Some(&Value::Bool(true))).then(|| {
        format!(
            "It was not evaluated: the process took it for an ordinary message. It evaluates for its owner only, and \
             {signer} signed.\n  fix: sign with the owner's key, --wallet FILE or WEFT_WALLET"
        )
    })
}

/// The first tag of a name.
pub fn tag<'a>(item: &'a Value, name: &str) -> Option<&'a str> {
    let tags = item.get("Tags").or_else(|| item.get("tags"))?.as_array()?;
    tags.iter().find(|t| field(t, "name") == Some(name)).and_then(|t| field(t, "value"))
}

/// Two spaces before each line, without blank lines at the ends.
pub fn indent(text: &str) -> String {
    text.trim_matches('\n').lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests;
