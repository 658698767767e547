//! The testnet as a whole, through the binary: it comes up, says so in one document, ends without leaving anything, and
//! resumes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "support/testnet.rs"]
mod testnet;

use serde_json::Value;
use testnet::Testnet;

#[test]
fn it_comes_up_ends_and_resumes() {
    let mut net = Testnet::start(2);
    let (id, address) = (net.plan["id"].clone(), net.address());
    assert_eq!(net.nodes(), 2);
    let status = net.testnet_command(&["status", "--json"]);
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    let processes = status["processes"].as_array().unwrap();
    assert_eq!(processes.len(), 3);
    assert!(processes.iter().all(|process| process["ready"] == true), "{status:#}");
    net.stop();
    net.resume();
    assert_eq!((&net.plan["id"], net.address()), (&id, address));
    net.kill_all();
    net.resume();
    net.stop();
}
