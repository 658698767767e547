//! One instantiated module: memory, globals and a way to call it. No rollback here; that is `instance.rs`.

use std::{ops::Range, sync::Arc};

use serde_json::Value;
use wasmtime::{Global, Instance, Memory, Store, Val};

use super::{
    abi::{self, Abi},
    evaluation::{EvalError, EvalErrorKind},
    host::{Host, HostError},
    memory::{GlobalValue, checkpoint::Checkpoint, image::Image, is_zero, page_mut, resident},
    module::{LoadError, Module},
    prepare::global_name,
    reads::Reads,
    rewrite::{CALL_DEPTH, FUEL, IN_FLIGHT, START},
    tiers::Tier,
};

/// Pages that an instance may keep after a failed message although it does not need them.
const SPARE_PAGES: usize = 512;

/// Why a checkpoint did not become an instance. Never the process's fault.
#[derive(Debug, thiserror::Error)]
#[error("the state could not be restored: {0}")]
pub(crate) struct RestoreError(pub(crate) String);

pub(crate) struct Live {
    module: Module,
    store: Store<Host>,
    memory: Memory,
    globals: Vec<Global>,
    abi: Abi,
    tier: Tier,
}

impl Live {
    /// A new instance, initialised as its format wants it.
    pub(crate) fn start(module: &Module) -> Result<Self, LoadError> {
        let (mut live, instance) = Self::instantiate(module)?;
        live.initialise(&instance)?;
        Ok(live)
    }

    /// Starts the module to see whether it can be; what its memory held before its initialisers ran.
    pub(crate) fn trial(module: &Module) -> Result<Image, LoadError> {
        let (mut live, instance) = Self::instantiate(module)?;
        let image = Image::of(live.memory_bytes());
        live.initialise(&instance)?;
        Ok(image)
    }

    fn initialise(&mut self, instance: &Instance) -> Result<(), LoadError> {
        let done = self.abi.initialise(&mut self.store, instance).map_err(abi::failure);
        fueled(&mut self.store, done).map_err(start_error)
    }

    /// An instance in the state of `checkpoint`. The initialisers do not run: all that they change is memory and
    /// globals, which come from the checkpoint.
    pub(crate) fn restore(module: &Module, checkpoint: &Checkpoint) -> Result<Self, RestoreError> {
        let (mut live, _) = Self::instantiate(module).map_err(|error| RestoreError(error.to_string()))?;
        live.fill(checkpoint)?;
        Ok(live)
    }

    fn instantiate(module: &Module) -> Result<(Self, Instance), LoadError> {
        let config = module.config();
        let (tier, pre) = module.code();
        let mut store = Store::new(pre.module().engine(), Host::new(module.limits().memory_bytes, module.format()));
        store.limiter(|host| host);
        let instance = pre.instantiate(&mut store).map_err(start_failure)?;
        begin(&mut store, &instance, config.fuel_per_slot)?;
        let memory =
            instance.get_memory(&mut store, "memory").ok_or_else(|| LoadError::MissingExport("memory".to_owned()))?;
        let globals = (0..module.globals())
            .map(|index| instance.get_global(&mut store, &global_name(index)))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| LoadError::Node("a global is not reachable".to_owned()))?;
        let abi = Abi::of(&mut store, &instance, module.format())?;
        Ok((Self { module: module.clone(), store, memory, globals, abi, tier }, instance))
    }

    /// Goes back to `checkpoint`, an earlier state of this instance, where that is possible and worth it; false if not: then
    /// a new instance has to be made. To be used after any end of a call but a fault of this node.
    ///
    /// Memory and globals are all that a call leaves (`prepare.rs` refuses what could change tables or segments), and the
    /// host's data begins anew with each call. Memory cannot shrink, so after it has grown this is not the way.
    pub(crate) fn revert(&mut self, checkpoint: &Checkpoint) -> Result<bool, RestoreError> {
        if self.memory.data_size(&self.store) as u64 != checkpoint.memory_bytes {
            return Ok(false);
        }
        let written = self.written();
        let pages = written.iter().fold(0, |sum: usize, range| sum.saturating_add(range.len()));
        // What a message touched would stay this process's memory, although it holds nothing: a new instance has none of it.
        if pages > checkpoint.pages.len().saturating_mul(2).saturating_add(SPARE_PAGES) {
            return Ok(false);
        }
        self.fill_pages(checkpoint, &written)?;
        Ok(true)
    }

    fn written(&self) -> Vec<Range<u32>> {
        let mut written = Vec::new();
        resident::written(self.memory.data(&self.store), self.module.image(), |range| written.push(range));
        written
    }

    fn fill(&mut self, checkpoint: &Checkpoint) -> Result<(), RestoreError> {
        let size = self.memory.data_size(&self.store) as u64;
        // Exactly to the size that it had: the process can see it.
        let missing = checkpoint
            .memory_bytes
            .checked_sub(size)
            .ok_or_else(|| RestoreError("it has less memory than the module begins with".to_owned()))?;
        if missing > 0 {
            let page = self.memory.page_size(&self.store);
            self.memory
                .grow(&mut self.store, missing.div_ceil(page))
                .map_err(|error| RestoreError(format!("{error:#}")))?;
        }
        let written = self.written();
        self.fill_pages(checkpoint, &written)
    }

    /// Makes memory and globals those of `checkpoint`, when no pages but `written` differ from the module's image.
    fn fill_pages(&mut self, checkpoint: &Checkpoint, written: &[Range<u32>]) -> Result<(), RestoreError> {
        let image = self.module.image();
        let data = self.memory.data_mut(&mut self.store);
        for index in written.iter().cloned().flatten() {
            if !checkpoint.lists(index) {
                put_page(data, index, image.content(index))?;
            }
        }
        for index in &checkpoint.cleared {
            put_page(data, *index, None)?;
        }
        for (index, content) in checkpoint.listed() {
            page_mut(data, index).ok_or_else(outside)?.copy_from_slice(content);
        }
        if checkpoint.globals.len() != self.globals.len() {
            return Err(RestoreError("it has another number of globals than the module".to_owned()));
        }
        for (global, value) in self.globals.iter().zip(&checkpoint.globals) {
            global.set(&mut self.store, value.to_val()).map_err(|error| RestoreError(format!("{error:#}")))?;
        }
        Ok(())
    }

    /// One `handle` call with the fuel of a slot, during which `reads` can be opened: the response and the fuel used.
    pub(crate) fn call(
        &mut self,
        msg_json: &str,
        env_json: &str,
        reads: &Arc<Reads>,
    ) -> (Result<Value, EvalError>, u64) {
        let config = self.module.config();
        let (budget, max_output) = (self.module.limits().fuel, config.max_output_bytes);
        if let Err(error) = set_fuel(&mut self.store, budget) {
            return (Err(abi::failure(error)), 0);
        }
        self.store.data_mut().begin(reads);
        let result = self.abi.call(&mut self.store, self.memory, [msg_json, env_json], max_output);
        // The contents are not held longer than the slot.
        self.store.data_mut().begin(&Reads::none());
        let result = fueled(&mut self.store, result).map_err(|error| with_limit(error, budget));
        let left = self.store.data().fuel().and_then(|global| global.get(&mut self.store).i64()).unwrap_or(0);
        (result, budget.saturating_sub(left.max(0).cast_unsigned()))
    }

    pub(crate) fn memory_bytes(&self) -> &[u8] {
        self.memory.data(&self.store)
    }

    pub(crate) fn globals(&mut self) -> Vec<GlobalValue> {
        let store = &mut self.store;
        self.globals.iter().map(|global| GlobalValue::of(&global.get(&mut *store))).collect()
    }

    pub(crate) fn module(&self) -> &Module {
        &self.module
    }

    /// How good the code is that it was made of.
    pub(crate) fn tier(&self) -> Tier {
        self.tier
    }
}

/// Shares with the host what the translated module and it have in common, and runs the start function with this fuel.
fn begin(store: &mut Store<Host>, instance: &Instance, fuel: u64) -> Result<(), LoadError> {
    let global = instance.get_global(&mut *store, FUEL);
    let global = global.ok_or_else(|| LoadError::Node("the module's fuel is not reachable".to_owned()))?;
    let in_flight = instance.get_global(&mut *store, IN_FLIGHT);
    let depth = instance.get_global(&mut *store, CALL_DEPTH);
    store.data_mut().share(in_flight, depth, global);
    set_fuel(store, fuel).map_err(start_failure)?;
    if let Some(start) = instance.get_func(&mut *store, START) {
        let started = start.call(&mut *store, &[], &mut []).map_err(abi::failure);
        fueled(store, started).map_err(start_error)?;
    }
    if in_flight.is_some_and(|global| !matches!(global.get(&mut *store), Val::I32(0))) {
        return Err(LoadError::Start(HostError::Uncaught.to_string()));
    }
    Ok(())
}

/// Gives fuel, and forgets a trap or an exception in which an earlier call ended.
fn set_fuel(store: &mut Store<Host>, fuel: u64) -> wasmtime::Result<()> {
    for global in [store.data().in_flight(), store.data().depth()].into_iter().flatten() {
        global.set(&mut *store, Val::I32(0))?;
    }
    match store.data().fuel() {
        Some(global) => global.set(&mut *store, Val::I64(i64::try_from(fuel).unwrap_or(i64::MAX))),
        None => Ok(()),
    }
}

/// What came of a call, by the two globals in which a translated module says why it trapped.
fn fueled<T>(store: &mut Store<Host>, outcome: Result<T, EvalError>) -> Result<T, EvalError> {
    let left = store.data().fuel().and_then(|global| global.get(&mut *store).i64());
    match outcome {
        // The fault of this node stays one.
        Err(error) if !error.kind.is_outcome() => Err(error),
        // Whatever else it was: it was done with fuel that there was not.
        _ if left.is_some_and(|left| left < 0) => Err(EvalError::new(EvalErrorKind::OutOfFuel, "out of fuel")),
        outcome => outcome.map_err(|error| too_deep(store, error)),
    }
}

/// Says how much fuel there was.
fn with_limit(error: EvalError, budget: u64) -> EvalError {
    match error.kind {
        EvalErrorKind::OutOfFuel => EvalError::new(
            error.kind,
            format!(
                "out of fuel: a message of this process may use {budget} (the network's limit, or the Compute-Limit of \
                 process or module if it is lower); nothing of it was kept"
            ),
        ),
        _ => error,
    }
}

/// Makes a page hold `content`, or zeros. Not written when it does already: a page that is only read takes no memory.
fn put_page(data: &mut [u8], index: u32, content: Option<&[u8]>) -> Result<(), RestoreError> {
    let present = page_mut(data, index).ok_or_else(outside)?;
    match content {
        Some(content) if *present != *content => present.copy_from_slice(content),
        None if !is_zero(present) => present.fill(0),
        _ => {}
    }
    Ok(())
}

fn outside() -> RestoreError {
    RestoreError("a page lies outside of its memory".to_owned())
}

/// Tells a call stack that was used up from the trap by which the module says so.
fn too_deep(store: &mut Store<Host>, error: EvalError) -> EvalError {
    let depth = store.data().depth();
    match depth.map(|global| global.get(&mut *store)) {
        Some(Val::I32(-1)) if error.kind == EvalErrorKind::Trap => {
            EvalError::new(EvalErrorKind::StackOverflow, wasmtime::Trap::StackOverflow.to_string())
        }
        _ => error,
    }
}

fn start_failure(error: wasmtime::Error) -> LoadError {
    start_error(abi::failure(error))
}

fn start_error(failure: EvalError) -> LoadError {
    if failure.kind.is_outcome() { LoadError::Start(failure.message) } else { LoadError::Node(failure.message) }
}

impl GlobalValue {
    pub(crate) fn of(value: &Val) -> Self {
        let (tag, bits) = match value {
            Val::I32(value) => (0, u128::from(value.cast_unsigned())),
            Val::I64(value) => (1, u128::from(value.cast_unsigned())),
            Val::F32(bits) => (2, u128::from(*bits)),
            Val::F64(bits) => (3, u128::from(*bits)),
            Val::V128(value) => (4, value.as_u128()),
            // Mutable globals that hold references were refused by `prepare`.
            _ => (0, 0),
        };
        Self { tag, bits }
    }

    fn to_val(self) -> Val {
        match self.tag {
            0 => Val::I32((self.bits as u32).cast_signed()),
            1 => Val::I64((self.bits as u64).cast_signed()),
            2 => Val::F32(self.bits as u32),
            3 => Val::F64(self.bits as u64),
            _ => Val::V128(self.bits.into()),
        }
    }
}
