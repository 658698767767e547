//! Existing items and transactions, to be assigned to a process by id: found, checked, made part of the log.
//!
//! Where it sits: used by the scheduler's intake (to find) and by whoever evaluates (to read what the log fixed). Once in the
//! log, the content is the log's: a replay never asks a gateway again. `reads` does the same for what a slot may read.

use bytes::Bytes;
use weft_protocol::{
    Id,
    ans104::{DataItem, Profile},
    arweave::{Format, Transaction},
    b64,
    message::{Content, is_excluded},
    network::{Network, Role},
};
use weft_storage::arweave::{
    devnet::Fresh,
    gateway::{Gateway, GatewayError, TxStatus},
};

use crate::{peers::Peers, scheduler::LogStore};

mod reads;
#[cfg(test)]
mod tests;

pub use reads::{Asked, Fetches, ReadsError, checked_reads, reads_of};

/// What an id to be assigned turned out to be.
pub enum Found {
    /// A data item.
    Item(DataItem),
    /// A layer-1 transaction, as JSON with its data.
    Transaction(Bytes),
}

/// Why it was not found, or cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FindError {
    /// Nobody has it.
    #[error("no node and no gateway knows {0}: check it")]
    NotFound(String),
    /// More than the network allows.
    #[error("{0}")]
    TooLarge(String),
    /// A layer-1 transaction that is not deep enough.
    #[error(
        "transaction {id} has {has} confirmations and this process wants {needs} (its tag Settlement-Depth, or the network's \
         rule): try again when it is deeper"
    )]
    NotSettled {
        /// The transaction.
        id: Id,
        /// Blocks on top of its own, that one included.
        has: u64,
        /// What it takes.
        needs: u64,
    },
    /// Not everybody could be asked.
    #[error("{what} is not found yet: {reason}; try again")]
    Unavailable {
        /// What was looked for.
        what: String,
        /// Who was silent.
        reason: String,
    },
}

impl FindError {
    fn of(what: impl ToString, error: &GatewayError) -> Self {
        match error {
            GatewayError::NotFound(_) => Self::NotFound(what.to_string()),
            GatewayError::Refused { status: 413, reason, .. } => {
                Self::TooLarge(format!("{} is too large: {reason}", what.to_string()))
            }
            error => Self::Unavailable { what: what.to_string(), reason: error.to_string() },
        }
    }
}

/// Finds items: in this node's logs, in other schedulers' logs, through the gateway. Cheap to clone.
#[derive(Clone)]
pub struct Finder {
    /// The network whose schedulers are asked.
    pub network: Network,
    /// Calls to them.
    pub peers: Peers,
    /// This node's logs.
    pub log: LogStore,
    /// Arweave.
    pub gateway: Gateway,
    /// The newest items of the network, for those who ask before gateways know them.
    pub fresh: Fresh,
    /// Bounds what is fetched at the same time.
    pub fetches: Fetches,
}

/// What is wanted of an item or transaction to be assigned.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Only a layer-1 transaction will do.
    pub base_layer: bool,
    /// The process is not shown the data.
    pub without_data: bool,
    /// Confirmations a transaction needs.
    pub depth: u64,
    /// Bytes that it may add to the log.
    pub most: usize,
}

impl Finder {
    /// The item or transaction `id`.
    ///
    /// # Errors
    /// [`FindError`].
    pub async fn find(&self, id: &Id, wanted: Wanted) -> Result<Found, FindError> {
        if !wanted.base_layer
            && let Some(item) = self.item_from_nodes(id).await
        {
            return Ok(Found::Item(item));
        }
        // Gateways describe transactions as they do items: only the chain's own word tells which it is.
        let has = match self.gateway.status(id).await.map_err(|error| FindError::of(id, &error))? {
            TxStatus::Unknown if wanted.base_layer => {
                let what = format!("a layer-1 transaction {id} (of a data item, leave the base layer out)");
                return Err(FindError::NotFound(what));
            }
            TxStatus::Unknown => {
                let item = self.gateway.raw_item(id).await;
                return item.map(Found::Item).map_err(|error| FindError::of(id, &error));
            }
            TxStatus::Pending => 0,
            TxStatus::Mined { confirmations, .. } => confirmations,
        };
        self.transaction(id, has, wanted).await.map(Found::Transaction)
    }

    /// A transaction that `has` confirmations, if they are enough, as JSON. How many it has is what the gateway says.
    async fn transaction(&self, id: &Id, has: u64, wanted: Wanted) -> Result<Bytes, FindError> {
        if has < wanted.depth {
            return Err(FindError::NotSettled { id: *id, has, needs: wanted.depth });
        }
        // The log has the data as base64, four bytes for three.
        let most = u64::try_from(wanted.most / 4 * 3).unwrap_or(u64::MAX);
        let json = match wanted.without_data {
            true => self.gateway.transaction_header_json(id, most).await,
            false => self.gateway.transaction_json(id, most).await,
        };
        json.map_err(|error| FindError::of(id, &error))
    }

    /// An item in a scheduler's log, here or elsewhere.
    pub async fn item_from_nodes(&self, id: &Id) -> Option<DataItem> {
        let check = |raw: Bytes| DataItem::parse_verified(raw, Profile::History).ok().filter(|item| item.id() == *id);
        if let Some(item) = self.log.item(id).ok().flatten().and_then(check) {
            return Some(item);
        }
        let me = self.peers.network().key();
        let others: Vec<_> = self.network.members(Role::Scheduler).map(|m| m.key).filter(|key| *key != me).collect();
        let asked = others.into_iter().map(|key| async move { self.peers.item(key, id).await.ok() });
        futures::future::join_all(asked).await.into_iter().flatten().find_map(check)
    }
}

/// What a module is shown of an assigned transaction whose JSON stands in the log; `None` unless it verifies and has this id.
/// The data may be missing if the process is not shown it.
pub fn content_of_transaction(json: &[u8], id: Id, exclude: &[String]) -> Option<Content> {
    let transaction = Transaction::from_json(json).ok()?;
    transaction.verify().ok()?;
    let left_out = transaction.data().is_empty() && is_excluded(exclude, "Data");
    if transaction.format() == Format::Two && transaction.data_size() > 0 && !left_out {
        transaction.check_data(transaction.data()).ok()?;
    }
    (transaction.id() == id).then(|| Content {
        id,
        signature: transaction.signature().to_vec(),
        data: transaction.data().to_vec(),
        owner: transaction.owner_address().to_string(),
        target: transaction.target().map(|t| t.to_string()).unwrap_or_default(),
        anchor: Some(b64::encode(transaction.last_tx())),
        tags: transaction.text_tags(),
    })
}
