//! The replies to a scrape. Only this file contains status codes.
//!
//! Errors have the controller's wording. They are JSON, `{"detail": ".."}`, if the client asked for JSON or for no
//! available format; a small document if it asked for HTML; and plain text otherwise.

use super::accept::MediaType;
use super::encoding::Encoding;
use crate::auth::{Denial, Permit};
use crate::exposition::{Format, gzip, json, page};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use std::borrow::Cow;
use std::rc::Rc;
use std::time::Duration;

/// An answer to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers, without `content-length`, which the host adds.
    pub headers: Vec<(&'static str, Cow<'static, str>)>,
    /// The body. It must be sent for HEAD too: Envoy then drops it, and keeps its length.
    pub body: Rc<Vec<u8>>,
}

/// The schemes that a 401 asks for.
///
/// A browser that was asked for Basic then sends the password with every request to the API, so that any web page could
/// make it send requests with that password. So the filter asks for Basic only if no controller is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// `Bearer` alone.
    Bearer,
    /// `Bearer` and `Basic`, each in its own header.
    BearerAndBasic,
}

const ALLOW: &str = "GET, HEAD, OPTIONS";
/// The controller's own challenge, unchanged.
const BEARER: &str = "Bearer realm=api authorization_url=/api/o/authorize/";
const BASIC: &str = "Basic realm=\"api\"";
/// The controller's login, which redirects to `next` if that is a path (`awx/templates/rest_framework/login.html`).
const LOGIN: &str = "/api/login/?next=";
/// The media type of an error. A page has that of its format.
const TEXT: &str = "text/plain; charset=utf-8";
/// The reply to OPTIONS. `parses` is empty, since the endpoint accepts no request bodies.
const DESCRIPTION: &str = concat!(
    r#"{"name":"Metrics","description":"query params to filter response, e.g., "#,
    r#"?subsystemonly=1&metric=callback_receiver_events_insert_db&node=awx-1","#,
    r#""renders":["text/plain","application/openmetrics-text","application/json","#,
    r#""application/vnd.google.protobuf","text/html"],"parses":[]}"#,
);

impl Reply {
    /// 200 with a page.
    #[must_use]
    pub fn page(media: MediaType, (encoding, body): (Encoding, Rc<Vec<u8>>)) -> Self {
        // Envoy drops the Content-Type of an empty body, and Prometheus 3 refuses a page without one. So an empty page is
        // one empty line, or one empty family, which Prometheus ignores.
        let blank = if media.format == Format::Protobuf { 0 } else { b'\n' };
        let body = if body.is_empty() { Rc::new(vec![blank]) } else { body };
        Self::new(200, media.content_type(), body).encoded(encoding)
    }

    /// 200 with the HTML page. The page contains no values, but it takes a permit so that a client which is refused learns
    /// it at once.
    #[must_use]
    pub fn html_page(_: &Permit, encoding: Encoding) -> Self {
        let document = if encoding == Encoding::Identity { page::document() } else { None };
        match document {
            Some(document) => Self::html(200, document, page::POLICY),
            // Decompressing never fails, so this client accepts gzip.
            None => Self::html(200, page::MEMBER.into(), page::POLICY).encoded(Encoding::Gzip),
        }
    }

    /// 200 with a description of the endpoint.
    #[must_use]
    pub fn options() -> Self {
        Self::new(200, json::CONTENT_TYPE.into(), Rc::new(DESCRIPTION.into()))
    }

    /// 401 or 403, in the controller's words. As HTML, a 401 links to the controller's login, if one is configured, which
    /// leads back to `path`.
    #[must_use]
    pub fn denied(
        denial: &Denial,
        challenge: Challenge,
        format: Option<Format>,
        path: &[u8],
    ) -> Self {
        if denial.is_forbidden() {
            return Self::error(403, denial.sentence(), format);
        }
        let mut reply = match (format, challenge) {
            (Some(Format::Html), Challenge::Bearer) => {
                let mut login = String::from(LOGIN);
                login.extend(percent_encode(path, NON_ALPHANUMERIC));
                Self::html(401, page::refusal(denial.sentence(), Some(&login)), page::INERT)
            }
            _ => Self::error(401, denial.sentence(), format),
        };
        reply.headers.push(("www-authenticate", BEARER.into()));
        if challenge == Challenge::BearerAndBasic {
            reply.headers.push(("www-authenticate", BASIC.into()));
        }
        reply
    }

    /// 405. The method may be any bytes.
    #[must_use]
    pub fn method_not_allowed(method: &[u8], format: Option<Format>) -> Self {
        let method = String::from_utf8_lossy(method);
        Self::error(405, &format!("Method \"{method}\" not allowed."), format)
    }

    /// 406.
    #[must_use]
    pub fn not_acceptable() -> Self {
        Self::error(406, "Could not satisfy the request Accept header.", None)
    }

    /// 404: the query names a source that does not exist, or that the client may not see.
    #[must_use]
    pub fn unknown_source(visible: &[String], format: Option<Format>) -> Self {
        let sentence = match visible {
            [] => "No such source. These credentials show no source.".to_owned(),
            names => format!("No such source. These credentials show: {}.", names.join(", ")),
        };
        Self::error(404, &sentence, format)
    }

    /// 503: the only source of the query has no current page.
    #[must_use]
    pub fn no_page(problem: &str, format: Option<Format>) -> Self {
        Self::error(503, problem, format)
    }

    /// 429, in the words of the controller's framework (Django REST framework).
    #[must_use]
    pub fn throttled(retry_after: Duration, format: Option<Format>) -> Self {
        let seconds = whole_seconds(retry_after);
        let sentence = format!("Request was throttled. Expected available in {seconds} seconds.");
        Self::error(429, &sentence, format).after(seconds)
    }

    /// 503: only the controller could decide, and it gives no verdict.
    #[must_use]
    pub fn unavailable(retry_after: Duration, format: Option<Format>) -> Self {
        let sentence = "The controller, which must check these credentials, gives no verdict now.";
        Self::error(503, sentence, format).after(whole_seconds(retry_after))
    }

    fn encoded(mut self, encoding: Encoding) -> Self {
        if encoding == Encoding::Gzip {
            self.headers.push(("content-encoding", gzip::CODING.into()));
        }
        self
    }

    fn after(mut self, seconds: u64) -> Self {
        self.headers.push(("retry-after", seconds.to_string().into()));
        self
    }

    fn error(status: u16, sentence: &str, format: Option<Format>) -> Self {
        match format {
            Some(Format::Json { .. }) | None => {
                Self::new(status, json::CONTENT_TYPE.into(), Rc::new(json::refusal(sentence)))
            }
            Some(Format::Html) => Self::html(status, page::refusal(sentence, None), page::INERT),
            Some(_) => {
                Self::new(status, TEXT.into(), Rc::new(format!("{sentence}\n").into_bytes()))
            }
        }
    }

    fn html(status: u16, body: Vec<u8>, policy: &'static str) -> Self {
        let mut reply = Self::new(status, page::CONTENT_TYPE.into(), Rc::new(body));
        reply.headers.push(("content-security-policy", policy.into()));
        reply.headers.push(("referrer-policy", "no-referrer".into()));
        reply
    }

    fn new(status: u16, media_type: Cow<'static, str>, body: Rc<Vec<u8>>) -> Self {
        let headers = vec![
            ("content-type", media_type),
            ("allow", ALLOW.into()),
            ("vary", "Accept, Accept-Encoding, Authorization, Cookie".into()),
            ("cache-control", "no-store".into()),
            ("x-content-type-options", "nosniff".into()),
        ];
        Self { status, headers, body }
    }
}

/// Whole seconds, at least one. Rounded up, so that a client that retries after them is not too early.
fn whole_seconds(time: Duration) -> u64 {
    time.as_millis().div_ceil(1_000).max(1) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_as_html_is_a_document_without_script_or_style() {
        let html = Some(Format::Html);
        let replies = [
            (405, Reply::method_not_allowed(b"<b>", html), "Method \"&lt;b&gt;\" not allowed."),
            (
                429,
                Reply::throttled(Duration::from_secs(2), html),
                "Expected available in 2 seconds.",
            ),
        ];
        for (status, reply, sentence) in replies {
            let body = String::from_utf8_lossy(&reply.body).replace("&quot;", "\"");
            assert!(body.ends_with(&format!("{sentence}\n")), "{body}");
            assert_eq!(reply.status, status);
            assert!(reply.headers.contains(&("content-type", page::CONTENT_TYPE.into())));
            assert!(reply.headers.contains(&("content-security-policy", page::INERT.into())));
        }
    }
}
