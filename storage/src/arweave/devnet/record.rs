//! What can be asked for: transactions and data items under one roof, in the order of the chain.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use weft_protocol::{Id, ans104::Tag};

use super::body::Place;

/// A transaction or a data item.
#[derive(Debug)]
pub(super) struct Record {
    pub id: Id,
    pub header: Header,
    pub tags: Vec<Tag>,
    /// Price and amount in winston; `None` for items.
    pub money: Option<(u128, u128)>,
    pub size: u64,
    /// When it was accepted first; the order within a block.
    pub seq: u64,
    /// The height of its block.
    pub height: Option<u64>,
    /// Where its payload lies outside of any bundle: a transaction's data, an uploaded item's record.
    pub own: Option<Place>,
    /// The bundles that hold it and where its payload lies in them; the one that was mined first comes first.
    pub parents: Vec<(Id, Place)>,
}

/// What is signed besides tags and data.
#[derive(Debug)]
pub(super) struct Header {
    pub owner: Bytes,
    pub address: Id,
    pub signature: Bytes,
    pub target: Option<Id>,
    /// A transaction's `last_tx`, an item's anchor; base64url.
    pub anchor: String,
}

impl Record {
    /// The value of the first tag of that name (exact).
    pub fn tag(&self, name: &str) -> Option<&str> {
        self.tags.iter().find(|tag| tag.name == name).map(|tag| tag.value.as_str())
    }

    /// Whether it is an item.
    pub const fn is_item(&self) -> bool {
        self.money.is_none()
    }

    /// Where its payload is.
    pub fn place(&self) -> Option<&Place> {
        self.own.as_ref().or_else(|| self.parents.first().map(|(_, place)| place))
    }

    /// Its place in the order of the chain: pending ones above every block.
    pub fn rank(&self) -> Rank {
        (self.height.unwrap_or(u64::MAX), self.seq)
    }
}

/// Height (or `u64::MAX`), then order of arrival.
pub(super) type Rank = (u64, u64);

/// Numbers from here on are of a node's newest items (see `fresh`), so that their cursors are told from a devnet's.
pub(super) const FIRST_FRESH: u64 = 1 << 62;

/// All records by id and by rank.
#[derive(Debug, Default)]
pub(super) struct Records {
    by_id: HashMap<Id, Record>,
    by_rank: BTreeMap<Rank, Id>,
    children: HashMap<Id, Vec<Id>>,
    next: u64,
}

impl Records {
    /// None yet; the first is given the number `next`.
    pub fn numbered_from(next: u64) -> Self {
        Self { next, ..Self::default() }
    }

    pub fn get(&self, id: &Id) -> Option<&Record> {
        self.by_id.get(id)
    }

    /// All records, by rank.
    pub fn ordered(&self) -> impl DoubleEndedIterator<Item = &Record> {
        self.by_rank.values().filter_map(|id| self.by_id.get(id))
    }

    /// Adds a record unless its id is there.
    pub fn insert(&mut self, mut record: Record) {
        if self.by_id.contains_key(&record.id) {
            return;
        }
        record.seq = self.next;
        self.next += 1;
        self.by_rank.insert(record.rank(), record.id);
        self.by_id.insert(record.id, record);
    }

    /// Says that `parent` holds the item at `place`. It takes over the parent's block if it has none.
    pub fn adopt(&mut self, id: Id, parent: Id, place: Place) {
        let height = self.by_id.get(&parent).and_then(|record| record.height);
        let Some(record) = self.by_id.get_mut(&id) else { return };
        if record.parents.iter().any(|(known, _)| *known == parent) {
            return;
        }
        record.parents.push((parent, place));
        self.children.entry(parent).or_default().push(id);
        if let Some(height) = height {
            self.settle(id, parent, height);
        }
    }

    /// Puts a transaction, and the items in it that have no block yet, into the block at `height`.
    pub fn mine(&mut self, id: Id, height: u64) {
        let mut open = vec![(id, id)];
        while let Some((id, parent)) = open.pop() {
            if self.settle(id, parent, height) {
                open.extend(self.children.get(&id).into_iter().flatten().map(|child| (*child, id)));
            }
        }
    }

    fn settle(&mut self, id: Id, parent: Id, height: u64) -> bool {
        let Some(record) = self.by_id.get_mut(&id).filter(|record| record.height.is_none()) else { return false };
        self.by_rank.remove(&record.rank());
        record.height = Some(height);
        record.parents.sort_by_key(|(known, _)| *known != parent);
        self.by_rank.insert(record.rank(), id);
        true
    }

    /// Forgets a pending transaction and the items that only it held. The uploaded items that lost their bundle.
    pub fn forget(&mut self, id: Id) -> Vec<Id> {
        let (mut homeless, mut open) = (Vec::new(), vec![id]);
        while let Some(gone) = open.pop() {
            if let Some(record) = self.by_id.remove(&gone) {
                self.by_rank.remove(&record.rank());
            }
            for child in self.children.remove(&gone).unwrap_or_default() {
                let Some(record) = self.by_id.get_mut(&child) else { continue };
                record.parents.retain(|(parent, _)| *parent != gone);
                match (record.parents.is_empty(), record.own.is_some()) {
                    (true, true) => homeless.push(child),
                    (true, false) => open.push(child),
                    (false, _) => {}
                }
            }
        }
        homeless
    }
}
