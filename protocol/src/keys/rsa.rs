//! RSA-4096 with PSS over SHA-256, as Arweave uses it: signing, verifying with any salt length, generating.
//!
//! Signers disagree on the salt: Node.js clients take the longest that fits (478 bytes), browsers 32, receipts of
//! uploaders none. The three are tried with the fast library; what is left goes through the padding check written here.

use aws_lc_rs::{
    encoding::AsDer as _,
    rand::SystemRandom,
    rsa::{KeyPair, KeyPairComponents, KeySize, PublicKeyComponents},
    signature::{RSA_PSS_2048_8192_SHA256, RSA_PSS_SHA256, RsaParameters, RsaPssSaltLength, RsaSignatureEncoding},
};
use num_bigint::BigUint;
use pkcs1::RsaPrivateKeyRef;
use pkcs8::PrivateKeyInfoRef;
use sha2::{Digest as _, Sha256};

use super::{KeyError, RsaJwk};

/// Bytes of a modulus, and of a signature.
pub const RSA_LEN: usize = 512;

/// The public exponent of every Arweave key, 65537.
const EXPONENT: [u8; 3] = [1, 0, 1];
const HASH_LEN: usize = 32;

static SALT_DIGEST: RsaParameters = RSA_PSS_2048_8192_SHA256;
static SALT_MAX: RsaParameters = RSA_PSS_2048_8192_SHA256.with_pss_salt_length(RsaPssSaltLength::Max);
static SALT_NONE: RsaParameters = RSA_PSS_2048_8192_SHA256.with_pss_salt_length(RsaPssSaltLength::Custom(0));

static SIGN_SALTED: RsaSignatureEncoding = RSA_PSS_SHA256;
static SIGN_UNSALTED: RsaSignatureEncoding = RSA_PSS_SHA256.with_pss_salt_length(RsaPssSaltLength::Custom(0));

/// A private RSA-4096 key, ready to sign.
pub(crate) struct RsaPrivateKey(KeyPair);

impl RsaPrivateKey {
    /// Takes the key out of its file, checking that its parts belong together.
    pub(crate) fn from_jwk(key: &RsaJwk) -> Result<Self, KeyError> {
        if key.d.is_empty() {
            return Err(KeyError::NoPrivateKey);
        }
        if key.n.len() != RSA_LEN {
            return Err(KeyError::BadJwk("the modulus n is not 4096 bits"));
        }
        if key.e != EXPONENT {
            return Err(KeyError::BadJwk("the exponent e is not 65537 (AQAB)"));
        }
        if [&key.p, &key.q, &key.dp, &key.dq, &key.qi].iter().any(|part| part.is_empty()) {
            return Err(KeyError::BadJwk("one of p, q, dp, dq, qi is missing"));
        }
        let parts = KeyPairComponents {
            public_key: PublicKeyComponents { n: key.n.as_slice(), e: key.e.as_slice() },
            d: key.d.as_slice(),
            p: key.p.as_slice(),
            q: key.q.as_slice(),
            dP: key.dp.as_slice(),
            dQ: key.dq.as_slice(),
            qInv: key.qi.as_slice(),
        };
        KeyPair::from_components(&parts).map(Self).map_err(|_| KeyError::BadJwk("the RSA members do not fit together"))
    }

    /// Signs `message`: with a random salt of 32 bytes, or without salt and so reproducibly.
    pub(crate) fn sign(&self, message: &[u8], salted: bool) -> Result<Vec<u8>, KeyError> {
        let encoding = if salted { &SIGN_SALTED } else { &SIGN_UNSALTED };
        let mut signature = vec![0; RSA_LEN];
        self.0
            .sign(encoding, &SystemRandom::new(), message, &mut signature)
            .map_err(|_| KeyError::Library("signing with RSA"))?;
        Ok(signature)
    }
}

/// Checks that `modulus` can be the owner of anything: exactly 4096 bits, odd.
pub fn check_modulus(modulus: &[u8]) -> Result<(), KeyError> {
    if modulus.len() != RSA_LEN || modulus.first().is_none_or(|high| high & 0x80 == 0) {
        return Err(KeyError::BadPublicKey("the RSA modulus is not 4096 bits"));
    }
    if modulus.last().is_none_or(|low| low & 1 == 0) {
        return Err(KeyError::BadPublicKey("the RSA modulus is even"));
    }
    Ok(())
}

/// Checks an RSA-PSS signature of any salt length over `message`.
///
/// # Errors
/// [`KeyError::BadPublicKey`] for a modulus that is not one, [`KeyError::BadSignature`] otherwise.
pub fn verify(modulus: &[u8], message: &[u8], signature: &[u8]) -> Result<(), KeyError> {
    check_modulus(modulus)?;
    if signature.len() != RSA_LEN || signature >= modulus {
        return Err(KeyError::BadSignature);
    }
    let key = PublicKeyComponents { n: modulus, e: EXPONENT.as_slice() };
    let usual = [&SALT_DIGEST, &SALT_MAX, &SALT_NONE];
    if usual.iter().any(|parameters| key.verify(parameters, message, signature).is_ok()) {
        return Ok(());
    }
    verify_any_salt(modulus, message, signature)
}

/// The padding check of RFC 8017 §9.1.2, with the salt length found instead of given.
fn verify_any_salt(modulus: &[u8], message: &[u8], signature: &[u8]) -> Result<(), KeyError> {
    let opened = BigUint::from_bytes_be(signature)
        .modpow(&BigUint::from_bytes_be(&EXPONENT), &BigUint::from_bytes_be(modulus))
        .to_bytes_be();
    let mut encoded = vec![0_u8; RSA_LEN.saturating_sub(opened.len())];
    encoded.extend_from_slice(&opened);
    padding_fits(&encoded, message).then_some(()).ok_or(KeyError::BadSignature)
}

fn padding_fits(encoded: &[u8], message: &[u8]) -> bool {
    let Some((0xbc, body)) = encoded.split_last().map(|(last, body)| (*last, body)) else { return false };
    let Some((masked, hash)) = body.split_at_checked(body.len().saturating_sub(HASH_LEN)) else { return false };
    if masked.first().is_none_or(|high| high & 0x80 != 0) {
        return false;
    }
    let mut block: Vec<u8> = masked.iter().zip(mask(hash, masked.len())).map(|(byte, mask)| byte ^ mask).collect();
    if let Some(high) = block.first_mut() {
        *high &= 0x7f;
    }
    let Some(one) = block.iter().position(|byte| *byte != 0) else { return false };
    let Some((1, salt)) = block.get(one..).and_then(<[u8]>::split_first).map(|(first, salt)| (*first, salt)) else {
        return false;
    };
    let expected =
        Sha256::new().chain_update([0; 8]).chain_update(Sha256::digest(message)).chain_update(salt).finalize();
    expected.as_slice() == hash
}

/// MGF1 with SHA-256.
fn mask(seed: &[u8], length: usize) -> Vec<u8> {
    let blocks = length.div_ceil(HASH_LEN);
    let mut out = Vec::with_capacity(blocks.saturating_mul(HASH_LEN));
    for counter in (0_u32..).take(blocks) {
        out.extend_from_slice(&Sha256::new().chain_update(seed).chain_update(counter.to_be_bytes()).finalize());
    }
    out.truncate(length);
    out
}

/// A new key; the parts come out through the standard encodings, the only ones the library exports.
pub(crate) fn generate() -> Result<RsaJwk, KeyError> {
    let failed = || KeyError::Library("generating an RSA key");
    let pair = KeyPair::generate(KeySize::Rsa4096).map_err(|_| failed())?;
    let document = pair.as_der().map_err(|_| failed())?;
    let info = PrivateKeyInfoRef::try_from(document.as_ref()).map_err(|_| failed())?;
    let key = RsaPrivateKeyRef::try_from(info.private_key.as_bytes()).map_err(|_| failed())?;
    Ok(RsaJwk {
        e: key.public_exponent.as_bytes().to_vec(),
        n: key.modulus.as_bytes().to_vec(),
        d: key.private_exponent.as_bytes().to_vec(),
        p: key.prime1.as_bytes().to_vec(),
        q: key.prime2.as_bytes().to_vec(),
        dp: key.exponent1.as_bytes().to_vec(),
        dq: key.exponent2.as_bytes().to_vec(),
        qi: key.coefficient.as_bytes().to_vec(),
    })
}

#[cfg(test)]
mod tests;
