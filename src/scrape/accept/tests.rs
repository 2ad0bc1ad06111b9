use super::*;
use proptest::prelude::*;

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPEN: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const OPEN_UTF8: &str =
    "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8";
const DELIMITED: &str = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; \
                         encoding=delimited";

fn chosen(accept: &[&str]) -> Result<MediaType, NotAcceptable> {
    choose(None, accept.iter().map(|value| value.as_bytes()))
}

/// The Content-Type of the answer; empty for 406.
fn named(accept: &str) -> String {
    chosen(&[accept]).map(|media| media.content_type().into_owned()).unwrap_or_default()
}

fn format(accept: &str) -> Result<Format, NotAcceptable> {
    chosen(&[accept]).map(|media| media.format)
}

#[test]
fn the_parts_of_an_offer_are_its_media_type() {
    for offer in &OFFERS {
        let (kind, subtype) = offer.media;
        let parameters = offer.parameters.iter().map(|(name, value)| format!("; {name}={value}"));
        assert_eq!(format!("{kind}/{subtype}{}", parameters.collect::<String>()), offer.name);
    }
}

#[test]
fn text_is_the_default() {
    for accept in [&[][..], &[""], &[",", " "], &["*/*"], &["text/*"], &["text/plain, */*"]] {
        assert_eq!(chosen(accept).unwrap().content_type(), TEXT, "{accept:?}");
    }
}

/// The headers that these servers sent to a real controller.
#[test]
fn every_prometheus_gets_its_first_choice() {
    for (server, expected, accept) in [
        (
            "2.25",
            "application/openmetrics-text; version=0.0.1; charset=utf-8",
            "application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
        ),
        (
            "2.42",
            OPEN,
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;\
             q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
        ),
        (
            "2.42 with native histograms",
            DELIMITED,
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=\
             delimited,application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-\
             text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
        ),
        (
            "3.0",
            OPEN_UTF8,
            "application/openmetrics-text;escaping=allow-utf-8;version=1.0.0;q=0.5,application/\
             openmetrics-text;version=0.0.1;q=0.4,text/plain;escaping=allow-utf-8;version=1.0.0;\
             q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
        ),
        (
            "3.x",
            OPEN_UTF8,
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/\
             openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;\
             q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
        ),
        (
            "3.x, configured for text",
            "text/plain; version=1.0.0; charset=utf-8; escaping=underscores",
            "text/plain;version=1.0.0;escaping=underscores;q=0.6,text/plain;version=0.0.4;q=0.5,\
             */*;q=0.4",
        ),
    ] {
        assert_eq!(named(accept), expected, "{server}");
    }
}

#[test]
fn only_a_browser_gets_the_html_page() {
    let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8";
    assert_eq!(format(browser), Ok(Format::Html));
    assert_eq!(format("text/*, text/plain;q=0.1"), Ok(Format::Text));
    assert_eq!(chosen(&["*/*;q=0.1", "text/plain;q=0, application/json;q=0"]), Err(NotAcceptable));
}

#[test]
fn the_greater_weight_wins_in_any_order() {
    assert_eq!(format("text/plain;q=0.1, application/json;q=0.9"), Ok(JSON));
    assert_eq!(format("application/json;q=0.1, text/plain;q=0.2"), Ok(Format::Text));
    assert_eq!(format("application/json, */*;q=0.1"), Ok(JSON));
    assert_eq!(format("application/*"), Ok(JSON));
    assert_eq!(format("APPLICATION/JSON;Q=0.5, text/plain;q=0.4"), Ok(JSON));
    assert_eq!(format("application/openmetrics-text"), Ok(Format::OpenMetrics));
    assert_eq!(format("application/vnd.google.protobuf"), Ok(Format::Protobuf));
}

/// The controller answers all of these with the format that they name: it reads no weights.
#[test]
fn a_weight_is_read_leniently() {
    for weight in [
        "q=.5", "q=0.1234", "q=0.0001", "q=1.", "q=1.0000", "q = 0.5", "Q=.5", "q=\".5\"", "q=",
        "q", "q=abc", "q=-1", "q=2", "q=1.5", "q=.", "q=0.0 2", "q=0x1", "q=1e-3", "q=+0.5",
        "q=0.5.5",
    ] {
        assert_eq!(format(&format!("application/json;{weight}")), Ok(JSON), "{weight}");
        assert_eq!(named(&format!("text/plain;{weight}")), TEXT, "{weight}");
    }
    assert_eq!(format("text/plain;q=.5, application/json;q=.6"), Ok(JSON));
    assert_eq!(format("text/plain;q=.59, application/json;q=.6"), Ok(JSON));
    assert_eq!(format("text/plain;q=0.0009, application/json;q=0.001"), Ok(Format::Text));
    assert_eq!(format("text/plain;q=0.9, application/json;q=abc"), Ok(JSON));
    assert_eq!(format("text/plain;q=.0, application/json;q=.001"), Ok(JSON));
}

/// The controller's own choice. It considers only how specific a range is.
#[test]
fn at_one_weight_the_more_specific_range_wins() {
    for (accept, expected) in [
        ("application/json, */*", JSON),
        ("*/*, application/json", JSON),
        ("application/json;q=0.5, */*;q=0.5", JSON),
        ("text/*, application/json", JSON),
        ("application/*, text/plain", Format::Text),
        ("application/*, */*", JSON),
        ("text/html, */*", Format::Html),
        ("application/openmetrics-text, */*", Format::OpenMetrics),
        ("application/vnd.google.protobuf, text/*", Format::Protobuf),
        ("application/json; indent=4, text/plain", Format::Json { indent: Some(4) }),
        ("application/json;odd=1, text/plain;q=1", JSON),
        ("application/json, text/plain;charset=utf-8", Format::Text),
        // Equally specific: the controller's first offer.
        ("application/json, text/plain, */*", Format::Text),
        ("text/html, text/plain", Format::Text),
        ("application/json;a=b, text/plain;version=0.0.4;charset=utf-8", Format::Text),
        // The weight takes precedence.
        ("application/json;q=0.9, */*", Format::Text),
    ] {
        assert_eq!(format(accept), Ok(expected), "{accept}");
    }
}

/// A browser, old versions of Java, and Internet Explorer.
#[test]
fn a_client_that_prefers_html_gets_it() {
    for accept in [
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
        "text/html, image/gif, image/jpeg, */*; q=0.2",
        "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2",
        "text/html, application/xhtml+xml, */*",
        "text/html",
    ] {
        assert_eq!(format(accept), Ok(Format::Html), "{accept}");
    }
}

#[test]
fn the_most_specific_range_determines_the_weight() {
    assert_eq!(format("text/plain;q=0, */*"), Ok(JSON));
    assert_eq!(format("text/*;q=0.1, text/plain;q=0.9, application/*;q=0.5"), Ok(Format::Text));
    let more_parameters = "text/plain;version=0.0.4;charset=utf-8;q=0.1, application/json;q=0.2, \
                           text/plain;version=0.0.4;q=0.9";
    assert_eq!(format(more_parameters), Ok(JSON));
    let unknown = "text/plain;format=flowed;q=0.9, text/plain;q=0.1, application/json;q=0.5";
    assert_eq!(format(unknown), Ok(Format::Text));
}

#[test]
fn a_parameter_that_an_offer_has_must_be_the_same() {
    let protobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily";
    assert_eq!(format(&format!("{protobuf};encoding=text")), Err(NotAcceptable));
    assert_eq!(format(&format!("{protobuf};encoding=delimited")), Ok(Format::Protobuf));
    assert_eq!(named("text/plain;charset=\"UTF-8\";version=\"0.0.4\""), TEXT);
    assert_eq!(named("application/openmetrics-text;version=0.0.2"), "");
}

#[test]
fn separators_in_quotes_do_not_count() {
    assert_eq!(format("text/plain;q=0.1;a=\",application/json;q=0.9,\""), Ok(Format::Text));
    assert_eq!(format("text/plain;a=\"\\\";q=0\";q=0.5, application/json;q=0.4"), Ok(Format::Text));
    assert_eq!(format("text/plain;a=\"b, application/json"), Ok(Format::Text));
}

#[test]
fn the_versions_with_escaping_name_the_one_that_was_asked_for() {
    for (accept, expected) in [
        (
            "text/plain;version=1.0.0",
            "text/plain; version=1.0.0; charset=utf-8; escaping=underscores",
        ),
        (
            "text/plain;version=1.0.0;escaping=dots",
            "text/plain; version=1.0.0; charset=utf-8; escaping=dots",
        ),
        (
            "text/plain;version=1.0.0;escaping=\"\u{e9}\"",
            "text/plain; version=1.0.0; charset=utf-8; escaping=underscores",
        ),
        ("text/plain;version=0.0.4;escaping=values", TEXT),
        ("application/openmetrics-text;version=1.0.0;escaping=nonsense", OPEN),
        ("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8", OPEN_UTF8),
    ] {
        assert_eq!(named(accept), expected, "{accept}");
    }
}

#[test]
fn a_format_that_the_filter_cannot_render_is_refused() {
    for accept in [
        "application/xml",
        "foo",
        "*/*;q=0",
        "*",
        "text/plain;version=2.0.0",
        "text/plain;charset=latin1",
        "application/json;q=.0",
        "application/json;q=0.",
        "*/json",
        "*/ *",
        "text/ plain",
    ] {
        assert_eq!(format(accept), Err(NotAcceptable), "{accept}");
    }
}

#[test]
fn an_indent_is_limited_to_the_widest() {
    let indented = |indent| Ok(Format::Json { indent: Some(indent) });
    assert_eq!(format("application/json; indent=4"), indented(4));
    assert_eq!(format("application/json; indent=200"), indented(8));
    assert_eq!(format("application/json; indent=many"), Ok(JSON));
}

#[test]
fn the_query_overrides_accept() {
    let chosen = |query, accept: &[u8]| choose(Some(query), [accept].into_iter());
    for (query, format) in [
        ("txt", Format::Text),
        ("openmetrics", Format::OpenMetrics),
        ("json", JSON),
        ("protobuf", Format::Protobuf),
        ("html", Format::Html),
        ("api", Format::Html),
    ] {
        assert_eq!(chosen(query, b"application/xml").map(|media| media.format), Ok(format));
    }
    assert_eq!(chosen("openmetrics", b"").unwrap().content_type(), OPEN);
    assert_eq!(chosen("", b"application/json").map(|media| media.format), Ok(JSON));
    assert_eq!(chosen("xml", b"text/plain"), Err(NotAcceptable));
}

proptest! {
    #[test]
    fn no_bytes_cause_a_panic(accept in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = choose(None, [accept.as_slice()].into_iter());
    }

    #[test]
    fn no_header_of_likely_parts_causes_a_panic(accept in "[ ,;=/*q0.1\"\\\\a-z]{0,40}") {
        let _ = choose(None, [accept.as_bytes()].into_iter());
    }
}
