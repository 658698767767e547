//! Arweave's own routes, handed on to the gateway: transactions, blocks, prices, wallets, chunks. So a client that is given
//! this node as its only address finds the chain there too.
//!
//! Where it sits: handlers of `http.rs` over `Door::pass`. Only paths whose every segment has been read are handed on.

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;

use super::{
    body,
    error::ApiError,
    gate::App,
    params::{Segments, id},
};
use crate::door::Door;

/// Members of a transaction, and what is known of it, that have a path of their own.
const FIELDS: &[&str] = &[
    "status",
    "offset",
    "data",
    "data.json",
    "data.txt",
    "data.html",
    "data_size",
    "data_root",
    "id",
    "last_tx",
    "owner",
    "tags",
    "target",
    "quantity",
    "reward",
    "signature",
    "format",
];
/// Characters of a block's hash.
const HASH: usize = 64;

async fn pass<D: Door>(app: &App<D>, path: String, body: Option<Bytes>) -> Result<Response, ApiError> {
    let answer = app.door.pass(path, body).await?;
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let kind = answer.kind.and_then(|kind| HeaderValue::try_from(kind).ok());
    let kind = kind.unwrap_or(HeaderValue::from_static("text/plain; charset=utf-8"));
    let headers = [
        (header::CONTENT_TYPE, kind),
        // Somebody else's words, not a page of this node.
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    Ok((status, headers, answer.body).into_response())
}

fn number(field: &str, text: &str) -> Result<u64, ApiError> {
    text.parse().map_err(|_| ApiError::field(field, text, "give a whole number"))
}

/// `GET /info`, `/tx_anchor`, `/height`, `/block/current`: paths without parameters.
pub(super) async fn plain<D: Door>(State(app): State<App<D>>, uri: Uri) -> Result<Response, ApiError> {
    pass(&app, uri.path().to_owned(), None).await
}

/// `GET /tx/{id}`.
pub(super) async fn transaction<D: Door>(
    State(app): State<App<D>>,
    Segments(at): Segments<String>,
) -> Result<Response, ApiError> {
    pass(&app, format!("/tx/{}", id("transaction id in the path", &at)?), None).await
}

/// `GET /tx/{id}/{field}`.
pub(super) async fn field<D: Door>(
    State(app): State<App<D>>,
    Segments((at, field)): Segments<(String, String)>,
) -> Result<Response, ApiError> {
    let at = id("transaction id in the path", &at)?;
    if !FIELDS.contains(&field.as_str()) {
        return Err(ApiError::field("field in the path", &field, &format!("give one of {}", FIELDS.join(", "))));
    }
    pass(&app, format!("/tx/{at}/{field}"), None).await
}

/// `GET /price/{bytes}`.
pub(super) async fn price<D: Door>(
    State(app): State<App<D>>,
    Segments(bytes): Segments<String>,
) -> Result<Response, ApiError> {
    pass(&app, format!("/price/{}", number("bytes in the path", &bytes)?), None).await
}

/// `GET /price/{bytes}/{target}`.
pub(super) async fn price_to<D: Door>(
    State(app): State<App<D>>,
    Segments((bytes, target)): Segments<(String, String)>,
) -> Result<Response, ApiError> {
    let path = format!("/price/{}/{}", number("bytes in the path", &bytes)?, id("target in the path", &target)?);
    pass(&app, path, None).await
}

/// `GET /wallet/{address}/{what}`: `balance` or `last_tx`.
pub(super) async fn wallet<D: Door>(
    State(app): State<App<D>>,
    Segments((address, what)): Segments<(String, String)>,
) -> Result<Response, ApiError> {
    if !["balance", "last_tx"].contains(&what.as_str()) {
        return Err(ApiError::field("end of the path", &what, "give balance or last_tx"));
    }
    pass(&app, format!("/wallet/{}/{what}", id("address in the path", &address)?), None).await
}

/// `GET /block/height/{height}`.
pub(super) async fn block_at<D: Door>(
    State(app): State<App<D>>,
    Segments(height): Segments<String>,
) -> Result<Response, ApiError> {
    pass(&app, format!("/block/height/{}", number("height in the path", &height)?), None).await
}

/// `GET /block/hash/{hash}`.
pub(super) async fn block_by_hash<D: Door>(
    State(app): State<App<D>>,
    Segments(hash): Segments<String>,
) -> Result<Response, ApiError> {
    if hash.len() != HASH || !hash.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
        return Err(ApiError::field("hash in the path", &hash, "give 64 characters of base64url"));
    }
    pass(&app, format!("/block/hash/{hash}"), None).await
}

/// `GET /chunk/{offset}`.
pub(super) async fn chunk<D: Door>(
    State(app): State<App<D>>,
    Segments(offset): Segments<String>,
) -> Result<Response, ApiError> {
    pass(&app, format!("/chunk/{}", number("offset in the path", &offset)?), None).await
}

/// `POST /chunk`.
pub(super) async fn post_chunk<D: Door>(
    State(app): State<App<D>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let held = body::read(&app, &headers, body).await?;
    pass(&app, "/chunk".to_owned(), Some(held.bytes.clone())).await
}

/// A layer-1 transaction, posted as JSON.
pub(super) async fn post<D: Door>(app: &App<D>, headers: &HeaderMap, body: Body) -> Result<Response, ApiError> {
    let held = body::read(app, headers, body).await?;
    pass(app, "/tx".to_owned(), Some(held.bytes.clone())).await
}
