//! Weft's engine with everything that a node has on: fuel, rollback, a state root for each batch, and results in a file that
//! is flushed to the disk for each batch before the next begins.

use std::{fs::File, io::Write as _, time::Instant};

use serde_json::Value;
use weft_node::compute::{Instance, Module};

use crate::{
    contest::{Contestant, Spent, processor},
    workload::Work,
};

/// Name of the row.
pub const WEFT: &str = "Weft, everything on";
/// Messages between two flushes and two roots.
const BATCH: usize = 32;

/// A process in Weft's engine.
pub struct Weft {
    instance: Instance,
    env: String,
    journal: File,
    fuel: u64,
    messages: u64,
}

impl Weft {
    pub fn start(module: &Module, work: &Work, lua: bool) -> Self {
        let journal = tempfile::tempfile_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        Self { instance: booted(module, work, lua), env: work.env.clone(), journal, fuel: 0, messages: 0 }
    }
}

/// A process that had its first messages.
pub fn booted(module: &Module, work: &Work, lua: bool) -> Instance {
    let mut instance = Instance::new(module).unwrap();
    for message in work.setup(lua) {
        let done = instance.apply(&message, &work.env);
        assert!(done.committed, "{:?}: {done:?}", work.kind);
    }
    instance
}

impl Contestant for Weft {
    fn name(&self) -> &str {
        WEFT
    }

    fn run(&mut self, messages: &[String]) -> (Spent, Vec<Value>) {
        let mut answers = Vec::with_capacity(messages.len());
        let (wall, began) = (Instant::now(), processor());
        for batch in messages.chunks(BATCH) {
            let mut record = Vec::new();
            for message in batch {
                let done = self.instance.apply(message, &self.env);
                self.fuel += done.fuel;
                self.messages += 1;
                let result = done.result.unwrap();
                serde_json::to_writer(&mut record, &result).unwrap();
                answers.push(result);
            }
            record.extend_from_slice(self.instance.root().unwrap().as_bytes());
            self.journal.write_all(&record).unwrap();
            self.journal.sync_data().unwrap();
        }
        let processor = processor() - began;
        (Spent { messages: messages.len(), wall: wall.elapsed().as_secs_f64() * 1e3, processor }, answers)
    }

    fn fuel(&self) -> Option<u64> {
        self.fuel.checked_div(self.messages)
    }
}
