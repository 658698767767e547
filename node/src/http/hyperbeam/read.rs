//! Reading over HyperBEAM-style paths: the node, a process, its slots, its log, its outcomes.
//!
//! Where it sits: handlers of `hyperbeam` over `Door::status`, `process`, `log`, `result` and `results`.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use serde_json::{Value, json};
use weft_protocol::{
    Id,
    ans104::{DataItem, Profile},
    cast::{KIND, MAX_PROOF_BYTES},
};

use super::{Beside, call::At, shown, text_reply};
use crate::{
    door::{Door, LogRange, ResultsRange, SlotResult},
    http::{
        error::ApiError,
        gate::{App, RESULT_WAIT},
        render, scheduler,
    },
};

/// Entries of a schedule's page when the caller names no limit, and at most.
const DEFAULT_LIMIT: u64 = 100;
const MAX_LIMIT: u64 = 1_000;

/// `~meta@1.0/info`: this node. `address` is what a process names as its scheduler and authority, and what aoconnect asks
/// for before it spawns: the network's address, which means "elect one".
pub(super) async fn info<D: Door>(app: &App<D>, keys: &[String]) -> Result<Response, ApiError> {
    let status = app.door.status().await;
    let (own, now) = app.door.identity();
    let document = json!({
        "address": status.network.get("address"),
        "node-address": own,
        "node": status.node,
        "network": status.network,
        "version": status.version,
        "roles": status.roles,
        "timestamp": now,
        "block-height": app.door.block_height(),
        "uptime-seconds": status.uptime_seconds,
        "not-ready": status.not_ready,
    });
    shown(&document, keys)
}

/// `~meta@1.0/build`: what runs.
pub(super) fn build() -> Response {
    Json(json!({ "node": "Weft", "version": env!("CARGO_PKG_VERSION") })).into_response()
}

/// The process itself: its record, and how far its log is.
pub(super) async fn process<D: Door>(app: &App<D>, process: Id) -> Result<Response, ApiError> {
    let view = app.door.process(process).await?;
    let mut record = render::record(&view)?;
    if let Some(members) = record.as_object_mut() {
        members.insert("process".into(), json!(process));
        members.insert("slot".into(), json!(view.next_slot.saturating_sub(1)));
    }
    Ok(Json(record).into_response())
}

/// The newest slot, with its time; `bare` is the number alone, which aoconnect puts into the next path.
pub(super) async fn slot<D: Door>(app: &App<D>, process: Id, bare: bool) -> Result<Response, ApiError> {
    let newest = app.door.process(process).await?.next_slot.saturating_sub(1);
    if bare {
        return Ok(text_reply(newest.to_string()));
    }
    let assignment = render::parse(&entry(app, process, newest).await?.assignment, "assignment")?;
    let number = |name: &str| assignment.tag(name).and_then(|text| text.trim().parse::<u64>().ok());
    Ok(Json(json!({
        "process": process,
        "current": newest,
        "slot": newest,
        "timestamp": number("Timestamp"),
        "block-height": number("Block-Height"),
        "assignment": assignment.id(),
    }))
    .into_response())
}

/// One entry of the log.
async fn entry<D: Door>(app: &App<D>, process: Id, slot: u64) -> Result<crate::door::Entry, ApiError> {
    let range = LogRange { from_slot: slot, to_slot: slot, after_ms: None, until_ms: None, limit: 1 };
    let page = app.door.log(process, range).await?;
    page.entries.into_iter().find(|entry| entry.slot == slot).ok_or_else(|| {
        let reason = format!("slot {slot}: process {process} has no such slot; /{process}/slot/current is its newest");
        ApiError::new(StatusCode::NOT_FOUND, reason)
    })
}

/// A page of the log with slots from `from` to `to`, both included, as the legacy scheduler shows it.
pub(super) async fn schedule<D: Door>(
    app: &App<D>,
    process: Option<Id>,
    beside: &Beside<'_>,
) -> Result<Response, ApiError> {
    let process = match process {
        Some(process) => process,
        None => beside.id("target")?.ok_or_else(|| ApiError::missing("target", "name the process, as ?target=<id>"))?,
    };
    let limit = beside.number("limit")?.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT);
    let range = LogRange {
        from_slot: beside.number("from")?.unwrap_or(0),
        to_slot: beside.number("to")?.unwrap_or(u64::MAX),
        after_ms: None,
        until_ms: None,
        limit: u32::try_from(limit).unwrap_or(u32::MAX),
    };
    let (entries, more) = scheduler::entries(&app.door, process, range).await?;
    let edges = entries.iter().map(|entry| render::edge(entry, true, false)).collect::<Result<Vec<_>, _>>()?;
    Ok(Json(json!({ "process": process, "page_info": { "has_next_page": more }, "edges": edges })).into_response())
}

/// An outcome, or the part of it that `keys` lead to.
pub(super) async fn compute<D: Door>(
    app: &App<D>,
    process: Id,
    at: At,
    keys: &[String],
    beside: &Beside<'_>,
    proof: Option<Bytes>,
) -> Result<Response, ApiError> {
    let found = match at {
        At::Named(text) => named(app, process, &text, proof).await?,
        At::Newest => match beside.get("slot").map(str::to_owned) {
            Some(slot) => named(app, process, &slot, proof).await?,
            None => newest(app, process).await?,
        },
        At::Head => {
            let head = app.door.process(process).await?.next_slot.saturating_sub(1);
            at_slot(app, process, head, proof).await?
        }
    };
    shown(&document(process, &found), keys)
}

/// The body, if it is a proof of the right to a cast's outcome. Every other item changes nothing: clients of these paths
/// sign every read.
pub(super) fn proof(body: Bytes) -> Option<Bytes> {
    if body.is_empty() || body.len() > MAX_PROOF_BYTES {
        return None;
    }
    let item = DataItem::parse(body.clone(), Profile::Strict).ok()?;
    (item.tag("Type") == Some(KIND)).then_some(body)
}

/// By slot or by the id of a message or assignment.
pub(super) async fn named<D: Door>(
    app: &App<D>,
    process: Id,
    text: &str,
    proof: Option<Bytes>,
) -> Result<SlotResult, ApiError> {
    if let Ok(slot) = text.parse() {
        return at_slot(app, process, slot, proof).await;
    }
    let bad = |_| ApiError::field("slot", text, "give the number of a slot or the id of a message");
    let message: Id = text.parse().map_err(bad)?;
    outcome(app, process, message, proof).await
}

async fn at_slot<D: Door>(app: &App<D>, process: Id, slot: u64, proof: Option<Bytes>) -> Result<SlotResult, ApiError> {
    let entry = entry(app, process, slot).await?;
    let assignment = render::parse(&entry.assignment, "assignment")?.id();
    outcome(app, process, assignment, proof).await
}

async fn outcome<D: Door>(
    app: &App<D>,
    process: Id,
    message: Id,
    proof: Option<Bytes>,
) -> Result<SlotResult, ApiError> {
    Ok(match proof {
        Some(proof) => app.door.read_outcome(process, message, proof, RESULT_WAIT).await?,
        None => app.door.result(process, message, RESULT_WAIT).await?,
    })
}

/// The newest outcome that is there; if there is none yet, the first one.
async fn newest<D: Door>(app: &App<D>, process: Id) -> Result<SlotResult, ApiError> {
    let range = ResultsRange { from_slot: 0, to_slot: u64::MAX, limit: 1, descending: true };
    match app.door.results(process, range).await?.results.into_iter().next() {
        Some(found) => Ok(found),
        None => at_slot(app, process, 0, None).await,
    }
}

/// An outcome as these paths show it. `raw` is the legacy result, at the top because aoconnect looks there, and under
/// `results` because HyperBEAM has it there.
pub(super) fn document(process: Id, found: &SlotResult) -> Value {
    json!({
        "process": process,
        "slot": found.slot,
        "at-slot": found.slot,
        "id": found.message,
        "timestamp": found.timestamp,
        "block-height": found.block_height,
        "raw": found.result,
        "results": results(&found.result),
    })
}

/// What HyperBEAM has under `results`.
pub(super) fn results(raw: &Value) -> Value {
    let data = raw.pointer("/Output/data").or_else(|| raw.get("Output"));
    json!({ "raw": raw, "data": data, "outbox": raw.get("Messages") })
}
