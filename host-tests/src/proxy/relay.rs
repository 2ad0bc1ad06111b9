//! Replies on their way back: an upstream's or a local one, through the filters to the client.

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::Response;
use hyper::body::{Body, Frame, Incoming};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use super::body::{CutOff, PieceBody, Pieces};
use super::message;
use super::reply;
use super::stream::{Stop, Stream};
use super::upstream::{Reply, UpstreamFailure};
use crate::vm::{Headers, LocalReply};

/// Sends an upstream's reply through the filters and to the client.
pub(super) async fn relay(
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

/// Sends the upstream's body through the filters and to the client. The request is finished before its last piece is
/// handed over, so that a client that has read the reply can rely on the request being counted.
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

/// The end of a chunked body is known only after its last piece: an empty piece tells the filters.
pub(super) fn last_piece(end: &mut bool) -> Frame<Bytes> {
    *end = true;
    Frame::data(Bytes::new())
}

fn cut_off(stream: &mut Stream) {
    let mut exchange = stream.exchange();
    exchange.facts.flags |= UpstreamFailure::Closed.flag();
    exchange.facts.code_details =
        Some("upstream_reset_after_response_started{protocol_error}".into());
    drop(exchange);
    stream.finish();
}

/// Sends a local reply through the filters too.
pub(super) async fn local(
    mut stream: Stream,
    reply: LocalReply,
) -> Result<Response<PieceBody>, CutOff> {
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

/// A reply that replaces one on its way back: no filter sees it.
fn direct(mut stream: Stream, stop: Stop) -> Result<Response<PieceBody>, CutOff> {
    let Stop::Reply(reply) = stop else { return Err(CutOff) };
    let headers = reply::headers_of(&reply);
    stream.exchange().facts.code_details = Some(reply.details);
    stream.exchange().response_headers = Some(headers);
    let headers = sent_headers(&stream);
    stream.finish();
    Ok(message::client_response(&headers, PieceBody::whole(reply.body)))
}

/// The reply's headers after the filters. From here on, its status is known.
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

pub(super) fn trailer_lines(trailers: &hyper::HeaderMap) -> Headers {
    trailers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect()
}
