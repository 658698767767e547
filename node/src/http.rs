//! The HTTP doors of a node: what AO clients speak (messenger, scheduler, compute, gateway), Weft's own `/v1`, and what
//! an operator's tools ask (`/livez`, `/readyz`, `/metrics`, the status page).
//!
//! Where it sits: above [`crate::door`], and knowing nothing else of the node. One router carries every role, so any
//! address of a node answers any client; the roles' paths do not collide (`openapi.json` beside this file lists them).
//!
//! Everything from outside is bounded here: connections, requests in flight, waiting requests, head and body sizes, the
//! memory that bodies hold together, and the time of each request.

mod body;
mod chain;
mod compute;
mod cursor;
mod error;
mod gate;
mod gateway;
mod hyperbeam;
mod listener;
mod messenger;
mod metrics;
mod params;
mod render;
mod routes;
mod scheduler;
mod traces;
mod weft;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router, middleware,
    routing::{get, post},
};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tower_http::cors::{Any, CorsLayer};

use self::{gate::App, listener::BoundedListener};
use crate::door::Door;

/// The API description served at `/v1/openapi.json`.
pub const OPENAPI: &str = include_str!("http/openapi.json");

/// The method and path template of every route, as [`OPENAPI`] lists them.
pub fn route_list() -> Vec<(&'static str, &'static str)> {
    routes::ROUTES.iter().flat_map(|route| route.methods.iter().map(move |method| (*method, route.template))).collect()
}

/// Connections held at once over all addresses; the next one waits in the kernel's queue.
const MAX_CONNECTIONS: usize = 2_048;
/// How long requests under way may still run once shutdown is asked for.
const DRAIN_TIME: Duration = Duration::from_secs(3);

/// Why the doors could not be opened or stopped working.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// An address is taken or not ours.
    #[error(
        "cannot listen on http address {address}: {source}; change `http` in the node's config or stop what holds the port"
    )]
    Bind {
        /// The address as configured.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// Serving ended with a failure.
    #[error("the http server stopped: {0}; start the node again")]
    Serve(String),
}

/// Doors that are open. Dropping it closes them at once; [`Server::finished`] waits for a clean end.
#[derive(Debug)]
pub struct Server {
    addresses: Vec<SocketAddr>,
    tasks: JoinSet<io::Result<()>>,
}

impl Server {
    /// The bound addresses in the order asked for, with real ports where 0 was asked.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Waits until the shutdown token was cancelled and requests under way were answered (at most a few seconds).
    ///
    /// # Errors
    /// [`HttpError::Serve`] if a listener failed before that.
    pub async fn finished(mut self) -> Result<(), HttpError> {
        while let Some(end) = self.tasks.join_next().await {
            end.map_err(|fault| HttpError::Serve(fault.to_string()))?
                .map_err(|fault| HttpError::Serve(fault.to_string()))?;
        }
        Ok(())
    }
}

/// Opens every address in `listen` (port 0 asks for a free one) and serves `door` on each until `shutdown`. All
/// addresses are bound before the first request is taken, so a taken port is an error and not half a node.
///
/// # Errors
/// [`HttpError::Bind`] names the address that could not be had.
pub async fn serve<D: Door>(
    door: D,
    listen: Vec<SocketAddr>,
    shutdown: CancellationToken,
) -> Result<Server, HttpError> {
    let mut bound = Vec::with_capacity(listen.len());
    for address in listen {
        let fail = |source| HttpError::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(fail)?;
        let real = listener.local_addr().map_err(fail)?;
        bound.push((real, listener));
    }
    let router = router_until(door, shutdown.clone());
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut server = Server { addresses: Vec::with_capacity(bound.len()), tasks: JoinSet::new() };
    for (address, listener) in bound {
        server.addresses.push(address);
        server.tasks.spawn(serve_one(BoundedListener::new(listener, slots.clone()), router.clone(), shutdown.clone()));
    }
    Ok(server)
}

/// One address until shutdown; connections that do not end by themselves are let go after [`DRAIN_TIME`].
async fn serve_one(listener: BoundedListener, router: Router, shutdown: CancellationToken) -> io::Result<()> {
    let serving = axum::serve(listener, router).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let too_late = async {
        shutdown.cancelled().await;
        tokio::time::sleep(DRAIN_TIME.saturating_mul(2)).await;
    };
    tokio::select! {
        end = serving => end,
        () = too_late => Ok(()),
    }
}

/// The router over `door`, for tests and for embedding; [`serve`] is the usual way.
pub fn router<D: Door>(door: D) -> Router {
    router_until(door, CancellationToken::new())
}

/// The router; requests that outlast `shutdown` by [`DRAIN_TIME`] are answered 503.
fn router_until<D: Door>(door: D, shutdown: CancellationToken) -> Router {
    let app = App::new(door, shutdown);
    let cors = CorsLayer::new().allow_origin(Any).allow_methods(Any).allow_headers(Any).expose_headers(Any);
    Router::new()
        .merge(ao_routes())
        .merge(chain_routes())
        .merge(weft_routes())
        .fallback(hyperbeam::any::<D>)
        .method_not_allowed_fallback(routes::wrong_method)
        .layer(middleware::from_fn_with_state(app.clone(), gate::gate::<D>))
        .layer(cors)
        .with_state(app)
}

/// What AO's messenger, scheduler, compute unit and gateway offer.
fn ao_routes<D: Door>() -> Router<App<D>> {
    Router::new()
        .route("/", get(scheduler::root::<D>).post(messenger::post::<D>))
        .route("/monitor/{pid}", post(messenger::monitor::<D>).delete(messenger::unmonitor::<D>))
        .route("/push/{id}/{number}", post(messenger::push::<D>))
        .route("/push-result/{id}/{number}", post(messenger::push_result::<D>))
        .route("/push", post(hyperbeam::any::<D>))
        .route("/timestamp", get(scheduler::timestamp::<D>))
        .route("/health", get(scheduler::health))
        .route("/{id}", get(scheduler::by_id::<D>))
        .route("/{pid}/latest", get(scheduler::latest::<D>))
        .route("/processes/{pid}", get(scheduler::record::<D>))
        .route("/result/{id}", get(compute::result::<D>).post(compute::read_outcome::<D>))
        .route("/results/{pid}", get(compute::results::<D>))
        .route("/cron/{pid}", get(compute::cron::<D>))
        .route("/state/{pid}", get(compute::state))
        .route("/dry-run", post(compute::dry_run::<D>))
        .route("/graphql", post(gateway::graphql::<D>))
        .route("/raw/{id}", get(gateway::raw::<D>))
        .route("/tx", post(gateway::post::<D>))
        .route("/tx/arweave", post(gateway::upload::<D>))
}

/// What Arweave's nodes offer, from the gateway.
fn chain_routes<D: Door>() -> Router<App<D>> {
    Router::new()
        .route("/info", get(chain::plain::<D>))
        .route("/tx_anchor", get(chain::plain::<D>))
        .route("/block/current", get(chain::plain::<D>))
        .route("/block/height/{height}", get(chain::block_at::<D>))
        .route("/block/hash/{hash}", get(chain::block_by_hash::<D>))
        .route("/price/{bytes}", get(chain::price::<D>))
        .route("/price/{bytes}/{target}", get(chain::price_to::<D>))
        .route("/wallet/{address}/{what}", get(chain::wallet::<D>))
        .route("/tx/{id}", get(chain::transaction::<D>))
        .route("/tx/{id}/{field}", get(chain::field::<D>))
        .route("/chunk", post(chain::post_chunk::<D>))
        .route("/chunk/{offset}", get(chain::chunk::<D>))
}

/// Weft's own interface and the operator's.
fn weft_routes<D: Door>() -> Router<App<D>> {
    Router::new()
        .route("/livez", get(weft::livez))
        .route("/readyz", get(weft::readyz::<D>))
        .route("/metrics", get(weft::metrics::<D>))
        .route("/v1/openapi.json", get(weft::openapi))
        .route("/v1/status", get(weft::status::<D>))
        .route("/v1/network", get(weft::network::<D>))
        .route("/v1/market", get(weft::market::<D>))
        .route("/v1/activity", get(weft::activity::<D>))
        .route("/v1/items", post(weft::items::<D>))
        .route("/v1/processes", get(weft::processes::<D>))
        .route("/v1/processes/{pid}", get(weft::process::<D>))
        .route("/v1/processes/{pid}/log", get(weft::log::<D>))
        .route("/v1/processes/{pid}/results", get(weft::results::<D>))
        .route("/v1/processes/{pid}/messages/{id}", get(weft::receipt::<D>))
}
