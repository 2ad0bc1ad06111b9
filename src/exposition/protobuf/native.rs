//! Native histograms, which no other format has. A message `Histogram` contains them beside the classic buckets.

use super::wire::{close, open, push_float, push_signed, push_whole};
use crate::metrics::builder::Value;
use crate::metrics::{Kind, NativeHistogram, Page, PageBuilder, Sink};

/// The numbers of the fields.
mod field {
    pub(super) const SCHEMA: u8 = 5;
    pub(super) const ZERO_THRESHOLD: u8 = 6;
    pub(super) const ZERO_COUNT: u8 = 7;
    pub(super) const POSITIVE_SPAN: u8 = 12;
    pub(super) const POSITIVE_DELTA: u8 = 13;
    pub(super) const SPAN_OFFSET: u8 = 1;
    pub(super) const SPAN_LENGTH: u8 = 2;
}

/// Families that may be native histograms: each of those is also on the page as a classic histogram of a single bucket.
#[derive(Debug, Default)]
pub struct NativeBuilder {
    page: PageBuilder,
    natives: Vec<(&'static str, NativeHistogram)>,
}

impl NativeBuilder {
    /// The page, and the native histograms by the names of their families.
    #[must_use]
    pub fn finish(self) -> (Page, Vec<(&'static str, NativeHistogram)>) {
        (self.page.build_conforming(), self.natives)
    }
}

impl Sink for NativeBuilder {
    fn family(&mut self, name: &str, kind: Kind, help: &str) {
        self.page.family(name, kind, help);
    }

    fn sample(&mut self, suffix: &str, labels: &[(&str, &str)], value: Value) {
        self.page.sample(suffix, labels, value);
    }

    fn native(
        &mut self,
        name: &'static str,
        help: &str,
        histogram: &dyn Fn() -> Option<NativeHistogram>,
    ) {
        let Some(histogram) = histogram() else { return };
        let count = histogram.count();
        self.family(name, Kind::Histogram, help);
        self.sample("_bucket", &[("le", "+Inf")], count.into());
        self.sample("_sum", &[], histogram.sum.into());
        self.sample("_count", &[], count.into());
        self.natives.push((name, histogram));
    }
}

/// Writes the fields of a native histogram, in addition to the classic fields for its count and sum.
pub(super) fn push(native: &NativeHistogram, out: &mut Vec<u8>) {
    push_signed(field::SCHEMA, native.schema.into(), out);
    push_float(field::ZERO_THRESHOLD, native.zero_threshold, out);
    push_whole(field::ZERO_COUNT, native.zero_count, out);
    let mut next = 0;
    for span in native.buckets.chunk_by(|(one, _), (other, _)| one + 1 == *other) {
        let first = span.first().map_or(next, |(index, _)| *index);
        let message = open(field::POSITIVE_SPAN, out);
        push_signed(field::SPAN_OFFSET, (first - next).into(), out);
        push_whole(field::SPAN_LENGTH, span.len() as u64, out);
        close(message, out);
        next = span.last().map_or(next, |(index, _)| index + 1);
    }
    let mut before = 0;
    for (_, count) in &native.buckets {
        push_signed(field::POSITIVE_DELTA, count.cast_signed() - before, out);
        before = count.cast_signed();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::{Extras, Format, Renderer, parse};
    use crate::metrics::{Part, Selection, merge};
    use std::rc::Rc;

    #[test]
    fn buckets_are_in_spans_and_their_counts_are_deltas() {
        let mut out = Vec::new();
        let native = NativeHistogram {
            schema: 2,
            zero_threshold: 0.5,
            zero_count: 300,
            buckets: vec![(-3, 4), (-2, 1), (5, 3)],
            sum: 1.0,
        };
        push(&native, &mut out);
        let mut expected = vec![40, 4, 49];
        expected.extend(0.5_f64.to_le_bytes());
        expected.extend([56, 0xac, 2]);
        // Two buckets from -3 on, then one after a gap of six.
        expected.extend([98, 4, 8, 5, 16, 2, 98, 4, 8, 12, 16, 1]);
        expected.extend([104, 8, 104, 5, 104, 4]);
        assert_eq!(out, expected);
    }

    #[test]
    fn an_empty_histogram_is_native_by_its_threshold() {
        let mut draft = NativeBuilder::default();
        let native = NativeHistogram { zero_threshold: 0.5, ..NativeHistogram::default() };
        draft.native("a", "", &|| Some(native.clone()));
        draft.native("b", "", &|| None);
        let (page, natives) = draft.finish();
        assert_eq!(natives, [("a", native)]);
        let expected = "# TYPE a histogram\na_bucket{le=\"+Inf\"} 0\na_sum 0.0\na_count 0\n";
        assert_eq!(page.as_text(), expected);
    }

    #[test]
    fn another_pages_histogram_of_the_same_name_stays_classic() {
        let native = NativeHistogram {
            zero_threshold: 0.5,
            zero_count: 1,
            buckets: vec![(3, 4)],
            ..NativeHistogram::default()
        };
        let mut pushed = Vec::new();
        push(&native, &mut pushed);
        let mut draft = NativeBuilder::default();
        draft.native("a", "", &|| Some(native.clone()));
        let (own, natives) = draft.finish();
        for (count, times) in [(9, 1), (8, 0)] {
            let other = format!(
                "# TYPE a histogram\na_bucket{{b=\"\",le=\"+Inf\"}} 9\n\
                 a_sum{{b=\"\"}} 9\na_count{{b=\"\"}} {count}\n"
            );
            let other = parse::text(other.into_bytes()).unwrap();
            let part = |page| Part { page, labels: &[], gateway_families: true };
            let merged = Rc::new(merge(&[part(Rc::new(own.clone())), part(Rc::new(other))]));
            let extras = Extras { natives: natives.clone(), created: None };
            let everything = Selection::default();
            let out = Renderer::new(merged, &everything, Format::Protobuf, extras).finish();
            let found = out.windows(pushed.len()).filter(|bytes| *bytes == pushed).count();
            assert_eq!(found, times, "one of them is broken: {}", times == 0);
        }
    }
}
