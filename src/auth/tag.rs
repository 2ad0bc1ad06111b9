//! Credentials under a key, so that verdicts on them can be remembered where others may read.
//!
//! The key is a random salt, which all VMs share, and what changes with the configuration: another configuration knows
//! none of the tags. Nothing of a credential can be read off its tag, and guesses can be tested only by who has the salt
//! and the configuration both.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::password::PasswordHash;
use super::{Forwarded, Secret};

/// Bytes of a tag.
pub const TAG: usize = 32;

/// What stands for credentials, or for a client's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag(pub [u8; TAG]);

/// Makes tags.
#[derive(Clone)]
pub struct Tagger(Hmac<Sha256>);

impl Tagger {
    /// `salt` is to be random.
    #[must_use]
    pub fn new(salt: [u8; 32], configuration: [u8; 32]) -> Self {
        let mut key = [0; 64];
        for (byte, have) in key.iter_mut().zip(salt.iter().chain(&configuration)) {
            *byte = *have;
        }
        Self(Hmac::new(&key.into()))
    }

    /// Of a password and what it is checked against: with another hash it is another password.
    #[must_use]
    pub fn password(&self, user: &str, hash: &PasswordHash, password: &str) -> Tag {
        let [salt, digest] = [hash.salt().as_bytes(), hash.digest()];
        self.tag(&[b"password", user.as_bytes(), salt, digest, password.as_bytes()])
    }

    /// Of what the controller would be shown.
    #[must_use]
    pub fn forwarded(&self, shown: &Forwarded) -> Tag {
        let [authorization, session] = [&shown.authorization, &shown.session]
            .map(|secret| secret.as_ref().map_or("", Secret::expose).as_bytes());
        self.tag(&[b"forwarded", authorization, session])
    }

    /// Of a client, by where it comes from.
    #[must_use]
    pub fn address(&self, network: &[u8]) -> Tag {
        self.tag(&[b"address", network])
    }

    /// Each part goes in with its length, so that no two lists of parts look alike.
    fn tag(&self, parts: &[&[u8]]) -> Tag {
        let mut mac = self.0.clone();
        for part in parts {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part);
        }
        Tag(mac.finalize().into_bytes().into())
    }
}

impl Tag {
    /// One of `places`, of which there is at least one.
    #[must_use]
    pub fn place(&self, places: u64) -> u64 {
        let Self([a, b, c, d, e, f, g, h, ..]) = *self;
        u64::from_le_bytes([a, b, c, d, e, f, g, h]) % places.max(1)
    }
}

impl fmt::Debug for Tagger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tagger").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forwarded(authorization: Option<&str>, session: Option<&str>) -> Forwarded {
        Forwarded {
            authorization: authorization.map(Secret::new),
            session: session.map(Secret::new),
        }
    }

    #[test]
    fn the_same_credentials_have_the_same_tag_until_salt_or_configuration_change() {
        let shown = forwarded(Some("Bearer a"), None);
        let tag =
            |salt, configuration| Tagger::new([salt; 32], [configuration; 32]).forwarded(&shown);
        assert_eq!(tag(1, 1), tag(1, 1));
        assert_ne!(tag(1, 1), tag(2, 1));
        assert_ne!(tag(1, 1), tag(1, 2));
    }

    #[test]
    fn no_two_ways_to_show_the_same_bytes_have_one_tag() {
        let tagger = Tagger::new([1; 32], [2; 32]);
        let hash = PasswordHash::new("ab", "salt", 1_000).unwrap();
        let tags = [
            tagger.forwarded(&forwarded(Some("ab"), None)),
            tagger.forwarded(&forwarded(Some("a"), Some("b"))),
            tagger.forwarded(&forwarded(None, Some("ab"))),
            tagger.password("a", &hash, "b"),
            tagger.password("ab", &hash, ""),
            tagger.address(b"ab"),
        ];
        for (place, tag) in tags.iter().enumerate() {
            assert!(!tags[..place].contains(tag), "{place}");
        }
    }
}
