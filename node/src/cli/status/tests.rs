#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use serde_json::json;

use super::*;

#[test]
fn who_is_missing_is_named() {
    let member = |name: &str, connected: bool| json!({ "name": name, "connected": connected });
    let status = |connected| {
        json!({
            "mesh": { "peers": [{}, {}] },
            "network": { "members": [member("node-1", true), member("node-2", connected)] },
        })
    };
    assert_eq!(peers(&status(true)), "2");
    assert_eq!(peers(&status(false)), "2; not connected: node-2");
}

#[test]
fn anchoring_says_money_in_ar_and_trouble_on_its_own_line() {
    let well = json!({ "waiting": 1, "posted": 2, "confirmed": 3, "reposted": 0, "balance": "999998778850360", "trouble": null });
    let lines = anchoring(&well);
    assert_eq!(lines[0], ("anchoring", "items 1 waiting, 2 posted, 3 confirmed".to_owned()));
    assert_eq!(lines[1], ("wallet", "999.998778 AR".to_owned()));
    assert_eq!(lines.len(), 2);
    assert_eq!(anchoring(&json!({ "trouble": "no funds" }))[1], ("TROUBLE", "anchoring: no funds".to_owned()));
    assert_eq!(anchoring(&json!({ "off": "no wallet" })), [("anchoring", "off: no wallet".to_owned())]);
}

#[test]
fn addresses_are_shown_without_the_peer_id() {
    assert_eq!(without_peer("/ip4/127.0.0.1/tcp/9100/p2p/12D3KooW"), "/ip4/127.0.0.1/tcp/9100");
    assert_eq!(without_peer("/ip4/127.0.0.1/tcp/9100"), "/ip4/127.0.0.1/tcp/9100");
}

#[test]
fn compute_says_what_processes_take() {
    let mut work = json!({
        "attested_since_start": 7, "live_processes": 2, "live_bytes": 3 << 20, "live_bytes_limit": 8_u64 << 30,
        "parked_processes": 5, "parked_bytes": 1 << 20, "evaluations_waiting": 1, "evicted_since_start": 0,
    });
    let line = compute(&work);
    assert!(
        line.starts_with("7 attested since start; processes 2 live in 3.0 MiB of 8.0 GiB, 5 parked in 1.0 MiB; 1 "),
        "{line}"
    );
    assert!(!line.contains("forgotten"));
    work["evicted_since_start"] = json!(4);
    assert!(compute(&work).contains("4 forgotten for want of room"));
}
