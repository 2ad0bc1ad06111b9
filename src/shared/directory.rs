//! [`Directory`]: where the shards of a scope stand, and how they are added up.
//!
//! # The protocol
//! Shared data gives: a read (value and guard), a blind write, and a compare-and-swap on a key that exists. No delete, no
//! create. Each VM keeps one shard in a slot of its own and writes it blindly, whole, at each count. All else is
//! one value, the membership, changed by compare-and-swap only:
//!
//! - **enter** (a VM's first count or beat): take a free slot, or a new one, under the next incarnation; then write the
//!   shard.
//! - **beat** (each second): write the shard, so that it changes; object if suspected; watch the other shards.
//! - **suspect**: a shard that did not change for several beats of a watcher. Nothing moves yet: the slot is still its
//!   owner's, and counts.
//! - **object**: a suspect that lives makes its slot its own again.
//! - **take over**: a suspect that was silent for several beats more. In one swap its shard is added to the retired and
//!   its slot is free.
//! - **gather**: read the membership, unless it is known from the last time, every shard it names, then the membership again; if it
//!   changed, from the start. The sum is of the retired and of the shards that bear the owner and incarnation that the
//!   membership gives them.
//!
//! Why it is sound. While the membership stands still, each shard it names has one writer and only grows; each swap of it keeps
//! the sum (a fresh slot names no shard yet; a take-over moves what nobody writes any more). So a gathering saw every
//! count that was written before it began, none twice, and no later one sees less. A VM that dies between any two steps
//! leaves a slot that is taken over in time, its shard written or not.
//!
//! What it rests on: a VM that lives beats. As long as no other VM begins [`limits::PATIENCE`]` / 2` beats between the ends
//! of two of its own, its objection comes in time, in whatever order things happen; a single standstill, anywhere, may
//! last twice [`limits::PATIENCE`]. It cannot do without: writes are blind and keys are few, so a writer that is stopped
//! for long enough always meets its slot's next owner. If it happens all the same (a thread held by a debugger), what
//! that VM counted since its shard was read to be taken over is lost, up to its next beat; nothing is counted twice; and
//! since a slot has two keys, for odd and even incarnations, its next owner's shard is not touched. No clock has a say in
//! this: silence is measured in the watcher's beats.
//!
//! `explorer` (tests) runs this very code through every interleaving of a few VMs, deaths at any step included, and shows
//! what goes wrong without the second reading, the swaps, or the beats.

use super::LAYOUT;
use super::codec::Stamp;
use super::membership::{Membership, Slot, SlotState};
use super::record::nanoseconds;
use super::shard::Shard;
use crate::host::{Host, HostError, Shared, Time, Write};
use crate::limits;

/// Set in a stamp's flags by a VM that has had a stream.
pub const SERVES: u32 = 1;

/// The directory of a scope.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Directory {
    scope: String,
    key: String,
    /// Counts what does not fit the retired shard.
    overflow: u32,
}

/// What all VMs of a scope counted.
#[derive(Clone, Debug, Default)]
pub struct Gathered {
    /// The sum of all shards, of the dead too.
    pub sum: Shard,
    /// How many live VMs have had a stream.
    pub serving: usize,
    /// How many dead VMs were taken over.
    pub takeovers: u64,
}

/// A membership as read, with what guards writing it back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ReadMembership {
    pub(super) membership: Membership,
    guard: u32,
}

impl ReadMembership {
    fn of(shared: &Shared) -> Option<Self> {
        Some(Self { membership: Membership::decode(&shared.value)?, guard: shared.guard })
    }
}

impl Directory {
    /// The directory of `scope`. What would make the retired shard too large is counted under the key `overflow`.
    #[must_use]
    pub fn new(scope: &str, overflow: u32) -> Self {
        let key = format!("{LAYOUT}/directory/{scope}");
        Self { scope: scope.to_owned(), key, overflow }
    }

    /// Makes the directory if there is none. To be called where no other VM can be doing the same, since the host has no
    /// atomic create: in `on_configure`, which the canary runs before every other VM.
    pub fn create(&self, host: &dyn Host) {
        if self.read(host).is_none() {
            let mut epoch = [0; 8];
            host.random(&mut epoch);
            let now = nanoseconds(host.now());
            let membership = Membership::new(u64::from_le_bytes(epoch), now);
            // Nothing to be done about a host that cannot store: then nothing is ever published.
            let _ = host.share(&self.key, &membership.encode(), Write::Always);
        }
    }

    /// When it was made: every counter was 0 then.
    #[must_use]
    pub fn created(&self, host: &dyn Host) -> Option<Time> {
        Some(Time::from_nanos(self.read(host)?.membership.created))
    }

    /// Adds up what all VMs counted; `None` where there is no directory, or it changes all the time. `known` is the membership
    /// as whoever asks last read it, if that was read: where it still stands, it is read only once, at the end. `own`: of
    /// the slot of whoever asks, its shard and whether it serves, which then need not be read.
    #[must_use]
    pub(super) fn gather<'a>(
        &self,
        host: &dyn Host,
        known: &mut Option<ReadMembership>,
        own: impl Fn(usize, &Slot) -> Option<(&'a Shard, bool)>,
    ) -> Option<Gathered> {
        (0..limits::DIRECTORY_TRIES).find_map(|_| {
            let read = known.take().or_else(|| self.read(host))?;
            let gathered = self.sum(host, &read.membership, &own);
            let now = host.shared(&self.key)?;
            let stands = now.guard == read.guard;
            *known = if stands { Some(read) } else { ReadMembership::of(&now) };
            stands.then_some(gathered)
        })
    }

    fn sum<'a>(
        &self,
        host: &dyn Host,
        membership: &Membership,
        own: impl Fn(usize, &Slot) -> Option<(&'a Shard, bool)>,
    ) -> Gathered {
        let slots = || membership.slots.iter().enumerate();
        let seat = slots().find_map(|(place, slot)| Some((place, slot, own(place, slot)?)));
        let mut gathered = Gathered { takeovers: membership.takeovers, ..Gathered::default() };
        if let Some((_, slot, (shard, serves))) = seat {
            // A copy costs less than to add it up.
            gathered.sum = shard.clone();
            gathered.serving = usize::from(serves && slot.state == SlotState::Owned);
        }
        membership.add_retired(&mut gathered.sum);
        for (place, slot) in slots().filter(|(place, _)| seat.is_none_or(|(own, ..)| own != *place))
        {
            let key = self.shard_key(place, slot.incarnation);
            let shared = if slot.state == SlotState::Free { None } else { host.shared(&key) };
            let Some(view) = shared.as_ref().and_then(|it| slot.shard(&it.value)) else { continue };
            gathered.sum.absorb(&view);
            let serves = slot.state == SlotState::Owned && view.stamp.flags & SERVES != 0;
            gathered.serving += usize::from(serves);
        }
        gathered
    }

    pub(super) fn read(&self, host: &dyn Host) -> Option<ReadMembership> {
        ReadMembership::of(&host.shared(&self.key)?)
    }

    /// Writes `read` back, changed, where nobody else has changed it.
    pub(super) fn swap(&self, host: &dyn Host, read: &ReadMembership) -> Result<(), HostError> {
        host.share(&self.key, &read.membership.encode(), Write::IfUnchanged(read.guard))
    }

    pub(super) fn shard_key(&self, place: usize, incarnation: u32) -> String {
        format!("{LAYOUT}/shard/{place}.{}/{}", incarnation % 2, self.scope)
    }

    /// Who wrote the shard of a slot last.
    pub(super) fn stamp(
        &self,
        host: &dyn Host,
        read: &ReadMembership,
        place: usize,
    ) -> Option<Stamp> {
        let slot = read.membership.slots.get(place)?;
        let shared = host.shared(&self.shard_key(place, slot.incarnation))?;
        slot.shard(&shared.value).map(|view| view.stamp)
    }

    /// Takes silent slots a step further: who is owned is suspected, and a suspect is taken over.
    pub(super) fn advance(&self, host: &dyn Host, mut read: ReadMembership, silent: &[usize]) {
        let mut retired = read.membership.retired();
        for &place in silent {
            let Some(slot) = read.membership.slots.get_mut(place) else { continue };
            match slot.state {
                SlotState::Free => {}
                SlotState::Owned => slot.state = SlotState::Suspect,
                SlotState::Suspect => {
                    self.retire(host, place, slot, &mut retired);
                    slot.state = SlotState::Free;
                    read.membership.takeovers += 1;
                }
            }
        }
        read.membership.retire(&retired);
        // Where somebody was faster, or a suspect objected, nothing happened; the next beat looks again.
        let _ = self.swap(host, &read);
    }

    fn retire(&self, host: &dyn Host, place: usize, slot: &Slot, retired: &mut Shard) {
        if let Some(shared) = host.shared(&self.shard_key(place, slot.incarnation))
            && let Some(view) = slot.shard(&shared.value)
        {
            retired.absorb_within(&view, limits::RETIRED_SERIES, self.overflow);
        }
    }
}
