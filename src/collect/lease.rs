//! Which VM pulls a source, and when: a decision from a [`Head`], without side effects.
//!
//! There is no leader election besides the pull itself: the VM whose compare-and-swap advances `scheduled` pulls, once.
//! So there is one pull per interval, however many VMs tick and however many configurations share the snapshot.
//!
//! Pulling and parsing delay all other work of the thread, so the main thread's VM, which serves no requests, should pull.
//! A VM does not know its thread, only whether it has had a stream. Hence the *patience*:
//!
//! | VM | how long it waits after the pull is due |
//! |---|---|
//! | had no stream, and pulled last | not at all |
//! | had no stream | 2 ticks |
//! | had a stream, and pulled last | 4 ticks: a VM without streams takes over, if there is one |
//! | had a stream | 4 ticks and 2 intervals: only if the VM that pulled last is dead |
//!
//! `scheduled` advances by whole intervals, however long a VM waited, so patience delays a pull but does not add up.

use crate::host::Time;
use crate::limits;
use crate::shared::snapshot::Head;
use std::time::Duration;

/// The times in a source's configuration.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// From one pull to the next.
    pub interval: Duration,
    /// The longest time that a pull may take.
    pub timeout: Duration,
    /// After this time without a scrape, pulls become rare.
    pub idle_after: Duration,
    /// How long a page is served. The first scrape after a pause must find one.
    pub stale_after: Duration,
    /// How often a VM checks whether the pull is due.
    pub tick: Duration,
}

/// The VM that may pull.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// Its random number.
    pub vm: u64,
    /// True if it has had a stream, and so runs on a worker thread.
    pub serves: bool,
}

/// The new value of `scheduled`, if `candidate` must pull now.
#[must_use]
pub fn turn(
    head: &Head,
    wanted: Option<Time>,
    pace: Pace,
    candidate: Candidate,
    now: Time,
) -> Option<Time> {
    if head.scheduled.is_zero() || clock_went_back(head, now) {
        return Some(now);
    }
    if is_pulling(head, pace.timeout, now) {
        return None;
    }
    let period = period(wanted, pace, now);
    let due = head.scheduled + period;
    if now < due + patience(head, pace, candidate) {
        return None;
    }
    let late = now.saturating_sub(due);
    Some(if late < period { due } else { now })
}

/// Returns true if a page that is pulled on demand is old enough to be pulled again.
#[must_use]
pub fn is_due(head: &Head, interval: Duration, timeout: Duration, now: Time) -> bool {
    let is_old = now >= head.attempted + interval || clock_went_back(head, now);
    is_old && !is_pulling(head, timeout, now)
}

/// Returns true while a pull is in flight. If it takes too long, its VM must have died.
fn is_pulling(head: &Head, timeout: Duration, now: Time) -> bool {
    let until = head.attempted + timeout + limits::PULL_GRACE;
    head.pulling && now < until && !clock_went_back(head, now)
}

/// Returns true if the head is from the future: then the clock was set back, and waiting could take for ever.
fn clock_went_back(head: &Head, now: Time) -> bool {
    head.attempted > now + limits::CLOCK_SLACK
}

fn period(wanted: Option<Time>, pace: Pace, now: Time) -> Duration {
    let idle = wanted.is_none_or(|wanted| now.saturating_sub(wanted) > pace.idle_after);
    let rare = limits::IDLE_INTERVAL.min(pace.stale_after / 2);
    if idle { pace.interval.max(rare) } else { pace.interval }
}

fn patience(head: &Head, pace: Pace, candidate: Candidate) -> Duration {
    match (candidate.serves, head.puller == candidate.vm) {
        (false, true) => Duration::ZERO,
        (false, false) => 2 * pace.tick,
        (true, true) => 4 * pace.tick,
        (true, false) => 4 * pace.tick + 2 * pace.interval,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace {
        interval: Duration::from_secs(15),
        timeout: Duration::from_secs(4),
        idle_after: Duration::from_secs(120),
        stale_after: Duration::from_secs(300),
        tick: Duration::from_millis(500),
    };
    const MAIN: Candidate = Candidate { vm: 1, serves: false };
    const WORKER: Candidate = Candidate { vm: 2, serves: true };

    fn at(seconds: f64) -> Time {
        Duration::from_secs_f64(1_000.0 + seconds)
    }

    fn pulled_by(puller: u64) -> Head {
        Head { scheduled: at(0.0), attempted: at(0.0), puller, ..Head::default() }
    }

    fn wanted_turn(head: &Head, candidate: Candidate, seconds: f64) -> Option<Time> {
        turn(head, Some(at(seconds)), PACE, candidate, at(seconds))
    }

    #[test]
    fn any_vm_makes_the_first_pull() {
        assert_eq!(wanted_turn(&Head::default(), WORKER, 0.0), Some(at(0.0)));
        assert_eq!(turn(&Head::default(), None, PACE, MAIN, at(3.0)), Some(at(3.0)));
    }

    #[test]
    fn the_vm_that_pulled_last_pulls_when_it_is_due_and_not_before() {
        assert_eq!(wanted_turn(&pulled_by(1), MAIN, 14.9), None);
        assert_eq!(wanted_turn(&pulled_by(1), MAIN, 15.0), Some(at(15.0)));
    }

    #[test]
    fn a_late_pull_does_not_move_the_schedule_unless_an_interval_was_missed() {
        assert_eq!(wanted_turn(&pulled_by(1), MAIN, 17.0), Some(at(15.0)));
        assert_eq!(wanted_turn(&pulled_by(1), MAIN, 40.0), Some(at(40.0)));
    }

    #[test]
    fn a_worker_waits_for_a_vm_without_streams_and_pulls_if_there_is_none() {
        assert_eq!(wanted_turn(&pulled_by(2), WORKER, 16.9), None);
        assert_eq!(wanted_turn(&pulled_by(2), MAIN, 16.0), Some(at(15.0)));
        assert_eq!(wanted_turn(&pulled_by(2), WORKER, 17.0), Some(at(15.0)));
    }

    #[test]
    fn another_worker_takes_over_after_two_missed_pulls() {
        assert_eq!(wanted_turn(&pulled_by(1), WORKER, 46.9), None);
        assert_eq!(wanted_turn(&pulled_by(1), WORKER, 47.0), Some(at(47.0)));
    }

    #[test]
    fn no_vm_pulls_while_a_pull_is_in_flight_unless_its_vm_must_have_died() {
        let mut head = pulled_by(1);
        head.attempted = at(20.0);
        head.pulling = true;
        assert_eq!(wanted_turn(&head, MAIN, 24.9), None);
        assert!(wanted_turn(&head, MAIN, 25.0).is_some());
    }

    #[test]
    fn a_source_without_scrapes_is_pulled_once_a_minute() {
        let idle = |seconds| turn(&pulled_by(1), Some(at(-150.0)), PACE, MAIN, at(seconds));
        assert_eq!(idle(15.0), None);
        assert_eq!(idle(60.0), Some(at(60.0)));
    }

    #[test]
    fn rare_pulls_are_frequent_enough_that_a_page_does_not_become_stale() {
        let pace = Pace { stale_after: Duration::from_secs(40), ..PACE };
        let idle = |seconds| turn(&pulled_by(1), Some(at(-150.0)), pace, MAIN, at(seconds));
        assert_eq!(idle(19.0), None);
        assert_eq!(idle(20.0), Some(at(20.0)));
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_stop_pulls() {
        assert_eq!(wanted_turn(&pulled_by(1), MAIN, -600.0), Some(at(-600.0)));
    }
}
