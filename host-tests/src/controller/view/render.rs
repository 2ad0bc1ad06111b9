//! The result of a view as a reply: renderer, headers, and the browsable page.

use hyper::StatusCode;

use super::{Answer, Body, Refusal, View};
use crate::controller::auth::Attempt;
use crate::controller::login::escaped;
use crate::controller::negotiate::Renderer;
use crate::controller::reply::{Reply, VARY};
use crate::controller::secrets;

const PAGE: &str = include_str!("../../../fixtures/captures/m/m-format-api.body");
const VERSION: &str = "24.6.2.dev145+ge21dd0a093";
const CHALLENGE: &str = "Bearer realm=api authorization_url=/api/o/authorize/";
const LOG_IN: &str = " To establish a login session, visit /api/login/.";

/// The parts of a reply that depend on the request; they are filled in as the request is handled.
pub(super) struct Frame<'a> {
    node: &'a str,
    view: View,
    renderer: Renderer,
    pub(super) asked_session: bool,
    user: Option<&'static str>,
}

impl<'a> Frame<'a> {
    pub(super) fn of(node: &'a str, view: View, renderer: Renderer) -> Self {
        Self { node, view, renderer, asked_session: false, user: None }
    }

    /// Records the result of the authentication.
    pub(super) fn asked(&mut self, attempt: &Attempt) {
        self.asked_session = attempt.asked_session;
        self.user =
            attempt.caller.as_ref().ok().and_then(Option::as_ref).map(|caller| caller.user.name);
    }

    pub(super) fn answer(&self, outcome: Result<Answer, Refusal>) -> Reply {
        match outcome {
            Ok(Answer { status, body, location }) => {
                let reply = self.reply(status, body);
                match location {
                    Some(location) => reply.with("location", location),
                    None => reply,
                }
            }
            Err(refusal) => self.refuse(refusal),
        }
    }

    pub(super) fn refuse(&self, refusal: Refusal) -> Reply {
        match refusal {
            Refusal::ServerError => {
                let cookie = if self.asked_session { ", Cookie" } else { "" };
                Reply::server_error(&format!("{VARY}{cookie}"))
            }
            Refusal::NotAuthenticated(sentence) => {
                let sentence = format!("{sentence}{LOG_IN}");
                let repr = format!("{{'detail': {}}}", repr(&sentence));
                let body = Body::Data { json: detail(&sentence), repr };
                self.reply(StatusCode::UNAUTHORIZED, body).with("www-authenticate", CHALLENGE)
            }
            Refusal::Detail { status, detail: sentence, code } => {
                let repr = repr(&sentence);
                let repr = format!("{{'detail': ErrorDetail(string={repr}, code='{code}')}}");
                self.reply(status, Body::Data { json: detail(&sentence), repr })
            }
        }
    }

    fn reply(&self, status: StatusCode, body: Body) -> Reply {
        let secret = secrets::alphanumeric(32);
        let csrf = self.view.csrf || self.renderer == Renderer::Html;
        let (content_type, body) = self.rendered(status, body, &secret);
        let vary = match (csrf, self.asked_session) {
            (true, _) => "Accept, Cookie, Accept-Language, origin",
            (false, true) => "Accept, Accept-Language, origin, Cookie",
            (false, false) => "Accept, Accept-Language, origin",
        };
        let mut reply = Reply::new(status, body)
            .with("vary", vary)
            .with("allow", self.view.allow)
            .with("x-api-product-name", "AWX")
            .with("x-api-node", self.node);
        if let Some(content_type) = content_type {
            reply = reply.with("content-type", content_type);
        }
        if self.user.is_some() {
            reply = reply.with("x-api-product-version", VERSION);
        }
        if !self.view.is_metrics() {
            reply = reply.with("x-api-time", "0.010s");
        }
        if csrf { reply.with_csrf_cookie(&secret) } else { reply }
    }

    fn rendered(&self, status: StatusCode, body: Body, secret: &str) -> (Option<String>, Vec<u8>) {
        let content_type = Some(self.renderer.content_type().to_owned());
        let body = match (body, self.renderer) {
            (Body::Nothing, _) => return (None, Vec::new()),
            (Body::Fixed { body, content_type }, _) => return (Some(content_type), body),
            (Body::Data { json, .. } | Body::Rendered(json), Renderer::Html) => {
                self.page(status, &json, secret)
            }
            (Body::Data { repr, .. }, Renderer::Text) => repr,
            (Body::Data { json, .. }, Renderer::Json) => json,
            (Body::Rendered(page), _) => page,
        };
        (content_type, body.into_bytes())
    }

    /// The browsable page: the captured one with this reply in it.
    fn page(&self, status: StatusCode, body: &str, secret: &str) -> String {
        let start = "<pre class=\"prettyprint\"><span class=\"meta nocode\"><b>HTTP ";
        let (head, rest) = PAGE.split_once(start).unwrap_or((PAGE, ""));
        let (_, tail) = rest.split_once("</pre>").unwrap_or_default();
        let body = escaped(body);
        let page = format!("{head}{start}{status}</b>\n</span>{body}</pre>{tail}");
        let page = with_token(&page, secret).replace("Metrics", self.view.title);
        match self.user {
            Some(user) => page.replace("Logged in as admin", &format!("Logged in as {user}")),
            None => {
                page.replace("Logged in as admin", "Log in").replace("/api/v2/me/", "/api/login/")
            }
        }
    }
}

fn with_token(page: &str, secret: &str) -> String {
    let captured =
        page.split_once("\"csrfToken\": \"").and_then(|(_, rest)| rest.split('"').next());
    page.replace(captured.unwrap_or_default(), &secrets::masked(secret))
}

fn detail(sentence: &str) -> String {
    format!("{{\"detail\":{}}}", serde_json::Value::from(sentence))
}

/// Python's `repr` of a string.
fn repr(text: &str) -> String {
    let text = text.replace('\\', "\\\\");
    match (text.contains('\''), text.contains('"')) {
        (true, false) => format!("\"{text}\""),
        _ => format!("'{}'", text.replace('\'', "\\'")),
    }
}
