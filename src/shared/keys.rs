//! Names of keys that belong to one configuration of `auth`.

use super::LAYOUT;
use std::fmt::Write as _;

/// The key of a value that belongs to the configuration whose `auth` has this hash. 16 bytes of the hash identify it.
pub(super) fn key(kind: &str, auth_key: &[u8; 32]) -> String {
    let mut key = format!("{LAYOUT}/{kind}/");
    for byte in auth_key.iter().take(16) {
        // Writing to a String cannot fail.
        let _ = write!(key, "{byte:02x}");
    }
    key
}

/// The key of one of several numbered places. Each byte of the number becomes two letters, so every key takes the same
/// time to make: the time does not reveal which place a client's credentials have.
pub(super) fn place_key(key: &str, place: u64) -> String {
    let [low, high, ..] = place.to_le_bytes();
    let mut place_key = String::with_capacity(key.len() + 5);
    place_key.push_str(key);
    place_key.push('/');
    for nibble in [high >> 4, high & 0xf, low >> 4, low & 0xf] {
        place_key.push(char::from(b'a' + nibble));
    }
    place_key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_by_kind_configuration_and_place_and_have_the_same_length() {
        let key = key("permits", &[0xab; 32]);
        assert_eq!(key, format!("{LAYOUT}/permits/{}", "ab".repeat(16)));
        assert_eq!(place_key(&key, 0x01_2f), format!("{key}/abcp"));
        let places: std::collections::BTreeSet<_> =
            (0..=u64::from(u16::MAX)).map(|place| place_key("k", place)).collect();
        assert_eq!(places.len(), 1 << 16);
        assert!(places.iter().all(|key| key.len() == 6));
    }
}
