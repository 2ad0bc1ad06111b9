//! PBKDF2 with HMAC-SHA-256 (RFC 8018, section 5.2) for 32 bytes, in slices.
//!
//! A worker of Envoy must not stand still for the third of a second that Django's 600,000 rounds take in its V8, so the
//! work stops and goes on where its owner wants. A round is two calls of SHA-256's compression function: what HMAC does
//! with the key is the same in every round, and is done once.

use sha2::block_api::compress256;
use sha2::{Digest, Sha256};

type State = [u32; 8];
type Block = [u8; 64];

/// SHA-256's state before any input (FIPS 180-4, section 5.3.3).
const INITIAL: State = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// A derivation at work.
pub struct Derivation {
    /// SHA-256 after HMAC's inner key block.
    inner: State,
    /// SHA-256 after HMAC's outer key block.
    outer: State,
    /// The last round's result.
    last: State,
    /// The rounds' results so far, each added by exclusive or.
    sum: State,
    remaining: u32,
}

/// Whether work is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress<T> {
    /// There are rounds left.
    Pending,
    /// Its result.
    Done(T),
}

impl Derivation {
    /// Starts with the first round done; less than one is taken as one.
    #[must_use]
    pub fn new(password: &[u8], salt: &[u8], iterations: u32) -> Self {
        let key = key_block(password);
        let inner_key = key.map(|byte| byte ^ 0x36);
        let inner = compressed(INITIAL, &inner_key);
        let outer = compressed(INITIAL, &key.map(|byte| byte ^ 0x5c));
        let block_index = 1_u32.to_be_bytes();
        let salted = Sha256::new().chain_update(inner_key).chain_update(salt);
        let first = finish(outer, &state(&salted.chain_update(block_index).finalize().into()));
        Self { inner, outer, last: first, sum: first, remaining: iterations.saturating_sub(1) }
    }

    /// Rounds until it is done.
    #[must_use]
    pub fn remaining(&self) -> u32 {
        self.remaining
    }

    /// Does up to `rounds` more.
    pub fn advance(&mut self, rounds: u32) -> Progress<[u8; 32]> {
        let rounds = rounds.min(self.remaining);
        for _ in 0..rounds {
            self.last = finish(self.outer, &finish(self.inner, &self.last));
            for (sum, last) in self.sum.iter_mut().zip(self.last) {
                *sum ^= last;
            }
        }
        self.remaining -= rounds;
        if self.remaining == 0 { Progress::Done(bytes(&self.sum)) } else { Progress::Pending }
    }

    /// Goes on for `rounds` more, as if there had been so many from the start.
    pub(in crate::auth) fn extend(&mut self, rounds: u32) {
        self.remaining = self.remaining.saturating_add(rounds);
    }
}

/// HMAC's key: as it is, or its hash where it is longer than a block (RFC 2104, section 2).
fn key_block(password: &[u8]) -> Block {
    let mut key = [0; 64];
    let hashed: [u8; 32];
    let short = if password.len() > key.len() {
        hashed = Sha256::digest(password).into();
        &hashed
    } else {
        password
    };
    for (byte, have) in key.iter_mut().zip(short) {
        *byte = *have;
    }
    key
}

/// SHA-256 of what led to `state`, which was one block, and of the 32 bytes of `message`.
fn finish(state: State, message: &State) -> State {
    const BITS: u64 = (64 + 32) * 8;
    let mut block = [0; 64];
    let (words, _) = block.as_chunks_mut::<4>();
    let [high, low] = [(BITS >> 32) as u32, BITS as u32];
    let padding = [0x8000_0000, 0, 0, 0, 0, 0, high, low];
    for (bytes, word) in words.iter_mut().zip(message.iter().chain(&padding)) {
        *bytes = word.to_be_bytes();
    }
    compressed(state, &block)
}

fn compressed(mut state: State, block: &Block) -> State {
    compress256(&mut state, std::slice::from_ref(block));
    state
}

fn state(digest: &[u8; 32]) -> State {
    let mut state = [0; 8];
    for (word, bytes) in state.iter_mut().zip(digest.as_chunks::<4>().0) {
        *word = u32::from_be_bytes(*bytes);
    }
    state
}

fn bytes(state: &State) -> [u8; 32] {
    let mut digest = [0; 32];
    for (bytes, word) in digest.as_chunks_mut::<4>().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    digest
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
