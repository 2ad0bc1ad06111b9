//! [`Series`]: what a counter of the tally counts, and its key in shared data.
//!
//! ```text
//! request    1 + method : u7   resource:u8   code:u16
//! scrape     64         : u7   format:u8     code:u16
//! attempt    65         : u7   scheme:u8     outcome:u16
//! overflow   66         : u7   0
//! latency    67         : u7   bucket:u8     0
//! ```
//! From 64 on ([`crate::shared::shard::BOUNDED`]) the number of series does not depend on clients.
//!
//! The keys outlive a change of the module. A module that does not know a key keeps it when it merges shards, and omits it
//! from the page.

use super::latency;
use super::method::Method;
use super::resource::Resource;
use crate::auth::{AuthOutcome, Scheme};
use crate::exposition::Format;

/// The subject of a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Series {
    /// Requests that ended.
    Request {
        /// The method.
        method: Method,
        /// The resource.
        resource: Resource,
        /// The status; 0 for a request that ended without one.
        code: u16,
    },
    /// Scrapes that were answered.
    Scrape {
        /// The format of the page; `None` for a reply without a page.
        format: Option<Format>,
        /// The status.
        code: u16,
    },
    /// Credentials that were checked.
    Attempt {
        /// The kind of credentials.
        scheme: Scheme,
        /// The outcome.
        outcome: AuthOutcome,
    },
    /// Requests whose own series would exceed the bounds.
    Overflow,
    /// Requests by duration, for all resources: a bucket of [`super::latency`].
    Latency(u8),
}

/// The formats, in the order of their numbers; `None` for a reply without a page.
pub const FORMATS: [Option<Format>; 6] = [
    Some(Format::Text),
    Some(Format::OpenMetrics),
    Some(Format::Json { indent: None }),
    Some(Format::Html),
    Some(Format::Protobuf),
    None,
];

const SCRAPE: u8 = 64;
const ATTEMPT: u8 = 65;
const OVERFLOW: u8 = 66;
const LATENCY: u8 = 67;

impl Series {
    /// Its key.
    #[must_use]
    pub fn key(self) -> u32 {
        let ([kind, what], [high, low]) = match self {
            Self::Request { method, resource, code } => {
                ([1 + method.number(), resource.number()], code.to_be_bytes())
            }
            Self::Scrape { format, code } => ([SCRAPE, format_number(format)], code.to_be_bytes()),
            Self::Attempt { scheme, outcome } => ([ATTEMPT, scheme as u8], [0, outcome as u8]),
            Self::Overflow => ([OVERFLOW, 0], [0, 0]),
            Self::Latency(bucket) => ([LATENCY, bucket], [0, 0]),
        };
        u32::from_be_bytes([kind, what, high, low])
    }

    /// Returns true for the key of a latency bucket, which only protobuf shows.
    #[must_use]
    pub const fn is_latency(key: u32) -> bool {
        key >> 24 == LATENCY as u32
    }

    /// The series of a key, if this module knows it.
    #[must_use]
    pub fn from_key(key: u32) -> Option<Self> {
        let [kind, what, high, low] = key.to_be_bytes();
        let code = u16::from_be_bytes([high, low]);
        match kind {
            SCRAPE => Some(Self::Scrape { format: by_number(FORMATS, what.into())?, code }),
            ATTEMPT => Some(Self::Attempt {
                scheme: by_number(Scheme::ALL, what.into())?,
                outcome: by_number(AuthOutcome::ALL, code.into())?,
            }),
            OVERFLOW => Some(Self::Overflow),
            LATENCY => (what < latency::BUCKETS).then_some(Self::Latency(what)),
            _ => Some(Self::Request {
                method: Method::from_number(kind.checked_sub(1)?)?,
                resource: Resource::from_number(what)?,
                code,
            }),
        }
    }
}

fn by_number<T: Copy, const N: usize>(all: [T; N], number: usize) -> Option<T> {
    all.get(number).copied()
}

/// The value of the label `format`.
#[must_use]
pub fn format_label(format: Option<Format>) -> &'static str {
    format.map_or("none", Format::label)
}

const fn format_number(format: Option<Format>) -> u8 {
    match format {
        Some(Format::Text) => 0,
        Some(Format::OpenMetrics) => 1,
        Some(Format::Json { .. }) => 2,
        Some(Format::Html) => 3,
        Some(Format::Protobuf) => 4,
        None => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::shard::{BOUNDED, HISTOGRAM};

    #[test]
    fn every_series_has_its_own_key_and_is_found_by_it() {
        let mut all = vec![Series::Overflow];
        for resource in Resource::all() {
            for method in (0..).map_while(Method::from_number) {
                all.extend([0, 200, u16::MAX].map(|code| Series::Request {
                    method,
                    resource,
                    code,
                }));
            }
        }
        for format in FORMATS {
            all.extend([0, 200].map(|code| Series::Scrape { format, code }));
        }
        all.extend((0..latency::BUCKETS).map(Series::Latency));
        for scheme in Scheme::ALL {
            all.extend(AuthOutcome::ALL.map(|outcome| Series::Attempt { scheme, outcome }));
        }
        let keys: std::collections::BTreeSet<_> = all.iter().map(|series| series.key()).collect();
        assert_eq!(keys.len(), all.len());
        for series in all {
            assert_eq!(Series::from_key(series.key()), Some(series));
            assert_eq!(series.key() & HISTOGRAM, 0);
            let is_request = matches!(series, Series::Request { .. });
            assert_eq!(series.key() & BOUNDED == 0, is_request);
            assert_eq!(Series::is_latency(series.key()), matches!(series, Series::Latency(_)));
        }
    }

    /// If a number changed, a new module would count one label as another.
    #[test]
    fn labels_keep_their_numbers() {
        assert_eq!(
            FORMATS.map(|format| (format_number(format), format_label(format))),
            [
                (0, "text"),
                (1, "openmetrics"),
                (2, "json"),
                (3, "html"),
                (4, "protobuf"),
                (5, "none")
            ]
        );
        assert_eq!(
            Scheme::ALL.map(|scheme| (scheme as u8, scheme.as_str())),
            [(0, "bearer"), (1, "basic"), (2, "session"), (3, "none"), (4, "other")]
        );
        assert_eq!(
            AuthOutcome::ALL.map(|outcome| (outcome as u8, outcome.label())),
            [
                (0, "allowed"),
                (1, "allowed_while_down"),
                (2, "denied"),
                (3, "throttled"),
                (4, "unavailable")
            ]
        );
    }

    #[test]
    fn a_key_of_another_version_is_unknown_and_does_not_trap() {
        let unknown = [63 << 24, 64 << 24 | 9 << 16, 65 << 24 | 99, 67 << 24 | 255 << 16];
        for key in unknown.into_iter().chain([0, 1 << 24 | 255 << 16, u32::MAX]) {
            assert_eq!(Series::from_key(key), None, "{key:x}");
        }
    }
}
