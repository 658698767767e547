//! Cron: messages that a process's own tags ask for, at times and block heights that everybody computes alike.
//!
//! Where it sits: the scheduler asks a [`Timetable`] what is due and gives each tick a slot of its own; whoever evaluates
//! asks an equal one whether a slot that claims to be a tick is one. Pure: the moments come from outside.
//!
//! A process names its crons in tags whose order matters (AO wire reference §4.7): each `Cron-Interval` opens one, the
//! `Cron-Tag-<Name>` tags that follow are the tags of its messages. A cron belongs to the class its unit says, block or
//! time, and is counted inside its class. Tick `n` (from 1) is due at `origin + n * interval`, where the origin is the
//! timestamp and the height of the process's own assignment, slot 0. So what is due depends on the log and on nothing else:
//! not on messages in between, not on who asks, not on when.
//!
//! A tick is a data item. It follows to the byte from (network, process, its tags, class, index, number) and is signed with
//! a key that anybody can derive from these, as the items of the crank are: the same tick has the same id whoever makes it.
//! What makes it a tick is the tag `Weft-Cron` in the *assignment*, which the process's scheduler signs.

use sha2::{Digest, Sha256};

use crate::{
    Id,
    ans104::{DataItem, Ed25519Signer, ItemBuilder, Tag},
    assignment::Assignment,
};

mod interval;
mod rate;
#[cfg(test)]
mod tests;
mod tick;

pub use interval::MAX_INTERVAL;
pub use rate::{BLOCK_SECONDS, Rate};
pub use tick::{Class, NoTickId, Tick, TickId};

/// The tag that opens a cron.
pub const INTERVAL_TAG: &str = "Cron-Interval";
/// What names of tags for a cron's messages begin with.
pub const TAG_PREFIX: &str = "Cron-Tag-";
/// Tag of every tick and of its assignment: its [`TickId`].
pub const CRON_TAG: &str = "Weft-Cron";
/// Tag of a tick before which others of its cron were left out: how many.
pub const SKIPPED_TAG: &str = "Weft-Cron-Skipped";

/// Crons of one process at most.
pub const MAX_CRONS: usize = 16;
/// Ticks of one cron that are made up for after a pause, the newest ones; older ones are left out and counted.
pub const MAX_CATCH_UP: u64 = 64;
/// Processes with crons that one scheduler takes, the same in every network: each costs it memory for ever.
pub const MAX_PROCESSES: usize = 1_024;

/// Tags that the protocol gives every tick: a cron's own of these names are left out.
const OWN: [&str; 3] = ["Data-Protocol", "Type", "Variant"];
/// Names that begin so belong to the protocol.
const RESERVED: &str = "Weft-";

/// Cron tags that cannot be carried out, or a slot that claims to be a tick and is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// A tag of the process.
    #[error("tag {name} = {value:?}: {reason}")]
    Tag {
        /// Its name, shortened.
        name: String,
        /// Its value, shortened.
        value: String,
        /// What is wrong and what to write instead.
        reason: String,
    },
    /// A slot's claim.
    #[error("slot {slot} is no tick of process {process}: {reason}")]
    NoTick {
        /// The process.
        process: Id,
        /// The slot.
        slot: u64,
        /// Which rule it breaks.
        reason: String,
    },
}

impl CronError {
    fn tag(tag: &Tag, reason: impl Into<String>) -> Self {
        let short = |text: &str| text.chars().take(64).collect();
        Self::Tag { name: short(&tag.name), value: short(&tag.value), reason: reason.into() }
    }
}

/// A moment in a process's log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Milliseconds since 1970.
    pub timestamp: u64,
    /// Block height.
    pub height: u64,
}

impl Moment {
    /// The moment that an assignment names.
    pub fn of(assignment: &Assignment) -> Self {
        Self { timestamp: assignment.timestamp, height: assignment.block_height }
    }

    fn at(&self, class: Class) -> u64 {
        match class {
            Class::Block => self.height,
            Class::Time => self.timestamp,
        }
    }
}

/// One cron of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    /// By blocks or by time.
    pub class: Class,
    /// Position within its class.
    pub index: u32,
    /// The `Cron-Interval` as written.
    pub interval: String,
    /// Blocks or milliseconds between two ticks; never 0.
    every: u64,
    tags: Vec<Tag>,
}

impl Cron {
    /// When tick `number` is due: milliseconds or height.
    fn due(&self, origin: Moment, number: u64) -> u64 {
        origin.at(self.class).saturating_add(self.every.saturating_mul(number))
    }

    /// The number of the newest tick due at `now`; 0 for none.
    fn newest(&self, origin: Moment, now: Moment) -> u64 {
        let passed = now.at(self.class).saturating_sub(origin.at(self.class));
        passed.checked_div(self.every).unwrap_or(0)
    }

    /// How often it ticks.
    fn rate(&self) -> Rate {
        match self.class {
            Class::Block => Rate::of_blocks(self.every),
            Class::Time => Rate::of_millis(self.every),
        }
    }

    fn id(&self, origin: Moment, number: u64) -> TickId {
        let due = self.due(origin, number);
        TickId { class: self.class, index: self.index, interval: self.interval.clone(), number, due }
    }
}

/// Reads the crons that `tags` of a process name, in the order of their tags; none is fine.
///
/// # Errors
/// Names the first tag that cannot be carried out.
pub fn read(tags: &[Tag]) -> Result<Vec<Cron>, CronError> {
    let mut crons: Vec<Cron> = Vec::new();
    for tag in tags {
        if tag.name == INTERVAL_TAG {
            let (class, every) = interval::read(&tag.value).map_err(|why| CronError::tag(tag, why))?;
            if crons.len() == MAX_CRONS {
                return Err(CronError::tag(tag, format!("a process may have {MAX_CRONS} crons; leave this one out")));
            }
            let index = crons.iter().filter(|c| c.class == class).count();
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            crons.push(Cron { class, index, interval: tag.value.clone(), every, tags: Vec::new() });
            if rate(&crons) > Rate::PROCESS {
                return Err(CronError::tag(tag, Rate::too_many()));
            }
        } else if let Some(name) = tag.name.strip_prefix(TAG_PREFIX) {
            let cron = crons.last_mut();
            let cron = cron.ok_or_else(|| CronError::tag(tag, "it stands before any Cron-Interval; put it after"))?;
            if name.is_empty() {
                return Err(CronError::tag(tag, "it gives the messages a tag without a name; write Cron-Tag-<Name>"));
            }
            if name.starts_with(RESERVED) {
                return Err(CronError::tag(tag, "names that begin with Weft- belong to the network; use another"));
            }
            if !OWN.contains(&name) {
                cron.tags.push(Tag::new(name, tag.value.clone()));
            }
        }
    }
    crons.iter().try_for_each(fits)?;
    Ok(crons)
}

/// How often crons tick, all together.
pub fn rate(crons: &[Cron]) -> Rate {
    crons.iter().map(Cron::rate).sum()
}

/// That the longest tick of a cron can be written.
fn fits(cron: &Cron) -> Result<(), CronError> {
    let longest = Moment { timestamp: u64::MAX, height: u64::MAX };
    let tick = Tick { id: cron.id(longest, u64::MAX), skipped: u64::MAX };
    item(&Id::default(), &Id::default(), cron, &tick).map(|_| ()).map_err(|reason| {
        CronError::tag(&Tag::new(INTERVAL_TAG, cron.interval.clone()), format!("its message cannot be made: {reason}"))
    })
}

/// The first tag of `item` that only ticks may have.
pub fn claims_tick(item: &DataItem) -> Option<&str> {
    item.tags().iter().map(|tag| tag.name.as_str()).find(|name| [CRON_TAG, SKIPPED_TAG].contains(name))
}

/// The key that signs tick `number` of a cron. Derived from public values: anyone can.
fn signer(network: &Id, process: &Id, cron: &Cron, number: u64) -> Ed25519Signer {
    let hash = Sha256::new()
        .chain_update(b"weft/cron/v1\0")
        .chain_update(network.as_bytes())
        .chain_update(process.as_bytes())
        .chain_update(cron.class.number().to_be_bytes())
        .chain_update(cron.index.to_be_bytes())
        .chain_update(number.to_be_bytes());
    Ed25519Signer::from_seed(hash.finalize().into())
}

fn item(network: &Id, process: &Id, cron: &Cron, tick: &Tick) -> Result<DataItem, String> {
    let mut tags = cron.tags.clone();
    tags.push(Tag::new("Data-Protocol", "ao"));
    tags.push(Tag::new("Type", "Message"));
    tags.push(Tag::new("Variant", "ao.TN.1"));
    tags.push(Tag::new(CRON_TAG, tick.id.to_string()));
    if tick.skipped > 0 {
        tags.push(Tag::new(SKIPPED_TAG, tick.skipped.to_string()));
    }
    let builder = ItemBuilder::new().target(*process).tags(tags).data(b" ".to_vec());
    builder.sign(&signer(network, process, cron, tick.id.number)).map_err(|e| e.to_string())
}

/// When a process next has something due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// Milliseconds of its next tick by time.
    pub timestamp: Option<u64>,
    /// Height of its next tick by blocks.
    pub height: Option<u64>,
}

/// The crons of one process, and how far each has got.
#[derive(Clone, Debug)]
pub struct Timetable {
    network: Id,
    process: Id,
    origin: Moment,
    /// Each cron with the number of its last tick in the log.
    crons: Vec<(Cron, u64)>,
}

impl Timetable {
    /// The timetable of the process that `spawn` is and `first` (slot 0) assigns, before any tick; `None` without crons.
    ///
    /// # Errors
    /// Names the tag that cannot be carried out.
    pub fn new(network: Id, spawn: &DataItem, first: &Assignment) -> Result<Option<Self>, CronError> {
        let crons: Vec<(Cron, u64)> = read(spawn.tags())?.into_iter().map(|cron| (cron, 0)).collect();
        let origin = Moment::of(first);
        Ok((!crons.is_empty()).then_some(Self { network, process: spawn.id(), origin, crons }))
    }

    /// The process.
    pub fn process(&self) -> Id {
        self.process
    }

    /// Its crons, in the order of their tags.
    pub fn crons(&self) -> impl Iterator<Item = &Cron> {
        self.crons.iter().map(|(cron, _)| cron)
    }

    /// How often they tick, all together.
    pub fn rate(&self) -> Rate {
        self.crons().map(Cron::rate).sum()
    }

    /// Notes that the log holds tick `number` of a cron (and none after it).
    pub fn set_last(&mut self, class: Class, index: u32, number: u64) {
        if let Some((_, last)) = self.crons.iter_mut().find(|(c, _)| (c.class, c.index) == (class, index)) {
            *last = number;
        }
    }

    /// When to look again.
    pub fn next(&self) -> Next {
        let of = |class| {
            let due = |(cron, last): &(Cron, u64)| cron.due(self.origin, last.saturating_add(1));
            self.crons.iter().filter(|(cron, _)| cron.class == class).map(due).min()
        };
        Next { timestamp: of(Class::Time), height: of(Class::Block) }
    }

    /// The ticks due at `now`, in the order in which they get their slots, at most `most`: blocks before times, earlier
    /// before later, finer before coarser. Of a cron that is far behind, the newest [`MAX_CATCH_UP`].
    pub fn due(&self, now: Moment, most: usize) -> Vec<Tick> {
        let mut all: Vec<(Class, u64, u64, Tick)> = Vec::new();
        for (cron, last) in &self.crons {
            let newest = cron.newest(self.origin, now);
            let first = last.saturating_add(1).max(newest.saturating_sub(MAX_CATCH_UP - 1));
            let mut skipped = first.saturating_sub(last.saturating_add(1));
            for number in first..=newest {
                let id = cron.id(self.origin, number);
                all.push((cron.class, id.due, cron.every, Tick { id, skipped: std::mem::take(&mut skipped) }));
            }
        }
        all.sort_by_key(|(class, due, every, tick)| (*class, *due, *every, tick.id.index));
        all.into_iter().take(most).map(|(_, _, _, tick)| tick).collect()
    }

    /// The item that `tick` is; `None` if the process has no such cron.
    pub fn item(&self, tick: &Tick) -> Option<DataItem> {
        // `read` has seen that the longest one can be made.
        item(&self.network, &self.process, self.cron(&tick.id)?, tick).ok()
    }

    fn cron(&self, id: &TickId) -> Option<&Cron> {
        self.crons.iter().map(|(cron, _)| cron).find(|c| (c.class, c.index) == (id.class, id.index))
    }

    /// Checks a slot that claims to be a tick: the cron is the process's, it was due at the assignment's own moment, and the
    /// item is the one that follows. Whether it is the cron's next one says [`Timetable::follow`].
    ///
    /// # Errors
    /// Names the rule that the slot breaks.
    pub fn check(&self, assignment: &Assignment, message: &DataItem) -> Result<Tick, CronError> {
        let no = |reason: &str| self.no_tick(assignment, reason);
        let text = assignment.cron.as_deref().unwrap_or_default();
        let id: TickId = text.parse().map_err(|why: NoTickId| no(&format!("its tag Weft-Cron is {why}")))?;
        let cron = self.cron(&id).ok_or_else(|| no("the process has no such cron"))?;
        if id.number == 0 || id != cron.id(self.origin, id.number) || id.to_string() != text {
            return Err(no("its interval or due time is not the cron's"));
        }
        let newest = cron.newest(self.origin, Moment::of(assignment));
        if newest < id.number {
            return Err(no("it was not due yet"));
        }
        let skipped = message.tag(SKIPPED_TAG).map_or(Some(0), |text| text.parse().ok());
        let skipped = skipped.ok_or_else(|| no("its tag Weft-Cron-Skipped is no number"))?;
        if skipped > 0 && newest < id.number.saturating_add(MAX_CATCH_UP - 1) {
            return Err(no("it leaves out ticks that had to be made up for"));
        }
        let tick = Tick { id, skipped };
        let same = self.item(&tick).is_some_and(|made| made.raw() == message.raw());
        if same { Ok(tick) } else { Err(no("the item is not the one that follows from the process's tags")) }
    }

    /// Moves past `tick`, checked before, which must be the next of its cron.
    ///
    /// # Errors
    /// When it repeats one, or leaves one out without saying so. Nothing is changed then.
    pub fn follow(&mut self, assignment: &Assignment, tick: &Tick) -> Result<(), CronError> {
        let last = self.crons.iter().find(|(c, _)| (c.class, c.index) == (tick.id.class, tick.id.index));
        let next = last.map_or(0, |(_, last)| *last).saturating_add(1).saturating_add(tick.skipped);
        if tick.id.number != next {
            return Err(self.no_tick(assignment, &format!("tick {next} of its cron is the next one")));
        }
        self.set_last(tick.id.class, tick.id.index, tick.id.number);
        Ok(())
    }

    fn no_tick(&self, assignment: &Assignment, reason: &str) -> CronError {
        CronError::NoTick { process: self.process, slot: assignment.slot, reason: reason.to_owned() }
    }
}
