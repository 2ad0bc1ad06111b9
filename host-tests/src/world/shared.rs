//! Shared data and shared queues.
//!
//! The semantics are Envoy's (proxy-wasm-cpp-host, `src/shared_data.cc` and `src/shared_queue.cc`): one lock for all
//! keys, copies in and out, a number that changes with every write, and a missing key that ignores the caller's number.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Mutex;

use super::locked;

/// Another write has changed the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CasMismatch;

/// Keys and values. A module can neither delete nor list them; tests can list them.
#[derive(Debug, Default)]
pub struct SharedData(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    values: HashMap<Vec<u8>, (Vec<u8>, u32)>,
    last_cas: u32,
}

impl Table {
    /// Never 0, which means "overwrite any value".
    fn next_cas(&mut self) -> u32 {
        self.last_cas = self.last_cas.checked_add(1).unwrap_or(1);
        self.last_cas
    }
}

impl SharedData {
    /// The value and its CAS number.
    #[must_use]
    pub fn value(&self, key: &[u8]) -> Option<(Vec<u8>, u32)> {
        locked(&self.0).values.get(key).cloned()
    }

    /// Writes a value, unless `cas` is neither 0 nor the number of the current value.
    ///
    /// # Errors
    /// [`CasMismatch`]; never for a key that does not exist.
    pub fn write(&self, key: &[u8], value: &[u8], cas: u32) -> Result<(), CasMismatch> {
        let mut table = locked(&self.0);
        if let Some((_, current)) = table.values.get(key)
            && cas != 0
            && cas != *current
        {
            return Err(CasMismatch);
        }
        let cas = table.next_cas();
        table.values.insert(key.to_vec(), (value.to_vec(), cas));
        Ok(())
    }

    /// All keys with the lengths of their values, sorted.
    #[must_use]
    pub fn sizes(&self) -> BTreeMap<Vec<u8>, usize> {
        let table = locked(&self.0);
        table.values.iter().map(|(key, (value, _))| (key.clone(), value.len())).collect()
    }
}

/// Queues of byte strings. Numbers start at 1.
#[derive(Debug, Default)]
pub struct Queues(Mutex<Vec<NamedQueue>>);

type NamedQueue = (Vec<u8>, VecDeque<Vec<u8>>);

impl Queues {
    /// The number of the queue of this name, created if it does not exist. An existing queue keeps its content.
    pub fn register(&self, name: &[u8]) -> u32 {
        let mut queues = locked(&self.0);
        let place = queues.iter().position(|(have, _)| have == name).unwrap_or_else(|| {
            queues.push((name.to_vec(), VecDeque::new()));
            queues.len() - 1
        });
        u32::try_from(place + 1).unwrap_or(u32::MAX)
    }

    /// The number of the queue of this name.
    #[must_use]
    pub fn resolve(&self, name: &[u8]) -> Option<u32> {
        let queues = locked(&self.0);
        let place = queues.iter().position(|(have, _)| have == name)?;
        u32::try_from(place + 1).ok()
    }

    /// Takes the oldest value: `None` if there is no such queue, `Some(None)` if it is empty.
    pub fn take(&self, queue: u32) -> Option<Option<Vec<u8>>> {
        self.on(queue, VecDeque::pop_front)
    }

    /// Appends a value; `false` if there is no such queue.
    pub fn put(&self, queue: u32, value: Vec<u8>) -> bool {
        self.on(queue, |queue| queue.push_back(value)).is_some()
    }

    fn on<T>(&self, queue: u32, act: impl FnOnce(&mut VecDeque<Vec<u8>>) -> T) -> Option<T> {
        let place = usize::try_from(queue).ok()?.checked_sub(1)?;
        locked(&self.0).get_mut(place).map(|(_, queue)| act(queue))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_to_a_missing_key_ignores_the_cas_number() {
        let shared = SharedData::default();
        assert_eq!(shared.write(b"k", b"v", 77), Ok(()));
        assert_eq!(shared.value(b"k").unwrap().0, b"v");
    }

    #[test]
    fn an_outdated_cas_number_writes_nothing() {
        let shared = SharedData::default();
        shared.write(b"k", b"1", 0).unwrap();
        let (_, cas) = shared.value(b"k").unwrap();
        shared.write(b"k", b"2", cas).unwrap();
        assert_eq!(shared.write(b"k", b"3", cas), Err(CasMismatch));
        assert_eq!(shared.value(b"k").unwrap().0, b"2");
    }

    #[test]
    fn the_cas_number_zero_overwrites_any_value() {
        let shared = SharedData::default();
        shared.write(b"k", b"1", 0).unwrap();
        shared.write(b"k", b"2", 0).unwrap();
        assert_eq!(shared.value(b"k").unwrap().0, b"2");
    }

    #[test]
    fn a_queue_is_first_in_first_out() {
        let queues = Queues::default();
        let queue = queues.register(b"q");
        assert_eq!(queues.register(b"q"), queue);
        assert!(queues.put(queue, b"a".to_vec()));
        assert!(queues.put(queue, b"b".to_vec()));
        assert_eq!(queues.take(queue), Some(Some(b"a".to_vec())));
        assert_eq!(queues.take(queue), Some(Some(b"b".to_vec())));
        assert_eq!(queues.take(queue), Some(None));
        assert_eq!(queues.take(queue + 1), None);
    }
}
