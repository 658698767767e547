//! Small files: written whole or not at all, read with a bound.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use crate::TestnetError;

/// Largest file of its own that this crate reads back, in bytes.
const MAX_OWN_FILE: u64 = 4 << 20;
/// How much of a log's end is looked at for its last lines, in bytes.
const LOG_END: u64 = 256 << 10;

/// Writes `text` to `path` in one step; readable by the owner only when `secret`.
pub(crate) fn write(path: &Path, text: &str, secret: bool) -> Result<(), TestnetError> {
    let temp = path.with_extension("new");
    let mode = if secret { 0o600 } else { 0o644 };
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(&temp)
        .map_err(TestnetError::io("create", &temp))?;
    file.write_all(text.as_bytes()).map_err(TestnetError::io("write", &temp))?;
    fs::rename(&temp, path).map_err(TestnetError::io("write", path))
}

/// The text of `path`, or `None` if there is no such file.
pub(crate) fn read(path: &Path) -> Result<Option<String>, TestnetError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(TestnetError::io("read", path)(error)),
    };
    let mut text = String::new();
    file.take(MAX_OWN_FILE).read_to_string(&mut text).map_err(TestnetError::io("read", path))?;
    Ok(Some(text))
}

/// Creates a folder and those above it.
pub(crate) fn make_folder(path: &Path) -> Result<(), TestnetError> {
    fs::create_dir_all(path).map_err(TestnetError::io("create", path))
}

/// The last `count` lines of a log, and the byte offset just after them. A log that is not there yet has none.
pub(crate) fn last_lines(path: &Path, count: usize) -> (Vec<String>, u64) {
    let read = || -> std::io::Result<(Vec<u8>, u64, bool)> {
        let mut file = File::open(path)?;
        let len = file.metadata()?.len();
        let from = len.saturating_sub(LOG_END);
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.take(LOG_END).read_to_end(&mut bytes)?;
        let end = from.saturating_add(bytes.len() as u64);
        Ok((bytes, end, from > 0))
    };
    let Ok((bytes, end, cut)) = read() else { return (Vec::new(), 0) };
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().skip(usize::from(cut)).collect();
    let skip = lines.len().saturating_sub(count);
    (lines.into_iter().skip(skip).map(str::to_owned).collect(), end)
}
