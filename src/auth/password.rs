//! Password hashes in Django's format, `pbkdf2_sha256$<iterations>$<salt>$<base64 of 32 bytes>`, so that an operator can
//! copy one from the controller's database, and the [`Derivation`] that checks a password in slices.

mod derivation;

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

pub use derivation::{Derivation, Progress};

use crate::limits;

const ALGORITHM: &str = "pbkdf2_sha256";

/// A password's hash: PBKDF2 with HMAC-SHA-256. `Display` writes Django's format.
pub struct PasswordHash {
    iterations: u32,
    salt: String,
    digest: [u8; 32],
}

impl PasswordHash {
    /// Hashes a password without a pause: 600,000 iterations take about 0.1 s.
    ///
    /// # Errors
    /// If the iterations are outside [`limits::PASSWORD_ITERATIONS`], or the salt is empty or contains a `$`.
    pub fn new(password: &str, salt: &str, iterations: u32) -> Result<Self, PasswordHashError> {
        if !limits::PASSWORD_ITERATIONS.contains(&iterations) {
            return Err(PasswordHashError::Iterations);
        }
        if salt.is_empty() || salt.contains('$') {
            return Err(PasswordHashError::Salt);
        }
        let mut derivation = Derivation::new(password.as_bytes(), salt.as_bytes(), iterations);
        loop {
            if let Progress::Done(digest) = derivation.advance(iterations) {
                return Ok(Self { iterations, salt: salt.to_owned(), digest });
            }
        }
    }

    /// The number of rounds that checking a password takes.
    #[must_use]
    pub fn iterations(&self) -> u32 {
        self.iterations
    }

    /// The computation that results in [`PasswordHash::digest`] if `password` is right.
    pub(super) fn derivation(&self, password: &str) -> Derivation {
        Derivation::new(password.as_bytes(), self.salt.as_bytes(), self.iterations)
    }

    pub(super) fn salt(&self) -> &str {
        &self.salt
    }

    pub(super) fn digest(&self) -> &[u8; 32] {
        &self.digest
    }
}

/// Parses Django's format, with iterations within [`limits::PASSWORD_ITERATIONS`].
impl FromStr for PasswordHash {
    type Err = PasswordHashError;

    fn from_str(text: &str) -> Result<Self, PasswordHashError> {
        let parts: Vec<&str> = text.split('$').collect();
        let &[algorithm, iterations, salt, digest] = parts.as_slice() else {
            return Err(PasswordHashError::Shape);
        };
        if algorithm != ALGORITHM {
            return Err(PasswordHashError::Algorithm);
        }
        if salt.is_empty() {
            return Err(PasswordHashError::Salt);
        }
        let digest = STANDARD.decode(digest).ok().and_then(|bytes| bytes.try_into().ok());
        Ok(Self {
            iterations: parse_iterations(iterations)?,
            salt: salt.to_owned(),
            digest: digest.ok_or(PasswordHashError::Digest)?,
        })
    }
}

fn parse_iterations(text: &str) -> Result<u32, PasswordHashError> {
    Some(text)
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|digits| digits.parse().ok())
        .filter(|iterations| limits::PASSWORD_ITERATIONS.contains(iterations))
        .ok_or(PasswordHashError::Iterations)
}

impl fmt::Display for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digest = STANDARD.encode(self.digest);
        write!(f, "{ALGORITHM}${}${}${digest}", self.iterations, self.salt)
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordHash").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

/// Why a password hash is refused. Quotes no part of the hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordHashError {
    /// It does not have four parts.
    #[error("must be pbkdf2_sha256$<iterations>$<salt>$<base64>")]
    Shape,
    /// Another algorithm.
    #[error("must begin with pbkdf2_sha256$: no other algorithm is supported")]
    Algorithm,
    /// Not a number, or outside [`limits::PASSWORD_ITERATIONS`].
    #[error(
        "its iterations must be a whole number from {} to {}",
        limits::PASSWORD_ITERATIONS.start(),
        limits::PASSWORD_ITERATIONS.end()
    )]
    Iterations,
    /// No salt.
    #[error("its salt is empty")]
    Salt,
    /// Not 32 bytes in base64.
    #[error("its last part must be 32 bytes in base64, padded")]
    Digest,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_equal_to_the_one_that_django_writes() {
        // Python: hashlib.pbkdf2_hmac("sha256", b"password", b"awxsaltawxsalt12345678", 1000)
        let django = "pbkdf2_sha256$1000$awxsaltawxsalt12345678$06oTDaNcvcrewwXocs08tG/HcOzFfk7AgRCrEq1vQTA=";
        let ours = PasswordHash::new("password", "awxsaltawxsalt12345678", 1_000).unwrap();
        assert_eq!(ours.to_string(), django);
        assert_eq!(django.parse::<PasswordHash>().unwrap().to_string(), django);
    }

    #[test]
    fn a_hash_that_could_not_be_parsed_is_not_created() {
        let refused =
            |salt: &str, iterations| PasswordHash::new("x", salt, iterations).unwrap_err();
        assert_eq!(refused("", 1_000), PasswordHashError::Salt);
        assert_eq!(refused("a$b", 1_000), PasswordHashError::Salt);
        assert_eq!(refused("a", 999), PasswordHashError::Iterations);
        assert_eq!(refused("a", 5_000_001), PasswordHashError::Iterations);
    }
}
