//! [`Sample`]: a view of one sample's line in a page's canonical text.
//!
//! A page keeps no table of its samples: a line is divided into its tokens on demand. Any line can be divided; a line
//! that is not canonical gives meaningless tokens, never a panic.

use super::exemplar::{self, Exemplar};
use super::label::{self, Labels};
use super::number;

/// One sample of a page.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    /// The line without its line feed.
    line: &'a str,
    family_len: usize,
    name_end: usize,
    labels_end: usize,
    value_end: usize,
}

/// The samples of some lines, in order.
#[derive(Clone, Debug)]
pub struct Samples<'a> {
    lines: &'a str,
    family_len: usize,
}

impl<'a> Samples<'a> {
    /// The samples of these lines, of a family whose name has this length.
    pub(crate) const fn of(lines: &'a str, family_len: usize) -> Self {
        Self { lines, family_len }
    }

    /// Bytes of the lines that are still unread.
    pub(crate) const fn bytes_left(&self) -> usize {
        self.lines.len()
    }
}

impl<'a> Iterator for Samples<'a> {
    type Item = Sample<'a>;

    /// Not inlined: every format has loops over samples, and the module has a size budget.
    #[inline(never)]
    fn next(&mut self) -> Option<Sample<'a>> {
        if self.lines.is_empty() {
            return None;
        }
        let (line, rest) = self.lines.split_once('\n').unwrap_or((self.lines, ""));
        self.lines = rest;
        Some(Sample::of(line, self.family_len))
    }
}

impl<'a> Sample<'a> {
    fn of(line: &'a str, family_len: usize) -> Self {
        let bytes = line.as_bytes();
        let after = |at: usize| bytes.get(at..).unwrap_or_default();
        let find = |from: usize, stops: [u8; 2]| {
            let found = after(from).iter().position(|byte| stops.contains(byte));
            found.map_or(bytes.len(), |found| from + found)
        };
        let name_end = find(family_len.min(bytes.len()), *b"{ ");
        let labels_end = name_end + label::block_len(after(name_end));
        let value_end = find((labels_end + 1).min(bytes.len()), *b"  ");
        Self { line, family_len, name_end, labels_end, value_end }
    }

    /// The full name, including the suffix.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.piece(0, self.name_end)
    }

    /// The part of the name after the family's name: empty, `_bucket`, `_sum` or `_count`.
    #[must_use]
    pub fn suffix(&self) -> &'a str {
        self.piece(self.family_len, self.name_end)
    }

    /// The labels in text format, including the braces; empty without labels.
    #[must_use]
    pub fn label_block(&self) -> &'a str {
        self.piece(self.name_end, self.labels_end)
    }

    /// The labels: names, and values still escaped.
    #[must_use]
    pub fn labels(&self) -> Labels<'a> {
        Labels::of(self.label_block())
    }

    /// The value.
    #[must_use]
    pub fn value(&self) -> f64 {
        number::read(self.token()).map_or(f64::NAN, |number| number.value)
    }

    /// The value in the source's spelling, or `NaN`, `+Inf`, `-Inf`.
    #[must_use]
    pub fn token(&self) -> &'a str {
        self.piece(self.labels_end + 1, self.value_end)
    }

    /// The timestamp in milliseconds since the epoch, in its spelling on the page.
    #[must_use]
    pub fn timestamp(&self) -> Option<&'a str> {
        exemplar::split(self.rest(self.value_end)).0.strip_prefix(' ')
    }

    /// The exemplar.
    #[must_use]
    pub fn exemplar(&self) -> Option<Exemplar<'a>> {
        exemplar::split(self.rest(self.value_end)).1.map(Exemplar::of)
    }

    /// The part of the line after the labels: a blank, the value, the timestamp if any.
    #[must_use]
    pub fn tail(&self) -> &'a str {
        exemplar::split(self.rest(self.labels_end)).0
    }

    /// The whole line, including the exemplar, without the line feed.
    #[must_use]
    pub const fn line(&self) -> &'a str {
        self.line
    }

    /// The line up to the exemplar.
    #[must_use]
    pub fn without_exemplar(&self) -> &'a str {
        let end = self.labels_end + self.tail().len();
        self.piece(0, end)
    }

    fn rest(&self, from: usize) -> &'a str {
        self.line.get(from..).unwrap_or_default()
    }

    /// Not inlined: it has many callers.
    #[inline(never)]
    fn piece(&self, from: usize, to: usize) -> &'a str {
        self.line.get(from..to).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn only(line: &str, family: &str) -> [String; 5] {
        let sample = Samples::of(line, family.len()).next().unwrap();
        [
            sample.suffix(),
            sample.label_block(),
            sample.token(),
            sample.timestamp().unwrap_or("none"),
            sample.exemplar().map_or("none", |exemplar| exemplar.as_str()),
        ]
        .map(str::to_owned)
    }

    #[test]
    fn a_line_is_divided_into_its_tokens() {
        assert_eq!(only("a 1\n", "a"), ["", "", "1", "none", "none"]);
        assert_eq!(only("a_sum 1 7\n", "a"), ["_sum", "", "1", "7", "none"]);
        let block = r#"{b="x\"} 2",c="{ #"}"#;
        let line = format!("a{block} +Inf 7 # {{t=\"1\"}} 0.5\n");
        assert_eq!(only(&line, "a"), ["", block, "+Inf", "7", "{t=\"1\"} 0.5"]);
    }

    proptest! {
        #[test]
        fn no_line_makes_a_reader_panic(lines in "[a{}\",=\\\\ #1\né]{0,60}", length in 0..70_usize) {
            for sample in Samples::of(&lines, length) {
                let tokens = (sample.name(), sample.suffix(), sample.value(), sample.timestamp());
                let _ = (tokens, sample.exemplar(), sample.tail(), sample.without_exemplar());
                let _ = sample.labels().count();
            }
        }
    }
}
