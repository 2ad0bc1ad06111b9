//! Replies before they become HTTP: a status, headers, a body, and their cost for the controller.

use std::time::{Duration, SystemTime};

use hyper::StatusCode;
use hyper::body::Bytes;

use super::auth::{CSRF_COOKIE, SESSION_COOKIE};
use super::state::SESSION_LIFE;
use super::{clock, secrets};

const SERVER_ERROR: &str = include_str!("../../fixtures/captures/dbdown/dbdown-admin.body");
const NOT_FOUND: &str = include_str!("../../fixtures/captures/notfound/notfound-admin.body");
const CSRF_FAILED: &str = include_str!("../../fixtures/captures/login/login-post-nocsrf.body");

pub(super) const HTML: &str = "text/html; charset=utf-8";

/// The `Vary` of a reply that depends on neither the session nor the renderer.
pub(super) const VARY: &str = "Accept-Language, origin";

#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Bytes,
    /// The body is sent in chunks, without its length.
    pub(super) chunked: bool,
    /// The time that the real controller takes.
    pub(super) cost: Duration,
}

impl Reply {
    /// A reply with the headers of every Django reply.
    pub(super) fn new(status: StatusCode, body: impl Into<Bytes>) -> Self {
        let headers = vec![
            ("server", "gunicorn".to_owned()),
            ("content-language", "en".to_owned()),
            ("x-api-request-id", secrets::hexadecimal(32)),
            ("access-control-expose-headers", "X-API-Request-Id".to_owned()),
        ];
        Self { status, headers, body: body.into(), chunked: false, cost: Duration::ZERO }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn costing(mut self, cost: Duration) -> Self {
        self.cost += cost;
        self
    }

    pub(super) fn html(status: StatusCode, body: impl Into<Bytes>, vary: &str) -> Self {
        Self::new(status, body).with("content-type", HTML).with("vary", vary)
    }

    pub(super) fn server_error(vary: &str) -> Self {
        Self::html(StatusCode::INTERNAL_SERVER_ERROR, SERVER_ERROR, vary)
    }

    pub(super) fn not_found() -> Self {
        Self::html(StatusCode::NOT_FOUND, NOT_FOUND, VARY)
    }

    pub(super) fn csrf_failed() -> Self {
        Self::html(StatusCode::FORBIDDEN, CSRF_FAILED, VARY)
    }

    /// A redirect as `APPEND_SLASH` makes it.
    pub(super) fn moved(location: String) -> Self {
        let reply = Self::html(StatusCode::MOVED_PERMANENTLY, "", VARY);
        Self { chunked: true, ..reply.with("location", location) }
    }

    pub(super) fn never_cached(self) -> Self {
        let never = "max-age=0, no-cache, no-store, must-revalidate, private";
        self.with("expires", clock::http(SystemTime::now())).with("cache-control", never)
    }

    pub(super) fn with_csrf_cookie(self, secret: &str) -> Self {
        self.with("set-cookie", format!("{CSRF_COOKIE}={secret}; Path=/; SameSite=Lax; Secure"))
    }

    /// Every reply to a session extends its life.
    pub(super) fn with_session(self, session: &str) -> Self {
        let expires = clock::http(SystemTime::now() + SESSION_LIFE);
        let life = SESSION_LIFE.as_secs();
        let cookie = format!(
            "{SESSION_COOKIE}={session}; expires={expires}; HttpOnly; Max-Age={life}; Path=/; SameSite=Lax; Secure"
        );
        self.with("session-timeout", life.to_string()).with("set-cookie", cookie)
    }

    pub(super) fn without_session(self) -> Self {
        let past = "expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Path=/; SameSite=Lax";
        self.with("set-cookie", format!("{SESSION_COOKIE}=\"\"; {past}"))
    }
}
