//! The HTTP of one connection: requests in, through their streams, replies out.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::Listener;
use super::body::{CutOff, PieceBody, Pieces};
use super::message;
use super::relay::{last_piece, local, relay, trailer_lines};
use super::reply;
use super::stream::{Stop, Stream};
use super::upstream::{Reply, UpstreamFailure};
use super::worker::Worker;
use crate::vm::{Connection, Exchange, Facts, Headers, LocalReply};

/// Envoy's `max_request_headers_kb`.
const HEADERS_LIMIT: usize = 60 * 1024;

/// The bit of `response.flags`.
const NO_ROUTE: u64 = 0x100;

/// A client's connection on its worker.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) worker: Rc<Worker>,
    pub(super) listener: Arc<Listener>,
    pub(super) connection: Connection,
}

impl Client {
    /// Serves the connection to its end.
    pub(super) async fn serve(self, io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let client = self.clone();
        let service = service_fn(move |request| client.clone().answer(request));
        let served = http1::Builder::new()
            .max_buf_size(HEADERS_LIMIT)
            .serve_connection(TokioIo::new(io), service)
            .with_upgrades()
            .await;
        let Err(error) = served else { return };
        if error.is_parse_too_large() {
            self.log_unread(431, "http1.headers_too_large");
        } else if error.is_parse() {
            self.log_unread(400, "http1.codec_error");
        }
    }

    async fn answer(self, mut request: Request<Incoming>) -> Result<Response<PieceBody>, CutOff> {
        if !message::is_known_method(request.method()) {
            self.log_unread(400, "http1.codec_error");
            return Ok(message::bad_request());
        }
        let upgrade =
            message::is_upgrade(request.headers()).then(|| hyper::upgrade::on(&mut request));
        let scheme = if self.listener.tls.is_some() { "https" } else { "http" };
        let headers = message::request_headers(&request, scheme, self.listener.normal_paths);
        let exchange = Exchange { request_headers: Some(headers), ..self.exchange() };
        let size = exchange.request_headers.as_ref().map_or(0, Headers::byte_size);
        if size > HEADERS_LIMIT {
            return Ok(self.refuse_large());
        }
        let mut stream = Stream::new(&self.worker, &self.listener, exchange);
        let body = request.into_body();
        match self.forward(&mut stream, body, upgrade.is_some()).await {
            Ok(reply) => relay(stream, reply, upgrade).await,
            Err(Stop::Reply(reply)) => local(stream, reply).await,
            Err(Stop::Reset) => Err(CutOff),
        }
    }

    /// Sends the request through its filters and to its cluster.
    async fn forward(
        &self,
        stream: &mut Stream,
        body: Incoming,
        upgrade: bool,
    ) -> Result<Reply, Stop> {
        refuse_without_host(stream)?;
        let end = body.is_end_stream() && !upgrade;
        // Filters see the route of the original request.
        if self.route(stream).is_ok_and(|route| !route.filtered) {
            stream.pass_filters_by();
        }
        stream.request_headers(end).await?;
        let route =
            self.route(stream).inspect_err(|_| stream.exchange().facts.flags |= NO_ROUTE)?;
        let (pieces, sent) = match body.is_end_stream() {
            true => (None, PieceBody::whole(Bytes::new())),
            false => {
                let (pieces, sent) = PieceBody::pieces();
                (Some(pieces), sent)
            }
        };
        let request = stream
            .exchange()
            .request_headers
            .as_ref()
            .and_then(|headers| message::upstream_request(headers, sent));
        let request = request.ok_or_else(|| Stop::Reply(reply::bare(400, "illegal_request")))?;
        let patience = (!upgrade && !route.timeout.is_zero()).then_some(route.timeout);
        let sending = self.worker.upstreams.send(&route.cluster, request, patience);
        let reply = match pieces {
            Some(pieces) => both(sending, push(stream, body, pieces)).await?,
            None => sending.await,
        };
        reply.map_err(|failure| {
            stream.exchange().facts.flags |= failure.flag();
            Stop::Reply(failure.reply())
        })
    }

    fn route(&self, stream: &Stream) -> Result<super::Route, Stop> {
        let mut exchange = stream.exchange();
        let path = exchange.request_headers.as_ref().and_then(|headers| headers.first(b":path"));
        let path = path.unwrap_or_default();
        let route =
            self.listener.routes.iter().find(|route| path.starts_with(route.prefix.as_bytes()));
        let facts = &mut exchange.facts;
        let Some(route) = route else {
            facts.cluster = None;
            return Err(Stop::Reply(reply::bare(404, "route_not_found")));
        };
        facts.cluster = Some(route.cluster.clone());
        Ok(route.clone())
    }

    /// Hyper's own limit is that of a buffer and not exact.
    fn refuse_large(&self) -> Response<PieceBody> {
        self.log_unread(431, "http1.headers_too_large");
        let text = "Request Header Fields Too Large";
        let reply = LocalReply { status: 431, body: text.into(), ..LocalReply::default() };
        message::client_response(&reply::headers_of(&reply), PieceBody::whole(text))
    }

    /// A malformed request is logged too, without headers.
    fn log_unread(&self, code: u16, details: &str) {
        let mut exchange = self.exchange();
        exchange.facts.code = Some(code);
        exchange.facts.code_details = Some(details.to_owned());
        exchange.facts.flags = 0x4_0000;
        Stream::new(&self.worker, &self.listener, exchange).finish();
    }

    fn exchange(&self) -> Exchange {
        let facts = Facts {
            protocol: Some("HTTP/1.1"),
            started: self.worker.world.clock.now(),
            connection: Some(self.connection),
            ..Facts::default()
        };
        Exchange { facts, ..Exchange::default() }
    }
}

/// Envoy refuses these before any filter sees them, and logs them.
fn refuse_without_host(stream: &Stream) -> Result<(), Stop> {
    let exchange = stream.exchange();
    let headers = exchange.request_headers.as_ref();
    let has = |name: &[u8]| headers.is_some_and(|headers| headers.first(name).is_some());
    if !has(b":authority") {
        return Err(Stop::Reply(reply::bare(400, "missing_host_header")));
    }
    Ok(())
}

/// Waits for the reply while the body is sent. After an early reply, the rest of the body is not read.
async fn both(
    sending: impl Future<Output = Result<Reply, UpstreamFailure>>,
    pushing: impl Future<Output = Result<(), Stop>>,
) -> Result<Result<Reply, UpstreamFailure>, Stop> {
    tokio::pin!(sending, pushing);
    let mut pushed = false;
    loop {
        tokio::select! {
            reply = &mut sending => return Ok(reply),
            outcome = &mut pushing, if !pushed => {
                outcome?;
                pushed = true;
            }
        }
    }
}

/// Sends the client's body through the filters and to the cluster.
async fn push(stream: &mut Stream, mut body: Incoming, pieces: Pieces) -> Result<(), Stop> {
    let mut end = false;
    while !end {
        let frame = match body.frame().await {
            None => last_piece(&mut end),
            Some(Ok(frame)) => frame,
            Some(Err(_)) => return Err(Stop::Reset),
        };
        end |= body.is_end_stream();
        let frame = match frame.into_data() {
            Ok(data) => {
                stream.request_body(data.into(), end).await?.map(|data| Frame::data(data.into()))
            }
            Err(frame) => {
                let trailers = frame.trailers_ref().map(trailer_lines);
                stream.exchange().request_trailers = trailers;
                stream.request_trailers().await?;
                end = true;
                Some(frame)
            }
        };
        if let Some(frame) = frame
            && pieces.send(frame).await.is_err()
        {
            // The cluster has already answered or gone; another part reports it.
            return Ok(());
        }
    }
    let _ = pieces.end().await;
    Ok(())
}
