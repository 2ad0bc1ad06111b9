use crate::exposition::{Extras, Format, Renderer, parse, render};
use crate::metrics::{Page, Part, Selection, merge};
use std::rc::Rc;
use std::time::Duration;

fn page(source: &str) -> Page {
    let page = parse::text(source.as_bytes().to_vec()).unwrap();
    assert_eq!((page.report().unreadable_lines, page.report().dropped.total()), (0, 0));
    page
}

fn rendered(source: &str) -> String {
    let page = Rc::new(page(source));
    let merged = merge(&[Part { page, labels: &[], gateway_families: true }]);
    String::from_utf8(render(merged, &Selection::default(), Format::OpenMetrics)).unwrap()
}

/// The header lines of the rendering of these samples.
fn headers(source: &str) -> Vec<String> {
    let page = rendered(source);
    page.lines().filter(|line| line.starts_with('#')).map(str::to_owned).collect()
}

#[test]
fn the_suffix_of_a_counter_is_only_in_its_samples() {
    assert_eq!(
        rendered("# HELP a_total A \"b\" \\\\.\n# TYPE a_total counter\na_total{b=\"c\"} 1\n"),
        "# TYPE a counter\n# HELP a A \\\"b\\\" \\\\.\na_total{b=\"c\"} 1\n"
    );
}

#[test]
fn a_family_without_a_type_is_unknown() {
    assert_eq!(rendered("a 1\n"), "# TYPE a unknown\na 1\n");
}

#[test]
fn an_illegal_counter_keeps_its_name_and_loses_its_type() {
    for name in ["a", "_total"] {
        let source = format!("# TYPE {name} counter\n{name} 1\n");
        assert_eq!(rendered(&source), format!("# TYPE {name} unknown\n{name} 1\n"));
    }
    let negative = "# TYPE a_total counter\na_total -1\n";
    assert_eq!(rendered(negative), "# TYPE a_total unknown\na_total -1\n");
}

#[test]
fn a_gauge_with_the_suffix_of_a_counter_stays_a_gauge() {
    let source = "# TYPE a_total gauge\na_total 1\n# TYPE a gauge\na 2\n";
    assert_eq!(rendered(source), source);
}

#[test]
fn an_illegal_histogram_is_written_in_parts() {
    let samples = ["h_bucket{le=\"1\"} 1\n", "h_sum 2\n", "h_count 3\n"];
    assert_eq!(
        rendered(&format!("# HELP h H\n# TYPE h histogram\n{}", samples.concat())),
        format!(
            "# TYPE h_bucket unknown\n# HELP h_bucket H\n{}# TYPE h_sum unknown\n# HELP h_sum H\n\
             {}# TYPE h_count unknown\n# HELP h_count H\n{}",
            samples[0], samples[1], samples[2]
        )
    );
}

#[test]
fn bounds_keep_their_spelling() {
    let source =
        "# TYPE h histogram\nh_bucket{le=\"10\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 2\nh_count 1\n";
    assert_eq!(rendered(source), source);
}

#[test]
fn timestamps_are_in_seconds() {
    for (milliseconds, seconds) in [
        ("1520879607789", "1520879607.789"),
        ("5", "0.005"),
        ("9223372036854775807", "9223372036854775.807"),
    ] {
        let expected = format!("# TYPE a gauge\na{{b=\"c\"}} 1e+5 {seconds}\n");
        assert_eq!(
            rendered(&format!("# TYPE a gauge\na{{b=\"c\"}} 1e+5 {milliseconds}\n")),
            expected
        );
    }
}

#[test]
fn no_family_has_a_name_that_another_reserves() {
    let counter = "# TYPE x_total counter\nx_total 1\n";
    for (other, kept) in [
        ("# TYPE x gauge\nx 2\n", "# TYPE x gauge"),
        ("# TYPE x_created gauge\nx_created 2\n", "# TYPE x_created gauge"),
    ] {
        let expected = vec!["# TYPE x_total unknown".to_owned(), kept.to_owned()];
        assert_eq!(headers(&[counter, other].concat()), expected);
    }
    let histogram = "# TYPE x histogram\nx_bucket{le=\"+Inf\"} 1\nx_sum 2\nx_count 1\n";
    let parts = ["# TYPE x_bucket unknown", "# TYPE x_sum unknown", "# TYPE x_count unknown"];
    assert_eq!(headers(&[histogram, counter].concat())[..3], parts);
    let reserving = "# TYPE x_created_total counter\nx_created_total 1\n";
    let headers = headers(&[histogram, reserving].concat());
    assert_eq!(headers[3], "# TYPE x_created_total unknown");
    assert_eq!(headers[..3], parts);
}

#[test]
fn a_family_with_a_merely_similar_name_keeps_its_type() {
    let source = "# TYPE x_total counter\nx_total 1\n# TYPE x_sum gauge\nx_sum 2\n";
    assert_eq!(headers(source), ["# TYPE x counter", "# TYPE x_sum gauge"]);
    let summary = "# TYPE x summary\nx_sum 2\nx_count 1\n# TYPE x_bucket gauge\nx_bucket 2\n";
    assert_eq!(headers(summary), ["# TYPE x summary", "# TYPE x_bucket gauge"]);
}

#[test]
fn only_the_gateways_own_families_have_units() {
    let source = "# TYPE awx_gateway_a_seconds gauge\nawx_gateway_a_seconds 1\n\
                  # TYPE b_seconds gauge\nb_seconds 2\n# TYPE awx_gateway_seconds gauge\n";
    assert_eq!(
        headers(source),
        [
            "# TYPE awx_gateway_a_seconds gauge",
            "# UNIT awx_gateway_a_seconds seconds",
            "# TYPE b_seconds gauge",
            "# TYPE awx_gateway_seconds gauge"
        ]
    );
}

#[test]
fn exemplars_follow_their_samples_with_any_added_labels() {
    let source = concat!(
        "# TYPE a_total counter\na_total 1 2000 # {id=\"x\"} 1 2.5\n",
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1 # {} 3\nh_sum 3\nh_count 1\n",
        "# TYPE z_total counter\nz_total -1 # {} 3\n",
    );
    let page = parse::canonical(source.into()).unwrap();
    let site = [("site".to_owned(), "east".to_owned())];
    for (labels, [plain, more]) in
        [(&[][..], ["", "{"]), (&site, ["{site=\"east\"}", "{site=\"east\","])]
    {
        let page = Rc::new(page.clone().with_labels(labels).unwrap());
        let rendered = |format| {
            let page = Rc::clone(&page);
            let merged = merge(&[Part { page, labels, gateway_families: true }]);
            String::from_utf8(render(merged, &Selection::default(), format)).unwrap()
        };
        let expected = format!(
            "# TYPE a counter\na_total{plain} 1 2.000 # {{id=\"x\"}} 1 2.5\n# TYPE h histogram\n\
             h_bucket{more}le=\"+Inf\"}} 1 # {{}} 3\nh_sum{plain} 3\nh_count{plain} 1\n\
             # TYPE z_total unknown\nz_total{plain} -1\n"
        );
        assert_eq!(rendered(Format::OpenMetrics), expected);
        let text = rendered(Format::Text);
        assert!(!text.contains(" # "), "{text}");
        assert_eq!(text.lines().count(), 8, "{text}");
    }
}

#[test]
fn counters_have_a_creation_time_if_it_is_known() {
    let source = concat!(
        "# TYPE a_total counter\na_total{b=\"1\"} 1\na_total{b=\"2\"} 2\n# TYPE g gauge\ng 1\n",
        "# TYPE awx_gateway_source_a_total counter\nawx_gateway_source_a_total{b=\"1\"} 1\n# TYPE h histogram\nh_bucket{b=\"1\",le=\"+Inf\"} 1\nh_sum{b=\"1\"} 3\nh_count{b=\"1\"} 1\n",
    );
    let (own, other) = (page(source), page("# TYPE o_total counter\no_total 1\n"));
    let site = [("site".to_owned(), "east".to_owned())];
    for (labels, site) in [(&[][..], ""), (&site, "site=\"east\",")] {
        let page = Rc::new(own.clone().with_labels(labels).unwrap());
        let own = Part { page, labels, gateway_families: true };
        let page = Rc::new(other.clone());
        let other = Part { page, labels: &[], gateway_families: true };
        let created = Some(Duration::from_millis(1_700_000_000_025));
        let extras = Extras { created, ..Extras::default() };
        let merged = Rc::new(merge(&[own, other]));
        let everything = Selection::default();
        let out = Renderer::new(merged, &everything, Format::OpenMetrics, extras).finish();
        let out = String::from_utf8(out).unwrap();
        let lines: Vec<_> = out.lines().filter(|line| line.contains("_created")).collect();
        let expected = [("a", 1), ("a", 2), ("h", 1)]
            .map(|(name, b)| format!("{name}_created{{{site}b=\"{b}\"}} 1700000000.025"));
        assert_eq!(lines, expected, "{out}");
        assert!(out.contains("h_count{") && out.ends_with("o_total 1\n"), "{out}");
    }
}
