//! Whether a family's samples are what its type promises. Text says no more than the type, but OpenMetrics and protobuf
//! have rules for each (OpenMetrics 1.0, "Metric Types"), and the controller's pages do not keep all of them.

use crate::metrics::merge::MergedFamily;
use crate::metrics::{Kind, Merged, Sample, number};

/// How far samples keep the rules of their type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Soundness {
    /// Not: they may stand without a type only.
    Broken,
    /// They do, but some histogram or summary has neither sum nor count.
    Partial,
    /// They do.
    Whole,
}

use Soundness::{Broken, Partial, Whole};

/// How far a family does: as far as the worst of its parts.
pub(super) fn soundness(merged: &Merged<'_>, family: &MergedFamily<'_>) -> Soundness {
    let samples = || family.pieces().flat_map(|piece| piece.samples());
    match family.kind() {
        Kind::Gauge | Kind::Untyped => Whole,
        Kind::Counter if samples().all(|sample| sample.value() >= 0.0) => Whole,
        Kind::Counter => Broken,
        Kind::Histogram | Kind::Summary if merged.mixes_groups(family) => Broken,
        kind @ (Kind::Histogram | Kind::Summary) => {
            family.pieces().map(|piece| of_groups(piece.samples(), kind)).min().unwrap_or(Whole)
        }
    }
}

/// The label that tells the points of a histogram or summary from each other.
pub(super) const fn point_label(kind: Kind) -> &'static str {
    match kind {
        Kind::Summary => "quantile",
        _ => "le",
    }
}

/// Whether samples are of one histogram or summary.
pub(super) fn is_same_group(one: Sample<'_>, other: Sample<'_>, kind: Kind) -> bool {
    let is_of_group = |(name, _): &(&str, &str)| *name != point_label(kind);
    one.labels().filter(is_of_group).eq(other.labels().filter(is_of_group))
}

/// The value of a bound or a quantile, as it is spelt and as a number.
pub(super) fn point_of(sample: Sample<'_>, kind: Kind) -> Option<(&str, f64)> {
    let (_, token) = sample.labels().find(|(name, _)| *name == point_label(kind))?;
    Some((token, number::read(token)?.value))
}

fn of_groups<'a>(samples: impl Iterator<Item = Sample<'a>>, kind: Kind) -> Soundness {
    let mut worst = Whole;
    let mut group: Option<Group<'a>> = None;
    for sample in samples {
        let is_next = group.as_ref().is_none_or(|it| !is_same_group(it.first, sample, kind));
        if is_next {
            let before = group.replace(Group::beginning_with(sample));
            worst = worst.min(before.map_or(Whole, |group| group.soundness(kind)));
        }
        if group.as_mut().is_none_or(|group| group.add(sample, kind).is_none()) {
            return Broken;
        }
    }
    worst.min(group.map_or(Whole, |group| group.soundness(kind)))
}

/// One histogram or summary, as far as it was read.
struct Group<'a> {
    first: Sample<'a>,
    bound: f64,
    has_negative_bound: bool,
    /// The count of the bucket with the highest bound.
    cumulative: f64,
    sum: Option<f64>,
    count: Option<f64>,
}

impl<'a> Group<'a> {
    const fn beginning_with(first: Sample<'a>) -> Self {
        Self {
            first,
            bound: f64::NAN,
            has_negative_bound: false,
            cumulative: 0.0,
            sum: None,
            count: None,
        }
    }

    /// None where the sample breaks a rule.
    fn add(&mut self, sample: Sample<'a>, kind: Kind) -> Option<()> {
        let value = sample.value();
        let is_count = value >= 0.0 && value.is_finite() && value.fract() == 0.0;
        let keeps = match sample.suffix() {
            "_sum" => {
                self.sum = Some(value);
                value >= 0.0
            }
            "_count" => {
                self.count = Some(value);
                is_count
            }
            _ if kind == Kind::Summary => {
                let (_, quantile) = point_of(sample, kind)?;
                // NaN is what a summary has that saw nothing of late.
                (0.0..=1.0).contains(&quantile) && (value >= 0.0 || value.is_nan())
            }
            _ => is_count && self.add_bucket(point_of(sample, kind)?, value),
        };
        (keeps && sample.timestamp() == self.first.timestamp()).then_some(())
    }

    fn add_bucket(&mut self, (token, bound): (&str, f64), value: f64) -> bool {
        // Other spellings of it are no bound that a reader has to know.
        let is_legal = !bound.is_nan() && (bound != f64::INFINITY || token == "+Inf");
        let ascends = self.bound.is_nan() || bound > self.bound;
        let is_cumulative = value >= self.cumulative;
        self.has_negative_bound |= bound < 0.0;
        (self.bound, self.cumulative) = (bound, value);
        is_legal && ascends && is_cumulative
    }

    fn soundness(&self, kind: Kind) -> Soundness {
        let is_histogram = kind == Kind::Histogram;
        if is_histogram && self.bound != f64::INFINITY {
            return Broken;
        }
        match (self.sum, self.count) {
            (Some(_), Some(_)) if !is_histogram => Whole,
            (Some(_), Some(count)) if count == self.cumulative && !self.has_negative_bound => Whole,
            (None, None) => Partial,
            _ if is_histogram => Broken,
            _ => Partial,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::parse;
    use crate::metrics::{Part, merge};

    fn of(kind: &str, samples: &str) -> Soundness {
        let page = parse::text(format!("# TYPE a {kind}\n{samples}").into_bytes()).unwrap();
        assert_eq!((page.report().unreadable_lines, page.report().dropped.total()), (0, 0));
        let part = Part { page: &page, labels: &[], gateway_families: true };
        let merged = merge(&[part]);
        merged.families().map(|family| soundness(&merged, family)).min().unwrap()
    }

    #[test]
    fn gauges_have_any_value_and_counters_none_below_zero() {
        assert_eq!(of("gauge", "a NaN\na{b=\"\"} -1\n"), Whole);
        assert_eq!(of("counter", "a 0\na{b=\"\"} +Inf\n"), Whole);
        assert_eq!(of("counter", "a 0\na{b=\"\"} -1\n"), Broken);
        assert_eq!(of("counter", "a NaN\n"), Broken);
    }

    #[test]
    fn a_histogram_is_cumulative_and_ends_with_its_count() {
        let ends = "a_sum 1.5\na_count 3\n";
        for (buckets, expected) in [
            ("a_bucket{le=\"1\"} 2\na_bucket{le=\"+Inf\"} 3\n", Whole),
            ("a_bucket{le=\"+Inf\"} 3\n", Whole),
            ("a_bucket{le=\"1\"} 3\n", Broken),
            ("a_bucket{le=\"1\"} 4\na_bucket{le=\"+Inf\"} 3\n", Broken),
            ("a_bucket{le=\"1\"} 0.5\na_bucket{le=\"+Inf\"} 3\n", Broken),
            ("a_bucket{le=\"+Inf\"} 4\n", Broken),
            ("a_bucket{le=\"inf\"} 3\n", Broken),
            ("a_bucket{le=\"-1\"} 2\na_bucket{le=\"+Inf\"} 3\n", Broken),
            ("a_bucket{le=\"1\"} 2\na_bucket{le=\"1.0\"} 2\na_bucket{le=\"+Inf\"} 3\n", Broken),
            ("a_bucket{le=\"1\"} 2 5\na_bucket{le=\"+Inf\"} 3\n", Broken),
            ("", Broken),
        ] {
            assert_eq!(of("histogram", &[buckets, ends].concat()), expected, "{buckets}");
        }
    }

    #[test]
    fn a_histogram_has_sum_and_count_or_neither() {
        let bucket = "a_bucket{le=\"+Inf\"} 3\n";
        assert_eq!(of("histogram", bucket), Partial);
        assert_eq!(of("histogram", &[bucket, "a_count 3\n"].concat()), Broken);
        assert_eq!(of("histogram", &[bucket, "a_sum 3\n"].concat()), Broken);
        let negative = "a_bucket{le=\"-1\"} 3\na_bucket{le=\"+Inf\"} 3\n";
        assert_eq!(of("histogram", negative), Partial);
    }

    #[test]
    fn the_worst_histogram_of_a_family_counts() {
        let whole = "a_bucket{b=\"1\",le=\"+Inf\"} 3\na_sum{b=\"1\"} 1\na_count{b=\"1\"} 3\n";
        assert_eq!(of("histogram", whole), Whole);
        for (last, expected) in [("+Inf", Partial), ("1", Broken)] {
            let other = format!("{whole}a_bucket{{b=\"2\",le=\"{last}\"}} 3\n");
            assert_eq!(of("histogram", &other), expected);
            let other = format!("{whole}a_bucket{{b=\"0\",le=\"{last}\"}} 3\n");
            assert_eq!(of("histogram", &other), expected);
        }
    }

    #[test]
    fn a_summary_has_quantiles_between_zero_and_one() {
        let ends = "a_sum 1\na_count 2\n";
        assert_eq!(of("summary", ends), Whole);
        assert_eq!(of("summary", &["a{quantile=\"0.5\"} NaN\n", ends].concat()), Whole);
        assert_eq!(of("summary", "a{quantile=\"0.5\"} 1\n"), Partial);
        assert_eq!(of("summary", "a_sum 1\n"), Partial);
        assert_eq!(of("summary", "a{quantile=\"1.5\"} 1\n"), Broken);
        assert_eq!(of("summary", "a{quantile=\"0.5\"} -1\n"), Broken);
        assert_eq!(of("summary", "a_sum -1\n"), Broken);
        assert_eq!(of("summary", "a_count 0.5\n"), Broken);
    }

    #[test]
    fn histograms_that_several_pages_have_a_part_of_are_not_put_together() {
        let pages = ["a_bucket{le=\"+Inf\"} 3\n", "a_sum 1\na_count 3\n"].map(|samples| {
            parse::text(format!("# TYPE a histogram\n{samples}").into_bytes()).unwrap()
        });
        let parts = pages.each_ref().map(|page| Part { page, labels: &[], gateway_families: true });
        let merged = merge(&parts);
        assert!(merged.families().all(|family| soundness(&merged, family) == Broken));
    }
}
