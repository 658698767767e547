//! A node of one's own: logs in memory, outcomes by a fixed script, and a server over it.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use weft_node::{
    door::*,
    http::{self, Server},
    messenger::{PushEnd, Pushed},
};
use weft_protocol::{
    Id,
    ans104::{DataItem, Ed25519Signer, ItemBuilder, Profile},
    cron::TickId,
};

/// Where the fake's time starts; every slot takes a second.
pub const START: u64 = 1_735_689_600_000;
/// The fake network's item bound.
pub const MAX_ITEM: usize = 1 << 20;

/// Message actions the script knows.
pub mod action {
    /// Fails with an `Error`.
    pub const FAIL: &str = "Fail";
    /// Sends two messages.
    pub const SEND: &str = "Send";
    /// Is never evaluated.
    pub const NEVER: &str = "Never";
    /// Waits as long as the caller does.
    pub const HANG: &str = "Hang";
}

#[derive(Default)]
struct Process {
    item: Bytes,
    entries: Vec<Entry>,
    /// Message id, assignment id and timestamp by slot.
    names: Vec<(Id, Id, u64)>,
    results: Vec<Option<Value>>,
}

#[derive(Default)]
struct Inner {
    processes: BTreeMap<Id, Process>,
    stored: BTreeMap<Id, Stored>,
    activity: Vec<Activity>,
    not_ready: Vec<String>,
    /// What `wait` the last `result` was given.
    waited: Option<Duration>,
    /// Up to which slot and for how long the last `settled` waited.
    settled: Option<(u64, Duration)>,
    graphql: Vec<Value>,
    market: Option<Value>,
}

/// The scripted node.
#[derive(Clone)]
pub struct Fake {
    inner: Arc<Mutex<Inner>>,
    key: Arc<Ed25519Signer>,
}

fn missing(what: &str, id: Id) -> DoorError {
    DoorError::new(ErrorKind::NotFound, format!("{what} {id} is not known here"))
}

/// The tick that an item claims to be; the script believes it.
fn tick_of(entry: &Entry) -> Option<TickId> {
    DataItem::parse(entry.item.clone(), Profile::History).ok()?.tag("Weft-Cron")?.parse().ok()
}

impl Fake {
    pub fn new() -> Self {
        Self { inner: Arc::default(), key: Arc::new(Ed25519Signer::from_seed([7; 32])) }
    }

    pub fn address(&self) -> Id {
        self.key.key().address()
    }

    pub fn set_not_ready(&self, reasons: &[&str]) {
        self.inner.lock().unwrap().not_ready = reasons.iter().map(|reason| (*reason).to_owned()).collect();
    }

    pub fn waited(&self) -> Option<Duration> {
        self.inner.lock().unwrap().waited
    }

    pub fn settled(&self) -> Option<(u64, Duration)> {
        self.inner.lock().unwrap().settled
    }

    pub fn graphql_bodies(&self) -> Vec<Value> {
        self.inner.lock().unwrap().graphql.clone()
    }

    pub fn push_activity(&self, line: Activity) {
        self.inner.lock().unwrap().activity.push(line);
    }

    pub fn set_market(&self, market: Value) {
        self.inner.lock().unwrap().market = Some(market);
    }

    pub fn store(&self, tags: &[(&str, &str)], data: &[u8]) -> Id {
        let id = Id::sha256(data);
        let tags = tags.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.inner.lock().unwrap().stored.insert(id, Stored { id, tags, data: Bytes::copy_from_slice(data) });
        id
    }

    /// Puts signed items of another scheduler into a log as they are.
    pub fn put(&self, process: Id, slot: u64, item: Option<Bytes>, assignment: Bytes) {
        let parsed = DataItem::parse_verified(assignment.clone(), Profile::Strict).unwrap();
        let mut inner = self.inner.lock().unwrap();
        let log = inner.processes.entry(process).or_default();
        let message = item.as_ref().map(|raw| DataItem::parse_verified(raw.clone(), Profile::Strict).unwrap().id());
        if slot == 0 {
            log.item = item.clone().unwrap();
        }
        let time = parsed.tag("Timestamp").unwrap().parse().unwrap();
        log.names.push((message.unwrap_or(parsed.id()), parsed.id(), time));
        log.entries.push(Entry {
            slot,
            assignment,
            pure_assignment: item.is_none(),
            item: item.unwrap_or_default(),
            beside: Default::default(),
        });
        log.results.push(Some(json!({})));
    }

    /// A process of this key's; its id.
    pub fn spawn(&self, signer: &Ed25519Signer) -> Id {
        let item = ItemBuilder::new()
            .tag("Data-Protocol", "ao")
            .tag("Type", "Process")
            .tag("Name", "test")
            .data(" ")
            .sign(signer);
        self.seal(item.unwrap()).unwrap().id
    }

    /// A sealed message with these tags; its id.
    pub fn send(&self, process: Id, signer: &Ed25519Signer, tags: &[(&str, &str)], data: &[u8]) -> Submitted {
        let mut item = ItemBuilder::new().target(process).tag("Data-Protocol", "ao").tag("Type", "Message");
        for (name, value) in tags {
            item = item.tag(*name, *value);
        }
        self.seal(item.data(data.to_vec()).sign(signer).unwrap()).unwrap()
    }

    fn seal(&self, item: DataItem) -> Result<Submitted, DoorError> {
        let process = match item.tag("Type") {
            Some("Process") => item.id(),
            Some("Message") => {
                item.target().ok_or_else(|| DoorError::new(ErrorKind::BadRequest, "target: missing: name a process"))?
            }
            _ => return Err(DoorError::new(ErrorKind::BadRequest, "tag Type: missing: must be Process or Message")),
        };
        let mut inner = self.inner.lock().unwrap();
        if process == item.id() {
            inner.processes.entry(process).or_default().item = item.raw().clone();
        }
        let log = inner.processes.get_mut(&process).ok_or_else(|| missing("process", process))?;
        let result = script(&item);
        Ok(self.append(process, log, item.id(), Some(&item), result))
    }

    fn append(
        &self,
        process: Id,
        log: &mut Process,
        id: Id,
        item: Option<&DataItem>,
        result: Option<Value>,
    ) -> Submitted {
        if let Some(slot) = log.names.iter().position(|(message, _, _)| *message == id) {
            let (_, assignment, timestamp) = log.names[slot];
            return Submitted {
                id,
                process,
                slot: slot as u64,
                assignment,
                timestamp,
                duplicate: true,
                level: Level::Sealed,
            };
        }
        let slot = log.entries.len() as u64;
        let timestamp = START + slot * 1000;
        let assignment = ItemBuilder::new()
            .anchor([b'a'; 32])
            .tag("Process", process.to_string())
            .tag("Epoch", "0")
            .tag("Nonce", slot.to_string())
            .tag("Hash-Chain", Id::sha256(&slot.to_be_bytes()).to_string())
            .tag("Block-Height", format!("{:012}", 1_580_000))
            .tag("Timestamp", timestamp.to_string())
            .tag("Data-Protocol", "ao")
            .tag("Type", "Assignment")
            .tag("Variant", "ao.TN.1")
            .tag("Message", id.to_string())
            .sign(&*self.key)
            .unwrap();
        let raw = item.map(|item| item.raw().clone()).unwrap_or_default();
        log.entries.push(Entry {
            slot,
            assignment: assignment.raw().clone(),
            pure_assignment: item.is_none(),
            item: raw,
            beside: Default::default(),
        });
        let named = if item.is_some() { id } else { assignment.id() };
        log.names.push((named, assignment.id(), timestamp));
        log.results.push(result);
        Submitted {
            id: named,
            process,
            slot,
            assignment: assignment.id(),
            timestamp,
            duplicate: false,
            level: Level::Sealed,
        }
    }

    fn node(&self) -> NodeRef {
        NodeRef { name: "node-1".into(), key: self.key.key().to_string() }
    }

    fn with<T>(&self, process: Id, read: impl FnOnce(&Process) -> Result<T, DoorError>) -> Result<T, DoorError> {
        let inner = self.inner.lock().unwrap();
        read(inner.processes.get(&process).ok_or_else(|| missing("process", process))?)
    }

    fn slot_result(&self, log: &Process, slot: usize) -> Option<SlotResult> {
        let (message, _, timestamp) = log.names[slot];
        let result = log.results[slot].clone()?;
        let provider = self.key.key().to_string();
        Some(SlotResult {
            slot: slot as u64,
            message,
            timestamp,
            block_height: 1_580_000,
            result,
            attestation: Bytes::new(),
            provider,
            cron: tick_of(&log.entries[slot]).map(|tick| tick.cron()),
        })
    }

    /// Opens doors on a free port.
    pub async fn open(&self) -> Open {
        let shutdown = CancellationToken::new();
        let loopback: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let server = http::serve(self.clone(), vec![loopback], shutdown.clone()).await.unwrap();
        Open { url: format!("http://{}", server.addresses()[0]), client: client(), server, shutdown }
    }
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap()
}

/// What a message does: its data upper-cased is its output.
fn script(item: &DataItem) -> Option<Value> {
    let data = String::from_utf8_lossy(&item.data()).to_uppercase();
    match item.tag("Action") {
        Some(action::FAIL) => Some(
            json!({ "Messages": [], "Assignments": [], "Spawns": [], "Output": "", "GasUsed": 0, "Error": "it failed" }),
        ),
        Some(action::SEND) => Some(
            json!({ "Messages": [{ "Data": "1" }, { "Data": "2" }], "Assignments": [], "Spawns": [], "Output": "", "GasUsed": 1 }),
        ),
        Some(action::NEVER | action::HANG) => None,
        _ => Some(
            json!({ "Messages": [], "Assignments": [], "Spawns": [], "Output": { "data": data, "print": true }, "GasUsed": 5 }),
        ),
    }
}

/// Open doors.
pub struct Open {
    pub url: String,
    pub client: reqwest::Client,
    pub server: Server,
    pub shutdown: CancellationToken,
}

impl Open {
    pub async fn get(&self, path: &str) -> (u16, Value) {
        let reply = self.client.get(format!("{}{path}", self.url)).send().await.unwrap();
        let status = reply.status().as_u16();
        let text = reply.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// The JSON at `path`, which must be there.
    pub async fn json(&self, path: &str) -> Value {
        let (status, body) = self.get(path).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    pub async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> (u16, Value) {
        let request =
            self.client.post(format!("{}{path}", self.url)).header("content-type", "application/octet-stream");
        let reply = request.body(body).send().await.unwrap();
        let status = reply.status().as_u16();
        (status, serde_json::from_str(&reply.text().await.unwrap()).unwrap_or(Value::Null))
    }
}

impl Door for Fake {
    async fn submit(&self, raw: Bytes) -> Result<Submitted, DoorError> {
        let item = DataItem::parse_verified(raw, Profile::Strict)
            .map_err(|fault| DoorError::new(ErrorKind::BadRequest, format!("body: not a data item: {fault}")))?;
        self.seal(item)
    }

    async fn assign(
        &self,
        process: Id,
        tx: Id,
        exclude: Vec<String>,
        base_layer: bool,
    ) -> Result<Submitted, DoorError> {
        let mut inner = self.inner.lock().unwrap();
        let log = inner.processes.get_mut(&process).ok_or_else(|| missing("process", process))?;
        let seen = format!("{} {base_layer}", exclude.join("+"));
        Ok(self.append(
            process,
            log,
            tx,
            None,
            Some(json!({ "Messages": [], "Assignments": [], "Spawns": [], "Output": seen })),
        ))
    }

    async fn result(&self, process: Id, message: Id, wait: Duration) -> Result<SlotResult, DoorError> {
        self.inner.lock().unwrap().waited = Some(wait);
        let (found, hangs) = self.with(process, |log| {
            let named = |(id, assignment, _): &(Id, Id, u64)| *id == message || *assignment == message;
            let slot = log.names.iter().position(named).ok_or_else(|| missing("message", message))?;
            let item = DataItem::parse(log.entries[slot].item.clone(), Profile::Strict).ok();
            let hangs = item.is_some_and(|item| item.tag("Action") == Some(action::HANG));
            Ok((self.slot_result(log, slot), hangs))
        })?;
        if hangs {
            std::future::pending::<()>().await;
        }
        found.ok_or_else(|| {
            DoorError::new(ErrorKind::Timeout, format!("message {message} was not evaluated in time; ask again"))
        })
    }

    async fn read_outcome(
        &self,
        process: Id,
        message: Id,
        proof: Bytes,
        wait: Duration,
    ) -> Result<SlotResult, DoorError> {
        if DataItem::parse_verified(proof, Profile::Strict).is_err() {
            return Err(DoorError::new(ErrorKind::Forbidden, "the proof does not hold"));
        }
        self.result(process, message, wait).await
    }

    async fn results(&self, process: Id, range: ResultsRange) -> Result<ResultsPage, DoorError> {
        self.with(process, |log| {
            let slots = 0..log.entries.len();
            let wanted = |slot: &usize| (range.from_slot..=range.to_slot).contains(&(*slot as u64));
            let mut results: Vec<SlotResult> =
                slots.filter(wanted).filter_map(|slot| self.slot_result(log, slot)).collect();
            if range.descending {
                results.reverse();
            }
            let more = results.len() > range.limit as usize;
            results.truncate(range.limit as usize);
            Ok(ResultsPage { results, more })
        })
    }

    async fn ticks(&self, process: Id, range: ResultsRange) -> Result<ResultsPage, DoorError> {
        let all = ResultsRange { limit: u32::MAX, ..range };
        let mut results = self.results(process, all).await?.results;
        results.retain(|slot| slot.cron.is_some());
        let more = results.len() > range.limit as usize;
        results.truncate(range.limit as usize);
        Ok(ResultsPage { results, more })
    }

    async fn dry_run(&self, process: Id, message: Value) -> Result<Value, DoorError> {
        self.with(process, |_| Ok(()))?;
        Ok(
            json!({ "Messages": [], "Assignments": [], "Spawns": [], "Output": { "data": message.get("Data"), "tags": message.get("Tags"), "owner": message.get("Owner") } }),
        )
    }

    async fn dry_run_after(&self, process: Id, slot: u64, message: Value) -> Result<Value, DoorError> {
        let mut result = self.dry_run(process, message).await?;
        result["Output"]["after"] = slot.into();
        Ok(result)
    }

    async fn settled(&self, process: Id, to_slot: u64, wait: Duration) -> Result<(), DoorError> {
        self.inner.lock().unwrap().settled = Some((to_slot, wait));
        self.with(process, |_| Ok(()))
    }

    async fn state(&self, process: Id, slot: Option<u64>) -> Result<StateView, DoorError> {
        self.with(process, |log| {
            let slot = slot.unwrap_or(log.entries.len() as u64 - 1);
            let parts = vec![(70_000, Bytes::from_static(b"abc")), (131_069, Bytes::from_static(b"end"))];
            let timestamp = log.names[slot as usize].2;
            Ok(StateView { slot, timestamp, block_height: 1_580_000, memory_bytes: 131_072, parts, share: None })
        })
    }

    async fn log(&self, process: Id, range: LogRange) -> Result<LogPage, DoorError> {
        self.with(process, |log| {
            let wanted = |entry: &&Entry| {
                let time = log.names[entry.slot as usize].2;
                (range.from_slot..=range.to_slot).contains(&entry.slot)
                    && range.after_ms.is_none_or(|after| time > after)
                    && range.until_ms.is_none_or(|until| time <= until)
            };
            let entries = log.entries.iter().filter(wanted).take(range.limit as usize).cloned().collect();
            Ok(LogPage { entries, next_slot: log.entries.len() as u64 })
        })
    }

    async fn entry(&self, process: Id, id: Id) -> Result<Entry, DoorError> {
        self.with(process, |log| {
            let named = |(message, assignment, _): &(Id, Id, u64)| *message == id || *assignment == id;
            log.names.iter().position(named).map(|slot| log.entries[slot].clone()).ok_or_else(|| missing("message", id))
        })
    }

    async fn process(&self, process: Id) -> Result<ProcessView, DoorError> {
        self.with(process, |log| {
            Ok(ProcessView {
                id: process,
                next_slot: log.entries.len() as u64,
                election: json!({ "why": "the only one" }),
                scheduler: self.node(),
                messengers: vec![self.node()],
                provider: None,
                crons: Vec::new(),
                item: log.item.clone(),
                assignment: log.entries[0].assignment.clone(),
            })
        })
    }

    async fn accept(&self, raw: Bytes) -> Result<Accepted, DoorError> {
        let sealed = self.submit(raw).await?;
        Ok(Accepted { id: sealed.id, process: sealed.process, level: Level::Accepted })
    }

    async fn receipt(&self, process: Id, message: Id) -> Result<Receipt, DoorError> {
        let entry = self.entry(process, message).await?;
        let assignment = DataItem::parse(entry.assignment, Profile::Strict).unwrap().id();
        let scheduler = self.node();
        let (provider, attestation, anchor) = (None, None, None);
        Ok(Receipt {
            id: message,
            process,
            slot: Some(entry.slot),
            level: Level::Sealed,
            assignment: Some(assignment),
            scheduler,
            provider,
            attestation,
            anchor,
            cast: false,
        })
    }

    async fn processes(&self, after: Option<Id>, limit: u32) -> Result<Vec<ProcessSummary>, DoorError> {
        let inner = self.inner.lock().unwrap();
        let later = inner.processes.iter().filter(|(id, _)| after.is_none_or(|after| **id > after));
        let summary = |(id, log): (&Id, &Process)| {
            let name = DataItem::parse(log.item.clone(), Profile::Strict).unwrap().tag("Name").map(str::to_owned);
            ProcessSummary { id: *id, name, next_slot: log.entries.len() as u64, scheduler: self.node() }
        };
        Ok(later.take(limit as usize).map(summary).collect())
    }

    async fn stored(&self, id: Id) -> Result<Stored, DoorError> {
        self.inner.lock().unwrap().stored.get(&id).cloned().ok_or_else(|| missing("item", id))
    }

    async fn push(
        &self,
        process: Id,
        message: Id,
        number: u32,
        supplied: Option<Value>,
        wait: Duration,
    ) -> Result<Vec<Pushed>, DoorError> {
        let shown = self.result(process, message, wait).await?;
        let text = format!("entry {number} of slot {}, supplied: {}", shown.slot, supplied.is_some());
        Ok(vec![Pushed { id: message, end: PushEnd::Done, text }])
    }

    async fn push_slot(&self, _process: Id, slot: &SlotResult, first: u32) -> Result<PushedSlot, DoorError> {
        let many = |name: &str| slot.result[name].as_array().map_or(0, Vec::len);
        let count = u32::try_from(many("Messages") + many("Spawns") + many("Assignments")).unwrap();
        let text = |number| format!("entry {number} of slot {}", slot.slot);
        let one = |number| (number, Pushed { id: slot.message, end: PushEnd::Done, text: text(number) });
        let next = first.checked_add(PUSHED_AT_ONCE).filter(|next| *next < count);
        Ok(PushedSlot { done: (first..count).take(64).map(one).collect(), bad: Vec::new(), next })
    }

    async fn pass(&self, path: String, body: Option<Bytes>) -> Result<PassedOn, DoorError> {
        if path == "/tx_anchor" {
            return Ok(PassedOn { status: 200, kind: None, body: Bytes::from_static(b"an anchor") });
        }
        let posted = body.map(|body| String::from_utf8_lossy(&body).into_owned());
        let body = json!({ "path": path, "posted": posted }).to_string().into();
        Ok(PassedOn { status: 202, kind: Some("application/json".to_owned()), body })
    }

    async fn graphql(&self, body: Bytes, door: &str) -> Result<Bytes, DoorError> {
        let query: Value =
            serde_json::from_slice(&body).map_err(|_| DoorError::new(ErrorKind::BadRequest, "body: not JSON"))?;
        self.inner.lock().unwrap().graphql.push(query);
        let tag = |name: &str, value: &str| json!({ "name": name, "value": value });
        let tags = json!([
            tag("Data-Protocol", "ao"),
            tag("Type", "Module"),
            tag("Module-Format", "wasm64-unknown-emscripten-draft_2024_02_15"),
            tag("Input-Encoding", "JSON-1"),
            tag("Output-Encoding", "JSON-1"),
            tag("Scheduler", "S"),
            tag("Url", door),
        ]);
        let node = json!({ "owner": { "address": self.address() }, "block": null, "tags": tags });
        Ok(json!({ "data": { "transactions": { "edges": [{ "node": node }] } } }).to_string().into())
    }

    async fn upload(&self, raw: Bytes) -> Result<Id, DoorError> {
        DataItem::parse_verified(raw, Profile::Strict)
            .map(|item| item.id())
            .map_err(|fault| DoorError::new(ErrorKind::BadRequest, format!("body: not a data item: {fault}")))
    }

    async fn status(&self) -> StatusView {
        StatusView {
            version: "0.1.0".into(),
            node: self.node(),
            roles: vec!["scheduler".into(), "compute".into()],
            network: json!({ "name": "weft-test", "id": "00", "address": self.address() }),
            mesh: json!({ "peers": 4 }),
            work: json!({ "ordered": 1 }),
            anchor: json!({ "waiting": 0 }),
            uptime_seconds: 5,
            not_ready: self.inner.lock().unwrap().not_ready.clone(),
        }
    }

    async fn market(&self) -> Value {
        self.inner.lock().unwrap().market.clone().unwrap_or_else(|| json!({ "offers": [], "awards": [] }))
    }

    fn activity(&self, limit: usize) -> Vec<Activity> {
        let all = &self.inner.lock().unwrap().activity;
        all.iter().skip(all.len().saturating_sub(limit)).cloned().collect()
    }

    fn identity(&self) -> (Id, u64) {
        (self.address(), START + 1_000_000)
    }

    fn block_height(&self) -> u64 {
        1_580_000
    }

    fn metrics(&self) -> String {
        "# HELP weft_fake Something.\n# TYPE weft_fake gauge\nweft_fake 1\n# EOF\n".into()
    }

    fn max_item_bytes(&self) -> usize {
        MAX_ITEM
    }
}
