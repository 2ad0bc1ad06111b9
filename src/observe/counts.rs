//! [`Counts`]: what all VMs counted, as metric families.
//!
//! Logins, launches and tokens are read off the request counters here, so that they cost nothing per request. Labels
//! with a closed set of values show zeros from the start; `awx_gateway_requests_total`, whose combinations are
//! thousands, shows what there was.

use super::latency;
use super::method::Method;
use super::resource::{Meaning, Resource};
use super::series::{Series, format_label};
use crate::auth::{AuthOutcome, Scheme};
use crate::exposition::Format;
use crate::metrics::{Kind, NativeHistogram, Sink};
use crate::shared::codec::{BucketCounts, Entry, HISTOGRAM};
use crate::shared::directory::Gathered;

/// What all VMs counted.
#[derive(Clone, Debug)]
pub struct Counts {
    gathered: Gathered,
    /// Apart, since zeros belong between them.
    derived: Derived,
}

/// What is read off other counters.
#[derive(Clone, Debug, Default)]
struct Derived {
    logins: [u64; 2],
    /// Accepted and refused, of each resource that launches.
    launches: Vec<(Resource, [u64; 2])>,
    tokens: u64,
    scrapes: Vec<((Option<Format>, u16), u64)>,
    attempts: [[u64; AuthOutcome::ALL.len()]; Scheme::ALL.len()],
    overflow: u64,
}

/// The upper bounds of [`super::tally::BOUNDS`] in seconds, as they are printed, and the last one.
const BOUNDS: [&str; 14] = [
    "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "30", "60",
    "+Inf",
];

impl Counts {
    pub(super) fn new(gathered: Gathered) -> Self {
        let mut derived = Derived::default();
        let launching = Resource::all().filter(|it| it.meaning() == Meaning::Launch);
        derived.launches.extend(launching.map(|resource| (resource, [0; 2])));
        // The formats of which there is a page; a refusal has no status that could be foretold.
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
        // Which series there are follows from the keys alone.
        let keys = self.gathered.sum.entries().map(|entry| entry.key());
        keys.filter(|key| !Series::is_latency(*key)).for_each(|key| page.shape(key));
        self.requests(page);
        self.durations(page);
        page.native(
            "awx_gateway_latency_seconds",
            "How long requests took in seconds, whatever they were about, as the Envoy filter saw them",
            &|| self.latency(),
        );
        self.derived.write(page);
        let serving = u64::try_from(self.gathered.serving).unwrap_or(u64::MAX);
        page.family(
            "awx_gateway_workers",
            Kind::Gauge,
            "Worker threads on which the Envoy filter lives and has seen a request",
        );
        page.sample("", &[], serving.into());
        page.family(
            "awx_gateway_vm_takeovers_total",
            Kind::Counter,
            "VMs of the Envoy filter that ended, and whose counters were taken over",
        );
        page.sample("", &[], self.gathered.takeovers.into());
    }

    fn requests(&self, page: &mut dyn Sink) {
        page.family(
            "awx_gateway_requests_total",
            Kind::Counter,
            "Requests that ended, as the Envoy filter saw them; code 0 for those without a status",
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

    /// The sum of the durations is that of the classic histograms. While a VM of another version does not count by
    /// latency, the two differ, and there is none.
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
            "How long requests took in seconds, as the Envoy filter saw them, websockets left out",
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

/// Changes the value of a key among few.
fn change<K: PartialEq, V: Default>(
    entries: &mut Vec<(K, V)>,
    key: K,
    change: impl FnOnce(&mut V),
) {
    if let Some((_, value)) = entries.iter_mut().find(|(have, _)| *have == key) {
        return change(value);
    }
    let mut value = V::default();
    change(&mut value);
    entries.push((key, value));
}

fn series(gathered: &Gathered) -> impl Iterator<Item = (Series, u64)> {
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
    // Exact up to 2^53 us, 285 years of requests.
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
            // The controller answers a good login with a redirect, a bad one with its form and a 401.
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
            "Scrapes that the Envoy filter answered; format none for those without a page",
        );
        let mut digits = itoa::Buffer::new();
        for ((format, code), count) in &self.scrapes {
            let labels = [("format", format_label(*format)), ("code", digits.format(*code))];
            page.sample("", &labels, (*count).into());
        }
        page.family(
            "awx_gateway_auth_attempts_total",
            Kind::Counter,
            "Scrapes whose credentials the Envoy filter checked",
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
            "Requests that the Envoy filter counted here alone, since they would have made too many series",
        );
        page.sample("", &[], self.overflow.into());
    }

    fn write_posts(&self, page: &mut dyn Sink) {
        page.family(
            "awx_gateway_logins_total",
            Kind::Counter,
            "Logins to the controller, as the Envoy filter saw them",
        );
        for (outcome, count) in ["success", "failure"].iter().zip(self.logins) {
            page.sample("", &[("outcome", outcome)], count.into());
        }
        page.family(
            "awx_gateway_job_launches_total",
            Kind::Counter,
            "Requests to launch a job, as the Envoy filter saw them",
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
            "Tokens that the controller created, as the Envoy filter saw it",
        );
        page.sample("", &[], self.tokens.into());
    }
}
