//! What a slot may read (`/data/…`, `/tx/…`, `/block/…`): fetched once by the scheduler, checked by everybody else.
//!
//! The scheduler's intake asks [`Finder::reads`] before a slot is given; evaluators check with [`checked_reads`] that the log
//! entry holds exactly what the assignment fixed, and give the module [`reads_of`] it.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use lru::LruCache;
use tokio::{sync::Semaphore, time::Instant};
use weft_protocol::{
    Id,
    arweave::Transaction,
    assignment::{Assigned, Assignment},
    message::{Content, is_excluded},
    reads::{Read, ReadPath},
    wire::{self, LogEntry},
};
use weft_storage::arweave::gateway::GatewayError;

use super::{FindError, Finder};
use crate::compute::Reads;

/// Slots whose reads are fetched at the same time; the next one is told to come back.
const AT_ONCE: usize = 16;
/// Longest that a slot's reads may take to fetch: who asks for the slot waits that long at most.
const WAIT: Duration = Duration::from_secs(8);
/// Time since its first try after which a delivery from a process is ordered without what could not be fetched: it must not
/// wait for ever, and the process learns that there is no such file. Tries are not counted: anybody can make them.
const PATIENCE: Duration = Duration::from_secs(300);
/// Deliveries whose first try is remembered.
const REMEMBERED: NonZeroUsize = crate::bounds::at_least_one(4_096);

/// Bounds what is fetched for readers. Cheap to clone.
#[derive(Clone)]
pub struct Fetches(Arc<Inner>);

struct Inner {
    room: Semaphore,
    first: Mutex<LruCache<String, Instant>>,
}

impl Default for Fetches {
    fn default() -> Self {
        Self(Arc::new(Inner { room: Semaphore::new(AT_ONCE), first: Mutex::new(LruCache::new(REMEMBERED)) }))
    }
}

impl Fetches {
    /// Whether a delivery has been tried for long enough at `now`; remembers its first try.
    fn is_tired(&self, delivery: &str, now: Instant) -> bool {
        let mut first = self.0.first.lock().unwrap_or_else(PoisonError::into_inner);
        let first = *first.get_or_insert(delivery.to_owned(), || now);
        now.saturating_duration_since(first) >= PATIENCE
    }
}

/// What is to be fetched for a slot.
pub struct Asked<'a> {
    /// The paths, in their order.
    pub paths: Vec<ReadPath>,
    /// Paths that nobody asked for in so many words (`On-Boot`): they may be missing.
    pub optional: Option<ReadPath>,
    /// The crank identity, of a message that cannot be refused.
    pub crank: Option<&'a str>,
    /// Bytes that all contents together may have.
    pub most: usize,
}

/// What was fetched for a slot: as its assignment fixes it, and as its log entry holds it.
pub type Fetched = (Vec<Read>, Vec<wire::Read>);

/// Why a slot's reads were not fetched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadsError {
    /// Too many at once.
    #[error("this scheduler fetches for as many messages as it can already; try again")]
    Full,
    /// One of them was not.
    #[error("{path}: {error}")]
    Path {
        /// Which.
        path: ReadPath,
        /// Why.
        error: FindError,
    },
}

impl Finder {
    /// Fetches what a slot may read.
    ///
    /// # Errors
    /// [`ReadsError`]. What may be missing, and is, is no error: its read is fixed as refused.
    pub async fn reads(&self, asked: Asked<'_>) -> Result<Fetched, ReadsError> {
        if asked.paths.is_empty() {
            return Ok(Fetched::default());
        }
        let _turn = self.fetches.0.room.try_acquire().map_err(|_| ReadsError::Full)?;
        let tired = asked.crank.is_some_and(|crank| self.fetches.is_tired(crank, Instant::now()));
        let until = Instant::now() + WAIT;
        let (mut fixed, mut held, mut left) = (Vec::new(), Vec::new(), asked.most);
        for path in asked.paths {
            let late =
                || FindError::Unavailable { what: path.to_string(), reason: "no gateway gave it in time".into() };
            let found = tokio::time::timeout_at(until, self.read(&path, left)).await.unwrap_or_else(|_| Err(late()));
            let content = match found {
                Ok(content) => Some(content),
                Err(FindError::Unavailable { .. }) if tired => None,
                Err(error @ FindError::Unavailable { .. }) => return Err(ReadsError::Path { path, error }),
                Err(_) if asked.crank.is_some() || asked.optional == Some(path) => None,
                Err(error) => return Err(ReadsError::Path { path, error }),
            };
            fixed.push(Read { path, content: content.as_deref().map(Id::sha256) });
            left = left.saturating_sub(content.as_ref().map_or(0, Bytes::len));
            held.extend(content.map(|content| wire::Read { path: path.to_string(), content }));
        }
        Ok((fixed, held))
    }

    /// The content at a path now, at most `most` bytes. Items and transactions are verified; a block is the gateway's word.
    async fn read(&self, path: &ReadPath, most: usize) -> Result<Bytes, FindError> {
        let of = |error: &GatewayError| FindError::of(path, error);
        let content = match path {
            ReadPath::Data(id) => match self.item_from_nodes(id).await {
                Some(item) => item.data(),
                None => self.gateway.fetch_within(id, most).await.map_err(|error| of(&error))?.data,
            },
            ReadPath::Tx(id) => {
                let most = u64::try_from(most).unwrap_or(u64::MAX);
                let json = self.gateway.transaction_header_json(id, most).await.map_err(|error| of(&error))?;
                let broken = || FindError::Unavailable { what: path.to_string(), reason: "it cannot be read".into() };
                transaction_file(&json).ok_or_else(broken)?
            }
            ReadPath::Block(height) => {
                let block = self.gateway.block_json(*height).await.map_err(|error| of(&error))?;
                block.ok_or_else(|| FindError::NotFound(path.to_string()))?
            }
        };
        match content.len() {
            size if size > most => Err(FindError::TooLarge(format!(
                "{path} has {size} bytes; {most} are left of what this network allows a message and its reads together"
            ))),
            _ => Ok(content),
        }
    }
}

/// What a module finds under `/tx/<id>`: the header as nodes give it, and `ownerAddress`.
fn transaction_file(json: &[u8]) -> Option<Bytes> {
    let header = Transaction::from_json(json).ok()?.header();
    let mut file = serde_json::to_value(&header).ok()?;
    file.as_object_mut()?.insert("ownerAddress".to_owned(), header.owner_address().to_string().into());
    serde_json::to_vec(&file).ok().map(Bytes::from)
}

/// Whether a log entry holds exactly the contents that its assignment fixed.
pub fn checked_reads(entry: &LogEntry, assignment: &Assignment) -> bool {
    let fixed = assignment.terms.reads.iter().filter_map(|read| Some((read.path.to_string(), read.content?)));
    let held = entry.reads.iter().map(|read| (read.path.clone(), Id::sha256(&read.content)));
    fixed.eq(held)
}

/// What a module may read during a slot: what the log fixed, and an assigned item or transaction itself.
pub fn reads_of(entry: &LogEntry, assignment: &Assignment, content: &Content) -> Arc<Reads> {
    let fixed = entry.reads.iter().map(|read| (read.path.clone(), read.content.clone()));
    let mut files: Vec<(String, Bytes)> = fixed.collect();
    let id = assignment.message;
    if assignment.assigned.is_some() && !is_excluded(&assignment.terms.exclude, "Data") {
        files.push((ReadPath::Data(id).to_string(), content.data.clone().into()));
    }
    if assignment.assigned == Some(Assigned::BaseLayer) {
        files.extend(transaction_file(&entry.assigned).map(|file| (ReadPath::Tx(id).to_string(), file)));
    }
    if files.is_empty() { Reads::none() } else { Arc::new(Reads::new(files)) }
}

#[cfg(test)]
mod tests;
