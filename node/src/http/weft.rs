//! Weft's own routes under `/v1`, and those of the operator's tools.
//!
//! Where it sits: handlers of `http.rs`, each one call to the door. `openapi.json` describes them.

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use prost::Message as _;
use serde_json::{Value, json};
use weft_protocol::{b64, wire};

use super::{
    OPENAPI, body,
    error::ApiError,
    gate::App,
    params::{Params, Segments, id},
    render, scheduler,
};
use crate::door::{Beside, Door, Entry, LogRange, ProcessView, Receipt, ResultsRange, SlotResult, StatusView};

/// Entries, results or processes of a page at most.
const MAX_LIMIT: u32 = 1_000;
/// … and when the caller names no limit.
const DEFAULT_LIMIT: u32 = 100;
/// Lines of activity at most.
const MAX_ACTIVITY: u32 = 500;

/// `GET /livez`: the process answers.
pub(super) async fn livez() -> &'static str {
    "ok\n"
}

/// `GET /readyz[?verbose]`: 200, or 503 with why not.
pub(super) async fn readyz<D: Door>(State(app): State<App<D>>, params: Params) -> Response {
    let status = app.door.status().await;
    let ready = status.not_ready.is_empty();
    let mut out = json!({ "ready": ready });
    if let Some(members) = out.as_object_mut() {
        if !ready {
            members.insert("error".into(), json!(format!("not ready: {}", status.not_ready.join("; "))));
            members.insert("not_ready".into(), json!(status.not_ready));
        }
        if params.has("verbose") {
            members.insert("status".into(), json!(status));
        }
    }
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut response = (code, [(header::CACHE_CONTROL, "no-store")], Json(out)).into_response();
    if !ready {
        response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
    }
    response
}

/// `GET /metrics`: the node's and the doors' in one document.
pub(super) async fn metrics<D: Door>(State(app): State<App<D>>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], app.metrics.append_to(app.door.metrics())).into_response()
}

/// `GET /v1/openapi.json`.
pub(super) async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

/// `GET /v1/status`.
pub(super) async fn status<D: Door>(State(app): State<App<D>>) -> Json<StatusView> {
    Json(app.door.status().await)
}

/// `GET /v1/network`.
pub(super) async fn network<D: Door>(State(app): State<App<D>>) -> Json<Value> {
    Json(app.door.status().await.network)
}

/// `GET /v1/market`.
pub(super) async fn market<D: Door>(State(app): State<App<D>>) -> Json<Value> {
    Json(app.door.market().await)
}

/// `GET /v1/activity?limit`.
pub(super) async fn activity<D: Door>(State(app): State<App<D>>, params: Params) -> Result<Json<Value>, ApiError> {
    let limit = params.limit(DEFAULT_LIMIT, MAX_ACTIVITY)?;
    Ok(Json(json!({ "activity": app.door.activity(usize::try_from(limit).unwrap_or(usize::MAX)) })))
}

/// `POST /v1/items?wait`: seals an item and says where it is; with `wait=accepted` only takes it (202).
pub(super) async fn items<D: Door>(
    State(app): State<App<D>>,
    params: Params,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let wait = params.get("wait").unwrap_or("sealed").to_owned();
    if !["accepted", "sealed"].contains(&wait.as_str()) {
        return Err(ApiError::field("wait", &wait, "it must be accepted or sealed"));
    }
    let held = body::read_item(&app, &headers, body).await?;
    if wait == "accepted" {
        let accepted = app.door.accept(held.bytes.clone()).await?;
        return Ok((StatusCode::ACCEPTED, Json(accepted)).into_response());
    }
    Ok(Json(app.door.submit(held.bytes.clone()).await?).into_response())
}

/// `GET /v1/processes?after&limit`.
pub(super) async fn processes<D: Door>(State(app): State<App<D>>, params: Params) -> Result<Json<Value>, ApiError> {
    let limit = params.limit(DEFAULT_LIMIT, MAX_LIMIT)?;
    let found = app.door.processes(params.id("after")?, limit).await?;
    Ok(Json(json!({ "processes": found })))
}

/// `GET /v1/processes/{pid}`.
pub(super) async fn process<D: Door>(
    State(app): State<App<D>>,
    Segments(pid): Segments<String>,
) -> Result<Json<ProcessView>, ApiError> {
    Ok(Json(app.door.process(id("process id in the path", &pid)?).await?))
}

/// `GET /v1/processes/{pid}/log?from&to&limit&signed`: by slot, both bounds inclusive; with `signed` all that an evaluator is
/// shown as well, to be checked.
pub(super) async fn log<D: Door>(
    State(app): State<App<D>>,
    Segments(pid): Segments<String>,
    params: Params,
) -> Result<Json<Value>, ApiError> {
    let process = id("process id in the path", &pid)?;
    let (from_slot, to_slot) = slots(&params)?;
    let limit = params.limit(DEFAULT_LIMIT, MAX_LIMIT)?;
    let range = LogRange { from_slot, to_slot, after_ms: None, until_ms: None, limit };
    let (entries, more) = scheduler::entries(&app.door, process, range).await?;
    let mut shown = Vec::with_capacity(entries.len());
    for entry in &entries {
        let mut node = render::node(entry, true)?;
        if let Some(members) = node.as_object_mut() {
            members.insert("slot".into(), json!(entry.slot));
            members.insert("pure_assignment".into(), json!(entry.pure_assignment));
            if params.has("signed") {
                members.insert("signed".into(), json!(b64::encode(evaluators_entry(entry))));
            }
        }
        shown.push(node);
    }
    Ok(Json(json!({ "process": process, "entries": shown, "more": more })))
}

/// An entry in the form in which nodes pass it to each other.
fn evaluators_entry(entry: &Entry) -> Vec<u8> {
    let (assignment, item) = (entry.assignment.clone(), entry.item.clone());
    let Beside { assigned, reads } = entry.beside.clone();
    wire::LogEntry { assignment, item, assigned, reads, proof: None }.encode_to_vec()
}

/// `GET /v1/processes/{pid}/results?from&to&limit&sort&signed`: by slot, both bounds inclusive, failed ones too; with `signed`
/// the attestations as well, to be checked.
pub(super) async fn results<D: Door>(
    State(app): State<App<D>>,
    Segments(pid): Segments<String>,
    params: Params,
) -> Result<Json<Value>, ApiError> {
    let process = id("process id in the path", &pid)?;
    let (from_slot, to_slot) = slots(&params)?;
    let limit = params.limit(DEFAULT_LIMIT, MAX_LIMIT)?;
    let descending = params.descending()?.unwrap_or(false);
    let page = app.door.results(process, ResultsRange { from_slot, to_slot, limit, descending }).await?;
    let signed = params.has("signed");
    let results = page.results.iter().map(|slot| with_attestation(slot, signed)).collect::<Result<Vec<_>, _>>()?;
    Ok(Json(json!({ "process": process, "results": results, "more": page.more })))
}

/// A result with the id of what proves it, or with all of that.
fn with_attestation(slot: &SlotResult, signed: bool) -> Result<Value, ApiError> {
    let mut out = json!(slot);
    if let Some(members) = out.as_object_mut().filter(|_| !slot.attestation.is_empty()) {
        members.insert("attestation".into(), json!(render::parse(&slot.attestation, "attestation")?.id()));
        if signed {
            members.insert("signed".into(), json!(b64::encode(&slot.attestation)));
        }
    }
    Ok(out)
}

/// `from` and `to` as inclusive slots.
fn slots(params: &Params) -> Result<(u64, u64), ApiError> {
    let from = params.number("from")?.unwrap_or(0);
    let to = params.number("to")?.unwrap_or(u64::MAX);
    if from > to {
        return Err(ApiError::field("to", &to.to_string(), &format!("it must not be below from ({from})")));
    }
    Ok((from, to))
}

/// `GET /v1/processes/{pid}/messages/{id}`: how far a message has come.
pub(super) async fn receipt<D: Door>(
    State(app): State<App<D>>,
    Segments((pid, message)): Segments<(String, String)>,
) -> Result<Json<Receipt>, ApiError> {
    let process = id("process id in the path", &pid)?;
    Ok(Json(app.door.receipt(process, id("message id in the path", &message)?).await?))
}
