//! What a process may read besides its messages: contents that the scheduler has fixed in the log for one slot.
//!
//! Where it sits: the fold takes them from the log entry (their hashes are checked there) and puts them into the slot's
//! [`Job`](super::Job); the host environment answers the module's `open` from them, and with "no such file" for any
//! other path. Nothing is ever fetched while a message is evaluated: a replay reads the same bytes.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use bytes::Bytes;

/// The readable files of one slot, by path (`/data/<id>`, `/tx/<id>`, `/block/<height>`). How many and how large is
/// bounded by the log entry that they come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reads(BTreeMap<String, Bytes>);

impl Reads {
    /// Nothing to read: what almost every slot has, so all share one.
    pub fn none() -> Arc<Self> {
        static NONE: LazyLock<Arc<Reads>> = LazyLock::new(Arc::default);
        Arc::clone(&NONE)
    }

    /// These files. Of a path that comes twice the first content counts, as of a tag that comes twice.
    pub fn new(files: impl IntoIterator<Item = (String, Bytes)>) -> Self {
        let mut map = BTreeMap::new();
        for (path, content) in files {
            map.entry(path).or_insert(content);
        }
        Self(map)
    }

    /// The content of the file at `path`, if it is readable in this slot.
    pub fn get(&self, path: &str) -> Option<&Bytes> {
        self.0.get(path)
    }

    /// Whether there is nothing to read.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes of all contents together.
    pub fn size(&self) -> usize {
        self.0.values().fold(0, |sum, content| sum.saturating_add(content.len()))
    }
}
