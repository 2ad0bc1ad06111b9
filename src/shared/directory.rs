//! [`Directory`]: which VM publishes its shard where, and the sum of all shards of a scope.
//!
//! # The protocol
//! Shared data offers a read (value and guard), a blind write, and a compare-and-swap on a key that exists. It has no
//! delete and no atomic create. Each VM has one shard in its own slot and writes it blindly and whole, at each count.
//! Everything else is one value, the membership, which is changed by compare-and-swap only:
//!
//! - **Acquire** (a VM's first count or heartbeat): take a free slot, or add one, in the next incarnation; then write the
//!   shard.
//! - **Heartbeat** (each second): write the shard, so that it changes; object if suspected; monitor the other shards.
//! - **Suspect**: a shard did not change for several heartbeats of another VM. The slot is still its owner's, and counts.
//! - **Object**: a suspected VM that is alive makes its slot its own again.
//! - **Evict**: a suspected owner was silent for several heartbeats more. One swap adds its shard to the retired shard and
//!   frees its slot.
//! - **Gather**: read the membership, unless it is known from the last time; read every shard that it names; read the
//!   membership again; if it changed, start over. The sum includes the retired shard and the shards whose stamp has the
//!   owner and incarnation that the membership has.
//!
//! # Why it is correct
//! While the membership does not change, each of its shards has one writer and only grows. Each swap keeps the sum: a new
//! slot has no shard yet, and an eviction moves a shard that is no longer written. So a gather sees every count that was
//! written before it began, none twice, and no later gather sees less. If a VM dies between any two steps, its slot is
//! evicted eventually, whether or not its shard was written.
//!
//! # Assumption
//! A live VM sends heartbeats. As long as no other VM begins [`limits::PATIENCE`]` / 2` heartbeats between the ends of two
//! of its own, its objection is in time, in any interleaving; a single pause, anywhere, may last twice
//! [`limits::PATIENCE`]. The assumption is necessary: writes are blind and keys are few, so a writer that is paused for
//! long enough always collides with the next owner of its slot. If that happens anyway (a debugger stops a thread), the
//! counts of that VM between the eviction and its next heartbeat are lost. No count is counted twice, and since a slot has
//! two keys, for odd and even incarnations, the next owner's shard is not overwritten. No clock is involved: silence is
//! measured in heartbeats of the monitoring VM.
//!
//! `explorer` (tests) runs this code through every interleaving of a few VMs, with deaths at any step, and shows the
//! failures without the second read, the swaps, or the heartbeats.

use super::LAYOUT;
use super::membership::{Membership, Slot, SlotState};
use super::record::nanoseconds;
use super::shard::{Shard, Stamp};
use crate::host::{Host, HostError, Shared, Time, Write};
use crate::limits;

/// A flag of [`Stamp`]: the VM has had a stream.
pub const SERVES_REQUESTS: u32 = 1;

/// The directory of a scope.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Directory {
    scope: String,
    key: String,
    /// The key that counts what does not fit into the retired shard.
    overflow: u32,
}

/// The sum over all VMs of a scope.
#[derive(Clone, Debug, Default)]
pub struct GatheredCounts {
    /// The sum of all shards, including the retired one.
    pub sum: Shard,
    /// The number of live VMs that have had a stream.
    pub workers: usize,
    /// The number of evictions.
    pub takeovers: u64,
}

/// A membership as read, and the guard with which to write it back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ReadMembership {
    pub(super) membership: Membership,
    guard: u32,
}

impl ReadMembership {
    fn decode(shared: &Shared) -> Option<Self> {
        Some(Self { membership: Membership::decode(&shared.value)?, guard: shared.guard })
    }
}

impl Directory {
    /// The directory of `scope`. The key `overflow` counts what does not fit into the retired shard.
    #[must_use]
    pub fn new(scope: &str, overflow: u32) -> Self {
        let key = format!("{LAYOUT}/directory/{scope}");
        Self { scope: scope.to_owned(), key, overflow }
    }

    /// Creates the directory if it does not exist. The host has no atomic create, so the caller must run where no other VM
    /// can do the same: in `on_configure`, which the canary VM runs before every other VM.
    pub fn create(&self, host: &dyn Host) {
        if self.read(host).is_none() {
            let mut epoch = [0; 8];
            host.random(&mut epoch);
            let now = nanoseconds(host.now());
            let membership = Membership::new(u64::from_le_bytes(epoch), now);
            // If the host cannot store it, nothing is published, and the next configuration tries again.
            let _ = host.share(&self.key, &membership.encode(), Write::Always);
        }
    }

    /// When the directory was created: every counter was 0 then.
    #[must_use]
    pub fn created(&self, host: &dyn Host) -> Option<Time> {
        Some(Time::from_nanos(self.read(host)?.membership.created))
    }

    /// Adds up the shards of all VMs; `None` if there is no directory, or it keeps changing. `known` is the membership that
    /// the caller read last, if any; if it is still current, the membership is read only once, at the end. `own` returns,
    /// for the caller's slot, its shard and whether it has had a stream, so that these are not read.
    #[must_use]
    pub(super) fn gather<'a>(
        &self,
        host: &dyn Host,
        known: &mut Option<ReadMembership>,
        own: impl Fn(usize, &Slot) -> Option<(&'a Shard, bool)>,
    ) -> Option<GatheredCounts> {
        (0..limits::DIRECTORY_TRIES).find_map(|_| {
            let read = known.take().or_else(|| self.read(host))?;
            let gathered = self.sum(host, &read.membership, &own);
            let now = host.shared(&self.key)?;
            let is_current = now.guard == read.guard;
            *known = if is_current { Some(read) } else { ReadMembership::decode(&now) };
            is_current.then_some(gathered)
        })
    }

    fn sum<'a>(
        &self,
        host: &dyn Host,
        membership: &Membership,
        own: impl Fn(usize, &Slot) -> Option<(&'a Shard, bool)>,
    ) -> GatheredCounts {
        let slots = || membership.slots.iter().enumerate();
        let own = slots().find_map(|(index, slot)| Some((index, slot, own(index, slot)?)));
        let mut gathered =
            GatheredCounts { takeovers: membership.takeovers, ..GatheredCounts::default() };
        if let Some((_, slot, (shard, serves_requests))) = own {
            // A clone costs less than an addition.
            gathered.sum = shard.clone();
            gathered.workers = usize::from(serves_requests && slot.state == SlotState::Owned);
        }
        membership.add_retired(&mut gathered.sum);
        for (index, slot) in slots().filter(|(index, _)| own.is_none_or(|(own, ..)| own != *index))
        {
            let key = self.shard_key(index, slot.incarnation);
            let shared = if slot.state == SlotState::Free { None } else { host.shared(&key) };
            let Some(view) = shared.as_ref().and_then(|it| slot.shard(&it.value)) else { continue };
            gathered.sum.absorb(&view);
            let serves_requests = view.stamp.flags & SERVES_REQUESTS != 0;
            gathered.workers += usize::from(serves_requests && slot.state == SlotState::Owned);
        }
        gathered
    }

    pub(super) fn read(&self, host: &dyn Host) -> Option<ReadMembership> {
        ReadMembership::decode(&host.shared(&self.key)?)
    }

    /// Writes back a changed membership, unless another VM has changed it since it was read.
    pub(super) fn swap(&self, host: &dyn Host, read: &ReadMembership) -> Result<(), HostError> {
        host.share(&self.key, &read.membership.encode(), Write::IfUnchanged(read.guard))
    }

    pub(super) fn shard_key(&self, index: usize, incarnation: u32) -> String {
        format!("{LAYOUT}/shard/{index}.{}/{}", incarnation % 2, self.scope)
    }

    /// The stamp of a slot's shard.
    pub(super) fn stamp(
        &self,
        host: &dyn Host,
        read: &ReadMembership,
        index: usize,
    ) -> Option<Stamp> {
        let slot = read.membership.slots.get(index)?;
        let shared = host.shared(&self.shard_key(index, slot.incarnation))?;
        slot.shard(&shared.value).map(|view| view.stamp)
    }

    /// Suspects the owners of silent slots, and evicts those that are suspected already.
    pub(super) fn suspect_or_evict(
        &self,
        host: &dyn Host,
        mut read: ReadMembership,
        silent: &[usize],
    ) {
        let mut retired = read.membership.retired();
        for &index in silent {
            let Some(slot) = read.membership.slots.get_mut(index) else { continue };
            match slot.state {
                SlotState::Free => {}
                SlotState::Owned => slot.state = SlotState::Suspect,
                SlotState::Suspect => {
                    self.retire(host, index, slot, &mut retired);
                    slot.state = SlotState::Free;
                    read.membership.takeovers += 1;
                }
            }
        }
        read.membership.set_retired(&retired);
        // If another VM was faster or a suspect objected, nothing changes, and the next heartbeat tries again.
        let _ = self.swap(host, &read);
    }

    fn retire(&self, host: &dyn Host, index: usize, slot: &Slot, retired: &mut Shard) {
        if let Some(shared) = host.shared(&self.shard_key(index, slot.incarnation))
            && let Some(view) = slot.shard(&shared.value)
        {
            retired.absorb_within(&view, limits::RETIRED_SERIES, self.overflow);
        }
    }
}
