//! The HTTP doors over a scripted node: every route's shape, the real client, and everything a hostile one may send.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod aoconnect;
mod bad_input;
mod bounds;
mod fake;
mod gateway;
mod mainnet;
mod messenger;
#[path = "../support/npm.rs"]
mod npm;
mod paging;
mod replay;
mod shapes;
