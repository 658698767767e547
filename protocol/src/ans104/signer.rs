//! Keys that sign items.

use ed25519_dalek::{Signer as _, SigningKey};
use k256::ecdsa::SigningKey as EthereumKey;

use super::{
    SignError, SignatureType,
    signature::{eth_address, ethereum_digest, solana_message},
};
use crate::{
    Id, Jwk, NodeKey,
    keys::{KeyError, RsaJwk, rsa::RsaPrivateKey},
};

/// Something that signs items: a key, or a device that holds one.
pub trait Signer: Send + Sync {
    /// The type of its signatures.
    fn signature_type(&self) -> SignatureType;

    /// Its public key, as long as [`SignatureType::owner_len`] says.
    fn owner(&self) -> &[u8];

    /// Signs the deep hash of an item.
    ///
    /// # Errors
    /// When the key or the device fails.
    fn sign(&self, deep_hash: &[u8; 48]) -> Result<Vec<u8>, SignError>;

    /// The address of its items: SHA-256 of the owner.
    fn address(&self) -> Id {
        Id::sha256(self.owner())
    }

    /// The address as AO shows it (checksummed 0x form for Ethereum).
    fn signer_address(&self) -> String {
        eth_address(self.owner()).unwrap_or_else(|| self.address().to_string())
    }
}

/// The signer of a key file: Arweave for RSA, Ed25519 for OKP.
///
/// # Errors
/// [`KeyError`] when the file has no private key or its members do not fit together.
pub fn signer_from_jwk(jwk: &Jwk) -> Result<Box<dyn Signer>, KeyError> {
    Ok(match jwk {
        Jwk::Rsa(_) => Box::new(RsaSigner::from_jwk(jwk)?),
        Jwk::Okp(_) => Box::new(Ed25519Signer::from_jwk(jwk)?),
    })
}

/// Ed25519 (type 2): what nodes sign with. The same message gives the same signature.
#[derive(Clone)]
pub struct Ed25519Signer {
    key: SigningKey,
    public: NodeKey,
}

impl Ed25519Signer {
    /// The signer of a seed (32 random bytes).
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let key = SigningKey::from_bytes(&seed);
        let public = NodeKey::from_bytes(key.verifying_key().to_bytes());
        Self { key, public }
    }

    /// The signer of an OKP key file.
    ///
    /// # Errors
    /// As [`Jwk::ed25519_seed`].
    pub fn from_jwk(jwk: &Jwk) -> Result<Self, KeyError> {
        jwk.ed25519_seed().map(Self::from_seed)
    }

    /// The public key.
    pub fn key(&self) -> NodeKey {
        self.public
    }

    /// Signs any message that is not an item (attestations, offers); [`NodeKey::verify`] checks it.
    pub fn sign_bytes(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message).to_bytes()
    }
}

impl Signer for Ed25519Signer {
    fn signature_type(&self) -> SignatureType {
        SignatureType::Ed25519
    }

    fn owner(&self) -> &[u8] {
        self.public.as_bytes()
    }

    fn sign(&self, deep_hash: &[u8; 48]) -> Result<Vec<u8>, SignError> {
        Ok(self.sign_bytes(deep_hash).to_vec())
    }
}

/// Solana (type 4): Ed25519 over the text of the deep hash.
#[derive(Clone)]
pub struct SolanaSigner(Ed25519Signer);

impl SolanaSigner {
    /// The signer of a seed (32 random bytes).
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(Ed25519Signer::from_seed(seed))
    }
}

impl Signer for SolanaSigner {
    fn signature_type(&self) -> SignatureType {
        SignatureType::Solana
    }

    fn owner(&self) -> &[u8] {
        self.0.owner()
    }

    fn sign(&self, deep_hash: &[u8; 48]) -> Result<Vec<u8>, SignError> {
        Ok(self.0.sign_bytes(solana_message(deep_hash).as_bytes()).to_vec())
    }
}

/// Ethereum (type 3): secp256k1, reproducible (RFC 6979).
#[derive(Clone)]
pub struct EthereumSigner {
    key: EthereumKey,
    owner: Vec<u8>,
}

impl EthereumSigner {
    /// The signer of a private key (a big-endian number).
    ///
    /// # Errors
    /// [`KeyError::BadJwk`] when the number is zero or not below the order of the curve.
    pub fn from_bytes(private: &[u8; 32]) -> Result<Self, KeyError> {
        let key = EthereumKey::from_slice(private).map_err(|_| KeyError::BadJwk("not a private key of secp256k1"))?;
        let owner = key.verifying_key().to_sec1_point(false).as_bytes().to_vec();
        Ok(Self { key, owner })
    }
}

impl Signer for EthereumSigner {
    fn signature_type(&self) -> SignatureType {
        SignatureType::Ethereum
    }

    fn owner(&self) -> &[u8] {
        &self.owner
    }

    fn sign(&self, deep_hash: &[u8; 48]) -> Result<Vec<u8>, SignError> {
        let (signature, recovery) = self.key.sign_prehash_recoverable(&ethereum_digest(deep_hash));
        if recovery.is_x_reduced() {
            // Chance 2^-127; such a signature cannot be written with 27 or 28.
            return Err(SignError::Key(KeyError::Library("signing with secp256k1")));
        }
        let mut bytes = signature.to_vec();
        bytes.push(if recovery.is_y_odd() { 28 } else { 27 });
        Ok(bytes)
    }
}

/// Arweave (type 1): RSA-4096 PSS.
pub struct RsaSigner {
    key: RsaPrivateKey,
    owner: Vec<u8>,
    salted: bool,
}

impl RsaSigner {
    /// The signer of a wallet. Signatures carry a random salt: signing twice gives two ids.
    ///
    /// # Errors
    /// [`KeyError::BadJwk`] or [`KeyError::NoPrivateKey`].
    pub fn from_jwk(jwk: &Jwk) -> Result<Self, KeyError> {
        let Jwk::Rsa(key) = jwk else { return Err(KeyError::BadJwk("an RSA key is needed here, not Ed25519")) };
        Self::from_rsa(key)
    }

    fn from_rsa(key: &RsaJwk) -> Result<Self, KeyError> {
        Ok(Self { key: RsaPrivateKey::from_jwk(key)?, owner: key.n.clone(), salted: true })
    }

    /// The same signer without salt: signing the same twice gives the same id. Accepted wherever any salt length is.
    #[must_use]
    pub fn unsalted(mut self) -> Self {
        self.salted = false;
        self
    }

    /// Signs any message (transactions of format 1 sign more than a deep hash).
    ///
    /// # Errors
    /// When the library fails.
    pub fn sign_bytes(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.key.sign(message, self.salted)
    }
}

impl Signer for RsaSigner {
    fn signature_type(&self) -> SignatureType {
        SignatureType::Arweave
    }

    fn owner(&self) -> &[u8] {
        &self.owner
    }

    fn sign(&self, deep_hash: &[u8; 48]) -> Result<Vec<u8>, SignError> {
        Ok(self.sign_bytes(deep_hash)?)
    }
}
