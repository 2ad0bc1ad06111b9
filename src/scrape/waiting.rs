//! Scrapes whose password is still being checked, in slices: a worker must not stand still for the third of a second
//! that 600,000 rounds take.

use super::Request;
use crate::auth::password::Progress;
use crate::auth::{Denial, PendingPassword, Permit, Tag};
use crate::limits;
use std::collections::VecDeque;

/// Names a stream to the host.
pub type StreamId = u32;

/// The scrapes that wait, first come first served; at most [`limits::PASSWORDS_WAITING`].
#[derive(Default)]
pub(super) struct Waiting(VecDeque<Waiter>);

/// One scrape that waits.
pub(super) struct Waiter {
    pub(super) stream: StreamId,
    pub(super) request: Request,
    pub(super) password: Box<PendingPassword>,
    /// Of where the client comes from.
    pub(super) client: Tag,
}

impl Waiting {
    /// Lets one more wait, or gives it back where there is no room.
    pub(super) fn push(&mut self, waiter: Waiter) -> Result<(), Box<Waiter>> {
        if self.0.len() >= limits::PASSWORDS_WAITING {
            return Err(Box::new(waiter));
        }
        self.0.push_back(waiter);
        Ok(())
    }

    /// Does a slice of the first one's work; gives it back where that was the last.
    pub(super) fn advance(&mut self) -> Option<(Waiter, Result<Permit, Denial>)> {
        let first = self.0.front_mut()?;
        match first.password.advance(limits::PASSWORD_ROUNDS_A_TICK) {
            Progress::Done(result) => Some((self.0.pop_front()?, result)),
            Progress::Pending => None,
        }
    }

    /// Forgets a stream that is gone.
    pub(super) fn remove(&mut self, stream: StreamId) {
        self.0.retain(|waiter| waiter.stream != stream);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
