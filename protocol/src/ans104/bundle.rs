//! Bundles: many items in one piece of data, and bundles inside bundles.
//!
//! Layout: count (32 bytes little-endian), then a size (32) and an id (32) per item, then the items back to back.

use std::collections::HashSet;

use bytes::{BufMut as _, Bytes, BytesMut};

use super::{DataItem, ItemError, Profile, SignatureType, Tag};
use crate::Id;

/// Bytes of the count at the start of a bundle.
const COUNT_LEN: usize = 32;
/// Bytes of one header entry.
const ENTRY_LEN: usize = 64;

/// What a reader is ready to spend on one bundle, nested ones included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most items in all.
    pub max_items: usize,
    /// Most bytes of one item.
    pub max_item_size: usize,
    /// How deep bundles inside bundles are opened; 0 opens only the outermost.
    pub max_depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_items: 100_000, max_item_size: 1 << 30, max_depth: 8 }
    }
}

/// Where an item lies in a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The id in the header, equal to SHA-256 of the item's signature.
    pub id: Id,
    /// Bytes from the start of the bundle.
    pub offset: usize,
    /// Bytes of the item.
    pub size: usize,
}

/// Why bytes are no bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// Too short for what it announces.
    #[error("the bundle ends inside its {0}")]
    Truncated(&'static str),
    /// A count or size that no bundle of this length can have.
    #[error("the bundle announces an impossible {0}")]
    Impossible(&'static str),
    /// More items than the reader takes.
    #[error("the bundle has {count} items, at most {limit} are read here")]
    TooManyItems {
        /// Items announced.
        count: u64,
        /// The limit.
        limit: usize,
    },
    /// An item larger than the reader takes.
    #[error("item {id} has {size} bytes, at most {limit} are read here")]
    ItemTooLarge {
        /// The item.
        id: Id,
        /// Its size in bytes.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// The header names an item by an id that is not its own.
    #[error("the header names an item {0} that is not there: the item's signature has another id")]
    WrongId(Id),
    /// Bytes after the last item.
    #[error("{0} bytes follow the last item")]
    Trailing(usize),
}

/// Whether tags say that the data is a bundle.
pub fn is_bundle(tags: &[Tag]) -> bool {
    let has = |name: &str, value: &str| tags.iter().any(|tag| tag.name == name && tag.value == value);
    has("Bundle-Format", "binary") && has("Bundle-Version", "2.0.0")
}

/// The tags that the carrier of a bundle must have.
pub fn carrier_tags() -> [Tag; 2] {
    [Tag::new("Bundle-Format", "binary"), Tag::new("Bundle-Version", "2.0.0")]
}

/// The bundle of `items` in this order.
pub fn write(items: &[DataItem]) -> Bytes {
    let bodies = items.iter().map(|item| item.raw().len()).fold(0_usize, usize::saturating_add);
    let heads = items.len().saturating_mul(ENTRY_LEN).saturating_add(COUNT_LEN);
    let mut out = BytesMut::with_capacity(heads.saturating_add(bodies));
    put_number(&mut out, items.len());
    for item in items {
        put_number(&mut out, item.raw().len());
        out.put_slice(item.id().as_bytes());
    }
    for item in items {
        out.put_slice(item.raw());
    }
    out.freeze()
}

fn put_number(out: &mut BytesMut, number: usize) {
    out.put_u64_le(number as u64);
    out.put_bytes(0, 24);
}

/// Reads the header of a bundle strictly and checks each id against the item's signature. An id that occurs twice is
/// listed once. Signatures are not verified here.
///
/// # Errors
/// [`BundleError`] for the first thing found wrong; nothing is allocated before the announced count is known to fit.
pub fn read(bundle: &Bytes, limits: Limits) -> Result<Vec<Entry>, BundleError> {
    let mut entries = layout(bundle, limits)?;
    for entry in &entries {
        if item_id(bundle, entry) != Some(entry.id) {
            return Err(BundleError::WrongId(entry.id));
        }
    }
    let mut seen = HashSet::with_capacity(entries.len());
    entries.retain(|entry| seen.insert(entry.id));
    Ok(entries)
}

/// A header entry and the item there, or why there is none.
pub type ReadItem = (Entry, Result<DataItem, ItemError>);

/// Reads and verifies every item; one bad item does not spoil the others. An id that occurs twice is listed once.
///
/// # Errors
/// [`BundleError`] when the header is malformed, so that no item can be found.
pub fn items(bundle: &Bytes, limits: Limits, profile: Profile) -> Result<Vec<ReadItem>, BundleError> {
    let mut seen = HashSet::new();
    let read = |entry: Entry| {
        let item = DataItem::parse(slice(bundle, &entry), profile).and_then(|item| {
            item.expect_id(&entry.id)?;
            item.verify()?;
            Ok(item)
        });
        // Only good items count as seen: a bad one must not hide a good one of the same id.
        let fresh = item.is_err() || seen.insert(entry.id);
        fresh.then_some((entry, item))
    };
    Ok(layout(bundle, limits)?.into_iter().filter_map(read).collect())
}

/// Structure only: counts, sizes, no trailing bytes.
fn layout(bundle: &[u8], limits: Limits) -> Result<Vec<Entry>, BundleError> {
    let (count, rest) = bundle.split_first_chunk::<COUNT_LEN>().ok_or(BundleError::Truncated("count"))?;
    let count = number(count).ok_or(BundleError::Impossible("number of items"))?;
    if count > (rest.len() / ENTRY_LEN) as u64 {
        return Err(BundleError::Impossible("number of items"));
    }
    let items = usize::try_from(count).ok().filter(|count| *count <= limits.max_items);
    let items = items.ok_or(BundleError::TooManyItems { count, limit: limits.max_items })?;
    let (header, mut bodies) =
        rest.split_at_checked(items.saturating_mul(ENTRY_LEN)).ok_or(BundleError::Truncated("header"))?;
    let mut entries = Vec::with_capacity(items);
    for entry in header.chunks_exact(ENTRY_LEN) {
        let (size, id) = entry.split_first_chunk::<32>().ok_or(BundleError::Truncated("header"))?;
        let id = Id::from_slice(id).ok_or(BundleError::Truncated("header"))?;
        let size =
            number(size).and_then(|size| usize::try_from(size).ok()).ok_or(BundleError::Impossible("item size"))?;
        let offset = bundle.len().saturating_sub(bodies.len());
        (_, bodies) = bodies.split_at_checked(size).ok_or(BundleError::Truncated("last item"))?;
        if size > limits.max_item_size {
            return Err(BundleError::ItemTooLarge { id, size, limit: limits.max_item_size });
        }
        entries.push(Entry { id, offset, size });
    }
    if bodies.is_empty() { Ok(entries) } else { Err(BundleError::Trailing(bodies.len())) }
}

/// A 32-byte little-endian number below 2^64.
fn number(bytes: &[u8; 32]) -> Option<u64> {
    let (low, high) = bytes.split_first_chunk::<8>()?;
    high.iter().all(|byte| *byte == 0).then(|| u64::from_le_bytes(*low))
}

fn slice(bundle: &Bytes, entry: &Entry) -> Bytes {
    let end = entry.offset.saturating_add(entry.size).min(bundle.len());
    bundle.slice(entry.offset.min(end)..end)
}

/// SHA-256 of the item's signature, for every type whose length is known.
fn item_id(bundle: &Bytes, entry: &Entry) -> Option<Id> {
    let item = slice(bundle, entry);
    let (kind, rest) = item.split_first_chunk::<2>()?;
    let len = SignatureType::from_number(u16::from_le_bytes(*kind))?.signature_len();
    rest.get(..len).map(Id::sha256)
}

/// An item found by [`unbundle`].
#[derive(Debug, Clone)]
pub struct Found {
    /// The verified item.
    pub item: DataItem,
    /// The item whose data is the bundle it lies in; `None` in the outermost bundle.
    pub parent: Option<Id>,
    /// Bytes from the start of the outermost bundle.
    pub offset: usize,
}

/// What was not taken from a bundle, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// An item that does not hold.
    #[error("item {id} is refused: {reason}")]
    Item {
        /// The id in the header.
        id: Id,
        /// What is wrong.
        reason: ItemError,
    },
    /// An item that says it is a bundle and is not; the item itself was taken.
    #[error("the bundle in item {id} is refused: {reason}")]
    Nested {
        /// The carrier.
        id: Id,
        /// What is wrong.
        reason: BundleError,
    },
    /// A bundle too deep inside others; its carrier was taken.
    #[error("the bundle in item {0} lies too deep and was not opened")]
    TooDeep(Id),
}

/// The content of a bundle with all bundles inside.
#[derive(Debug, Default)]
pub struct Unbundled {
    /// Verified items, outer before inner, each id once.
    pub items: Vec<Found>,
    /// The rest.
    pub refused: Vec<Refused>,
}

/// Opens a bundle and the bundles inside it, within `limits` altogether.
///
/// # Errors
/// [`BundleError`] when the outermost header is malformed; anything further in is listed in [`Unbundled::refused`].
pub fn unbundle(bundle: &Bytes, limits: Limits, profile: Profile) -> Result<Unbundled, BundleError> {
    let mut walk = Walk {
        budget: limits.max_items,
        limits,
        profile,
        seen: HashSet::new(),
        queue: Vec::new(),
        out: Unbundled::default(),
    };
    walk.open(&Level { bundle: bundle.clone(), base: 0, depth: 0, parent: None })?;
    while let Some((carrier, level)) = walk.queue.pop() {
        if let Err(reason) = walk.open(&level) {
            walk.out.refused.push(Refused::Nested { id: carrier, reason });
        }
    }
    Ok(walk.out)
}

struct Level {
    bundle: Bytes,
    base: usize,
    depth: usize,
    parent: Option<Id>,
}

struct Walk {
    budget: usize,
    limits: Limits,
    profile: Profile,
    seen: HashSet<Id>,
    /// Carriers to open; never longer than the budget of items.
    queue: Vec<(Id, Level)>,
    out: Unbundled,
}

impl Walk {
    fn open(&mut self, level: &Level) -> Result<(), BundleError> {
        let limits = Limits { max_items: self.budget, ..self.limits };
        let entries = items(&level.bundle, limits, self.profile)?;
        self.budget = self.budget.saturating_sub(entries.len());
        for (entry, item) in entries {
            match item {
                Ok(item) => self.take(level, entry, item),
                Err(reason) => self.out.refused.push(Refused::Item { id: entry.id, reason }),
            }
        }
        Ok(())
    }

    fn take(&mut self, level: &Level, entry: Entry, item: DataItem) {
        let id = item.id();
        if !self.seen.insert(id) {
            return;
        }
        let offset = level.base.saturating_add(entry.offset);
        if is_bundle(item.tags()) {
            let bundle = item.data();
            let base = offset.saturating_add(item.raw().len().saturating_sub(bundle.len()));
            let depth = level.depth.saturating_add(1);
            if depth > self.limits.max_depth {
                self.out.refused.push(Refused::TooDeep(id));
            } else {
                self.queue.push((id, Level { bundle, base, depth, parent: Some(id) }));
            }
        }
        self.out.items.push(Found { item, parent: level.parent, offset });
    }
}
