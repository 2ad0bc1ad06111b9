//! Tokens and users in the configuration.
//!
//! Every entry is compared in constant time, even after a match. So the time of a reply does not reveal how much of a token
//! was right, or whether a user exists.

use std::fmt;
use std::rc::Rc;

use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use super::password::{Derivation, PasswordHash, Progress};
use super::{Controller, Denial, LocalDecision, Permit, Secret, Tag, Tagger, Visibility};

/// Local authentication: tokens and users from the configuration, and the controller that decides about all others.
#[derive(Debug, Default)]
pub struct Policy {
    /// True if clients without credentials may scrape.
    pub anonymous: bool,
    /// Bearer tokens, each with a different name.
    pub tokens: Vec<Token>,
    /// Users with a password, each with a different name.
    pub users: Vec<User>,
    /// The controller that decides about other credentials.
    pub controller: Option<Controller>,
}

/// A bearer token. Only its hash is stored.
pub struct Token {
    /// The operator's name for it.
    pub name: String,
    /// SHA-256 of the token.
    pub sha256: [u8; 32],
    /// The part of the page that it opens.
    pub view: Rc<Visibility>,
}

/// A user with a password.
pub struct User {
    /// The user's name, as in Basic credentials.
    pub name: String,
    /// The hash of the password.
    pub hash: PasswordHash,
    /// The part of the page that the password opens.
    pub view: Rc<Visibility>,
    /// SHA-256 of the name, so that comparing takes the same time for names of every length.
    name_sha256: [u8; 32],
}

impl Token {
    /// Creates the entry for this token.
    #[must_use]
    pub fn new(name: String, token: &Secret) -> Self {
        Self { name, sha256: sha256(token.expose()), view: Rc::default() }
    }
}

impl User {
    /// Creates a user.
    #[must_use]
    pub fn new(name: String, hash: PasswordHash) -> Self {
        Self { name_sha256: sha256(&name), name, hash, view: Rc::default() }
    }
}

impl Policy {
    /// Returns the permit of a token that the configuration contains.
    pub(super) fn check_token(&self, token: &Secret) -> Option<Permit> {
        let sha256 = sha256(token.expose());
        let (index, known) = find(self.tokens.iter().map(|token| &token.sha256), &sha256);
        let token = self.tokens.get(index).filter(|_| known.into())?;
        Some(Permit::new(&token.view))
    }

    /// Checks a password locally if its user is in the configuration, or if there is no controller to ask.
    pub(super) fn check_password(
        &self,
        user: &str,
        password: &Secret,
        tagger: &Tagger,
    ) -> LocalDecision {
        let (index, known) = find(self.users.iter().map(|user| &user.name_sha256), &sha256(user));
        // Without a branch on `known` alone: an optimizer may test it first, which takes less work for a known user.
        let asks = Choice::from(u8::from(self.controller.is_some())) & !known;
        if asks.into() {
            return LocalDecision::AskController;
        }
        let Some(entry) = self.users.get(index) else {
            return LocalDecision::Denied(Denial::WrongPassword);
        };
        let slowest =
            self.users.iter().map(|user| user.hash.iterations()).max().unwrap_or_default();
        LocalDecision::CheckPassword(Box::new(PendingPassword {
            derivation: entry.hash.derivation(password.expose()),
            expected: *entry.hash.digest(),
            known,
            padding: Some(slowest.saturating_sub(entry.hash.iterations())),
            tag: tagger.password(user, &entry.hash, password.expose()),
            view: Rc::clone(&entry.view),
        }))
    }
}

/// Returns the index of the first equal hash and 1, or 0 and 0 if there is none. Both cases take the same work.
fn find<'a>(
    hashes: impl DoubleEndedIterator<Item = &'a [u8; 32]> + ExactSizeIterator,
    wanted: &[u8; 32],
) -> (usize, Choice) {
    let (mut found_index, mut is_found) = (0_u64, Choice::from(0));
    for (index, hash) in hashes.enumerate().rev() {
        let same = hash.ct_eq(wanted);
        found_index.conditional_assign(&(index as u64), same);
        is_found |= same;
    }
    (usize::try_from(found_index).unwrap_or(usize::MAX), is_found)
}

fn sha256(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// A password that is being checked, in slices. A refusal takes as many rounds as the slowest hash of all users.
pub struct PendingPassword {
    derivation: Derivation,
    expected: [u8; 32],
    known: Choice,
    /// Additional rounds after the password turned out to be wrong. `None` once they have begun.
    padding: Option<u32>,
    tag: Tag,
    view: Rc<Visibility>,
}

impl PendingPassword {
    /// The key under which a right password is remembered.
    #[must_use]
    pub fn tag(&self) -> &Tag {
        &self.tag
    }

    /// Returns the permit without hashing, if `remembered`: the password's [`PendingPassword::tag`] is stored.
    #[must_use]
    pub fn recall(&self, remembered: bool) -> Option<Permit> {
        let right: bool = (self.known & Choice::from(u8::from(remembered))).into();
        right.then(|| Permit::new(&self.view))
    }

    /// Computes up to `rounds` more rounds.
    pub fn advance(&mut self, rounds: u32) -> Progress<Result<Permit, Denial>> {
        let unused = rounds.saturating_sub(self.derivation.remaining());
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
        self.advance(unused)
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
