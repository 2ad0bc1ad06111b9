//! Whether a request is a scrape: its path, normalised, is one of the configured ones.
//!
//! A spelling that a proxy or the controller behind us would read as the metrics path must not slip past the filter's
//! authentication, and no other path may be caught. So both sides are compared in one normal form:
//!
//! 1. the query and the fragment are cut off, and the scheme and authority of an absolute-form target
//!    (RFC 9112, section 3.2.2);
//! 2. percent-encoded octets are decoded, once (RFC 3986, section 6.2.2.2; more than once would catch paths that the
//!    controller reads as others). What is not a valid encoding stays as it is;
//! 3. dot segments are removed (RFC 3986, section 5.2.4), and empty ones: repeated slashes, the slash at the end.
//!
//! Case is kept, and so are `;` and `\`: to the controller they are part of a name. Costs one pass over the path, and
//! allocates only where the path is not in normal form already.

use percent_encoding::percent_decode;
use std::borrow::Cow;

/// What stands between `?` and `#` of a request's path, empty where there is nothing.
#[must_use]
pub fn query(target: &[u8]) -> &[u8] {
    let target = before(target, |byte| byte == b'#');
    let path = before(target, |byte| byte == b'?');
    target.get(path.len() + 1..).unwrap_or_default()
}

/// Whether the normal form of `target` is `path`, itself a normal form: `/a/b`, without a slash at the end.
#[must_use]
pub fn leads_to(target: &[u8], path: &str) -> bool {
    *normal_form(target) == *path.as_bytes()
}

/// The normal form of a request's path, always with a slash at the beginning and, but for the root, none at the end.
#[must_use]
pub fn normal_form(target: &[u8]) -> Cow<'_, [u8]> {
    let path = path_of(target);
    if let Some(normal) = already_normal(path) {
        return Cow::Borrowed(normal);
    }
    let path = before(path, |byte| byte == b'?' || byte == b'#');
    Cow::Owned(resolve(&percent_decode(path).collect::<Vec<u8>>()))
}

/// Cuts `http://authority` off an absolute-form target.
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

/// What a scheme is made of (RFC 3986, section 3.1): so that no `://` in a query or fragment makes one.
fn is_scheme_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

fn before(bytes: &[u8], ends: impl Fn(u8) -> bool) -> &[u8] {
    bytes.split(|&byte| ends(byte)).next().unwrap_or_default()
}

/// The path less its query and its last slash, where nothing else in it needs a change: by far the most common case, and
/// so in one pass, since every request comes through here.
fn already_normal(target: &[u8]) -> Option<&[u8]> {
    let (mut last, mut length) = (0, 0);
    for &byte in target {
        match byte {
            b'?' | b'#' => break,
            b'%' => return None,
            // A dot segment, perhaps, or an empty one.
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
    fn every_spelling_of_the_path_is_caught() {
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
    fn no_other_path_is_caught() {
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
    fn the_query_stands_between_the_question_mark_and_the_fragment() {
        assert_eq!(query(b"/x?a=1&b=2#c?d"), b"a=1&b=2");
        assert_eq!(query(b"/x#?a"), b"");
        assert_eq!(query(b"/x"), b"");
        assert_eq!(query(b"/x?"), b"");
        assert_eq!(query(b"/x?a?b"), b"a?b");
    }

    proptest! {
        #[test]
        fn the_normal_form_of_a_path_without_encodings_is_its_own(path in "[/.a-c%2eF]{0,24}") {
            let normal = normal_form(path.as_bytes()).into_owned();
            prop_assert_eq!(normal.first(), Some(&b'/'));
            prop_assert!(normal == b"/" || normal.last() != Some(&b'/'));
            if !normal.contains(&b'%') {
                prop_assert_eq!(&*normal_form(&normal), &*normal);
            }
        }

        #[test]
        fn the_short_way_and_the_long_way_agree(path in "/[/.a-c]{0,16}") {
            let path = path.as_bytes();
            prop_assert_eq!(&*normal_form(path), &*resolve(&percent_decode(path).collect::<Vec<u8>>()));
        }

        #[test]
        fn no_bytes_make_it_panic(target in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = (normal_form(&target).len(), query(&target).len());
        }
    }
}
