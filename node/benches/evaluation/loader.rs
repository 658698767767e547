//! `@permaweb/ao-loader` in Node.js, in a process of its own: as AO's compute unit uses it, with the memory passed in and
//! out of each call, or keeping its instance alive (its option `UNSAFE_MEMORY`), as Weft does.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use serde_json::{Value, json};

use crate::{
    contest::{Contestant, Spent},
    npm,
    workload::Work,
};

const LOADER: &str = "@permaweb/ao-loader@0.0.49";

/// Answers one line for each line, a list of messages.
const SCRIPT: &str = r"
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import AoLoader from '@permaweb/ao-loader'
const { wasm, keep, env, format, first } = JSON.parse(readFileSync(process.env.WEFT_BENCH, 'utf8'))
const options = { format, inputEncoding: 'JSON-1', outputEncoding: 'JSON-1',
  memoryLimit: String(1 << 30), computeLimit: '9000000000000', extensions: [], UNSAFE_MEMORY: keep }
const handle = await AoLoader(readFileSync(wasm), options)
let memory = null
const apply = async (message) => {
  const done = await handle(keep ? null : memory, message, env)
  memory = done.Memory
  delete done.Memory
  return done
}
for (const message of first) await apply(message)
for await (const line of createInterface({ input: process.stdin })) {
  const messages = JSON.parse(line)
  const answers = []
  const [wall, processor] = [performance.now(), process.cpuUsage()]
  for (const message of messages) answers.push(await apply(message))
  const used = process.cpuUsage(processor)
  console.log(JSON.stringify({ wall: performance.now() - wall, processor: (used.user + used.system) / 1000, answers }))
}
";

/// A process in the loader.
pub struct Loader {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    keep: bool,
}

impl Loader {
    pub fn start(name: &str, wasm: &[u8], format: &str, work: &Work, lua: bool, keep: bool) -> Self {
        let folder = npm::installed("ao-loader", LOADER);
        let name = format!("{name}-{:?}-{}", work.kind, if keep { "keep" } else { "copy" });
        let (file, script) = (folder.join(format!("{name}.wasm")), folder.join("evaluation.mjs"));
        let setup = folder.join(format!("{name}.json"));
        let value = |text: &String| -> Value { serde_json::from_str(text).unwrap() };
        let first: Vec<Value> = work.setup(lua).iter().map(value).collect();
        fs::write(&file, wasm).unwrap();
        fs::write(&script, SCRIPT).unwrap();
        let told = json!({ "wasm": file, "keep": keep, "env": value(&work.env), "format": format, "first": first });
        fs::write(&setup, told.to_string()).unwrap();
        let mut child = Command::new("node")
            .arg("--experimental-wasm-memory64")
            .arg("--no-warnings")
            .arg(script)
            .env("WEFT_BENCH", setup)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Node.js 20 is needed for the comparison");
        let (input, output) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, input, output, keep }
    }
}

impl Contestant for Loader {
    fn name(&self) -> &str {
        if self.keep { LIVE } else { COPIED }
    }

    fn run(&mut self, messages: &[String]) -> (Spent, Vec<Value>) {
        writeln!(self.input.as_ref().unwrap(), "[{}]", messages.join(",")).unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        let done: Value = serde_json::from_str(&line).expect("the loader failed; its error is above");
        let spent = Spent {
            messages: messages.len(),
            wall: done["wall"].as_f64().unwrap(),
            processor: done["processor"].as_f64().unwrap(),
        };
        (spent, done["answers"].as_array().unwrap().clone())
    }
}

/// Names of the rows.
pub const COPIED: &str = "ao-loader, memory in and out";
pub const LIVE: &str = "ao-loader, kept alive (V8)";

impl Drop for Loader {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
    }
}
