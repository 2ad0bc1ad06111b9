//! A rendered page is read back unchanged in every format, and does not depend on the order of the sources.
//!
//! serde_json reads JSON, prost reads protobuf; our own parser reads text and OpenMetrics here, and prometheus_client does
//! so elsewhere. All give the same plain families. The limits of each format are listed here and nowhere else:
//! - Text contains everything except exemplars.
//! - OpenMetrics and protobuf have rules for each type. A family that violates them loses its type and its exemplars, and if
//!   its samples have several names, each name becomes a family. A family without samples may be missing.
//! - Protobuf has bounds and quantiles as numbers, without their notation.
//! - JSON has no timestamps, no exemplars, and no sample names except the suffixes in a histogram. The family of a counter
//!   has no `_total` there, unless another family has that name.

use awx_metrics_filter::metrics::{Exemplar, Family, Kind, Sample};
use host_tests::oracle::{OracleExemplar, OracleFamily, OracleSample, python_float};
use proptest::prelude::*;

use super::*;

type Families = Vec<OracleFamily>;

/// A page in every format, read back.
#[derive(Debug, PartialEq)]
struct ReadBack {
    text: Families,
    open: Families,
    protobuf: Families,
    json: Families,
}

impl ReadBack {
    fn of(merged: Merged) -> Self {
        let merged = Rc::new(merged);
        let Rendered { text, open, protobuf } = Rendered::of_shared(&merged);
        let json = render(merged, &Selection::default(), exposition::Format::Json { indent: None });
        let open = parse::openmetrics(open.into_bytes()).unwrap();
        assert_eq!((open.report().unreadable_lines, open.report().dropped.total()), (0, 0));
        Self {
            text: families(&text_page(&text)),
            open: families(&open),
            protobuf: sorted(oracle::protobuf::families(&protobuf).unwrap()),
            json: sorted(oracle::json::families(&json).unwrap()),
        }
    }

    /// The expected result of reading a page back, within the limits of the formats.
    fn expected(page: &Page, read: &Self) -> Self {
        let families = families(page);
        Self {
            open: of_openmetrics(&families, &read.open),
            protobuf: of_protobuf(&families, &read.protobuf),
            json: of_json(&families),
            text: without_exemplars(families),
        }
    }
}

/// A page's families and samples, sorted.
fn families(page: &Page) -> Families {
    sorted(page.families().map(family).collect())
}

fn family(family: Family<'_>) -> OracleFamily {
    let kind = if family.kind() == Kind::Untyped { "unknown" } else { family.kind().as_str() };
    OracleFamily {
        name: family.name().to_owned(),
        help: unescaped(family.help()),
        kind: kind.to_owned(),
        unit: String::new(),
        samples: family.samples().map(sample).collect(),
    }
}

fn sample(sample: Sample<'_>) -> OracleSample {
    let labels = sample.labels();
    let labels = labels.map(|(name, value)| (name.to_owned(), unescaped(value)));
    OracleSample {
        name: sample.name().to_owned(),
        labels: labels.collect(),
        value: python_float(sample.value()),
        timestamp: sample.timestamp().map(str::to_owned),
        exemplar: sample.exemplar().map(exemplar),
    }
}

fn exemplar(exemplar: Exemplar<'_>) -> OracleExemplar {
    let labels = exemplar.labels();
    let labels = labels.map(|(name, value)| (name.to_owned(), unescaped(value)));
    let milliseconds = exemplar.timestamp().map(|seconds| format!("{:.0}", seconds * 1_000.0));
    OracleExemplar {
        labels: labels.collect(),
        value: python_float(exemplar.value()),
        timestamp: milliseconds,
    }
}

fn without_exemplars(mut families: Families) -> Families {
    let samples = families.iter_mut().flat_map(|family| &mut family.samples);
    samples.for_each(|sample| sample.exemplar = None);
    families
}

fn unescaped(text: &str) -> String {
    let parts = text.split("\\\\").map(|part| part.replace("\\n", "\n").replace("\\\"", "\""));
    parts.collect::<Vec<_>>().join("\\")
}

fn sorted(mut families: Families) -> Families {
    families.iter_mut().for_each(|family| family.samples.sort());
    families.sort();
    families
}

fn of_openmetrics(families: &Families, read: &Families) -> Families {
    typed_as(families, read, &["counter", "histogram", "summary"])
}

fn of_protobuf(families: &Families, read: &Families) -> Families {
    let mut families = typed_as(families, read, &["histogram", "summary"]);
    for family in &mut families {
        let point = match family.kind.as_str() {
            "histogram" => "le",
            "summary" => "quantile",
            _ => continue,
        };
        for point in family.samples.iter_mut().filter_map(|sample| sample.labels.get_mut(point)) {
            *point = python_float(point.parse().unwrap());
        }
    }
    sorted(families)
}

/// The families with samples, and those without if `read` has them; types that can be lost are taken from `read`.
fn typed_as(families: &Families, read: &Families, can_be_lost: &[&str]) -> Families {
    let families = families.iter().filter(|family| !family.samples.is_empty());
    let families = families.flat_map(|family| {
        let is_same =
            |read: &OracleFamily| (&read.name, &read.kind) == (&family.name, &family.kind);
        let is_lost = can_be_lost.contains(&family.kind.as_str()) && !read.iter().any(is_same);
        if is_lost { without_exemplars(parts(family)) } else { vec![family.clone()] }
    });
    sorted(families.collect())
}

/// A family without a type for each name of its samples.
fn parts(family: &OracleFamily) -> Families {
    let mut parts: BTreeMap<&str, OracleFamily> = BTreeMap::new();
    for sample in &family.samples {
        let part = || {
            let (name, kind) = (sample.name.clone(), "unknown".to_owned());
            OracleFamily { name, kind, samples: Vec::new(), ..family.clone() }
        };
        parts.entry(&sample.name).or_insert_with(part).samples.push(sample.clone());
    }
    parts.into_values().collect()
}

fn of_json(families: &Families) -> Families {
    let is_taken = |name: &str| families.iter().any(|family| family.name == name);
    let families = families.iter().cloned().map(|mut family| {
        for sample in &mut family.samples {
            (sample.timestamp, sample.exemplar) = (None, None);
            let suffix = sample.name.strip_prefix(&family.name).unwrap().trim_start_matches('_');
            sample.name =
                if family.kind == "histogram" { suffix.to_owned() } else { String::new() };
        }
        match family.name.strip_suffix("_total") {
            Some(cut) if family.kind == "counter" && !is_taken(cut) => family.name = cut.to_owned(),
            _ => {}
        }
        family
    });
    sorted(families.collect())
}

fn with_samples(mut families: Families) -> Families {
    families.retain(|family| !family.samples.is_empty());
    families
}

/// Pages with the same families, each with some of the samples.
fn sharing() -> impl Strategy<Value = Vec<Page>> {
    let keeps = proptest::collection::vec(any::<bool>(), 40);
    let pages = (models::page(), proptest::collection::vec(keeps, 2..4));
    pages.prop_map(|(page, kept)| {
        let page = text_page(&page);
        let of = |keeps: Vec<bool>| {
            let mut keeps = keeps.into_iter().cycle();
            let lines = page.as_text().split_inclusive('\n');
            let lines = lines.filter(|line| line.starts_with('#') || keeps.next() == Some(true));
            text_page(&lines.collect::<String>())
        };
        kept.into_iter().map(of).collect()
    })
}

proptest! {
    #[test]
    fn every_format_is_read_back_as_it_was_rendered(
        page in models::page_with_exemplars(),
    ) {
        let mut read = ReadBack::of(merge(&[part(&page)]));
        read.open = with_samples(read.open);
        let expected = ReadBack::expected(&page, &read);
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn text_is_read_back_to_the_byte_and_openmetrics_to_the_line(page in models::page()) {
        let page = text_page(&page);
        let Rendered { text, open, .. } = Rendered::of_page(&page);
        // The filter drops nothing from its own text.
        prop_assert_eq!(text_page(&text), text_page(page.as_text()));
        let read = parse::openmetrics(open.clone().into_bytes()).unwrap();
        prop_assert_eq!(lines(read.as_text()), lines(page.as_text()), "{}", open);
        let again = Rendered::of_page(&read).open;
        prop_assert_eq!(lines(&again), lines(&open));
    }

    #[test]
    fn merging_commutes_in_every_format_if_labels_separate_the_sources(
        (pages, order) in sharing().prop_flat_map(|pages| {
            let order = Just((0..pages.len()).collect::<Vec<_>>()).prop_shuffle();
            (Just(pages), order)
        }),
    ) {
        let label = |at| [("source".to_owned(), format!("{at}"))];
        let labels: Vec<_> = (0..pages.len()).map(label).collect();
        let parts = pages.iter().zip(&labels);
        let parts = parts.map(|(page, labels)| {
            let page = Rc::new(page.clone().with_labels(labels).unwrap());
            Part { page, labels, gateway_families: true }
        });
        let parts: Vec<_> = parts.collect();
        let shuffled: Vec<_> = order.iter().map(|&at| parts[at].clone()).collect();
        let (one, other) = (merge(&parts), merge(&shuffled));
        let dropped = |merged: &Merged| (0..parts.len()).map(|at| merged.dropped(at).total()).sum::<u64>();
        prop_assert_eq!((dropped(&one), dropped(&other)), (0, 0));
        prop_assert_eq!(ReadBack::of(one), ReadBack::of(other));
    }
}

/// Sample lines, sorted, because a family that lost its type is sorted differently the second time.
fn lines(page: &str) -> Vec<&str> {
    let mut lines: Vec<_> = page.lines().filter(|line| !line.starts_with('#')).collect();
    lines.sort_unstable();
    lines
}
