//! [`Membership`]: the directory's value. Who owns which slot, and the sum of the shards whose owners are dead, in one value:
//! so taking a slot from its owner and adding its shard to the dead ones' is a single compare-and-swap.
//!
//! ```text
//! membership   magic:u32 slots:u32 epoch:u64 created:u64 takeovers:u64  slot*  retired
//! slot     owner:u64 incarnation:u32 state:u32
//! retired  a shard
//! ```
//! All little-endian; `created` is nanoseconds since the epoch.

use super::codec::{Reader, ShardView};
use super::shard::Shard;
use crate::limits;

/// The directory's value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Membership {
    /// Drawn when the directory was made: tells it from one that stood here before.
    pub(super) epoch: u64,
    /// When that was.
    pub(super) created: u64,
    /// How many orphans were taken over.
    pub(super) takeovers: u64,
    pub(super) slots: Vec<Slot>,
    /// What the dead counted: a shard, as bytes, since it is seldom looked into.
    retired: Vec<u8>,
}

/// A place for a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Slot {
    pub(super) owner: u64,
    /// Counts its owners.
    pub(super) incarnation: u32,
    pub(super) state: SlotState,
}

/// What is known of a slot's owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum SlotState {
    /// It has none.
    Free,
    /// It lives, as far as anybody knows.
    Owned,
    /// It was silent for long, and may object.
    Suspect,
}

/// "AWD" and the version of this encoding.
const MAGIC: u32 = u32::from_le_bytes(*b"AWD\x01");
const SLOT: usize = 16;

impl Membership {
    pub(super) fn new(epoch: u64, created: u64) -> Self {
        let retired = Shard::default().as_bytes().to_vec();
        Self { epoch, created, takeovers: 0, slots: Vec::new(), retired }
    }

    /// Adds what the dead counted.
    pub(super) fn add_retired(&self, sum: &mut Shard) {
        if let Some(view) = ShardView::read(&self.retired) {
            sum.absorb(&view);
        }
    }

    /// What the dead counted.
    pub(super) fn retired(&self) -> Shard {
        let mut retired = Shard::default();
        self.add_retired(&mut retired);
        retired
    }

    /// Sets what the dead counted.
    pub(super) fn retire(&mut self, retired: &Shard) {
        self.retired = retired.as_bytes().to_vec();
    }

    /// Reads a membership; `None` for anything that is not one, whole.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let (magic, count) = (reader.u32()?, usize::try_from(reader.u32()?).ok()?);
        let (epoch, created, takeovers) = (reader.u64()?, reader.u64()?, reader.u64()?);
        if magic != MAGIC || count > limits::SLOTS {
            return None;
        }
        let slots = (0..count).map(|_| Slot::decode(&mut reader)).collect::<Option<Vec<_>>>()?;
        ShardView::read(reader.0)?;
        Some(Self { epoch, created, takeovers, slots, retired: reader.0.to_vec() })
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(32 + self.slots.len() * SLOT + self.retired.len());
        bytes.extend_from_slice(&MAGIC.to_le_bytes());
        bytes.extend_from_slice(&u32::try_from(self.slots.len()).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend_from_slice(&self.epoch.to_le_bytes());
        bytes.extend_from_slice(&self.created.to_le_bytes());
        bytes.extend_from_slice(&self.takeovers.to_le_bytes());
        for slot in &self.slots {
            bytes.extend_from_slice(&slot.owner.to_le_bytes());
            bytes.extend_from_slice(&slot.incarnation.to_le_bytes());
            bytes.extend_from_slice(&(slot.state as u32).to_le_bytes());
        }
        bytes.extend_from_slice(&self.retired);
        bytes
    }

    /// Gives `owner` a slot: its place and incarnation, unless all are taken.
    pub(super) fn seat(&mut self, owner: u64) -> Option<(usize, u32)> {
        let free = self.slots.iter().position(|slot| slot.state == SlotState::Free);
        let place = free.unwrap_or(self.slots.len());
        if place >= limits::SLOTS {
            return None;
        }
        if free.is_none() {
            self.slots.push(Slot { owner: 0, incarnation: 0, state: SlotState::Free });
        }
        let slot = self.slots.get_mut(place)?;
        let incarnation = slot.incarnation.wrapping_add(1);
        *slot = Slot { owner, incarnation, state: SlotState::Owned };
        Some((place, incarnation))
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

    /// The same occupancy of the same slot.
    pub(super) fn is_of(&self, owner: u64, incarnation: u32) -> bool {
        self.state != SlotState::Free && (self.owner, self.incarnation) == (owner, incarnation)
    }

    /// This slot's shard, if these bytes are it: the owner may not have written yet, and an earlier one may have left
    /// its own.
    pub(super) fn shard<'a>(&self, bytes: &'a [u8]) -> Option<ShardView<'a>> {
        let view = ShardView::read(bytes)?;
        self.is_of(view.stamp.owner, view.stamp.incarnation).then_some(view)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn membership() -> Membership {
        let mut membership = Membership::new(5, 6);
        membership.takeovers = 2;
        membership.seat(7);
        membership.seat(8);
        membership.slots[0].state = SlotState::Suspect;
        let mut retired = Shard::default();
        retired.add(1, 30);
        membership.retire(&retired);
        membership
    }

    #[test]
    fn a_roster_comes_back_as_it_was_written() {
        let (written, read) = (membership(), Membership::decode(&membership().encode()).unwrap());
        assert_eq!((read.epoch, read.created, read.takeovers), (5, 6, 2));
        assert_eq!(read.slots, written.slots);
        assert_eq!(read.retired().as_bytes(), written.retired().as_bytes());
    }

    #[test]
    fn a_value_of_another_version_or_length_is_absent() {
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
    fn a_free_slot_is_used_again_under_a_new_incarnation_and_the_number_of_slots_is_bounded() {
        let mut membership = membership();
        membership.slots[0].state = SlotState::Free;
        assert_eq!(membership.seat(9), Some((0, 2)));
        let seats = std::iter::from_fn(|| membership.seat(10)).count();
        assert_eq!(seats, limits::SLOTS - 2);
        assert!(Membership::decode(&membership.encode()).is_some());
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_reader_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Membership::decode(&bytes);
            bytes.splice(0..bytes.len().min(8), [b'A', b'W', b'D', 1, 2, 0, 0, 0]);
            let _ = Membership::decode(&bytes);
        }
    }
}
