//! What came of one message: [`Evaluation`] and the ways in which one fails.
//!
//! Where it sits: produced by [`super::Instance`]; the compute service turns it into an outcome and signs it.

use serde_json::Value;
use weft_protocol::Id;

/// The outcome of one `handle` call.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// The `response` object of the module (which may hold an `Error` member), or why there is none.
    pub result: Result<Value, EvalError>,
    /// Fuel used, including what host functions charged. At most the profile's fuel per slot.
    pub fuel: u64,
    /// Whether the process's state moved on. If not, it is byte for byte what it was before.
    pub committed: bool,
    /// The state root just after it, if its job asked for that.
    pub root: Option<Id>,
}

/// Why a message has no response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct EvalError {
    /// What sort of failure.
    pub kind: EvalErrorKind,
    /// One sentence for people.
    pub message: String,
}

/// The sorts of failure of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EvalErrorKind {
    /// The module returned `ok: false`; the message is its `response` as text.
    Refused,
    /// The module trapped (a wild address, `unreachable`, a division by zero …).
    Trap,
    /// The fuel of the slot was used up.
    OutOfFuel,
    /// The call stack was used up, by the profile's measure.
    StackOverflow,
    /// The module called `exit` or `abort`.
    Exit,
    /// What the module returned is not a result.
    BadOutput,
    /// What the module returned is larger than the profile allows.
    OutputTooLarge,
    /// The message cannot be given to the module: too long, or it holds a NUL byte.
    BadInput,
    /// This node failed, not the process (for instance the operating system refused memory). Says nothing about
    /// the message: do not publish it, evaluate again or elsewhere.
    NodeFault,
}

impl EvalErrorKind {
    /// Whether every node with the same profile fails in the same way, so that the failure is the outcome.
    pub fn is_outcome(self) -> bool {
        self != Self::NodeFault
    }
}

impl EvalError {
    pub(crate) fn new(kind: EvalErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

/// Whether a response moves the process on: not when it carries an `Error`, and not when aos reports that an
/// allocation failed (the response is then kept, the state is not).
pub(crate) fn commits(response: &Value) -> bool {
    let failed = match response.get("Error") {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::String(text)) => !text.is_empty(),
        Some(_) => true,
    };
    !failed && !ran_out_of_memory(response)
}

fn ran_out_of_memory(response: &Value) -> bool {
    const TAIL: &str = "not enough memory for buffer allocation";
    let output = response.get("Output");
    let text = output.and_then(|output| output.get("data").unwrap_or(output).as_str());
    text.is_some_and(|text| text.trim_end().ends_with(TAIL))
}
