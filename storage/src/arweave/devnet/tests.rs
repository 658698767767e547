//! Fees and anchors as Arweave has them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use super::chain::{Block, anchor, fee, is_recent};

#[test]
fn fees_are_those_of_the_formula() {
    let ar = |winston: u128| winston as f64 / 1e12;
    assert!((ar(fee(1, false)) - 0.000_185).abs() < 1e-6);
    assert_eq!(fee(1, false), fee(256 << 10, false), "whole chunks are paid");
    assert!((ar(fee(257 << 10, false)) - 0.000_368).abs() < 1e-6);
    assert!((ar(fee(1 << 30, false)) - 0.748_7).abs() < 1e-4);
    assert!((ar(fee(0, false)) - 0.000_002_2).abs() < 1e-7);
    assert!(fee(0, true) > fee(0, false) * 1000, "a new wallet costs more");
}

#[test]
fn anchors_are_six_deep_and_live_fifty_blocks() {
    let mut blocks = vec![Block::above(None, 1, vec![], 0)];
    for _ in 0..60 {
        let block = Block::above(blocks.last(), 1, vec![], 0);
        blocks.push(block);
    }
    assert_eq!(blocks[0].hash.len(), 64);
    assert_eq!(anchor(&blocks), blocks[55].hash);
    assert!(is_recent(&blocks, &blocks[11].hash) && !is_recent(&blocks, &blocks[10].hash));
}
