//! As much JSON as a process needs. Texts stay escaped as they came, so that they can be copied into other JSON as they are.
//! Whatever comes in, reading ends: the reader only moves forward.

/// A text between its quotes, still escaped.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Text<'a>(pub &'a [u8]);

impl<'a> Text<'a> {
    /// This one, or `other` if this one is empty.
    pub fn or(self, other: Text<'a>) -> Text<'a> {
        if self.0.is_empty() { other } else { self }
    }

    /// The whole number it says.
    pub fn number(self) -> Option<u64> {
        core::str::from_utf8(self.0).ok()?.parse().ok()
    }
}

/// Reads one JSON text from its beginning.
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(json: &'a [u8]) -> Self {
        Self { rest: json }
    }

    /// The next character that is no space; 0 at the end.
    fn peek(&mut self) -> u8 {
        while let [b' ' | b'\n' | b'\r' | b'\t', rest @ ..] = self.rest {
            self.rest = rest;
        }
        self.rest.first().copied().unwrap_or(0)
    }

    fn accept(&mut self, wanted: u8) -> bool {
        let there = self.peek() == wanted && !self.rest.is_empty();
        if there {
            self.step(1);
        }
        there
    }

    fn step(&mut self, by: usize) {
        self.rest = self.rest.get(by..).unwrap_or(&[]);
    }

    /// A text; empty if something else is there, which is then skipped.
    pub fn text(&mut self) -> Text<'a> {
        if self.peek() != b'"' {
            self.skip();
            return Text::default();
        }
        self.step(1);
        let from = self.rest;
        let mut length = 0;
        loop {
            match from.get(length) {
                None => break,
                Some(b'"') => break,
                Some(b'\\') => length += 2,
                Some(_) => length += 1,
            }
        }
        self.rest = from.get(length + 1..).unwrap_or(&[]);
        Text(from.get(..length).unwrap_or(from))
    }

    /// Past one value of any kind: brackets are counted, texts stepped over.
    pub fn skip(&mut self) {
        let mut depth = 0_u32;
        loop {
            match self.peek() {
                0 => return,
                b'"' => {
                    self.text();
                }
                b'{' | b'[' => {
                    depth += 1;
                    self.step(1);
                }
                b'}' | b']' if depth == 0 => return,
                b'}' | b']' => {
                    depth -= 1;
                    self.step(1);
                }
                b',' | b':' if depth > 0 => {
                    self.step(1);
                    continue;
                }
                b',' | b':' => return,
                _ => {
                    while !matches!(self.rest.first(), None | Some(b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t')) {
                        self.step(1);
                    }
                }
            }
            if depth == 0 {
                return;
            }
        }
    }

    /// Calls `member` with each name of an object; it reads the value. Anything else is skipped.
    pub fn object(&mut self, mut member: impl FnMut(&'a [u8], &mut Self)) {
        if !self.accept(b'{') {
            return self.skip();
        }
        while !self.rest.is_empty() && !self.accept(b'}') {
            let before = self.rest.len();
            let name = self.text();
            self.accept(b':');
            member(name.0, self);
            self.accept(b',');
            self.move_on(before);
        }
    }

    /// Calls `item` for each item of a list; it reads it. Anything else is skipped.
    pub fn list(&mut self, mut item: impl FnMut(&mut Self)) {
        if !self.accept(b'[') {
            return self.skip();
        }
        while !self.rest.is_empty() && !self.accept(b']') {
            let before = self.rest.len();
            item(self);
            self.accept(b',');
            self.move_on(before);
        }
    }

    /// Steps over a character that nothing could read, so that bad JSON comes to an end too.
    fn move_on(&mut self, before: usize) {
        if self.rest.len() == before {
            self.step(1);
        }
    }
}

/// Writes into room of a fixed size; what does not fit is left out.
pub struct Writer<'a> {
    room: &'a mut [u8],
    written: usize,
}

impl<'a> Writer<'a> {
    pub fn new(room: &'a mut [u8]) -> Self {
        Self { room, written: 0 }
    }

    /// Bytes so far.
    pub fn written(&self) -> usize {
        self.written
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if let Some(place) = self.room.get_mut(self.written) {
                *place = *byte;
                self.written += 1;
            }
        }
    }

    /// JSON as it is.
    pub fn put(&mut self, json: &str) {
        self.bytes(json.as_bytes());
    }

    /// The inside of a text.
    pub fn text(&mut self, text: Text<'_>) {
        self.bytes(text.0);
    }

    pub fn number(&mut self, number: u64) {
        self.padded(number, 1);
    }

    /// A number with at least `width` digits (at most 32).
    pub fn padded(&mut self, mut number: u64, width: usize) {
        let mut digits = [b'0'; 32];
        let mut used = 0;
        for place in digits.iter_mut().rev() {
            if number == 0 && used >= width {
                break;
            }
            *place = b'0' + (number % 10) as u8;
            number /= 10;
            used += 1;
        }
        self.bytes(digits.get(digits.len() - used..).unwrap_or(&[]));
    }
}
