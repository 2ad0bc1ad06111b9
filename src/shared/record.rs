//! A few numbers under one key, changed by compare-and-swap.
//!
//! ```text
//! version:u8  then u64s, little-endian
//! ```
//! A value of another version or length is treated as absent.

use super::codec::{Reader, Writer};
use crate::host::{Host, HostError, Time, Write};
use crate::limits;

const VERSION: u8 = 1;

/// The numbers under `key`.
#[must_use]
pub fn read<const N: usize>(host: &dyn Host, key: &str) -> Option<[u64; N]> {
    decode(&host.shared(key)?.value)
}

/// Changes the numbers under `key` to those that `change` returns, unless it returns `None`. `change` is called again if
/// another VM wrote in the meantime. Returns true if the numbers were changed.
pub fn update<const N: usize>(
    host: &dyn Host,
    key: &str,
    mut change: impl FnMut(Option<[u64; N]>) -> Option<[u64; N]>,
) -> bool {
    update_bytes(host, key, &mut |value| change(value.and_then(decode)).map(|it| encode(&it)))
}

/// Returns the new value for a stored one.
type Change<'a> = dyn FnMut(Option<&[u8]>) -> Option<Vec<u8>> + 'a;

/// [`update`] for bytes. The module contains it once, and not once for each number of numbers.
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
    let mut value = Vec::with_capacity(1 + size_of_val(numbers));
    let mut writer = Writer::new(&mut value);
    writer.u8(VERSION);
    for number in numbers {
        writer.u64(*number);
    }
    value
}

fn decode<const N: usize>(value: &[u8]) -> Option<[u64; N]> {
    let mut reader = Reader::new(value);
    if reader.u8()? != VERSION {
        return None;
    }
    let mut numbers = [0; N];
    for number in &mut numbers {
        *number = reader.u64()?;
    }
    reader.end()?;
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fake::FakeHost;
    use proptest::prelude::*;

    #[test]
    fn numbers_read_back_as_they_were_written() {
        let host = FakeHost::default();
        assert_eq!(read::<2>(&host, "a"), None);
        assert!(update(&host, "a", |none| none.is_none().then_some([1, u64::MAX])));
        assert!(update(&host, "a", |have| have.map(|[a, b]| [a + 1, b])));
        assert_eq!(read(&host, "a"), Some([2, u64::MAX]));
        assert!(!update::<2>(&host, "a", |_| None));
        assert_eq!(read::<3>(&host, "a"), None);
    }

    #[test]
    fn a_concurrent_write_of_another_vm_is_not_lost() {
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
    fn an_update_gives_up_if_others_keep_writing() {
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
        fn reading_an_arbitrary_value_does_not_panic(value in proptest::collection::vec(any::<u8>(), 0..40)) {
            let host = FakeHost::default();
            host.share("a", &value, Write::Always).unwrap();
            let _ = (read::<1>(&host, "a"), read::<4>(&host, "a"));
        }
    }
}
