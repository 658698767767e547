//! Plain text for people: aligned columns, human units, short ids.
//!
//! Where it sits: used by every command of `cli/` that prints more than a line.

use std::io::IsTerminal as _;

/// Rows of cells under a head, aligned with two spaces between columns.
pub struct Table {
    rows: Vec<Vec<String>>,
    indent: &'static str,
}

impl Table {
    /// A table with these column heads, indented by two spaces.
    pub fn new(heads: &[&str]) -> Self {
        Self { rows: vec![heads.iter().map(|h| (*h).to_owned()).collect()], indent: "  " }
    }

    /// A table without heads: names and values.
    pub fn pairs() -> Self {
        Self { rows: Vec::new(), indent: "  " }
    }

    /// Adds a row; missing cells are empty.
    pub fn row<C: Into<String>>(&mut self, cells: impl IntoIterator<Item = C>) -> &mut Self {
        self.rows.push(cells.into_iter().map(Into::into).collect());
        self
    }

    /// True if there is no row besides the heads.
    pub fn is_empty(&self) -> bool {
        self.rows.len() <= 1
    }

    /// The lines, without a last newline.
    pub fn text(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|c| self.rows.iter().filter_map(|r| r.get(c)).map(|cell| cell.chars().count()).max().unwrap_or(0))
            .collect();
        let lines = self.rows.iter().map(|row| {
            let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            format!("{}{}", self.indent, cells.join("  ")).trim_end().to_owned()
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// Milliseconds since 1970 as UTC (`2026-11-22 15:37:11`).
pub fn time(ms: u64) -> String {
    let at = std::time::UNIX_EPOCH.checked_add(std::time::Duration::from_millis(ms));
    at.map_or_else(|| ms.to_string(), |t| humantime::format_rfc3339_seconds(t).to_string())
        .replace('T', " ")
        .trim_end_matches('Z')
        .to_owned()
}

/// Seconds as `2h 3m 4s`.
pub fn duration(seconds: u64) -> String {
    humantime::format_duration(std::time::Duration::from_secs(seconds)).to_string()
}

/// Bytes as `1.2 MiB`.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let mut tenths = n.saturating_mul(10) / 1024;
    let mut unit = "KiB";
    for name in UNITS {
        unit = name;
        if tenths < 10_240 {
            break;
        }
        if name != "TiB" {
            tenths /= 1024;
        }
    }
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

/// The first eight characters of an id, enough to recognise it and (from six on) to type it.
pub fn short(id: &str) -> String {
    id.chars().take(8).collect()
}

/// At most `max` characters on one line, with an ellipsis where something is left out.
pub fn clip(text: &str, max: usize) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(max.saturating_add(1)).collect();
    if line.chars().count() <= max {
        return line;
    }
    let mut cut: String = line.chars().take(max.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// Text from a process for a terminal: line breaks, tabs and colours (`ESC [ … m`) stay, every other control character
/// goes, so that nobody's output can move the cursor, set the title or answer back.
pub fn printable(text: &str) -> String {
    without_commands(text, std::io::stdout().is_terminal())
}

/// [`printable`] with colours kept or not: in a file or a pipe they are noise.
fn without_commands(text: &str, colours: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let colour = colour_length(rest);
        let (head, tail) = rest.split_at_checked(colour.unwrap_or(c.len_utf8())).unwrap_or((rest, ""));
        let kept = if colour.is_some() { colours } else { !c.is_control() || matches!(c, '\n' | '\t') };
        if kept {
            out.push_str(head);
        }
        rest = tail;
    }
    out
}

/// Length in bytes of the colour sequence at the start of `text`.
fn colour_length(text: &str) -> Option<usize> {
    let body = text.strip_prefix("\u{1b}[")?;
    let digits = body.bytes().take_while(|b| b.is_ascii_digit() || *b == b';').take(16).count();
    (body.as_bytes().get(digits) == Some(&b'm')).then_some(digits + 3)
}

#[cfg(test)]
mod tests;
