//! `weft process spawn`: signs a process item and has it ordered.

use clap::Args;
use serde_json::{Value, json};
use weft_protocol::Id;

use crate::cli::{
    client::Client,
    connect::{Connect, Wallet},
    exit::{CliError, CliResult, Done, Exit},
    item::{self, Body, parse_tag},
    module, progress,
    resolve::{self, field},
    table::{self, Table},
};

/// Processes searched for the same name.
const NAMES_SEARCHED: usize = 1_000;

/// `weft process spawn`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  weft process spawn --name hello                      a Lua process; talk to it with weft repl hello
  weft process spawn --module counter                  the example in C, which counts
  weft process spawn --module aos.wasm --name mine     publishes the file, then spawns it
  weft process spawn --module aos --tag Colour=blue    a module published under the name aos")]
pub struct Spawn {
    /// Id of a module, name of a published or built-in one (lua, counter), or a .wasm file to publish first
    #[arg(long, value_name = "MODULE", default_value = module::LUA)]
    module: String,
    /// A name for the process (tag Name)
    #[arg(long)]
    name: Option<String>,
    /// More tags, each NAME=VALUE
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_tag)]
    tag: Vec<(String, String)>,
    /// Address of the one scheduler that is to order it [default: the network's address, which has one elected]
    #[arg(long, value_name = "ADDRESS")]
    scheduler: Option<Id>,
    /// Whose messages it trusts [default: the network's address: what the network has proven]
    #[arg(long, value_name = "ADDRESS")]
    authority: Vec<String>,
    #[command(flatten)]
    body: Body,
    #[command(flatten)]
    connect: Connect,
    #[command(flatten)]
    wallet: Wallet,
}

impl Spawn {
    pub(super) async fn run(self) -> CliResult<Done> {
        self.body.refuse_module()?;
        let client = self.connect.client()?;
        let signer = self.wallet.signer(&self.connect)?;
        let data = self.body.read()?.unwrap_or_else(|| b" ".to_vec());
        let network = network_address(&client).await?;
        let module = module::resolve(&client, &self.module, signer.as_ref()).await?;
        let scheduler = self.scheduler.unwrap_or(network);
        let mut tags: Vec<_> = self.name.iter().map(|name| ("Name".to_owned(), name.clone())).collect();
        tags.extend(self.tag.iter().cloned());
        if !self.tag.iter().any(|(name, _)| name == "Authority") {
            let trusted = if self.authority.is_empty() { vec![network.to_string()] } else { self.authority.clone() };
            tags.extend(trusted.into_iter().map(|address| ("Authority".to_owned(), address)));
        }
        let extra = [("Module", module.to_string()), ("Scheduler", scheduler.to_string())];
        let item = item::sign(signer.as_ref(), "Process", None, &tags, &extra, data)?;
        let submitted = progress::during("having the process ordered", client.submit(item.raw().clone())).await?;
        let id = item.id();
        let namesakes = match &self.name {
            Some(name) => resolve::processes(&client, NAMES_SEARCHED).await.map_or(0, |all| {
                all.iter().filter(|p| field(p, "name") == Some(name) && field(p, "id") != Some(&id.to_string())).count()
            }),
            None => 0,
        };
        let next = match self.module.as_str() {
            module::COUNTER => Next::Count,
            module::LUA => Next::Talk,
            _ => Next::Evaluate,
        };
        let spawned = Spawned { id, module, scheduler, elects: scheduler == network, next };
        Ok(spawned.report(&submitted, self.name.as_deref(), namesakes))
    }
}

/// What was spawned.
struct Spawned {
    id: Id,
    module: Id,
    scheduler: Id,
    /// The scheduler was left to the election.
    elects: bool,
    next: Next,
}

/// What to try first with a new process.
enum Next {
    /// The counter counts.
    Count,
    /// Lua has a console.
    Talk,
    /// Other modules are mostly aos.
    Evaluate,
}

impl Spawned {
    fn report(&self, submitted: &Value, name: Option<&str>, namesakes: usize) -> Done {
        let Self { id, module, scheduler, .. } = *self;
        // A name that fits several processes, or that a shell would split, is no use in the next command.
        let simple = |name: &&str| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "-_.".contains(c));
        let called = name.filter(|_| namesakes == 0).filter(simple).map_or_else(|| id.to_string(), str::to_owned);
        let mut table = Table::pairs();
        table.row(["process", &id.to_string()]).row(["module", &module.to_string()]);
        let how =
            if self.elects { "elected by the network (weft process show tells who)" } else { "the one node it named" };
        table.row(["scheduler", how]);
        table.row(["receipt", field(submitted, "level").unwrap_or("sealed")]);
        let shown = table::printable(name.unwrap_or(&called));
        let mut text = format!("Spawned {shown}.\n\n{}", table.text());
        if namesakes > 0 {
            text.push_str(&format!("\n\n{namesakes} other process(es) have this name: commands need the id."));
        }
        let json = json!({ "id": id, "name": name, "module": module, "scheduler": scheduler, "submitted": submitted });
        Done::new(text, json).next(match self.next {
            Next::Count => format!("weft process send {called} --action Increment --wait"),
            Next::Talk => format!("weft repl {called}"),
            Next::Evaluate => format!("weft process eval {called} 'return 1 + 1'"),
        })
    }
}

/// The address of the network the node belongs to.
pub(in crate::cli) async fn network_address(client: &Client) -> CliResult<Id> {
    let network = client.get("/v1/network", &[]).await?;
    let address = field(&network, "address").or_else(|| network.pointer("/network/address").and_then(Value::as_str));
    address.and_then(|a| a.parse().ok()).ok_or_else(|| {
        CliError::new(Exit::Failed, format!("{}/v1/network does not say the network's address", client.address()))
            .fix("check with --node that this is a Weft node, and that it is as new as this program")
    })
}
