//! How fast a process runs, and how far that is from what the machine can do.
//!
//! `cargo bench --workspace --bench evaluation` measures everything in some minutes; `-- --quick` tries it in one;
//! `-- --markdown` prints the tables of the README; `-- --only PART` (contest, costs, pool, network; repeatable) measures
//! less. Needs Node.js 20 and npm. What each row means, how far it is from the limit and why: `benches/README.md`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a benchmark")]

mod bare;
mod contest;
mod costs;
mod loader;
#[path = "../../tests/support/modules.rs"]
mod modules;
mod network;
#[path = "../../tests/support/npm.rs"]
mod npm;
mod pools;
mod table;
mod weft;
mod workload;

use serde_json::{Value, json};
use weft_node::compute::{Engine, Module, ModuleFormat, on_evaluation_stack};

use contest::{Entry, Score};
use table::{Table, ms};
use workload::{Kind, Work};

const LUA: &[u8] = include_bytes!("../../../examples/lua/lua.wasm");
const RUST: &[u8] = include_bytes!("../../../examples/counter-rust/counter.wasm");

/// What the command line asked for.
struct Options {
    quick: bool,
    markdown: bool,
    only: Vec<String>,
}

impl Options {
    fn read() -> Self {
        let mut options = Self { quick: false, markdown: false, only: Vec::new() };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--quick" => options.quick = true,
                "--markdown" => options.markdown = true,
                "--only" => options.only.extend(words.next()),
                // Cargo says it.
                "--bench" => {}
                other => {
                    eprintln!(
                        "evaluation: unknown word {other:?}; use --quick, --markdown, --only contest|costs|pool|network"
                    );
                    std::process::exit(2);
                }
            }
        }
        options
    }

    fn wants(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == part)
    }
}

/// A module, in all the ways that it is run.
struct Subject {
    name: &'static str,
    wasm: Vec<u8>,
    format: ModuleFormat,
    /// What the loader calls its format, if the loader can run it.
    loader: Option<&'static str>,
    /// Whether its handlers come with messages.
    lua: bool,
    module: Module,
}

fn subjects(engine: &Engine) -> Vec<Subject> {
    let wide = "wasm64-unknown-emscripten-draft_2024_02_15";
    let narrow = "wasm32-unknown-emscripten4";
    let subject = |name, wasm: Vec<u8>, format, loader, lua| {
        let module = engine.load(&wasm, format).unwrap();
        Subject { name, wasm, format, loader, lua, module }
    };
    vec![
        subject(
            "aos 2.0.6, memory64",
            modules::ao_module("aos2_0_6.wasm"),
            ModuleFormat::Emscripten64,
            Some(wide),
            true,
        ),
        subject(
            "aos 2.0.4, wasm32",
            modules::ao_module("aos2_0_4_32.wasm"),
            ModuleFormat::Emscripten32,
            Some(narrow),
            true,
        ),
        subject("Lua of the box", LUA.to_vec(), ModuleFormat::Emscripten32, None, true),
        subject("counter in Rust", RUST.to_vec(), ModuleFormat::Plain, None, false),
    ]
}

fn main() {
    let options = Options::read();
    on_evaluation_stack(|| measure(&options)).unwrap();
}

fn measure(options: &Options) {
    let (markdown, quick) = (options.markdown, options.quick);
    let build = if cfg!(debug_assertions) { "development (figures of Weft's own part mean little)" } else { "release" };
    let load = || std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim().to_owned();
    let processors = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    println!("{build} build, {processors} processors, load average {}", load());
    let engine = modules::engine(|_| {});
    let subjects = subjects(&engine);
    if options.wants("contest") {
        // Filling 100,000 balances takes longer than a trial should.
        for kind in Kind::ALL.into_iter().filter(|kind| !quick || *kind != Kind::Large) {
            contest_of(kind, &subjects, quick, markdown);
        }
    }
    let loaded: Vec<_> = subjects.iter().map(|one| (one.name, one.module.clone(), one.lua)).collect();
    if options.wants("costs") {
        let lua: Vec<_> = loaded.iter().filter(|(_, _, lua)| *lua).cloned().collect();
        let times = if quick { 10 } else { 60 };
        costs::state(&lua, &[Kind::Ping, Kind::Token], times, markdown);
        if !quick {
            costs::state(&lua, &[Kind::Large], 12, markdown);
        }
        costs::policies(subjects[0].name, &subjects[0].module, markdown, if quick { 60 } else { 600 });
        costs::policies(subjects[2].name, &subjects[2].module, markdown, if quick { 300 } else { 3000 });
        let binaries: Vec<_> = subjects.iter().map(|one| (one.name, one.wasm.clone(), one.format)).collect();
        costs::load(&binaries, markdown);
        costs::replay(&loaded, if quick { 200 } else { 2000 }, markdown);
    }
    if options.wants("pool") {
        let named = [0, 2].map(|index: usize| (subjects[index].name, subjects[index].module.clone()));
        pools::all(&named, if quick { 128 } else { 960 }, markdown);
    }
    if options.wants("network") {
        network::run(&subjects[0].wasm, if quick { "2s" } else { "8s" }, markdown);
    }
    println!("\nload average at the end {}", load());
}

/// All modules and contestants on one workload.
fn contest_of(kind: Kind, subjects: &[Subject], quick: bool, markdown: bool) {
    let work = Work::new(kind);
    let (turns, count, copying) = match (kind, quick) {
        (Kind::Ping | Kind::Token, false) => (7, 60, 4),
        (Kind::Ping | Kind::Token, true) => (3, 20, 2),
        (_, false) => (5, 8, 2),
        (_, true) => (3, 2, 1),
    };
    let mut table =
        Table::new(&["module", "run by", "evaluations/s", "CPU each", "of the limit", "Weft is faster by", "fuel"]);
    let mut first: Option<Vec<Value>> = None;
    for subject in subjects.iter().filter(|subject| subject.lua || kind == Kind::Ping) {
        let scores = contest::run(&work, entries(subject, &work, count, copying), turns);
        compare(subject, &scores, &mut first);
        let (weft, limit) = (named(&scores, weft::WEFT), named(&scores, bare::BARE));
        for score in &scores {
            let each = score.each();
            let times = |ratio: Option<f64>| ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2} x"));
            table.row([
                subject.name.to_owned(),
                score.name.clone(),
                format!("{:.0}", 1e3 / score.wall()),
                ms(each),
                times(limit.map(|limit| each / limit)),
                times(weft.map(|weft| each / weft)),
                score.fuel.map_or_else(|| "-".to_owned(), |fuel| fuel.to_string()),
            ]);
        }
    }
    table.print(&format!("{} (one thread; evaluations by the clock, ratios of CPU time)", kind.name()), markdown);
}

fn entries(subject: &Subject, work: &Work, count: usize, copying: usize) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    if let Some(format) = subject.loader {
        // The copying loader takes so long that fewer messages have to do.
        for (keep, count) in [(false, copying), (true, count)] {
            let loader = loader::Loader::start(subject.name, &subject.wasm, format, work, subject.lua, keep);
            entries.push((Box::new(loader), count));
        }
    }
    // What takes microseconds is timed over more messages.
    let count = if subject.loader.is_none() { count * 10 } else { count };
    entries.push((Box::new(bare::Bare::start(&subject.wasm, subject.format, work, subject.lua)), count));
    entries.push((Box::new(weft::Weft::start(&subject.module, work, subject.lua)), count));
    entries
}

fn named(scores: &[Score], name: &str) -> Option<f64> {
    scores.iter().find(|score| score.name == name).map(Score::each)
}

/// All contestants gave the same answers: one module's in every member, different Lua modules' in what they send.
fn compare(subject: &Subject, scores: &[Score], first: &mut Option<Vec<Value>>) {
    let Some(weft) = scores.iter().find(|score| score.name == weft::WEFT) else { return };
    let essence =
        |answer: &Value| json!([answer["Messages"], answer["Spawns"], answer["Assignments"], answer["Output"]]);
    for score in scores {
        for (number, (theirs, ours)) in score.answers.iter().zip(&weft.answers).enumerate() {
            assert_eq!(essence(theirs), essence(ours), "{}: {} answers {number} differently", subject.name, score.name);
        }
    }
    if !subject.lua {
        return;
    }
    let sent: Vec<Value> = weft.answers.iter().map(|answer| sent(&answer["Messages"])).collect();
    match first {
        Some(first) => {
            for (number, (theirs, ours)) in first.iter().zip(&sent).enumerate() {
                assert_eq!(theirs, ours, "{} answers {number} differently", subject.name);
            }
        }
        None => *first = Some(sent),
    }
}

/// The messages of an answer; tags have no order that the modules agree on.
fn sent(messages: &Value) -> Value {
    let mut messages = messages.clone();
    for message in messages.as_array_mut().into_iter().flatten() {
        if let Some(tags) = message["Tags"].as_array_mut() {
            tags.sort_by_key(|tag| tag["name"].to_string());
        }
    }
    messages
}
