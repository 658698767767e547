//! One process's place in the pool: empty, live, or on disk.

use std::time::Instant;

use weft_protocol::Id;

use super::{
    Job, PoolError,
    parking::{Filed, Parking},
};
use crate::compute::{EvalErrorKind, Evaluation, Instance, Module, Parked, Snapshot, SnapshotError, module::LoadError};

/// What a thread has at hand while it works on a process.
pub(super) struct Turn<'a> {
    pub(super) process: Id,
    pub(super) parking: Option<&'a Parking>,
    /// The module of a process that is on disk, if somebody has told the pool.
    pub(super) module: Option<Module>,
    /// When others are to go first.
    pub(super) until: Instant,
    /// Whether other processes could make room if memory is refused.
    pub(super) others: bool,
}

/// Why a process is not live.
pub(super) enum Trouble {
    /// The operating system refuses memory: the same again when others have made room.
    NoRoom,
    Failed(PoolError),
}

impl<E: Into<PoolError>> From<E> for Trouble {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

#[derive(Default)]
pub(super) struct Seat {
    instance: Option<Box<Instance>>,
    next_slot: u64,
    /// Its file on disk, which may stand at an earlier slot.
    pub(super) filed: Option<Filed>,
    /// Whether it was read from disk since this was asked last.
    pub(super) revived: bool,
    weighed: Weighed,
}

/// What a process took when the system was asked.
#[derive(Default)]
struct Weighed {
    bytes: usize,
    /// Size of its linear memory then.
    memory: u64,
    /// Fuel it has used since.
    fuel: u64,
}

/// Fuel after which a process may have touched so much more memory that the system is asked again: two messages of aos.
const WEIGH_EVERY: u64 = 20_000_000;
/// Memory that a live process takes besides its pages and their copy: tables, the store, what the system keeps of its maps.
const AROUND: usize = 24 << 10;

/// The jobs of one task, and how far it is.
pub(super) struct Run {
    pub(super) module: Module,
    pub(super) jobs: std::vec::IntoIter<Job>,
    pub(super) done: Vec<Evaluation>,
}

impl Seat {
    /// The place of a process that is on disk.
    pub(super) fn on_disk(filed: Filed) -> Self {
        Self { filed: Some(filed), next_slot: filed.slot, ..Self::default() }
    }

    /// Evaluates jobs until the turn is over; `None`: there are more.
    pub(super) fn run(&mut self, run: &mut Run, turn: &Turn<'_>) -> Result<Option<Vec<Evaluation>>, Trouble> {
        while let Some(job) = run.jobs.as_slice().first() {
            self.ready_for(job.slot, &run.module, turn)?;
            let instance = self.instance.as_mut().ok_or(PoolError::NotLoaded)?;
            let mut evaluation = instance.apply_reading(&job.msg_json, &job.env_json, &job.reads);
            let mut fault = node_fault(&evaluation);
            if job.root && fault.is_none() {
                match instance.root() {
                    Ok(root) => evaluation.root = Some(root),
                    // Only a lost state has none.
                    Err(error) => fault = Some(error.to_string()),
                }
            }
            if let Some(message) = fault {
                let slot = job.slot;
                if instance.is_lost() {
                    self.forget(turn);
                }
                return Err(PoolError::NodeFault { slot, message, done: std::mem::take(&mut run.done) }.into());
            }
            self.next_slot = job.slot.saturating_add(1);
            self.weighed.fuel = self.weighed.fuel.saturating_add(evaluation.fuel);
            run.done.push(evaluation);
            run.jobs.next();
            if Instant::now() >= turn.until && !run.jobs.as_slice().is_empty() {
                return Ok(None);
            }
        }
        Ok(Some(std::mem::take(&mut run.done)))
    }

    /// Makes the process live and sees that it stands at `slot`.
    fn ready_for(&mut self, slot: u64, module: &Module, turn: &Turn<'_>) -> Result<(), Trouble> {
        if let Some(instance) = &self.instance {
            let (loaded, asked) = (instance.module().id(), module.id());
            if loaded != asked && slot == self.next_slot {
                return Err(PoolError::OtherModule { loaded, asked }.into());
            }
        }
        if slot == self.next_slot && self.instance.is_none() && self.filed.is_some() {
            // If the file turns out to be damaged, the process stands at 0 again.
            self.revive(Some(module), turn)?;
        }
        if slot != self.next_slot {
            return Err(PoolError::WrongState { at: self.next_slot, wanted: slot }.into());
        }
        if self.instance.is_none() {
            let made = Instance::new(module).map_err(|error| match error {
                LoadError::Node(text) if turn.others && is_no_memory(&text) => Trouble::NoRoom,
                error => error.into(),
            });
            self.instance = Some(Box::new(made?));
        }
        Ok(())
    }

    /// Reads the process from disk.
    fn revive(&mut self, module: Option<&Module>, turn: &Turn<'_>) -> Result<(), Trouble> {
        let (Some(filed), Some(parking)) = (self.filed, turn.parking) else { return Ok(()) };
        let module = module.or(turn.module.as_ref()).ok_or(PoolError::NotLoaded)?;
        let made = match parking.read(&turn.process) {
            Ok(Some(read)) if read.slot == filed.slot && read.module == module.id() => {
                Parked::from_bytes(read.state).and_then(|state| Instance::revive(module, &state))
            }
            Ok(Some(read)) if read.slot == filed.slot => {
                return Err(PoolError::OtherModule { loaded: read.module, asked: module.id() }.into());
            }
            Ok(_) => Err(SnapshotError::Node("its file is gone".to_owned())),
            Err(error) => Err(SnapshotError::Node(error.to_string())),
        };
        match made {
            Ok(instance) => {
                self.instance = Some(Box::new(instance));
                self.revived = true;
                Ok(())
            }
            Err(SnapshotError::Node(text)) if turn.others && is_no_memory(&text) => Err(Trouble::NoRoom),
            Err(error) => {
                let process = turn.process;
                tracing::warn!(%process, %error, "a parked process cannot be used; its log will be replayed");
                self.forget(turn);
                Ok(())
            }
        }
    }

    pub(super) fn dry_run(&mut self, msg: &str, env: &str, turn: &Turn<'_>) -> Result<Evaluation, Trouble> {
        let slot = self.next_slot;
        let evaluation = self.live(turn)?.dry_run(msg, env);
        match node_fault(&evaluation) {
            Some(message) => Err(PoolError::NodeFault { slot, message, done: Vec::new() }.into()),
            None => Ok(evaluation),
        }
    }

    pub(super) fn root(&mut self, turn: &Turn<'_>) -> Result<(u64, Id), Trouble> {
        let root = self.live(turn)?.root();
        let slot = self.next_slot;
        root.map(|root| (slot, root))
            .map_err(|error| PoolError::NodeFault { slot, message: error.to_string(), done: Vec::new() }.into())
    }

    pub(super) fn snapshot(&mut self, turn: &Turn<'_>) -> Result<(u64, Snapshot), Trouble> {
        let snapshot = self.live(turn)?.snapshot()?;
        Ok((self.next_slot, snapshot))
    }

    pub(super) fn restore(
        &mut self,
        module: &Module,
        snapshot: &Snapshot,
        next_slot: u64,
        turn: &Turn<'_>,
    ) -> Result<(), Trouble> {
        let instance = match Instance::restore(module, snapshot) {
            Err(SnapshotError::Node(text)) if turn.others && is_no_memory(&text) => return Err(Trouble::NoRoom),
            restored => Box::new(restored?),
        };
        self.forget(turn);
        (self.instance, self.next_slot) = (Some(instance), next_slot);
        Ok(())
    }

    /// Forgets the process, its file too.
    pub(super) fn forget(&mut self, turn: &Turn<'_>) {
        if let (Some(_), Some(parking)) = (self.filed, turn.parking) {
            parking.remove(&turn.process);
        }
        *self = Self::default();
    }

    /// Forgets what is live. A file stays: it says truly where the process was.
    pub(super) fn drop_live(&mut self) {
        self.instance = None;
        self.weighed = Weighed::default();
        self.next_slot = self.filed.map_or(0, |filed| filed.slot);
    }

    /// Puts the live process on disk. If that fails it is forgotten: it can be replayed.
    pub(super) fn park(&mut self, process: &Id, parking: Option<&Parking>) {
        let Some(instance) = &mut self.instance else { return };
        let Some(parking) = parking else { return self.drop_live() };
        // Where it stood when it was read nothing has happened since.
        let unchanged = self.filed.is_some_and(|filed| filed.slot == self.next_slot) && parking.contains(process);
        if !unchanged {
            match instance.park() {
                Ok(state) => {
                    let module = instance.module().id();
                    let filed = parking.write(process, &module, self.next_slot, state.as_bytes());
                    self.filed = filed.or(self.filed);
                }
                Err(error) => tracing::warn!(%process, %error, "process not parked; its log will be replayed"),
            }
        }
        self.drop_live();
    }

    fn live(&mut self, turn: &Turn<'_>) -> Result<&mut Instance, Trouble> {
        if self.instance.is_none() {
            self.revive(None, turn)?;
        }
        self.instance.as_deref_mut().ok_or_else(|| PoolError::NotLoaded.into())
    }

    /// The module of the live process.
    pub(super) fn module(&self) -> Option<&Module> {
        self.instance.as_ref().map(|instance| instance.module())
    }

    pub(super) fn is_live(&self) -> bool {
        self.instance.is_some()
    }

    /// The slot to evaluate next; `None` when there is neither an instance nor a file.
    pub(super) fn next_slot(&self) -> Option<u64> {
        (self.instance.is_some() || self.filed.is_some()).then_some(self.next_slot)
    }

    /// Bytes of memory as of the last [`Seat::weigh`]; more than 0 exactly when live.
    pub(super) fn bytes(&self) -> usize {
        if self.is_live() { self.weighed.bytes.max(1) } else { 0 }
    }

    /// Asks the system what the process takes, if it may be more than when this was asked last.
    pub(super) fn weigh(&mut self) {
        let Some(instance) = &self.instance else {
            self.weighed = Weighed::default();
            return;
        };
        let memory = instance.memory_bytes();
        if self.weighed.bytes == 0 || self.weighed.memory != memory || self.weighed.fuel >= WEIGH_EVERY {
            self.weighed = Weighed { bytes: instance.weight().saturating_add(AROUND), memory, fuel: 0 };
        }
    }
}

fn node_fault(evaluation: &Evaluation) -> Option<String> {
    match &evaluation.result {
        Err(error) if error.kind == EvalErrorKind::NodeFault => Some(error.message.clone()),
        _ => None,
    }
}

/// Whether the operating system had no memory (or no more maps of it) to give.
fn is_no_memory(text: &str) -> bool {
    text.contains("Cannot allocate memory") || text.contains("os error 12")
}
