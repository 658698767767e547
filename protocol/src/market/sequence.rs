//! Which sequence numbers were seen of whom: finds repeats, stale objects and equivocation.

use std::collections::{BTreeMap, HashMap};

use super::{Kind, Object};
use crate::{Id, NodeKey};

/// Numbers remembered per issuer and kind.
const WINDOW: usize = 32;

/// What a sequence number says about an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observation {
    /// Not seen before, and higher than all seen.
    Newest,
    /// Not seen before, but something newer was.
    Late,
    /// The same object again.
    Repeat,
    /// Older than everything remembered: cannot be told from a replay.
    Stale,
    /// Another object with the same number: the issuer signed two. Holds the id of the first.
    Equivocation(Id),
}

/// Numbers seen, per issuer and kind. Bounded by `max_issuers`; when full, new issuers are observed as
/// [`Observation::Stale`].
pub struct Sequences {
    seen: HashMap<(NodeKey, Kind), BTreeMap<u64, Id>>,
    max_issuers: usize,
}

impl Sequences {
    /// Remembers at most `max_issuers` pairs of issuer and kind.
    pub fn new(max_issuers: usize) -> Self {
        Self { seen: HashMap::new(), max_issuers }
    }

    /// Notes an opened object. Only opened ones: whoever cannot sign must not fill the table.
    pub fn observe<T>(&mut self, object: &Object<T>) -> Observation {
        let place = (object.claim.issuer, object.claim.kind);
        if !self.seen.contains_key(&place) && self.seen.len() >= self.max_issuers {
            return Observation::Stale;
        }
        let window = self.seen.entry(place).or_default();
        observe(window, object.claim.seq, object.id)
    }
}

fn observe(window: &mut BTreeMap<u64, Id>, seq: u64, id: Id) -> Observation {
    if let Some(first) = window.get(&seq) {
        return if *first == id { Observation::Repeat } else { Observation::Equivocation(*first) };
    }
    let newest = window.last_key_value().is_none_or(|(last, _)| seq > *last);
    let oldest = window.first_key_value().map_or(0, |(first, _)| *first);
    if window.len() >= WINDOW {
        if seq < oldest {
            return Observation::Stale;
        }
        window.pop_first();
    }
    window.insert(seq, id);
    if newest { Observation::Newest } else { Observation::Late }
}
