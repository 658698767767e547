//! Fixed Arweave wallets for development: ten named people, and those that pay for the nodes' anchoring.
//!
//! Their private keys are public (they are in this repository): never send anything of value to them. They are fixed because
//! making an RSA-4096 key takes seconds, and because scripts like stable addresses.

use weft_protocol::{Id, keys::Jwk};

/// What each wallet holds when a devnet starts: 1,000 AR in winston (10^12 winston make one AR).
pub const MINTED_WINSTON: u64 = 1_000_000_000_000_000;

macro_rules! wallets {
    ($($name:literal),* $(,)?) => { [$(($name, include_str!(concat!("../wallets/", $name, ".json")))),*] };
}

const PEOPLE: [(&str, &str); 10] =
    wallets!["alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy"];
const PAYERS: [(&str, &str); 8] =
    wallets!["node-1", "node-2", "node-3", "node-4", "node-5", "node-6", "node-7", "node-8"];

/// A wallet whose key file ships with Weft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wallet {
    /// Its name.
    pub name: &'static str,
    /// Its Arweave address.
    pub address: Id,
    /// Its key file: an RSA JWK, private part included.
    pub jwk: &'static str,
}

impl Wallet {
    /// `None` if the file is no JWK: a test makes sure that all are.
    fn new((name, jwk): (&'static str, &'static str)) -> Option<Self> {
        let key: Jwk = serde_json::from_str(jwk).ok()?;
        Some(Self { name, address: key.address(), jwk })
    }
}

/// The ten wallets for people, alice to judy.
pub fn development_wallets() -> Vec<Wallet> {
    PEOPLE.into_iter().filter_map(Wallet::new).collect()
}

/// The wallets that pay for nodes.
pub(crate) fn payers() -> Vec<Wallet> {
    PAYERS.into_iter().filter_map(Wallet::new).collect()
}

/// The key file of the wallet that pays for node `index` (from 0); nodes beyond the eighth share.
pub(crate) fn payer_of(index: usize) -> &'static str {
    PAYERS.iter().cycle().nth(index % PAYERS.len()).map_or("", |(_, jwk)| jwk)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

    use weft_protocol::ans104::RsaSigner;

    use super::*;

    #[test]
    fn every_wallet_is_whole_and_different() {
        let all: Vec<_> = development_wallets().into_iter().chain(payers()).collect();
        assert_eq!(all.len(), 18);
        let addresses: std::collections::BTreeSet<_> = all.iter().map(|wallet| wallet.address).collect();
        assert_eq!(addresses.len(), 18);
        for wallet in all {
            let key: Jwk = serde_json::from_str(wallet.jwk).unwrap();
            assert_eq!(key.owner().len(), 512);
            RsaSigner::from_jwk(&key).unwrap();
        }
        assert_eq!(payer_of(8), payer_of(0));
    }
}
