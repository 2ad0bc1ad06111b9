//! A request's path: its normal form and its query.
//!
//! Both are those of a second implementation. The normal form is its own normal form, and every path that a server
//! behind the gateway could take for the metrics page, decoding once or not at all, is recognised.

use awx_metrics_filter::scrape::route::{leads_to, normal_form, query};

use crate::{PLANTED, Target};

pub(crate) const TARGET: Target = Target {
    name: "path",
    run,
    longest: 64,
    thousands: 6_000,
    words: &[
        "/api",
        "/v2",
        "/metrics",
        "/./",
        "/../",
        "//",
        "%2e",
        "%2F",
        "%25",
        "%61",
        "?",
        "#",
        ";",
        "\\",
        "http://",
        "https://a",
        "..%2f",
        "%252e",
    ],
    fault: "a path is decoded twice",
};

const METRICS: &str = "/api/v2/metrics";

fn run(target: &[u8]) {
    let (path, rest) = divide(target);
    let expected = resolve(&decode(path));
    let normal = subject(target);
    assert_eq!(String::from_utf8_lossy(&normal), String::from_utf8_lossy(&expected));
    assert_eq!(query(target), rest);
    assert_eq!(leads_to(target, METRICS), expected == METRICS.as_bytes());
    if !normal.iter().any(|byte| b"%?#".contains(byte)) {
        assert_eq!(*normal_form(&normal), *normal, "the normal form is its own");
    }
    for readable in [path.to_vec(), decode(path)] {
        if readable.strip_suffix(b"/").unwrap_or(&readable) == METRICS.as_bytes() {
            assert!(leads_to(target, METRICS), "as a server reads it");
        }
    }
}

fn subject(target: &[u8]) -> Vec<u8> {
    let once = normal_form(target).into_owned();
    if PLANTED { normal_form(&once).into_owned() } else { once }
}

/// Path and query of a target.
fn divide(target: &[u8]) -> (&[u8], &[u8]) {
    let fragment = target.iter().position(|&byte| byte == b'#').unwrap_or(target.len());
    let target = &target[..fragment];
    let (before, rest) = match target.iter().position(|&byte| byte == b'?') {
        Some(at) => (&target[..at], &target[at + 1..]),
        None => (target, &[][..]),
    };
    (without_authority(before), rest)
}

/// The part after `scheme://authority`, where the scheme is letters, digits, and a few signs.
fn without_authority(path: &[u8]) -> &[u8] {
    let is_of_scheme = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
    match path.windows(3).position(|three| three == b"://") {
        Some(at) if at > 0 && path[..at].iter().all(is_of_scheme) => {
            let authority = &path[at + 3..];
            let end = authority.iter().position(|&byte| byte == b'/').unwrap_or(authority.len());
            &authority[end..]
        }
        _ => path,
    }
}

/// Percent-encoding, once.
fn decode(path: &[u8]) -> Vec<u8> {
    let hex = |byte: Option<&u8>| char::from(*byte?).to_digit(16);
    let (mut decoded, mut at) = (Vec::new(), 0);
    while at < path.len() {
        match (path[at], hex(path.get(at + 1)), hex(path.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                decoded.push(u8::try_from(high * 16 + low).expect("two hex digits"));
                at += 3;
            }
            (byte, _, _) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    decoded
}

fn resolve(path: &[u8]) -> Vec<u8> {
    let mut segments: Vec<&[u8]> = Vec::new();
    for segment in path.split(|&byte| byte == b'/') {
        match segment {
            b"" | b"." => {}
            b".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    [&b"/"[..], &segments.join(&b'/')].concat()
}
