//! One process: a live instance that moves on with each good message and stays where it is with each bad one.
//!
//! Where it sits: over `live.rs`, below the pool.
//!
//! Rolling back without copying 2 MiB before each message: every few messages the state is copied (a checkpoint); the
//! messages since are remembered. After a message that fails, the memory goes back to the checkpoint and they are
//! replayed, which gives the same state because evaluation is deterministic. How many messages that are follows what
//! copying costs and how long ago the last failure was (`instance/policy.rs`): somebody who sends only bad messages costs
//! the process a copy each, not replays.

use std::sync::Arc;

use weft_protocol::Id;

use super::{
    evaluation::{EvalError, EvalErrorKind, Evaluation, commits},
    live::Live,
    memory::{
        PAGE,
        checkpoint::Checkpoint,
        parked::Parked,
        resident,
        snapshot::{Snapshot, SnapshotError},
    },
    module::{LoadError, Module},
    reads::Reads,
    tiers::Tier,
};
use policy::{Pace, copy_fuel};

pub use policy::ReplayPolicy;

mod policy;

/// The process cannot go on in this instance. It says nothing about any message.
#[derive(Debug, thiserror::Error)]
#[error("the process's live state was lost: {0}; restore a snapshot or replay the log")]
pub struct InstanceError(String);

/// A process in memory. Use it on a thread with [`super::EVALUATION_STACK`].
pub struct Instance {
    module: Module,
    /// `None` after a failure of this node: the state is lost.
    live: Option<Live>,
    /// The state that `replay` begins from; `None`: the module's initial state.
    base: Option<Checkpoint>,
    replay: Replay,
    policy: ReplayPolicy,
    pace: Pace,
}

/// A good message, as it was given.
struct Remembered {
    msg: Box<str>,
    env: Arc<str>,
    reads: Arc<Reads>,
}

/// Good messages since the base.
#[derive(Default)]
struct Replay {
    messages: Vec<Remembered>,
    bytes: usize,
    fuel: u64,
}

impl Replay {
    fn push(&mut self, msg: &str, env: &str, reads: &Arc<Reads>, fuel: u64) {
        // The environment is the same for all messages of a process.
        let env = match self.messages.last() {
            Some(Remembered { env: last, .. }) if **last == *env => Arc::clone(last),
            _ => Arc::from(env),
        };
        self.bytes = self.bytes.saturating_add(msg.len()).saturating_add(reads.size());
        self.fuel = self.fuel.saturating_add(fuel);
        self.messages.push(Remembered { msg: Box::from(msg), env, reads: Arc::clone(reads) });
    }
}

impl Instance {
    /// A process before its first message.
    ///
    /// # Errors
    /// The module fails when it is initialised.
    pub fn new(module: &Module) -> Result<Self, LoadError> {
        let live = Live::start(module)?;
        Ok(Self::around(module, live, None))
    }

    /// A process in the state of `snapshot`.
    ///
    /// # Errors
    /// The snapshot is damaged, of another module, or too large for this node.
    pub fn restore(module: &Module, snapshot: &Snapshot) -> Result<Self, SnapshotError> {
        Self::from_checkpoint(module, snapshot.checkpoint(module)?)
    }

    /// A process that was parked on this node.
    ///
    /// # Errors
    /// What was parked is damaged, of another module or version of Weft, or too large for this node.
    pub fn revive(module: &Module, parked: &Parked) -> Result<Self, SnapshotError> {
        Self::from_checkpoint(module, parked.checkpoint(module)?)
    }

    fn from_checkpoint(module: &Module, checkpoint: Checkpoint) -> Result<Self, SnapshotError> {
        let live = Live::restore(module, &checkpoint).map_err(|error| SnapshotError::Node(error.to_string()))?;
        Ok(Self::around(module, live, Some(checkpoint)))
    }

    fn around(module: &Module, live: Live, base: Option<Checkpoint>) -> Self {
        Self {
            module: module.clone(),
            live: Some(live),
            base,
            replay: Replay::default(),
            policy: ReplayPolicy::default(),
            pace: Pace::default(),
        }
    }

    /// The same process with another policy of copying.
    #[must_use]
    pub fn with_policy(mut self, policy: ReplayPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// The module that the process runs.
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// Evaluates the next message, which has nothing to read. As [`Instance::apply_reading`].
    pub fn apply(&mut self, msg_json: &str, env_json: &str) -> Evaluation {
        self.apply_reading(msg_json, env_json, &Reads::none())
    }

    /// Evaluates the next message, during which the module may read `reads` and no other file. Unless the evaluation is
    /// `committed`, the state is what it was before.
    pub fn apply_reading(&mut self, msg_json: &str, env_json: &str, reads: &Arc<Reads>) -> Evaluation {
        if self.copy_is_due()
            && let Err(error) = self.checkpoint()
        {
            return lost(&error);
        }
        let Some(live) = self.live.as_mut() else {
            return lost(&InstanceError("an earlier failure of this node".to_owned()));
        };
        let (result, fuel) = live.call(msg_json, env_json, reads);
        let committed = result.as_ref().is_ok_and(commits);
        if committed {
            self.pace.good(fuel);
            self.replay.push(msg_json, env_json, reads, fuel);
        } else {
            self.pace.failed();
            if let Err(error) = self.roll_back(unusable(&result)) {
                return lost(&error);
            }
        }
        Evaluation { result, fuel, committed, root: None }
    }

    /// Evaluates a message and undoes what it did, whatever came of it. `committed` is always false.
    pub fn dry_run(&mut self, msg_json: &str, env_json: &str) -> Evaluation {
        if let Err(error) = self.checkpoint() {
            return lost(&error);
        }
        let Some(live) = self.live.as_mut() else {
            return lost(&InstanceError("an earlier failure of this node".to_owned()));
        };
        let (result, fuel) = live.call(msg_json, env_json, &Reads::none());
        if let Err(error) = self.roll_back(unusable(&result)) {
            return lost(&error);
        }
        Evaluation { result, fuel, committed: false, root: None }
    }

    /// The state root.
    ///
    /// # Errors
    /// The state was lost by an earlier failure of this node.
    pub fn root(&mut self) -> Result<Id, InstanceError> {
        let module = self.module.clone();
        self.state().map(|checkpoint| checkpoint.root(module.image()))
    }

    /// The state, to be stored.
    ///
    /// # Errors
    /// The state was lost by an earlier failure of this node, or it cannot be compressed.
    pub fn snapshot(&mut self) -> Result<Snapshot, SnapshotError> {
        let module = self.module.clone();
        let checkpoint = self.state().map_err(|error| SnapshotError::Node(error.to_string()))?;
        Snapshot::of(&module, checkpoint)
    }

    /// The state as this node keeps a process that rests: its difference to the module's image.
    ///
    /// # Errors
    /// The state was lost by an earlier failure of this node, or it cannot be compressed.
    pub fn park(&mut self) -> Result<Parked, SnapshotError> {
        let module = self.module.clone();
        let checkpoint = self.state().map_err(|error| SnapshotError::Node(error.to_string()))?;
        Parked::of(&module, checkpoint)
    }

    /// Bytes of memory that this process takes on this node now: the pages it has written (the operating system is asked), their
    /// copy, and the messages kept for a replay.
    pub fn weight(&self) -> usize {
        let mut pages = 0_usize;
        if let Some(live) = &self.live {
            resident::written(live.memory_bytes(), self.module.image(), |range| {
                pages = pages.saturating_add(range.len());
            });
        }
        let copied = self.base.as_ref().map_or(0, Checkpoint::weight);
        pages.saturating_mul(PAGE).saturating_add(copied).saturating_add(self.replay.bytes)
    }

    /// Size of the process's linear memory in bytes; 0 when the state was lost.
    pub fn memory_bytes(&self) -> u64 {
        self.live.as_ref().map_or(0, |live| live.memory_bytes().len() as u64)
    }

    /// How good the code is that it runs; `None` when the state was lost.
    pub fn tier(&self) -> Option<Tier> {
        self.live.as_ref().map(Live::tier)
    }

    /// Whether a failure of this node lost the state; every evaluation is then a [`EvalErrorKind::NodeFault`].
    pub fn is_lost(&self) -> bool {
        self.live.is_none()
    }

    fn copy_is_due(&self) -> bool {
        let (replay, policy) = (&self.replay, &self.policy);
        !replay.messages.is_empty()
            && (replay.messages.len() >= policy.messages
                || replay.bytes >= policy.bytes
                || replay.fuel >= self.pace.window(policy, copy_fuel(self.base.as_ref().map_or(0, Checkpoint::weight))))
    }

    /// Makes the present state the base. Free when it already is.
    fn checkpoint(&mut self) -> Result<(), InstanceError> {
        let live = self.live.as_mut().ok_or_else(|| InstanceError("an earlier failure of this node".to_owned()))?;
        if self.base.is_some() && self.replay.messages.is_empty() {
            return Ok(());
        }
        let old = self.base.take().unwrap_or_default();
        let better = self.module.tier() > live.tier();
        self.base = Some(Checkpoint::take(live, old));
        self.replay = Replay::default();
        // Its module's code is better now than when it was made. If it cannot move over it stays as it is.
        if better && let Ok(live) = self.rebuilt() {
            self.live = Some(live);
        }
        Ok(())
    }

    /// The present state as a checkpoint.
    fn state(&mut self) -> Result<&Checkpoint, InstanceError> {
        self.checkpoint()?;
        self.base.as_ref().ok_or_else(|| InstanceError("there is no copy of it".to_owned()))
    }

    fn rebuilt(&self) -> Result<Live, InstanceError> {
        match &self.base {
            Some(base) => Live::restore(&self.module, base).map_err(|error| InstanceError(error.to_string())),
            None => Live::start(&self.module).map_err(|error| InstanceError(error.to_string())),
        }
    }

    /// Goes back to the base and evaluates again what came since; `unusable`: only in a new instance.
    fn roll_back(&mut self, unusable: bool) -> Result<(), InstanceError> {
        let reverted = match (self.live.take(), &self.base) {
            (Some(live), Some(base)) if !unusable => reverted(live, base)?,
            _ => None,
        };
        let mut live = match reverted {
            Some(live) => live,
            None => self.rebuilt()?,
        };
        let mut fuel_again = 0_u64;
        for Remembered { msg, env, reads } in &self.replay.messages {
            let (result, fuel) = live.call(msg, env, reads);
            if !result.as_ref().is_ok_and(commits) {
                return Err(InstanceError("a message that was good failed when it was evaluated again".to_owned()));
            }
            fuel_again = fuel_again.saturating_add(fuel);
        }
        if fuel_again != self.replay.fuel {
            return Err(InstanceError("evaluating again took another amount of fuel".to_owned()));
        }
        self.live = Some(live);
        Ok(())
    }
}

/// `live` in the state of `base`; `None`, and the instance gone, if it cannot go back. (Gone before a new one is made: two
/// memories at once would double what a failing message takes.)
fn reverted(mut live: Live, base: &Checkpoint) -> Result<Option<Live>, InstanceError> {
    let done = live.revert(base).map_err(|error| InstanceError(error.to_string()))?;
    Ok(done.then_some(live))
}

/// Whether nothing is known of an instance after a call that ended like this.
fn unusable(result: &Result<serde_json::Value, EvalError>) -> bool {
    matches!(result, Err(error) if error.kind == EvalErrorKind::NodeFault)
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instance").field("module", &self.module).finish_non_exhaustive()
    }
}

fn lost(error: &InstanceError) -> Evaluation {
    let result = Err(EvalError::new(EvalErrorKind::NodeFault, error.to_string()));
    Evaluation { result, fuel: 0, committed: false, root: None }
}
