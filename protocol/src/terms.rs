//! What a scheduler signs about a message besides its slot, so that nobody has to look at the message again to know it:
//! what of it the process is not shown, the reads fixed for it, whether it is a cast and whose, and which chain of messages
//! it belongs to.
//!
//! The last three follow from the item's tags and its sender ([`Terms::fit`] checks that), but for the hashes of what was
//! read. Tags of the assignment: AO's `Exclude`, and `Weft-Read: <path> <hash or ->`, `Weft-Cast: <sender>`,
//! `Weft-Pushed-For: <id>`, which AO readers ignore.

use crate::{
    Id,
    ans104::{DataItem, Tag},
    assignment::{Assignment, Draft, MAX_EXCLUDE},
    reads::{self, MAX_READS, READ_TAG, Read, ReadPath},
};

/// The tag that makes a message a cast.
pub const CAST_TAG: &str = "Cast";
/// Characters of an address at most: ids have 43, Ethereum's addresses 42.
const MAX_SENDER: usize = 64;

/// Whether these tags make a message a cast: the first tag `Cast` is there and neither empty nor `false`.
pub fn is_cast(tags: &[Tag]) -> bool {
    let value = tags.iter().find(|tag| tag.name == CAST_TAG).map(|tag| tag.value.as_str());
    value.is_some_and(|value| !value.is_empty() && !value.eq_ignore_ascii_case("false"))
}

/// What a slot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The process item, in slot 0.
    Process,
    /// A message to the process.
    Message,
    /// A tick of its own crons.
    Tick,
    /// An existing item or transaction, assigned by id: its tags were not written for this process.
    Assigned,
}

/// What is known of a slot's content before its terms are made.
#[derive(Clone, Copy, Debug)]
pub struct Occasion<'a> {
    /// The tags of the item or transaction.
    pub tags: &'a [Tag],
    /// Its signer as AO shows it.
    pub owner: &'a str,
    /// The process whose word it is, where the key that signed it is derived and anybody's: of a crank the sending process,
    /// of a tick the process itself.
    pub speaker: Option<Id>,
    /// What the slot holds.
    pub kind: Kind,
}

impl<'a> Occasion<'a> {
    /// Of a slot to be given.
    pub fn ahead(process: Id, draft: &Draft, tags: &'a [Tag], owner: &'a str) -> Self {
        let kind = match (draft.assigned, &draft.cron) {
            (Some(_), _) => Kind::Assigned,
            (None, Some(_)) => Kind::Tick,
            (None, None) if draft.message == process => Kind::Process,
            (None, None) => Kind::Message,
        };
        let crank = draft.crank.as_deref().and_then(crank_process);
        Self { tags, owner, speaker: crank.or((kind == Kind::Tick).then_some(process)), kind }
    }

    /// Of a slot that was given.
    pub fn of(assignment: &Assignment, tags: &'a [Tag], owner: &'a str) -> Self {
        let Assignment { message, crank, assigned, cron, .. } = assignment;
        let draft = Draft {
            message: *message,
            crank: crank.clone(),
            assigned: *assigned,
            cron: cron.clone(),
            terms: Terms::default(),
        };
        Self::ahead(assignment.process, &draft, tags, owner)
    }
}

impl Occasion<'_> {
    /// What may be read while it is evaluated.
    pub fn reads(&self) -> Vec<ReadPath> {
        match self.kind {
            Kind::Process | Kind::Message => reads::of_tags(self.tags, self.kind == Kind::Process),
            Kind::Tick | Kind::Assigned => Vec::new(),
        }
    }

    fn cast(&self) -> Option<String> {
        if matches!(self.kind, Kind::Process | Kind::Assigned) || !is_cast(self.tags) {
            return None;
        }
        Some(self.speaker.map_or_else(|| self.owner.to_owned(), |process| process.to_string()))
    }

    fn pushed_for(&self) -> Option<Id> {
        self.tags.iter().find(|tag| tag.name == "Pushed-For").and_then(|tag| tag.value.parse().ok())
    }

    /// The terms, with `reads` as fetched.
    pub fn terms(&self, exclude: Vec<String>, reads: Vec<Read>) -> Terms {
        Terms { exclude, reads, cast: self.cast(), pushed_for: self.pushed_for() }
    }
}

/// The process that a crank identity names as its sender.
pub fn crank_process(crank: &str) -> Option<Id> {
    crank.split('/').next()?.parse().ok()
}

/// What an assignment says besides the slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Members of the message that the process is not shown.
    pub exclude: Vec<String>,
    /// The reads fixed for the slot, at most [`MAX_READS`].
    pub reads: Vec<Read>,
    /// Set when the message is a cast: its sender's address, or the process whose word it is.
    pub cast: Option<String>,
    /// The first item of the chain of messages, if the message names one.
    pub pushed_for: Option<Id>,
}

impl Terms {
    /// The tags of the assignment.
    pub(crate) fn tags(&self) -> impl Iterator<Item = Tag> + '_ {
        let exclude = self.exclude.iter().map(|name| Tag::new("Exclude", name.clone()));
        let reads = self.reads.iter().map(|read| Tag::new(READ_TAG, read.to_string()));
        let cast = self.cast.iter().map(|sender| Tag::new("Weft-Cast", sender.clone()));
        let chain = self.pushed_for.iter().map(|id| Tag::new("Weft-Pushed-For", id.to_string()));
        exclude.chain(reads).chain(cast).chain(chain)
    }

    /// Reads the tags of an assignment; the name of the first that is malformed.
    pub(crate) fn read(item: &DataItem) -> Result<Self, &'static str> {
        let named = |name: &'static str| item.tags().iter().filter(move |tag| tag.name == name);
        let exclude: Vec<String> = named("Exclude").map(|tag| tag.value.clone()).collect();
        if exclude.len() > MAX_EXCLUDE {
            return Err("Exclude");
        }
        let reads = named(READ_TAG).map(|tag| tag.value.parse::<Read>());
        let reads = reads.take(MAX_READS.saturating_add(1)).collect::<Result<Vec<_>, _>>().map_err(|_| READ_TAG)?;
        if reads.len() > MAX_READS {
            return Err(READ_TAG);
        }
        let cast = item.tag("Weft-Cast").map(str::to_owned);
        if cast.as_ref().is_some_and(|sender| sender.is_empty() || sender.len() > MAX_SENDER) {
            return Err("Weft-Cast");
        }
        let pushed_for =
            item.tag("Weft-Pushed-For").map(str::parse::<Id>).transpose().map_err(|_| "Weft-Pushed-For")?;
        Ok(Self { exclude, reads, cast, pushed_for })
    }

    /// Whether these can be the terms of this content: nothing asked for is left out, nothing else is in.
    pub fn fit(&self, occasion: &Occasion<'_>) -> bool {
        self.cast == occasion.cast()
            && self.pushed_for == occasion.pushed_for()
            && self.reads.iter().map(|read| read.path).eq(occasion.reads())
    }
}

#[cfg(test)]
mod tests;
