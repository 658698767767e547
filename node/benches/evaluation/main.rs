//! bench
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a benchmark")]
#[path = "../../tests/support/modules.rs"]
mod modules;
mod bare;
mod contest;
mod weft;
mod workload;

use weft_node::compute::{ModuleFormat, on_evaluation_stack};

fn main() {
    on_evaluation_stack(|| {
        let engine = modules::engine(|_| {});
        let aos = modules::aos(&engine);
        let mut luas = vec![];
        for path in std::env::args().skip(1).filter(|arg| arg.ends_with(".wasm")) {
            luas.push((path.clone(), engine.load(&std::fs::read(path).unwrap(), ModuleFormat::Emscripten32).unwrap()));
        }
        let turns: usize = std::env::var("TURNS").ok().and_then(|t| t.parse().ok()).unwrap_or(10);
        let only = std::env::var("ONLY").unwrap_or_default();
        for kind in workload::Kind::ALL {
            if !only.is_empty() && !only.contains(&format!("{kind:?}")) { continue; }
            let work = workload::Work::new(kind);
            if let Some(file) = std::env::var_os("WORK") { std::fs::write(file, serde_json::json!({"env": work.env, "setup": work.setup(true), "timed": work.timed(0, 400)}).to_string()).unwrap(); }
            let count = if matches!(kind, workload::Kind::Ping | workload::Kind::Token) { 50 } else { 5 };
            let mut entries: Vec<contest::Entry> = vec![];
            if std::env::var("NOAOS").is_err() {
                if std::env::var("BARE").is_ok() {
                    entries.push((Box::new(bare::Bare::start(&modules::ao_module("aos2_0_6.wasm"), ModuleFormat::Emscripten64, &work, true)), count));
                }
                entries.push((Box::new(weft::Weft::start("aos", &aos, &work, true)), count));
            }
            for (name, lua) in &luas {
                if std::env::var("BARE").is_ok() {
                    entries.push((Box::new(bare::Bare::start(&std::fs::read(name).unwrap(), ModuleFormat::Emscripten32, &work, true)), count));
                }
                entries.push((Box::new(weft::Weft::start(name, lua, &work, true)), count));
            }
            let scores = contest::run(&work, entries, turns);
            for score in &scores {
                println!("{:<34} {:<40} {:.3} ms  {:.2}x fuel {:?}", kind.name(), score.name, score.each(), scores[0].each() / score.each(), score.fuel);
            }
        }
    }).unwrap();
}
