//! Canonical JSON: one byte form for one value, so that hashes and signatures over JSON agree on every node.
//!
//! Members sorted by name (byte order), no spaces, strings and numbers as `serde_json` writes them.

use std::collections::BTreeMap;

use serde_json::{Error, Number, Value, value::RawValue};

/// The canonical text of `value`.
pub fn to_string(value: &Value) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

/// Reads JSON so that every number keeps its value. `serde_json` alone reads some fractions one bit off; the text of such a
/// value would not be the one that was read, and no outcome with it could be checked.
///
/// # Errors
/// When `bytes` are no JSON, or nested too deeply.
pub fn parse(bytes: &[u8]) -> Result<Value, Error> {
    let value: Value = serde_json::from_slice(bytes)?;
    match has_fraction(&value) {
        true => exact(serde_json::from_slice(bytes)?),
        false => Ok(value),
    }
}

fn has_fraction(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(items) => items.iter().any(has_fraction),
        Value::Object(members) => members.values().any(has_fraction),
        _ => false,
    }
}

/// Depth was checked by whoever read the text before.
fn exact(raw: &RawValue) -> Result<Value, Error> {
    let text = raw.get();
    match text.as_bytes().first() {
        Some(b'[') => serde_json::from_str::<Vec<&RawValue>>(text)?.into_iter().map(exact).collect(),
        Some(b'{') => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(text)?;
            members.into_iter().map(|(name, member)| Ok((name, exact(member)?))).collect()
        }
        Some(b'-' | b'0'..=b'9') => {
            let number: Number = serde_json::from_str(text)?;
            let value = text.parse().ok().and_then(Number::from_f64).filter(|_| number.is_f64());
            Ok(Value::Number(value.unwrap_or(number)))
        }
        _ => serde_json::from_str(text),
    }
}

/// Appends the canonical text of `value`.
pub(crate) fn write(value: &Value, out: &mut String) {
    match value {
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            let mut names: Vec<_> = members.iter().collect();
            names.sort_unstable_by(|a, b| a.0.cmp(b.0));
            out.push('{');
            for (i, (name, item)) in names.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                text(name, out);
                out.push(':');
                write(item, out);
            }
            out.push('}');
        }
        Value::String(string) => text(string, out),
        scalar => out.push_str(&scalar.to_string()),
    }
}

/// A string as `serde_json` writes it; most have nothing to escape and are copied.
fn text(string: &str, out: &mut String) {
    if string.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
        out.push('"');
        out.push_str(string);
        out.push('"');
    } else {
        out.push_str(&serde_json::to_string(string).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn numbers_are_read_as_they_were_written() {
        let text = r#"{"a":[5.0,-0.0,2.2250738585072014e-308,9007199254740993,18446744073709551615],"b":{"c":0.30000000000000004}}"#;
        assert_eq!(super::to_string(&super::parse(text.as_bytes()).unwrap()), text);
        assert!(super::parse(b"[1.5").is_err());
        assert!(super::parse("[".repeat(100_000).as_bytes()).is_err());
    }

    #[test]
    fn members_are_sorted_at_every_depth() {
        let text = super::to_string(&json!({"b": [{"z": 1, "a": "é\n"}], "a": null}));
        assert_eq!(text, r#"{"a":null,"b":[{"a":"é\n","z":1}]}"#);
    }
}
