//! Feeds the anchor: everything this node sealed or attested, in order, each thing once.
//!
//! Where it sits: between the stores that already hold it durably and `anchor/`. The stores are the queue; what is kept here is
//! one cursor per store, written after the anchor has taken the items. A crash in between hands the same items over again,
//! which the anchor knows by their ids.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use weft_protocol::ans104::{DataItem, Profile};
use weft_storage::store::{Direction, Position, Store, StoreError};

use crate::{
    anchor::{AnchorError, AnchorHandle},
    compute::service::ResultStore,
    scheduler::LogStore,
};

/// Records handed over at once.
const AT_ONCE: usize = 500;
/// Bytes of records handed over at once, about; one record always goes.
const BYTES_AT_ONCE: usize = 16 << 20;
/// Pause when there is nothing to hand over.
const PAUSE: Duration = Duration::from_millis(500);

/// Records under `q` keys (position only) after `cursor`, up to `limit` and [`BYTES_AT_ONCE`], each with the cursor just behind it.
pub(crate) fn records_after(store: &Store, cursor: u64, limit: usize) -> Result<Vec<(u64, Bytes)>, StoreError> {
    let start = [b"q".as_slice(), &cursor.to_be_bytes()].concat();
    let (mut out, mut size) = (Vec::new(), 0_usize);
    for (key, _) in store.scan(b"q", Some(&start), limit, Direction::Forward)? {
        if let Some(position) = key.get(1..).and_then(Position::from_slice) {
            let record = store.read(position)?;
            size = size.saturating_add(record.len());
            out.push((position.to_u64().saturating_add(1), record));
            if size >= BYTES_AT_ONCE {
                break;
            }
        }
    }
    Ok(out)
}

/// Why nothing can be fed any more.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// What was sealed or attested cannot be read.
    #[error("the stores to be anchored cannot be read: {0}")]
    Store(#[from] StoreError),
    /// The anchor cannot keep items.
    #[error(transparent)]
    Anchor(#[from] AnchorError),
}

/// A cursor in a file.
struct Cursor(PathBuf);

impl Cursor {
    fn get(&self) -> u64 {
        fs::read_to_string(&self.0).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
    }

    /// Not flushed: an older cursor only means handing the same items over again.
    fn set(&self, value: u64) {
        let fresh = self.0.with_extension("new");
        let done = fs::write(&fresh, value.to_string()).and_then(|()| fs::rename(&fresh, &self.0));
        if let Err(error) = done {
            tracing::warn!(path = %self.0.display(), %error, "anchor cursor not kept; items are handed over again after a restart");
        }
    }
}

/// Runs for ever.
///
/// # Errors
/// When a store can no longer be read, or the anchor's no longer written.
pub async fn run(folder: PathBuf, log: LogStore, results: ResultStore, anchor: AnchorHandle) -> Result<(), FeedError> {
    let (sealed, attested) = (cursor(&folder, "sealed"), cursor(&folder, "attested"));
    loop {
        let entries = log.after(sealed.get(), AT_ONCE)?;
        let moved =
            feed(&anchor, &sealed, entries.into_iter().map(|(at, entry)| (at, vec![entry.item, entry.assignment])))
                .await?;
        let signed = results.after(attested.get(), AT_ONCE)?;
        let more = feed(&anchor, &attested, signed.into_iter().map(|(at, raw)| (at, vec![raw]))).await?;
        if !moved && !more {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn cursor(folder: &Path, name: &str) -> Cursor {
    Cursor(folder.join(format!("{name}.cursor")))
}

/// Hands records over; whether the cursor moved.
async fn feed(
    anchor: &AnchorHandle,
    cursor: &Cursor,
    records: impl Iterator<Item = (u64, Vec<Bytes>)>,
) -> Result<bool, FeedError> {
    let mut items = Vec::new();
    let mut last = None;
    for (at, raws) in records {
        // An assigned item that was anchored by others before is in the log, too: the same id in two bundles is harmless.
        items.extend(raws.into_iter().filter_map(|raw| DataItem::parse(raw, Profile::History).ok()));
        last = Some(at);
    }
    let Some(last) = last else { return Ok(false) };
    anchor.enqueue(items).await?;
    cursor.set(last);
    Ok(true)
}
