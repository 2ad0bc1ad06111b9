//! [`Reader`] and [`Writer`]: every value in shared data is read and written through these two.
//!
//! Numbers have a fixed width and are little-endian. A reader never panics: it returns `None` when the bytes end too
//! early, and [`Reader::end`] tells whether all bytes were read.

/// Reads from the front of a slice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// As many bytes as the array has.
    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    /// The next `length` bytes.
    pub(super) fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// The bytes that are not read yet.
    pub(super) const fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// True if all bytes are read.
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `None` if bytes are left.
    pub(super) fn end(&self) -> Option<()> {
        self.is_empty().then_some(())
    }
}

/// Appends to a vector.
#[derive(Debug)]
pub(super) struct Writer<'a>(&'a mut Vec<u8>);

impl<'a> Writer<'a> {
    pub(super) const fn new(bytes: &'a mut Vec<u8>) -> Self {
        Self(bytes)
    }

    pub(super) fn u8(&mut self, number: u8) -> &mut Self {
        self.bytes(&[number])
    }

    pub(super) fn u32(&mut self, number: u32) -> &mut Self {
        self.bytes(&number.to_le_bytes())
    }

    pub(super) fn u64(&mut self, number: u64) -> &mut Self {
        self.bytes(&number.to_le_bytes())
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// So many zero bytes.
    pub(super) fn zeros(&mut self, count: usize) -> &mut Self {
        self.0.resize(self.0.len() + count, 0);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_reader_returns_what_a_writer_wrote(
            small: u8, middle: u32, large: u64, bytes: Vec<u8>, zeros in 0..20_usize,
        ) {
            let mut written = Vec::new();
            Writer::new(&mut written).u8(small).u32(middle).u64(large).bytes(&bytes).zeros(zeros);
            let mut reader = Reader::new(&written);
            prop_assert_eq!(reader.u8(), Some(small));
            prop_assert_eq!(reader.u32(), Some(middle));
            prop_assert_eq!(reader.u64(), Some(large));
            prop_assert_eq!(reader.bytes(bytes.len()), Some(&*bytes));
            prop_assert_eq!(reader.is_empty(), zeros == 0);
            prop_assert_eq!(reader.rest(), vec![0; zeros]);
            prop_assert_eq!(reader.bytes(zeros), Some(&*vec![0; zeros]));
            prop_assert_eq!(reader.end(), Some(()));
        }

        #[test]
        fn a_reader_of_too_few_bytes_returns_none_and_reads_none(bytes in proptest::collection::vec(any::<u8>(), 0..8)) {
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.u64(), None);
            prop_assert_eq!(reader.bytes(bytes.len() + 1), None);
            prop_assert_eq!(reader.rest(), &*bytes);
            prop_assert_eq!(reader.end(), bytes.is_empty().then_some(()));
        }
    }
}
