//! Clients that send messages to all nodes at once and time the answers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::task::JoinSet;
use weft_protocol::{Id, ans104::Ed25519Signer};

use super::{MAX_MESSAGES, PATIENCE, figures};
use crate::cli::{
    client::Client,
    exit::{CliError, CliResult, Exit},
    item,
};

/// A client that was refused waits this long, so that a full node is not asked in a tight loop.
const PAUSE: Duration = Duration::from_millis(50);

/// A process that messages go to.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub process: Id,
    pub action: &'static str,
}

/// One part of the measurement.
#[derive(Debug)]
pub(super) struct Phase {
    pub clients: usize,
    /// Messages that were sealed.
    pub messages: usize,
    /// Requests that failed, and the first reason.
    pub failed: (usize, Option<String>),
    /// From the first request to the last seal.
    pub sealing: Duration,
    /// From the first request until everything was evaluated.
    pub evaluating: Duration,
    /// From sending to the answer that it has a slot, of each message; sorted.
    pub sealed: Vec<Duration>,
    /// From sending to its result, of each message; sorted. Empty when clients did not wait for results.
    pub results: Vec<Duration>,
    /// Processor time of all nodes together, until everything was evaluated.
    pub processor: Option<Duration>,
}

/// What all clients of a workload share.
#[derive(Clone)]
pub(super) struct Load(Arc<Shared>);

struct Shared {
    nodes: Vec<Client>,
    targets: Vec<Target>,
    signer: Ed25519Signer,
    time: Duration,
    pids: Vec<u32>,
}

/// What one client saw.
#[derive(Default)]
struct Seen {
    sealed: Vec<Duration>,
    results: Vec<Duration>,
    failed: usize,
    reason: Option<String>,
    /// The newest message it had sealed for each target: (number of the target, slot, id).
    newest: Vec<(usize, u64, Id)>,
}

impl Load {
    pub fn new(
        nodes: Vec<Client>,
        targets: Vec<Target>,
        signer: Ed25519Signer,
        time: Duration,
        pids: Vec<u32>,
    ) -> Self {
        Self(Arc::new(Shared { nodes, targets, signer, time, pids }))
    }

    /// `clients` send for as long as a part lasts; waits until everything they had sealed is evaluated.
    pub async fn run(&self, clients: usize, wait_for_results: bool) -> CliResult<Phase> {
        let before = figures::processor(&self.0.pids);
        let (began, left) = (Instant::now(), Arc::new(AtomicUsize::new(MAX_MESSAGES)));
        let mut running = JoinSet::new();
        for number in 0..clients {
            let (load, left) = (self.clone(), Arc::clone(&left));
            running.spawn(async move { load.client(number, began, &left, wait_for_results).await });
        }
        let mut all = Seen::default();
        while let Some(seen) = running.join_next().await {
            all.add(seen.map_err(|e| CliError::new(Exit::Failed, format!("a client failed: {e}")))?);
        }
        let sealing = began.elapsed();
        self.drain(&all).await?;
        let evaluating = began.elapsed();
        let processor =
            before.zip(figures::processor(&self.0.pids)).map(|(before, after)| after.saturating_sub(before));
        all.sealed.sort_unstable();
        all.results.sort_unstable();
        let messages = all.sealed.len();
        if messages == 0 {
            let why = all.reason.unwrap_or_else(|| "no answer came in time".to_owned());
            return Err(CliError::new(Exit::Failed, format!("no message was sealed: {why}")));
        }
        let failed = (all.failed, all.reason);
        Ok(Phase {
            clients,
            messages,
            failed,
            sealing,
            evaluating,
            sealed: all.sealed,
            results: all.results,
            processor,
        })
    }

    async fn client(&self, number: usize, began: Instant, left: &AtomicUsize, wait_for_results: bool) -> Seen {
        let shared = &self.0;
        let mut seen = Seen::default();
        let one = |n: &AtomicUsize| n.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok();
        for turn in number.. {
            if began.elapsed() >= shared.time || !one(left) {
                break;
            }
            let at = turn.checked_rem(shared.targets.len()).unwrap_or(0);
            // Another node for each client and for each round over the targets.
            let node =
                turn.wrapping_add(turn.checked_div(shared.targets.len()).unwrap_or(0)).checked_rem(shared.nodes.len());
            let (Some(node), Some(target)) = (node.and_then(|n| shared.nodes.get(n)), shared.targets.get(at)) else {
                break;
            };
            if let Err(error) = self.send(node, at, target, wait_for_results, &mut seen).await {
                seen.failed += 1;
                seen.reason.get_or_insert(error.reason);
                tokio::time::sleep(PAUSE).await;
            }
        }
        seen
    }

    async fn send(&self, node: &Client, at: usize, target: &Target, wait: bool, seen: &mut Seen) -> CliResult<()> {
        let tags = [("Action".to_owned(), target.action.to_owned())];
        let item = item::sign(&self.0.signer, "Message", Some(target.process), &tags, &[], Vec::new())?;
        let sent = Instant::now();
        let answer = node.submit(item.raw().clone()).await?;
        seen.sealed.push(sent.elapsed());
        let slot = answer.get("slot").and_then(Value::as_u64).unwrap_or(0);
        seen.note(at, slot, item.id());
        if wait {
            node.result(target.process, item.id(), PATIENCE).await?;
            seen.results.push(sent.elapsed());
        }
        Ok(())
    }

    /// Waits for the result of the newest message of each target: with it, all before it are evaluated.
    async fn drain(&self, seen: &Seen) -> CliResult<()> {
        for (number, (at, _, id)) in seen.newest.iter().enumerate() {
            let node = number.checked_rem(self.0.nodes.len()).and_then(|n| self.0.nodes.get(n));
            if let (Some(node), Some(target)) = (node, self.0.targets.get(*at)) {
                node.result(target.process, *id, PATIENCE).await?;
            }
        }
        Ok(())
    }
}

impl Seen {
    fn note(&mut self, at: usize, slot: u64, id: Id) {
        match self.newest.iter_mut().find(|(known, ..)| *known == at) {
            Some(newest) if newest.1 < slot => *newest = (at, slot, id),
            Some(_) => {}
            None => self.newest.push((at, slot, id)),
        }
    }

    fn add(&mut self, other: Self) {
        self.sealed.extend(other.sealed);
        self.results.extend(other.results);
        self.failed += other.failed;
        self.reason = self.reason.take().or(other.reason);
        for (at, slot, id) in other.newest {
            self.note(at, slot, id);
        }
    }
}
