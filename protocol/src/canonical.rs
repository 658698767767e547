//! Canonical JSON: one byte form for one value, so that hashes and signatures over JSON agree on every node.
//!
//! Members sorted by name (byte order), no spaces, strings and numbers as `serde_json` writes them.

use serde_json::Value;

/// The canonical text of `value`.
pub fn to_string(value: &Value) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

fn write(value: &Value, out: &mut String) {
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
            names.sort_by(|a, b| a.0.cmp(b.0));
            out.push('{');
            for (i, (name, item)) in names.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                out.push_str(&Value::String(name.clone()).to_string());
                out.push(':');
                write(item, out);
            }
            out.push('}');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn members_are_sorted_at_every_depth() {
        let text = super::to_string(&json!({"b": [{"z": 1, "a": "é\n"}], "a": null}));
        assert_eq!(text, r#"{"a":null,"b":[{"a":"é\n","z":1}]}"#);
    }
}
