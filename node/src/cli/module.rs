//! `weft module`: publishes WebAssembly, and turns what `--module` says into a module's id.
//!
//! Where it sits: `process spawn` uses [`resolve`]. A Lua process module and an example in C are part of the program, so
//! that the first spawn needs no download and no compiler.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use weft_protocol::{
    Id,
    ans104::{DataItem, Ed25519Signer, Signer},
};

use super::{
    client::Client,
    connect::{Connect, Wallet},
    exit::{CliError, CliResult, Done, Exit},
    item::{self, parse_tag},
    progress,
    resolve::field,
    table::{self, Table},
};

/// The Lua process module (examples/lua), under the name that `--module` takes: what is spawned if nothing is said.
pub const LUA: &str = "lua";
/// The example process in C (examples/counter-c).
pub const COUNTER: &str = "counter";
/// The modules that are part of the program: name, binary, Module-Format.
const BUILT_IN: [(&str, &[u8], &str); 2] = [
    (LUA, include_bytes!("../../../examples/lua/lua.wasm"), EMSCRIPTEN_FORMAT),
    (COUNTER, include_bytes!("../../../examples/counter-c/counter.wasm"), PLAIN_FORMAT),
];
/// Weft's plain convention: `memory`, `alloc`, `handle`, no imports.
const PLAIN_FORMAT: &str = "wasm32-unknown-unknown";
/// 32-bit modules built by emscripten.
const EMSCRIPTEN_FORMAT: &str = "wasm32-unknown-emscripten4";
/// The format of practically all AO modules: 64-bit memory, built by emscripten.
const AOS_FORMAT: &str = "wasm64-unknown-emscripten-draft_2024_02_15";
/// Sections of a WebAssembly binary that tell the formats apart.
const IMPORTS: u8 = 2;
const MEMORIES: u8 = 5;

/// `weft module …`.
#[derive(Subcommand, Debug)]
#[command(after_help = "\
Examples:
  weft module publish aos.wasm --name aos
  weft process spawn --module aos --name mine")]
pub enum Module {
    /// Publish a WebAssembly file as an AO module
    Publish(Publish),
}

/// `weft module publish`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  weft module publish aos.wasm
  weft module publish old.wasm --format wasm32-unknown-emscripten4 --name old --tag Memory-Limit=64-mb")]
pub struct Publish {
    /// The WebAssembly binary
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Module-Format [default: by what the binary looks like: wasm64-unknown-emscripten-draft_2024_02_15 (aos),
    /// wasm32-unknown-emscripten4, or wasm32-unknown-unknown (no imports)]
    #[arg(long)]
    format: Option<String>,
    /// A name to spawn it by
    #[arg(long)]
    name: Option<String>,
    /// More tags, each NAME=VALUE
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_tag)]
    tag: Vec<(String, String)>,
    #[command(flatten)]
    connect: Connect,
    #[command(flatten)]
    wallet: Wallet,
}

impl Module {
    pub(super) async fn run(self) -> CliResult<Done> {
        match self {
            Self::Publish(publish) => publish.run().await,
        }
    }
}

impl Publish {
    async fn run(self) -> CliResult<Done> {
        let client = self.connect.client()?;
        let wasm = read_wasm(&self.file, "FILE")?;
        let signer = self.wallet.signer(&self.connect)?;
        let format = self.format.clone().unwrap_or_else(|| guess_format(&wasm).to_owned());
        let mut tags = self.tag.clone();
        tags.extend(self.name.iter().map(|name| ("Name".to_owned(), name.clone())));
        let size = wasm.len() as u64;
        let item = module_item(signer.as_ref(), wasm, &format, &tags)?;
        let id = upload(&client, &item).await?;
        let mut table = Table::pairs();
        table.row(["module", &id.to_string()]).row(["format", &format]).row(["size", &table::bytes(size)]);
        let text = format!("Published {}.\n\n{}", self.file.display(), table.text());
        let json = json!({ "id": id, "format": format, "bytes": size, "name": self.name });
        Ok(Done::new(text, json).next(match &self.name {
            Some(name) => format!("weft process spawn --module {name} --name mine"),
            None => format!("weft process spawn --module {id} --name mine"),
        }))
    }
}

/// The module that `text` means: an id, a file (published first), a built-in one, or the `Name` of a published one.
pub async fn resolve(client: &Client, text: &str, signer: &dyn Signer) -> CliResult<Id> {
    if let Ok(id) = text.parse::<Id>() {
        return Ok(id);
    }
    let path = Path::new(text);
    if path.is_file() || path.extension().is_some_and(|e| e == "wasm") {
        let wasm = read_wasm(path, "--module")?;
        let format = guess_format(&wasm);
        return upload(client, &module_item(signer, wasm, format, &[])?).await;
    }
    if let Some(id) = named(client, text).await? {
        return Ok(id);
    }
    if let Some(item) = built_in(text) {
        let item = item?;
        return if client.has(item.id()).await? { Ok(item.id()) } else { upload(client, &item).await };
    }
    Err(CliError::new(Exit::NotFound, "no module of this name is published on this network, and there is no such file")
        .at("--module", text)
        .fix(format!("give a module's id, a .wasm file, `{LUA}` or `{COUNTER}` (both built in), or publish one: `weft module publish FILE --name {text}`")))
}

/// A built-in module as an item, published when the network does not have it yet. Its signer is a key everybody knows,
/// so that its id is the same everywhere.
fn built_in(name: &str) -> Option<CliResult<DataItem>> {
    let (name, wasm, format) = BUILT_IN.into_iter().find(|(known, ..)| *known == name)?;
    let signer = Ed25519Signer::from_seed(*Id::sha256(b"weft example modules").as_bytes());
    Some(module_item(&signer, wasm.to_vec(), format, &[("Name".to_owned(), name.to_owned())]))
}

/// The newest module published under a name.
async fn named(client: &Client, name: &str) -> CliResult<Option<Id>> {
    const QUERY: &str = "query ($tags: [TagFilter!]) { transactions(tags: $tags, first: 1, sort: HEIGHT_DESC) { edges { node { id } } } }";
    let tag = |name: &str, value: &str| json!({ "name": name, "values": [value] });
    let variables = json!({ "tags": [tag("Data-Protocol", "ao"), tag("Type", "Module"), tag("Name", name)] });
    let answer = client.graphql(QUERY, variables).await?;
    let id = answer.pointer("/data/transactions/edges/0/node/id").and_then(Value::as_str);
    Ok(id.and_then(|id| id.parse().ok()))
}

fn module_item(signer: &dyn Signer, wasm: Vec<u8>, format: &str, tags: &[(String, String)]) -> CliResult<DataItem> {
    let given = |name: &str| tags.iter().any(|(n, _)| n == name);
    let mut extra = vec![
        ("Module-Format", format.to_owned()),
        ("Input-Encoding", "JSON-1".to_owned()),
        ("Output-Encoding", "JSON-1".to_owned()),
        ("Content-Type", "application/wasm".to_owned()),
    ];
    extra.extend([("Memory-Limit", "1-gb"), ("Compute-Limit", "9000000000000")].map(|(n, v)| (n, v.to_owned())));
    extra.retain(|(name, _)| !given(name));
    item::sign_anchored(signer, "Module", None, None, tags, &extra, wasm)
}

async fn upload(client: &Client, item: &DataItem) -> CliResult<Id> {
    let answer = progress::during("publishing the module", client.upload(item.raw().clone())).await?;
    match field(&answer, "id") {
        Some(id) if id != item.id().to_string() => Err(CliError::new(
            Exit::Failed,
            format!("the uploader answered with another id ({id}) than the module has ({})", item.id()),
        )),
        _ => Ok(item.id()),
    }
}

fn read_wasm(path: &Path, field: &str) -> CliResult<Vec<u8>> {
    let wasm = item::read_file(path, field)?;
    if wasm.starts_with(b"\0asm") {
        return Ok(wasm);
    }
    Err(CliError::usage(field, path.display(), "not a WebAssembly binary (it does not start with \\0asm)")
        .fix("name a .wasm file; text format (.wat) has to be compiled first"))
}

/// The format by what the binary looks like: 64-bit memory: aos; no imports: plain; else 32-bit emscripten. The node checks
/// modules properly; `--format` overrides this.
fn guess_format(wasm: &[u8]) -> &'static str {
    // Bit 2 of the first memory's flags says that its addresses have 64 bits.
    let wide = section(wasm, MEMORIES).and_then(|(_, body)| body.first()).is_some_and(|flags| flags & 0b100 != 0);
    let imports = section(wasm, IMPORTS).is_some_and(|(count, _)| count > 0);
    match (wide, imports) {
        (true, _) => AOS_FORMAT,
        (false, true) => EMSCRIPTEN_FORMAT,
        (false, false) => PLAIN_FORMAT,
    }
}

/// Number of entries and content of the section `wanted`; `None` if there is none or the file is cut short.
fn section(wasm: &[u8], wanted: u8) -> Option<(u32, &[u8])> {
    let (_, mut rest) = wasm.split_at_checked(8)?;
    loop {
        let (id, tail) = rest.split_first()?;
        let (size, tail) = leb128(tail)?;
        let (body, tail) = tail.split_at_checked(usize::try_from(size).ok()?)?;
        if *id == wanted {
            return leb128(body);
        }
        rest = tail;
    }
}

/// An unsigned LEB128 number of at most 32 bits, and what follows it.
fn leb128(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let mut value = 0_u64;
    for (i, byte) in bytes.iter().take(5).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            let (_, rest) = bytes.split_at_checked(i + 1)?;
            return Some((u32::try_from(value).ok()?, rest));
        }
    }
    None
}

#[cfg(test)]
mod tests;
