//! PBKDF2 with HMAC-SHA-256 (RFC 8018, section 5.2) for 32 bytes, computed in slices.
//!
//! Django's 600,000 rounds take a third of a second in Envoy's V8, and the worker must not pause for so long: the caller
//! decides how many rounds to compute at a time. The HMAC is keyed once, and each round starts from a copy of it, so a
//! round is two calls of SHA-256's compression function.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// A computation that is under way.
pub struct Derivation {
    /// HMAC with the password as its key, before any message.
    keyed: Hmac<Sha256>,
    /// The result of the last round.
    last: [u8; 32],
    /// The results of all rounds so far, combined by exclusive or.
    sum: [u8; 32],
    remaining: u32,
}

/// The state of a computation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress<T> {
    /// There are rounds left.
    Pending,
    /// The result.
    Done(T),
}

impl Derivation {
    /// Starts, and computes the first round. Fewer than one iteration count as one.
    #[must_use]
    pub fn new(password: &[u8], salt: &[u8], iterations: u32) -> Self {
        let keyed = Hmac::new(&key_block(password).into());
        let block_index = 1_u32.to_be_bytes();
        let salted = Hmac::<Sha256>::chain_update(keyed.clone(), salt);
        let first = salted.chain_update(block_index).finalize().into_bytes().into();
        Self { keyed, last: first, sum: first, remaining: iterations.saturating_sub(1) }
    }

    /// The number of rounds that are left.
    #[must_use]
    pub fn remaining(&self) -> u32 {
        self.remaining
    }

    /// Computes up to `rounds` more rounds.
    pub fn advance(&mut self, rounds: u32) -> Progress<[u8; 32]> {
        let rounds = rounds.min(self.remaining);
        for _ in 0..rounds {
            self.last = self.keyed.clone().chain_update(self.last).finalize().into_bytes().into();
            for (sum, last) in self.sum.iter_mut().zip(self.last) {
                *sum ^= last;
            }
        }
        self.remaining -= rounds;
        if self.remaining == 0 { Progress::Done(self.sum) } else { Progress::Pending }
    }

    /// Adds rounds, as if the iterations had been so many more from the start.
    pub(in crate::auth) fn extend(&mut self, rounds: u32) {
        self.remaining = self.remaining.saturating_add(rounds);
    }
}

/// HMAC's key: the password, or its hash if it is longer than a block (RFC 2104, section 2).
fn key_block(password: &[u8]) -> [u8; 64] {
    let hash: [u8; 32];
    let key = if password.len() > 64 {
        hash = Sha256::digest(password).into();
        &hash
    } else {
        password
    };
    let mut block = [0; 64];
    for (to, from) in block.iter_mut().zip(key) {
        *to = *from;
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    fn derive(password: &str, salt: &str, iterations: u32, slice: u32) -> String {
        let mut derivation = Derivation::new(password.as_bytes(), salt.as_bytes(), iterations);
        loop {
            if let Progress::Done(digest) = derivation.advance(slice) {
                return digest.iter().map(|byte| format!("{byte:02x}")).collect();
            }
        }
    }

    #[test]
    fn it_gives_what_pythons_hashlib_gives() {
        // hashlib.pbkdf2_hmac("sha256", password, salt, iterations); passwords round the block's 64 bytes, a salt of
        // several blocks.
        let (x64, x65, y130) = ("x".repeat(64), "x".repeat(65), "y".repeat(130));
        let long = "passwordPASSWORDpassword";
        let cases = [
            (
                "password",
                "salt",
                1,
                "120fb6cffcf8b32c43e7225256c4f837a86548c92ccc35480805987cb70be17b",
            ),
            (
                "password",
                "salt",
                2,
                "ae4d0c95af6b46d32d0adff928f06dd02a303f8ef3c251dfd6e2d85a95474c43",
            ),
            (
                "password",
                "salt",
                4_096,
                "c5e478d59288c841aa530db6845c4c8d962893a001ce4e11a4963873aa98134a",
            ),
            (
                long,
                "saltSALTsaltSALTsaltSALTsaltSALTsalt",
                4_096,
                "348c89dbcbd32b2f32d814b8116e84cf2b17347ebc1800181c4e2a1fb8dd53e1",
            ),
            ("", "s", 3, "e2aea08696ce80c3520b56024002964a54717a34321fa420fbbd022effb6e408"),
            (&x64, "salt", 7, "e99d5a1378d2dbdd330f5e9b4d16bd51b76901ddd3f0ad069ce862695a1ff420"),
            (&x65, "salt", 7, "dcb6e09308162ed0908b2c60f942c4b19f8ac4379f3ca71db40038694a37917e"),
            (
                "pässwörd",
                &y130,
                1_000,
                "ae72f777bb57dbdb990613d3cfe54374e2da93da96d2931da9424585c736238b",
            ),
        ];
        for (password, salt, iterations, digest) in cases {
            for slice in [1, 7, 1_000, u32::MAX] {
                assert_eq!(derive(password, salt, iterations, slice), digest, "{password} {slice}");
            }
        }
    }

    #[test]
    fn a_slice_does_no_more_rounds_than_it_may() {
        let mut derivation = Derivation::new(b"password", b"salt", 10);
        assert_eq!(derivation.remaining(), 9);
        assert_eq!(derivation.advance(4), Progress::Pending);
        assert_eq!(derivation.remaining(), 5);
        assert_eq!(derivation.advance(0), Progress::Pending);
        assert!(matches!(derivation.advance(5), Progress::Done(_)));
    }
}
