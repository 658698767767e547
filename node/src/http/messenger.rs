//! The messenger unit's routes: taking items and assignments, pushing again, and monitoring, which Weft has no need of.
//!
//! Where it sits: handlers of `http.rs` over `Door::submit` and `assign`. The reply to `POST /` carries the members of
//! both the messenger's and the scheduler's, so that either kind of client may post to any address of a node.

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};
use weft_protocol::{
    Id,
    ans104::{DataItem, Profile},
    crank::CRANK_TAG,
};

use super::{
    body,
    error::ApiError,
    gate::{App, RESULT_WAIT},
    params::{Params, Segments, id},
    render,
};
use crate::door::Door;

/// Names in one `exclude` at most: AO knows of four.
const MAX_EXCLUDES: usize = 16;
/// Characters of one of them.
const MAX_EXCLUDE_LEN: usize = 64;

/// `POST /`: an item to seal, or with both query parameters an assignment of an existing one.
pub(super) async fn post<D: Door>(
    State(app): State<App<D>>,
    params: Params,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    if params.has("process-id") || params.has("assign") {
        return assign(&app, &params).await;
    }
    let held = body::read_item(&app, &headers, body).await?;
    let sealed = app.door.submit(held.bytes.clone()).await?;
    Ok(accepted(&app, "Processing DataItem", sealed.id))
}

/// 202 with the id and this node's clock.
fn accepted<D: Door>(app: &App<D>, message: &str, id: Id) -> Response {
    let (_, now) = app.door.identity();
    (StatusCode::ACCEPTED, Json(json!({ "message": message, "id": id, "timestamp": now }))).into_response()
}

async fn assign<D: Door>(app: &App<D>, params: &Params) -> Result<Response, ApiError> {
    let process = params.need_id("process-id", "give the process that the item is assigned to, beside assign=<id>")?;
    let item =
        params.need_id("assign", "give the id of the item or transaction to assign, beside process-id=<process>")?;
    let sealed = app.door.assign(process, item, excludes(params)?, params.has("base-layer")).await?;
    Ok(accepted(app, "Processing Assignment", sealed.id))
}

fn excludes(params: &Params) -> Result<Vec<String>, ApiError> {
    let Some(text) = params.get("exclude") else {
        return Ok(Vec::new());
    };
    let names: Vec<String> =
        text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    if names.len() > MAX_EXCLUDES || names.iter().any(|name| name.len() > MAX_EXCLUDE_LEN) {
        let fix = format!(
            "give at most {MAX_EXCLUDES} comma-separated names of at most {MAX_EXCLUDE_LEN} characters, such as Data,Tags"
        );
        return Err(ApiError::field("exclude", text, &fix));
    }
    Ok(names)
}

/// `POST /monitor/{pid}`.
pub(super) async fn monitor<D: Door>(
    State(app): State<App<D>>,
    Segments(pid): Segments<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<&'static str, ApiError> {
    owners_word(&app, &pid, &headers, body).await?;
    Ok("Monitoring process: Weft delivers what every process sends, monitored or not")
}

/// `DELETE /monitor/{pid}`.
pub(super) async fn unmonitor<D: Door>(
    State(app): State<App<D>>,
    Segments(pid): Segments<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<&'static str, ApiError> {
    owners_word(&app, &pid, &headers, body).await?;
    Ok("Process no longer monitored, which changes nothing: Weft stops no cron and delivers what they send")
}

/// The body must be an item for the process, signed by its owner.
async fn owners_word<D: Door>(app: &App<D>, pid: &str, headers: &HeaderMap, body: Body) -> Result<(), ApiError> {
    let process = id("process id in the path", pid)?;
    let held = body::read_item(app, headers, body).await?;
    let bad = |fault| {
        ApiError::new(StatusCode::BAD_REQUEST, format!("body: {fault}; post a data item signed by the process's owner"))
    };
    let word = DataItem::parse_verified(held.bytes.clone(), Profile::Strict).map_err(bad)?;
    if word.target() != Some(process) {
        let target = word.target().map_or("missing".to_owned(), |target| target.to_string());
        return Err(ApiError::field(
            "target of the item",
            &target,
            &format!("it must be the process in the path, {process}"),
        ));
    }
    let view = app.door.process(process).await?;
    // The key that signs what processes spawn can be derived by anyone.
    if render::parse(&view.assignment, "assignment")?.tag(CRANK_TAG).is_some() {
        let reason =
            format!("process {process} was spawned by another process: no wallet owns it, so nobody can sign this");
        return Err(ApiError::new(StatusCode::FORBIDDEN, reason));
    }
    let owner = render::parse(&view.item, "process")?.signer_address();
    if word.signer_address() != owner {
        let reason = format!(
            "item signed by {}: process {process} belongs to {owner}; sign with its owner's key",
            word.signer_address()
        );
        return Err(ApiError::new(StatusCode::FORBIDDEN, reason));
    }
    Ok(())
}

/// `POST /push/{id}/{number}`: delivers entry `number` of what a message has sent once more.
pub(super) async fn push<D: Door>(
    State(app): State<App<D>>,
    Segments(path): Segments<(String, String)>,
    params: Params,
) -> Result<Response, ApiError> {
    push_entry(&app, path, &params, None).await
}

/// `POST /push-result/{id}/{number}`: the same, with the result as the caller has it. Only what is attested is pushed, so it
/// has to have that entry.
pub(super) async fn push_result<D: Door>(
    State(app): State<App<D>>,
    Segments(path): Segments<(String, String)>,
    params: Params,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let result = body::read_json(&app, &headers, body).await?;
    push_entry(&app, path, &params, Some(result)).await
}

async fn push_entry<D: Door>(
    app: &App<D>,
    (message, number): (String, String),
    params: &Params,
    supplied: Option<Value>,
) -> Result<Response, ApiError> {
    let message = id("message id in the path", &message)?;
    let fix = "give the index of the outgoing message, from 0 (spawns follow messages, assignments follow spawns)";
    let number: u32 = number.parse().map_err(|_| ApiError::field("number in the path", &number, fix))?;
    let process = params.need_id("process-id", "give the process whose result it is")?;
    let pushed = app.door.push(process, message, number, supplied, RESULT_WAIT).await?;
    let (_, now) = app.door.identity();
    let list: Vec<Value> = pushed.iter().map(|one| json!({ "id": one.id, "text": one.text })).collect();
    let id = pushed.first().map(|one| one.id);
    let answer = json!({ "message": "Pushed", "id": id, "timestamp": now, "pushed": list });
    Ok((StatusCode::ACCEPTED, Json(answer)).into_response())
}
