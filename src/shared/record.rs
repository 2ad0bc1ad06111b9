//! A few numbers under one key, changed by compare-and-swap.
//!
//! ```text
//! version:u8  then u64s, little-endian
//! ```
//! A value of another version or length is treated as absent.

use crate::host::{Host, HostError, Time, Write};
use crate::limits;

const VERSION: u8 = 1;

/// The numbers under `key`.
#[must_use]
pub fn read<const N: usize>(host: &dyn Host, key: &str) -> Option<[u64; N]> {
    decode(&host.shared(key)?.value)
}

/// Changes the numbers under `key`, where `change` gives others; it may be called again, with what another VM wrote
/// meanwhile. Whether they were changed.
pub fn update<const N: usize>(
    host: &dyn Host,
    key: &str,
    mut change: impl FnMut(Option<[u64; N]>) -> Option<[u64; N]>,
) -> bool {
    update_bytes(host, key, &mut |value| change(value.and_then(decode)).map(|it| encode(&it)))
}

/// From the bytes that stand there, those that are to.
type Change<'a> = dyn FnMut(Option<&[u8]>) -> Option<Vec<u8>> + 'a;

/// The same of bytes, once in the module and not once for each kind of record.
pub(super) fn update_bytes(host: &dyn Host, key: &str, change: &mut Change<'_>) -> bool {
    for _ in 0..limits::RECORD_TRIES {
        let stored = host.shared(key);
        let Some(value) = change(stored.as_ref().map(|stored| &*stored.value)) else {
            return false;
        };
        let write = stored.map_or(Write::Always, |stored| Write::IfUnchanged(stored.guard));
        match host.share(key, &value, write) {
            Ok(()) => return true,
            Err(HostError::Changed) => {}
            Err(HostError::Refused) => return false,
        }
    }
    false
}

/// A time as it is stored.
#[must_use]
pub fn nanoseconds(time: Time) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn encode(numbers: &[u64]) -> Vec<u8> {
    let mut value = vec![VERSION];
    for number in numbers {
        value.extend_from_slice(&number.to_le_bytes());
    }
    value
}

fn decode<const N: usize>(value: &[u8]) -> Option<[u64; N]> {
    let (&VERSION, rest) = value.split_first()? else { return None };
    let (numbers, []) = rest.as_chunks::<8>() else { return None };
    let numbers: &[[u8; 8]; N] = numbers.try_into().ok()?;
    Some(numbers.map(u64::from_le_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fake::FakeHost;
    use proptest::prelude::*;

    #[test]
    fn numbers_come_back_as_they_were_written() {
        let host = FakeHost::default();
        assert_eq!(read::<2>(&host, "a"), None);
        assert!(update(&host, "a", |none| none.is_none().then_some([1, u64::MAX])));
        assert!(update(&host, "a", |have| have.map(|[a, b]| [a + 1, b])));
        assert_eq!(read(&host, "a"), Some([2, u64::MAX]));
        assert!(!update::<2>(&host, "a", |_| None));
        assert_eq!(read::<3>(&host, "a"), None);
    }

    #[test]
    fn what_another_vm_wrote_meanwhile_is_not_lost() {
        let host = FakeHost::default();
        update(&host, "a", |_| Some([1]));
        let mut calls = 0;
        let changed = update(&host, "a", |have: Option<[u64; 1]>| {
            calls += 1;
            if calls == 1 {
                host.share("a", &encode(&[5]), Write::Always).unwrap();
            }
            have.map(|[number]| [number + 1])
        });
        assert!(changed);
        assert_eq!((read(&host, "a"), calls), (Some([6]), 2));
    }

    #[test]
    fn it_is_given_up_where_others_write_without_end() {
        let host = FakeHost::default();
        update(&host, "a", |_| Some([0]));
        let changed = update(&host, "a", |have: Option<[u64; 1]>| {
            host.share("a", &encode(&[7]), Write::Always).unwrap();
            have
        });
        assert!(!changed);
    }

    proptest! {
        #[test]
        fn no_value_makes_a_reader_panic(value in proptest::collection::vec(any::<u8>(), 0..40)) {
            let host = FakeHost::default();
            host.share("a", &value, Write::Always).unwrap();
            let _ = (read::<1>(&host, "a"), read::<4>(&host, "a"));
        }
    }
}
