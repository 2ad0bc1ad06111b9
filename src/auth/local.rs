//! Tokens and users that the configuration names.
//!
//! Every entry is compared, in constant time, whichever matches: neither timing nor fuel tells a near miss from a far
//! one, and an unknown user from a wrong password.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use super::password::{Derivation, PasswordHash, Progress};
use super::remembered::{Memo, Remembered};
use super::{Decision, Denial, Permit, Secret};
use crate::host::Time;

/// Whom the configuration lets in.
#[derive(Debug, Default)]
pub struct Policy {
    /// Whether those without credentials are let in.
    pub anonymous: bool,
    /// Bearer tokens, no two of one name.
    pub tokens: Vec<Token>,
    /// Users with a password, no two of one name.
    pub users: Vec<User>,
}

/// A bearer token, known by its hash.
pub struct Token {
    /// What an operator calls it.
    pub name: String,
    /// SHA-256 of the token.
    pub sha256: [u8; 32],
}

/// A user with a password.
pub struct User {
    /// The user's name, as Basic credentials carry it.
    pub name: String,
    /// What the password is checked against.
    pub hash: PasswordHash,
    /// SHA-256 of the name: names of every length then take the same time to compare.
    name_sha256: [u8; 32],
}

impl Token {
    /// The entry for this token.
    #[must_use]
    pub fn new(name: String, token: &Secret) -> Self {
        Self { name, sha256: sha256(token.expose()) }
    }
}

impl User {
    /// A user of this name.
    #[must_use]
    pub fn new(name: String, hash: PasswordHash) -> Self {
        Self { name_sha256: sha256(&name), name, hash }
    }
}

impl Policy {
    pub(super) fn has_token(&self, token: &Secret) -> bool {
        let sha256 = sha256(token.expose());
        let none = Choice::from(0);
        self.tokens.iter().fold(none, |found, have| found | have.sha256.ct_eq(&sha256)).into()
    }

    pub(super) fn check_password(
        &self,
        user: &str,
        password: &Secret,
        remembered: &Remembered,
        now: Time,
    ) -> Decision {
        let Some((entry, known)) = self.find_user(user) else {
            return Decision::Denied(Denial::WrongPassword);
        };
        let memo = remembered.memo(user, &entry.hash, password.expose());
        if (known & remembered.knows(&memo, now)).into() {
            return Decision::Allowed(Permit::new());
        }
        let most = self.users.iter().map(|user| user.hash.iterations()).max().unwrap_or_default();
        Decision::Derive(Box::new(PendingPassword {
            derivation: entry.hash.derivation(password.expose()),
            expected: *entry.hash.digest(),
            known,
            padding: Some(most.saturating_sub(entry.hash.iterations())),
            memo,
        }))
    }

    /// The user of this name and 1; or, so that the work is the same, any user and 0. None where there are no users.
    fn find_user(&self, name: &str) -> Option<(&User, Choice)> {
        let sha256 = sha256(name);
        let mut found = (0, Choice::from(0));
        for (index, user) in (0_u32..).zip(&self.users) {
            let same = user.name_sha256.ct_eq(&sha256);
            found.0.conditional_assign(&index, same);
            found.1 |= same;
        }
        let user = self.users.get(usize::try_from(found.0).ok()?)?;
        Some((user, found.1))
    }
}

fn sha256(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// A password being checked, in slices. Refusing takes as many rounds as the most laborious hash of all users.
pub struct PendingPassword {
    derivation: Derivation,
    expected: [u8; 32],
    known: Choice,
    /// Rounds to do for nothing once the password is known to be wrong; none when that has begun.
    padding: Option<u32>,
    memo: Memo,
}

impl PendingPassword {
    /// Does up to `rounds` more rounds. A password that is right is remembered from `now` on.
    pub fn advance(
        &mut self,
        rounds: u32,
        remembered: &mut Remembered,
        now: Time,
    ) -> Progress<Result<Permit, Denial>> {
        let left = rounds.saturating_sub(self.derivation.remaining());
        let Progress::Done(derived) = self.derivation.advance(rounds) else {
            return Progress::Pending;
        };
        let Some(padding) = self.padding.take() else {
            return Progress::Done(Err(Denial::WrongPassword));
        };
        if (self.known & self.expected.ct_eq(&derived)).into() {
            remembered.keep(self.memo, now);
            return Progress::Done(Ok(Permit::new()));
        }
        self.derivation.extend(padding);
        self.advance(left, remembered, now)
    }
}

impl fmt::Debug for PendingPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingPassword").finish_non_exhaustive()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("name", &self.name).finish_non_exhaustive()
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("name", &self.name).field("hash", &self.hash).finish()
    }
}
