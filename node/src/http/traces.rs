//! `GET /?debug`: what became of messages, as far as this node can tell, in pages.
//!
//! Where it sits: the messenger unit's traces, a handler behind the front page over `Door::log`, `receipt`, `graphql` and
//! `activity`. The reference keeps its own book for two hours; here the log itself is the book, and kept.

use axum::{
    Json,
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};
use weft_protocol::Id;

use super::{error::ApiError, gate::App, params::Params, render};
use crate::door::{Activity, Door, Entry, LogRange};

/// Traces of a page when the caller names no size, and at most.
const PAGE: (u32, u32) = (50, 100);
/// Newest entries of the list of what moved that are looked through.
const LOOKED_THROUGH: usize = 512;
/// Finds who sent an item, for whom.
const BY_ID: &str = "query($ids:[ID!]!){transactions(ids:$ids,first:1){edges{node{id recipient tags{name value}}}}}";
/// Finds what a wallet has sent.
const BY_OWNER: &str = "query($owners:[String!]!,$first:Int){transactions(owners:$owners,first:$first,\
    tags:[{name:\"Data-Protocol\",values:[\"ao\"]}]){edges{node{id recipient tags{name value}}}}}";

/// Which page.
struct Page {
    number: u32,
    size: u32,
}

/// Answers a request that has `debug` in its query.
pub(super) async fn traces<D: Door>(app: &App<D>, params: &Params) -> Result<Response, ApiError> {
    let size = params.number::<u32>("page-size")?.unwrap_or(PAGE.0).clamp(1, PAGE.1);
    let page = Page { number: params.number::<u32>("page")?.unwrap_or(1).max(1), size };
    let one = ["message", "spawn", "assign"].into_iter().find(|name| params.get(name).is_some());
    let traces = match (params.id("process")?, one, params.id("wallet")?) {
        (Some(process), _, _) => of_process(app, process, &page).await?,
        (None, Some(name), _) => {
            let id = params.need_id(name, "give the id of the item")?;
            of_message(app, id, params.id("process-id")?).await?
        }
        (None, None, Some(wallet)) => of_wallet(app, wallet, &page).await?,
        (None, None, None) => {
            return Err(ApiError::missing(
                "process",
                "name one of process, message, spawn, assign or wallet beside debug",
            ));
        }
    };
    Ok(Json(json!({ "traces": traces, "page": page.number, "pageSize": page.size })).into_response())
}

async fn of_process<D: Door>(app: &App<D>, process: Id, page: &Page) -> Result<Vec<Value>, ApiError> {
    let from_slot = u64::from(page.number - 1).saturating_mul(page.size.into());
    let range = LogRange { from_slot, to_slot: u64::MAX, after_ms: None, until_ms: None, limit: page.size };
    let log = app.door.log(process, range).await?;
    let moved = app.door.activity(LOOKED_THROUGH);
    log.entries.iter().map(|entry| trace(process, entry, &moved)).collect()
}

async fn of_message<D: Door>(app: &App<D>, id: Id, process: Option<Id>) -> Result<Vec<Value>, ApiError> {
    let process = match process {
        Some(process) => process,
        None => {
            let nodes = find(app, json!({ "query": BY_ID, "variables": { "ids": [id] } })).await?;
            let process = nodes.first().and_then(process_of);
            process
                .ok_or_else(|| ApiError::missing("process-id", "this node does not know the item: name its process"))?
        }
    };
    Ok(vec![followed(app, process, id).await?])
}

async fn of_wallet<D: Door>(app: &App<D>, wallet: Id, page: &Page) -> Result<Vec<Value>, ApiError> {
    let (first, skip) = (page.number.saturating_mul(page.size), (page.number - 1).saturating_mul(page.size));
    if skip >= PAGE.1 {
        let fix = format!(
            "of a wallet the newest {} messages are traced, which are {} pages of {}; for older ones name the process",
            PAGE.1,
            PAGE.1.div_ceil(page.size),
            page.size
        );
        return Err(ApiError::field("page", &page.number.to_string(), &fix));
    }
    let variables = json!({ "owners": [wallet], "first": first.min(PAGE.1) });
    let nodes = find(app, json!({ "query": BY_OWNER, "variables": variables })).await?;
    let mut traces = Vec::new();
    for node in nodes.iter().skip(usize::try_from(skip).unwrap_or(usize::MAX)) {
        let id = node.get("id").and_then(Value::as_str).and_then(|id| id.parse().ok());
        let (Some(id), Some(process)) = (id, process_of(node)) else { continue };
        // What this network does not order is no trace of it.
        if let Ok(entry) = app.door.entry(process, id).await {
            traces.push(trace(process, &entry, &app.door.activity(LOOKED_THROUGH))?);
        }
    }
    Ok(traces)
}

/// One message with how far it has come and what was delivered for it.
async fn followed<D: Door>(app: &App<D>, process: Id, id: Id) -> Result<Value, ApiError> {
    let entry = app.door.entry(process, id).await?;
    let mut trace = trace(process, &entry, &app.door.activity(LOOKED_THROUGH))?;
    let receipt = app.door.receipt(process, id).await?;
    if let Some(members) = trace.as_object_mut() {
        members.insert("receipt".to_owned(), serde_json::to_value(receipt).unwrap_or_default());
    }
    Ok(trace)
}

/// The nodes that a GraphQL question finds.
async fn find<D: Door>(app: &App<D>, question: Value) -> Result<Vec<Value>, ApiError> {
    let answer = app.door.graphql(question.to_string().into(), "").await?;
    let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
    let edges = answer.pointer("/data/transactions/edges").and_then(Value::as_array);
    Ok(edges.into_iter().flatten().filter_map(|edge| edge.get("node").cloned()).collect())
}

/// The process that a found item belongs to.
fn process_of(node: &Value) -> Option<Id> {
    let tags = node.get("tags").and_then(Value::as_array)?;
    let text = |value: &Value, member: &str| value.get(member).and_then(Value::as_str).map(str::to_owned);
    let tag = |name: &str| {
        tags.iter().find(|tag| text(tag, "name").as_deref() == Some(name)).and_then(|tag| text(tag, "value"))
    };
    let id = match tag("Type")?.as_str() {
        "Process" => text(node, "id"),
        "Assignment" => tag("Process"),
        _ => text(node, "recipient"),
    };
    id?.parse().ok()
}

fn trace(process: Id, entry: &Entry, moved: &[Activity]) -> Result<Value, ApiError> {
    let assignment = render::parse(&entry.assignment, "assignment")?;
    let item = (!entry.pure_assignment).then(|| render::parse(&entry.item, "message")).transpose()?;
    let kind = match (&item, entry.slot) {
        (None, _) => "ASSIGNMENT",
        (Some(_), 0) => "SPAWN",
        (Some(_), _) => "MESSAGE",
    };
    let item_tag = |name: &str| item.as_ref().and_then(|item| item.tag(name).map(str::to_owned));
    let here = moved.iter().filter(|one| one.process == Some(process) && one.slot == Some(entry.slot));
    let logs: Vec<String> = here.map(|one| format!("{}: {}", one.kind, one.text)).collect();
    Ok(json!({
        "id": item.as_ref().map_or_else(|| assignment.tag("Message").map(str::to_owned), |item| Some(item.id().to_string())),
        "type": kind,
        "process": process,
        "slot": entry.slot,
        "assignment": assignment.id(),
        "wallet": item.as_ref().map(weft_protocol::ans104::DataItem::signer_address),
        "from": item_tag("From-Process"),
        "parent": item_tag("Pushed-For"),
        "timestamp": assignment.tag("Timestamp").and_then(|at| at.parse::<u64>().ok()),
        "logs": logs,
    }))
}
