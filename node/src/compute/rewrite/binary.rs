//! A wasm binary as the list of its sections, and the few encodings that rewriting one needs. Pure bytes.

use std::borrow::Cow;

use crate::compute::module::LoadError;

pub(super) const TYPES: u8 = 1;
pub(super) const IMPORTS: u8 = 2;
pub(super) const MEMORIES: u8 = 5;
pub(super) const GLOBALS: u8 = 6;
pub(super) const EXPORTS: u8 = 7;
pub(super) const CODE: u8 = 10;
pub(super) const DATA: u8 = 11;
pub(super) const TAGS: u8 = 13;

/// Bytes of the header: magic and version.
const HEADER: usize = 8;

/// The sections of a binary, in order.
pub(super) struct Binary<'a> {
    header: &'a [u8],
    sections: Vec<(u8, Cow<'a, [u8]>)>,
}

impl<'a> Binary<'a> {
    pub(super) fn parse(wasm: &'a [u8]) -> Result<Self, LoadError> {
        let (header, mut rest) = wasm.split_at_checked(HEADER).ok_or_else(truncated)?;
        let mut sections = Vec::new();
        while let Some((&id, after_id)) = rest.split_first() {
            let (size, body) = read_leb(after_id).ok_or_else(truncated)?;
            let (content, next) = body.split_at_checked(size as usize).ok_or_else(truncated)?;
            sections.push((id, Cow::Borrowed(content)));
            rest = next;
        }
        Ok(Self { header, sections })
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let size: usize = self.sections.iter().map(|(_, content)| content.len() + 6).sum();
        let mut out = Vec::with_capacity(HEADER + size);
        out.extend_from_slice(self.header);
        for (id, content) in &self.sections {
            out.push(*id);
            write_leb(&mut out, content.len() as u32);
            out.extend_from_slice(content);
        }
        out
    }

    /// Replaces the section's content; nothing happens when there is none.
    pub(super) fn replace(&mut self, id: u8, content: Vec<u8>) {
        if let Some((_, old)) = self.sections.iter_mut().find(|(found, _)| *found == id) {
            *old = Cow::Owned(content);
        }
    }

    /// The content of the first section of that number.
    pub(super) fn section(&self, id: u8) -> Option<&[u8]> {
        self.sections.iter().find(|(found, _)| *found == id).map(|(_, content)| &**content)
    }

    pub(super) fn has(&self, id: u8) -> bool {
        self.sections.iter().any(|(found, _)| *found == id)
    }

    /// Removes the section.
    pub(super) fn remove(&mut self, id: u8) {
        self.sections.retain(|(found, _)| *found != id);
    }

    /// Appends `entries` to a section that is a counted list; it is made after section `after` if there is none.
    pub(super) fn append(&mut self, id: u8, after: u8, entries: &[Vec<u8>]) -> Result<(), LoadError> {
        if entries.is_empty() {
            return Ok(());
        }
        let place = match self.sections.iter().position(|(found, _)| *found == id) {
            Some(place) => place,
            None => {
                // Behind the last of the sections that come before it.
                let before = |found: u8| found != 0 && found <= after;
                let place = self.sections.iter().rposition(|(found, _)| before(*found)).map_or(0, |at| at + 1);
                self.sections.insert(place, (id, Cow::Borrowed(&[0])));
                place
            }
        };
        let (_, old) = self.sections.get_mut(place).ok_or_else(truncated)?;
        let (count, rest) = read_leb(old).ok_or_else(truncated)?;
        let added: usize = entries.iter().map(Vec::len).sum();
        let mut content = Vec::with_capacity(old.len() + added + 5);
        write_leb(&mut content, count.saturating_add(entries.len() as u32));
        content.extend_from_slice(rest);
        entries.iter().for_each(|entry| content.extend_from_slice(entry));
        *old = Cow::Owned(content);
        Ok(())
    }
}

fn truncated() -> LoadError {
    LoadError::NotWasm("a section ends early".to_owned())
}

/// Reads an unsigned LEB128 number of at most 32 bits; what follows it comes with it.
pub(super) fn read_leb(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let mut value = 0_u64;
    let mut rest = bytes;
    for shift in [0, 7, 14, 21, 28] {
        let (&byte, next) = rest.split_first()?;
        rest = next;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((u32::try_from(value).ok()?, rest));
        }
    }
    None
}

/// Writes an unsigned LEB128 number.
pub(super) fn write_leb(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Writes a signed LEB128 number that is not negative.
pub(super) fn write_signed(out: &mut Vec<u8>, mut value: u32) {
    // The sign bit of the last byte has to be clear.
    while value >= 0x40 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A name or other run of bytes with its length in front.
pub(super) fn write_name(out: &mut Vec<u8>, name: &str) {
    write_leb(out, name.len() as u32);
    out.extend_from_slice(name.as_bytes());
}

/// An entry of the export section.
pub(super) fn export(name: &str, kind: u8, index: u32) -> Vec<u8> {
    let mut entry = Vec::with_capacity(name.len() + 8);
    write_name(&mut entry, name);
    entry.push(kind);
    write_leb(&mut entry, index);
    entry
}
