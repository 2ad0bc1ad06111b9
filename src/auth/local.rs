//! Tokens and users that the configuration names.

use std::fmt;

use super::password::PasswordHash;

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
#[derive(Debug)]
pub struct User {
    /// The user's name, as Basic credentials carry it.
    pub name: String,
    /// What the password is checked against.
    pub hash: PasswordHash,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("name", &self.name).finish_non_exhaustive()
    }
}
