//! What a network consists of: everything that follows from its options, and the files the nodes start from.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use weft_protocol::{
    Id, Network, NodeKey,
    network::{AnchorParameters, Member, NetworkFile, NetworkParameters, Role},
};

use crate::{
    TestnetError, TestnetOptions, Wallet, development_wallets, files,
    keys::{NodeSecret, peer_id},
    options::{DEFAULT_NODES, DEFAULT_SEED},
    ports::{self, NodePorts, PortMoved, Ports},
    wallets,
};

/// The network's name in its network file.
const NAME: &str = "weft-local";
/// Confirmations that a layer-1 transaction needs to be assigned, unless its process says otherwise.
const SETTLEMENT_DEPTH: u16 = 3;
/// Each node's bond: equal, so that every node is drawn about as often.
const BOND: u64 = 1_000;

/// A local network that is decided: names, keys, ports, addresses. `Serialize` gives the form for scripts.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// The network's name.
    pub name: String,
    /// The network id.
    pub id: Id,
    /// The network address: `Scheduler` tag for "elect one", `Authority` tag for "trust what the network has proven".
    pub address: Id,
    /// The network's folder.
    pub dir: PathBuf,
    /// What the keys were made from.
    pub seed: String,
    /// The devnet's gateway.
    pub gateway: String,
    /// The devnet's uploader of data items.
    pub uploader: String,
    /// The nodes, in order.
    pub nodes: Vec<PlannedNode>,
    /// Funded wallets for development.
    pub wallets: Vec<PlannedWallet>,
}

/// One node of a [`Plan`].
#[derive(Debug, Clone, Serialize)]
pub struct PlannedNode {
    /// `node-1`, `node-2`, …
    pub name: String,
    /// Its public key.
    pub key: NodeKey,
    /// Its address.
    pub address: Id,
    /// What it does for others.
    pub roles: Vec<Role>,
    /// Its doors; on the first node messenger, scheduler and compute, in this order. Every door serves everything.
    pub urls: Vec<String>,
    /// Where peers reach it (UDP and TCP).
    pub peers: u16,
    /// Its log.
    pub log: PathBuf,
    /// Ports of `urls`.
    #[serde(skip)]
    pub(crate) http: Vec<u16>,
}

/// A funded wallet of a [`Plan`].
#[derive(Debug, Clone, Serialize)]
pub struct PlannedWallet {
    /// `alice` … `judy`.
    pub name: String,
    /// Its Arweave address.
    pub address: Id,
    /// Its key file.
    pub path: PathBuf,
    /// What it held when the devnet began, in winston.
    pub winston: u64,
}

/// What is kept in `plan.json` for the next start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Saved {
    seed: String,
    nodes: usize,
    ports: Ports,
}

/// A plan, how it came about, and what starting it needs beyond it.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub plan: Plan,
    pub resumed: bool,
    pub moved: Vec<PortMoved>,
    /// Ports of gateway and uploader.
    pub gateway: Vec<u16>,
}

/// Decides everything and writes the files. The caller holds the folder's lock.
pub(crate) fn prepare(options: &TestnetOptions) -> Result<Prepared, TestnetError> {
    let saved = read_saved(&options.dir)?;
    if let Some(saved) = &saved {
        agree(&options.dir, "seed", options.seed.as_ref(), &saved.seed)?;
        agree(&options.dir, "number of nodes", options.nodes.as_ref(), &saved.nodes)?;
    }
    let of_saved = |field: fn(&Saved) -> String| saved.as_ref().map(field);
    let seed = options.seed.clone().or_else(|| of_saved(|saved| saved.seed.clone()));
    let seed = seed.unwrap_or_else(|| DEFAULT_SEED.to_owned());
    let nodes = options.nodes.or(saved.as_ref().map(|saved| saved.nodes)).unwrap_or(DEFAULT_NODES);
    let (ports, moved) = ports::allocate(options.first_ports, nodes, saved.as_ref().map(|saved| &saved.ports))?;
    let decided = Saved { seed, nodes, ports };
    let (plan, file) = decide(&options.dir, &decided)?;
    if saved.is_some() {
        same_network(&plan)?;
    }
    write_files(&plan, &file, &decided)?;
    Ok(Prepared { plan, resumed: saved.is_some(), moved, gateway: decided.ports.gateway })
}

/// That the folder's network file still names this network. One that was edited, or written by a version with other
/// parameters, is another network: its nodes would find none of the processes in their data.
fn same_network(plan: &Plan) -> Result<(), TestnetError> {
    let Some(text) = files::read(&plan.dir.join("network.toml"))? else { return Ok(()) };
    let found = match Network::parse(&text) {
        Ok(network) if network.id() == plan.id => return Ok(()),
        Ok(network) => format!("describes network {}", network.id()),
        Err(error) => format!("cannot be read by this version ({error})"),
    };
    Err(TestnetError::OtherNetwork { dir: plan.dir.clone(), found, id: plan.id })
}

/// The plan of the network in `dir`, as it was last started.
pub(crate) fn load(dir: &Path) -> Result<Plan, TestnetError> {
    let saved = read_saved(dir)?.ok_or_else(|| TestnetError::NoTestnet { dir: dir.to_owned() })?;
    decide(dir, &saved).map(|(plan, _)| plan)
}

/// Whether a network was ever started in `dir`.
pub(crate) fn exists(dir: &Path) -> bool {
    plan_path(dir).is_file()
}

fn plan_path(dir: &Path) -> PathBuf {
    dir.join("plan.json")
}

fn read_saved(dir: &Path) -> Result<Option<Saved>, TestnetError> {
    let path = plan_path(dir);
    let parse = |text: String| {
        let saved: Saved = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        let whole = saved.nodes == saved.ports.nodes.len()
            && (1..=crate::MAX_NODES).contains(&saved.nodes)
            && saved.ports.gateway.len() == 2
            && saved
                .ports
                .nodes
                .iter()
                .zip([3].into_iter().chain([1].into_iter().cycle()))
                .all(|(n, len)| n.http.len() == len);
        if whole { Ok(saved) } else { Err("its ports do not fit its number of nodes".to_owned()) }
    };
    files::read(&path)?.map(parse).transpose().map_err(|reason| TestnetError::Broken { path, reason })
}

fn agree<T: ToString + PartialEq>(
    dir: &Path,
    what: &'static str,
    asked: Option<&T>,
    saved: &T,
) -> Result<(), TestnetError> {
    match asked.filter(|asked| *asked != saved) {
        None => Ok(()),
        Some(asked) => Err(TestnetError::Different {
            dir: dir.to_owned(),
            what,
            saved: saved.to_string(),
            asked: asked.to_string(),
        }),
    }
}

/// Everything that follows from seed, number and ports.
fn decide(dir: &Path, saved: &Saved) -> Result<(Plan, NetworkFile), TestnetError> {
    let url = |port: &u16| format!("http://127.0.0.1:{port}");
    let nodes: Vec<PlannedNode> = (1..)
        .zip(&saved.ports.nodes)
        .map(|(number, NodePorts { http, peers })| {
            let name = format!("node-{number}");
            let key = NodeSecret::derive(&saved.seed, number).key();
            PlannedNode {
                key,
                address: key.address(),
                roles: Role::ALL.to_vec(),
                urls: http.iter().map(url).collect(),
                peers: *peers,
                log: dir.join(&name).join("log"),
                http: http.clone(),
                name,
            }
        })
        .collect();
    let member = |node: &PlannedNode| Member {
        name: node.name.clone(),
        key: node.key,
        bond: BOND,
        roles: node.roles.iter().copied().collect(),
        owner: None,
    };
    let boot = nodes.first().map(|node| listen(node).map(|address| format!("{address}/p2p/{}", peer_id(&node.key))));
    let file = NetworkFile {
        name: NAME.to_owned(),
        boot: boot.into_iter().flatten().collect(),
        parameters: parameters(),
        registry: nodes.iter().map(member).collect(),
    };
    let network = file.clone().validate()?;
    Ok((plan(dir, saved, nodes, &network), file))
}

/// The defaults, but for what would keep a person waiting: local blocks come every two seconds, and nobody reorganises them.
fn parameters() -> NetworkParameters {
    let defaults = NetworkParameters::default();
    let anchor = AnchorParameters { settlement_depth: SETTLEMENT_DEPTH, ..defaults.anchor };
    NetworkParameters { anchor, ..defaults }
}

fn plan(dir: &Path, saved: &Saved, nodes: Vec<PlannedNode>, network: &Network) -> Plan {
    let mut arweave = saved.ports.gateway.iter().map(|port| format!("http://127.0.0.1:{port}"));
    let wallet = |wallet: Wallet| PlannedWallet {
        name: wallet.name.to_owned(),
        address: wallet.address,
        path: dir.join("wallets").join(format!("{}.json", wallet.name)),
        winston: wallets::MINTED_WINSTON,
    };
    Plan {
        name: network.name().to_owned(),
        id: network.id(),
        address: network.address(),
        dir: dir.to_owned(),
        seed: saved.seed.clone(),
        gateway: arweave.next().unwrap_or_default(),
        uploader: arweave.next().unwrap_or_default(),
        nodes,
        wallets: development_wallets().into_iter().map(wallet).collect(),
    }
}

/// Where a node listens for peers.
fn listen(node: &PlannedNode) -> [String; 2] {
    [format!("/ip4/127.0.0.1/udp/{}/quic-v1", node.peers), format!("/ip4/127.0.0.1/tcp/{}", node.peers)]
}

/// `node.toml`.
#[derive(Serialize)]
struct NodeFile<'a> {
    name: &'a str,
    network: &'static str,
    key: &'static str,
    data: &'static str,
    roles: &'a [Role],
    listen: [String; 2],
    http: Vec<String>,
    gateways: [&'a str; 1],
    wallet: &'static str,
    anchor_every_seconds: u64,
    offer: Offer,
    compute: Compute,
}

#[derive(Serialize)]
struct Offer {
    price_per_gfuel: u64,
    max_leases: u32,
}

#[derive(Serialize)]
struct Compute {
    idle_after_seconds: u64,
}

/// Writes all files; `plan.json` first: it says whose folder this is, and the others follow from it at every start.
fn write_files(plan: &Plan, file: &NetworkFile, saved: &Saved) -> Result<(), TestnetError> {
    let path = plan_path(&plan.dir);
    let text = serde_json::to_string_pretty(saved)
        .map_err(|error| TestnetError::Broken { path: path.clone(), reason: error.to_string() })?;
    files::write(&path, &text, false)?;
    files::make_folder(&plan.dir.join("arweave"))?;
    files::make_folder(&plan.dir.join("wallets"))?;
    files::write(&plan.dir.join("network.toml"), &file.to_toml()?, false)?;
    for (wallet, planned) in development_wallets().iter().zip(&plan.wallets) {
        files::write(&planned.path, wallet.jwk, true)?;
    }
    for (index, node) in plan.nodes.iter().enumerate() {
        let folder = plan.dir.join(&node.name);
        files::make_folder(&folder)?;
        let number = u32::try_from(index).unwrap_or(u32::MAX).saturating_add(1);
        let key = folder.join("node.key.json");
        let jwk = NodeSecret::derive(&plan.seed, number).jwk();
        let jwk = jwk.map_err(|error| TestnetError::Broken { path: key.clone(), reason: error.to_string() })?;
        files::write(&key, &jwk, true)?;
        files::write(&folder.join("wallet.json"), wallets::payer_of(index), true)?;
        files::write(&folder.join("node.toml"), &node_file(plan, node, index)?, false)?;
    }
    Ok(())
}

fn node_file(plan: &Plan, node: &PlannedNode, index: usize) -> Result<String, TestnetError> {
    let file = NodeFile {
        name: &node.name,
        network: "../network.toml",
        key: "node.key.json",
        data: "data",
        roles: &node.roles,
        listen: listen(node),
        http: node.http.iter().map(|port| format!("127.0.0.1:{port}")).collect(),
        gateways: [&plan.gateway],
        wallet: "wallet.json",
        // The devnet's winston are free.
        anchor_every_seconds: 2,
        // Prices differ a little, so that there is a market to look at.
        offer: Offer { price_per_gfuel: 100_u64.saturating_add(index as u64 % 5), max_leases: 20_000 },
        // All nodes share one machine: what is not used goes to disk soon.
        compute: Compute { idle_after_seconds: 30 },
    };
    let path = plan.dir.join(&node.name).join("node.toml");
    toml::to_string_pretty(&file).map_err(|error| TestnetError::Broken { path, reason: error.to_string() })
}

#[cfg(test)]
mod tests;
