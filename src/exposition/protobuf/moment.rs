//! Moments: messages `google.protobuf.Timestamp`.

use super::{close, open, push_whole};

/// The numbers of the fields.
mod field {
    pub(super) const SECONDS: u8 = 1;
    pub(super) const NANOS: u8 = 2;
}

/// The years 1 to 9999, in microseconds: the range of a `Timestamp`.
const LEGAL: std::ops::Range<i64> = -62_135_596_800 * MICROSECONDS..253_402_300_800 * MICROSECONDS;

const MICROSECONDS: i64 = 1_000_000;

/// Writes a moment, to the nearest microsecond: a float of the present time is no more precise. A truncated moment
/// would be a millisecond early after Prometheus truncates it again. Writes nothing if the moment is outside the range
/// of a `Timestamp`.
#[expect(clippy::cast_possible_truncation, reason = "what does not fit is not legal")]
pub(super) fn push(field: u8, seconds: f64, out: &mut Vec<u8>) {
    let microseconds = (seconds * MICROSECONDS as f64).round() as i64;
    if !LEGAL.contains(&microseconds) {
        return;
    }
    let moment = open(field, out);
    push_whole(field::SECONDS, microseconds.div_euclid(MICROSECONDS).cast_unsigned(), out);
    push_whole(field::NANOS, microseconds.rem_euclid(MICROSECONDS).cast_unsigned() * 1000, out);
    close(moment, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pushed(seconds: f64) -> Vec<u8> {
        let mut out = Vec::new();
        push(3, seconds, &mut out);
        out
    }

    #[test]
    fn a_moment_is_seconds_and_non_negative_nanoseconds() {
        for (seconds, whole, nanos) in [
            (0.0, 0, 0),
            (1.25, 1, 250_000_000),
            (-1.25, -2, 750_000_000),
            // Rounds up to a whole second.
            (-1e-17, 0, 0),
            (-1e-6, -1, 999_999_000),
            (0.999_999_9, 1, 0),
            (1_700_000_000.123, 1_700_000_000, 123_000_000),
            (1_700_000_000.025, 1_700_000_000, 25_000_000),
            (-62_135_596_800.0, -62_135_596_800, 0),
            (253_402_300_799.0, 253_402_300_799, 0),
        ] {
            let mut expected = Vec::new();
            let moment = open(3, &mut expected);
            push_whole(1, i64::cast_unsigned(whole), &mut expected);
            push_whole(2, nanos, &mut expected);
            close(moment, &mut expected);
            assert_eq!(pushed(seconds), expected, "{seconds}");
        }
    }

    #[test]
    fn moments_outside_the_range_of_a_timestamp_are_left_out() {
        for seconds in [-62_135_596_801.0, 253_402_300_800.0, 9e12, -9e12, f64::INFINITY] {
            assert_eq!(pushed(seconds), [0; 0], "{seconds}");
        }
    }
}
