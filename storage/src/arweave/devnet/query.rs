//! Filters, order and pages over the records, as Arweave's GraphQL has them.
//!
//! A question looks through all records for every list that it asks for, with the records locked: what one may name and how
//! many lists it may ask for is bounded ([`TooMuch`]).

use std::{
    collections::HashSet,
    sync::atomic::{AtomicUsize, Ordering},
};

use weft_protocol::{Id, b64};

use super::{
    record::{FIRST_FRESH, Rank, Record},
    state::State,
};

/// The most rows of a page, whatever was asked for.
const PAGE: usize = 100;
/// Rows of a page when nothing was asked for.
const DEFAULT_PAGE: usize = 10;

/// Values that one list of a filter may name.
const MAX_NAMED: usize = 100;
/// Filters on tags that one list may have.
const MAX_TAGS: usize = 20;
/// Lists that one question may ask for.
const MAX_LISTS: usize = 16;

/// A question that would look through too much.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TooMuch {
    /// A filter is too long.
    #[error("`{name}` has {count} entries, at most {most} are looked for at once: ask in several questions")]
    Named {
        /// The argument.
        name: &'static str,
        /// Its entries.
        count: usize,
        /// What it may have.
        most: usize,
    },
    /// Too many lists are asked for.
    #[error("a question may ask for at most {MAX_LISTS} lists of transactions or blocks: ask in several questions")]
    Lists,
}

/// Lists that a question has asked for so far; every question comes with its own.
#[derive(Debug, Default)]
pub(super) struct Lists(AtomicUsize);

impl Lists {
    /// Counts one more.
    pub fn another(&self) -> Result<(), TooMuch> {
        if self.0.fetch_add(1, Ordering::Relaxed) < MAX_LISTS { Ok(()) } else { Err(TooMuch::Lists) }
    }
}

/// Ids that are looked for; `None`: any. What is no id is nobody's.
pub(super) type Ids = Option<HashSet<Id>>;

/// What is looked for by name, unless that is too much.
pub(super) fn bounded<T>(name: &'static str, list: Option<Vec<T>>) -> Result<Vec<T>, TooMuch> {
    let list = list.unwrap_or_default();
    let most = if name == "tags" { MAX_TAGS } else { MAX_NAMED };
    if list.len() > most { Err(TooMuch::Named { name, count: list.len(), most }) } else { Ok(list) }
}

/// The ids of a list; an empty one does not restrict.
pub(super) fn ids<T: AsRef<str>>(name: &'static str, list: Option<Vec<T>>) -> Result<Ids, TooMuch> {
    let list = bounded(name, list)?;
    Ok((!list.is_empty()).then(|| list.iter().filter_map(|id| id.as_ref().parse().ok()).collect()))
}

/// What to look for. Empty lists and `None` do not restrict.
#[derive(Debug, Default)]
pub(super) struct Filter {
    pub ids: Ids,
    pub owners: Ids,
    pub recipients: Ids,
    pub bundles: Ids,
    pub tags: Vec<TagMatch>,
    pub min: Option<u64>,
    pub max: Option<u64>,
    /// Ids that are left out.
    pub skip: HashSet<Id>,
}

/// Some tag of that name has (or, negated, no tag of that name has) one of the values.
#[derive(Debug)]
pub(super) struct TagMatch {
    pub name: String,
    pub values: HashSet<String>,
    pub negated: bool,
}

/// Which page.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub first: Option<i32>,
    pub after: Option<String>,
    pub ascending: bool,
}

/// A page of ids with the cursors after them, and whether there are more.
pub(super) type Found = (Vec<(String, Id)>, bool);

impl Page {
    /// How many rows.
    pub fn len(&self) -> usize {
        self.first.map_or(DEFAULT_PAGE, |first| usize::try_from(first).unwrap_or(0).min(PAGE))
    }

    /// The rank after which the page begins; an unreadable cursor begins at the start.
    fn start(&self) -> Option<Rank> {
        let bytes = b64::decode(self.after.as_deref()?)?;
        let text = String::from_utf8(bytes).ok()?;
        let (height, seq) = text.split_once(':')?;
        Some((height.parse().ok()?, seq.parse().ok()?))
    }

    /// Whether it goes on from a cursor of a node's newest items.
    pub fn is_fresh(&self) -> bool {
        self.start().is_some_and(|(height, seq)| height == u64::MAX && seq >= FIRST_FRESH)
    }

    /// Whether it goes on from a cursor of another kind of gateway.
    pub fn is_foreign(&self) -> bool {
        self.after.is_some() && self.start().is_none()
    }
}

fn cursor((height, seq): Rank) -> String {
    b64::encode(format!("{height}:{seq}"))
}

impl Filter {
    /// Whether it asks for records whose tag `name` is `value`.
    pub fn wants(&self, name: &str, value: &str) -> bool {
        self.tags.iter().any(|tag| !tag.negated && tag.name == name && tag.values.contains(value))
    }

    fn holds(&self, record: &Record) -> bool {
        let among =
            |list: &Ids, id: Option<Id>| list.as_ref().is_none_or(|list| id.is_some_and(|id| list.contains(&id)));
        let height = record.height.unwrap_or(u64::MAX);
        !self.skip.contains(&record.id)
            && among(&self.ids, Some(record.id))
            && among(&self.owners, Some(record.header.address))
            && among(&self.recipients, record.header.target)
            && among(&self.bundles, record.parents.first().map(|(parent, _)| *parent))
            && self.min.is_none_or(|min| record.height.is_some_and(|height| height >= min))
            && self.max.is_none_or(|max| height <= max)
            && self.tags.iter().all(|tag| tag.holds(record))
    }

    /// The page of records that hold.
    pub fn find(&self, state: &State, page: &Page) -> Found {
        let Some(ids) = &self.ids else {
            return self.collect(state.records.ordered(), page);
        };
        let mut named = ids.iter().filter_map(|id| state.records.get(id)).collect::<Vec<_>>();
        named.sort_by_key(|record| record.rank());
        self.collect(named.into_iter(), page)
    }

    fn collect<'a>(&self, records: impl DoubleEndedIterator<Item = &'a Record>, page: &Page) -> Found {
        let start = page.start();
        let holds = |record: &&Record| {
            let after =
                start.is_none_or(|start| if page.ascending { record.rank() > start } else { record.rank() < start });
            after && self.holds(record)
        };
        let row = |record: &Record| (cursor(record.rank()), record.id);
        let want = page.len().saturating_add(1);
        let mut rows: Vec<_> = if page.ascending {
            records.filter(holds).take(want).map(row).collect()
        } else {
            records.rev().filter(holds).take(want).map(row).collect()
        };
        let more = rows.len() > page.len();
        rows.truncate(page.len());
        (rows, more)
    }
}

impl TagMatch {
    fn holds(&self, record: &Record) -> bool {
        let mut named = record.tags.iter().filter(|tag| tag.name == self.name);
        let found = named.any(|tag| self.values.contains(&tag.value));
        found != self.negated
    }
}

/// A page of block heights between bounds (or of the blocks with these hashes).
pub(super) fn blocks(
    state: &State,
    hashes: &HashSet<String>,
    bounds: (Option<u64>, Option<u64>),
    page: &Page,
) -> (Vec<(String, u64)>, bool) {
    let start = page.start();
    let holds = |height: u64, hash: &str| {
        let rank = (height, 0);
        (hashes.is_empty() || hashes.contains(hash))
            && bounds.0.is_none_or(|min| height >= min)
            && bounds.1.is_none_or(|max| height <= max)
            && start.is_none_or(|start| if page.ascending { rank > start } else { rank < start })
    };
    let all = state
        .blocks
        .iter()
        .filter(|block| holds(block.height, &block.hash))
        .map(|block| (cursor((block.height, 0)), block.height));
    let want = page.len().saturating_add(1);
    let mut rows: Vec<_> = if page.ascending { all.take(want).collect() } else { all.rev().take(want).collect() };
    let more = rows.len() > page.len();
    rows.truncate(page.len());
    (rows, more)
}
