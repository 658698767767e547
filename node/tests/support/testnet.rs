//! A testnet of real nodes, started through the binary as a person would start it.
//!
//! Use from a test file: `#[path = "support/testnet.rs"] mod testnet;`. Blocking on purpose: a test drives the network from
//! its own thread, or from a runtime by `spawn_blocking`.

#![allow(dead_code, reason = "each test file uses a part of this")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, sync_channel},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use weft_protocol::{Id, Jwk, ans104::RsaSigner};

/// How long the network may take until it says that it is up.
const UP: Duration = Duration::from_secs(120);
/// How long it may take to end after SIGTERM.
const DOWN: Duration = Duration::from_secs(40);
/// Between two looks at something that sends no event.
const LOOK: Duration = Duration::from_millis(50);
/// Lines of each log shown when a test fails.
const SHOWN: usize = 60;

/// A running testnet in a folder of its own. Dropped, it is killed; if the test failed, the ends of its logs are shown.
pub struct Testnet {
    folder: tempfile::TempDir,
    supervisor: Option<Child>,
    /// The document that `weft testnet up --json` printed: `name`, `id`, `address`, `gateway`, `uploader`, `nodes`, `wallets`.
    pub plan: Value,
}

impl Testnet {
    /// Starts `nodes` nodes and waits until all are ready.
    pub fn start(nodes: usize) -> Self {
        Self::start_with(nodes, &[])
    }

    /// [`Self::start`] with further options of `weft testnet up`.
    pub fn start_with(nodes: usize, options: &[&str]) -> Self {
        let mut net = Self { folder: tempfile::tempdir().unwrap(), supervisor: None, plan: Value::Null };
        net.up(&[&["--nodes", &nodes.to_string()], options].concat());
        net
    }

    /// Starts it again after [`Self::stop`] or [`Self::kill_all`]: the same keys, data and, where still free, ports.
    pub fn resume(&mut self) {
        assert!(self.supervisor.is_none(), "it runs");
        self.up(&[]);
    }

    fn up(&mut self, options: &[&str]) {
        // Two supervisors that look for free ports at once would find the same ones: the next waits until this one's are bound.
        let turn = File::create(std::env::temp_dir().join("weft-testnet-tests.lock")).unwrap();
        turn.lock().unwrap();
        let mut command = weft();
        command.args(["testnet", "up", "--json", "--data"]).arg(self.folder.path()).args(options);
        let told = File::options().create(true).append(true).open(self.told()).unwrap();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(told).spawn().unwrap();
        let screen = document(child.stdout.take().unwrap());
        self.supervisor = Some(child);
        self.plan = match screen.recv_timeout(UP) {
            Ok(text) => {
                serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e} in what `testnet up --json` said: {text}"))
            }
            Err(RecvTimeoutError::Timeout) => panic!("the testnet is not up after {UP:?}"),
            Err(RecvTimeoutError::Disconnected) => panic!("the testnet ended before it was up"),
        };
    }

    /// What the supervisor says on stderr.
    fn told(&self) -> PathBuf {
        self.folder.path().with_extension("supervisor.log")
    }

    /// Its folder: `network.toml`, and `node-N/` with `node.toml`, `node.key.json`, `data`, `log`.
    pub fn dir(&self) -> &Path {
        self.folder.path()
    }

    /// The network's address: `Scheduler` tag for "elect one", `Authority` tag for "trust what is proven".
    pub fn address(&self) -> String {
        self.text("/address")
    }

    /// Number of nodes.
    pub fn nodes(&self) -> usize {
        self.plan["nodes"].as_array().unwrap().len()
    }

    /// First HTTP door of node `at`, counted from 0 (`node-1`).
    pub fn door(&self, at: usize) -> String {
        self.text(&format!("/nodes/{at}/urls/0"))
    }

    /// All nodes' first doors.
    pub fn doors(&self) -> Vec<String> {
        (0..self.nodes()).map(|at| self.door(at)).collect()
    }

    /// The devnet's gateway.
    pub fn gateway(&self) -> String {
        self.text("/gateway")
    }

    /// The devnet's uploader of data items.
    pub fn uploader(&self) -> String {
        self.text("/uploader")
    }

    fn text(&self, pointer: &str) -> String {
        let value = self.plan.pointer(pointer).and_then(Value::as_str);
        value.unwrap_or_else(|| panic!("{pointer} is not in the plan: {:#}", self.plan)).to_owned()
    }

    /// Key file of the development wallet `name` (`alice` …).
    pub fn wallet(&self, name: &str) -> PathBuf {
        let wallets = self.plan["wallets"].as_array().unwrap();
        let wallet = wallets.iter().find(|wallet| wallet["name"] == name).expect("a development wallet");
        wallet["path"].as_str().unwrap().into()
    }

    /// The development wallet `name` as a signer.
    pub fn signer(&self, name: &str) -> RsaSigner {
        let jwk: Jwk = serde_json::from_str(&fs::read_to_string(self.wallet(name)).unwrap()).unwrap();
        RsaSigner::from_jwk(&jwk).unwrap()
    }

    /// The network's address as an id.
    pub fn network_id(&self) -> Id {
        self.address().parse().unwrap()
    }

    /// `weft testnet kill NODE`: SIGKILL, at once.
    pub fn kill_node(&self, node: &str) {
        self.steer(&["kill", node]);
    }

    /// `weft testnet start NODE`: returns once it is ready.
    pub fn start_node(&self, node: &str) {
        self.steer(&["start", node]);
    }

    fn steer(&self, words: &[&str]) {
        let output = self.testnet_command(words);
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// `weft testnet WORDS --data DIR`.
    pub fn testnet_command(&self, words: &[&str]) -> Output {
        weft().arg("testnet").args(words).arg("--data").arg(self.dir()).output().unwrap()
    }

    /// Ends it as Ctrl-C does and checks that it ended well and left no process behind. The folder stays until drop.
    pub fn stop(&mut self) {
        let pids = self.pids();
        let Some(mut child) = self.supervisor.take() else { return };
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let until = Instant::now() + DOWN;
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() >= until {
                self.supervisor = Some(child);
                panic!("the testnet has not ended {DOWN:?} after SIGTERM");
            }
            pause();
        };
        assert!(status.success(), "the testnet ended with {status}");
        let left: Vec<_> = pids.into_iter().filter(|pid| runs(*pid)).collect();
        assert!(left.is_empty(), "left behind: {left:?}");
    }

    /// SIGKILL to the supervisor, which takes every node with it; returns when all are gone.
    pub fn kill_all(&mut self) {
        let pids = self.pids();
        if let Some(mut child) = self.supervisor.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        eventually("the nodes end with their supervisor", DOWN, || pids.iter().all(|pid| !runs(*pid)).then_some(()));
    }

    /// Process ids of everything that runs, from `testnet.json`.
    fn pids(&self) -> Vec<u32> {
        let text = fs::read_to_string(self.dir().join("testnet.json")).unwrap_or_default();
        let state: Value = serde_json::from_str(&text).unwrap_or_default();
        let pid = |process: &Value| process["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
        state["processes"].as_array().map(|all| all.iter().filter_map(pid).collect()).unwrap_or_default()
    }

    /// The ends of all logs.
    fn logs(&self) -> String {
        let mut files = vec![self.told(), self.dir().join("arweave/log")];
        files.extend(
            (1..=self.plan["nodes"].as_array().map_or(32, Vec::len)).map(|n| self.dir().join(format!("node-{n}/log"))),
        );
        let mut out = String::new();
        for file in files {
            let Ok(text) = fs::read_to_string(&file) else { continue };
            let lines: Vec<&str> = text.lines().collect();
            let end = &lines[lines.len().saturating_sub(SHOWN)..];
            out += &format!("--- the end of {}\n{}\n", file.display(), end.join("\n"));
        }
        out
    }
}

impl Drop for Testnet {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", self.logs());
        }
        // The nodes die with their supervisor.
        if let Some(mut child) = self.supervisor.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = fs::remove_file(self.told());
    }
}

/// The binary under test, away from whatever the person who runs the tests has set up.
pub fn weft() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weft"));
    for name in ["WEFT_NODE", "WEFT_WALLET", "WEFT_TESTNET", "CARGO_PKG_NAME"] {
        command.env_remove(name);
    }
    command
}

/// Asks again and again until `look` has an answer.
///
/// # Panics
/// After `within`, naming `what`.
pub fn eventually<T>(what: &str, within: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + within;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "not within {within:?}: {what}");
        pause();
    }
}

/// Other processes send no event; every caller has a deadline.
fn pause() {
    thread::sleep(LOOK);
}

/// Whether process `pid` exists and is no zombie.
fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

/// The first JSON document on `stdout`, from its opening line `{` to its closing line `}`. The pipe is read on.
fn document(stdout: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = sync_channel(1);
    thread::spawn(move || {
        let mut lines = BufReader::new(stdout);
        let mut text = String::new();
        while lines.read_line(&mut text).is_ok_and(|n| n > 0) {
            if text.ends_with("\n}\n") {
                let _ = sender.send(std::mem::take(&mut text));
                break;
            }
        }
        let _ = lines.read_to_end(&mut Vec::new());
    });
    receiver
}
