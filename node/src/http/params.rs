//! Path segments and query parameters, read so that a bad one names its field, its value and the fix.
//!
//! Where it sits: below every handler of `http/`. The size of the whole query is bounded by `gate`.

use axum::{
    extract::{FromRequestParts, Path, Query, rejection::PathRejection},
    http::{StatusCode, request::Parts},
};
use serde::de::DeserializeOwned;
use weft_protocol::Id;

use super::error::ApiError;

/// Path segments, decoded.
#[derive(Debug)]
pub(super) struct Segments<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Segments<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let fail =
            |fault: PathRejection| ApiError::new(StatusCode::BAD_REQUEST, format!("path: {}", fault.body_text()));
        Path::<T>::from_request_parts(parts, state).await.map(|Path(inner)| Self(inner)).map_err(fail)
    }
}

/// Query parameters in order, names and values decoded.
#[derive(Debug)]
pub(super) struct Params(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Query(pairs) = Query::<Vec<(String, String)>>::from_request_parts(parts, state).await.map_err(|fault| {
            ApiError::new(StatusCode::BAD_REQUEST, format!("query: {}: use name=value&…", fault.body_text()))
        })?;
        Ok(Self(pairs))
    }
}

impl Params {
    /// The first value of `name`; an empty one counts as absent.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// Is `name` there, with or without a value?
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| key == name)
    }

    /// The id in `name`.
    pub fn id(&self, name: &str) -> Result<Option<Id>, ApiError> {
        self.get(name).map(|text| id(name, text)).transpose()
    }

    /// The id in `name`, which must be there.
    pub fn need_id(&self, name: &str, fix: &str) -> Result<Id, ApiError> {
        self.id(name)?.ok_or_else(|| ApiError::missing(name, fix))
    }

    /// A whole number in `name`.
    pub fn number<N: std::str::FromStr>(&self, name: &str) -> Result<Option<N>, ApiError> {
        self.get(name)
            .map(|text| text.parse().map_err(|_| ApiError::field(name, text, "give a whole number")))
            .transpose()
    }

    /// `limit` between 1 and `most`; larger ones are cut to `most`, which every page's "more" flag makes harmless.
    pub fn limit(&self, default: u32, most: u32) -> Result<u32, ApiError> {
        match self.number::<u64>("limit")? {
            Some(0) => Err(ApiError::field("limit", "0", "give a whole number from 1")),
            Some(asked) => Ok(u32::try_from(asked).unwrap_or(u32::MAX).min(most)),
            None => Ok(default.min(most)),
        }
    }

    /// `sort`: true for newest first.
    pub fn descending(&self) -> Result<Option<bool>, ApiError> {
        match self.get("sort") {
            None => Ok(None),
            Some(text) if text.eq_ignore_ascii_case("asc") => Ok(Some(false)),
            Some(text) if text.eq_ignore_ascii_case("desc") => Ok(Some(true)),
            Some(text) => Err(ApiError::field("sort", text, "give ASC or DESC")),
        }
    }
}

/// `text` as the id that `field` holds.
pub(super) fn id(field: &str, text: &str) -> Result<Id, ApiError> {
    text.parse().map_err(|_| ApiError::field(field, text, "give 43 characters of base64url (A-Z a-z 0-9 - _)"))
}
