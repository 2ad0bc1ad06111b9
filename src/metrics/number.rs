//! Values: reads the tokens that Prometheus reads, and writes floats as Python does.

use std::fmt::{self, Write};

/// A value as read from its token.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Number {
    pub(crate) value: f64,
    /// The canonical spelling if the value is not a decimal number.
    pub(crate) spelling: Option<&'static str>,
}

/// Reads a value: a token that Go's `strconv.ParseFloat` accepts, without the hexadecimal digits and underscores that
/// Prometheus rejects (`model/textparse`, `parseFloat`). A decimal beyond the range of a float is rejected, as in Go.
pub(crate) fn read(token: &str) -> Option<Number> {
    match token.as_bytes() {
        [b'0'..=b'9', ..] if token.len() <= 15 => integer(token).or_else(|| decimal(token)),
        [b'0'..=b'9' | b'.', ..] | [b'+' | b'-', b'0'..=b'9' | b'.', ..] => decimal(token),
        _ => special(token),
    }
}

/// Up to 15 digits are exact in a float and need no general parser.
fn integer(token: &str) -> Option<Number> {
    let mut value = 0_u64;
    for byte in token.bytes() {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = value * 10 + u64::from(byte - b'0');
    }
    #[expect(clippy::cast_precision_loss, reason = "below 10^15")]
    Some(Number { value: value as f64, spelling: None })
}

fn decimal(token: &str) -> Option<Number> {
    let value: f64 = token.parse().ok()?;
    value.is_finite().then_some(Number { value, spelling: None })
}

fn special(token: &str) -> Option<Number> {
    let (sign, word) = match token.as_bytes().first()? {
        b'+' => (Some('+'), token.get(1..)?),
        b'-' => (Some('-'), token.get(1..)?),
        _ => (None, token),
    };
    if word.eq_ignore_ascii_case("nan") && sign.is_none() {
        return Some(Number { value: f64::NAN, spelling: Some("NaN") });
    }
    if !word.eq_ignore_ascii_case("inf") && !word.eq_ignore_ascii_case("infinity") {
        return None;
    }
    Some(match sign {
        Some('-') => Number { value: f64::NEG_INFINITY, spelling: Some("-Inf") },
        _ => Number { value: f64::INFINITY, spelling: Some("+Inf") },
    })
}

/// A float in the spelling of Python's `repr`: the shortest digits that read back as the same float (if two such
/// numbers are equally near, the choice may differ from Python's). The spelling is legal in every exposition format;
/// `NaN`, `+Inf` and `-Inf` are spelt as in these formats.
pub struct Repr {
    bytes: [u8; Self::CAPACITY],
    len: usize,
}

impl Repr {
    /// The result has at most 24 bytes: sign, 17 digits, point, exponent. The input of `lay_out` has no more.
    const CAPACITY: usize = 32;

    /// Formats a float.
    #[must_use]
    pub fn of(value: f64) -> Self {
        let mut repr = Self { bytes: [0; Self::CAPACITY], len: 0 };
        // The buffer is large enough for any float, so writing to it does not fail.
        let _ = repr.write(value);
        repr
    }

    /// The formatted number.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.bytes.get(..self.len).and_then(|bytes| str::from_utf8(bytes).ok()).unwrap_or_default()
    }

    fn write(&mut self, value: f64) -> fmt::Result {
        if value.is_nan() {
            return self.write_str("NaN");
        }
        if value.is_infinite() {
            return self.write_str(if value > 0.0 { "+Inf" } else { "-Inf" });
        }
        if value.is_sign_negative() {
            self.write_str("-")?;
        }
        self.write_magnitude(value.abs())
    }

    fn write_magnitude(&mut self, value: f64) -> fmt::Result {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked next")]
        let whole = value as u64;
        #[expect(clippy::cast_precision_loss, reason = "compared")]
        if value < 1e15 && whole as f64 == value {
            return write!(self, "{whole}.0");
        }
        let mut buffer = zmij::Buffer::new();
        let (digits, exponent) = shortest(buffer.format_finite(value)).ok_or(fmt::Error)?;
        let (first, more) = digits.as_str().split_at_checked(1).ok_or(fmt::Error)?;
        self.lay_out(first, more, exponent)
    }

    /// Writes `first.more * 10^exponent` as Python does: without an exponent from 1e-4 up to 1e16, otherwise with an
    /// exponent of at least two digits.
    fn lay_out(&mut self, first: &str, more: &str, exponent: i32) -> fmt::Result {
        match exponent {
            -4..0 => {
                let zeros = usize::try_from(-1 - exponent).unwrap_or_default();
                write!(self, "0.{:0<zeros$}{first}{more}", "")
            }
            0..16 => {
                let digits = usize::try_from(exponent).unwrap_or_default();
                match more.split_at_checked(digits) {
                    Some((whole, "")) => write!(self, "{first}{whole}.0"),
                    Some((whole, part)) => write!(self, "{first}{whole}.{part}"),
                    None => write!(self, "{first}{more:0<digits$}.0"),
                }
            }
            _ => {
                let point = if more.is_empty() { "" } else { "." };
                let sign = if exponent < 0 { '-' } else { '+' };
                write!(self, "{first}{point}{more}e{sign}{:02}", exponent.unsigned_abs())
            }
        }
    }
}

/// The significant digits of a positive decimal (`0.00123`, `120.0`, `1.2e-7`), and the power of ten of the first
/// digit.
fn shortest(decimal: &str) -> Option<(Repr, i32)> {
    let (mantissa, exponent) = decimal.split_once('e').unwrap_or((decimal, "0"));
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits = Repr { bytes: [0; Repr::CAPACITY], len: 0 };
    digits.write_str(whole).ok()?;
    digits.write_str(part).ok()?;
    let zeros = digits.as_str().bytes().take_while(|&digit| digit == b'0').count();
    let trimmed = digits.as_str().trim_matches('0');
    let mut significant = Repr { bytes: [0; Repr::CAPACITY], len: 0 };
    significant.write_str(trimmed).ok()?;
    let place = i32::try_from(whole.len()).ok()? - 1 - i32::try_from(zeros).ok()?;
    Some((significant, exponent.parse::<i32>().ok()? + place))
}

impl Write for Repr {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        let room = self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn floats_are_printed_as_python_prints_them() {
        for (value, printed) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (-4.5, "-4.5"),
            (1e10, "10000000000.0"),
            (1e15, "1000000000000000.0"),
            (1_234_567_890_123_456.0, "1234567890123456.0"),
            (1_234_567_890_123_456.5, "1234567890123456.5"),
            (9_007_199_254_740_993.0, "9007199254740992.0"),
            (1e16, "1e+16"),
            (1.6e16, "1.6e+16"),
            (123_456_789_012_345_680.0, "1.2345678901234568e+17"),
            (0.1, "0.1"),
            (0.000_123_45, "0.00012345"),
            (1e-4, "0.0001"),
            (1e-5, "1e-05"),
            (-1.5e-7, "-1.5e-07"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
            (1_795_372_000.123_456, "1795372000.123456"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(Repr::of(value).as_str(), printed);
        }
    }

    #[test]
    fn values_that_prometheus_accepts_are_read() {
        for (token, value) in [
            ("1", 1.0),
            ("007", 7.0),
            ("+1", 1.0),
            ("-1.5", -1.5),
            (".5", 0.5),
            ("5.", 5.0),
            ("1.6e+010", 1.6e10),
            ("1E5", 1e5),
            ("123456789012345678", 123_456_789_012_345_680.0),
        ] {
            let number = read(token).unwrap();
            assert_eq!((number.value, number.spelling), (value, None), "{token}");
        }
        for (token, spelling) in [
            ("inf", "+Inf"),
            ("+Inf", "+Inf"),
            ("Infinity", "+Inf"),
            ("-INF", "-Inf"),
            ("nan", "NaN"),
            ("NaN", "NaN"),
        ] {
            assert_eq!(read(token).unwrap().spelling, Some(spelling), "{token}");
        }
    }

    #[test]
    fn values_that_prometheus_rejects_are_refused() {
        for token in [
            "", ".", "-", "+", "e5", "1e", "1e999", "-1e999", "0x1p3", "1_000", "1,5", "+nan",
            "-NaN", "in", "infinit", "--1", "1.2.3", "１", "None", "1d",
        ] {
            assert!(read(token).is_none(), "{token}");
        }
    }

    proptest! {
        #[test]
        fn a_printed_float_reads_back_as_itself(value: f64) {
            let repr = Repr::of(value);
            let back = read(repr.as_str()).unwrap().value;
            prop_assert!(back.to_bits() == value.to_bits() || (back.is_nan() && value.is_nan()));
        }

        #[test]
        fn no_token_panics(token: String) {
            let _ = read(&token);
        }
    }
}
