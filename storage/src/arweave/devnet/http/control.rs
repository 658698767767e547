//! The switches of a development network: mine, mint, evict.

use axum::extract::{Path, State};
use serde_json::json;

use super::{
    App,
    info::{self, address},
    reply::{Failure, Reply, json, text},
};

/// The most blocks mined by one request.
const MAX_BLOCKS: u64 = 1000;

pub(super) async fn mine(State(app): State<App>) -> Reply {
    app.node.mine().await?;
    info::info(State(app)).await
}

pub(super) async fn mine_some(State(app): State<App>, Path(blocks): Path<String>) -> Reply {
    let blocks = blocks.parse::<u64>().ok().filter(|blocks| *blocks <= MAX_BLOCKS);
    let blocks = blocks.ok_or_else(|| Failure::bad(format!("Number of blocks must be at most {MAX_BLOCKS}.")))?;
    for _ in 0..blocks {
        app.node.mine().await?;
    }
    info::info(State(app)).await
}

pub(super) async fn mint(State(app): State<App>, Path((who, winston)): Path<(String, String)>) -> Reply {
    let winston = winston.parse().map_err(|_| Failure::bad("Amount must be a whole number of winston."))?;
    text(app.node.mint(address(&who)?, winston).await?.to_string())
}

pub(super) async fn evict(State(app): State<App>, Path(id): Path<String>) -> Reply {
    let id = id.parse().map_err(|_| Failure::bad("Invalid transaction id."))?;
    if app.node.evict(id).await? { json(json!({ "dropped": id })) } else { Err(Failure::not_found()) }
}
