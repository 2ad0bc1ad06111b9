//! [`Buckets`]: entries of one kind in a fixed number of values, with a bound on the entries of each.

use crate::auth::{TAG, Tag};
use crate::host::{Host, Shared, Time, Write};
use crate::limits;
use crate::shared::codec::{Reader, Writer};
use crate::shared::keys::place_key;
use crate::shared::record::{self, nanoseconds};
use std::time::Duration;

const VERSION: u8 = 2;
const TIME: usize = 8;
/// Bytes of a client's address tag that an entry contains.
pub(super) const CLIENT: usize = 8;
/// Bytes that every entry begins with.
pub(super) const TAG_AND_TIME: usize = TAG + TIME;

/// Buckets of one kind.
#[derive(Debug)]
pub(super) struct Buckets {
    pub(super) key: String,
    /// Bytes of an entry.
    pub(super) entry: usize,
    /// The most entries of a bucket.
    pub(super) most: usize,
    /// The most entries of one client in a bucket, if entries name their client.
    pub(super) most_of_a_client: Option<usize>,
}

impl Buckets {
    /// The key of the bucket of this tag.
    pub(super) fn bucket(&self, tag: &Tag) -> String {
        place_key(&self.key, tag.index(limits::BUCKETS))
    }

    pub(super) fn read(&self, host: &dyn Host, tag: &Tag) -> Option<Shared> {
        host.shared(&self.bucket(tag))
    }

    /// The time of the entry with this tag.
    pub(super) fn time(&self, host: &dyn Host, tag: &Tag) -> Option<Time> {
        let value = self.read(host, tag)?.value;
        self.find(&value, tag).map(time_of)
    }

    /// The entry with this tag.
    pub(super) fn find<'a>(&self, value: &'a [u8], tag: &Tag) -> Option<&'a [u8]> {
        self.entries(value).find(|entry| entry.starts_with(&tag.0))
    }

    /// Stores an entry in place of any with the same tag; an empty one only removes.
    pub(super) fn replace(&self, host: &dyn Host, tag: &Tag, entry: &[u8]) {
        let bucket = self.bucket(tag);
        let mut change =
            |value: Option<&[u8]>| Some(self.replaced(value.unwrap_or(&[]), tag, entry));
        if !record::update_bytes(host, &bucket, &mut change) {
            // The old entry must not remain. The whole bucket is removed, and its credentials are checked again.
            let _ = host.share(&bucket, &[], Write::Always);
        }
    }

    fn entries<'a>(&self, value: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut reader = Reader::new(value);
        let is_readable =
            reader.u8() == Some(VERSION) && reader.rest().len().is_multiple_of(self.entry);
        let length = self.entry;
        (0..if is_readable { self.most } else { 0 }).map_while(move |_| reader.bytes(length))
    }

    fn replaced(&self, value: &[u8], tag: &Tag, entry: &[u8]) -> Vec<u8> {
        let mut entries: Vec<&[u8]> =
            self.entries(value).filter(|entry| !entry.starts_with(&tag.0)).collect();
        if let Some(evicted) = self.evicted(&entries, entry) {
            entries.swap_remove(evicted);
        }
        let mut replaced = Vec::with_capacity(1 + (entries.len() + 1) * self.entry);
        let mut writer = Writer::new(&mut replaced);
        writer.u8(VERSION);
        for entry in entries.into_iter().chain([entry]) {
            writer.bytes(entry);
        }
        replaced
    }

    /// The index of the entry that is evicted for a new one, if one is.
    fn evicted(&self, entries: &[&[u8]], new: &[u8]) -> Option<usize> {
        let share =
            |of: &[u8]| entries.iter().filter(|entry| client_of(entry) == client_of(of)).count();
        let most = self.most_of_a_client.unwrap_or(self.most);
        let oldest = |is_candidate: &dyn Fn(&[u8]) -> bool| {
            let candidates = entries.iter().enumerate().filter(|(_, entry)| is_candidate(entry));
            candidates.min_by_key(|(_, entry)| time_of(entry)).map(|(index, _)| index)
        };
        if new.is_empty() {
            None
        } else if share(new) >= most {
            oldest(&|entry| client_of(entry) == client_of(new))
        } else if entries.len() >= self.most {
            let largest = entries.iter().map(|entry| share(entry)).max();
            oldest(&|entry| Some(share(entry)) == largest)
        } else {
            None
        }
    }
}

/// The part that every entry begins with.
pub(super) fn tag_and_time(tag: &Tag, at: Time) -> Vec<u8> {
    let mut entry = Vec::with_capacity(TAG_AND_TIME);
    Writer::new(&mut entry).bytes(&tag.0).u64(nanoseconds(at));
    entry
}

/// The time of an entry.
pub(super) fn time_of(entry: &[u8]) -> Time {
    let time = entry.get(TAG..).and_then(|rest| Reader::new(rest).u64());
    Duration::from_nanos(time.unwrap_or(0))
}

/// The client that a permit names.
fn client_of(entry: &[u8]) -> Option<&[u8]> {
    entry.get(TAG_AND_TIME..).filter(|client| client.len() == CLIENT)
}
