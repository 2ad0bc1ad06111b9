//! The causes: their names, which become values of a label, and what an operator can do about each.
//!
//! The list is closed, except for a status, of which there are 500, and a timeout, which is configured.

use Plain::*;
use std::fmt;
use std::time::Duration;

/// Why an upstream's answer is not a metrics page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// No complete answer came within this time.
    Timeout(Duration),
    /// The answer has this status, which is neither 200 nor a redirect.
    Status(u16),
    /// Any other cause.
    Plain(Plain),
}

/// A cause without further data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Plain {
    /// Envoy did not send the request: the cluster does not exist, or has no host.
    NotSent,
    /// There is no credential to send.
    NoCredential,
    /// The cluster has no healthy host.
    NoHost,
    /// The connection was refused, or the host cannot be reached.
    Unreachable,
    /// The TLS handshake failed.
    Tls,
    /// The connection was closed before an answer came.
    Closed,
    /// The answer is not HTTP.
    NotHttp,
    /// The answer was cut off, or is larger than Envoy's buffer: Envoy does not say which.
    CutOff,
    /// A redirect to https.
    RedirectToHttps,
    /// A redirect to another path of the same server.
    RedirectToPath,
    /// A redirect to another address.
    RedirectElsewhere,
    /// A redirect without a location.
    Redirect,
    /// Compressed by gzip.
    Gzip,
    /// Compressed by deflate.
    Deflate,
    /// Compressed by Brotli.
    Brotli,
    /// Compressed by Zstandard.
    Zstandard,
    /// Encoded with an unknown content coding.
    OtherCoding,
    /// No body.
    Empty,
    /// No media type.
    NoType,
    /// HTML.
    Html,
    /// JSON.
    Json,
    /// XML.
    Xml,
    /// Bytes without a type (`application/octet-stream`).
    OctetStream,
    /// Protobuf.
    Protobuf,
    /// An unknown media type.
    OtherType,
    /// No readable sample.
    NoSamples,
    /// OpenMetrics without `# EOF`.
    NoEnd,
    /// Larger than `limits::PAGE_BYTES`.
    Bytes,
    /// More samples than `limits::SOURCE_SAMPLES`.
    Samples,
    /// More names than `limits::SOURCE_NAMES`.
    Names,
    /// Possibly larger than `limits::RENDERED_BYTES` in some format.
    Rendered,
    /// Envoy did not store the page.
    NotStored,
}

/// Each cause with its name and its remedy. Shared data stores the index of a cause in this table.
const PLAIN: [(Plain, &str, &str); 32] = [
    (NotSent, "not sent: no such cluster, or no host in it", "check the cluster's name"),
    (NoCredential, "no credential", "set the variable in the VM's environment"),
    (NoHost, "no healthy upstream", "see the cluster's health in Envoy's admin"),
    (Unreachable, "connection refused", "check that it is running, and the cluster's address"),
    (Tls, "TLS error", "check the cluster's transport_socket and the certificate"),
    (Closed, "connection closed", "see its log"),
    (NotHttp, "not HTTP", "check the cluster's port, and whether it requires TLS"),
    (CutOff, "cut off, or above 32 MB", "see its log, and the size of its page"),
    (RedirectToHttps, "redirect to https", "configure TLS for the cluster"),
    (RedirectToPath, "redirect to another path", "set `path` to the location of the redirect"),
    (
        RedirectElsewhere,
        "redirect to another address",
        "check `authority` and the cluster's address",
    ),
    (Redirect, "redirect", "check `path`"),
    (Gzip, "content-encoding gzip", "configure it to answer uncompressed"),
    (Deflate, "content-encoding deflate", "configure it to answer uncompressed"),
    (Brotli, "content-encoding br", "configure it to answer uncompressed"),
    (Zstandard, "content-encoding zstd", "configure it to answer uncompressed"),
    (OtherCoding, "content-encoding other", "configure it to answer uncompressed"),
    (Empty, "empty body", "check `path`, and the permissions of the credential"),
    (
        NoType,
        "content-type missing",
        "configure it to send text/plain or application/openmetrics-text",
    ),
    (Html, "content-type text/html", "is it a login page? Check `path` and `authority`"),
    (Json, "content-type application/json", "check `path`"),
    (Xml, "content-type xml", "check `path`"),
    (OctetStream, "content-type application/octet-stream", "configure it to send text/plain"),
    (Protobuf, "content-type protobuf", "configure it to answer in text or OpenMetrics"),
    (OtherType, "content-type other", "check `path`"),
    (NoSamples, "no samples", "check `path`, and the permissions of the credential"),
    (NoEnd, "OpenMetrics without # EOF", "see its log"),
    (Bytes, "above 32 MB", "remove some of its families"),
    (Samples, "above 100000 samples", "remove some of its families"),
    (Names, "above 100000 names", "remove some of its families"),
    (Rendered, "above 64 MB in some format", "remove some of its families"),
    (NotStored, "not stored", "see Envoy's memory"),
];

/// The kinds of the other causes' codes, above every index of [`PLAIN`].
const TIMEOUT: u8 = 128;
const STATUS: u8 = 129;

impl Cause {
    /// Tells an operator what to do about it.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Timeout(_) => "raise `timeout`, or see why it is slow",
            Self::Status(401) => "its credential is wrong, or has expired",
            Self::Status(403) => "its credential's user may not see metrics",
            Self::Status(404) => "check `path` and `authority`",
            Self::Status(429) => "raise `interval`",
            Self::Status(_) => "see its log",
            Self::Plain(plain) => row(plain).map_or("", |(_, _, remedy)| remedy),
        }
    }

    /// A number from which [`Self::of_code`] restores the cause.
    #[must_use]
    pub fn code(self) -> u32 {
        let of = |kind: u8, detail: u32| u32::from(kind) << 24 | detail & 0xff_ffff;
        match self {
            Self::Timeout(timeout) => {
                of(TIMEOUT, u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX))
            }
            Self::Status(status) => of(STATUS, status.into()),
            Self::Plain(plain) => {
                let index = PLAIN.iter().position(|(it, _, _)| *it == plain);
                of(index.and_then(|index| u8::try_from(index).ok()).unwrap_or_default(), 0)
            }
        }
    }

    /// The cause with this code.
    #[must_use]
    pub fn of_code(code: u32) -> Option<Self> {
        let [kind, detail @ ..] = code.to_be_bytes();
        let [high, middle, low] = detail;
        let detail = u32::from_be_bytes([0, high, middle, low]);
        match kind {
            TIMEOUT => Some(Self::Timeout(Duration::from_millis(detail.into()))),
            STATUS => u16::try_from(detail).ok().map(Self::Status),
            index => PLAIN.get(usize::from(index)).map(|(plain, _, _)| Self::Plain(*plain)),
        }
    }
}

impl From<Plain> for Cause {
    fn from(plain: Plain) -> Self {
        Self::Plain(plain)
    }
}

/// The value of the label: `status 401`, `timeout after 4s`.
impl fmt::Display for Cause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout(timeout) if timeout.subsec_millis() == 0 => {
                write!(formatter, "timeout after {}s", timeout.as_secs())
            }
            Self::Timeout(timeout) => write!(formatter, "timeout after {}ms", timeout.as_millis()),
            // No other status is valid (RFC 9110, "Status Codes").
            Self::Status(status @ 100..=599) => write!(formatter, "status {status}"),
            Self::Status(_) => formatter.write_str("status other"),
            Self::Plain(plain) => formatter.write_str(row(*plain).map_or("", |(_, name, _)| name)),
        }
    }
}

fn row(plain: Plain) -> Option<&'static (Plain, &'static str, &'static str)> {
    PLAIN.iter().find(|(it, _, _)| *it == plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits;
    use std::collections::HashSet;

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
