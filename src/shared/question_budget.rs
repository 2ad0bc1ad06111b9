//! How often the VMs may ask a controller, and the result of the last probe.
//!
//! A probe sends the controller credentials that it cannot know. Its result does not depend on anything that a client
//! sent, so it alone shows whether the controller's verdicts are meaningful, and whether the controller answers at all.

use super::keys::key;
use super::record::{self, nanoseconds};
use crate::host::{Host, Time};
use crate::limits;
use std::time::Duration;

/// The question budget of the controller of one configuration.
#[derive(Debug)]
pub struct QuestionBudget {
    asked: String,
    probe: String,
}

/// The controller's answer to credentials that it cannot know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// It refused them: its permits are meaningful.
    Refused,
    /// It permitted them: it would permit any client.
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
    /// The budget of the configuration whose `auth` has this key.
    #[must_use]
    pub fn new(auth_key: &[u8; 32]) -> Self {
        Self { asked: key("asked", auth_key), probe: key("probe", auth_key) }
    }

    /// Takes one question from the budget of `most` a second over all VMs. Returns true if there was one left.
    #[must_use]
    pub fn may_ask(&self, host: &dyn Host, most: usize, now: Time) -> bool {
        record::update(host, &self.asked, |times| {
            let times = times.unwrap_or_default();
            one_more(times, most, nanoseconds(now))
        })
    }

    /// The result of the last probe, while it is valid.
    #[must_use]
    pub fn probe(&self, host: &dyn Host, now: Time) -> Option<Probe> {
        let [at, code] = record::read(host, &self.probe)?;
        let probe = Probe::ALL.into_iter().find(|probe| probe.code() == code)?;
        let age = now.checked_sub(Duration::from_nanos(at))?;
        (age < probe.valid_for()).then_some(probe)
    }

    /// Stores the result of a probe. Returns true if it differs from the previous one.
    pub fn found(&self, host: &dyn Host, probe: Probe, now: Time) -> bool {
        let before = record::read(host, &self.probe).map(|[_, code]: [u64; 2]| code);
        record::update(host, &self.probe, |_| Some([nanoseconds(now), probe.code()]));
        before != Some(probe.code())
    }
}

/// The times of the latest questions, the latest first, with one more, unless there were `most` in the last second. A
/// time in the future was written before the clock was set back, and is ignored.
fn one_more(
    times: [u64; limits::QUESTIONS_A_SECOND],
    most: usize,
    now: u64,
) -> Option<[u64; limits::QUESTIONS_A_SECOND]> {
    const SECOND: u64 = 1_000_000_000;
    let is_recent = |&time: &u64| time <= now && now - time < SECOND;
    if times.iter().filter(|time| is_recent(time)).count() >= most {
        return None;
    }
    let mut updated = [0; limits::QUESTIONS_A_SECOND];
    let kept = [now].into_iter().chain(times.into_iter().filter(is_recent));
    updated.iter_mut().zip(kept).for_each(|(slot, time)| *slot = time);
    Some(updated)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fake::FakeHost;

    fn budget() -> QuestionBudget {
        QuestionBudget::new(&[1; 32])
    }

    #[test]
    fn the_limit_holds_for_any_second() {
        let host = FakeHost::at(1_000);
        let (most, tenth) = (limits::QUESTIONS_A_SECOND, Duration::from_millis(100));
        let asked = (0..most + 3).filter(|_| budget().may_ask(&host, most, host.now())).count();
        assert_eq!(asked, most);
        host.pass(9 * tenth);
        assert!(!budget().may_ask(&host, most, host.now()));
        host.pass(tenth);
        assert!(budget().may_ask(&host, 1, host.now()));
        assert!(!budget().may_ask(&host, 1, host.now()));
        assert!(budget().may_ask(&host, 2, host.now()));
    }

    #[test]
    fn a_clock_that_was_set_back_blocks_no_question() {
        let host = FakeHost::at(1_000);
        let most = limits::QUESTIONS_A_SECOND;
        while budget().may_ask(&host, most, host.now()) {}
        host.now.set(Duration::from_secs(10));
        assert!(budget().may_ask(&host, most, host.now()));
    }

    #[test]
    fn a_probe_result_is_valid_for_its_time() {
        let host = FakeHost::at(1_000);
        assert_eq!(budget().probe(&host, host.now()), None);
        for (probe, valid_for) in [
            (Probe::Refused, limits::PROBE_REFUSED_FOR),
            (Probe::Permitted, limits::PROBE_PERMITTED_FOR),
            (Probe::NoVerdict, limits::DOWN_FOR),
        ] {
            assert!(budget().found(&host, probe, host.now()));
            assert!(!budget().found(&host, probe, host.now()));
            assert_eq!(budget().probe(&host, host.now()), Some(probe));
            assert_eq!(budget().probe(&host, host.now() - Duration::from_nanos(1)), None);
            assert_eq!(QuestionBudget::new(&[2; 32]).probe(&host, host.now()), None);
            host.pass(valid_for);
            assert_eq!(budget().probe(&host, host.now()), None);
        }
    }
}
