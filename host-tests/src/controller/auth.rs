//! Authentication. The controller tries its authenticators in order: bearer, session, Basic. If one of them cannot use
//! the credentials, the next one is tried.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::Method;

use super::call::Call;
use super::secrets;
use super::state::{Scope, State, User};

/// The cookie that carries a session.
pub(super) const SESSION_COOKIE: &str = "awx_sessionid";
/// The cookie that carries a client's CSRF secret.
pub(super) const CSRF_COOKIE: &str = "csrftoken";

/// The proof of a known caller's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Bearer(Scope),
    Session,
    Basic,
}

/// A known caller.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) user: User,
    pub(super) by: Scheme,
}

/// Credentials that end the authentication with a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rejected {
    /// The Basic header is wrong; the sentence gives the reason.
    Basic(&'static str),
    /// A session sent a change without proof that the controller's own page caused it.
    Csrf(&'static str),
}

/// The result of the authenticators.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) caller: Result<Option<Caller>, Rejected>,
    /// The session was read, so the reply depends on the cookie.
    pub(super) asked_session: bool,
    /// A password was hashed, which costs the controller 200 ms.
    pub(super) hashed: bool,
}

pub(super) fn authenticate(state: &mut State, call: &Call) -> Attempt {
    if let Some(caller) = bearer(state, call) {
        return Attempt { caller: Ok(Some(caller)), asked_session: false, hashed: false };
    }
    if let Some(user) = session(state, call) {
        let safe = [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE];
        let csrf = if safe.contains(&call.method) { Ok(()) } else { csrf(call) };
        let caller =
            csrf.map(|()| Some(Caller { user, by: Scheme::Session })).map_err(Rejected::Csrf);
        return Attempt { caller, asked_session: true, hashed: false };
    }
    let basic = if state.auth_basic_enabled { basic(state, call) } else { Ok(None) };
    let hashed = matches!(basic, Ok(Some(_)) | Err(Rejected::Basic(WRONG_PASSWORD)));
    Attempt { caller: basic, asked_session: true, hashed }
}

fn bearer(state: &State, call: &Call) -> Option<Caller> {
    let words = words(call);
    let secret = match words.as_slice() {
        [scheme, token] if is_scheme(scheme, "bearer") => {
            String::from_utf8_lossy(token).into_owned()
        }
        _ => call.parameter("access_token")?,
    };
    let token = state.tokens.with_secret(&secret)?;
    let user = state.user(token.user)?.clone();
    Some(Caller { user, by: Scheme::Bearer(token.scope) })
}

fn session(state: &mut State, call: &Call) -> Option<User> {
    let user = state.session(&call.cookie(SESSION_COOKIE)?)?;
    state.user(user).cloned()
}

const WRONG_PASSWORD: &str = "Invalid username/password.";

fn basic(state: &State, call: &Call) -> Result<Option<Caller>, Rejected> {
    let words = words(call);
    let encoded = match words.as_slice() {
        [scheme, encoded] if is_scheme(scheme, "basic") => encoded,
        [scheme] if is_scheme(scheme, "basic") => {
            return Err(Rejected::Basic("Invalid basic header. No credentials provided."));
        }
        [scheme, ..] if is_scheme(scheme, "basic") => {
            let sentence = "Invalid basic header. Credentials string should not contain spaces.";
            return Err(Rejected::Basic(sentence));
        }
        _ => return Ok(None),
    };
    let unreadable = "Invalid basic header. Credentials not correctly base64 encoded.";
    let (name, password) = name_and_password(encoded).ok_or(Rejected::Basic(unreadable))?;
    match state.user_with_password(&name, &password) {
        Some(user) => Ok(Some(Caller { user: user.clone(), by: Scheme::Basic })),
        None => Err(Rejected::Basic(WRONG_PASSWORD)),
    }
}

/// Decodes as Python's base64 does, which skips characters outside the alphabet; then as UTF-8 or else Latin-1.
fn name_and_password(encoded: &[u8]) -> Option<(String, String)> {
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
    let encoded: Vec<u8> = encoded.iter().copied().filter(is_base64).collect();
    let decoded = STANDARD.decode(encoded).ok()?;
    let text = String::from_utf8(decoded)
        .unwrap_or_else(|error| error.into_bytes().iter().map(|&byte| char::from(byte)).collect());
    text.split_once(':').map(|(name, password)| (name.to_owned(), password.to_owned()))
}

/// True if the name in a Basic header contains NUL. The real controller's database query fails on that: 500.
pub(super) fn has_nul(call: &Call) -> bool {
    match words(call).as_slice() {
        [scheme, encoded] if is_scheme(scheme, "basic") => {
            name_and_password(encoded).is_some_and(|(name, _)| name.contains('\0'))
        }
        _ => false,
    }
}

/// The extra time for these credentials, if a test has made them slow.
pub(super) fn delay(state: &State, call: &Call) -> Option<Duration> {
    let (start, delay) = state.slow_bearers.as_ref()?;
    match words(call).as_slice() {
        [scheme, token] if is_scheme(scheme, "bearer") => {
            token.starts_with(start.as_bytes()).then_some(*delay)
        }
        _ => None,
    }
}

/// True if there is a bearer token, valid or not.
pub(super) fn shows_bearer(call: &Call) -> bool {
    words(call).first().is_some_and(|scheme| is_scheme(scheme, "bearer"))
}

fn words(call: &Call) -> Vec<&[u8]> {
    let header = call.header("authorization").unwrap_or_default();
    header.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).collect()
}

fn is_scheme(word: &[u8], scheme: &str) -> bool {
    word.eq_ignore_ascii_case(scheme.as_bytes())
}

/// The check of Django's middleware: a cookie, and its value again in a header or the form.
pub(super) fn csrf(call: &Call) -> Result<(), &'static str> {
    let secret = call.cookie(CSRF_COOKIE).ok_or("CSRF cookie not set.")?;
    let header = call.text_header("x-csrftoken");
    let from_header = header.is_some();
    let token =
        header.or_else(|| call.field("csrfmiddlewaretoken")).ok_or("CSRF token missing.")?;
    match secrets::is_token_of(&token, &secret) {
        true => Ok(()),
        false if from_header => Err("CSRF token from the 'X-Csrftoken' HTTP header incorrect."),
        false => Err("CSRF token from POST incorrect."),
    }
}
