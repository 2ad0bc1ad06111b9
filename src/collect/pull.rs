//! One pull: the request, and the page in the answer or the reason why there is none.

use crate::config::{CredentialError, Source};
use crate::exposition::parse::{self, Refused, Takes};
use crate::host::{ASKING, Answer, Call, CallId, Host};
use crate::metrics::Page;
use crate::upstream::{self, Cause, Plain};
use std::time::Duration;

/// Why a pull was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSent<'a> {
    /// The credential is not available.
    #[error("{0}")]
    Credential(CredentialError<'a>),
    /// Envoy refused it: there is no such cluster, or it has no host.
    #[error("the cluster {0} is unknown, or has no host")]
    Refused(&'a str),
}

impl NotSent<'_> {
    /// The same as the cause of a missing page.
    #[must_use]
    pub fn cause(self) -> Cause {
        match self {
            Self::Credential(_) => Plain::NoCredential.into(),
            Self::Refused(_) => Plain::NotSent.into(),
        }
    }
}

/// Sends the request for a source's page.
///
/// # Errors
/// If it was not sent, and so no answer will come.
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

/// The page in an answer that came `took` after the request.
///
/// # Errors
/// The reason if the answer is not a page.
pub fn judge(
    answer: Answer,
    took: Duration,
    timeout: Duration,
    takes: Takes<'_>,
) -> Result<Page, Cause> {
    if let Some(cause) = Cause::of(&answer, took, timeout) {
        return Err(cause);
    }
    let read = match upstream::media_type(&answer).as_slice() {
        b"application/openmetrics-text" => parse::openmetrics_of,
        _ => parse::text_of,
    };
    let page = read(answer.body, takes).map_err(|refused| match refused {
        Refused::CutOff => Plain::NoEnd,
        Refused::Bytes => Plain::Bytes,
        Refused::Rendered => Plain::Rendered,
        Refused::Samples => Plain::Samples,
        Refused::Names => Plain::Names,
    })?;
    if page.report().samples == 0 { Err(Plain::NoSamples.into()) } else { Ok(page) }
}
