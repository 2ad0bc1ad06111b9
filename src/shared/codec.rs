//! The bytes of a shard: counters as published in shared data.
//!
//! ```text
//! shard      magic:u32 length:u32 checksum:u64 owner:u64 writes:u64 incarnation:u32 flags:u32  entry*
//! entry      series | histogram
//! series     key:u32 (bit 31 clear)  count:u48
//! histogram  key:u32 (bit 31 set)    count:u48 x BUCKETS  microseconds:u64
//! ```
//! All little-endian, `length` that of the whole. The checksum is the sum of all keys, counts and microseconds, modulo
//! 2^64, so that raising a counter in place keeps it right with one addition; it tells a value that another writer left
//! under our key, not malice: whoever can write here can lie as well.
//!
//! Counters have a fixed width, because they are raised in place (see [`crate::shared::shard`]), and 48 bits: a worker
//! that answers 100,000 requests a second fills them in 89 years. Durations are added up in whole microseconds, not in
//! floating point: adding integers gives the same sum in whatever order, so that folding one shard into another never
//! moves the total, not even by a rounding.

/// BucketCounts of a histogram, the one without an upper bound included.
pub const BUCKETS: usize = 14;

/// Marks the key of a histogram.
pub const HISTOGRAM: u32 = 1 << 31;

/// Marks the key of a series of which there are few, whatever clients do.
pub const BOUNDED: u32 = 1 << 30;

/// Bytes before the first entry.
pub const HEADER: usize = 40;
/// Bytes of a series.
pub const SERIES: usize = KEY + COUNT;
/// Bytes of a histogram.
pub const HISTOGRAM_ENTRY: usize = KEY + BUCKETS * COUNT + MICROSECONDS;

/// The largest count; what goes beyond stays there.
pub const MAX_COUNT: u64 = (1 << 48) - 1;

/// "AWS" and the version of this encoding.
const MAGIC: u32 = u32::from_le_bytes(*b"AWS\x01");
const KEY: usize = 4;
const COUNT: usize = 6;
const MICROSECONDS: usize = 8;

const LENGTH_AT: usize = 4;
const CHECKSUM_AT: usize = 8;
const STAMP_AT: usize = 16;

/// Who wrote a shard, and when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// The VM.
    pub owner: u64,
    /// How often the owner wrote it: any two writes differ, so that a silent owner shows.
    pub writes: u64,
    /// Which occupancy of the slot.
    pub incarnation: u32,
    /// What else there is to say of the owner.
    pub flags: u32,
}

/// A shard as read: its bytes fit together.
#[derive(Clone, Copy, Debug)]
pub struct ShardView<'a> {
    /// Who wrote it.
    pub stamp: Stamp,
    entries: &'a [u8],
}

/// What a shard is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// A counter.
    Series {
        /// What it counts.
        key: u32,
        /// How much.
        count: u64,
    },
    /// Counters by duration, and the sum of the durations.
    Histogram {
        /// What it measures; [`HISTOGRAM`] is set.
        key: u32,
        /// The counters, not cumulative.
        buckets: BucketCounts<'a>,
        /// The sum.
        microseconds: u64,
    },
}

impl Entry<'_> {
    /// What it counts or measures.
    #[must_use]
    pub const fn key(&self) -> u32 {
        match self {
            Self::Series { key, .. } | Self::Histogram { key, .. } => *key,
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
    /// Reads a shard; `None` for anything that is not one, whole.
    #[must_use]
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let (header, entries) = bytes.split_first_chunk::<HEADER>()?;
        let mut header = Reader(header);
        let (magic, length, checksum) = (header.u32()?, header.u32()?, header.u64()?);
        let stamp = Stamp {
            owner: header.u64()?,
            writes: header.u64()?,
            incarnation: header.u32()?,
            flags: header.u32()?,
        };
        let view = Self { stamp, entries };
        let fits = magic == MAGIC && usize::try_from(length) == Ok(bytes.len());
        (fits && view.checksum() == Some(checksum)).then_some(view)
    }

    /// A shard of one's own, which needs no checking.
    pub(super) fn of_own(bytes: &'a [u8], stamp: Stamp) -> Self {
        Self { stamp, entries: bytes.get(HEADER..).unwrap_or_default() }
    }

    /// Its entries, in the order in which they came up.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'a>> + use<'a> {
        let mut reader = Reader(self.entries);
        std::iter::from_fn(move || reader.entry())
    }

    /// The sum over all entries; `None` where the bytes do not end with an entry.
    fn checksum(&self) -> Option<u64> {
        let (mut reader, mut sum) = (Reader(self.entries), 0_u64);
        while !reader.0.is_empty() {
            sum = sum.wrapping_add(weight(&reader.entry()?));
        }
        Some(sum)
    }
}

fn weight(entry: &Entry<'_>) -> u64 {
    match entry {
        Entry::Series { key, count } => u64::from(*key).wrapping_add(*count),
        Entry::Histogram { key, buckets, microseconds } => {
            let counts = buckets.counts().fold(0, u64::wrapping_add);
            u64::from(*key).wrapping_add(counts).wrapping_add(*microseconds)
        }
    }
}

/// Takes numbers off the front of bytes.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    fn entry(&mut self) -> Option<Entry<'a>> {
        let key = self.u32()?;
        if key & HISTOGRAM == 0 {
            return Some(Entry::Series { key, count: count_of(self.array()?) });
        }
        let (buckets, rest) = self.0.split_at_checked(BUCKETS * COUNT)?;
        self.0 = rest;
        Some(Entry::Histogram { key, buckets: BucketCounts(buckets), microseconds: self.u64()? })
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }
}

const fn count_of([a, b, c, d, e, f]: [u8; COUNT]) -> u64 {
    u64::from_le_bytes([a, b, c, d, e, f, 0, 0])
}

/// A shard of no entries.
pub(super) fn empty(bytes: &mut Vec<u8>) {
    bytes.clear();
    bytes.extend_from_slice(&MAGIC.to_le_bytes());
    bytes.resize(HEADER, 0);
    set_length(bytes);
}

/// Says who writes the shard.
pub(super) fn stamp(bytes: &mut [u8], stamp: Stamp) {
    put(bytes, STAMP_AT, stamp.owner.to_le_bytes());
    put(bytes, STAMP_AT + 8, stamp.writes.to_le_bytes());
    put(bytes, STAMP_AT + 16, stamp.incarnation.to_le_bytes());
    put(bytes, STAMP_AT + 20, stamp.flags.to_le_bytes());
}

/// Adds an entry whose counters are zero; returns where its counters begin.
pub(super) fn append(bytes: &mut Vec<u8>, key: u32) -> usize {
    let length = if key & HISTOGRAM == 0 { SERIES } else { HISTOGRAM_ENTRY };
    let at = bytes.len() + KEY;
    bytes.extend_from_slice(&key.to_le_bytes());
    bytes.resize(at - KEY + length, 0);
    set_length(bytes);
    add_to_checksum(bytes, u64::from(key));
    at
}

/// Raises the counter at `at`, of a series or the first of a histogram.
pub(super) fn raise(bytes: &mut [u8], at: usize, by: u64) {
    let Some(place) = bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<COUNT>) else {
        return;
    };
    let old = count_of(*place);
    let new = old.saturating_add(by).min(MAX_COUNT);
    let [a, b, c, d, e, f, _, _] = new.to_le_bytes();
    *place = [a, b, c, d, e, f];
    add_to_checksum(bytes, new - old);
}

/// Raises one counter of the histogram whose counters begin at `at`.
pub(super) fn raise_bucket(bytes: &mut [u8], at: usize, bucket: usize, by: u64) {
    raise(bytes, at + bucket.min(BUCKETS - 1) * COUNT, by);
}

/// Raises the sum of the histogram whose counters begin at `at`.
pub(super) fn raise_sum(bytes: &mut [u8], at: usize, microseconds: u64) {
    let at = at + BUCKETS * COUNT;
    let Some(old) = number(bytes, at) else { return };
    let new = old.saturating_add(microseconds);
    put(bytes, at, new.to_le_bytes());
    add_to_checksum(bytes, new - old);
}

fn set_length(bytes: &mut [u8]) {
    // No shard comes near 4 GiB; one that did would not read back.
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    put(bytes, LENGTH_AT, length.to_le_bytes());
}

fn add_to_checksum(bytes: &mut [u8], by: u64) {
    let Some(old) = number(bytes, CHECKSUM_AT) else { return };
    put(bytes, CHECKSUM_AT, old.wrapping_add(by).to_le_bytes());
}

fn number(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|&bytes| u64::from_le_bytes(bytes))
}

fn put<const N: usize>(bytes: &mut [u8], at: usize, value: [u8; N]) {
    if let Some(place) = bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
        *place = value;
    }
}
