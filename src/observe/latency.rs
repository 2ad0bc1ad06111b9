//! The duration of all requests as a native histogram (Prometheus, "Native Histograms", "Schema"). It has four buckets per
//! doubling, so a quantile has an error of at most a tenth.
//!
//! It is a separate family from the classic histogram by resource. If the first histogram of a family is native, Prometheus
//! treats the whole family as native (`model/textparse/protobufparse.go`, 2.42 to 3.x): a Prometheus with native histograms
//! enabled would lose the classic buckets, and the rules and dashboards that use them.

use crate::metrics::NativeHistogram;
use std::f64::consts::SQRT_2;
use std::time::Duration;

/// The number of buckets, including the zero bucket, which has the number 0. They are counters of [`super::series`].
pub const BUCKETS: u8 = 105;

/// Four buckets per doubling.
const SCHEMA: i32 = 2;

/// Durations up to 0.12 ms count in the zero bucket.
const ZERO_THRESHOLD: f64 = 1.0 / 8192.0;

/// The index of the lowest bucket above zero; its upper bound is 2^(index / 4) seconds.
const LOWEST: i32 = -51;

/// The upper bounds within a doubling, except the last: 2^(1/4), 2^(2/4), 2^(3/4).
const BOUNDS: [f64; 3] = [1.189_207_115_002_721, SQRT_2, 1.681_792_830_507_428_8];

/// The bucket of a duration. Durations above 2 h 16 min count in the highest bucket.
#[must_use]
pub fn bucket(duration: Duration) -> u8 {
    let seconds = duration.as_secs_f64();
    if seconds <= ZERO_THRESHOLD {
        return 0;
    }
    let number = index(seconds) - LOWEST + 1;
    u8::try_from(number).unwrap_or(u8::MAX).min(BUCKETS - 1)
}

/// The index of the bucket that contains this duration, a normal float above zero.
fn index(seconds: f64) -> i32 {
    const MANTISSA: u32 = 52;
    const BIAS: i32 = 1023;
    let bits = seconds.to_bits();
    let exponent = (bits >> MANTISSA & 0x7ff) as i32 - BIAS;
    let fraction = f64::from_bits(bits & !(0x7ff << MANTISSA) | (BIAS as u64) << MANTISSA);
    if fraction == 1.0 {
        return exponent * 4;
    }
    let within = BOUNDS.iter().filter(|bound| fraction > **bound).count();
    exponent * 4 + 1 + within as i32
}

/// The histogram with these counts, by number of the bucket.
#[must_use]
pub fn histogram(counts: &[u64; BUCKETS as usize], microseconds: u64) -> NativeHistogram {
    let [zero_count, counts @ ..] = counts;
    let buckets = (LOWEST..).zip(counts.iter().copied()).filter(|(_, count)| *count > 0);
    NativeHistogram {
        schema: SCHEMA,
        zero_threshold: ZERO_THRESHOLD,
        zero_count: *zero_count,
        buckets: buckets.collect(),
        sum: microseconds as f64 / 1e6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn upper(number: u8) -> f64 {
        2_f64.powf(f64::from(LOWEST - 1 + i32::from(number)) / 4.0)
    }

    #[test]
    fn a_bound_is_inside_its_bucket_and_a_longer_duration_in_the_next() {
        const BOUNDS: [(u64, u8); 5] = [
            (122_070, 0),
            (1_953_125, 16),
            (250_000_000, 44),
            (1_000_000_000, 52),
            (8_192_000_000_000, 104),
        ];
        for (nanos, number) in BOUNDS {
            assert_eq!(bucket(Duration::from_nanos(nanos)), number);
            let next = (number + 1).min(BUCKETS - 1);
            assert_eq!(bucket(Duration::from_nanos(nanos + 1)), next, "{nanos}");
        }
        assert_eq!((bucket(Duration::ZERO), bucket(Duration::MAX)), (0, BUCKETS - 1));
    }

    #[test]
    fn a_histogram_has_the_counted_buckets() {
        let mut counts = [0; BUCKETS as usize];
        (counts[0], counts[1], counts[2], counts[104]) = (1, 2, 3, 4);
        let histogram = histogram(&counts, 1_500_000);
        assert_eq!(histogram.buckets, [(-51, 2), (-50, 3), (52, 4)]);
        assert_eq!((histogram.zero_count, histogram.count(), histogram.sum), (1, 10, 1.5));
    }

    #[test]
    fn the_bounds_are_roots_of_two() {
        for (at, bound) in BOUNDS.into_iter().enumerate() {
            assert!((bound - 2_f64.powf((at as f64 + 1.0) / 4.0)).abs() < 1e-15, "{bound}");
        }
    }

    proptest! {
        #[test]
        fn a_duration_is_within_the_bounds_of_its_bucket(nanos in 122_071..8_192_000_000_000_u64) {
            let duration = Duration::from_nanos(nanos);
            let (number, seconds) = (bucket(duration), duration.as_secs_f64());
            prop_assert!(upper(number - 1) < seconds * (1.0 + 1e-15));
            prop_assert!(seconds * (1.0 - 1e-15) <= upper(number));
        }
    }
}
