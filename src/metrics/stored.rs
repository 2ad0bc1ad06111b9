//! The stored form of a [`Page`]: its text, followed by an index of its families, so that a reader does not parse it.
//!
//! ```text
//! page     text  family*  trailer
//! family   start:u32 help:u32 help_end:u32 name:u32 name_end:u32 body:u32 end:u32 samples:u32 flags:u32
//! flags    kind | exemplars << 8 | timestamps << 9 | conformance << 16
//! trailer  labels:u64 rendered:u64 families:u32 version:u32 checksum:u64
//! ```
//! All numbers are little-endian. The index follows the text, so the text keeps its position in memory. The checksum
//! covers the index and the trailer. A value that is cut short, has another version, or has an index that does not fit
//! its text is treated as absent. The text itself is not checked: readers do not panic on any content.

use super::extent::Extent;
use super::{Conformance, FamilySpan, Kind, Page, Report};
use crate::limits;

const VERSION: u32 = 1;
const FAMILY: usize = 9 * 4;
const TRAILER: usize = 8 + 8 + 4 + 4 + 8;
const CHECKSUM: usize = 8;

const EXEMPLARS: u32 = 1 << 8;
const TIMESTAMPS: u32 = 1 << 9;

impl Page {
    /// The page with its index, in the stored form.
    #[must_use]
    pub fn into_stored(self) -> Vec<u8> {
        let Self { text, families, extent, .. } = self;
        let mut bytes = text.into_bytes();
        let index = bytes.len();
        bytes.reserve_exact(families.len() * FAMILY + TRAILER);
        for family in &families {
            for number in family.numbers() {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
        }
        bytes.extend_from_slice(&(extent.labels as u64).to_le_bytes());
        bytes.extend_from_slice(&(extent.rendered as u64).to_le_bytes());
        bytes.extend_from_slice(&u32::try_from(families.len()).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        let checksum = checksum(bytes.get(index..).unwrap_or_default());
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads a page that was stored. Its report contains only the number of its samples.
    #[must_use]
    pub fn from_stored(mut bytes: Vec<u8>) -> Option<Self> {
        let (rest, &trailer) = bytes.split_last_chunk::<TRAILER>()?;
        let [labels, rendered, sizes, checksum_found] = *trailer.as_chunks::<8>().0 else {
            return None;
        };
        let [f0, f1, f2, f3, v0, v1, v2, v3] = sizes;
        let count = u32::from_le_bytes([f0, f1, f2, f3]) as usize;
        if u32::from_le_bytes([v0, v1, v2, v3]) != VERSION || count > limits::SOURCE_NAMES {
            return None;
        }
        let text_len = rest.len().checked_sub(count * FAMILY)?;
        let covered = bytes.get(text_len..bytes.len() - CHECKSUM)?;
        if checksum(covered) != u64::from_le_bytes(checksum_found) {
            return None;
        }
        let records = rest.get(text_len..)?.as_chunks::<FAMILY>().0;
        let families = records.iter().map(FamilySpan::read).collect::<Option<Vec<_>>>()?;
        let extent = Extent {
            labels: usize::try_from(u64::from_le_bytes(labels)).ok()?,
            rendered: usize::try_from(u64::from_le_bytes(rendered)).ok()?,
        };
        bytes.truncate(text_len);
        let text = String::from_utf8(bytes).ok()?;
        let samples = families.iter().map(|family| family.samples as usize).sum();
        if samples > limits::SOURCE_SAMPLES || !fit(&families, &text) {
            return None;
        }
        let report = Report { samples, ..Report::default() };
        Some(Self { text, families, report, extent })
    }
}

impl FamilySpan {
    fn numbers(&self) -> [u32; FAMILY / 4] {
        let mut flags = self.kind as u32 | (self.conformance as u32) << 16;
        flags |= if self.has_exemplars { EXEMPLARS } else { 0 };
        flags |= if self.has_timestamps { TIMESTAMPS } else { 0 };
        let Self { start, help, name, body, end, samples, .. } = *self;
        [start, help.0, help.1, name.0, name.1, body, end, samples, flags]
    }

    fn read(record: &[u8; FAMILY]) -> Option<Self> {
        let (words, _) = record.as_chunks::<4>();
        let mut numbers = words.iter().map(|&word| u32::from_le_bytes(word));
        let mut next = || numbers.next().unwrap_or_default();
        let (start, help, name) = (next(), (next(), next()), (next(), next()));
        let (body, end, samples, flags) = (next(), next(), next(), next());
        Some(Self {
            start,
            help,
            name,
            body,
            end,
            samples,
            kind: Kind::ALL.into_iter().find(|kind| *kind as u32 == flags & 0xff)?,
            has_exemplars: flags & EXEMPLARS != 0,
            has_timestamps: flags & TIMESTAMPS != 0,
            conformance: Conformance::ALL.into_iter().find(|it| *it as u32 == flags >> 16)?,
        })
    }
}

/// Returns true if the families follow each other without a gap from the beginning of the text to its end, each with
/// its parts in order and its last line complete.
fn fit(families: &[FamilySpan], text: &str) -> bool {
    let mut at = 0;
    let all_fit = families.iter().all(|family| {
        let FamilySpan { start, help, name, body, end, .. } = *family;
        let positions = [at, start, help.0, help.1, name.0, name.1, body, end];
        let is_cut = |at: u32| text.is_char_boundary(at as usize);
        let is_ended = |at: u32| {
            (at as usize).checked_sub(1).and_then(|at| text.as_bytes().get(at)) == Some(&b'\n')
        };
        at = end;
        start == positions[0]
            && positions.is_sorted()
            && positions.into_iter().all(is_cut)
            && is_ended(body)
            && is_ended(end)
            && name.0 < name.1
    });
    all_fit && at as usize == text.len()
}

/// FNV-1a. It protects against accidental damage, not against deliberate changes: an attacker with write access could
/// store any page.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::parse;
    use proptest::prelude::*;

    const PAGE: &str = concat!(
        "# HELP a Wörds\n# TYPE a counter\na{b=\"é\"} 1 7\n",
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 2\nh_sum 1\nh_count 2\nc -1\n",
    );

    fn page() -> Page {
        let page = parse::text(PAGE.into()).unwrap();
        page.with_labels(&[("source".into(), "é".into())]).unwrap()
    }

    #[test]
    fn a_stored_page_reads_back_unchanged() {
        let (written, read) = (page(), Page::from_stored(page().into_stored()).unwrap());
        assert_eq!((written.as_text(), &written.families), (read.as_text(), &read.families));
        assert_eq!(written.rendered_at_most(), read.rendered_at_most());
        assert_eq!(written.indented_by_at_most(), read.indented_by_at_most());
        assert_eq!(read.report().samples, 5);
        assert_eq!(Page::from_stored(Page::default().into_stored()), Some(Page::default()));
    }

    #[test]
    fn a_value_that_is_cut_short_longer_or_of_another_version_is_absent() {
        let good = page().into_stored();
        for end in 0..good.len() {
            assert_eq!(Page::from_stored(good[..end].to_vec()), None, "{end}");
        }
        assert_eq!(Page::from_stored([&good[..], &[0]].concat()), None);
        let mut newer = good;
        let version = newer.len() - CHECKSUM - 4;
        newer[version] += 1;
        assert_eq!(Page::from_stored(newer), None);
    }

    /// The stored page after a change of its index, with a matching checksum.
    fn with_index(change: impl Fn(&mut [u8])) -> Option<Page> {
        let mut bytes = page().into_stored();
        let index = bytes.len() - TRAILER - page().families.len() * FAMILY;
        let end = bytes.len() - CHECKSUM;
        change(&mut bytes[index..end]);
        let sum = checksum(&bytes[index..end]);
        bytes[end..].copy_from_slice(&sum.to_le_bytes());
        Page::from_stored(bytes)
    }

    #[test]
    fn an_index_that_does_not_fit_its_text_is_absent() {
        assert!(with_index(|_| {}).is_some());
        let records = page().families.len() * FAMILY;
        for at in (0..records).filter(|at| at % FAMILY < 28) {
            let found = with_index(|index| index[at] ^= 0x40);
            assert_eq!(found, None, "{at}");
        }
        // Two families that share a part of the text.
        assert_eq!(with_index(|index| index.copy_within(0..FAMILY, FAMILY)), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_reader_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            at in 0..400_usize,
            bit in 0..8_u8,
        ) {
            let _ = Page::from_stored(bytes);
            let mut bytes = page().into_stored();
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << bit;
            }
            for family in Page::from_stored(bytes).iter().flat_map(Page::families) {
                let _ = family.samples().count();
            }
        }
    }
}
