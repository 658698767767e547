//! What all Weft nodes must agree on. Pure: no clock, no socket, no disk, no thread, no async.
//!
//! Where it sits: below everything. `storage`, `node` and `testnet` depend on it; it depends on no part of Weft.
//!
//! A message's way through these modules: a signed item ([`ans104`]) is given a slot ([`assignment`]) by the scheduler the
//! network elects ([`network`], [`election`]); a module is shown it ([`message`]), and what comes out ([`outcome`]) is
//! signed ([`attestation`]) by a provider chosen on the [`market`]; its outbox goes out with proofs ([`crank`]). Messages that
//! a process's own tags ask for are made by [`cron`].

pub mod anchor;
pub mod ans104;
pub mod arweave;
pub mod assignment;
pub mod attestation;
pub mod b64;
pub mod canonical;
pub mod cast;
pub mod checkpoint;
pub mod crank;
pub mod cron;
pub mod election;
pub mod id;
pub mod keys;
pub mod limits;
pub mod market;
pub mod merkle;
pub mod message;
pub mod network;
pub mod outcome;
pub mod reads;
pub mod refusal;
pub mod settlement;
pub mod terms;
pub mod wire;

pub use id::Id;
pub use keys::{Jwk, NodeKey};
pub use network::Network;
