//! The one thread that writes: takes every append that waits, one write, one `fdatasync`, index, answers.

use std::{
    os::unix::fs::FileExt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, PoisonError, atomic::Ordering},
};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::{
    Position, Reducer, Shared, StoreError,
    format::{GROUP_FULL, GroupBuilder},
    index::{IndexBatch, Meta},
    recovery::OpenTail,
    segments::Segment,
};

/// A segment that has reached this many bytes is closed and the next one begun: 64 MiB.
const SEGMENT_FULL: u64 = 64 << 20;
/// Appends that may share one sync.
const MAX_GROUP_APPENDS: usize = 4096;

/// One append on its way to the disk.
pub(super) struct Append {
    pub records: Vec<Bytes>,
    /// Framed size of the records in bytes.
    pub size: usize,
    pub reply: oneshot::Sender<Result<Vec<Position>, StoreError>>,
    /// Its share of the bytes that may wait; given back when it is done.
    pub _permit: OwnedSemaphorePermit,
}

/// The writer's state.
pub(super) struct Writer<R> {
    shared: Arc<Shared>,
    reducer: R,
    tail: OpenTail,
    meta: Meta,
}

impl<R: Reducer> Writer<R> {
    pub fn new(shared: Arc<Shared>, reducer: R, tail: OpenTail, meta: Meta) -> Self {
        Self { shared, reducer, tail, meta }
    }

    /// Until the last handle is gone and the queue is empty.
    pub fn run(mut self, mut queue: mpsc::Receiver<Append>) {
        while let Some(first) = queue.blocking_recv() {
            let group = gather(first, &mut queue);
            if let Some(failure) = self.shared.failure.borrow().clone() {
                refuse(group, &failure);
                continue;
            }
            let outcome = catch_unwind(AssertUnwindSafe(|| self.commit(&group)))
                .unwrap_or(Err(StoreError::Stopped("it panicked, most likely in the reducer")));
            match outcome {
                Ok(positions) => {
                    for (append, positions) in group.into_iter().zip(positions) {
                        // Nobody waiting any more is fine: the records are stored.
                        let _ = append.reply.send(Ok(positions));
                    }
                }
                Err(failure) => {
                    self.shared.fail(&failure);
                    refuse(group, &failure);
                }
            }
        }
    }

    /// Makes the group durable, then visible in the index. On an error nothing may be appended any more: what is on disk
    /// beyond the last acknowledged group is unknown until the next start looks.
    fn commit(&mut self, group: &[Append]) -> Result<Vec<Vec<Position>>, StoreError> {
        if self.tail.len >= SEGMENT_FULL {
            self.rotate()?;
        }
        let start = self.tail.segment.header.start.saturating_add(self.tail.len);
        let capacity = group.iter().map(|append| append.size).sum();
        let mut builder = GroupBuilder::new(self.tail.segment.header.salt, start, capacity);
        let mut positions = Vec::with_capacity(group.len());
        for append in group {
            positions.push(append.records.iter().map(|record| builder.push(record)).collect::<Vec<_>>());
        }
        let bytes = builder.finish();
        let path = &self.tail.segment.path;
        self.tail.file.write_all_at(&bytes, self.tail.len).map_err(StoreError::io("write", path))?;
        self.tail.file.sync_data().map_err(StoreError::io("sync", path))?;
        self.tail.len = self.tail.len.saturating_add(bytes.len() as u64);
        self.publish(group, &positions, start.saturating_add(bytes.len() as u64))?;
        Ok(positions)
    }

    fn publish(&mut self, group: &[Append], positions: &[Vec<Position>], end: u64) -> Result<(), StoreError> {
        let counters = &self.shared.counters;
        counters.end.store(end, Ordering::Release);
        let mut changes = IndexBatch::default();
        let records = group.iter().flat_map(|append| &append.records).zip(positions.iter().flatten());
        let mut count: u64 = 0;
        for (record, position) in records {
            self.reducer.apply(*position, record, &mut changes);
            count = count.saturating_add(1);
        }
        self.meta.applied = end;
        self.shared.noting(self.shared.index.apply(changes, self.meta))?;
        counters.syncs.fetch_add(1, Ordering::Relaxed);
        counters.appends.fetch_add(group.len() as u64, Ordering::Relaxed);
        counters.records.fetch_add(count, Ordering::Relaxed);
        Ok(())
    }

    fn rotate(&mut self) -> Result<(), StoreError> {
        let start = self.tail.segment.header.start.saturating_add(self.tail.len);
        let folder = self.tail.segment.path.parent().unwrap_or(Path::new("."));
        let (segment, file) = Segment::create(folder, start)?;
        self.shared.segments.write().unwrap_or_else(PoisonError::into_inner).insert(start, segment.clone());
        self.tail = OpenTail { len: segment.len()?, segment, file };
        Ok(())
    }
}

/// `first` and what waits behind it, within one group's bounds.
fn gather(first: Append, queue: &mut mpsc::Receiver<Append>) -> Vec<Append> {
    let mut size = first.size;
    let mut group = vec![first];
    while size < GROUP_FULL && group.len() < MAX_GROUP_APPENDS {
        let Ok(next) = queue.try_recv() else { break };
        size = size.saturating_add(next.size);
        group.push(next);
    }
    group
}

fn refuse(group: Vec<Append>, failure: &StoreError) {
    for append in group {
        let _ = append.reply.send(Err(failure.clone()));
    }
}
