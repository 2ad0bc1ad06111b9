//! `/api/login/` and `/api/logout/`: Django's session login, with its CSRF check.

use hyper::{Method, StatusCode};

use super::Shared;
use super::auth::{self, CSRF_COOKIE, SESSION_COOKIE};
use super::call::Call;
use super::reply::{HTML, Reply, VARY};
use super::{locked, secrets};

const FORM: &str = include_str!("../../fixtures/captures/login/login-get.body");
const REFUSED: &str = include_str!("../../fixtures/captures/login/login-post-bad.body");
const FORM_VARY: &str = "Cookie, Accept-Language, origin";
const AFTER: &str = "/api/";

/// The login page for any client.
pub(super) fn page() -> String {
    with_token(FORM, &secrets::alphanumeric(32))
}

pub(super) fn login(shared: &Shared, call: &Call) -> Reply {
    match call.method {
        Method::POST if auth::csrf(call).is_err() => Reply::csrf_failed(),
        Method::POST => submit(shared, call),
        Method::GET | Method::HEAD => show(call),
        _ => not_allowed("GET, POST, HEAD, OPTIONS"),
    }
}

pub(super) fn logout(shared: &Shared, call: &Call) -> Reply {
    match call.method {
        Method::POST if auth::csrf(call).is_err() => return Reply::csrf_failed(),
        Method::GET | Method::POST | Method::HEAD => {}
        _ => return not_allowed("GET, POST, HEAD, OPTIONS"),
    }
    let session = call.cookie(SESSION_COOKIE);
    let reply = Reply::html(StatusCode::FOUND, "", "Accept-Language, origin, Cookie")
        .with("location", AFTER)
        .with("set-cookie", "userLoggedIn=false; Path=/; Secure")
        .never_cached();
    match session {
        Some(session) => {
            locked(&shared.state).log_out(&session);
            reply.without_session()
        }
        None => reply,
    }
}

fn show(call: &Call) -> Reply {
    let accept = call.text_header("accept").unwrap_or_else(|| "*/*".to_owned());
    if !["*/*", "text/*", "text/html"].iter().any(|media_type| accept.contains(media_type)) {
        return Reply::new(StatusCode::NOT_ACCEPTABLE, "None").with("vary", VARY).never_cached();
    }
    let secret = call.cookie(CSRF_COOKIE).unwrap_or_else(|| secrets::alphanumeric(32));
    // As in the form (`awx/templates/rest_framework/login.html`).
    let next = call.parameter("next").unwrap_or_else(|| AFTER.to_owned());
    let field = |next: &str| format!("name=\"next\" value=\"{}\"", escaped(next));
    let form = FORM.replace(&field(AFTER), &field(&next));
    Reply::html(StatusCode::OK, with_token(&form, &secret), FORM_VARY)
        .never_cached()
        .with_csrf_cookie(&secret)
}

fn submit(shared: &Shared, call: &Call) -> Reply {
    let cost = shared.config.latency.base + shared.config.latency.password;
    let name = call.field("username").unwrap_or_default();
    let password = call.field("password").unwrap_or_default();
    let mut state = locked(&shared.state);
    let Some(user) = state.user_with_password(&name, &password).map(|user| user.id) else {
        return refused(call, &name).costing(cost);
    };
    let session = state.log_in(user);
    Reply::new(StatusCode::FOUND, "")
        .with("content-type", HTML)
        .with("vary", FORM_VARY)
        .with("location", destination(call))
        .with("x-api-session-cookie-name", SESSION_COOKIE)
        .with("set-cookie", "userLoggedIn=true; Path=/; SameSite=Lax; Secure")
        .never_cached()
        .with_csrf_cookie(&secrets::alphanumeric(32))
        .with_session(&session)
        .costing(cost)
}

fn refused(call: &Call, name: &str) -> Reply {
    let secret = call.cookie(CSRF_COOKIE).unwrap_or_default();
    let name = format!("value=\"{}\"", escaped(name));
    let body = with_token(REFUSED, &secret).replace("value=\"admin\"", &name);
    Reply::html(StatusCode::UNAUTHORIZED, body, FORM_VARY).never_cached().with_csrf_cookie(&secret)
}

/// The target of a redirect, on this host only.
fn destination(call: &Call) -> String {
    let next = call.field("next").filter(|next| next.starts_with('/') && !next.starts_with("//"));
    let printable = |next: &String| next.bytes().all(|byte| byte.is_ascii_graphic());
    next.filter(printable).unwrap_or_else(|| AFTER.to_owned())
}

fn not_allowed(allow: &str) -> Reply {
    Reply::html(StatusCode::METHOD_NOT_ALLOWED, "", VARY).with("allow", allow)
}

/// Replaces the token of the captured page by a fresh mask of `secret`.
fn with_token(page: &str, secret: &str) -> String {
    let marker = "name=\"csrfmiddlewaretoken\" value=\"";
    let captured = page.split_once(marker).and_then(|(_, rest)| rest.split('"').next());
    page.replace(captured.unwrap_or_default(), &secrets::masked(secret))
}

pub(super) fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;").replace('\'', "&#x27;")
}
