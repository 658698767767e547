//! The devnet serves the real arweave-js and arbundles, and what they sent verifies here.
//!
//! Needs Node.js and npm; the packages are installed once into the target folder.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Command,
};

use common::{config, keys_path, start};
use serde_json::Value;
use weft_protocol::Id;
use weft_storage::arweave::{devnet::DevnetConfig, gateway::Kind};

/// axios: arbundles requires it without saying so.
const PACKAGES: [&str; 3] = ["arweave@1.15.7", "@dha-team/arbundles@1.0.4", "axios@1.7.9"];

/// The folder with the packages, installed once for all test runs.
fn packages() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("npm").join("arweave");
    std::fs::create_dir_all(&folder).unwrap();
    let lock = File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    let done = folder.join("installed");
    if std::fs::read_to_string(&done).is_ok_and(|text| text == PACKAGES.join(" ")) {
        return folder;
    }
    std::fs::write(folder.join("package.json"), r#"{"private":true,"type":"commonjs"}"#).unwrap();
    let mut npm = Command::new("npm");
    npm.args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"])
        .args(PACKAGES)
        .current_dir(&folder);
    let output = npm.output().expect("npm is needed for this test: install Node.js");
    assert!(output.status.success(), "npm install: {}", String::from_utf8_lossy(&output.stderr));
    std::fs::write(done, PACKAGES.join(" ")).unwrap();
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn arweave_js_and_arbundles_are_at_home() {
    let packages = tokio::task::spawn_blocking(packages).await.unwrap();
    let (devnet, gateway) = start(DevnetConfig { mint: Vec::new(), ..config() }).await;
    let mut node = Command::new("node");
    node.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients.mjs")).arg(&devnet.urls()[0]).arg(keys_path());
    node.env("WEFT_NPM", packages);
    let output = tokio::task::spawn_blocking(move || node.output().unwrap()).await.unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    let last: Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    let fetched = async |value: &Value| gateway.fetch(&value.as_str().unwrap().parse::<Id>().unwrap()).await.unwrap();
    assert_eq!(fetched(&last["small"]).await.kind, Kind::Transaction);
    assert_eq!(fetched(&last["chunked"]).await.data.len(), 900 << 10);
    assert_eq!(fetched(&last["items"][0]).await.data.as_ref(), b"item one");
    assert_eq!(fetched(&last["items"][1]).await.data.as_ref(), b"item two");
    assert_eq!(fetched(&last["upload"]).await.tag("Type"), Some("Module"));
    devnet.shutdown().await;
}
