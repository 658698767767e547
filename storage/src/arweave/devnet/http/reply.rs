//! Answers in the forms that Arweave's clients expect: plain text, JSON, and errors with a reason.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::super::DevnetError;

/// An error as an answer.
pub(super) struct Failure(StatusCode, String);

/// What handlers give back.
pub(super) type Reply = Result<Response, Failure>;

impl Failure {
    /// 404 in Arweave's words.
    pub fn not_found() -> Self {
        Self(StatusCode::NOT_FOUND, "Not Found.".to_owned())
    }

    /// 400 with a reason.
    pub fn bad(reason: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, reason.into())
    }
}

impl From<DevnetError> for Failure {
    fn from(error: DevnetError) -> Self {
        match &error {
            DevnetError::Refused(status, reason) => {
                Self(StatusCode::from_u16(*status).unwrap_or(StatusCode::BAD_REQUEST), (*reason).to_owned())
            }
            DevnetError::Chunk(word) => Self(StatusCode::BAD_REQUEST, serde_json::json!({ "error": word }).to_string()),
            _ => {
                tracing::error!(%error, "the Arweave devnet failed");
                Self(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
            }
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let kind = if self.1.starts_with('{') { "application/json" } else { "text/plain; charset=utf-8" };
        (self.0, [(header::CONTENT_TYPE, HeaderValue::from_static(kind))], self.1).into_response()
    }
}

/// Plain text.
pub(super) fn text(text: impl Into<String>) -> Reply {
    Ok(text.into().into_response())
}

/// JSON.
pub(super) fn json(value: serde_json::Value) -> Reply {
    Ok(axum::Json(value).into_response())
}
