//! `weft arweave devnet`: the embedded stand-in for Arweave, in the foreground.
//!
//! Where it sits: over `weft_storage::arweave::devnet`; `weft testnet up` runs this command as a process of its own.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, Subcommand};
use serde_json::json;
use weft_protocol::Id;
use weft_storage::arweave::devnet::{Devnet, DevnetConfig};

use super::{
    exit::{CliError, CliResult, Done, Exit},
    process::parse_wait,
    service::{LogFormat, signalled, start_log},
};

/// `weft arweave …`.
#[derive(Subcommand, Debug)]
#[command(after_help = "\
Examples:
  weft arweave devnet
  weft arweave devnet --listen 127.0.0.1:1984 --data my-weave --block-interval 2s")]
pub enum Arweave {
    /// Run a development network that speaks Arweave's HTTP until Ctrl-C
    Devnet(Run),
}

/// `weft arweave devnet`.
#[derive(Args, Debug)]
#[command(after_help = "\
A server that arweave-js and AO clients accept: transactions, chunks, bundles, GraphQL, an uploader for data items. It is
no consensus and holds nothing of worth. Mine by hand: GET /mine.

Examples:
  weft arweave devnet
  weft arweave devnet --data my-weave --block-interval 2s
  weft arweave devnet --mint rUkyJY-rz0dmdS9aZCtcwf0ImGzHbOYt9cxSa5l3--0:1000000000000000")]
pub struct Run {
    /// Where to listen; may be given several times
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:4000")]
    listen: Vec<SocketAddr>,
    /// Folder to keep everything in [default: in memory, gone at the end]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Mine a block so often [default: only when asked]
    #[arg(long, value_name = "DURATION", value_parser = parse_wait)]
    block_interval: Option<Duration>,
    /// A wallet's funds on a fresh folder, in winston; may be given several times
    #[arg(long, value_name = "ADDRESS:WINSTON", value_parser = parse_mint)]
    mint: Vec<(Id, u128)>,
}

fn parse_mint(text: &str) -> Result<(Id, u128), String> {
    let (address, winston) = text.split_once(':').ok_or("write ADDRESS:WINSTON")?;
    let address = address.parse::<Id>().map_err(|e| e.to_string())?;
    let winston = winston.parse().map_err(|_| format!("{winston:?} is not a whole number of winston"))?;
    Ok((address, winston))
}

impl Arweave {
    pub(super) async fn run(self) -> CliResult<Done> {
        let Self::Devnet(run) = self;
        start_log(LogFormat::Text)?;
        let config =
            DevnetConfig { listen: run.listen, dir: run.data, block_interval: run.block_interval, mint: run.mint };
        let devnet = Devnet::start(config).await.map_err(|e| CliError::new(Exit::Failed, e))?;
        let urls = devnet.urls();
        tracing::info!(urls = urls.join(" "), "the Arweave devnet is ready; Ctrl-C stops it");
        signalled().await;
        devnet.shutdown().await;
        Ok(Done::new("The Arweave devnet stopped.", json!({ "urls": urls, "stopped": true })))
    }
}
