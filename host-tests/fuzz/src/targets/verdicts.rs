//! Verdicts in shared data: a sequence of permits and refusals, three bytes each. A `#` and the bytes after it replace the
//! value of every bucket, as another writer could.
//!
//! The last verdict on credentials is kept, no refusal removes other permits, and buckets stay within their bound. In the
//! bytes of another writer the filter finds what a second reader finds.

use awx_metrics_filter::auth::{Refusal, TAG, Tag};
use awx_metrics_filter::host::{Call, CallId, Host, HostError, Level, Shared, Time, Write};
use awx_metrics_filter::limits;
use awx_metrics_filter::shared::verdicts::Verdicts;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use crate::{PLANTED, Target};

pub(crate) const TARGET: Target = Target {
    name: "verdicts",
    run,
    longest: 160,
    thousands: 200,
    words: &["#\u{1}", "\u{1}\u{1}\u{1}\u{1}\u{1}\u{1}\u{1}\u{1}", "\0\u{2}\0", "\u{1}\u{2}\0"],
    fault: "a refusal leaves the permit that was",
};

/// Bytes of a permit: its tag and its time.
const PERMIT: usize = TAG + 16;

fn run(bytes: &[u8]) {
    let (verdicts, host) = (Verdicts::new(&[3; 32]), Memory::default());
    let steps = bytes.split(|&byte| byte == b'#').next().unwrap_or_default();
    let mut permits = BTreeMap::new();
    for step in steps.chunks_exact(3) {
        take(step, &verdicts, &host, &mut permits);
    }
    if let Some(left) = bytes.get(steps.len() + 1..) {
        host.0.borrow_mut().values_mut().for_each(|value| *value = left.to_vec());
        for tag in (0..16).map(tag) {
            read(&tag, left, &verdicts, &host);
        }
    }
}

/// One verdict. The first byte is the verdict, the second the credentials, the third the time.
fn take(step: &[u8], verdicts: &Verdicts, host: &Memory, permits: &mut BTreeMap<u8, Time>) {
    let (who, at) = (tag(step[1]), Duration::from_nanos(step[2].into()));
    if step[0].is_multiple_of(2) {
        verdicts.permitted(host, &who, &tag(step[0] >> 4), at);
        permits.insert(step[1], at);
        assert_eq!(verdicts.permit(host, &who), Some(at));
    } else {
        let refusal =
            Refusal { forbidden: step[0] % 4 == 1, sentence: "No.".repeat(step[0].into()) };
        let kept: Vec<_> = permits.keys().map(|&who| verdicts.permit(host, &tag(who))).collect();
        if !PLANTED {
            verdicts.refused(host, &who, at, &refusal);
            let (when, found) = verdicts.refusal(host, &who).expect("what was remembered");
            assert_eq!((when, found.forbidden), (at, refusal.forbidden));
            assert!(refusal.sentence.starts_with(&found.sentence));
        }
        assert_eq!(verdicts.permit(host, &who), None, "who was refused is not let in");
        for (&other, kept) in permits.keys().zip(kept).filter(|(other, _)| **other != step[1]) {
            assert_eq!(verdicts.permit(host, &tag(other)), kept, "a refusal touches no other");
        }
        permits.remove(&step[1]);
    }
    for (who, at) in permits.iter() {
        let found = verdicts.permit(host, &tag(*who));
        assert!(found.is_none_or(|found| found == *at), "an older verdict");
    }
    let most = limits::BUCKET_PERMITS * PERMIT
        + limits::BUCKET_REFUSALS * (PERMIT + 2 + limits::SENTENCE_BYTES);
    assert!(host.0.borrow().values().all(|value| value.len() <= most));
}

/// Bytes of another writer contain a permit only if they are a whole bucket of permits that contains it.
fn read(tag: &Tag, left: &[u8], verdicts: &Verdicts, host: &Memory) {
    let entries = left.strip_prefix(b"\x02").filter(|entries| entries.len().is_multiple_of(PERMIT));
    let mut entries = entries.unwrap_or_default().chunks(PERMIT).take(limits::BUCKET_PERMITS);
    let found = entries.find(|entry| entry[..TAG] == tag.0).map(|entry| {
        let time =
            entry[TAG..TAG + 8].iter().rev().fold(0, |time, &byte| time << 8 | u64::from(byte));
        Duration::from_nanos(time)
    });
    let permit = verdicts.permit(host, tag);
    assert!(permit.is_none() || permit == found, "{permit:?} of {found:?}");
    let sentence = verdicts.refusal(host, tag).map(|(_, refusal)| refusal.sentence);
    assert!(
        sentence.is_none_or(|it| it.len() <= limits::SENTENCE_BYTES && it.lines().count() <= 1)
    );
}

/// The first bytes select the bucket. All tags have the same, so that it overflows.
fn tag(who: u8) -> Tag {
    let mut tag = [who; TAG];
    tag[..8].fill(0);
    Tag(tag)
}

/// A host that has shared data and nothing else.
#[derive(Default)]
struct Memory(RefCell<BTreeMap<String, Vec<u8>>>);

impl Host for Memory {
    fn now(&self) -> Time {
        Duration::ZERO
    }

    fn log(&self, _: Level, _: &str) {}

    fn random(&self, _: &mut [u8]) {}

    fn environment(&self, _: &str) -> Option<String> {
        None
    }

    fn shared(&self, key: &str) -> Option<Shared> {
        self.0.borrow().get(key).map(|value| Shared { value: value.clone(), guard: 1 })
    }

    fn share(&self, key: &str, value: &[u8], _: Write) -> Result<(), HostError> {
        self.0.borrow_mut().insert(key.to_owned(), value.to_vec());
        Ok(())
    }

    fn request_header(&self, _: &str) -> Option<Vec<u8>> {
        None
    }

    fn request_headers(&self) -> Vec<(String, Vec<u8>)> {
        Vec::new()
    }

    fn property(&self, _: &[&str]) -> Option<Vec<u8>> {
        None
    }

    fn call(&self, _: &Call<'_>) -> Result<CallId, HostError> {
        Err(HostError::Refused)
    }
}
