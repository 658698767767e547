#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use super::*;
use crate::ans104::{Ed25519Signer, signer_from_jwk};

#[test]
fn an_ed25519_key_file_round_trips_and_hides_its_seed() {
    let jwk = Jwk::ed25519([7; 32]);
    let json = serde_json::to_value(&jwk).unwrap();
    assert_eq!((json["kty"].as_str(), json["crv"].as_str()), (Some("OKP"), Some("Ed25519")));
    let back: Jwk = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(back.ed25519_seed().unwrap(), [7; 32]);
    assert_eq!(back.address(), back.node_key().unwrap().address());
    assert!(!format!("{jwk:?}").contains(json["d"].as_str().unwrap()));

    let public = jwk.to_public();
    assert!(serde_json::to_value(&public).unwrap().get("d").is_none());
    assert_eq!(public.ed25519_seed(), Err(KeyError::NoPrivateKey));
    assert_eq!(public.address(), jwk.address());
}

#[test]
fn an_ed25519_key_file_whose_halves_differ_is_refused() {
    let (Jwk::Okp(mut mixed), Jwk::Okp(other)) = (Jwk::ed25519([1; 32]), Jwk::ed25519([2; 32])) else { panic!() };
    mixed.x = other.x;
    assert!(matches!(signer_from_jwk(&Jwk::Okp(mixed)), Err(KeyError::BadJwk(_))));
}

#[test]
fn node_keys_verify_strictly() {
    let signer = Ed25519Signer::from_seed([3; 32]);
    let signature = signer.sign_bytes(b"offer");
    signer.key().verify(b"offer", &signature).unwrap();
    assert_eq!(signer.key().verify(b"other", &signature), Err(KeyError::BadSignature));
    assert_eq!(signer.key().verify(b"offer", &signature[..63]), Err(KeyError::BadSignature));
    let mut identity = [0; 32];
    identity[0] = 1;
    let mut forged = [0; 64];
    forged[0] = 1;
    assert!(matches!(NodeKey::from_bytes(identity).verify(b"any", &forged), Err(KeyError::BadPublicKey(_))));
}

#[test]
fn a_generated_wallet_signs_after_a_round_trip_through_json() {
    let jwk = Jwk::generate_rsa().unwrap();
    let back: Jwk = serde_json::from_str(&serde_json::to_string(&jwk).unwrap()).unwrap();
    let signer = signer_from_jwk(&back).unwrap();
    assert_eq!(signer.owner().len(), rsa::RSA_LEN);
    let signature = signer.sign(&[9; 48]).unwrap();
    rsa::verify(jwk.owner(), &[9; 48], &signature).unwrap();
    assert_eq!(signer.address(), jwk.address());
    assert!(matches!(signer_from_jwk(&jwk.to_public()), Err(KeyError::NoPrivateKey)));
    assert_eq!(rsa::verify(jwk.owner(), &[8; 48], &signature), Err(KeyError::BadSignature));
}
