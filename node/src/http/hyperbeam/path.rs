//! HyperBEAM's path grammar, as far as clients of processes use it: steps with devices, values and inline keys.
//!
//! Where it sits: below `call`, which says what a path asks for; pure, over the path as it came (not yet decoded, because
//! `/`, `&` and `=` separate before they are text). Source of the rules: HyperBEAM's documents and what aoconnect 0.0.98 was
//! seen to send in mainnet mode.

/// Longest step in bytes as it came; the text of a dry run's tags is bounded by the request line instead.
const MAX_STEP: usize = 512;
/// Steps of a path at most.
const MAX_STEPS: usize = 16;
/// Inline keys of a step at most; an item has no more tags either.
const MAX_KEYS: usize = 128;
/// What may be appended to a path to ask for JSON, which is what is answered anyway.
const AS_JSON: &str = "/~json@1.0/serialize";
/// Types that a key may name behind a `+`.
const TYPES: &[&str] = &["integer", "float", "atom", "binary", "list", "map"];

/// One step: `name~device=value&key=value`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::http) struct Step {
    /// What stands first; empty where a device stands alone.
    pub name: String,
    /// The device, in lower case.
    pub device: Option<String>,
    /// What stands behind the first `=`.
    pub value: Option<String>,
    /// Inline keys in order, without type suffix.
    pub keys: Vec<(String, String)>,
}

/// A path that is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::http) enum PathError {
    /// A step is longer than [`MAX_STEP`].
    #[error("path: a step of {0} bytes is longer than {MAX_STEP}; send long values in a signed item, as the body")]
    LongStep(usize),
    /// More than [`MAX_STEPS`].
    #[error("path: more than {MAX_STEPS} steps; ask for less at once")]
    ManySteps,
    /// More than [`MAX_KEYS`] in one step.
    #[error("path: more than {MAX_KEYS} keys in one step; send them as tags of a signed item, as the body")]
    ManyKeys,
    /// An empty step, or one with an empty key.
    #[error("path: {0:?} is no step; write name~device@1.0=value&key=value")]
    Step(String),
    /// Sub-paths in parentheses.
    #[error("path: sub-paths in parentheses are not answered; ask for them one by one")]
    SubPath,
}

/// The steps of `raw`, which begins with `/`.
pub(in crate::http) fn parse(raw: &str) -> Result<Vec<Step>, PathError> {
    let path = raw.strip_suffix(AS_JSON).unwrap_or(raw);
    let mut rest = path.strip_prefix('/').unwrap_or(path);
    let mut steps: Vec<Step> = Vec::new();
    loop {
        if steps.len() >= MAX_STEPS {
            return Err(PathError::ManySteps);
        }
        if let Some(tags) = dry_run_tags(&steps, rest) {
            let keys = keys(tags, Lone::PartOfValue)?;
            steps.push(Step { name: "compute".into(), keys, ..Step::default() });
            return Ok(steps);
        }
        let (segment, more) = rest.split_once('/').map_or((rest, None), |(segment, more)| (segment, Some(more)));
        steps.push(step(segment)?);
        match more {
            // One slash at the end changes nothing.
            None | Some("") => return Ok(steps),
            Some(more) => rest = more,
        }
    }
}

/// The tags of a dry run: everything behind `as=execution/compute&`. aoconnect writes tags there as they are, so a slash
/// in a value is text.
fn dry_run_tags<'a>(before: &[Step], rest: &'a str) -> Option<&'a str> {
    let executes = before.last().is_some_and(|step| step.is("as") && step.value.as_deref() == Some("execution"));
    let (name, tags) = rest.split_once('&')?;
    (executes && name.eq_ignore_ascii_case("compute")).then_some(tags)
}

fn step(segment: &str) -> Result<Step, PathError> {
    if segment.len() > MAX_STEP {
        return Err(PathError::LongStep(segment.len()));
    }
    if segment.starts_with('(') {
        return Err(PathError::SubPath);
    }
    let (head, inline) = segment.split_once('&').map_or((segment, None), |(head, keys)| (head, Some(keys)));
    let (head, value) = head.split_once('=').map_or((head, None), |(head, value)| (head, Some(decoded(value))));
    let (name, device) = head.split_once('~').map_or((head, None), |(name, device)| (name, Some(device)));
    let device = device.map(|device| decoded(device).to_ascii_lowercase());
    if (name.is_empty() && device.is_none()) || device.as_deref() == Some("") {
        return Err(PathError::Step(decoded(segment)));
    }
    let keys = inline.map(|text| keys(text, Lone::Key)).transpose()?.unwrap_or_default();
    Ok(Step { name: decoded(untyped(name)), device, value, keys })
}

/// What a piece without `=` is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lone {
    /// A key that is set.
    Key,
    /// The rest of a value that held an `&` (tags of a dry run).
    PartOfValue,
}

/// `key=value&key=value`.
fn keys(text: &str, lone: Lone) -> Result<Vec<(String, String)>, PathError> {
    let mut out: Vec<(String, String)> = Vec::new();
    for piece in text.split('&') {
        match (piece.split_once('='), out.last_mut()) {
            (Some(("", _)), _) => return Err(PathError::Step(decoded(piece))),
            (Some((name, value)), _) => out.push((decoded(untyped(name)), decoded(value))),
            (None, Some((_, value))) if lone == Lone::PartOfValue => {
                value.push('&');
                value.push_str(&decoded(piece));
            }
            (None, _) if piece.is_empty() => {}
            (None, _) => out.push((decoded(untyped(piece)), "true".into())),
        }
        if out.len() > MAX_KEYS {
            return Err(PathError::ManyKeys);
        }
    }
    Ok(out)
}

/// `name` without the type that may stand behind a `+`: what comes in is text for every reader here.
fn untyped(name: &str) -> &str {
    match name.rsplit_once('+') {
        Some((bare, kind)) if TYPES.contains(&kind) => bare,
        _ => name,
    }
}

/// Percent-decoded; a `%` that begins no code stands for itself, and what is no UTF-8 is replaced.
fn decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let mut ahead = bytes.clone();
        let code = (byte == b'%').then(|| Some((hex(ahead.next()?)? << 4) | hex(ahead.next()?)?)).flatten();
        match code {
            Some(code) => {
                out.push(code);
                bytes = ahead;
            }
            None => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

impl Step {
    /// Is this the plain step `name`, in any case?
    pub fn is(&self, name: &str) -> bool {
        self.device.is_none() && self.name.eq_ignore_ascii_case(name)
    }

    /// Does `device` stand here alone?
    pub fn is_device(&self, device: &str) -> bool {
        self.name.is_empty() && self.device.as_deref() == Some(device)
    }

    /// The inline key `name`, in any case.
    pub fn key(&self, name: &str) -> Option<&str> {
        self.keys.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests;
