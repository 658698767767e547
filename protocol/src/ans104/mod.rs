//! ANS-104 data items and bundles: the form of every message, process, module and assignment.
//!
//! Reading is strict about what the network needs to be strict about (an id must bind its content), never re-encodes what
//! was signed, copies no data, and hashes the data once. [`Profile`] says how much of what other implementations let pass
//! is let pass here. Where it sits: above [`crate::keys`]; everything that speaks AO is built on it.

mod builder;
pub mod bundle;
mod deep_hash;
mod head;
mod item;
mod signature;
mod signer;
mod stream;
pub mod tags;

pub use builder::{ItemBuilder, SignError};
pub use deep_hash::{DeepHash, deep_hash};
pub use head::{ItemHead, MAX_HEAD_LEN};
pub use item::DataItem;
pub use signature::{SignatureType, eth_address};
pub use signer::{Ed25519Signer, EthereumSigner, RsaSigner, Signer, SolanaSigner, signer_from_jwk};
pub use stream::{ItemStream, StreamedItem};
pub use tags::{Tag, TagError};

use crate::{Id, keys::KeyError};

/// How strict a reader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// For everything new: what clients submit, peers send and we write.
    #[default]
    Strict,
    /// For items that AO has long accepted: lets harmless deviations in the tag section pass, with a mark
    /// ([`Deviation`]). Nothing that is forgeable or unsafe to read passes under either profile.
    History,
}

/// The first way in which an item read under [`Profile::History`] departs from the strict rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Deviation {
    /// More than 128 tags.
    TagCount,
    /// A tag name over 1024 or value over 3072 bytes.
    FieldLength,
    /// A tag that is not UTF-8; shown with replacement characters, signed as it is.
    NotUtf8,
    /// A number written longer than needed.
    LongNumber,
    /// No closing zero block.
    NoTerminator,
    /// Bytes after the closing zero block.
    Trailing,
}

/// Why bytes are not an acceptable data item.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ItemError {
    /// The bytes end inside a field.
    #[error("the item ends inside its {field}: {needed} more bytes are needed, {available} are there")]
    Truncated {
        /// The field that is cut.
        field: &'static str,
        /// Bytes the field needs.
        needed: u64,
        /// Bytes there are.
        available: u64,
    },
    /// A number that stands for no signature type.
    #[error("unknown signature type {0}; known are 1 Arweave, 2 Ed25519, 3 Ethereum and 4 Solana")]
    UnknownType(u16),
    /// A type that exists but that this network does not take.
    #[error("signature type {0} is refused by this network; sign with 1 Arweave, 2 Ed25519, 3 Ethereum or 4 Solana")]
    RefusedType(SignatureType),
    /// A presence byte other than 0 and 1.
    #[error("the presence byte of the {field} is {byte}; only 0 and 1 are allowed")]
    Presence {
        /// `target` or `anchor`.
        field: &'static str,
        /// What was found.
        byte: u8,
    },
    /// The tag section is malformed or over a limit.
    #[error("bad tags: {0}")]
    Tags(#[from] TagError),
    /// The owner is no key that may sign, or the signature does not fit.
    #[error("{kind} signature refused: {reason}")]
    Signature {
        /// The type of the signature.
        kind: SignatureType,
        /// What is wrong.
        reason: KeyError,
    },
    /// The item is not the one asked for.
    #[error("the item's id is {found}, not {expected}")]
    WrongId {
        /// The id asked for or announced.
        expected: Id,
        /// The id of these bytes.
        found: Id,
    },
    /// The item is larger than the reader takes.
    #[error("the item has more than the {limit} bytes allowed here")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
}
