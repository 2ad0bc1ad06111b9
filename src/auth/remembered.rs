//! Passwords that were right, so that the next scrape with the same one costs microseconds.
//!
//! A password is kept as an HMAC under a key that only this VM knows. What is hashed includes the user's name and the
//! configured hash: whatever configuration the VM serves, another hash is another password. Only right passwords are
//! kept, and a user has one, so nothing that a client can send makes this grow or forget.

use std::collections::VecDeque;
use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};

use super::password::PasswordHash;
use crate::host::Time;
use crate::limits;

/// The passwords that this VM found right of late.
pub struct Remembered {
    key: [u8; 64],
    /// The oldest first.
    passwords: VecDeque<(Time, Memo)>,
}

/// What is kept of a password.
#[derive(Clone, Copy)]
pub(super) struct Memo([u8; 32]);

impl Remembered {
    /// Nothing yet. The key is to be random, and the VM's own.
    #[must_use]
    pub fn new(key: [u8; 64]) -> Self {
        Self { key, passwords: VecDeque::new() }
    }

    /// What would be kept of this password.
    pub(super) fn memo(&self, user: &str, hash: &PasswordHash, password: &str) -> Memo {
        let mut mac = Hmac::<Sha256>::new(&self.key.into());
        let [salt, digest] = [hash.salt().as_bytes(), hash.digest()];
        for part in [user.as_bytes(), salt, digest, password.as_bytes()] {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part);
        }
        Memo(mac.finalize().into_bytes().into())
    }

    /// Whether it is kept, and young enough.
    pub(super) fn knows(&self, memo: &Memo, now: Time) -> Choice {
        let mut known = Choice::from(0);
        for (since, have) in &self.passwords {
            // A clock that jumped back makes an entry of the future, which is none.
            let age = now.checked_sub(*since).unwrap_or(Time::MAX);
            let young = Choice::from(u8::from(age < limits::REMEMBER_PASSWORD));
            known |= young & have.0.ct_eq(&memo.0);
        }
        known
    }

    /// Keeps a password that was right, and forgets the oldest if there are too many.
    pub(super) fn keep(&mut self, memo: Memo, now: Time) {
        self.passwords.retain(|(_, have)| have.0 != memo.0);
        if self.passwords.len() >= limits::REMEMBERED_PASSWORDS {
            self.passwords.pop_front();
        }
        self.passwords.push_back((now, memo));
    }
}

impl fmt::Debug for Remembered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remembered")
            .field("passwords", &self.passwords.len())
            .finish_non_exhaustive()
    }
}
