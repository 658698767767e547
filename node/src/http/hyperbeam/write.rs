//! Sealing and trying messages over HyperBEAM-style paths.
//!
//! Where it sits: handlers of `hyperbeam` over `Door::submit`, `result` and `dry_run`.

use std::time::Duration;

use axum::{
    Json,
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use serde_json::{Value, json};
use weft_protocol::{
    Id,
    ans104::{DataItem, Profile},
};

use super::read::{document, named, results};
use crate::{
    door::{Door, PUSHED_AT_ONCE, Submitted},
    http::{body, error::ApiError, gate::App, render},
};

/// How long the answer to a push waits for the outcome; what was sealed is evaluated however long it takes.
const PUSH_WAIT: Duration = Duration::from_secs(30);

/// Seals the body's item. A process is named by its item; a message by the path must be for the process that is.
pub(super) async fn submit<D: Door>(
    app: &App<D>,
    process: Option<Id>,
    wait: bool,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let held = item(app, headers, body).await?;
    if held.is_empty() {
        return Err(ApiError::missing("body", "post the bytes of one signed ANS-104 data item"));
    }
    if let Some(process) = process {
        for_process(&held, process)?;
    }
    let sealed = app.door.submit(held).await?;
    let spawned = sealed.process == sealed.id;
    let mut document = json!({
        "id": sealed.id,
        "process": sealed.process,
        "slot": sealed.slot,
        "assignment": sealed.assignment,
        "timestamp": sealed.timestamp,
        "duplicate": sealed.duplicate,
    });
    if let Some(members) = document.as_object_mut().filter(|_| wait && !spawned) {
        let raw = outcome(app, &sealed).await;
        members.insert("results".into(), results(&raw));
        members.insert("raw".into(), raw);
    }
    Ok((names(&sealed), Json(document)).into_response())
}

/// What clients read from headers instead of the body.
fn names(sealed: &Submitted) -> HeaderMap {
    let named = [
        ("process", sealed.process.to_string()),
        ("slot", sealed.slot.to_string()),
        ("id", sealed.id.to_string()),
        ("assignment", sealed.assignment.to_string()),
    ];
    let header =
        |(name, text): (&'static str, String)| Some((HeaderName::from_static(name), HeaderValue::try_from(text).ok()?));
    named.into_iter().filter_map(header).collect()
}

/// The outcome of what was just sealed. It is sealed whatever happens here, so a failure is told inside the answer:
/// an error status would have the client send the message a second time.
async fn outcome<D: Door>(app: &App<D>, sealed: &Submitted) -> Value {
    match app.door.result(sealed.process, sealed.id, PUSH_WAIT).await {
        Ok(found) => found.result,
        Err(fault) => json!({
            "Messages": [],
            "Assignments": [],
            "Spawns": [],
            "Output": {},
            "Error": format!("sealed in slot {}, but the outcome cannot be shown: {fault}", sealed.slot),
        }),
    }
}

/// Delivers once more all that a slot sends; what has been delivered before is found to be there.
pub(super) async fn push_again<D: Door>(
    app: &App<D>,
    process: Id,
    slot: &str,
    first: Option<&str>,
) -> Result<Response, ApiError> {
    let first = match first.map(|text| (text, text.parse::<u32>())) {
        None => 0,
        Some((_, Ok(first))) => first,
        Some((text, Err(_))) => return Err(ApiError::field("from", text, "give the number of a delivery, from 0")),
    };
    let found = named(app, process, slot, None).await?;
    let done = app.door.push_slot(process, &found, first).await?;
    let bad = done.bad.iter().map(|(number, why)| json!({ "number": number, "text": why }));
    let pushed = done.done.iter().map(|(number, one)| json!({ "number": number, "id": one.id, "text": one.text }));
    let pushed: Vec<Value> = pushed.chain(bad).collect();
    let mut answer = document(process, &found);
    if let Some(members) = answer.as_object_mut() {
        members.insert("pushed".into(), Value::Array(pushed));
        if let Some(next) = done.next {
            let text = format!("{PUSHED_AT_ONCE} deliveries a request: the rest with push&slot={slot}&from={next}");
            members.insert("next".into(), json!(next));
            members.insert("more".into(), json!(text));
        }
    }
    Ok(Json(answer).into_response())
}

/// The body's bytes; empty if there are none.
async fn item<D: Door>(app: &App<D>, headers: &HeaderMap, body: Body) -> Result<Bytes, ApiError> {
    let held = body::read(app, headers, body).await?;
    let signed_headers = headers.contains_key("signature-input");
    if held.bytes.is_empty() && signed_headers {
        let reason = "this request is signed over its headers (httpsig): messages are taken as ANS-104 items only, because \
                      only those can be kept and proven; with aoconnect's request(), add \"signing-format\": \"ans104\"";
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, reason));
    }
    Ok(held.bytes)
}

fn parsed(bytes: Bytes) -> Result<DataItem, ApiError> {
    DataItem::parse_verified(bytes, Profile::Strict).map_err(|fault| {
        ApiError::new(StatusCode::BAD_REQUEST, format!("body: {fault}; post the bytes of one signed ANS-104 data item"))
    })
}

/// The item must be for the process of the path: it would otherwise be sealed somewhere else than the caller believes.
fn for_process(bytes: &Bytes, process: Id) -> Result<(), ApiError> {
    let item = DataItem::parse(bytes.clone(), Profile::Strict).map_err(|fault| {
        ApiError::new(StatusCode::BAD_REQUEST, format!("body: {fault}; post the bytes of one signed ANS-104 data item"))
    })?;
    if item.target() == Some(process) {
        return Ok(());
    }
    let target = item.target().map_or("missing".to_owned(), |target| target.to_string());
    let fix = format!("it must be the process in the path, {process}; sign the item with that target");
    Err(ApiError::field("target of the item", &target, &fix))
}

/// What a message would do. Its data, signer and tags are the item's; tags of the path fill in what the item has not. A
/// request without an item tries the path's tags alone, from nobody.
pub(super) async fn dry_run<D: Door>(
    app: &App<D>,
    process: Id,
    tags: Vec<(String, String)>,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let bytes = body::read(app, headers, body).await?.bytes;
    let mut message = json!({ "Target": process });
    let mut all: Vec<Value> = Vec::new();
    if let (false, Some(members)) = (bytes.is_empty(), message.as_object_mut()) {
        for_process(&bytes, process)?;
        let item = parsed(bytes)?;
        all = render::tags(item.tags()).as_array().cloned().unwrap_or_default();
        members.insert("Id".into(), json!(item.id()));
        members.insert("Owner".into(), json!(item.signer_address()));
        members.insert("Data".into(), json!(String::from_utf8_lossy(&item.data())));
        let has = |name: &str| item.tags().iter().any(|tag| tag.name.eq_ignore_ascii_case(name));
        all.extend(tags.iter().filter(|(name, _)| !has(name)).map(tag));
    } else {
        all.extend(tags.iter().map(tag));
    }
    if let Some(members) = message.as_object_mut() {
        members.insert("Tags".into(), Value::Array(all));
    }
    let raw = app.door.dry_run(process, message).await?;
    Ok(Json(json!({ "process": process, "results": results(&raw), "raw": raw })).into_response())
}

fn tag((name, value): &(String, String)) -> Value {
    json!({ "name": name, "value": value })
}
