//! The limit: wasmtime's default configuration, the module as it came, `handle` called directly.

use std::time::Instant;

use serde_json::Value;
use weft_node::compute::{ModuleFormat, measure};

use crate::{
    contest::{Contestant, Spent, processor},
    workload::Work,
};

/// Name of the row.
pub const BARE: &str = "bare wasmtime, nothing on";

/// A process with nothing around it.
pub struct Bare {
    instance: measure::Bare,
    env: String,
}

impl Bare {
    /// With `BENCH_PERFMAP` set, `perf` learns the names of the functions.
    pub fn start(wasm: &[u8], format: ModuleFormat, work: &Work, lua: bool) -> Self {
        let profiled = std::env::var_os("BENCH_PERFMAP").is_some();
        let instance = measure::Bare::start(wasm, format, profiled).unwrap();
        let mut bare = Self { instance, env: work.env.clone() };
        for message in work.setup(lua) {
            bare.instance.call(&message, &work.env).unwrap();
        }
        bare
    }
}

impl Contestant for Bare {
    fn name(&self) -> &str {
        BARE
    }

    fn run(&mut self, messages: &[String]) -> (Spent, Vec<Value>) {
        let mut answers = Vec::with_capacity(messages.len());
        let (wall, began) = (Instant::now(), processor());
        for message in messages {
            answers.push(self.instance.call(message, &self.env).unwrap());
        }
        let processor = processor() - began;
        let spent = Spent { messages: messages.len(), processor, wall: wall.elapsed().as_secs_f64() * 1e3 };
        let parsed = |answer: Vec<u8>| serde_json::from_slice::<Value>(&answer).unwrap()["response"].take();
        (spent, answers.into_iter().map(parsed).collect())
    }
}
