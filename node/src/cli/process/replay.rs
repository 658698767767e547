//! `weft process replay`: anyone checks a process. Its log is fetched and every signature and link of it checked, evaluated
//! on this machine, and each outcome compared with what its provider attested.
//!
//! Where it sits: over `compute::service::Follower`; only the bytes come from the node that is asked, and none of its word:
//! the network id follows from the registry it shows, the process id from the spawn item, the log from signatures.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use clap::Args;
use prost::Message as _;
use serde_json::{Value, json};
use weft_protocol::{
    Id, b64,
    checkpoint::{Checkpoint, Claim},
    network::{Network, NetworkFile},
    wire::LogEntry,
};
use weft_storage::{
    arweave::gateway::{Gateway, GatewayConfig},
    blobs::Blobs,
};

use crate::{
    cli::{
        client::Client,
        connect::Connect,
        exit::{CliError, CliResult, Done, Exit},
        progress::Meter,
        resolve::{self, field},
        table,
    },
    compute::{
        Engine, Pool, PoolConfig,
        service::{self, Difference, Followed, Follower, Modules},
    },
};

/// Slots fetched and evaluated at a time.
const PAGE: u64 = 64;
/// Bytes of a checkpoint's item that is taken.
const MAX_CHECKPOINT: usize = 16 << 20;

/// `weft process replay`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  weft process replay hello
  weft process replay hello --to 1000 --json
  weft process replay hello --from-checkpoint      begin at the newest checkpoint on Arweave

Exit code 0: everything attested is what evaluation gives. 6: something is not; the first difference is printed.")]
pub struct Replay {
    /// Id, id prefix or name
    #[arg(value_name = "PROCESS")]
    process: String,
    /// Last slot [default: the newest one attested]
    #[arg(long, value_name = "SLOT")]
    to: Option<u64>,
    /// Begin at the newest checkpoint on Arweave instead of at slot 0
    #[arg(long)]
    from_checkpoint: bool,
    /// Where compiled modules are kept
    #[arg(long, value_name = "DIR", env = "WEFT_CACHE", hide_env_values = true)]
    cache: Option<PathBuf>,
    #[command(flatten)]
    connect: Connect,
}

/// What has been compared so far.
#[derive(Default)]
struct Tally {
    from: u64,
    next: u64,
    fuel: u64,
    roots: u64,
    chain: Option<Id>,
}

impl Replay {
    pub(super) async fn run(self) -> CliResult<Done> {
        let client = self.connect.client()?;
        let process = resolve::process(&client, &self.process).await?;
        let shown = client.get(&format!("/v1/processes/{process}"), &[]).await?;
        let next = shown.get("next_slot").and_then(Value::as_u64).unwrap_or(0);
        let end = self.to.map_or(next, |to| to.saturating_add(1));
        if end == 0 || end > next {
            let reason = format!("its log has {next} slots");
            return Err(CliError::usage("--to", end.saturating_sub(1), reason).fix("name a slot below that"));
        }
        let mut follower = self.follower(&client, process).await?;
        if self.from_checkpoint {
            begin(&client, &mut follower, process, end).await?;
        }
        let started = Instant::now();
        let (tally, difference) = follow(&client, &mut follower, process, end).await?;
        Ok(self.report(process, &tally, difference.as_ref(), started.elapsed()))
    }

    /// The process before slot 0, from what the node shows of network, process and module.
    async fn follower(&self, client: &Client, process: Id) -> CliResult<Follower> {
        let network = network(client).await?;
        let first = entries(client, process, 0, 1).await?.into_iter().next();
        let first = first.ok_or_else(|| CliError::new(Exit::NotFound, "the log of this process is empty"))?;
        let located = service::locate(&network, &first).map_err(|why| bad_log(0, &why))?;
        if located.item.id() != process {
            return Err(bad_log(0, "it is another process"));
        }
        let cache = self.cache.clone().unwrap_or_else(cache);
        fs::create_dir_all(&cache).map_err(|e| {
            CliError::usage("--cache", cache.display(), e).fix("name a folder that can be written, or set WEFT_CACHE")
        })?;
        let config = crate::node::engine_config(&network, cache.join("compiled"));
        let engine = Engine::new(config).map_err(failed)?;
        let module = located.module().ok_or_else(|| bad_log(0, "the process names no module"))?;
        let blobs = Blobs::open(cache.join("modules")).map_err(failed)?;
        let modules = Modules::new(engine.clone(), gateway(client)?, blobs);
        let loading = modules.load(module);
        let module = crate::cli::progress::during("fetching and compiling its module", loading).await;
        let module = module.map_err(|error| CliError::new(Exit::Unreachable, error))?;
        let pool = Pool::new(PoolConfig::default()).map_err(failed)?;
        Follower::new(network, engine, pool, located, &module).map_err(|why| CliError::new(Exit::Failed, why))
    }

    fn report(&self, process: Id, tally: &Tally, difference: Option<&(u64, Difference)>, passed: Duration) -> Done {
        let slots = tally.next.saturating_sub(tally.from);
        let per_second = |count: u64| u128::from(count).saturating_mul(1_000) / passed.as_millis().max(1);
        let rate = format!(
            "{slots} slots in {:.1} s: {} slots/s, {} Mfuel/s",
            passed.as_secs_f64(),
            per_second(slots),
            per_second(tally.fuel) / 1_000_000
        );
        let json = json!({
            "process": process,
            "from_slot": tally.from,
            "to_slot": tally.next.saturating_sub(1),
            "equal": difference.is_none(),
            "difference": difference.map(|(slot, d)| {
                json!({ "slot": slot, "what": d.what, "attested": d.attested, "found": d.found })
            }),
            "fuel": tally.fuel,
            "state_roots": tally.roots,
            "outcome_chain": tally.chain,
            "seconds": passed.as_secs_f64(),
            "slots_per_second": u64::try_from(per_second(slots)).unwrap_or(u64::MAX),
            "fuel_per_second": u64::try_from(per_second(tally.fuel)).unwrap_or(u64::MAX),
        });
        let Some((slot, d)) = difference else {
            let text = format!(
                "Equal: slots {} to {} of {} ({process}).\n\n  every assignment is signed by its scheduler and linked to the one before\n  \
                 every outcome, its fuel and the chain over them are what was attested\n  state roots equal: {}\n  outcome chain: {}\n\n{rate}",
                tally.from,
                tally.next.saturating_sub(1),
                table::printable(&self.process),
                tally.roots,
                tally.chain.map(|chain| chain.to_string()).unwrap_or_default(),
            );
            return Done::new(text, json);
        };
        let text = format!(
            "Different at slot {slot} of {} ({process}): the {}.\n\n  attested:  {}\n  evaluated: {}\n\nThe {} slots before are \
             equal.\n{rate}",
            table::printable(&self.process),
            d.what,
            d.attested,
            d.found,
            slot.saturating_sub(tally.from)
        );
        Done::new(text, json).exit(Exit::Evaluation).next(format!("weft process result {} {slot}", self.process))
    }
}

/// Evaluates the log up to `end` and compares: what was compared, and the first difference with its slot.
async fn follow(
    client: &Client,
    follower: &mut Follower,
    process: Id,
    end: u64,
) -> CliResult<(Tally, Option<(u64, Difference)>)> {
    let from = follower.next_slot();
    let mut tally = Tally { from, next: from, ..Tally::default() };
    let mut meter = Meter::new("replaying");
    let mut ahead = page(client, process, from, end).await?;
    while tally.next < end {
        let (entries, signed) = ahead;
        let after = tally.next.saturating_add(entries.len() as u64);
        if entries.is_empty() {
            return Err(bad_log(tally.next, "it is not there"));
        }
        // The next page is fetched while this one is evaluated.
        let (done, fetched) = tokio::join!(follower.advance(entries), page(client, process, after, end));
        let done = done.map_err(|why| bad_log(tally.next, &why))?;
        for (found, signed) in done.iter().zip(&signed) {
            if let Some(difference) = compare(follower, found, signed)? {
                return Ok((tally, Some((found.slot, difference))));
            }
            note(&mut tally, found);
        }
        if done.len() > signed.len() {
            return Err(CliError::new(Exit::NotFound, format!("slot {} is not attested", tally.next))
                .fix("try again when it is evaluated, or name a slot before with --to"));
        }
        meter.say(tally.next.saturating_sub(from), end.saturating_sub(from), tally.fuel);
        ahead = fetched?;
    }
    meter.end();
    Ok((tally, None))
}

fn note(tally: &mut Tally, found: &Followed) {
    tally.next = found.slot.saturating_add(1);
    tally.fuel = tally.fuel.saturating_add(found.fuel);
    tally.roots = tally.roots.saturating_add(u64::from(found.root.is_some()));
    tally.chain = Some(found.chain);
}

fn compare(follower: &Follower, found: &Followed, signed: &[u8]) -> CliResult<Option<Difference>> {
    follower.compare(&bytes::Bytes::copy_from_slice(signed), found).map_err(|why| {
        CliError::new(Exit::Evaluation, format!("the attestation of slot {} cannot be compared: {why}", found.slot))
            .fix("use the version of weft that the network's providers run")
    })
}

/// Entries from `from` on, before `end`, and the attestations of those that are attested.
async fn page(client: &Client, process: Id, from: u64, end: u64) -> CliResult<(Vec<LogEntry>, Vec<Vec<u8>>)> {
    let count = end.saturating_sub(from).min(PAGE);
    if count == 0 {
        return Ok((Vec::new(), Vec::new()));
    }
    let (entries, signed) = tokio::join!(entries(client, process, from, count), results(client, process, from, count));
    Ok((entries?, signed?))
}

async fn entries(client: &Client, process: Id, from: u64, count: u64) -> CliResult<Vec<LogEntry>> {
    let answer = client.get(&format!("/v1/processes/{process}/log"), &range(from, count)).await?;
    let entry = |value: &Value| LogEntry::decode(bytes(value)?.as_slice()).ok();
    Ok(answer.get("entries").and_then(Value::as_array).into_iter().flatten().map_while(entry).collect())
}

async fn results(client: &Client, process: Id, from: u64, count: u64) -> CliResult<Vec<Vec<u8>>> {
    let answer = client.get(&format!("/v1/processes/{process}/results"), &range(from, count)).await?;
    Ok(answer.get("results").and_then(Value::as_array).into_iter().flatten().map_while(bytes).collect())
}

fn range(from: u64, count: u64) -> [(&'static str, String); 4] {
    let to = from.saturating_add(count).saturating_sub(1);
    [("from", from.to_string()), ("to", to.to_string()), ("limit", count.to_string()), ("signed", "true".to_owned())]
}

fn bytes(value: &Value) -> Option<Vec<u8>> {
    b64::decode(field(value, "signed")?)
}

/// The network, from the registry and the parameters that the node shows; its id follows from them.
async fn network(client: &Client) -> CliResult<Network> {
    let shown = client.get("/v1/network", &[]).await?;
    let member = |member: &Value| {
        let of = |name: &str| member.get(name).cloned().unwrap_or_default();
        json!({ "name": of("name"), "key": of("key"), "bond": of("bond"), "roles": of("roles"), "owner": of("owner") })
    };
    let members = shown.get("members").and_then(Value::as_array);
    let file = json!({
        "name": shown.get("name"),
        "parameters": shown.get("parameters"),
        "registry": members.into_iter().flatten().map(member).collect::<Vec<_>>(),
    });
    let unknown = |why: String| {
        CliError::new(Exit::Unreachable, format!("the node does not show its network as this program knows it: {why}"))
            .fix("use the version of weft that the node runs")
    };
    let file: NetworkFile = serde_json::from_value(file).map_err(|error| unknown(error.to_string()))?;
    let network = file.validate().map_err(|error| unknown(error.to_string()))?;
    if field(&shown, "id") != Some(&network.id().to_string()) {
        return Err(unknown("its id does not follow from what it shows".to_owned()));
    }
    Ok(network)
}

/// Puts the follower behind the newest usable checkpoint before `end`; with none it stays at slot 0.
async fn begin(client: &Client, follower: &mut Follower, process: Id, end: u64) -> CliResult<()> {
    let gateway = gateway(client)?;
    let found = service::find_checkpoints(&gateway, &process, &follower.providers()).await;
    let found = found.map_err(|why| CliError::new(Exit::Unreachable, why))?;
    let mut unfit = Vec::new();
    for (id, claim) in found.into_iter().filter(|(_, claim)| claim.slot.saturating_add(1) < end) {
        match begin_at(client, follower, &gateway, id, &claim).await {
            Ok(()) => return Ok(()),
            Err(why) => unfit.push(format!("; {id}: {why}")),
        }
    }
    let reason = format!("no checkpoint of this process on Arweave can be used{}", unfit.concat());
    Err(CliError::new(Exit::NotFound, reason).at("PROCESS", process).fix("leave --from-checkpoint out"))
}

async fn begin_at(
    client: &Client,
    follower: &mut Follower,
    gateway: &Gateway,
    id: Id,
    claim: &Claim,
) -> Result<(), String> {
    let fetched = gateway.fetch_within(&id, MAX_CHECKPOINT).await.map_err(|error| error.to_string())?;
    let checkpoint = Checkpoint::read(&fetched.tags, &fetched.data).map_err(|error| error.to_string())?;
    if checkpoint.claim != *claim {
        return Err("the gateway named other tags than it has".to_owned());
    }
    let entry = entries(client, claim.process, claim.slot, 1).await.map_err(|error| error.text())?;
    let entry = entry.into_iter().next().ok_or("the log does not have its slot")?;
    follower.begin_at(&checkpoint, fetched.owner, &entry).await
}

/// The node itself as a gateway.
fn gateway(client: &Client) -> CliResult<Gateway> {
    Gateway::new(GatewayConfig::new(vec![client.address().to_owned()])).map_err(failed)
}

/// Where compiled modules are kept between two calls.
fn cache() -> PathBuf {
    let own = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = own("XDG_CACHE_HOME").or_else(|| own("HOME").map(|home| home.join(".cache")));
    base.unwrap_or_else(std::env::temp_dir).join("weft")
}

fn bad_log(slot: u64, why: &str) -> CliError {
    CliError::new(Exit::Evaluation, format!("the log cannot be followed at slot {slot}: {why}"))
}

fn failed(error: impl std::fmt::Display) -> CliError {
    CliError::new(Exit::Failed, error)
}
