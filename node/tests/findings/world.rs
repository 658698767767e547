//! A network with the example's counter published, and a client's few steps with it.

use std::fs;

use serde_json::{Value, json};
use weft_protocol::{
    Id,
    ans104::{DataItem, Ed25519Signer, ItemBuilder},
};

use crate::{http::Http, modules::COUNTER, testnet::Testnet};

/// Who owns every process and sends every message.
pub fn user() -> Ed25519Signer {
    Ed25519Signer::from_seed([77; 32])
}

/// Nodes, a client and a published module.
pub struct World {
    pub net: Testnet,
    pub http: Http,
    pub module: Id,
}

impl World {
    /// A fresh network of so many nodes.
    pub fn start(nodes: usize) -> Self {
        let (net, http) = (Testnet::start(nodes), Http::new());
        http.meshed(&net.doors());
        let mut item = ItemBuilder::new();
        for (name, value) in [
            ("Data-Protocol", "ao"),
            ("Variant", "ao.TN.1"),
            ("Type", "Module"),
            ("Module-Format", "wasm32-unknown-unknown"),
            ("Input-Encoding", "JSON-1"),
            ("Output-Encoding", "JSON-1"),
        ] {
            item = item.tag(name, value);
        }
        let item = item.data(COUNTER.to_vec()).sign(&user()).unwrap();
        http.post(&format!("{}/tx", net.gateway()), item.raw().to_vec()).ok();
        Self { net, http, module: item.id() }
    }

    /// A process that the network elects a scheduler for.
    pub fn process(&self, name: &str) -> Id {
        self.process_with(&[("Scheduler", &self.net.address()), ("Name", name)])
    }

    /// A process with these tags beside those that every process has.
    pub fn process_with(&self, tags: &[(&str, &str)]) -> Id {
        let item = ItemBuilder::new()
            .tag("Data-Protocol", "ao")
            .tag("Variant", "ao.TN.1")
            .tag("Type", "Process")
            .tag("Module", self.module.to_string());
        let item = tags.iter().fold(item, |item, (name, value)| item.tag(*name, *value));
        let item = item.data(b" ".to_vec()).sign(&user()).unwrap();
        self.post(&item);
        item.id()
    }

    /// A message that has a slot.
    pub fn send(&self, process: Id, action: &str, data: &[u8]) -> DataItem {
        let item = self.message(process, action, data);
        self.post(&item);
        item
    }

    /// A message, signed and not sent. Equal ones have equal ids: give each its own data.
    pub fn message(&self, process: Id, action: &str, data: &[u8]) -> DataItem {
        ItemBuilder::new()
            .target(process)
            .tag("Data-Protocol", "ao")
            .tag("Variant", "ao.TN.1")
            .tag("Type", "Message")
            .tag("Action", action)
            .data(data.to_vec())
            .sign(&user())
            .unwrap()
    }

    /// Posts an item to the first node, as a client of the messenger does.
    pub fn post(&self, item: &DataItem) -> Value {
        let answer = self.http.post(&self.net.door(0), item.raw().to_vec());
        assert_eq!(answer.status, 202, "{}", answer.text());
        answer.json()
    }

    /// The JSON at `path` of node `at`.
    pub fn get(&self, at: usize, path: &str) -> Value {
        self.http.get(&format!("{}{path}", self.net.door(at))).ok().json()
    }

    /// Status and reason of a refusal.
    pub fn refused(&self, path: &str) -> (u16, String) {
        let answer = self.http.get(&format!("{}{path}", self.net.door(0)));
        (answer.status, answer.reason())
    }

    /// The result of a message, asked of node `at`.
    pub fn result(&self, at: usize, process: Id, message: Id) -> Value {
        self.get(at, &format!("/result/{message}?process-id={process}"))
    }

    /// What a counter would say to a message now, or after message `to`.
    pub fn dry_run(&self, process: Id, action: &str, to: Option<Id>) -> Value {
        let to = to.map(|to| format!("&to={to}")).unwrap_or_default();
        let url = format!("{}/dry-run?process-id={process}{to}", self.net.door(1 % self.net.nodes()));
        let message = json!({ "Owner": "1234", "Data": "1234", "Tags": [{ "name": "Action", "value": action }] });
        self.http.post_json(&url, &message).ok().json()
    }

    /// A process's log, as AO's scheduler shows it.
    pub fn log(&self, at: usize, process: Id) -> Vec<Value> {
        let page = self.get(at, &format!("/{process}?process-id={process}&limit=1000"));
        assert_eq!(page["page_info"]["has_next_page"], false);
        page["edges"].as_array().unwrap().clone()
    }

    /// Over which slots the first node has replayed logs, in order, as its log says.
    pub fn replays(&self) -> Vec<String> {
        let log = fs::read_to_string(self.net.dir().join("node-1/log")).unwrap();
        let lines = log.lines().filter(|line| line.contains("replaying the log"));
        let range = |line: &str| {
            line.split(' ')
                .filter(|word| word.starts_with("from=") || word.starts_with("to="))
                .collect::<Vec<_>>()
                .join(" ")
        };
        lines.map(range).collect()
    }

    /// Ends the network and sees that it ended well.
    pub fn stop(mut self) {
        let folder = self.net.dir().to_path_buf();
        self.net.stop();
        assert!(fs::exists(folder).unwrap());
    }
}
