//! The rate limit on failed attempts, for each client and for all clients together.
//!
//! Each count is a leaky bucket, stored as the time at which it will be empty (the *generic cell rate algorithm*). An
//! attempt is charged before its credentials are checked, and refunded if they are valid, so that concurrent attempts
//! cannot exceed the limit. An attempt without a verdict is not refunded: a client that makes the controller fail uses up
//! its attempts as well.
//!
//! Clients share a fixed number of counts by the hash of their address. A client that by chance shares a count with an
//! attacker has to wait as well, unless it is known already.
//!
//! Shared data has no atomic create, so two workers that charge a new count at the same time may count one attempt.

use super::keys::{key, place_key};
use super::record::{self, nanoseconds};
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
    /// The counts of the configuration whose `auth` has this key.
    #[must_use]
    pub fn new(auth_key: &[u8; 32]) -> Self {
        Self { key: key("failures", auth_key) }
    }

    /// Charges an attempt before it is checked.
    ///
    /// # Errors
    /// The time that the client has to wait; nothing is charged then.
    pub fn charge(&self, host: &dyn Host, client: &Tag, now: Time) -> Result<(), Duration> {
        let [of_client, of_all] = self.counts(client);
        // All clients first: once a flood has filled that count, it writes to no client's count.
        charge(host, &of_all, now)?;
        charge(host, &of_client, now).inspect_err(|_| refund(host, &of_all, now))
    }

    /// Refunds an attempt whose credentials are valid, or were not checked.
    pub fn refund(&self, host: &dyn Host, client: &Tag, now: Time) {
        for count in &self.counts(client) {
            refund(host, count, now);
        }
    }

    /// Charges a failure of a known client, which was not charged in advance. No count exceeds its limit.
    pub fn charge_known(&self, host: &dyn Host, client: &Tag, now: Time) {
        for count in &self.counts(client) {
            // A full count stays full.
            let _ = charge(host, count, now);
        }
    }

    fn counts(&self, client: &Tag) -> [(String, Leak); 2] {
        let place = client.index(limits::CLIENT_COUNTS);
        [
            (place_key(&self.key, place), limits::CLIENT_FAILURES),
            (format!("{}/all", self.key), limits::ALL_FAILURES),
        ]
    }
}

fn charge(host: &dyn Host, (key, leak): &(String, Leak), now: Time) -> Result<(), Duration> {
    // An update that loses every race charges nothing: other attempts were charged at the same time.
    let mut wait = leak.every;
    let charged = record::update(host, key, |count| {
        charged(count.map(|[empty]| empty), *leak, now).map_err(|longer| wait = longer).ok()
    });
    if charged { Ok(()) } else { Err(wait) }
}

fn refund(host: &dyn Host, (key, leak): &(String, Leak), now: Time) {
    record::update(host, key, |count| {
        let [empty] = count?;
        let less = Duration::from_nanos(empty).checked_sub(leak.every)?;
        (less + leak.every > now).then_some([nanoseconds(less)])
    });
}

/// When the bucket will be empty after one more attempt, or how long it takes until that fits.
fn charged(empty: Option<u64>, leak: Leak, now: Time) -> Result<[u64; 1], Duration> {
    let full = now + leak.every * leak.burst;
    let empty = empty.map_or(now, Duration::from_nanos);
    // A time beyond that of a full bucket was written before the clock was set back.
    let from = if empty > full + limits::CLOCK_SLACK { now } else { empty.max(now) };
    match (from + leak.every).checked_sub(full) {
        None | Some(Duration::ZERO) => Ok([nanoseconds(from + leak.every)]),
        Some(wait) => Err(wait),
    }
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

    fn charge_many(host: &FakeHost, client: &Tag, times: u32) -> u32 {
        let charges = (0..times).map(|_| throttle().charge(host, client, host.now()));
        u32::try_from(charges.filter(Result::is_ok).count()).unwrap()
    }

    fn charge_one(host: &FakeHost, client: &Tag) -> Result<(), Duration> {
        throttle().charge(host, client, host.now())
    }

    #[test]
    fn after_a_burst_a_client_waits_and_other_clients_do_not() {
        let (host, leak) = (FakeHost::at(1_000), limits::CLIENT_FAILURES);
        assert_eq!(charge_many(&host, &CLIENT, leak.burst), leak.burst);
        assert_eq!(charge_one(&host, &CLIENT), Err(leak.every));
        assert_eq!(charge_one(&host, &OTHER), Ok(()));
        host.pass(leak.every);
        assert_eq!(charge_one(&host, &CLIENT), Ok(()));
        assert_eq!(charge_one(&host, &CLIENT), Err(leak.every));
    }

    #[test]
    fn a_refused_attempt_is_not_charged_so_the_wait_does_not_grow() {
        let (host, leak) = (FakeHost::at(1_000), limits::CLIENT_FAILURES);
        assert_eq!(charge_many(&host, &CLIENT, 10 * leak.burst), leak.burst);
        assert_eq!(charge_one(&host, &CLIENT), Err(leak.every));
        host.pass(leak.every * leak.burst);
        assert_eq!(charge_many(&host, &CLIENT, 10 * leak.burst), leak.burst);
    }

    #[test]
    fn attempts_with_valid_credentials_are_refunded_and_never_add_up() {
        let host = FakeHost::at(1_000);
        for _ in 0..10 * limits::ALL_FAILURES.burst {
            assert_eq!(charge_one(&host, &CLIENT), Ok(()));
            throttle().refund(&host, &CLIENT, host.now());
        }
        let burst = limits::CLIENT_FAILURES.burst;
        assert_eq!(charge_many(&host, &CLIENT, 2 * burst), burst);
    }

    #[test]
    fn refunds_never_exceed_the_burst() {
        let (host, leak) = (FakeHost::at(1_000), limits::CLIENT_FAILURES);
        assert_eq!(charge_one(&host, &CLIENT), Ok(()));
        host.pass(leak.every * leak.burst);
        for _ in 0..3 {
            throttle().refund(&host, &CLIENT, host.now());
        }
        assert_eq!(charge_many(&host, &CLIENT, 2 * leak.burst), leak.burst);
    }

    #[test]
    fn failures_of_a_known_client_are_charged_up_to_the_limit() {
        let (host, leak) = (FakeHost::at(1_000), limits::CLIENT_FAILURES);
        (0..3 * leak.burst).for_each(|_| throttle().charge_known(&host, &CLIENT, host.now()));
        assert_eq!(charge_one(&host, &CLIENT), Err(leak.every));
    }

    #[test]
    fn an_attempt_refused_by_the_limit_of_all_clients_is_not_charged_to_its_client() {
        let host = FakeHost::at(1_000);
        fill_all(&host);
        assert!(charge_many(&host, &CLIENT, limits::CLIENT_FAILURES.burst) == 0);
        host.pass(limits::ALL_FAILURES.every * limits::ALL_FAILURES.burst);
        let burst = limits::CLIENT_FAILURES.burst;
        assert_eq!(charge_many(&host, &CLIENT, 2 * burst), burst);
    }

    /// Charges many clients, until the limit of all clients is reached.
    fn fill_all(host: &FakeHost) {
        for number in 0..2_u32 * u32::try_from(limits::CLIENT_COUNTS).unwrap() {
            let mut tag = [0; TAG];
            tag[..4].copy_from_slice(&number.to_le_bytes());
            let _ = charge_one(host, &Tag(tag));
        }
    }

    #[test]
    fn many_clients_together_are_limited_and_their_counts_are_bounded() {
        let (host, leak) = (FakeHost::at(1_000), limits::ALL_FAILURES);
        fill_all(&host);
        assert_eq!(charge_one(&host, &Tag([9; TAG])), Err(leak.every));
        assert!(host.shared.borrow().len() as u64 <= limits::CLIENT_COUNTS + 1);
        host.pass(leak.every);
        assert_eq!(charge_one(&host, &Tag([9; TAG])), Ok(()));
    }

    #[test]
    fn a_clock_that_was_set_back_makes_no_client_wait() {
        let (host, burst) = (FakeHost::at(100_000), limits::CLIENT_FAILURES.burst);
        assert_eq!(charge_many(&host, &CLIENT, burst), burst);
        host.now.set(Duration::from_secs(1_000));
        assert_eq!(charge_many(&host, &CLIENT, 2 * burst), burst);
    }

    proptest! {
        #[test]
        fn an_arbitrary_stored_value_never_causes_a_long_wait(empty: u64, now in 0..1_u64 << 62) {
            let now = Duration::from_nanos(now);
            for leak in [limits::CLIENT_FAILURES, limits::ALL_FAILURES] {
                if let Err(wait) = charged(Some(empty), leak, now) {
                    prop_assert!(wait <= leak.every + limits::CLOCK_SLACK);
                }
            }
        }

        /// Charges and refunds in any order: at any time the charges are at most the burst and what leaked out.
        #[test]
        fn charges_never_exceed_the_burst_and_what_leaked_out(steps in proptest::collection::vec((0..4_u8, 0..3_000_u64), 1..400)) {
            let (host, leak) = (FakeHost::at(1_000), limits::CLIENT_FAILURES);
            let (mut under_way, mut failed) = (0_u32, 0_u32);
            for (step, pause) in steps {
                host.pass(Duration::from_millis(pause));
                match step {
                    0 | 1 => under_way += u32::from(charge_one(&host, &CLIENT).is_ok()),
                    2 if under_way > 0 => {
                        under_way -= 1;
                        throttle().refund(&host, &CLIENT, host.now());
                    }
                    3 if under_way > 0 => {
                        under_way -= 1;
                        failed += 1;
                    }
                    _ => {}
                }
                let passed = host.now() - Duration::from_secs(1_000);
                let leaked = u32::try_from(passed.as_secs() / leak.every.as_secs()).unwrap();
                prop_assert!(failed + under_way <= leak.burst + leaked + 1);
            }
        }
    }
}
