//! [`Tally`]: the counters of one VM, within the bounds of [`limits`], in the bytes that are published.
//!
//! Nothing here allocates after the first request. What a client chooses (path, method) only ever picks among labels of
//! closed sets; their combinations are bounded, and beyond the bound a request is counted as overflowed, never lost.

use super::latency;
use super::method::Method;
use super::resource::Resource;
use super::series::Series;
use crate::limits;
use crate::shared::codec::{BUCKETS, HISTOGRAM};
use crate::shared::shard::Shard;
use std::time::Duration;

/// Upper bounds of the buckets; one more has none.
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
    requests: usize,
    rare: usize,
    others: usize,
}

impl Default for Tally {
    fn default() -> Self {
        let entries = limits::REQUEST_SERIES
            + limits::OTHER_SERIES
            + usize::from(latency::BUCKETS)
            + Resource::COUNT;
        let shard = Shard::with_capacity(entries, limits::SHARD_BYTES);
        Self { shard, requests: 0, rare: 0, others: 0 }
    }
}

impl Tally {
    /// Counts a request.
    pub fn request(&mut self, method: Method, resource: Resource, code: u16) {
        let key = Series::Request { method, resource, code }.key();
        if self.shard.raise(key, 1) {
            return;
        }
        let rare = !method.is_common() || code > HIGHEST_CODE;
        if self.requests >= limits::REQUEST_SERIES || rare && self.rare >= limits::RARE_SERIES {
            return self.other(Series::Overflow);
        }
        self.requests += 1;
        self.rare += usize::from(rare);
        self.shard.add(key, 1);
    }

    /// Counts how long a request took.
    pub fn duration(&mut self, resource: Resource, duration: Duration) {
        let bucket = BOUNDS.partition_point(|bound| *bound < duration);
        // To the nearest: cut off, a local reply of 20 us would lose half a microsecond each time.
        let fraction = (u64::from(duration.subsec_nanos()) + 500) / 1_000;
        let microseconds = duration.as_secs().saturating_mul(1_000_000).saturating_add(fraction);
        self.shard.observe(HISTOGRAM | u32::from(resource.number()), bucket, microseconds);
        self.shard.add(Series::Latency(latency::bucket(duration)).key(), 1);
    }

    /// Counts a scrape, an attempt or an overflow.
    pub fn other(&mut self, series: Series) {
        if self.shard.raise(series.key(), 1) {
            return;
        }
        // One place is kept for the overflow itself.
        let last = self.others + 1 >= limits::OTHER_SERIES;
        let series = if last { Series::Overflow } else { series };
        self.others += usize::from(!self.shard.contains(series.key()));
        self.shard.add(series.key(), 1);
    }

    /// What is published, or is to be.
    #[must_use]
    pub const fn shard(&self) -> &Shard {
        &self.shard
    }

    /// The same, to publish it.
    pub fn shard_mut(&mut self) -> &mut Shard {
        &mut self.shard
    }

    /// To be called when the shard was cleared.
    pub fn cleared(&mut self) {
        (self.requests, self.rare, self.others) = (0, 0, 0);
    }
}

/// Statuses end here (RFC 9110, section 15).
const HIGHEST_CODE: u16 = 599;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::codec::{self, Entry};

    fn series(tally: &Tally) -> Vec<(Series, u64)> {
        let entries = tally.shard.entries().filter_map(|entry| match entry {
            Entry::Series { key, count } => Some((Series::from_key(key)?, count)),
            Entry::Histogram { .. } => None,
        });
        entries.collect()
    }

    fn buckets(took: Duration) -> Vec<u64> {
        let mut tally = Tally::default();
        tally.duration(Resource::OTHER, took);
        match tally.shard.entries().next() {
            Some(Entry::Histogram { buckets, .. }) => buckets.counts().collect(),
            entry => panic!("{entry:?}"),
        }
    }

    #[test]
    fn a_full_tally_fits_a_shard() {
        let latency = usize::from(latency::BUCKETS);
        let most = codec::HEADER
            + (limits::REQUEST_SERIES + limits::OTHER_SERIES + latency) * codec::SERIES
            + Resource::COUNT * codec::HISTOGRAM_ENTRY;
        assert!(most <= limits::SHARD_BYTES, "{most}");
    }

    #[test]
    fn a_bound_belongs_to_its_bucket_and_what_is_above_to_the_next() {
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
            tally.duration(Resource::UI, Duration::from_nanos(nanos));
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
                    tally.request(*method, *resource, code);
                    tally.duration(*resource, Duration::from_millis(code.into()));
                    sent += 1;
                }
            }
            (0..6).for_each(|_| {
                tally.other(Series::Scrape { format: Some(crate::exposition::Format::Text), code })
            });
        }
        let series = series(&tally);
        let requests = series.iter().filter(|(series, _)| matches!(series, Series::Request { .. }));
        assert_eq!(requests.clone().count(), limits::REQUEST_SERIES);
        let counted: u64 = requests.map(|(_, count)| count).sum();
        let overflowed = series.iter().find(|(series, _)| *series == Series::Overflow).unwrap().1;
        assert_eq!(counted + overflowed, sent);
        assert_eq!(tally.shard.as_bytes().as_ptr(), memory, "nothing was allocated");
        assert!(tally.shard.as_bytes().len() <= limits::SHARD_BYTES);
    }

    #[test]
    fn methods_that_nobody_uses_leave_room_for_the_others() {
        let mut tally = Tally::default();
        for method in (0..).map_while(Method::from_number).filter(|method| !method.is_common()) {
            Resource::all().for_each(|resource| tally.request(method, resource, 405));
        }
        assert_eq!(tally.requests, limits::RARE_SERIES);
        tally.request(Method::POST, Resource::LOGIN, 302);
        let login = Series::Request { method: Method::POST, resource: Resource::LOGIN, code: 302 };
        assert!(series(&tally).contains(&(login, 1)));
    }

    #[test]
    fn other_counters_are_bounded_too() {
        let mut tally = Tally::default();
        for code in 0..1_000 {
            tally.other(Series::Scrape { format: None, code });
        }
        let series = series(&tally);
        assert_eq!(series.len(), limits::OTHER_SERIES);
        assert_eq!(series.iter().map(|(_, count)| count).sum::<u64>(), 1_000);
    }
}
