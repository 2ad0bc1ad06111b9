//! Generated pages that no controller has, with conflicting names and values that no type allows.

use awx_metrics_filter::exposition::parse;
use awx_metrics_filter::metrics::{Kind, Page};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

/// Names of families. Each is reserved by the type of another one.
const NAMES: [&str; 11] = [
    "x",
    "x_total",
    "x_created",
    "x_created_total",
    "x_sum",
    "x_count",
    "x_bucket",
    "x_bucket_total",
    "x_total_total",
    "y_total",
    "y",
];
const VALUES: [&str; 12] = [
    "0",
    "-0.0",
    "1",
    "2.5",
    "3",
    "-1",
    "NaN",
    "+Inf",
    "1.6e+010",
    "0.1",
    "5e-324",
    "9007199254740993",
];
const LABELS: [&str; 6] =
    ["", "a=\"1\"", "a=\"\\\"\\\\\\n\"", "b=\"\"", "a=\"1\",b=\"\u{e9}\"", "le=\"1\""];
const HELPS: [&str; 5] = ["", "Help.", "\"Q\" \\\\ \\n", "# EOF", "1 2"];
const STAMPS: [&str; 6] = ["", "", "", " 5", " -1500", " 1760000000123"];

const EXEMPLARS: [&str; 5] = [
    "",
    "",
    " # {} 1",
    " # {trace=\"a # b\"} 0.5 1760000000.25",
    " # {a=\"\\\"} 1\\n\",b=\"\u{e9}\"} NaN -1.5",
];

fn one(of: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    proptest::sample::select(of)
}

/// A page in text, as a source might send it.
pub(super) fn page() -> impl Strategy<Value = String> {
    proptest::collection::vec(family(), 0..6).prop_map(|families| families.concat())
}

/// The same as the filter reads it, with exemplars on all samples that may have one.
pub(super) fn page_with_exemplars() -> impl Strategy<Value = Page> {
    (page(), proptest::collection::vec(one(&EXEMPLARS), 7)).prop_map(|(page, exemplars)| {
        let page = parse::text(page.into_bytes()).unwrap();
        let mut exemplars = exemplars.into_iter().cycle();
        let mut text = String::new();
        for family in page.families() {
            text += family.as_text().strip_suffix(family.lines()).unwrap();
            for sample in family.samples() {
                let may_have_one = family.kind() == Kind::Counter || sample.suffix() == "_bucket";
                let exemplar = exemplars.next().filter(|_| may_have_one).unwrap_or_default();
                let line = [sample.name(), sample.label_block(), sample.tail(), exemplar, "\n"];
                text += &line.concat();
            }
        }
        let with = parse::canonical(text.clone().into_bytes()).unwrap();
        assert_eq!(with.as_text(), text);
        with
    })
}

/// This number of pages, the same in every run.
pub(super) fn pages(count: usize) -> Vec<String> {
    let mut runner = TestRunner::deterministic();
    let page = page();
    let pages = std::iter::repeat_with(|| page.new_tree(&mut runner).unwrap().current());
    pages.take(count).collect()
}

fn family() -> impl Strategy<Value = String> {
    let plain = (
        one(&NAMES),
        one(&["counter", "gauge", "untyped", "histogram", "summary"]),
        one(&HELPS),
        proptest::collection::vec((one(&LABELS), one(&VALUES), one(&STAMPS)), 0..4),
    );
    let plain = plain.prop_map(|(name, kind, help, samples)| {
        let samples = samples
            .iter()
            .map(|(labels, value, stamp)| format!("{name}{{{labels}}} {value}{stamp}\n"));
        format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{}", samples.collect::<String>())
    });
    prop_oneof![plain, histogram(), summary()]
}

/// A histogram, which usually follows the rules.
fn histogram() -> impl Strategy<Value = String> {
    let bounds = proptest::sample::subsequence(vec!["-1", "0.5", "1", "1e6", "+Inf"], 0..=5);
    let counts = proptest::collection::vec(0..4_u32, 5);
    let labels = proptest::sample::subsequence(vec!["", "a=\"1\",", "b=\"2\","], 0..=3);
    (one(&NAMES), bounds, counts, labels, 0..4_u8).prop_map(
        |(name, bounds, counts, groups, ends)| {
            let mut page = format!("# TYPE {name} histogram\n");
            for group in groups {
                let mut sum = 0;
                for (bound, count) in bounds.iter().zip(&counts) {
                    sum += count;
                    page += &format!("{name}_bucket{{{group}le=\"{bound}\"}} {sum}\n");
                }
                if ends != 1 {
                    page += &format!("{name}_sum{{{group}}} 1.5\n");
                }
                if ends != 2 {
                    page += &format!("{name}_count{{{group}}} {sum}\n");
                }
            }
            page
        },
    )
}

fn summary() -> impl Strategy<Value = String> {
    let quantiles = proptest::sample::subsequence(vec!["0", "0.5", "1", "2"], 0..=4);
    (one(&NAMES), quantiles, one(&VALUES), 0..4_u8).prop_map(|(name, quantiles, value, ends)| {
        let mut page = format!("# TYPE {name} summary\n");
        for quantile in quantiles {
            page += &format!("{name}{{quantile=\"{quantile}\"}} {value}\n");
        }
        if ends != 1 {
            page += &format!("{name}_sum 1.5\n");
        }
        if ends != 2 {
            page += &format!("{name}_count 3\n");
        }
        page
    })
}
