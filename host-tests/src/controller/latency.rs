//! How long the real controller takes, as the sum of what it does for a request.

use std::time::Duration;

/// The parts of a reply's time. With [`Latency::none`] everything answers at once, and any number of requests together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    /// Of any request, a refusal included.
    pub base: Duration,
    /// Of checking a password, right or wrong.
    pub password: Duration,
    /// Of reading the database's metrics.
    pub database_metrics: Duration,
    /// Of reading the subsystems' metrics.
    pub subsystem_metrics: Duration,
    /// Of any other view that answers.
    pub view: Duration,
    /// How many requests the controller works on at a time.
    pub workers: usize,
}

impl Latency {
    /// No time, no limit.
    #[must_use]
    pub fn none() -> Self {
        let none = Duration::ZERO;
        Self {
            base: none,
            password: none,
            database_metrics: none,
            subsystem_metrics: none,
            view: none,
            workers: usize::MAX >> 3,
        }
    }

    /// What was measured: a metrics page 167 ms with a bearer and 376 with a password, 28 without the database's
    /// part, a wrong password 220, a bad bearer 15, `/api/v2/me/` 32 and 218, two workers.
    #[must_use]
    pub fn measured() -> Self {
        Self {
            base: Duration::from_millis(15),
            password: Duration::from_millis(205),
            database_metrics: Duration::from_millis(140),
            subsystem_metrics: Duration::from_millis(12),
            view: Duration::from_millis(10),
            workers: 2,
        }
    }
}
