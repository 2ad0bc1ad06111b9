//! A record of the requests to the stand-in: exact counts, and the latest requests in full.

use std::collections::{HashMap, VecDeque};

/// The number of requests that are kept in full, so that a test with many requests does not fill the memory.
const KEPT: usize = 10_000;
/// The number of different paths that are counted separately.
const PATHS: usize = 10_000;

const METRICS: [&str; 4] = [
    "/api/v2/metrics/",
    "/api/v2/metrics",
    "/api/controller/v2/metrics/",
    "/api/controller/v2/metrics",
];

/// A request as it was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Names in lower case, in the order of the request.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Its body; empty if the stand-in answered without reading it.
    pub body: Vec<u8>,
}

impl Received {
    /// The path, without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The query, without the question mark.
    #[must_use]
    pub fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// The first header of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_slice())
    }

    /// True if it asks only for the permission: a page without either half.
    fn is_check(&self) -> bool {
        let has = |flag| self.query().split('&').any(|part| part == flag);
        METRICS.contains(&self.path()) && has("dbonly=1") && has("subsystemonly=1")
    }
}

#[derive(Debug, Default)]
pub(super) struct Journal {
    received: VecDeque<Received>,
    by_path: HashMap<String, u64>,
    checks: u64,
    total: u64,
}

impl Journal {
    pub(super) fn record(&mut self, request: Received) {
        self.total += 1;
        self.checks += u64::from(request.is_check());
        if self.by_path.len() < PATHS || self.by_path.contains_key(request.path()) {
            *self.by_path.entry(request.path().to_owned()).or_insert(0) += 1;
        }
        if self.received.len() == KEPT {
            self.received.pop_front();
        }
        self.received.push_back(request);
    }

    pub(super) fn pages(&self) -> u64 {
        METRICS.iter().map(|path| self.count(path)).sum::<u64>() - self.checks
    }

    pub(super) fn checks(&self) -> u64 {
        self.checks
    }

    pub(super) fn count(&self, path: &str) -> u64 {
        self.by_path.get(path).copied().unwrap_or(0)
    }

    pub(super) fn total(&self) -> u64 {
        self.total
    }

    pub(super) fn received(&self) -> Vec<Received> {
        self.received.iter().cloned().collect()
    }
}
