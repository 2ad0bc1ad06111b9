//! Sorts strings in time linear in their bytes, except for sorting integers.
//!
//! Strings are compared seven bytes at a time: a whole slice is sorted by the first seven, then each run of equal keys
//! by the next seven, and so on. No prefix is read twice, for any labels. Equal strings end up next to each other, so
//! duplicates are found without a hash table.

use std::cmp::Ordering;

/// A string to sort by, and the index of its item.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    chunk: u64,
    start: u32,
    end: u32,
    /// The index of the caller's item.
    pub(crate) index: u32,
}

impl Key {
    /// A key for the string `ink[start..end]`.
    pub(crate) const fn new(start: u32, end: u32, index: u32) -> Self {
        Self { chunk: 0, start, end, index }
    }

    /// The key's string.
    pub(crate) fn of<'a>(&self, ink: &'a [u8]) -> &'a [u8] {
        ink.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    /// Seven bytes from `depth` on, with their number in the lowest byte, so that the end of a string sorts before any
    /// byte. The number 8 means seven bytes with more after them.
    fn chunk_at(&self, ink: &[u8], depth: usize) -> u64 {
        let rest = self.of(ink).get(depth..).unwrap_or_default();
        if let Some(word) = rest.first_chunk::<8>() {
            return u64::from_be_bytes(*word) & !0xff | 8;
        }
        let mut word = [0; 8];
        for (to, from) in word.iter_mut().zip(rest) {
            *to = *from;
        }
        u64::from_be_bytes(word) | rest.len() as u64
    }

    const fn is_last_chunk(&self) -> bool {
        self.chunk & 0xff < 8
    }
}

/// Sorts keys by their strings, and keys of equal strings by `tie`, which receives their indices.
///
/// `tie` is dynamic because each further type of it adds 9 kB to the module, and it is only called for equal strings.
pub(crate) fn sort(ink: &[u8], keys: &mut [Key], tie: &mut dyn FnMut(u32, u32) -> Ordering) {
    let mut work = vec![(0, keys.len(), 0)];
    while let Some((from, to, depth)) = work.pop() {
        let Some(slice) = keys.get_mut(from..to) else { continue };
        for key in slice.iter_mut() {
            key.chunk = key.chunk_at(ink, depth);
        }
        slice.sort_unstable_by_key(|key| key.chunk);
        let mut at = from;
        for run in slice.chunk_by_mut(|a, b| a.chunk == b.chunk) {
            let end = at + run.len();
            match run {
                [] | [_] => {}
                [key, ..] if key.is_last_chunk() => {
                    run.sort_unstable_by(|a, b| tie(a.index, b.index));
                }
                _ => work.push((at, end, depth + 7)),
            }
            at = end;
        }
    }
}

/// True for each string that repeats an earlier one, by the indexes of the sorted keys. `count` is the number of strings.
pub(crate) fn repeats(ink: &[u8], keys: &[Key], count: usize) -> Vec<bool> {
    let mut repeats = vec![false; count];
    for pair in keys.windows(2) {
        if let [kept, later] = pair
            && kept.of(ink) == later.of(ink)
            && let Some(repeat) = repeats.get_mut(later.index as usize)
        {
            *repeat = true;
        }
    }
    repeats
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sorted(strings: &[&[u8]]) -> Vec<u32> {
        let mut ink = Vec::new();
        let mut keys = Vec::new();
        for (index, string) in (0..).zip(strings) {
            let start = u32::try_from(ink.len()).unwrap();
            ink.extend_from_slice(string);
            keys.push(Key::new(start, u32::try_from(ink.len()).unwrap(), index));
        }
        sort(&ink, &mut keys, &mut |a, b| a.cmp(&b));
        keys.iter().map(|key| key.index).collect()
    }

    #[test]
    fn the_end_of_a_string_sorts_before_a_zero_byte() {
        assert_eq!(sorted(&[b"a\0", b"a", b"a\0\0\0\0\0\0", b"a\0\0\0\0\0\0\0"]), [1, 0, 2, 3]);
    }

    proptest! {
        #[test]
        fn keys_are_sorted_by_their_strings_and_then_by_the_tie(
            strings in proptest::collection::vec("[ab\0]{0,20}", 0..60),
        ) {
            let bytes: Vec<&[u8]> = strings.iter().map(|string| string.as_bytes()).collect();
            let mut expected: Vec<u32> = (0..).take(bytes.len()).collect();
            expected.sort_by_key(|&index| bytes[index as usize]);
            prop_assert_eq!(sorted(&bytes), expected);
        }
    }
}
