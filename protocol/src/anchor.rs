//! The life of a bundle transaction on its way into Arweave, as a pure state machine.
//!
//! Items are immutable and keep their ids; the bundle transaction around them is disposable. It can be lost from
//! mempools (post it again), outlive its anchor (build another one over the same items) or vanish in a reorganisation
//! (post it again). Two bundles over the same items never live at once: a successor is built only when its predecessor
//! can no longer be mined on any fork.
//!
//! Where it sits: `node/src/anchor` feeds it what gateways said and does what it asks. Time is counted in block heights,
//! all of which are inputs.

use serde::{Deserialize, Serialize};

use crate::Id;

/// How long things may take, in blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnchorRules {
    /// A transaction's anchor is valid for this many blocks (50 on Arweave).
    pub anchor_life: u64,
    /// The deepest reorganisation we reckon with: an expired anchor is dead for certain this many blocks later.
    pub margin: u64,
    /// Confirmations (1 = in the tip block) that make a bundle settled.
    pub confirmations: u64,
    /// A pending bundle is posted again every so many blocks.
    pub repost_after: u64,
}

impl Default for AnchorRules {
    fn default() -> Self {
        Self { anchor_life: 50, margin: 18, confirmations: 20, repost_after: 10 }
    }
}

/// Where a bundle transaction stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "lowercase")]
pub enum Stage {
    /// Signed and durable here; no gateway is known to hold it.
    Built,
    /// A gateway took header and data.
    Posted,
    /// In a block that is not yet deep enough.
    Mined {
        /// Height of the block.
        height: u64,
        /// Hash of the block, as the gateway writes it.
        block: String,
    },
    /// Deep enough: final for us.
    Settled {
        /// Height of the block.
        height: u64,
        /// Hash of the block, as the gateway writes it.
        block: String,
    },
    /// Can never be mined: its items belong into a new bundle.
    Dead,
}

/// What a gateway answered when asked for a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sighting {
    /// Every gateway asked says it does not know the transaction.
    Unknown,
    /// In a mempool.
    Pending,
    /// In a block of the chain as it is now.
    Mined {
        /// Height of the block.
        height: u64,
        /// Hash of the block.
        block: String,
    },
}

/// What happened to a bundle transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A gateway took header and data.
    Accepted,
    /// Every gateway asked refused it in a way that repeating cannot mend (anchor too old, fee too low).
    Refused,
    /// Nobody could be reached, or an answer was lost: it may or may not have arrived.
    Unclear,
    /// An answer to a status question.
    Seen(Sighting),
}

/// What to do about a bundle transaction now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Post header and data (again).
    Post,
    /// Post the data (again): it has just been mined, and nodes forget data they hold for unmined headers.
    Seed,
    /// Ask for its status later.
    Watch,
    /// Put its items into a new bundle.
    Rebuild,
    /// Nothing any more.
    Done,
}

/// One bundle transaction and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// The transaction's id.
    pub tx: Id,
    /// Height of the block whose hash is its anchor.
    pub anchor_height: u64,
    /// Where it stands.
    pub stage: Stage,
    /// How often header and data were taken by a gateway before it was mined.
    pub posts: u32,
    /// Height at the last acceptance.
    posted_at: u64,
    /// Whether a copy may lie in somebody's mempool.
    escaped: bool,
    /// Whether the data has been posted since the header was mined.
    seeded: bool,
}

impl Bundle {
    /// A bundle just built: nobody but us has ever seen it.
    pub const fn fresh(tx: Id, anchor_height: u64) -> Self {
        Self { tx, anchor_height, stage: Stage::Built, posts: 0, posted_at: 0, escaped: false, seeded: false }
    }

    /// A bundle read back after a restart: a copy may be anywhere.
    pub const fn reopened(tx: Id, anchor_height: u64, stage: Stage, posts: u32) -> Self {
        Self { tx, anchor_height, stage, posts, posted_at: 0, escaped: true, seeded: false }
    }

    /// Whether nothing is left to do for it.
    pub const fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Settled { .. } | Stage::Dead)
    }

    /// Takes in what happened when the chain's tip was at `tip`, and says what to do.
    ///
    /// The stage afterwards is the one to make durable before doing it.
    pub fn on(&mut self, event: Event, tip: u64, rules: &AnchorRules) -> Action {
        if self.is_over() {
            return Action::Done;
        }
        match event {
            Event::Accepted => {
                self.escaped = true;
                self.posted_at = tip;
                self.seeded = matches!(self.stage, Stage::Mined { .. });
                if !self.seeded {
                    self.posts = self.posts.saturating_add(1);
                    self.stage = Stage::Posted;
                }
                Action::Watch
            }
            Event::Unclear => {
                self.escaped = true;
                Action::Watch
            }
            Event::Refused if self.escaped => Action::Watch,
            Event::Refused => self.die(),
            Event::Seen(sighting) => self.seen(sighting, tip, rules),
        }
    }

    /// Whether the anchor is still good for a block above `tip`.
    pub const fn is_postable(&self, tip: u64, rules: &AnchorRules) -> bool {
        tip < self.anchor_height.saturating_add(rules.anchor_life)
    }

    fn seen(&mut self, sighting: Sighting, tip: u64, rules: &AnchorRules) -> Action {
        match sighting {
            Sighting::Mined { height, block } => self.mined(height, block, tip, rules),
            Sighting::Pending => {
                self.escaped = true;
                self.stage = Stage::Posted;
                let quiet = self.posts > 0 && tip.saturating_sub(self.posted_at) < rules.repost_after;
                if quiet || !self.is_postable(tip, rules) { Action::Watch } else { Action::Post }
            }
            Sighting::Unknown => {
                let dead_at = self.anchor_height.saturating_add(rules.anchor_life).saturating_add(rules.margin);
                self.stage = Stage::Built;
                self.seeded = false;
                if self.is_postable(tip, rules) {
                    Action::Post
                } else if tip > dead_at || !self.escaped {
                    self.die()
                } else {
                    Action::Watch
                }
            }
        }
    }

    fn mined(&mut self, height: u64, block: String, tip: u64, rules: &AnchorRules) -> Action {
        let moved = !matches!(&self.stage, Stage::Mined { block: known, .. } if *known == block);
        self.escaped = true;
        if moved {
            self.seeded = false;
        }
        let depth = tip.saturating_sub(height).saturating_add(1);
        let deep = tip >= height && depth >= rules.confirmations;
        if !self.seeded {
            self.stage = Stage::Mined { height, block };
            return Action::Seed;
        }
        if deep {
            self.stage = Stage::Settled { height, block };
            return Action::Done;
        }
        self.stage = Stage::Mined { height, block };
        Action::Watch
    }

    fn die(&mut self) -> Action {
        self.stage = Stage::Dead;
        Action::Rebuild
    }
}

/// Where an item stands on its way into Arweave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnchorState {
    /// The transaction of the bundle it is in, once it is in one.
    pub bundle: Option<Id>,
    /// Where that bundle stands; `Built` with no bundle means that the item waits for one.
    #[serde(flatten)]
    pub stage: Stage,
}

impl AnchorState {
    /// An item that waits for a bundle.
    pub const WAITING: Self = Self { bundle: None, stage: Stage::Built };

    /// The word receipts use: `waiting`, `bundled`, `posted`, `mined` or `anchored`.
    pub const fn word(&self) -> &'static str {
        match (&self.bundle, &self.stage) {
            (None, _) | (_, Stage::Dead) => "waiting",
            (Some(_), Stage::Built) => "bundled",
            (Some(_), Stage::Posted) => "posted",
            (Some(_), Stage::Mined { .. }) => "mined",
            (Some(_), Stage::Settled { .. }) => "anchored",
        }
    }
}

#[cfg(test)]
mod tests;
