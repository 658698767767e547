//! One process's place in the pool: empty, live or parked.

use weft_protocol::Id;

use super::{Job, PoolError};
use crate::compute::{EvalErrorKind, Evaluation, Instance, Module, Snapshot};

#[derive(Default)]
pub(super) struct Seat {
    state: State,
    next_slot: u64,
}

#[derive(Default)]
enum State {
    #[default]
    Empty,
    Live(Box<Instance>),
    Parked(Module, Snapshot),
}

impl Seat {
    pub(super) fn run(&mut self, module: &Module, jobs: &[Job]) -> Result<Vec<Evaluation>, PoolError> {
        let Some(first) = jobs.first() else {
            return Ok(Vec::new());
        };
        if first.slot != self.next_slot {
            return Err(PoolError::WrongState { at: self.next_slot, wanted: first.slot });
        }
        if let Some(loaded) = self.module().filter(|loaded| *loaded != module.id()) {
            return Err(PoolError::OtherModule { loaded, asked: module.id() });
        }
        if matches!(self.state, State::Empty) {
            self.state = State::Live(Box::new(Instance::new(module)?));
        }
        let mut done = Vec::with_capacity(jobs.len());
        for job in jobs {
            let instance = self.live()?;
            let mut evaluation = instance.apply_reading(&job.msg_json, &job.env_json, &job.reads);
            let mut fault = node_fault(&evaluation);
            if job.root && fault.is_none() {
                match instance.root() {
                    Ok(root) => evaluation.root = Some(root),
                    Err(error) => fault = Some(error.to_string()),
                }
            }
            if let Some(message) = fault {
                let lost = instance.is_lost();
                if lost {
                    *self = Self::default();
                }
                return Err(PoolError::NodeFault { slot: job.slot, message, done });
            }
            self.next_slot = job.slot.saturating_add(1);
            done.push(evaluation);
        }
        Ok(done)
    }

    pub(super) fn dry_run(&mut self, msg_json: &str, env_json: &str) -> Result<Evaluation, PoolError> {
        let slot = self.next_slot;
        let evaluation = self.live()?.dry_run(msg_json, env_json);
        match node_fault(&evaluation) {
            Some(message) => Err(PoolError::NodeFault { slot, message, done: Vec::new() }),
            None => Ok(evaluation),
        }
    }

    pub(super) fn root(&mut self) -> Result<(u64, Id), PoolError> {
        let slot = self.next_slot;
        match self.live()?.root() {
            Ok(root) => Ok((slot, root)),
            Err(error) => Err(PoolError::NodeFault { slot, message: error.to_string(), done: Vec::new() }),
        }
    }

    pub(super) fn snapshot(&mut self) -> Result<(u64, Snapshot), PoolError> {
        if let State::Parked(_, snapshot) = &self.state {
            return Ok((self.next_slot, snapshot.clone()));
        }
        let slot = self.next_slot;
        Ok((slot, self.live()?.snapshot()?))
    }

    pub(super) fn restore(&mut self, module: &Module, snapshot: &Snapshot, next_slot: u64) -> Result<(), PoolError> {
        let instance = Instance::restore(module, snapshot)?;
        *self = Self { state: State::Live(Box::new(instance)), next_slot };
        Ok(())
    }

    /// Replaces the live instance by a snapshot. If that fails the state is forgotten: it can be replayed.
    pub(super) fn park(&mut self) {
        if let State::Live(instance) = &mut self.state {
            match instance.snapshot() {
                Ok(snapshot) => self.state = State::Parked(instance.module().clone(), snapshot),
                Err(error) => {
                    tracing::warn!(%error, "process not parked; its log will be replayed");
                    *self = Self::default();
                }
            }
        }
    }

    fn live(&mut self) -> Result<&mut Instance, PoolError> {
        if let State::Parked(module, snapshot) = &self.state {
            let instance = Instance::restore(module, snapshot)?;
            self.state = State::Live(Box::new(instance));
        }
        match &mut self.state {
            State::Live(instance) => Ok(instance),
            _ => Err(PoolError::NotLoaded),
        }
    }

    fn module(&self) -> Option<Id> {
        match &self.state {
            State::Empty => None,
            State::Live(instance) => Some(instance.module().id()),
            State::Parked(module, _) => Some(module.id()),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        matches!(self.state, State::Empty)
    }

    /// The slot to evaluate next; `None` when nothing is loaded.
    pub(super) fn next_slot(&self) -> Option<u64> {
        (!self.is_empty()).then_some(self.next_slot)
    }

    /// More than 0 exactly when live.
    pub(super) fn live_bytes(&self) -> usize {
        match &self.state {
            State::Live(instance) => instance.weight().max(1),
            _ => 0,
        }
    }

    /// More than 0 exactly when parked.
    pub(super) fn parked_bytes(&self) -> usize {
        match &self.state {
            State::Parked(_, snapshot) => snapshot.as_bytes().len().max(1),
            _ => 0,
        }
    }
}

fn node_fault(evaluation: &Evaluation) -> Option<String> {
    match &evaluation.result {
        Err(error) if error.kind == EvalErrorKind::NodeFault => Some(error.message.clone()),
        _ => None,
    }
}
