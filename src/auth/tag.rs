//! Tags: HMACs of credentials and of client addresses, under which verdicts are stored in shared data.
//!
//! The key is a random salt, which all VMs share, and a hash of the configuration. So a changed configuration finds none of
//! the old tags. A tag reveals nothing about its credential; testing a guess takes both the salt and the configuration.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::password::PasswordHash;
use super::{Forwarded, Secret};

/// Bytes of a tag.
pub const TAG: usize = 32;

/// The HMAC of credentials or of a client's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag(pub [u8; TAG]);

/// Computes tags.
#[derive(Clone)]
pub struct Tagger(Hmac<Sha256>);

impl Tagger {
    /// Creates a tagger. `salt` must be random; `configuration` is a hash of the configuration.
    #[must_use]
    pub fn new(salt: [u8; 32], configuration: [u8; 32]) -> Self {
        let mut key = [0; 64];
        for (to, from) in key.iter_mut().zip(salt.iter().chain(&configuration)) {
            *to = *from;
        }
        Self(Hmac::new(&key.into()))
    }

    /// The tag of a password and of the hash that it is checked against: a changed hash changes the tag.
    #[must_use]
    pub fn password(&self, user: &str, hash: &PasswordHash, password: &str) -> Tag {
        let [salt, digest] = [hash.salt().as_bytes(), hash.digest()];
        self.tag(&[b"password", user.as_bytes(), salt, digest, password.as_bytes()])
    }

    /// The tag of the credentials that are forwarded to the controller.
    #[must_use]
    pub fn forwarded(&self, forwarded: &Forwarded) -> Tag {
        let [authorization, session] = [&forwarded.authorization, &forwarded.session]
            .map(|secret| secret.as_ref().map_or("", Secret::expose).as_bytes());
        self.tag(&[b"forwarded", authorization, session])
    }

    /// The tag of a client's network address.
    #[must_use]
    pub fn address(&self, network: &[u8]) -> Tag {
        self.tag(&[b"address", network])
    }

    /// Hashes each part with its length, so that different lists of parts have different tags.
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
    /// An index below `count`, which is at least 1.
    #[must_use]
    pub fn index(&self, count: u64) -> u64 {
        let Self([a, b, c, d, e, f, g, h, ..]) = *self;
        u64::from_le_bytes([a, b, c, d, e, f, g, h]) % count.max(1)
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
        let credentials = forwarded(Some("Bearer a"), None);
        let tag = |salt, configuration| {
            Tagger::new([salt; 32], [configuration; 32]).forwarded(&credentials)
        };
        assert_eq!(tag(1, 1), tag(1, 1));
        assert_ne!(tag(1, 1), tag(2, 1));
        assert_ne!(tag(1, 1), tag(1, 2));
    }

    #[test]
    fn the_same_bytes_split_differently_have_different_tags() {
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
        for (index, tag) in tags.iter().enumerate() {
            assert!(!tags[..index].contains(tag), "{index}");
        }
    }
}
