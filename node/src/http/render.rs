//! Log entries as the JSON that AO's scheduler unit answers with: same members, same order, numbers and strings where it
//! has them, its text for data.
//!
//! Where it sits: below `scheduler` and `weft`. The shapes are facts of the wire (checked against golden nodes in the
//! tests); `data_base64` is ours, present only where AO's text would lose bytes.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use serde_json::{Map, Value, json};
use weft_protocol::ans104::{DataItem, Profile, Tag};

use super::error::ApiError;
use crate::door::{Entry, ProcessView};

/// What is stored was checked when it came in, so history's rules are enough to read it back.
pub(super) fn parse(raw: &Bytes, what: &str) -> Result<DataItem, ApiError> {
    DataItem::parse(raw.clone(), Profile::History).map_err(|fault| {
        ApiError::internal(format!("{what}: the stored item does not parse: {fault}; report this with the node's log"))
    })
}

/// A `{message, assignment}` node; `show_anchor` gives the assignment's anchor as base64url instead of text.
pub(super) fn node(entry: &Entry, show_anchor: bool) -> Result<Value, ApiError> {
    let assignment = parse(&entry.assignment, "assignment")?;
    let message = if entry.pure_assignment || entry.item.is_empty() {
        Value::Null
    } else {
        message(&parse(&entry.item, "message")?)
    };
    Ok(json!({ "message": message, "assignment": assignment_json(&assignment, show_anchor) }))
}

/// A page's edge: the node under its cursor (the nonce in nonce mode, else the timestamp).
pub(super) fn edge(entry: &Entry, by_nonce: bool, show_anchor: bool) -> Result<Value, ApiError> {
    let cursor =
        if by_nonce { entry.slot.to_string() } else { timestamp(&parse(&entry.assignment, "assignment")?).to_string() };
    Ok(json!({ "node": node(entry, show_anchor)?, "cursor": cursor }))
}

/// The record at `/processes/{pid}`.
pub(super) fn record(view: &ProcessView) -> Result<Value, ApiError> {
    let item = parse(&view.item, "process")?;
    let assignment = parse(&view.assignment, "assignment")?;
    let mut record = Map::new();
    record.insert("process_id".into(), json!(view.id));
    record.insert("block".into(), json!(assignment.tag("Block-Height").unwrap_or("000000000000")));
    record.insert("owner".into(), owner(&item));
    record.insert("tags".into(), tags(item.tags()));
    record.insert("timestamp".into(), json!(timestamp(&assignment)));
    put_data(&mut record, &item, true);
    record.insert("anchor".into(), anchor_text(&item));
    record.insert("signature".into(), json!(URL_SAFE_NO_PAD.encode(item.signature())));
    record.insert("target".into(), Value::Null);
    put_lost_bytes(&mut record, &item);
    Ok(Value::Object(record))
}

/// The assignment's `Timestamp` in milliseconds.
pub(super) fn timestamp(assignment: &DataItem) -> u64 {
    assignment.tag("Timestamp").and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn message(item: &DataItem) -> Value {
    // AO: the first `Type` that is one of the two decides; items with several are out there.
    let kind =
        item.tags().iter().find(|tag| tag.name == "Type" && ["Process", "Message"].contains(&tag.value.as_str()));
    let is_process = kind.is_some_and(|tag| tag.value == "Process");
    let mut out = Map::new();
    out.insert("id".into(), json!(item.id()));
    out.insert("owner".into(), owner(item));
    put_data(&mut out, item, is_process);
    out.insert("tags".into(), tags(item.tags()));
    out.insert("signature".into(), json!(URL_SAFE_NO_PAD.encode(item.signature())));
    out.insert("anchor".into(), anchor_text(item));
    let target =
        if is_process { Value::Null } else { json!(item.target().map(|id| id.to_string()).unwrap_or_default()) };
    out.insert("target".into(), target);
    put_lost_bytes(&mut out, item);
    Value::Object(out)
}

fn assignment_json(item: &DataItem, show_anchor: bool) -> Value {
    let anchor = match item.anchor() {
        Some(bytes) if show_anchor => json!(URL_SAFE_NO_PAD.encode(bytes)),
        _ => anchor_text(item),
    };
    json!({
        "id": item.id(),
        "owner": owner(item),
        "tags": tags(item.tags()),
        "signature": URL_SAFE_NO_PAD.encode(item.signature()),
        "anchor": anchor,
        "target": "",
    })
}

fn owner(item: &DataItem) -> Value {
    json!({ "address": item.signer_address(), "key": URL_SAFE_NO_PAD.encode(item.owner()) })
}

/// Tags as AO's JSON has them.
pub(super) fn tags(tags: &[Tag]) -> Value {
    tags.iter().map(|tag| json!({ "name": tag.name, "value": tag.value })).collect()
}

/// Anchor bytes as text, or null where they are none.
fn anchor_text(item: &DataItem) -> Value {
    item.anchor().and_then(|bytes| std::str::from_utf8(bytes).ok()).map_or(Value::Null, Value::from)
}

/// Data as AO shows it: text; of what is not UTF-8, a message keeps the readable part and a process nothing.
fn put_data(out: &mut Map<String, Value>, item: &DataItem, null_if_binary: bool) {
    let data = item.data();
    let text = String::from_utf8_lossy(&data);
    let lossless = matches!(text, std::borrow::Cow::Borrowed(_));
    out.insert("data".into(), if null_if_binary && !lossless { Value::Null } else { Value::from(text) });
}

/// The bytes themselves (base64url, no padding) where the text does not carry them.
fn put_lost_bytes(out: &mut Map<String, Value>, item: &DataItem) {
    let data = item.data();
    if std::str::from_utf8(&data).is_err() {
        out.insert("data_base64".into(), json!(URL_SAFE_NO_PAD.encode(&data)));
    }
}
