//! The screens of `weft testnet up` and `status`.

use std::path::Path;

use serde_json::json;
use weft_testnet::{Plan, Status};

use crate::cli::{
    exit::{CliError, CliResult, Done, Exit},
    next_command,
    table::Table,
};

/// Winston in one AR.
const WINSTON: u64 = 1_000_000_000_000;

/// What a network consists of, in one screen that ends with the next thing to type.
pub(super) fn up(plan: &Plan, dir: &Path, notices: &[String]) -> String {
    let mut parts =
        vec![format!("{} is up: {} nodes and an Arweave stand-in, on this machine only.", plan.name, plan.nodes.len())];
    parts.extend((!notices.is_empty()).then(|| {
        format!(
            "  NOTE: {} of the usual ports were taken; the addresses below are the ones in use (said above)",
            notices.len()
        )
    }));
    let mut network = Table::pairs();
    network.row(["network id", &plan.id.to_string()]);
    network.row([
        "network address",
        &plan.address.to_string(),
        "as Scheduler: elect one; as Authority: trust what is proven",
    ]);
    parts.push(network.text());
    parts.push(nodes(plan));
    parts.push(urls(plan));
    parts.push(wallets(plan, dir));
    let show = |command: &str| next_command(&with_dir(command, dir));
    parts.push(format!(
        "Ctrl-C stops it, the same command resumes it. In another terminal:\n  {}\n  {}\n\nNext: {}",
        show("weft testnet status"),
        show("weft status --watch"),
        show("weft process spawn --name hello"),
    ));
    parts.join("\n\n")
}

/// Commands find the testnet in its usual folder; elsewhere they have to be told.
fn with_dir(command: &str, dir: &Path) -> String {
    if dir == Path::new(crate::cli::connect::DEFAULT_TESTNET) {
        return command.to_owned();
    }
    let option = if command.starts_with("weft testnet") { "--data" } else { "--testnet" };
    format!("{command} {option} {}", dir.display())
}

fn nodes(plan: &Plan) -> String {
    let mut table = Table::new(&["NODE", "ROLES", "HTTP", "PEERS (QUIC, TCP)", "KEY"]);
    for node in &plan.nodes {
        let roles: Vec<&str> = node.roles.iter().map(|role| role.name()).collect();
        let http = node.urls.first().map(String::as_str).unwrap_or("-");
        table.row([&node.name, &roles.join(" "), http, &format!("127.0.0.1:{}", node.peers), &node.key.to_string()]);
    }
    table.text()
}

fn urls(plan: &Plan) -> String {
    let first = plan.nodes.first();
    let url =
        |at: usize| first.and_then(|node| node.urls.get(at).or(node.urls.first())).map(String::as_str).unwrap_or("-");
    let mut table = Table::pairs();
    table.row(["messenger (MU)", url(0), "every node answers all of these"]);
    table.row(["scheduler (SU)", url(1)]);
    table.row(["compute (CU)", url(2)]);
    table.row(["gateway", &plan.gateway, "GraphQL at /graphql"]);
    table.row(["uploader", &plan.uploader]);
    table.row(["status page", &format!("{}/", url(0))]);
    table.text()
}

fn wallets(plan: &Plan, dir: &Path) -> String {
    let funds = plan.wallets.first().map_or(0, |wallet| wallet.winston / WINSTON);
    let mut table =
        Table::new(&["WALLET", "ADDRESS", &format!("KEY FILE (public: development only; {funds} AR each)")]);
    for wallet in &plan.wallets {
        let file = wallet.path.file_name().map_or_else(|| wallet.path.clone(), |name| dir.join("wallets").join(name));
        table.row([&wallet.name, &wallet.address.to_string(), &file.display().to_string()]);
    }
    table.text()
}

/// What runs; not everything running and ready is exit code 1, nothing running is 4.
pub(super) fn status(status: &Status, dir: &Path) -> CliResult<Done> {
    let mut table = Table::new(&["NAME", "STATE", "PROCESS", "HTTP"]);
    for process in &status.processes {
        let state = match (process.alive, process.ready) {
            (true, true) => "ready",
            (true, false) => "starting",
            (false, _) => "down",
        };
        let pid = process.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
        let http = process.urls.first().map(String::as_str).unwrap_or("-");
        table.row([process.name.as_str(), state, &pid, http]);
    }
    if !status.running {
        return Err(CliError::new(Exit::Unreachable, format!("the testnet in {} is stopped", dir.display()))
            .fix("weft testnet up resumes it"));
    }
    let down = status.processes.iter().find(|process| !process.alive);
    let well = status.processes.iter().all(|process| process.ready);
    let text = format!("{} in {}\n\n{}", status.plan.name, dir.display(), table.text());
    let next = match down {
        Some(process) => format!("weft testnet start {}", process.name),
        None => "weft process list".to_owned(),
    };
    let done = Done::new(text, json!(status)).next(next);
    Ok(if well { done } else { done.exit(Exit::Failed) })
}
