//! What the VMs share about asking a controller: how often it is asked, and what the probe found.
//!
//! The probe shows the controller credentials that it cannot know. Its answer depends on nothing that a client sent, so it
//! alone tells whether the controller's verdicts mean anything, and whether the controller gives any.

use super::LAYOUT;
use super::record::{self, nanoseconds};
use super::verdicts::key;
use crate::host::{Host, Time};
use crate::limits;
use std::time::Duration;

/// The state of the controller of one configuration.
#[derive(Debug)]
pub struct QuestionBudget {
    asked: String,
    probe: String,
}

/// How the controller answered credentials that it cannot know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// It refused them: its permits mean something.
    Refused,
    /// It permitted them: it would permit anyone.
    Permitted,
    /// It gave no verdict: it is down.
    NoVerdict,
}

impl Probe {
    const ALL: [Self; 3] = [Self::Refused, Self::Permitted, Self::NoVerdict];

    fn code(self) -> u64 {
        match self {
            Self::Refused => 1,
            Self::Permitted => 2,
            Self::NoVerdict => 3,
        }
    }

    fn valid_for(self) -> Duration {
        match self {
            Self::Refused => limits::PROBE_REFUSED_FOR,
            Self::Permitted => limits::PROBE_PERMITTED_FOR,
            Self::NoVerdict => limits::DOWN_FOR,
        }
    }
}

impl QuestionBudget {
    /// That of the configuration whose `auth` has this key.
    #[must_use]
    pub fn new(auth_key: &[u8; 32]) -> Self {
        Self { asked: key("asked", auth_key), probe: key("probe", auth_key) }
    }

    /// Whether one more question may be asked now, as it then counts: `most` a second, over all VMs.
    #[must_use]
    pub fn may_ask(&self, host: &dyn Host, most: usize, now: Time) -> bool {
        record::update(host, &self.asked, |times| {
            let times = times.unwrap_or_default();
            one_more(times, most, nanoseconds(now))
        })
    }

    /// What the last probe found, for as long as that is valid.
    #[must_use]
    pub fn probe(&self, host: &dyn Host, now: Time) -> Option<Probe> {
        let [at, code] = record::read(host, &self.probe)?;
        let probe = Probe::ALL.into_iter().find(|probe| probe.code() == code)?;
        let age = now.checked_sub(Duration::from_nanos(at))?;
        (age < probe.valid_for()).then_some(probe)
    }

    /// Records what a probe found. Whether that differs from what the one before found.
    pub fn found(&self, host: &dyn Host, probe: Probe, now: Time) -> bool {
        let before = record::read(host, &self.probe).map(|[_, code]: [u64; 2]| code);
        record::update(host, &self.probe, |_| Some([nanoseconds(now), probe.code()]));
        before != Some(probe.code())
    }
}

/// The times of the latest questions, the latest first, with one more, if `most` a second allow it. Those of the future
/// are of a clock that was set back since, and count for nothing.
fn one_more(
    times: [u64; limits::QUESTIONS_A_SECOND],
    most: usize,
    now: u64,
) -> Option<[u64; limits::QUESTIONS_A_SECOND]> {
    const SECOND: u64 = 1_000_000_000;
    let recent = |&time: &u64| time <= now && now - time < SECOND;
    if times.iter().filter(|time| recent(time)).count() >= most {
        return None;
    }
    let mut later = [0; limits::QUESTIONS_A_SECOND];
    let kept = [now].into_iter().chain(times.into_iter().filter(recent));
    later.iter_mut().zip(kept).for_each(|(place, time)| *place = time);
    Some(later)
}

/// The random number under which all VMs hash what they remember of clients, made where there is none.
///
/// Envoy configures one VM alone before any other, so at start nobody else makes one; two that did would remember apart.
#[must_use]
pub fn salt(host: &dyn Host) -> [u8; 32] {
    let key = format!("{LAYOUT}/salt");
    let mut salt = [0; 32];
    let mut numbers = record::read(host, &key);
    if numbers.is_none() {
        host.random(&mut salt);
        let (made, _) = salt.as_chunks::<8>();
        let made: [[u8; 8]; 4] = made.try_into().unwrap_or_default();
        record::update(host, &key, |there| {
            numbers = there.or(Some(made.map(u64::from_le_bytes)));
            if there.is_some() { None } else { numbers }
        });
    }
    for (place, number) in salt.as_chunks_mut().0.iter_mut().zip(numbers.unwrap_or_default()) {
        *place = number.to_le_bytes();
    }
    salt
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fake::FakeHost;

    fn asking() -> QuestionBudget {
        QuestionBudget::new(&[1; 32])
    }

    #[test]
    fn so_many_a_second_may_be_asked_in_whatever_second() {
        let host = FakeHost::at(1_000);
        let (most, tenth) = (limits::QUESTIONS_A_SECOND, Duration::from_millis(100));
        let asked = (0..most + 3).filter(|_| asking().may_ask(&host, most, host.now())).count();
        assert_eq!(asked, most);
        host.pass(9 * tenth);
        assert!(!asking().may_ask(&host, most, host.now()));
        host.pass(tenth);
        assert!(asking().may_ask(&host, 1, host.now()));
        assert!(!asking().may_ask(&host, 1, host.now()));
        assert!(asking().may_ask(&host, 2, host.now()));
    }

    #[test]
    fn a_clock_that_was_set_back_stops_no_question() {
        let host = FakeHost::at(1_000);
        let most = limits::QUESTIONS_A_SECOND;
        while asking().may_ask(&host, most, host.now()) {}
        host.now.set(Duration::from_secs(10));
        assert!(asking().may_ask(&host, most, host.now()));
    }

    #[test]
    fn what_a_probe_found_is_valid_for_its_time() {
        let host = FakeHost::at(1_000);
        assert_eq!(asking().probe(&host, host.now()), None);
        for (probe, valid_for) in [
            (Probe::Refused, limits::PROBE_REFUSED_FOR),
            (Probe::Permitted, limits::PROBE_PERMITTED_FOR),
            (Probe::NoVerdict, limits::DOWN_FOR),
        ] {
            assert!(asking().found(&host, probe, host.now()));
            assert!(!asking().found(&host, probe, host.now()));
            assert_eq!(asking().probe(&host, host.now()), Some(probe));
            assert_eq!(asking().probe(&host, host.now() - Duration::from_nanos(1)), None);
            assert_eq!(QuestionBudget::new(&[2; 32]).probe(&host, host.now()), None);
            host.pass(valid_for);
            assert_eq!(asking().probe(&host, host.now()), None);
        }
    }

    #[test]
    fn there_is_one_salt_and_it_is_not_nothing() {
        let host = FakeHost::default();
        let first = salt(&host);
        assert_ne!(first, [0; 32]);
        assert_eq!(salt(&host), first);
    }
}
