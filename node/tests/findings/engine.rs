//! The engine's rows, as a client sees them: errors as text, limits that hold for every module.

use serde_json::Value;
use weft_protocol::{
    Id,
    ans104::{DataItem, ItemBuilder},
};

use crate::{
    modules::{FINE, plain},
    world::{World, user},
};

/// Publishes a plain module with this `handle` and these tags.
fn module(world: &World, handle: &str, tags: &[(&str, &str)]) -> Id {
    let fixed = [
        ("Data-Protocol", "ao"),
        ("Variant", "ao.TN.1"),
        ("Type", "Module"),
        ("Module-Format", "wasm32-unknown-unknown"),
        ("Input-Encoding", "JSON-1"),
        ("Output-Encoding", "JSON-1"),
    ];
    let item = signed([&fixed, tags].concat(), plain(handle));
    world.http.post(&format!("{}/tx", world.net.gateway()), item.raw().to_vec()).ok();
    item.id()
}

fn signed(tags: Vec<(&str, &str)>, data: Vec<u8>) -> DataItem {
    let item = tags.into_iter().fold(ItemBuilder::new(), |item, (name, value)| item.tag(name, value));
    item.data(data).sign(&user()).unwrap()
}

/// What a process of the module answers to its own spawn.
fn spawned(world: &World, module: Id, tags: &[(&str, &str)]) -> (Id, Value) {
    let (module, scheduler) = (module.to_string(), world.net.address());
    let fixed = [
        ("Data-Protocol", "ao"),
        ("Variant", "ao.TN.1"),
        ("Type", "Process"),
        ("Module", module.as_str()),
        ("Scheduler", scheduler.as_str()),
    ];
    let item = signed([&fixed, tags].concat(), b" ".to_vec());
    world.post(&item);
    (item.id(), world.result(1, item.id(), item.id()))
}

fn error(result: &Value) -> &str {
    result["Error"].as_str().unwrap_or_else(|| panic!("no error as text: {result}"))
}

pub fn f10_errors_of_the_host_arrive_as_text(world: &World) {
    let (_, trapped) = spawned(world, module(world, "(unreachable)", &[]), &[]);
    assert_eq!(error(&trapped), "wasm trap: wasm `unreachable` instruction executed");
    let (process, nothing) = spawned(world, module(world, "(i64.const 0)", &[]), &[]);
    assert!(error(&nothing).starts_with("the module returned no result"), "{nothing}");
    // The list of results tells the same.
    let list = world.get(2, &format!("/v1/processes/{process}/results"));
    assert_eq!(list["results"][0]["result"]["Error"], nothing["Error"], "{list}");
}

/// Grows by one page and answers only when that was refused.
const REFUSED_GROWTH: &str = "(if (i32.ne (memory.grow (i32.const 1)) (i32.const -1)) (then (unreachable)))";

pub fn f17_limits_hold_for_every_module(world: &World) {
    let endless = module(world, "(loop (br 0)) (unreachable)", &[]);
    let (process, result) = spawned(world, endless, &[("Compute-Limit", "3000000")]);
    assert!(error(&result).starts_with("out of fuel: a message of this process may use 3000000 "), "{result}");
    assert_eq!(result["GasUsed"], 3_000_000);
    // It costs its sender, and nobody else: the process goes on, as do others.
    let message = world.send(process, "Again", b"");
    assert_eq!(world.result(0, process, message.id())["Error"], result["Error"]);
    // 128 KiB is what the module begins with.
    let growing = module(world, &format!("{REFUSED_GROWTH} {FINE}"), &[]);
    let (_, result) = spawned(world, growing, &[("Memory-Limit", "128-kb")]);
    assert_eq!(result["Output"], "fine", "{result}");
    let (_, result) = spawned(world, growing, &[("Memory-Limit", "192-kb")]);
    assert_eq!(error(&result), "wasm trap: wasm `unreachable` instruction executed", "it had the page it asked for");
}

pub fn r13_limits_of_process_and_module_are_said(world: &World) {
    // The module's tag counts where the process has none.
    let limited = module(world, &format!("{REFUSED_GROWTH} {FINE}"), &[("Memory-Limit", "128-kb")]);
    assert_eq!(spawned(world, limited, &[]).1["Output"], "fine");
    assert!(spawned(world, limited, &[("Memory-Limit", "1-mb")]).1["Error"].is_string());
    // More than the network allows is what the network allows.
    let fine = module(world, FINE, &[]);
    let generous = [("Memory-Limit", "16-gb"), ("Compute-Limit", "9000000000000")];
    assert_eq!(spawned(world, fine, &generous).1["Output"], "fine");
    let (process, result) = spawned(world, fine, &[("Memory-Limit", "lots")]);
    assert!(
        error(&result).contains("the process's tag Memory-Limit is \"lots\"; write a number and a unit"),
        "{result}"
    );
    let message = world.send(process, "Still", b"");
    assert_eq!(world.result(2, process, message.id())["Error"], result["Error"], "each of its slots says so");
    let (_, result) = spawned(world, fine, &[("Memory-Limit", "64-kb")]);
    assert!(error(&result).contains("begins with 131072 bytes of memory, 65536 are allowed"), "{result}");
}
