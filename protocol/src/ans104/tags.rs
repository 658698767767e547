//! The tag section of an item: an Avro array of name and value, read within hard limits and never written twice.

use serde::{Deserialize, Serialize};

use super::{Deviation, Profile};

/// Most tags an item may have.
pub const MAX_TAGS: usize = 128;
/// Most bytes of a tag's name.
pub const MAX_NAME: usize = 1024;
/// Most bytes of a tag's value.
pub const MAX_VALUE: usize = 3072;
/// Most bytes of the whole encoded section.
pub const MAX_SECTION: usize = 4096;

/// A name and a value. Order and repetition of tags are significant.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tag {
    /// The name, compared exactly.
    pub name: String,
    /// The value.
    pub value: String,
}

impl Tag {
    /// A tag.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into() }
    }
}

/// What is wrong with a tag section, read or about to be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TagError {
    /// Too many tags.
    #[error("{0} tags, at most 128 are allowed")]
    TooMany(u64),
    /// The encoded section is too long.
    #[error("the encoded tags take {0} bytes, at most 4096 are allowed; move long values into the data")]
    SectionTooLong(u64),
    /// A name or value is too long.
    #[error("a tag {field} has {len} bytes, at most {max} are allowed")]
    FieldTooLong {
        /// `name` or `value`.
        field: &'static str,
        /// Its length in bytes.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// The number of tags in the head of the item is not the number in the section.
    #[error("the item declares {declared} tags and encodes {found}")]
    CountDiffers {
        /// From the head.
        declared: u64,
        /// From the section.
        found: usize,
    },
    /// The section is not a well-formed Avro array.
    #[error("the tag section is malformed: {0}")]
    Malformed(&'static str),
}

/// Encodes `tags` as one Avro block; no tags are no bytes.
///
/// # Errors
/// When a limit of this module is passed.
pub fn encode(tags: &[Tag]) -> Result<Vec<u8>, TagError> {
    if tags.is_empty() {
        return Ok(Vec::new());
    }
    if tags.len() > MAX_TAGS {
        return Err(TagError::TooMany(tags.len() as u64));
    }
    let mut out = Vec::new();
    put_number(&mut out, tags.len());
    for tag in tags {
        put_string(&mut out, "name", &tag.name, MAX_NAME)?;
        put_string(&mut out, "value", &tag.value, MAX_VALUE)?;
    }
    out.push(0);
    if out.len() > MAX_SECTION {
        return Err(TagError::SectionTooLong(out.len() as u64));
    }
    Ok(out)
}

fn put_string(out: &mut Vec<u8>, field: &'static str, text: &str, max: usize) -> Result<(), TagError> {
    if text.len() > max {
        return Err(TagError::FieldTooLong { field, len: text.len(), max });
    }
    put_number(out, text.len());
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

/// A non-negative number as zig-zag varint.
fn put_number(out: &mut Vec<u8>, number: usize) {
    let mut rest = (number as u64) << 1;
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Tags as read, and the first deviation that [`Profile::History`] let pass.
#[derive(Debug)]
pub(super) struct Decoded {
    pub(super) tags: Vec<Tag>,
    pub(super) deviation: Option<Deviation>,
}

/// Decodes a tag section that must hold exactly `declared` tags.
pub(super) fn decode(section: &[u8], declared: u64, profile: Profile) -> Result<Decoded, TagError> {
    let mut reader = Reader { rest: section, profile, tags: Vec::new(), deviation: None };
    if !section.is_empty() {
        reader.array()?;
    }
    if reader.tags.len() as u64 != declared {
        return Err(TagError::CountDiffers { declared, found: reader.tags.len() });
    }
    Ok(Decoded { tags: reader.tags, deviation: reader.deviation })
}

struct Reader<'a> {
    rest: &'a [u8],
    profile: Profile,
    tags: Vec<Tag>,
    deviation: Option<Deviation>,
}

impl<'a> Reader<'a> {
    fn array(&mut self) -> Result<(), TagError> {
        loop {
            if self.rest.is_empty() {
                return self
                    .tolerate(Deviation::NoTerminator, TagError::Malformed("the closing zero block is missing"));
            }
            let count = self.number()?;
            if count == 0 {
                break;
            }
            if count > 0 {
                self.block(count.unsigned_abs())?;
            } else {
                self.sized_block(count.unsigned_abs())?;
            }
        }
        if self.rest.is_empty() {
            return Ok(());
        }
        self.tolerate(Deviation::Trailing, TagError::Malformed("bytes follow the closing zero block"))
    }

    /// A block that announces its size in bytes, which must be true.
    fn sized_block(&mut self, count: u64) -> Result<(), TagError> {
        let size = self.length()?;
        let end = self.rest.len().saturating_sub(size);
        self.block(count)?;
        if self.rest.len() == end { Ok(()) } else { Err(TagError::Malformed("a block's byte size is not its size")) }
    }

    fn block(&mut self, count: u64) -> Result<(), TagError> {
        // A tag takes two bytes at least: what cannot fit is refused before anything is read.
        if count > (self.rest.len() / 2) as u64 {
            return Err(TagError::Malformed("a block announces more tags than its bytes can hold"));
        }
        for _ in 0..count {
            if self.tags.len() == MAX_TAGS {
                self.tolerate(Deviation::TagCount, TagError::TooMany(MAX_TAGS as u64 + 1))?;
            }
            let name = self.string("name", MAX_NAME)?;
            let value = self.string("value", MAX_VALUE)?;
            self.tags.push(Tag { name, value });
        }
        Ok(())
    }

    fn string(&mut self, field: &'static str, max: usize) -> Result<String, TagError> {
        let len = self.length()?;
        if len > max {
            self.tolerate(Deviation::FieldLength, TagError::FieldTooLong { field, len, max })?;
        }
        let bytes = self.take(len)?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => {
                self.tolerate(Deviation::NotUtf8, TagError::Malformed("a name or value is not UTF-8"))?;
                Ok(String::from_utf8_lossy(bytes).into_owned())
            }
        }
    }

    /// A length that the rest of the section can hold.
    fn length(&mut self) -> Result<usize, TagError> {
        let number = self.number()?;
        usize::try_from(number)
            .ok()
            .filter(|len| *len <= self.rest.len())
            .ok_or(TagError::Malformed("a length is negative or runs past the end"))
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], TagError> {
        let (bytes, rest) =
            self.rest.split_at_checked(len).ok_or(TagError::Malformed("a length is negative or runs past the end"))?;
        self.rest = rest;
        Ok(bytes)
    }

    /// A zig-zag varint of 64 bits.
    fn number(&mut self) -> Result<i64, TagError> {
        let mut value = 0_u64;
        for shift in (0..70).step_by(7) {
            let byte = self.take(1)?.first().copied().unwrap_or_default();
            if shift == 63 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                if byte == 0 && shift > 0 {
                    self.tolerate(
                        Deviation::LongNumber,
                        TagError::Malformed("a number is written longer than needed"),
                    )?;
                }
                return Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
            }
        }
        Err(TagError::Malformed("a number has more than 64 bits"))
    }

    fn tolerate(&mut self, deviation: Deviation, error: TagError) -> Result<(), TagError> {
        match self.profile {
            Profile::Strict => Err(error),
            Profile::History => {
                self.deviation.get_or_insert(deviation);
                Ok(())
            }
        }
    }
}
