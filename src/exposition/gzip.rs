//! Compresses pages in which only the end changes: one gzip member (RFC 1952) with a beginning that is compressed once.
//!
//! The blocks of the beginning end on a byte boundary, with an empty stored block as in zlib's full flush, and no later
//! block refers back to them. Each page therefore consists of the same bytes, followed by its own blocks, checksum and
//! length. It is one member, since some clients stop after the first.
//!
//! A large beginning is compressed in steps ([`Compression`]). The compressor uses about 320 kB while it runs. Clearing
//! this memory takes a tenth of the time of compressing 20 kB, so no compressor is kept. Its output is at most a few
//! bytes longer than the page.

mod crc;

use crate::limits;
use crc::Crc;
use miniz_oxide::DataFormat;
use miniz_oxide::deflate::core::{
    CompressionStrategy, CompressorOxide, TDEFLFlush, TDEFLStatus, compress_to_output,
};
use std::rc::Rc;

/// The value of Content-Encoding.
pub const CODING: &str = "gzip";

/// Deflate, no name, no time, unknown operating system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// The levels of miniz_oxide. Level 1 compresses a controller's page of 23 kB to 4.9 kB; level 4 to 3.9 kB in three
/// times the time; level 6 saves 60 more bytes in five times the time. Of the gateway's own 21 kB level 1 makes 2.4 kB,
/// level 4 2.0 kB.
const FAST: u8 = 1;
const WELL: u8 = 4;

/// The largest window of deflate.
const WINDOW_BITS: u8 = 15;

/// The unchanged beginning of a page, compressed.
#[derive(Debug)]
pub struct Prefix {
    /// The last page: the prefix, followed by the last tail.
    member: Rc<Vec<u8>>,
    /// The length of the prefix in `member`.
    end: usize,
    crc: Crc,
    /// The uncompressed length, modulo 2^32.
    length: u32,
}

/// A prefix that is being compressed.
pub struct Compression {
    compressor: Box<CompressorOxide>,
    member: Vec<u8>,
    crc: Crc,
    /// Bytes compressed so far.
    done: usize,
}

/// The result of a step.
#[derive(Debug)]
pub enum CompressionStep {
    /// The prefix is not complete.
    Continues,
    /// The prefix is complete.
    Complete(Prefix),
    /// The compressor failed. No failure is expected; the page is then served uncompressed.
    Failed,
}

/// Returns true if a page of this length is worth compressing.
#[must_use]
pub const fn is_worthwhile(length: usize) -> bool {
    length >= limits::COMPRESSED_BYTES
}

impl Compression {
    /// Begins to compress a prefix of this length.
    #[must_use]
    pub fn new(length: usize) -> Self {
        let level = if length <= limits::COMPRESSED_WELL_BYTES { WELL } else { FAST };
        Self { compressor: compressor(level), member: HEADER.to_vec(), crc: Crc::new(), done: 0 }
    }

    /// Compresses about this many more bytes of the prefix, which must be the same in each step.
    pub fn step(&mut self, prefix: &[u8], bytes: usize) -> CompressionStep {
        let end = self.done.saturating_add(bytes).min(prefix.len());
        let part = prefix.get(self.done..end).unwrap_or_default();
        let is_last = end == prefix.len();
        let flush = if is_last { TDEFLFlush::Full } else { TDEFLFlush::None };
        if !prefix.is_empty()
            && deflate(&mut self.compressor, part, flush, &mut self.member).is_none()
        {
            return CompressionStep::Failed;
        }
        self.crc = self.crc.then(part);
        self.done = end;
        if !is_last {
            return CompressionStep::Continues;
        }
        let member = std::mem::take(&mut self.member);
        let (end, length) = (member.len(), modulo(prefix.len()));
        CompressionStep::Complete(Prefix { member: Rc::new(member), end, crc: self.crc, length })
    }
}

impl Prefix {
    /// Compresses a prefix at once. Returns `None` if the compressor fails.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        match Compression::new(bytes.len()).step(bytes, usize::MAX) {
            CompressionStep::Complete(prefix) => Some(prefix),
            CompressionStep::Continues | CompressionStep::Failed => None,
        }
    }

    /// The whole page, with this tail in place of the last one. The memory is reused unless the last page is still
    /// referenced. Returns `None` if the compressor fails.
    #[must_use]
    pub fn with_tail(&mut self, tail: &[u8]) -> Option<Rc<Vec<u8>>> {
        let member = Rc::make_mut(&mut self.member);
        member.truncate(self.end);
        deflate(&mut compressor(FAST), tail, TDEFLFlush::Finish, member)?;
        let length = self.length.wrapping_add(modulo(tail.len()));
        member.extend_from_slice(&self.crc.then(tail).value().to_le_bytes());
        member.extend_from_slice(&length.to_le_bytes());
        Some(Rc::clone(&self.member))
    }
}

fn compressor(level: u8) -> Box<CompressorOxide> {
    let strategy = CompressionStrategy::Default;
    Box::new(CompressorOxide::with_params(DataFormat::Raw, level, strategy, WINDOW_BITS))
}

/// Appends bytes as blocks. `flush` determines their end.
fn deflate(
    compressor: &mut CompressorOxide,
    bytes: &[u8],
    flush: TDEFLFlush,
    out: &mut Vec<u8>,
) -> Option<()> {
    let (status, taken) = compress_to_output(compressor, bytes, flush, |compressed| {
        out.extend_from_slice(compressed);
        true
    });
    let is_done = status == TDEFLStatus::Done || status == TDEFLStatus::Okay;
    (is_done && taken == bytes.len()).then_some(())
}

#[expect(clippy::cast_possible_truncation, reason = "as gzip counts")]
const fn modulo(length: usize) -> u32 {
    length as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Read;

    const PAGE: &[u8] = include_bytes!("../../host-tests/fixtures/captures/m/m-admin-text.body");

    /// Decompresses with zlib, not with the gateway's code. The first member must be the last.
    fn read(member: &[u8]) -> Vec<u8> {
        let mut decoder = flate2::bufread::GzDecoder::new(member);
        let mut page = Vec::new();
        decoder.read_to_end(&mut page).unwrap();
        assert_eq!(decoder.into_inner(), b"");
        page
    }

    fn whole(prefix: &[u8], tail: &[u8]) -> Rc<Vec<u8>> {
        Prefix::new(prefix).unwrap().with_tail(tail).unwrap()
    }

    #[test]
    fn a_page_decompresses_to_itself() {
        let (prefix, tail) = PAGE.split_at(PAGE.len() / 2);
        let member = whole(prefix, tail);
        assert_eq!(read(&member), PAGE);
        assert!(member.len() * 4 < PAGE.len(), "{}", member.len());
    }

    #[test]
    fn an_empty_page_is_a_valid_member() {
        assert_eq!(read(&whole(b"", b"")), b"");
        assert_eq!(read(&whole(PAGE, b"")), PAGE);
        assert_eq!(read(&whole(b"", PAGE)), PAGE);
    }

    #[test]
    fn a_page_compressed_at_the_fast_level_decompresses_to_itself() {
        let page = PAGE.repeat(limits::COMPRESSED_WELL_BYTES / PAGE.len() + 1);
        assert_eq!(read(&whole(&page, &page)), page.repeat(2));
    }

    #[test]
    fn a_prefix_serves_many_tails_from_the_same_memory() {
        let mut prefix = Prefix::new(PAGE).unwrap();
        let longest = prefix.with_tail(PAGE).unwrap();
        let memory = longest.as_ptr();
        drop(longest);
        for tail in [&PAGE[..5_000], b"", &PAGE[100..]] {
            let member = prefix.with_tail(tail).unwrap();
            assert_eq!(read(&member), [PAGE, tail].concat());
            assert_eq!(member.as_ptr(), memory);
        }
    }

    #[test]
    fn a_page_that_is_still_referenced_is_not_overwritten() {
        let mut prefix = Prefix::new(PAGE).unwrap();
        let first = prefix.with_tail(b"first").unwrap();
        let second = prefix.with_tail(b"second").unwrap();
        assert_eq!(read(&first), [PAGE, b"first"].concat());
        assert_eq!(read(&second), [PAGE, b"second"].concat());
    }

    #[test]
    fn incompressible_data_grows_by_a_few_bytes() {
        let mut state = 1_u32;
        let noise = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        });
        let noise: Vec<u8> = noise.take(300_000).collect();
        let (prefix, tail) = noise.split_at(200_000);
        let member = whole(prefix, tail);
        assert_eq!(read(&member), noise);
        assert!(member.len() < noise.len() + 1_000, "{}", member.len());
    }

    proptest! {
        #[test]
        fn every_page_decompresses_to_itself(
            prefix in "(ab|x|[a-z0-9{}=\",\n ]){0,300}",
            tails: Vec<Vec<u8>>,
        ) {
            let mut compressed = Prefix::new(prefix.as_bytes()).unwrap();
            for tail in tails {
                let member = compressed.with_tail(&tail).unwrap();
                prop_assert_eq!(read(&member), [prefix.as_bytes(), &tail].concat());
            }
        }
    }
}
