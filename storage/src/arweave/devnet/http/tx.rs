//! Transactions and chunks: posting them and asking for them.

use axum::{
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::IntoResponse,
};
use serde_json::{Value, json};
use weft_protocol::{Id, arweave::Transaction, b64};

use super::{
    super::{
        body::{BodyKey, Place, Source},
        tx::{body_key, check_chunk},
    },
    App,
    reply::{Failure, Reply, json, text},
    upload,
};

/// The most data given out as base64url text.
const MAX_TEXT_DATA: u64 = 12 << 20;

/// `POST /tx`: a transaction as JSON, or a raw item for the uploader.
pub(super) async fn post(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Reply {
    if upload::is_item(&headers) {
        return upload::post(State(app), headers, body).await;
    }
    let transaction = Transaction::from_json(&body).map_err(|error| Failure::bad(format!("Invalid JSON: {error}")))?;
    app.node.accept(transaction).await?;
    text("OK")
}

/// `POST /chunk`.
pub(super) async fn post_chunk(State(app): State<App>, body: Bytes) -> Reply {
    app.node.accept_chunk(check_chunk(&body)?).await?;
    json(json!({}))
}

pub(super) async fn pending(State(app): State<App>) -> Reply {
    json(json!(app.node.read().pool))
}

fn id(text: &str) -> Result<Id, Failure> {
    text.parse().map_err(|_| Failure::bad("Invalid hash."))
}

fn pending_answer() -> Reply {
    Ok((StatusCode::ACCEPTED, "Pending").into_response())
}

/// `GET /tx/{id}`: the header once it is mined.
pub(super) async fn header(State(app): State<App>, Path(at): Path<String>) -> Reply {
    let state = app.node.read();
    let tx = state.txs.get(&id(&at)?).ok_or_else(Failure::not_found)?;
    if tx.mined.is_none() {
        return pending_answer();
    }
    json(header_json(&tx.header)?)
}

/// `GET /unconfirmed_tx/{id}`: the header at once.
pub(super) async fn unconfirmed(State(app): State<App>, Path(at): Path<String>) -> Reply {
    let state = app.node.read();
    let tx = state.txs.get(&id(&at)?).ok_or_else(Failure::not_found)?;
    json(header_json(&tx.header)?)
}

fn header_json(header: &Transaction) -> Result<Value, Failure> {
    serde_json::to_value(header).map_err(|error| Failure::bad(error.to_string()))
}

/// `GET /tx/{id}/{status | offset | data | data.EXT | field}`.
pub(super) async fn field(State(app): State<App>, Path((at, field)): Path<(String, String)>) -> Reply {
    let id = id(&at)?;
    match field.as_str() {
        "status" => status(&app, &id),
        "offset" => offset(&app, &id),
        "data" => Ok(b64::encode(whole(&app, &id)?).into_response()),
        field if field.starts_with("data.") => Ok(whole(&app, &id)?.into_response()),
        field => one_field(&app, &id, field),
    }
}

fn status(app: &App, id: &Id) -> Reply {
    let state = app.node.read();
    let tx = state.txs.get(id).ok_or_else(Failure::not_found)?;
    let Some(mined) = tx.mined else { return pending_answer() };
    let block = state.block_at(mined.height).ok_or_else(Failure::not_found)?;
    json(json!({
        "block_height": mined.height, "block_indep_hash": block.hash,
        "number_of_confirmations": state.height().saturating_sub(mined.height).saturating_add(1),
    }))
}

fn offset(app: &App, id: &Id) -> Reply {
    let state = app.node.read();
    let tx = state.txs.get(id).ok_or_else(Failure::not_found)?;
    let mined = tx.mined.ok_or_else(Failure::not_found)?;
    json(json!({ "offset": mined.end.to_string(), "size": tx.header.data_size().to_string() }))
}

fn whole(app: &App, id: &Id) -> Result<Bytes, Failure> {
    let key = {
        let state = app.node.read();
        body_key(&state.txs.get(id).ok_or_else(Failure::not_found)?.header)
    };
    let Some(key) = key else { return Ok(Bytes::new()) };
    if key.size > MAX_TEXT_DATA {
        return Err(Failure::bad("tx_data_too_big"));
    }
    let place = Place { source: Source::Body(key), offset: 0, len: key.size };
    app.node.data(&place)?.ok_or_else(Failure::not_found)
}

fn one_field(app: &App, id: &Id, field: &str) -> Reply {
    let state = app.node.read();
    let tx = state.txs.get(id).ok_or_else(Failure::not_found)?;
    if tx.mined.is_none() {
        return pending_answer();
    }
    match header_json(&tx.header)?.get(field) {
        Some(Value::String(value)) => text(value.clone()),
        Some(value) => json(value.clone()),
        None => Err(Failure::bad("Field not found.")),
    }
}

/// `GET /chunk/{offset}`: the chunk that holds this byte of the weave, counted from 1.
pub(super) async fn chunk(State(app): State<App>, Path(at): Path<String>) -> Reply {
    let at = at.parse::<u64>().map_err(|_| Failure::bad("Invalid offset."))?;
    let (key, inside) = find(&app, at).ok_or_else(Failure::not_found)?;
    let (start, bytes, path) = app.node.piece(&key, inside)?.ok_or_else(Failure::not_found)?;
    let (bytes, path) = match path {
        Some(path) => (bytes, path.to_vec()),
        None => cut(&bytes, inside.saturating_sub(start)).ok_or_else(Failure::not_found)?,
    };
    json(json!({ "chunk": b64::encode(bytes), "data_path": b64::encode(path), "tx_path": "", "packing": "unpacked" }))
}

/// Which data, and which byte in it, lies at an absolute offset.
fn find(app: &App, at: u64) -> Option<(BodyKey, u64)> {
    let state = app.node.read();
    let above = state.blocks.partition_point(|block| block.weave_size < at);
    let block = state.blocks.get(above)?;
    block.txs.iter().find_map(|id| {
        let tx = state.txs.get(id)?;
        let end = tx.mined?.end;
        let before = end.checked_sub(tx.header.data_size())?;
        (at > before && at <= end).then(|| body_key(&tx.header).map(|key| (key, at - before - 1)))?
    })
}

/// The chunk of whole data that holds a byte, with its proof.
fn cut(data: &Bytes, inside: u64) -> Option<(Bytes, Vec<u8>)> {
    let cut = weft_protocol::arweave::merkle::chunk(data)?;
    let chunk = cut.chunks.into_iter().find(|chunk| chunk.start <= inside && inside < chunk.end)?;
    let (start, end) = (usize::try_from(chunk.start).ok()?, usize::try_from(chunk.end).ok()?);
    (end <= data.len()).then(|| (data.slice(start..end), chunk.data_path))
}
