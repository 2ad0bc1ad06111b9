//! [`Participant`]: a VM's part in the directory: its seat, its beats, and its eye on the others.

use super::directory::{Directory, Gathered, ReadMembership, SERVES};
use super::membership::{Slot, SlotState};
use super::shard::Shard;
use crate::host::{Host, Write};
use crate::limits;

/// One VM's part in a directory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Participant {
    directory: Directory,
    owner: u64,
    seat: Option<SlotLease>,
    /// Whether entering was not tried since the last beat: with the directory full or missing, a try for each request
    /// would cost more than the request.
    may_enter: bool,
    serves: bool,
    patience: u8,
    watched: Vec<Watched>,
    /// The membership as it was gathered by last.
    known: Option<ReadMembership>,
}

/// A slot of one's own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct SlotLease {
    place: usize,
    incarnation: u32,
    /// Of the directory.
    epoch: u64,
    /// Where the shard is written.
    key: String,
}

/// What was last seen of a slot, and for how many beats it has not changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Watched {
    seen: Option<Seen>,
    silent: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Seen {
    owner: u64,
    incarnation: u32,
    suspect: bool,
    writes: Option<u64>,
}

/// What a beat found of one's own seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Beat {
    /// It is as it was, or was taken, or there is none to be had.
    Kept,
    /// It had been taken over, with all that was published: the shard was cleared, and counts on from zero.
    Cleared,
}

impl Participant {
    /// The part of the VM `owner`, a random number, in `directory`.
    #[must_use]
    pub const fn new(directory: Directory, owner: u64) -> Self {
        Self {
            directory,
            owner,
            seat: None,
            may_enter: true,
            serves: false,
            patience: limits::PATIENCE,
            watched: Vec::new(),
            known: None,
        }
    }

    /// The same, sooner to lose patience.
    #[cfg(test)]
    pub(super) const fn with_patience(mut self, beats: u8) -> Self {
        self.patience = beats;
        self
    }

    /// The directory.
    #[must_use]
    pub const fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Whether what is published can be seen.
    #[must_use]
    pub const fn has_slot(&self) -> bool {
        self.seat.is_some()
    }

    /// To be called when the VM has a stream.
    pub const fn serve(&mut self) {
        self.serves = true;
    }

    /// Publishes the shard: one write, once there is a seat. Without one, the counts wait in the shard for a seat.
    pub fn publish(&mut self, host: &dyn Host, shard: &mut Shard) {
        if self.seat.is_none() && self.may_enter {
            self.may_enter = false;
            self.seat = self.enter(host);
        }
        if let Some(seat) = &self.seat {
            let flags = if self.serves { SERVES } else { 0 };
            let bytes = shard.publish(self.owner, seat.incarnation, flags);
            // A host that cannot store now may be able to next time, and the shard is written whole.
            let _ = host.share(&seat.key, bytes, Write::Always);
        }
    }

    /// What all VMs counted: of the others what they published, of this one the shard as it stands. What that has
    /// beyond its last publication is to be published before anybody is told.
    #[must_use]
    pub fn gather(&mut self, host: &dyn Host, shard: &Shard) -> Option<Gathered> {
        let Self { directory, owner, seat, serves, known, .. } = self;
        let own = |place, slot: &Slot| {
            let seat = seat.as_ref().filter(|seat| seat.place == place)?;
            slot.is_of(*owner, seat.incarnation).then_some((shard, *serves))
        };
        directory.gather(host, known, own)
    }

    /// Shows that this VM lives, and looks after those that do not.
    pub fn beat(&mut self, host: &dyn Host, shard: &mut Shard) -> Beat {
        self.may_enter = true;
        let beat = self.keep_seat(host, shard);
        self.publish(host, shard);
        self.watch(host);
        beat
    }

    fn enter(&self, host: &dyn Host) -> Option<SlotLease> {
        for _ in 0..limits::DIRECTORY_TRIES {
            let mut read = self.directory.read(host)?;
            let (place, incarnation) = read.membership.seat(self.owner)?;
            if self.directory.swap(host, &read).is_ok() {
                let key = self.directory.shard_key(place, incarnation);
                return Some(SlotLease { place, incarnation, epoch: read.membership.epoch, key });
            }
        }
        None
    }

    /// Objects to a suspicion, and gives the seat up where it is lost.
    fn keep_seat(&mut self, host: &dyn Host, shard: &mut Shard) -> Beat {
        for _ in 0..limits::DIRECTORY_TRIES {
            let Some(seat) = &self.seat else { return Beat::Kept };
            // A directory that cannot be read says nothing against the seat.
            let Some(mut read) = self.directory.read(host) else { return Beat::Kept };
            if read.membership.epoch != seat.epoch {
                // Another directory: nothing of this shard is in it.
                self.seat = None;
                return Beat::Kept;
            }
            match read.membership.slots.get_mut(seat.place) {
                Some(slot) if slot.is_of(self.owner, seat.incarnation) => {
                    if slot.state == SlotState::Owned {
                        return Beat::Kept;
                    }
                    slot.state = SlotState::Owned;
                    if self.directory.swap(host, &read).is_ok() {
                        return Beat::Kept;
                    }
                }
                _ => {
                    self.seat = None;
                    shard.clear();
                    return Beat::Cleared;
                }
            }
        }
        Beat::Kept
    }

    /// Looks at every other slot, and takes those that were silent for too long a step further.
    fn watch(&mut self, host: &dyn Host) {
        let Some(read) = self.directory.read(host) else { return };
        self.watched.resize(read.membership.slots.len(), Watched::default());
        let mut silent = Vec::new();
        for place in 0..self.watched.len() {
            let seen = self.see(host, &read, place);
            let Some(watched) = self.watched.get_mut(place) else { continue };
            watched.look(seen);
            if watched.silent >= self.patience {
                silent.push(place);
            }
        }
        if !silent.is_empty() {
            self.directory.advance(host, read, &silent);
        }
    }

    /// What there is to see of a slot; nothing of a free one, or one's own.
    fn see(&self, host: &dyn Host, read: &ReadMembership, place: usize) -> Option<Seen> {
        let slot = read.membership.slots.get(place)?;
        if slot.state == SlotState::Free || slot.owner == self.owner {
            return None;
        }
        let writes = self.directory.stamp(host, read, place).map(|stamp| stamp.writes);
        let suspect = slot.state == SlotState::Suspect;
        Some(Seen { owner: slot.owner, incarnation: slot.incarnation, suspect, writes })
    }
}

impl Watched {
    fn look(&mut self, seen: Option<Seen>) {
        let changed = seen.is_none() || self.seen != seen;
        self.silent = if changed { 0 } else { self.silent.saturating_add(1) };
        self.seen = seen;
    }
}
