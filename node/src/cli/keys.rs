//! `weft keys`: makes and shows key files (JWK): Arweave wallets (RSA-4096) and node keys (Ed25519).
//!
//! Where it sits: writes files through [`write_new`], which other commands use too: mode 0600, never over an old file.

use std::{
    fs::OpenOptions,
    io::Write,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use weft_protocol::keys::Jwk;

use super::{
    connect,
    exit::{CliError, CliResult, Done, Exit},
    progress,
    table::Table,
};

/// `weft keys …`.
#[derive(Subcommand, Debug)]
#[command(after_help = "\
Examples:
  weft keys new --out wallet.json                   an Arweave wallet
  weft keys new --type ed25519 --out node.key.json  a node's key
  weft keys show wallet.json                        its address")]
pub enum Keys {
    /// Make a new key file (never over an existing one; readable by you only)
    New(New),
    /// Show the address and the public key of a key file, never the secret
    Show(Show),
}

/// Kinds of key files.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Arweave wallet (RSA-4096): pays, and signs as AO clients do
    Arweave,
    /// Ed25519: what nodes are and sign with; also signs messages
    Ed25519,
}

/// `weft keys new`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  weft keys new --out wallet.json
  weft keys new --type ed25519 --out node.key.json")]
pub struct New {
    /// What kind of key
    #[arg(long = "type", value_enum, default_value = "arweave", value_name = "KIND")]
    kind: Kind,
    /// Where to write it
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// `weft keys show`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  weft keys show wallet.json
  weft keys show node.key.json --json")]
pub struct Show {
    /// The key file (JWK)
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl Keys {
    pub(super) async fn run(self) -> CliResult<Done> {
        match self {
            Self::New(new) => new.run().await,
            Self::Show(show) => {
                let jwk = connect::read_jwk(&show.file, "FILE")?;
                Ok(describe(&jwk, &show.file))
            }
        }
    }
}

impl New {
    async fn run(self) -> CliResult<Done> {
        refuse_existing(&self.out, "--out")?;
        let jwk = match self.kind {
            Kind::Arweave => generate_rsa().await?,
            Kind::Ed25519 => ed25519()?,
        };
        write_key(&self.out, &jwk, "--out")?;
        let done = describe(&jwk, &self.out);
        let text = format!("Wrote {} (readable by you only; there is no copy).\n\n{}", self.out.display(), done.text);
        let next = match self.kind {
            Kind::Arweave => format!("weft process spawn --name hello --wallet {}", self.out.display()),
            Kind::Ed25519 => "weft node init --help".to_owned(),
        };
        Ok(Done::new(text, done.json).next(next))
    }
}

/// A new Arweave wallet. RSA keys take seconds: off the runtime's threads, with progress.
pub async fn generate_rsa() -> CliResult<Jwk> {
    let made = tokio::task::spawn_blocking(Jwk::generate_rsa);
    let made = progress::during("making an Arweave wallet (RSA-4096)", made).await;
    let failed = |reason: String| CliError::new(Exit::Failed, format!("cannot make an RSA key: {reason}"));
    made.map_err(|e| failed(e.to_string()))?.map_err(|e| failed(e.to_string()))
}

/// A new node key.
pub fn ed25519() -> CliResult<Jwk> {
    let mut seed = [0_u8; 32];
    getrandom::fill(&mut seed)
        .map_err(|e| CliError::new(Exit::Failed, format!("the system has no randomness to give: {e}")))?;
    Ok(Jwk::ed25519(seed))
}

/// Refuses before anything slow is done; [`write_new`] refuses again.
pub fn refuse_existing(path: &Path, field: &str) -> CliResult<()> {
    if path.exists() { Err(exists(path, field)) } else { Ok(()) }
}

fn exists(path: &Path, field: &str) -> CliError {
    CliError::usage(field, path.display(), "there is already a file, and it is not overwritten")
        .fix("name another file, or move the old one away (whoever deletes a key loses what it owns)")
}

/// Writes a key file.
pub fn write_key(path: &Path, jwk: &Jwk, field: &str) -> CliResult<()> {
    let text = serde_json::to_string_pretty(jwk).map_err(|e| CliError::new(Exit::Failed, e))?;
    write_new(path, &(text + "\n"), field)
}

/// Writes a new file readable by its owner only, durably; an existing file is an error.
pub fn write_new(path: &Path, text: &str, field: &str) -> CliResult<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(path).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|e| match e.kind() {
        std::io::ErrorKind::AlreadyExists => exists(path, field),
        _ => CliError::usage(field, path.display(), format!("cannot write: {e}"))
            .fix("name a file in a folder that exists and is yours"),
    })
}

fn describe(jwk: &Jwk, path: &Path) -> Done {
    let address = jwk.address().to_string();
    let mut table = Table::pairs();
    table.row(["file", &path.display().to_string()]);
    let json = match jwk.node_key() {
        None => {
            table.row(["kind", "Arweave wallet (RSA-4096)"]).row(["address", &address]);
            json!({ "file": path, "kind": "arweave", "address": address })
        }
        Some(key) => {
            let key = key.to_string();
            table.row(["kind", "node key (Ed25519)"]).row(["key", &key]).row(["address", &address]);
            json!({ "file": path, "kind": "ed25519", "address": address, "key": key })
        }
    };
    Done::new(table.text(), json)
}
