//! Pages in OpenMetrics.

use super::*;
use crate::exposition::parse;

const DISPATCHER: &[u8] =
    include_bytes!("../../../../host-tests/fixtures/captures/svc/svc-8014-prom2.body");

fn page(source: &str) -> Page {
    parse::openmetrics(format!("{source}# EOF\n").into_bytes()).unwrap()
}

/// The lines of a page on which nothing is unreadable or dropped.
fn whole(source: &str) -> String {
    let page = page(source);
    assert_eq!((page.report().unreadable_lines, page.report().dropped.total()), (0, 0), "{source}");
    page.as_text().to_owned()
}

#[test]
fn a_captured_page_is_read_whole() {
    let read = parse::openmetrics(DISPATCHER.to_vec()).unwrap();
    assert_eq!((read.report().samples, read.report().unreadable_lines), (29, 0));
    let as_text = text(super::DISPATCHER.as_bytes().to_vec()).unwrap();
    assert_eq!(read.families().len(), as_text.families().len());
}

#[test]
fn a_page_without_its_end_is_cut_off() {
    for source in ["", "a 1\n", "a 1\n#EOF\n", "a 1\n# EOFs\n"] {
        assert_eq!(parse::openmetrics(source.into()), Err(Refused::CutOff), "{source:?}");
    }
    assert_eq!(parse::openmetrics(b"# EOF".to_vec()).unwrap(), Page::default());
}

#[test]
fn text_after_the_end_is_unreadable() {
    let page = parse::openmetrics(b"a 1\n# EOF\nb 2\nc 3\n".to_vec()).unwrap();
    assert_eq!((page.as_text(), page.report().unreadable_lines), ("# TYPE a untyped\na 1\n", 1));
}

#[test]
fn types_become_those_of_text() {
    for (open, text) in [
        (
            "# TYPE a counter\n# HELP a A\na_total 1\n",
            "# HELP a_total A\n# TYPE a_total counter\na_total 1\n",
        ),
        ("# TYPE a_s gauge\n# UNIT a_s s\na_s 1\n", "# TYPE a_s gauge\na_s 1\n"),
        ("# TYPE a unknown\na 1\n", "# TYPE a untyped\na 1\n"),
        (
            "# TYPE a info\n# HELP a A\na_info{b=\"c\"} 1\n",
            "# HELP a_info A\n# TYPE a_info gauge\na_info{b=\"c\"} 1\n",
        ),
        ("# TYPE a stateset\na{a=\"b\"} 1\n", "# TYPE a gauge\na{a=\"b\"} 1\n"),
        (
            "# TYPE a gaugehistogram\na_bucket{le=\"+Inf\"} 3\na_gcount 3\na_gsum -5\n",
            "# TYPE a_bucket gauge\na_bucket{le=\"+Inf\"} 3\n# TYPE a_gcount gauge\na_gcount 3\n\
             # TYPE a_gsum gauge\na_gsum -5\n",
        ),
        (
            "# TYPE a histogram\n# HELP a A\na_bucket{le=\"+Inf\"} 3\na_count 3\na_sum 2\n",
            "# HELP a A\n# TYPE a histogram\na_bucket{le=\"+Inf\"} 3\na_sum 2\na_count 3\n",
        ),
        (
            "# TYPE a summary\na_count 3\na_sum 2\na{quantile=\"0.5\"} 1\n",
            "# TYPE a summary\na{quantile=\"0.5\"} 1\na_sum 2\na_count 3\n",
        ),
    ] {
        assert_eq!(whole(open), text);
    }
}

#[test]
fn a_counter_with_a_type_under_its_text_name_keeps_that_type() {
    let source = "# TYPE a counter\n# TYPE a_total gauge\na_total 1\n";
    assert_eq!(whole(source), "# TYPE a_total gauge\na_total 1\n");
}

#[test]
fn creation_times_are_dropped_and_counted() {
    for (kind, samples) in [
        ("counter", "a_total{b=\"c\"} 1\na_created{b=\"c\"} 5\na_created{b=\"d\"} 5\n"),
        ("summary", "a_count 1\na_sum 1\na_created 5\na_created{b=\"d\"} 5\n"),
        ("histogram", "a_bucket{le=\"+Inf\"} 1\na_created 5\na_created{b=\"d\"} 5\n"),
    ] {
        let page = page(&format!("# TYPE a {kind}\n{samples}"));
        assert_eq!(dropped(&page, Reason::Created), 2, "{kind}");
        assert!(!page.as_text().contains("_created"), "{kind}");
    }
    let gauge = "# TYPE a_created gauge\na_created 5\n";
    assert_eq!(whole(gauge), gauge);
    assert_eq!(
        whole("# TYPE a gauge\na_created 5\n"),
        "# TYPE a gauge\n# TYPE a_created untyped\na_created 5\n"
    );
}

#[test]
fn exemplars_of_counters_and_buckets_are_kept() {
    let page = page(concat!(
        "# TYPE a counter\na_total{b=\"c\"} 1 # {z=\"2\",y=\"}  # \\\"\"} 0.5\n",
        "a_total 2 7 #  { } +inf 1.5e3 \n",
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1 # {id=\"\"} 3 4\nh_sum 3\nh_count 1\n",
        "# TYPE g gauge\ng 1\n",
    ));
    let expected = concat!(
        "# TYPE a_total counter\na_total 2 7000 # {} +Inf 1.5e3\n",
        "a_total{b=\"c\"} 1 # {y=\"}  # \\\"\",z=\"2\"} 0.5\n",
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1 # {id=\"\"} 3 4\nh_sum 3\nh_count 1\n",
        "# TYPE g gauge\ng 1\n",
    );
    assert_eq!(page.as_text(), expected);
    assert_eq!((page.report().unreadable_lines, page.report().dropped.total()), (0, 0));
    let has: Vec<_> = page.families().map(|family| family.has_exemplars()).collect();
    assert_eq!(has, [true, true, false]);
    assert_eq!(parse::canonical(expected.into()).unwrap(), page);

    let mut samples = page.families().next().unwrap().samples();
    let (first, second) = (samples.next().unwrap(), samples.next().unwrap());
    assert_eq!((first.timestamp(), first.tail()), (Some("7000"), " 2 7000"));
    let exemplar = first.exemplar().unwrap();
    assert_eq!((exemplar.value(), exemplar.timestamp()), (f64::INFINITY, Some(1500.0)));
    assert_eq!(exemplar.labels().count(), 0);
    let exemplar = second.exemplar().unwrap();
    assert_eq!((second.timestamp(), exemplar.value(), exemplar.timestamp()), (None, 0.5, None));
    let labels: Vec<_> = exemplar.labels().collect();
    assert_eq!(labels, [("y", "}  # \\\""), ("z", "2")]);
}

#[test]
fn illegal_exemplars_are_dropped_and_counted_and_their_samples_are_kept() {
    let long = "x".repeat(limits::EXEMPLAR_CHARACTERS - 1);
    let fits = format!("a_total 1 # {{i=\"{}\"}} 1\n", long.replace('x', "é"));
    assert!(whole(&format!("# TYPE a counter\n{fits}")).ends_with(&fits));
    for source in [
        "# TYPE a gauge\na 1 # {} 1\n".to_owned(),
        "a 1 # {} 1\n".to_owned(),
        "# TYPE a summary\na{quantile=\"1\"} 1 # {} 1\n".to_owned(),
        "# TYPE a histogram\na_bucket{le=\"+Inf\"} 1\na_count 1 # {} 1\n".to_owned(),
        "# TYPE a gaugehistogram\na_bucket{le=\"+Inf\"} 1 # {} 1\n".to_owned(),
        format!("# TYPE a counter\na_total 1 # {{ij=\"{long}\"}} 1\n"),
    ] {
        let page = page(&source);
        assert_eq!((dropped(&page, Reason::Exemplar), page.report().unreadable_lines), (1, 0));
        assert!(!page.as_text().contains(" # "), "{source}");
        assert!(page.report().samples > 0, "{source}");
    }
}

#[test]
fn a_line_with_an_unreadable_exemplar_is_unreadable() {
    for exemplar in [
        "#",
        "# 1",
        "# {}",
        "# {d} 1",
        "# {} x",
        "# {} 1 x",
        "# {} 1 NaN",
        "# {} 1 2 3",
        "# {a=\"\",a=\"\"} 1",
    ] {
        let page = page(&format!("# TYPE a counter\na_total 1 {exemplar}\n"));
        assert_eq!((page.report().samples, page.report().unreadable_lines), (0, 1), "{exemplar}");
    }
}

#[test]
fn timestamps_become_milliseconds() {
    for (seconds, milliseconds) in [
        ("0", "0"),
        ("000", "0"),
        ("1.1", "1100"),
        ("1.5e3", "1500000"),
        ("1520879607.789", "1520879607789"),
        ("0.0005", "1"),
    ] {
        let expected = format!("# TYPE a untyped\na 1 {milliseconds}\n");
        assert_eq!(whole(&format!("a 1 {seconds}\n")), expected);
    }
    for not in ["NaN", "+Inf", "0x1", "1_0", "12345678901234567890", "1 2"] {
        assert_eq!(page(&format!("a 1 {not}\n")).report().unreadable_lines, 1, "{not}");
    }
}

#[test]
fn a_backslash_that_escapes_nothing_is_a_literal_backslash() {
    assert_eq!(
        whole("# HELP a \\\"q\\\" \\n \\\\ \\t \\\n# TYPE a gauge\na{b=\"\\f\\\"\\n\\\\\"} 1\n"),
        "# HELP a \"q\" \\n \\\\ \\\\t \\\\\n# TYPE a gauge\na{b=\"\\\\f\\\"\\n\\\\\"} 1\n"
    );
}

proptest! {
    #[test]
    fn any_bytes_make_a_canonical_page_or_none(bytes: Vec<u8>) {
        if let Ok(page) = parse::openmetrics(bytes) {
            is_canonical(&page)?;
        }
    }

    #[test]
    fn any_fragments_of_lines_make_a_canonical_page(
        pieces in proptest::collection::vec(
            prop_oneof![
                fragment(),
                Just("# TYPE a counter\n".to_owned()),
                Just("# TYPE a gaugehistogram\n".to_owned()),
                Just("# TYPE a info\n".to_owned()),
                Just("a_total 1 # {b=\"".to_owned()),
                Just("a_created 1.5\n".to_owned()),
                Just("# UNIT a s\n".to_owned()),
            ],
            0..60,
        ),
    ) {
        let page = parse::openmetrics(format!("{}\n# EOF\n", pieces.concat()).into_bytes());
        is_canonical(&page.unwrap())?;
    }
}
