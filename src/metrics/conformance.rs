//! [`Conformance`]: the degree to which the samples of a family follow the rules of its type. Text only names the type,
//! but OpenMetrics and protobuf have rules for each (OpenMetrics 1.0, "Metric Types"), and the controller's pages break
//! some of them.
//!
//! It is determined once per page, when the page is read or stored, and is part of the page's index.

use super::{Family, FamilySpan, Kind, Page, Sample, number};

/// The degree to which samples follow the rules of their type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Conformance {
    /// The samples break a rule, and are only legal without a type.
    Broken,
    /// The samples follow the rules, but some histogram or summary has neither sum nor count.
    Partial,
    /// The samples follow the rules.
    Whole,
}

use Conformance::{Broken, Partial, Whole};

impl Conformance {
    /// All values, in the order of their stored numbers.
    pub(super) const ALL: [Self; 3] = [Broken, Partial, Whole];
}

impl Page {
    /// Determines the conformance of each family.
    pub(crate) fn check_conformance(&mut self) {
        let Self { text, families, .. } = self;
        families.iter_mut().for_each(|span| check(text, span));
    }

    /// Determines the conformance of the last family again after a change of its labels.
    pub(super) fn check_last_family(&mut self) {
        let Self { text, families, .. } = self;
        families.last_mut().into_iter().for_each(|span| check(text, span));
    }
}

fn check(text: &str, span: &mut FamilySpan) {
    span.conformance = of_family(Family { text, span }, |_| true);
}

/// The conformance of the family's samples, without those that are left out.
pub(crate) fn of_family<'a>(
    family: Family<'a>,
    is_served: impl FnMut(&Sample<'a>) -> bool,
) -> Conformance {
    let mut samples = family.samples().filter(is_served);
    match family.kind() {
        Kind::Gauge | Kind::Untyped => Whole,
        Kind::Counter if samples.all(|sample| sample.value() >= 0.0) => Whole,
        Kind::Counter => Broken,
        kind @ (Kind::Histogram | Kind::Summary) => of_groups(samples, kind),
    }
}

/// The label that distinguishes the points of a histogram or summary.
pub(crate) const fn point_label(kind: Kind) -> &'static str {
    match kind {
        Kind::Summary => "quantile",
        _ => "le",
    }
}

/// True if the samples belong to one histogram or summary.
pub(crate) fn is_same_group(one: Sample<'_>, other: Sample<'_>, kind: Kind) -> bool {
    let is_of_group = |(name, _): &(&str, &str)| *name != point_label(kind);
    one.labels().filter(is_of_group).eq(other.labels().filter(is_of_group))
}

/// The value of a bound or a quantile, as it is spelt and as a number.
pub(crate) fn point_of(sample: Sample<'_>, kind: Kind) -> Option<(&str, f64)> {
    let (_, token) = sample.labels().find(|(name, _)| *name == point_label(kind))?;
    Some((token, number::read(token)?.value))
}

fn of_groups<'a>(samples: impl Iterator<Item = Sample<'a>>, kind: Kind) -> Conformance {
    let mut worst = Whole;
    let mut group: Option<PointGroup<'a>> = None;
    for sample in samples {
        let is_next = group.as_ref().is_none_or(|it| !is_same_group(it.first, sample, kind));
        if is_next {
            let before = group.replace(PointGroup::beginning_with(sample));
            worst = worst.min(before.map_or(Whole, |group| group.conformance(kind)));
        }
        if group.as_mut().is_none_or(|group| group.add(sample, kind).is_none()) {
            return Broken;
        }
    }
    worst.min(group.map_or(Whole, |group| group.conformance(kind)))
}

/// The part of a histogram or summary that was read.
struct PointGroup<'a> {
    first: Sample<'a>,
    bound: f64,
    has_negative_bound: bool,
    /// The count of the bucket with the highest bound.
    cumulative: f64,
    sum: Option<f64>,
    count: Option<f64>,
}

impl<'a> PointGroup<'a> {
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

    /// Returns `None` if the sample breaks a rule.
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
                // A summary without recent observations has NaN.
                (0.0..=1.0).contains(&quantile) && (value >= 0.0 || value.is_nan())
            }
            _ => is_count && self.add_bucket(point_of(sample, kind)?, value),
        };
        (keeps && sample.timestamp() == self.first.timestamp()).then_some(())
    }

    fn add_bucket(&mut self, (token, bound): (&str, f64), value: f64) -> bool {
        // OpenMetrics requires this spelling of the last bound.
        let is_legal = !bound.is_nan() && (bound != f64::INFINITY || token == "+Inf");
        let ascends = self.bound.is_nan() || bound > self.bound;
        let is_cumulative = value >= self.cumulative;
        self.has_negative_bound |= bound < 0.0;
        (self.bound, self.cumulative) = (bound, value);
        is_legal && ascends && is_cumulative
    }

    fn conformance(&self, kind: Kind) -> Conformance {
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

    fn of(kind: &str, samples: &str) -> Conformance {
        let page = parse::text(format!("# TYPE a {kind}\n{samples}").into_bytes()).unwrap();
        assert_eq!((page.report().unreadable_lines, page.report().dropped.total()), (0, 0));
        page.families().map(|family| family.conformance()).min().unwrap()
    }

    #[test]
    fn gauges_have_any_value_and_counters_no_negative_one() {
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
    fn the_worst_histogram_determines_the_conformance_of_a_family() {
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
}
