//! The rules for texts in the configuration. Each rule takes a text and returns it in the form in which it is used.

use std::time::Duration;

use super::error::Problem;
use crate::limits;

/// The name of a scope, source or token, which becomes a label's value or a part of a key: no control characters.
pub(super) fn name(text: String) -> Result<String, Problem> {
    let text = bounded(text, limits::NAME_BYTES)?;
    only(text, |c| !c.is_control(), "printable characters")
}

/// The name of a user. In Basic credentials it ends at the first colon.
pub(super) fn user(text: String) -> Result<String, Problem> {
    only(name(text)?, |c| c != ':', "printable characters, no colon")
}

/// The name of a cluster.
pub(super) fn cluster(text: String) -> Result<String, Problem> {
    visible(bounded(text, limits::TEXT_BYTES)?)
}

/// An `:authority` to send. It has visible characters only: another one could end the header.
pub(super) fn authority(text: String) -> Result<String, Problem> {
    cluster(text)
}

/// A `:path` to send, query included.
pub(super) fn target(text: String) -> Result<String, Problem> {
    let text = visible(bounded(text, limits::TEXT_BYTES)?)?;
    if !text.starts_with('/') {
        return Err(Problem::NoSlash);
    }
    only(text, |c| c != '#', "visible ASCII characters, no fragment")
}

/// A path to answer, in the form with which requests are compared: decoded, without a slash at its end.
pub(super) fn path(text: String) -> Result<String, Problem> {
    const ALLOWED: &str = "visible ASCII characters other than % ? # and \\";
    let text = visible(bounded(text, limits::TEXT_BYTES)?)?;
    let Some(inner) = text.strip_prefix('/') else {
        return Err(Problem::NoSlash);
    };
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    if inner.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
        return Err(Problem::PathNotNormal);
    }
    only(format!("/{inner}"), |c| !matches!(c, '%' | '?' | '#' | '\\'), ALLOWED)
}

/// An authority to answer for, in lower case.
pub(super) fn host(text: String) -> Result<String, Problem> {
    let text = bounded(text, limits::TEXT_BYTES)?.to_ascii_lowercase();
    let (name, port) = split_port(&text);
    // `parse` also accepts a `+`.
    let is_number = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    let port_fits = port.is_none_or(|port| is_number(port) && port.parse::<u16>().is_ok());
    let inner = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let name_fits = match inner {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !name.is_empty() && name.bytes().all(is_host_byte),
    };
    if port_fits && name_fits { Ok(text) } else { Err(Problem::Authority) }
}

fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')
}

/// Splits an authority into its host and its port, if it has one.
pub(super) fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

/// The name of a cookie: a token (RFC 9110, section 5.6.2).
pub(super) fn cookie(text: String) -> Result<String, Problem> {
    const MARKS: &str = "!#$%&'*+-.^_`|~";
    let fits = |c: char| c.is_ascii_alphanumeric() || MARKS.contains(c);
    only(bounded(text, limits::NAME_BYTES)?, fits, "letters, digits and !#$%&'*+-.^_`|~")
}

/// The name of an environment variable.
pub(super) fn variable(text: String) -> Result<String, Problem> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    only(bounded(text, limits::NAME_BYTES)?, fits, "letters, digits, _, - and .")
}

/// A bearer token to send.
pub(super) fn bearer(text: String) -> Result<String, Problem> {
    visible(bounded(text, limits::TEXT_BYTES)?)
}

/// A password to send.
pub(super) fn password(text: String) -> Result<String, Problem> {
    only(bounded(text, limits::TEXT_BYTES)?, |c| !c.is_control(), "printable characters")
}

/// The reference to the schema, for editors. The filter does not use it.
pub(super) fn schema(text: String) -> Result<String, Problem> {
    bounded(text, limits::TEXT_BYTES)
}

/// A label's value: any text, except the empty one, which means that there is no label.
pub(super) fn label_value(text: String) -> Result<String, Problem> {
    bounded(text, limits::TEXT_BYTES)
}

/// A label's name that is not one of `reserved`. Prometheus's names are `[a-zA-Z_][a-zA-Z0-9_]*`, and it reserves those
/// that begin with two underscores.
pub(super) fn label_name(name: &str, reserved: &[&str]) -> Result<(), Problem> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let digit_first = name.as_bytes().first().is_none_or(u8::is_ascii_digit);
    if digit_first || name.len() > limits::NAME_BYTES || !name.bytes().all(fits) {
        return Err(Problem::LabelName);
    }
    if name.starts_with("__") || reserved.contains(&name) {
        return Err(Problem::LabelReserved);
    }
    Ok(())
}

/// The name of a family, or a prefix of names that ends in `*`.
pub(super) fn families(text: String) -> Result<String, Problem> {
    const ALLOWED: &str = "letters, digits, _ and :, and a * at the end";
    let text = bounded(text, limits::NAME_BYTES)?;
    let start = text.strip_suffix('*').unwrap_or(&text);
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
    if start.chars().all(fits) { Ok(text) } else { Err(Problem::Characters { allowed: ALLOWED }) }
}

/// The SHA-256 of a token, in hex.
pub(super) fn sha256(text: String) -> Result<[u8; 32], Problem> {
    let mut digest = [0; 32];
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != digest.len() || !rest.is_empty() {
        return Err(Problem::Sha256);
    }
    for (byte, [high, low]) in digest.iter_mut().zip(pairs) {
        *byte = hex(*high)? << 4 | hex(*low)?;
    }
    Ok(digest)
}

fn hex(digit: u8) -> Result<u8, Problem> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok()).ok_or(Problem::Sha256)
}

/// A duration within limits.
pub(super) fn between(
    least: Duration,
    most: Duration,
) -> impl Fn(String) -> Result<Duration, Problem> {
    move |text| match duration(&text)? {
        duration if duration < least => Err(Problem::TooShort { least }),
        duration if duration > most => Err(Problem::TooLongTime { most }),
        duration => Ok(duration),
    }
}

/// Reads `<digits><unit>` with a unit of ms, s, m or h: one number, one unit, no sign, no fraction.
fn duration(text: &str) -> Result<Duration, Problem> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).ok_or(Problem::Duration)?;
    let (number, unit) = text.split_at(unit_at);
    if number.is_empty() {
        return Err(Problem::Duration);
    }
    let milliseconds: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(Problem::Duration),
    };
    // A number that does not fit a u64 exceeds every limit.
    let number = number.parse().unwrap_or(u64::MAX);
    Ok(Duration::from_millis(milliseconds.saturating_mul(number)))
}

fn visible(text: String) -> Result<String, Problem> {
    only(text, |c| c.is_ascii_graphic(), "visible ASCII characters")
}

fn bounded(text: String, most: usize) -> Result<String, Problem> {
    match text.len() {
        0 => Err(Problem::Empty),
        length if length > most => Err(Problem::TooLong { most }),
        _ => Ok(text),
    }
}

fn only(
    text: String,
    fits: impl Fn(char) -> bool,
    allowed: &'static str,
) -> Result<String, Problem> {
    if text.chars().all(fits) { Ok(text) } else { Err(Problem::Characters { allowed }) }
}
