//! What every request passes before its handler: bounds on its head, on how many run at once and on its time; counters;
//! the end when the node stops.
//!
//! Where it sits: the one middleware of the router in `http.rs`; also holds what all handlers share ([`App`]).

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    extract::{Request, State},
    http::StatusCode,
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{
    DRAIN_TIME,
    error::ApiError,
    metrics::Metrics,
    routes::{self, Class},
};
use crate::door::Door;

/// Requests worked on at once.
const MAX_WORKING: usize = 512;
/// Requests that wait for an evaluation at once, beside the working ones.
const MAX_WAITING: usize = 512;
/// Memories of processes held at once while they are sent.
const MAX_COPIES: usize = 4;
/// Memory that request bodies hold together: this, or four of the largest items if that is more.
const MIN_BODY_BUDGET: usize = 256 << 20;
/// Longest path and query together, in bytes.
const MAX_URI: usize = 8 << 10;
/// Longest head (names and values) in bytes.
const MAX_HEAD: usize = 32 << 10;
/// How long `/result` and `/dry-run` wait for an evaluation.
pub(super) const RESULT_WAIT: Duration = Duration::from_secs(60);
/// Longest any request may take; above [`RESULT_WAIT`] so that a wait ends with its own words.
const REQUEST_TIME: Duration = Duration::from_secs(75);

/// What the handlers share.
#[derive(Clone)]
pub(super) struct App<D> {
    /// The node.
    pub door: D,
    /// The doors' counters.
    pub metrics: Arc<Metrics>,
    /// Kibibytes that bodies may hold.
    pub bodies: Arc<Semaphore>,
    /// Memories of processes given out at once.
    pub copies: Arc<Semaphore>,
    working: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    shutdown: CancellationToken,
}

impl<D: Door> App<D> {
    /// Everything fresh over `door`.
    pub fn new(door: D, shutdown: CancellationToken) -> Self {
        let budget = door.max_item_bytes().saturating_mul(4).max(MIN_BODY_BUDGET) >> 10;
        Self {
            door,
            metrics: Arc::new(Metrics::new()),
            bodies: Arc::new(Semaphore::new(budget.min(Semaphore::MAX_PERMITS))),
            copies: Arc::new(Semaphore::new(MAX_COPIES)),
            working: Arc::new(Semaphore::new(MAX_WORKING)),
            waiting: Arc::new(Semaphore::new(MAX_WAITING)),
            shutdown,
        }
    }

    /// A place for a request of `class`, or why there is none.
    fn admit(&self, class: Class) -> Result<Option<OwnedSemaphorePermit>, ApiError> {
        let places = match class {
            Class::Probe => return Ok(None),
            Class::Work => &self.working,
            Class::Wait => &self.waiting,
        };
        let full = |_| {
            ApiError::busy(
                "this node already works on as many requests as it can hold; try again in a second, or another node",
            )
        };
        places.clone().try_acquire_owned().map(Some).map_err(full)
    }

    /// Resolves some seconds after the node was told to stop.
    async fn stopped(&self) {
        self.shutdown.cancelled().await;
        tokio::time::sleep(DRAIN_TIME).await;
    }
}

/// The head's size within bounds?
fn check_head(request: &Request) -> Result<(), ApiError> {
    let uri = request.uri();
    let length = uri.path().len().saturating_add(uri.query().map_or(0, str::len));
    if length > MAX_URI {
        return Err(ApiError::new(
            StatusCode::URI_TOO_LONG,
            format!("path and query: {length} bytes, at most {MAX_URI} are read"),
        ));
    }
    let head = request
        .headers()
        .iter()
        .fold(0_usize, |sum, (name, value)| sum.saturating_add(name.as_str().len()).saturating_add(value.len()));
    if head > MAX_HEAD {
        let reason = format!("headers: {head} bytes, at most {MAX_HEAD} are read; send fewer or shorter ones");
        return Err(ApiError::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, reason));
    }
    Ok(())
}

/// Admits, times, bounds and counts a request.
pub(super) async fn gate<D: Door>(State(app): State<App<D>>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let under_way = app.metrics.start();
    let route = routes::classify(request.uri().path());
    let class = route.map_or(Class::Work, |route| route.class);
    let response = pass(&app, class, request, next).await.unwrap_or_else(ApiError::into_response);
    drop(under_way);
    app.metrics.answered(route.map_or("other", |route| route.template), response.status().as_u16(), started.elapsed());
    response
}

/// The handler's answer, within the bounds.
async fn pass<D: Door>(app: &App<D>, class: Class, request: Request, next: Next) -> Result<Response, ApiError> {
    check_head(&request)?;
    let _place = app.admit(class)?;
    tokio::select! {
        answer = timeout(REQUEST_TIME, next.run(request)) => answer.map_err(|_| {
            let reason = format!("no answer within {} seconds; what was begun goes on, ask for it again", REQUEST_TIME.as_secs());
            ApiError::new(StatusCode::GATEWAY_TIMEOUT, reason)
        }),
        () = app.stopped() => Err(ApiError::busy("this node is stopping; ask another node, or this one again once it is back")),
    }
}
