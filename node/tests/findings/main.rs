//! What the reference units get wrong and what their users report, one test each: the tables of `node/docs/ao.md`.
//!
//! A test is named after its row: `f05_…`, `r02_…`. Rows whose test fits better elsewhere name it in the table.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod documented;
mod engine;
#[path = "../support/http.rs"]
mod http;
mod locator;
mod messenger;
#[path = "../support/modules.rs"]
mod modules;
#[path = "../support/npm.rs"]
mod npm;
mod scheduler;
#[path = "../support/testnet.rs"]
mod testnet;
mod units;
mod world;
