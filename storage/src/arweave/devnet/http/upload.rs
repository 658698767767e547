//! Taking single data items, as Turbo does.

use axum::{
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, header},
};
use serde_json::json;
use weft_protocol::{
    Id,
    ans104::{DataItem, Profile},
};

use super::{
    super::node::now,
    App,
    reply::{Failure, Reply, json},
};

/// Within how many blocks an item is promised to be on chain.
const DEADLINE: u64 = 200;

/// Whether a body is a raw item.
pub(super) fn is_item(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.starts_with("application/octet-stream")
}

/// `POST /tx/{token}`: every token pays as well here.
pub(super) async fn post_for(
    State(app): State<App>,
    Path(_token): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Reply {
    post(State(app), headers, body).await
}

pub(super) async fn post(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Reply {
    if !is_item(&headers) {
        return Err(Failure::bad("Invalid Content-Type: send the raw data item as application/octet-stream."));
    }
    let checked = tokio::task::spawn_blocking(move || DataItem::parse_verified(body, Profile::Strict)).await;
    let item = checked
        .map_err(|error| Failure::bad(error.to_string()))?
        .map_err(|error| Failure::bad(format!("Invalid data item: {error}")))?;
    app.node.accept_item(&item).await?;
    let height = app.node.read().height();
    json(json!({
        "id": item.id(), "timestamp": u64::try_from(now().as_millis()).unwrap_or(u64::MAX), "winc": "0",
        "version": "0.2.0", "deadlineHeight": height.saturating_add(DEADLINE), "dataCaches": ["devnet"],
        "fastFinalityIndexes": ["devnet"], "owner": item.owner_address(),
    }))
}

/// What has become of an item.
pub(super) async fn status(State(app): State<App>, Path(id): Path<String>) -> Reply {
    let id: Id = id.parse().map_err(|_| Failure::not_found())?;
    let state = app.node.read();
    let record = state.records.get(&id).filter(|record| record.is_item()).ok_or_else(Failure::not_found)?;
    let (status, info) = match (record.height, record.parents.is_empty()) {
        (Some(_), _) => ("FINALIZED", "permanent"),
        (None, false) => ("CONFIRMED", "pending"),
        (None, true) => ("CONFIRMED", "new"),
    };
    json(json!({
        "status": status, "info": info, "bundleId": record.parents.first().map(|(parent, _)| parent), "winc": "0",
        "blockHeight": record.height,
    }))
}
