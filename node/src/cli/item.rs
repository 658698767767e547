//! Signed data items as AO clients make them: messages, spawns, modules.
//!
//! Where it sits: between the commands and `weft_protocol::ans104`; holds the tag order that AO tools use.

use clap::Args;
use std::path::PathBuf;
use weft_protocol::{
    Id,
    ans104::{DataItem, ItemBuilder, Signer, Tag},
};

use super::exit::{CliError, CliResult, Exit};

/// Largest file that is read to be sent; the network's own limit may be lower and then the node says so.
const MAX_FILE: u64 = 256 * 1024 * 1024;

/// A tag given as `NAME=VALUE`.
pub fn parse_tag(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("a tag is NAME=VALUE, for example Quantity=10")?;
    match (name.is_empty(), value.is_empty()) {
        (true, _) => Err("the name before = is empty; a tag is NAME=VALUE, for example Quantity=10".to_owned()),
        (_, true) => Err("the value after = is empty, and data items have no empty tags; leave the tag out".to_owned()),
        _ => Ok((name.to_owned(), value.to_owned())),
    }
}

/// Data of a message: on the command line, from a file, or from stdin.
#[derive(Args, Clone, Debug)]
pub struct Body {
    /// The data, as text
    #[arg(value_name = "DATA", conflicts_with = "file")]
    data: Option<String>,
    /// Read the data from a file (- for stdin)
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
}

impl Body {
    /// Refuses a module given where the data belongs: it would be spawned as text beside the example.
    pub fn refuse_module(&self) -> CliResult<()> {
        match &self.data {
            Some(text) if text.ends_with(".wasm") => {
                Err(CliError::usage("DATA", text, "looks like a module, and DATA is text for the process")
                    .fix(format!("weft process spawn --module {text}")))
            }
            _ => Ok(()),
        }
    }

    /// The bytes; `None` when no data was given.
    pub fn read(&self) -> CliResult<Option<Vec<u8>>> {
        match (&self.data, &self.file) {
            (Some(text), _) => Ok(Some(text.clone().into_bytes())),
            (None, Some(path)) => read_file(path, "--file").map(Some),
            (None, None) => Ok(None),
        }
    }
}

/// Reads a whole file (or stdin for `-`) of bounded size.
pub fn read_file(path: &std::path::Path, field: &str) -> CliResult<Vec<u8>> {
    use std::io::Read;
    let wrong = |reason: String| CliError::usage(field, path.display(), reason).fix("name a file that you can read");
    let mut bytes = Vec::new();
    let read = if path.as_os_str() == "-" {
        std::io::stdin().lock().take(MAX_FILE + 1).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes))
    };
    read.map_err(|e| wrong(format!("cannot read: {e}")))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(wrong(format!("larger than {}", super::table::bytes(MAX_FILE))));
    }
    Ok(bytes)
}

/// The tags every AO item ends with.
fn ao_tags(kind: &str) -> [(&'static str, String); 4] {
    [
        ("SDK", "weft".to_owned()),
        ("Data-Protocol", "ao".to_owned()),
        ("Variant", "ao.TN.1".to_owned()),
        ("Type", kind.to_owned()),
    ]
}

/// Builds and signs an item of AO's `kind` (`Message`, `Process`, `Module`). Its random anchor makes two sendings of the
/// same words two messages: Ed25519 signs equal bytes equally.
pub fn sign(
    signer: &dyn Signer,
    kind: &str,
    target: Option<Id>,
    tags: &[(String, String)],
    extra: &[(&str, String)],
    data: Vec<u8>,
) -> CliResult<DataItem> {
    let mut anchor = [0_u8; 32];
    getrandom::fill(&mut anchor)
        .map_err(|e| CliError::new(Exit::Failed, format!("the system has no randomness to give: {e}")))?;
    sign_anchored(signer, kind, target, Some(anchor), tags, extra, data)
}

/// As [`sign`], with an anchor of the caller's choice: the same input gives the same item if the key is Ed25519.
pub fn sign_anchored(
    signer: &dyn Signer,
    kind: &str,
    target: Option<Id>,
    anchor: Option<[u8; 32]>,
    tags: &[(String, String)],
    extra: &[(&str, String)],
    data: Vec<u8>,
) -> CliResult<DataItem> {
    let all = tags.iter().cloned();
    let all = all.chain(ao_tags(kind).into_iter().map(|(n, v)| (n.to_owned(), v)));
    let all = all.chain(extra.iter().map(|(n, v)| ((*n).to_owned(), v.clone())));
    let mut builder = ItemBuilder::new().tags(all.map(|(name, value)| Tag { name, value })).data(data);
    if let Some(target) = target {
        builder = builder.target(target);
    }
    if let Some(anchor) = anchor {
        builder = builder.anchor(anchor);
    }
    builder
        .sign(signer)
        .map_err(|e| CliError::new(Exit::Usage, e).fix("mend the tags, or sign with another key file (--wallet)"))
}
