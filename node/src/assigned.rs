//! Existing items and transactions, to be assigned to a process by id: found, checked, made part of the log.
//!
//! Where it sits: used by the scheduler's intake (to find) and by whoever evaluates (to read what the log fixed). Once in the
//! log, the content is the log's: a replay never asks a gateway again.

use bytes::Bytes;
use weft_protocol::{
    Id,
    ans104::{DataItem, Profile},
    arweave::Transaction,
    b64,
    message::Content,
    network::{Network, Role},
};
use weft_storage::arweave::{
    devnet::Fresh,
    gateway::{Gateway, GatewayError},
};

use crate::{peers::Peers, scheduler::LogStore};

/// What an id to be assigned turned out to be.
pub enum Found {
    /// A data item.
    Item(DataItem),
    /// A layer-1 transaction, as JSON with its data.
    Transaction(Bytes),
}

/// Why it was not found.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FindError {
    /// Nobody has it.
    #[error("no node and no gateway knows {0}: check the id")]
    NotFound(Id),
    /// Not everybody could be asked.
    #[error("{id} is not found yet: {reason}; try again")]
    Unavailable {
        /// The id.
        id: Id,
        /// Who was silent.
        reason: String,
    },
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
}

impl Finder {
    /// The item or transaction `id`; `base_layer` asks for a transaction only.
    ///
    /// # Errors
    /// [`FindError`].
    pub async fn find(&self, id: &Id, base_layer: bool) -> Result<Found, FindError> {
        if base_layer {
            return self.transaction(id).await;
        }
        if let Some(item) = self.item_from_nodes(id).await {
            return Ok(Found::Item(item));
        }
        match self.gateway.raw_item(id).await {
            Ok(item) => Ok(Found::Item(item)),
            Err(GatewayError::NotFound(_)) => self.transaction(id).await,
            Err(error) => Err(FindError::Unavailable { id: *id, reason: error.to_string() }),
        }
    }

    async fn transaction(&self, id: &Id) -> Result<Found, FindError> {
        match self.gateway.transaction_json(id).await {
            Ok(json) => Ok(Found::Transaction(json)),
            Err(GatewayError::NotFound(_)) => Err(FindError::NotFound(*id)),
            Err(error) => Err(FindError::Unavailable { id: *id, reason: error.to_string() }),
        }
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
pub fn content_of_transaction(json: &[u8], id: Id) -> Option<Content> {
    let transaction = Transaction::from_json(json).ok()?;
    transaction.verify().ok()?;
    if transaction.data_size() > 0 {
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
