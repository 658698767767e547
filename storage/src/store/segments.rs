//! The journal's files: find them, create them, check them, read one record.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    hash::{BuildHasher, RandomState},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use bytes::Bytes;

use super::{
    Position, StoreError,
    format::{
        GROUP_HEADER, GroupHeader, MAX_GROUP, RECORD_HEADER, RecordHeader, SEGMENT_HEADER, SegmentHeader, decode_group,
    },
};

/// How a segment's file name ends.
const SUFFIX: &str = ".journal";
/// How much is read at a time while looking for frames behind damage, in bytes.
const SEARCH_PIECE: usize = 1 << 20;

/// One segment file. Opened for each use: a journal of any length costs no open files.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    /// Where it lies.
    pub path: PathBuf,
    /// Its header.
    pub header: SegmentHeader,
}

/// All segments by the position of their first byte.
pub(super) type Segments = BTreeMap<u64, Segment>;

/// What [`Segment::walk`] found at a segment's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tail {
    /// The file ends with a whole group.
    Whole,
    /// An interrupted write: the file's valid part ends at this byte offset.
    Torn(u64),
}

/// A whole, checked group.
pub(super) struct Group {
    /// Position just after it.
    pub end: u64,
    /// Its records.
    pub records: Vec<(Position, Bytes)>,
}

impl Segment {
    /// Creates the segment that starts at position `start` in `folder`; durable, its name included, when this returns.
    pub fn create(folder: &Path, start: u64) -> Result<(Self, File), StoreError> {
        let header = SegmentHeader { start, salt: RandomState::new().hash_one(start) };
        let path = folder.join(format!("{start:016x}{SUFFIX}"));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .map_err(StoreError::io("create", &path))?;
        file.write_all_at(&header.encode(), 0).map_err(StoreError::io("write", &path))?;
        file.sync_all().map_err(StoreError::io("sync", &path))?;
        sync_folder(folder)?;
        Ok((Self { path, header }, file))
    }

    /// Opens the file to be written on.
    pub fn open_to_write(&self) -> Result<File, StoreError> {
        OpenOptions::new().read(true).write(true).open(&self.path).map_err(StoreError::io("open", &self.path))
    }

    /// The file's length in bytes.
    pub fn len(&self) -> Result<u64, StoreError> {
        fs::metadata(&self.path).map(|metadata| metadata.len()).map_err(StoreError::io("look at", &self.path))
    }

    fn corrupt(&self, offset: u64, what: &'static str) -> StoreError {
        StoreError::Corrupt { file: self.path.clone(), offset, what }
    }

    /// Checks every group from byte `offset` on and hands it to `visit`. In the `last` segment an interrupted write at the end
    /// is no error; damage that an interrupted write cannot explain is, everywhere.
    pub fn walk(
        &self,
        offset: u64,
        last: bool,
        mut visit: impl FnMut(Group) -> Result<(), StoreError>,
    ) -> Result<Tail, StoreError> {
        let file = File::open(&self.path).map_err(StoreError::io("open", &self.path))?;
        let len = self.len()?;
        let mut at = offset;
        while at < len {
            let left = len.saturating_sub(at);
            let position = self.header.start.saturating_add(at);
            let Some(header) = self.group_header(&file, at, left)? else {
                let followed = self.search(&file, at.saturating_add(1), len)?;
                return self.damage(at, last && !followed, "this is not the start of a group of records");
            };
            let whole = (GROUP_HEADER as u64).saturating_add(u64::from(header.len));
            if whole > left {
                return self.damage(at, last, "the file ends inside a group of records");
            }
            let mut content = vec![0; header.len as usize];
            file.read_exact_at(&mut content, at.saturating_add(GROUP_HEADER as u64))
                .map_err(StoreError::io("read", &self.path))?;
            let first = position.saturating_add(GROUP_HEADER as u64);
            let Some(records) = decode_group(header, self.header.salt, first, content.into()) else {
                return self.damage(
                    at,
                    last && whole == left,
                    "a record of the group that starts here fails its checksum",
                );
            };
            at = at.saturating_add(whole);
            visit(Group { end: self.header.start.saturating_add(at), records })?;
        }
        Ok(Tail::Whole)
    }

    fn damage(&self, at: u64, explained: bool, what: &'static str) -> Result<Tail, StoreError> {
        if explained { Ok(Tail::Torn(at)) } else { Err(self.corrupt(at, what)) }
    }

    fn group_header(&self, file: &File, at: u64, left: u64) -> Result<Option<GroupHeader>, StoreError> {
        let mut bytes = [0; GROUP_HEADER];
        if left < GROUP_HEADER as u64 {
            return Ok(None);
        }
        file.read_exact_at(&mut bytes, at).map_err(StoreError::io("read", &self.path))?;
        Ok(GroupHeader::decode(&bytes, self.header.salt, self.header.start.saturating_add(at)))
    }

    /// Whether the start of a group lies anywhere in `from..len`. A chance hit has odds of about 2^-47 a byte.
    fn search(&self, file: &File, from: u64, len: u64) -> Result<bool, StoreError> {
        let mut at = from;
        // An interrupted write is never longer than one group: whatever lies beyond is not worth a look.
        let end = len.min(from.saturating_add((MAX_GROUP + GROUP_HEADER) as u64));
        let mut piece = vec![0; SEARCH_PIECE + GROUP_HEADER];
        while at < end {
            let take = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX).min(piece.len());
            let Some(slice) = piece.get_mut(..take) else {
                break;
            };
            file.read_exact_at(slice, at).map_err(StoreError::io("read", &self.path))?;
            let mut position = self.header.start.saturating_add(at);
            for window in slice.windows(GROUP_HEADER) {
                if window
                    .first_chunk()
                    .is_some_and(|bytes| GroupHeader::decode(bytes, self.header.salt, position).is_some())
                {
                    return Ok(true);
                }
                position = position.saturating_add(1);
            }
            at = at.saturating_add(SEARCH_PIECE as u64);
        }
        Ok(false)
    }

    /// The record at `position`, checked.
    pub fn read(&self, position: Position) -> Result<Bytes, StoreError> {
        let file = File::open(&self.path).map_err(StoreError::io("open", &self.path))?;
        let offset = position.0.saturating_sub(self.header.start);
        let mut header = [0; RECORD_HEADER];
        self.read_at(&file, &mut header, offset, position)?;
        let header = RecordHeader::decode(&header).ok_or(StoreError::NoRecord(position))?;
        let mut payload = vec![0; header.len()];
        self.read_at(&file, &mut payload, offset.saturating_add(RECORD_HEADER as u64), position)?;
        if header.matches(self.header.salt, position.0, &payload) {
            Ok(payload.into())
        } else {
            Err(self.corrupt(offset, "the record read here fails its checksum (or none starts here)"))
        }
    }

    fn read_at(&self, file: &File, buffer: &mut [u8], offset: u64, position: Position) -> Result<(), StoreError> {
        file.read_exact_at(buffer, offset).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => StoreError::NoRecord(position),
            _ => StoreError::io("read", &self.path)(error),
        })
    }
}

/// Finds the segments in `folder`, in order and without holes; creates the first one in an empty folder, and makes good a
/// last one whose creation was interrupted.
pub(super) fn find(folder: &Path) -> Result<Segments, StoreError> {
    let mut starts = Vec::new();
    for entry in fs::read_dir(folder).map_err(StoreError::io("list", folder))? {
        let name = entry.map_err(StoreError::io("list", folder))?.file_name();
        let start = name.to_str().and_then(|name| name.strip_suffix(SUFFIX)).filter(|hex| hex.len() == 16);
        starts.extend(start.and_then(|hex| u64::from_str_radix(hex, 16).ok()));
    }
    starts.sort_unstable();
    let mut segments = Segments::new();
    let mut expected = 0;
    let newest = starts.last().copied();
    for start in starts {
        if start != expected {
            return Err(StoreError::Gap { folder: folder.to_owned(), expected, found: start });
        }
        let segment = open_segment(folder, start, Some(start) == newest)?;
        expected = start.saturating_add(segment.len()?);
        segments.insert(start, segment);
    }
    if segments.is_empty() {
        segments.insert(0, Segment::create(folder, 0)?.0);
    }
    Ok(segments)
}

fn open_segment(folder: &Path, start: u64, last: bool) -> Result<Segment, StoreError> {
    let path = folder.join(format!("{start:016x}{SUFFIX}"));
    let file = File::open(&path).map_err(StoreError::io("open", &path))?;
    let len = file.metadata().map_err(StoreError::io("look at", &path))?.len();
    let mut bytes = [0; SEGMENT_HEADER];
    let header = if len < SEGMENT_HEADER as u64 {
        None
    } else {
        file.read_exact_at(&mut bytes, 0).map_err(StoreError::io("read", &path))?;
        SegmentHeader::decode(&bytes).filter(|header| header.start == start)
    };
    match header {
        Some(header) => Ok(Segment { path, header }),
        // Records are written only after the header is durable: without a header there are none.
        None if last && len <= SEGMENT_HEADER as u64 => {
            tracing::warn!(file = %path.display(), "the journal's newest file was never finished; starting it again");
            Segment::create(folder, start).map(|(segment, _)| segment)
        }
        None => Err(StoreError::Corrupt { file: path, offset: 0, what: "the file's header is wrong" }),
    }
}

/// Makes the names in `folder` durable.
pub(super) fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(StoreError::io("sync", folder))
}
