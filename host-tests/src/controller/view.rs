//! One request to the API, in Django REST framework's order: body, renderer, caller, scope, method, role.

mod describe;
mod jobs;
mod metrics;
mod people;
mod render;

use std::time::Duration;

use hyper::{Method, StatusCode};

use super::auth::{self, Attempt, Caller, Rejected, Scheme};
use super::call::Call;
use super::negotiate::{self, Renderer, Unsatisfied};
use super::reply::Reply;
use super::route::Resource;
use super::state::Scope;
use super::{Shared, locked};
pub(super) use describe::View;

/// The answer of a view before it is rendered.
#[derive(Debug)]
pub(super) struct Answer {
    status: StatusCode,
    body: Body,
    location: Option<String>,
}

#[derive(Debug)]
pub(super) enum Body {
    Nothing,
    /// As the JSON renderer writes it, and as the text renderer does: Python's `repr`.
    Data {
        json: String,
        repr: String,
    },
    /// A metrics page in the renderer's own form.
    Rendered(String),
    /// Bytes that a test has set.
    Fixed {
        body: Vec<u8>,
        content_type: String,
    },
}

impl Answer {
    fn json(status: StatusCode, json: impl Into<String>) -> Self {
        let body = Body::Data { json: json.into(), repr: String::new() };
        Self { status, body, location: None }
    }

    fn nothing(status: StatusCode) -> Self {
        Self { status, body: Body::Nothing, location: None }
    }
}

/// The reason why a view does not answer.
#[derive(Debug)]
pub(super) enum Refusal {
    NotAuthenticated(&'static str),
    /// The view itself failed.
    ServerError,
    Detail {
        status: StatusCode,
        detail: String,
        code: &'static str,
    },
}

impl Refusal {
    fn detail(status: StatusCode, detail: impl Into<String>, code: &'static str) -> Self {
        Self::Detail { status, detail: detail.into(), code }
    }

    fn forbidden() -> Self {
        let sentence = "You do not have permission to perform this action.";
        Self::detail(StatusCode::FORBIDDEN, sentence, "permission_denied")
    }

    fn not_found(model: &str) -> Self {
        let sentence = format!("No {model} matches the given query.");
        Self::detail(StatusCode::NOT_FOUND, sentence, "not_found")
    }

    fn method(method: &Method) -> Self {
        let sentence = format!("Method \"{method}\" not allowed.");
        Self::detail(StatusCode::METHOD_NOT_ALLOWED, sentence, "method_not_allowed")
    }
}

impl From<Unsatisfied> for Refusal {
    fn from(unsatisfied: Unsatisfied) -> Self {
        let accept = "Could not satisfy the request Accept header.";
        match unsatisfied {
            Unsatisfied::Format => Self::detail(StatusCode::NOT_FOUND, "Not found.", "not_found"),
            Unsatisfied::Accept => {
                Self::detail(StatusCode::NOT_ACCEPTABLE, accept, "not_acceptable")
            }
        }
    }
}

/// The request, as a view sees it.
pub(super) struct Ask<'a> {
    shared: &'a Shared,
    call: &'a Call,
    resource: &'a Resource,
    caller: Option<&'a Caller>,
    renderer: Renderer,
    indent: Option<usize>,
}

pub(super) fn answer(shared: &Shared, call: &Call, resource: &Resource) -> Reply {
    let view = View::of(resource);
    let negotiated = negotiate::negotiate(view.renderers, call);
    let (renderer, indent) = negotiated.unwrap_or((view.renderers[0], None));
    let mut frame = render::Frame::of(&shared.config.node, view, renderer);
    if let Some(refusal) = unreadable_body(call) {
        return frame.refuse(refusal);
    }
    let attempt = attempt(shared, call, &view);
    frame.asked(&attempt);
    if negotiated.is_err() && auth::shows_bearer(call) {
        // The real one gives up before it reads the session, even if it could use the token.
        frame.asked_session = false;
    }
    let latency = shared.config.latency;
    let cost = latency.base + if attempt.hashed { latency.password } else { Duration::ZERO };
    let refused = match negotiated {
        Err(_) if view.is_metrics() && has_credentials(call, &attempt) => {
            Some(Refusal::ServerError)
        }
        Err(unsatisfied) => Some(unsatisfied.into()),
        Ok(_) => permit(shared, call, &view, &attempt).err(),
    };
    if let Some(refusal) = refused {
        return frame.refuse(refusal).costing(cost);
    }
    let caller = attempt.caller.as_ref().ok().and_then(Option::as_ref);
    let ask = Ask { shared, call, resource, caller, renderer, indent };
    frame.answer(ask.answer()).costing(cost + ask.cost())
}

/// A form as body fails before any other check: the API accepts only JSON.
fn unreadable_body(call: &Call) -> Option<Refusal> {
    let media_type = call.media_type();
    if call.body.is_empty() || media_type.is_empty() || media_type == "application/json" {
        return None;
    }
    let sentence = format!("Unsupported media type \"{media_type}\" in request.");
    let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    Some(Refusal::detail(status, sentence, "unsupported_media_type"))
}

fn attempt(shared: &Shared, call: &Call, view: &View) -> Attempt {
    if !view.authenticates {
        return Attempt { caller: Ok(None), asked_session: false, hashed: false };
    }
    auth::authenticate(&mut locked(&shared.state), call)
}

/// True if there are credentials, good or bad. With them, the controller fails on an Accept that it cannot satisfy.
fn has_credentials(call: &Call, attempt: &Attempt) -> bool {
    let shown = call.header("authorization").is_some_and(|header| !header.is_empty());
    shown || matches!(attempt.caller, Ok(Some(_)))
}

fn permit(shared: &Shared, call: &Call, view: &View, attempt: &Attempt) -> Result<(), Refusal> {
    let anonymous =
        view.public || view.is_metrics() && locked(&shared.state).allow_metrics_for_anonymous_users;
    match &attempt.caller {
        Err(Rejected::Csrf(reason)) => {
            let sentence = format!("CSRF Failed: {reason}");
            return Err(Refusal::detail(StatusCode::FORBIDDEN, sentence, "permission_denied"));
        }
        // Only the metrics view says what is wrong with a Basic header.
        Err(Rejected::Basic(sentence)) if view.is_metrics() => {
            return Err(Refusal::NotAuthenticated(sentence));
        }
        Err(_) | Ok(None) if !anonymous => {
            return Err(Refusal::NotAuthenticated("Authentication credentials were not provided."));
        }
        Ok(Some(Caller { by: Scheme::Bearer(Scope::Read), .. })) if !is_safe(&call.method) => {
            return Err(Refusal::forbidden());
        }
        _ => {}
    }
    if view.allows(&call.method) { Ok(()) } else { Err(Refusal::method(&call.method)) }
}

fn is_safe(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS].contains(method)
}

impl Ask<'_> {
    fn answer(&self) -> Result<Answer, Refusal> {
        if self.call.method == Method::OPTIONS {
            return Ok(View::of(self.resource).described());
        }
        match *self.resource {
            Resource::Root => Ok(Answer::json(StatusCode::OK, describe::API)),
            Resource::Version2 => Ok(Answer::json(StatusCode::OK, describe::API_V2)),
            Resource::Ping => Ok(Answer::json(StatusCode::OK, describe::PING)),
            Resource::Collection => Ok(Answer::json(StatusCode::OK, people::list(&[]))),
            Resource::Metrics => self.metrics(),
            Resource::Me => self.me(),
            Resource::Tokens => self.tokens(self.user()?.id),
            Resource::PersonalTokens(user) => self.tokens(user),
            Resource::Token(token) => self.token(token),
            Resource::Launch(template) => self.launch(template),
            Resource::Job(job) => self.job(job),
            Resource::Relaunch(job) => self.relaunch(job),
            Resource::Cancel(job) => self.cancel(job),
        }
    }

    /// The user, if the view demands one.
    fn user(&self) -> Result<&super::state::User, Refusal> {
        self.caller.map(|caller| &caller.user).ok_or_else(Refusal::forbidden)
    }

    /// Superusers may do anything, auditors may see everything; other users have no roles here.
    fn check_role(&self) -> Result<(), Refusal> {
        let user = self.user()?;
        let may = user.is_superuser || user.is_system_auditor && is_safe(&self.call.method);
        if may { Ok(()) } else { Err(Refusal::forbidden()) }
    }

    fn cost(&self) -> Duration {
        let latency = self.shared.config.latency;
        match self.resource {
            Resource::Metrics => self.metrics_cost(),
            _ => latency.view,
        }
    }
}
