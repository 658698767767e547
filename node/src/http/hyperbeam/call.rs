//! What a HyperBEAM-style path asks of a node.
//!
//! Where it sits: between `path` (the grammar) and the handlers of `hyperbeam`; pure.

use weft_protocol::Id;

use super::path::{self, PathError, Step};

/// Devices that a process may be named with: all mean the process.
const PROCESS_DEVICES: &[&str] = &["process@1.0", "scheduler@1.0", "push@1.0", "genesis-wasm@1.0"];

/// What is asked, and of what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::http) enum Call {
    /// `~meta@1.0/info` and a path of keys into it.
    Info(Vec<String>),
    /// `~meta@1.0/build`.
    Build,
    /// Seal what the body holds. `process` is named in the path, or nothing is (`/push`, `/~scheduler@1.0/schedule`).
    Submit {
        /// The process of the path.
        process: Option<Id>,
        /// Whether the answer waits for the outcome: `push` does unless told `async`.
        wait: bool,
    },
    /// `push&slot=7`: deliver once more what that slot sends.
    PushAgain {
        /// Of which process.
        process: Id,
        /// Slot number or message id, as written.
        slot: String,
        /// The first of its deliveries, as written (`from`).
        first: Option<String>,
    },
    /// The process itself, shown.
    Process(Id),
    /// The newest slot; `bare` is the number alone.
    Slot {
        /// Of which process.
        process: Id,
        /// `slot/current`.
        bare: bool,
    },
    /// A page of the log, or with a body an item to seal.
    Schedule {
        /// The process of the path; else it comes as the key `target`, or with the item.
        process: Option<Id>,
        /// Inline keys: `from`, `to`, `limit`, `target`.
        keys: Vec<(String, String)>,
    },
    /// The outcome of one slot, or keys of it.
    Compute {
        /// Of which process.
        process: Id,
        /// Of which slot.
        at: At,
        /// Members to go down to; empty for the whole.
        keys: Vec<String>,
    },
    /// What a message would do. Tags of the path are the item's where the item has no tag of that name.
    DryRun {
        /// On which process.
        process: Id,
        /// Tags of the path.
        tags: Vec<(String, String)>,
    },
}

/// Which outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::http) enum At {
    /// The newest that there is (`compute`), or the slot that the keys `slot` name.
    Newest,
    /// That of the newest message, waited for (`now`).
    Head,
    /// That of a slot or message, as written: a number or an id.
    Named(String),
}

/// A path that asks for nothing that is answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::http) enum CallError {
    /// The grammar is not kept.
    #[error(transparent)]
    Path(#[from] PathError),
    /// A device that is not here.
    #[error("device {0:?} is not served: this node answers process@1.0, scheduler@1.0, meta@1.0 and json@1.0{1}")]
    Device(String, &'static str),
    /// Nothing by that name.
    #[error("{what:?} is not answered after {after}; {known} are")]
    Unknown {
        /// The step.
        what: String,
        /// What came before it.
        after: &'static str,
        /// What would be answered.
        known: &'static str,
    },
}

impl CallError {
    /// True if the path itself is wrong, false if it is well-formed and leads nowhere.
    pub fn is_malformed(&self) -> bool {
        matches!(self, Self::Path(_))
    }
}

/// Does `raw` look like a path of this grammar, so that its refusal should speak about it?
pub(in crate::http) fn is_ours(raw: &str) -> bool {
    let first = raw.strip_prefix('/').unwrap_or(raw).split('/').next().unwrap_or_default();
    first.contains('~') || first.parse::<Id>().is_ok()
}

/// What `raw` asks for; the path as it came.
pub(in crate::http) fn read(raw: &str) -> Result<Call, CallError> {
    let steps = path::parse(raw)?;
    let (first, rest) = steps.split_first().map_or((None, [].as_slice()), |(first, rest)| (Some(first), rest));
    match first {
        Some(step) if step.is_device("meta@1.0") => meta(rest),
        Some(step) if step.is_device("process@1.0") || step.is_device("scheduler@1.0") => of_node(rest),
        Some(step) if step.is("push") => of_node(&steps),
        Some(step) => match (step.name.parse::<Id>(), step.device.as_deref()) {
            (Ok(process), None) => of_process(process, rest),
            (Ok(process), Some(device)) if PROCESS_DEVICES.contains(&device) => of_process(process, rest),
            (_, Some(device)) => Err(CallError::Device(device.to_owned(), hint(device))),
            (Err(_), None) => Err(nothing(&step.name, "/", "a process's id, ~meta@1.0 and push")),
        },
        None => Err(nothing("", "/", "a process's id, ~meta@1.0 and push")),
    }
}

fn nothing(what: &str, after: &'static str, known: &'static str) -> CallError {
    CallError::Unknown { what: what.chars().take(64).collect(), after, known }
}

/// What to use instead of a device that is not here.
fn hint(device: &str) -> &'static str {
    match device.split('@').next() {
        Some("cron") => "; a process names its crons in its Cron-Interval tags when it is spawned",
        Some("relay") => "; ask the other host directly",
        Some("query") => "; GraphQL is at /graphql",
        Some("cache") => "; items are at /raw/<id>",
        _ => "",
    }
}

impl Call {
    /// The route it is counted and timed under, as `routes` lists it.
    pub fn template(&self) -> &'static str {
        match self {
            Self::Info(_) => "/~meta@1.0/info",
            Self::Build => "/~meta@1.0/build",
            Self::Submit { process: None, .. } => "/push",
            Self::Submit { .. } | Self::PushAgain { .. } => "/{pid}~process@1.0/push",
            Self::Process(_) => "/{pid}~process@1.0",
            Self::Slot { bare: false, .. } => "/{pid}~process@1.0/slot",
            Self::Slot { .. } => "/{pid}~process@1.0/slot/current",
            Self::Schedule { process: None, .. } => "/~scheduler@1.0/schedule",
            Self::Schedule { .. } => "/{pid}~process@1.0/schedule",
            Self::Compute { at: At::Head, .. } => "/{pid}~process@1.0/now",
            Self::Compute { .. } => "/{pid}~process@1.0/compute",
            Self::DryRun { .. } => "/{pid}~process@1.0/as=execution/compute",
        }
    }
}

fn names(steps: &[Step]) -> Vec<String> {
    steps.iter().map(|step| step.name.clone()).collect()
}

fn meta(rest: &[Step]) -> Result<Call, CallError> {
    match rest.split_first() {
        Some((step, keys)) if step.is("info") => Ok(Call::Info(names(keys))),
        None => Ok(Call::Info(Vec::new())),
        Some((step, [])) if step.is("build") => Ok(Call::Build),
        Some((step, _)) => Err(nothing(&step.name, "~meta@1.0", "info and build")),
    }
}

/// Without a process in the path.
fn of_node(rest: &[Step]) -> Result<Call, CallError> {
    match rest {
        [step] if step.is("push") => Ok(push(None, step)),
        [step] if step.is("schedule") => Ok(Call::Schedule { process: None, keys: step.keys.clone() }),
        [step, ..] => Err(nothing(&step.name, "the device", "push and schedule")),
        [] => Err(nothing("", "the device", "push and schedule")),
    }
}

fn push(process: Option<Id>, step: &Step) -> Call {
    let at_once = step.key("async").is_some_and(|value| !value.eq_ignore_ascii_case("false"));
    match (process, step.key("slot")) {
        (Some(process), Some(slot)) => {
            let first = step.key("from").map(str::to_owned);
            Call::PushAgain { process, slot: slot.to_owned(), first }
        }
        _ => Call::Submit { process, wait: !at_once },
    }
}

fn of_process(process: Id, rest: &[Step]) -> Result<Call, CallError> {
    const KNOWN: &str = "push, schedule, slot, slot/current, compute, compute=<slot>, now and as=execution/compute";
    let unknown = |step: &Step| Err(nothing(&step.name, "a process", KNOWN));
    match rest {
        [] => Ok(Call::Process(process)),
        [step] if step.is("push") => Ok(push(Some(process), step)),
        [step] if step.is("schedule") => Ok(Call::Schedule { process: Some(process), keys: step.keys.clone() }),
        [step] if step.is("slot") => Ok(Call::Slot { process, bare: false }),
        [step, current] if step.is("slot") && current.is("current") => Ok(Call::Slot { process, bare: true }),
        [step, keys @ ..] if step.is("now") => Ok(Call::Compute { process, at: At::Head, keys: names(keys) }),
        [step, keys @ ..] if step.is("compute") => Ok(compute(process, step, keys)),
        [step, run] if step.is("as") && step.value.as_deref() == Some("execution") && run.is("compute") => {
            Ok(Call::DryRun { process, tags: run.keys.clone() })
        }
        [step, ..] => unknown(step),
    }
}

/// `compute`, `compute=7`, `compute&slot=7`, and `compute/results=7`, where HyperBEAM ties the number to `results`; what the
/// client means is that slot. The whole is answered then, because aoconnect looks for `raw` at its top.
fn compute(process: Id, step: &Step, rest: &[Step]) -> Call {
    if let Some((value, [])) = rest.split_first().and_then(|(results, keys)| Some((results.value.clone()?, keys)))
        && rest.first().is_some_and(|results| results.is("results"))
    {
        return Call::Compute { process, at: At::Named(value), keys: Vec::new() };
    }
    let named = step.value.clone().or_else(|| step.key("slot").map(str::to_owned));
    Call::Compute { process, at: named.map_or(At::Newest, At::Named), keys: names(rest) }
}

#[cfg(test)]
mod tests;
