//! The anchor's loop: bundle what waits, look after what is under way.

use std::{collections::HashSet, sync::Arc};

use tokio::{
    sync::{mpsc, watch},
    time::MissedTickBehavior,
};
use tokio_util::sync::CancellationToken;
use weft_protocol::{
    Id,
    anchor::{Action, Bundle, Event, Sighting, Stage},
};
use weft_storage::arweave::{
    bundler::{self, BundleTransaction},
    gateway::TxStatus,
};

use super::{
    AnchorConfig, AnchorError, Summary, Waiting,
    book::{Book, BundleRecord},
    build,
};
use crate::clock::now_ms;

/// Bundles under way at a time; more items wait.
const MAX_LIVE: usize = 64;

/// A bundle under way.
struct Live {
    bundle: Bundle,
    items: u64,
}

pub(super) struct Service {
    config: AnchorConfig,
    book: Book,
    waiting: Arc<Waiting>,
    publish: watch::Sender<Summary>,
    live: Vec<Live>,
    summary: Summary,
}

impl Service {
    /// Reads back what is under way.
    pub fn open(
        config: AnchorConfig,
        book: Book,
        waiting: Arc<Waiting>,
        publish: watch::Sender<Summary>,
    ) -> Result<Self, AnchorError> {
        let (items, bytes) = book.count_waiting()?;
        waiting.add(items, bytes);
        let (open, confirmed) = book.bundles()?;
        let mut live = Vec::new();
        for tx in open {
            let standing = book.standing(&tx)?;
            let bundle = Bundle::reopened(tx, standing.anchor_height, standing.stage, standing.posts);
            live.push(Live { bundle, items: standing.items });
        }
        let summary = Summary { confirmed, ..Summary::default() };
        let mut service = Self { config, book, waiting, publish, live, summary };
        service.report();
        Ok(service)
    }

    pub async fn run(mut self, mut woken: mpsc::Receiver<()>, stop: CancellationToken) {
        let mut tick = tokio::time::interval(self.config.every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_tick = tokio::select! {
                () = stop.cancelled() => return,
                _ = tick.tick() => true,
                woken = woken.recv() => match woken {
                    Some(()) => false,
                    None => { tick.tick().await; true }
                },
            };
            // A bundle in the making may be dropped at any await: what matters is in the book before it is sent.
            let round = tokio::select! {
                () = stop.cancelled() => return,
                round = self.round(is_tick) => round,
            };
            if let Err(error) = round {
                self.summary.trouble = Some(error.to_string());
                if matches!(error, AnchorError::Store(_)) {
                    tracing::error!(%error, "the anchor ends: what it promises to keep cannot be kept");
                    self.report();
                    return;
                }
                tracing::warn!(%error, "the anchor could not go on; it tries again");
            }
            self.report();
        }
    }

    /// Looks after the bundles under way (on a tick), then bundles what waits (all of it on a tick, full bundles else).
    async fn round(&mut self, is_tick: bool) -> Result<(), AnchorError> {
        self.summary.trouble = None;
        if self.live.is_empty() && self.waiting.items() == 0 {
            return Ok(());
        }
        let tip = self.config.gateway.height().await?;
        if is_tick {
            self.tend(tip).await;
        }
        while self.live.len() < MAX_LIVE && (is_tick || self.waiting.fills(self.config.bounds)) {
            if !self.bundle_next(tip).await? {
                break;
            }
        }
        Ok(())
    }

    async fn tend(&mut self, tip: u64) {
        for mut one in std::mem::take(&mut self.live) {
            let done = self.look_after(&mut one, tip).await;
            if let Err(error) = &done {
                self.summary.trouble = Some(error.to_string());
            }
            match one.bundle.stage {
                Stage::Settled { .. } => self.summary.confirmed = self.summary.confirmed.saturating_add(one.items),
                // Its successor is in the list already, unless it could not be built yet.
                Stage::Dead if done.is_ok() => {}
                _ => self.live.push(one),
            }
        }
    }

    async fn look_after(&mut self, one: &mut Live, tip: u64) -> Result<(), AnchorError> {
        if one.bundle.stage == Stage::Dead {
            return self.rebuild(one.bundle.tx, tip).await;
        }
        let sighting = match self.config.gateway.status(&one.bundle.tx).await? {
            TxStatus::Unknown => Sighting::Unknown,
            TxStatus::Pending => Sighting::Pending,
            TxStatus::Mined { height, block, .. } => Sighting::Mined { height, block },
        };
        let action = self.take_in(one, Event::Seen(sighting), tip).await?;
        match action {
            Action::Post | Action::Seed => self.send(one, action == Action::Seed, tip).await,
            Action::Rebuild => self.rebuild(one.bundle.tx, tip).await,
            Action::Watch | Action::Done => Ok(()),
        }
    }

    /// Feeds the state machine and makes its new stage durable.
    async fn take_in(&self, one: &mut Live, event: Event, tip: u64) -> Result<Action, AnchorError> {
        let before = (one.bundle.stage.clone(), one.bundle.posts);
        let action = one.bundle.on(event, tip, &self.config.rules);
        if before != (one.bundle.stage.clone(), one.bundle.posts) {
            self.book.set(&one.bundle, one.items).await?;
        }
        Ok(action)
    }

    async fn send(&mut self, one: &mut Live, only_data: bool, tip: u64) -> Result<(), AnchorError> {
        let record = self.book.bundle(&one.bundle.tx)?;
        let items = self.book.items(&record.items)?;
        let transaction = build::restore(record.header, &items);
        if one.bundle.posts > 0 && !only_data {
            self.summary.reposted = self.summary.reposted.saturating_add(1);
        }
        self.send_bundle(one, &transaction, only_data, tip).await
    }

    async fn send_bundle(
        &mut self,
        one: &mut Live,
        transaction: &BundleTransaction,
        only_data: bool,
        tip: u64,
    ) -> Result<(), AnchorError> {
        let (event, trouble) = build::send(&self.config.gateway, transaction, only_data).await;
        if let Some(trouble) = trouble {
            self.summary.trouble = Some(trouble);
        }
        if self.take_in(one, event, tip).await? == Action::Rebuild {
            return self.rebuild(one.bundle.tx, tip).await;
        }
        Ok(())
    }

    /// A new bundle over the items of a dead one.
    async fn rebuild(&mut self, dead: Id, tip: u64) -> Result<(), AnchorError> {
        if !self.book.is_live(&dead)? {
            return Ok(());
        }
        let items = self.book.bundle(&dead)?.items;
        self.make(items, Some(dead), tip).await?;
        self.summary.rebuilt = self.summary.rebuilt.saturating_add(1);
        Ok(())
    }

    /// Bundles the oldest waiting items; false when none wait.
    async fn bundle_next(&mut self, tip: u64) -> Result<bool, AnchorError> {
        let bounds = self.config.bounds;
        let waiters = self.book.waiting(bounds.items)?;
        let mut seen = HashSet::new();
        let (mut fresh, mut stale) = (Vec::new(), Vec::new());
        for waiter in waiters {
            let known = !seen.insert(waiter.id) || self.book.bundle_of(&waiter.id)?.is_some();
            if known { stale.push(waiter) } else { fresh.push(waiter) }
        }
        if !stale.is_empty() {
            self.book.forget(&stale).await?;
            self.waiting.take(&stale);
        }
        fresh.truncate(bundler::fill(fresh.iter().map(|waiter| waiter.size), bounds));
        if fresh.is_empty() {
            return Ok(!stale.is_empty());
        }
        let items = fresh.iter().map(|waiter| (waiter.position.to_u64(), waiter.id)).collect();
        self.make(items, None, tip).await?;
        self.waiting.take(&fresh);
        Ok(true)
    }

    async fn make(&mut self, items: Vec<(u64, Id)>, replaces: Option<Id>, tip: u64) -> Result<(), AnchorError> {
        let raw = self.book.items(&items)?;
        let built = build::build(&self.config.gateway, &self.config.wallet, raw, tip).await?;
        self.summary.balance = Some(built.balance.to_string());
        let header = built.transaction.header.clone();
        let tx = header.id();
        let record = BundleRecord { header, anchor_height: built.anchor_height, items, replaces };
        let count = record.items.len() as u64;
        self.book.add_bundle(record).await?;
        self.summary.last_bundle = Some(tx);
        let mut one = Live { bundle: Bundle::fresh(tx, built.anchor_height), items: count };
        let (event, trouble) = build::send(&self.config.gateway, &built.transaction, false).await;
        if trouble.is_some() {
            self.summary.trouble = trouble;
        }
        // Dead at once (refused by all): the next round builds it again, with a new anchor and price.
        let taken = self.take_in(&mut one, event, tip).await;
        self.live.push(one);
        taken.map(drop)
    }

    fn report(&mut self) {
        self.summary.posted = self.live.iter().fold(0, |sum: u64, one| sum.saturating_add(one.items));
        self.summary.waiting = self.waiting.items();
        let oldest = self.book.waiting(1).ok().and_then(|waiters| waiters.first().map(|waiter| waiter.at));
        self.summary.oldest_ms = oldest.map(|at| now_ms().saturating_sub(at));
        self.publish.send_replace(self.summary.clone());
    }
}
