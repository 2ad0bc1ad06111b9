//! Requests to clusters: a client with a connection pool per thread, and Envoy's own replies if the upstream gives
//! none.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::TokioExecutor;

use super::body::PieceBody;
use super::message;
use crate::vm::{CallAnswer, Headers, HttpCall, LocalReply};
use crate::world::World;

/// `http.async_response_buffer_limit`
const CALL_BODY_LIMIT: usize = 32 * 1024 * 1024;

/// The reason why the upstream gives no reply, as Envoy reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UpstreamFailure {
    NoHealthyUpstream,
    Refused,
    Closed,
    Garbled,
    TimedOut,
}

impl UpstreamFailure {
    /// The reply that Envoy makes. Only `x-envoy-upstream-service-time` distinguishes an upstream's reply from it.
    pub(super) fn reply(self) -> LocalReply {
        let (status, body, details) = match self {
            Self::NoHealthyUpstream => (503, "no healthy upstream", "no_healthy_upstream"),
            Self::Refused => (
                503,
                "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure",
                "upstream_reset_before_response_started{remote_connection_failure|\
                 delayed_connect_error:_Connection_refused}",
            ),
            Self::Closed => (
                503,
                "upstream connect error or disconnect/reset before headers. reset reason: connection termination",
                "upstream_reset_before_response_started{connection_termination}",
            ),
            Self::Garbled => (
                502,
                "upstream connect error or disconnect/reset before headers. reset reason: protocol error",
                "upstream_reset_before_response_started{protocol_error}",
            ),
            Self::TimedOut => (504, "upstream request timeout", "response_timeout"),
        };
        LocalReply { status, details: details.into(), body: body.into(), headers: Headers::new() }
    }

    /// The bits of `response.flags`.
    pub(super) fn flag(self) -> u64 {
        match self {
            Self::NoHealthyUpstream => 0x2,
            Self::TimedOut => 0x4,
            Self::Refused => 0x20,
            Self::Closed => 0x40,
            Self::Garbled => 0x10_0000,
        }
    }
}

impl From<ClientError> for UpstreamFailure {
    fn from(error: ClientError) -> Self {
        if error.is_connect() {
            return Self::Refused;
        }
        let cause = error.source().and_then(|cause| cause.downcast_ref::<hyper::Error>());
        match cause {
            Some(cause) if cause.is_parse() => Self::Garbled,
            _ => Self::Closed,
        }
    }
}

/// An upstream's reply.
pub(super) struct Reply {
    pub(super) headers: Headers,
    pub(super) response: Response<Incoming>,
    pub(super) address: SocketAddr,
}

/// The clusters, as seen by one thread.
#[derive(Clone)]
pub(super) struct Upstreams {
    world: Arc<World>,
    client: Client<HttpConnector, PieceBody>,
}

impl Upstreams {
    pub(super) fn new(world: &Arc<World>) -> Self {
        let client = Client::builder(TokioExecutor::new()).build(HttpConnector::new());
        Self { world: Arc::clone(world), client }
    }

    /// Sends a request and waits for the reply's headers.
    pub(super) async fn send(
        &self,
        cluster: &str,
        request: Request<PieceBody>,
        patience: Option<Duration>,
    ) -> Result<Reply, UpstreamFailure> {
        let addresses = self.world.cluster(cluster).unwrap_or_default();
        let address = *addresses.first().ok_or(UpstreamFailure::NoHealthyUpstream)?;
        let mut request = to_address(request, address).ok_or(UpstreamFailure::Garbled)?;
        if let Some(patience) = patience {
            let limit = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
            request.headers_mut().insert("x-envoy-expected-rq-timeout-ms", limit.into());
        }
        let began = Instant::now();
        let response = within(patience, self.client.request(request)).await??;
        let mut headers = message::response_headers(&response);
        let took = began.elapsed().as_millis().to_string();
        headers.replace("x-envoy-upstream-service-time", took);
        Ok(Reply { headers, response, address })
    }

    /// Makes the call of a module; `None` if the answer was truncated or too large.
    pub(super) async fn call(&self, call: &HttpCall) -> Option<CallAnswer> {
        let deadline = call.timeout.map(|timeout| Instant::now() + timeout);
        let left = || deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let body = PieceBody::whole(call.body.clone());
        let mut headers = call.headers.clone();
        headers.replace("x-envoy-internal", "true");
        let sent = match message::upstream_request(&headers, body) {
            Some(request) => self.send(&call.cluster, request, left()).await,
            None => Err(UpstreamFailure::Garbled),
        };
        let reply = match sent {
            Ok(reply) => reply,
            Err(failure) => return Some(made(&failure.reply())),
        };
        let body = Limited::new(reply.response.into_body(), CALL_BODY_LIMIT).collect();
        let body = within(left(), body).await.ok()?;
        let body = body.inspect_err(|error| self.report(call, error.as_ref())).ok()?;
        let trailers = body.trailers().map(|trailers| {
            trailers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect()
        });
        let trailers = trailers.unwrap_or_default();
        Some(CallAnswer { headers: reply.headers, body: body.to_bytes().to_vec(), trailers })
    }

    fn report(&self, call: &HttpCall, error: &(dyn Error + Send + Sync + 'static)) {
        let why = if error.is::<LengthLimitError>() { "too large" } else { "cut off" };
        let line = format!("the answer of {} to a call was {why}", call.cluster);
        self.world.log.host(crate::world::Level::Debug, &line);
    }
}

/// Envoy's own reply, as the answer to a call.
fn made(reply: &LocalReply) -> CallAnswer {
    CallAnswer {
        headers: super::reply::headers_of(reply),
        body: reply.body.clone(),
        trailers: Headers::new(),
    }
}

fn to_address(mut request: Request<PieceBody>, address: SocketAddr) -> Option<Request<PieceBody>> {
    let path = request.uri().path_and_query()?.clone();
    *request.uri_mut() = Uri::builder()
        .scheme("http")
        .authority(address.to_string())
        .path_and_query(path)
        .build()
        .ok()?;
    Some(request)
}

async fn within<F: Future>(
    patience: Option<Duration>,
    wait: F,
) -> Result<F::Output, UpstreamFailure> {
    match patience {
        Some(patience) => {
            tokio::time::timeout(patience, wait).await.map_err(|_| UpstreamFailure::TimedOut)
        }
        None => Ok(wait.await),
    }
}
