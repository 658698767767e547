//! The compute unit's routes: results, pages of them, dry runs, states.
//!
//! Where it sits: handlers of `http.rs` over `Door::result`, `results`, `dry_run` and `state`; cursors are in `cursor`.

use std::time::Duration;

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use bytes::{Bytes, BytesMut};
use futures::stream;
use serde_json::{Map, Value, json};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::timeout,
};
use weft_protocol::{Id, cast::MAX_PROOF_BYTES};

use super::{
    body,
    cursor::{self, Cursor, Place},
    error::ApiError,
    gate::{App, RESULT_WAIT},
    params::{Params, Segments, id},
};
use crate::door::{Door, LogRange, ResultsRange, SlotResult, StateView};

/// Results of a page when the caller names no limit, as AO has it.
const DEFAULT_LIMIT: u32 = 25;
/// Results of a page at most: what the aos shell asks for.
const MAX_LIMIT: u32 = 1_000;
/// Ticks of a page when the caller names no limit, as AO has it.
const DEFAULT_CRON_LIMIT: u32 = 500;
/// How long a page of results waits for what is sealed and not yet evaluated.
const SETTLE_WAIT: Duration = Duration::from_secs(10);
/// Bytes of outcomes in one page at most; one outcome always fits.
const MAX_PAGE: usize = 16 << 20;
/// How long a client may take to read a memory.
const COPY_TIME: Duration = Duration::from_secs(300);
/// Bytes of a memory that are sent as one piece, about, and pieces that wait to be sent.
const PIECE: (usize, usize) = (64 << 10, 4);
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

/// `GET /results/{pid}`: slots without the failed ones, as AO has it (`/v1/processes/{pid}/results` has all). What is
/// sealed and not yet evaluated is waited for, but for no longer than [`SETTLE_WAIT`].
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
    let backwards = from.filter(|from| from.descending == Some(true) && asked == Some(true));
    let bounds = match backwards {
        Some(from) => older(&app.door, process, from, to).await?,
        None => bounds(&app.door, process, from, to).await?,
    };
    let (found, more) = match bounds {
        Some((from_slot, to_slot)) => {
            // Whoever cannot be waited for is no reason to hide what there is.
            let _ = app.door.settled(process, to_slot, SETTLE_WAIT).await;
            let range = ResultsRange { from_slot, to_slot, limit, descending };
            succeeded(&app.door, process, List::All, range).await?
        }
        None => (Vec::new(), false),
    };
    Ok(Json(connection(found.iter().map(|slot| edge(slot, descending)).collect(), more)))
}

/// `GET /cron/{pid}`: of the same results, oldest first, those of ticks of the process's crons. They are slots of the log like
/// any other, so they do not depend on who asks or when.
pub(super) async fn cron<D: Door>(
    State(app): State<App<D>>,
    Segments(pid): Segments<String>,
    params: Params,
) -> Result<Json<Value>, ApiError> {
    let process = id("process id in the path", &pid)?;
    let from = params.get("from").map(|text| cursor::read("from", text)).transpose()?;
    let to = params.get("to").map(|text| cursor::read("to", text)).transpose()?;
    let limit = params.limit(DEFAULT_CRON_LIMIT, MAX_LIMIT)?;
    let Some((from_slot, to_slot)) = bounds(&app.door, process, from, to).await? else {
        return Ok(Json(connection(Vec::new(), false)));
    };
    // Whoever cannot be waited for is no reason to hide what there is.
    let _ = app.door.settled(process, to_slot, SETTLE_WAIT).await;
    let range = ResultsRange { from_slot, to_slot, limit, descending: false };
    let (found, more) = succeeded(&app.door, process, List::Ticks, range).await?;
    Ok(Json(connection(found.iter().map(|slot| edge(slot, false)).collect(), more)))
}

/// `POST /dry-run?process-id=[&to=]`: on the newest state, or on that after message `to`.
pub(super) async fn dry_run<D: Door>(
    State(app): State<App<D>>,
    params: Params,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, ApiError> {
    let process = params.need_id("process-id", "give the process to try the message on, as ?process-id=<id>")?;
    let to = params.id("to")?;
    let message = body::read_json(&app, &headers, body).await?;
    check_message(&message)?;
    let result = match to {
        None => app.door.dry_run(process, message).await?,
        Some(to) => {
            let slot = app.door.entry(process, to).await?.slot;
            app.door.dry_run_after(process, slot, message).await?
        }
    };
    Ok(Json(result))
}

/// `GET /state/{pid}?to=`: the whole memory, as it is or as it was at a time in milliseconds.
pub(super) async fn state<D: Door>(
    State(app): State<App<D>>,
    Segments(pid): Segments<String>,
    params: Params,
) -> Result<Response, ApiError> {
    let process = id("process id in the path", &pid)?;
    let to: Option<u64> = params.number("to")?;
    let place = app.copies.clone().try_acquire_owned();
    let place = place.map_err(|_| ApiError::busy("this node already gives out as many memories as it can hold"))?;
    let slot = match to {
        None => None,
        Some(time) => match first_after(&app.door, process, time).await? {
            Some(0) => {
                let reason = format!("process {process} did not exist yet at {time}: ask for a later time");
                return Err(ApiError::new(StatusCode::NOT_FOUND, reason));
            }
            after => after.and_then(|slot| slot.checked_sub(1)),
        },
    };
    let state = app.door.state(process, slot).await?;
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, state.memory_bytes.to_string()),
        (HeaderName::from_static("last-timestamp"), state.timestamp.to_string()),
        (HeaderName::from_static("last-ordinate"), state.slot.to_string()),
        (HeaderName::from_static("last-block-height"), state.block_height.to_string()),
    ];
    Ok((headers, sent_within(COPY_TIME, state, place)).into_response())
}

/// A memory as a body. `place` and all that the memory takes are given back when it is sent, when the client has gone, and
/// after `time` however slowly it reads: the body then ends short of its length, which is an error to the client.
fn sent_within(time: Duration, state: StateView, place: OwnedSemaphorePermit) -> Body {
    let (out, pieces) = mpsc::channel::<Bytes>(PIECE.1);
    tokio::spawn(async move {
        let _place = place;
        // However it ends, there is nobody left to tell.
        let _ended = timeout(time, send(state, out)).await;
    });
    let next = |mut pieces: mpsc::Receiver<Bytes>| async {
        pieces.recv().await.map(|piece| (Ok::<_, std::convert::Infallible>(piece), pieces))
    };
    Body::from_stream(stream::unfold(pieces, next))
}

/// Pieces are copies: one that waits in a connection must not keep the whole memory.
async fn send(state: StateView, out: mpsc::Sender<Bytes>) {
    let _share = state.share.clone();
    let mut piece = BytesMut::with_capacity(PIECE.0);
    for part in memory(state) {
        piece.extend_from_slice(&part);
        if piece.len() >= PIECE.0 && out.send(piece.split().freeze()).await.is_err() {
            return;
        }
    }
    if !piece.is_empty() {
        let _ = out.send(piece.freeze()).await;
    }
}

/// A memory as pieces that follow each other; what is zero is made on the way.
fn memory(state: StateView) -> impl Iterator<Item = Bytes> {
    static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
    let zeros = |from: u64, to: u64| {
        let mut left = to.saturating_sub(from);
        std::iter::from_fn(move || {
            let length = usize::try_from(left).unwrap_or(usize::MAX).min(ZEROS.len());
            left = left.saturating_sub(u64::try_from(length).unwrap_or(left));
            (length > 0).then(|| Bytes::from_static(ZEROS.get(..length).unwrap_or_default()))
        })
    };
    let mut at = 0_u64;
    let end = [(state.memory_bytes, Bytes::new())];
    state.parts.into_iter().chain(end).flat_map(move |(offset, part)| {
        let gap = zeros(at, offset);
        at = offset.saturating_add(u64::try_from(part.len()).unwrap_or(u64::MAX));
        gap.chain((!part.is_empty()).then_some(part))
    })
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
    json!({ "node": node, "cursor": cursor::write(slot.slot, slot.timestamp, slot.cron.as_deref(), descending) })
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

/// The next page of a newest-first list: `from` is the last cursor of the page before, and somebody who asks for `sort=DESC`
/// again wants what is older. (In AO `from` is a lower bound even then, and the first page comes again.) A `to` that is
/// older than `from` is where to stop; one that is newer makes the two the bounds that AO takes them for.
async fn older<D: Door>(
    door: &D,
    process: Id,
    from: Cursor,
    to: Option<Cursor>,
) -> Result<Option<(u64, u64)>, ApiError> {
    let newest = match from.place {
        Place::Slot(slot) => slot.checked_sub(1),
        Place::Time(_) | Place::Bare(_) => return bounds(door, process, Some(from), to).await,
    };
    let oldest = match to.map(|cursor| cursor.place) {
        None => 0,
        Some(Place::Slot(slot)) => slot,
        Some(Place::Bare(time) | Place::Time(time)) => {
            let Some(before) = time.checked_sub(1) else { return Ok(newest.map(|newest| (0, newest))) };
            first_after(door, process, before).await?.unwrap_or(u64::MAX)
        }
    };
    match newest {
        Some(newest) if oldest <= newest => Ok(Some((oldest, newest))),
        _ if to.is_some() => bounds(door, process, Some(from), to).await,
        _ => Ok(None),
    }
}

/// The first slot whose assignment is later than `time`.
async fn first_after<D: Door>(door: &D, process: Id, time: u64) -> Result<Option<u64>, ApiError> {
    let range = LogRange { from_slot: 0, to_slot: u64::MAX, after_ms: Some(time), until_ms: None, limit: 1 };
    Ok(door.log(process, range).await?.entries.first().map(|entry| entry.slot))
}

/// Which results.
#[derive(Clone, Copy)]
enum List {
    All,
    Ticks,
}

/// Bytes of a value as JSON.
fn size(value: &Value) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 = self.0.saturating_add(bytes.len());
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // Counting cannot fail.
    let _ = serde_json::to_writer(&mut count, value);
    count.0
}

/// Up to `limit` results (and [`MAX_PAGE`] bytes of them) that did not fail, and whether another follows.
async fn succeeded<D: Door>(
    door: &D,
    process: Id,
    list: List,
    range: ResultsRange,
) -> Result<(Vec<SlotResult>, bool), ApiError> {
    let limit = usize::try_from(range.limit).unwrap_or(usize::MAX);
    let mut found: Vec<SlotResult> = Vec::new();
    let (mut failed, mut bytes) = (0_usize, 0_usize);
    let mut rest = range;
    loop {
        // One more than is left tells whether anything follows.
        let left = limit.saturating_sub(found.len()).saturating_add(1);
        rest.limit = u32::try_from(left).unwrap_or(u32::MAX);
        let page = match list {
            List::All => door.results(process, rest).await?,
            List::Ticks => door.ticks(process, rest).await?,
        };
        let Some(last) = page.results.last().map(|slot| slot.slot) else {
            return Ok((found, false));
        };
        for slot in page.results {
            if slot.result.get("Error").is_some() {
                failed = failed.saturating_add(1);
                continue;
            }
            bytes = bytes.saturating_add(size(&slot.result));
            if bytes > MAX_PAGE && !found.is_empty() {
                return Ok((found, true));
            }
            found.push(slot);
        }
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

#[cfg(test)]
mod tests;
