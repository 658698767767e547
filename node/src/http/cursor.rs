//! Cursors of AO's `/results`: standard base64 of `{"timestamp","ordinate","cron","sort"}`, or a bare timestamp.
//!
//! Where it sits: below `compute`. Clients decode cursors (they sort by `ordinate`), so the form is part of the wire; and
//! some send them unescaped, so a `+` may arrive as a space.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD},
};
use serde_json::{Value, json};

use super::error::ApiError;

/// Longest cursor looked at, in characters; real ones have about 100.
const MAX_LEN: usize = 512;

/// Where a cursor points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// At this slot.
    Slot(u64),
    /// At this millisecond, as a number by itself: its results are included.
    Bare(u64),
    /// At this millisecond, from a cursor without ordinate: its results are those before the cursor.
    Time(u64),
}

/// A cursor with the order it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    /// Where.
    pub place: Place,
    /// Newest first, if it says.
    pub descending: Option<bool>,
}

/// The cursor of the result at `slot`; `cron` names the cron whose tick it is.
pub(super) fn write(slot: u64, timestamp: u64, cron: Option<&str>, descending: bool) -> String {
    let sort = if descending { "DESC" } else { "ASC" };
    let value = json!({ "timestamp": timestamp, "ordinate": slot.to_string(), "cron": cron, "sort": sort });
    STANDARD.encode(value.to_string())
}

/// Reads what `field` holds.
pub(super) fn read(field: &str, text: &str) -> Result<Cursor, ApiError> {
    if let Ok(time) = text.parse() {
        return Ok(Cursor { place: Place::Bare(time), descending: None });
    }
    let fix = "give a cursor from an earlier page as it was, or a timestamp in milliseconds";
    let fail = || ApiError::field(field, text, fix);
    if text.len() > MAX_LEN {
        return Err(fail());
    }
    let standard: String = text
        .chars()
        .filter(|letter| *letter != '=')
        .map(|letter| match letter {
            ' ' | '-' => '+',
            '_' => '/',
            other => other,
        })
        .collect();
    let bytes = STANDARD_NO_PAD.decode(standard).map_err(|_| fail())?;
    let value: Value = serde_json::from_slice(&bytes).map_err(|_| fail())?;
    let number = |name: &str| match value.get(name) {
        Some(Value::Number(number)) => number.as_u64(),
        Some(Value::String(text)) => text.parse().ok(),
        _ => None,
    };
    let place =
        number("ordinate").map(Place::Slot).or_else(|| number("timestamp").map(Place::Time)).ok_or_else(fail)?;
    let descending = value.get("sort").and_then(Value::as_str).map(|sort| sort.eq_ignore_ascii_case("desc"));
    Ok(Cursor { place, descending })
}

#[cfg(test)]
mod tests;
