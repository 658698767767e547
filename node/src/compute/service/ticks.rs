//! Slots that claim to be ticks, checked before they are evaluated: an evaluator makes each one itself from the process's
//! tags and refuses what differs, is not due or is not next. So a scheduler can be late with a tick, but cannot invent one.

use weft_protocol::{
    Id,
    ans104::{DataItem, Profile},
    assignment::Assignment,
    cron::{Class, Timetable, claims_tick},
    message::{Content, Party},
    network::Network,
    refusal::Code,
    wire::{LogEntry, Refusal},
};

use super::{ComputeTools, store_fault};
use crate::directory::Located;

#[cfg(test)]
mod tests;

/// The crons of one process, as far as its slots have been checked.
#[derive(Clone)]
pub(super) struct Ticks {
    /// `None` for a process without crons.
    table: Option<Timetable>,
    /// The process's owner as modules see it.
    pub owner: String,
    /// Slots before this one have moved the timetable; a replay shows them again.
    followed: u64,
}

impl Ticks {
    /// Of the process that was `located`, just before slot `next`, up to which this node has results.
    pub fn new(tools: &ComputeTools, located: &Located, next: u64) -> Result<Self, Refusal> {
        let mut ticks = Self::from_start(&tools.network, located)?;
        let crons = ticks.crons();
        if let Some(table) = &mut ticks.table {
            for (class, index) in crons {
                let last = tools.machine.store.last_tick(&located.item.id(), class, index).map_err(store_fault)?;
                table.set_last(class, index, last);
            }
        }
        Ok(Self { followed: next, ..ticks })
    }

    /// Of the process that was `located`, before slot 0.
    pub fn from_start(network: &Network, located: &Located) -> Result<Self, Refusal> {
        let first = Assignment::read(&located.assignment).map_err(|e| Code::BadItem.refuse(e.to_string()))?;
        // A process with crons that cannot be carried out is not scheduled; an old one has no ticks.
        let table = Timetable::new(network.id(), &located.item, &first).unwrap_or_default();
        Ok(Self { table, owner: owner_of(&network.address(), located, &first), followed: 0 })
    }

    /// Of a process with this timetable, before slot 0.
    #[cfg(test)]
    pub fn of(table: Option<Timetable>) -> Self {
        Self { table, owner: String::new(), followed: 0 }
    }

    /// The crons there are.
    pub fn crons(&self) -> Vec<(Class, u32)> {
        self.table.iter().flat_map(Timetable::crons).map(|cron| (cron.class, cron.index)).collect()
    }

    /// Slots before `end` have moved the timetable already.
    pub fn looking_back(&mut self, end: u64) {
        self.followed = self.followed.max(end);
    }

    /// Checks the entry's claim, if it makes one, and makes its content the owner's word then.
    pub fn check(&mut self, entry: &LogEntry, assignment: &Assignment, content: &mut Content) -> Result<(), String> {
        if assignment.assigned.is_some() && assignment.cron.is_none() {
            return Ok(());
        }
        let item = DataItem::parse(entry.item.clone(), Profile::History).map_err(|e| e.to_string())?;
        if assignment.cron.is_none() {
            return match claims_tick(&item) {
                Some(tag) => {
                    Err(format!("its item has the tag {tag}, but its assignment does not say that it is a tick"))
                }
                None => Ok(()),
            };
        }
        let table = self.table.as_mut().ok_or("it claims to be a tick of a process without crons")?;
        let tick = table.check(assignment, &item).map_err(|e| e.to_string())?;
        if assignment.slot >= self.followed {
            table.follow(assignment, &tick).map_err(|e| e.to_string())?;
            self.followed = assignment.slot.saturating_add(1);
        }
        content.owner.clone_from(&self.owner);
        Ok(())
    }
}

/// A process that another one spawned is owned by the network, as its spawn was a checked crank.
fn owner_of(network_address: &Id, located: &Located, first: &Assignment) -> String {
    match first.crank {
        Some(_) => network_address.to_string(),
        None => Party::of(&located.item).owner,
    }
}
