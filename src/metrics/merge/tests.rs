use super::*;
use crate::exposition::{Format, parse, render};
use crate::metrics::{Kind, PageBuilder, Selection};
use proptest::prelude::*;

type Labels = Vec<(String, String)>;

fn page(source: &str) -> Page {
    parse::text(source.as_bytes().to_vec()).unwrap()
}

fn labels(labels: &[(&str, &str)]) -> Labels {
    labels.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// A page whose samples get these labels.
fn part<'a>(page: &Page, labels: &'a Labels) -> Part<'a> {
    let page = Rc::new(page.clone().with_labels(labels).unwrap());
    Part { page, labels, gateway_families: false }
}

fn rendered(merged: Merged) -> String {
    String::from_utf8(render(merged, &Selection::default(), Format::Text)).unwrap()
}

/// Merges sources with labels: returns the rendering, and the samples that each source lost, by reason.
fn merged<const N: usize>(sources: [(&str, &[(&str, &str)]); N]) -> (String, [Dropped; N]) {
    let sources = sources.map(|(source, added)| (page(source), labels(added)));
    let parts = sources.each_ref().map(|(page, labels)| part(page, labels));
    let merged = merge(&parts);
    let dropped = std::array::from_fn(|at| merged.dropped(at));
    (rendered(merged), dropped)
}

fn lost(reason: Reason, samples: usize) -> Dropped {
    let mut dropped = Dropped::default();
    dropped.add(reason, samples);
    dropped
}

const NOTHING: Dropped = Dropped([0; Reason::COUNT]);

#[test]
fn one_page_without_labels_is_unchanged() {
    let source = "# HELP a A.\n# TYPE a gauge\na 1 5\n# TYPE h histogram\nh_bucket{le=\"1\"} 2\n";
    assert_eq!(merged([(source, &[])]), (source.to_owned(), [NOTHING]));
}

#[test]
fn nothing_merges_to_nothing() {
    assert_eq!(rendered(merge(&[])), "");
    assert_eq!(merge(&[]).dropped(0), NOTHING);
}

#[test]
fn a_family_occurs_once_with_its_first_help_and_the_samples_of_all_pages() {
    let (page, dropped) = merged([
        ("# TYPE a gauge\na 1\n# TYPE b gauge\nb 2\n", &[("source", "x")]),
        ("# HELP a A.\n# TYPE a gauge\na 3\n", &[("source", "y")]),
        ("# HELP a B.\n# TYPE a gauge\na 4\nc 5\n", &[("source", "z")]),
    ]);
    let expected = concat!(
        "# HELP a A.\n# TYPE a gauge\na{source=\"x\"} 1\na{source=\"y\"} 3\na{source=\"z\"} 4\n",
        "# TYPE b gauge\nb{source=\"x\"} 2\n# TYPE c untyped\nc{source=\"z\"} 5\n",
    );
    assert_eq!((page.as_str(), dropped), (expected, [NOTHING; 3]));
}

/// The samples that lose their type, and those that are left out.
fn conflicts(samples: usize, duplicates: usize) -> Dropped {
    let mut dropped = lost(Reason::TypeConflict, samples);
    dropped.add(Reason::Duplicate, duplicates);
    dropped
}

#[test]
fn a_family_with_two_types_keeps_all_series_and_loses_its_type() {
    let (page, dropped) = merged([
        ("# TYPE a gauge\na 1\n", &[("source", "x")]),
        ("# TYPE a counter\na 2\na{b=\"c\"} 3\nd 4\n", &[("source", "y")]),
    ]);
    let expected = "# TYPE a untyped\na{source=\"x\"} 1\na{source=\"y\"} 2\n\
                    a{source=\"y\",b=\"c\"} 3\n# TYPE d untyped\nd{source=\"y\"} 4\n";
    assert_eq!((page.as_str(), dropped), (expected, [conflicts(1, 0), conflicts(2, 0)]));
}

#[test]
fn a_histogram_and_a_gauge_of_one_name_keep_all_series() {
    let (page, dropped) = merged([
        ("# TYPE a histogram\na_bucket{le=\"+Inf\"} 1\na_sum 2\na_count 1\n", &[("s", "x")]),
        ("# TYPE a gauge\na 3\n# TYPE a_sum gauge\na_sum 4\n", &[("s", "y")]),
    ]);
    let expected = concat!(
        "# TYPE a untyped\na{s=\"y\"} 3\n",
        "# TYPE a_bucket untyped\na_bucket{s=\"x\",le=\"+Inf\"} 1\n",
        "# TYPE a_sum untyped\na_sum{s=\"x\"} 2\na_sum{s=\"y\"} 4\n",
        "# TYPE a_count untyped\na_count{s=\"x\"} 1\n",
    );
    assert_eq!((page.as_str(), dropped), (expected, [conflicts(3, 0), conflicts(2, 0)]));
}

#[test]
fn a_name_is_not_both_a_family_and_a_part_of_a_histogram() {
    let histogram = "# TYPE h histogram\nh_sum 1\nh_count 2\n";
    let gauge = "# TYPE h_count gauge\nh_count 3\n";
    let (page, dropped) = merged([(histogram, &[]), (gauge, &[])]);
    let expected = "# TYPE h_sum untyped\nh_sum 1\n# TYPE h_count untyped\nh_count 2\n";
    assert_eq!((page.as_str(), dropped), (expected, [conflicts(2, 0), conflicts(1, 1)]));
    let (page, dropped) = merged([(gauge, &[]), (histogram, &[])]);
    let expected = "# TYPE h_count untyped\nh_count 3\n# TYPE h_sum untyped\nh_sum 1\n";
    assert_eq!((page.as_str(), dropped), (expected, [conflicts(1, 0), conflicts(2, 1)]));
    let buckets = "# TYPE s_bucket gauge\ns_bucket 3\n";
    let summary = "# TYPE s summary\ns_sum 1\n";
    let (page, dropped) = merged([(summary, &[]), (buckets, &[])]);
    assert_eq!((page, dropped), ([summary, buckets].concat(), [NOTHING; 2]));
}

#[test]
fn a_summary_with_the_name_of_another_pages_gauge_loses_its_type() {
    let both = "# TYPE s summary\ns{quantile=\"1\"} 1\n# TYPE s_sum gauge\ns_sum 2\n";
    let (page, dropped) = merged([(both, &[]), ("# TYPE s summary\ns_sum 3\ns_count 4\n", &[])]);
    let expected = concat!(
        "# TYPE s untyped\ns{quantile=\"1\"} 1\n# TYPE s_sum untyped\ns_sum 2\n",
        "# TYPE s_count untyped\ns_count 4\n",
    );
    assert_eq!((page.as_str(), dropped), (expected, [conflicts(2, 0), conflicts(2, 1)]));
    let (page, dropped) = merged([(both, &[("a", "1")]), (both, &[("a", "2")])]);
    assert_eq!((page.lines().count(), dropped), (6, [NOTHING; 2]));
}

#[test]
fn the_first_page_with_a_series_gives_its_value() {
    let (page, dropped) = merged([
        ("a 1\na{b=\"1\"} 2\nh_sum 1\n# TYPE h histogram\nh_bucket{le=\"1\"} 2\n", &[]),
        ("a 3\na{b=\"2\"} 4\nh_count 3\n# TYPE h histogram\nh_bucket{le=\"1\"} 4\n", &[]),
        ("a{b=\"2\"} 5\na{b=\"1\"} 6\n", &[]),
    ]);
    let expected = concat!(
        "# TYPE a untyped\na 1\na{b=\"1\"} 2\na{b=\"2\"} 4\n",
        "# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_sum 1\nh_count 3\n",
    );
    let duplicates = |samples| lost(Reason::Duplicate, samples);
    assert_eq!((page.as_str(), dropped), (expected, [NOTHING, duplicates(2), duplicates(2)]));
}

#[test]
fn added_labels_may_make_series_equal() {
    let (page, dropped) = merged([
        ("a{b=\"1\",c=\"2\"} 1\na{c=\"3\"} 2\n", &[]),
        ("a{c=\"2\"} 3\na{c=\"3\"} 4\n", &[("b", "1")]),
    ]);
    let expected = "# TYPE a untyped\na{b=\"1\",c=\"2\"} 1\na{c=\"3\"} 2\na{b=\"1\",c=\"3\"} 4\n";
    assert_eq!((page.as_str(), dropped), (expected, [NOTHING, lost(Reason::Duplicate, 1)]));
}

#[test]
fn a_page_keeps_the_gateways_families_only_if_requested() {
    let page =
        page("# TYPE awx_gateway_up gauge\nawx_gateway_up 1\n# TYPE awx_up gauge\nawx_up 2\n");
    let dropped = || Part { page: Rc::new(page.clone()), labels: &[], gateway_families: false };
    assert_eq!(rendered(merge(&[dropped()])), "# TYPE awx_up gauge\nawx_up 2\n");
    let kept = Part { gateway_families: true, ..dropped() };
    assert_eq!(rendered(merge(&[kept])), page.as_text());
    assert_eq!(merge(&[dropped()]).dropped(0), NOTHING);
}

#[test]
fn a_page_that_would_take_the_scrape_over_its_limit_is_left_out_whole() {
    let lines = |samples: usize| (0..samples).map(|at| format!("a{{b=\"{at}\"}} 1\n")).collect();
    let (half, more): (String, String) = (lines(limits::SCRAPE_SAMPLES / 2), lines(1));
    let sources: [(&str, &[_]); 4] =
        [(&half, &[("s", "1")]), (&half, &[("s", "2")]), (&more, &[("s", "3")]), ("", &[])];
    let (page, dropped) = merged(sources);
    assert_eq!(page.lines().count(), limits::SCRAPE_SAMPLES + 1);
    assert_eq!(dropped, [NOTHING, NOTHING, lost(Reason::ScrapeLimit, 1), NOTHING]);
}

#[test]
fn a_histogram_with_parts_on_several_pages_is_not_put_together() {
    let pages = ["a_bucket{le=\"+Inf\"} 3\n", "a_sum 1\na_count 3\n"]
        .map(|samples| page(&format!("# TYPE a histogram\n{samples}")));
    let labels = Labels::new();
    let merged = merge(&pages.each_ref().map(|page| part(page, &labels)));
    let conformance: Vec<_> = merged.families().iter().map(|family| family.conformance).collect();
    assert_eq!(conformance, [Conformance::Broken]);
}

/// A page from a small set of names, labels and values, so that pages overlap.
fn any_page() -> impl Strategy<Value = Page> {
    let labels = proptest::collection::btree_map("[ab]|exported_a", "[\"\\\\xy]?", 0..3);
    let samples = proptest::collection::vec((labels, 0..9_u64), 0..8);
    proptest::collection::vec(("[fg]", samples), 0..4).prop_map(|families| {
        let mut builder = PageBuilder::new();
        for (name, samples) in &families {
            builder.family(name, Kind::Gauge, "");
            for (labels, value) in samples {
                let labels: Vec<_> = labels.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
                builder.sample("", &labels, *value);
            }
        }
        builder.build()
    })
}

fn any_labels() -> impl Strategy<Value = Labels> {
    proptest::collection::btree_map("[ab]|exported_a", "[\"\\\\xy]?", 0..3)
        .prop_map(|labels| labels.into_iter().collect())
}

proptest! {
    #[test]
    fn merged_pages_have_each_series_once_and_every_lost_sample_is_counted(
        parts in proptest::collection::vec((any_page(), any_labels()), 0..4),
    ) {
        let parts: Vec<_> = parts.iter().map(|(page, labels)| part(page, labels)).collect();
        let merged = merge(&parts);
        let dropped = (0..parts.len()).map(|at| merged.dropped(at).of(Reason::Duplicate));
        let dropped: u64 = dropped.sum();
        let read = page(&rendered(merged));
        prop_assert_eq!(read.report().unreadable_lines, 0);
        prop_assert_eq!(read.report().dropped, NOTHING);
        let given: usize = parts.iter().map(|part| part.page.report().samples).sum();
        prop_assert_eq!(read.report().samples as u64 + dropped, given as u64);
    }

    #[test]
    fn merging_commutes_except_for_the_order_and_the_kept_values(
        one in any_page(), other in any_page(), these in any_labels(), those in any_labels(),
    ) {
        let parts = [part(&one, &these), part(&other, &those)];
        let series = |parts: &[Part<'_>]| {
            let rendered = rendered(merge(parts));
            let mut series: Vec<_> = page(&rendered)
                .families()
                .flat_map(|family| family.samples())
                .map(|sample| format!("{}{}", sample.name(), sample.label_block()))
                .collect();
            series.sort_unstable();
            series
        };
        prop_assert_eq!(series(&parts), series(&[parts[1].clone(), parts[0].clone()]));
    }

    #[test]
    fn parts_that_differ_in_a_label_lose_nothing(one in any_page(), other in any_page()) {
        let (these, those) = (labels(&[("source", "x")]), labels(&[("source", "y")]));
        let merged = merge(&[part(&one, &these), part(&other, &those)]);
        prop_assert_eq!((merged.dropped(0), merged.dropped(1)), (NOTHING, NOTHING));
        let read = page(&rendered(merged));
        prop_assert_eq!(read.report().samples, one.report().samples + other.report().samples);
    }
}
