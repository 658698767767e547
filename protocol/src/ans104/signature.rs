//! The signature types of ANS-104 and how each is checked.

use std::fmt;

use k256::ecdsa::{RecoveryId, Signature, VerifyingKey};
use sha3::{Digest as _, Keccak256};

use super::ItemError;
use crate::{
    NodeKey,
    keys::{KeyError, rsa},
};

/// Who signs, and how. Types 5, 6, 7 and 101 exist and are refused: hardly anybody reads them, and 6 has been forgeable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum SignatureType {
    /// 1: RSA-4096 PSS, an Arweave wallet.
    Arweave,
    /// 2: Ed25519 over the deep hash.
    Ed25519,
    /// 3: secp256k1 with recovery over the EIP-191 message.
    Ethereum,
    /// 4: Ed25519 over the hexadecimal text of the deep hash, as Solana wallets sign.
    Solana,
    /// 5: refused.
    Aptos,
    /// 6: refused.
    MultiAptos,
    /// 7: refused.
    TypedEthereum,
    /// 101: refused.
    Kyve,
}

impl SignatureType {
    /// The type of this number.
    pub fn from_number(number: u16) -> Option<Self> {
        Some(match number {
            1 => Self::Arweave,
            2 => Self::Ed25519,
            3 => Self::Ethereum,
            4 => Self::Solana,
            5 => Self::Aptos,
            6 => Self::MultiAptos,
            7 => Self::TypedEthereum,
            101 => Self::Kyve,
            _ => return None,
        })
    }

    /// The number of this type.
    pub const fn number(self) -> u16 {
        match self {
            Self::Arweave => 1,
            Self::Ed25519 => 2,
            Self::Ethereum => 3,
            Self::Solana => 4,
            Self::Aptos => 5,
            Self::MultiAptos => 6,
            Self::TypedEthereum => 7,
            Self::Kyve => 101,
        }
    }

    /// Bytes of a signature.
    pub const fn signature_len(self) -> usize {
        match self {
            Self::Arweave => 512,
            Self::Ed25519 | Self::Solana | Self::Aptos => 64,
            Self::Ethereum | Self::TypedEthereum | Self::Kyve => 65,
            Self::MultiAptos => 2052,
        }
    }

    /// Bytes of an owner.
    pub const fn owner_len(self) -> usize {
        match self {
            Self::Arweave => 512,
            Self::Ed25519 | Self::Solana | Self::Aptos => 32,
            Self::Ethereum | Self::Kyve => 65,
            Self::MultiAptos => 1025,
            Self::TypedEthereum => 42,
        }
    }

    /// Whether items of this type are taken.
    pub const fn is_accepted(self) -> bool {
        matches!(self, Self::Arweave | Self::Ed25519 | Self::Ethereum | Self::Solana)
    }
}

impl fmt::Display for SignatureType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Arweave => "Arweave",
            Self::Ed25519 => "Ed25519",
            Self::Ethereum => "Ethereum",
            Self::Solana => "Solana",
            Self::Aptos => "Aptos",
            Self::MultiAptos => "multi-Aptos",
            Self::TypedEthereum => "typed Ethereum",
            Self::Kyve => "KYVE",
        };
        write!(f, "{} ({name})", self.number())
    }
}

/// Checks owner and signature over an item's deep hash.
pub(super) fn verify(kind: SignatureType, owner: &[u8], signature: &[u8], hash: &[u8; 48]) -> Result<(), ItemError> {
    let outcome = match kind {
        SignatureType::Arweave => rsa::verify(owner, hash, signature),
        SignatureType::Ed25519 => verify_ed25519(owner, hash, signature),
        SignatureType::Solana => verify_ed25519(owner, solana_message(hash).as_bytes(), signature),
        SignatureType::Ethereum => verify_ethereum(owner, hash, signature),
        refused => return Err(ItemError::RefusedType(refused)),
    };
    outcome.map_err(|reason| ItemError::Signature { kind, reason })
}

fn verify_ed25519(owner: &[u8], message: &[u8], signature: &[u8]) -> Result<(), KeyError> {
    NodeKey::from_slice(owner).ok_or(KeyError::BadPublicKey("an Ed25519 key has 32 bytes"))?.verify(message, signature)
}

/// Low s, recovery byte 27 or 28, and the recovered key must be the owner: else a third party could give one item two ids.
fn verify_ethereum(owner: &[u8], hash: &[u8; 48], signature: &[u8]) -> Result<(), KeyError> {
    if owner.len() != 65 || owner.first() != Some(&4) {
        return Err(KeyError::BadPublicKey("an Ethereum key is 65 bytes that start with 04"));
    }
    VerifyingKey::from_sec1_bytes(owner).map_err(|_| KeyError::BadPublicKey("not a point of secp256k1"))?;
    let (v, compact) = signature.split_last().ok_or(KeyError::BadSignature)?;
    let recovery = match v {
        27 => RecoveryId::new(false, false),
        28 => RecoveryId::new(true, false),
        _ => return Err(KeyError::BadSignature),
    };
    let signature = Signature::from_slice(compact).map_err(|_| KeyError::BadSignature)?;
    if signature.normalize_s() != signature {
        return Err(KeyError::BadSignature);
    }
    let recovered = VerifyingKey::recover_from_prehash(&ethereum_digest(hash), &signature, recovery)
        .map_err(|_| KeyError::BadSignature)?;
    if recovered.to_sec1_point(false).as_bytes() == owner { Ok(()) } else { Err(KeyError::BadSignature) }
}

/// What a Solana wallet signs: the deep hash as lower-case hexadecimal text.
pub(super) fn solana_message(hash: &[u8; 48]) -> String {
    hex::encode(hash)
}

/// What an Ethereum wallet signs: EIP-191 over the deep hash.
pub(super) fn ethereum_digest(hash: &[u8; 48]) -> [u8; 32] {
    Keccak256::new().chain_update(b"\x19Ethereum Signed Message:\n48").chain_update(hash).finalize().into()
}

/// The native address of an Ethereum key of 65 bytes, with the checksum in its letter case (EIP-55); `None` for any other
/// key.
pub fn eth_address(owner: &[u8]) -> Option<String> {
    let (_, point) = owner.split_first().filter(|(first, point)| **first == 4 && point.len() == 64)?;
    Keccak256::digest(point).last_chunk().map(checksummed)
}

fn checksummed(address: &[u8; 20]) -> String {
    let address = hex::encode(address);
    let case = hex::encode(Keccak256::digest(&address));
    let letter = |(letter, case): (char, char)| if case >= '8' { letter.to_ascii_uppercase() } else { letter };
    "0x".chars().chain(address.chars().zip(case.chars()).map(letter)).collect()
}

#[cfg(test)]
mod tests;
