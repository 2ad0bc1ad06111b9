//! The Authorization header, one per line of input.
//!
//! The credentials are those of a second implementation, and are the same after writing and parsing them again. Only a
//! client with the token, or with the user's password, is permitted.

use awx_metrics_filter::auth::password::{PasswordHash, Progress};
use awx_metrics_filter::auth::{
    Credentials, LocalDecision, Malformed, Policy, RequestCredentials, Secret, Tagger, Token, User,
    decide,
};

use crate::{PLANTED, Target};

pub(crate) const TARGET: Target = Target {
    name: "credentials",
    run,
    longest: 96,
    thousands: 8_000,
    words: &[
        "Basic ",
        "Bearer ",
        "bearer",
        "basic",
        "dG9rOg==",
        "dXNlcjp0b2s=",
        "=",
        "==",
        ",",
        "tok",
    ],
    fault: "a password ends at its first colon",
};

const TOKEN: &str = "tok";
const USER: &str = "u";
const PASSWORD: &str = "p";

/// The content of a header, parsed slowly.
#[derive(Debug, PartialEq, Eq)]
enum Reading {
    Nothing,
    Bearer(String),
    NoBearer,
    Basic(String, String),
    Refused(Malformed),
    Other,
}

fn run(bytes: &[u8]) {
    let headers: Vec<&[u8]> =
        if bytes.is_empty() { vec![] } else { bytes.split(|&b| b == b'\n').collect() };
    let expected = read_all(&headers);
    let credentials = Credentials::parse(headers.iter().copied());
    assert_eq!(shown(&credentials), expected);
    assert_eq!(is_let_in(&headers), opens(&expected), "{expected:?}");
    if let Some(header) = write(&expected) {
        assert_eq!(shown(&Credentials::parse([header.as_bytes()])), expected, "written anew");
    }
    if let Some(printed) = printed(&expected) {
        assert_eq!(format!("{credentials:?}"), printed);
    }
}

/// All of it that may be printed.
fn printed(reading: &Reading) -> Option<String> {
    match reading {
        Reading::Bearer(_) => Some("Bearer(Secret(..))".into()),
        Reading::Basic(user, _) => {
            Some(format!("Basic {{ user: {user:?}, password: Secret(..) }}"))
        }
        _ => None,
    }
}

fn shown(credentials: &Credentials) -> Reading {
    match credentials {
        Credentials::None => Reading::Nothing,
        Credentials::Bearer(token) => Reading::Bearer(token.expose().to_owned()),
        Credentials::UnusableBearer => Reading::NoBearer,
        Credentials::Basic { user, password } => {
            let password = password.expose();
            let end = password.find(':').filter(|_| PLANTED).unwrap_or(password.len());
            Reading::Basic(user.clone(), password[..end].to_owned())
        }
        Credentials::Malformed(malformed) => Reading::Refused(*malformed),
        Credentials::Other => Reading::Other,
    }
}

fn read_all(headers: &[&[u8]]) -> Reading {
    match headers {
        [] => Reading::Nothing,
        [header] => read(header),
        _ => Reading::Refused(Malformed::Repeated),
    }
}

fn read(header: &[u8]) -> Reading {
    let text: String = header.iter().copied().map(char::from).collect();
    let is_blank = |c: char| matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0c');
    let words: Vec<&str> = text.split(is_blank).filter(|word| !word.is_empty()).collect();
    let scheme = words.first().map(|scheme| scheme.to_ascii_lowercase());
    match (scheme.as_deref(), words.get(1..).unwrap_or_default()) {
        (None, _) => Reading::Nothing,
        (Some("bearer"), _) if text.contains(',') => Reading::Refused(Malformed::Repeated),
        (Some("bearer"), [token]) if token.chars().all(|c| ('!'..='~').contains(&c)) => {
            Reading::Bearer((*token).to_owned())
        }
        (Some("bearer"), _) => Reading::NoBearer,
        (Some("basic"), []) => Reading::Refused(Malformed::BasicEmpty),
        (Some("basic"), [pair]) => {
            pair_of(pair).unwrap_or(Reading::Refused(Malformed::BasicEncoding))
        }
        (Some("basic"), _) => Reading::Refused(Malformed::BasicSpaces),
        (Some(_), _) => Reading::Other,
    }
}

fn pair_of(encoded: &str) -> Option<Reading> {
    let bytes = decode(encoded)?;
    let text = match std::str::from_utf8(&bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().copied().map(char::from).collect(),
    };
    let colon = text.find(':')?;
    Some(Reading::Basic(text[..colon].to_owned(), text[colon + 1..].to_owned()))
}

const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Decodes Base64 bit by bit (RFC 4648, section 4): padded, and without remaining bits.
fn decode(encoded: &str) -> Option<Vec<u8>> {
    let digits = encoded.trim_end_matches('=');
    let padding = encoded.len() - digits.len();
    if !encoded.len().is_multiple_of(4) || padding > 2 {
        return None;
    }
    let mut bits = String::new();
    for digit in digits.chars() {
        bits += &format!("{:06b}", ALPHABET.find(digit)?);
    }
    let whole = bits.len() / 8 * 8;
    let left_over = &bits[whole..];
    if left_over.contains('1') || left_over.len() > 4 {
        return None;
    }
    (0..whole).step_by(8).map(|at| u8::from_str_radix(&bits[at..at + 8], 2).ok()).collect()
}

fn write(reading: &Reading) -> Option<String> {
    match reading {
        Reading::Bearer(token) => Some(format!("Bearer {token}")),
        Reading::Basic(user, password) => {
            Some(format!("Basic {}", encode(format!("{user}:{password}").as_bytes())))
        }
        _ => None,
    }
}

fn encode(bytes: &[u8]) -> String {
    let mut bits: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
    while !bits.len().is_multiple_of(6) {
        bits.push('0');
    }
    let digit = |at: usize| u8::from_str_radix(&bits[at..at + 6], 2).expect("six bits");
    let mut text: String = (0..bits.len())
        .step_by(6)
        .map(|at| char::from(ALPHABET.as_bytes()[usize::from(digit(at))]))
        .collect();
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}

fn opens(reading: &Reading) -> bool {
    match reading {
        Reading::Bearer(token) => token == TOKEN,
        Reading::Basic(user, password) => user == USER && password == PASSWORD,
        _ => false,
    }
}

/// Hashing is slow, so a password is checked only if its user is known. Otherwise every run would take a millisecond.
fn is_let_in(headers: &[&[u8]]) -> bool {
    let shown =
        RequestCredentials::read(headers.iter().copied(), [].into_iter(), Some("awx_sessionid"));
    let tagger = Tagger::new([7; 32], [8; 32]);
    POLICY.with(|policy| match decide(policy, &shown, &tagger) {
        LocalDecision::Allowed(_) => true,
        LocalDecision::Denied(_) | LocalDecision::AskController => false,
        LocalDecision::CheckPassword(mut pending) => {
            let is_known =
                matches!(&shown.credentials, Credentials::Basic { user, .. } if user == USER);
            is_known && matches!(pending.advance(u32::MAX), Progress::Done(Ok(_)))
        }
    })
}

thread_local! {
    static POLICY: Policy = Policy {
        anonymous: false,
        controller: None,
        tokens: vec![Token::new("t".into(), &Secret::new(TOKEN))],
        users: vec![User::new(USER.into(), PasswordHash::new(PASSWORD, "salt", 1_000).expect("a hash"))],
    };
}
