//! Real modules of every format that the npm registry has load and answer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "support/modules.rs"]
mod modules;

use serde_json::Value;
use weft_node::compute::{Evaluation, Instance, Module, on_evaluation_stack};

/// A process of a Lua module that has had its first message.
struct Lua {
    instance: Instance,
    eval: Value,
    env: String,
}

impl Lua {
    fn boot(module: &Module) -> (Self, Evaluation) {
        let run = modules::vectors()["runs"][0].clone();
        let msg = |index: usize| run["steps"][index]["msgJSON"].as_str().unwrap().to_owned();
        let env = run["envJSON"].as_str().unwrap().to_owned();
        let mut instance = Instance::new(module).unwrap();
        let booted = instance.apply(&msg(0), &env);
        (Self { instance, eval: serde_json::from_str(&msg(1)).unwrap(), env }, booted)
    }

    fn eval(&mut self, lua: &str) -> Evaluation {
        let mut message = self.eval.clone();
        message["Data"] = lua.into();
        self.instance.apply(&message.to_string(), &self.env)
    }
}

#[test]
fn probe() {
    let engine = modules::engine(|c| c.max_memory_bytes = 2 << 30);
    let name = std::env::var("MODULE").unwrap();
    let t = std::time::Instant::now();
    let module =
        engine.load(&modules::ao_module(&name), "wasm64-unknown-emscripten-draft_2024_02_15".parse().unwrap()).unwrap();
    println!("loaded {:?}", t.elapsed());
    on_evaluation_stack(|| {
        let (mut lua, booted) = Lua::boot(&module);
        println!("{:?} {booted:?}", t.elapsed());
        for code in std::env::var("LUA").unwrap_or("return 1 + 1".into()).split('@') {
            println!("{code} => {:?} {:?}", lua.eval(code), t.elapsed());
        }
    })
    .unwrap();
}
