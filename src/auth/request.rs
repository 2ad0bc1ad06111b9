//! The credentials of a request: its `Authorization` headers and, if the controller may be asked, its session cookie.
//!
//! The bytes are hostile. Nothing panics, and only values that have the form of a credential are forwarded.

use super::{Credentials, Scheme, Secret};
use crate::limits;

/// The credentials of a request.
#[derive(Debug)]
pub struct RequestCredentials {
    /// The `Authorization` headers, parsed.
    pub credentials: Credentials,
    /// The credentials that are forwarded to the controller, if it is asked.
    pub forwarded: Forwarded,
}

/// The part of a request that is forwarded to the controller. It contains at most one of the two credentials.
#[derive(Debug, Default)]
pub struct Forwarded {
    /// `Authorization`: a bearer token, or Basic.
    pub authorization: Option<Secret>,
    /// The value of the session cookie.
    pub session: Option<Secret>,
}

impl RequestCredentials {
    /// Reads a request's headers. `session_cookie`: the name of the controller's session cookie; without a controller nothing
    /// is forwarded.
    ///
    /// The session cookie is read only if no `Authorization` header decides. Otherwise a client could make the filter ask
    /// about and remember any number of credentials, with one valid token and ever other cookies.
    #[must_use]
    pub fn read<'a>(
        authorization: impl Iterator<Item = &'a [u8]> + Clone,
        cookies: impl Iterator<Item = &'a [u8]>,
        session_cookie: Option<&str>,
    ) -> Self {
        let credentials = Credentials::parse(authorization.clone());
        let Some(cookie) = session_cookie else {
            return Self { credentials, forwarded: Forwarded::default() };
        };
        let forwarded = match credentials {
            Credentials::Bearer(_) | Credentials::Basic { .. } => {
                Forwarded { authorization: canonical(authorization), session: None }
            }
            Credentials::Malformed(_) => Forwarded::default(),
            Credentials::None | Credentials::UnusableBearer | Credentials::Other => {
                Forwarded { authorization: None, session: session(cookies, cookie) }
            }
        };
        Self { credentials, forwarded }
    }

    /// The label `scheme` of `awx_gateway_auth_attempts_total`: the credential that decides.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        match self.forwarded.session {
            Some(_) => Scheme::Session,
            None => self.credentials.scheme(),
        }
    }
}

impl Forwarded {
    /// Returns true if there is nothing to ask the controller about.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.authorization.is_none() && self.session.is_none()
    }
}

/// The header in one spelling, so that headers that differ only in white space are the same credential.
fn canonical<'a>(mut headers: impl Iterator<Item = &'a [u8]>) -> Option<Secret> {
    let header = std::str::from_utf8(headers.next()?).ok()?;
    let (scheme, argument) = header.trim_ascii().split_once(|c: char| c.is_ascii_whitespace())?;
    let scheme = if scheme.eq_ignore_ascii_case("bearer") { "Bearer" } else { "Basic" };
    Some(Secret::new(format!("{scheme} {}", argument.trim_ascii())))
}

/// The session, if the cookies contain exactly one. Of several sessions, another proxy might use another one.
fn session<'a>(cookies: impl Iterator<Item = &'a [u8]>, name: &str) -> Option<Secret> {
    let pairs = cookies.flat_map(|header| header.split(|&byte| byte == b';'));
    let mut sessions = pairs.filter_map(|pair| {
        let pair = pair.trim_ascii();
        pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")
    });
    let session = sessions.next().filter(|_| sessions.next().is_none())?;
    let is_valid = (1..=limits::SESSION_BYTES).contains(&session.len())
        && session.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte));
    let session = std::str::from_utf8(session).ok().filter(|_| is_valid)?;
    Some(Secret::new(session))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const COOKIE: &str = "awx_sessionid";

    fn read(authorization: &str, cookies: &[&str]) -> RequestCredentials {
        let cookies = cookies.iter().map(|cookie| cookie.as_bytes());
        RequestCredentials::read([authorization.as_bytes()].into_iter(), cookies, Some(COOKIE))
    }

    fn forwarded(request: &RequestCredentials) -> [Option<&str>; 2] {
        let Forwarded { authorization, session } = &request.forwarded;
        [authorization, session].map(|secret| secret.as_ref().map(Secret::expose))
    }

    #[test]
    fn only_a_possible_credential_is_forwarded_in_one_spelling() {
        for (header, expected) in [
            ("Bearer abc", Some("Bearer abc")),
            (" bEARER \t abc ", Some("Bearer abc")),
            ("basic  YTpi", Some("Basic YTpi")),
            ("Bearer", None),
            ("Bearer a b", None),
            ("Bearer a,b", None),
            ("Basic !!!", None),
            ("Digest x", None),
            ("", None),
        ] {
            assert_eq!(forwarded(&read(header, &[])), [expected, None], "{header}");
        }
    }

    #[test]
    fn a_session_is_found_among_other_cookies_if_there_is_exactly_one() {
        for (cookies, session) in [
            (&["awx_sessionid=abc"][..], Some("abc")),
            (&["csrftoken=x; awx_sessionid=abc;userLoggedIn=true"], Some("abc")),
            (&["a=b", "awx_sessionid=abc"], Some("abc")),
            (&["awx_sessionid=abc; awx_sessionid=abd"], None),
            (&["awx_sessionid=abc", "awx_sessionid=abc"], None),
            (&["awx_sessionid="], None),
            (&["awx_sessionid=a\r\nb"], None),
            (&["awx_sessionid=\"abc\""], None),
            (&["awx_sessionids=abc"], None),
            (&["xawx_sessionid=abc"], None),
            (&["x"], None),
            (&[], None),
        ] {
            assert_eq!(forwarded(&read("", cookies)), [None, session], "{cookies:?}");
        }
        let platform = [&b"awx_sessionid=abc; gateway_sessionid=def"[..]].into_iter();
        let read_named =
            RequestCredentials::read([].into_iter(), platform, Some("gateway_sessionid"));
        assert_eq!(forwarded(&read_named), [None, Some("def")]);
        let long = format!("awx_sessionid={}", "a".repeat(limits::SESSION_BYTES + 1));
        assert_eq!(forwarded(&read("", &[&long])), [None, None]);
        let cookies = [&b"awx_sessionid=abc"[..]].into_iter();
        assert_eq!(
            forwarded(&RequestCredentials::read([].into_iter(), cookies, None)),
            [None, None]
        );
    }

    #[test]
    fn the_session_cookie_is_ignored_if_an_authorization_header_decides() {
        for (header, expected) in [
            ("Bearer abc", [Some("Bearer abc"), None]),
            ("Basic YTpi", [Some("Basic YTpi"), None]),
            ("Basic !!!", [None, None]),
            ("Bearer a,b", [None, None]),
            ("Bearer", [None, Some("abc")]),
            ("Digest x", [None, Some("abc")]),
            ("", [None, Some("abc")]),
        ] {
            assert_eq!(forwarded(&read(header, &["awx_sessionid=abc"])), expected, "{header}");
        }
    }

    #[test]
    fn a_request_counts_as_a_session_if_no_authorization_header_decides() {
        for (header, scheme) in [
            ("", Scheme::Session),
            ("Bearer", Scheme::Session),
            ("Digest x", Scheme::Session),
            ("Bearer x", Scheme::Bearer),
            ("Basic YTpi", Scheme::Basic),
            ("Basic !!!", Scheme::Basic),
            ("Bearer a,b", Scheme::Other),
        ] {
            assert_eq!(read(header, &["awx_sessionid=abc"]).scheme(), scheme, "{header}");
        }
        assert_eq!(read("", &[]).scheme(), Scheme::None);
    }

    proptest! {
        #[test]
        fn every_forwarded_value_is_valid_in_a_header(header: Vec<u8>, cookie: Vec<u8>, basic: bool) {
            let known = [if basic { &b"Basic "[..] } else { b"Bearer " }, &header].concat();
            let cookies = [b"awx_sessionid=", &cookie[..]].concat();
            for header in [&header, &known] {
                let headers = [header.as_slice()].into_iter();
                let request = RequestCredentials::read(headers, [cookies.as_slice()].into_iter(), Some(COOKIE));
                for value in forwarded(&request).into_iter().flatten() {
                    prop_assert!(value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '));
                }
            }
        }
    }
}
