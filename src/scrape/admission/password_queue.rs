//! The passwords that wait to be hashed. They are hashed in slices, one slice a tick: 600,000 rounds take a third of a
//! second, and the worker must not pause for so long.

use super::StreamId;
use crate::auth::password::Progress;
use crate::auth::{Denial, PendingPassword, Permit, Tag};
use crate::limits;
use std::collections::VecDeque;

/// The passwords of one VM, in the order in which they came: at most [`limits::PASSWORDS_WAITING`], of which at most
/// [`limits::CLIENT_PASSWORDS`] come from one client.
#[derive(Default)]
pub(super) struct PasswordQueue(VecDeque<PasswordCheck>);

/// One password to check.
pub(super) struct PasswordCheck {
    /// The scrape that waits for the result.
    pub(super) stream: StreamId,
    pub(super) password: Box<PendingPassword>,
    /// The tag of the client's address.
    pub(super) client: Tag,
}

impl PasswordQueue {
    /// Returns true if one more password of this client may wait.
    pub(super) fn has_room(&self, client: &Tag) -> bool {
        let of_client = self.0.iter().filter(|check| check.client == *client).count();
        self.0.len() < limits::PASSWORDS_WAITING && of_client < limits::CLIENT_PASSWORDS
    }

    /// Appends a check. The queue must [have room](Self::has_room) for it.
    pub(super) fn push(&mut self, check: PasswordCheck) {
        self.0.push_back(check);
    }

    /// Computes one slice of the first check. Returns the check with its result when it is finished.
    pub(super) fn advance(&mut self) -> Option<(PasswordCheck, Result<Permit, Denial>)> {
        let first = self.0.front_mut()?;
        match first.password.advance(limits::PASSWORD_ROUNDS_A_TICK) {
            Progress::Done(result) => Some((self.0.pop_front()?, result)),
            Progress::Pending => None,
        }
    }

    /// Forgets a stream that has ended.
    pub(super) fn forget(&mut self, stream: StreamId) {
        self.0.retain(|check| check.stream != stream);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
