//! The four request-response lanes: which request goes where, with what limits, and the bookkeeping of questions that
//! are under way in both directions.
//!
//! Separate protocols, so that a flood of log pages cannot hold up a message that wants its slot.

use std::{collections::HashMap, time::Duration};

use futures::{FutureExt, future::BoxFuture, stream::FuturesUnordered};
use libp2p::{
    PeerId,
    request_response::{OutboundFailure, OutboundRequestId, ResponseChannel},
};
use prost::Message;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use weft_protocol::wire::{self, request::Body};

use super::{codec::Fault, handle::RequestError, limits::Share};

/// A class of requests with its own protocol, frame caps, rates and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Submit and assign.
    Order,
    /// Logs, heads, items, processes, results.
    Read,
    /// Quotes and awards.
    Market,
    /// Evaluations, dry runs, states.
    Compute,
}

/// What a lane allows.
#[derive(Debug, Clone, Copy)]
pub struct LaneLimits {
    /// Largest request in bytes.
    pub request_cap: usize,
    /// Largest response in bytes.
    pub response_cap: usize,
    /// From the request's first byte to the response's last.
    pub timeout: Duration,
    /// Requests a second from one peer.
    pub rate: u32,
    /// Requests at once from one peer after a rest.
    pub burst: u32,
    /// Streams of this lane in one connection, both directions together.
    pub streams: usize,
    /// Requests from all peers that wait for our answer.
    pub open: usize,
}

impl Lane {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Order, Self::Read, Self::Market, Self::Compute];

    /// The lane of a request (the comments in `wire.proto` say the same), or `None` for an empty one.
    pub fn of(request: &wire::Request) -> Option<Self> {
        Some(match request.body.as_ref()? {
            Body::Submit(_) | Body::Assign(_) => Self::Order,
            Body::Log(_) | Body::Heads(_) | Body::Item(_) | Body::Process(_) | Body::Result(_) | Body::Results(_) => {
                Self::Read
            }
            Body::Quote(_) | Body::Award(_) => Self::Market,
            Body::Eval(_) | Body::DryRun(_) | Body::State(_) => Self::Compute,
        })
    }

    /// Its name in protocol names, metrics and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Read => "read",
            Self::Market => "market",
            Self::Compute => "compute",
        }
    }

    /// Its limits. Results may be held back for up to 60 s, hence the time of the read lane.
    pub const fn limits(self) -> LaneLimits {
        const KIB: usize = 1024;
        const MIB: usize = 1024 * 1024;
        let (request_cap, response_cap, seconds) = match self {
            Self::Order => (12 * MIB, MIB, 10),
            Self::Read => (64 * KIB, 16 * MIB, 75),
            Self::Market => (64 * KIB, 64 * KIB, 5),
            Self::Compute => (16 * MIB, 16 * MIB, 120),
        };
        let (rate, burst, streams, open) = match self {
            Self::Order => (2_000, 4_000, 256, 1_024),
            Self::Read => (1_000, 4_000, 512, 2_048),
            Self::Market => (100, 400, 64, 256),
            Self::Compute => (200, 800, 128, 512),
        };
        LaneLimits { request_cap, response_cap, timeout: Duration::from_secs(seconds), rate, burst, streams, open }
    }
}

/// The way back to whoever asked. Dropping it tells the caller at once that no answer will come.
#[derive(Debug)]
pub struct Reply {
    answer: oneshot::Sender<wire::Response>,
    /// The request's bytes count against the budget until it is answered.
    _share: Option<Share>,
}

impl Reply {
    pub(super) fn new(share: Option<Share>) -> (Self, oneshot::Receiver<wire::Response>) {
        let (answer, receiver) = oneshot::channel();
        (Self { answer, _share: share }, receiver)
    }

    /// Answer. Nothing happens when the caller is gone.
    pub fn send(self, response: wire::Response) {
        // The caller may have hung up; there is nobody left to tell.
        let _ = self.answer.send(response);
    }

    /// Whether the caller has given up, so that working on is pointless.
    pub fn is_closed(&self) -> bool {
        self.answer.is_closed()
    }

    /// Answer with a refusal that may be worth trying again after `retry_after_ms`.
    pub fn refuse(self, code: &str, reason: impl Into<String>, retry_after_ms: u64) {
        self.send(refusal(code, reason, retry_after_ms));
    }
}

/// A response that refuses; final unless there is advice when to try again.
pub fn refusal(code: &str, reason: impl Into<String>, retry_after_ms: u64) -> wire::Response {
    let refusal =
        wire::Refusal { code: code.to_owned(), reason: reason.into(), retry_after_ms, is_final: retry_after_ms == 0 };
    wire::Response { body: Some(wire::response::Body::Refusal(refusal)) }
}

/// The refusal for a frame that could not be handed on.
pub(super) fn fault_refusal(lane: Lane, fault: Fault) -> wire::Response {
    let cap = lane.limits().request_cap;
    match fault {
        Fault::TooLarge => {
            refusal("too_large", format!("a request on the {} lane has at most {cap} bytes", lane.name()), 0)
        }
        Fault::Malformed => refusal("malformed", "the frame holds no request this version knows", 0),
        Fault::Overloaded => refusal("capacity", "too many bytes are being worked on; try again shortly", 500),
    }
}

/// `response`, unless it exceeds the lane's cap: then the refusal that says so.
pub(super) fn fitting(lane: Lane, response: wire::Response) -> wire::Response {
    let (size, cap) = (response.encoded_len(), lane.limits().response_cap);
    if size <= cap {
        return response;
    }
    refusal("too_large", format!("the answer has {size} bytes, {cap} fit: ask for less"), 0)
}

/// A question of ours that awaits its answer.
pub(super) struct Pending {
    pub to: PeerId,
    pub answer: oneshot::Sender<Result<wire::Response, RequestError>>,
    /// Its place among all questions under way.
    pub _place: OwnedSemaphorePermit,
}

/// An answer that is ready for the wire; `None` when the reply was dropped or came too late.
pub(super) type Answered = (Lane, ResponseChannel<wire::Response>, Option<wire::Response>);

/// All questions under way.
#[derive(Default)]
pub(super) struct LaneDesk {
    /// Ours, bounded by [`super::limits::MAX_INFLIGHT`].
    pending: HashMap<(Lane, OutboundRequestId), Pending>,
    /// Theirs that the consumer works on, bounded by `open` of each lane.
    pub answers: FuturesUnordered<BoxFuture<'static, Answered>>,
    open: HashMap<Lane, usize>,
}

impl LaneDesk {
    /// Remember a question of ours.
    pub fn asked(&mut self, lane: Lane, id: OutboundRequestId, pending: Pending) {
        self.pending.insert((lane, id), pending);
    }

    /// Hand the outcome to whoever asked. True when it is an answer.
    pub fn answered(
        &mut self,
        lane: Lane,
        id: OutboundRequestId,
        outcome: Result<wire::Response, OutboundFailure>,
    ) -> bool {
        let Some(pending) = self.pending.remove(&(lane, id)) else {
            return false;
        };
        let to = pending.to;
        let outcome = outcome.map_err(|failure| RequestError::from_failure(to, lane, &failure));
        let good = outcome.is_ok();
        // The asker may have given up waiting.
        let _ = pending.answer.send(outcome);
        good
    }

    /// Whether the lane has room for one more question of theirs.
    pub fn has_room(&self, lane: Lane) -> bool {
        self.open.get(&lane).copied().unwrap_or_default() < lane.limits().open
    }

    /// Wait for the consumer's answer to a question of theirs.
    pub fn await_answer(
        &mut self,
        lane: Lane,
        channel: ResponseChannel<wire::Response>,
        answer: oneshot::Receiver<wire::Response>,
    ) {
        *self.open.entry(lane).or_default() += 1;
        let wait = tokio::time::timeout(lane.limits().timeout, answer);
        self.answers.push(wait.map(move |answer| (lane, channel, answer.ok().and_then(Result::ok))).boxed());
    }

    /// One question of theirs is done with.
    pub fn closed(&mut self, lane: Lane) {
        if let Some(open) = self.open.get_mut(&lane) {
            *open = open.saturating_sub(1);
        }
    }
}
