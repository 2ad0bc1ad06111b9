//! A request as the stand-in reads it, with a decoded path and a whole body.

use hyper::body::Bytes;
use hyper::{HeaderMap, Method};

/// One request.
pub(super) struct Call {
    pub(super) method: Method,
    /// Percent-decoded, without the query.
    pub(super) path: String,
    /// As it was sent, without the question mark.
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Call {
    pub(super) fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.get(name).map(hyper::header::HeaderValue::as_bytes)
    }

    pub(super) fn text_header(&self, name: &str) -> Option<String> {
        self.header(name).map(|value| String::from_utf8_lossy(value).into_owned())
    }

    pub(super) fn cookie(&self, name: &str) -> Option<String> {
        let cookies = self.headers.get_all("cookie").iter();
        let cookies = cookies.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        cookies
            .flat_map(|line| line.split(';').map(|pair| pair.trim().to_owned()).collect::<Vec<_>>())
            .find_map(|pair| Some(pair.strip_prefix(name)?.strip_prefix('=')?.to_owned()))
    }

    /// Every value of a query parameter.
    pub(super) fn parameters(&self, name: &str) -> Vec<String> {
        let pairs = pairs(self.query.as_bytes()).into_iter();
        pairs.filter(|(have, _)| have == name).map(|(_, value)| value).collect()
    }

    /// The last value of a query parameter, which is the one that Django uses.
    pub(super) fn parameter(&self, name: &str) -> Option<String> {
        self.parameters(name).pop()
    }

    /// A field of a form in the body.
    pub(super) fn field(&self, name: &str) -> Option<String> {
        let mut pairs = pairs(&self.body).into_iter();
        pairs.rfind(|(have, _)| have == name).map(|(_, value)| value)
    }

    /// The media type of the body, without parameters, in lower case.
    pub(super) fn media_type(&self) -> String {
        let value = self.text_header("content-type").unwrap_or_default();
        value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }
}

/// Parses `application/x-www-form-urlencoded`.
fn pairs(text: &[u8]) -> Vec<(String, String)> {
    let parts = text.split(|&byte| byte == b'&').filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let part: Vec<u8> =
                part.iter().map(|&byte| if byte == b'+' { b' ' } else { byte }).collect();
            let mut halves = part.splitn(2, |&byte| byte == b'=');
            let name = percent_decoded(halves.next().unwrap_or_default());
            (name, percent_decoded(halves.next().unwrap_or_default()))
        })
        .collect()
}

/// Decodes `%41`. Anything that is not such an escape is unchanged.
pub(super) fn percent_decoded(text: &[u8]) -> String {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        let (byte, after) = match escaped(rest) {
            Some(byte) => (byte, &rest[3..]),
            None => (*first, tail),
        };
        decoded.push(byte);
        rest = after;
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn escaped(text: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = text else { return None };
    let digit =
        |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? * 16 + digit(low)?)
}
