//! Every reader beside the others: Prometheus 2 and 3, promtool, and prometheus_client's parsers of text and
//! OpenMetrics. A line that one of them refuses is lost together with the whole page, so each line is tried alone, with
//! one good line.

use std::collections::BTreeSet;

use awx_metrics_filter::metrics::Reason;
use host_tests::prometheus::pages::{self, Reading, readings};
use host_tests::tools::Major;

use super::*;

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const NEIGHBOUR: &str = "neighbour 1\n";

type Labels = Vec<(String, String)>;

/// Series by labels, the name among them; values as Rust writes them.
type Read = BTreeMap<Labels, String>;

/// The series that Prometheus has of a page; none if it lost the scrape. In Prometheus 3 only the numbers of bounds
/// must be equal.
fn series_of(reading: &Reading) -> Read {
    let series = pages::by_labels(reading.as_deref().unwrap_or_default());
    series.into_iter().map(|(labels, value)| (with_numbers(labels), value)).collect()
}

/// The same for prometheus_client.
fn series_of_client(families: &[OracleFamily]) -> Read {
    let read = oracle::series(families).into_iter().map(|((name, labels), value)| {
        let value: f64 = value.split(' ').next().unwrap().parse().unwrap();
        let labels = labels.into_iter().filter(|(_, value)| !value.is_empty());
        let labels: BTreeMap<_, _> = labels.chain([("__name__".to_owned(), name)]).collect();
        (with_numbers(labels.into_iter().collect()), format!("{value:?}"))
    });
    read.collect()
}

fn with_numbers(mut labels: Labels) -> Labels {
    for (name, value) in &mut labels {
        if let ("le" | "quantile", Ok(number)) = (name.as_str(), value.parse::<f64>()) {
            *value = format!("{number:?}");
        }
    }
    labels
}

fn has_neighbour(read: &Read) -> bool {
    read.get(&[("__name__".to_owned(), "neighbour".to_owned())][..]).is_some_and(|it| it == "1.0")
}

async fn both(pages: &[pages::Page]) -> Vec<[Read; 2]> {
    let (two, three) = tokio::join!(readings(Major::Two, pages), readings(Major::Three, pages));
    let pairs = two.unwrap().into_iter().zip(three.unwrap());
    pairs.map(|(two, three)| [&two, &three].map(series_of)).collect()
}

fn text_and_neighbour(line: &str) -> String {
    format!("{line}\n{NEIGHBOUR}")
}

fn served(body: impl Into<Bytes>, media_type: &'static str) -> pages::Page {
    pages::Page { body: body.into(), media_type }
}

/// The content of each unchanged page for prometheus_client, Prometheus 2 and Prometheus 3; nothing if the page is
/// refused.
async fn read_by_all(pages: &[String], format: Format) -> Vec<[Read; 3]> {
    let media_type = if format == Format::OpenMetrics { OPENMETRICS } else { TEXT };
    let served: Vec<_> = pages.iter().map(|page| served(page.clone(), media_type)).collect();
    let both = both(&served).await;
    let samples = pages.iter().map(|page| match format {
        Format::OpenMetrics => page.clone(),
        _ => samples_alone(page),
    });
    let samples: Vec<_> = samples.collect();
    let questions: Vec<_> = samples.iter().map(|page| (page.as_str(), format)).collect();
    let client = oracle::families_of_pages(&questions).unwrap();
    let client = client.iter().map(|it| series_of_client(it.as_deref().unwrap_or_default()));
    client.zip(both).map(|(client, [two, three])| [client, two, three]).collect()
}

/// Lines in text 0.0.4 that the filter drops, and true for each of prometheus_client, Prometheus 2 and Prometheus 3
/// that reads a page with the line. The others lose the whole scrape.
const REFUSED_BY_SOME: [(&str, [bool; 3]); 9] = [
    ("m 3 -1", [true, false, false]),
    ("m 3 -0", [true, false, false]),
    ("m{__a=\"b\"} 1", [false, true, true]),
    ("{\"my.metric\"} 1", [true, false, true]),
    ("{\"m\"} 1", [true, false, true]),
    ("m{\"le.x\"=\"1\"} 1", [true, false, true]),
    ("m{a=\"b\\\"} 1", [false, false, false]),
    ("m 1_0", [false, false, false]),
    ("m 0x1p3", [false, false, false]),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_some_reader_refuses_is_never_served() {
    let pages: Vec<_> = REFUSED_BY_SOME.iter().map(|it| text_and_neighbour(it.0)).collect();
    let read = read_by_all(&pages, Format::Text).await;
    for ((line, expected), (page, read)) in REFUSED_BY_SOME.iter().zip(pages.iter().zip(&read)) {
        assert_eq!(read.each_ref().map(has_neighbour), *expected, "{line}");
        let report = text_page(page).report().clone();
        assert_eq!(report.samples, 1, "{line}");
        assert_eq!(report.unreadable_lines + report.dropped.total(), 1, "{line}");
    }
}

/// Correct lines and families, to be damaged.
const SOUND: [&str; 5] = [
    "m{a=\"b\",c=\"\"} 1.5 1700000000000",
    "# HELP m a\\\\b\n# TYPE m counter\nm{a=\"\\\"\\\\\"} 1",
    "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 1\nh_count 2",
    "# TYPE s summary\ns{quantile=\"0.5\"} NaN\ns_sum 1\ns_count 2",
    "# TYPE m counter\nm_total{a=\"b\"} 5 # {c=\"d\"} 1 2.5",
];

/// Replacements for a part of a line.
const DAMAGE: [&str; 25] = [
    "", "\0", "\u{1}", "\u{7f}", "\u{a0}", "\u{feff}", "\u{2028}", "\u{e9}", "\\", "\\\\", "\"",
    "{", "}", ",", "=", "#", " ", "\t", "\r", "_", "__", ":", "-", "e", "0",
];

/// Each page with one damage at one position.
fn damaged() -> Vec<String> {
    let mut pages = BTreeSet::new();
    for (sound, damage) in SOUND.iter().flat_map(|sound| DAMAGE.map(|damage| (sound, damage))) {
        for at in 0..=sound.len() {
            let (before, after) = sound.split_at(at);
            let replaced = after.get(1..).unwrap_or_default();
            for after in [after, replaced] {
                pages.insert(text_and_neighbour(&[before, damage, after].concat()));
            }
        }
    }
    pages.into_iter().collect()
}

/// The filter's renderings of pages, each content once.
fn renderings(pages: &[String]) -> Vec<Rendered> {
    let text = pages.iter().map(|page| text_page(page));
    let open = pages.iter().map(|page| format!("{page}# EOF\n").into_bytes());
    let pages = text.chain(open.map(|page| parse::openmetrics(page).unwrap()));
    let rendered = pages.map(|page| (page.as_text().to_owned(), Rendered::of_page(&page)));
    rendered.collect::<BTreeMap<_, _>>().into_values().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_reader_reads_all_that_the_filter_makes_of_any_line() {
    let rendered = renderings(&damaged());
    assert!(rendered.len() > 1000, "{}", rendered.len());
    let pages = rendered.iter().flat_map(|page| {
        let (text, open) = (page.text.clone(), page.open.clone());
        let protobuf = served(page.protobuf.clone(), PROTOBUF);
        [served(text, TEXT), served(open, OPENMETRICS), protobuf]
    });
    let read = both(&pages.collect::<Vec<_>>()).await;
    let clients = accepted(&rendered);
    for ((page, read), [text, open]) in rendered.iter().zip(read.chunks(3)).zip(clients) {
        let expected = series_of_client(&text);
        assert!(has_neighbour(&expected), "{}", page.text);
        assert_eq!(series_of_client(&open), expected, "{}", page.open);
        for (read, format) in read.iter().zip(["text", "OpenMetrics", "protobuf"]) {
            for read in read {
                assert_eq!(*read, expected, "{format}: {}", page.open);
            }
        }
    }
    for page in rendered.iter().step_by(10) {
        let lines = oracle::promtool(&page.text).unwrap();
        let refuses = |line: &String| line.contains("error while linting");
        assert!(!lines.iter().any(refuses), "{lines:?} {}", page.text);
    }
}

/// Except for invalid bounds, which cannot be part of a histogram.
#[tokio::test(flavor = "multi_thread")]
async fn the_filter_keeps_every_line_that_all_readers_keep() {
    let pages: Vec<_> = damaged().into_iter().step_by(4).collect();
    let read = read_by_all(&pages, Format::Text).await;
    let is_kept =
        |[client, two, three]: &[Read; 3]| has_neighbour(client) && client == two && two == three;
    let kept =
        pages.iter().zip(&read).filter(|(_, read)| is_kept(read)).filter_map(|(page, read)| {
            let ours = text_page(page);
            let has_place = ours.report().dropped.of(Reason::TypeConflict) == 0;
            has_place.then(|| (page, &read[0], ours))
        });
    let kept: Vec<_> = kept.collect();
    assert!(kept.len() > 500, "{}", kept.len());
    let ours: Vec<_> = kept.iter().map(|(_, _, ours)| samples_alone(ours.as_text())).collect();
    let questions: Vec<_> = ours.iter().map(|page| (page.as_str(), Format::Text)).collect();
    let answers = oracle::families_of_pages(&questions).unwrap();
    for ((page, theirs, _), ours) in kept.iter().zip(answers) {
        assert_eq!(series_of_client(&ours.unwrap()), **theirs, "{page:?}");
    }
}

/// The notation of each Prometheus for the bound 1 of a page in text, OpenMetrics and protobuf.
async fn bound_of(page: &str) -> [[String; 3]; 2] {
    let page = Rendered::of_page(&text_page(page));
    let pages =
        [served(page.text, TEXT), served(page.open, OPENMETRICS), served(page.protobuf, PROTOBUF)];
    let mut bounds = Vec::new();
    for major in [Major::Two, Major::Three] {
        let read = readings(major, &pages).await.unwrap();
        bounds.push(std::array::from_fn(|at| {
            let series = read[at].as_ref().unwrap().iter();
            let bounds = series.filter_map(|series| series.labels.get("le"));
            bounds.filter(|bound| bound.starts_with('1')).cloned().collect()
        }));
    }
    [bounds.remove(0), bounds.remove(0)]
}

/// See README, "Formats".
#[tokio::test(flavor = "multi_thread")]
async fn prometheus_3_parses_bounds_as_numbers_in_formats_that_declare_a_histogram() {
    let ends = "h_bucket{le=\"+Inf\"} 2\nh_sum 1\nh_count 2\n";
    let legal = format!("# TYPE h histogram\nh_bucket{{le=\"1\"}} 1\n{ends}");
    assert_eq!(bound_of(&legal).await, [["1", "1", "1.0"], ["1.0"; 3]]);
    // It is not cumulative: text keeps its type, the others cannot.
    let illegal = format!("# TYPE h histogram\nh_bucket{{le=\"1\"}} 3\n{ends}");
    assert_eq!(bound_of(&illegal).await, [["1"; 3], ["1.0", "1", "1"]]);
}
