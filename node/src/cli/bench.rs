//! `weft bench`: how fast and how large a network is, measured from outside, as clients see it.
//!
//! Where it sits: a client like every other command. It starts a fresh network of its own through this very program (or
//! takes the nodes it is given), sends signed messages to all nodes at once and times their answers. Everything runs on
//! one machine, the clients included: the figures say what this machine does, not what the network could.

mod figures;
mod load;
mod many;
mod own;
mod report;

use std::{num::NonZeroUsize, path::PathBuf, time::Duration};

use clap::Args;
use weft_protocol::{
    Id,
    ans104::{Ed25519Signer, Signer},
};

use super::{
    client::Client,
    exit::{CliError, CliResult, Done, Exit},
    item, module,
    process::{network_address, parse_wait},
    progress,
};
use figures::Machine;
use load::{Load, Phase, Target};
use own::Own;
use report::{Report, Workload};

/// Longest wait for one message's evaluation, and for everything that was sealed to be evaluated.
const PATIENCE: Duration = Duration::from_secs(180);
/// Messages after which a phase ends, whatever its time.
const MAX_MESSAGES: usize = 100_000;
/// A node is called idle when it has had nothing to do for this long after it was ready.
const IDLE_AFTER: Duration = Duration::from_secs(5);

/// `weft bench`.
#[derive(Args, Debug)]
#[command(after_help = "\
What it measures: first one client that sends one message after the other and waits for each result; then CLIENTS of
them at once; then CLIENTS that only wait for the seal, and how long the evaluation of what they sent takes.

Examples:
  weft bench
  weft bench --clients 64 --processes 16 --time 30s
  weft bench --aos aos.wasm
  weft bench many --processes 10000
  weft bench --node http://127.0.0.1:4002 --node http://127.0.0.1:4010")]
#[command(args_conflicts_with_subcommands = true)]
pub struct Bench {
    #[command(subcommand)]
    other: Option<Other>,
    /// Nodes of the network to start
    #[arg(long, value_name = "N", default_value = "5", conflicts_with = "node")]
    nodes: NonZeroUsize,
    /// Measure these running nodes (repeatable) instead of a network of its own
    #[arg(long, value_name = "URL")]
    node: Vec<String>,
    /// Clients at once, 1 to 512
    #[arg(long, value_name = "N", default_value = "32", value_parser = clap::value_parser!(u16).range(1..=512))]
    clients: u16,
    /// Processes that the messages go to, 1 to 64
    #[arg(long, value_name = "N", default_value = "10", value_parser = clap::value_parser!(u16).range(1..=64))]
    processes: u16,
    /// How long each of the three parts lasts
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = parse_wait)]
    time: Duration,
    /// Measure one aos process of this module, too (a .wasm file or a module's id)
    #[arg(long, value_name = "MODULE")]
    aos: Option<String>,
    /// Where the network it starts keeps its files; deleted at the end [default: the system's folder for such]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// Other things to measure.
#[derive(clap::Subcommand, Debug)]
enum Other {
    /// What many processes take that are asked once and then rest, and how soon they answer again
    Many(many::Many),
}

impl Bench {
    /// Runs everything and reports.
    pub(super) async fn run(mut self) -> CliResult<Done> {
        if let Some(Other::Many(many)) = self.other.take() {
            return many.run().await;
        }
        if self.time.is_zero() || self.time > Duration::from_secs(600) {
            let value = humantime::format_duration(self.time);
            return Err(CliError::usage("--time", value, "must be more than 0 and at most 10m").fix("use --time 10s"));
        }
        let own = if self.node.is_empty() { Some(self.start().await?) } else { None };
        let measured = self.measure(own.as_ref()).await;
        if let Some(own) = own {
            own.stop().await;
        }
        let report = measured?;
        Ok(Done::new(report.text(), report.json()))
    }

    async fn start(&self) -> CliResult<Own> {
        let folder = self
            .data
            .clone()
            .unwrap_or_else(|| std::env::temp_dir().join(format!("weft-bench-{}", std::process::id())));
        progress::during("starting a network", Own::start(folder, self.nodes.get())).await
    }

    async fn measure(&self, own: Option<&Own>) -> CliResult<Report> {
        let urls = own.map_or_else(|| self.node.clone(), |own| own.urls.clone());
        let clients = urls.iter().map(|url| Client::new(url, "--node")).collect::<CliResult<Vec<_>>>()?;
        let pids = own.map(|own| own.pids.clone()).unwrap_or_default();
        let idle = match own {
            Some(_) => {
                progress::during("letting the network come to rest", tokio::time::sleep(IDLE_AFTER)).await;
                figures::resident(&pids)
            }
            None => Vec::new(),
        };
        let mut report = Report {
            machine: Machine::look(),
            nodes: urls.len(),
            clients: self.clients.into(),
            start_up: own.map(|own| own.start_up),
            idle,
            busy: Vec::new(),
            workloads: Vec::new(),
            end_load: String::new(),
        };
        let (example, processes) = (module::COUNTER, usize::from(self.processes));
        report.workloads.push(self.workload(&clients, &pids, example, processes, false).await?);
        if let Some(module) = &self.aos {
            report.workloads.push(self.workload(&clients, &pids, module, 1, true).await?);
        }
        report.busy = figures::resident(&pids);
        report.end_load = figures::load_average();
        Ok(report)
    }

    async fn workload(
        &self,
        nodes: &[Client],
        pids: &[u32],
        module: &str,
        processes: usize,
        aos: bool,
    ) -> CliResult<Workload> {
        let name = if aos { "aos" } else { "counter" };
        let signer = Ed25519Signer::from_seed(random()?);
        let first = nodes.first().ok_or_else(|| CliError::new(Exit::Usage, "no node to measure"))?;
        let made = spawn_all(first, module, processes, aos, &signer);
        let targets = progress::during(&format!("spawning {processes} {name} process(es)"), made).await?;
        let load = Load::new(nodes.to_vec(), targets, signer, self.time, pids.to_vec());
        let clients = usize::from(self.clients);
        let low = progress::during("one client, message by message", load.run(1, true)).await?;
        let high =
            progress::during(&format!("{clients} clients, waiting for results"), load.run(clients, true)).await?;
        let flood =
            progress::during(&format!("{clients} clients, waiting for seals"), load.run(clients, false)).await?;
        Ok(Workload { name, processes, low, high, flood })
    }
}

/// Publishes the module, spawns the processes, and waits until each has answered a first message.
async fn spawn_all(
    node: &Client,
    module: &str,
    count: usize,
    aos: bool,
    signer: &Ed25519Signer,
) -> CliResult<Vec<Target>> {
    let network = network_address(node).await?;
    let module = module::resolve(node, module, signer).await?;
    let mut targets = Vec::with_capacity(count);
    for _ in 0..count {
        let target = Target {
            process: spawn(node, module, network, signer).await?,
            action: if aos { "Ping" } else { "Increment" },
        };
        if aos {
            let eval = item::sign(
                signer,
                "Message",
                Some(target.process),
                &[("Action".into(), "Eval".into())],
                &[],
                PONG.into(),
            )?;
            send_and_wait(node, target.process, &eval).await?;
        }
        let tags = [("Action".to_owned(), target.action.to_owned())];
        let first = item::sign(signer, "Message", Some(target.process), &tags, &[], Vec::new())?;
        send_and_wait(node, target.process, &first).await?;
        targets.push(target);
    }
    Ok(targets)
}

/// The handler of the aos workload: counts and answers the sender.
const PONG: &str = "Pings = 0\nHandlers.add('bench', Handlers.utils.hasMatchingTag('Action', 'Ping'), function(msg)\n  \
                    Pings = Pings + 1\n  ao.send({ Target = msg.From, Action = 'Pong', Data = 'pong ' .. Pings })\nend)";

async fn spawn(node: &Client, module: Id, network: Id, signer: &dyn Signer) -> CliResult<Id> {
    let extra = [("Module", module.to_string()), ("Scheduler", network.to_string())];
    let tags = [("Authority".to_owned(), network.to_string())];
    let spawn = item::sign(signer, "Process", None, &tags, &extra, b" ".to_vec())?;
    node.submit(spawn.raw().clone()).await?;
    Ok(spawn.id())
}

async fn send_and_wait(node: &Client, process: Id, item: &weft_protocol::ans104::DataItem) -> CliResult<()> {
    node.submit(item.raw().clone()).await?;
    let answer = node.result(process, item.id(), PATIENCE).await?;
    match answer.get("Error").and_then(serde_json::Value::as_str) {
        Some(error) => {
            Err(CliError::new(Exit::Evaluation, format!("process {process} answered with an error: {error}")))
        }
        None => Ok(()),
    }
}

fn random() -> CliResult<[u8; 32]> {
    let mut seed = [0_u8; 32];
    getrandom::fill(&mut seed)
        .map_err(|e| CliError::new(Exit::Failed, format!("the system has no randomness to give: {e}")))?;
    Ok(seed)
}
