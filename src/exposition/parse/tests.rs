use super::*;
use crate::metrics::{Dropped, PageBuilder, Reason};
use proptest::prelude::*;

mod dropped;
mod openmetrics;

const CAPTURE: &str = include_str!("../../../host-tests/fixtures/captures/m/m-admin-text.body");
const DISPATCHER: &str = include_str!("../../../host-tests/fixtures/captures/svc/svc-8014.body");
const CALLBACK_RECEIVER: &str =
    include_str!("../../../host-tests/fixtures/captures/svc/svc-8015.body");

fn page(source: &str) -> Page {
    text(source.as_bytes().to_vec()).unwrap()
}

/// The canonical text of a page with this line only, or the number of unreadable lines.
fn one(line: &str) -> Result<String, u64> {
    let page = page(line);
    match page.report().unreadable_lines {
        0 => Ok(page.families().flat_map(|family| family.lines().lines()).collect()),
        lines => {
            assert_eq!(page.as_text(), "");
            Err(lines)
        }
    }
}

fn dropped(page: &Page, reason: Reason) -> u64 {
    let dropped = page.report().dropped;
    assert_eq!(dropped.of(reason), dropped.total(), "dropped for no other reason");
    dropped.total()
}

#[test]
fn families_that_are_not_accepted_do_not_count() {
    let lines = |name: &str, samples: usize| -> String {
        (0..samples).map(|at| format!("{name}{{b=\"{at}\"}} 1\n")).collect()
    };
    let most = limits::SOURCE_SAMPLES;
    let page = format!(
        "{}# TYPE h histogram\nh_bucket{{le=\"+Inf\"}} 1\nh_sum 1\nh_count 1\nh_sums 1\n{}",
        lines("x", most),
        lines("a", 3)
    );
    let read = |takes: Takes<'_>| text_of(page.clone().into(), takes);
    assert_eq!(read(&|_| true), Err(Refused::Samples));
    let names = |page: Page| page.families().map(|it| it.name().to_owned()).collect::<Vec<_>>();
    assert_eq!(names(read(&|name| name != "x").unwrap()), ["h", "h_sums", "a"]);
    let histogram = read(&|name| name == "h").unwrap();
    assert_eq!((names(histogram.clone()), histogram.report().samples), (vec!["h".to_owned()], 3));
    assert_eq!(names(read(&|name| name == "h_sum").unwrap()), [""; 0]);
    assert_eq!(names(read(&|name| name == "a").unwrap()), ["a"]);
}

#[test]
fn a_canonical_page_is_its_own_rendering() {
    let source = "# HELP a Help.\n# TYPE a counter\na{b=\"1\",c=\"\"} 1\na{b=\"2\"} 2.50 17\n\
                  # TYPE b gauge\nb 1.6e+010\n";
    assert_eq!(page(source).as_text(), source);
}

#[test]
fn the_captured_page_is_read_whole_except_for_repeated_series() {
    let page = page(CAPTURE);
    assert_eq!(page.report().unreadable_lines, 0);
    // The three families that the controller prints twice, for three nodes each.
    assert_eq!(dropped(&page, Reason::Duplicate), 9);
    assert_eq!(page.families().len(), 64);
    let lines = CAPTURE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).count();
    assert_eq!(page.report().samples, lines - 9);
    for line in page.as_text().lines() {
        assert!(CAPTURE.lines().any(|captured| captured == line), "{line}");
    }
}

#[test]
fn the_first_value_of_a_repeated_series_is_kept() {
    let page = page(CAPTURE);
    let family = page.families().find(|it| it.name() == "subsystem_metrics_pipe_execute_calls");
    let first: Vec<_> = CAPTURE
        .lines()
        .filter(|line| line.starts_with("subsystem_metrics_pipe_execute_calls{"))
        .take(3)
        .collect();
    assert_eq!(family.unwrap().lines().lines().collect::<Vec<_>>(), first);
}

#[test]
fn the_pages_of_single_services_are_read() {
    assert_eq!(page(DISPATCHER).report().samples, 29);
    let page = page(CALLBACK_RECEIVER);
    let batches = page.families().find(|family| family.kind() == Kind::Histogram).unwrap();
    assert_eq!(batches.name(), "callback_receiver_batch_events_insert_db");
    let last: Vec<_> = batches.lines().lines().skip(6).collect();
    assert_eq!(
        last,
        [
            "callback_receiver_batch_events_insert_db_sum 162706.0",
            "callback_receiver_batch_events_insert_db_count 14.0",
        ]
    );
}

#[test]
fn the_order_of_samples_and_labels_on_the_page_does_not_matter() {
    let one = page("a{x=\"2\",b=\"1\"} 2\na{b=\"1\",x=\"1\"} 1\n");
    let other = page("a{x=\"1\",b=\"1\"} 1\na{b=\"1\",x=\"2\"} 2\n");
    assert_eq!(one, other);
    assert_eq!(one.as_text(), "# TYPE a untyped\na{b=\"1\",x=\"1\"} 1\na{b=\"1\",x=\"2\"} 2\n");
}

#[test]
fn the_order_of_labels_does_not_distinguish_series() {
    let page = page("a{x=\"1\",b=\"1\"} 1\na{b=\"1\",x=\"1\"} 2\na{b=\"1\" , x=\"1\",} 3\n");
    assert_eq!(page.as_text(), "# TYPE a untyped\na{b=\"1\",x=\"1\"} 1\n");
    assert_eq!(dropped(&page, Reason::Duplicate), 2);
}

#[test]
fn a_histogram_is_assembled_from_lines_in_any_order() {
    let page = page(concat!(
        "h_count{n=\"2\"} 4\nh_bucket{le=\"+Inf\",n=\"1\"} 9\nother 1\n",
        "h_bucket{le=\"10\",n=\"1\"} 8\nh_bucket{n=\"1\",le=\"5.0\"} 7\nh_sum{n=\"1\"} 3\n",
        "# TYPE h histogram\nh_count{n=\"1\"} 9\nh_bucket{n=\"2\",le=\"1e1\"} 4\n# HELP h Late.\n",
    ));
    assert_eq!(
        page.as_text(),
        concat!(
            "# TYPE other untyped\nother 1\n",
            "# HELP h Late.\n# TYPE h histogram\n",
            "h_bucket{le=\"5.0\",n=\"1\"} 7\nh_bucket{le=\"10\",n=\"1\"} 8\n",
            "h_bucket{le=\"+Inf\",n=\"1\"} 9\nh_sum{n=\"1\"} 3\nh_count{n=\"1\"} 9\n",
            "h_bucket{le=\"1e1\",n=\"2\"} 4\nh_count{n=\"2\"} 4\n",
        )
    );
}

#[test]
fn a_summary_has_quantiles_but_no_buckets() {
    let page = page(concat!(
        "# TYPE s summary\ns_count 3\ns{quantile=\"0.9\"} 2\ns{quantile=\"0.5\"} NaN\ns_sum 6\n",
        "s_bucket{le=\"1\"} 1\n",
    ));
    assert_eq!(
        page.as_text(),
        concat!(
            "# TYPE s summary\ns{quantile=\"0.5\"} NaN\ns{quantile=\"0.9\"} 2\ns_sum 6\ns_count 3\n",
            "# TYPE s_bucket untyped\ns_bucket{le=\"1\"} 1\n",
        )
    );
}

#[test]
fn a_name_with_a_type_of_its_own_belongs_to_no_histogram() {
    let page = page("# TYPE h histogram\nh_count 1\n# TYPE h_count gauge\nh_sum 2\n");
    let expected = "# TYPE h histogram\nh_sum 2\n# TYPE h_count gauge\nh_count 1\n";
    assert_eq!(page.as_text(), expected);
}

#[test]
fn samples_that_do_not_fit_their_type_are_dropped() {
    let page = page(concat!(
        "# TYPE h histogram\nh 1\nh_bucket 2\nh_bucket{le=\"many\"} 3\nh_sum 4\n",
        "# TYPE s summary\ns 5\ns{quantile=\"half\"} 6\n",
    ));
    assert_eq!(dropped(&page, Reason::TypeConflict), 5);
    assert_eq!(page.as_text(), "# TYPE h histogram\nh_sum 4\n# TYPE s summary\n");
}

#[test]
fn the_first_help_and_type_are_kept() {
    let page = page("# TYPE a gauge\n# HELP a One.\na 1\n# HELP a Two.\n# TYPE a counter\n");
    assert_eq!(page.as_text(), "# HELP a One.\n# TYPE a gauge\na 1\n");
}

#[test]
fn a_family_without_samples_is_kept() {
    let source = "# HELP a One.\n# TYPE a gauge\n# HELP b Two.\n# TYPE b untyped\n";
    assert_eq!(page("# HELP a One.\n# TYPE a gauge\n# HELP b Two.\n").as_text(), source);
}

#[test]
fn comments_empty_lines_and_the_end_mark_are_ignored() {
    let source = "\n#\n# \n#HELP a b\n# UNIT a s\n# EOF\n \t\n# HELP\u{a0}a\n#TYPE\n# \\x\n";
    assert_eq!(page(source), Page::default());
}

#[test]
fn blanks_are_allowed_where_the_grammar_has_them() {
    for line in [
        "a{b=\"1\"} 2 3\n",
        " \ta{b=\"1\"} 2 3\n",
        "a {b=\"1\"} 2 3\n",
        "a\t{ b=\"1\"}\t2\t3\t\n",
        "a{b = \"1\" } 2  3 \n",
        "a{b=\"1\",}2 3\n",
        "a{b=\"1\" , } 2 3",
    ] {
        assert_eq!(one(line).as_deref(), Ok("a{b=\"1\"} 2 3"), "{line:?}");
    }
    assert_eq!(one("a{} 1\n").as_deref(), Ok("a 1"));
    assert_eq!(one("a{ } 1\n").as_deref(), Ok("a 1"));
}

#[test]
fn values_keep_their_spelling_unless_they_are_not_decimal_numbers() {
    for (value, spelt) in [
        ("1.6e+010", "1.6e+010"),
        ("+0.50", "+0.50"),
        ("nan", "NaN"),
        ("inf", "+Inf"),
        ("-INFINITY", "-Inf"),
        ("+Inf", "+Inf"),
    ] {
        assert_eq!(one(&format!("a {value}\n")), Ok(format!("a {spelt}")));
    }
}

#[test]
fn an_invalid_line_is_counted_and_affects_no_other_line() {
    for line in [
        "a",
        "a ",
        "a b",
        "a 1 2 3",
        "a 1 1.5",
        "a 1 +5",
        "a 1 9223372036854775808",
        "a 1 # {} 1",
        "a\u{a0}1",
        "a 1\r",
        "a+1",
        "5a 1",
        "a-b 1",
        "é 1",
        "{a=\"1\"} 1",
        "{\"a} 1",
        "{\"a\" 1",
        "{\"a\"=} 1",
        "{\"\"=\"1\"} 1",
        "a{__b=\"1\"} 1",
        "a{__b__=\"1\"} 1",
        "a{b=\"1\" 1",
        "a{b=\"1} 1",
        "a{b=\"1\\\"} 1",
        "a{b=\"\\x} 1",
        "a{b=\"\\",
        "a{b=1} 1",
        "a{b} 1",
        "a{b=} 1",
        "a{=\"1\"} 1",
        "a{,} 1",
        "a{,b=\"1\"} 1",
        "a{b=\"1\",,} 1",
        "a{b=\"1\"c=\"2\"} 1",
        "a{b=\"1\";c=\"2\"} 1",
        "a{b=\"1\",b=\"2\"} 1",
        "a{c=\"1\",b=\"2\",c=\"3\"} 1",
        "a{__name__=\"b\"} 1",
        "a{b:c=\"1\"} 1",
        "a{5=\"1\"} 1",
        "a{é=\"1\"} 1",
        "a{b=\"1\"}} 1",
        "a{b=\"1\"}",
        "a{b=\"quo\"te\"} 1",
        "a 1e999",
        "a 0x1p3",
        "a 1_0",
        "# HELP",
        "# HELP ",
        "# HELP a-b c",
        "# HELP 5 c",
        "# TYPE a",
        "# TYPE a ",
        "# TYPE a Gauge",
        "# TYPE a gauge x",
        "# TYPE a stateset",
        "# TYPE a gauge\r",
        "# TYPE é gauge",
    ] {
        assert_eq!(one(line), Err(1), "{line:?}");
        let among = page(&format!("x 1\n{line}\ny 2\n"));
        let expected = "# TYPE x untyped\nx 1\n# TYPE y untyped\ny 2\n";
        assert_eq!((among.as_text(), among.report().unreadable_lines), (expected, 1), "{line:?}");
    }
}

#[test]
fn a_node_name_that_the_controller_did_not_escape_affects_at_most_its_own_lines() {
    let page = page("a{node=\"x\"y\"} 1\na{node=\"c:\\win\"} 2\na{node=\"z\"} 3\n");
    let expected = "# TYPE a untyped\na{node=\"c:\\\\win\"} 2\na{node=\"z\"} 3\n";
    assert_eq!((page.as_text(), page.report().unreadable_lines), (expected, 1));
}

#[test]
fn only_the_line_that_is_not_utf8_is_unreadable() {
    let page = text(b"a 1\nb{c=\"\xff\"} 2\n# \xc3\nd{e=\"\xc3\xa9\"} 3".to_vec()).unwrap();
    let expected = "# TYPE a untyped\na 1\n# TYPE d untyped\nd{e=\"é\"} 3\n";
    assert_eq!((page.as_text(), page.report().unreadable_lines), (expected, 2));
}

#[test]
fn the_report_counts_kept_and_dropped_samples() {
    let page = page("a 1\na 2\n?\n");
    let mut dropped = Dropped::default();
    dropped.add(Reason::Duplicate, 1);
    let expected = crate::metrics::Report { samples: 1, unreadable_lines: 1, dropped };
    assert_eq!(*page.report(), expected);
}

#[test]
fn a_page_beyond_the_limits_is_refused_whole() {
    let line = "a 1\n";
    let full = line.repeat(limits::SOURCE_SAMPLES);
    assert_eq!(page(&full).report().samples, 1);
    assert_eq!(text((full + line).into_bytes()), Err(Refused::Samples));
    let names = (0..=limits::SOURCE_NAMES).map(|at| format!("# TYPE a{at} gauge\n"));
    assert_eq!(text(names.collect::<String>().into_bytes()), Err(Refused::Names));
    let bytes = limits::PAGE_BYTES + 1;
    assert_eq!(text(vec![b'\n'; bytes]), Err(Refused::Bytes));
}

#[test]
fn ten_thousand_labels_on_one_line_are_read() {
    let labels: Vec<_> = (0..10_000).map(|at| format!("l{at}=\"\"")).collect();
    let page = page(&format!("a{{{}}} 1\n", labels.join(",")));
    let sample = page.families().next().unwrap().samples().next().unwrap();
    assert_eq!(sample.labels().count(), 10_000);
    assert!(sample.labels().is_sorted());
}

/// Fragments of lines, and some that no line may contain.
fn fragment() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("# HELP a ".to_owned()),
        Just("# TYPE a ".to_owned()),
        Just("histogram\n".to_owned()),
        Just("summary\n".to_owned()),
        Just("a_bucket{le=\"".to_owned()),
        Just("a{quantile=\"".to_owned()),
        Just("a_sum".to_owned()),
        Just("a_count".to_owned()),
        Just("a{b=\"".to_owned()),
        Just("\",c=\"".to_owned()),
        Just("\"} 1\n".to_owned()),
        Just(" 2 3\n".to_owned()),
        Just("\n".to_owned()),
        "[ \t\\\\\"n{},=0-9.a-c#\r\u{e9}-]{0,6}",
    ]
}

/// The guarantees of every page, for any input.
fn is_canonical(page: &Page) -> Result<(), TestCaseError> {
    let again = canonical(page.as_text().as_bytes().to_vec()).unwrap();
    prop_assert_eq!(again.as_text(), page.as_text());
    prop_assert_eq!(again.report().unreadable_lines, 0);
    prop_assert_eq!(again.report().dropped.total(), 0);
    prop_assert_eq!(again.report().samples, page.report().samples);
    for family in page.families() {
        for sample in family.samples() {
            prop_assert!(sample.name().starts_with(family.name()));
            let labels: Vec<_> =
                sample.labels().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
            let block =
                if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            prop_assert_eq!(sample.label_block(), block);
            let stamp = sample.timestamp().map(|stamp| format!(" {stamp}")).unwrap_or_default();
            prop_assert_eq!(sample.tail(), format!(" {}{stamp}", sample.token()));
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_bytes_make_a_canonical_page(bytes: Vec<u8>) {
        is_canonical(&text(bytes).unwrap())?;
    }

    #[test]
    fn any_fragments_of_lines_make_a_canonical_page(
        pieces in proptest::collection::vec(fragment(), 0..60),
    ) {
        is_canonical(&page(&pieces.concat()))?;
    }

    #[test]
    fn a_damaged_capture_makes_a_canonical_page(
        damage in proptest::collection::vec((0..CAPTURE.len(), any::<u8>()), 1..20),
        cut in 0..CAPTURE.len(),
    ) {
        let mut bytes = CAPTURE.as_bytes().to_vec();
        for (at, byte) in damage {
            bytes[at] = byte;
        }
        bytes.rotate_left(cut);
        is_canonical(&text(bytes).unwrap())?;
    }

    #[test]
    fn a_built_page_is_read_back_unchanged(
        families in proptest::collection::vec(
            ("[a-c]{1,2}", 0..4_u8, "\\PC{0,9}", proptest::collection::vec(
                (proptest::collection::btree_map("[a-d]", "(?s).{0,9}", 0..3), any::<f64>()), 0..6)),
            0..6),
    ) {
        let kinds = [Kind::Counter, Kind::Gauge, Kind::Untyped, Kind::Counter];
        let mut builder = PageBuilder::new();
        for (name, kind, help, samples) in &families {
            builder.family(name, kinds[usize::from(*kind)], help);
            for (labels, value) in samples {
                let labels: Vec<_> =
                    labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                builder.sample("", &labels, *value);
            }
        }
        let built = builder.build();
        prop_assert_eq!(built.report().unreadable_lines, 0);
        let read = page(built.as_text());
        prop_assert_eq!(read.as_text(), built.as_text());
        for (read, built) in read.families().zip(built.families()) {
            for (read, built) in read.samples().zip(built.samples()) {
                let equal = read.value() == built.value();
                prop_assert!(equal || read.value().is_nan() && built.value().is_nan());
            }
        }
    }
}
