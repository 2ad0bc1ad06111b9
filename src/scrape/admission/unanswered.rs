//! Credentials on which the controller gave no verdict. For [`limits::DOWN_FOR`] it is not asked about them again.

use crate::auth::Tag;
use crate::host::Time;
use crate::limits;
use std::collections::VecDeque;

/// The latest questions without a verdict, the oldest first: at most [`limits::UNANSWERED`].
#[derive(Default)]
pub(super) struct Unanswered(VecDeque<(Tag, Time)>);

impl Unanswered {
    /// Remembers that these credentials got no verdict. Beyond the bound, the oldest ones are forgotten.
    pub(super) fn insert(&mut self, tag: Tag, now: Time) {
        self.0.retain(|(about, _)| *about != tag);
        if self.0.len() >= limits::UNANSWERED {
            self.0.pop_front();
        }
        self.0.push_back((tag, now));
    }

    /// Returns true if these credentials got no verdict within [`limits::DOWN_FOR`].
    pub(super) fn contains(&self, tag: &Tag, now: Time) -> bool {
        let is_recent = |at| now.checked_sub(at).is_some_and(|age| age < limits::DOWN_FOR);
        self.0.iter().any(|(about, at)| about == tag && is_recent(*at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::TAG;
    use std::time::Duration;

    const NOW: Time = Time::from_secs(1_000);

    fn tag(number: usize) -> Tag {
        Tag([u8::try_from(number).unwrap(); TAG])
    }

    #[test]
    fn credentials_without_a_verdict_are_remembered_for_their_time() {
        let mut unanswered = Unanswered::default();
        unanswered.insert(tag(1), NOW);
        let end = NOW + limits::DOWN_FOR;
        assert!(unanswered.contains(&tag(1), NOW));
        assert!(unanswered.contains(&tag(1), end - Duration::from_nanos(1)));
        assert!(!unanswered.contains(&tag(1), end));
        assert!(!unanswered.contains(&tag(2), NOW));
        assert!(!unanswered.contains(&tag(1), NOW - Duration::from_nanos(1)), "the clock is back");
    }

    #[test]
    fn beyond_the_bound_the_oldest_credentials_without_a_verdict_are_forgotten() {
        let mut unanswered = Unanswered::default();
        for number in 0..limits::UNANSWERED {
            unanswered.insert(tag(number), NOW);
        }
        assert!((0..limits::UNANSWERED).all(|number| unanswered.contains(&tag(number), NOW)));
        // The first one is renewed, so the second one is now the oldest.
        unanswered.insert(tag(0), NOW);
        assert_eq!(unanswered.0.len(), limits::UNANSWERED);
        unanswered.insert(tag(limits::UNANSWERED), NOW);
        assert_eq!(unanswered.0.len(), limits::UNANSWERED);
        let forgotten = |number: &usize| !unanswered.contains(&tag(*number), NOW);
        assert_eq!((0..=limits::UNANSWERED).filter(forgotten).collect::<Vec<_>>(), [1]);
    }
}
