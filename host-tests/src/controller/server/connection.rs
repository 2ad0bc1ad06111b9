//! One connection: HTTP/1.1 by hyper, or the bytes of a mode that is not HTTP.

use std::convert::Infallible;
use std::fmt;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::{HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::websocket::{self, Pending};
use crate::controller::auth::{self, SESSION_COOKIE};
use crate::controller::call::{Call, percent_decoded};
use crate::controller::reply::{Reply, VARY};
use crate::controller::route::{self, Route};
use crate::controller::{Mode, Received, Shared, locked, login, view};

/// The largest body of a request, in bytes.
const BODY_LIMIT: usize = 64 << 20;
/// The largest head of a request that the stand-in reads itself, in bytes.
const HEAD_LIMIT: usize = 64 << 10;

const GARBLED: &[u8] = b"\x16\x03\x01\x02\x00 HTTP? no \xff\xfe\r\n\r\n\0\0\0\0";
const CLOSES_EARLY: &[u8] = b"HTTP/1.1 200 OK\r\nServer: gunicorn\r\nConnection: close\r\n\
    Content-Type: text/plain; charset=utf-8\r\nContent-Length: 23111\r\n\r\n\
    # HELP awx_organizations_total Number of organizations\n\
    # TYPE awx_organizations_total gauge\nawx_organizations_total 4.0\n# HELP awx_us";
const UI: &str = "<!doctype html><html lang=\"en\"><head><title>AWX</title></head><body><div id=\"app\"></div></body></html>\n";

pub(super) async fn serve(
    shared: Arc<Shared>,
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    renewed: watch::Receiver<()>,
) {
    match tls {
        None => converse(shared, stream, renewed).await,
        // A client may abort the handshake.
        Some(tls) => {
            if let Ok(stream) = tls.accept(stream).await {
                converse(shared, stream, renewed).await;
            }
        }
    }
}

async fn converse<S>(shared: Arc<Shared>, stream: S, mut renewed: watch::Receiver<()>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    match shared.mode() {
        Mode::Garbled => return answer_raw(&shared, stream, GARBLED).await,
        Mode::ClosesEarly => return answer_raw(&shared, stream, CLOSES_EARLY).await,
        _ => {}
    }
    let upgrade = Pending::default();
    let service = service_fn(|mut request| {
        let is_websocket = upgrade.note(&mut request);
        respond(Arc::clone(&shared), request, is_websocket)
    });
    let mut connection = pin!(
        http1::Builder::new()
            .keep_alive(shared.config.keep_alive)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades()
    );
    renewed.mark_unchanged();
    let mut serving = true;
    loop {
        tokio::select! {
            // An error comes from the client or from the mode.
            _ = connection.as_mut() => break,
            changed = renewed.changed(), if serving => {
                serving = changed.is_ok();
                connection.as_mut().graceful_shutdown();
            }
        }
    }
    upgrade.echo().await;
}

async fn answer_raw<S: AsyncRead + AsyncWrite + Unpin>(
    shared: &Shared,
    mut stream: S,
    bytes: &[u8],
) {
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    while !head.windows(4).any(|window| window == b"\r\n\r\n") && head.len() < HEAD_LIMIT {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(read) => head.extend_from_slice(&buffer[..read]),
        }
    }
    locked(&shared.journal).record(received_raw(&head));
    // The client may have left.
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
}

fn received_raw(head: &[u8]) -> Received {
    let head = String::from_utf8_lossy(head);
    let mut lines = head.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ').map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers =
        headers.map(|(name, value)| (name.to_lowercase(), value.trim().as_bytes().to_vec()));
    Received { method, target, headers: headers.collect(), body: Vec::new() }
}

/// Makes hyper drop the connection without a reply.
#[derive(Debug)]
struct Dropped;

impl fmt::Display for Dropped {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the stand-in dropped the connection")
    }
}

impl std::error::Error for Dropped {}

async fn respond(
    shared: Arc<Shared>,
    request: Request<Incoming>,
    is_websocket: bool,
) -> Result<Response<ReplyBody>, Dropped> {
    let started = Instant::now();
    let call = read(&shared, request).await?;
    let mode = shared.mode();
    match mode {
        _ if mode.is_raw() => return Err(Dropped),
        Mode::Hanging => std::future::pending().await,
        Mode::Slow(delay) => tokio::time::sleep(delay).await,
        _ => {}
    }
    if is_websocket && mode == Mode::Normal {
        return Ok(websocket::accepted(ReplyBody { bytes: None, chunked: false }));
    }
    let delay = auth::delay(&locked(&shared.state), &call);
    if let Some(delay) = delay {
        tokio::time::sleep(delay).await;
    }
    let reply = answer(&shared, &call, &mode);
    work(&shared, reply.cost).await;
    Ok(response(&shared, reply, started.elapsed()))
}

async fn read(shared: &Shared, request: Request<Incoming>) -> Result<Call, Dropped> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, BODY_LIMIT).collect().await.map_err(|_| Dropped)?.to_bytes();
    let headers = head.headers.iter();
    locked(&shared.journal).record(Received {
        method: head.method.to_string(),
        target: head.uri.path_and_query().map_or("", |target| target.as_str()).to_owned(),
        headers: headers
            .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
            .collect(),
        body: body.to_vec(),
    });
    Ok(Call {
        method: head.method,
        path: percent_decoded(head.uri.path().as_bytes()),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        body,
    })
}

/// Occupies one of the controller's workers for as long as the real one would.
async fn work(shared: &Shared, cost: Duration) {
    if !cost.is_zero() {
        let _worker = shared.workers.acquire().await;
        tokio::time::sleep(cost).await;
    }
}

fn answer(shared: &Shared, call: &Call, mode: &Mode) -> Reply {
    if let Some(pace) = shared.config.pace {
        locked(&shared.state).jobs.advance(pace.pending, pace.running);
    }
    match *mode {
        Mode::Failing(status) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            return Reply { status, ..Reply::server_error(VARY) };
        }
        Mode::Html => return Reply::html(StatusCode::OK, login::page(), VARY),
        _ => {}
    }
    let (reply, keeps_session) = match route::route(call) {
        Route::Slash(location) => return Reply::moved(location),
        _ if *mode == Mode::DatabaseDown => return Reply::server_error(VARY),
        _ if auth::has_nul(call) => return Reply::server_error(VARY),
        Route::Login => (login::login(shared, call), false),
        Route::Logout => (login::logout(shared, call), false),
        Route::Ui => (Reply::html(StatusCode::OK, UI, VARY), true),
        Route::Api(resource) => (view::answer(shared, call, &resource), true),
        Route::NotFound => (Reply::not_found().costing(shared.config.latency.base), true),
    };
    if keeps_session { in_session(shared, call, reply) } else { reply }
}

/// A reply to a session's cookie renews the cookie; a reply to an unknown cookie deletes it.
fn in_session(shared: &Shared, call: &Call, reply: Reply) -> Reply {
    match call.cookie(SESSION_COOKIE) {
        Some(session) if locked(&shared.state).session(&session).is_some() => {
            reply.with_session(&session)
        }
        Some(_) => reply.without_session(),
        None => reply,
    }
}

fn response(shared: &Shared, reply: Reply, took: Duration) -> Response<ReplyBody> {
    let total = format!("{:.3}s", took.as_secs_f64());
    let body = ReplyBody { bytes: Some(reply.body), chunked: reply.chunked };
    let mut response = Response::new(body);
    *response.status_mut() = reply.status;
    let total = ("x-api-total-time", total);
    for (name, value) in reply.headers.into_iter().chain([total]) {
        let value = HeaderValue::from_bytes(value.as_bytes()).expect("replies have legal headers");
        response.headers_mut().append(HeaderName::from_static(name), value);
    }
    if !shared.config.keep_alive {
        response.headers_mut().insert("connection", HeaderValue::from_static("close"));
    }
    response
}

/// A whole body, sent with or without its length.
struct ReplyBody {
    bytes: Option<Bytes>,
    chunked: bool,
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let bytes = self.bytes.take().filter(|bytes| !bytes.is_empty());
        Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn size_hint(&self) -> SizeHint {
        let length = self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
        if self.chunked { SizeHint::default() } else { SizeHint::with_exact(length) }
    }
}
