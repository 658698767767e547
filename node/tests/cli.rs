//! The command line's promises: help that teaches, a README that is true, errors that name field, value and fix, JSON
//! that parses, exit codes that hold.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

/// Runs `weft` in `dir`, away from whatever the person who runs the tests has set up.
fn weft(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weft"));
    for name in ["WEFT_NODE", "WEFT_WALLET", "WEFT_TESTNET", "CARGO_PKG_NAME"] {
        command.env_remove(name);
    }
    command.current_dir(dir).args(args).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Every command with its path, depth first.
fn all_commands(command: &clap::Command, path: &str, found: &mut Vec<(String, clap::Command)>) {
    found.push((path.to_owned(), command.clone()));
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        all_commands(sub, &format!("{path} {}", sub.get_name()), found);
    }
}

fn commands() -> Vec<(String, clap::Command)> {
    let mut found = Vec::new();
    all_commands(&weft_node::cli::command(), "weft", &mut found);
    found
}

/// A line of shell as words; single quotes as far as our examples use them.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            _ => words.last_mut().unwrap().push(c),
        }
    }
    words.into_iter().filter(|word| !word.is_empty()).collect()
}

/// The `weft` command in a line of shell, if it is one, without redirections, comments and what runs it.
fn weft_command(line: &str) -> Option<Vec<String>> {
    let line = line.trim();
    let line = line.split_once("RUST_LOG=").map_or(line, |(_, rest)| rest.split_once(' ').map_or("", |(_, rest)| rest));
    let line = line.split(" > ").next().unwrap().split("  ").next().unwrap().trim_end_matches('&').trim();
    let rest = [
        ("cargo testnet", "weft testnet"),
        ("cargo run --release --", "weft"),
        ("cargo weft", "weft"),
        ("weft", "weft"),
    ]
    .iter()
    .find_map(|(typed, meant)| {
        Some(format!("{meant}{}", line.strip_prefix(typed).filter(|r| r.is_empty() || r.starts_with(' '))?))
    })?;
    // In documentation ids are words in capitals.
    let id = "kQzXbGo6sPqcqXzmB9nYcTbcgR2DqVfHGcBEZDJhCZg";
    Some(words(&rest).into_iter().map(|w| if w.contains("ADDRESS") { w.replace("ADDRESS", id) } else { w }).collect())
}

fn parses(line: &str) -> Result<bool, String> {
    let Some(words) = weft_command(line) else { return Ok(false) };
    match weft_node::cli::command().try_get_matches_from(&words) {
        Ok(_) => Ok(true),
        Err(e) => Err(format!("{line}\n  as {words:?}\n  {e}")),
    }
}

#[test]
fn the_command_line_is_consistent() {
    weft_node::cli::command().debug_assert();
}

#[test]
fn every_command_says_what_it_is_for_and_gives_examples_that_work() {
    for (path, command) in commands() {
        assert!(command.get_about().is_some(), "{path} does not say what it is for");
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let (_, examples) = help.split_once("Examples:").unwrap_or_else(|| panic!("{path} has no examples"));
        let lines: Vec<&str> = examples.lines().take_while(|l| l.is_empty() || l.starts_with("  ")).collect();
        let tried = lines.iter().filter(|line| parses(line).unwrap_or_else(|e| panic!("{path}: {e}"))).count();
        assert!(tried > 0, "{path}: none of its examples is a weft command: {lines:?}");
        for argument in command.get_arguments() {
            assert!(argument.get_help().is_some(), "{path}: {} is not explained", argument.get_id());
        }
    }
}

#[test]
fn the_readme_names_only_commands_that_exist() {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
    let blocks = readme.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap());
    let tried =
        blocks.flat_map(str::lines).filter(|line| parses(line).unwrap_or_else(|e| panic!("README: {e}"))).count();
    assert!(tried >= 10, "only {tried} commands of the README were recognised");
}

#[test]
fn the_readme_and_the_help_list_the_same_exit_codes() {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
    let help = stdout(&weft(Path::new("."), &["--help"]));
    let listed = help.split("Exit codes:").nth(1).unwrap();
    for line in listed.lines().filter(|line| !line.trim().is_empty()) {
        let (code, meaning) = line.trim().split_once("  ").unwrap();
        assert!(
            readme.contains(&format!("| {code} | {} |", meaning.trim())),
            "README lacks exit code {code}: {meaning}"
        );
    }
}

/// Arguments, exit code, and what stderr has to say.
type Case = (&'static [&'static str], i32, &'static [&'static str]);

const BAD: &[Case] = &[
    (&["proces"], 2, &["proces", "process"]),
    (&["process", "send"], 2, &["<PROCESS>"]),
    (&["process", "send", "p", "--tag", "Quantity"], 2, &["--tag", "Quantity", "NAME=VALUE"]),
    (&["process", "send", "p", "--tag", "=1"], 2, &["--tag", "empty"]),
    (&["process", "send", "p", "--tag", "a="], 2, &["--tag", "empty"]),
    (&["process", "result", "p", "--timeout", "soon"], 2, &["--timeout", "soon", "30s"]),
    (&["process", "spawn", "--scheduler", "me"], 2, &["--scheduler", "me", "43 characters"]),
    (&["process", "log", "p", "--limit", "0"], 2, &["--limit", "0", "1..=1000"]),
    (&["process", "list", "--node", "4002"], 2, &["--node", "4002", "http://"]),
    (&["process", "list", "--node", "ftp://h"], 2, &["--node", "ftp://h", "http"]),
    (&["process", "list", "--node", "http://127.0.0.1:1"], 4, &["http://127.0.0.1:1", "weft testnet up"]),
    (&["process", "send", "p", "--node", "http://127.0.0.1:1"], 2, &["--wallet", "weft keys new"]),
    (&["process", "send", "p", "--wallet", "gone.json"], 2, &["--wallet", "gone.json", "weft keys new"]),
    (&["process", "send", "p", "--wallet", "text.json"], 2, &["--wallet", "text.json", "not a key file"]),
    (&["process", "eval", "p"], 2, &["DATA", "return 1 + 1"]),
    (&["process", "eval", "p", "lua", "--file", "x"], 2, &["--file"]),
    (&["module", "publish", "text.json"], 2, &["FILE", "text.json", "WebAssembly"]),
    (&["module", "publish", "gone.wasm"], 2, &["FILE", "gone.wasm"]),
    (&["market", "explain", "abc"], 2, &["LEASE", "abc", "six"]),
    (&["keys", "new"], 2, &["--out"]),
    (&["keys", "new", "--out", "text.json"], 2, &["--out", "text.json", "not overwritten"]),
    (&["keys", "new", "--out", "no/folder/k.json", "--type", "ed25519"], 2, &["--out", "no/folder/k.json"]),
    (&["keys", "new", "--out", "k.json", "--type", "dsa"], 2, &["--type", "dsa", "ed25519"]),
    (&["keys", "show", "gone.json"], 2, &["FILE", "gone.json"]),
    (&["node", "run", "--config", "gone.toml"], 2, &["--config", "gone.toml", "weft node init"]),
    (&["node", "run", "--config", "text.json"], 2, &["--config", "text.json"]),
    (&["node", "init", "--network", "gone.toml", "--dir", "n", "--name", "n"], 2, &["--network", "gone.toml"]),
    (&["node", "init", "--network", "text.json", "--dir", "n", "--name", "n"], 2, &["--network", "text.json"]),
    (&["testnet", "up", "--nodes", "0"], 2, &["--nodes", "0", "1 to 32"]),
    (&["testnet", "up", "--nodes", "many"], 2, &["--nodes", "many"]),
    (&["testnet", "status"], 3, &["weft testnet up"]),
    (&["testnet", "kill", "node-1"], 3, &["weft testnet up"]),
    (&["testnet", "down"], 3, &["weft testnet up"]),
    (&["testnet", "logs", "node-1", "--follow", "--json"], 2, &["--follow", "--json"]),
    (&["arweave", "devnet", "--mint", "alice:1"], 2, &["--mint", "alice", "43 characters"]),
    (&["arweave", "devnet", "--listen", "4000"], 2, &["--listen", "4000"]),
    (&["status", "--watch", "--node", "http://127.0.0.1:1"], 2, &["--watch", "terminal"]),
    (&["completions", "csh"], 2, &["csh", "bash"]),
];

#[test]
fn bad_input_is_named_with_its_fix() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("text.json"), "this is text").unwrap();
    for (args, code, wanted) in BAD {
        let output = weft(dir.path(), args);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(*code), "{args:?}: {said}");
        assert_eq!(stdout(&output), "", "{args:?}: an error belongs on stderr");
        for want in *wanted {
            assert!(said.contains(want), "{args:?}: {want:?} is not in: {said}");
        }
    }
    assert_eq!(fs::read_to_string(dir.path().join("text.json")).unwrap(), "this is text");
    assert!(!dir.path().join("n").exists(), "a refused `node init` left files");
}

#[test]
fn with_json_an_error_is_one_document_on_stderr() {
    let dir = tempfile::tempdir().unwrap();
    let output = weft(dir.path(), &["--json", "keys", "show", "gone.json"]);
    let document: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(document["error"]["exit"], 2);
    assert_eq!(document["error"]["field"], "FILE");
    assert_eq!(document["error"]["value"], "gone.json");
    assert!(document["error"]["fix"].as_str().unwrap().contains("weft keys new"));
    assert!(output.stdout.is_empty());
}

#[test]
fn keys_are_made_once_shown_and_kept_private() {
    let dir = tempfile::tempdir().unwrap();
    for (kind, file) in [("ed25519", "node.json"), ("arweave", "wallet.json")] {
        let made = weft(dir.path(), &["keys", "new", "--type", kind, "--out", file, "--json"]);
        assert!(made.status.success(), "{}", stderr(&made));
        let made: Value = serde_json::from_slice(&made.stdout).unwrap();
        let shown: Value = serde_json::from_slice(&weft(dir.path(), &["keys", "show", file, "--json"]).stdout).unwrap();
        assert_eq!(made, shown);
        assert_eq!(shown["kind"], kind);
        assert_eq!(shown["address"].as_str().unwrap().len(), 43);
        let path = dir.path().join(file);
        let before = fs::read(&path).unwrap();
        let secret: Value = serde_json::from_slice(&before).unwrap();
        let text = stdout(&weft(dir.path(), &["keys", "show", file]));
        assert!(text.contains(shown["address"].as_str().unwrap()) && !text.contains(secret["d"].as_str().unwrap()));
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        let again = weft(dir.path(), &["keys", "new", "--type", kind, "--out", file]);
        assert_eq!(again.status.code(), Some(2));
        assert_eq!(fs::read(&path).unwrap(), before, "a key file was overwritten");
    }
}

#[test]
fn completions_come_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = weft(Path::new("."), &["completions", shell]);
        assert!(output.status.success());
        assert!(stdout(&output).contains("testnet"), "{shell}");
        let document: Value =
            serde_json::from_slice(&weft(Path::new("."), &["completions", shell, "--json"]).stdout).unwrap();
        assert_eq!(document["shell"], shell);
    }
}
