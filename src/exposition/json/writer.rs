//! Writes JSON, token by token, in the layout of Python's `json.dumps`.

/// Writes JSON.
#[derive(Debug)]
pub(super) struct JsonWriter {
    pub(super) out: Vec<u8>,
    /// Blanks per level; 0 for a single line.
    indent: usize,
    depth: usize,
    /// True while the current object or array is empty.
    is_empty: bool,
}

/// A state to return to.
#[derive(Debug)]
pub(super) struct Mark {
    len: usize,
    is_empty: bool,
}

impl JsonWriter {
    pub(super) const fn new(indent: usize) -> Self {
        Self { out: Vec::new(), indent, depth: 0, is_empty: true }
    }

    /// Begins an object or an array with this bracket.
    pub(super) fn open(&mut self, bracket: u8) {
        self.out.push(bracket);
        self.depth += 1;
        self.is_empty = true;
    }

    pub(super) fn close(&mut self, bracket: u8) {
        self.depth -= 1;
        if !self.is_empty {
            self.new_line();
        }
        self.out.push(bracket);
        self.is_empty = false;
    }

    /// Begins an element of an array.
    pub(super) fn element(&mut self) {
        if !self.is_empty {
            self.out.push(b',');
        }
        self.is_empty = false;
        self.new_line();
    }

    /// Begins a member of an object. The key must need no escapes.
    pub(super) fn key(&mut self, key: &str) {
        self.element();
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(if self.indent == 0 { b"\":" } else { b"\": " });
    }

    pub(super) fn number(&mut self, number: &str) {
        self.out.extend_from_slice(number.as_bytes());
    }

    /// Writes a string that is escaped as in the text format. Its escapes are also JSON's; the other characters that
    /// JSON escapes are escaped here. U+2028 and U+2029 are escaped as well, as in Django REST framework, for readers
    /// that treat JSON as JavaScript.
    pub(super) fn string(&mut self, escaped: &str) {
        self.out.push(b'"');
        let mut rest = escaped.as_bytes();
        while let Some(at) = rest.iter().position(|&byte| needs_a_look(byte)) {
            let (plain, special) = rest.split_at(at);
            self.out.extend_from_slice(plain);
            let width = self.special(special);
            rest = special.get(width..).unwrap_or_default();
        }
        self.out.extend_from_slice(rest);
        self.out.push(b'"');
    }

    /// Writes the first character, which is not a plain byte, and returns its length in bytes.
    fn special(&mut self, bytes: &[u8]) -> usize {
        let (width, escape) = match bytes {
            [b'\\', b'n', ..] => (2, r"\n"),
            [b'\\', b'\\', ..] => (2, r"\\"),
            [b'\\', b'"', ..] => (2, r#"\""#),
            [b'"', ..] => (1, r#"\""#),
            [b'\t', ..] => (1, r"\t"),
            [b'\r', ..] => (1, r"\r"),
            [0x08, ..] => (1, r"\b"),
            [0x0c, ..] => (1, r"\f"),
            [0xe2, 0x80, 0xa8, ..] => (3, r"\u2028"),
            [0xe2, 0x80, 0xa9, ..] => (3, r"\u2029"),
            [byte @ 0x80..=0xff, ..] => {
                self.out.push(*byte);
                return 1;
            }
            [byte, ..] => {
                let digits = [byte >> 4, byte & 0xf].map(hex_digit);
                self.out.extend_from_slice(br"\u00");
                self.out.extend_from_slice(&digits);
                return 1;
            }
            [] => return 0,
        };
        self.out.extend_from_slice(escape.as_bytes());
        width
    }

    pub(super) const fn mark(&self) -> Mark {
        Mark { len: self.out.len(), is_empty: self.is_empty }
    }

    /// Discards everything that was written since the mark, at the same level.
    pub(super) fn rewind(&mut self, mark: Mark) {
        self.out.truncate(mark.len);
        self.is_empty = mark.is_empty;
    }

    fn new_line(&mut self) {
        if self.indent > 0 {
            self.out.push(b'\n');
            self.out.resize(self.out.len() + self.indent * self.depth, b' ');
        }
    }
}

const fn needs_a_look(byte: u8) -> bool {
    byte < 0x20 || matches!(byte, b'"' | b'\\' | 0xe2)
}

const fn hex_digit(digit: u8) -> u8 {
    if digit < 10 { b'0' + digit } else { b'a' + digit - 10 }
}
