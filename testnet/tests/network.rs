//! Runs whole networks of a pretended `weft` program: this test binary itself, started through a small script, that answers
//! on its ports. What is promised of real processes (started, watched, ended, never left behind) is proven on these.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::{
    env, fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    ops::ControlFlow,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc::{Receiver, sync_channel},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use weft_testnet::{Event, FirstPorts, TestnetError, TestnetOptions, down, kill, logs, reset, start, status, up};

/// The arguments the pretended program was started with.
const FAKE: &str = "WEFT_TESTNET_FAKE";
/// Makes the test binary run a supervisor over this folder.
const SUPERVISE: &str = "WEFT_TESTNET_SUPERVISE";
const DEADLINE: Duration = Duration::from_secs(60);

/// Not a test by itself: the pretended `weft`. A file `fail` in its folder makes it end at once.
#[test]
fn fake_weft() {
    let Ok(arguments) = env::var(FAKE) else { return };
    let words: Vec<&str> = arguments.split(' ').collect();
    let ports: Vec<u16> = match words[..] {
        ["node", "run", "--config", config] => {
            let folder = Path::new(config).parent().unwrap();
            println!("pretending to be {}", folder.display());
            if folder.join("fail").exists() {
                println!("cannot go on: told to fail");
                std::process::exit(3);
            }
            let text = fs::read_to_string(config).unwrap();
            let config: toml::Table = text.parse().unwrap();
            let http = config["http"].as_array().unwrap();
            http.iter().map(|address| address.as_str().unwrap().rsplit_once(':').unwrap().1.parse().unwrap()).collect()
        }
        ["arweave", "devnet", ..] => {
            assert!(words.windows(2).filter(|pair| pair[0] == "--mint").count() == 18, "{arguments}");
            let pairs = words.windows(2).filter(|pair| pair[0] == "--listen");
            pairs.map(|pair| pair[1].rsplit_once(':').unwrap().1.parse().unwrap()).collect()
        }
        _ => panic!("unexpected arguments: {arguments}"),
    };
    let serve = |port: u16| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }
    };
    let servers: Vec<_> = ports.into_iter().map(|port| thread::spawn(move || serve(port))).collect();
    servers.into_iter().for_each(|server| server.join().unwrap());
}

/// Not a test by itself: a supervisor in a process of its own, to be stopped and killed from outside.
#[test]
fn supervise() {
    let Ok(folder) = env::var(SUPERVISE) else { return };
    let bench = Bench { folder: PathBuf::from(folder), _temp: None };
    up(&bench.options(), |event| println!("{event:?}")).unwrap();
}

/// A folder with a network and the pretended program.
struct Bench {
    folder: PathBuf,
    _temp: Option<tempfile::TempDir>,
}

impl Bench {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let bench = Self { folder: temp.path().to_owned(), _temp: Some(temp) };
        bench.program("");
        let base = free_ports();
        fs::write(bench.folder.join("base"), base.to_string()).unwrap();
        bench
    }

    /// Writes the pretended program; `first` is a line of shell before it becomes the test binary. Written by another
    /// process: a file that a forked child of this one still holds open for writing cannot be started.
    fn program(&self, first: &str) {
        let me = env::current_exe().unwrap();
        let text = format!("#!/bin/sh\n{first}\n{FAKE}=\"$*\" exec '{}' --exact fake_weft --nocapture\n", me.display());
        let mut shell = Command::new("/bin/sh")
            .args(["-c", "cat > \"$0\" && chmod +x \"$0\""])
            .arg(self.binary())
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        shell.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        assert!(shell.wait().unwrap().success());
    }

    fn binary(&self) -> PathBuf {
        self.folder.join("weft")
    }

    fn dir(&self) -> PathBuf {
        self.folder.join("net")
    }

    fn options(&self) -> TestnetOptions {
        let base: u16 = fs::read_to_string(self.folder.join("base")).unwrap().parse().unwrap();
        TestnetOptions {
            nodes: Some(3),
            first_ports: FirstPorts { gateway: base, nodes: base + 10, peers: base + 20 },
            ready_within: DEADLINE,
            stop_within: Duration::from_secs(20),
            ..TestnetOptions::new(self.dir(), self.binary())
        }
    }

    fn up(&self) -> Running {
        self.up_with(self.options())
    }

    fn up_with(&self, options: TestnetOptions) -> Running {
        let (sender, events) = sync_channel(1024);
        let thread = thread::spawn(move || up(&options, |event| sender.send(event).unwrap_or_default()));
        let mut running = Running { events, seen: Vec::new(), thread };
        running.wait_for(|event| matches!(event, Event::Up(_)));
        running
    }
}

/// A supervisor in a thread.
struct Running {
    events: Receiver<Event>,
    seen: Vec<String>,
    thread: JoinHandle<Result<(), TestnetError>>,
}

impl Running {
    fn wait_for(&mut self, wanted: impl Fn(&Event) -> bool) -> Event {
        loop {
            let event = self.events.recv_timeout(DEADLINE);
            let event = event.unwrap_or_else(|_| panic!("event did not come; seen: {:#?}", self.seen));
            self.seen.push(format!("{event:?}"));
            if wanted(&event) {
                return event;
            }
        }
    }

    fn end(self) -> Vec<Event> {
        self.thread.join().unwrap().unwrap();
        self.events.try_iter().collect()
    }
}

/// The first of some ports that nobody used a moment ago; apart for tests that run at the same time.
fn free_ports() -> u16 {
    let spread = 20_000 + (std::process::id() % 200) as u16 * 50;
    let free = |base: &u16| (0..30).all(|offset| TcpListener::bind((Ipv4Addr::LOCALHOST, base + offset)).is_ok());
    static TAKEN: std::sync::Mutex<u16> = std::sync::Mutex::new(0);
    let mut taken = TAKEN.lock().unwrap();
    let base = (0..).map(|step| spread + *taken + step * 30).find(free).unwrap();
    *taken = base + 30 - spread;
    base
}

/// Waits, within the deadline, for what another process does.
#[allow(clippy::disallowed_methods, reason = "other processes send no event")]
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < DEADLINE, "never: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn port_of(url: &str) -> u16 {
    url.rsplit_once(':').unwrap().1.parse().unwrap()
}

fn answers(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[test]
fn up_kill_start_down_and_up_again() {
    let bench = Bench::new();
    let dir = bench.dir();
    let mut running = bench.up();
    let first = status(&dir).unwrap();
    assert!(first.running);
    assert_eq!(first.processes.len(), 4);
    assert!(first.processes.iter().all(|process| process.alive && process.ready), "{first:#?}");

    let error = up(&bench.options(), |_| {}).unwrap_err();
    assert!(matches!(error, TestnetError::Running { .. }), "{error}");
    assert!(matches!(reset(&dir).unwrap_err(), TestnetError::Running { .. }));

    kill(&dir, "node-2").unwrap();
    running.wait_for(|event| matches!(event, Event::Killed { name } if name == "node-2"));
    let killed = status(&dir).unwrap();
    assert!(!killed.processes[2].alive && killed.processes[1].ready && killed.processes[3].ready);
    assert!(!answers(port_of(&killed.processes[2].urls[0])));
    let refused = kill(&dir, "node-2").unwrap_err().to_string();
    assert!(refused.contains("weft testnet start node-2"), "{refused}");
    let unknown = kill(&dir, "node-9").unwrap_err().to_string();
    assert!(unknown.contains("node-1, node-2, node-3, arweave"), "{unknown}");

    start(&dir, "node-2").unwrap();
    let again = status(&dir).unwrap();
    assert!(again.processes[2].ready);
    assert_ne!(again.processes[2].pid, first.processes[2].pid);
    assert!(start(&dir, "node-2").unwrap_err().to_string().contains("already running"));

    let mut lines = Vec::new();
    let sink = |line: &str| {
        lines.push(line.to_owned());
        ControlFlow::Continue(())
    };
    logs(&dir, "node-2", 100, false, sink).unwrap();
    assert_eq!(lines.iter().filter(|line| line.contains("pretending to be")).count(), 2, "{lines:?}");

    down(&dir).unwrap();
    let ending = running.end();
    let forced: Vec<bool> = ending
        .iter()
        .filter_map(|event| if let Event::Stopped { forced, .. } = event { Some(*forced) } else { None })
        .collect();
    assert_eq!(forced, [false; 4]);
    let stopped = status(&dir).unwrap();
    assert!(!stopped.running && stopped.processes.iter().all(|process| !process.alive && !process.ready));
    assert!(matches!(kill(&dir, "node-1").unwrap_err(), TestnetError::NotRunning { .. }));
    assert!(matches!(down(&dir).unwrap_err(), TestnetError::NotRunning { .. }));

    let running = bench.up();
    assert!(running.seen.iter().any(|event| event.contains("resumed: true")), "{:?}", running.seen);
    let resumed = status(&dir).unwrap();
    assert_eq!(resumed.plan.id, first.plan.id);
    let urls =
        |status: &weft_testnet::Status| status.plan.nodes.iter().flat_map(|node| node.urls.clone()).collect::<Vec<_>>();
    assert_eq!(urls(&resumed), urls(&first));
    down(&dir).unwrap();
    running.end();

    reset(&dir).unwrap();
    assert!(matches!(status(&dir).unwrap_err(), TestnetError::NoTestnet { .. }));
}

#[test]
fn a_taken_port_is_replaced_and_said() {
    let bench = Bench::new();
    let usual = bench.options().first_ports.gateway + 2;
    let busy = TcpListener::bind((Ipv4Addr::LOCALHOST, usual)).unwrap();
    let running = bench.up();
    assert!(running.seen.iter().any(|event| event.contains("node-1 messenger")), "{:?}", running.seen);
    let now = status(&bench.dir()).unwrap();
    assert_ne!(port_of(&now.plan.nodes[0].urls[0]), usual);
    assert!(now.processes.iter().all(|process| process.ready));
    down(&bench.dir()).unwrap();
    running.end();
    drop(busy);
}

#[test]
fn a_node_that_dies_is_reported_and_the_others_go_on() {
    let bench = Bench::new();
    let mut running = bench.up();
    let victim = status(&bench.dir()).unwrap().processes[3].pid.unwrap();
    assert!(Command::new("kill").args(["-9", &victim.to_string()]).status().unwrap().success());
    let event = running.wait_for(|event| matches!(event, Event::Died { .. }));
    let Event::Died { name, how, last_lines, .. } = event else { panic!() };
    assert_eq!((name.as_str(), how.as_str()), ("node-3", "it was killed by signal 9"));
    assert!(last_lines.iter().any(|line| line.contains("pretending to be")), "{last_lines:?}");
    eventually("the status knows", || !status(&bench.dir()).unwrap().processes[3].alive);
    assert!(status(&bench.dir()).unwrap().processes[..3].iter().all(|process| process.ready));
    start(&bench.dir(), "node-3").unwrap();
    down(&bench.dir()).unwrap();
    running.end();
}

#[test]
fn a_node_that_cannot_start_fails_the_start_with_the_end_of_its_log() {
    let bench = Bench::new();
    fs::create_dir_all(bench.dir().join("node-2")).unwrap();
    fs::write(bench.dir().join("node-2").join("fail"), "").unwrap();
    let error = up(&bench.options(), |_| {}).unwrap_err().to_string();
    assert!(error.contains("node-2 did not become ready: it exited with code 3"), "{error}");
    assert!(error.contains("cannot go on: told to fail"), "{error}");
    let after = status(&bench.dir()).unwrap();
    assert!(!after.running);
    assert!(!answers(port_of(&after.plan.gateway)), "nothing runs after a failed start");
}

#[test]
fn a_node_that_does_not_end_is_killed_and_named() {
    let bench = Bench::new();
    bench.program("trap '' TERM");
    let running = bench.up_with(TestnetOptions { stop_within: Duration::from_millis(300), ..bench.options() });
    let gateway = port_of(&status(&bench.dir()).unwrap().plan.gateway);
    down(&bench.dir()).unwrap();
    let ending = running.end();
    let forced = ending.iter().filter(|event| matches!(event, Event::Stopped { forced: true, .. })).count();
    assert_eq!(forced, 4, "{ending:?}");
    assert!(!answers(gateway));
}

#[test]
fn another_programs_folder_is_left_alone() {
    let bench = Bench::new();
    fs::create_dir_all(bench.dir()).unwrap();
    fs::write(bench.dir().join("thesis.txt"), "years of work").unwrap();
    for reset in [false, true] {
        let error = up(&TestnetOptions { reset, ..bench.options() }, |_| {}).unwrap_err();
        assert!(matches!(error, TestnetError::ForeignFolder { .. }), "{error}");
    }
    assert_eq!(fs::read_dir(bench.dir()).unwrap().count(), 1);
    let error = up(&TestnetOptions { nodes: Some(0), ..bench.options() }, |_| {}).unwrap_err().to_string();
    assert_eq!(error, "--nodes = 0: use 1 to 32");
}

#[test]
fn reset_starts_over_and_keeps_foreign_files() {
    let bench = Bench::new();
    let running = bench.up();
    down(&bench.dir()).unwrap();
    running.end();
    let relic = bench.dir().join("node-1").join("data");
    fs::create_dir_all(&relic).unwrap();
    fs::write(bench.dir().join("notes.txt"), "mine").unwrap();
    let options = TestnetOptions { reset: true, nodes: Some(1), seed: Some("new".to_owned()), ..bench.options() };
    let running = bench.up_with(options);
    let now = status(&bench.dir()).unwrap();
    assert_eq!((now.plan.nodes.len(), now.plan.seed.as_str()), (1, "new"));
    assert!(!relic.exists() && !bench.dir().join("node-2").exists());
    assert!(bench.dir().join("notes.txt").exists());
    down(&bench.dir()).unwrap();
    running.end();
}

/// Starts a supervisor in a process of its own and waits until its network is up.
fn supervisor(bench: &Bench) -> std::process::Child {
    let child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "supervise", "--nocapture"])
        .env(SUPERVISE, &bench.folder)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let ready = |status: weft_testnet::Status| status.running && status.processes.iter().all(|process| process.ready);
    eventually("the network is up", || status(&bench.dir()).is_ok_and(ready));
    child
}

#[test]
fn no_process_survives_a_killed_supervisor_and_the_next_start_resumes() {
    let bench = Bench::new();
    let mut child = supervisor(&bench);
    let before = status(&bench.dir()).unwrap();
    let ports: Vec<u16> = before.processes.iter().map(|process| port_of(&process.urls[0])).collect();
    assert!(ports.iter().all(|port| answers(*port)));
    child.kill().unwrap();
    child.wait().unwrap();
    eventually("the children are gone", || ports.iter().all(|port| !answers(*port)));
    let after = status(&bench.dir()).unwrap();
    assert!(!after.running && after.processes.iter().all(|process| !process.alive));
    let running = bench.up();
    assert_eq!(status(&bench.dir()).unwrap().plan.id, before.plan.id);
    down(&bench.dir()).unwrap();
    running.end();
}

#[test]
fn sigterm_and_ctrl_c_end_everything_in_order() {
    for signal in ["-TERM", "-INT"] {
        let bench = Bench::new();
        let mut child = supervisor(&bench);
        let port = port_of(&status(&bench.dir()).unwrap().plan.gateway);
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
        assert!(child.wait().unwrap().success(), "{signal}");
        assert!(!answers(port));
        assert!(!status(&bench.dir()).unwrap().running);
    }
}

#[test]
fn a_followed_log_gives_new_lines_as_they_come() {
    let bench = Bench::new();
    let running = bench.up();
    down(&bench.dir()).unwrap();
    running.end();
    let log = bench.dir().join("node-1").join("log");
    fs::write(&log, "one\ntwo\nthree\n").unwrap();
    let (sender, lines) = sync_channel(1024);
    let dir = bench.dir();
    let follower = thread::spawn(move || {
        logs(&dir, "node-1", 2, true, |line| {
            sender.send(line.to_owned()).unwrap();
            if line == "last" { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
    });
    let next = || lines.recv_timeout(DEADLINE).unwrap();
    assert_eq!([next(), next()], ["two", "three"]);
    let mut file = fs::OpenOptions::new().append(true).open(&log).unwrap();
    file.write_all(b"four\nhalf a ").unwrap();
    assert_eq!(next(), "four");
    file.write_all(b"line\n").unwrap();
    assert_eq!(next(), "half a line");
    fs::write(&log, "last\n").unwrap();
    assert_eq!(next(), "last");
    follower.join().unwrap().unwrap();
}
