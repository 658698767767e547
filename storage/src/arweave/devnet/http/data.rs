//! Payloads, with the item's tags as headers, whole or in part.

use axum::{
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use weft_protocol::{Id, ans104::Tag};

use super::{
    super::body::Place,
    App,
    reply::{Failure, Reply},
};

/// Tags of these names describe the connection, not the item, when sent as headers.
const RESERVED: [&str; 12] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "host",
    "keep-alive",
    "location",
    "server",
    "set-cookie",
    "transfer-encoding",
    "upgrade",
];
/// The most tags sent as headers.
const MAX_HEADERS: usize = 64;

/// `GET /{id}` and `GET /raw/{id}`.
pub(super) async fn data(State(app): State<App>, Path(id): Path<String>) -> Reply {
    let id: Id = id.parse().map_err(|_| Failure::not_found())?;
    let (place, headers) = {
        let state = app.node.read();
        let record = state.records.get(&id).ok_or_else(Failure::not_found)?;
        (record.place().cloned(), headers(&record.tags, record.tag("Content-Type")))
    };
    let bytes = match place {
        None | Some(Place { len: 0, .. }) => bytes::Bytes::new(),
        // A header without (all of) its data: a gateway has nothing to give yet.
        Some(place) => app.node.data(&place)?.ok_or_else(Failure::not_found)?,
    };
    let mut response = Response::new(Body::from(bytes));
    *response.headers_mut() = headers;
    Ok(response.into_response())
}

fn headers(tags: &[Tag], kind: Option<&str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for tag in tags.iter().take(MAX_HEADERS) {
        let name = tag.name.to_ascii_lowercase();
        let reserved = RESERVED.contains(&name.as_str()) || name.starts_with("access-control-");
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (false, Ok(name), Ok(value)) = (reserved, name, HeaderValue::from_str(&tag.value)) {
            headers.append(name, value);
        }
    }
    let kind = kind.and_then(|kind| HeaderValue::from_str(kind).ok());
    headers.insert(header::CONTENT_TYPE, kind.unwrap_or(HeaderValue::from_static("application/octet-stream")));
    headers
}
