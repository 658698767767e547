//! The two JSON texts a module's `handle` is given: the message and its environment.
//!
//! Byte-exact with the reference (AO wire reference §4.3.1): member order, absent members left out, numbers as numbers, text
//! as JavaScript's `JSON.stringify` writes it. Lua's hash seed depends on the length of the first texts, so a changed space
//! changes the order of tables: these texts are part of consensus.
//!
//! Data that is no UTF-8 text is shown as the reference's scheduler shows it (the readable part of a message, nothing of a
//! process), and whole in one more member, `Data-Base64`. Text data gives exactly the reference's bytes.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::Value;

use crate::{
    Id,
    ans104::{DataItem, Tag},
    assignment::Assignment,
    b64,
    election::asks_for_election,
};

/// The messenger of AO's public test network, which aos names as the `Authority` of every process it spawns there.
pub const WELL_KNOWN_AUTHORITY: &str = "fcoN_xJeisVsPXA-trzVAuIiqO3ydLQxM-L4XbrQKzY";

/// The messenger that wao has built in, for the same purpose.
pub const WAO_AUTHORITY: &str = "eNaLJLsMiWCSWvQKNbk_YT-9ydeWl9lrWwXxLVp9kcg";

/// A tag as the module sees it.
#[derive(Clone, Debug, Serialize)]
struct JsonTag<'a> {
    name: &'a str,
    value: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct MessageJson<'a> {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Option<&'a str>>,
    #[serde(rename = "Data-Base64", skip_serializing_if = "Option::is_none")]
    data_base64: Option<String>,
    owner: &'a str,
    target: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    anchor: Option<Option<String>>,
    from: &'a str,
    #[serde(rename = "Forwarded-By", skip_serializing_if = "Option::is_none")]
    forwarded_by: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<Vec<JsonTag<'a>>>,
    #[serde(flatten)]
    order: OrderJson,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct OrderJson {
    epoch: u64,
    nonce: u64,
    timestamp: u64,
    #[serde(rename = "Block-Height")]
    block_height: u64,
    #[serde(rename = "Hash-Chain")]
    hash_chain: String,
    cron: bool,
    #[serde(rename = "Read-Only")]
    read_only: bool,
}

/// A message as it stands in a log, ready to be shown to a module.
#[derive(Clone, Debug)]
pub struct Content {
    /// The item's or transaction's id.
    pub id: Id,
    /// Its signature.
    pub signature: Vec<u8>,
    /// Its data.
    pub data: Vec<u8>,
    /// The signer as AO shows it.
    pub owner: String,
    /// Recipient of an assigned transaction (`""` for none); a scheduled message shows its process instead.
    pub target: String,
    /// Anchor text, as the scheduler (messages) or gateway (assigned items) would give it.
    pub anchor: Option<String>,
    /// All tags.
    pub tags: Vec<Tag>,
}

impl Content {
    /// The content of a message sent to a process: anchor as text where it is UTF-8.
    pub fn of_message(item: &DataItem) -> Self {
        let anchor = item.anchor().and_then(|a| std::str::from_utf8(a.as_slice()).ok().map(str::to_owned));
        Self { anchor, ..Self::of_item(item) }
    }

    /// The content of an existing item, assigned by id: anchor as base64url, as gateways give it.
    pub fn of_item(item: &DataItem) -> Self {
        Self {
            id: item.id(),
            signature: item.signature().to_vec(),
            data: item.data().to_vec(),
            owner: item.signer_address(),
            target: item.target().map(|t| t.to_string()).unwrap_or_default(),
            anchor: Some(item.anchor().map(|a| b64::encode(a.as_slice())).unwrap_or_default()),
            tags: item.tags().to_vec(),
        }
    }
}

fn json_tags(tags: &[Tag]) -> Vec<JsonTag<'_>> {
    tags.iter().map(|t| JsonTag { name: &t.name, value: &t.value }).collect()
}

/// Whether `name` is among excluded members, whatever the case: clients write `data` as often as `Data`. Only `Data`,
/// `Tags`, `Signature` and `Anchor` can be left out; other names are kept in the log and change nothing.
pub fn is_excluded(exclude: &[String], name: &str) -> bool {
    exclude.iter().any(|excluded| excluded.eq_ignore_ascii_case(name))
}

/// The message text for slot `assignment.slot`. `cranked_owner` is the network address when the assignment says the
/// message is a checked crank; the process then sees that as `Owner`. For a tick, the caller gives the process's owner as
/// the content's: it is sender and owner of what its crons send, whatever their tags say.
pub fn message_json(content: &Content, assignment: &Assignment, cranked_owner: Option<&Id>) -> String {
    let network = cranked_owner.filter(|_| assignment.crank.is_some()).map(Id::to_string);
    let owner = network.as_deref().unwrap_or(&content.owner);
    let cron = assignment.cron.is_some();
    let from_process = content.tags.iter().find(|t| t.name == "From-Process" && !cron).map(|t| t.value.as_str());
    let excluded = |name: &str| is_excluded(&assignment.terms.exclude, name);
    let data = String::from_utf8_lossy(&content.data);
    let binary = matches!(data, Cow::Owned(_));
    let tags: Vec<Tag> = content.tags.iter().filter(|t| t.name != "From" && t.name != "Owner").cloned().collect();
    let json = MessageJson {
        id: content.id.to_string(),
        signature: (!excluded("Signature")).then(|| b64::encode(&content.signature)),
        data: (!excluded("Data")).then_some((!binary || assignment.slot > 0).then_some(&*data)),
        data_base64: (binary && !excluded("Data")).then(|| b64::encode(&content.data)),
        owner,
        target: if assignment.assigned.is_some() { content.target.clone() } else { assignment.process.to_string() },
        anchor: (!excluded("Anchor")).then(|| content.anchor.clone()),
        from: from_process.unwrap_or(owner),
        forwarded_by: from_process.map(|_| owner),
        tags: (!excluded("Tags")).then(|| json_tags(&tags)),
        order: OrderJson {
            epoch: 0,
            nonce: assignment.slot,
            timestamp: assignment.timestamp,
            block_height: assignment.block_height,
            hash_chain: assignment.hash_chain.to_string(),
            cron,
            read_only: false,
        },
    };
    serde_json::to_string(&json).unwrap_or_default()
}

/// A dry-run message text from the caller's JSON (`Id, Owner, From, Target, Anchor, Data, Data-Base64, Tags`), read on the
/// state after a slot with this timestamp and height.
pub fn dry_run_json(process: &Id, caller: &Value, timestamp: u64, block_height: u64) -> String {
    let text = |name: &str, default: &str| match caller.get(name) {
        Some(Value::String(s)) => Value::from(s.as_str()),
        Some(other) if !other.is_null() => other.clone(),
        _ => Value::from(default),
    };
    let tags: Vec<Value> = match caller.get("Tags") {
        Some(Value::Array(tags)) => {
            let hidden = |t: &Value| matches!(t.get("name").and_then(Value::as_str), Some("From" | "Owner"));
            tags.iter().filter(|t| !hidden(t)).cloned().collect()
        }
        _ => Vec::new(),
    };
    let from_process = tags
        .iter()
        .find(|t| t.get("name").and_then(Value::as_str) == Some("From-Process"))
        .and_then(|t| t.get("value"))
        .cloned();
    let owner = text("Owner", "1234");
    let mut json = serde_json::Map::new();
    json.insert("Id".into(), text("Id", "1234"));
    if let Some(signature) = caller.get("Signature").filter(|s| s.is_string()) {
        json.insert("Signature".into(), signature.clone());
    }
    json.insert("Data".into(), text("Data", "1234"));
    if let Some(data) = caller.get("Data-Base64").filter(|d| d.is_string()) {
        json.insert("Data-Base64".into(), data.clone());
    }
    json.insert("Owner".into(), owner.clone());
    json.insert("Target".into(), text("Target", &process.to_string()));
    json.insert("Anchor".into(), text("Anchor", "0"));
    json.insert(
        "From".into(),
        from_process.clone().or_else(|| caller.get("From").cloned()).unwrap_or_else(|| owner.clone()),
    );
    if from_process.is_some() {
        json.insert("Forwarded-By".into(), owner);
    }
    json.insert("Tags".into(), tags.into());
    json.insert("Timestamp".into(), timestamp.into());
    json.insert("Block-Height".into(), block_height.into());
    json.insert("Cron".into(), false.into());
    json.insert("Read-Only".into(), true.into());
    Value::Object(json).to_string()
}

/// A named, owned, tagged thing in the environment text.
#[derive(Clone, Debug)]
pub struct Party {
    /// Its id.
    pub id: Id,
    /// Its owner as AO shows it.
    pub owner: String,
    /// Its tags.
    pub tags: Vec<Tag>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PartyJson<'a> {
    id: String,
    owner: &'a str,
    tags: Vec<JsonTag<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct EnvJson<'a> {
    process: PartyJson<'a>,
    module: PartyJson<'a>,
}

/// The environment text.
///
/// A process that lets the network elect its scheduler and names no `Authority` is shown one more tag, `Authority:
/// <network address>`: it has put its trust in the network already, and without it two aos processes could not talk to
/// each other. So is one that names nothing but [`WELL_KNOWN_AUTHORITY`] or [`WAO_AUTHORITY`], which aos and wao give every
/// process whatever network it is for. A process that names any other `Authority` keeps exactly its own.
pub fn env_json(process: &Party, module: &Party, network_address: &Id) -> String {
    let mut tags = process.tags.clone();
    let elected = tags.iter().any(|t| t.name == "Scheduler" && asks_for_election(&t.value, network_address));
    let built_in = [WELL_KNOWN_AUTHORITY, WAO_AUTHORITY];
    let own_authority = tags.iter().any(|t| t.name == "Authority" && !built_in.contains(&t.value.as_str()));
    if elected && !own_authority {
        tags.push(Tag::new("Authority", network_address.to_string()));
    }
    let party = |p, tags| PartyJson { id: Id::to_string(&Party::id(p)), owner: &p.owner, tags: json_tags(tags) };
    let json = EnvJson { process: party(process, &tags), module: party(module, &module.tags) };
    serde_json::to_string(&json).unwrap_or_default()
}

impl Party {
    fn id(&self) -> Id {
        self.id
    }

    /// The party that `item` is.
    pub fn of(item: &DataItem) -> Self {
        Self { id: item.id(), owner: item.signer_address(), tags: item.tags().to_vec() }
    }
}
