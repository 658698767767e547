//! The journal's bytes. Nothing here touches a disk.
//!
//! ```text
//! segment = header group*                 file name: 16 hex digits of `start`, then ".journal"
//! header  = "WEFTJRN1" start:u64 salt:u64 crc:u32            28 bytes
//! group   = len:u32 count:u32 crc:u32 record*                 12 bytes, then `len` bytes
//! record  = len:u32 crc:u32 payload                            8 bytes, then `len` bytes
//! ```
//!
//! All integers little endian, all checksums CRC-32C. A *position* is a byte offset over all segments laid end to end
//! (`start` is the position of a segment's first byte). Every checksum covers salt and position too, so a frame is valid only
//! where it was written, and content sent by a stranger cannot pass for a frame.
//!
//! A group is what one write and one fdatasync made durable. The next group is written only after that, so damage in the
//! last group is an interrupted write, and damage followed by anything is corruption: that is how the two are told apart.

use bytes::Bytes;

use super::Position;

/// First bytes of every segment file: format and version.
const MAGIC: [u8; 8] = *b"WEFTJRN1";
/// Bytes before the first group of a segment.
pub(super) const SEGMENT_HEADER: usize = 28;
/// Bytes before a group's first record.
pub(super) const GROUP_HEADER: usize = 12;
/// Bytes before a record's payload.
pub(super) const RECORD_HEADER: usize = 8;
/// Largest payload of one record: 32 MiB.
pub const MAX_RECORD: usize = 32 << 20;
/// Largest sum of framed records in one append: 64 MiB.
pub const MAX_APPEND: usize = 64 << 20;
/// A group takes no further append once it has this many bytes: 8 MiB.
pub(super) const GROUP_FULL: usize = 8 << 20;
/// Largest group, header apart.
pub(super) const MAX_GROUP: usize = MAX_APPEND + GROUP_FULL;

/// Where a segment lies and what its checksums are salted with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    /// Position of the file's first byte.
    pub start: u64,
    /// Random, so that no content can be made to look like a frame.
    pub salt: u64,
}

impl SegmentHeader {
    /// The header's bytes.
    pub fn encode(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(SEGMENT_HEADER);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&self.start.to_le_bytes());
        bytes.extend_from_slice(&self.salt.to_le_bytes());
        let crc = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The header in `bytes`, unless magic or checksum are wrong.
    pub fn decode(bytes: &[u8; SEGMENT_HEADER]) -> Option<Self> {
        let (body, crc) = bytes.split_last_chunk::<4>()?;
        let (magic, rest) = body.split_first_chunk::<8>()?;
        let (start, rest) = rest.split_first_chunk::<8>()?;
        let salt = rest.first_chunk::<8>()?;
        (*magic == MAGIC && crc32c::crc32c(body) == u32::from_le_bytes(*crc))
            .then(|| Self { start: u64::from_le_bytes(*start), salt: u64::from_le_bytes(*salt) })
    }
}

/// Checksum of a frame: its kind, the segment's salt, its position, its lengths, its content.
fn checksum(kind: u8, salt: u64, position: u64, lengths: &[u8], content: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&[kind]);
    let crc = crc32c::crc32c_append(crc, &salt.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &position.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, lengths);
    crc32c::crc32c_append(crc, content)
}

/// Space a record takes in a group, in bytes.
pub(super) fn framed_len(record: &Bytes) -> usize {
    record.len().saturating_add(RECORD_HEADER)
}

/// Writes a group record by record into one buffer.
pub(super) struct GroupBuilder {
    salt: u64,
    start: u64,
    count: u32,
    buffer: Vec<u8>,
}

impl GroupBuilder {
    /// A group that will be written at position `start`; `capacity` is the framed size of its records.
    pub fn new(salt: u64, start: u64, capacity: usize) -> Self {
        let mut buffer = Vec::with_capacity(capacity.saturating_add(GROUP_HEADER));
        buffer.resize(GROUP_HEADER, 0);
        Self { salt, start, count: 0, buffer }
    }

    /// Adds one record (the caller checked its size) and says where it will be.
    pub fn push(&mut self, record: &[u8]) -> Position {
        let position = self.start.saturating_add(self.buffer.len() as u64);
        let len = u32::try_from(record.len()).unwrap_or(u32::MAX).to_le_bytes();
        let crc = checksum(b'R', self.salt, position, &len, record);
        self.buffer.extend_from_slice(&len);
        self.buffer.extend_from_slice(&crc.to_le_bytes());
        self.buffer.extend_from_slice(record);
        self.count = self.count.saturating_add(1);
        Position(position)
    }

    /// The group's bytes.
    pub fn finish(mut self) -> Vec<u8> {
        let len = self.buffer.len().saturating_sub(GROUP_HEADER);
        let header = GroupHeader { len: u32::try_from(len).unwrap_or(u32::MAX), count: self.count };
        if let Some(slot) = self.buffer.first_chunk_mut::<GROUP_HEADER>() {
            *slot = header.encode(self.salt, self.start);
        }
        self.buffer
    }
}

/// A group's lengths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GroupHeader {
    /// Bytes after the header.
    pub len: u32,
    /// Records in them.
    pub count: u32,
}

impl GroupHeader {
    fn encode(self, salt: u64, position: u64) -> [u8; GROUP_HEADER] {
        let lengths = self.lengths();
        let crc = checksum(b'G', salt, position, &lengths, &[]);
        let mut bytes = [0; GROUP_HEADER];
        for (slot, byte) in bytes.iter_mut().zip(lengths.iter().chain(&crc.to_le_bytes())) {
            *slot = *byte;
        }
        bytes
    }

    fn lengths(self) -> [u8; 8] {
        (u64::from(self.len) | u64::from(self.count) << 32).to_le_bytes()
    }

    /// The header in `bytes` if it was written for this salt and position and its lengths are possible.
    pub fn decode(bytes: &[u8; GROUP_HEADER], salt: u64, position: u64) -> Option<Self> {
        let (lengths, crc) = bytes.split_last_chunk::<4>()?;
        let (len, count) = lengths.split_first_chunk::<4>()?;
        let header = Self { len: u32::from_le_bytes(*len), count: u32::from_le_bytes(*count.first_chunk::<4>()?) };
        let possible = header.count > 0
            && header.len as usize <= MAX_GROUP
            && header.count as usize <= header.len as usize / (RECORD_HEADER + 1);
        (possible && checksum(b'G', salt, position, lengths, &[]) == u32::from_le_bytes(*crc)).then_some(header)
    }
}

/// A record's length and checksum, not yet checked.
#[derive(Debug, Clone, Copy)]
pub(super) struct RecordHeader {
    len: [u8; 4],
    crc: u32,
}

impl RecordHeader {
    /// The header in `bytes`, unless its length is impossible.
    pub fn decode(bytes: &[u8; RECORD_HEADER]) -> Option<Self> {
        let (len, crc) = bytes.split_first_chunk::<4>()?;
        let header = Self { len: *len, crc: u32::from_le_bytes(*crc.first_chunk::<4>()?) };
        (1..=MAX_RECORD).contains(&header.len()).then_some(header)
    }

    /// Length of the payload in bytes, within 1..=[`MAX_RECORD`].
    pub fn len(&self) -> usize {
        u32::from_le_bytes(self.len) as usize
    }

    /// Whether `payload` is what was written at `position`.
    pub fn matches(&self, salt: u64, position: u64, payload: &[u8]) -> bool {
        checksum(b'R', salt, position, &self.len, payload) == self.crc
    }
}

/// The records of a group whose header was `header`, or `None` if any byte is wrong. `position` is that of `content`'s
/// first byte (just after the group's header).
pub(super) fn decode_group(
    header: GroupHeader,
    salt: u64,
    position: u64,
    mut content: Bytes,
) -> Option<Vec<(Position, Bytes)>> {
    let mut records = Vec::with_capacity((header.count as usize).min(4096));
    let mut at = position;
    while !content.is_empty() {
        let record = RecordHeader::decode(content.first_chunk::<RECORD_HEADER>()?)?;
        let framed = record.len().checked_add(RECORD_HEADER)?;
        if content.len() < framed {
            return None;
        }
        let payload = content.split_to(framed).split_off(RECORD_HEADER);
        if !record.matches(salt, at, &payload) {
            return None;
        }
        records.push((Position(at), payload));
        at = at.checked_add(framed as u64)?;
    }
    (records.len() == header.count as usize).then_some(records)
}
