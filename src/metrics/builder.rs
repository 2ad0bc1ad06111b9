//! Builds a [`Page`] from the gateway's own numbers.

use super::draft::{Draft, DraftFamily, DraftSample, SampleSpan, count, offset, piece};
use super::number::Repr;
use super::{Kind, Page, label, name};
use std::borrow::Cow;
use std::fmt::Write;

/// A number to put on a page. Integers are written as such.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// A whole number.
    Whole(u64),
    /// Any number.
    Float(f64),
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Whole(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

/// A page under construction: families one after another, each followed by its samples.
///
/// The cost is about that of writing the text. Samples may be added in any order; so may labels.
///
/// An invalid name or a repeated label is illegal on a page. A family or sample that has one is left out, and the
/// page's report counts it as an unreadable line.
#[derive(Debug, Default)]
pub struct PageBuilder {
    draft: Draft,
    ink: String,
    family: Option<(u32, String)>,
}

impl PageBuilder {
    /// An empty page.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins a family, or continues an existing one with this name, which keeps its first help and type.
    pub fn family(&mut self, name: &str, kind: Kind, help: &str) -> &mut Self {
        self.family = None;
        if !name::is_metric_name(name) {
            self.draft.report.unreadable_lines += 1;
            return self;
        }
        let is_same = |family: &DraftFamily| piece(&self.ink, family.name) == name;
        let known = (0_u32..).zip(&self.draft.families).find(|(_, family)| is_same(family));
        let id = known.map_or(count(&self.draft.families), |(id, _)| id);
        if id == count(&self.draft.families) {
            let span = span_of(&mut self.ink, |ink| ink.push_str(name));
            let help = help.trim_matches([' ', '\t']);
            let write_help = |ink: &mut String| label::push_escaped_help(help, ink);
            let help = (!help.is_empty()).then(|| span_of(&mut self.ink, write_help));
            self.draft.families.push(DraftFamily { name: span, help, kind: Some(kind) });
        }
        self.family = Some((id, name.to_owned()));
        self
    }

    /// Adds a sample to the current family: `suffix` is empty, `_bucket`, `_sum` or `_count`.
    pub fn sample(
        &mut self,
        suffix: &str,
        labels: &[(&str, &str)],
        value: impl Into<Value>,
    ) -> &mut Self {
        match self.write_sample(suffix, labels, value.into()) {
            Some(sample) => self.draft.samples.push(sample),
            None => self.draft.report.unreadable_lines += 1,
        }
        self
    }

    /// Completes the page.
    #[must_use]
    pub fn build(self) -> Page {
        let mut page = self.build_conforming();
        page.check_conformance();
        page
    }

    /// Completes the page. The caller guarantees that samples follow the rules of their types; this function does not
    /// check them.
    #[must_use]
    pub(crate) fn build_conforming(self) -> Page {
        self.draft.arrange(&self.ink, usize::MAX).unwrap_or_default()
    }

    fn write_sample(
        &mut self,
        suffix: &str,
        labels: &[(&str, &str)],
        value: Value,
    ) -> Option<DraftSample> {
        let (family, name) = self.family.as_ref()?;
        if !matches!(suffix, "" | "_bucket" | "_sum" | "_count") {
            return None;
        }
        let labels = sorted(labels)?;
        let ink = &mut self.ink;
        let start = offset(ink);
        [name, suffix].iter().for_each(|part| ink.push_str(part));
        let name_end = offset(ink);
        write_labels(&labels, ink);
        let labels_end = offset(ink);
        ink.push(' ');
        value.write(ink);
        let value_end = offset(ink);
        let span = SampleSpan { start, name_end, labels_end, value_end };
        Some(DraftSample { span, end: value_end, family: *family })
    }
}

impl Value {
    fn write(self, ink: &mut String) {
        match self {
            // Writing to a string does not fail.
            Self::Whole(value) => drop(write!(ink, "{value}")),
            Self::Float(value) => ink.push_str(Repr::of(value).as_str()),
        }
    }
}

/// The labels, sorted by name. Returns `None` if a name is invalid or repeated.
fn sorted<'a, 'b>(labels: &'a [(&'b str, &'b str)]) -> Option<Cow<'a, [(&'b str, &'b str)]>> {
    if !labels.iter().all(|(name, _)| name::is_label_name(name)) {
        return None;
    }
    if labels.is_sorted_by(|a, b| a.0 < b.0) {
        return Some(Cow::Borrowed(labels));
    }
    let mut labels = labels.to_vec();
    label::put_in_order(&mut labels).then_some(Cow::Owned(labels))
}

fn write_labels(labels: &[(&str, &str)], ink: &mut String) {
    for (at, (name, value)) in labels.iter().enumerate() {
        ink.push(if at == 0 { '{' } else { ',' });
        [name, "=\""].iter().for_each(|part| ink.push_str(part));
        label::push_escaped(value, ink);
        ink.push('"');
    }
    if !labels.is_empty() {
        ink.push('}');
    }
}

fn span_of(ink: &mut String, write: impl FnOnce(&mut String)) -> (u32, u32) {
    let start = offset(ink);
    write(ink);
    (start, offset(ink))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Reason;

    #[test]
    fn a_built_page_has_the_text_of_a_parsed_one() {
        let mut page = PageBuilder::new();
        page.family("up", Kind::Gauge, "Whether \"it\"\nis \\up.")
            .sample("", &[("source", "a\"b\\c\nd")], 1_u64)
            .sample("", &[], 0.5);
        page.family("total", Kind::Counter, "").sample("", &[("b", "é"), ("a", "")], u64::MAX);
        assert_eq!(
            page.build().as_text(),
            concat!(
                "# HELP up Whether \"it\"\\nis \\\\up.\n# TYPE up gauge\nup 0.5\n",
                "up{source=\"a\\\"b\\\\c\\nd\"} 1\n",
                "# TYPE total counter\ntotal{a=\"\",b=\"é\"} 18446744073709551615\n",
            )
        );
    }

    #[test]
    fn the_buckets_of_a_histogram_are_in_the_order_of_their_bounds() {
        let mut page = PageBuilder::new();
        page.family("h", Kind::Histogram, "");
        for (bound, count) in [("+Inf", 3_u64), ("0.5", 1), ("10", 2)] {
            page.sample("_bucket", &[("le", bound)], count);
        }
        page.sample("_count", &[], 3_u64).sample("_sum", &[], 1e-5);
        let page = page.build();
        let bounds = page.families().flat_map(|family| family.samples());
        let lines: String = bounds.map(|sample| [sample.tail(), "\n"].concat()).collect();
        assert_eq!(lines, " 1\n 2\n 3\n 1e-05\n 3\n");
    }

    #[test]
    fn a_repeated_family_is_continued() {
        let mut page = PageBuilder::new();
        page.family("a", Kind::Gauge, "First.").sample("", &[("x", "1")], 1_u64);
        page.family("b", Kind::Gauge, "").sample("", &[], 2_u64);
        page.family("a", Kind::Counter, "Second.").sample("", &[("x", "2")], 3_u64);
        let expected = "# HELP a First.\n# TYPE a gauge\na{x=\"1\"} 1\na{x=\"2\"} 3\n\
                        # TYPE b gauge\nb 2\n";
        assert_eq!(page.build().as_text(), expected);
    }

    #[test]
    fn illegal_names_and_repeated_labels_are_counted() {
        let mut page = PageBuilder::new();
        page.sample("", &[], 1_u64);
        page.family("a", Kind::Gauge, "")
            .sample("_total", &[], 1_u64)
            .sample("", &[("x", "1"), ("x", "2")], 1_u64)
            .sample("", &[("b-c", "1")], 1_u64)
            .sample("", &[("x", "1")], 1_u64)
            .sample("", &[("x", "1")], 2_u64);
        page.family("a b", Kind::Gauge, "").sample("", &[], 1_u64);
        let page = page.build();
        assert_eq!(page.as_text(), "# TYPE a gauge\na{x=\"1\"} 1\n");
        assert_eq!(page.report().unreadable_lines, 6);
        assert_eq!(page.report().dropped.of(Reason::Duplicate), 1);
    }
}
