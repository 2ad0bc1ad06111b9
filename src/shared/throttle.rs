//! A brake on guessing: failed attempts by where they come from, and all together.
//!
//! Each count is a leaky bucket, kept as the one moment at which it will be empty (the *generic cell rate algorithm*):
//! a failure moves the moment on, and too far ahead of the clock is too much. Clients share a fixed number of counts by
//! the hash of their address; who shares one with an attacker, by chance, waits as well, unless it is known already.

use super::record;
use super::verdicts::{key, place_key};
use crate::auth::Tag;
use crate::host::{Host, Time};
use crate::limits::{self, Leak};
use std::time::Duration;

/// The counts of one configuration.
#[derive(Debug)]
pub struct Throttle {
    key: String,
}

impl Throttle {
    /// Those of the configuration whose `auth` has this key.
    #[must_use]
    pub fn new(auth_key: &[u8; 32]) -> Self {
        Self { key: key("failures", auth_key) }
    }

    /// How long this client has to wait, if it has to.
    #[must_use]
    pub fn wait(&self, host: &dyn Host, client: &Tag, now: Time) -> Option<Duration> {
        let waits = self.counts(client).map(|(key, leak)| {
            record::read(host, &key).map_or(Duration::ZERO, |[empty]| wait(empty, leak, now))
        });
        waits.into_iter().max().filter(|wait| !wait.is_zero())
    }

    /// Counts a failure.
    pub fn fail(&self, host: &dyn Host, client: &Tag, now: Time) {
        for (key, leak) in self.counts(client) {
            record::update(host, &key, |count| Some([failed(count.map(|[at]| at), leak, now)]));
        }
    }

    fn counts(&self, client: &Tag) -> [(String, Leak); 2] {
        let place = client.place(limits::CLIENT_COUNTS);
        [
            (place_key(&self.key, place), limits::CLIENT_FAILURES),
            (format!("{}/all", self.key), limits::ALL_FAILURES),
        ]
    }
}

/// How long until a bucket that will be empty at `empty` has room for one more.
fn wait(empty: u64, leak: Leak, now: Time) -> Duration {
    let empty = Duration::from_nanos(empty);
    let full = now + leak.every * leak.burst;
    // Further ahead than a full bucket can be is only what a clock wrote that was set back since.
    if empty > full + limits::CLOCK_SLACK {
        return Duration::ZERO;
    }
    (empty + leak.every).saturating_sub(full)
}

/// When the bucket will be empty after one more. A full one stays as it is.
fn failed(empty: Option<u64>, leak: Leak, now: Time) -> u64 {
    let full = now + leak.every * leak.burst;
    let empty = empty.map_or(now, Duration::from_nanos);
    let from = if empty > full + limits::CLOCK_SLACK { now } else { empty.max(now) };
    u64::try_from((from + leak.every).min(full).as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::TAG;
    use crate::host::fake::FakeHost;
    use proptest::prelude::*;

    const CLIENT: Tag = Tag([1; TAG]);
    const OTHER: Tag = Tag([2; TAG]);

    fn throttle() -> Throttle {
        Throttle::new(&[1; 32])
    }

    fn fail(host: &FakeHost, client: &Tag, times: u32) {
        (0..times).for_each(|_| throttle().fail(host, client, host.now()));
    }

    fn wait_of(host: &FakeHost, client: &Tag) -> Option<Duration> {
        throttle().wait(host, client, host.now())
    }

    #[test]
    fn after_a_burst_a_client_waits_and_another_does_not() {
        let (host, leak) = (FakeHost::at(1_000), limits::CLIENT_FAILURES);
        fail(&host, &CLIENT, leak.burst - 1);
        assert_eq!(wait_of(&host, &CLIENT), None);
        fail(&host, &CLIENT, 1);
        assert_eq!(wait_of(&host, &CLIENT), Some(leak.every));
        assert_eq!(wait_of(&host, &OTHER), None);
        host.pass(leak.every);
        assert_eq!(wait_of(&host, &CLIENT), None);
        fail(&host, &CLIENT, 1);
        assert_eq!(wait_of(&host, &CLIENT), Some(leak.every));
    }

    #[test]
    fn however_many_fail_the_wait_does_not_grow() {
        let (host, leak) = (FakeHost::at(1_000), limits::CLIENT_FAILURES);
        fail(&host, &CLIENT, 10 * leak.burst);
        assert_eq!(wait_of(&host, &CLIENT), Some(leak.every));
        host.pass(leak.every * leak.burst);
        fail(&host, &CLIENT, leak.burst - 1);
        assert_eq!(wait_of(&host, &CLIENT), None);
    }

    #[test]
    fn many_clients_together_are_slowed_down_and_take_a_bounded_room() {
        let (host, leak) = (FakeHost::at(1_000), limits::ALL_FAILURES);
        for number in 0..2_u32 * u32::try_from(limits::CLIENT_COUNTS).unwrap() {
            let mut tag = [0; TAG];
            tag[..4].copy_from_slice(&number.to_le_bytes());
            throttle().fail(&host, &Tag(tag), host.now());
        }
        assert_eq!(wait_of(&host, &Tag([9; TAG])), Some(leak.every));
        assert_eq!(host.shared.borrow().len() as u64, limits::CLIENT_COUNTS + 1);
        host.pass(leak.every);
        assert_eq!(wait_of(&host, &Tag([9; TAG])), None);
    }

    #[test]
    fn a_clock_that_was_set_back_makes_nobody_wait() {
        let host = FakeHost::at(100_000);
        fail(&host, &CLIENT, limits::CLIENT_FAILURES.burst);
        host.now.set(Duration::from_secs(1_000));
        assert_eq!(wait_of(&host, &CLIENT), None);
        fail(&host, &CLIENT, limits::CLIENT_FAILURES.burst);
        assert!(wait_of(&host, &CLIENT).is_some());
    }

    proptest! {
        #[test]
        fn whatever_stands_there_the_wait_is_short(empty: u64, now in 0..1_u64 << 62) {
            let now = Duration::from_nanos(now);
            for leak in [limits::CLIENT_FAILURES, limits::ALL_FAILURES] {
                prop_assert!(wait(empty, leak, now) <= leak.every + limits::CLOCK_SLACK);
                prop_assert!(wait(failed(Some(empty), leak, now), leak, now) <= leak.every);
            }
        }
    }
}
