//! An upper bound on the size of a page in every format, found in one pass over its text.
//!
//! Other formats repeat parts of a page. JSON escapes a control character with six bytes, and adds words of its own to
//! every sample; OpenMetrics and protobuf write a header for each part of an illegal histogram. A page that is small as
//! text may therefore be large in another format, and is refused before it is rendered.
//!
//! ```text
//! each format <= text + text / 16                                   ; lengths in protobuf
//!              + 4 * labels + 96 * samples                          ; words of JSON, tags of protobuf
//!              + 5 * control characters + 3 * line separators       ; escapes of JSON
//!              + parts * (3 * name + 2 * help + 96) of each family  ; headers; help escaped, 4 parts of a histogram
//! ```

use super::{Family, Kind, Page};

/// Bytes of a label, a sample and a family's header in addition to those of its text.
const LABEL: usize = 4;
const SAMPLE: usize = 96;
const HEADER: usize = 96;

/// Bytes of a label that is added to a sample, in addition to its name and its value.
const ADDED: usize = 18;

/// Blanks and line feeds of indented JSON before a label, a sample's other members, and a family's.
const INDENTED_LINE: usize = 1 + 8 * 5;
const SAMPLE_LINES: usize = 6;
const FAMILY_LINES: usize = 6;

/// The counts that a page's size in other formats depends on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Extent {
    pub(super) labels: usize,
    pub(super) rendered: usize,
}

impl Extent {
    pub(super) fn of(page: &Page) -> Self {
        let Found { labels, controls, separators } = Found::in_text(page.text.as_bytes());
        let text = page.text.len();
        let headers: usize = page.families().map(|family| headers(&family)).sum();
        let samples = LABEL * labels + SAMPLE * page.report.samples;
        let rendered = text + text / 16 + samples + 5 * controls + 3 * separators + headers;
        Self { labels, rendered }
    }
}

impl Page {
    /// Determines the upper bound on the page's size.
    pub(crate) fn measure(&mut self) {
        self.extent = Extent::of(self);
    }

    /// An upper bound on the bytes of the page in any format, JSON not indented; 0 for a page that was built.
    #[must_use]
    pub const fn rendered_at_most(&self) -> usize {
        self.extent.rendered
    }

    /// The same bound if each sample gets these labels.
    pub(super) fn rendered_with(&self, labels: &[(String, String)]) -> usize {
        // JSON escapes a control character with six bytes.
        let label = |(name, value): &(String, String)| name.len() + 6 * value.len() + ADDED;
        let added: usize = labels.iter().map(label).sum();
        self.extent.rendered.saturating_add(added.saturating_mul(self.report.samples))
    }

    /// An upper bound on the bytes that indenting adds to its JSON.
    pub(crate) fn indented_by_at_most(&self) -> usize {
        let lines = self.extent.labels + self.report.samples * SAMPLE_LINES;
        INDENTED_LINE * (lines + FAMILY_LINES * self.families.len())
    }
}

fn headers(family: &Family<'_>) -> usize {
    let parts = if matches!(family.kind(), Kind::Histogram | Kind::Summary) { 4 } else { 1 };
    parts * (3 * family.name().len() + 2 * family.help().len() + HEADER)
}

/// Counts of the things in a text that take more bytes in another format.
#[derive(Default)]
struct Found {
    /// Positions of a quote after an equals sign: labels, and possibly parts of help texts.
    labels: usize,
    controls: usize,
    separators: usize,
}

impl Found {
    /// Reads eight bytes at a time, since most words contain nothing to count.
    fn in_text(text: &[u8]) -> Self {
        let mut found = Self::default();
        let (words, _) = text.as_chunks::<8>();
        for (at, word) in words.iter().enumerate() {
            if may_have_some(u64::from_le_bytes(*word)) {
                found.look(text, at * 8..at * 8 + 8);
            }
        }
        found.look(text, words.len() * 8..text.len());
        found
    }

    fn look(&mut self, text: &[u8], places: std::ops::Range<usize>) {
        for at in places {
            match text.get(at..).unwrap_or_default() {
                [b'=', b'"', ..] => self.labels += 1,
                [b'\n', ..] => {}
                [0..0x20, ..] => self.controls += 1,
                [0xe2, 0x80, 0xa8 | 0xa9, ..] => self.separators += 1,
                _ => {}
            }
        }
    }
}

/// Returns true if a byte of a word is below 0x20, or an equals sign, or 0xe2.
const fn may_have_some(word: u64) -> bool {
    let below = word.wrapping_sub(repeat(0x20)) & !word & repeat(0x80);
    below | zero_byte(word ^ repeat(b'=')) | zero_byte(word ^ repeat(0xe2)) != 0
}

const fn repeat(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

const fn zero_byte(word: u64) -> u64 {
    word.wrapping_sub(repeat(1)) & !word & repeat(0x80)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::{Format, parse, render};
    use crate::metrics::{Part, Selection, merge};
    use proptest::prelude::*;
    use std::rc::Rc;

    /// The size of a page in a format.
    fn size(page: &Page, format: Format) -> usize {
        let page = Rc::new(page.clone());
        let merged = merge(&[Part { page, labels: &[], gateway_families: true }]);
        render(merged, &Selection::default(), format).len()
    }

    fn read(text: String) -> Page {
        parse::text(text.into_bytes()).unwrap()
    }

    #[test]
    fn each_thing_that_takes_more_bytes_in_another_format_is_found_at_any_position() {
        for at in 0..20 {
            let text = format!("{}=\"\u{1}\u{2028}=x\u{e9}\"=\"\n", "x".repeat(at));
            let Found { labels, controls, separators } = Found::in_text(text.as_bytes());
            assert_eq!((labels, controls, separators), (2, 1, 1), "{at}");
        }
    }

    proptest! {
        #[test]
        fn no_format_exceeds_the_upper_bound(
            kind in prop_oneof![Just("counter"), Just("histogram"), Just("summary"), Just("gauge")],
            help in "[\"a\\\\\u{1}\u{2028}]{0,40}",
            values in proptest::collection::vec("[a\u{1}\u{2028}\u{e9}\t]{0,300}", 0..6),
            samples in proptest::collection::vec(any::<f64>(), 0..5),
            added in "[a\u{1}\\\\]{0,20}",
        ) {
            let mut page = format!("# HELP n {help}\n# TYPE n {kind}\n");
            for (at, value) in samples.iter().enumerate() {
                let labels = values.iter().enumerate().map(|(n, it)| format!("l{n}=\"{it}\","));
                let labels: String = labels.collect();
                for (suffix, point) in [("", ""), ("_bucket", "le=\"1\""), ("_sum", "")] {
                    page += &format!("n{suffix}{{at=\"{at}\",{labels}{point}}} {value} 1\n");
                }
            }
            let page = read(page);
            let added = [("added".to_owned(), added)];
            let most = page.rendered_with(&added);
            let with_labels = page.clone().with_labels(&added).unwrap();
            let line = Format::Json { indent: None };
            for format in [Format::Text, Format::OpenMetrics, line, Format::Protobuf] {
                let size_of = |page| size(page, format);
                prop_assert!(size_of(&page) <= page.rendered_at_most(), "{}", page.as_text());
                prop_assert!(size_of(&with_labels) <= with_labels.rendered_at_most());
                prop_assert!(size_of(&with_labels) <= most, "{}", page.as_text());
            }
            let indented = size(&with_labels, Format::Json { indent: Some(8) });
            let most = with_labels.rendered_at_most() + with_labels.indented_by_at_most();
            prop_assert!(indented <= most, "{indented} of {most}");
        }
    }
}
