//! The gateway's routes that every node offers: GraphQL passed on, items by id, uploads.
//!
//! Where it sits: handlers of `http.rs` over `Door::graphql`, `stored` and `upload`. What is served here was written by
//! anybody: it is data, kept from acting as a page or a header of this node.

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use serde_json::json;

use super::{
    body, chain,
    error::ApiError,
    gate::App,
    params::{Segments, id},
};
use crate::door::{Door, Stored};
use weft_protocol::Id;

/// Bytes of tags sent as headers; clients give up on heads over 16 KiB.
const MAX_TAG_HEADERS: usize = 8 << 10;
/// The largest GraphQL question.
const QUESTION: body::Limit =
    body::Limit { bytes: 256 << 10, rule: "this node takes GraphQL questions", fix: "ask in several questions" };
/// Characters of a host's name with its port.
const MAX_HOST: usize = 260;
/// Tags with these names are no headers: they would change how the reply is carried, kept or run.
const NOT_FROM_TAGS: &[&str] = &[
    "age",
    "allow",
    "alt-svc",
    "authorization",
    "cache-control",
    "clear-site-data",
    "connection",
    "content-encoding",
    "content-length",
    "content-location",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "etag",
    "expect",
    "expires",
    "host",
    "keep-alive",
    "last-modified",
    "link",
    "location",
    "nel",
    "origin",
    "permissions-policy",
    "pragma",
    "public-key-pins",
    "referrer-policy",
    "refresh",
    "report-to",
    "reporting-endpoints",
    "retry-after",
    "server",
    "service-worker-allowed",
    "set-cookie",
    "sourcemap",
    "strict-transport-security",
    "te",
    "timing-allow-origin",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "vary",
    "via",
    "warning",
    "www-authenticate",
];
/// Nor those that begin so.
const NOT_FROM_TAG_PREFIXES: &[&str] = &[
    "x-",
    "sec-",
    "proxy-",
    "access-control-",
    "cross-origin-",
    "content-security-policy",
    "content-disposition",
    "accept-",
];

/// `POST /graphql`.
pub(super) async fn graphql<D: Door>(
    State(app): State<App<D>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let held = body::read_within(&app, &headers, body, QUESTION).await?;
    if held.bytes.is_empty() {
        return Err(ApiError::missing(
            "body",
            "send a GraphQL request as JSON: {\"query\": \"…\", \"variables\": {…}}",
        ));
    }
    let answer = app.door.graphql(held.bytes.clone(), &asked_address(&headers)).await?;
    Ok(([(header::CONTENT_TYPE, "application/json")], answer).into_response())
}

/// The address by which the client has reached this node.
fn asked_address(headers: &HeaderMap) -> String {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let plain = |host: &&str| {
        host.len() <= MAX_HOST && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte))
    };
    let scheme = if text("x-forwarded-proto") == Some("https") { "https" } else { "http" };
    format!("{scheme}://{}", text("host").filter(plain).unwrap_or("localhost"))
}

/// `GET /raw/{id}`.
pub(super) async fn raw<D: Door>(
    State(app): State<App<D>>,
    Segments(segment): Segments<String>,
) -> Result<Response, ApiError> {
    data(&app, id("id in the path", &segment)?).await
}

/// The payload of an item with its tags as headers.
pub(super) async fn data<D: Door>(app: &App<D>, asked: Id) -> Result<Response, ApiError> {
    let Stored { id, tags, data } = app.door.stored(asked).await?;
    let mut headers = tag_headers(tags.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let kind = tags.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    let kind = kind.and_then(|(_, value)| HeaderValue::from_str(value).ok());
    headers.insert(header::CONTENT_TYPE, kind.unwrap_or(HeaderValue::from_static("application/octet-stream")));
    // Somebody's HTML may show itself, but neither as this node's page nor with its rights.
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox allow-scripts"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    if let Ok(tag) = HeaderValue::try_from(format!("\"{id}\"")) {
        headers.insert(header::ETAG, tag);
    }
    Ok((headers, data).into_response())
}

/// Tags as headers, those that may be: the names in lower case, repeated ones repeated, in order, up to a bound.
pub(super) fn tag_headers<'a>(tags: impl Iterator<Item = (&'a str, &'a str)>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut left = MAX_TAG_HEADERS;
    for (name, value) in tags {
        let name = name.to_ascii_lowercase();
        let kept_out = NOT_FROM_TAGS.contains(&name.as_str())
            || NOT_FROM_TAG_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
        let Some(rest) = left.checked_sub(name.len().saturating_add(value.len())).filter(|_| !kept_out) else {
            continue;
        };
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.append(name, value);
            left = rest;
        }
    }
    headers
}

/// `POST /tx`: a layer-1 transaction as JSON, or a data item for the uploader.
pub(super) async fn post<D: Door>(
    State(app): State<App<D>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind.starts_with("application/json") {
        return chain::post(&app, &headers, body).await;
    }
    upload(State(app), headers, body).await
}

/// `POST /tx/arweave`: the uploader's route, for data items.
pub(super) async fn upload<D: Door>(
    State(app): State<App<D>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let held = body::read_item(&app, &headers, body).await?;
    let id = app.door.upload(held.bytes.clone()).await?;
    let (_, now) = app.door.identity();
    Ok(Json(json!({ "id": id, "timestamp": now, "dataCaches": [], "fastFinalityIndexes": [] })).into_response())
}
