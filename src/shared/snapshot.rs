//! A source's snapshot in shared data: a small *head*, which every scrape reads, and the *page*, which a VM copies only
//! when the head names another generation.
//!
//! By the head VMs also agree on the one that pulls: the VM that moves `scheduled` on by compare-and-swap. Configurations
//! that pull the same page and give it the same labels share one snapshot.
//!
//! ```text
//! head    version:u8 flags:u8 ended:u8 0:u8  cause:u32  then u64s, little-endian, in the order of `Head`'s fields
//! page    a stored page (`metrics/stored.rs`)  generation:u64  version:u8
//! wanted  version:u8  time:u64 (nanoseconds)
//! ```
//! A value that is shorter, longer or of another version is treated as absent.

use super::LAYOUT;
use super::codec::{Reader, Writer};
use super::record::nanoseconds;
use crate::host::{Host, HostError, Time, Write};
use crate::metrics::{Page, Reason};
use crate::upstream::{Cause, Plain};
use std::time::Duration;

/// The keys of one snapshot.
#[derive(Clone, Debug)]
pub struct Keys {
    head: String,
    page: String,
    wanted: String,
}

/// The state of a source: its last pull, and the pull under way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// True if a pull is under way, since `attempted`.
    pub pulling: bool,
    /// How the last pull ended: with a page, or why without.
    pub ended: Option<Result<(), Cause>>,
    /// Changes with every new page; 0 while there is none.
    pub generation: u64,
    /// When the last pull was due: its interval counts from here, so that it does not drift.
    pub scheduled: Time,
    /// When the last pull began.
    pub attempted: Time,
    /// When the last good pull ended; 0 while there is none.
    pub succeeded: Time,
    /// How long the last pull took.
    pub took: Duration,
    /// The VM that pulled last.
    pub puller: u64,
    /// Samples on the page.
    pub samples: u64,
    /// Bytes of the page as it is stored.
    pub bytes: u64,
    /// Pulls so far, by outcome.
    pub fetches: [u64; Outcome::ALL.len()],
    /// Samples dropped from pulled pages so far, by [`Head::DROPPED`].
    pub dropped: [u64; Head::DROPPED.len()],
    /// Lines of pulled pages that could not be read, so far.
    pub unreadable_lines: u64,
}

impl Head {
    /// Why a sample of a single page is dropped, in the order in which the counts are stored.
    pub const DROPPED: [Reason; Reason::OF_READING.len()] = Reason::OF_READING;

    /// The outcome of the last pull, as counted.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        self.ended.map(|ended| ended.map_or_else(Outcome::of, |()| Outcome::Ok))
    }
}

/// How a pull ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// A page came, with samples on it.
    Ok,
    /// No answer in time.
    Timeout,
    /// Not sent, no connection, or it broke before there was an answer.
    Refused,
    /// An answer with another status than 200.
    Status,
    /// No page of metrics: another media type, nothing that can be read, cut off, or not HTTP at all. A page beyond what
    /// Envoy buffers too, since it does not say which.
    Unreadable,
    /// A page above the bounds of [`crate::limits`].
    TooLarge,
}

impl Outcome {
    /// All of them, in the order in which they are stored.
    pub const ALL: [Self; 6] =
        [Self::Ok, Self::Timeout, Self::Refused, Self::Status, Self::Unreadable, Self::TooLarge];

    /// The outcome of a pull that returned no page, as counted.
    #[must_use]
    pub const fn of(cause: Cause) -> Self {
        match cause {
            Cause::Timeout(_) => Self::Timeout,
            Cause::Status(_) => Self::Status,
            Cause::Plain(plain) => match plain {
                Plain::NotSent
                | Plain::NoCredential
                | Plain::NoHost
                | Plain::Unreachable
                | Plain::Tls
                | Plain::Closed => Self::Refused,
                Plain::RedirectToHttps
                | Plain::RedirectToPath
                | Plain::RedirectElsewhere
                | Plain::Redirect => Self::Status,
                Plain::Bytes
                | Plain::Samples
                | Plain::Names
                | Plain::Rendered
                | Plain::NotStored => Self::TooLarge,
                _ => Self::Unreadable,
            },
        }
    }

    /// The value of the label `outcome`.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Timeout => "timeout",
            Self::Refused => "refused",
            Self::Status => "status",
            Self::Unreadable => "unreadable",
            Self::TooLarge => "too_large",
        }
    }
}

/// A head as read, with what guards writing it back.
#[derive(Clone, Debug)]
pub struct ReadHead {
    /// The head.
    pub head: Head,
    guard: u32,
}

/// Version of the values.
const VERSION: u8 = 4;
const PULLING: u8 = 1;
const PAGE_TRAILER: usize = 8 + 1;
/// How a pull ended, in a head: not yet, with a page, without.
const NOT_YET: u8 = 0;
const WITH_PAGE: u8 = 1;
const WITHOUT: u8 = 2;

impl Keys {
    /// The keys of the snapshot whose source hashes to `source`.
    #[must_use]
    pub fn new(source: &str) -> Self {
        let key = |what: &str| format!("{LAYOUT}/{what}/{source}");
        Self { head: key("head"), page: key("page"), wanted: key("wanted") }
    }

    /// The head, absent where none was written or it cannot be read.
    #[must_use]
    pub fn head(&self, host: &dyn Host) -> Option<ReadHead> {
        let stored = host.shared(&self.head)?;
        Some(ReadHead { head: decode_head(&stored.value)?, guard: stored.guard })
    }

    /// Writes a first head, so that there is something to compare-and-swap. Two VMs that do it at once at worst pull
    /// twice.
    pub fn create_head(&self, host: &dyn Host) {
        // Nothing to be done about a host that cannot store: the next tick tries again.
        let _ = host.share(&self.head, &encode_head(&Head::default()), Write::Always);
    }

    /// Writes `head` if no VM has written it since `read`.
    ///
    /// # Errors
    /// [`HostError::Changed`] if a VM has written it.
    pub fn swap_head(
        &self,
        host: &dyn Host,
        read: &ReadHead,
        head: &Head,
    ) -> Result<(), HostError> {
        host.share(&self.head, &encode_head(head), Write::IfUnchanged(read.guard))
    }

    /// The page and its generation.
    #[must_use]
    pub fn page(&self, host: &dyn Host) -> Option<(u64, Page)> {
        let (generation, bytes) = self.stored(host)?;
        Some((generation, Page::from_stored(bytes)?))
    }

    /// Returns true if this is the stored page of this generation.
    #[must_use]
    pub fn has_page(&self, host: &dyn Host, generation: u64, stored: &[u8]) -> bool {
        self.stored(host).is_some_and(|(have, bytes)| have == generation && bytes == stored)
    }

    fn stored(&self, host: &dyn Host) -> Option<(u64, Vec<u8>)> {
        let mut bytes = host.shared(&self.page)?.value;
        let &[generation @ .., version] = bytes.last_chunk::<PAGE_TRAILER>()?;
        if version != VERSION {
            return None;
        }
        bytes.truncate(bytes.len() - PAGE_TRAILER);
        Some((u64::from_le_bytes(generation), bytes))
    }

    /// Stores a page, as [`Page::into_stored`] gives it, before the head that names its generation is written.
    ///
    /// # Errors
    /// If the host cannot store it.
    pub fn store_page(
        &self,
        host: &dyn Host,
        generation: u64,
        mut stored: Vec<u8>,
    ) -> Result<(), HostError> {
        Writer::new(&mut stored).u64(generation).u8(VERSION);
        host.share(&self.page, &stored, Write::Always)
    }

    /// When a scrape last wanted this source.
    #[must_use]
    pub fn wanted(&self, host: &dyn Host) -> Option<Time> {
        let stored = host.shared(&self.wanted)?;
        let mut reader = Reader::new(&stored.value);
        let (version, time) = (reader.u8()?, reader.u64()?);
        reader.end()?;
        (version == VERSION).then(|| Duration::from_nanos(time))
    }

    /// Notes that a scrape wants this source now.
    pub fn want(&self, host: &dyn Host, now: Time) {
        let mut value = Vec::new();
        Writer::new(&mut value).u8(VERSION).u64(nanoseconds(now));
        // A note that is lost costs a slower interval until the next scrape.
        let _ = host.share(&self.wanted, &value, Write::Always);
    }
}

fn encode_head(head: &Head) -> Vec<u8> {
    let (ended, cause) = match head.ended {
        None => (NOT_YET, 0),
        Some(Ok(())) => (WITH_PAGE, 0),
        Some(Err(cause)) => (WITHOUT, cause.code()),
    };
    let flags = if head.pulling { PULLING } else { 0 };
    let mut value = Vec::new();
    let mut writer = Writer::new(&mut value);
    writer.u8(VERSION).u8(flags).u8(ended).u8(0).u32(cause);
    let numbers = [
        head.generation,
        nanoseconds(head.scheduled),
        nanoseconds(head.attempted),
        nanoseconds(head.succeeded),
        nanoseconds(head.took),
        head.puller,
        head.samples,
        head.bytes,
    ];
    let counts = head.fetches.into_iter().chain(head.dropped).chain([head.unreadable_lines]);
    for number in numbers.into_iter().chain(counts) {
        writer.u64(number);
    }
    value
}

fn decode_head(value: &[u8]) -> Option<Head> {
    let mut reader = Reader::new(value);
    let [version, flags, ended, _] = reader.array()?;
    let cause = reader.u32()?;
    if version != VERSION {
        return None;
    }
    let ended = match ended {
        NOT_YET => None,
        WITH_PAGE => Some(Ok(())),
        _ => Some(Err(Cause::of_code(cause)?)),
    };
    let mut head = Head {
        pulling: flags & PULLING != 0,
        ended,
        generation: reader.u64()?,
        scheduled: Duration::from_nanos(reader.u64()?),
        attempted: Duration::from_nanos(reader.u64()?),
        succeeded: Duration::from_nanos(reader.u64()?),
        took: Duration::from_nanos(reader.u64()?),
        puller: reader.u64()?,
        samples: reader.u64()?,
        bytes: reader.u64()?,
        ..Head::default()
    };
    for count in head.fetches.iter_mut().chain(&mut head.dropped) {
        *count = reader.u64()?;
    }
    head.unreadable_lines = reader.u64()?;
    reader.end()?;
    Some(head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::parse;
    use crate::host::fake::FakeHost;
    use proptest::prelude::*;

    fn page() -> Page {
        parse::text(b"x 1\n".to_vec()).unwrap()
    }

    fn stored() -> Vec<u8> {
        page().into_stored()
    }

    fn head() -> Head {
        Head {
            pulling: true,
            ended: Some(Err(Cause::Status(401))),
            generation: 3,
            scheduled: Duration::from_millis(1_500),
            attempted: Duration::from_millis(1_600),
            succeeded: Duration::from_millis(1_200),
            took: Duration::from_micros(250),
            puller: u64::MAX,
            samples: 171,
            bytes: 20_000,
            fetches: [1, 2, 3, 4, 5, 6],
            dropped: [9, 8, 7, 6, 5, 4, 3, 2],
            unreadable_lines: 7,
        }
    }

    #[test]
    fn a_head_comes_back_as_it_was_written() {
        let (host, keys) = (FakeHost::default(), Keys::new("a"));
        keys.create_head(&host);
        let first = keys.head(&host).unwrap();
        assert_eq!(first.head, Head::default());
        keys.swap_head(&host, &first, &head()).unwrap();
        assert_eq!(keys.head(&host).unwrap().head, head());
    }

    #[test]
    fn of_two_that_swap_the_same_head_one_succeeds() {
        let (host, keys) = (FakeHost::default(), Keys::new("a"));
        keys.create_head(&host);
        let read = keys.head(&host).unwrap();
        assert_eq!(keys.swap_head(&host, &read, &head()), Ok(()));
        assert_eq!(keys.swap_head(&host, &read, &head()), Err(HostError::Changed));
    }

    #[test]
    fn sources_do_not_see_each_other() {
        let host = FakeHost::default();
        Keys::new("a").create_head(&host);
        Keys::new("a").store_page(&host, 1, stored()).unwrap();
        assert!(Keys::new("b").head(&host).is_none());
        assert_eq!(Keys::new("b").page(&host), None);
    }

    #[test]
    fn a_page_and_a_wish_come_back_as_they_were_written() {
        let (host, keys) = (FakeHost::default(), Keys::new("a"));
        keys.store_page(&host, 7, stored()).unwrap();
        assert!(keys.has_page(&host, 7, &stored()) && !keys.has_page(&host, 8, &stored()));
        assert!(!keys.has_page(&host, 7, &Page::default().into_stored()));
        keys.want(&host, Duration::from_secs(5));
        assert_eq!(keys.page(&host).unwrap().0, 7);
        assert_eq!(keys.page(&host).unwrap().1.as_text(), page().as_text());
        assert_eq!(keys.wanted(&host), Some(Duration::from_secs(5)));
    }

    #[test]
    fn a_value_of_another_version_or_length_is_absent() {
        let value = encode_head(&head());
        assert_eq!(decode_head(&value), Some(head()));
        assert_eq!(decode_head(&value[..value.len() - 1]), None);
        assert_eq!(decode_head(&[&value[..], &[0; 8]].concat()), None);
        let mut newer = value;
        newer[0] += 1;
        assert_eq!(decode_head(&newer), None);
    }

    proptest! {
        #[test]
        fn no_value_makes_a_reader_panic(value in proptest::collection::vec(any::<u8>(), 0..200)) {
            let (host, keys) = (FakeHost::default(), Keys::new("a"));
            for key in [&keys.head, &keys.page, &keys.wanted] {
                host.share(key, &value, Write::Always).unwrap();
            }
            let _ = (keys.head(&host), keys.page(&host), keys.wanted(&host));
        }
    }
}
