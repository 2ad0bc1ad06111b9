//! Tokens and users that the configuration names.
//!
//! Every entry is compared, in constant time, whichever matches: neither timing nor fuel tells a near miss from a far
//! one, and an unknown user from a wrong password.

use std::fmt;
use std::rc::Rc;

use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use super::password::{Derivation, PasswordHash, Progress};
use super::{Controller, Denial, LocalDecision, Permit, Secret, Tag, Tagger, Visibility};

/// Whom the configuration lets in.
#[derive(Debug, Default)]
pub struct Policy {
    /// Whether those without credentials are let in.
    pub anonymous: bool,
    /// Bearer tokens, no two of one name.
    pub tokens: Vec<Token>,
    /// Users with a password, no two of one name.
    pub users: Vec<User>,
    /// Who is asked about all others.
    pub controller: Option<Controller>,
}

/// A bearer token, known by its hash.
pub struct Token {
    /// What an operator calls it.
    pub name: String,
    /// SHA-256 of the token.
    pub sha256: [u8; 32],
    /// What it opens.
    pub view: Rc<Visibility>,
}

/// A user with a password.
pub struct User {
    /// The user's name, as Basic credentials carry it.
    pub name: String,
    /// What the password is checked against.
    pub hash: PasswordHash,
    /// What the password opens.
    pub view: Rc<Visibility>,
    /// SHA-256 of the name: names of every length then take the same time to compare.
    name_sha256: [u8; 32],
}

impl Token {
    /// The entry for this token.
    #[must_use]
    pub fn new(name: String, token: &Secret) -> Self {
        Self { name, sha256: sha256(token.expose()), view: Rc::default() }
    }
}

impl User {
    /// A user of this name.
    #[must_use]
    pub fn new(name: String, hash: PasswordHash) -> Self {
        Self { name_sha256: sha256(&name), name, hash, view: Rc::default() }
    }
}

impl Policy {
    /// What a token opens.
    pub(super) fn check_token(&self, token: &Secret) -> Option<Permit> {
        let sha256 = sha256(token.expose());
        let (index, known) = find(self.tokens.iter().map(|token| &token.sha256), &sha256);
        let token = self.tokens.get(index).filter(|_| known.into())?;
        Some(Permit::new(&token.view))
    }

    /// A password is checked here where its user is known, or where there is nobody else to ask.
    pub(super) fn check_password(
        &self,
        user: &str,
        password: &Secret,
        tagger: &Tagger,
    ) -> LocalDecision {
        let (index, known) = find(self.users.iter().map(|user| &user.name_sha256), &sha256(user));
        if self.controller.is_some() && !bool::from(known) {
            return LocalDecision::AskController;
        }
        let Some(entry) = self.users.get(index) else {
            return LocalDecision::Denied(Denial::WrongPassword);
        };
        let most = self.users.iter().map(|user| user.hash.iterations()).max().unwrap_or_default();
        LocalDecision::CheckPassword(Box::new(PendingPassword {
            derivation: entry.hash.derivation(password.expose()),
            expected: *entry.hash.digest(),
            known,
            padding: Some(most.saturating_sub(entry.hash.iterations())),
            tag: tagger.password(user, &entry.hash, password.expose()),
            view: Rc::clone(&entry.view),
        }))
    }
}

/// The place of the first that is equal, and 1; or, so that the work is the same, the first place and 0.
fn find<'a>(
    hashes: impl DoubleEndedIterator<Item = &'a [u8; 32]> + ExactSizeIterator,
    wanted: &[u8; 32],
) -> (usize, Choice) {
    let mut found = (0_u64, Choice::from(0));
    for (index, hash) in hashes.enumerate().rev() {
        let same = hash.ct_eq(wanted);
        found.0.conditional_assign(&(index as u64), same);
        found.1 |= same;
    }
    (usize::try_from(found.0).unwrap_or(usize::MAX), found.1)
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
    tag: Tag,
    view: Rc<Visibility>,
}

impl PendingPassword {
    /// Under what a right password is remembered.
    #[must_use]
    pub fn tag(&self) -> &Tag {
        &self.tag
    }

    /// Spares the work for a password that was right before, if its [`PendingPassword::tag`] is remembered.
    #[must_use]
    pub fn recall(&self, remembered: bool) -> Option<Permit> {
        let right: bool = (self.known & Choice::from(u8::from(remembered))).into();
        right.then(|| Permit::new(&self.view))
    }

    /// Does up to `rounds` more rounds.
    pub fn advance(&mut self, rounds: u32) -> Progress<Result<Permit, Denial>> {
        let left = rounds.saturating_sub(self.derivation.remaining());
        let Progress::Done(derived) = self.derivation.advance(rounds) else {
            return Progress::Pending;
        };
        let Some(padding) = self.padding.take() else {
            return Progress::Done(Err(Denial::WrongPassword));
        };
        if (self.known & self.expected.ct_eq(&derived)).into() {
            return Progress::Done(Ok(Permit::new(&self.view)));
        }
        self.derivation.extend(padding);
        self.advance(left)
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
