//! The wall clock that VMs see: the machine's, moved or stopped by a test.

use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::locked;

/// A wall clock. It may be moved in either direction while VMs run.
#[derive(Debug, Default)]
pub struct Clock(Mutex<Setting>);

#[derive(Clone, Copy, Debug)]
enum Setting {
    /// Nanoseconds added to the machine's clock.
    Moved(i128),
    Stopped(Duration),
}

impl Default for Setting {
    fn default() -> Self {
        Self::Moved(0)
    }
}

impl Clock {
    /// Time since the Unix epoch.
    #[must_use]
    pub fn now(&self) -> Duration {
        match *locked(&self.0) {
            Setting::Stopped(at) => at,
            Setting::Moved(by) => moved(machine(), by),
        }
    }

    /// Stops the clock at `at`.
    pub fn stop_at(&self, at: Duration) {
        *locked(&self.0) = Setting::Stopped(at);
    }

    /// True if it is stopped.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        matches!(*locked(&self.0), Setting::Stopped(_))
    }

    /// Starts it again with the machine's time.
    pub fn run(&self) {
        *locked(&self.0) = Setting::default();
    }

    /// Moves it forward, stopped or not.
    pub fn advance(&self, by: Duration) {
        self.shift(i128::try_from(by.as_nanos()).unwrap_or(i128::MAX));
    }

    /// Moves it back, stopped or not.
    pub fn set_back(&self, by: Duration) {
        self.shift(-i128::try_from(by.as_nanos()).unwrap_or(i128::MAX));
    }

    fn shift(&self, nanoseconds: i128) {
        let mut setting = locked(&self.0);
        *setting = match *setting {
            Setting::Moved(by) => Setting::Moved(by + nanoseconds),
            Setting::Stopped(at) => Setting::Stopped(moved(at, nanoseconds)),
        };
    }
}

fn machine() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn moved(at: Duration, by: i128) -> Duration {
    let at = i128::try_from(at.as_nanos()).unwrap_or(i128::MAX).saturating_add(by);
    Duration::from_nanos(u64::try_from(at.max(0)).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stopped_clock_moves_only_when_told() {
        let clock = Clock::default();
        clock.stop_at(Duration::from_secs(100));
        clock.advance(Duration::from_secs(5));
        clock.set_back(Duration::from_secs(2));
        assert_eq!(clock.now(), Duration::from_secs(103));
    }

    #[test]
    fn a_running_clock_keeps_its_offset() {
        let clock = Clock::default();
        clock.advance(Duration::from_secs(1000));
        assert!(clock.now() >= machine() + Duration::from_secs(999));
        clock.run();
        assert!(clock.now() <= machine());
    }
}
