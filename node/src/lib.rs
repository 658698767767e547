//! The Weft node: network, scheduler, compute, messenger, market, anchor, HTTP and command line.
//!
//! Where it sits: above `weft-protocol` (what all nodes agree on) and `weft-storage` (what a node must not lose); it
//! performs the effects that the protocol's pure rules ask for.

pub mod activity;
pub mod anchor;
pub mod api;
pub mod assigned;
pub mod bounds;
pub mod cli;
pub mod clock;
pub mod compute;
pub mod config;
pub mod directory;
pub mod door;
pub mod feeder;
pub mod http;
pub mod inbound;
pub mod intake;
pub mod market;
pub mod messenger;
pub mod network;
pub mod node;
pub mod peers;
pub mod scheduler;
pub mod verified;
