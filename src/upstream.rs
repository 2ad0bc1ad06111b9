//! Why an upstream's answer is no page of metrics: a [`Cause`], which says what happened and what to do about it.
//!
//! Used for pages that are pulled and for a controller that is asked who may come in. Causes come from a closed list, for
//! they become values of a label: but for a status, of which there are 500, and a timeout, which is configured.

use crate::host::Answer;
use std::fmt;
use std::time::Duration;

/// Why there is no page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// There was no answer within this time, or not all of it.
    Timeout(Duration),
    /// An answer with this status, which is neither 200 nor a redirect.
    Status(u16),
    /// Any other.
    Plain(Plain),
}

/// A cause that has nothing to say beyond its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Plain {
    /// Envoy would not send the request: no such cluster, or no host in it.
    NotSent,
    /// There is no credential to send.
    NoCredential,
    /// Envoy has no host of the cluster that is healthy.
    NoHost,
    /// Nobody listens, or it cannot be reached.
    Unreachable,
    /// TLS could not be agreed on.
    Tls,
    /// The connection broke before there was an answer.
    Closed,
    /// What came is not HTTP.
    NotHttp,
    /// The answer was cut off, or is beyond what Envoy buffers: it does not say which.
    CutOff,
    /// A redirect to https.
    RedirectToHttps,
    /// A redirect to another path of the same server.
    RedirectToPath,
    /// A redirect to another address.
    RedirectElsewhere,
    /// A redirect that does not say where to.
    Redirect,
    /// Compressed by gzip.
    Gzip,
    /// Compressed by deflate.
    Deflate,
    /// Compressed by Brotli.
    Brotli,
    /// Compressed by Zstandard.
    Zstandard,
    /// In a coding that is not known.
    OtherCoding,
    /// No body.
    Empty,
    /// Without a media type.
    NoType,
    /// HTML.
    Html,
    /// JSON.
    Json,
    /// XML.
    Xml,
    /// Bytes of no type.
    OctetStream,
    /// Protobuf.
    Protobuf,
    /// Of a media type that is not known.
    OtherType,
    /// No sample that can be read.
    NoSamples,
    /// OpenMetrics without its end.
    NoEnd,
    /// Beyond `limits::PAGE_BYTES`.
    Bytes,
    /// Beyond `limits::SOURCE_SAMPLES`.
    Samples,
    /// Beyond `limits::SOURCE_NAMES`.
    Names,
    /// Beyond `limits::RENDERED_BYTES`.
    Rendered,
    /// Envoy did not store the page.
    NotStored,
}

use Plain::*;

/// What is said of each, and what to do. A cause is stored as its place here.
const PLAIN: [(Plain, &str, &str); 32] = [
    (NotSent, "not sent: no such cluster, or no host in it", "check the cluster's name"),
    (NoCredential, "no credential", "set the variable in the VM's environment"),
    (NoHost, "no healthy upstream", "see the cluster's health in Envoy's admin"),
    (Unreachable, "connection refused", "check that it runs, and the cluster's address"),
    (Tls, "TLS error", "check the cluster's transport_socket and the certificate"),
    (Closed, "connection closed", "see its own log"),
    (NotHttp, "not HTTP", "check the cluster's port, and whether it wants TLS"),
    (CutOff, "cut off, or above 32 MB", "see its own log, and the size of its page"),
    (RedirectToHttps, "redirect to https", "give the cluster TLS"),
    (RedirectToPath, "redirect to another path", "set `path` to where it leads"),
    (
        RedirectElsewhere,
        "redirect to another address",
        "check `authority` and the cluster's address",
    ),
    (Redirect, "redirect", "check `path`"),
    (Gzip, "content-encoding gzip", "have it answer uncompressed"),
    (Deflate, "content-encoding deflate", "have it answer uncompressed"),
    (Brotli, "content-encoding br", "have it answer uncompressed"),
    (Zstandard, "content-encoding zstd", "have it answer uncompressed"),
    (OtherCoding, "content-encoding other", "have it answer uncompressed"),
    (Empty, "empty body", "check `path`, and what the credential may see"),
    (NoType, "content-type missing", "have it say text/plain or application/openmetrics-text"),
    (Html, "content-type text/html", "is it a login page? Check `path` and `authority`"),
    (Json, "content-type application/json", "check `path`"),
    (Xml, "content-type xml", "check `path`"),
    (OctetStream, "content-type application/octet-stream", "have it say text/plain"),
    (Protobuf, "content-type protobuf", "have it answer in text or OpenMetrics"),
    (OtherType, "content-type other", "check `path`"),
    (NoSamples, "no samples", "check `path`, and what the credential may see"),
    (NoEnd, "OpenMetrics without # EOF", "see its own log"),
    (Bytes, "above 32 MB", "leave out some of its families"),
    (Samples, "above 100000 samples", "leave out some of its families"),
    (Names, "above 100000 names", "leave out some of its families"),
    (Rendered, "above 64 MB in some format", "leave out some of its families"),
    (NotStored, "not stored", "see Envoy's memory"),
];

/// Where the codes of the others begin, beyond any place of [`PLAIN`].
const TIMEOUT: u8 = 128;
const STATUS: u8 = 129;

impl Cause {
    /// Why an answer is no page, as far as that is to be seen without reading it: none where it may be one. It came
    /// so long after the question, and might have taken as long as `timeout`.
    #[must_use]
    pub fn of(answer: &Answer, took: Duration, timeout: Duration) -> Option<Self> {
        let Some(status) = answer.header(":status") else {
            // Envoy says no more of an answer that it gave up. The clock of a callback is read a little later.
            return Some(if took >= timeout { Self::Timeout(timeout) } else { CutOff.into() });
        };
        match status {
            b"504" if is_made_by_envoy(answer) => Some(Self::Timeout(timeout)),
            b"503" if is_made_by_envoy(answer) => Some(of_envoys(&answer.body).into()),
            b"502" if is_made_by_envoy(answer) => Some(NotHttp.into()),
            b"200" => of_coding(answer).or_else(|| of_body(answer)).map(Self::Plain),
            [b'3', ..] if answer.header("location").is_some() || status != b"304" => {
                Some(of_location(answer.header("location").unwrap_or_default()).into())
            }
            _ => Some(Self::Status(number(status))),
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Timeout(_) => "raise `timeout`, or see why it is slow",
            Self::Status(401) => "its credential is wrong, or has expired",
            Self::Status(403) => "its credential's user may not see metrics",
            Self::Status(404) => "check `path` and `authority`",
            Self::Status(429) => "raise `interval`",
            Self::Status(_) => "see its own log",
            Self::Plain(plain) => row(plain).map_or("", |(_, _, remedy)| remedy),
        }
    }

    /// A number that stands for it and no other, and for no more than 2^32 of them.
    #[must_use]
    pub fn code(self) -> u32 {
        let of = |kind: u8, detail: u32| u32::from(kind) << 24 | detail & 0xff_ffff;
        match self {
            Self::Timeout(timeout) => {
                of(TIMEOUT, u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX))
            }
            Self::Status(status) => of(STATUS, status.into()),
            Self::Plain(plain) => {
                let place = PLAIN.iter().position(|(it, _, _)| *it == plain);
                of(place.and_then(|place| u8::try_from(place).ok()).unwrap_or_default(), 0)
            }
        }
    }

    /// What this number stands for.
    #[must_use]
    pub fn of_code(code: u32) -> Option<Self> {
        let [kind, detail @ ..] = code.to_be_bytes();
        let [high, middle, low] = detail;
        let detail = u32::from_be_bytes([0, high, middle, low]);
        match kind {
            TIMEOUT => Some(Self::Timeout(Duration::from_millis(detail.into()))),
            STATUS => u16::try_from(detail).ok().map(Self::Status),
            place => PLAIN.get(usize::from(place)).map(|(plain, _, _)| Self::Plain(*plain)),
        }
    }
}

impl From<Plain> for Cause {
    fn from(plain: Plain) -> Self {
        Self::Plain(plain)
    }
}

/// As the label has it: `status 401`, `timeout after 4s`.
impl fmt::Display for Cause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout(timeout) if timeout.subsec_millis() == 0 => {
                write!(formatter, "timeout after {}s", timeout.as_secs())
            }
            Self::Timeout(timeout) => write!(formatter, "timeout after {}ms", timeout.as_millis()),
            // Beyond these there are none (RFC 9110, "Status Codes").
            Self::Status(status @ 100..=599) => write!(formatter, "status {status}"),
            Self::Status(_) => formatter.write_str("status other"),
            Self::Plain(plain) => formatter.write_str(row(*plain).map_or("", |(_, name, _)| name)),
        }
    }
}

/// Whether Envoy made an answer itself, since there was none (nobody listens, it closed, it took too long): then the
/// header that its router adds to every answer of an upstream is missing.
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

fn row(plain: Plain) -> Option<&'static (Plain, &'static str, &'static str)> {
    PLAIN.iter().find(|(it, _, _)| *it == plain)
}

/// What Envoy says of the connection that failed, in the body of its 503.
fn of_envoys(body: &[u8]) -> Plain {
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
    use crate::limits;
    use std::collections::HashSet;

    const TIMEOUT: Duration = Duration::from_secs(4);

    fn said(headers: &[(&str, &str)], body: &str, took: Duration) -> Option<String> {
        let headers = headers.iter().map(|&(name, value)| (name.into(), value.into())).collect();
        let answer = Answer { headers, body: body.into() };
        Cause::of(&answer, took, TIMEOUT).map(|cause| cause.to_string())
    }

    /// What an upstream's own answer is worth.
    fn of_upstream(status: &str, header: (&str, &str), body: &str) -> Option<String> {
        let own = ("x-envoy-upstream-service-time", "3");
        said(&[(":status", status), own, header], body, Duration::ZERO)
    }

    fn of_envoy(status: &str, body: &str) -> Option<String> {
        said(&[(":status", status)], body, Duration::ZERO)
    }

    #[test]
    fn an_answer_that_is_no_page_says_why() {
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
            said(&[(":status", "200"), text, ("content-encoding", "identity")], "a", TIMEOUT),
            None
        );
    }

    #[test]
    fn where_there_was_no_answer_envoys_own_says_why() {
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
        let broken = |took| said(&[], "", took).unwrap();
        assert_eq!(broken(TIMEOUT), "timeout after 4s");
        assert_eq!(broken(TIMEOUT / 2), "cut off, or above 32 MB");
        assert_eq!(
            Cause::Timeout(Duration::from_millis(2_500)).to_string(),
            "timeout after 2500ms"
        );
    }

    #[test]
    fn every_cause_has_a_name_a_number_and_a_remedy_of_its_own() {
        let causes = PLAIN.iter().map(|(plain, _, _)| Cause::Plain(*plain));
        let others = [Cause::Timeout(limits::TIMEOUT), Cause::Status(401), Cause::Status(599)];
        let causes: Vec<_> = causes.chain(others).collect();
        for &cause in &causes {
            assert_eq!(Cause::of_code(cause.code()), Some(cause));
            assert!(!cause.to_string().is_empty() && !cause.remedy().is_empty(), "{cause:?}");
        }
        let names: HashSet<_> = causes.iter().map(Cause::to_string).collect();
        assert_eq!(names.len(), causes.len());
        assert_eq!(Cause::of_code(u32::MAX), None);
    }
}
