//! A page, in text or, after a `!`, in OpenMetrics, rendered in every format.
//!
//! OpenMetrics can be parsed again. Rendered text parses as itself; OpenMetrics as the same series and, for families
//! that keep their type, the same exemplars; JSON is valid JSON; and protobuf is messages of the announced lengths.

use std::rc::Rc;

use awx_metrics_filter::exposition::{Format, openmetrics, parse, render};
use awx_metrics_filter::metrics::{Family, Kind, Merged, Page, Part, Selection, merge};

use crate::{PLANTED, Target};

pub(crate) const TARGET: Target = Target {
    name: "rendered",
    run,
    longest: 256,
    thousands: 2_000,
    words: &[
        "!",
        "# HELP ",
        "# TYPE ",
        "# UNIT ",
        "counter\n",
        "gauge\n",
        "histogram\n",
        "summary\n",
        "info\n",
        "stateset\n",
        "gaugehistogram\n",
        "unknown\n",
        "_total",
        "_created",
        "_bucket",
        "_sum",
        "_count",
        "_gsum",
        "_gcount",
        "_info",
        "{le=\"",
        "+Inf",
        "quantile",
        "\"} ",
        "\\\\",
        "\\\"",
        "\\n",
        "NaN",
        " # {a=\"b\"} 1",
        " # {} 1 2.5\n",
        "# EOF\n",
        "a{b=\"c\"} 1\n",
        "1.5",
    ],
    fault: "OpenMetrics has timestamps in milliseconds, as in text",
};

fn run(bytes: &[u8]) {
    let read = match bytes.strip_prefix(b"!") {
        Some(bytes) => parse::openmetrics(bytes.to_vec()),
        None => parse::text(bytes.to_vec()),
    };
    let Ok(page) = read else { return };
    let again = parse::canonical(page.as_text().into()).expect("a page");
    assert_eq!(again.as_text(), page.as_text(), "as text");
    assert_eq!((again.report().unreadable_lines, again.report().dropped.total()), (0, 0));
    let stored = page.clone().into_stored();
    reads_damaged(&stored, bytes);
    let page = Rc::new(Page::from_stored(stored).expect("the stored page"));
    assert_eq!(again.as_text(), page.as_text(), "as stored");
    let part = Part { page: Rc::clone(&page), labels: &[], gateway_families: true };
    let merged = Rc::new(merge(&[part]));
    renders_as_text(&merged, &page);
    renders_as_openmetrics(&merged, &page);
    renders_as_json(&merged);
    renders_as_protobuf(&merged);
}

/// Flips a bit of a stored page, and renders it if it can be read.
fn reads_damaged(stored: &[u8], bytes: &[u8]) {
    let sum = bytes.iter().fold(0_usize, |sum, &byte| sum * 31 % 65_521 + usize::from(byte));
    let mut damaged = stored.to_vec();
    damaged[sum % stored.len()] ^= 1 << (sum % 8);
    let Some(page) = Page::from_stored(damaged) else { return };
    let part = Part { page: Rc::new(page), labels: &[], gateway_families: true };
    let merged = Rc::new(merge(&[part]));
    let line = Format::Json { indent: None };
    for format in [Format::Text, Format::OpenMetrics, line, Format::Protobuf] {
        let _ = rendered(&merged, format);
    }
}

fn rendered(merged: &Rc<Merged>, format: Format) -> Vec<u8> {
    render(Rc::clone(merged), &Selection::default(), format)
}

fn renders_as_text(merged: &Rc<Merged>, page: &Page) {
    let out = rendered(merged, Format::Text);
    let out = String::from_utf8(out).expect("UTF-8");
    assert_eq!(series(&parse::text(out.into()).expect("a page")), series(page), "text");
}

fn renders_as_openmetrics(merged: &Rc<Merged>, page: &Page) {
    if !series(page).iter().filter_map(|series| series.3).all(is_exact) {
        return;
    }
    let mut out = rendered(merged, if PLANTED { Format::Text } else { Format::OpenMetrics });
    out.extend(openmetrics::END);
    let shown = String::from_utf8_lossy(&out).into_owned();
    let read = parse::openmetrics(out).expect("a page with an end");
    assert_eq!(read.report().unreadable_lines, 0, "{shown}");
    assert_eq!(read.report().dropped.total(), 0, "{shown}");
    assert_eq!(series(&read), series(page), "{shown}");
    for family in read.families().filter(|it| matches!(it.kind(), Kind::Counter | Kind::Histogram))
    {
        let same = page.families().find(|it| it.name() == family.name()).expect("the family");
        assert_eq!(exemplars(family), exemplars(same), "{shown}");
    }
}

fn exemplars(family: Family<'_>) -> Vec<Option<&str>> {
    family.samples().map(|sample| Some(sample.exemplar()?.as_str())).collect()
}

fn renders_as_json(merged: &Rc<Merged>) {
    for indent in [None, Some(2)] {
        let out = rendered(merged, Format::Json { indent });
        let read: Result<serde_json::Value, _> = serde_json::from_slice(&out);
        assert!(read.is_ok_and(|json| json.is_object()), "{}", String::from_utf8_lossy(&out));
    }
}

fn renders_as_protobuf(merged: &Rc<Merged>) {
    let out = rendered(merged, Format::Protobuf);
    let mut rest = out.as_slice();
    while !rest.is_empty() {
        let (mut length, mut shift) = (0_usize, 0);
        loop {
            let byte = *rest.split_off_first().expect("a whole length");
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                break;
            }
        }
        assert!(
            rest.split_off(..length).is_some_and(|message| message.first() == Some(&0x0a)),
            "a message, its name first"
        );
    }
}

/// True if a number of seconds can express it to the millisecond. No time exceeds this, and in OpenMetrics such a line
/// is refused.
fn is_exact(milliseconds: i64) -> bool {
    milliseconds.unsigned_abs() < 1 << 43
}

/// Every sample: its name, labels, value and timestamp.
fn series(page: &Page) -> Vec<(String, String, u64, Option<i64>)> {
    let samples = page.families().flat_map(|family| family.samples());
    let mut series: Vec<_> = samples
        .map(|sample| {
            let stamp = sample.timestamp().map(|stamp| stamp.parse().expect("milliseconds"));
            let [name, labels] = [sample.name(), sample.label_block()].map(str::to_owned);
            (name, labels, sample.value().to_bits(), stamp)
        })
        .collect();
    series.sort();
    series
}
