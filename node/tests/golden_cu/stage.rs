//! The capture's process on a network of our own, and the capture's requests to it.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use weft_protocol::{
    Id,
    ans104::{DataItem, ItemBuilder, RsaSigner, Signer as _},
};

use crate::{http::Http, modules, testnet::Testnet, text};

/// What the capture's process spawns a child of, here. The capture had no messenger: a child that comes to life would send
/// its parent a notice that the capture does not have.
const NO_MODULE: &str = "-no-module-that-could-be-spawned-by-anyone!";

/// A network that has been sent the capture's schedule, all but its last message.
pub struct Stage {
    net: Testnet,
    http: Http,
    signers: BTreeMap<&'static str, RsaSigner>,
    /// The capture.
    pub golden: Value,
    /// Ids and addresses, the capture's and ours, by what they stand for.
    pub names: BTreeMap<String, String>,
    /// The capture's ids of process, messages and assignments, and ours.
    ids: BTreeMap<String, String>,
    /// The slot and the time here of each nonce of the capture.
    slots: BTreeMap<u64, (u64, u64)>,
    process: Id,
}

/// An answer of ours.
pub struct Reply {
    pub status: u16,
    pub body: Value,
    pub headers: BTreeMap<String, String>,
}

fn pairs(tags: &Value) -> impl Iterator<Item = (&str, &str)> {
    tags.as_array().unwrap().iter().map(|tag| (text(&tag[0]), text(&tag[1])))
}

impl Stage {
    /// Starts the network and sends the schedule.
    pub fn build() -> Self {
        let net = Testnet::start(3);
        let golden: Value = serde_json::from_str(include_str!("../vectors/ao-cu.json")).unwrap();
        let signers: BTreeMap<_, _> = [("user", "alice"), ("other", "bob"), ("mu", "carol")]
            .map(|(who, wallet)| (who, net.signer(wallet)))
            .into();
        let mut stage = Self {
            net,
            http: Http::new(),
            signers,
            golden,
            names: BTreeMap::new(),
            ids: BTreeMap::new(),
            slots: BTreeMap::new(),
            process: Id::default(),
        };
        for (who, signer) in &stage.signers {
            let name = format!("<{who}>");
            stage.names.insert(text(&stage.golden["addresses"][who]).to_owned(), name.clone());
            stage.names.insert(signer_address(signer), name);
        }
        stage.http.meshed(&stage.net.doors());
        stage.spawn();
        let schedule = stage.golden["schedule"].as_array().unwrap().clone();
        let (_, schedule) = schedule.split_last().unwrap();
        let tx = stage.publish_tx();
        for entry in &schedule[1..] {
            let id = match entry.get("assigned") {
                Some(_) => stage.assign(&tx, &list(&entry["exclude"])),
                None => stage.send(entry),
            };
            stage.known(entry, &id);
        }
        stage.read_log(schedule);
        stage
    }

    /// The module and the process.
    fn spawn(&mut self) {
        let mut item = ItemBuilder::new();
        for (name, value) in [
            ("Data-Protocol", "ao"),
            ("Variant", "ao.TN.1"),
            ("Type", "Module"),
            ("Module-Format", "wasm64-unknown-emscripten-draft_2024_02_15"),
            ("Input-Encoding", "JSON-1"),
            ("Output-Encoding", "JSON-1"),
        ] {
            item = item.tag(name, value);
        }
        let module = item.data(modules::ao_module("aos2_0_6.wasm")).sign(&self.signers["user"]).unwrap();
        self.http.post(&format!("{}/tx", self.net.gateway()), module.raw().to_vec()).ok();
        let first = self.golden["schedule"][0].clone();
        self.names.insert(self.golden_module(), "<module>".to_owned());
        self.names.insert(NO_MODULE.to_owned(), "<module>".to_owned());
        self.names.insert(module.id().to_string(), "<module>".to_owned());
        let mut item = ItemBuilder::new();
        for (name, value) in pairs(&first["tags"]) {
            let value = match name {
                "Module" => module.id().to_string(),
                "Scheduler" => self.net.address(),
                "Authority" => signer_address(&self.signers["mu"]),
                _ => value.to_owned(),
            };
            item = item.tag(name, value);
        }
        let item = item.data(text(&first["data"]).as_bytes().to_vec()).sign(&self.signers["user"]).unwrap();
        self.http.post(&self.net.door(0), item.raw().to_vec()).ok();
        self.process = item.id();
        self.names.insert(text(&self.golden["process"]).to_owned(), "<process>".to_owned());
        self.names.insert(item.id().to_string(), "<process>".to_owned());
        self.known(&first, &item.id().to_string());
    }

    fn golden_module(&self) -> String {
        let tags = &self.golden["schedule"][0]["tags"];
        pairs(tags).find(|(name, _)| *name == "Module").unwrap().1.to_owned()
    }

    /// Remembers what an entry of the capture is called here.
    fn known(&mut self, entry: &Value, id: &str) {
        if let Some(golden) = entry["id"].as_str() {
            self.ids.insert(golden.to_owned(), id.to_owned());
        }
    }

    /// The item that the capture assigns.
    fn publish_tx(&mut self) -> String {
        let data = text(&self.golden["assigned"]["data"]).to_owned();
        let id = self.post_tx(data.as_bytes());
        let golden = text(&self.golden["assigned"]["id"]).to_owned();
        self.names.insert(golden.clone(), "<assigned>".to_owned());
        self.names.insert(id.clone(), "<assigned>".to_owned());
        self.ids.insert(golden, id.clone());
        id
    }

    /// An item as the assigned one, with this data.
    pub fn post_tx(&self, data: &[u8]) -> String {
        let assigned = &self.golden["assigned"];
        let mut item = ItemBuilder::new().target(self.signers["user"].address());
        for (name, value) in pairs(&assigned["tags"]) {
            item = item.tag(name, value);
        }
        let item = item.data(data.to_vec()).sign(&self.signers[text(&assigned["by"])]).unwrap();
        self.http.post(&format!("{}/tx", self.net.gateway()), item.raw().to_vec()).ok();
        item.id().to_string()
    }

    /// Sends a message of the capture, signed by whoever stands for its sender; its id here.
    pub fn send(&self, entry: &Value) -> String {
        let mut item = ItemBuilder::new().target(self.process);
        if let Some(anchor) = entry["anchor"].as_str() {
            item = item.anchor(anchor.as_bytes().try_into().unwrap());
        }
        for (name, value) in pairs(&entry["tags"]) {
            item = item.tag(name, value);
        }
        let data = text(&entry["data"]).replace(&self.golden_module(), NO_MODULE);
        let item: DataItem = item.data(data.into_bytes()).sign(&self.signers[text(&entry["by"])]).unwrap();
        self.http.post(&self.net.door(0), item.raw().to_vec()).ok();
        item.id().to_string()
    }

    /// Has an item assigned; the assignment's id.
    pub fn assign(&self, tx: &str, exclude: &str) -> String {
        let url = format!("{}/?process-id={}&assign={tx}&exclude={exclude}", self.net.door(0), self.process);
        text(&self.http.post(&url, []).ok().json()["id"]).to_owned()
    }

    /// Where each nonce of the capture stands here, and its assignment's id. The second assignment of an item is the first.
    fn read_log(&mut self, schedule: &[Value]) {
        let url = format!("{}/{p}?process-id={p}&limit=1000", self.net.door(1), p = self.process);
        let log = self.http.get(&url).ok().json();
        let edges = log["edges"].as_array().unwrap();
        assert_eq!(edges.len() + 1, schedule.len(), "one entry of the capture is a second assignment");
        let mut slot = 0;
        for entry in schedule {
            let again = entry["assigned"].is_string() && entry["nonce"] != 17;
            let at = if again { 17 } else { slot };
            let edge = &edges[at];
            let time = text(&edge["cursor"]).parse().unwrap();
            self.slots.insert(entry["nonce"].as_u64().unwrap(), (at as u64, time));
            let ours = text(&edge["node"]["assignment"]["id"]).to_owned();
            self.ids.insert(text(&entry["assignment"]).to_owned(), ours);
            slot += usize::from(!again);
        }
    }

    /// The result of a message or assignment of ours.
    pub fn result(&self, id: &str) -> Value {
        self.http.get(&format!("{}/result/{id}?process-id={}", self.net.door(2), self.process)).ok().json()
    }

    /// The result of what stands at this nonce of the capture.
    pub fn result_of_nonce(&self, nonce: usize) -> Value {
        let assignment = text(&self.golden["schedule"][nonce]["assignment"]);
        self.result(&self.ids[assignment])
    }

    /// The captured response with this note.
    pub fn responses(&self, note: &str) -> &Value {
        let all = self.golden["responses"].as_array().unwrap();
        all.iter().find(|response| response["note"] == note).unwrap()
    }

    /// Asks what the capture asked, in our terms.
    pub fn ask(&self, wanted: &Value) -> Reply {
        let url = format!("{}{}", self.net.door(1), self.ours(text(&wanted["path"])));
        let answer = match text(&wanted["method"]) {
            "POST" => {
                let body = wanted.get("request").cloned().unwrap_or_else(|| json!({ "Tags": [] })).to_string();
                self.http.post_json(&url, &serde_json::from_str(&self.renamed(&body)).unwrap())
            }
            _ => self.http.get(&url),
        };
        let memory = answer.content_type == "application/octet-stream";
        let body = if memory { json!({ "octets": answer.body.len() }) } else { answer.json() };
        Reply { status: answer.status, body, headers: answer.headers.clone() }
    }

    /// A path of the capture with our ids, times and cursors.
    fn ours(&self, path: &str) -> String {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let part = |pair: &str| match pair.split_once('=') {
            Some((name @ ("from" | "to"), value)) => format!("{name}={}", self.place(value)),
            _ => pair.to_owned(),
        };
        let query: Vec<String> = query.split('&').map(part).collect();
        self.renamed(&format!("{path}?{}", query.join("&")))
    }

    /// A cursor or a time.
    fn place(&self, value: &str) -> String {
        let plain = value.replace("%3D", "=");
        if let Ok(time) = plain.parse::<u64>() {
            return self.time(time).to_string();
        }
        let mut cursor: Value = serde_json::from_slice(&STANDARD.decode(plain).unwrap()).unwrap();
        let (slot, time) = self.slots[&text(&cursor["ordinate"]).parse().unwrap()];
        cursor["ordinate"] = slot.to_string().into();
        cursor["timestamp"] = time.into();
        STANDARD.encode(cursor.to_string())
    }

    /// When the entry that the capture has at `time` was ordered here.
    fn time(&self, time: u64) -> u64 {
        let schedule = self.golden["schedule"].as_array().unwrap();
        let entry = schedule.iter().find(|entry| entry["timestamp"] == time).unwrap();
        self.slots[&entry["nonce"].as_u64().unwrap()].1
    }

    fn renamed(&self, text: &str) -> String {
        let addresses = self.golden["addresses"].as_object().unwrap();
        let ids = self.ids.iter().fold(text.to_owned(), |text, (golden, ours)| text.replace(golden, ours));
        addresses.iter().fold(ids, |text, (who, golden)| match self.signers.get(who.as_str()) {
            Some(signer) => text.replace(golden.as_str().unwrap(), &signer_address(signer)),
            None => text,
        })
    }

    /// A cursor as what it says, slot and time by the capture's names; `None` for text that is none.
    pub fn cursor(&self, text: &str, is_golden: bool) -> Option<Value> {
        let mut cursor: Value = serde_json::from_slice(&STANDARD.decode(text).ok()?).ok()?;
        let number = |value: &Value| value.as_str().and_then(|text| text.parse::<u64>().ok());
        if is_golden {
            let (slot, time) = self.slots[&number(&cursor["ordinate"]).unwrap()];
            assert_eq!(self.time(cursor["timestamp"].as_u64().unwrap()), time, "the capture's own cursor");
            cursor["ordinate"] = slot.to_string().into();
            cursor["timestamp"] = time.into();
        }
        Some(cursor)
    }

    /// What `20-clock-random` prints: the message's time, two numbers, and a clock that stands still.
    pub fn is_clock_and_random(&self, shown: &str) -> bool {
        let line = shown.split('"').nth(1).unwrap_or(shown);
        let parts: Vec<&str> = line.split(' ').collect();
        let small = |text: &str| text.parse::<u64>().is_ok_and(|number| (1..=1_000_000).contains(&number));
        parts.len() == 4
            && parts[0] == self.slots[&20].1.to_string()
            && small(parts[1])
            && small(parts[2])
            && parts[3] == "0.0"
    }

    /// The headers of a state, by the capture's names.
    pub fn state_headers(&self, golden: &Value) -> BTreeMap<String, String> {
        let (slot, time) = self.slots[&text(&golden["last-ordinate"]).parse().unwrap()];
        [("last-ordinate", slot), ("last-timestamp", time)]
            .map(|(name, value)| (name.to_owned(), value.to_string()))
            .into()
    }

    /// Ends the network.
    pub fn stop(mut self) {
        self.net.stop();
    }
}

fn list(names: &Value) -> String {
    names.as_array().unwrap().iter().map(text).collect::<Vec<_>>().join(",")
}

fn signer_address(signer: &RsaSigner) -> String {
    signer.address().to_string()
}
