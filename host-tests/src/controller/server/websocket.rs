//! `/websocket/`, where browsers watch jobs. The stand-in echoes all bytes and checks nothing.

use std::sync::Mutex;

use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::upgrade::{self, OnUpgrade};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;

use crate::controller::locked;

/// The upgrade that a request asked for.
#[derive(Default)]
pub(super) struct Pending(Mutex<Option<OnUpgrade>>);

impl Pending {
    /// Stores the upgrade of a request; true if it asks for a websocket.
    pub(super) fn note(&self, request: &mut Request<Incoming>) -> bool {
        let upgrade = request.headers().get("upgrade");
        let asks = upgrade.is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket"));
        let is_websocket = asks && request.uri().path().starts_with("/websocket/");
        if is_websocket {
            *locked(&self.0) = Some(upgrade::on(request));
        }
        is_websocket
    }

    /// After HTTP has ended, echoes all bytes until the client closes.
    pub(super) async fn echo(self) {
        let Some(upgrade) = self.0.into_inner().ok().flatten() else { return };
        if let Ok(stream) = upgrade.await {
            let (mut reader, mut writer) = tokio::io::split(TokioIo::new(stream));
            // An error comes from the client.
            let _ = tokio::io::copy(&mut reader, &mut writer).await;
        }
    }
}

pub(super) fn accepted<B>(body: B) -> Response<B> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert("connection", HeaderValue::from_static("upgrade"));
    response.headers_mut().insert("upgrade", HeaderValue::from_static("websocket"));
    response
}
