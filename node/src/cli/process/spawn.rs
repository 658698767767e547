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
    resolve::field,
    table::Table,
};

/// `weft process spawn`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  weft process spawn --name hello                      the built-in example process
  weft process spawn --module aos.wasm --name mine     publishes the file, then spawns it
  weft process spawn --module aos --tag Colour=blue    a module published under the name aos")]
pub struct Spawn {
    /// Id of a module, name of a published one, or a .wasm file to publish first
    #[arg(long, value_name = "MODULE", default_value = module::EXAMPLE)]
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
        Ok(report(&submitted, id, module, scheduler, self.name.as_deref()))
    }
}

fn report(submitted: &Value, id: Id, module: Id, scheduler: Id, name: Option<&str>) -> Done {
    let called = name.map_or_else(|| id.to_string(), str::to_owned);
    let mut table = Table::pairs();
    table
        .row(["process", &id.to_string()])
        .row(["module", &module.to_string()])
        .row(["scheduler", &scheduler.to_string()]);
    table.row(["receipt", field(submitted, "level").unwrap_or("sealed")]);
    let text = format!("Spawned {called}.\n\n{}", table.text());
    let json = json!({ "id": id, "name": name, "module": module, "scheduler": scheduler, "submitted": submitted });
    Done::new(text, json).next(format!("weft process send {called} --action Increment --wait"))
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
