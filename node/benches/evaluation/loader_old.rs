//! One aos process's evaluations a second, in Weft's engine beside `@permaweb/ao-loader`, on the same messages, in turns.
//!
//! `cargo bench --workspace --bench evaluation --profile dev` (needs Node.js and npm; what runs inside the process is the
//! same machine code in every profile). The loader is measured twice: as AO's compute unit uses it, with the memory
//! passed in and out of each call, and keeping its instance alive (its option `UNSAFE_MEMORY`), as Weft does. Weft meters fuel and keeps what it
//! needs to undo a message; the loader does neither. Answers are compared.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a benchmark")]

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Instant,
};

use serde_json::{Value, json};
use weft_node::compute::{Instance, on_evaluation_stack};

#[path = "../tests/support/modules.rs"]
mod modules;
#[path = "../tests/support/npm.rs"]
mod npm;

const LOADER: &str = "@permaweb/ao-loader@0.0.49";
/// Turns, and messages of each turn: the copying loader takes so long that fewer have to do.
const TURNS: usize = 5;
const PER_TURN: usize = 100;
const COPYING_PER_TURN: usize = 20;
/// Evaluated by each before anything is timed.
const WARM_UP: usize = 20;

/// Counts and answers the sender, as the handlers of a plain process do.
const HANDLER: &str = "Pings = 0; Handlers.add('bench', Handlers.utils.hasMatchingTag('Action', 'Ping'), function(msg) \
                       Pings = Pings + 1; ao.send({ Target = msg.From, Action = 'Pong', Data = 'pong ' .. Pings }) end)";

/// Answers one line for each line: evaluates messages `from` until `to`.
const SCRIPT: &str = r"
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import AoLoader from '@permaweb/ao-loader'
const { wasm, keep, env, first } = JSON.parse(readFileSync(process.env.WEFT_BENCH, 'utf8'))
const options = { format: 'wasm64-unknown-emscripten-draft_2024_02_15', inputEncoding: 'JSON-1', outputEncoding: 'JSON-1',
  memoryLimit: String(1 << 30), computeLimit: '9000000000000', extensions: [], UNSAFE_MEMORY: keep }
const handle = await AoLoader(readFileSync(wasm), options)
let memory = null
const apply = async (message) => {
  const done = await handle(keep ? null : memory, message, env)
  memory = done.Memory
  return done
}
for (const message of first) await apply(message)
for await (const line of createInterface({ input: process.stdin })) {
  const messages = JSON.parse(line)
  const answers = []
  const [wall, processor] = [performance.now(), process.cpuUsage()]
  for (const message of messages) answers.push((await apply(message)).Messages?.[0]?.Data)
  const used = process.cpuUsage(processor)
  console.log(JSON.stringify({ wall: performance.now() - wall, processor: (used.user + used.system) / 1000, answers }))
}
";

/// Time for a number of messages, in milliseconds.
#[derive(Default)]
struct Spent {
    messages: usize,
    wall: f64,
    processor: f64,
}

impl Spent {
    fn add(&mut self, messages: usize, wall: f64, processor: f64) {
        self.messages += messages;
        self.wall += wall;
        self.processor += processor;
    }

    fn per_second(&self) -> f64 {
        self.messages as f64 * 1e3 / self.wall
    }

    fn processor_each(&self) -> f64 {
        self.processor / self.messages as f64
    }
}

/// The workload: what a process is, its first messages, and pings.
struct Work {
    env: Value,
    first: Vec<Value>,
    ping: Value,
}

impl Work {
    fn new() -> Self {
        let run = modules::vectors()["runs"][0].clone();
        let step =
            |index: usize| -> Value { serde_json::from_str(run["steps"][index]["msgJSON"].as_str().unwrap()).unwrap() };
        let mut handler = step(1);
        handler["Data"] = HANDLER.into();
        let mut ping = step(1);
        ping["Data"] = "ping".into();
        for tag in ping["Tags"].as_array_mut().unwrap() {
            if tag["name"] == "Action" {
                tag["value"] = "Ping".into();
            }
        }
        Self {
            env: serde_json::from_str(run["envJSON"].as_str().unwrap()).unwrap(),
            first: vec![step(0), handler],
            ping,
        }
    }

    fn pings(&self, from: usize, count: usize) -> Vec<Value> {
        let ping = |number: usize| {
            let mut ping = self.ping.clone();
            ping["Timestamp"] = json!(1_735_689_600_000_u64 + number as u64);
            ping
        };
        (from..from + count).map(ping).collect()
    }
}

/// The loader in a process of its own.
struct Loader {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    sent: usize,
    spent: Spent,
    answers: Vec<String>,
}

impl Loader {
    fn start(work: &Work, keep: bool) -> Self {
        let folder = npm::installed("ao-loader", LOADER);
        let name = if keep { "keep" } else { "copy" };
        let wasm = folder.join("aos.wasm");
        fs::write(&wasm, modules::ao_module("aos2_0_6.wasm")).unwrap();
        let (script, setup) = (folder.join("evaluation.mjs"), folder.join(format!("{name}.json")));
        fs::write(&script, SCRIPT).unwrap();
        fs::write(&setup, json!({ "wasm": wasm, "keep": keep, "env": work.env, "first": work.first }).to_string())
            .unwrap();
        let mut child = Command::new("node")
            .arg("--experimental-wasm-memory64")
            .arg(script)
            .env("WEFT_BENCH", setup)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Node.js is needed for the comparison");
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, input, output, sent: 0, spent: Spent::default(), answers: Vec::new() }
    }

    fn run(&mut self, work: &Work, count: usize, timed: bool) {
        let messages = work.pings(self.sent, count);
        self.sent += count;
        writeln!(self.input, "{}", Value::from(messages)).unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        let done: Value = serde_json::from_str(&line).expect("the loader failed; its error is above");
        if timed {
            self.spent.add(count, done["wall"].as_f64().unwrap(), done["processor"].as_f64().unwrap());
        }
        self.answers.extend(done["answers"].as_array().unwrap().iter().map(|a| a.as_str().unwrap_or("?").to_owned()));
    }

    fn end(mut self) -> (Spent, Vec<String>) {
        drop(self.input);
        assert!(self.child.wait().unwrap().success());
        (self.spent, self.answers)
    }
}

/// Weft's engine in this process.
struct Weft {
    instance: Instance,
    env: String,
    sent: usize,
    spent: Spent,
    answers: Vec<String>,
}

impl Weft {
    fn start(work: &Work) -> Self {
        let module = modules::aos(&modules::engine(|_| {}));
        let mut instance = Instance::new(&module).unwrap();
        let env = work.env.to_string();
        for message in &work.first {
            assert!(instance.apply(&message.to_string(), &env).committed);
        }
        Self { instance, env, sent: 0, spent: Spent::default(), answers: Vec::new() }
    }

    fn run(&mut self, work: &Work, count: usize, timed: bool) {
        let messages = work.pings(self.sent, count);
        self.sent += count;
        let (wall, processor) = (Instant::now(), processor());
        for message in messages {
            let done = self.instance.apply(&message.to_string(), &self.env).result.unwrap();
            self.answers.push(done["Messages"][0]["Data"].as_str().unwrap_or("?").to_owned());
        }
        if timed {
            self.spent.add(count, wall.elapsed().as_secs_f64() * 1e3, self::processor() - processor);
        }
    }
}

/// Processor time of this thread in milliseconds.
fn processor() -> f64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_whitespace().next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(f64::NAN) / 1e6
}

fn main() {
    on_evaluation_stack(measure).unwrap();
}

fn measure() {
    let work = Work::new();
    let (mut copying, mut keeping) = (Loader::start(&work, false), Loader::start(&work, true));
    let mut weft = Weft::start(&work);
    copying.run(&work, WARM_UP, false);
    keeping.run(&work, WARM_UP, false);
    weft.run(&work, WARM_UP, false);
    for _ in 0..TURNS {
        weft.run(&work, PER_TURN, true);
        copying.run(&work, COPYING_PER_TURN, true);
        keeping.run(&work, PER_TURN, true);
    }
    let ((copying, copied), (keeping, kept)) = (copying.end(), keeping.end());
    assert_eq!(kept, weft.answers, "the loader and Weft answer differently");
    assert!(weft.answers.starts_with(&copied), "the copying loader and Weft answer differently");
    report(&weft.spent, &copying, &keeping);
}

fn report(weft: &Spent, copying: &Spent, keeping: &Spent) {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let build = if cfg!(debug_assertions) { "development" } else { "release" };
    println!("one aos 2.0.6 process, ping handler; {build} build; load average {load}");
    println!("{:<42}{:>9}{:>15}{:>13}{:>18}", "", "messages", "evaluations/s", "CPU ms each", "Weft is faster by");
    let rows = [
        ("Weft (metered, can undo each message)", weft),
        ("ao-loader 0.0.49, memory in and out", copying),
        ("ao-loader 0.0.49, instance kept alive", keeping),
    ];
    for (name, spent) in rows {
        let ratio = spent.processor_each() / weft.processor_each();
        let (rate, each) = (spent.per_second(), spent.processor_each());
        println!("{name:<42}{:>9}{rate:>15.1}{each:>13.2}{ratio:>17.2}x", spent.messages);
    }
    println!("the last column compares CPU time; all three gave the same answers");
}
