//! [`Tally`]: the counters of one VM, within the bounds of [`limits`], in the bytes that are published.
//!
//! It allocates nothing after it is created. A client's path and method only select labels from closed lists. The number
//! of their combinations is bounded; beyond the bound a request counts as overflowed, and is never lost.

use super::latency;
use super::method::Method;
use super::resource::Resource;
use super::series::Series;
use crate::limits;
use crate::shared::participant::Counters;
use crate::shared::shard::{BUCKETS, HISTOGRAM, Shard};
use std::time::Duration;

/// The upper bounds of the buckets; the last bucket has none.
pub const BOUNDS: [Duration; BUCKETS - 1] = [
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2_500),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_secs(60),
];

/// The counters of one VM.
#[derive(Debug)]
pub struct Tally {
    shard: Shard,
    used: Used,
}

/// The number of series in the shard, by the bound that they count against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Used {
    request_series: usize,
    rare_series: usize,
    other_series: usize,
}

impl Default for Tally {
    fn default() -> Self {
        let entries = limits::REQUEST_SERIES
            + limits::OTHER_SERIES
            + usize::from(latency::BUCKETS)
            + Resource::COUNT;
        Self { shard: Shard::with_capacity(entries, limits::SHARD_BYTES), used: Used::default() }
    }
}

impl Tally {
    /// Counts a request.
    pub fn count_request(&mut self, method: Method, resource: Resource, code: u16) {
        let key = Series::Request { method, resource, code }.key();
        if self.shard.add_if_present(key, 1) {
            return;
        }
        let is_rare = !method.is_common() || code > HIGHEST_CODE;
        if self.used.request_series >= limits::REQUEST_SERIES
            || is_rare && self.used.rare_series >= limits::RARE_SERIES
        {
            return self.count(Series::Overflow);
        }
        self.used.request_series += 1;
        self.used.rare_series += usize::from(is_rare);
        self.shard.add(key, 1);
    }

    /// Counts the duration of a request.
    pub fn observe_duration(&mut self, resource: Resource, duration: Duration) {
        let bucket = BOUNDS.partition_point(|bound| *bound < duration);
        // Rounded to the nearest: rounded down, a local reply of 20 us would lose half a microsecond each time.
        let fraction = (u64::from(duration.subsec_nanos()) + 500) / 1_000;
        let microseconds = duration.as_secs().saturating_mul(1_000_000).saturating_add(fraction);
        self.shard.observe(HISTOGRAM | u32::from(resource.number()), bucket, microseconds);
        self.shard.add(Series::Latency(latency::bucket(duration)).key(), 1);
    }

    /// Counts a scrape, an attempt or an overflow.
    pub fn count(&mut self, series: Series) {
        if self.shard.add_if_present(series.key(), 1) {
            return;
        }
        // The last series is reserved for the overflow.
        let is_last = self.used.other_series + 1 >= limits::OTHER_SERIES;
        let series = if is_last { Series::Overflow } else { series };
        self.used.other_series += usize::from(!self.shard.contains(series.key()));
        self.shard.add(series.key(), 1);
    }
}

impl Counters for Tally {
    fn shard(&self) -> &Shard {
        &self.shard
    }

    fn publish(&mut self, owner: u64, incarnation: u32, flags: u32) -> &[u8] {
        self.shard.publish(owner, incarnation, flags)
    }

    fn clear(&mut self) {
        self.shard.clear();
        self.used = Used::default();
    }
}

/// The highest status (RFC 9110, section 15).
const HIGHEST_CODE: u16 = 599;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::shard::{Entry, HEADER, HISTOGRAM_ENTRY, SERIES};

    fn series(tally: &Tally) -> Vec<(Series, u64)> {
        let entries = tally.shard.entries().filter_map(|entry| match entry {
            Entry::Series { key, count } => Some((Series::from_key(key)?, count)),
            Entry::Histogram { .. } => None,
        });
        entries.collect()
    }

    fn buckets(took: Duration) -> Vec<u64> {
        let mut tally = Tally::default();
        tally.observe_duration(Resource::OTHER, took);
        match tally.shard.entries().next() {
            Some(Entry::Histogram { buckets, .. }) => buckets.counts().collect(),
            entry => panic!("{entry:?}"),
        }
    }

    #[test]
    fn a_full_tally_fits_into_the_bytes_of_a_shard() {
        let latency = usize::from(latency::BUCKETS);
        let most = HEADER
            + (limits::REQUEST_SERIES + limits::OTHER_SERIES + latency) * SERIES
            + Resource::COUNT * HISTOGRAM_ENTRY;
        assert!(most <= limits::SHARD_BYTES, "{most}");
    }

    #[test]
    fn a_bound_is_inside_its_bucket_and_a_longer_duration_in_the_next() {
        for (bucket, bound) in BOUNDS.into_iter().enumerate() {
            assert_eq!(buckets(bound)[bucket], 1, "{bound:?}");
            assert_eq!(buckets(bound + Duration::from_nanos(1))[bucket + 1], 1, "{bound:?}");
        }
        assert_eq!(buckets(Duration::ZERO)[0], 1);
        assert_eq!(buckets(Duration::MAX)[BUCKETS - 1], 1);
    }

    #[test]
    fn durations_add_up_to_the_nearest_microsecond() {
        let mut tally = Tally::default();
        for nanos in [1_499, 1_500, 20_000_400, 60_000_000_000] {
            tally.observe_duration(Resource::UI, Duration::from_nanos(nanos));
        }
        let sums = tally.shard.entries().filter_map(|entry| match entry {
            Entry::Histogram { microseconds, .. } => Some(microseconds),
            Entry::Series { .. } => None,
        });
        assert_eq!(sums.collect::<Vec<_>>(), [1 + 2 + 20_000 + 60_000_000]);
    }

    #[test]
    fn hostile_requests_stay_within_the_bounds_and_each_is_counted() {
        let mut tally = Tally::default();
        let methods: Vec<_> = (0..).map_while(Method::from_number).collect();
        let resources: Vec<_> = Resource::all().collect();
        let memory = tally.shard.as_bytes().as_ptr();
        let mut sent = 0;
        for code in (0..1_000).step_by(100).chain([u16::MAX]) {
            for method in &methods {
                for resource in &resources {
                    tally.count_request(*method, *resource, code);
                    tally.observe_duration(*resource, Duration::from_millis(code.into()));
                    sent += 1;
                }
            }
            (0..6).for_each(|_| {
                tally.count(Series::Scrape { format: Some(crate::exposition::Format::Text), code })
            });
        }
        let series = series(&tally);
        let requests = series.iter().filter(|(series, _)| matches!(series, Series::Request { .. }));
        assert_eq!(requests.clone().count(), limits::REQUEST_SERIES);
        let counted: u64 = requests.map(|(_, count)| count).sum();
        let overflowed = series.iter().find(|(series, _)| *series == Series::Overflow).unwrap().1;
        assert_eq!(counted + overflowed, sent);
        assert_eq!(tally.shard.as_bytes().as_ptr(), memory, "something was allocated");
        assert!(tally.shard.as_bytes().len() <= limits::SHARD_BYTES);
    }

    #[test]
    fn rare_methods_leave_series_for_common_methods() {
        let mut tally = Tally::default();
        for method in (0..).map_while(Method::from_number).filter(|method| !method.is_common()) {
            Resource::all().for_each(|resource| tally.count_request(method, resource, 405));
        }
        assert_eq!(tally.used.request_series, limits::RARE_SERIES);
        tally.count_request(Method::POST, Resource::LOGIN, 302);
        let login = Series::Request { method: Method::POST, resource: Resource::LOGIN, code: 302 };
        assert!(series(&tally).contains(&(login, 1)));
    }

    #[test]
    fn series_of_scrapes_are_bounded() {
        let mut tally = Tally::default();
        for code in 0..1_000 {
            tally.count(Series::Scrape { format: None, code });
        }
        let series = series(&tally);
        assert_eq!(series.len(), limits::OTHER_SERIES);
        assert_eq!(series.iter().map(|(_, count)| count).sum::<u64>(), 1_000);
    }

    #[test]
    fn a_cleared_tally_is_empty_and_its_bounds_apply_anew() {
        let mut tally = Tally::default();
        let fill = |tally: &mut Tally| {
            for method in (0..).map_while(Method::from_number) {
                Resource::all().for_each(|resource| tally.count_request(method, resource, 200));
            }
            (0..1_000).for_each(|code| tally.count(Series::Scrape { format: None, code }));
        };
        fill(&mut tally);
        let full = series(&tally);
        tally.clear();
        assert_eq!((series(&tally), tally.used), (Vec::new(), Used::default()));
        fill(&mut tally);
        assert_eq!(series(&tally), full);
    }
}
