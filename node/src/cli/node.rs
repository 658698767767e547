//! `weft node`: runs one node, and writes the files it needs.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use weft_protocol::network::{Network, NetworkFile, Role};

use super::{
    connect,
    exit::{CliError, CliResult, Done, Exit},
    keys,
    service::{LogFormat, signalled, start_log},
    table::Table,
};
use crate::config::{ComputeConfig, NodeConfig, OfferConfig};

/// `weft node …`.
#[derive(Subcommand, Debug)]
#[command(after_help = "\
Examples:
  weft node init --network network.toml --dir my-node --name node-6
  weft node run --config my-node/node.toml")]
pub enum Node {
    /// Run a node until Ctrl-C
    Run(Run),
    /// Write key, wallet and node.toml for a node of a network
    Init(Init),
}

/// `weft node run`.
#[derive(Args, Debug)]
#[command(after_help = "\
The first Ctrl-C (or SIGTERM) stops the node cleanly, the second at once. Log levels: RUST_LOG=debug.

Examples:
  weft node run --config my-node/node.toml
  RUST_LOG=weft_node=debug weft node run --config my-node/node.toml --log json")]
pub struct Run {
    /// The node's settings
    #[arg(long, value_name = "FILE", default_value = "node.toml")]
    config: PathBuf,
    /// How log lines look
    #[arg(long, value_enum, default_value = "text")]
    log: LogFormat,
}

/// `weft node init`.
#[derive(Args, Debug)]
#[command(after_help = "\
Nothing that exists is overwritten. The roles a node carries must be those the network's registry names for its key; the
lines to add to the registry are printed.

Examples:
  weft node init --network network.toml --dir my-node --name node-6
  weft node init --network network.toml --dir my-node --name node-6 --role compute --wallet wallet.json --gateway https://arweave.net")]
pub struct Init {
    /// The network file
    #[arg(long, value_name = "FILE")]
    network: PathBuf,
    /// Folder to write to; made if it is missing
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// The node's name: 1 to 32 of a-z 0-9 -
    #[arg(long)]
    name: String,
    /// Roles to carry
    #[arg(
        long = "role",
        value_name = "ROLE",
        value_delimiter = ',',
        default_value = "scheduler,compute,messenger,gateway"
    )]
    roles: Vec<String>,
    /// Address of the HTTP door
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:4002")]
    http: std::net::SocketAddr,
    /// Port for peers (QUIC and TCP)
    #[arg(long, value_name = "PORT", default_value_t = 9001)]
    port: u16,
    /// IP address to listen on for peers
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    ip: std::net::IpAddr,
    /// Arweave gateway
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:4000")]
    gateway: Vec<String>,
    /// Existing Arweave wallet that pays for anchoring [default: a new one is made]
    #[arg(long, value_name = "FILE")]
    wallet: Option<PathBuf>,
}

impl Node {
    pub(super) async fn run(self) -> CliResult<Done> {
        match self {
            Self::Run(run) => run.run().await,
            Self::Init(init) => init.run().await,
        }
    }
}

impl Run {
    async fn run(self) -> CliResult<Done> {
        let config = NodeConfig::load(&self.config).map_err(|e| {
            CliError::usage("--config", self.config.display(), e).fix("`weft node init --help` tells how to make one")
        })?;
        start_log(self.log)?;
        let name = config.name.clone();
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        tokio::spawn(async move {
            signalled().await;
            tracing::info!("stopping; a second signal stops at once");
            stop.cancel();
            signalled().await;
            std::process::exit(i32::from(Exit::Interrupted.code()));
        });
        Box::pin(crate::node::run(config, shutdown)).await.map_err(|e| CliError::new(Exit::Failed, e))?;
        Ok(Done::new(format!("{name} stopped."), json!({ "node": name, "stopped": true })))
    }
}

impl Init {
    async fn run(self) -> CliResult<Done> {
        let network = self.read_network()?;
        let roles = self
            .roles
            .iter()
            .map(|r| r.parse::<Role>().map_err(|e| CliError::usage("--role", r, e)))
            .collect::<CliResult<Vec<_>>>()?;
        let [config, key_file, wallet_file] =
            ["node.toml", "node.key.json", "wallet.json"].map(|name| self.dir.join(name));
        std::fs::create_dir_all(&self.dir).map_err(|e| {
            CliError::usage("--dir", self.dir.display(), format!("cannot make the folder: {e}"))
                .fix("name a folder in a place that is yours")
        })?;
        for file in [&config, &key_file, &wallet_file] {
            keys::refuse_existing(file, "--dir")?;
        }
        let wallet = match &self.wallet {
            Some(path) => connect::read_jwk(path, "--wallet")?,
            None => keys::generate_rsa().await?,
        };
        let key = keys::ed25519()?;
        keys::write_key(&key_file, &key, "--dir")?;
        keys::write_key(&wallet_file, &wallet, "--dir")?;
        let copied = self.dir.join("network.toml");
        if !same_file(&self.network, &copied) {
            keys::write_new(&copied, &std::fs::read_to_string(&self.network).unwrap_or_default(), "--dir")?;
        }
        let text = toml::to_string_pretty(&self.config()).map_err(|e| CliError::new(Exit::Failed, e))?;
        keys::write_new(&config, &text, "--dir")?;
        let node_key = key.node_key().map(|k| k.to_string()).unwrap_or_default();
        Ok(self.report(&network, &node_key, &wallet.address().to_string(), &roles))
    }

    fn read_network(&self) -> CliResult<Network> {
        let wrong = |reason: String| {
            CliError::usage("--network", self.network.display(), reason)
                .fix("ask the network's owner for its network.toml; `weft testnet up` writes one too")
        };
        let text = std::fs::read_to_string(&self.network).map_err(|e| wrong(format!("cannot read: {e}")))?;
        NetworkFile::parse(&text).and_then(NetworkFile::validate).map_err(|e| wrong(e.to_string()))
    }

    fn config(&self) -> NodeConfig {
        let family = if self.ip.is_ipv4() { "ip4" } else { "ip6" };
        NodeConfig {
            anchor_every_seconds: 60,
            name: self.name.clone(),
            network: "network.toml".into(),
            key: "node.key.json".into(),
            data: "data".into(),
            roles: self.roles.clone(),
            listen: vec![
                format!("/{family}/{}/udp/{}/quic-v1", self.ip, self.port),
                format!("/{family}/{}/tcp/{}", self.ip, self.port),
            ],
            http: vec![self.http],
            gateways: self.gateway.clone(),
            wallet: Some("wallet.json".into()),
            offer: OfferConfig::default(),
            compute: ComputeConfig::default(),
        }
    }

    fn report(&self, network: &Network, key: &str, wallet: &str, roles: &[Role]) -> Done {
        let config = self.dir.join("node.toml");
        let named: Vec<String> = roles.iter().map(|r| format!("{:?}", r.name())).collect();
        let entry =
            format!("[[registry]]\nname = {:?}\nkey = {key:?}\nbond = 1000\nroles = [{}]", self.name, named.join(", "));
        let member = network.all_members().iter().any(|m| m.key.to_string() == key);
        let mut table = Table::pairs();
        table.row(["settings", &config.display().to_string()]).row(["key", key]).row(["wallet", wallet]);
        table.row(["network", &format!("{} {}", network.name(), network.id())]);
        let mut text = format!("Wrote {}.\n\n{}", self.dir.display(), table.text());
        let observes = roles.iter().all(|role| *role == Role::Gateway);
        match (member, observes) {
            (true, _) => {}
            (false, true) => text.push_str("\n\nA gateway needs no place in the registry: it can run at once."),
            (false, false) => text.push_str(&format!(
                "\n\nIt cannot run yet: the registry of this network does not name the key. The network's owner has to add\n\
                 the lines below to network.toml, and all nodes need the new file. Without that, roles = [\"gateway\"] in\n\
                 {} has it join as an observer and door.\n\n{entry}",
                config.display()
            )),
        }
        let json = json!({ "config": config, "key": key, "wallet": wallet, "network": network.id(), "member": member, "registry_entry": entry });
        let run = format!("weft node run --config {}", config.display());
        Done::new(text, json).next(if member || observes { run } else { format!("{run}   (once it is registered)") })
    }
}

fn same_file(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}
