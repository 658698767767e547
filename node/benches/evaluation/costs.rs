//! What keeping a process safe costs, piece by piece; and what it costs to load, park and rebuild one.

use std::{fs, path::Path};

use weft_node::compute::{
    Compilers, Engine, EngineConfig, Instance, Module, ModuleFormat, Parked, ReplayPolicy, on_evaluation_stack,
};

use crate::{
    contest::processor,
    table::{Table, ms},
    weft::booted,
    workload::{Kind, Work},
};

/// Processor milliseconds of the median of `times` runs of `work`, each with something `made` before.
fn median<T>(times: usize, mut made: impl FnMut(usize) -> T, mut work: impl FnMut(T)) -> f64 {
    let mut all: Vec<f64> = (0..times)
        .map(|index| {
            let given = made(index);
            let began = processor();
            work(given);
            processor() - began
        })
        .collect();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

/// One row per module and workload: a message, and each thing that is done to the state.
pub fn state(modules: &[(&str, Module, bool)], kinds: &[Kind], times: usize, markdown: bool) {
    let mut table = Table::new(&[
        "process",
        "message",
        "root",
        "snapshot",
        "park",
        "revive",
        "parked bytes",
        "failing message",
        "memory",
    ]);
    for kind in kinds {
        let work = Work::new(*kind);
        for (name, module, lua) in modules {
            table.row(one(&format!("{name}, {}", kind.name()), module, &work, *lua, times));
        }
    }
    table.print("What it costs to keep a process (processor time)", markdown);
}

fn one(name: &str, module: &Module, work: &Work, lua: bool, times: usize) -> [String; 9] {
    let mut process = booted(module, work, lua);
    let mut sent = 0;
    let mut next = || {
        sent += 1;
        work.timed(sent, 1).remove(0)
    };
    for _ in 0..20 {
        assert!(process.apply(&next(), &work.env).committed);
    }
    let message = median(times, |_| next(), |message| assert!(process.apply(&message, &work.env).committed));
    // A root, a snapshot and a parked process are of a state that has just changed.
    let mut fresh = |process: &mut Instance| assert!(process.apply(&next(), &work.env).committed);
    let mut cost = |work: &mut dyn FnMut(&mut Instance)| {
        let mut all: Vec<f64> = (0..times)
            .map(|_| {
                fresh(&mut process);
                let began = processor();
                work(&mut process);
                processor() - began
            })
            .collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    let root = cost(&mut |process| {
        let _ = process.root().unwrap();
    });
    let snapshot = cost(&mut |process| drop(process.snapshot().unwrap()));
    let park = cost(&mut |process| drop(process.park().unwrap()));
    let parked = process.park().unwrap().as_bytes().clone();
    let revive = median(
        times.min(20),
        |_| Parked::from_bytes(parked.clone()).unwrap(),
        |parked| drop(Instance::revive(module, &parked).unwrap()),
    );
    // Not JSON: the module refuses it, and what it did until then is undone.
    let mut process = booted(module, work, lua);
    let failing = median(times, |_| (), |()| assert!(!process.apply("{\"Tags\":[{]", &work.env).committed));
    let size = format!("{:.0} KiB", parked.len() as f64 / 1024.0);
    let memory = format!("{:.1} MiB", process.weight() as f64 / f64::from(1 << 20));
    [name.to_owned(), ms(message), ms(root), ms(snapshot), ms(park), ms(revive), size, ms(failing), memory]
}

/// Loading a module: compiled by each compiler, from the cache.
pub fn load(modules: &[(&str, Vec<u8>, ModuleFormat)], markdown: bool) {
    let mut table = Table::new(&["module", "bytes", "baseline compiler", "optimising compiler", "from the cache"]);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-cache");
    for (name, wasm, format) in modules {
        let timed = |compilers: Compilers| {
            let mut config = EngineConfig::new(&folder);
            config.compilers = compilers;
            let engine = Engine::new(config).unwrap();
            // The compiler has threads of its own: all of this program's time.
            let began = whole();
            drop(engine.load(wasm, *format).unwrap());
            whole() - began
        };
        let _ = fs::remove_dir_all(&folder);
        let baseline = timed(Compilers::BaselineOnly);
        let _ = fs::remove_dir_all(&folder);
        let optimised = timed(Compilers::Optimising);
        let mapped = timed(Compilers::Optimising);
        let bytes = format!("{} KiB", wasm.len() >> 10);
        table.row([(*name).to_owned(), bytes, ms(baseline), ms(optimised), ms(mapped)]);
    }
    let _ = fs::remove_dir_all(&folder);
    table.print("Loading a module (processor time of all threads)", markdown);
}

/// How often the state is copied, and what that costs beside what a failure then costs.
pub fn policies(name: &str, module: &Module, markdown: bool, count: usize) {
    let work = Work::new(Kind::Ping);
    let mut table = Table::new(&["copied every", "no failures", "one in ten fails", "all fail"]);
    let bad = "{\"Tags\":[{]".to_owned();
    for every in [1, 4, 16, 64, 256] {
        let policy = ReplayPolicy { messages: every, ..ReplayPolicy::default() };
        let cells = [0, 10, 1].map(|part| {
            let mut process = booted(module, &work, true).with_policy(policy);
            let messages = work.timed(0, count);
            let began = processor();
            for (index, message) in messages.iter().enumerate() {
                let fails = part > 0 && index % part == 0;
                drop(process.apply(if fails { &bad } else { message }, &work.env));
            }
            ms((processor() - began) / count as f64)
        });
        let [none, some, all] = cells;
        table.row([format!("{every} messages"), none, some, all]);
    }
    table.print(&format!("{name}, ping: processor time of a message by how often the state is copied"), markdown);
}

/// Slots a second when a log is evaluated again from its beginning.
pub fn replay(modules: &[(&str, Module, bool)], slots: usize, markdown: bool) {
    let work = Work::new(Kind::Ping);
    let mut table = Table::new(&["process", "slots/s", "fuel/s"]);
    for (name, module, lua) in modules {
        let log: Vec<String> = work.setup(*lua).into_iter().chain(work.timed(0, slots)).collect();
        let (rate, fuel) = on_evaluation_stack(|| {
            let mut process = Instance::new(module).unwrap();
            let began = processor();
            let fuel: u64 = log.iter().map(|message| process.apply(message, &work.env).fuel).sum();
            let seconds = (processor() - began) / 1e3;
            (log.len() as f64 / seconds, fuel as f64 / seconds)
        })
        .unwrap();
        table.row([(*name).to_owned(), format!("{rate:.0}"), format!("{:.2}e9", fuel / 1e9)]);
    }
    table.print("Evaluating a log of pings again, on one core", markdown);
}

/// Processor time of the whole program in milliseconds.
fn whole() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}
