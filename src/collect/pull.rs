//! One pull: what is asked, and what the answer is worth.

use crate::config::{CredentialError, Source};
use crate::exposition::parse::{self, Refused};
use crate::host::{ASKING, Answer, Call, CallId, Host};
use crate::metrics::Page;
use crate::shared::snapshot::Outcome;

/// Why no answer will come to a pull.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSent<'a> {
    /// There is no credential to send.
    #[error("{0}")]
    Credential(CredentialError<'a>),
    /// Envoy refused: no such cluster, or no host in it.
    #[error("the cluster {0} is unknown, or has no host")]
    Refused(&'a str),
}

/// Sends the request for a source's page.
///
/// # Errors
/// Where no answer will come.
pub fn send<'a>(host: &dyn Host, source: &'a Source) -> Result<CallId, NotSent<'a>> {
    let authorization = source.credential.authorization(|name| host.environment(name));
    let authorization = authorization.map_err(NotSent::Credential)?;
    let mut headers = ASKING.to_vec();
    headers.extend(authorization.as_ref().map(|value| ("authorization", value.expose())));
    let call = Call {
        cluster: &source.cluster,
        authority: &source.authority,
        path: &source.path,
        headers: &headers,
        timeout: source.timeout,
    };
    host.call(&call).map_err(|_| NotSent::Refused(&source.cluster))
}

/// What an answer is worth: a page, or the reason why it is none.
///
/// # Errors
/// Every outcome but [`Outcome::Ok`].
pub fn judge(answer: Answer) -> Result<Page, Outcome> {
    match answer.header(":status") {
        Some(b"200") => {}
        Some(b"504") if made_by_envoy(&answer) => return Err(Outcome::Timeout),
        Some(b"503") if made_by_envoy(&answer) => return Err(Outcome::Refused),
        // What came was not HTTP.
        Some(b"502") if made_by_envoy(&answer) => return Err(Outcome::Unreadable),
        Some(_) => return Err(Outcome::Status),
        // Cut off, or beyond what Envoy buffers: it does not say which.
        None => return Err(Outcome::Unreadable),
    }
    let media_type = answer.header("content-type").map(essence).unwrap_or_default();
    let read: Parser = match media_type.to_ascii_lowercase().as_slice() {
        b"text/plain" => parse::text,
        b"application/openmetrics-text" => parse::openmetrics,
        // A controller that shows a login page answers HTML.
        _ => return Err(Outcome::Unreadable),
    };
    let page = read(answer.body).map_err(|refused| match refused {
        Refused::CutOff => Outcome::Unreadable,
        Refused::Bytes | Refused::Rendered | Refused::Samples | Refused::Names => Outcome::TooLarge,
    })?;
    if page.report().samples == 0 { Err(Outcome::Unreadable) } else { Ok(page) }
}

/// Envoy answers itself where the controller did not (nobody listens, it closed, it took too long); then the header
/// that its router adds to every answer of an upstream is missing.
fn made_by_envoy(answer: &Answer) -> bool {
    answer.header("x-envoy-upstream-service-time").is_none()
}

type Parser = fn(Vec<u8>) -> Result<Page, Refused>;

/// A media type without its parameters.
fn essence(media_type: &[u8]) -> &[u8] {
    media_type.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii()
}
