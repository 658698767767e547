//! The messenger's loop: notices start workers, a sweep finds what notices missed.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use weft_protocol::{
    Id,
    ans104::{DataItem, Profile},
    assignment::Assignment,
    keys::NodeKey,
    network::Role,
    wire::{HeadsQuery, LogEntry},
};
use weft_storage::store::StoreError;

use super::{
    MAILBOX, MessengerHandle, Notice, OutcomeStore, Tools,
    courier::{Courier, CourierHandle},
    worker::{Target, Worker},
};

/// Time between two sweeps over the schedulers' heads.
const SWEEP: Duration = Duration::from_secs(3);
/// Heads in one page of a sweep.
const PAGE: u32 = 1_000;
/// Pages of one scheduler in one sweep at most: the others must have their turn.
const PAGES: u32 = 1_000;
/// Workers at once; a process beyond them waits for a later sweep.
const WORKERS: usize = 4_096;
/// Entries kept for a worker to send along.
const KEPT_ENTRIES: usize = 64;

/// Why the messenger stopped.
#[derive(Debug, thiserror::Error)]
pub enum MessengerError {
    /// Outcomes can no longer be kept.
    #[error("the messenger's store cannot be used: {0}")]
    Store(#[from] StoreError),
    /// A part of it ended by a fault of its own.
    #[error("a part of the messenger failed: {0}")]
    Part(String),
}

/// The messenger service.
pub struct Messenger {
    tools: Arc<Tools>,
    mailbox: mpsc::Receiver<Notice>,
    own: mpsc::Sender<Notice>,
    running: HashMap<Id, watch::Sender<Target>>,
    tasks: JoinSet<Result<(), StoreError>>,
}

impl Messenger {
    /// The service and its handle.
    pub(crate) fn new(tools: Tools) -> (Self, MessengerHandle) {
        let tools = Arc::new(tools);
        let (own, mailbox) = mpsc::channel(MAILBOX);
        let handle = MessengerHandle { mailbox: own.clone(), tools: Arc::clone(&tools) };
        (Self { tools, mailbox, own, running: HashMap::new(), tasks: JoinSet::new() }, handle)
    }

    /// Runs until the node stops.
    ///
    /// # Errors
    /// When the store fails or a part of the messenger panics.
    pub async fn run(mut self) -> Result<(), MessengerError> {
        let (courier, parcels) = Courier::new(Arc::clone(&self.tools));
        self.tasks.spawn(courier.run());
        self.tasks.spawn(sweep(Arc::clone(&self.tools), self.own.clone()));
        loop {
            tokio::select! {
                Some(notice) = self.mailbox.recv() => self.on_notice(notice, &parcels),
                Some(ended) = self.tasks.join_next() => ended.map_err(|e| MessengerError::Part(e.to_string()))??,
            }
        }
    }

    fn on_notice(&mut self, notice: Notice, courier: &CourierHandle) {
        match notice {
            Notice::Sealed { process, next_slot, entries } => match self.running.get(&process) {
                Some(target) => target.send_modify(|t| merge(t, next_slot, entries)),
                None if self.running.len() >= WORKERS => {}
                None => self.start(process, next_slot, entries, courier),
            },
            Notice::Stopped { process, seen } => {
                let Some(target) = self.running.remove(&process) else { return };
                let newest = target.borrow().clone();
                if newest.next_slot > seen {
                    let entries = newest.entries.into_values().collect();
                    self.start(process, newest.next_slot, entries, courier);
                }
            }
        }
    }

    fn start(&mut self, process: Id, next_slot: u64, entries: Vec<LogEntry>, courier: &CourierHandle) {
        let mut target = Target::default();
        merge(&mut target, next_slot, entries);
        let (sender, receiver) = watch::channel(target);
        let worker = Worker { process, tools: Arc::clone(&self.tools), courier: courier.clone(), target: receiver };
        let own = self.own.clone();
        self.running.insert(process, sender);
        self.tasks.spawn(async move {
            let seen = worker.run().await?;
            let _ = own.send(Notice::Stopped { process, seen }).await;
            Ok(())
        });
    }
}

fn merge(target: &mut Target, next_slot: u64, entries: Vec<LogEntry>) {
    target.next_slot = target.next_slot.max(next_slot);
    for entry in entries {
        let item = DataItem::parse(entry.assignment.clone(), Profile::History).ok();
        if let Some(assignment) = item.and_then(|item| Assignment::read(&item).ok()) {
            target.entries.insert(assignment.slot, entry);
        }
    }
    while target.entries.len() > KEPT_ENTRIES {
        target.entries.pop_first();
    }
}

/// Whether it is for `me` to see to a process: the first of its messengers that can be reached.
fn on_duty(tools: &Tools, process: &Id, scheduler: &NodeKey) -> bool {
    for key in tools.directory.messengers(process, scheduler) {
        if key == tools.me {
            return true;
        }
        if tools.peers.network().is_connected(&key) {
            return false;
        }
    }
    false
}

impl MessengerHandle {
    /// As [`MessengerHandle::sealed`], if it is for this node to see to the process.
    pub fn sealed_if_on_duty(&self, process: Id, scheduler: &NodeKey, next_slot: u64, entries: Vec<LogEntry>) {
        if on_duty(&self.tools, &process, scheduler) {
            self.sealed(process, next_slot, entries);
        }
    }
}

/// Walks over the heads of all schedulers, for ever, and names what this node should see to and has not.
async fn sweep(tools: Arc<Tools>, own: mpsc::Sender<Notice>) -> Result<(), StoreError> {
    let mut ticks = tokio::time::interval(SWEEP);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let schedulers: Vec<NodeKey> = tools.directory.network().members(Role::Scheduler).map(|m| m.key).collect();
        // Side by side: a slow one holds up nobody.
        let sweeps = schedulers.into_iter().map(|scheduler| sweep_one(&tools, &own, scheduler));
        futures::future::try_join_all(sweeps).await?;
    }
}

async fn sweep_one(tools: &Tools, own: &mpsc::Sender<Notice>, scheduler: NodeKey) -> Result<(), StoreError> {
    if scheduler != tools.me && !tools.peers.network().is_connected(&scheduler) {
        return Ok(());
    }
    let mut after = bytes::Bytes::new();
    for _page in 0..PAGES {
        let Ok(page) = tools.peers.heads(scheduler, HeadsQuery { after: after.clone(), limit: PAGE }).await else {
            return Ok(());
        };
        for head in &page.heads {
            let Some(process) = Id::from_slice(&head.process) else { continue };
            if on_duty(tools, &process, &scheduler) && is_behind(&tools.store, &process, head.next_slot)? {
                let _ = own.send(Notice::Sealed { process, next_slot: head.next_slot, entries: Vec::new() }).await;
            }
        }
        match page.heads.last() {
            Some(last) if page.more && last.process > after => after = last.process.clone(),
            _ => return Ok(()),
        }
    }
    Ok(())
}

fn is_behind(store: &OutcomeStore, process: &Id, next_slot: u64) -> Result<bool, StoreError> {
    Ok(store.progress(process)?.next_slot < next_slot || store.cranked(process)? < next_slot)
}
