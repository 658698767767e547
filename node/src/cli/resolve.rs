//! From what a person types to an id: a whole id, a unique prefix of at least six characters, or a name.
//!
//! Where it sits: every command that takes `PROCESS` asks here; names and prefixes are looked up in the node's list.

use serde_json::Value;
use weft_protocol::Id;

use super::{
    client::Client,
    exit::{CliError, CliResult, Exit},
    table,
};

const MIN_PREFIX: usize = 6;
const PAGE: usize = 500;
/// Lists longer than this are not searched: name the id.
const MAX_SEARCHED: usize = 10_000;

/// The process that `text` names on the network of `client`'s node.
pub async fn process(client: &Client, text: &str) -> CliResult<Id> {
    if let Ok(id) = text.parse::<Id>() {
        return Ok(id);
    }
    let listed = processes(client, MAX_SEARCHED).await?;
    let ids = |found: Vec<&Value>| found.iter().filter_map(|p| field(p, "id")?.parse().ok()).collect::<Vec<Id>>();
    let named = ids(listed.iter().filter(|p| field(p, "name") == Some(text)).collect());
    let found = if named.is_empty() && text.len() >= MIN_PREFIX {
        ids(listed.iter().filter(|p| field(p, "id").is_some_and(|id| id.starts_with(text))).collect())
    } else {
        named
    };
    match found.as_slice() {
        [id] => Ok(*id),
        [] => Err(unknown(text, listed.len(), &away(client).await)),
        several => {
            let shown: Vec<String> = several.iter().take(5).map(Id::to_string).collect();
            Err(CliError::usage("PROCESS", text, format!("fits {} processes: {}", several.len(), shown.join(" ")))
                .fix("give the whole id"))
        }
    }
}

/// Schedulers that the node does not reach: it cannot list what they order.
async fn away(client: &Client) -> Vec<String> {
    let network = client.get("/v1/network", &[]).await.unwrap_or_default();
    let members = network.get("members").and_then(Value::as_array).cloned().unwrap_or_default();
    let orders = |m: &&Value| {
        m.get("roles").and_then(Value::as_array).is_some_and(|roles| roles.iter().any(|role| role == "scheduler"))
    };
    let away = members.iter().filter(orders).filter(|m| m.get("connected") == Some(&Value::Bool(false)));
    away.filter_map(|m| field(m, "name").map(str::to_owned)).collect()
}

fn unknown(text: &str, listed: usize, away: &[String]) -> CliError {
    let reason = format!("no process of this name or id prefix among the {listed} this node knows");
    if away.is_empty() {
        return CliError::new(Exit::NotFound, reason).at("PROCESS", text).fix(format!(
            "give a whole id, at least {MIN_PREFIX} of its characters, or the name; `weft process list` shows them"
        ));
    }
    let away = away.join(", ");
    CliError::new(Exit::Unreachable, format!("{reason}, and it does not reach {away}, whose processes it cannot list"))
        .at("PROCESS", text)
        .fix(format!("bring {away} back (in a testnet: weft testnet start NODE), or give the whole id of the process"))
}

/// The processes the node knows, at most `limit`, in the order of their ids.
pub async fn processes(client: &Client, limit: usize) -> CliResult<Vec<Value>> {
    let mut all: Vec<Value> = Vec::new();
    while all.len() < limit {
        let mut query = vec![("limit", PAGE.min(limit - all.len()).to_string())];
        if let Some(last) = all.last().and_then(|p| field(p, "id")) {
            query.push(("after", last.to_owned()));
        }
        let answer = client.get("/v1/processes", &query).await?;
        let page = answer.get("processes").and_then(Value::as_array).cloned().unwrap_or_default();
        let last_page = page.len() < PAGE;
        all.extend(page);
        if last_page {
            break;
        }
    }
    Ok(all)
}

/// The message that `text` names: an id, or the slot it has in the process's log.
pub async fn message(client: &Client, process: Id, text: &str) -> CliResult<Id> {
    if let Ok(id) = text.parse::<Id>() {
        return Ok(id);
    }
    let Ok(slot) = text.parse::<u64>() else {
        return Err(CliError::usage("MESSAGE", text, "neither an id (43 characters) nor a slot number")
            .fix(format!("`weft process log {}` shows ids and slots", table::short(&process.to_string()))));
    };
    let entries = log(client, process, slot, 1).await?;
    let entry = entries.first().filter(|e| self::slot(e) == Some(slot));
    entry.and_then(|e| message_id(e)?.parse().ok()).ok_or_else(|| {
        CliError::new(Exit::NotFound, format!("the log of this process has no slot {slot} yet"))
            .at("MESSAGE", text)
            .fix(format!("`weft process log {}` shows the slots there are", table::short(&process.to_string())))
    })
}

/// A part of a process's log.
pub async fn log(client: &Client, process: Id, from: u64, limit: u32) -> CliResult<Vec<Value>> {
    let query = [("from", from.to_string()), ("limit", limit.to_string())];
    let answer = client.get(&format!("/v1/processes/{process}/log"), &query).await?;
    Ok(answer.get("entries").and_then(Value::as_array).cloned().unwrap_or_default())
}

/// The slot of a log entry.
pub fn slot(entry: &Value) -> Option<u64> {
    entry.get("slot").and_then(Value::as_u64)
}

/// The id of the message in a log entry; a pure assignment names it in its tag `Message`.
pub fn message_id(entry: &Value) -> Option<&str> {
    let whole = entry.pointer("/message/id").and_then(Value::as_str);
    whole.or_else(|| super::process::tag(entry.get("assignment")?, "Message"))
}

/// A text member of a JSON object.
pub fn field<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name).and_then(Value::as_str)
}
