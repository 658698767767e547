//! `weft repl` on a testnet started through the binary: from a pipe, at a terminal, and the Lua example's README.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "support/npm.rs"]
mod npm;
#[path = "support/testnet.rs"]
mod testnet;

use std::{
    fs,
    io::{Read, Write},
    path::Path,
    process::{Child, ChildStdin, Command, Output, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use serde_json::Value;
use testnet::{Testnet, eventually, weft};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/lua");
/// For one answer of a busy network on a busy machine.
const ANSWER: Duration = Duration::from_secs(60);

#[test]
fn a_lua_process_is_talked_to() {
    let mut net = Testnet::start(3);
    let id = spawned(&net, "hello");
    from_a_pipe(&net);
    as_json(&net, &id);
    at_a_terminal(&net);
    two_processes_talk(&net);
    the_readme_is_true(&net, &id);
    net.stop();
}

/// `weft WORDS` against the network's first node, as alice.
fn command(net: &Testnet, words: &[&str]) -> Command {
    let mut command = weft();
    command.args(words).args(["--node", &net.door(0), "--wallet"]).arg(net.wallet("alice"));
    command.env("HOME", net.dir()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it with `input` on stdin.
fn run(net: &Testnet, words: &[&str], input: &str) -> Output {
    let mut child = command(net, words).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A process with the module that is used when nothing is said.
fn spawned(net: &Testnet, name: &str) -> String {
    let output = run(net, &["process", "spawn", "--name", name, "--json"], "");
    assert!(output.status.success(), "{}", err(&output));
    let spawned: Value = serde_json::from_str(&out(&output)).unwrap();
    spawned["id"].as_str().unwrap().to_owned()
}

fn from_a_pipe(net: &Testnet) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("double.lua");
    fs::write(&file, "function Double(x)\n  return 2 * x\nend\n").unwrap();
    let script = format!(
        "1 + 1\n= 'three'\n.load {}\nDouble(\n  21\n)\n.editor\nlocal a = 4\nreturn a\n.done\nfor i = 1, 2 do\n  print(i)\nend",
        file.display()
    );
    let output = run(net, &["repl", "hello"], &script);
    assert!(output.status.success(), "{}", err(&output));
    assert_eq!(out(&output), "2\nthree\n42\n4\n1\n2\n");
    // The first error ends it, and says so in the exit code.
    let output = run(net, &["repl", "hello"], "error('stop here')\nprint('not reached')\n");
    assert_eq!(output.status.code(), Some(6));
    assert!(err(&output).contains("stop here") && !out(&output).contains("not reached"), "{}", err(&output));
    let output = run(net, &["repl", "hello"], ".dance\n");
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains(".help"), "{}", err(&output));
    assert_eq!(run(net, &["repl", "nobody"], "1\n").status.code(), Some(3));
}

fn as_json(net: &Testnet, id: &str) {
    let output = run(net, &["repl", "hello", "--json"], "1 + 1\nreturn nil, 'no'\n");
    assert_eq!(output.status.code(), Some(6), "{}", err(&output));
    let told: Value = serde_json::from_str(&out(&output)).unwrap();
    assert_eq!(told["process"], id);
    assert_eq!(told["evaluations"][0]["output"], "2");
    assert_eq!(told["evaluations"][0]["input"], "1 + 1\n");
    assert_eq!(told["evaluations"][1]["error"], "no");
}

/// A terminal around the console: what it showed so far.
struct Screen {
    child: Child,
    keys: ChildStdin,
    shown: Arc<Mutex<String>>,
}

impl Screen {
    fn open(net: &Testnet) -> Self {
        let words =
            ["repl", "hello", "--node", &net.door(0), "--wallet", &net.wallet("alice").display().to_string()].join(" ");
        let mut child = Command::new("script")
            .args([
                "--quiet",
                "--flush",
                "--return",
                "--command",
                &format!("{} {words}", env!("CARGO_BIN_EXE_weft")),
                "/dev/null",
            ])
            .env("HOME", net.dir())
            .env("TERM", "xterm")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("`script` (package bsdutils) gives the console a terminal");
        let (keys, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let shown = Arc::new(Mutex::new(String::new()));
        let seen = Arc::clone(&shown);
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(n @ 1..) = output.read(&mut bytes) {
                seen.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..n]));
            }
        });
        Self { child, keys, shown }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Waits for `text`, then forgets everything up to its end.
    fn expect(&mut self, text: &str) {
        let shown = Arc::clone(&self.shown);
        let look = || {
            let mut shown = shown.lock().unwrap();
            let at = shown.find(text)? + text.len();
            shown.drain(..at);
            Some(())
        };
        eventually(&format!("{text:?} on the screen: {:?}", self.shown.lock().unwrap().clone()), ANSWER, look);
    }
}

fn at_a_terminal(net: &Testnet) {
    let mut screen = Screen::open(net);
    screen.expect("Connected to ");
    // The process's own prompt.
    screen.expect("weft-lua-1");
    screen.press("6 * 7\r");
    screen.expect("42");
    // An error is told, and the console goes on.
    screen.press("error('oh')\r");
    screen.expect("eval:1: oh");
    screen.press("function Twice(x)\r");
    screen.press("return x .. x end\r");
    screen.press("Twice('ab')\r");
    screen.expect("abab");
    screen.press("Handlers.add('say', 'Say', function(m) print('heard ' .. m.Data) end)\r");
    screen.expect("3");
    // What others send is shown as it comes.
    let said = command(net, &["process", "send", "hello", "--action", "Say", "something"]).output().unwrap();
    assert!(said.status.success(), "{}", err(&said));
    screen.expect("heard something");
    screen.press(".help\r");
    screen.expect(".load FILE");
    screen.press(".exit\r");
    let mut status = None;
    eventually("the console ends", ANSWER, || {
        status = screen.child.try_wait().unwrap();
        status
    });
    assert!(status.unwrap().success());
    assert!(fs::read_to_string(net.dir().join(".weft/history")).unwrap().contains("6 * 7"));
}

/// The Lua of the project's own README, which is there to be copied: a message to another process, and its answer; a
/// process that makes another.
fn two_processes_talk(net: &Testnet) {
    let readme = include_str!("../../README.md");
    let (_, pong) = readme.split_once("```lua\n").unwrap();
    let (pong, _) = pong.split_once("```").unwrap();
    let (_, ping) = readme.split_once("weft process eval ping 'Send").unwrap();
    let (ping, _) = ping.split_once('\'').unwrap();
    let (_, look) = readme.split_once("weft process eval ping 'return").unwrap();
    let (look, _) = look.split_once('\'').unwrap();
    spawned(net, "ping");
    let answerer = spawned(net, "pong");
    let lua = |process: &str, code: &str| {
        let output = run(net, &["process", "eval", process, code], "");
        assert!(output.status.success(), "{code}: {}{}", out(&output), err(&output));
        out(&output)
    };
    lua("pong", pong);
    lua("ping", &format!("Send{}", ping.replace("PONG-ID", &answerer)));
    eventually("the answer of the other process", ANSWER, || {
        // Before it comes, the Inbox ends with the process item, whose data is a space.
        lua("ping", &format!("return{look}")).contains("pong to hello").then_some(())
    });
    lua(
        "ping",
        "Child = nil; local made = Spawn({ Data = 'Born = true', ['On-Boot'] = 'Data', Name = 'child', Authority = ao.authorities[1] }).receive(); Child = made.Process",
    );
    eventually("the notice of the new process", ANSWER, || {
        lua("ping", "return Child or 'none'").lines().next().is_some_and(|id| id.trim().len() == 43).then_some(())
    });
    // It belongs to its parent: that one evaluates there, and nobody else.
    lua(
        "ping",
        "Send({ Target = Child, Action = 'Eval', Data = \"Send({ Target = Owner, Action = 'Told', Data = 'born: ' .. tostring(Born) })\" })",
    );
    eventually("the child's word", ANSWER, || {
        lua("ping", "return Inbox[#Inbox].Data").contains("born: true").then_some(())
    });
}

/// The commands of the README, in an empty folder: the second block of shell is how it is built, and not for here.
fn the_readme_is_true(net: &Testnet, id: &str) {
    let readme = fs::read_to_string(Path::new(EXAMPLE).join("README.md")).unwrap();
    let (_, block) = readme.split_once("```sh\n").unwrap();
    let (commands, _) = block.split_once("```").unwrap();
    let client = "@permaweb/aoconnect@0.0.98";
    let folder = npm::installed("aoconnect", client);
    let place = tempfile::tempdir_in(&folder).unwrap();
    for file in ["greeter.lua", "client.mjs"] {
        fs::copy(Path::new(EXAMPLE).join(file), place.path().join(file)).unwrap();
    }
    let mut last = String::new();
    for line in commands.lines().filter(|line| !line.starts_with("weft process spawn")) {
        if line.starts_with("npm install") {
            // Installed above, once for all tests.
            assert!(line.ends_with(client), "{line}");
            continue;
        }
        let line = line
            .replace(" greeter ", " hello ")
            .replace("PROCESS-ID", id)
            .replace("weft ", concat!(env!("CARGO_BIN_EXE_weft"), " "));
        let output = Command::new("sh")
            .args(["-euc", &line])
            .current_dir(place.path())
            .env("HOME", place.path())
            .env("WEFT_NODE", net.door(0))
            .env("WEFT_WALLET", net.wallet("alice"))
            .env("WALLET", net.wallet("bob"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{line}: {}{}", out(&output), err(&output));
        if line.contains("Name=Ada") {
            assert!(out(&output).contains("Hello, Ada! Visit no. 1."), "{}", out(&output));
        }
        last = out(&output);
    }
    assert_eq!(last, "Hello, Grace! Visit no. 1.\n");
    assert!(readme.contains(last.trim()), "the README says what the last command prints");
}
