//! Two answers, member by member, with ids, addresses and places named by what they stand for.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::{
    stage::{Reply, Stage},
    text,
};

/// One member that differs.
pub struct Difference {
    /// Where: a JSON pointer (of a list also with `(number)`), `(status)`, or a header's name in brackets.
    pub at: String,
    /// The capture's.
    pub golden: Value,
    /// Ours.
    pub ours: Value,
    /// Our whole answer.
    pub whole: Value,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: the capture has {}, we have {}", self.at, self.golden, self.ours)
    }
}

impl Difference {
    /// Whether the two are the same but for the order in which Lua went through a table.
    pub fn only_order(&self) -> bool {
        unordered(&self.golden) == unordered(&self.ours)
    }
}

/// Everything in which our answer differs from the captured one.
pub fn differences(stage: &Stage, wanted: &Value, ours: &Reply) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut note = |at: &str, golden: Value, own: Value| {
        if golden != own {
            found.push(Difference { at: at.to_owned(), golden, ours: own, whole: ours.body.clone() });
        }
    };
    note("(status)", wanted["status"].clone(), ours.status.into());
    if let Some(headers) = wanted.get("headers") {
        for (name, value) in stage.state_headers(headers) {
            note(&format!("({name})"), value.into(), ours.headers.get(&name).cloned().into());
        }
        let height: Option<u64> = ours.headers.get("last-block-height").and_then(|height| height.parse().ok());
        note("(last-block-height)", true.into(), height.is_some().into());
    }
    let mut golden = named(stage, wanted["body"].clone(), true);
    let mut own = named(stage, ours.body.clone(), false);
    // The memory's hash stands beside its size in the capture; the other client library's page member is ours alone.
    golden.as_object_mut().map(|members| members.remove("sha256"));
    own.as_object_mut().map(|members| members.remove("page_info"));
    members("", &golden, &own, &mut note);
    found
}

fn members(at: &str, golden: &Value, ours: &Value, note: &mut impl FnMut(&str, Value, Value)) {
    match (golden, ours) {
        (Value::Object(a), Value::Object(b)) => {
            let mut names: Vec<&String> = a.keys().chain(b.keys()).collect();
            names.sort();
            names.dedup();
            for name in names {
                let (a, b) = (a.get(name).unwrap_or(&Value::Null), b.get(name).unwrap_or(&Value::Null));
                members(&format!("{at}/{name}"), a, b, note);
            }
        }
        (Value::Array(a), Value::Array(b)) if !at.ends_with("/Tags") => {
            note(&format!("{at} (number)"), a.len().into(), b.len().into());
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                members(&format!("{at}/{index}"), a, b, note);
            }
        }
        _ => note(at, golden.clone(), ours.clone()),
    }
}

/// A value with everything that is another on each network named by what it stands for.
fn named(stage: &Stage, value: Value, golden: bool) -> Value {
    match value {
        Value::String(text) => match stage.cursor(&text, golden) {
            Some(cursor) => cursor,
            None => rename(stage, &text).into(),
        },
        Value::Array(values) => values.into_iter().map(|value| named(stage, value, golden)).collect(),
        Value::Object(members) => {
            members.into_iter().map(|(name, value)| (name, named(stage, value, golden))).collect::<Map<_, _>>().into()
        }
        other => other,
    }
}

/// Ids and addresses, also as aos shortens them, and the addresses of Lua's tables and functions.
fn rename(stage: &Stage, text: &str) -> String {
    let mut out = text.to_owned();
    for (id, name) in &stage.names {
        let short = format!("{}...{}", &id[..3], &id[40..]);
        out = out.replace(id, name).replace(&short, &format!("{name}, short"));
    }
    let mut parts = out.split("0x");
    let mut masked = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        masked.push_str("0x");
        masked.push_str(part.trim_start_matches(|c: char| c.is_ascii_hexdigit()));
    }
    masked
}

/// A value whose lists of tags, tables printed line by line, and JSON texts have no order.
fn unordered(value: &Value) -> Value {
    match value {
        Value::Array(values) => {
            let mut values: Vec<Value> = values.iter().map(unordered).collect();
            values.sort_by_key(Value::to_string);
            values.into()
        }
        Value::String(words) => match serde_json::from_str::<Value>(words) {
            Ok(json @ Value::Object(_)) => unordered(&json),
            _ => {
                let mut lines: Vec<&str> = words.lines().map(|line| line.trim_end_matches(['\\', ','])).collect();
                lines.sort_unstable();
                lines.join("\n").into()
            }
        },
        Value::Object(members) => {
            let sorted: BTreeMap<String, Value> =
                members.iter().map(|(name, value)| (name.clone(), unordered(value))).collect();
            sorted.into_iter().collect::<Map<_, _>>().into()
        }
        other => other.clone(),
    }
}

#[test]
fn an_order_is_not_a_content() {
    let difference = |golden: Value, ours: Value| Difference { at: String::new(), golden, ours, whole: Value::Null };
    let tags = |names: [&str; 2]| names.iter().map(|name| serde_json::json!({ "name": name })).collect::<Value>();
    assert!(difference(tags(["a", "b"]), tags(["b", "a"])).only_order());
    assert!(!difference(tags(["a", "b"]), tags(["a", "c"])).only_order());
    assert!(difference("{\n x = 1,\n y = 2\n}".into(), "{\n y = 2,\n x = 1\n}".into()).only_order());
    assert!(difference("{\"a\":1,\"b\":2}".into(), "{\"b\":2,\"a\":1}".into()).only_order());
    assert!(!difference("{\"a\":1}".into(), "{\"a\":2}".into()).only_order());
    assert_eq!(text(&"x".into()), "x");
}
