//! Reads an upstream's answer: the [`Cause`] why it is not a metrics page, and its media type.
//!
//! Used for the pages that the filter pulls, and for the controller that it asks about credentials. Answers are hostile
//! bytes; nothing panics.

mod cause;

pub use cause::{Cause, Plain};

use crate::host::Answer;
use Plain::*;
use std::time::Duration;

impl Cause {
    /// Why an answer is not a page; `None` if it may be one. Does not read the body. The answer came after `took`, and the
    /// call had the limit `timeout`.
    #[must_use]
    pub fn of(answer: &Answer, took: Duration, timeout: Duration) -> Option<Self> {
        let Some(status) = answer.header(":status") else {
            // Envoy gave up the answer, and does not say why. The clock is read a little after the timeout.
            return Some(if took >= timeout { Self::Timeout(timeout) } else { CutOff.into() });
        };
        match status {
            b"504" if is_made_by_envoy(answer) => Some(Self::Timeout(timeout)),
            b"503" if is_made_by_envoy(answer) => Some(of_connection(&answer.body).into()),
            b"502" if is_made_by_envoy(answer) => Some(NotHttp.into()),
            b"200" => of_coding(answer).or_else(|| of_body(answer)).map(Self::Plain),
            [b'3', ..] if answer.header("location").is_some() || status != b"304" => {
                Some(of_location(answer.header("location").unwrap_or_default()).into())
            }
            _ => Some(Self::Status(number(status))),
        }
    }
}

/// Returns true if Envoy made the answer, because the upstream gave none (refused, closed, timed out). Then the header is
/// missing that Envoy's router adds to every answer of an upstream.
#[must_use]
pub fn is_made_by_envoy(answer: &Answer) -> bool {
    answer.header("x-envoy-upstream-service-time").is_none()
}

/// The media type of an answer, without its parameters, in lower case.
#[must_use]
pub fn media_type(answer: &Answer) -> Vec<u8> {
    let header = answer.header("content-type").unwrap_or_default();
    let essence = header.split(|&byte| byte == b';').next().unwrap_or_default();
    essence.trim_ascii().to_ascii_lowercase()
}

/// The failure of a connection, from the body of Envoy's own 503.
fn of_connection(body: &[u8]) -> Plain {
    let says = |words: &[u8]| body.windows(words.len()).any(|window| window == words);
    if says(b"no healthy upstream") {
        NoHost
    } else if says(b"TLS") {
        Tls
    } else if says(b"connection termination") {
        Closed
    } else {
        Unreachable
    }
}

fn of_location(location: &[u8]) -> Plain {
    let is_https = location.get(..8).is_some_and(|it| it.eq_ignore_ascii_case(b"https://"));
    match location {
        _ if is_https => RedirectToHttps,
        [] => Redirect,
        [b'/', b'/', ..] => RedirectElsewhere,
        [b'/', ..] => RedirectToPath,
        _ => RedirectElsewhere,
    }
}

fn of_coding(answer: &Answer) -> Option<Plain> {
    let coding = answer.header("content-encoding")?.trim_ascii().to_ascii_lowercase();
    match coding.as_slice() {
        b"" | b"identity" => None,
        b"gzip" | b"x-gzip" => Some(Gzip),
        b"deflate" => Some(Deflate),
        b"br" => Some(Brotli),
        b"zstd" => Some(Zstandard),
        _ => Some(OtherCoding),
    }
}

fn of_body(answer: &Answer) -> Option<Plain> {
    if answer.body.is_empty() {
        return Some(Empty);
    }
    match media_type(answer).as_slice() {
        b"text/plain" | b"application/openmetrics-text" => None,
        b"" => Some(NoType),
        b"text/html" | b"application/xhtml+xml" => Some(Html),
        b"application/json" => Some(Json),
        b"text/xml" | b"application/xml" => Some(Xml),
        b"application/octet-stream" => Some(OctetStream),
        b"application/vnd.google.protobuf" => Some(Protobuf),
        _ => Some(OtherType),
    }
}

fn number(status: &[u8]) -> u16 {
    str::from_utf8(status).ok().and_then(|status| status.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(4);

    fn cause(headers: &[(&str, &str)], body: &str, took: Duration) -> Option<String> {
        let headers = headers.iter().map(|&(name, value)| (name.into(), value.into())).collect();
        let answer = Answer { headers, body: body.into() };
        Cause::of(&answer, took, TIMEOUT).map(|cause| cause.to_string())
    }

    /// The cause of an upstream's own answer.
    fn of_upstream(status: &str, header: (&str, &str), body: &str) -> Option<String> {
        let own = ("x-envoy-upstream-service-time", "3");
        cause(&[(":status", status), own, header], body, Duration::ZERO)
    }

    fn of_envoy(status: &str, body: &str) -> Option<String> {
        cause(&[(":status", status)], body, Duration::ZERO)
    }

    #[test]
    fn each_answer_that_is_not_a_page_has_its_cause() {
        let text = ("content-type", "text/plain; charset=utf-8");
        for (status, header, body, cause) in [
            ("401", text, "", "status 401"),
            ("404", text, "", "status 404"),
            ("502", text, "", "status 502"),
            ("503", text, "no healthy upstream", "status 503"),
            ("304", text, "", "status 304"),
            ("999", text, "", "status other"),
            ("x", text, "", "status other"),
            ("301", ("location", "https://awx.example/"), "", "redirect to https"),
            ("302", ("location", "/login/?next=x"), "", "redirect to another path"),
            ("307", ("location", "http://other/"), "", "redirect to another address"),
            ("307", ("location", "//other/"), "", "redirect to another address"),
            ("308", text, "", "redirect"),
            ("200", ("content-encoding", "gzip"), "\u{1f}", "content-encoding gzip"),
            ("200", ("content-encoding", "BR"), "x", "content-encoding br"),
            ("200", ("content-encoding", "secret"), "x", "content-encoding other"),
            ("200", text, "", "empty body"),
            ("200", ("x", "y"), "a 1\n", "content-type missing"),
            ("200", ("content-type", "Text/HTML; charset=utf-8"), "<p>", "content-type text/html"),
            ("200", ("content-type", "application/json"), "{}", "content-type application/json"),
            ("200", ("content-type", "text/secret"), "x", "content-type other"),
        ] {
            assert_eq!(of_upstream(status, header, body).as_deref(), Some(cause), "{header:?}");
        }
        for media_type in ["text/plain", "TEXT/Plain;version=0.0.4", "application/openmetrics-text"]
        {
            assert_eq!(of_upstream("200", ("content-type", media_type), "a 1\n"), None);
        }
        assert_eq!(
            cause(&[(":status", "200"), text, ("content-encoding", "identity")], "a", TIMEOUT),
            None
        );
    }

    #[test]
    fn an_answer_that_envoy_made_has_the_cause_of_the_failure() {
        for (status, body, cause) in [
            ("504", "upstream request timeout", "timeout after 4s"),
            ("502", "upstream connect error", "not HTTP"),
            ("503", "no healthy upstream", "no healthy upstream"),
            ("503", "reset reason: connection termination", "connection closed"),
            ("503", "transport failure reason: TLS_error:|268435581", "TLS error"),
            ("503", "reset reason: remote connection failure", "connection refused"),
        ] {
            assert_eq!(of_envoy(status, body).as_deref(), Some(cause));
        }
        let broken = |took| cause(&[], "", took).unwrap();
        assert_eq!(broken(TIMEOUT), "timeout after 4s");
        assert_eq!(broken(TIMEOUT / 2), "cut off, or above 32 MB");
        assert_eq!(
            Cause::Timeout(Duration::from_millis(2_500)).to_string(),
            "timeout after 2500ms"
        );
    }
}
