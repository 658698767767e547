//! What a request gets that cannot be served: a status, one sentence a person can act on, and when to try again.
//!
//! Where it sits: every handler of `http/` returns it; the body is always `{"error": "..."}` as AO's units have it.

use std::time::Duration;

use axum::{
    Json,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use crate::door::{DoorError, ErrorKind};

/// A refused or failed request.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    reason: String,
    retry_after: Option<Duration>,
    allow: Option<String>,
}

impl ApiError {
    /// `status` with a `reason` for people.
    pub fn new(status: StatusCode, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into(), retry_after: None, allow: None }
    }

    /// 400: `field` holds `value` (shown shortened), and `fix` says what it should be.
    pub fn field(field: &str, value: &str, fix: &str) -> Self {
        let shown: String = value.chars().take(60).collect();
        let more = if shown.len() < value.len() { "…" } else { "" };
        Self::new(StatusCode::BAD_REQUEST, format!("{field}: {shown:?}{more} is not usable: {fix}"))
    }

    /// 400: `field` is missing, and `fix` says what to send.
    pub fn missing(field: &str, fix: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, format!("{field}: missing: {fix}"))
    }

    /// 503 with a time after which trying again may help.
    pub fn busy(reason: impl Into<String>) -> Self {
        Self { retry_after: Some(Duration::from_secs(1)), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, reason) }
    }

    /// 500: what this node holds or answers is not what it should be.
    pub fn internal(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, reason)
    }

    /// Adds the `Allow` header.
    pub fn allow(mut self, methods: String) -> Self {
        self.allow = Some(methods);
        self
    }
}

/// The status of a failure behind the door.
fn status_of(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::BadRequest => StatusCode::BAD_REQUEST,
        ErrorKind::Forbidden => StatusCode::FORBIDDEN,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::Unprocessable => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorKind::TooMany => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        ErrorKind::BadGateway => StatusCode::BAD_GATEWAY,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
    }
}

impl From<DoorError> for ApiError {
    fn from(error: DoorError) -> Self {
        let asks_to_wait = matches!(error.kind, ErrorKind::TooMany | ErrorKind::Unavailable);
        let retry_after = error.retry_after.or(asks_to_wait.then_some(Duration::from_secs(1)));
        Self { status: status_of(error.kind), reason: error.reason, retry_after, allow: None }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(json!({ "error": self.reason }))).into_response();
        let mut set = |name: HeaderName, text: String| {
            if let Ok(value) = HeaderValue::try_from(text) {
                response.headers_mut().insert(name, value);
            }
        };
        if let Some(wait) = self.retry_after {
            // Whole seconds, rounded up: earlier than that is of no use.
            let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1);
            set(header::RETRY_AFTER, seconds.to_string());
        }
        if let Some(methods) = self.allow {
            set(header::ALLOW, methods);
        }
        response
    }
}
