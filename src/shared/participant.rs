//! [`Participant`]: one VM's part in a directory. It holds the VM's slot, publishes the VM's shard, sends heartbeats, and
//! monitors the heartbeats of other VMs.

use super::directory::{Directory, GatheredCounts, ReadMembership, SERVES_REQUESTS};
use super::membership::{Slot, SlotState};
use super::shard::Shard;
use crate::host::{Host, Write};
use crate::limits;

/// One VM's part in a directory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Participant {
    directory: Directory,
    owner: u64,
    lease: Option<SlotLease>,
    /// True if no slot was asked for since the last heartbeat. While the directory is full or missing, asking at every
    /// request would cost more than the request.
    may_acquire: bool,
    serves_requests: bool,
    patience: u8,
    monitors: Vec<Monitor>,
    /// The membership that [`Participant::gather`] read last.
    known: Option<ReadMembership>,
}

/// The slot that this VM has.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct SlotLease {
    slot: usize,
    incarnation: u32,
    /// The directory's.
    epoch: u64,
    /// The key of the shard.
    key: String,
}

/// Counts for how many heartbeats a slot has not changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Monitor {
    status: Option<SlotStatus>,
    unchanged: u8,
}

/// The part of a slot that changes with every heartbeat of its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct SlotStatus {
    owner: u64,
    incarnation: u32,
    suspect: bool,
    writes: Option<u64>,
}

/// The counters that a VM publishes.
pub trait Counters {
    /// The shard that contains them.
    fn shard(&self) -> &Shard;

    /// The bytes to publish: see [`Shard::publish`].
    fn publish(&mut self, owner: u64, incarnation: u32, flags: u32) -> &[u8];

    /// Sets all of them to zero.
    fn clear(&mut self);
}

/// The outcome of a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Heartbeat {
    /// The VM was not evicted.
    Kept,
    /// The VM had been evicted, and what it had published was retired: its counters were cleared.
    Evicted,
}

impl Participant {
    /// The part of the VM `owner`, a random number, in `directory`.
    #[must_use]
    pub const fn new(directory: Directory, owner: u64) -> Self {
        Self {
            directory,
            owner,
            lease: None,
            may_acquire: true,
            serves_requests: false,
            patience: limits::PATIENCE,
            monitors: Vec::new(),
            known: None,
        }
    }

    /// The same with another patience.
    #[cfg(test)]
    pub(super) const fn with_patience(mut self, heartbeats: u8) -> Self {
        self.patience = heartbeats;
        self
    }

    /// The directory.
    #[must_use]
    pub const fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Returns true if this VM has a slot, and so other VMs see what it publishes.
    #[must_use]
    pub const fn has_slot(&self) -> bool {
        self.lease.is_some()
    }

    /// Notes that the VM has had a stream.
    pub const fn set_serves_requests(&mut self) {
        self.serves_requests = true;
    }

    /// Publishes the shard with one write, once the VM has a slot. Until then the shard keeps the counts.
    pub fn publish(&mut self, host: &dyn Host, counters: &mut impl Counters) {
        if self.lease.is_none() && self.may_acquire {
            self.may_acquire = false;
            self.lease = self.acquire(host);
        }
        if let Some(lease) = &self.lease {
            let flags = if self.serves_requests { SERVES_REQUESTS } else { 0 };
            let bytes = counters.publish(self.owner, lease.incarnation, flags);
            // If the host cannot store the shard now, the next write contains these counts too.
            let _ = host.share(&lease.key, bytes, Write::Always);
        }
    }

    /// The sum over all VMs: what the others published, and this VM's counters as they are now. The caller must publish
    /// these before it shows the sum to a client.
    #[must_use]
    pub fn gather(&mut self, host: &dyn Host, counters: &impl Counters) -> Option<GatheredCounts> {
        let Self { directory, owner, lease, serves_requests, known, .. } = self;
        let own = |index, slot: &Slot| {
            let lease = lease.as_ref().filter(|lease| lease.slot == index)?;
            let is_own = slot.is_held_by(*owner, lease.incarnation);
            is_own.then_some((counters.shard(), *serves_requests))
        };
        directory.gather(host, known, own)
    }

    /// Shows that this VM is alive, and suspects or evicts VMs that are silent.
    pub fn heartbeat(&mut self, host: &dyn Host, counters: &mut impl Counters) -> Heartbeat {
        self.may_acquire = true;
        let heartbeat = self.renew(host);
        if heartbeat == Heartbeat::Evicted {
            counters.clear();
        }
        self.publish(host, counters);
        self.monitor_others(host);
        heartbeat
    }

    fn acquire(&self, host: &dyn Host) -> Option<SlotLease> {
        for _ in 0..limits::DIRECTORY_TRIES {
            let mut read = self.directory.read(host)?;
            let (slot, incarnation) = read.membership.acquire(self.owner)?;
            if self.directory.swap(host, &read).is_ok() {
                let key = self.directory.shard_key(slot, incarnation);
                return Some(SlotLease { slot, incarnation, epoch: read.membership.epoch, key });
            }
        }
        None
    }

    /// Objects if this VM is suspected, and gives up a lease that was lost.
    fn renew(&mut self, host: &dyn Host) -> Heartbeat {
        for _ in 0..limits::DIRECTORY_TRIES {
            let Some(lease) = &self.lease else { return Heartbeat::Kept };
            // A directory that cannot be read does not end the lease.
            let Some(mut read) = self.directory.read(host) else { return Heartbeat::Kept };
            if read.membership.epoch != lease.epoch {
                // A new directory: it contains nothing of this VM's shard.
                self.lease = None;
                return Heartbeat::Kept;
            }
            match read.membership.slots.get_mut(lease.slot) {
                Some(slot) if slot.is_held_by(self.owner, lease.incarnation) => {
                    if slot.state == SlotState::Owned {
                        return Heartbeat::Kept;
                    }
                    slot.state = SlotState::Owned;
                    if self.directory.swap(host, &read).is_ok() {
                        return Heartbeat::Kept;
                    }
                }
                _ => {
                    self.lease = None;
                    return Heartbeat::Evicted;
                }
            }
        }
        Heartbeat::Kept
    }

    /// Updates the monitor of every other slot, and suspects or evicts the owners that were silent for too long.
    fn monitor_others(&mut self, host: &dyn Host) {
        let Some(read) = self.directory.read(host) else { return };
        self.monitors.resize(read.membership.slots.len(), Monitor::default());
        let mut silent = Vec::new();
        for index in 0..self.monitors.len() {
            let status = self.status(host, &read, index);
            let Some(monitor) = self.monitors.get_mut(index) else { continue };
            monitor.update(status);
            if monitor.unchanged >= self.patience {
                silent.push(index);
            }
        }
        if !silent.is_empty() {
            self.directory.suspect_or_evict(host, read, &silent);
        }
    }

    /// The status of a slot; `None` if it is free or this VM's own.
    fn status(&self, host: &dyn Host, read: &ReadMembership, index: usize) -> Option<SlotStatus> {
        let slot = read.membership.slots.get(index)?;
        if slot.state == SlotState::Free || slot.owner == self.owner {
            return None;
        }
        let writes = self.directory.stamp(host, read, index).map(|stamp| stamp.writes);
        let suspect = slot.state == SlotState::Suspect;
        Some(SlotStatus { owner: slot.owner, incarnation: slot.incarnation, suspect, writes })
    }
}

impl Monitor {
    fn update(&mut self, status: Option<SlotStatus>) {
        let changed = status.is_none() || self.status != status;
        self.unchanged = if changed { 0 } else { self.unchanged.saturating_add(1) };
        self.status = status;
    }
}
