//! The random salt of the hashes under which the VMs remember clients and sources.

use super::LAYOUT;
use super::record;
use crate::host::Host;

/// The salt, which is created if it does not exist.
///
/// Envoy configures one VM alone before any other, so at start no other VM creates a salt at the same time. If two VMs
/// did, neither would find what the other remembers.
#[must_use]
pub fn salt(host: &dyn Host) -> [u8; 32] {
    let key = format!("{LAYOUT}/salt");
    let mut salt = [0; 32];
    let mut numbers = record::read(host, &key);
    if numbers.is_none() {
        host.random(&mut salt);
        let (random, _) = salt.as_chunks::<8>();
        let random: [[u8; 8]; 4] = random.try_into().unwrap_or_default();
        record::update(host, &key, |stored| {
            numbers = stored.or(Some(random.map(u64::from_le_bytes)));
            if stored.is_some() { None } else { numbers }
        });
    }
    for (bytes, number) in salt.as_chunks_mut().0.iter_mut().zip(numbers.unwrap_or_default()) {
        *bytes = number.to_le_bytes();
    }
    salt
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fake::FakeHost;

    #[test]
    fn there_is_one_salt_and_it_is_not_zero() {
        let host = FakeHost::default();
        let first = salt(&host);
        assert_ne!(first, [0; 32]);
        assert_eq!(salt(&host), first);
    }
}
