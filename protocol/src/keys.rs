//! Keys: a node's public key (its libp2p peer id, its data item signer and, hashed, its address), key files, RSA.
//!
//! Where it sits: beside [`crate::id`], below everything that names a node, and below [`crate::ans104`] and
//! [`crate::arweave`], which turn keys into signers.

mod jwk;
pub mod rsa;

use std::{fmt, str::FromStr};

use ed25519_dalek::{Signature, VerifyingKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub use jwk::{Jwk, OkpJwk, RsaJwk};

use crate::{Id, b64};

/// What is wrong with a key or with a signature made by one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A key file that lacks a member or whose member has the wrong length.
    #[error("the key file is not usable: {0}; give a JWK of kty RSA (4096 bit) or OKP (crv Ed25519)")]
    BadJwk(&'static str),
    /// A key file with the public half only, where the private half is needed.
    #[error("the key file holds only a public key; give the file with the private member \"d\"")]
    NoPrivateKey,
    /// A public key that must not be accepted (not on the curve, small order, even modulus and the like).
    #[error("unusable public key: {0}")]
    BadPublicKey(&'static str),
    /// A signature that does not fit the key and the message.
    #[error("the signature does not fit the key and the message")]
    BadSignature,
    /// The cryptographic library failed; nothing about the input is known to be wrong.
    #[error("the cryptographic library failed while {0}")]
    Library(&'static str),
}

/// An ed25519 public key (32 bytes); text form 43 characters of base64url. Not checked to be a point on the curve:
/// a key that is none verifies no signature.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeKey([u8; 32]);

/// Text that is not a [`NodeKey`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a node key: expected 43 characters of base64url (A-Z a-z 0-9 - _); `weft keys show` prints one")]
pub struct ParseKeyError(String);

impl NodeKey {
    /// Length of the text form in characters.
    pub const TEXT_LEN: usize = 43;

    /// The key with these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The raw bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key in `bytes`, or `None` unless there are exactly 32.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// SHA-256 of the key: the node's address, as Arweave makes addresses of public keys.
    pub fn address(&self) -> Id {
        Id::sha256(&self.0)
    }

    /// The first eight characters of the text form, for lines people read.
    pub fn short(&self) -> String {
        self.to_string().chars().take(8).collect()
    }

    /// Checks an Ed25519 signature (64 bytes) over `message`: strict, so small-order keys, non-canonical encodings and
    /// malleated signatures are refused.
    ///
    /// # Errors
    /// [`KeyError::BadPublicKey`] or [`KeyError::BadSignature`].
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), KeyError> {
        let key = strict_key(&self.0)?;
        let signature = Signature::from_slice(signature).map_err(|_| KeyError::BadSignature)?;
        key.verify_strict(message, &signature).map_err(|_| KeyError::BadSignature)
    }
}

/// The point of an Ed25519 key that is canonical and not of small order.
pub(crate) fn strict_key(bytes: &[u8; 32]) -> Result<VerifyingKey, KeyError> {
    let key = VerifyingKey::from_bytes(bytes).map_err(|_| KeyError::BadPublicKey("not a point of Ed25519"))?;
    if key.is_weak() {
        return Err(KeyError::BadPublicKey("an Ed25519 point of small order, whose signatures fit any content"));
    }
    if key.to_edwards().compress().to_bytes() != *bytes {
        return Err(KeyError::BadPublicKey("an Ed25519 point in non-canonical form"));
    }
    Ok(key)
}

impl fmt::Display for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&b64::encode(self.0))
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for NodeKey {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() != Self::TEXT_LEN {
            return Err(ParseKeyError(text.chars().take(80).collect()));
        }
        b64::decode(text).and_then(|bytes| Self::from_slice(&bytes)).ok_or_else(|| ParseKeyError(text.to_owned()))
    }
}

impl Serialize for NodeKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for NodeKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
