#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use super::*;
use crate::ans104::{EthereumSigner, Signer as _};

/// The examples of EIP-55.
#[test]
fn ethereum_addresses_carry_their_checksum() {
    for text in [
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
        "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
    ] {
        let address: [u8; 20] = hex::decode(&text[2..]).unwrap().try_into().unwrap();
        assert_eq!(checksummed(&address), text);
    }
}

#[test]
fn a_signer_is_shown_by_its_native_address_only_when_ethereum() {
    let keys = include_str!("../../../tests/vectors/arweave/keys.json");
    let keys: serde_json::Value = serde_json::from_str(keys).unwrap();
    let key = hex::decode(keys["secp256k1"]["private_hex"].as_str().unwrap()).unwrap();
    let signer = EthereumSigner::from_bytes(&key.try_into().unwrap()).unwrap();
    let address = signer.signer_address();
    assert_eq!(address.to_lowercase(), keys["secp256k1"]["eth_address"].as_str().unwrap());
    assert_eq!(eth_address(&signer.owner()[1..]), None);
    assert_eq!(eth_address(&[0; 32]), None);
    assert!(EthereumSigner::from_bytes(&[0; 32]).is_err());
    assert!(EthereumSigner::from_bytes(&[0xff; 32]).is_err());
}

#[test]
fn numbers_and_types_agree() {
    let known: Vec<u16> = (0..=u16::MAX).filter(|number| SignatureType::from_number(*number).is_some()).collect();
    assert_eq!(known, [1, 2, 3, 4, 5, 6, 7, 101]);
    for number in known {
        let kind = SignatureType::from_number(number).unwrap();
        assert_eq!(kind.number(), number);
        assert_eq!(kind.is_accepted(), number <= 4);
        assert!(kind.to_string().starts_with(&number.to_string()));
    }
}
