//! Request bodies: read piece by piece, never past the item bound, and never more in memory than the doors' budget.
//!
//! Where it sits: below the handlers that take bodies.

use std::time::Duration;

use axum::{
    body::{Body, BodyDataStream},
    http::{HeaderMap, StatusCode, header},
};
use bytes::Bytes;
use futures::StreamExt as _;
use serde_json::Value;
use tokio::{sync::OwnedSemaphorePermit, time::timeout};

use super::{error::ApiError, gate::App};
use crate::door::Door;

/// How long a client may take to send a body.
const BODY_TIME: Duration = Duration::from_secs(30);
/// How much of a refused body is read away, so that the client gets to see the refusal instead of a reset connection.
const DRAIN_BYTES: usize = 16 << 20;
/// How long reading away may take.
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// A body in memory with its share of the budget.
#[derive(Debug)]
pub(super) struct Held {
    /// The bytes.
    pub bytes: Bytes,
    _share: Option<OwnedSemaphorePermit>,
}

/// How large a body may be, and the words to a larger one.
#[derive(Clone, Copy)]
pub(super) struct Limit {
    /// Bytes.
    pub bytes: usize,
    /// Who takes what.
    pub rule: &'static str,
    /// What to do instead.
    pub fix: &'static str,
}

/// Reads a body of at most the network's largest item.
pub(super) async fn read<D: Door>(app: &App<D>, headers: &HeaderMap, body: Body) -> Result<Held, ApiError> {
    let fix = "publish larger data on Arweave and name its id";
    read_within(app, headers, body, Limit { bytes: app.door.max_item_bytes(), rule: "this network takes items", fix })
        .await
}

/// Reads a body of at most `limit`.
pub(super) async fn read_within<D: Door>(
    app: &App<D>,
    headers: &HeaderMap,
    body: Body,
    limit: Limit,
) -> Result<Held, ApiError> {
    let mut stream = body.into_data_stream();
    if let Some(length) = declared(headers).filter(|length| *length > limit.bytes) {
        // A client that asks before sending has sent nothing yet; asking it to go on only to throw it away is a waste.
        if !headers.contains_key(header::EXPECT) {
            drain(&mut stream).await;
        }
        return Err(too_large(&format!("{length}"), limit));
    }
    match timeout(BODY_TIME, collect(app, &mut stream, limit)).await {
        Ok(Ok(held)) => Ok(held),
        Ok(Err(refusal)) => {
            drain(&mut stream).await;
            Err(refusal)
        }
        Err(_) => {
            let reason =
                format!("body: not complete within {} seconds; send it again over a faster line", BODY_TIME.as_secs());
            Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, reason))
        }
    }
}

/// The body as JSON.
pub(super) async fn read_json<D: Door>(app: &App<D>, headers: &HeaderMap, body: Body) -> Result<Value, ApiError> {
    let held = read(app, headers, body).await?;
    serde_json::from_slice(&held.bytes).map_err(|fault| {
        ApiError::new(StatusCode::BAD_REQUEST, format!("body: not JSON: {fault}; send one JSON object"))
    })
}

/// The body as bytes of a data item; says so when it is evidently something else.
pub(super) async fn read_item<D: Door>(app: &App<D>, headers: &HeaderMap, body: Body) -> Result<Held, ApiError> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let wrong =
        ["application/json", "multipart/", "text/html"].iter().any(|bad| kind.to_ascii_lowercase().starts_with(bad));
    let held = read(app, headers, body).await?;
    if wrong {
        let fix = "post the bytes of one signed ANS-104 data item as application/octet-stream";
        return Err(ApiError::field("content-type", kind, fix));
    }
    if held.bytes.is_empty() {
        return Err(ApiError::missing("body", "post the bytes of one signed ANS-104 data item"));
    }
    Ok(held)
}

fn declared(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn too_large(size: &str, Limit { bytes, rule, fix }: Limit) -> ApiError {
    let reason = format!("body: {size} bytes, {rule} of at most {bytes} bytes; {fix}");
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, reason)
}

async fn collect<D: Door>(app: &App<D>, stream: &mut BodyDataStream, limit: Limit) -> Result<Held, ApiError> {
    let mut bytes = Vec::new();
    let mut share: Option<OwnedSemaphorePermit> = None;
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(|fault| {
            ApiError::new(StatusCode::BAD_REQUEST, format!("body: ended early: {fault}; send it again"))
        })?;
        let size = bytes.len().saturating_add(piece.len());
        if size > limit.bytes {
            return Err(too_large(&format!("over {}", limit.bytes), limit));
        }
        let have = share.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let want = size.div_ceil(1024).saturating_sub(have);
        let more =
            app.bodies.clone().try_acquire_many_owned(u32::try_from(want).unwrap_or(u32::MAX)).map_err(|_| {
                ApiError::busy("body: this node holds as many bytes of other requests as it can; try again in a second")
            })?;
        match share.as_mut() {
            Some(share) => share.merge(more),
            None => share = Some(more),
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(Held { bytes: bytes.into(), _share: share })
}

/// Reads a refused body away, within bounds.
async fn drain(stream: &mut BodyDataStream) {
    let reading = async {
        let mut left = DRAIN_BYTES;
        while let Some(Ok(piece)) = stream.next().await {
            match left.checked_sub(piece.len()) {
                Some(rest) => left = rest,
                None => break,
            }
        }
    };
    // However it ends, the refusal is what counts.
    let _ended = timeout(DRAIN_TIME, reading).await;
}
