//! The crons of the processes that this scheduler orders: which tick is due next, over all of them.
//!
//! Where it sits: inside the scheduler's loop, which seals what is due beside what was asked for. Everything here is rebuilt
//! from the log at start: a tick is in the log or has not happened, so death between any two steps repeats nothing. A process
//! without crons is not in here.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use bytes::Bytes;
use weft_protocol::{
    Id,
    ans104::{DataItem, Profile},
    assignment::{Assignment, Draft},
    cron::{self, MAX_PROCESSES, Moment, Rate, Tick, Timetable},
    refusal::Code,
    terms::Occasion,
    wire::Refusal,
};
use weft_storage::store::StoreError;

use super::{LogStore, Order, StoredEntry};

#[cfg(test)]
mod tests;

/// Longest pause between two looks while there are crons: the wall clock may be set, and heights come without an event.
const LOOK: Duration = Duration::from_millis(500);

/// A tick to be sealed.
pub(super) struct Due {
    /// Which.
    pub tick: Tick,
    /// The order for its slot.
    pub order: Order,
}

/// All timetables, by when they are next due.
#[derive(Default)]
pub(super) struct Crons {
    tables: HashMap<Id, Timetable>,
    by_time: BTreeSet<(u64, Id)>,
    by_height: BTreeSet<(u64, Id)>,
    load: Load,
}

/// What crons ask of a scheduler.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Load {
    /// Processes that have some.
    pub processes: usize,
    /// How often they tick, all together.
    pub rate: Rate,
}

impl Load {
    /// With another's.
    pub fn plus(self, other: Self) -> Self {
        Self { processes: self.processes.saturating_add(other.processes), rate: self.rate.plus(other.rate) }
    }
}

impl Crons {
    /// As the log has them.
    pub fn load(network: &Id, log: &LogStore) -> Result<Self, StoreError> {
        let mut crons = Self::default();
        for process in log.cron_processes(MAX_PROCESSES)? {
            if let Some(table) = timetable(network, log, &process)? {
                crons.put(table);
            }
        }
        Ok(crons)
    }

    /// What they ask for.
    pub fn load_of_all(&self) -> Load {
        self.load
    }

    fn put(&mut self, table: Timetable) {
        let (process, next) = (table.process(), table.next());
        self.remove(&process);
        self.by_time.extend(next.timestamp.map(|at| (at, process)));
        self.by_height.extend(next.height.map(|at| (at, process)));
        self.load = self.load.plus(Load { processes: 1, rate: table.rate() });
        self.tables.insert(process, table);
    }

    fn remove(&mut self, process: &Id) -> Option<Timetable> {
        let table = self.tables.remove(process)?;
        self.load.processes = self.tables.len();
        self.load.rate = self.load.rate.minus(table.rate());
        let next = table.next();
        if let Some(at) = next.timestamp {
            self.by_time.remove(&(at, *process));
        }
        if let Some(at) = next.height {
            self.by_height.remove(&(at, *process));
        }
        Some(table)
    }

    /// A process that has just got its slot 0.
    pub fn add(&mut self, network: Id, spawn: &Bytes, first: &Assignment) {
        let item = DataItem::parse(spawn.clone(), Profile::History).ok();
        if let Some(Ok(Some(table))) = item.map(|item| Timetable::new(network, &item, first)) {
            self.put(table);
        }
    }

    /// Ticks that are in the log now.
    pub fn sealed(&mut self, process: Id, ticks: &[Tick]) {
        let Some(mut table) = self.remove(&process) else { return };
        for tick in ticks {
            table.set_last(tick.id.class, tick.id.index, tick.id.number);
        }
        self.put(table);
    }

    /// Gives up on a process until the next start: its ticks cannot be sealed.
    pub fn give_up(&mut self, process: &Id) {
        self.remove(process);
    }

    /// How long nothing will be due, as far as one can know; `None` without crons.
    pub fn pause(&self, now: Moment) -> Option<Duration> {
        if self.by_height.first().is_some_and(|(height, _)| *height <= now.height) {
            return Some(Duration::ZERO);
        }
        match self.by_time.first() {
            Some((at, _)) => Some(Duration::from_millis(at.saturating_sub(now.timestamp)).min(LOOK)),
            None => (!self.by_height.is_empty()).then_some(LOOK),
        }
    }

    /// Ticks due at `now`, those of a process in their order, at most `most` of all processes together.
    pub fn due(&self, now: Moment, most: usize) -> Vec<Due> {
        let by_height = self.by_height.iter().take_while(|(at, _)| *at <= now.height);
        let by_time = self.by_time.iter().take_while(|(at, _)| *at <= now.timestamp);
        let mut seen = BTreeSet::new();
        let mut out: Vec<Due> = Vec::new();
        for (_, process) in by_height.chain(by_time) {
            let Some(table) = self.tables.get(process).filter(|_| seen.insert(*process)) else { continue };
            let ticks = table.due(now, most.saturating_sub(out.len()));
            out.extend(ticks.into_iter().filter_map(|tick| order(table, tick)));
            if out.len() >= most {
                break;
            }
        }
        out
    }
}

fn order(table: &Timetable, tick: Tick) -> Option<Due> {
    let item = table.item(&tick)?;
    let mut draft = Draft { message: item.id(), cron: Some(tick.id.to_string()), ..Draft::default() };
    // A tick is the process's own word: whose key made its item says nothing.
    draft.terms = Occasion::ahead(table.process(), &draft, item.tags(), "").terms(Vec::new(), Vec::new());
    let order = Order {
        process: table.process(),
        draft,
        item: item.raw().clone(),
        assigned: Bytes::new(),
        reads: Vec::new(),
        proof: None,
    };
    Some(Due { tick, order })
}

/// The timetable of a process as the log has it; `None` if it has no crons.
fn timetable(network: &Id, log: &LogStore, process: &Id) -> Result<Option<Timetable>, StoreError> {
    let Some(first) = log.entry(process, 0)?.and_then(StoredEntry::read) else { return Ok(None) };
    let Ok(spawn) = DataItem::parse(first.wire.item, Profile::History) else { return Ok(None) };
    let mut table = match Timetable::new(*network, &spawn, &first.assignment) {
        Ok(Some(table)) => table,
        Ok(None) => return Ok(None),
        Err(error) => {
            tracing::warn!(%process, %error, "a process in the log has crons that cannot be carried out");
            return Ok(None);
        }
    };
    let crons: Vec<_> = table.crons().map(|cron| (cron.class, cron.index)).collect();
    for (class, index) in crons {
        if let Some(number) = log.last_tick(process, class, index)? {
            table.set_last(class, index, number);
        }
    }
    Ok(Some(table))
}

/// What the crons that a new process names ask for, where `there` is asked for already; `None` without crons.
pub(super) fn admit(spawn: &Bytes, there: Load, now: Moment) -> Result<Option<Load>, Refusal> {
    let item = DataItem::parse(spawn.clone(), Profile::History).map_err(|e| Code::BadItem.refuse(e.to_string()))?;
    let crons = cron::read(item.tags()).map_err(|e| Code::BadItem.refuse(e.to_string()))?;
    if crons.is_empty() {
        return Ok(None);
    }
    let wanted = Load { processes: 1, rate: cron::rate(&crons) };
    let full = if there.processes >= MAX_PROCESSES {
        Some(format!("orders {} processes with crons, the most that one takes", there.processes))
    } else if there.plus(wanted).rate > Rate::SCHEDULER {
        Some(
            "has crons that come to 64 ticks a second together, the most that one takes, or would with these"
                .to_owned(),
        )
    } else {
        None
    };
    if let Some(full) = full {
        return Err(Code::Forbidden.refuse(format!(
            "the scheduler that is elected for this process {full}: spawn it again (a new id elects anew), with longer \
             intervals, or leave out {}",
            cron::INTERVAL_TAG
        )));
    }
    if crons.iter().any(|c| c.class == cron::Class::Block) && now.height == 0 {
        return Err(
            Code::Unavailable.refuse("no gateway has told the block height yet, from which its crons count; try again")
        );
    }
    Ok(Some(wanted))
}
