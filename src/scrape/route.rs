//! Routing: the normal form of a request's path, by which the filter recognises a scrape.
//!
//! If a later proxy or the controller reads a spelling as the metrics path, it must not bypass the filter's authentication;
//! and the filter must not answer any other path. So paths are compared in a normal form:
//!
//! 1. the query and the fragment are removed, and so are the scheme and authority of an absolute-form target
//!    (RFC 9112, section 3.2.2);
//! 2. percent-encoded octets are decoded, once (RFC 3986, section 6.2.2.2; decoding again would match paths that the
//!    controller reads differently). An invalid encoding is not changed;
//! 3. dot segments are removed (RFC 3986, section 5.2.4), and so are empty ones: repeated slashes and the trailing slash.
//!
//! Case, `;` and `\` are kept: for the controller they are part of a name. Normalising takes one pass over the path, and
//! allocates only if the path is not in normal form already.

use percent_encoding::percent_decode;
use std::borrow::Cow;

/// The query of a request's path: the bytes between `?` and `#`, or nothing.
#[must_use]
pub fn query(target: &[u8]) -> &[u8] {
    let target = before(target, |byte| byte == b'#');
    let path = before(target, |byte| byte == b'?');
    target.get(path.len() + 1..).unwrap_or_default()
}

/// Returns true if the normal form of `target` is `path`, which must be in normal form: `/a/b`, without a trailing slash.
#[must_use]
pub fn leads_to(target: &[u8], path: &str) -> bool {
    *normal_form(target) == *path.as_bytes()
}

/// The normal form of a request's path: it begins with a slash, and does not end with one unless it is the root.
#[must_use]
pub fn normal_form(target: &[u8]) -> Cow<'_, [u8]> {
    let path = path_of(target);
    if let Some(normal) = already_normal(path) {
        return Cow::Borrowed(normal);
    }
    let path = before(path, |byte| byte == b'?' || byte == b'#');
    Cow::Owned(resolve(&percent_decode(path).collect::<Vec<u8>>()))
}

/// Removes `http://authority` from an absolute-form target.
fn path_of(target: &[u8]) -> &[u8] {
    if target.first() == Some(&b'/') {
        return target;
    }
    let scheme = before(target, |byte| !is_scheme_byte(byte));
    match target.get(scheme.len()..).and_then(|rest| rest.strip_prefix(b"://")) {
        Some(rest) if !scheme.is_empty() => {
            let authority = before(rest, |byte| matches!(byte, b'/' | b'?' | b'#'));
            rest.get(authority.len()..).unwrap_or_default()
        }
        _ => target,
    }
}

/// Returns true for a byte of a scheme (RFC 3986, section 3.1), so that `://` in a query or fragment is not mistaken for the
/// end of one.
fn is_scheme_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

/// The bytes before the first one that `ends` accepts.
fn before(bytes: &[u8], ends: impl Fn(u8) -> bool) -> &[u8] {
    bytes.split(|&byte| ends(byte)).next().unwrap_or_default()
}

/// The path without its query and its trailing slash, if nothing else in it has to change. This is by far the most common
/// case, so it takes one pass: every proxied request is normalised.
fn already_normal(target: &[u8]) -> Option<&[u8]> {
    let (mut last, mut length) = (0, 0);
    for &byte in target {
        match byte {
            b'?' | b'#' => break,
            b'%' => return None,
            // This may be a dot segment, or is an empty one.
            b'.' | b'/' if last == b'/' => return None,
            _ => {}
        }
        last = byte;
        length += 1;
    }
    let path = target.get(..length)?;
    let path = path.strip_suffix(b"/").unwrap_or(path);
    (path.first() == Some(&b'/')).then_some(path)
}

fn resolve(path: &[u8]) -> Vec<u8> {
    let mut normal = Vec::with_capacity(path.len() + 1);
    for segment in path.split(|&byte| byte == b'/') {
        match segment {
            b"" | b"." => {}
            b".." => {
                let parent = normal.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
                normal.truncate(parent);
            }
            _ => {
                normal.push(b'/');
                normal.extend_from_slice(segment);
            }
        }
    }
    if normal.is_empty() {
        normal.push(b'/');
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const METRICS: &str = "/api/v2/metrics";

    #[test]
    fn every_spelling_of_the_path_is_recognised() {
        for spelling in [
            "/api/v2/metrics",
            "/api/v2/metrics/",
            "/api/v2/metrics?format=json",
            "/api/v2/metrics/?",
            "/api/v2/metrics#fragment",
            "/api/v2/metrics/#?",
            "//api/v2/metrics",
            "/api//v2///metrics//",
            "/./api/v2/metrics/.",
            "/api/v2/../v2/metrics",
            "/../api/v2/metrics",
            "/api/v2/metrics/x/..",
            "/api/v2/metric%73",
            "/%61pi/v2/metrics",
            "/api%2Fv2%2fmetrics",
            "/api/v2/metrics%2F",
            "/api/%2e/v2/metrics",
            "/api/x/%2E%2e/v2/metrics",
            "/api/.%2E/api/v2/metrics",
            "http://controller.example/api/v2/metrics/",
            "HTTPS://controller.example:443//api/v2/metrics?x",
            "api/v2/metrics",
        ] {
            assert!(leads_to(spelling.as_bytes(), METRICS), "{spelling}");
        }
    }

    #[test]
    fn no_other_path_is_recognised() {
        for other in [
            "",
            "/",
            "*",
            "/api/v2/metric",
            "/api/v2/metricss",
            "/api/v2/metrics/x",
            "/api/v2/Metrics",
            "/api/v2/metrics;x=1",
            "/api/v2/metrics%00",
            "/api/v2/metrics%3F",
            "/api/v2/metrics%23",
            "/api/v2/metric%2573",
            "/api/v2%252Fmetrics",
            "/api/v2/metrics%",
            "/api/v2/metrics%2",
            "/api/v2/metrics%zz",
            "/api\\v2\\metrics",
            "/api/v2/metrics/..",
            "/?/api/v2/metrics",
            "/x/api/v2/metrics",
            "http://api/v2/metrics",
            "://api/v2/metrics/..",
            "://controller.example/api/v2/metrics",
            "x?://controller.example/api/v2/metrics",
            "x#://controller.example/api/v2/metrics",
            "x/y://controller.example/api/v2/metrics",
        ] {
            assert!(!leads_to(other.as_bytes(), METRICS), "{other}");
        }
    }

    #[test]
    fn the_query_is_between_the_question_mark_and_the_fragment() {
        assert_eq!(query(b"/x?a=1&b=2#c?d"), b"a=1&b=2");
        assert_eq!(query(b"/x#?a"), b"");
        assert_eq!(query(b"/x"), b"");
        assert_eq!(query(b"/x?"), b"");
        assert_eq!(query(b"/x?a?b"), b"a?b");
    }

    proptest! {
        #[test]
        fn the_normal_form_of_a_normal_form_is_the_same(path in "[/.a-c%2eF]{0,24}") {
            let normal = normal_form(path.as_bytes()).into_owned();
            prop_assert_eq!(normal.first(), Some(&b'/'));
            prop_assert!(normal == b"/" || normal.last() != Some(&b'/'));
            if !normal.contains(&b'%') {
                prop_assert_eq!(&*normal_form(&normal), &*normal);
            }
        }

        #[test]
        fn the_fast_and_the_general_normalisation_agree(path in "/[/.a-c]{0,16}") {
            let path = path.as_bytes();
            prop_assert_eq!(&*normal_form(path), &*resolve(&percent_decode(path).collect::<Vec<u8>>()));
        }

        #[test]
        fn no_bytes_cause_a_panic(target in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = (normal_form(&target).len(), query(&target).len());
        }
    }
}
