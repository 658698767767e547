//! Everything the devnet knows, as a fold over its events. No clock, no disk: the same events give the same state.

use std::collections::HashMap;

use bytes::Bytes;
use weft_protocol::{
    Id,
    ans104::{DataItem, bundle},
    arweave::Transaction,
    b64,
};

use super::{
    body::{Bodies, BodyKey, Piece, Place, Source},
    chain::{self, Block},
    event::{Event, Found},
    log::{Home, Slot},
    record::{Header, Record, Records},
    tx::{body_key, is_bundle, tags},
};

/// The chain, its mempool and what can be asked for.
#[derive(Default)]
pub(super) struct State {
    pub blocks: Vec<Block>,
    pub wallets: HashMap<Id, Wallet>,
    pub txs: HashMap<Id, Tx>,
    /// Transactions without a block, in order of arrival.
    pub pool: Vec<Id>,
    pub bodies: Bodies,
    pub records: Records,
    /// Uploaded items without a bundle, in order of arrival.
    pub unpacked: Vec<Id>,
}

/// What an address has.
#[derive(Debug, Default, Clone)]
pub(super) struct Wallet {
    pub balance: u128,
    pub last_tx: Option<Id>,
}

/// A transaction of the pool or a block.
#[derive(Debug)]
pub(super) struct Tx {
    pub header: Transaction,
    pub mined: Option<Mined>,
    pub unbundled: bool,
}

/// Where a transaction is in the chain.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mined {
    pub height: u64,
    /// Absolute offset of the last byte of its data, counted from 1.
    pub end: u64,
}

/// The bytes that came with an event and where they are stored.
pub(super) struct Payload {
    pub bytes: Bytes,
    pub home: Home,
    /// How many bytes precede them in the record.
    pub at: u64,
}

impl Payload {
    fn slot(&self) -> Slot {
        self.slice(0, self.bytes.len() as u64)
    }

    fn slice(&self, from: u64, len: u64) -> Slot {
        Slot::new(self.home.clone(), self.at.saturating_add(from), len)
    }
}

impl State {
    /// Takes in an event. [`Event::Unbundled`] needs bytes: see [`Self::unbundled`].
    pub fn apply(&mut self, event: Event, payload: &Payload) {
        match event {
            Event::Mint { address, winston } => {
                let wallet = self.wallets.entry(address).or_default();
                wallet.balance = wallet.balance.saturating_add(winston.parse().unwrap_or(0));
            }
            Event::Transaction { header } => self.transaction(*header, payload),
            Event::Chunk { root, size, start, path_len } => {
                let len = (payload.bytes.len() as u64).saturating_sub(u64::from(path_len));
                let path = Some(payload.bytes.slice(..(path_len as usize).min(payload.bytes.len())));
                let piece = Piece { slot: payload.slice(u64::from(path_len), len), path };
                self.bodies.add(BodyKey { root, size }, start, piece);
            }
            Event::Item { .. } => {
                if let Ok(item) = DataItem::parse(payload.bytes.clone(), weft_protocol::ans104::Profile::History) {
                    self.uploaded(&item, payload);
                }
            }
            Event::Unbundled { .. } => {}
            Event::Block { block, expired } => self.block(block, &expired),
            Event::Drop { tx } => self.forget(tx),
        }
    }

    fn transaction(&mut self, header: Transaction, payload: &Payload) {
        let id = header.id();
        if self.txs.contains_key(&id) {
            return;
        }
        let wallet = self.wallets.entry(header.owner_address()).or_default();
        wallet.balance = wallet.balance.saturating_sub(header.reward().saturating_add(header.quantity()));
        let key = body_key(&header);
        if let Some(key) = key {
            self.bodies.retain(key);
            if !payload.bytes.is_empty() {
                self.bodies.add(key, 0, Piece { slot: payload.slot(), path: None });
            }
        }
        self.records.insert(Record {
            id,
            header: Header {
                owner: Bytes::copy_from_slice(header.owner()),
                address: header.owner_address(),
                signature: Bytes::copy_from_slice(header.signature()),
                target: header.target(),
                anchor: b64::encode(header.last_tx()),
            },
            tags: tags(&header),
            money: Some((header.reward(), header.quantity())),
            size: header.data_size(),
            seq: 0,
            height: None,
            own: key.map(|key| Place { source: Source::Body(key), offset: 0, len: key.size }),
            parents: Vec::new(),
        });
        self.pool.push(id);
        self.txs.insert(id, Tx { header, mined: None, unbundled: false });
    }

    fn uploaded(&mut self, item: &DataItem, payload: &Payload) {
        if self.records.get(&item.id()).is_some() {
            return;
        }
        let len = item.data().len() as u64;
        let before = (payload.bytes.len() as u64).saturating_sub(len);
        let place = Place { source: Source::Own(payload.slice(before, len)), offset: 0, len };
        self.records.insert(item_record(item, Some(place)));
        self.unpacked.push(item.id());
    }

    /// Takes in the items found in a transaction's data.
    pub fn unbundled(&mut self, tx: Id, items: &[(Found, DataItem)]) {
        let Some(entry) = self.txs.get_mut(&tx) else { return };
        entry.unbundled = true;
        let Some(key) = body_key(&entry.header) else { return };
        for (found, item) in items {
            let len = item.data().len() as u64;
            let offset = found.offset.saturating_add(found.size.saturating_sub(len));
            self.records.insert(item_record(item, None));
            self.records.adopt(found.id, found.parent, Place { source: Source::Body(key), offset, len });
        }
        let records = &self.records;
        self.unpacked.retain(|id| records.get(id).is_some_and(|record| record.parents.is_empty()));
    }

    fn block(&mut self, block: Block, expired: &[Id]) {
        let mut end = self.blocks.last().map_or(0, |below| below.weave_size);
        for id in &block.txs {
            let Some(tx) = self.txs.get_mut(id) else { continue };
            end = end.saturating_add(tx.header.data_size());
            tx.mined = Some(Mined { height: block.height, end });
            let (owner, target, quantity) = (tx.header.owner_address(), tx.header.target(), tx.header.quantity());
            self.wallets.entry(owner).or_default().last_tx = Some(*id);
            if let Some(target) = target.filter(|_| quantity > 0) {
                let wallet = self.wallets.entry(target).or_default();
                wallet.balance = wallet.balance.saturating_add(quantity);
            }
            self.records.mine(*id, block.height);
        }
        self.pool.retain(|id| !block.txs.contains(id));
        self.blocks.push(block);
        expired.iter().for_each(|id| self.forget(*id));
    }

    fn forget(&mut self, id: Id) {
        if self.txs.get(&id).is_none_or(|tx| tx.mined.is_some()) {
            return;
        }
        let Some(tx) = self.txs.remove(&id) else { return };
        let wallet = self.wallets.entry(tx.header.owner_address()).or_default();
        wallet.balance = wallet.balance.saturating_add(tx.header.reward().saturating_add(tx.header.quantity()));
        self.pool.retain(|known| *known != id);
        self.unpacked.extend(self.records.forget(id));
        if let Some(key) = body_key(&tx.header) {
            self.bodies.release(key);
        }
    }

    /// Transactions that say they are bundles, are complete and have not been opened yet.
    pub fn to_unbundle(&self) -> Vec<Id> {
        let ready = |tx: &Tx| {
            !tx.unbundled
                && is_bundle(&tx.header)
                && body_key(&tx.header).is_some_and(|key| self.bodies.is_complete(&key))
        };
        self.txs.iter().filter(|(_, tx)| ready(tx)).map(|(id, _)| *id).collect()
    }

    /// Height of the tip.
    pub fn height(&self) -> u64 {
        self.blocks.last().map_or(0, |block| block.height)
    }

    /// Hash of the tip.
    pub fn tip(&self) -> &str {
        self.blocks.last().map_or("", |block| block.hash.as_str())
    }

    /// The block at a height.
    pub fn block_at(&self, height: u64) -> Option<&Block> {
        self.blocks.get(usize::try_from(height).ok()?)
    }

    /// Whether a transaction of `owner` may carry this anchor now.
    pub fn is_anchor(&self, anchor: &[u8], owner: &Id) -> bool {
        let last = self.wallets.get(owner).and_then(|wallet| wallet.last_tx);
        chain::is_recent(&self.blocks, &b64::encode(anchor)) || last.is_some_and(|last| last.as_bytes() == anchor)
    }
}

/// What can be asked about an item.
pub(super) fn item_record(item: &DataItem, own: Option<Place>) -> Record {
    Record {
        id: item.id(),
        header: Header {
            owner: Bytes::copy_from_slice(item.owner()),
            address: item.owner_address(),
            signature: Bytes::copy_from_slice(item.signature()),
            target: item.target(),
            anchor: item.anchor().map(b64::encode).unwrap_or_default(),
        },
        tags: item.tags().to_vec(),
        money: None,
        size: item.data().len() as u64,
        seq: 0,
        height: None,
        own,
        parents: Vec::new(),
    }
}

/// Whether the tags of an item or transaction say that its payload is a bundle.
pub(super) fn says_bundle(tags: &[weft_protocol::ans104::Tag]) -> bool {
    bundle::is_bundle(tags)
}
