//! Canonical JSON: one byte form for one value, so that hashes and signatures over JSON agree on every node.
//!
//! Members sorted by name (byte order), no spaces, strings and numbers as `serde_json` writes them; of a fraction, a text that
//! reading and writing again does not change (`serde_json` reads some to the neighbouring number).

use serde_json::{Number, Value};

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
        Value::Number(number) if number.is_f64() => out.push_str(&fraction(number)),
        scalar => out.push_str(&scalar.to_string()),
    }
}

/// The text of a fraction that reads and writes back as itself, so that the canonical text of canonical text is that text.
fn fraction(number: &Number) -> String {
    /// Readings tried before digits are given up: one is nearly always enough.
    const READINGS: usize = 8;
    let again = |text: &str| serde_json::from_str::<Value>(text).map(|value| value.to_string()).ok();
    let mut text = number.to_string();
    for _ in 0..READINGS {
        match again(&text) {
            Some(read) if read == text => return text,
            Some(read) => text = read,
            None => break,
        }
    }
    let value = number.as_f64().unwrap_or_default();
    let shorter = (0..15).rev().filter_map(|digits| again(&format!("{value:.digits$e}")));
    shorter.into_iter().find(|text| again(text).as_ref() == Some(text)).unwrap_or_else(|| "0".to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn the_canonical_text_of_a_canonical_text_is_itself_for_every_number() {
        let mut bits = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..20_000 {
            bits ^= bits << 13;
            bits ^= bits >> 7;
            bits ^= bits << 17;
            for value in [f64::from_bits(bits), (bits >> 11) as f64 / (1_u64 << 53) as f64] {
                let text = super::to_string(&json!([value]));
                let read: serde_json::Value = serde_json::from_str(&text).unwrap();
                assert_eq!(super::to_string(&read), text, "{value:e}");
            }
        }
    }

    #[test]
    fn members_are_sorted_at_every_depth() {
        let text = super::to_string(&json!({"b": [{"z": 1, "a": "é\n"}], "a": null}));
        assert_eq!(text, r#"{"a":null,"b":[{"a":"é\n","z":1}]}"#);
    }
}
