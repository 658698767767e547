//! The Weft node: network, scheduler, compute, messenger, market, anchor, HTTP and command line.
//!
//! Where it sits: above `weft-protocol` (what all nodes agree on) and `weft-storage` (what a node must not lose); it
//! performs the effects that the protocol's pure rules ask for.

pub mod anchor;
pub mod cli;
pub mod compute;
pub mod config;
pub mod door;
pub mod http;
pub mod market;
pub mod network;
