//! Keys: a node's public key, and key files in JWK form (RSA wallets as Arweave has them, Ed25519 keys as nodes have them).
//!
//! Where it sits: below [`crate::ans104`] and [`crate::arweave`], which turn keys into signers. Reads and writes no files.

pub mod rsa;

use std::{fmt, str::FromStr};

use ed25519_dalek::{Signature, SigningKey, VerifyingKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{Id, b64};

/// What is wrong with a key or with a signature made by one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Text that is no node key.
    #[error("{0:?} is not a node key: expected 43 characters of base64url")]
    NotANodeKey(String),
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

/// The Ed25519 public key of a node: its name in the registry and on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeKey([u8; 32]);

impl NodeKey {
    /// The key with these bytes; whether they are a usable point is found out by [`NodeKey::verify`].
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The key in `bytes`, or `None` unless there are exactly 32.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The raw bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The address of the node: SHA-256 of the key.
    pub fn address(&self) -> Id {
        Id::sha256(&self.0)
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
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<Id>()
            .map(|id| Self(*id.as_bytes()))
            .map_err(|_| KeyError::NotANodeKey(text.chars().take(80).collect()))
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

/// A key file: JSON Web Key. Unknown members are ignored on reading and not written.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kty")]
pub enum Jwk {
    /// An Arweave wallet.
    #[serde(rename = "RSA")]
    Rsa(RsaJwk),
    /// An Ed25519 key, what nodes sign with.
    #[serde(rename = "OKP")]
    Okp(OkpJwk),
}

/// The members of an RSA key; big-endian numbers. The private ones are empty in a public key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RsaJwk {
    /// Public exponent.
    #[serde(with = "b64")]
    pub e: Vec<u8>,
    /// Modulus: 512 bytes.
    #[serde(with = "b64")]
    pub n: Vec<u8>,
    /// Private exponent.
    #[serde(default, with = "b64", skip_serializing_if = "Vec::is_empty")]
    pub d: Vec<u8>,
    /// First prime.
    #[serde(default, with = "b64", skip_serializing_if = "Vec::is_empty")]
    pub p: Vec<u8>,
    /// Second prime.
    #[serde(default, with = "b64", skip_serializing_if = "Vec::is_empty")]
    pub q: Vec<u8>,
    /// `d mod (p-1)`.
    #[serde(default, with = "b64", skip_serializing_if = "Vec::is_empty")]
    pub dp: Vec<u8>,
    /// `d mod (q-1)`.
    #[serde(default, with = "b64", skip_serializing_if = "Vec::is_empty")]
    pub dq: Vec<u8>,
    /// Inverse of `q` modulo `p`.
    #[serde(default, with = "b64", skip_serializing_if = "Vec::is_empty")]
    pub qi: Vec<u8>,
}

/// The members of an Ed25519 key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OkpJwk {
    /// Always `Ed25519`.
    pub crv: String,
    /// Public key: 32 bytes.
    #[serde(with = "b64")]
    pub x: Vec<u8>,
    /// Seed: 32 bytes, empty in a public key.
    #[serde(default, with = "b64", skip_serializing_if = "Vec::is_empty")]
    pub d: Vec<u8>,
}

impl Jwk {
    /// The Ed25519 key of a seed (32 random bytes).
    pub fn ed25519(seed: [u8; 32]) -> Self {
        let public = SigningKey::from_bytes(&seed).verifying_key();
        Self::Okp(OkpJwk { crv: "Ed25519".to_owned(), x: public.to_bytes().to_vec(), d: seed.to_vec() })
    }

    /// A new Arweave wallet (RSA-4096) from the operating system's randomness. Takes seconds.
    ///
    /// # Errors
    /// [`KeyError::Library`] when generation fails.
    pub fn generate_rsa() -> Result<Self, KeyError> {
        rsa::generate().map(Self::Rsa)
    }

    /// The bytes that stand as owner in items and transactions signed by this key: RSA modulus or Ed25519 public key.
    pub fn owner(&self) -> &[u8] {
        match self {
            Self::Rsa(key) => &key.n,
            Self::Okp(key) => &key.x,
        }
    }

    /// The address of the key: SHA-256 of the owner bytes.
    pub fn address(&self) -> Id {
        Id::sha256(self.owner())
    }

    /// The Ed25519 public key, or `None` for an RSA key or a key of the wrong length.
    pub fn node_key(&self) -> Option<NodeKey> {
        match self {
            Self::Rsa(_) => None,
            Self::Okp(key) => NodeKey::from_slice(&key.x),
        }
    }

    /// The seed of an Ed25519 key after checking that the file is whole and its two halves belong together.
    ///
    /// # Errors
    /// [`KeyError::BadJwk`] or [`KeyError::NoPrivateKey`].
    pub fn ed25519_seed(&self) -> Result<[u8; 32], KeyError> {
        let Self::Okp(key) = self else { return Err(KeyError::BadJwk("an Ed25519 key is needed here, not RSA")) };
        if key.crv != "Ed25519" {
            return Err(KeyError::BadJwk("crv is not Ed25519"));
        }
        if key.d.is_empty() {
            return Err(KeyError::NoPrivateKey);
        }
        let seed: [u8; 32] = key.d.as_slice().try_into().map_err(|_| KeyError::BadJwk("d is not 32 bytes"))?;
        if SigningKey::from_bytes(&seed).verifying_key().as_bytes().as_slice() != key.x {
            return Err(KeyError::BadJwk("x is not the public key of d"));
        }
        Ok(seed)
    }

    /// The public half.
    #[must_use]
    pub fn to_public(&self) -> Self {
        match self {
            Self::Rsa(key) => Self::Rsa(RsaJwk::public(key.n.clone(), key.e.clone())),
            Self::Okp(key) => Self::Okp(OkpJwk { crv: key.crv.clone(), x: key.x.clone(), d: Vec::new() }),
        }
    }
}

impl RsaJwk {
    fn public(n: Vec<u8>, e: Vec<u8>) -> Self {
        let none = Vec::new;
        Self { e, n, d: none(), p: none(), q: none(), dp: none(), dq: none(), qi: none() }
    }
}

/// Shows the address only: key files must not end in a log.
impl fmt::Debug for Jwk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Rsa(_) => "RSA",
            Self::Okp(_) => "OKP",
        };
        write!(f, "Jwk({kind} {})", self.address())
    }
}

#[cfg(test)]
mod tests;
