//! The devnet's acts: accept, unbundle, mine, drop. Each is durable before it is visible.

use std::{
    path::Path,
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use tokio::sync::Mutex;
use weft_protocol::{
    Id,
    ans104::{DataItem, Profile, RsaSigner, bundle},
    arweave::Transaction,
    keys::Jwk,
};

use super::{
    DevnetError,
    body::{BodyKey, Place, Source},
    chain::{self, Block},
    event::{Event, Found},
    log::Log,
    state::{Payload, State},
    tx::{self, body_key},
};
use crate::arweave::bundler::{self, Terms};

/// The wallet that pays for the bundles of uploaded items. Public, worth nothing.
const WALLET: &str = include_str!("wallet.json");
/// What that wallet gets at the start, in winston.
const WALLET_WINSTON: u128 = 1_000_000_000_000_000_000_000;
/// What the devnet is ready to open in one transaction.
const LIMITS: bundle::Limits =
    bundle::Limits { max_items: 10_000, max_item_size: super::log::MAX_PAYLOAD, max_depth: 8 };
/// Raw bytes of uploaded items packed in one bundle.
const PACK_BYTES: usize = 8 << 20;
/// Uploaded items packed in one bundle.
const PACK_ITEMS: usize = 1000;

/// The devnet behind its HTTP.
pub(super) struct Node {
    state: RwLock<State>,
    /// Held from checking an act against the state until it is in the state.
    act: Mutex<()>,
    log: Log,
    wallet: RsaSigner,
}

impl Node {
    /// Opens (and replays) the devnet of a folder; an empty one gets its first block and `mint`.
    pub async fn open(folder: Option<&Path>, mint: &[(Id, u128)]) -> Result<Self, DevnetError> {
        let jwk: Jwk = serde_json::from_str(WALLET).map_err(|error| DevnetError::Record(error.to_string()))?;
        let wallet = RsaSigner::from_jwk(&jwk).map_err(|error| DevnetError::Record(error.to_string()))?;
        let log = Log::open(folder)?;
        let node = Self { state: RwLock::default(), act: Mutex::new(()), log, wallet };
        node.log.replay(|home, record| {
            let (event, bytes, at) = Event::decode(&record)?;
            node.redo(event, Payload { bytes, home, at })
        })?;
        if node.read().blocks.is_empty() {
            node.commit(Event::Mint { address: jwk.address(), winston: WALLET_WINSTON.to_string() }, &[]).await?;
            for (address, winston) in mint {
                node.commit(Event::Mint { address: *address, winston: winston.to_string() }, &[]).await?;
            }
            let block = Block::above(None, now().as_secs(), Vec::new(), 0);
            node.commit(Event::Block { block, expired: Vec::new() }, &[]).await?;
        }
        node.unbundle().await?;
        Ok(node)
    }

    pub fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn redo(&self, event: Event, payload: Payload) -> Result<(), DevnetError> {
        let Event::Unbundled { tx, items } = event else {
            self.write().apply(event, &payload);
            return Ok(());
        };
        let Some(data) = self.transaction_data(&tx)? else { return Ok(()) };
        let parse = |found: Found| {
            let from = usize::try_from(found.offset).ok()?;
            let to = from.checked_add(usize::try_from(found.size).ok()?).filter(|to| *to <= data.len())?;
            Some((found, DataItem::parse(data.slice(from..to), Profile::History).ok()?))
        };
        let items = items.into_iter().filter_map(parse).collect::<Vec<_>>();
        self.write().unbundled(tx, &items);
        Ok(())
    }

    async fn commit(&self, event: Event, bytes: &[u8]) -> Result<(), DevnetError> {
        let (record, at) = event.encode(bytes)?;
        let skip = usize::try_from(at).unwrap_or(usize::MAX).min(record.len());
        let payload = record.slice(skip..);
        let home = self.log.append(record).await?;
        self.write().apply(event, &Payload { bytes: payload, home, at });
        Ok(())
    }

    /// The bytes at a place; `None` while chunks are missing.
    pub fn data(&self, place: &Place) -> Result<Option<Bytes>, DevnetError> {
        let plan = self.read().bodies.plan(place);
        plan.map(|plan| plan.read(&self.log)).transpose()
    }

    /// A piece of data that holds byte `at`: where it starts, its bytes and its proof.
    pub fn piece(&self, key: &BodyKey, at: u64) -> Result<Option<(u64, Bytes, Option<Bytes>)>, DevnetError> {
        let found = self.read().bodies.piece_at(key, at);
        found.map(|(start, piece)| Ok((start, self.log.read(&piece.slot)?, piece.path))).transpose()
    }

    /// All data of a transaction; `None` while chunks are missing or without data.
    pub fn transaction_data(&self, id: &Id) -> Result<Option<Bytes>, DevnetError> {
        let key = self.read().txs.get(id).and_then(|tx| body_key(&tx.header));
        let Some(key) = key else { return Ok(None) };
        self.data(&Place { source: Source::Body(key), offset: 0, len: key.size })
    }

    /// Gives money to an address; what it has then.
    pub async fn mint(&self, address: Id, winston: u128) -> Result<u128, DevnetError> {
        let _act = self.act.lock().await;
        self.commit(Event::Mint { address, winston: winston.to_string() }, &[]).await?;
        Ok(self.read().wallets.get(&address).map_or(0, |wallet| wallet.balance))
    }

    /// Takes a transaction into the pool, or says why not.
    pub async fn accept(&self, transaction: Transaction) -> Result<(), DevnetError> {
        let header = tx::check(&transaction)?;
        {
            let _act = self.act.lock().await;
            tx::admit(&self.read(), &header)?;
            self.commit(Event::Transaction { header: Box::new(header) }, transaction.data()).await?;
        }
        self.unbundle().await
    }

    /// Takes a chunk of a transaction's data, or says why not.
    pub async fn accept_chunk(&self, chunk: tx::CheckedChunk) -> Result<(), DevnetError> {
        let complete = {
            let _act = self.act.lock().await;
            let key = BodyKey { root: chunk.root, size: chunk.size };
            {
                let state = self.read();
                if !state.bodies.is_wanted(&key) {
                    return Err(DevnetError::Chunk("data_root_not_found"));
                }
                if state.bodies.is_complete(&key) || state.bodies.has_piece(&key, chunk.start) {
                    return Ok(());
                }
            }
            let path_len = u32::try_from(chunk.path.len()).map_err(|_| DevnetError::Chunk("data_path_too_big"))?;
            let bytes = [chunk.path, chunk.bytes].concat();
            let event = Event::Chunk { root: key.root, size: key.size, start: chunk.start, path_len };
            self.commit(event, &bytes).await?;
            self.read().bodies.is_complete(&key)
        };
        if complete { self.unbundle().await } else { Ok(()) }
    }

    /// Takes a verified item from the uploader.
    pub async fn accept_item(&self, item: &DataItem) -> Result<(), DevnetError> {
        if self.read().records.get(&item.id()).is_some() {
            return Ok(());
        }
        let at = u64::try_from(now().as_millis()).unwrap_or(u64::MAX);
        self.commit(Event::Item { at }, item.raw()).await
    }

    /// Opens the bundles that have become complete.
    async fn unbundle(&self) -> Result<(), DevnetError> {
        let _act = self.act.lock().await;
        self.unbundle_locked().await
    }

    async fn unbundle_locked(&self) -> Result<(), DevnetError> {
        let waiting = self.read().to_unbundle();
        for id in waiting {
            let Some(data) = self.transaction_data(&id)? else { continue };
            let opened = tokio::task::spawn_blocking(move || open_bundle(id, &data)).await;
            let items = opened.map_err(|error| DevnetError::Record(error.to_string()))?;
            let event = Event::Unbundled { tx: id, items: items.iter().map(|(found, _)| found.clone()).collect() };
            self.log.append(event.encode(&[])?.0).await?;
            self.write().unbundled(id, &items);
        }
        Ok(())
    }

    /// Mines a block: uploaded items are packed first, then the pool goes in; too old anchors go out.
    pub async fn mine(&self) -> Result<Block, DevnetError> {
        let _act = self.act.lock().await;
        self.pack().await?;
        let (block, expired) = self.next_block();
        self.commit(Event::Block { block: block.clone(), expired }, &[]).await?;
        Ok(block)
    }

    fn next_block(&self) -> (Block, Vec<Id>) {
        let state = self.read();
        let (mut txs, mut expired, mut added) = (Vec::new(), Vec::new(), 0_u64);
        for id in &state.pool {
            let Some(tx) = state.txs.get(id) else { continue };
            if !state.is_anchor(tx.header.last_tx(), &tx.header.owner_address()) {
                expired.push(*id);
            } else if txs.len() < chain::BLOCK_TXS {
                txs.push(*id);
                added = added.saturating_add(tx.header.data_size());
            }
        }
        (Block::above(state.blocks.last(), now().as_secs(), txs, added), expired)
    }

    /// Puts the uploaded items that have no bundle into bundle transactions of the devnet's own.
    async fn pack(&self) -> Result<(), DevnetError> {
        loop {
            let items = self.next_pack()?;
            if items.is_empty() {
                return Ok(());
            }
            let terms = {
                let state = self.read();
                let bytes = bundler::bundle_size(&items);
                Terms { anchor: chain::anchor(&state.blocks).to_owned(), reward: chain::fee(bytes, false) }
            };
            let bundle = bundler::build(&items, &terms, &self.wallet)?;
            self.commit(Event::Transaction { header: Box::new(bundle.header) }, &bundle.data).await?;
            self.unbundle_locked().await?;
        }
    }

    fn next_pack(&self) -> Result<Vec<DataItem>, DevnetError> {
        let mut items = Vec::new();
        let mut bytes = 0_usize;
        let waiting = self.read().unpacked.clone();
        for id in waiting.iter().take(PACK_ITEMS) {
            let place = self.read().records.get(id).and_then(|record| record.own.clone());
            let Some(Place { source: Source::Own(slot), .. }) = place else { continue };
            let raw = self.log.read(&slot.whole())?;
            bytes = bytes.saturating_add(raw.len());
            if !items.is_empty() && bytes > PACK_BYTES {
                break;
            }
            let (_, raw, _) = Event::decode(&raw)?;
            items.push(DataItem::parse(raw, Profile::History).map_err(|error| DevnetError::Record(error.to_string()))?);
        }
        Ok(items)
    }

    /// Makes a pending transaction vanish, as a full mempool does. Whether there was one.
    pub async fn evict(&self, id: Id) -> Result<bool, DevnetError> {
        let _act = self.act.lock().await;
        if self.read().txs.get(&id).is_none_or(|tx| tx.mined.is_some()) {
            return Ok(false);
        }
        self.commit(Event::Drop { tx: id }, &[]).await?;
        Ok(true)
    }
}

/// The verified items of a bundle; one that is no bundle at all has none.
fn open_bundle(tx: Id, data: &Bytes) -> Vec<(Found, DataItem)> {
    match bundle::unbundle(data, LIMITS, Profile::History) {
        Ok(opened) => {
            opened.refused.iter().for_each(|refused| tracing::warn!(%tx, %refused, "not unbundled"));
            let place = |found: bundle::Found| {
                let size = found.item.raw().len() as u64;
                let parent = found.parent.unwrap_or(tx);
                (Found { id: found.item.id(), parent, offset: found.offset as u64, size }, found.item)
            };
            opened.items.into_iter().map(place).collect()
        }
        Err(error) => {
            tracing::warn!(%tx, %error, "says it is a bundle and is not");
            Vec::new()
        }
    }
}

/// Time since 1970.
pub(super) fn now() -> std::time::Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
