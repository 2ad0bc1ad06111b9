//! Verdicts on credentials, remembered for all VMs.
//!
//! They are stored in a fixed number of buckets: attackers choose credentials, so nothing may grow with their number.
//! Permits, refusals and passwords of local users have separate buckets, so that a flood of one kind evicts no other.
//!
//! A full bucket of refusals or passwords evicts its oldest entry. Permits are shared fairly among clients, since one
//! client may have many valid credentials: an entry names the client's address, one client can occupy only a part of a
//! bucket, and a full bucket evicts the oldest entry of the client that has the most entries.
//!
//! ```text
//! bucket    version:u8  entry*
//! permit    tag:32  time:u64 (nanoseconds)  client:8 (the start of the address's tag)
//! password  tag:32  time:u64
//! refusal   tag:32  time:u64  forbidden:u8  length:u8  sentence, padded with zeros
//! ```
//! A value of another version, or one that does not end with an entry, is treated as absent: its credentials are checked
//! again.

mod buckets;

use super::codec::{Reader, Writer};
use super::keys::key;
use crate::auth::{Refusal, Tag};
use crate::host::{Host, Time};
use crate::limits;
use buckets::{Buckets, CLIENT, TAG_AND_TIME, tag_and_time, time_of};

const PERMIT: usize = TAG_AND_TIME + CLIENT;
const REFUSAL: usize = TAG_AND_TIME + 2 + limits::SENTENCE_BYTES;

/// The verdicts of one configuration.
#[derive(Debug)]
pub struct Verdicts {
    permits: Buckets,
    refusals: Buckets,
    passwords: Buckets,
}

impl Verdicts {
    /// The verdicts of the configuration whose `auth` has this key.
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

    /// When this password of a local user was last correct.
    #[must_use]
    pub fn password(&self, host: &dyn Host, tag: &Tag) -> Option<Time> {
        self.passwords.time(host, tag)
    }

    /// When and how the controller last refused these credentials.
    #[must_use]
    pub fn refusal(&self, host: &dyn Host, tag: &Tag) -> Option<(Time, Refusal)> {
        let value = self.refusals.read(host, tag)?.value;
        let entry = self.refusals.find(&value, tag)?;
        let mut reader = Reader::new(entry.get(TAG_AND_TIME..)?);
        let (forbidden, length) = (reader.u8()?, reader.u8()?);
        let sentence = std::str::from_utf8(reader.bytes(length.into())?).ok()?;
        if sentence.contains(char::is_control) {
            return None;
        }
        let refusal = Refusal { forbidden: forbidden != 0, sentence: sentence.to_owned() };
        Some((time_of(entry), refusal))
    }

    /// Remembers that the controller permitted these credentials, sent by this client.
    pub fn permitted(&self, host: &dyn Host, tag: &Tag, client: &Tag, at: Time) {
        let mut entry = tag_and_time(tag, at);
        Writer::new(&mut entry).bytes(client.0.get(..CLIENT).unwrap_or_default());
        self.permits.replace(host, tag, &entry);
    }

    /// Remembers that a password of a local user is correct.
    pub fn password_is_right(&self, host: &dyn Host, tag: &Tag, at: Time) {
        self.passwords.replace(host, tag, &tag_and_time(tag, at));
    }

    /// Remembers a refusal, and removes any permit, which must not be valid again even if the controller goes down.
    pub fn refused(&self, host: &dyn Host, tag: &Tag, at: Time, refusal: &Refusal) {
        if self.permit(host, tag).is_some() {
            self.permits.replace(host, tag, &[]);
        }
        let sentence = refusal.sentence.as_bytes();
        let sentence = sentence.get(..limits::SENTENCE_BYTES).unwrap_or(sentence);
        let mut entry = tag_and_time(tag, at);
        Writer::new(&mut entry)
            .u8(refusal.forbidden.into())
            .u8(u8::try_from(sentence.len()).unwrap_or(0))
            .bytes(sentence)
            .zeros(limits::SENTENCE_BYTES - sentence.len());
        self.refusals.replace(host, tag, &entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::TAG;
    use crate::host::Write;
    use crate::host::fake::FakeHost;
    use proptest::prelude::*;
    use std::time::Duration;

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
    fn verdicts_read_back_as_they_were_written_and_the_latest_is_kept() {
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
    fn a_refusal_removes_the_permit() {
        let (host, verdicts) = (FakeHost::default(), verdicts());
        verdicts.permitted(&host, &neighbour(1), &CLIENT_TAG, at(1));
        verdicts.permitted(&host, &neighbour(2), &CLIENT_TAG, at(1));
        verdicts.refused(&host, &neighbour(1), at(2), &no(""));
        assert_eq!(verdicts.permit(&host, &neighbour(1)), None);
        assert_eq!(verdicts.permit(&host, &neighbour(2)), Some(at(1)));
    }

    #[test]
    fn another_configuration_sees_no_verdict() {
        let host = FakeHost::default();
        verdicts().permitted(&host, &tag(1), &CLIENT_TAG, at(1));
        assert_eq!(Verdicts::new(&[2; 32]).permit(&host, &tag(1)), None);
    }

    #[test]
    fn a_full_bucket_evicts_its_oldest_entry_and_never_grows() {
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
    fn many_permits_of_one_client_evict_only_its_own_entries() {
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
    fn a_flood_of_refusals_evicts_no_permit_and_stays_within_its_bound() {
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
    fn a_bucket_that_cannot_be_read_is_absent_and_is_overwritten() {
        let (host, verdicts) = (FakeHost::default(), verdicts());
        verdicts.permitted(&host, &tag(1), &CLIENT_TAG, at(1));
        let key = host.shared.borrow().keys().next().unwrap().clone();
        let good = host.shared(&key).unwrap().value;
        let newer = [&[good[0] + 1][..], &good[1..]].concat();
        for bad in [&good[..good.len() - 1], &newer, b""] {
            host.share(&key, bad, Write::Always).unwrap();
            assert_eq!(verdicts.permit(&host, &tag(1)), None);
            verdicts.permitted(&host, &tag(1), &CLIENT_TAG, at(2));
            assert_eq!(verdicts.permit(&host, &tag(1)), Some(at(2)));
        }
    }

    proptest! {
        #[test]
        fn reading_or_changing_an_arbitrary_value_does_not_panic(
            entries in proptest::collection::vec(any::<u8>(), 0..4 * REFUSAL),
            whole: bool,
            known: bool,
        ) {
            let (host, verdicts) = (FakeHost::default(), verdicts());
            let number = tag(1);
            let mut value = [&[2], &entries[..]].concat();
            if known {
                value.splice(1..1, number.0);
            }
            for buckets in [&verdicts.permits, &verdicts.refusals, &verdicts.passwords] {
                let mut value = value.clone();
                if whole {
                    value.truncate(1 + (value.len() - 1) / buckets.entry * buckets.entry);
                }
                host.share(&buckets.bucket(&number), &value, Write::Always).unwrap();
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
