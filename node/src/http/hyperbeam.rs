//! HyperBEAM-style paths, as aoconnect's mainnet mode and other clients of that network ask them, over the same processes.
//!
//! Where it sits: the router's fallback in `http.rs` (these paths are no fixed templates); `call` and `path` read the path,
//! `read` and `write` answer over the [`Door`]. Everything is answered as JSON, or as plain text where one value is asked
//! for: the reply's `raw` is what the legacy routes answer.

mod call;
mod path;
mod read;
mod write;

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};
use serde_json::Value;
use weft_protocol::Id;

use self::call::{Call, CallError};
use super::{
    body,
    error::ApiError,
    gate::App,
    params::{Params, id},
    routes,
};
use crate::door::Door;

/// Steps into a document at most; deeper ones are not made here.
const MAX_DEPTH: usize = 12;

/// What came beside the path: keys of a step win over the query, the query over headers.
struct Beside<'a> {
    keys: &'a [(String, String)],
    params: &'a Params,
    headers: &'a HeaderMap,
}

impl Beside<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        let inline = self.keys.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str());
        let header = || self.headers.get(name).and_then(|value| value.to_str().ok());
        inline.or_else(|| self.params.get(name)).or_else(header)
    }

    fn id(&self, name: &str) -> Result<Option<Id>, ApiError> {
        self.get(name).map(|text| id(name, text)).transpose()
    }

    fn number(&self, name: &str) -> Result<Option<u64>, ApiError> {
        let parse = |text: &str| text.parse().map_err(|_| ApiError::field(name, text, "give a whole number"));
        self.get(name).map(parse).transpose()
    }
}

impl From<CallError> for ApiError {
    fn from(refused: CallError) -> Self {
        let status = if refused.is_malformed() { StatusCode::BAD_REQUEST } else { StatusCode::NOT_FOUND };
        Self::new(status, refused.to_string())
    }
}

/// The route that `path` is counted and timed under, if it is one of these.
pub(super) fn template(path: &str) -> Option<&'static str> {
    call::read(path).ok().map(|call| call.template())
}

/// Every path that no template answers.
pub(super) async fn any<D: Door>(
    State(app): State<App<D>>,
    method: Method,
    uri: Uri,
    params: Params,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let call = match call::read(uri.path()) {
        Ok(call) => call,
        Err(refused) if call::is_ours(uri.path()) => return Err(refused.into()),
        Err(_) => return Err(routes::unknown_path(uri.path())),
    };
    let allowed: &[Method] = match call {
        Call::Info(_) | Call::Build | Call::Process(_) => &[Method::GET],
        Call::Submit { .. } | Call::PushAgain { .. } => &[Method::POST],
        _ => &[Method::GET, Method::POST],
    };
    let asked = if method == Method::HEAD { Method::GET } else { method };
    if !allowed.contains(&asked) {
        return Ok(routes::wrong_method(asked, uri).await);
    }
    let beside = Beside { keys: &[], params: &params, headers: &headers };
    answer(&app, call, &asked, &beside, body).await
}

async fn answer<D: Door>(
    app: &App<D>,
    call: Call,
    method: &Method,
    beside: &Beside<'_>,
    body: Body,
) -> Result<Response, ApiError> {
    match call {
        Call::Submit { process, wait } => return write::submit(app, process, wait, beside.headers, body).await,
        Call::Schedule { process, .. } if *method == Method::POST => {
            return write::submit(app, process, false, beside.headers, body).await;
        }
        Call::DryRun { process, tags } => return write::dry_run(app, process, tags, beside.headers, body).await,
        Call::Compute { process, at: call::At::Newest, ref keys }
            if *method == Method::POST && keys.is_empty() && beside.get("slot").is_none() =>
        {
            return write::dry_run(app, process, Vec::new(), beside.headers, body).await;
        }
        _ => {}
    }
    // Reads come as signed items too; only a proof among them changes anything.
    let sent = body::read(app, beside.headers, body).await?.bytes;
    match call {
        Call::Info(keys) => read::info(app, &keys).await,
        Call::Build => Ok(read::build()),
        Call::PushAgain { process, slot, first } => write::push_again(app, process, &slot, first.as_deref()).await,
        Call::Process(process) => read::process(app, process).await,
        Call::Slot { process, bare } => read::slot(app, process, bare).await,
        Call::Schedule { process, keys } => read::schedule(app, process, &Beside { keys: &keys, ..*beside }).await,
        Call::Compute { process, at, keys } => read::compute(app, process, at, &keys, beside, read::proof(sent)).await,
        Call::Submit { .. } | Call::DryRun { .. } => {
            Err(ApiError::internal("a write was taken for a read; report this"))
        }
    }
}

/// What `keys` lead to in `document`: a text or number by itself, anything else as JSON. Lists are counted from 1, names
/// are found in any case, both as HyperBEAM has it.
fn shown(document: &Value, keys: &[String]) -> Result<Response, ApiError> {
    let mut at = document;
    for key in keys.iter().take(MAX_DEPTH) {
        let found = match at {
            Value::Object(members) => members
                .get(key)
                .or_else(|| members.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, v)| v)),
            Value::Array(items) => key.parse::<usize>().ok().and_then(|place| items.get(place.checked_sub(1)?)),
            _ => None,
        };
        at = found.ok_or_else(|| missing(key, at))?;
    }
    Ok(match at {
        Value::String(text) => text_reply(text.clone()),
        Value::Number(_) | Value::Bool(_) | Value::Null => text_reply(at.to_string()),
        Value::Object(_) | Value::Array(_) => Json(at).into_response(),
    })
}

fn missing(key: &str, at: &Value) -> ApiError {
    let there = match at {
        Value::Object(members) => members.keys().take(20).map(String::as_str).collect::<Vec<_>>().join(", "),
        Value::Array(items) => format!("1 to {}", items.len()),
        _ => "nothing further".to_owned(),
    };
    let key: String = key.chars().take(60).collect();
    ApiError::new(StatusCode::NOT_FOUND, format!("path: no {key:?} there; there is {there}"))
}

/// One value by itself. What a process says is text here, whatever it looks like.
fn text_reply(text: String) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (kind, text).into_response()
}
