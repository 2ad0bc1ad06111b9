//! Numbers in the notation of pages: eight bytes of input are the bits of one number.
//!
//! The text parses as the same number, and has no more digits than necessary.

use awx_metrics_filter::metrics::number::Repr;

use crate::{PLANTED, Target};

pub(crate) const TARGET: Target = Target {
    name: "number",
    run,
    longest: 8,
    thousands: 8_000,
    words: &["\0\0\0\0\0\0\0\u{1}", "\0\0\0\0\0\0$@"],
    fault: "the last digit of a number below a hundred thousandth is lost",
};

fn run(bytes: &[u8]) {
    let mut bits = [0; 8];
    bits.iter_mut().zip(bytes).for_each(|(bit, byte)| *bit = *byte);
    let value = f64::from_le_bytes(bits);
    let text = subject(value);
    if value.is_nan() {
        assert_eq!(text, "NaN");
        return;
    }
    let read = match text.as_str() {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        text => text.parse().expect("a number"),
    };
    assert_eq!(read.to_bits(), value.to_bits(), "{text}");
    if value.is_finite() {
        assert_eq!(digits(&text), digits(&format!("{value:e}")), "{text}");
    }
}

fn subject(value: f64) -> String {
    let text = Repr::of(value).as_str().to_owned();
    match text.split_once("e-") {
        Some((mantissa, exponent)) if PLANTED && mantissa.contains('.') => {
            format!("{}e-{exponent}", &mantissa[..mantissa.len() - 1])
        }
        _ => text,
    }
}

/// The number of significant digits: if two texts of this length are equally near, either is correct.
fn digits(text: &str) -> usize {
    let mantissa = text.split('e').next().unwrap_or_default();
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    digits.trim_matches('0').len()
}
