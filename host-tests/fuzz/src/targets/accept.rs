//! The choice of a format by Accept headers, one per line of input.
//!
//! For plain media ranges with weights, the choice is that of a second implementation of RFC 9110, section 12.5.1; at
//! equal weights it is the controller's choice, and with invalid weights it is the controller's answer. A header
//! without quotes has the same meaning with other blanks, in other case, and when it is split at a comma.

use awx_metrics_filter::exposition::Format;
use awx_metrics_filter::scrape::accept::{MediaType, NotAcceptable, choose};

use crate::{PLANTED, Target};

pub(crate) const TARGET: Target = Target {
    name: "accept",
    run,
    longest: 160,
    thousands: 2_000,
    words: &[
        "text/plain",
        "application/json",
        "application/openmetrics-text",
        "application/vnd.google.protobuf",
        "text/html",
        "*/*",
        "text/*",
        "application/*",
        ";q=",
        "0.001",
        ".5",
        "0.0001",
        "0.5",
        "1.000",
        ";version=0.0.4",
        ";version=1.0.0",
        ", ",
        ";charset=utf-8",
        ";indent=4",
        ";escaping=",
    ],
    fault: "a weight below one counts as zero",
};

/// The formats for clients that name no version, the preferred ones first, and true if a range with a star selects them
/// too.
const OFFERS: [(&str, &str, bool); 5] = [
    ("text", "plain", true),
    ("application", "json", true),
    ("application", "openmetrics-text", false),
    ("application", "vnd.google.protobuf", false),
    ("text", "html", false),
];

fn run(bytes: &[u8]) {
    let headers: Vec<Vec<u8>> = bytes.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
    let found = subject(&headers);
    if let Some(ranges) = ranges(&headers) {
        assert_eq!(found.map(|media| offer_of(media.format)), best(&ranges).ok_or(NotAcceptable));
    }
    if bytes.contains(&b'"') {
        return;
    }
    for same in [cut_in_two(&headers), joined(&headers), widened(&headers), in_upper_case(&headers)]
    {
        assert_eq!(chosen(&same), chosen(&headers), "spelt otherwise");
    }
}

fn subject(headers: &[Vec<u8>]) -> Result<MediaType, NotAcceptable> {
    if !PLANTED {
        return chosen(headers);
    }
    let without =
        |header: &Vec<u8>| String::from_utf8_lossy(header).replace("q=0.", "q=0;of=").into_bytes();
    chosen(&headers.iter().map(without).collect::<Vec<_>>())
}

fn chosen(headers: &[Vec<u8>]) -> Result<MediaType, NotAcceptable> {
    choose(None, headers.iter().map(Vec::as_slice))
}

fn offer_of(format: Format) -> usize {
    match format {
        Format::Text => 0,
        Format::Json { .. } => 1,
        Format::OpenMetrics => 2,
        Format::Protobuf => 3,
        Format::Html => 4,
    }
}

fn cut_in_two(headers: &[Vec<u8>]) -> Vec<Vec<u8>> {
    headers
        .iter()
        .flat_map(|header| header.split(|&byte| byte == b','))
        .map(<[u8]>::to_vec)
        .collect()
}

fn joined(headers: &[Vec<u8>]) -> Vec<Vec<u8>> {
    vec![headers.join(&b',')]
}

fn widened(headers: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let widen = |header: &Vec<u8>| {
        let bytes = header.iter().map(|&byte| match byte {
            b',' => b" ,\t".to_vec(),
            b';' => b" ; ".to_vec(),
            byte => vec![byte],
        });
        bytes.collect::<Vec<_>>().concat()
    };
    headers.iter().map(widen).collect()
}

/// Values of parameters may be case-sensitive, so only headers without parameters are changed.
fn in_upper_case(headers: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let upper = |header: &Vec<u8>| {
        if header.contains(&b';') { header.clone() } else { header.to_ascii_uppercase() }
    };
    headers.iter().map(upper).collect()
}

/// Type, subtype and weight of each range, in thousandths; none if a header contains anything else.
fn ranges(headers: &[Vec<u8>]) -> Option<Vec<(String, String, u16)>> {
    let text = String::from_utf8(headers.join(&b',')).ok()?;
    let elements = text.split(',').map(|element| element.trim_ascii().to_ascii_lowercase());
    elements.filter(|element| !element.is_empty()).map(|element| range(&element)).collect()
}

fn range(element: &str) -> Option<(String, String, u16)> {
    let (range, weight) = match element.split_once(';') {
        Some((range, parameter)) => {
            let (name, value) = parameter.split_once('=')?;
            let is_weight = name.trim_ascii() == "q" && !value.contains([';', '"']);
            (range, is_weight.then(|| thousandths(value.trim_ascii()))?)
        }
        None => (element, 1000),
    };
    let (kind, subtype) = range.trim_ascii().split_once('/')?;
    let is_token =
        |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "-*.".contains(c));
    let fits = is_token(kind) && is_token(subtype) && (kind != "*" || subtype == "*");
    fits.then(|| (kind.to_owned(), subtype.to_owned(), weight))
}

/// A weight that is not a number from 0 to 1 is 1; a positive one is at least a thousandth.
fn thousandths(text: &str) -> u16 {
    let is_plain = text.chars().all(|c| c.is_ascii_digit() || c == '.');
    let Some(number) = text.parse::<f64>().ok().filter(|_| is_plain) else { return 1000 };
    let (whole, digits) = text.split_once('.').unwrap_or((text, ""));
    if !whole.chars().all(|c| c == '0') {
        return 1000;
    }
    let digits: String = format!("{digits}000").chars().take(3).collect();
    digits.parse::<u16>().expect("three digits").max(u16::from(number > 0.0))
}

fn best(ranges: &[(String, String, u16)]) -> Option<usize> {
    let wishes = OFFERS.map(|offer| wish(offer, ranges));
    let most = wishes.into_iter().max()?;
    wishes.iter().position(|&wish| wish == most && wish.0 > 0)
}

/// The preference for an offer: its weight, then the specificity of the range that gives the weight.
fn wish(
    (kind, subtype, to_anybody): (&str, &str, bool),
    ranges: &[(String, String, u16)],
) -> (u16, u8) {
    let of = |kind: &str, subtype: &str, specificity: u8| {
        let same = ranges.iter().filter(|range| range.0 == kind && range.1 == subtype);
        same.map(|range| (range.2, specificity)).max()
    };
    let by_name = of(kind, subtype, 3);
    let by_star = || {
        let any = of(kind, "*", 2).or(of("*", "*", 1));
        any.or(ranges.is_empty().then_some((1000, 1)))
    };
    by_name.or_else(|| by_star().filter(|_| to_anybody)).unwrap_or_default()
}
