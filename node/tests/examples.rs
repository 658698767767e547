//! The processes of `examples/`: each answers as its README says, and each README takes a newcomer from an empty folder to
//! a message answered.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "support/modules.rs"]
mod modules;
#[path = "support/testnet.rs"]
mod testnet;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};
use testnet::Testnet;
use weft_node::compute::{Evaluation, Instance};

const RUST: &[u8] = include_bytes!("../../examples/counter-rust/counter.wasm");
const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples");

fn in_rust() -> Instance {
    let module = modules::engine(|_| {}).load(RUST, "wasm32-unknown-unknown".parse().unwrap()).unwrap();
    Instance::new(&module).unwrap()
}

fn apply(instance: &mut Instance, tags: &[(&str, &str)], environment: &Value) -> Evaluation {
    instance.apply(&modules::message(tags, "a \"quoted\" text 世界"), &environment.to_string())
}

fn good(instance: &mut Instance, tags: &[(&str, &str)], environment: &Value) -> Value {
    let evaluation = apply(instance, tags, environment);
    assert!(evaluation.committed, "{evaluation:?}");
    evaluation.result.unwrap()
}

#[test]
fn the_process_in_rust_answers() {
    let mut instance = in_rust();
    let owned_by = |owner: &str| json!({ "Module": { "Owner": "nobody" }, "Process": { "Id": "x", "Owner": owner } });
    let (mine, anothers) = (owned_by(modules::SENDER), owned_by("somebody else"));
    let mut ask = |tags: &[(&str, &str)]| good(&mut instance, tags, &mine);
    assert_eq!(ask(&[("Type", "Process")])["Output"]["data"], "ready");
    let pong = ask(&[("Action", "Ping")]);
    assert_eq!(
        (&pong["Messages"][0]["Target"], &pong["Messages"][0]["Data"]),
        (&json!(modules::SENDER), &json!("pong"))
    );
    assert_eq!(pong["Messages"][0]["Anchor"], format!("{:032}", 1));
    assert_eq!(pong["Messages"][0]["Tags"].as_array().unwrap()[3], json!({ "name": "Action", "value": "Pong" }));
    for (tags, count) in [
        (&[("Action", "Increment")][..], "1"),
        (&[("By", "40"), ("Action", "Increment"), ("Action", "Ping"), ("By", "7")], "41"),
        (&[("By", "18446744073709551574"), ("Action", "Increment")], "18446744073709551615"),
    ] {
        let answer = ask(tags);
        assert_eq!((&answer["Output"]["data"], &answer["Messages"][0]["Data"]), (&json!(count), &json!(count)));
    }
    assert_eq!(ask(&[("Action", "Count")])["Messages"], json!([]));
    for tags in [
        &[("Action", "Increment")][..],
        &[("Action", "Increment"), ("By", "-1")],
        &[("Action", "Dance")],
        &[("X", "y")],
        &[],
    ] {
        let refused = apply(&mut instance, tags, &mine);
        assert!(!refused.committed && refused.result.unwrap()["Error"].is_string(), "{tags:?}");
    }
    assert!(!apply(&mut instance, &[("Action", "Reset")], &anothers).committed, "only its owner resets it");
    assert_eq!(good(&mut instance, &[("Action", "Reset")], &mine)["Output"]["data"], "0");
    assert_eq!(good(&mut instance, &[("Action", "Increment")], &mine)["Output"]["data"], "1");
}

#[test]
fn messages_of_any_form_end_in_rust_too() {
    let mut instance = in_rust();
    let forms = [
        "",
        "{",
        "[",
        "]",
        "}",
        "{\"Tags\":[",
        "{\"Tags\":[{",
        "{\"Tags\":[{\"name\"",
        "\"\\",
        "{\"Tags\":{}}",
        ",,::",
        "null",
        "{]",
        "{\"Tags\":[}]",
        "{\"From\":{\"a\":[1,2,\"}\"]},\"Tags\":[1,[],\"x\",{}]}",
        "{:}",
        "[[[[",
        "{\"a\"}",
    ];
    for form in forms {
        instance.apply(form, form).result.unwrap_or_else(|fault| panic!("{form:?}: {fault:?}"));
    }
    let deep = format!("{{\"Data\":{}", "[".repeat(1 << 20));
    instance.apply(&deep, "{}").result.unwrap();
    let large = modules::message(&[("Action", "Ping")], &"x".repeat(5 << 20));
    assert!(instance.apply(&large, "{}").committed);
}

/// A Rust that can make WebAssembly: the one in use, or Debian's. Says with what `build.sh` is to be told so.
fn rust_for_wasm() -> Option<Vec<(&'static str, &'static str)>> {
    let has_target = |rustc: &str| {
        let asked =
            Command::new(rustc).args(["--print", "target-libdir", "--target", "wasm32-unknown-unknown"]).output();
        asked.is_ok_and(|told| Path::new(String::from_utf8_lossy(&told.stdout).trim()).is_dir())
    };
    match (has_target("rustc"), has_target("/usr/bin/rustc")) {
        (true, _) => Some(Vec::new()),
        (false, true) => Some(vec![("RUSTC", "/usr/bin/rustc"), ("LINKER", "wasm-ld-14")]),
        (false, false) => None,
    }
}

#[test]
fn rebuilding_the_process_in_rust_gives_the_committed_binary() {
    let told = Command::new(format!("{EXAMPLES}/counter-rust/build.sh"))
        .arg("--check")
        .envs(rust_for_wasm().unwrap_or_default())
        .output()
        .unwrap();
    match told.status.code() {
        Some(0) => {}
        // No compiler, or one that gives other bytes: where the recipe can be repeated is CI's business.
        Some(2) => eprintln!("not compared: {}", String::from_utf8_lossy(&told.stderr)),
        _ => panic!("{}", String::from_utf8_lossy(&told.stderr)),
    }
}

/// The commands under the heading that every example's README has, and the answer it promises.
fn steps(readme: &str) -> (String, String) {
    let (_, after) = readme.split_once("## From an empty folder to an answer").expect("the heading");
    let block = after.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next()).expect("commands");
    let answer = after.split('`').find(|word| word.starts_with("Output: ")).expect("the answer that is promised");
    (block.to_owned(), answer.to_owned())
}

#[test]
fn the_readmes_take_a_newcomer_from_an_empty_folder_to_an_answer() {
    let mut net = Testnet::start(3);
    let program = PathBuf::from(env!("CARGO_BIN_EXE_weft"));
    let path = format!("{}:{}", program.parent().unwrap().display(), env::var("PATH").unwrap());
    for example in ["counter-c", "counter-rust"] {
        let (commands, answer) = steps(&fs::read_to_string(format!("{EXAMPLES}/{example}/README.md")).unwrap());
        // Where nothing can build it the committed binary, which came along with the copy, is what is published.
        let script = commands.replace("./build.sh\n", "./build.sh || [ $? = 2 ]\n");
        assert_ne!(script, commands, "{example}: it is built");
        let folder = tempfile::tempdir().unwrap();
        let mut shell = Command::new("bash");
        shell.args(["-euo", "pipefail", "-c", &script]).current_dir(folder.path()).env("PATH", &path);
        shell.env("WEFT", concat!(env!("CARGO_MANIFEST_DIR"), "/..")).env("WEFT_TESTNET", net.dir());
        shell.env_remove("WEFT_NODE").env_remove("WEFT_WALLET").envs(rust_for_wasm().unwrap_or_default());
        let done = shell.output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert!(done.status.success(), "{example}: {script}\n{out}\n{err}");
        let said = answer.strip_prefix("Output: ").unwrap();
        let last = out.rsplit("Output:").next().unwrap().trim_start();
        assert!(last.starts_with(said), "{example}: the README promises {answer}:\n{out}");
    }
    net.stop();
}
