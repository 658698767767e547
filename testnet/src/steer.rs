//! What other processes do with a running (or stopped) network, by its folder.

use std::{
    fs::{self, File},
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom},
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::{
    NodeStatus, Plan, Status, TestnetError,
    child::{SHOWN_LINES, is_ready, ready_path},
    control, files, plan,
    state::{self, ARWEAVE, ProcessState, State},
};

/// How often something awaited is looked for.
const POLL: Duration = Duration::from_millis(50);
/// How often a followed log is looked at.
const FOLLOW: Duration = Duration::from_millis(200);
/// How long `down` waits for the end.
const DOWN_WITHIN: Duration = Duration::from_secs(60);
/// How long `start` waits for the node to be ready.
const START_WITHIN: Duration = Duration::from_secs(120);
/// A log line longer than this is given in pieces, in bytes.
const MAX_LOG_LINE: u64 = 64 << 10;

/// What the network in `dir` consists of and how each process fares. Also of a stopped network: nothing is alive then.
///
/// # Errors
/// When there never was a testnet in `dir`, or its files are damaged.
pub fn status(dir: &Path) -> Result<Status, TestnetError> {
    let plan = plan::load(dir)?;
    let running = running(dir)?;
    let state = if running { State::load(dir)? } else { None };
    let found = |name: &str| state.iter().flat_map(|state| &state.processes).find(|process| process.name == name);
    let process = |name: &str, urls: Vec<String>| {
        let process = found(name).filter(|process| process.pid.is_some());
        NodeStatus {
            name: name.to_owned(),
            pid: process.and_then(|process| process.pid),
            alive: process.is_some(),
            ready: process.is_some_and(|process| is_ready(process.port, ready_path(name))),
            urls,
        }
    };
    let arweave = process(ARWEAVE, vec![plan.gateway.clone(), plan.uploader.clone()]);
    let nodes = plan.nodes.iter().map(|node| process(&node.name, node.urls.clone()));
    let processes = std::iter::once(arweave).chain(nodes).collect();
    Ok(Status { running, plan, processes })
}

/// Kills (SIGKILL) one process of the running network: `node-1`, … or `arweave`. The others go on.
///
/// # Errors
/// When the network or that process does not run, or there is none of that name.
pub fn kill(dir: &Path, node: &str) -> Result<(), TestnetError> {
    known(&plan::load(dir)?, node)?;
    ask(dir, &format!("kill {node}")).map(|_| ())
}

/// Starts a killed or dead process of the running network again and waits until it is ready.
///
/// # Errors
/// As [`kill`]; and when it ends, or is not ready within two minutes.
pub fn start(dir: &Path, node: &str) -> Result<(), TestnetError> {
    known(&plan::load(dir)?, node)?;
    ask(dir, &format!("start {node}"))?;
    let began = Instant::now();
    loop {
        let state = running_state(dir)?;
        let process = state.processes.iter().find(|process| process.name == node);
        match process {
            Some(ProcessState { pid: Some(_), port, .. }) if is_ready(*port, ready_path(node)) => return Ok(()),
            Some(ProcessState { pid: Some(_), .. }) if began.elapsed() < START_WITHIN => state::pause(POLL),
            Some(ProcessState { pid: Some(_), .. }) => {
                return Err(not_ready(dir, node, format!("no ready answer within {} s", START_WITHIN.as_secs())));
            }
            _ => return Err(not_ready(dir, node, "it ended".to_owned())),
        }
    }
}

/// Stops the running network and waits until all its processes have ended.
///
/// # Errors
/// When none runs, or it does not end within a minute.
pub fn down(dir: &Path) -> Result<(), TestnetError> {
    ask(dir, "down")?;
    let began = Instant::now();
    while running(dir)? {
        if began.elapsed() >= DOWN_WITHIN {
            return Err(TestnetError::StillStopping { dir: dir.to_owned() });
        }
        state::pause(POLL);
    }
    Ok(())
}

/// Gives the last `lines` lines of a process's log to `sink`, then, with `follow`, every new line as it comes, until `sink`
/// breaks.
///
/// # Errors
/// When there is no process of that name, or its log cannot be read.
pub fn logs(
    dir: &Path,
    node: &str,
    lines: usize,
    follow: bool,
    mut sink: impl FnMut(&str) -> ControlFlow<()>,
) -> Result<(), TestnetError> {
    known(&plan::load(dir)?, node)?;
    let log = dir.join(node).join("log");
    let (last, mut offset) = files::last_lines(&log, lines);
    for line in last {
        if sink(&line).is_break() {
            return Ok(());
        }
    }
    if !follow {
        return Ok(());
    }
    loop {
        match new_lines(&log, offset, &mut sink) {
            Ok(ControlFlow::Continue(end)) => offset = end,
            Ok(ControlFlow::Break(())) => return Ok(()),
            // Not written yet, or moved aside a moment ago.
            Err(error) if error.kind() == io::ErrorKind::NotFound => offset = 0,
            Err(error) => return Err(TestnetError::io("read", &log)(error)),
        }
        state::pause(FOLLOW);
    }
}

/// Deletes everything a stopped network left in `dir`: keys, data, logs. The next start begins anew.
///
/// # Errors
/// When the network runs, or `dir` holds something else than a testnet.
pub fn reset(dir: &Path) -> Result<(), TestnetError> {
    if !plan::exists(dir) {
        return Err(TestnetError::NoTestnet { dir: dir.to_owned() });
    }
    let _lock = state::lock(dir)?.ok_or_else(|| TestnetError::Running { dir: dir.to_owned() })?;
    clear(dir)
}

/// Deletes what this crate makes in `dir`, and nothing else. The caller holds the lock, which stays.
pub(crate) fn clear(dir: &Path) -> Result<(), TestnetError> {
    // The plan last: without it the folder would no longer be known as a testnet's if this were interrupted.
    let (plan, others): (Vec<PathBuf>, Vec<PathBuf>) =
        entries(dir)?.into_iter().filter(|path| made_here(path)).partition(|path| path.ends_with("plan.json"));
    for path in others.into_iter().chain(plan).filter(|path| !path.ends_with("lock")) {
        let result = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        result.map_err(TestnetError::io("delete", &path))?;
    }
    Ok(())
}

/// Whether `dir` holds a testnet, or nothing.
pub(crate) fn is_ours(dir: &Path) -> Result<bool, TestnetError> {
    Ok(plan::exists(dir) || entries(dir)?.iter().all(|path| made_here(path)))
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, TestnetError> {
    let list = || fs::read_dir(dir)?.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>();
    list().map_err(TestnetError::io("list", dir))
}

fn made_here(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
    let name = name.strip_suffix(".new").unwrap_or(name);
    let node = name.strip_prefix("node-").is_some_and(|number| number.parse::<usize>().is_ok());
    let known = [
        "lock",
        "plan",
        "plan.json",
        "testnet",
        "testnet.json",
        "control.sock",
        "network",
        "network.toml",
        "wallets",
        ARWEAVE,
    ];
    node || known.contains(&name)
}

/// Lines that begin at `offset` in `log`, as far as they are whole: the offset after them.
fn new_lines(
    log: &Path,
    mut offset: u64,
    sink: &mut impl FnMut(&str) -> ControlFlow<()>,
) -> io::Result<ControlFlow<(), u64>> {
    let mut file = File::open(log)?;
    if file.metadata()?.len() < offset {
        offset = 0;
    }
    file.seek(SeekFrom::Start(offset))?;
    let mut reader = BufReader::new(file);
    loop {
        let mut line = Vec::new();
        let read = reader.by_ref().take(MAX_LOG_LINE).read_until(b'\n', &mut line)? as u64;
        if line.last() != Some(&b'\n') && read < MAX_LOG_LINE {
            return Ok(ControlFlow::Continue(offset));
        }
        offset = offset.saturating_add(read);
        if sink(String::from_utf8_lossy(&line).trim_end()).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
}

fn running(dir: &Path) -> Result<bool, TestnetError> {
    state::lock(dir).map(|lock| lock.is_none())
}

fn running_state(dir: &Path) -> Result<State, TestnetError> {
    if !plan::exists(dir) {
        return Err(TestnetError::NoTestnet { dir: dir.to_owned() });
    }
    let state = if running(dir)? { State::load(dir)? } else { None };
    state.ok_or_else(|| TestnetError::NotRunning { dir: dir.to_owned() })
}

fn ask(dir: &Path, request: &str) -> Result<String, TestnetError> {
    let state = running_state(dir)?;
    match control::ask(&state.control, request) {
        Ok(answer) => answer.map_err(TestnetError::Refused),
        Err(source) => Err(TestnetError::Silent { socket: state.control, pid: state.supervisor, source }),
    }
}

fn known(plan: &Plan, name: &str) -> Result<(), TestnetError> {
    let names: Vec<&str> = plan.nodes.iter().map(|node| node.name.as_str()).chain([ARWEAVE]).collect();
    if names.contains(&name) {
        return Ok(());
    }
    Err(TestnetError::UnknownNode { name: name.chars().take(80).collect(), known: names.join(", ") })
}

fn not_ready(dir: &Path, node: &str, why: String) -> TestnetError {
    let log = dir.join(node).join("log");
    let lines = files::last_lines(&log, SHOWN_LINES).0.join("\n");
    TestnetError::NotReady { name: node.to_owned(), why, log, lines }
}
