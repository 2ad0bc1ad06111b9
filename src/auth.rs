//! Authentication without I/O: credentials in, a [`Permit`] or a [`Denial`] out.
//!
//! | question | module |
//! |---|---|
//! | Which credentials does a request carry? | `credentials` (`Authorization`), `request` (also the session cookie) |
//! | Does the configuration know them? | `local`, with [`password`] for the hashes |
//! | Which verdict does an answer of the controller contain, and how long is it valid? | `controller` |
//! | Which client sent them? | `address` |
//! | Under which key are they remembered? | `tag` |
//! | Which part of the page does a permit open? | `visibility` |
//!
//! [`decide`] combines these. Calls to the controller and waiting scrapes are the business of `scrape::admission`.
//!
//! Code that returns protected data takes a `&Permit`, and only this module can create one.

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
pub use controller::{CachedVerdict, Controller, Refusal, Verdict};
pub use credentials::{Credentials, Malformed, Scheme};
pub use local::{PendingPassword, Policy, Token, User};
pub use request::{Forwarded, RequestCredentials};
pub use secret::Secret;
pub use tag::{TAG, Tag, Tagger};
pub use visibility::Visibility;

use crate::config::Source;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

/// Proof that a scrape may be answered, and which part of the page it may see.
#[derive(Debug)]
pub struct Permit(Rc<Visibility>);

impl Permit {
    fn new(view: &Rc<Visibility>) -> Self {
        Self(Rc::clone(view))
    }

    /// A permit for this part of the page.
    #[cfg(test)]
    pub(crate) fn of(view: Visibility) -> Self {
        Self(Rc::new(view))
    }

    /// A permit for only those of its sources with these names; for all of them if there is no name.
    ///
    /// # Errors
    /// If a name is not that of a source that the client may see.
    pub fn narrowed(
        self,
        sources: &[Source],
        names: &BTreeSet<String>,
    ) -> Result<Self, UnknownSource> {
        if names.is_empty() {
            return Ok(self);
        }
        let visible =
            || sources.iter().enumerate().filter(|(index, _)| self.0.shows_source(*index));
        let is_known = |name: &String| visible().any(|(_, source)| source.name == *name);
        if !names.iter().all(is_known) {
            let visible = visible().map(|(_, source)| source.name.clone()).collect();
            return Err(UnknownSource { visible });
        }
        let selected = visible().filter(|(_, source)| names.contains(&source.name));
        let selected = selected.map(|(index, _)| index).collect();
        let families = self.0.families.clone();
        Ok(Self(Rc::new(Visibility { sources: Some(selected), families })))
    }

    /// The part of the page that it opens.
    #[must_use]
    pub fn view(&self) -> &Rc<Visibility> {
        &self.0
    }
}

/// A name that is not that of a source which the client may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownSource {
    /// The names of the sources that the client may see.
    pub visible: Vec<String>,
}

/// Why a scrape is refused, in as much detail as the client may know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial {
    /// No credentials, or credentials that neither the configuration nor the controller knows.
    NotProvided,
    /// The same, and the URL contains a token. The filter does not use it, since URLs are logged.
    TokenInUrl,
    /// `Basic` without credentials.
    BasicEmpty,
    /// `Basic` with more than one word.
    BasicSpaces,
    /// `Basic` with a word that is not the base64 of a name, a colon and a password.
    BasicEncoding,
    /// An unknown user or a wrong password.
    WrongPassword,
    /// The controller knows the client and does not permit it. Contains the controller's sentence, or is empty.
    Forbidden(String),
}

/// The decision about a request's credentials, as far as it needs no call and no long computation.
#[derive(Debug)]
pub enum LocalDecision {
    /// The scrape may be answered.
    Allowed(Permit),
    /// The scrape is refused.
    Denied(Denial),
    /// The password must be hashed first, which takes long, unless a success is remembered.
    CheckPassword(Box<PendingPassword>),
    /// The controller decides: by a remembered verdict or by a new one.
    AskController,
}

/// The result of a scrape's authentication, with the data that the reply needs.
#[derive(Debug)]
pub enum Decision {
    /// The scrape may be answered.
    Allowed(Permit),
    /// The scrape may be answered because of an earlier verdict: the controller gives none now.
    AllowedWhileDown(Permit),
    /// The scrape is refused.
    Denied(Denial),
    /// The credentials were not checked: the client must wait this long first.
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
    /// The outcome under which the attempt is counted.
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

/// Decides as the controller's authenticators do, in their order: wrong or malformed Basic credentials are refused even if
/// the policy admits anonymous clients, and an unknown bearer token counts as no credentials. The controller, if one is
/// configured, decides about credentials that the configuration does not contain.
#[must_use]
pub fn decide(policy: &Policy, request: &RequestCredentials, tagger: &Tagger) -> LocalDecision {
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
    if policy.controller.is_some() && !request.forwarded.is_empty() {
        LocalDecision::AskController
    } else {
        LocalDecision::Denied(Denial::NotProvided)
    }
}

impl Policy {
    /// The decision that follows from a remembered or a new verdict; `None` if there is no valid verdict. `scheme` is that
    /// of the client's credentials.
    #[must_use]
    pub fn apply(&self, verdict: &CachedVerdict, scheme: Scheme) -> Option<Result<Permit, Denial>> {
        let controller = self.controller.as_ref()?;
        match verdict {
            // Anonymous clients see everything, so a client that the controller knows does too.
            CachedVerdict::Permitted if self.anonymous => Some(Ok(Permit::new(&Rc::default()))),
            CachedVerdict::Refused(refusal) if self.anonymous && refusal.forbidden => {
                Some(Ok(Permit::new(&Rc::default())))
            }
            CachedVerdict::Permitted => Some(Ok(Permit::new(&controller.view))),
            CachedVerdict::Refused(refusal) => Some(Err(Denial::by_controller(refusal, scheme))),
            CachedVerdict::Lapsed { .. } | CachedVerdict::Unknown => None,
        }
    }

    /// The permit of a client that was permitted before, while the controller gives no verdict.
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
    /// The same denial for a client that sent a token in its URL: a 401 then tells it to use the header.
    #[must_use]
    pub fn of_token_in_url(self) -> Self {
        match self {
            Self::NotProvided => Self::TokenInUrl,
            denial => denial,
        }
    }

    /// A refusal by the controller. A 401 by the controller has the same sentence as one by the configuration, so that the
    /// sentence does not reveal which user names the configuration contains.
    fn by_controller(refusal: &Refusal, scheme: Scheme) -> Self {
        match scheme {
            _ if refusal.forbidden => Self::Forbidden(refusal.sentence.clone()),
            Scheme::Basic => Self::WrongPassword,
            _ => Self::NotProvided,
        }
    }

    /// Returns true if the status is 403, false if it is 401.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        matches!(self, Self::Forbidden(_))
    }

    /// The sentence for the client, in the controller's words.
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
                "A token in the URL is not accepted, because URLs are logged. Send it in a header: \
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
            // The controller would use one of the two. The filter uses neither, and has no better sentence.
            Malformed::Repeated | Malformed::TooLong => Self::NotProvided,
            Malformed::BasicEmpty => Self::BasicEmpty,
            Malformed::BasicSpaces => Self::BasicSpaces,
            Malformed::BasicEncoding => Self::BasicEncoding,
        }
    }
}
