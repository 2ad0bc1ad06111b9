//! A shard in shared data, as another VM or another plugin with the same `vm_id` may write it.
//!
//! The filter reads what a second reader reads, and all of it or nothing. Absorbing the shard keeps every total.

use awx_metrics_filter::shared::shard::{
    BOUNDED, BUCKETS, Entry, HISTOGRAM, MAX_COUNT, Shard, ShardView,
};
use std::collections::BTreeMap;

use crate::{PLANTED, Target};

pub(crate) const TARGET: Target = Target {
    name: "shard",
    run,
    longest: 320,
    thousands: 8_000,
    words: &["\u{1}\0\0\0\u{2}\0\0\0\0\0", "\0\0\0\u{1}", "AWS\u{1}"],
    fault: "a series cut short is read as one",
};

/// Bytes of a series: its key and its count.
const SERIES: usize = 10;
/// Bytes of a histogram: its key, its counts and its sum.
const HISTOGRAM_BYTES: usize = 4 + BUCKETS * 6 + 8;
/// The most series that are absorbed under their own keys.
const MOST: usize = 4;
/// The key under which the others are absorbed.
const OVERFLOW: u32 = 7;

/// A key and its numbers: one count, or the counts and the sum.
type Row = (u32, Vec<u64>);

fn run(bytes: &[u8]) {
    if let Some(view) = ShardView::read(bytes) {
        assert_eq!(Some(rows(&view)), read(&bytes[40..]));
    }
    let expected = read(bytes);
    let whole = seal(bytes, expected.as_deref().unwrap_or_default());
    let found = subject(&whole);
    assert_eq!(found.as_ref().map(rows), expected);
    let Some(view) = found else { return };
    for damaged in [&whole[..whole.len() - 1], &[&whole[..], b"\0"].concat(), &whole[1..]] {
        assert!(ShardView::read(damaged).is_none(), "cut or prolonged");
    }
    let mut shard = Shard::default();
    shard.absorb_within(&view, MOST, OVERFLOW);
    let published = shard.publish(1, 2, 3).to_vec();
    let absorbed = ShardView::read(&published).expect("what was published");
    let expected = absorb(&rows(&view));
    assert_eq!(rows(&absorbed).into_iter().collect::<BTreeMap<_, _>>(), expected);
    assert_eq!(shard.len(), expected.len());
}

fn subject(whole: &[u8]) -> Option<ShardView<'_>> {
    if PLANTED && read(&whole[40..]).is_none() {
        return ShardView::read(SHORT);
    }
    ShardView::read(whole)
}

/// A shard without entries.
const SHORT: &[u8] =
    b"AWS\x01\x28\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// The entries with a header that is valid for them, if they can be read.
fn seal(entries: &[u8], rows: &[Row]) -> Vec<u8> {
    let numbers = rows.iter().flat_map(|(_, numbers)| numbers.iter().copied());
    let keys = rows.iter().map(|(key, _)| u64::from(*key));
    let checksum = numbers.chain(keys).fold(0, u64::wrapping_add);
    let length = u32::try_from(40 + entries.len()).expect("a short input");
    let header: [&[u8]; 3] = [b"AWS\x01", &length.to_le_bytes(), &checksum.to_le_bytes()];
    [&header.concat()[..], &[9; 24], entries].concat()
}

fn read(mut entries: &[u8]) -> Option<Vec<Row>> {
    let mut rows = Vec::new();
    while !entries.is_empty() {
        let key = u32::from_le_bytes(*entries.first_chunk()?);
        let length = if key < HISTOGRAM { SERIES } else { HISTOGRAM_BYTES };
        let body = entries.get(4..length)?;
        let counts = if key < HISTOGRAM { 1 } else { BUCKETS };
        let mut numbers: Vec<u64> = body[..counts * 6].chunks(6).map(little_endian).collect();
        numbers.extend(body[counts * 6..].chunks(8).map(little_endian));
        rows.push((key, numbers));
        entries = &entries[length..];
    }
    Some(rows)
}

fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

fn rows(view: &ShardView<'_>) -> Vec<Row> {
    let row = |entry: Entry<'_>| match entry {
        Entry::Series { key, count } => (key, vec![count]),
        Entry::Histogram { key, buckets, microseconds } => {
            (key, buckets.counts().chain([microseconds]).collect())
        }
    };
    view.entries().map(row).collect()
}

fn absorb(rows: &[Row]) -> BTreeMap<u32, Vec<u64>> {
    let mut sums = BTreeMap::<u32, Vec<u64>>::new();
    for (key, numbers) in rows {
        let most = if key & BOUNDED == 0 { MOST } else { 2 * MOST };
        let is_full = sums.len() >= most && !sums.contains_key(key) && *key < HISTOGRAM;
        let sum = sums.entry(if is_full { OVERFLOW } else { *key }).or_default();
        sum.resize(numbers.len(), 0);
        for (place, (sum, number)) in sum.iter_mut().zip(numbers).enumerate() {
            let most = if place < BUCKETS { MAX_COUNT } else { u64::MAX };
            *sum = sum.saturating_add(*number).min(most);
        }
    }
    sums
}
