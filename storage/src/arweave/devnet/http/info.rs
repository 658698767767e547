//! The state of the chain and of wallets.

use axum::extract::{Path, State};
use serde_json::json;
use weft_protocol::Id;

use super::{
    super::{chain, node::now, state},
    App,
    reply::{Failure, Reply, json, text},
};

pub(super) async fn info(State(app): State<App>) -> Reply {
    let state = app.node.read();
    json(json!({
        "network": "arweave.weft-devnet", "version": 5, "release": 1, "height": state.height(), "current": state.tip(),
        "blocks": state.blocks.len(), "peers": 0, "queue_length": state.pool.len(), "node_state_latency": 0,
    }))
}

pub(super) async fn height(State(app): State<App>) -> Reply {
    text(app.node.read().height().to_string())
}

pub(super) async fn time() -> Reply {
    text(now().as_secs().to_string())
}

pub(super) async fn peers() -> Reply {
    json(json!([]))
}

pub(super) async fn anchor(State(app): State<App>) -> Reply {
    text(chain::anchor(&app.node.read().blocks).to_owned())
}

pub(super) async fn price(Path(bytes): Path<String>) -> Reply {
    let bytes = bytes.parse().map_err(|_| Failure::bad("Size must be an integer."))?;
    text(chain::fee(bytes, false).to_string())
}

/// `/price/{bytes}/{target}` of nodes, and `/price/{token}/{bytes}` of uploaders: those take items for nothing here.
pub(super) async fn price_to(State(app): State<App>, Path((bytes, target)): Path<(String, String)>) -> Reply {
    let Ok(bytes) = bytes.parse() else {
        target.parse::<u64>().map_err(|_| Failure::bad("Size must be an integer."))?;
        return json(json!({ "winc": "0", "adjustments": [], "fees": [] }));
    };
    let target = address(&target)?;
    let is_new = !app.node.read().wallets.contains_key(&target);
    text(chain::fee(bytes, is_new).to_string())
}

pub(super) fn address(text: &str) -> Result<Id, Failure> {
    text.parse().map_err(|_| Failure::bad("Invalid address."))
}

pub(super) async fn balance(State(app): State<App>, Path(who): Path<String>) -> Reply {
    let who = address(&who)?;
    text(app.node.read().wallets.get(&who).map_or(0, |wallet| wallet.balance).to_string())
}

pub(super) async fn last_tx(State(app): State<App>, Path(who): Path<String>) -> Reply {
    let who = address(&who)?;
    let last = app.node.read().wallets.get(&who).and_then(|wallet| wallet.last_tx);
    text(last.map(|id| id.to_string()).unwrap_or_default())
}

fn block(state: &state::State, block: Option<&chain::Block>) -> Reply {
    let block = block.ok_or_else(Failure::not_found)?;
    let below = block.height.checked_sub(1).and_then(|height| state.block_at(height));
    let size = block.weave_size.saturating_sub(below.map_or(0, |below| below.weave_size));
    json(block.json(size))
}

pub(super) async fn block_at(State(app): State<App>, Path(height): Path<String>) -> Reply {
    let height = height.parse().map_err(|_| Failure::bad("Invalid height."))?;
    let state = app.node.read();
    block(&state, state.block_at(height))
}

pub(super) async fn block_by_hash(State(app): State<App>, Path(hash): Path<String>) -> Reply {
    let state = app.node.read();
    block(&state, state.blocks.iter().find(|block| block.hash == hash))
}

pub(super) async fn current_block(State(app): State<App>) -> Reply {
    let state = app.node.read();
    block(&state, state.blocks.last())
}
