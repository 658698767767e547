//! The leases this messenger holds as a payer, and what went wrong last for each process.

use std::{
    collections::VecDeque,
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use lru::LruCache;
use serde::Serialize;
use weft_protocol::{Id, keys::NodeKey};

use super::Tools;
use crate::{
    clock::now_ms,
    directory::Located,
    market::{Lease, Want},
};

/// Processes whose lease is remembered; forgetting one only means asking the market again.
const KEPT: NonZeroUsize = crate::bounds::at_least_one(10_000);
/// How long a provider that failed a process is not asked again for it, while there are others.
const SHUNNED: Duration = Duration::from_secs(20);
/// Leases given up that are remembered for `weft market`; the oldest goes first.
const LOST_KEPT: usize = 64;
/// A lease is renewed when it has less than this left.
const MARGIN_MS: u64 = 1_000;

/// A lease that was given up because its provider failed.
#[derive(Clone, Debug, Serialize)]
pub struct LostLease {
    /// When, milliseconds of wall clock.
    pub at_ms: u64,
    /// The process.
    pub process: Id,
    /// The lease.
    pub lease: Id,
    /// Who failed.
    pub provider: NodeKey,
    /// How, for people.
    pub why: String,
}

/// What is behind [`Leases`].
struct Books {
    by_process: LruCache<Id, Kept>,
    lost: VecDeque<LostLease>,
}

#[derive(Default)]
struct Kept {
    lease: Option<Lease>,
    last: Option<NodeKey>,
    trouble: Option<String>,
    shunned: Vec<(NodeKey, Instant)>,
}

/// Leases by process. Cheap to clone.
#[derive(Clone)]
pub struct Leases(Arc<Mutex<Books>>);

impl Default for Leases {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Books { by_process: LruCache::new(KEPT), lost: VecDeque::new() })))
    }
}

impl Leases {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, process: &Id, f: impl FnOnce(&mut Kept) -> T) -> T {
        f(self.books().by_process.get_or_insert_mut(*process, Kept::default))
    }

    /// Leases in force now.
    pub fn held(&self) -> usize {
        let now = now_ms();
        let in_force = |kept: &Kept| kept.lease.as_ref().is_some_and(|lease| lease.expires_ms > now);
        self.books().by_process.iter().filter(|(_, kept)| in_force(kept)).count()
    }

    /// The leases given up lately, oldest first.
    pub fn lost(&self) -> Vec<LostLease> {
        self.books().lost.iter().cloned().collect()
    }

    /// The lease in force.
    pub fn current(&self, process: &Id) -> Option<Lease> {
        let lease = self.books().by_process.get(process)?.lease.clone()?;
        (lease.expires_ms > now_ms().saturating_add(MARGIN_MS)).then_some(lease)
    }

    /// What went wrong last, if something did since the last success.
    pub fn trouble(&self, process: &Id) -> Option<String> {
        self.books().by_process.peek(process)?.trouble.clone()
    }

    /// Notes why a process does not move.
    pub fn note_trouble(&self, process: &Id, why: &str) {
        self.with(process, |kept| kept.trouble = Some(why.to_owned()));
    }

    /// Notes that it moves.
    pub fn note_success(&self, process: &Id) {
        self.with(process, |kept| kept.trouble = None);
    }

    /// Gives the lease up; its provider is not asked again for a while.
    pub fn drop_lease(&self, process: &Id, why: &str) {
        let given_up = self.with(process, |kept| {
            kept.trouble = Some(why.to_owned());
            kept.shunned.retain(|(_, since)| since.elapsed() < SHUNNED);
            kept.lease.take().inspect(|lease| kept.shunned.push((lease.provider, Instant::now())))
        });
        let Some(Lease { id: lease, provider, .. }) = given_up else { return };
        let lost = &mut self.books().lost;
        if lost.len() >= LOST_KEPT {
            lost.pop_front();
        }
        lost.push_back(LostLease { at_ms: now_ms(), process: *process, lease, provider, why: why.to_owned() });
    }

    /// Forgets the lease without blaming its provider: it ran out.
    pub fn end_lease(&self, process: &Id) {
        self.with(process, |kept| kept.lease = None);
    }

    fn last_provider(&self, process: &Id) -> Option<NodeKey> {
        self.with(process, |kept| kept.last)
    }

    fn shunned(&self, process: &Id) -> Vec<NodeKey> {
        self.with(process, |kept| {
            kept.shunned.retain(|(_, since)| since.elapsed() < SHUNNED);
            kept.shunned.iter().map(|(key, _)| *key).collect()
        })
    }
}

impl Tools {
    /// The lease in force, or a new one from the market. The reason is for people.
    pub(crate) async fn lease(&self, process: &Id, located: &Located, failed: &[NodeKey]) -> Result<Lease, String> {
        if let Some(lease) = self.leases.current(process) {
            return Ok(lease);
        }
        let module = located.module().ok_or("its spawn item names no module")?;
        let want = Want {
            process: *process,
            module,
            scheduler: located.scheduler,
            messenger: self.me,
            exclude: self.leases.shunned(process).into_iter().chain(failed.iter().copied()).collect(),
            incumbent: self.leases.last_provider(process),
            log_slots: self.store.progress(process).map_or(0, |p| p.next_slot),
        };
        let lease = self.market.lease(want).await.map_err(|e| e.to_string())?;
        self.activity.note("awarded", Some(*process), None, {
            let provider = self.directory.name(&lease.provider);
            format!("{provider} evaluates it at {} per 10⁹ fuel", lease.price_per_gfuel)
        });
        self.leases.with(process, |kept| {
            kept.last = Some(lease.provider);
            kept.lease = Some(lease.clone());
        });
        Ok(lease)
    }
}
