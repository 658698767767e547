//! Which node to talk to and which wallet to sign with: options, environment, the running testnet, in this order.
//!
//! Where it sits: flattened into every command that is a client of a node.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::Value;
use weft_protocol::{
    ans104::{Signer, signer_from_jwk},
    keys::Jwk,
};

use super::{
    client::Client,
    exit::{CliError, CliResult, Exit},
};

/// The first node of the development network, where AO tools expect a messenger.
pub const DEFAULT_NODE: &str = "http://127.0.0.1:4002";
/// Where `weft testnet up` keeps its network unless told otherwise.
pub const DEFAULT_TESTNET: &str = ".weft/testnet";
/// A wallet file is a few KiB; larger files are not read.
const MAX_KEY_FILE: u64 = 64 * 1024;

/// Options that say which node to talk to.
#[derive(Args, Clone, Debug)]
pub struct Connect {
    /// HTTP address of any node of the network [default: first node of the running testnet, else http://127.0.0.1:4002]
    #[arg(long, env = "WEFT_NODE", value_name = "URL", help_heading = "Connection", hide_env_values = true)]
    pub node: Option<String>,
    /// Folder of the testnet whose nodes and wallets are the defaults
    #[arg(long, env = "WEFT_TESTNET", hide_env_values = true, value_name = "DIR", default_value = DEFAULT_TESTNET, help_heading = "Connection")]
    pub testnet: PathBuf,
}

/// The option that says which key signs.
#[derive(Args, Clone, Debug)]
pub struct Wallet {
    /// Key file (JWK) to sign with [default: the testnet's wallet "alice"]
    #[arg(long, env = "WEFT_WALLET", value_name = "FILE", help_heading = "Connection", hide_env_values = true)]
    pub wallet: Option<PathBuf>,
}

impl Connect {
    /// A client of the chosen node.
    pub fn client(&self) -> CliResult<Client> {
        match &self.node {
            Some(url) => Client::new(url, "--node"),
            None => Client::new(&self.running_node()?.unwrap_or_else(|| DEFAULT_NODE.to_owned()), "--testnet"),
        }
    }

    /// The first node that runs, as the testnet's supervisor wrote it down.
    fn running_node(&self) -> CliResult<Option<String>> {
        let path = self.testnet.join("testnet.json");
        let wrong = |reason: String| {
            CliError::usage("--testnet", self.testnet.display(), format!("{}: {reason}", path.display()))
                .fix("name the testnet's folder with --testnet, or start over with `weft testnet up --reset`")
        };
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(wrong(format!("cannot read: {e}"))),
        };
        let state: Value = serde_json::from_str(&text).map_err(|e| wrong(format!("not what a testnet writes: {e}")))?;
        Ok(running_node(&state))
    }
}

impl Wallet {
    /// The signer of the chosen key file.
    pub fn signer(&self, connect: &Connect) -> CliResult<Box<dyn Signer>> {
        let path = match &self.wallet {
            Some(path) => path.clone(),
            None => Some(connect.testnet.join("wallets/alice.json")).filter(|p| p.exists()).ok_or_else(|| {
                CliError::new(Exit::Usage, "no wallet to sign with: no --wallet, no WEFT_WALLET, and no testnet in ".to_owned()
                    + &connect.testnet.display().to_string())
                    .fix("make one with `weft keys new --out wallet.json` and pass --wallet wallet.json, or start `weft testnet up`")
            })?,
        };
        let jwk = read_jwk(&path, "--wallet")?;
        signer_from_jwk(&jwk).map_err(|e| CliError::usage("--wallet", path.display(), e))
    }
}

/// Reads a key file; `field` names the option it came from.
pub fn read_jwk(path: &Path, field: &str) -> CliResult<Jwk> {
    let wrong = |reason: String| {
        CliError::usage(field, path.display(), reason).fix("name a JWK key file; `weft keys new --out FILE` makes one")
    };
    let size = fs::metadata(path).map_err(|e| wrong(format!("cannot read the key file: {e}")))?.len();
    if size > MAX_KEY_FILE {
        return Err(wrong(format!("{size} bytes is too large for a key file (at most {MAX_KEY_FILE})")));
    }
    let text = fs::read_to_string(path).map_err(|e| wrong(format!("cannot read the key file: {e}")))?;
    serde_json::from_str(&text).map_err(|e| wrong(format!("not a key file: {e}")))
}

/// The HTTP address of the first node of `testnet.json` that has a process id.
fn running_node(state: &Value) -> Option<String> {
    let processes = state.get("processes")?.as_array()?;
    let runs = |p: &&Value| {
        p.get("name").and_then(Value::as_str).is_some_and(|n| n.starts_with("node-"))
            && p.get("pid").is_some_and(Value::is_u64)
    };
    let port = processes.iter().find(runs)?.get("port")?.as_u64()?;
    Some(format!("http://127.0.0.1:{port}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_node_that_runs_is_the_default() {
        let process = |name: &str, pid: Value, port: u16| json!({ "name": name, "pid": pid, "port": port });
        let state = json!({ "processes": [process("arweave", json!(1), 4000), process("node-1", Value::Null, 4002), process("node-2", json!(3), 4010)] });
        assert_eq!(running_node(&state).as_deref(), Some("http://127.0.0.1:4010"));
        assert_eq!(running_node(&json!({ "processes": [] })), None);
        assert_eq!(running_node(&json!({})), None);
    }
}
