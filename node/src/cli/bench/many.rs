//! `weft bench many`: what processes take that are asked once and then rest, and how soon they answer again.
//!
//! Where it sits: a client like `weft bench`, with a network of its own or running nodes. What it says of a node's memory and
//! disk is all of it (what the scheduler, the messenger and the stores keep of a process, too), so it is known only of a
//! network that it has started itself.

use std::{
    fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use clap::Args;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use weft_protocol::{Id, ans104::Ed25519Signer};

use super::{PATIENCE, figures, own::Own, random, send_and_wait, spawn};
use crate::cli::{
    client::Client,
    exit::{CliError, CliResult, Done, Exit},
    item, module,
    process::{network_address, parse_wait},
    progress,
    table::{self, Table},
};

/// Pause between two looks at how many processes are live.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Processes that are asked again.
const SAMPLE: usize = 100;
/// Times that a request is made again which a node had no room for.
const TRIES: u32 = 20;

/// `weft bench many`.
#[derive(Args, Debug)]
#[command(after_help = "\
Spawns processes of the counter example, sends each one message, waits until the nodes have parked them, and asks 100 of
them again.

Examples:
  weft bench many --processes 10000
  weft bench many --processes 500 --node http://127.0.0.1:4002 --rest 0s")]
pub struct Many {
    /// Processes to spawn, 1 to 1000000
    #[arg(long, value_name = "N", default_value = "10000", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    processes: u32,
    /// Nodes of the network to start
    #[arg(long, value_name = "N", default_value = "5", conflicts_with = "node")]
    nodes: NonZeroUsize,
    /// Use these running nodes (repeatable) instead of a network of its own
    #[arg(long, value_name = "URL")]
    node: Vec<String>,
    /// Clients at once, 1 to 512
    #[arg(long, value_name = "N", default_value = "32", value_parser = clap::value_parser!(u16).range(1..=512))]
    clients: u16,
    /// How long to wait at most until the nodes have parked all processes
    #[arg(long, value_name = "DURATION", default_value = "3m", value_parser = parse_wait)]
    rest: Duration,
    /// Where the network it starts keeps its files; deleted at the end [default: the system's folder for such]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// What all clients share.
struct Shared {
    nodes: Vec<Client>,
    signer: Ed25519Signer,
    module: Id,
    network: Id,
    made: AtomicUsize,
    next: AtomicUsize,
    total: usize,
}

/// What the nodes say they hold, and what the system says of them.
#[derive(Default)]
struct Look {
    resident: Vec<u64>,
    disk: Vec<u64>,
    live: u64,
    live_bytes: u64,
    parked: u64,
    parked_bytes: u64,
}

impl Many {
    pub(super) async fn run(self) -> CliResult<Done> {
        let own = if self.node.is_empty() {
            let usual = || std::env::temp_dir().join(format!("weft-bench-{}", std::process::id()));
            let folder = self.data.clone().unwrap_or_else(usual);
            Some(progress::during("starting a network", Own::start(folder, self.nodes.get())).await?)
        } else {
            None
        };
        let measured = self.measure(own.as_ref()).await;
        if let Some(own) = own {
            progress::during("ending the network", own.stop()).await;
        }
        measured
    }

    async fn measure(&self, own: Option<&Own>) -> CliResult<Done> {
        let urls = own.map_or_else(|| self.node.clone(), |own| own.urls.clone());
        let nodes = urls.iter().map(|url| Client::new(url, "--node")).collect::<CliResult<Vec<_>>>()?;
        let first = nodes.first().ok_or_else(|| CliError::new(Exit::Usage, "no node to measure"))?;
        let signer = Ed25519Signer::from_seed(random()?);
        let module = module::resolve(first, module::COUNTER, &signer).await?;
        let network = network_address(first).await?;
        let before = look(&nodes, own).await?;
        let shared = Arc::new(Shared {
            nodes,
            signer,
            module,
            network,
            made: AtomicUsize::new(0),
            next: AtomicUsize::new(0),
            total: self.processes as usize,
        });
        let began = Instant::now();
        let work = spawn_and_ask(&shared, usize::from(self.clients));
        let processes = progress::counted("spawning and asking", shared.total, &shared.made, work).await?;
        let making = began.elapsed();
        let busy = look(&shared.nodes, own).await?;
        progress::during("waiting until they rest", self.until_parked(&shared.nodes)).await?;
        let rest = look(&shared.nodes, own).await?;
        let again = progress::during("asking some of them again", ask_again(&shared, &processes)).await?;
        Ok(report(processes.len(), making, [&before, &busy, &rest], &again))
    }

    async fn until_parked(&self, nodes: &[Client]) -> CliResult<()> {
        let began = Instant::now();
        while began.elapsed() < self.rest && look(nodes, None).await?.live > 0 {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }
}

/// Spawns all processes, each with one message.
async fn spawn_and_ask(shared: &Arc<Shared>, clients: usize) -> CliResult<Vec<Id>> {
    let mut running = JoinSet::new();
    for _ in 0..clients {
        let shared = Arc::clone(shared);
        running.spawn(async move {
            let mut made = Vec::new();
            loop {
                let number = shared.next.fetch_add(1, Ordering::Relaxed);
                if number >= shared.total {
                    return Ok(made);
                }
                made.push(shared.make(number).await?);
                shared.made.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let mut all = Vec::with_capacity(shared.total);
    while let Some(made) = running.join_next().await {
        let made: CliResult<Vec<Id>> =
            made.map_err(|e| CliError::new(Exit::Failed, format!("a client failed: {e}")))?;
        all.extend(made?);
    }
    Ok(all)
}

impl Shared {
    fn node(&self, number: usize) -> CliResult<&Client> {
        let at = number.checked_rem(self.nodes.len()).and_then(|at| self.nodes.get(at));
        at.ok_or_else(|| CliError::new(Exit::Usage, "no node to measure"))
    }

    async fn make(&self, number: usize) -> CliResult<Id> {
        let node = self.node(number)?;
        let process = again(|| spawn(node, self.module, self.network, &self.signer)).await?;
        let message = self.message(process)?;
        again(|| send_and_wait(node, process, &message)).await?;
        Ok(process)
    }

    fn message(&self, process: Id) -> CliResult<weft_protocol::ans104::DataItem> {
        let tags = [("Action".to_owned(), "Increment".to_owned())];
        item::sign(&self.signer, "Message", Some(process), &tags, &[], Vec::new())
    }
}

/// Makes a request again that failed: a node that is full says so, and is asked again a little later.
async fn again<T, F: Future<Output = CliResult<T>>>(request: impl Fn() -> F) -> CliResult<T> {
    let mut tries = 0;
    loop {
        match request().await {
            Err(error) if tries < TRIES && error.exit == Exit::Failed => {
                tries += 1;
                tokio::time::sleep(Duration::from_millis(200).saturating_mul(tries)).await;
            }
            result => return result,
        }
    }
}

/// Asks processes from all over the list; the time that each took from the message to its result, sorted.
async fn ask_again(shared: &Shared, processes: &[Id]) -> CliResult<Vec<Duration>> {
    let step = processes.len().div_ceil(SAMPLE).max(1);
    let mut times = Vec::new();
    for (number, process) in processes.iter().step_by(step).enumerate() {
        let node = shared.node(number)?;
        let message = shared.message(*process)?;
        let began = Instant::now();
        node.submit(message.raw().clone()).await?;
        let answer = node.result(*process, message.id(), PATIENCE).await?;
        times.push(began.elapsed());
        let count = answer.pointer("/Output/data").and_then(Value::as_str);
        if count != Some("2") {
            let said = count.unwrap_or("nothing");
            let why = format!("process {process} was asked a second time and said {said}: it lost its state");
            return Err(CliError::new(Exit::Failed, why));
        }
    }
    times.sort_unstable();
    Ok(times)
}

async fn look(nodes: &[Client], own: Option<&Own>) -> CliResult<Look> {
    let mut look = Look::default();
    for node in nodes {
        let status = node.get("/v1/status", &[]).await?;
        let number = |name: &str| status.pointer(&format!("/work/{name}")).and_then(Value::as_u64).unwrap_or(0);
        look.live += number("live_processes");
        look.live_bytes += number("live_bytes");
        look.parked += number("parked_processes");
        look.parked_bytes += number("parked_bytes");
    }
    if let Some(own) = own {
        look.resident = figures::resident(&own.pids);
        let folders = (1..=nodes.len()).map(|number| own.folder().join(format!("node-{number}")).join("data"));
        look.disk = folders.map(|folder| on_disk(&folder, 8)).collect();
    }
    Ok(look)
}

/// Bytes of the disk that a folder takes, so far down.
fn on_disk(folder: &Path, depth: usize) -> u64 {
    let Some(deeper) = depth.checked_sub(1) else { return 0 };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let one = |entry: fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => on_disk(&entry.path(), deeper),
        Ok(meta) => taken(&meta),
        Err(_) => 0,
    };
    entries.map(one).fold(0, u64::saturating_add)
}

#[cfg(unix)]
fn taken(meta: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::blocks(meta).saturating_mul(512)
}

#[cfg(not(unix))]
fn taken(meta: &fs::Metadata) -> u64 {
    meta.len()
}

fn sum(values: &[u64]) -> u64 {
    values.iter().copied().fold(0, u64::saturating_add)
}

fn report(count: usize, making: Duration, [before, busy, rest]: [&Look; 3], again: &[Duration]) -> Done {
    let each = |before: u64, after: u64| after.saturating_sub(before).checked_div(count as u64).unwrap_or(0);
    let (memory, disk) = (each(sum(&before.resident), sum(&rest.resident)), each(sum(&before.disk), sum(&rest.disk)));
    let ms = |percent| figures::percentile(again, percent).map_or(0.0, |time| time.as_secs_f64() * 1e3);
    let own = !rest.resident.is_empty();
    let list = |values: &[u64]| values.iter().map(|v| table::bytes(*v)).collect::<Vec<_>>().join(", ");
    let mut facts = Table::pairs();
    facts.row(["processes".to_owned(), format!("{count}, spawned and asked once in {:.1} s", making.as_secs_f64())]);
    facts.row(["just after".to_owned(), format!("{} live in {}", busy.live, table::bytes(busy.live_bytes))]);
    let parked = format!("{} parked in {}, {} live", rest.parked, table::bytes(rest.parked_bytes), rest.live);
    facts.row(["at rest".to_owned(), parked]);
    if own {
        facts.row(["memory of the nodes before".to_owned(), list(&before.resident)]);
        facts.row(["just after".to_owned(), list(&busy.resident)]);
        facts.row(["at rest".to_owned(), list(&rest.resident)]);
        facts.row(["memory per process, all nodes".to_owned(), table::bytes(memory)]);
        facts.row(["disk per process, all nodes".to_owned(), table::bytes(disk)]);
    }
    let line = format!("{:.1} / {:.1} / {:.1} ms", ms(50), ms(99), ms(100));
    facts.row([format!("{} asked again, p50 / p99 / most", again.len()), line]);
    let seen = |look: &Look| {
        json!({
            "resident_bytes": look.resident, "disk_bytes": look.disk, "live": look.live, "live_bytes": look.live_bytes,
            "parked": look.parked, "parked_bytes": look.parked_bytes,
        })
    };
    let document = json!({
        "processes": count,
        "made_in_ms": making.as_secs_f64() * 1e3,
        "before": seen(before),
        "just_after": seen(busy),
        "at_rest": seen(rest),
        "memory_per_process": own.then_some(memory),
        "disk_per_process": own.then_some(disk),
        "asked_again_ms": { "p50": ms(50), "p99": ms(99), "most": ms(100) },
    });
    Done::new(facts.text(), document)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
    use super::*;

    #[test]
    fn what_a_process_takes_is_what_all_nodes_took_more() {
        let look = |resident: u64, live| Look {
            resident: vec![resident; 2],
            disk: vec![resident; 2],
            live,
            ..Look::default()
        };
        let times: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        let done = report(10, Duration::from_secs(2), [&look(1000, 0), &look(9000, 10), &look(6000, 0)], &times);
        assert_eq!(done.json["memory_per_process"], 1000);
        assert_eq!(done.json["asked_again_ms"]["p50"], 50.0);
        assert!(done.text.contains("10 live") && done.text.contains("50.0 / 99.0 / 100.0 ms"), "{}", done.text);
    }

    #[test]
    fn a_folder_takes_what_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("x")).unwrap();
        fs::write(dir.path().join("x").join("y"), vec![1; 10_000]).unwrap();
        assert!(on_disk(dir.path(), 8) >= 10_000);
        assert_eq!(on_disk(dir.path(), 1), 0);
    }
}
