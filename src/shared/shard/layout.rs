//! The bytes of a shard: counters as they are published in shared data.
//!
//! ```text
//! shard      magic:u32 length:u32 checksum:u64 owner:u64 writes:u64 incarnation:u32 flags:u32  entry*
//! entry      series | histogram
//! series     key:u32 (bit 31 clear)  count:u48
//! histogram  key:u32 (bit 31 set)    count:u48 x BUCKETS  microseconds:u64
//! ```
//! All numbers are little-endian; `length` counts all bytes. The checksum is the sum of all keys, counts and
//! microseconds, modulo 2^64, so that incrementing a counter in place updates it with one addition. It detects a value
//! that another writer left under our key. It does not detect malice: a plugin that can write here can also forge it.
//!
//! Counters have a fixed width, because they are incremented in place (see [`crate::shared::shard`]), and 48 bits: a
//! worker that answers 100,000 requests a second fills one in 89 years. Durations are added up in whole microseconds, not
//! in floating point: the sum of integers does not depend on the order, so merging one shard into another never changes
//! the total by a rounding.

use crate::shared::codec::{Reader, Writer};

/// Buckets of a histogram, including the one without an upper bound.
pub const BUCKETS: usize = 14;

/// Marks the key of a histogram.
pub const HISTOGRAM: u32 = 1 << 31;

/// Marks the key of a series of which there are few, regardless of what clients send.
pub const BOUNDED: u32 = 1 << 30;

/// Bytes before the first entry.
pub const HEADER: usize = 40;
/// Bytes of a series.
pub const SERIES: usize = KEY + COUNT;
/// Bytes of a histogram.
pub const HISTOGRAM_ENTRY: usize = KEY + BUCKETS * COUNT + MICROSECONDS;

/// The largest count; a counter that reaches it stays there.
pub const MAX_COUNT: u64 = (1 << 48) - 1;

/// "AWS" and the version of this encoding.
const MAGIC: u32 = u32::from_le_bytes(*b"AWS\x01");
const KEY: usize = 4;
const COUNT: usize = 6;
const MICROSECONDS: usize = 8;

const LENGTH_AT: usize = 4;
const CHECKSUM_AT: usize = 8;
const STAMP_AT: usize = 16;

/// The writer of a shard, and the number of the write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// The VM.
    pub owner: u64,
    /// How many times the owner wrote the shard. No two writes have the same number, so a silent owner is noticed.
    pub writes: u64,
    /// The incarnation of the slot.
    pub incarnation: u32,
    /// Facts about the owner.
    pub flags: u32,
}

/// A shard as read. Its bytes are consistent.
#[derive(Clone, Copy, Debug)]
pub struct ShardView<'a> {
    /// Its writer.
    pub stamp: Stamp,
    entries: &'a [u8],
}

/// A part of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// A counter.
    Series {
        /// Identifies the counter.
        key: u32,
        /// The count.
        count: u64,
    },
    /// Counters by duration, and the sum of the durations.
    Histogram {
        /// Identifies the histogram; [`HISTOGRAM`] is set.
        key: u32,
        /// The counters, not cumulative.
        buckets: BucketCounts<'a>,
        /// The sum.
        microseconds: u64,
    },
}

impl Entry<'_> {
    /// Identifies the counter or histogram.
    #[must_use]
    pub const fn key(&self) -> u32 {
        match self {
            Self::Series { key, .. } | Self::Histogram { key, .. } => *key,
        }
    }

    /// Its part of the checksum.
    fn weight(&self) -> u64 {
        match self {
            Self::Series { key, count } => u64::from(*key).wrapping_add(*count),
            Self::Histogram { key, buckets, microseconds } => {
                let counts = buckets.counts().fold(0, u64::wrapping_add);
                u64::from(*key).wrapping_add(counts).wrapping_add(*microseconds)
            }
        }
    }
}

/// The counters of a histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BucketCounts<'a>(&'a [u8]);

impl BucketCounts<'_> {
    /// The counts, from the lowest bucket to the one without an upper bound.
    pub fn counts(&self) -> impl Iterator<Item = u64> {
        let (counts, _) = self.0.as_chunks();
        counts.iter().map(|&count| count_of(count))
    }
}

impl<'a> ShardView<'a> {
    /// Reads a shard; `None` for bytes that are not a whole shard.
    #[must_use]
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let (magic, length, checksum) = (reader.u32()?, reader.u32()?, reader.u64()?);
        let stamp = Stamp {
            owner: reader.u64()?,
            writes: reader.u64()?,
            incarnation: reader.u32()?,
            flags: reader.u32()?,
        };
        let view = Self { stamp, entries: reader.rest() };
        let fits = magic == MAGIC && usize::try_from(length) == Ok(bytes.len());
        (fits && view.checksum() == Some(checksum)).then_some(view)
    }

    /// A view of the bytes that this VM wrote itself, which need no check.
    pub(super) fn of_own_bytes(bytes: &'a [u8], stamp: Stamp) -> Self {
        Self { stamp, entries: bytes.get(HEADER..).unwrap_or_default() }
    }

    /// Its entries, in the order in which they were added.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'a>> + use<'a> {
        let mut reader = Reader::new(self.entries);
        std::iter::from_fn(move || entry(&mut reader))
    }

    /// The sum over all entries; `None` if the bytes do not end with an entry.
    fn checksum(&self) -> Option<u64> {
        let (mut reader, mut sum) = (Reader::new(self.entries), 0_u64);
        while !reader.is_empty() {
            sum = sum.wrapping_add(entry(&mut reader)?.weight());
        }
        Some(sum)
    }
}

fn entry<'a>(reader: &mut Reader<'a>) -> Option<Entry<'a>> {
    let key = reader.u32()?;
    if key & HISTOGRAM == 0 {
        return Some(Entry::Series { key, count: count_of(reader.array()?) });
    }
    let buckets = BucketCounts(reader.bytes(BUCKETS * COUNT)?);
    Some(Entry::Histogram { key, buckets, microseconds: reader.u64()? })
}

const fn count_of([a, b, c, d, e, f]: [u8; COUNT]) -> u64 {
    u64::from_le_bytes([a, b, c, d, e, f, 0, 0])
}

/// Makes `bytes` a shard without entries.
pub(super) fn reset(bytes: &mut Vec<u8>) {
    bytes.clear();
    Writer::new(bytes).u32(MAGIC).zeros(HEADER - size_of::<u32>());
    update_length(bytes);
}

/// Writes the stamp.
pub(super) fn set_stamp(bytes: &mut [u8], stamp: Stamp) {
    put(bytes, STAMP_AT, stamp.owner.to_le_bytes());
    put(bytes, STAMP_AT + 8, stamp.writes.to_le_bytes());
    put(bytes, STAMP_AT + 16, stamp.incarnation.to_le_bytes());
    put(bytes, STAMP_AT + 20, stamp.flags.to_le_bytes());
}

/// Appends an entry whose counters are zero; returns the offset of its first counter.
pub(super) fn append(bytes: &mut Vec<u8>, key: u32) -> usize {
    let length = if key & HISTOGRAM == 0 { SERIES } else { HISTOGRAM_ENTRY };
    let offset = bytes.len() + KEY;
    Writer::new(bytes).u32(key).zeros(length - KEY);
    update_length(bytes);
    add_to_checksum(bytes, u64::from(key));
    offset
}

/// Increments the counter at `offset`, of a series or the first of a histogram.
pub(super) fn increment(bytes: &mut [u8], offset: usize, by: u64) {
    let Some(counter) = bytes.get_mut(offset..).and_then(<[u8]>::first_chunk_mut::<COUNT>) else {
        return;
    };
    let old = count_of(*counter);
    let new = old.saturating_add(by).min(MAX_COUNT);
    let [a, b, c, d, e, f, _, _] = new.to_le_bytes();
    *counter = [a, b, c, d, e, f];
    add_to_checksum(bytes, new - old);
}

/// Increments one counter of the histogram whose counters begin at `offset`.
pub(super) fn increment_bucket(bytes: &mut [u8], offset: usize, bucket: usize, by: u64) {
    increment(bytes, offset + bucket.min(BUCKETS - 1) * COUNT, by);
}

/// Adds to the sum of the histogram whose counters begin at `offset`.
pub(super) fn add_to_sum(bytes: &mut [u8], offset: usize, microseconds: u64) {
    let offset = offset + BUCKETS * COUNT;
    let Some(old) = number(bytes, offset) else { return };
    let new = old.saturating_add(microseconds);
    put(bytes, offset, new.to_le_bytes());
    add_to_checksum(bytes, new - old);
}

fn update_length(bytes: &mut [u8]) {
    // No shard comes near 4 GiB; one that did would be treated as absent.
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    put(bytes, LENGTH_AT, length.to_le_bytes());
}

fn add_to_checksum(bytes: &mut [u8], by: u64) {
    let Some(old) = number(bytes, CHECKSUM_AT) else { return };
    put(bytes, CHECKSUM_AT, old.wrapping_add(by).to_le_bytes());
}

fn number(bytes: &[u8], offset: usize) -> Option<u64> {
    bytes.get(offset..)?.first_chunk().map(|&bytes| u64::from_le_bytes(bytes))
}

fn put<const N: usize>(bytes: &mut [u8], offset: usize, value: [u8; N]) {
    if let Some(old) = bytes.get_mut(offset..).and_then(<[u8]>::first_chunk_mut) {
        *old = value;
    }
}
