//! OBSERVE: a proxied request ends -> facts -> labels -> tally -> shard.
//!
//! [`Observer::record`] runs for every request, so its cost is kept small: labels come from closed lists through a hash
//! table that the compiler builds, counters are incremented in the bytes that are published ([`crate::shared::shard`]),
//! and publication is the only host call. Since every count is published at once, every scrape that begins later includes
//! it, on any worker.
//!
//! Nothing here assumes that a client's bytes are well-formed. A name that is in no list counts as `other`, and a request
//! whose series would exceed the bounds counts as overflowed.

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
use crate::shared::participant::{Heartbeat, Participant};
use counts::Counts;
use method::Method;
use resource::Resource;
use series::Series;
use std::time::Duration;
use tally::Tally;

/// Counts for one scope in one VM.
#[derive(Debug)]
pub struct Observer {
    tally: Tally,
    participant: Participant,
    last_heartbeat: Option<Time>,
}

/// The facts about a request that ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts<'a> {
    /// Its method, if it had one.
    pub method: Option<&'a [u8]>,
    /// Its `:path` as the client sent it, before any rewrite, if it had one.
    pub path: Option<&'a [u8]>,
    /// The status; 0 for a request that ended without one.
    pub code: u16,
    /// Its duration, if known.
    pub duration: Option<Duration>,
    /// True if it became a websocket. A websocket lasts as long as the client keeps the page open, so its duration says
    /// nothing about the controller.
    pub websocket: bool,
}

impl Observer {
    /// Counts for `scope` in the VM `vm`, a random number.
    #[must_use]
    pub fn new(scope: &str, vm: u64) -> Self {
        let directory = Directory::new(scope, Series::Overflow.key());
        let participant = Participant::new(directory, vm);
        Self { tally: Tally::default(), participant, last_heartbeat: None }
    }

    /// Creates the scope's directory if it does not exist. Must be called in `on_configure`: see [`Directory::create`].
    pub fn prepare(&self, host: &dyn Host) {
        self.participant.directory().create(host);
    }

    /// Counts a request. Must be called once for each request, when it ended.
    pub fn record(&mut self, host: &dyn Host, facts: &Facts<'_>) {
        let method = facts.method.map_or(Method::OTHER, Method::of);
        let resource = match facts.path {
            _ if facts.websocket => Resource::WEBSOCKET,
            Some(path) => Resource::of(path),
            None => Resource::OTHER,
        };
        self.tally.count_request(method, resource, facts.code);
        if let Some(duration) = facts.duration.filter(|_| resource != Resource::WEBSOCKET) {
            self.tally.observe_duration(resource, duration);
        }
        self.participant.set_serves_requests();
        self.publish(host);
    }

    /// Counts a scrape that was answered.
    pub fn scraped(&mut self, host: &dyn Host, format: Option<Format>, code: u16) {
        self.tally.count(Series::Scrape { format, code });
        self.publish(host);
    }

    /// Counts credentials that were checked. This VM's [`Observer::gather`] includes the count at once, and the following
    /// [`Observer::scraped`] publishes it.
    pub fn attempted(&mut self, host: &dyn Host, scheme: Scheme, outcome: AuthOutcome) {
        self.tally.count(Series::Attempt { scheme, outcome });
        if !self.participant.has_slot() {
            self.publish(host);
        }
    }

    /// Sends a heartbeat about once a second, and monitors other VMs. Must be called at every tick.
    pub fn tick(&mut self, host: &dyn Host) {
        let now = host.now();
        // A clock that jumps, in either direction, costs one additional heartbeat.
        let is_due =
            self.last_heartbeat.is_none_or(|last| now < last || now - last >= limits::HEARTBEAT);
        if !is_due {
            return;
        }
        self.last_heartbeat = Some(now);
        if self.participant.heartbeat(host, &mut self.tally) == Heartbeat::Evicted {
            let line = "awx_metrics: this VM missed its heartbeats, so another VM took over its counters; it counts on from 0";
            host.log(Level::Warn, line);
        }
    }

    /// Must be called when a new configuration reuses the observer. Nothing may have called [`Observer::tick`] since the last
    /// configuration, so the VM may have been evicted, which it must notice before it counts. An observer that never
    /// ticked has no slot to lose.
    pub fn resume(&mut self, host: &dyn Host) {
        if self.last_heartbeat.is_some() {
            self.tick(host);
        }
    }

    /// When the VMs of the scope began to count.
    #[must_use]
    pub fn created(&self, host: &dyn Host) -> Option<Time> {
        self.participant.directory().created(host)
    }

    /// The sum over all VMs of the scope, with this VM's counts up to now; `None` if shared data has no directory.
    #[must_use]
    pub fn gather(&mut self, host: &dyn Host) -> Option<Counts> {
        self.participant.gather(host, &self.tally).map(Counts::new)
    }

    fn publish(&mut self, host: &dyn Host) {
        self.participant.publish(host, &mut self.tally);
    }
}

#[cfg(test)]
mod tests;
