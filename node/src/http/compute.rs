//! The compute unit's routes: results, pages of them, dry runs.
//!
//! Where it sits: handlers of `http.rs` over `Door::result`, `results` and `dry_run`; cursors are in `cursor`.

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use serde_json::{Map, Value, json};
use weft_protocol::{Id, cast::MAX_PROOF_BYTES};

use super::{
    body,
    cursor::{self, Cursor, Place},
    error::ApiError,
    gate::{App, RESULT_WAIT},
    params::{Params, Segments, id},
};
use crate::door::{Door, LogRange, ResultsRange, SlotResult};

/// Results of a page when the caller names no limit, as AO has it.
const DEFAULT_LIMIT: u32 = 25;
/// Results of a page at most: what the aos shell asks for.
const MAX_LIMIT: u32 = 1_000;
/// Failed slots passed over in a row before a page ends early.
const MAX_FAILED: usize = 5_000;

/// `GET /result/{id}?process-id=`.
pub(super) async fn result<D: Door>(
    State(app): State<App<D>>,
    Segments(message): Segments<String>,
    params: Params,
) -> Result<Json<Value>, ApiError> {
    let message = id("message id in the path", &message)?;
    let process = params.need_id("process-id", "give the process that the message was sent to, as ?process-id=<id>")?;
    let found = app.door.result(process, message, RESULT_WAIT).await?;
    Ok(Json(found.result))
}

/// `POST /result/{id}?process-id=`: the outcome of a cast, for whoever proves with a signed item that it is theirs to read.
pub(super) async fn read_outcome<D: Door>(
    State(app): State<App<D>>,
    Segments(message): Segments<String>,
    params: Params,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, ApiError> {
    let message = id("message id in the path", &message)?;
    let process = params.need_id("process-id", "give the process that the message was sent to, as ?process-id=<id>")?;
    let held = body::read_item(&app, &headers, body).await?;
    if held.bytes.len() > MAX_PROOF_BYTES {
        let reason =
            format!("body: {} bytes; a signed Read-Outcome item has at most {MAX_PROOF_BYTES}", held.bytes.len());
        return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, reason));
    }
    let found = app.door.read_outcome(process, message, held.bytes.clone(), RESULT_WAIT).await?;
    Ok(Json(found.result))
}

/// `GET /results/{pid}`: evaluated slots without the failed ones, as AO has it (`/v1/processes/{pid}/results` has all).
pub(super) async fn results<D: Door>(
    State(app): State<App<D>>,
    Segments(pid): Segments<String>,
    params: Params,
) -> Result<Json<Value>, ApiError> {
    let process = id("process id in the path", &pid)?;
    let from = params.get("from").map(|text| cursor::read("from", text)).transpose()?;
    let to = params.get("to").map(|text| cursor::read("to", text)).transpose()?;
    // The order kept in a cursor wins over the parameter: client libraries send `sort=ASC` with every call.
    let kept = [from, to].into_iter().flatten().find_map(|cursor| cursor.descending);
    let asked = params.descending()?;
    let descending = kept.or(asked).unwrap_or(false);
    let limit = params.limit(DEFAULT_LIMIT, MAX_LIMIT)?;
    let bounds = bounds(&app.door, process, from, to).await?;
    let (found, more) = match bounds {
        Some((from_slot, to_slot)) => {
            succeeded(&app.door, process, ResultsRange { from_slot, to_slot, limit, descending }).await?
        }
        None => (Vec::new(), false),
    };
    Ok(Json(connection(found.iter().map(|slot| edge(slot, descending)).collect(), more)))
}

/// `GET /cron/{pid}`: Weft has no messages that only some readers see, so there are none to list.
pub(super) async fn cron(Segments(pid): Segments<String>) -> Result<Json<Value>, ApiError> {
    id("process id in the path", &pid)?;
    Ok(Json(connection(Vec::new(), false)))
}

/// `POST /dry-run?process-id=`.
pub(super) async fn dry_run<D: Door>(
    State(app): State<App<D>>,
    params: Params,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, ApiError> {
    let process = params.need_id("process-id", "give the process to try the message on, as ?process-id=<id>")?;
    if let Some(to) = params.get("to") {
        return Err(ApiError::field("to", to, "dry runs see the newest state only; leave it out"));
    }
    let message = body::read_json(&app, &headers, body).await?;
    check_message(&message)?;
    Ok(Json(app.door.dry_run(process, message).await?))
}

/// The caller's message has the form that processes rely on.
fn check_message(message: &Value) -> Result<(), ApiError> {
    let Some(members) = message.as_object() else {
        return Err(ApiError::missing("body", "send one JSON object with Id, Target, Owner, Data and Tags"));
    };
    for (name, value) in members.iter().filter(|(name, _)| ["Id", "Target", "Owner", "From"].contains(&name.as_str())) {
        if !value.is_string() {
            return Err(ApiError::field(name, &value.to_string(), "give a string"));
        }
    }
    let text = |tag: &Value, name: &str| tag.get(name).is_some_and(Value::is_string);
    match members.get("Tags") {
        None => Ok(()),
        Some(Value::Array(tags)) => match tags.iter().find(|tag| !text(tag, "name") || !text(tag, "value")) {
            Some(bad) => {
                Err(ApiError::field("Tags", &bad.to_string(), "every tag is {\"name\": string, \"value\": string}"))
            }
            None => Ok(()),
        },
        Some(other) => Err(ApiError::field("Tags", &other.to_string(), "give a list of {\"name\", \"value\"}")),
    }
}

/// AO's connection; `page_info` beside `pageInfo` because another client reads that.
fn connection(edges: Vec<Value>, more: bool) -> Value {
    json!({ "pageInfo": { "hasNextPage": more }, "edges": edges, "page_info": { "has_next_page": more } })
}

fn edge(slot: &SlotResult, descending: bool) -> Value {
    let mut node = Map::new();
    for name in ["Messages", "Assignments", "Spawns", "Output", "Cast"] {
        if let Some(value) = slot.result.get(name) {
            node.insert(name.to_owned(), value.clone());
        }
    }
    json!({ "node": node, "cursor": cursor::write(slot.slot, slot.timestamp, descending) })
}

/// First and last slot between two cursors, or nothing where no slot can lie. `from` means newer than, `to` up to and
/// with, whatever the order.
async fn bounds<D: Door>(
    door: &D,
    process: Id,
    from: Option<Cursor>,
    to: Option<Cursor>,
) -> Result<Option<(u64, u64)>, ApiError> {
    let first = match from.map(|cursor| cursor.place) {
        None => Some(0),
        Some(Place::Slot(slot)) => slot.checked_add(1),
        Some(Place::Bare(0)) => Some(0),
        Some(Place::Bare(time)) => first_after(door, process, time.saturating_sub(1)).await?,
        Some(Place::Time(time)) => first_after(door, process, time).await?,
    };
    let last = match to.map(|cursor| cursor.place) {
        None => Some(u64::MAX),
        Some(Place::Slot(slot)) => Some(slot),
        Some(Place::Bare(time) | Place::Time(time)) => match first_after(door, process, time).await? {
            Some(slot) => slot.checked_sub(1),
            None => Some(u64::MAX),
        },
    };
    Ok(first.zip(last).filter(|(first, last)| first <= last))
}

/// The first slot whose assignment is later than `time`.
async fn first_after<D: Door>(door: &D, process: Id, time: u64) -> Result<Option<u64>, ApiError> {
    let range = LogRange { from_slot: 0, to_slot: u64::MAX, after_ms: Some(time), until_ms: None, limit: 1 };
    Ok(door.log(process, range).await?.entries.first().map(|entry| entry.slot))
}

/// Up to `limit` results that did not fail, and whether another follows.
async fn succeeded<D: Door>(door: &D, process: Id, range: ResultsRange) -> Result<(Vec<SlotResult>, bool), ApiError> {
    let limit = usize::try_from(range.limit).unwrap_or(usize::MAX);
    let mut found: Vec<SlotResult> = Vec::new();
    let mut failed = 0_usize;
    let mut rest = range;
    loop {
        // One more than is left tells whether anything follows.
        let left = limit.saturating_sub(found.len()).saturating_add(1);
        rest.limit = u32::try_from(left).unwrap_or(u32::MAX);
        let page = door.results(process, rest).await?;
        let Some(last) = page.results.last().map(|slot| slot.slot) else {
            return Ok((found, false));
        };
        let before = found.len().saturating_add(failed);
        let seen = page.results.len();
        found.extend(page.results.into_iter().filter(|slot| slot.result.get("Error").is_none()));
        failed = before.saturating_add(seen).saturating_sub(found.len());
        if found.len() > limit {
            found.truncate(limit);
            return Ok((found, true));
        }
        let next = if range.descending { last.checked_sub(1) } else { last.checked_add(1) };
        match (page.more, next) {
            (true, Some(next)) if failed <= MAX_FAILED => {
                if range.descending {
                    rest.to_slot = next;
                } else {
                    rest.from_slot = next;
                }
                if rest.from_slot > rest.to_slot {
                    return Ok((found, false));
                }
            }
            (true, Some(_)) => return Ok((found, true)),
            _ => return Ok((found, false)),
        }
    }
}
