//! [`Membership`]: the directory's value. It contains the owner of each slot and the sum of the shards of evicted owners,
//! so a single compare-and-swap both evicts an owner and adds its shard to that sum.
//!
//! ```text
//! membership   magic:u32 slots:u32 epoch:u64 created:u64 takeovers:u64  slot*  retired
//! slot         owner:u64 incarnation:u32 state:u32
//! retired      a shard
//! ```
//! All numbers are little-endian; `created` is in nanoseconds since the Unix epoch.

use super::codec::{Reader, Writer};
use super::shard::{Shard, ShardView};
use crate::limits;

/// The directory's value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Membership {
    /// A random number, drawn when the directory was created: distinguishes it from an earlier directory.
    pub(super) epoch: u64,
    /// When the directory was created.
    pub(super) created: u64,
    /// The number of evictions.
    pub(super) takeovers: u64,
    pub(super) slots: Vec<Slot>,
    /// The sum of the shards of evicted owners, as the bytes of a shard, since it is rarely needed.
    retired: Vec<u8>,
}

/// A slot for a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Slot {
    pub(super) owner: u64,
    /// The number of its owners so far.
    pub(super) incarnation: u32,
    pub(super) state: SlotState,
}

/// The knowledge about a slot's owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum SlotState {
    /// It has no owner.
    Free,
    /// Its owner is taken to be alive.
    Owned,
    /// Its owner missed heartbeats. It keeps the slot if it objects in time.
    Suspect,
}

/// "AWD" and the version of this encoding.
const MAGIC: u32 = u32::from_le_bytes(*b"AWD\x01");
const HEADER: usize = 32;
const SLOT: usize = 16;

impl Membership {
    pub(super) fn new(epoch: u64, created: u64) -> Self {
        let retired = Shard::default().as_bytes().to_vec();
        Self { epoch, created, takeovers: 0, slots: Vec::new(), retired }
    }

    /// Adds the counters of evicted owners to `sum`.
    pub(super) fn add_retired(&self, sum: &mut Shard) {
        if let Some(view) = ShardView::read(&self.retired) {
            sum.absorb(&view);
        }
    }

    /// The counters of evicted owners.
    pub(super) fn retired(&self) -> Shard {
        let mut retired = Shard::default();
        self.add_retired(&mut retired);
        retired
    }

    /// Replaces the counters of evicted owners.
    pub(super) fn set_retired(&mut self, retired: &Shard) {
        self.retired = retired.as_bytes().to_vec();
    }

    /// Reads a membership; `None` for bytes that are not a whole membership.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let (magic, count) = (reader.u32()?, usize::try_from(reader.u32()?).ok()?);
        let (epoch, created, takeovers) = (reader.u64()?, reader.u64()?, reader.u64()?);
        if magic != MAGIC || count > limits::SLOTS {
            return None;
        }
        let slots = (0..count).map(|_| Slot::decode(&mut reader)).collect::<Option<Vec<_>>>()?;
        ShardView::read(reader.rest())?;
        Some(Self { epoch, created, takeovers, slots, retired: reader.rest().to_vec() })
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER + self.slots.len() * SLOT + self.retired.len());
        let mut writer = Writer::new(&mut bytes);
        writer
            .u32(MAGIC)
            .u32(u32::try_from(self.slots.len()).unwrap_or(u32::MAX))
            .u64(self.epoch)
            .u64(self.created)
            .u64(self.takeovers);
        for slot in &self.slots {
            writer.u64(slot.owner).u32(slot.incarnation).u32(slot.state as u32);
        }
        writer.bytes(&self.retired);
        bytes
    }

    /// Gives `owner` a slot: its index and incarnation, unless all slots have an owner.
    pub(super) fn acquire(&mut self, owner: u64) -> Option<(usize, u32)> {
        let free = self.slots.iter().position(|slot| slot.state == SlotState::Free);
        let index = free.unwrap_or(self.slots.len());
        if index >= limits::SLOTS {
            return None;
        }
        if free.is_none() {
            self.slots.push(Slot { owner: 0, incarnation: 0, state: SlotState::Free });
        }
        let slot = self.slots.get_mut(index)?;
        let incarnation = slot.incarnation.wrapping_add(1);
        *slot = Slot { owner, incarnation, state: SlotState::Owned };
        Some((index, incarnation))
    }
}

impl Slot {
    fn decode(reader: &mut Reader<'_>) -> Option<Self> {
        let (owner, incarnation) = (reader.u64()?, reader.u32()?);
        let state = match reader.u32()? {
            0 => SlotState::Free,
            1 => SlotState::Owned,
            2 => SlotState::Suspect,
            _ => return None,
        };
        Some(Self { owner, incarnation, state })
    }

    /// Returns true if this owner has the slot, in this incarnation.
    pub(super) fn is_held_by(&self, owner: u64, incarnation: u32) -> bool {
        self.state != SlotState::Free && (self.owner, self.incarnation) == (owner, incarnation)
    }

    /// The shard in `bytes`, if the slot's current owner wrote it. An owner that has not written yet may find the shard of
    /// an earlier owner there.
    pub(super) fn shard<'a>(&self, bytes: &'a [u8]) -> Option<ShardView<'a>> {
        let view = ShardView::read(bytes)?;
        self.is_held_by(view.stamp.owner, view.stamp.incarnation).then_some(view)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn membership() -> Membership {
        let mut membership = Membership::new(5, 6);
        membership.takeovers = 2;
        membership.acquire(7);
        membership.acquire(8);
        membership.slots[0].state = SlotState::Suspect;
        let mut retired = Shard::default();
        retired.add(1, 30);
        membership.set_retired(&retired);
        membership
    }

    #[test]
    fn a_membership_reads_back_as_it_was_written() {
        let (written, read) = (membership(), Membership::decode(&membership().encode()).unwrap());
        assert_eq!((read.epoch, read.created, read.takeovers), (5, 6, 2));
        assert_eq!(read.slots, written.slots);
        assert_eq!(read.retired().as_bytes(), written.retired().as_bytes());
    }

    #[test]
    fn a_membership_of_another_version_or_length_is_absent() {
        let good = membership().encode();
        for end in 0..good.len() {
            assert!(Membership::decode(&good[..end]).is_none(), "{end}");
        }
        assert!(Membership::decode(&[&good[..], &[0]].concat()).is_none());
        for at in [0, 3, 4, 7, 44] {
            let mut bad = good.clone();
            bad[at] ^= 0xf0;
            assert!(Membership::decode(&bad).is_none(), "{at}");
        }
    }

    #[test]
    fn a_free_slot_is_reused_in_a_new_incarnation_and_the_number_of_slots_is_bounded() {
        let mut membership = membership();
        membership.slots[0].state = SlotState::Free;
        assert_eq!(membership.acquire(9), Some((0, 2)));
        let acquired = std::iter::from_fn(|| membership.acquire(10)).count();
        assert_eq!(acquired, limits::SLOTS - 2);
        assert!(Membership::decode(&membership.encode()).is_some());
    }

    proptest! {
        #[test]
        fn decoding_arbitrary_bytes_does_not_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Membership::decode(&bytes);
            bytes.splice(0..bytes.len().min(8), [b'A', b'W', b'D', 1, 2, 0, 0, 0]);
            let _ = Membership::decode(&bytes);
        }
    }
}
