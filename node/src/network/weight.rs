//! How large would this frame become in memory? Counted before it is decoded.
//!
//! An empty entry of a repeated message takes two bytes on the wire and hundreds in memory, so a frame within its cap
//! could still ask for gigabytes. This walk knows which fields of `wire.proto` hold messages, counts all fields of all
//! of them without decoding anything, and refuses frames with more than a network of honest nodes ever sends.

/// Fields that a frame may hold, messages within messages included. A log page of 1,000 entries with long proofs has
/// about 50,000; at some 400 bytes a field in memory the worst is about 80 MiB.
const MAX_FIELDS: usize = 200_000;

/// What kind of message some bytes are: one for each message of `wire.proto` that holds others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `Request`.
    Request,
    /// `Response`.
    Response,
    Submit,
    Assign,
    LogPage,
    LogEntry,
    Heads,
    Results,
    Eval,
    EvalPage,
    /// A message without messages in it.
    Plain,
}

impl Kind {
    /// What the length-delimited field `number` of this kind holds; `None` when it is bytes or text.
    fn field(self, number: u64) -> Option<Kind> {
        match (self, number) {
            (Kind::Request, 1) => Some(Kind::Submit),
            (Kind::Request, 2) => Some(Kind::Assign),
            (Kind::Request, 11) => Some(Kind::Eval),
            (Kind::Response, 3) => Some(Kind::LogPage),
            (Kind::Response, 4) => Some(Kind::Heads),
            (Kind::Response, 8) => Some(Kind::Results),
            (Kind::Response, 11) => Some(Kind::EvalPage),
            (Kind::LogPage, 1) | (Kind::Eval, 6) => Some(Kind::LogEntry),
            (Kind::Request | Kind::Response, _)
            | (Kind::Submit, 2)
            | (Kind::Assign, 5)
            | (Kind::LogEntry, 4)
            | (Kind::Heads | Kind::Results | Kind::EvalPage, 1) => Some(Kind::Plain),
            _ => None,
        }
    }
}

/// Whether `frame`, decoded as `kind`, stays within bounds. Bytes that are no protobuf count as unbearable.
pub fn bearable(kind: Kind, frame: &[u8]) -> bool {
    let mut left = MAX_FIELDS;
    walk(kind, frame, &mut left).is_some()
}

/// Recursion ends: kinds nest at most four deep.
fn walk(kind: Kind, mut bytes: &[u8], left: &mut usize) -> Option<()> {
    while !bytes.is_empty() {
        *left = left.checked_sub(1)?;
        let tag = varint(&mut bytes)?;
        match tag & 7 {
            0 => drop(varint(&mut bytes)?),
            1 => drop(take(&mut bytes, 8)?),
            5 => drop(take(&mut bytes, 4)?),
            2 => {
                let length = varint(&mut bytes)?;
                let inner = take(&mut bytes, length)?;
                if let Some(kind) = kind.field(tag >> 3) {
                    walk(kind, inner, left)?;
                }
            }
            _ => return None,
        }
    }
    Some(())
}

fn take<'a>(bytes: &mut &'a [u8], length: u64) -> Option<&'a [u8]> {
    let (head, rest) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
    *bytes = rest;
    Some(head)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
