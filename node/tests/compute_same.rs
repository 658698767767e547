//! The same log gives the same outcomes, fuel and roots, however it is evaluated: at one go with any policy of copying,
//! parked and revived or restored from a snapshot after every few slots, with dry runs between, on threads side by side,
//! from the middle on in another process of the operating system, and compiled by the baseline compiler.
//!
//! The logs are random: good messages, refused ones, traps, endless loops, recursion without end, growing memory.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "support/modules.rs"]
mod modules;
#[path = "compute_same/programs.rs"]
mod programs;

use std::{fs, path::Path, process::Command};

use proptest::prelude::*;
use serde_json::{Value, json};
use weft_node::compute::{
    EvalErrorKind, Evaluation, Instance, Module, Parked, ReplayPolicy, Snapshot, on_evaluation_stack,
};
use weft_protocol::Id;

use programs::Program;

/// How a log is evaluated.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// The root is asked for after each slot.
    Rooted,
    /// At one go.
    Policy(ReplayPolicy),
    /// Parked and revived after every so many slots.
    Parked(usize),
    /// Stored as a snapshot and restored after every so many slots.
    Snapshots(usize),
    /// The next message is tried before it is evaluated.
    DryRuns,
}

const NEVER_COPIED: ReplayPolicy =
    ReplayPolicy { messages: usize::MAX, bytes: usize::MAX, fuel: u64::MAX, adaptive: false };

/// What came of a log: of each slot the evaluation, and the root where it was asked for.
#[derive(Debug, PartialEq)]
struct Trace {
    slots: Vec<(Evaluation, Option<Id>)>,
    end: Id,
}

fn evaluate(module: &Module, env: &str, log: &[String], way: Way) -> Trace {
    let mut instance = Instance::new(module).unwrap();
    if let Way::Policy(policy) = way {
        instance = instance.with_policy(policy);
    }
    go_on(instance, env, log, way)
}

fn go_on(mut instance: Instance, env: &str, log: &[String], way: Way) -> Trace {
    let mut slots = Vec::new();
    let module = instance.module().clone();
    for (number, message) in (1..).zip(log) {
        if matches!(way, Way::DryRuns) {
            let dry = instance.dry_run(message, env);
            let done = instance.apply(message, env);
            assert_eq!((&dry.result, dry.fuel, dry.committed), (&done.result, done.fuel, false));
            slots.push((done, None));
            continue;
        }
        let evaluation = instance.apply(message, env);
        let root = match way {
            Way::Rooted => Some(instance.root().unwrap()),
            Way::Parked(every) if number % every == 0 => {
                let parked = Parked::from_bytes(instance.park().unwrap().as_bytes().clone()).unwrap();
                instance = Instance::revive(&module, &parked).unwrap();
                Some(parked.root())
            }
            Way::Snapshots(every) if number % every == 0 => {
                let snapshot = Snapshot::from_bytes(instance.snapshot().unwrap().as_bytes().clone()).unwrap();
                instance = Instance::restore(&module, &snapshot).unwrap();
                Some(snapshot.root())
            }
            _ => None,
        };
        slots.push((evaluation, root));
    }
    let end = instance.root().unwrap();
    Trace { slots, end }
}

/// Fails unless `trace` says what `reference` says, as far as it says anything.
fn same(reference: &Trace, trace: &Trace, way: &str) {
    assert_eq!(reference.slots.len(), trace.slots.len());
    for (slot, ((expected, root), (found, other))) in reference.slots.iter().zip(&trace.slots).enumerate() {
        assert_eq!(expected, found, "{way}: slot {slot}");
        assert!(other.is_none() || root == other, "{way}: another root after slot {slot}");
    }
    assert_eq!(reference.end, trace.end, "{way}: another root at the end");
}

fn all_ways_agree(program: Program, choices: &[(u8, u8)], every: usize) {
    let (module, env) = (program.module(), program.env());
    let log = program.log(choices);
    let ways = [
        Way::Policy(ReplayPolicy::default()),
        Way::Policy(NEVER_COPIED),
        Way::Policy(ReplayPolicy { messages: every, ..NEVER_COPIED }),
        Way::Parked(every),
        Way::Snapshots(every),
        Way::DryRuns,
    ];
    on_evaluation_stack(|| {
        let reference = evaluate(&module, &env, &log, Way::Rooted);
        for way in ways {
            same(&reference, &evaluate(&module, &env, &log, way), &format!("{way:?}"));
        }
        let baseline = program.baseline();
        same(&reference, &evaluate(&baseline, &env, &log, Way::Parked(every)), "the baseline compiler");
        // Side by side: two processes of one module at the same time.
        let again =
            || on_evaluation_stack(|| evaluate(&module, &env, &log, Way::Policy(ReplayPolicy::default()))).unwrap();
        let (left, right) = std::thread::scope(|scope| {
            let left = scope.spawn(again);
            (again(), left.join().unwrap())
        });
        same(&reference, &left, "beside another");
        same(&reference, &right, "beside another");
    })
    .unwrap();
}

/// Mostly what does something good, so that there is a state to go back to.
fn choices(most: usize) -> impl Strategy<Value = Vec<(u8, u8)>> {
    prop::collection::vec((any::<u8>(), any::<u8>()), 4..most)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_module_of_64_bit_memory_that_does_everything_wrong(choices in choices(40), every in 1_usize..7) {
        all_ways_agree(Program::Wide, &choices, every);
    }

    #[test]
    fn a_module_of_32_bit_memory_that_does_everything_wrong(choices in choices(40), every in 1_usize..7) {
        all_ways_agree(Program::Narrow, &choices, every);
    }

    #[test]
    fn the_counter(choices in choices(40), every in 1_usize..7) {
        all_ways_agree(Program::Counter, &choices, every);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2, max_shrink_iters: 4, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_lua_of_the_box(choices in choices(20), every in 1_usize..7) {
        all_ways_agree(Program::Lua, &choices, every);
    }

    #[test]
    fn aos(choices in choices(18), every in 1_usize..7) {
        all_ways_agree(Program::Aos, &choices, every);
    }
}

/// The random logs are of any use only if their messages do what they are for.
#[test]
fn every_sort_of_failure_occurs() {
    for program in [Program::Wide, Program::Narrow] {
        let log = program.log(&(0..20).map(|what| (what, 9)).collect::<Vec<_>>());
        let trace = on_evaluation_stack(|| evaluate(&program.module(), "{}", &log, Way::Rooted)).unwrap();
        let kinds: Vec<Option<EvalErrorKind>> = trace
            .slots
            .iter()
            .map(|(evaluation, _)| evaluation.result.as_ref().err().map(|error| error.kind))
            .collect();
        let (trap, good) = (Some(EvalErrorKind::Trap), [None; 13]);
        assert_eq!(kinds[..13], good, "{program:?}");
        let committed = trace.slots.iter().filter(|(evaluation, _)| evaluation.committed).count();
        assert_eq!(committed, 13, "{program:?}: all but `Error` and traps");
        let failures =
            [None, trap, trap, trap, Some(EvalErrorKind::OutOfFuel), Some(EvalErrorKind::StackOverflow), trap];
        assert_eq!(kinds[13..], failures, "{program:?}");
    }
}

/// In the environment of the other process: the file that says what to do.
const TASK: &str = "WEFT_COMPUTE_SAME_TASK";

/// One log of each program: evaluated here until its middle, and from there on both here and in another process of the
/// operating system, which gets the parked process or the snapshot as bytes.
#[test]
fn another_process_of_the_operating_system_goes_on() {
    if let Some(task) = std::env::var_os(TASK) {
        return other_process(Path::new(&task));
    }
    let folder = tempfile::tempdir().unwrap();
    for (number, program) in Program::ALL.into_iter().enumerate() {
        let choices: Vec<(u8, u8)> = (0_u8..16).map(|step| (step.wrapping_mul(83), step.wrapping_mul(29))).collect();
        let (module, env, log) = (program.module(), program.env(), program.log(&choices));
        let (before, after) = log.split_at(log.len() / 2);
        let [snapshot, parked, end] = on_evaluation_stack(|| {
            let mut instance = Instance::new(&module).unwrap();
            before.iter().for_each(|message| drop(instance.apply(message, &env)));
            let snapshot = instance.snapshot().unwrap().as_bytes().clone();
            let parked = instance.park().unwrap().as_bytes().clone();
            let end = shown(&go_on(instance, &env, after, Way::Policy(ReplayPolicy::default())));
            [snapshot, parked, end.into()]
        })
        .unwrap();
        for (form, bytes) in [("snapshot", &snapshot), ("parked", &parked)] {
            let file = |kind: &str| folder.path().join(format!("{number}-{form}.{kind}"));
            fs::write(file("state"), bytes).unwrap();
            let task =
                json!({ "program": number, "form": form, "log": after, "state": file("state"), "end": file("end") });
            fs::write(file("task"), task.to_string()).unwrap();
            let output = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "another_process_of_the_operating_system_goes_on"])
                .env(TASK, file("task"))
                .output()
                .unwrap();
            assert!(output.status.success(), "{program:?}: {}", String::from_utf8_lossy(&output.stdout));
            let there = fs::read_to_string(file("end")).expect("the other process has answered");
            assert_eq!(there.as_bytes(), end, "{program:?} from {form}");
        }
    }
}

fn other_process(task: &Path) {
    let task: Value = serde_json::from_slice(&fs::read(task).unwrap()).unwrap();
    let program = Program::ALL[usize::try_from(task["program"].as_u64().unwrap()).unwrap()];
    let log: Vec<String> = serde_json::from_value(task["log"].clone()).unwrap();
    let state = fs::read(task["state"].as_str().unwrap()).unwrap();
    let module = program.module();
    let trace = on_evaluation_stack(|| {
        let instance = match task["form"].as_str().unwrap() {
            "parked" => Instance::revive(&module, &Parked::from_bytes(state.into()).unwrap()).unwrap(),
            _ => Instance::restore(&module, &Snapshot::from_bytes(state.into()).unwrap()).unwrap(),
        };
        go_on(instance, &program.env(), &log, Way::Policy(NEVER_COPIED))
    });
    fs::write(task["end"].as_str().unwrap(), shown(&trace.unwrap())).unwrap();
}

/// As text that two processes can compare.
fn shown(trace: &Trace) -> String {
    let lines = trace.slots.iter().map(|(evaluation, _)| format!("{evaluation:?}\n")).collect::<String>();
    format!("{lines}{}", trace.end)
}
