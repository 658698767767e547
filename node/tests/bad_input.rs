//! Whatever is sent to a running testnet: the right status, a reason that names what is wrong, and nodes that go on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "support/http.rs"]
mod http;
#[path = "support/modules.rs"]
mod modules;
#[path = "support/testnet.rs"]
mod testnet;

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::{Child, Stdio},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{Answer, Http};
use serde_json::Value;
use testnet::{Testnet, eventually};
use weft_protocol::{
    Id,
    ans104::{DataItem, ItemBuilder, RsaSigner},
};

const MALFORMED: &str = include_str!("../../protocol/tests/vectors/arweave/malformed.json");
const AOS_FORMAT: &str = "wasm64-unknown-emscripten-draft_2024_02_15";
const EVALUATED: Duration = Duration::from_secs(120);

struct Bench {
    http: Http,
    net: Testnet,
    alice: RsaSigner,
}

impl Bench {
    fn start() -> Self {
        let net = Testnet::start(3);
        Self { http: Http::new(), alice: net.signer("alice"), net }
    }

    /// Posts to both routes that take items, on different nodes: `status` and a reason with all of `words` from each, and
    /// the node is alive after.
    fn refused(&self, what: &str, body: &[u8], status: u16, words: &[&str]) {
        for (at, route) in ["/", "/v1/items"].iter().enumerate() {
            let answer = self.http.post(&format!("{}{route}", self.net.door(at)), body);
            self.judge(&format!("{what}, posted to {route}"), &answer, status, words);
        }
    }

    fn judge(&self, what: &str, answer: &Answer, status: u16, words: &[&str]) {
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
        let reason = answer.reason();
        for word in words {
            assert!(reason.contains(word), "{what}: {word:?} is not in {reason:?}");
        }
        assert!((20..800).contains(&reason.len()), "{what}: {reason}");
        println!("{what}: {status} {reason}");
        self.all_live(what);
    }

    fn all_live(&self, after: &str) {
        for door in self.net.doors() {
            assert_eq!(self.http.get(&format!("{door}/livez")).status, 200, "{door} after {after}");
        }
    }

    fn upload(&self, item: &DataItem) -> String {
        self.http.post(&format!("{}/tx", self.net.uploader()), item.raw().to_vec()).ok();
        item.id().to_string()
    }

    fn module(&self, format: &str, data: Vec<u8>) -> String {
        let item = ao("Module")
            .tag("Module-Format", format)
            .tag("Input-Encoding", "JSON-1")
            .tag("Output-Encoding", "JSON-1")
            .data(data);
        self.upload(&item.sign(&self.alice).unwrap())
    }

    fn spawn(&self, module: &str, scheduler: &str) -> DataItem {
        let item = ao("Process").tag("Module", module).tag("Scheduler", scheduler).data(b" ".to_vec());
        item.sign(&self.alice).unwrap()
    }

    fn eval(&self, process: Id, lua: &str) -> DataItem {
        let item = ao("Message").target(process).tag("Action", "Eval").data(lua.as_bytes().to_vec());
        item.sign(&self.alice).unwrap()
    }

    /// Sends and waits for the result, through different nodes.
    fn evaluated(&self, process: Id, lua: &str) -> Value {
        let item = self.eval(process, lua);
        self.http.post(&format!("{}/", self.net.door(0)), item.raw().to_vec()).ok();
        let url = format!("{}/result/{}?process-id={process}", self.net.door(1), item.id());
        eventually(&format!("the result of {lua}"), EVALUATED, || {
            let answer = self.http.get(&url);
            (answer.status == 200).then(|| answer.json())
        })
    }
}

fn ao(kind: &str) -> ItemBuilder {
    ItemBuilder::new().tag("Data-Protocol", "ao").tag("Variant", "ao.TN.1").tag("Type", kind)
}

/// One network for all: starting it is the slow part.
#[test]
fn nothing_that_is_sent_harms_a_node() {
    let mut bench = Bench::start();
    malformed_vectors(&bench);
    bytes_that_are_no_items(&bench);
    items_that_lead_nowhere(&bench);
    modules_that_are_none(&bench);
    a_node_of_another_network(&bench);
    an_endless_loop(&bench);
    bench.net.stop();
}

fn malformed_vectors(bench: &Bench) {
    let vectors: Value = serde_json::from_str(MALFORMED).unwrap();
    let mut tried = 0;
    for vector in ["data_items", "bundles"].iter().flat_map(|kind| vectors[*kind].as_array().unwrap()) {
        let name = vector["name"].as_str().unwrap();
        let raw = URL_SAFE_NO_PAD.decode(vector["raw"].as_str().unwrap()).unwrap();
        // The two that a reader may take are refused because they are no AO messages.
        bench.refused(name, &raw, 400, &[if vector["expect"] == "reject" { "body" } else { "" }]);
        tried += 1;
    }
    assert_eq!(tried, 49);
}

fn bytes_that_are_no_items(bench: &Bench) {
    let limit = 10 * 1024 * 1024;
    bench.refused("unsigned bytes", b"Send({ Target = 'you' })", 400, &["body", "data item"]);
    bench.refused("a megabyte of zeros", &vec![0; 1 << 20], 400, &["body", "data item"]);
    let item = bench.eval(Id::sha256(b"x"), "return 1");
    let mut unsigned = item.raw().to_vec();
    unsigned[2..514].fill(0);
    bench.refused("an item without a signature", &unsigned, 400, &["signature"]);
    let mut changed = item.raw().to_vec();
    *changed.last_mut().unwrap() ^= 1;
    bench.refused("an item changed after signing", &changed, 400, &["signature"]);
    bench.refused("a body one byte too large", &vec![1; limit + 1], 413, &["body", "10485761", "10485760"]);
    a_body_that_is_only_announced(bench);
    let large = ao("Message").target(Id::sha256(b"x")).data(vec![b'x'; limit]).sign(&bench.alice).unwrap();
    bench.refused("a signed item that is too large", large.raw(), 413, &["10485760"]);
}

/// A terabyte: refused by its length, before any of it is there.
fn a_body_that_is_only_announced(bench: &Bench) {
    let door = bench.net.door(0);
    let mut socket = TcpStream::connect(door.strip_prefix("http://").unwrap()).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    write!(socket, "POST / HTTP/1.1\r\nhost: weft\r\ncontent-length: {}\r\n\r\nonly a little", 1_u64 << 40).unwrap();
    let mut said = Vec::new();
    while !said.ends_with(b"}") {
        let mut piece = [0; 4096];
        let read = socket.read(&mut piece).unwrap();
        assert!(read > 0, "closed after {}", String::from_utf8_lossy(&said));
        said.extend_from_slice(&piece[..read]);
    }
    let said = String::from_utf8(said).unwrap();
    assert!(said.starts_with("HTTP/1.1 413 ") && said.contains("10485760"), "{said}");
    bench.all_live("a terabyte announced");
}

fn items_that_lead_nowhere(bench: &Bench) {
    let unknown = Id::sha256(b"no such process");
    let name = unknown.to_string();
    bench.refused("an unknown process", bench.eval(unknown, "return 1").raw(), 404, &["process", &name]);
    for path in [
        format!("/result/{name}?process-id={name}"),
        format!("/results/{name}"),
        format!("/{name}?process-id={name}"),
        format!("/v1/processes/{name}"),
        format!("/v1/processes/{name}/messages/{name}"),
    ] {
        let answer = bench.http.get(&format!("{}{path}", bench.net.door(2)));
        bench.judge(&path, &answer, 404, &[&name]);
    }
    let dry = serde_json::json!({"Data": "return 1", "Tags": []});
    let answer = bench.http.post_json(&format!("{}/dry-run?process-id={name}", bench.net.door(0)), &dry);
    bench.judge("a dry run on an unknown process", &answer, 404, &["process", &name]);
    let message = ao("Message").data(b"to nobody".to_vec()).sign(&bench.alice).unwrap();
    bench.refused("a message without a target", message.raw(), 400, &["target"]);
    let other = ItemBuilder::new().tag("Type", "Message").target(unknown).sign(&bench.alice).unwrap();
    bench.refused("an item that is not AO's", other.raw(), 400, &["Data-Protocol"]);
    let odd = ao("Wish").target(unknown).sign(&bench.alice).unwrap();
    bench.refused("an item of an unknown type", odd.raw(), 400, &["Type", "Wish", "Process", "Message"]);
}

fn modules_that_are_none(bench: &Bench) {
    let network = bench.net.address();
    let refused = |what: &str, module: &str, scheduler: &str, status: u16, words: &[&str]| {
        bench.refused(what, bench.spawn(module, scheduler).raw(), status, words);
    };
    let text = bench.module(AOS_FORMAT, b"I am a text, not a module".to_vec());
    refused("text as a module", &text, &network, 422, &[&text, "WebAssembly"]);
    let counter = modules::COUNTER.to_vec();
    let format = bench.module("wasm128-unknown-quantum", counter.clone());
    refused("an unknown format", &format, &network, 422, &[&format, "Module-Format", "wasm128-unknown-quantum"]);
    let plain = ItemBuilder::new().tag("Title", "just data").data(counter.clone()).sign(&bench.alice).unwrap();
    let plain = bench.upload(&plain);
    refused("data that is no module", &plain, &network, 422, &[&plain, "Type = Module"]);
    let nowhere = Id::sha256(b"no such module").to_string();
    refused("a module that does not exist", &nowhere, &network, 422, &[&nowhere, "module"]);
    refused("a module id that is none", "aos", &network, 400, &["Module"]);
    let good = bench.module("wasm32-unknown-unknown", counter);
    let elsewhere = Id::sha256(b"another network").to_string();
    refused("another network's address", &good, &elsewhere, 400, &["Scheduler", &elsewhere]);
    refused("a scheduler that is no address", &good, "me", 400, &["Scheduler", "me"]);
    let none = ao("Process").tag("Module", &good).sign(&bench.alice).unwrap();
    bench.refused("a process without a scheduler", none.raw(), 400, &["Scheduler"]);
    // A module that begins like one and is broken further on is found out when it is compiled: the process has the
    // error as its result, and the node goes on.
    let broken = bench.module("wasm32-unknown-unknown", b"\0asm\x01\0\0\0 and then nothing sensible".to_vec());
    let process = bench.spawn(&broken, &network);
    let posted = bench.http.post(&format!("{}/", bench.net.door(0)), process.raw().to_vec());
    if posted.status == 422 {
        bench.judge("a broken module", &posted, 422, &[&broken]);
    } else {
        posted.ok();
        let url = format!("{}/result/{}?process-id={}", bench.net.door(1), process.id(), process.id());
        let result = eventually("a result of the broken module", EVALUATED, || {
            let answer = bench.http.get(&url);
            (answer.status == 200).then(|| answer.json())
        });
        assert!(result["Error"].to_string().contains("not a WebAssembly module"), "{result}");
    }
    bench.all_live("a broken module");
}

fn an_endless_loop(bench: &Bench) {
    let module = bench.module(AOS_FORMAT, modules::ao_module("aos2_0_6.wasm"));
    let process = bench.spawn(&module, &bench.net.address());
    bench.http.post(&format!("{}/", bench.net.door(2)), process.raw().to_vec()).ok();
    let process = process.id();
    let data = |lua: &str| bench.evaluated(process, lua)["Output"]["data"].clone();
    assert_eq!(data("Count = 1; return Count"), "1");
    let endless = bench.evaluated(process, "Count = 2; while true do end");
    let error = endless["Error"].as_str().unwrap_or_else(|| panic!("no Error: {endless}"));
    assert!(error.contains("fuel"), "{error}");
    assert_eq!(endless["Messages"], serde_json::json!([]));
    bench.all_live("an endless loop");
    assert_eq!(data("Count = Count + 1; return Count"), "2", "the next message finds the state before the loop");
}

/// A node that is killed when the test is over.
struct Foreign(Child);

impl Drop for Foreign {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn a_node_of_another_network(bench: &Bench) {
    let dir = tempfile::tempdir().unwrap();
    let file = fs::read_to_string(bench.net.dir().join("network.toml")).unwrap();
    let other = file.replace("weft-local", "weft-elsewhere");
    assert_ne!(file, other);
    fs::write(dir.path().join("network.toml"), other).unwrap();
    let made =
        testnet::weft().args(["keys", "new", "--type", "ed25519", "--out"]).arg(dir.path().join("key.json")).output();
    assert!(made.unwrap().status.success());
    let ports: Vec<TcpListener> = (0..2).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let port = |at: usize| ports[at].local_addr().unwrap().port();
    let (door, peers) = (format!("127.0.0.1:{}", port(0)), port(1));
    let config = format!(
        "name = \"stranger\"\nnetwork = \"network.toml\"\nkey = \"key.json\"\ndata = \"data\"\nroles = [\"gateway\"]\n\
         listen = [\"/ip4/127.0.0.1/udp/{peers}/quic-v1\", \"/ip4/127.0.0.1/tcp/{peers}\"]\nhttp = [\"{door}\"]\n\
         gateways = [\"{}\"]\n",
        bench.net.gateway()
    );
    fs::write(dir.path().join("node.toml"), config).unwrap();
    drop(ports);
    let log = fs::File::create(dir.path().join("log")).unwrap();
    let mut command = testnet::weft();
    command.args(["node", "run", "--config"]).arg(dir.path().join("node.toml"));
    let child = command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
    let stranger = Foreign(child);
    eventually("its door opens", Duration::from_secs(30), || TcpStream::connect(&door).ok());
    // Whichever of the two hears the other's name first turns it away; both logs say what they saw.
    let logs = || {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        read(bench.net.dir().join("node-1/log")) + &read(dir.path().join("log"))
    };
    eventually("somebody is turned away", Duration::from_secs(30), || {
        logs().lines().find(|line| line.contains("turned away") && line.contains("other network")).map(drop)
    });
    let status = bench.http.get(&format!("http://{door}/v1/status")).ok().json();
    assert_eq!(status["mesh"]["peers"].as_array().unwrap().len(), 0, "{status:#}");
    let ready = bench.http.get(&format!("http://{door}/readyz"));
    let words = ["no peers", "weft-elsewhere", status["network"]["id"].as_str().unwrap()];
    bench.judge("/readyz of a node of another network", &ready, 503, &words);
    // Its door knows nothing of our processes, and ours nothing of it.
    for door in bench.net.doors() {
        let status = bench.http.get(&format!("{door}/v1/status")).ok().json();
        assert_eq!(status["mesh"]["peers"].as_array().unwrap().len() + 1, bench.net.nodes(), "{status:#}");
    }
    let spawn = bench.spawn(&Id::sha256(b"m").to_string(), &bench.net.address());
    let posted = bench.http.post(&format!("http://{door}/"), spawn.raw().to_vec());
    bench.judge("a process of our network at its door", &posted, 400, &["Scheduler", &bench.net.address()]);
    drop(stranger);
}
