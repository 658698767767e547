//! Why a provider says no: a closed set of codes that both sides log and show.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::wire;

/// Most characters of a refusal's reason that are kept.
pub const MAX_REASON: usize = 200;

/// Why something was refused. The text form is the snake_case name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalCode {
    /// Every lease is taken; see `retry_after_ms`.
    Capacity,
    /// The payer's highest price is below the provider's.
    PriceBelowMin,
    /// The provider's list of modules leaves this one out.
    ModuleNotAllowed,
    /// The module cannot be found or loaded.
    ModuleUnknown,
    /// The provider runs another engine profile.
    ProfileUnsupported,
    /// More memory than the provider gives one process.
    MemoryOverLimit,
    /// More fuel per slot than the provider burns.
    FuelOverLimit,
    /// The log to replay is longer than the provider replays.
    ColdLoadTooLarge,
    /// The payer's deposit is not locked.
    PaymentUnlocked,
    /// The provider does not take this asset.
    PaymentAsset,
    /// The provider does not work for this payer.
    PayerBlocked,
    /// More slots or time than the provider leases, or the lease is used up.
    LeaseLimit,
    /// Too late: the request, quote or lease is no longer (or was never) valid here.
    Expired,
    /// Another network's object.
    WrongNetwork,
    /// Not signed by whom it says, or not of this shape.
    BadSignature,
    /// A sequence number used before, or too old to tell.
    SeqReplayed,
    /// The provider is under maintenance.
    Maintenance,
    /// The provider is going away and takes nothing new.
    Draining,
    /// A fault of the provider.
    Internal,
}

impl RefusalCode {
    /// The whole set.
    pub const ALL: [Self; 19] = [
        Self::Capacity,
        Self::PriceBelowMin,
        Self::ModuleNotAllowed,
        Self::ModuleUnknown,
        Self::ProfileUnsupported,
        Self::MemoryOverLimit,
        Self::FuelOverLimit,
        Self::ColdLoadTooLarge,
        Self::PaymentUnlocked,
        Self::PaymentAsset,
        Self::PayerBlocked,
        Self::LeaseLimit,
        Self::Expired,
        Self::WrongNetwork,
        Self::BadSignature,
        Self::SeqReplayed,
        Self::Maintenance,
        Self::Draining,
        Self::Internal,
    ];

    /// The name on the wire and on pages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Capacity => "capacity",
            Self::PriceBelowMin => "price_below_min",
            Self::ModuleNotAllowed => "module_not_allowed",
            Self::ModuleUnknown => "module_unknown",
            Self::ProfileUnsupported => "profile_unsupported",
            Self::MemoryOverLimit => "memory_over_limit",
            Self::FuelOverLimit => "fuel_over_limit",
            Self::ColdLoadTooLarge => "cold_load_too_large",
            Self::PaymentUnlocked => "payment_unlocked",
            Self::PaymentAsset => "payment_asset",
            Self::PayerBlocked => "payer_blocked",
            Self::LeaseLimit => "lease_limit",
            Self::Expired => "expired",
            Self::WrongNetwork => "wrong_network",
            Self::BadSignature => "bad_signature",
            Self::SeqReplayed => "seq_replayed",
            Self::Maintenance => "maintenance",
            Self::Draining => "draining",
            Self::Internal => "internal",
        }
    }

    /// Whether asking the same again is pointless.
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Capacity | Self::PaymentUnlocked | Self::Maintenance | Self::Internal)
    }
}

impl fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Text that is no [`RefusalCode`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a refusal code of this version")]
pub struct UnknownCode;

impl FromStr for RefusalCode {
    type Err = UnknownCode;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|code| code.name() == text).ok_or(UnknownCode)
    }
}

/// A provider's no.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {reason}")]
pub struct Refusal {
    /// Which of the closed set.
    pub code: RefusalCode,
    /// For people; at most [`MAX_REASON`] characters.
    pub reason: String,
    /// When asking again may help, in milliseconds from now; 0: no advice.
    pub retry_after_ms: u64,
    /// Whether asking the same again is pointless.
    pub is_final: bool,
}

impl Refusal {
    /// A refusal with this code, final as the code says, without advice when to ask again.
    pub fn new(code: RefusalCode, reason: impl Into<String>) -> Self {
        Self { code, reason: shorten(&reason.into()), retry_after_ms: 0, is_final: code.is_final() }
    }

    /// The same with advice to ask again after `ms` milliseconds.
    pub fn retry_after(mut self, ms: u64) -> Self {
        self.retry_after_ms = ms;
        self
    }
}

impl From<Refusal> for wire::Refusal {
    fn from(refusal: Refusal) -> Self {
        Self {
            code: refusal.code.name().to_owned(),
            reason: refusal.reason,
            retry_after_ms: refusal.retry_after_ms,
            is_final: refusal.is_final,
        }
    }
}

impl From<wire::Refusal> for Refusal {
    /// A code outside the set (another version's, or nonsense) becomes `internal`, with the code in the reason.
    fn from(refusal: wire::Refusal) -> Self {
        let (code, reason) = match refusal.code.parse() {
            Ok(code) => (code, shorten(&refusal.reason)),
            Err(UnknownCode) => {
                (RefusalCode::Internal, shorten(&format!("unknown code {:?}: {}", refusal.code, refusal.reason)))
            }
        };
        Self { code, reason, retry_after_ms: refusal.retry_after_ms, is_final: refusal.is_final }
    }
}

/// The first [`MAX_REASON`] characters, without control characters: reasons come from peers and go to terminals.
pub fn shorten(reason: &str) -> String {
    reason.chars().filter(|c| !c.is_control()).take(MAX_REASON).collect()
}
