//! The scheduler unit's routes: who and when, log pages, nodes, process records; and the front page.
//!
//! Where it sits: handlers of `http.rs` over `Door::log`, `entry` and `process`; shapes are made in `render`.

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{Html, IntoResponse as _, Response},
};
use serde_json::{Value, json};
use weft_protocol::Id;

use super::{
    error::ApiError,
    gate::App,
    gateway, hyperbeam,
    params::{Params, Segments, id},
    render, traces,
};
use crate::door::{Door, DoorError, Entry, ErrorKind, LogPage, LogRange};

/// The status page; everything it shows it asks of `/v1`.
const STATUS_PAGE: &str = include_str!("status.html");
/// Edges of a page when the caller names no limit, as AO has it.
const DEFAULT_LIMIT: u32 = 100;
/// Edges of a page at most: what AO's compute unit asks for.
const MAX_LIMIT: u32 = 1_000;
/// Entries asked of the door at once.
const BATCH: u32 = 100;
/// Item bytes after which a page ends early, whatever the limit; the next page goes on.
const PAGE_BYTES: usize = 32 << 20;

/// `GET /`: for browsers the status page, for everything else who this scheduler is (also the redirect probe).
pub(super) async fn root<D: Door>(
    State(app): State<App<D>>,
    params: Params,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    if params.has("debug") {
        return traces::traces(&app, &params).await;
    }
    if !params.has("process-id") && prefers_html(&headers) {
        let policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; form-action 'none'";
        let headers = [(header::CONTENT_SECURITY_POLICY, policy), (header::CACHE_CONTROL, "no-cache")];
        return Ok((headers, Html(STATUS_PAGE)).into_response());
    }
    let (address, now) = app.door.identity();
    Ok(([(header::VARY, "Accept")], Json(json!({ "timestamp": now.to_string(), "address": address }))).into_response())
}

/// Does `Accept` name HTML, and no less wanted than JSON? `*/*` is a program.
fn prefers_html(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let weight = |kind: &str| {
        let parts = accept.split(',').map(|part| part.split(';').map(str::trim));
        parts
            .filter_map(|mut part| {
                let named = part.next().is_some_and(|name| name.eq_ignore_ascii_case(kind));
                named.then(|| part.find_map(|param| param.strip_prefix("q=")?.parse::<f32>().ok()).unwrap_or(1.0))
            })
            .fold(0.0_f32, f32::max)
    };
    let html = weight("text/html");
    html > 0.0 && html >= weight("application/json")
}

/// `GET /timestamp`.
pub(super) async fn timestamp<D: Door>(State(app): State<App<D>>) -> Json<Value> {
    let (_, now) = app.door.identity();
    Json(json!({ "timestamp": now.to_string(), "block_height": format!("{:012}", app.door.block_height()) }))
}

/// `GET /health`: 200 and nothing.
pub(super) async fn health() -> StatusCode {
    StatusCode::OK
}

/// `GET /{id}`: a node, a page of a process's log, or (without `process-id`, of what is no process) the item's data.
pub(super) async fn by_id<D: Door>(
    State(app): State<App<D>>,
    Segments(segment): Segments<String>,
    params: Params,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let Ok(asked) = segment.parse::<Id>() else {
        return hyperbeam::any(State(app), Method::GET, uri, params, headers, Body::empty()).await;
    };
    let show_anchor = params.has("show-anchor");
    match params.id("process-id")? {
        Some(process) if process != asked => match app.door.entry(process, asked).await {
            Ok(entry) => Ok(Json(render::node(&entry, show_anchor)?).into_response()),
            Err(fault) => Err(fault.into()),
        },
        Some(process) => Ok(Json(page(&app.door, process, &params).await?).into_response()),
        None => without_process(&app, asked, &params).await,
    }
}

/// A path that is itself a process is its page (a client library forgets the parameter); anything else is data.
async fn without_process<D: Door>(app: &App<D>, asked: Id, params: &Params) -> Result<Response, ApiError> {
    // The page's own parameters are read first: a bad one is the caller's mistake whatever the id is.
    Asked::read(params)?;
    match app.door.process(asked).await {
        Ok(view) => {
            let page = page(&app.door, asked, params).await?;
            let item = render::parse(&view.item, "process")?;
            let tags = item.tags().iter().map(|tag| (tag.name.as_str(), tag.value.as_str()));
            // A messenger that takes this node for its gateway reads the process's tags from the headers.
            Ok((gateway::tag_headers(tags), Json(page)).into_response())
        }
        Err(DoorError { kind: ErrorKind::NotFound, .. }) => gateway::data(app, asked).await,
        Err(fault) => Err(fault.into()),
    }
}

/// What a page's query asks for.
#[derive(Clone, Copy, Debug)]
struct Asked {
    range: LogRange,
    by_nonce: bool,
    show_anchor: bool,
}

impl Asked {
    fn read(params: &Params) -> Result<Self, ApiError> {
        // Lower bounds are exclusive, upper ones inclusive; -1 (and anything below) is "from the very first".
        let from_nonce: Option<i64> = params.number("from-nonce")?;
        let to_nonce: Option<i64> = params.number("to-nonce")?;
        let from: Option<i64> = params.number("from")?;
        let to: Option<i64> = params.number("to")?;
        let mut range = LogRange {
            from_slot: from_nonce.map_or(0, |nonce| u64::try_from(nonce.saturating_add(1)).unwrap_or(0)),
            to_slot: to_nonce.map_or(u64::MAX, |nonce| u64::try_from(nonce).unwrap_or(0)),
            after_ms: from.and_then(|time| u64::try_from(time).ok()),
            until_ms: to.map(|time| u64::try_from(time).unwrap_or(0)),
            limit: params.limit(DEFAULT_LIMIT, MAX_LIMIT)?,
        };
        if to_nonce.is_some_and(|nonce| nonce < 0) {
            // Nothing lies at or below it.
            range.from_slot = 1;
        }
        Ok(Self { range, by_nonce: from_nonce.is_some() || to_nonce.is_some(), show_anchor: params.has("show-anchor") })
    }
}

/// A page as AO's scheduler has it.
async fn page<D: Door>(door: &D, process: Id, params: &Params) -> Result<Value, ApiError> {
    let asked = Asked::read(params)?;
    let (entries, more) = entries(door, process, asked.range).await?;
    let edges = entries
        .iter()
        .map(|entry| render::edge(entry, asked.by_nonce, asked.show_anchor))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(json!({ "page_info": { "has_next_page": more }, "edges": edges }))
}

/// The entries of `range` and whether more follow, fetched in pieces so that one page cannot fill the memory.
pub(super) async fn entries<D: Door>(door: &D, process: Id, range: LogRange) -> Result<(Vec<Entry>, bool), ApiError> {
    let mut found: Vec<Entry> = Vec::new();
    let mut bytes = 0_usize;
    let mut rest = range;
    loop {
        let left = range.limit.saturating_sub(u32::try_from(found.len()).unwrap_or(u32::MAX));
        let full = left == 0 || bytes >= PAGE_BYTES;
        rest.limit = if full { 1 } else { left.min(BATCH) };
        if rest.from_slot > rest.to_slot {
            return Ok((found, false));
        }
        let LogPage { entries, next_slot } = door.log(process, rest).await?;
        let Some(last) = entries.last().map(|entry| entry.slot) else {
            return Ok((found, false));
        };
        if full {
            return Ok((found, true));
        }
        bytes = entries
            .iter()
            .fold(bytes, |sum, entry| sum.saturating_add(entry.item.len()).saturating_add(entry.assignment.len()));
        found.extend(entries);
        rest.from_slot = last.saturating_add(1);
        if rest.from_slot >= next_slot || last == u64::MAX {
            return Ok((found, false));
        }
    }
}

/// `GET /{pid}/latest`: the newest node.
pub(super) async fn latest<D: Door>(
    State(app): State<App<D>>,
    Segments(pid): Segments<String>,
    params: Params,
) -> Result<Json<Value>, ApiError> {
    let process = id("process id in the path", &pid)?;
    let view = app.door.process(process).await?;
    let newest = view.next_slot.saturating_sub(1);
    let range = LogRange { from_slot: newest, to_slot: u64::MAX, after_ms: None, until_ms: None, limit: BATCH };
    let page = app.door.log(process, range).await?;
    let none =
        || ApiError::new(StatusCode::NOT_FOUND, format!("process {process} has no entry yet; send it a message"));
    let entry = page.entries.last().ok_or_else(none)?;
    Ok(Json(render::node(entry, params.has("show-anchor"))?))
}

/// `GET /processes/{pid}`: the process record.
pub(super) async fn record<D: Door>(
    State(app): State<App<D>>,
    Segments(pid): Segments<String>,
) -> Result<Json<Value>, ApiError> {
    let view = app.door.process(id("process id in the path", &pid)?).await?;
    Ok(Json(render::record(&view)?))
}
