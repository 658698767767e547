//! Reading a `Cron-Interval`: `"<number>-<unit>"`, in blocks or in time.
//!
//! Units are those that AO's compute unit knows (AO wire reference §4.7), in any case. Time is kept in whole seconds, rounded
//! down, at least one; a year has 365.25 days. Months are not a unit there either: nobody knows how long one is.

use super::Class;

/// Longest `Cron-Interval` in characters.
pub const MAX_INTERVAL: usize = 32;
/// Longest interval in seconds: 100 years. Far below the milliseconds that overflow.
const MAX_SECONDS: u64 = 100 * 31_557_600;
/// Longest interval in blocks.
const MAX_BLOCKS: u64 = 1_000_000_000;

/// Milliseconds of each unit of time.
const UNITS: [(&[&str], u64); 7] = [
    (&["milliseconds", "millisecond", "msecs", "msec", "ms"], 1),
    (&["seconds", "second", "secs", "sec", "s"], 1_000),
    (&["minutes", "minute", "mins", "min", "m"], 60_000),
    (&["hours", "hour", "hrs", "hr", "h"], 3_600_000),
    (&["days", "day", "d"], 86_400_000),
    (&["weeks", "week", "w"], 604_800_000),
    (&["years", "year", "yrs", "yr", "y"], 31_557_600_000),
];

/// The class and the distance between two ticks: blocks, or milliseconds (whole seconds).
pub(super) fn read(text: &str) -> Result<(Class, u64), String> {
    let form = "write a whole number, a dash and a unit, such as 10-seconds, 5-minutes, 1-hour or 2-blocks";
    if text.len() > MAX_INTERVAL {
        return Err(format!("it has {} characters, at most {MAX_INTERVAL} are allowed; {form}", text.len()));
    }
    let (number, unit) = text.split_once('-').ok_or_else(|| form.to_owned())?;
    if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("{number:?} is no whole number; {form}"));
    }
    let number: u64 = number.parse().map_err(|_| format!("{number} is too large; {form}"))?;
    let unit = unit.to_ascii_lowercase();
    if ["block", "blocks"].contains(&unit.as_str()) {
        return match number {
            1..=MAX_BLOCKS => Ok((Class::Block, number)),
            _ => Err(format!("1 to {MAX_BLOCKS} blocks are allowed")),
        };
    }
    let known = UNITS.iter().find(|(names, _)| names.contains(&unit.as_str()));
    let Some((_, millis)) = known else {
        return Err(format!("{unit:?} is no unit; use seconds, minutes, hours, days, weeks, years or blocks"));
    };
    match number.checked_mul(*millis).map(|ms| ms / 1_000) {
        Some(0) => Err("the shortest interval is 1-second".to_owned()),
        Some(seconds @ 1..=MAX_SECONDS) => Ok((Class::Time, seconds * 1_000)),
        _ => Err("the longest interval is 100-years".to_owned()),
    }
}
