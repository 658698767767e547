//! Reads fixed in the log: what a module may find under `/data/…`, `/tx/…` and `/block/…` while it evaluates one slot.
//!
//! A message or process item asks for them with tags `Weft-Read: /data/<id>`; `On-Boot: <id>` on a process item asks for
//! `/data/<id>`. The scheduler fetches each once, when it seals the slot, puts the bytes into the log entry and their hash
//! into its assignment. From then on they are the log's: every evaluator, today or in years, shows the module the same
//! bytes, or the same "no such file". Nothing is fetched while a module runs.

use std::{fmt, str::FromStr};

use crate::{Id, ans104::Tag};

/// The tag by which an item asks for a read, and by which an assignment fixes it.
pub const READ_TAG: &str = "Weft-Read";
/// Reads of one slot at most.
pub const MAX_READS: usize = 16;

/// Something that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ReadPath {
    /// The data of an item or transaction: `/data/<id>`.
    Data(Id),
    /// The header of a layer-1 transaction as JSON, with `ownerAddress`: `/tx/<id>`.
    Tx(Id),
    /// A block as JSON: `/block/<height>`.
    Block(u64),
}

impl fmt::Display for ReadPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Data(id) => write!(f, "/data/{id}"),
            Self::Tx(id) => write!(f, "/tx/{id}"),
            Self::Block(height) => write!(f, "/block/{height}"),
        }
    }
}

/// A tag that asks for nothing that can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// No such path.
    #[error("tag {READ_TAG} = {0:?}: write /data/<id>, /tx/<id> or /block/<height>")]
    Path(String),
    /// Too many.
    #[error("the item asks for {0} reads (tags {READ_TAG} and On-Boot); at most {MAX_READS} are allowed")]
    TooMany(usize),
}

impl FromStr for ReadPath {
    type Err = ReadError;

    fn from_str(text: &str) -> Result<Self, ReadError> {
        let bad = || ReadError::Path(text.chars().take(80).collect());
        let (kind, name) = text.strip_prefix('/').and_then(|rest| rest.split_once('/')).ok_or_else(bad)?;
        let path = match kind {
            "data" => name.parse().map(Self::Data).map_err(|_| bad())?,
            "tx" => name.parse().map(Self::Tx).map_err(|_| bad())?,
            "block" => name.parse().map(Self::Block).map_err(|_| bad())?,
            _ => return Err(bad()),
        };
        // One path, one text: `/block/007` is what no module opens.
        if path.to_string() == text { Ok(path) } else { Err(bad()) }
    }
}

/// A read as an assignment fixes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// What is read.
    pub path: ReadPath,
    /// SHA-256 of the bytes; `None`: there is no such file for this slot.
    pub content: Option<Id>,
}

impl fmt::Display for Read {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.content {
            Some(hash) => write!(f, "{} {hash}", self.path),
            None => write!(f, "{} -", self.path),
        }
    }
}

impl FromStr for Read {
    type Err = ReadError;

    fn from_str(text: &str) -> Result<Self, ReadError> {
        let bad = || ReadError::Path(text.chars().take(160).collect());
        let (path, hash) = text.split_once(' ').ok_or_else(bad)?;
        let content = match hash {
            "-" => None,
            hash => Some(hash.parse().map_err(|_| bad())?),
        };
        Ok(Self { path: path.parse()?, content })
    }
}

/// Every path an item's tags ask for, in order and without repeats, and the first tag that is wrong.
fn asked(tags: &[Tag], is_process: bool) -> (Vec<ReadPath>, Option<ReadError>) {
    let (mut paths, mut wrong) = (Vec::new(), None);
    let on_boot = tags.iter().find(|tag| is_process && tag.name == "On-Boot");
    // `On-Boot: Data` means the item's own data.
    let on_boot = on_boot.and_then(|tag| tag.value.parse().ok()).map(ReadPath::Data);
    let named = tags.iter().filter(|tag| tag.name == READ_TAG).map(|tag| tag.value.parse::<ReadPath>());
    for path in on_boot.map(Ok).into_iter().chain(named) {
        match path {
            Ok(path) if paths.contains(&path) => {}
            Ok(path) => paths.push(path),
            Err(error) => wrong = wrong.or(Some(error)),
        }
    }
    (paths, wrong)
}

/// The reads of a slot, by its item's tags: what scheduler and evaluators agree on without a word. Of an item that nobody
/// could refuse (it came out of a process) what is malformed or too much is passed over.
pub fn of_tags(tags: &[Tag], is_process: bool) -> Vec<ReadPath> {
    let (mut paths, _) = asked(tags, is_process);
    paths.truncate(MAX_READS);
    paths
}

/// Checks the tags of an item that can still be refused.
///
/// # Errors
/// The first tag that asks for nothing readable, or too many of them.
pub fn check_tags(tags: &[Tag], is_process: bool) -> Result<(), ReadError> {
    match asked(tags, is_process) {
        (_, Some(error)) => Err(error),
        (paths, None) if paths.len() > MAX_READS => Err(ReadError::TooMany(paths.len())),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
