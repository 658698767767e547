//! Whether a piece of Lua is complete, as far as a console has to know: open blocks, brackets, strings and comments.
//!
//! Where it sits: the line editor and the pipe ask before they hand a text on. It does not parse: wrong Lua that is
//! closed is complete, and the process says what is wrong with it.

/// True if more has to follow: a block, bracket, string or comment is open.
pub(super) fn is_open(text: &str) -> bool {
    let mut rest = text;
    let mut depth = 0_i64;
    // `while … do` and `for … do` have one `end`.
    let mut loops = 0_u32;
    while let Some(c) = rest.chars().next() {
        let Some(after) = past_token(rest) else { return true };
        let token = rest.get(..rest.len().saturating_sub(after.len())).unwrap_or(rest);
        rest = after;
        match token {
            "function" | "if" | "repeat" => depth += 1,
            "while" | "for" => {
                depth += 1;
                loops += 1;
            }
            "do" if loops > 0 => loops -= 1,
            "do" => depth += 1,
            "end" | "until" => depth -= 1,
            _ if token.len() == 1 => match c {
                '(' | '{' | '[' => depth += 1,
                ')' | '}' | ']' => depth -= 1,
                _ => {}
            },
            _ => {}
        }
    }
    depth > 0
}

/// What follows the token that `text` begins with; `None` if the token is not closed.
fn past_token(text: &str) -> Option<&str> {
    let first = text.chars().next()?;
    let skip = |n: usize| text.get(n..);
    if let Some(comment) = text.strip_prefix("--") {
        return match long_bracket(comment) {
            Some(after) => after,
            None => Some(comment.find('\n').and_then(|at| comment.get(at..)).unwrap_or_default()),
        };
    }
    if let Some(after) = long_bracket(text) {
        return after;
    }
    if first == '"' || first == '\'' {
        return past_string(text, first);
    }
    if first.is_alphanumeric() || first == '_' {
        return skip(text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len()));
    }
    skip(first.len_utf8())
}

/// Past `[[…]]` or `[==[…]==]`: `None` if `text` does not begin with one, `Some(None)` if it is not closed.
fn long_bracket(text: &str) -> Option<Option<&str>> {
    let body = text.strip_prefix('[')?;
    let level = body.bytes().take_while(|b| *b == b'=').count();
    let content = body.get(level..)?.strip_prefix('[')?;
    let close = format!("]{}]", "=".repeat(level));
    Some(content.find(&close).and_then(|at| content.get(at + close.len()..)))
}

/// Past a quoted string. A line break ends it, as an error that the process will tell.
fn past_string(text: &str, quote: char) -> Option<&str> {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '\n' => return text.get(at..),
            c if c == quote => return text.get(at + c.len_utf8()..),
            _ => {}
        }
    }
    // At the end of the input without its quote: only a backslash asks for another line.
    if escaped { None } else { Some("") }
}

#[cfg(test)]
mod tests;
