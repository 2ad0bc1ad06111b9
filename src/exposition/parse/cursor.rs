//! A position in a page, and the tokens that may begin there. All of them are found in one pass, and none crosses a
//! line.

use crate::metrics::label;

/// A position in a page.
pub(super) struct Cursor<'a> {
    pub(super) page: &'a str,
    pub(super) at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) const fn at_start(page: &'a str) -> Self {
        Self { page, at: 0 }
    }

    /// The unread part of the page.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.page.as_bytes().get(self.at..).unwrap_or_default()
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.page.as_bytes().get(self.at).copied()
    }

    pub(super) const fn is_at_end(&self) -> bool {
        self.at >= self.page.len()
    }

    pub(super) fn is_at_line_end(&self) -> bool {
        matches!(self.peek(), None | Some(b'\n'))
    }

    /// Moves past this byte, if it is next.
    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    /// Moves past `len(rest)` bytes of the unread part, and returns them.
    pub(super) fn take(&mut self, len: impl FnOnce(&[u8]) -> usize) -> &'a str {
        let start = self.at;
        self.at += len(self.rest());
        self.page.get(start..self.at).unwrap_or_default()
    }

    /// Moves past blanks and tabs.
    pub(super) fn blanks(&mut self) -> &'a str {
        self.take(|rest| rest.iter().take_while(|&&byte| is_blank(byte)).count())
    }

    /// Moves past all bytes up to the next blank or line feed.
    pub(super) fn word(&mut self) -> &'a str {
        let ends = |&byte: &u8| is_blank(byte) || byte == b'\n';
        self.take(|rest| rest.iter().position(ends).unwrap_or(rest.len()))
    }

    /// Moves past an escaped value and its closing quote. Returns `None` if this line has no such quote. Any character
    /// may be escaped, see [`super::escape`].
    pub(super) fn quoted(&mut self) -> Option<&'a str> {
        let start = self.at;
        loop {
            self.at += label::plain_len(self.rest());
            match self.rest() {
                [b'"', ..] => break,
                [b'\\', escaped, ..] if *escaped != b'\n' => self.at += 2,
                _ => return None,
            }
        }
        self.at += 1;
        self.page.get(start..self.at - 1)
    }

    /// Moves to the end of the line. Returns the text before it without surrounding blanks, and its position.
    pub(super) fn rest_of_line(&mut self) -> (&'a str, (u32, u32)) {
        self.blanks();
        let start = self.at;
        self.skip_to_line_end();
        let line = self.page.get(start..self.at).unwrap_or_default();
        let words = line.trim_end_matches([' ', '\t']);
        (words, (super::place(start), super::place(start + words.len())))
    }

    pub(super) fn skip_to_line_end(&mut self) {
        let rest = self.rest();
        self.at += rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
    }
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}
