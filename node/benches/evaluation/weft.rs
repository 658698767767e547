//! Weft's engine with everything that a node has on: fuel, rollback, roots.

use std::time::Instant;

use serde_json::Value;
use weft_node::compute::{Instance, Module};

use crate::{contest::{Contestant, Spent}, workload::Work};

/// A process in Weft's engine.
pub struct Weft {
    name: String,
    instance: Instance,
    env: String,
    pub fuel: u64,
    pub messages: u64,
}

impl Weft {
    pub fn start(name: &str, module: &Module, work: &Work, lua: bool) -> Self {
        let mut instance = Instance::new(module).unwrap();
        for message in work.setup(lua) {
            let done = instance.apply(&message, &work.env);
            assert!(done.committed, "{name}: {done:?}");
        }
        Self { name: name.to_owned(), instance, env: work.env.clone(), fuel: 0, messages: 0 }
    }
}

impl Contestant for Weft {
    fn name(&self) -> &str {
        &self.name
    }

    fn run(&mut self, messages: &[String]) -> (Spent, Vec<Value>) {
        let mut answers = Vec::with_capacity(messages.len());
        let (wall, processor) = (Instant::now(), crate::contest::processor());
        for message in messages {
            let done = self.instance.apply(message, &self.env);
            self.fuel += done.fuel;
            self.messages += 1;
            answers.push(done.result.unwrap());
        }
        let processor = crate::contest::processor() - processor;
        (Spent { messages: messages.len(), wall: wall.elapsed().as_secs_f64() * 1e3, processor }, answers)
    }

    fn fuel(&self) -> Option<u64> {
        self.fuel.checked_div(self.messages)
    }
}
