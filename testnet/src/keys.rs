//! Node keys that follow from the seed.
//!
//! secret of node k = SHA-256(`"weft/testnet/node/v1"` ‖ 0 ‖ seed ‖ 0 ‖ k as 4 bytes, big endian). Whoever knows the seed knows
//! the keys: good for development, and for nothing else.

use weft_protocol::{Id, NodeKey, ans104::Ed25519Signer, keys::Jwk};

const DOMAIN: &[u8] = b"weft/testnet/node/v1\0";
const BASE58: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

/// One node's key pair: 32 bytes it follows from.
pub(crate) struct NodeSecret([u8; 32]);

impl NodeSecret {
    /// The key pair of node `number` (from 1) under `seed`.
    pub fn derive(seed: &str, number: u32) -> Self {
        let mut input = DOMAIN.to_vec();
        input.extend_from_slice(seed.as_bytes());
        input.push(0);
        input.extend_from_slice(&number.to_be_bytes());
        Self(*Id::sha256(&input).as_bytes())
    }

    /// The public key.
    pub fn key(&self) -> NodeKey {
        Ed25519Signer::from_seed(self.0).key()
    }

    /// The key file: an OKP JWK.
    pub fn jwk(&self) -> serde_json::Result<String> {
        serde_json::to_string(&Jwk::ed25519(self.0))
    }
}

/// The libp2p peer id of `key`: base58 of an identity multihash over the key's protobuf form.
pub(crate) fn peer_id(key: &NodeKey) -> String {
    let mut bytes = vec![0x00, 0x24, 0x08, 0x01, 0x12, 0x20];
    bytes.extend_from_slice(key.as_bytes());
    base58(&bytes)
}

fn base58(bytes: &[u8]) -> String {
    // Little-endian digits of the number, built byte by byte: 38 bytes here, so the quadratic cost does not matter.
    let mut digits: Vec<u32> = Vec::new();
    for byte in bytes {
        let mut carry = u32::from(*byte);
        for digit in &mut digits {
            carry += *digit << 8;
            *digit = carry % 58;
            carry /= 58;
        }
        while carry > 0 {
            digits.push(carry % 58);
            carry /= 58;
        }
    }
    let zeros = bytes.iter().take_while(|byte| **byte == 0).map(|_| 0);
    let letters = zeros.chain(digits.into_iter().rev());
    letters.filter_map(|digit| BASE58.get(digit as usize)).map(|letter| char::from(*letter)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

    use super::*;

    #[test]
    fn base58_matches_known_values() {
        assert_eq!(base58(b"Hello World!"), "2NEpo7TZRRrLZSi2U");
        assert_eq!(base58(&[0, 0, 0x28, 0x7f, 0xb4, 0xcd]), "11233QC4");
        assert_eq!(base58(&[]), "");
    }

    #[test]
    fn a_peer_id_is_that_of_libp2p() {
        // What the libp2p crate of the node makes of this key.
        let key = "1ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e";
        let bytes: Vec<u8> = (0..32).map(|at| u8::from_str_radix(&key[at * 2..at * 2 + 2], 16).unwrap()).collect();
        let id = peer_id(&NodeKey::from_slice(&bytes).unwrap());
        assert_eq!(id, "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq");
    }

    #[test]
    fn keys_follow_from_seed_and_number() {
        let key = |seed, number| NodeSecret::derive(seed, number).key();
        assert_eq!(key("weft", 1), key("weft", 1));
        assert_ne!(key("weft", 1), key("weft", 2));
        assert_ne!(key("weft", 1), key("other", 1));
        let jwk: Jwk = serde_json::from_str(&NodeSecret::derive("weft", 1).jwk().unwrap()).unwrap();
        assert_eq!(jwk.node_key().unwrap(), key("weft", 1));
        jwk.ed25519_seed().unwrap();
    }
}
