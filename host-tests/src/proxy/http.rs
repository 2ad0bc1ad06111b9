//! The HTTP of one connection: requests in, through their streams, replies out.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::Listener;
use super::body::{CutOff, PieceBody, Pieces};
use super::message;
use super::reply;
use super::stream::{Stop, Stream};
use super::upstream::{Failure, Reply};
use super::worker::Worker;
use crate::vm::{Connection, Exchange, Facts, Headers, LocalReply};

/// Envoy's `max_request_headers_kb`.
const HEADERS_LIMIT: usize = 60 * 1024;

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
        let upgrade =
            message::is_upgrade(request.headers()).then(|| hyper::upgrade::on(&mut request));
        let scheme = if self.listener.tls.is_some() { "https" } else { "http" };
        let headers = message::request_headers(&request, scheme);
        let exchange = Exchange { request_headers: Some(headers), ..self.exchange() };
        let mut stream = Stream::new(&self.worker, &self.listener, exchange);
        let body = request.into_body();
        match self.forward(&mut stream, body, upgrade.is_some()).await {
            Ok(reply) => relay(stream, reply, upgrade).await,
            Err(Stop::Reply(reply)) => local(stream, reply).await,
            Err(Stop::Reset) => Err(CutOff),
        }
    }

    /// The request through its filters and to its cluster.
    async fn forward(
        &self,
        stream: &mut Stream,
        body: Incoming,
        upgrade: bool,
    ) -> Result<Reply, Stop> {
        refuse_illegal(stream)?;
        let end = body.is_end_stream() && !upgrade;
        stream.request_headers(end).await?;
        let route = self.route(stream)?;
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
            facts.flags |= 0x100;
            return Err(Stop::Reply(reply::bare(404, "route_not_found")));
        };
        facts.cluster = Some(route.cluster.clone());
        Ok(route.clone())
    }

    /// What could not be read as a request is logged all the same, without headers.
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
fn refuse_illegal(stream: &Stream) -> Result<(), Stop> {
    let exchange = stream.exchange();
    let headers = exchange.request_headers.as_ref();
    let has = |name: &[u8]| headers.is_some_and(|headers| headers.first(name).is_some());
    if !has(b":authority") {
        return Err(Stop::Reply(reply::bare(400, "missing_host_header")));
    }
    if !has(b":path") {
        return Err(Stop::Reply(reply::bare(403, "upgrade_failed")));
    }
    Ok(())
}

/// Waits for the reply while the body is pushed. A reply before the body's end leaves the rest unread.
async fn both(
    sending: impl Future<Output = Result<Reply, Failure>>,
    pushing: impl Future<Output = Result<(), Stop>>,
) -> Result<Result<Reply, Failure>, Stop> {
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

/// The client's body through the filters and to the cluster.
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
            // The cluster has answered already, or gone: that is told elsewhere.
            return Ok(());
        }
    }
    let _ = pieces.end().await;
    Ok(())
}

/// An upstream's reply through the filters and to the client.
async fn relay(
    mut stream: Stream,
    mut reply: Reply,
    upgrade: Option<OnUpgrade>,
) -> Result<Response<PieceBody>, CutOff> {
    stream.exchange().facts.upstream = Some(reply.address);
    stream.exchange().facts.code_details = Some("via_upstream".into());
    let upstream = hyper::upgrade::on(&mut reply.response);
    let upgraded = reply.response.status() == hyper::StatusCode::SWITCHING_PROTOCOLS;
    let body = reply.response.into_body();
    let end = body.is_end_stream() && !upgraded;
    if let Err(stop) = stream.response_headers(reply.headers, end).await {
        return direct(stream, stop);
    }
    let headers = sent_headers(&stream);
    if upgraded && let Some(client) = upgrade {
        tokio::task::spawn_local(tunnel(stream, client, upstream));
        return Ok(message::client_response(&headers, PieceBody::whole(Bytes::new())));
    }
    if end {
        stream.finish();
        return Ok(message::client_response(&headers, PieceBody::whole(Bytes::new())));
    }
    let (pieces, sent) = PieceBody::pieces();
    tokio::task::spawn_local(async move {
        let pulled = tokio::select! {
            pulled = pull(&mut stream, body, &pieces) => pulled,
            () = pieces.gone() => Err(Stop::Reset),
        };
        if pulled.is_ok() {
            let _ = pieces.end().await;
        }
    });
    Ok(message::client_response(&headers, sent))
}

/// The upstream's body through the filters and to the client. The request counts as ended before its last piece is
/// handed over, so that whoever has read a reply can rely on its being counted.
async fn pull(stream: &mut Stream, mut body: Incoming, pieces: &Pieces) -> Result<(), Stop> {
    let mut end = false;
    while !end {
        let next = body.frame().await;
        let frame = match next {
            Some(Ok(frame)) => frame,
            None => last_piece(&mut end),
            Some(Err(_)) => {
                cut_off(stream);
                return Err(Stop::Reset);
            }
        };
        end |= body.is_end_stream();
        let frame = match frame.into_data() {
            Ok(data) => {
                stream.response_body(data.into(), end).await?.map(|data| Frame::data(data.into()))
            }
            Err(frame) => {
                let trailers = frame.trailers_ref().map(trailer_lines);
                stream.exchange().response_trailers = trailers;
                stream.response_trailers().await?;
                end = true;
                Some(frame)
            }
        };
        if end {
            stream.finish();
        }
        if let Some(frame) = frame {
            pieces.send(frame).await.map_err(|_| Stop::Reset)?;
        }
    }
    Ok(())
}

/// A chunked body's end is only known after its last piece: an empty one tells the filters.
fn last_piece(end: &mut bool) -> Frame<Bytes> {
    *end = true;
    Frame::data(Bytes::new())
}

fn cut_off(stream: &mut Stream) {
    let mut exchange = stream.exchange();
    exchange.facts.flags |= Failure::Closed.flag();
    exchange.facts.code_details =
        Some("upstream_reset_after_response_started{connection_termination}".into());
    drop(exchange);
    stream.finish();
}

/// A local reply, through the filters too.
async fn local(mut stream: Stream, reply: LocalReply) -> Result<Response<PieceBody>, CutOff> {
    stream.exchange().facts.code_details = Some(reply.details.clone());
    let method = stream
        .exchange()
        .request_headers
        .as_ref()
        .and_then(|headers| headers.first(b":method").map(<[u8]>::to_vec));
    let bodyless = reply.body.is_empty() || method.as_deref() == Some(b"HEAD");
    if let Err(stop) = stream.response_headers(reply::headers_of(&reply), bodyless).await {
        return direct(stream, stop);
    }
    let headers = sent_headers(&stream);
    let mut body = reply.body;
    if !bodyless {
        body = match stream.response_body(body, true).await {
            Ok(body) => body.unwrap_or_default(),
            Err(_) => return Err(CutOff),
        };
    }
    stream.finish();
    Ok(message::client_response(&headers, PieceBody::whole(body)))
}

/// A reply that takes the place of one on its way back: no filter sees it.
fn direct(mut stream: Stream, stop: Stop) -> Result<Response<PieceBody>, CutOff> {
    let Stop::Reply(reply) = stop else { return Err(CutOff) };
    let headers = reply::headers_of(&reply);
    stream.exchange().facts.code_details = Some(reply.details);
    stream.exchange().response_headers = Some(headers);
    let headers = sent_headers(&stream);
    stream.finish();
    Ok(message::client_response(&headers, PieceBody::whole(reply.body)))
}

/// The reply's headers as the filters left them. From here on its status is known.
fn sent_headers(stream: &Stream) -> Headers {
    let mut exchange = stream.exchange();
    let headers = exchange.response_headers.clone().unwrap_or_default();
    exchange.facts.code = Some(message::status(&headers).as_u16());
    headers
}

async fn tunnel(mut stream: Stream, client: OnUpgrade, upstream: OnUpgrade) {
    if let (Ok(client), Ok(upstream)) = tokio::join!(client, upstream) {
        let (mut client, mut upstream) = (TokioIo::new(client), TokioIo::new(upstream));
        let _ = tokio::io::copy_bidirectional(&mut client, &mut upstream).await;
    }
    stream.finish();
}

fn trailer_lines(trailers: &hyper::HeaderMap) -> Headers {
    trailers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect()
}
