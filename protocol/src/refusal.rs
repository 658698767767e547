//! Refusal codes of the order and read lanes: a closed set, shown on both sides. (The market has its own,
//! [`crate::market`].)

/// Why a request on the order or read lane was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The bytes are not a valid signed item, or lack what they need.
    BadItem,
    /// Larger than the network allows.
    TooLarge,
    /// This node does not order (hold, evaluate) that process.
    NotHere,
    /// Nobody knows the process.
    UnknownProcess,
    /// There is no such item, slot or result.
    NotFound,
    /// The crank proof does not hold.
    BadProof,
    /// This node is full; try again.
    Capacity,
    /// Not done within the wait.
    Timeout,
    /// Somebody this node needs for it is down; try again.
    Unavailable,
    /// Well-formed, but the protocol forbids it.
    Forbidden,
    /// The process's module cannot be used.
    BadModule,
    /// The message wants to read something that does not exist.
    Unreadable,
    /// The transaction has too few confirmations yet.
    NotSettled,
    /// A fault of this node.
    Internal,
}

impl Code {
    const ALL: [(Self, &'static str); 14] = [
        (Self::BadItem, "bad_item"),
        (Self::TooLarge, "too_large"),
        (Self::NotHere, "not_here"),
        (Self::UnknownProcess, "unknown_process"),
        (Self::NotFound, "not_found"),
        (Self::BadProof, "bad_proof"),
        (Self::Capacity, "capacity"),
        (Self::Timeout, "timeout"),
        (Self::Unavailable, "unavailable"),
        (Self::Forbidden, "forbidden"),
        (Self::BadModule, "bad_module"),
        (Self::Unreadable, "unreadable"),
        (Self::NotSettled, "not_settled"),
        (Self::Internal, "internal"),
    ];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(code, _)| *code == self).map_or("internal", |(_, word)| word)
    }

    /// Reads the word; unknown words are [`Code::Internal`].
    pub fn parse(word: &str) -> Self {
        Self::ALL.iter().find(|(_, known)| *known == word).map_or(Self::Internal, |(code, _)| *code)
    }

    /// Whether asking again unchanged is pointless.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Capacity | Self::Timeout | Self::Unavailable | Self::NotSettled | Self::Internal)
    }

    /// The wire form with a `reason` for people.
    pub fn refuse(self, reason: impl Into<String>) -> crate::wire::Refusal {
        crate::wire::Refusal {
            code: self.as_str().to_owned(),
            reason: reason.into(),
            retry_after_ms: if self.is_final() { 0 } else { 1_000 },
            is_final: self.is_final(),
        }
    }
}
