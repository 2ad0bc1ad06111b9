//! [`Counts`]: the sum over all VMs, as metric families.
//!
//! Logins, launches and tokens are derived from the request counters here, so they cost nothing per request. Labels with
//! few values have zeros from the start. `awx_gateway_requests_total` has thousands of possible combinations, so it has
//! only those that occurred.

use super::latency;
use super::method::Method;
use super::resource::{Meaning, Resource};
use super::series::{Series, format_label};
use crate::auth::{AuthOutcome, Scheme};
use crate::exposition::Format;
use crate::metrics::{Kind, NativeHistogram, Sink};
use crate::shared::directory::GatheredCounts;
use crate::shared::shard::{BucketCounts, Entry, HISTOGRAM};

/// The sum over all VMs.
#[derive(Clone, Debug)]
pub struct Counts {
    gathered: GatheredCounts,
    /// The families that also have zeros.
    derived: Derived,
}

/// Counters that are derived from the series.
#[derive(Clone, Debug, Default)]
struct Derived {
    logins: [u64; 2],
    /// Accepted and refused, by resource.
    launches: Vec<(Resource, [u64; 2])>,
    tokens: u64,
    scrapes: Vec<((Option<Format>, u16), u64)>,
    attempts: [[u64; AuthOutcome::ALL.len()]; Scheme::ALL.len()],
    overflow: u64,
}

/// [`super::tally::BOUNDS`] in seconds, as they are printed, and the last bound.
const BOUNDS: [&str; 14] = [
    "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "30", "60",
    "+Inf",
];

impl Counts {
    pub(super) fn new(gathered: GatheredCounts) -> Self {
        let mut derived = Derived::default();
        derived.launches.extend(Resource::launching().map(|resource| (resource, [0; 2])));
        // Zeros for pages only: the status of a refusal is not known in advance.
        let json = Format::Json { indent: None };
        let pages = [Format::Text, Format::OpenMetrics, json, Format::Html];
        derived.scrapes.extend(pages.map(|format| ((Some(format), 200), 0)));
        let mut counts = Self { gathered, derived };
        for (series, count) in series(&counts.gathered) {
            counts.derived.count(series, count);
        }
        counts
    }

    /// Writes the families.
    pub fn write(&self, page: &mut dyn Sink) {
        // The series depend on the keys alone.
        let keys = self.gathered.sum.entries().map(|entry| entry.key());
        keys.filter(|key| !Series::is_latency(*key)).for_each(|key| page.shape(key));
        self.requests(page);
        self.durations(page);
        page.native(
            "awx_gateway_latency_seconds",
            "Duration of all requests in seconds, without websockets, measured by the Envoy filter",
            &|| self.latency(),
        );
        self.derived.write(page);
        let workers = u64::try_from(self.gathered.workers).unwrap_or(u64::MAX);
        page.family(
            "awx_gateway_workers",
            Kind::Gauge,
            "Worker threads with a live VM of the Envoy filter that has had a request",
        );
        page.sample("", &[], workers.into());
        page.family(
            "awx_gateway_vm_takeovers_total",
            Kind::Counter,
            "VMs of the Envoy filter that died and whose counters another VM took over",
        );
        page.sample("", &[], self.gathered.takeovers.into());
    }

    fn requests(&self, page: &mut dyn Sink) {
        page.family(
            "awx_gateway_requests_total",
            Kind::Counter,
            "Requests that ended, counted by the Envoy filter; code 0 if a request had no status",
        );
        let reads_labels = page.reads_labels();
        for (series, count) in series(&self.gathered) {
            if let Series::Request { method, resource, code } = series {
                if !reads_labels {
                    page.sample("", &[], count.into());
                    continue;
                }
                let mut digits = itoa::Buffer::new();
                let (resource, code) = (resource.label(), digits.format(code));
                let labels = [("method", method.label()), ("resource", resource), ("code", code)];
                page.sample("", &labels, count.into());
            }
        }
    }

    /// Its sum is that of the classic histograms. While a VM of an earlier version, which has no latency series, is alive,
    /// the counts of the two differ, and there is no native histogram.
    fn latency(&self) -> Option<NativeHistogram> {
        let (mut counts, mut count, mut sum) = ([0; latency::BUCKETS as usize], 0, 0_u64);
        for (series, count) in series(&self.gathered) {
            if let Series::Latency(bucket) = series {
                counts.get_mut(usize::from(bucket)).into_iter().for_each(|it| *it += count);
            }
        }
        for entry in self.gathered.sum.entries() {
            if let Entry::Histogram { buckets, microseconds, .. } = entry {
                count += buckets.counts().sum::<u64>();
                sum = sum.saturating_add(microseconds);
            }
        }
        let histogram = latency::histogram(&counts, sum);
        (histogram.count() == count).then_some(histogram)
    }

    fn durations(&self, page: &mut dyn Sink) {
        page.family(
            "awx_gateway_request_duration_seconds",
            Kind::Histogram,
            "Duration of requests in seconds, without websockets, measured by the Envoy filter",
        );
        for entry in self.gathered.sum.entries() {
            if let Entry::Histogram { key, buckets, microseconds } = entry
                && let Some(resource) =
                    u8::try_from(key & !HISTOGRAM).ok().and_then(Resource::from_number)
            {
                histogram(page, resource.label(), &buckets, microseconds);
            }
        }
    }
}

/// Changes the value of a key in a short list; adds the key if the list does not have it.
fn change<K: PartialEq, V: Default>(
    entries: &mut Vec<(K, V)>,
    key: K,
    change: impl FnOnce(&mut V),
) {
    if let Some((_, value)) = entries.iter_mut().find(|(found, _)| *found == key) {
        return change(value);
    }
    let mut value = V::default();
    change(&mut value);
    entries.push((key, value));
}

fn series(gathered: &GatheredCounts) -> impl Iterator<Item = (Series, u64)> {
    gathered.sum.entries().filter_map(|entry| match entry {
        Entry::Series { key, count } => Some((Series::from_key(key)?, count)),
        Entry::Histogram { .. } => None,
    })
}

fn histogram(page: &mut dyn Sink, resource: &str, buckets: &BucketCounts<'_>, microseconds: u64) {
    let mut cumulative = 0;
    for (bound, count) in BOUNDS.iter().zip(buckets.counts()) {
        cumulative += count;
        page.sample("_bucket", &[("resource", resource), ("le", bound)], cumulative.into());
    }
    // Exact up to 2^53 us: 285 years of requests.
    let seconds = microseconds as f64 / 1e6;
    page.sample("_sum", &[("resource", resource)], seconds.into());
    page.sample("_count", &[("resource", resource)], cumulative.into());
}

impl Derived {
    fn count(&mut self, series: Series, count: u64) {
        match series {
            Series::Request { method: Method::POST, resource, code } => {
                self.post(resource, code, count);
            }
            Series::Request { .. } | Series::Latency(_) => {}
            Series::Scrape { format, code } => {
                change(&mut self.scrapes, (format, code), |scrapes| *scrapes += count);
            }
            Series::Attempt { scheme, outcome } => {
                if let Some(attempts) = self
                    .attempts
                    .get_mut(scheme as usize)
                    .and_then(|it| it.get_mut(outcome as usize))
                {
                    *attempts += count;
                }
            }
            Series::Overflow => self.overflow += count,
        }
    }

    fn post(&mut self, resource: Resource, code: u16, count: u64) {
        let [succeeded, failed] = match resource.meaning() {
            Meaning::Plain => return,
            // The controller answers a successful login with a redirect, a failed one with its form and a 401.
            Meaning::Login => [code == 302, (400..500).contains(&code)],
            Meaning::Launch | Meaning::Token => {
                [(200..300).contains(&code), (400..500).contains(&code)]
            }
        };
        let counts = [if succeeded { count } else { 0 }, if failed { count } else { 0 }];
        let add =
            |to: &mut [u64; 2]| to.iter_mut().zip(counts).for_each(|(to, count)| *to += count);
        match resource.meaning() {
            Meaning::Login => add(&mut self.logins),
            Meaning::Launch => change(&mut self.launches, resource, add),
            Meaning::Token => self.tokens += counts[0],
            Meaning::Plain => {}
        }
    }

    fn write(&self, page: &mut dyn Sink) {
        self.write_posts(page);
        page.family(
            "awx_gateway_scrapes_total",
            Kind::Counter,
            "Scrapes that the Envoy filter answered; format none if the response was not a page",
        );
        let mut digits = itoa::Buffer::new();
        for ((format, code), count) in &self.scrapes {
            let labels = [("format", format_label(*format)), ("code", digits.format(*code))];
            page.sample("", &labels, (*count).into());
        }
        page.family(
            "awx_gateway_auth_attempts_total",
            Kind::Counter,
            "Scrapes whose credentials the Envoy filter checked, by outcome",
        );
        for (scheme, attempts) in Scheme::ALL.iter().zip(self.attempts) {
            for (outcome, count) in AuthOutcome::ALL.iter().zip(attempts) {
                let labels = [("scheme", scheme.as_str()), ("outcome", outcome.label())];
                page.sample("", &labels, count.into());
            }
        }
        page.family(
            "awx_gateway_overflowed_requests_total",
            Kind::Counter,
            "Requests that the Envoy filter counted only here, because their series would exceed its bounds",
        );
        page.sample("", &[], self.overflow.into());
    }

    fn write_posts(&self, page: &mut dyn Sink) {
        page.family(
            "awx_gateway_logins_total",
            Kind::Counter,
            "Logins through the gateway, counted by the Envoy filter",
        );
        for (outcome, count) in ["success", "failure"].iter().zip(self.logins) {
            page.sample("", &[("outcome", outcome)], count.into());
        }
        page.family(
            "awx_gateway_job_launches_total",
            Kind::Counter,
            "Requests to launch a job, counted by the Envoy filter",
        );
        for (resource, launches) in &self.launches {
            for (outcome, count) in ["accepted", "refused"].iter().zip(launches) {
                let labels = [("resource", resource.label()), ("outcome", outcome)];
                page.sample("", &labels, (*count).into());
            }
        }
        page.family(
            "awx_gateway_tokens_created_total",
            Kind::Counter,
            "Tokens created through the gateway, counted by the Envoy filter",
        );
        page.sample("", &[], self.tokens.into());
    }
}
