//! Verdicts on credentials, remembered for all VMs.
//!
//! They are stored in a fixed number of buckets: attackers choose credentials, so nothing may grow with them. Permits,
//! refusals and passwords of local users have buckets of their own, so that no flood of one evicts another.
//!
//! A full bucket of refusals or passwords evicts its oldest entry. Permits are shared out fairly among clients, since one
//! client may have many valid credentials: an entry names the client's address, a client has at most a part of a bucket,
//! and a full bucket evicts the oldest entry of the client that has the most.
//!
//! ```text
//! bucket    version:u8  entry*
//! permit    tag:32  time:u64 (nanoseconds)  client:8 (the start of the address's tag)
//! password  tag:32  time:u64
//! refusal   tag:32  time:u64  forbidden:u8  length:u8  sentence, filled up with zeros
//! ```
//! A value of another version, or that does not end with an entry, is treated as absent: what it held is asked again.

use super::LAYOUT;
use super::record::{self, nanoseconds};
use crate::auth::{Refusal, TAG, Tag};
use crate::host::{Host, Time, Write};
use crate::limits;
use std::fmt::Write as _;
use std::time::Duration;

const VERSION: u8 = 2;
const TIME: usize = 8;
const CLIENT: usize = 8;
/// What every entry begins with.
const TAG_AND_TIME: usize = TAG + TIME;
const PERMIT: usize = TAG_AND_TIME + CLIENT;
const REFUSAL: usize = TAG_AND_TIME + 2 + limits::SENTENCE_BYTES;

/// The verdicts of one configuration.
#[derive(Debug)]
pub struct Verdicts {
    permits: Buckets,
    refusals: Buckets,
    passwords: Buckets,
}

/// Buckets of one kind.
#[derive(Debug)]
struct Buckets {
    key: String,
    /// Bytes of an entry.
    entry: usize,
    /// Entries of a bucket.
    most: usize,
    /// Entries of one client in a bucket, where entries name their client.
    most_of_a_client: Option<usize>,
}

impl Verdicts {
    /// Those of the configuration whose `auth` has this key.
    #[must_use]
    pub fn new(auth_key: &[u8; 32]) -> Self {
        let buckets = |kind, entry, most, most_of_a_client| {
            let key = key(kind, auth_key);
            Buckets { key, entry, most, most_of_a_client }
        };
        let of_a_client = Some(limits::BUCKET_CLIENT_PERMITS);
        Self {
            permits: buckets("permits", PERMIT, limits::BUCKET_PERMITS, of_a_client),
            refusals: buckets("refusals", REFUSAL, limits::BUCKET_REFUSALS, None),
            passwords: buckets("passwords", TAG_AND_TIME, limits::BUCKET_PERMITS, None),
        }
    }

    /// When the controller last permitted these credentials.
    #[must_use]
    pub fn permit(&self, host: &dyn Host, tag: &Tag) -> Option<Time> {
        self.permits.time(host, tag)
    }

    /// When this password of a local user was last found to be right.
    #[must_use]
    pub fn password(&self, host: &dyn Host, tag: &Tag) -> Option<Time> {
        self.passwords.time(host, tag)
    }

    /// When the controller last refused these credentials, and how.
    #[must_use]
    pub fn refusal(&self, host: &dyn Host, tag: &Tag) -> Option<(Time, Refusal)> {
        let value = self.refusals.read(host, tag)?.value;
        let entry = self.refusals.find(&value, tag)?;
        let (&[forbidden, length], text) = entry.get(TAG_AND_TIME..)?.split_first_chunk()?;
        let sentence = std::str::from_utf8(text.get(..usize::from(length))?).ok()?;
        if sentence.contains(char::is_control) {
            return None;
        }
        let refusal = Refusal { forbidden: forbidden != 0, sentence: sentence.to_owned() };
        Some((time_of(entry), refusal))
    }

    /// Remembers that the controller permitted these credentials to this client.
    pub fn permitted(&self, host: &dyn Host, tag: &Tag, client: &Tag, at: Time) {
        let mut entry = entry(tag, at);
        entry.extend_from_slice(client.0.get(..CLIENT).unwrap_or_default());
        self.permits.change(host, tag, &entry);
    }

    /// Remembers that a password of a local user is right.
    pub fn password_is_right(&self, host: &dyn Host, tag: &Tag, at: Time) {
        self.passwords.change(host, tag, &entry(tag, at));
    }

    /// Remembers a refusal, and forgets any permit: it must not count again, whatever becomes of the controller.
    pub fn refused(&self, host: &dyn Host, tag: &Tag, at: Time, refusal: &Refusal) {
        if self.permit(host, tag).is_some() {
            self.permits.change(host, tag, &[]);
        }
        let sentence = refusal.sentence.as_bytes();
        let mut entry = entry(tag, at);
        let length = sentence.len().min(limits::SENTENCE_BYTES);
        entry.push(refusal.forbidden.into());
        entry.push(u8::try_from(length).unwrap_or(0));
        entry.extend_from_slice(sentence.get(..length).unwrap_or_default());
        entry.resize(REFUSAL, 0);
        self.refusals.change(host, tag, &entry);
    }
}

/// A key of what belongs to the configuration whose `auth` has this key: 16 bytes of it tell it from all others.
#[must_use]
pub fn key(what: &str, auth_key: &[u8; 32]) -> String {
    let mut key = format!("{LAYOUT}/{what}/");
    for byte in auth_key.iter().take(16) {
        // Writing to a String cannot fail.
        let _ = write!(key, "{byte:02x}");
    }
    key
}

/// The key of one of several places. Two letters stand for a byte of its number, so that every place costs the same: time
/// tells nothing of the place of what a client shows.
#[must_use]
pub fn place_key(key: &str, place: u64) -> String {
    let [low, high, ..] = place.to_le_bytes();
    let mut place_key = String::with_capacity(key.len() + 5);
    place_key.push_str(key);
    place_key.push('/');
    for nibble in [high >> 4, high & 0xf, low >> 4, low & 0xf] {
        place_key.push(char::from(b'a' + nibble));
    }
    place_key
}

impl Buckets {
    fn place(&self, tag: &Tag) -> String {
        place_key(&self.key, tag.index(limits::BUCKETS))
    }

    fn read(&self, host: &dyn Host, tag: &Tag) -> Option<crate::host::Shared> {
        host.shared(&self.place(tag))
    }

    fn entries<'a>(&self, value: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let entries = match value.split_first() {
            Some((&VERSION, entries)) if entries.len().is_multiple_of(self.entry) => entries,
            _ => &[],
        };
        entries.chunks_exact(self.entry).take(self.most)
    }

    fn time(&self, host: &dyn Host, tag: &Tag) -> Option<Time> {
        let value = self.read(host, tag)?.value;
        self.find(&value, tag).map(time_of)
    }

    fn find<'a>(&self, value: &'a [u8], tag: &Tag) -> Option<&'a [u8]> {
        self.entries(value).find(|entry| entry.starts_with(&tag.0))
    }

    /// Puts an entry, or nothing, in the place of any that has this tag.
    fn change(&self, host: &dyn Host, tag: &Tag, entry: &[u8]) {
        let place = self.place(tag);
        let mut changed =
            |value: Option<&[u8]>| Some(self.changed(value.unwrap_or(&[]), tag, entry));
        if !record::update_bytes(host, &place, &mut changed) {
            // What is to be forgotten is forgotten, and with it the rest of the bucket, which is asked again.
            let _ = host.share(&place, &[], Write::Always);
        }
    }

    /// Which entry makes room for a new one, if one has to.
    fn evicted(&self, entries: &[&[u8]], new: &[u8]) -> Option<usize> {
        let share =
            |of: &[u8]| entries.iter().filter(|entry| client_of(entry) == client_of(of)).count();
        let most = self.most_of_a_client.unwrap_or(self.most);
        let oldest = |is_candidate: &dyn Fn(&[u8]) -> bool| {
            let places = entries.iter().enumerate().filter(|(_, entry)| is_candidate(entry));
            places.min_by_key(|(_, entry)| time_of(entry)).map(|(place, _)| place)
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

    fn changed(&self, value: &[u8], tag: &Tag, entry: &[u8]) -> Vec<u8> {
        let mut others: Vec<&[u8]> =
            self.entries(value).filter(|entry| !entry.starts_with(&tag.0)).collect();
        if let Some(place) = self.evicted(&others, entry) {
            others.swap_remove(place);
        }
        let mut changed = vec![VERSION];
        for entry in others.into_iter().chain([entry]) {
            changed.extend_from_slice(entry);
        }
        changed
    }
}

fn entry(tag: &Tag, at: Time) -> Vec<u8> {
    [&tag.0[..], &nanoseconds(at).to_le_bytes()].concat()
}

/// The client that a permit names.
fn client_of(entry: &[u8]) -> Option<&[u8]> {
    entry.get(TAG_AND_TIME..).filter(|client| client.len() == CLIENT)
}

fn time_of(entry: &[u8]) -> Time {
    let time = entry.get(TAG..).and_then(<[u8]>::first_chunk);
    Duration::from_nanos(time.map_or(0, |&bytes| u64::from_le_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fake::FakeHost;
    use proptest::prelude::*;

    const CLIENT_TAG: Tag = Tag([7; TAG]);

    fn tag(number: u64) -> Tag {
        let mut tag = [0; TAG];
        tag[..8].copy_from_slice(&number.to_le_bytes());
        Tag(tag)
    }

    /// Different tags that fall into one bucket.
    fn neighbour(number: usize) -> Tag {
        tag(number as u64 * limits::BUCKETS)
    }

    fn verdicts() -> Verdicts {
        Verdicts::new(&[1; 32])
    }

    fn at(seconds: usize) -> Time {
        Duration::from_secs(1_000 + seconds as u64)
    }

    fn no(sentence: &str) -> Refusal {
        Refusal { forbidden: true, sentence: sentence.to_owned() }
    }

    #[test]
    fn verdicts_come_back_as_they_were_written_and_the_latest_counts() {
        let (host, verdicts) = (FakeHost::default(), verdicts());
        verdicts.permitted(&host, &tag(1), &CLIENT_TAG, at(1));
        verdicts.permitted(&host, &tag(1), &CLIENT_TAG, at(2));
        verdicts.refused(&host, &tag(2), at(3), &no("Nö."));
        assert_eq!(verdicts.permit(&host, &tag(1)), Some(at(2)));
        assert_eq!(verdicts.permit(&host, &tag(2)), None);
        assert_eq!(verdicts.refusal(&host, &tag(2)), Some((at(3), no("Nö."))));
        assert_eq!(verdicts.refusal(&host, &tag(1)), None);
        let longest = no(&"x".repeat(limits::SENTENCE_BYTES));
        verdicts.refused(&host, &tag(3), at(3), &longest);
        assert_eq!(verdicts.refusal(&host, &tag(3)), Some((at(3), longest)));
    }

    #[test]
    fn a_refusal_ends_the_permit() {
        let (host, verdicts) = (FakeHost::default(), verdicts());
        verdicts.permitted(&host, &neighbour(1), &CLIENT_TAG, at(1));
        verdicts.permitted(&host, &neighbour(2), &CLIENT_TAG, at(1));
        verdicts.refused(&host, &neighbour(1), at(2), &no(""));
        assert_eq!(verdicts.permit(&host, &neighbour(1)), None);
        assert_eq!(verdicts.permit(&host, &neighbour(2)), Some(at(1)));
    }

    #[test]
    fn another_configuration_sees_none() {
        let host = FakeHost::default();
        verdicts().permitted(&host, &tag(1), &CLIENT_TAG, at(1));
        assert_eq!(Verdicts::new(&[2; 32]).permit(&host, &tag(1)), None);
    }

    #[test]
    fn a_full_bucket_forgets_the_oldest_and_never_grows() {
        let (host, verdicts) = (FakeHost::default(), verdicts());
        let most = limits::BUCKET_PERMITS;
        for number in 0..=most {
            // The second is the oldest by far.
            let time = if number == 1 { at(0) } else { at(10 + number) };
            verdicts.permitted(&host, &neighbour(number), &client(number as u8), time);
        }
        assert_eq!(verdicts.permit(&host, &neighbour(1)), None);
        for number in (0..=most).filter(|&number| number != 1) {
            assert_eq!(verdicts.permit(&host, &neighbour(number)), Some(at(10 + number)));
        }
        let lengths: Vec<_> = host.shared.borrow().values().map(|it| it.value.len()).collect();
        assert_eq!(lengths, [1 + most * PERMIT]);
    }

    fn client(number: u8) -> Tag {
        Tag([number; TAG])
    }

    #[test]
    fn many_permits_of_one_client_evict_only_its_own() {
        let (host, verdicts) = (FakeHost::default(), verdicts());
        let most_of_one = limits::BUCKET_CLIENT_PERMITS;
        let others = limits::BUCKET_PERMITS - most_of_one;
        for number in 0..others {
            let of = client(u8::try_from(number).unwrap());
            verdicts.permitted(&host, &neighbour(number), &of, at(number));
        }
        for number in 100..1_000 {
            verdicts.permitted(&host, &neighbour(number), &client(100), at(number));
        }
        let held = |range: std::ops::Range<usize>| {
            range.filter(|&it| verdicts.permit(&host, &neighbour(it)).is_some()).count()
        };
        assert_eq!((held(0..others), held(100..1_000)), (others, most_of_one));
        // A client with few permits makes the client with the most forget its oldest one.
        let oldest = 1_000 - most_of_one;
        assert!(verdicts.permit(&host, &neighbour(oldest)).is_some());
        verdicts.permitted(&host, &neighbour(1_000), &client(0), at(0));
        assert_eq!((held(0..others), held(1_000..1_001)), (others, 1));
        assert_eq!(verdicts.permit(&host, &neighbour(oldest)), None);
    }

    #[test]
    fn passwords_and_permits_do_not_evict_each_other() {
        let (host, verdicts) = (FakeHost::default(), verdicts());
        verdicts.password_is_right(&host, &neighbour(0), at(0));
        for number in 1..100 {
            let of = client(u8::try_from(number).unwrap());
            verdicts.permitted(&host, &neighbour(number), &of, at(1));
        }
        assert_eq!(verdicts.password(&host, &neighbour(0)), Some(at(0)));
        assert_eq!(verdicts.permit(&host, &neighbour(0)), None);
        verdicts.permitted(&host, &neighbour(0), &client(0), at(2));
        for number in 1..100 {
            verdicts.password_is_right(&host, &neighbour(number), at(3));
        }
        assert_eq!(verdicts.permit(&host, &neighbour(0)), Some(at(2)));
        assert_eq!(verdicts.password(&host, &neighbour(0)), None);
    }

    #[test]
    fn no_flood_of_refusals_evicts_a_permit_or_takes_more_than_its_room() {
        let (host, verdicts) = (FakeHost::default(), verdicts());
        verdicts.permitted(&host, &neighbour(0), &CLIENT_TAG, at(0));
        for number in 1..20_000 {
            verdicts.refused(&host, &tag(number), at(1), &no("No."));
        }
        assert_eq!(verdicts.permit(&host, &neighbour(0)), Some(at(0)));
        let shared = host.shared.borrow();
        assert_eq!(shared.len() as u64, 1 + limits::BUCKETS);
        let bytes: usize = shared.values().map(|shared| shared.value.len()).sum();
        assert!(bytes <= 120_000, "{bytes}");
    }

    #[test]
    fn what_cannot_be_read_is_absent_and_is_written_over() {
        let (host, verdicts) = (FakeHost::default(), verdicts());
        verdicts.permitted(&host, &tag(1), &CLIENT_TAG, at(1));
        let key = host.shared.borrow().keys().next().unwrap().clone();
        let good = host.shared(&key).unwrap().value;
        let newer = [&[VERSION + 1][..], &good[1..]].concat();
        for bad in [&good[..good.len() - 1], &newer, b""] {
            host.share(&key, bad, Write::Always).unwrap();
            assert_eq!(verdicts.permit(&host, &tag(1)), None);
            verdicts.permitted(&host, &tag(1), &CLIENT_TAG, at(2));
            assert_eq!(verdicts.permit(&host, &tag(1)), Some(at(2)));
        }
    }

    proptest! {
        #[test]
        fn no_value_makes_a_reader_or_a_writer_panic(
            entries in proptest::collection::vec(any::<u8>(), 0..4 * REFUSAL),
            whole: bool,
            known: bool,
        ) {
            let (host, verdicts) = (FakeHost::default(), verdicts());
            let number = tag(1);
            let mut value = [&[VERSION], &entries[..]].concat();
            if known {
                value.splice(1..1, number.0);
            }
            for buckets in [&verdicts.permits, &verdicts.refusals, &verdicts.passwords] {
                let mut value = value.clone();
                if whole {
                    value.truncate(1 + (value.len() - 1) / buckets.entry * buckets.entry);
                }
                host.share(&buckets.place(&number), &value, Write::Always).unwrap();
            }
            let _ = verdicts.permit(&host, &number);
            if let Some((_, refusal)) = verdicts.refusal(&host, &number) {
                prop_assert!(refusal.sentence.len() <= limits::SENTENCE_BYTES);
                prop_assert!(!refusal.sentence.contains(char::is_control));
            }
            verdicts.refused(&host, &number, at(1), &no("No."));
            prop_assert_eq!(verdicts.refusal(&host, &number), Some((at(1), no("No."))));
            prop_assert_eq!(verdicts.permit(&host, &number), None);
        }
    }
}
