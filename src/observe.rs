//! OBSERVE: a proxied request ends -> facts -> labels -> tally -> shard.
//!
//! [`Observer::record`] runs for every request, so it is cheap by construction: labels come from closed sets by a hash
//! made at compile time, counters are raised in the bytes that are published ([`crate::shared::shard`]), and publishing
//! is the one call to the host. Written through like that, a count is seen by every scrape that begins later, whichever
//! worker serves it.
//!
//! Nothing here depends on what a client sends being well-formed; what it cannot name is `other`, and what there is no
//! room for is counted as overflowed.

pub mod counts;
pub mod latency;
pub mod method;
pub mod resource;
pub mod series;
pub mod tally;

use crate::auth::{AuthOutcome, Scheme};
use crate::exposition::Format;
use crate::host::{Host, Level, Time};
use crate::limits;
use crate::shared::directory::Directory;
use crate::shared::participant::{Beat, Participant};
use counts::Counts;
use method::Method;
use resource::Resource;
use series::Series;
use std::time::Duration;
use tally::Tally;

/// What a VM counts for one scope.
#[derive(Debug)]
pub struct Observer {
    tally: Tally,
    participant: Participant,
    beaten: Option<Time>,
}

/// What is known of a request that ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts<'a> {
    /// Its method, if there was one.
    pub method: Option<&'a [u8]>,
    /// Its `:path` as the client sent it, before any rewriting, if there was one.
    pub path: Option<&'a [u8]>,
    /// The status, 0 for a request that ended without one.
    pub code: u16,
    /// How long it took, if that is known.
    pub duration: Option<Duration>,
    /// Whether it became a websocket: that lasts as long as somebody looks at it, which says nothing of the controller.
    pub websocket: bool,
}

impl Observer {
    /// Counts for `scope` in the VM `vm`, a random number.
    #[must_use]
    pub fn new(scope: &str, vm: u64) -> Self {
        let directory = Directory::new(scope, Series::Overflow.key());
        Self { tally: Tally::default(), participant: Participant::new(directory, vm), beaten: None }
    }

    /// Makes the scope's directory where there is none. To be called in `on_configure`: see [`Directory::create`].
    pub fn prepare(&self, host: &dyn Host) {
        self.participant.directory().create(host);
    }

    /// Counts a request. To be called once for each, when it ended.
    pub fn record(&mut self, host: &dyn Host, facts: &Facts<'_>) {
        let method = facts.method.map_or(Method::OTHER, Method::of);
        let resource = match facts.path {
            _ if facts.websocket => Resource::WEBSOCKET,
            Some(path) => Resource::of(path),
            None => Resource::OTHER,
        };
        self.tally.request(method, resource, facts.code);
        if let Some(duration) = facts.duration.filter(|_| resource != Resource::WEBSOCKET) {
            self.tally.duration(resource, duration);
        }
        self.participant.serve();
        self.publish(host);
    }

    /// Counts a scrape that was answered.
    pub fn scraped(&mut self, host: &dyn Host, format: Option<Format>, code: u16) {
        self.tally.other(Series::Scrape { format, code });
        self.publish(host);
    }

    /// Counts credentials that were checked. [`Observer::scraped`] is to follow, and publishes it; this VM's
    /// [`Observer::gather`] has it at once.
    pub fn attempted(&mut self, host: &dyn Host, scheme: Scheme, outcome: AuthOutcome) {
        self.tally.other(Series::Attempt { scheme, outcome });
        if !self.participant.has_slot() {
            self.publish(host);
        }
    }

    /// To be called at every tick: shows, about once a second, that this VM lives, and looks after those that do not.
    pub fn tick(&mut self, host: &dyn Host) {
        let now = host.now();
        // A clock that jumps, either way, costs a beat too many, once.
        let due = self.beaten.is_none_or(|last| now < last || now - last >= limits::BEAT);
        if !due {
            return;
        }
        self.beaten = Some(now);
        if self.participant.beat(host, self.tally.shard_mut()) == Beat::Cleared {
            self.tally.cleared();
            let line =
                "awx_metrics: this VM was silent for so long that its counters were taken over";
            host.log(Level::Warn, line);
        }
    }

    /// To be called where another configuration takes the observer up: it may have been left alone since the last one,
    /// and have lost its seat, which it has to notice before it counts. One that never ticked has no seat to lose.
    pub fn resume(&mut self, host: &dyn Host) {
        if self.beaten.is_some() {
            self.tick(host);
        }
    }

    /// Since when the VMs of the scope count.
    #[must_use]
    pub fn created(&self, host: &dyn Host) -> Option<Time> {
        self.participant.directory().created(host)
    }

    /// What all VMs of the scope counted, this one up to this moment; `None` where shared data does not say.
    #[must_use]
    pub fn gather(&mut self, host: &dyn Host) -> Option<Counts> {
        self.participant.gather(host, self.tally.shard()).map(Counts::new)
    }

    fn publish(&mut self, host: &dyn Host) {
        self.participant.publish(host, self.tally.shard_mut());
    }
}

#[cfg(test)]
mod tests;
