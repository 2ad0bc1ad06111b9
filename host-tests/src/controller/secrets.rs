//! Random strings: tokens, session keys, CSRF secrets, request ids.

use rustls::crypto::ring;

const ALPHABET: &[u8; 62] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/// Letters and digits.
pub(super) fn alphanumeric(length: usize) -> String {
    random(length).iter().map(|&byte| letter(usize::from(byte))).collect()
}

/// Hexadecimal digits.
pub(super) fn hexadecimal(length: usize) -> String {
    random(length).iter().map(|byte| format!("{:x}", byte % 16)).collect()
}

/// Hides a CSRF secret behind a mask of its length, as Django does in its forms, so that no two replies contain the
/// same text.
pub(super) fn masked(secret: &str) -> String {
    let mask = alphanumeric(secret.len());
    let cipher = secret.chars().zip(mask.chars());
    let cipher = cipher.map(|(plain, mask)| letter(position(plain) + position(mask)));
    format!("{mask}{}", cipher.collect::<String>())
}

/// True if `token` is `secret`, plain or masked.
pub(super) fn is_token_of(token: &str, secret: &str) -> bool {
    if !token.is_ascii() || token.len() != 2 * secret.len() {
        return token == secret;
    }
    let (mask, cipher) = token.split_at(secret.len());
    let plain = cipher.chars().zip(mask.chars());
    plain.map(|(cipher, mask)| letter(position(cipher) + 62 - position(mask))).eq(secret.chars())
}

fn random(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let provider = ring::default_provider();
    provider.secure_random.fill(&mut bytes).expect("the system has randomness");
    bytes
}

fn letter(position: usize) -> char {
    char::from(ALPHABET[position % ALPHABET.len()])
}

fn position(letter: char) -> usize {
    ALPHABET.iter().position(|&have| char::from(have) == letter).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masked_secret_is_recognised_and_another_is_not() {
        let secret = alphanumeric(32);
        let token = masked(&secret);
        assert_eq!(token.len(), 64);
        assert!(is_token_of(&token, &secret));
        assert!(is_token_of(&secret, &secret));
        assert!(!is_token_of(&token, &alphanumeric(32)));
        assert!(!is_token_of("", &secret));
    }
}
