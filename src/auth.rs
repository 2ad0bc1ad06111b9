//! Credentials to [`Permit`] or [`Denial`].
//!
//! What must not be answered without authentication asks for a `&Permit`, and nothing outside this module can make one.

mod credentials;
mod local;
pub mod password;
mod remembered;
mod secret;
mod view;

#[cfg(test)]
mod tests;

pub use credentials::{Credentials, Malformed, Scheme};
pub use local::{PendingPassword, Policy, Token, User};
pub use remembered::Remembered;
pub use secret::Secret;
pub use view::View;

use crate::host::Time;
use std::rc::Rc;

/// Proof that a scrape may be answered, and with what.
#[derive(Debug)]
pub struct Permit(Rc<View>);

impl Permit {
    fn new() -> Self {
        Self(Rc::default())
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

/// Why a scrape is refused, as far as its client is told. Each is a 401.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// No credentials, or none that anybody here knows.
    NotProvided,
    /// Basic without credentials.
    BasicEmpty,
    /// Basic with several words.
    BasicSpaces,
    /// Basic with something else than a name, a colon and a password in base64.
    BasicEncoding,
    /// An unknown user or a wrong password.
    WrongPassword,
}

/// What becomes of a scrape.
#[derive(Debug)]
pub enum Decision {
    /// It may be answered.
    Allowed(Permit),
    /// It is refused.
    Denied(Denial),
    /// The password has to be checked first, which takes long.
    Derive(Box<PendingPassword>),
}

/// Decides, like the controller's authenticators in their order: wrong or malformed Basic credentials are refused even
/// where none are needed, and a bearer token that is not known counts as no credentials.
#[must_use]
pub fn decide(
    policy: &Policy,
    credentials: &Credentials,
    remembered: &Remembered,
    now: Time,
) -> Decision {
    match credentials {
        Credentials::Malformed(malformed) => Decision::Denied((*malformed).into()),
        Credentials::Basic { user, password } => {
            policy.check_password(user, password, remembered, now)
        }
        Credentials::Bearer(token) if policy.has_token(token) => Decision::Allowed(Permit::new()),
        Credentials::Bearer(_)
        | Credentials::UnusableBearer
        | Credentials::Other
        | Credentials::None => {
            if policy.anonymous {
                Decision::Allowed(Permit::new())
            } else {
                Decision::Denied(Denial::NotProvided)
            }
        }
    }
}

impl Denial {
    /// The controller's sentence.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::NotProvided => {
                "Authentication credentials were not provided. To establish a login session, visit \
                 /api/login/."
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
