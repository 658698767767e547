//! The limit: wasmtime's default configuration, the module as it came, `handle` called directly.

use std::time::Instant;

use serde_json::Value;
use weft_node::compute::{ModuleFormat, measure};

use crate::{
    contest::{Contestant, Spent, processor},
    workload::Work,
};

/// A process with nothing around it.
pub struct Bare {
    instance: measure::Bare,
    env: String,
}

impl Bare {
    pub fn start(wasm: &[u8], format: ModuleFormat, work: &Work, lua: bool) -> Self {
        let mut bare = Self { instance: measure::Bare::start(wasm, format, std::env::var_os("BENCH_PERF").is_some()).unwrap(), env: work.env.clone() };
        for message in work.setup(lua) {
            bare.instance.call(&message, &work.env).unwrap();
        }
        bare
    }
}

impl Contestant for Bare {
    fn name(&self) -> &str {
        "bare wasmtime"
    }

    fn run(&mut self, messages: &[String]) -> (Spent, Vec<Value>) {
        let mut answers = Vec::with_capacity(messages.len());
        let (wall, began) = (Instant::now(), processor());
        for message in messages {
            answers.push(self.instance.call(message, &self.env).unwrap());
        }
        let spent = Spent {
            messages: messages.len(),
            processor: processor() - began,
            wall: wall.elapsed().as_secs_f64() * 1e3,
        };
        let parsed = |answer: Vec<u8>| serde_json::from_slice::<Value>(&answer).unwrap()["response"].take();
        (spent, answers.into_iter().map(parsed).collect())
    }
}
