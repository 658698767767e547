//! Key files in JWK form: RSA wallets as Arweave has them, Ed25519 keys as nodes have them. Reads and writes no files.

use std::fmt;

use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};

use super::{KeyError, NodeKey, rsa};
use crate::{Id, b64};

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
