//! What moved lately on this node: a bounded list for the status page and `weft status`.
//!
//! Where it sits: beside the services, which note what they did; `api.rs` reads it. Losing it costs nothing.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use weft_protocol::Id;

use crate::{clock::now_ms, door::Activity};

/// Entries kept; the oldest goes first.
const KEPT: usize = 512;

/// A cheap handle on the list.
#[derive(Clone, Default)]
pub struct ActivityLog(Arc<Mutex<VecDeque<Activity>>>);

impl ActivityLog {
    /// Notes something that moved.
    pub fn note(&self, kind: &'static str, process: Option<Id>, slot: Option<u64>, text: String) {
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if list.len() >= KEPT {
            list.pop_front();
        }
        list.push_back(Activity { at_ms: now_ms(), kind, process, slot, text });
    }

    /// The newest `limit` entries, oldest first.
    pub fn newest(&self, limit: usize) -> Vec<Activity> {
        let list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        list.iter().skip(list.len().saturating_sub(limit)).cloned().collect()
    }
}
