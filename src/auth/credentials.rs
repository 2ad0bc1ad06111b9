//! `Authorization` headers to [`Credentials`], as the controller's authenticators read them.
//!
//! The bytes are hostile. A header longer than [`limits::AUTHORIZATION_BYTES`] is refused unread; nothing panics.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Secret;
use crate::limits;

/// The credentials in a request's `Authorization` header.
#[derive(Debug)]
pub enum Credentials {
    /// No header, or an empty one.
    None,
    /// A bearer token, of visible ASCII characters.
    Bearer(Secret),
    /// A bearer header without a usable token. The controller ignores it.
    UnusableBearer,
    /// A user's name and password.
    Basic {
        /// The text before the first colon.
        user: String,
        /// The text after it.
        password: Secret,
    },
    /// A header that is refused, even if no credentials are needed.
    Malformed(Malformed),
    /// Any other scheme. It is ignored.
    Other,
}

/// Why a header is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Two headers, or two joined by a comma: another proxy might have checked the other one.
    Repeated,
    /// Longer than [`limits::AUTHORIZATION_BYTES`].
    TooLong,
    /// `Basic` without credentials.
    BasicEmpty,
    /// `Basic` with more than one word.
    BasicSpaces,
    /// `Basic` with a word that is not the padded base64 of a name, a colon and a password.
    BasicEncoding,
}

/// The label `scheme` of `awx_gateway_auth_attempts_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `Authorization: Bearer`.
    Bearer,
    /// `Authorization: Basic`.
    Basic,
    /// The controller's session cookie.
    Session,
    /// No credentials.
    None,
    /// Anything else.
    Other,
}

impl Scheme {
    /// Every scheme.
    pub const ALL: [Self; 5] = [Self::Bearer, Self::Basic, Self::Session, Self::None, Self::Other];

    /// The label's value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bearer => "bearer",
            Self::Basic => "basic",
            Self::Session => "session",
            Self::None => "none",
            Self::Other => "other",
        }
    }
}

impl Credentials {
    /// Parses all `Authorization` headers of a request.
    #[must_use]
    pub fn parse<'a>(headers: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut headers = headers.into_iter();
        match (headers.next(), headers.next()) {
            (None, _) => Self::None,
            (Some(_), Some(_)) => Self::Malformed(Malformed::Repeated),
            (Some(header), None) if header.len() > limits::AUTHORIZATION_BYTES => {
                Self::Malformed(Malformed::TooLong)
            }
            (Some(header), None) => parse_header(header),
        }
    }

    /// The label `scheme` of `awx_gateway_auth_attempts_total`.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        match self {
            Self::None => Scheme::None,
            Self::Bearer(_) | Self::UnusableBearer => Scheme::Bearer,
            Self::Basic { .. } => Scheme::Basic,
            Self::Malformed(Malformed::Repeated | Malformed::TooLong) | Self::Other => {
                Scheme::Other
            }
            Self::Malformed(_) => Scheme::Basic,
        }
    }
}

fn parse_header(header: &[u8]) -> Credentials {
    let mut words = header.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let Some(scheme) = words.next() else {
        return Credentials::None;
    };
    let argument = (words.next(), words.next());
    if scheme.eq_ignore_ascii_case(b"bearer") {
        bearer(header, argument)
    } else if scheme.eq_ignore_ascii_case(b"basic") {
        basic(argument).unwrap_or_else(Credentials::Malformed)
    } else {
        Credentials::Other
    }
}

fn bearer(header: &[u8], argument: (Option<&[u8]>, Option<&[u8]>)) -> Credentials {
    if header.contains(&b',') {
        return Credentials::Malformed(Malformed::Repeated);
    }
    match argument {
        (Some(token), None) if token.iter().all(u8::is_ascii_graphic) => {
            Credentials::Bearer(Secret::new(String::from_utf8_lossy(token)))
        }
        _ => Credentials::UnusableBearer,
    }
}

fn basic(argument: (Option<&[u8]>, Option<&[u8]>)) -> Result<Credentials, Malformed> {
    let encoded = match argument {
        (None, _) => return Err(Malformed::BasicEmpty),
        (Some(_), Some(_)) => return Err(Malformed::BasicSpaces),
        (Some(encoded), None) => encoded,
    };
    let pair = STANDARD.decode(encoded).map_err(|_| Malformed::BasicEncoding)?;
    let pair = String::from_utf8(pair).unwrap_or_else(|error| latin1(error.as_bytes()));
    let (user, password) = pair.split_once(':').ok_or(Malformed::BasicEncoding)?;
    Ok(Credentials::Basic { user: user.to_owned(), password: Secret::new(password) })
}

/// Reads bytes as ISO 8859-1, in which each byte is a character. The controller does so with credentials that are not UTF-8.
fn latin1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}
