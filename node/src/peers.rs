//! Typed calls to other nodes: one method per request of `proto/`, over the network handle.
//!
//! Where it sits: between the services and `network/`. A call to this node's own key never touches the wire (the network
//! handle short-cuts it to the inbound router).

use bytes::Bytes;
use weft_protocol::{
    Id,
    keys::NodeKey,
    refusal::Code,
    wire::{self, Refusal, request, response},
};

use crate::{
    network::NetworkHandle,
    scheduler::{id_bytes, key_bytes},
};

/// Why a call gave no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CallError {
    /// The other node said no.
    #[error("{} ({})", .0.reason, .0.code)]
    Refused(Refusal),
    /// The other node did not answer.
    #[error("{node} cannot be reached: {reason}")]
    Unreachable {
        /// Whom we asked.
        node: NodeKey,
        /// What the network says.
        reason: String,
    },
    /// The other node answered something else.
    #[error("{node} answered what was not asked")]
    WrongAnswer {
        /// Whom we asked.
        node: NodeKey,
    },
}

impl CallError {
    /// The refusal's code, [`Code::Unavailable`] when there was no answer.
    pub fn code(&self) -> Code {
        match self {
            Self::Refused(refusal) => Code::parse(&refusal.code),
            Self::Unreachable { .. } => Code::Unavailable,
            Self::WrongAnswer { .. } => Code::Internal,
        }
    }
}

/// Typed calls to other nodes. Cheap to clone.
#[derive(Clone)]
pub struct Peers {
    network: NetworkHandle,
}

macro_rules! call {
    ($(#[$doc:meta])* $name:ident, $ask:ident($request:ty) -> $answer:ident($response:ty)) => {
        $(#[$doc])*
        ///
        /// # Errors
        /// [`CallError`].
        pub async fn $name(&self, to: NodeKey, request: $request) -> Result<$response, CallError> {
            match self.ask(to, request::Body::$ask(request)).await? {
                response::Body::$answer(answer) => Ok(answer),
                _ => Err(CallError::WrongAnswer { node: to }),
            }
        }
    };
}

impl Peers {
    /// Calls over `network`.
    pub fn new(network: NetworkHandle) -> Self {
        Self { network }
    }

    /// The network handle below.
    pub fn network(&self) -> &NetworkHandle {
        &self.network
    }

    /// Asks; a refusal is an error.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn ask(&self, to: NodeKey, body: request::Body) -> Result<response::Body, CallError> {
        let request = wire::Request { body: Some(body) };
        let unreachable = |reason: String| CallError::Unreachable { node: to, reason };
        let answer = self.network.request(to, request).await.map_err(|e| unreachable(e.to_string()))?;
        match answer.body {
            Some(response::Body::Refusal(refusal)) => Err(CallError::Refused(refusal)),
            Some(body) => Ok(body),
            None => Err(CallError::WrongAnswer { node: to }),
        }
    }

    call!(
        /// Has an item ordered.
        submit, Submit(wire::Submit) -> Sealed(wire::Sealed)
    );
    call!(
        /// Has an existing item assigned.
        assign, Assign(wire::Assign) -> Sealed(wire::Sealed)
    );
    call!(
        /// Reads a log.
        log, Log(wire::LogQuery) -> Log(wire::LogPage)
    );
    call!(
        /// Lists heads.
        heads, Heads(wire::HeadsQuery) -> Heads(wire::Heads)
    );
    call!(
        /// Waits for a slot's outcome.
        result, Result(wire::ResultQuery) -> Result(wire::Result)
    );
    call!(
        /// Lists outcomes.
        results, Results(wire::ResultsQuery) -> Results(wire::Results)
    );
    call!(
        /// Has slots evaluated.
        eval, Eval(wire::Eval) -> Eval(wire::EvalPage)
    );
    call!(
        /// Has a message tried out.
        dry_run, DryRun(wire::DryRun) -> DryRun(wire::Result)
    );
    call!(
        /// Asks for a process's memory.
        state, State(wire::StateQuery) -> State(wire::State)
    );

    /// Asks whether `to` orders `process`.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn process(&self, to: NodeKey, process: &Id) -> Result<wire::Process, CallError> {
        let query = wire::ProcessQuery { process: id_bytes(process) };
        match self.ask(to, request::Body::Process(query)).await? {
            response::Body::Process(process) => Ok(process),
            _ => Err(CallError::WrongAnswer { node: to }),
        }
    }

    /// Asks for an item by id; the bytes are unchecked.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn item(&self, to: NodeKey, id: &Id) -> Result<Bytes, CallError> {
        match self.ask(to, request::Body::Item(wire::ItemQuery { id: id_bytes(id) })).await? {
            response::Body::Item(item) => Ok(item.item),
            _ => Err(CallError::WrongAnswer { node: to }),
        }
    }

    /// The wire form of a key.
    pub fn key(key: &NodeKey) -> Bytes {
        key_bytes(key)
    }
}
