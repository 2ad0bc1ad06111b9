//! Credentials to [`Permit`] or [`Denial`].
//!
//! What must not be answered without authentication asks for a `&Permit`, and nothing outside this module can make one.

mod address;
mod controller;
mod credentials;
mod local;
pub mod password;
mod secret;
mod shown;
mod tag;
mod view;

#[cfg(test)]
mod tests;

pub use address::network;
pub use controller::{Controller, Refusal, Standing, Verdict, judge};
pub use credentials::{Credentials, Malformed, Scheme};
pub use local::{PendingPassword, Policy, Token, User};
pub use secret::Secret;
pub use shown::{Forwarded, Shown};
pub use tag::{TAG, Tag, Tagger};
pub use view::View;

use std::rc::Rc;

/// Proof that a scrape may be answered, and with what.
#[derive(Debug)]
pub struct Permit(Rc<View>);

impl Permit {
    fn new(view: &Rc<View>) -> Self {
        Self(Rc::clone(view))
    }

    /// One that opens this.
    #[cfg(test)]
    pub(crate) fn of(view: View) -> Self {
        Self(Rc::new(view))
    }

    /// What it opens.
    #[must_use]
    pub fn view(&self) -> &Rc<View> {
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
    /// The controller says so.
    ByController(Refusal),
}

/// What becomes of a scrape.
#[derive(Debug)]
pub enum Decision {
    /// It may be answered.
    Allowed(Permit),
    /// It is refused.
    Denied(Denial),
    /// The password has to be checked first, which takes long, unless it is remembered.
    Derive(Box<PendingPassword>),
    /// The controller's verdict counts: one that is remembered, or a new one.
    Ask,
}

/// Decides, like the controller's authenticators in their order: wrong or malformed Basic credentials are refused even
/// where none are needed, and a bearer token that is not known counts as no credentials. What nobody here knows is for
/// the controller to judge, where there is one.
#[must_use]
pub fn decide(policy: &Policy, shown: &Shown, tagger: &Tagger) -> Decision {
    let may_ask = policy.controller.is_some() && !shown.forwarded.is_empty();
    match &shown.credentials {
        Credentials::Malformed(malformed) => return Decision::Denied((*malformed).into()),
        Credentials::Basic { user, password } => {
            return policy.check_password(user, password, tagger);
        }
        Credentials::Bearer(token) => {
            if let Some(permit) = policy.check_token(token) {
                return Decision::Allowed(permit);
            }
        }
        Credentials::UnusableBearer | Credentials::Other | Credentials::None => {}
    }
    if policy.anonymous {
        return Decision::Allowed(Permit::new(&Rc::default()));
    }
    if may_ask { Decision::Ask } else { Decision::Denied(Denial::NotProvided) }
}

impl Policy {
    /// What a verdict means. None where there is none to go by.
    #[must_use]
    pub fn apply(&self, standing: &Standing) -> Option<Result<Permit, Denial>> {
        let controller = self.controller.as_ref()?;
        match standing {
            // Whoever shows nothing is let in as well, with all there is.
            Standing::Permitted if self.anonymous => Some(Ok(Permit::new(&Rc::default()))),
            Standing::Refused(refusal) if self.anonymous && refusal.forbidden => {
                Some(Ok(Permit::new(&Rc::default())))
            }
            Standing::Permitted => Some(Ok(Permit::new(&controller.view))),
            Standing::Refused(refusal) => Some(Err(Denial::ByController(refusal.clone()))),
            Standing::Lapsed { .. } | Standing::Unknown => None,
        }
    }

    /// The permit of who was let in before, for as long as the controller cannot be asked.
    #[must_use]
    pub fn apply_in_need(&self, standing: &Standing) -> Option<Permit> {
        match standing {
            Standing::Lapsed { in_need: true } => self.apply(&Standing::Permitted)?.ok(),
            _ => None,
        }
    }
}

impl Denial {
    /// The same of a client that has a token in its URL: a 401 then says where tokens belong.
    #[must_use]
    pub fn of_token_in_url(self) -> Self {
        match self {
            Self::NotProvided | Self::ByController(Refusal { forbidden: false, .. }) => {
                Self::TokenInUrl
            }
            denial => denial,
        }
    }

    /// Whether the client is known, and may not: 403, not 401.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        matches!(self, Self::ByController(refusal) if refusal.forbidden)
    }

    /// The controller's sentence.
    #[must_use]
    pub fn sentence(&self) -> &str {
        match self {
            Self::ByController(Refusal { forbidden: true, sentence }) if sentence.is_empty() => {
                "You do not have permission to perform this action."
            }
            Self::ByController(Refusal { sentence, .. }) if !sentence.is_empty() => sentence,
            Self::NotProvided | Self::ByController(_) => {
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
