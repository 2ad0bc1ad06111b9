//! Credentials to [`Permit`] or [`Denial`].
//!
//! What must not be answered without authentication asks for a `&Permit`, and nothing outside this module can make one.

mod address;
mod controller;
mod credentials;
mod local;
pub mod password;
mod request;
mod secret;
mod tag;
mod visibility;

#[cfg(test)]
mod tests;

pub use address::{has_no_port, is_last_forwarded, network};
pub use controller::{CachedVerdict, Controller, Refusal, Verdict, judge};
pub use credentials::{Credentials, Malformed, Scheme};
pub use local::{PendingPassword, Policy, Token, User};
pub use request::{Forwarded, RequestCredentials};
pub use secret::Secret;
pub use tag::{TAG, Tag, Tagger};
pub use visibility::Visibility;

use std::rc::Rc;
use std::time::Duration;

/// Proof that a scrape may be answered, and with what.
#[derive(Debug)]
pub struct Permit(Rc<Visibility>);

impl Permit {
    fn new(view: &Rc<Visibility>) -> Self {
        Self(Rc::clone(view))
    }

    /// One that opens this.
    #[cfg(test)]
    pub(crate) fn of(view: Visibility) -> Self {
        Self(Rc::new(view))
    }

    /// What it opens.
    #[must_use]
    pub fn view(&self) -> &Rc<Visibility> {
        &self.0
    }
}

/// Why a scrape is refused, as far as its client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial {
    /// No credentials, or none that anybody here knows.
    NotProvided,
    /// The same, and a token in the URL, which is logged and so is none of the places where one counts.
    TokenInUrl,
    /// Basic without credentials.
    BasicEmpty,
    /// Basic with several words.
    BasicSpaces,
    /// Basic with something else than a name, a colon and a password in base64.
    BasicEncoding,
    /// An unknown user or a wrong password.
    WrongPassword,
    /// The controller knows the client and does not permit it: its sentence, or nothing.
    Forbidden(String),
}

/// What is known of a request's credentials without asking anyone.
#[derive(Debug)]
pub enum LocalDecision {
    /// The scrape may be answered.
    Allowed(Permit),
    /// The scrape is refused.
    Denied(Denial),
    /// The password has to be checked first, which takes long, unless it is remembered.
    CheckPassword(Box<PendingPassword>),
    /// The controller's verdict counts: one that is remembered, or a new one.
    AskController,
}

/// How the authentication of a scrape ended, with what the answer needs.
#[derive(Debug)]
pub enum Decision {
    /// The scrape may be answered.
    Allowed(Permit),
    /// The same, on an earlier verdict, since the controller gives none now.
    AllowedWhileDown(Permit),
    /// The scrape is refused.
    Denied(Denial),
    /// The credentials were not checked: the client has to wait this long first.
    Throttled(Duration),
    /// The credentials were not checked: the controller gives no verdict.
    Unavailable,
}

/// The label `outcome` of `awx_gateway_auth_attempts_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthOutcome {
    /// [`Decision::Allowed`].
    Allowed,
    /// [`Decision::AllowedWhileDown`].
    AllowedWhileDown,
    /// [`Decision::Denied`].
    Denied,
    /// [`Decision::Throttled`].
    Throttled,
    /// [`Decision::Unavailable`].
    Unavailable,
}

impl Decision {
    /// What the attempt counts as.
    #[must_use]
    pub fn outcome(&self) -> AuthOutcome {
        match self {
            Self::Allowed(_) => AuthOutcome::Allowed,
            Self::AllowedWhileDown(_) => AuthOutcome::AllowedWhileDown,
            Self::Denied(_) => AuthOutcome::Denied,
            Self::Throttled(_) => AuthOutcome::Throttled,
            Self::Unavailable => AuthOutcome::Unavailable,
        }
    }
}

impl AuthOutcome {
    /// Every outcome, in the order of the numbers that represent them in shared data.
    pub const ALL: [Self; 5] =
        [Self::Allowed, Self::AllowedWhileDown, Self::Denied, Self::Throttled, Self::Unavailable];

    /// The label's value.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::AllowedWhileDown => "allowed_while_down",
            Self::Denied => "denied",
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
        }
    }
}

/// Decides like the controller's authenticators, in their order: wrong or malformed Basic credentials are refused even
/// where none are needed, and an unknown bearer token counts as no credentials. Credentials that no entry of the
/// configuration knows are for the controller to judge, if one is configured.
#[must_use]
pub fn decide(policy: &Policy, request: &RequestCredentials, tagger: &Tagger) -> LocalDecision {
    let may_ask = policy.controller.is_some() && !request.forwarded.is_empty();
    match &request.credentials {
        Credentials::Malformed(malformed) => return LocalDecision::Denied((*malformed).into()),
        Credentials::Basic { user, password } => {
            return policy.check_password(user, password, tagger);
        }
        Credentials::Bearer(token) => {
            if let Some(permit) = policy.check_token(token) {
                return LocalDecision::Allowed(permit);
            }
        }
        Credentials::UnusableBearer | Credentials::Other | Credentials::None => {}
    }
    if policy.anonymous {
        return LocalDecision::Allowed(Permit::new(&Rc::default()));
    }
    if may_ask { LocalDecision::AskController } else { LocalDecision::Denied(Denial::NotProvided) }
}

impl Policy {
    /// What a remembered or new verdict means, if it counts. `scheme` is what the client showed.
    #[must_use]
    pub fn apply(&self, verdict: &CachedVerdict, scheme: Scheme) -> Option<Result<Permit, Denial>> {
        let controller = self.controller.as_ref()?;
        match verdict {
            // A client without credentials is let in as well, and sees everything.
            CachedVerdict::Permitted if self.anonymous => Some(Ok(Permit::new(&Rc::default()))),
            CachedVerdict::Refused(refusal) if self.anonymous && refusal.forbidden => {
                Some(Ok(Permit::new(&Rc::default())))
            }
            CachedVerdict::Permitted => Some(Ok(Permit::new(&controller.view))),
            CachedVerdict::Refused(refusal) => Some(Err(Denial::by_controller(refusal, scheme))),
            CachedVerdict::Lapsed { .. } | CachedVerdict::Unknown => None,
        }
    }

    /// The permit of a client that was permitted before, for as long as the controller gives no verdict.
    #[must_use]
    pub fn apply_while_down(&self, verdict: &CachedVerdict, scheme: Scheme) -> Option<Permit> {
        match verdict {
            CachedVerdict::Lapsed { within_grace: true } => {
                self.apply(&CachedVerdict::Permitted, scheme)?.ok()
            }
            _ => None,
        }
    }
}

impl Denial {
    /// The same for a client that has a token in its URL: a 401 then says where tokens belong.
    #[must_use]
    pub fn of_token_in_url(self) -> Self {
        match self {
            Self::NotProvided => Self::TokenInUrl,
            denial => denial,
        }
    }

    /// A refusal by the controller. A 401 has the same sentence whether an entry of the configuration or the controller
    /// refused the credentials, so that the sentence does not tell which user names the configuration has.
    fn by_controller(refusal: &Refusal, scheme: Scheme) -> Self {
        match scheme {
            _ if refusal.forbidden => Self::Forbidden(refusal.sentence.clone()),
            Scheme::Basic => Self::WrongPassword,
            _ => Self::NotProvided,
        }
    }

    /// Whether the answer is 403, not 401.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        matches!(self, Self::Forbidden(_))
    }

    /// The controller's sentence.
    #[must_use]
    pub fn sentence(&self) -> &str {
        match self {
            Self::Forbidden(sentence) if sentence.is_empty() => {
                "You do not have permission to perform this action."
            }
            Self::Forbidden(sentence) => sentence,
            Self::NotProvided => {
                "Authentication credentials were not provided. To establish a login session, visit \
                 /api/login/."
            }
            Self::TokenInUrl => {
                "A token in the URL does not count here, since URLs are logged. Send it in a header, as \
                 \"Authorization: Bearer TOKEN\"."
            }
            Self::BasicEmpty => {
                "Invalid basic header. No credentials provided. To establish a login session, visit \
                 /api/login/."
            }
            Self::BasicSpaces => {
                "Invalid basic header. Credentials string should not contain spaces. To establish a \
                 login session, visit /api/login/."
            }
            Self::BasicEncoding => {
                "Invalid basic header. Credentials not correctly base64 encoded. To establish a login \
                 session, visit /api/login/."
            }
            Self::WrongPassword => {
                "Invalid username/password. To establish a login session, visit /api/login/."
            }
        }
    }
}

impl From<Malformed> for Denial {
    fn from(malformed: Malformed) -> Self {
        match malformed {
            // The controller would take one of the two; that none is taken is all that can be said.
            Malformed::Repeated | Malformed::TooLong => Self::NotProvided,
            Malformed::BasicEmpty => Self::BasicEmpty,
            Malformed::BasicSpaces => Self::BasicSpaces,
            Malformed::BasicEncoding => Self::BasicEncoding,
        }
    }
}
