#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use super::*;
use crate::Jwk;

fn wallet() -> RsaJwk {
    let keys = include_str!("../../../tests/vectors/arweave/keys.json");
    let keys: serde_json::Value = serde_json::from_str(keys).unwrap();
    let Jwk::Rsa(key) = serde_json::from_value(keys["rsa"]["a"].clone()).unwrap() else { panic!() };
    key
}

/// A signature with a salt of any length, made with the private exponent.
fn sign_with_salt(key: &RsaJwk, message: &[u8], salt: &[u8]) -> Vec<u8> {
    let hash =
        Sha256::new().chain_update([0; 8]).chain_update(Sha256::digest(message)).chain_update(salt).finalize().to_vec();
    let mut block = vec![0; RSA_LEN - HASH_LEN - 1 - salt.len() - 1];
    block.push(1);
    block.extend_from_slice(salt);
    let mut encoded: Vec<u8> = block.iter().zip(mask(&hash, block.len())).map(|(byte, mask)| byte ^ mask).collect();
    encoded[0] &= 0x7f;
    encoded.extend_from_slice(&hash);
    encoded.push(0xbc);
    let number = |bytes: &[u8]| BigUint::from_bytes_be(bytes);
    let signature = number(&encoded).modpow(&number(&key.d), &number(&key.n)).to_bytes_be();
    [vec![0; RSA_LEN - signature.len()], signature].concat()
}

#[test]
fn any_salt_length_is_accepted() {
    let key = wallet();
    for len in [0, 1, 20, 31, 32, 33, 64, 477, 478] {
        let signature = sign_with_salt(&key, b"message", &vec![len as u8; len]);
        verify(&key.n, b"message", &signature).unwrap();
        verify_any_salt(&key.n, b"message", &signature).unwrap();
        assert_eq!(verify(&key.n, b"massage", &signature), Err(KeyError::BadSignature), "{len}");
        let mut other = signature;
        other[300] ^= 1;
        assert_eq!(verify(&key.n, b"message", &other), Err(KeyError::BadSignature), "{len}");
    }
}

#[test]
fn the_unsalted_signature_of_the_library_is_that_of_the_formula() {
    let key = wallet();
    let signature = RsaPrivateKey::from_jwk(&key).unwrap().sign(b"message", false).unwrap();
    assert_eq!(signature, sign_with_salt(&key, b"message", b""));
}

#[test]
fn bad_moduli_and_lengths_are_refused() {
    let key = wallet();
    let signature = sign_with_salt(&key, b"m", b"");
    let mut even = key.n.clone();
    even[511] &= 0xfe;
    assert!(matches!(verify(&even, b"m", &signature), Err(KeyError::BadPublicKey(_))));
    assert!(matches!(verify(&[0; 512], b"m", &signature), Err(KeyError::BadPublicKey(_))));
    assert!(matches!(verify(&key.n[..511], b"m", &signature), Err(KeyError::BadPublicKey(_))));
    assert!(matches!(verify(&[], b"m", &signature), Err(KeyError::BadPublicKey(_))));
    for wrong in [vec![], signature[1..].to_vec(), key.n.clone(), vec![0xff; 512], vec![0; 512]] {
        assert_eq!(verify(&key.n, b"m", &wrong), Err(KeyError::BadSignature));
    }
}

#[test]
fn key_files_that_do_not_hold_are_refused() {
    let broken = |change: &dyn Fn(&mut RsaJwk)| {
        let mut key = wallet();
        change(&mut key);
        RsaPrivateKey::from_jwk(&key).map(|_| ()).unwrap_err()
    };
    assert_eq!(broken(&|key| key.d.clear()), KeyError::NoPrivateKey);
    assert!(matches!(broken(&|key| key.p.clear()), KeyError::BadJwk(_)));
    assert!(matches!(broken(&|key| key.e = vec![3]), KeyError::BadJwk(_)));
    assert!(matches!(broken(&|key| key.n.truncate(256)), KeyError::BadJwk(_)));
    assert!(matches!(broken(&|key| key.d[5] ^= 1), KeyError::BadJwk(_)));
    assert!(matches!(broken(&|key| key.q[5] ^= 1), KeyError::BadJwk(_)));
}
