//! The devnet's routes: a node's, a gateway's, an uploader's, and the switches of a development network.

mod control;
mod data;
mod info;
mod reply;
mod tx;
mod upload;

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State},
    response::Html,
    routing::{get, post},
};
use tower_http::cors::CorsLayer;

use super::{
    graphql::{self, Gql, Source},
    node::Node,
    query::Lists,
};

/// The largest body taken: a data item of the largest size, or a transaction whose data (base64url) is 15 MiB.
const MAX_BODY: usize = super::log::MAX_PAYLOAD;
/// The largest GraphQL question, in bytes.
const MAX_QUESTION: usize = 1 << 20;
/// The largest chunk in its JSON form, in bytes.
const MAX_CHUNK: usize = 1 << 20;

/// What handlers share.
#[derive(Clone)]
struct App {
    node: Arc<Node>,
    schema: Gql,
}

/// All routes over a devnet.
pub(super) fn router(node: Arc<Node>) -> Router {
    let app = App { schema: graphql::schema(Source::Devnet(node.clone())), node };
    Router::new()
        .merge(node_routes())
        .merge(gateway_routes())
        .merge(uploader_routes())
        .merge(control_routes())
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(CorsLayer::permissive().expose_headers(tower_http::cors::Any))
        .with_state(app)
}

fn node_routes() -> Router<App> {
    Router::new()
        .route("/", get(info::info))
        .route("/info", get(info::info))
        .route("/height", get(info::height))
        .route("/time", get(info::time))
        .route("/peers", get(info::peers))
        .route("/tx_anchor", get(info::anchor))
        .route("/price/{bytes}", get(info::price))
        .route("/price/{bytes}/{target}", get(info::price_to))
        .route("/wallet/{address}/balance", get(info::balance))
        .route("/wallet/{address}/last_tx", get(info::last_tx))
        .route("/block/height/{height}", get(info::block_at))
        .route("/block/hash/{hash}", get(info::block_by_hash))
        .route("/block/current", get(info::current_block))
        .route("/current_block", get(info::current_block))
        .route("/tx", post(tx::post))
        .route("/tx/pending", get(tx::pending))
        .route("/tx/{id}", get(tx::header).post(upload::post_for))
        .route("/tx/{id}/{field}", get(tx::field))
        .route("/unconfirmed_tx/{id}", get(tx::unconfirmed))
        .route("/chunk", post(tx::post_chunk).layer(DefaultBodyLimit::max(MAX_CHUNK)))
        .route("/chunk/{offset}", get(tx::chunk))
}

fn gateway_routes() -> Router<App> {
    Router::new()
        .route("/{id}", get(data::data))
        .route("/raw/{id}", get(data::data))
        .route("/graphql", get(playground).post(question).layer(DefaultBodyLimit::max(MAX_QUESTION)))
}

fn uploader_routes() -> Router<App> {
    Router::new()
        .route("/v1/tx", post(upload::post))
        .route("/v1/tx/{token}", post(upload::post_for))
        .route("/v1/tx/{id}/status", get(upload::status))
}

fn control_routes() -> Router<App> {
    Router::new()
        .route("/mine", get(control::mine).post(control::mine))
        .route("/mine/{blocks}", get(control::mine_some).post(control::mine_some))
        .route("/mint/{address}/{winston}", get(control::mint).post(control::mint))
        .route("/devnet/drop/{id}", get(control::evict).post(control::evict))
}

async fn question(
    State(app): State<App>,
    Json(request): Json<async_graphql::Request>,
) -> Json<async_graphql::Response> {
    Json(app.schema.execute(request.data(Lists::default())).await)
}

async fn playground() -> Html<&'static str> {
    Html(
        "<!doctype html><title>Weft devnet</title><p>GraphQL: POST a question here, e.g. <code>{\"query\":\"{blocks{edges{node{height}}}}\"}</code>",
    )
}
