//! A process that runs a Lua module, driven by the messages of the vectors.
//!
//! Use from a test file beside `modules`: `#[path = "support/lua.rs"] mod lua;`.

#![allow(dead_code, reason = "each test file uses a part of this")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::sync::Arc;

use serde_json::Value;
use weft_node::compute::{Evaluation, Instance, Module, Reads};

use crate::modules;

/// A process that has had its first message.
pub struct Lua {
    pub instance: Instance,
    eval: Value,
    pub env: String,
}

impl Lua {
    /// Starts the module with the first message of run 0 (64-bit) or 1 (32-bit). To be used on an evaluation stack.
    pub fn boot(module: &Module, run: usize) -> Self {
        let run = modules::vectors()["runs"][run].clone();
        let msg = |index: usize| run["steps"][index]["msgJSON"].as_str().unwrap().to_owned();
        let env = run["envJSON"].as_str().unwrap().to_owned();
        let mut instance = Instance::new(module).unwrap();
        let booted = instance.apply(&msg(0), &env);
        assert!(booted.committed, "{booted:?}");
        Self { instance, eval: serde_json::from_str(&msg(1)).unwrap(), env }
    }

    /// The owner's message that has `lua` evaluated.
    pub fn message(&self, lua: &str) -> String {
        let mut message = self.eval.clone();
        message["Data"] = lua.into();
        message.to_string()
    }

    pub fn eval(&mut self, lua: &str) -> Evaluation {
        self.instance.apply(&self.message(lua), &self.env)
    }

    /// The same with files to read.
    pub fn eval_reading(&mut self, lua: &str, reads: &Arc<Reads>) -> Evaluation {
        self.instance.apply_reading(&self.message(lua), &self.env, reads)
    }

    /// What `lua` returned, as text.
    pub fn data(&mut self, lua: &str) -> String {
        let evaluation = self.eval(lua);
        assert!(evaluation.committed, "{lua}: {evaluation:?}");
        returned(&evaluation)
    }
}

/// What the Lua of an evaluation returned, as text.
pub fn returned(evaluation: &Evaluation) -> String {
    let response = evaluation.result.as_ref().unwrap_or_else(|error| panic!("{error}"));
    let data = &response["Output"]["data"];
    // aos 1 puts it one level deeper.
    match data.get("output").unwrap_or(data) {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
