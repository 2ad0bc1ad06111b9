//! COLLECT: a tick -> this VM's turn? ([`lease`]) -> pull due sources ([`pull`]) -> parse, label -> snapshot.
//!
//! Runs in every VM, on its root context: only a first scrape waits for a pull, and no scrape causes one. A failed pull
//! leaves the last good page as it is.

pub mod lease;
pub mod pull;

use crate::config::{Config, Credential, Source};
use crate::host::{Answer, CallId, Host, HostError, Level, Time};
use crate::limits;
use crate::metrics::{Page, Report};
use crate::shared::record::nanoseconds;
use crate::shared::salt::salt;
use crate::shared::snapshot::{Head, Keys, Outcome, ReadHead};
use crate::upstream::{Cause, Plain};
use lease::{Candidate, Pace};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

/// Pulls the sources of one configuration, in one VM.
pub struct Collector {
    config: Rc<Config>,
    /// The key of each source, and the keys of its snapshot.
    keys: Rc<[(String, Keys)]>,
    vm: u64,
    pullers: Pullers,
    name: Rc<()>,
    pulls: HashMap<CallId, Pull>,
    /// The time at which this VM last checked for due sources.
    looked: Time,
}

/// The configurations of a VM that pull each source.
///
/// While a configuration changes, Envoy keeps the old one ticking beside the new one as long as one of its streams is
/// open: a websocket, for hours. So of several configurations that pull the same page, the newest one does, at its pace.
#[derive(Clone, Debug, Default)]
pub struct Pullers(Rc<RefCell<HashMap<String, Vec<Rc<()>>>>>);

impl Pullers {
    fn join(&self, source: String, who: &Rc<()>) {
        self.0.borrow_mut().entry(source).or_default().push(Rc::clone(who));
    }

    fn leave(&self, who: &Rc<()>) {
        self.0.borrow_mut().retain(|_, pullers| {
            pullers.retain(|puller| !Rc::ptr_eq(puller, who));
            !pullers.is_empty()
        });
    }

    fn is_newest(&self, source: &str, who: &Rc<()>) -> bool {
        let pullers = self.0.borrow();
        pullers.get(source).and_then(|pullers| pullers.last()).is_some_and(|it| Rc::ptr_eq(it, who))
    }
}

/// A pull under way.
struct Pull {
    source: usize,
    began: Time,
}

impl Collector {
    /// A collector for the VM of this number.
    #[must_use]
    pub fn new(config: Rc<Config>, vm: u64, pullers: &Pullers, host: &dyn Host) -> Self {
        let name = Rc::new(());
        let salt = salt(host);
        let keys = config.sources.iter().map(|source| {
            let key = source.key(&salt, |name| host.environment(name));
            pullers.join(key.clone(), &name);
            let keys = Keys::new(&key);
            (key, keys)
        });
        let keys = keys.collect();
        Self {
            config,
            keys,
            vm,
            pullers: pullers.clone(),
            name,
            pulls: HashMap::new(),
            looked: Time::ZERO,
        }
    }

    /// Creates the heads, which compare-and-swap needs. Envoy configures one VM alone before any other, so at start no
    /// other VM does the same. A new source counts as wanted, or it would be pulled rarely until its first scrape.
    pub fn prepare(&self, host: &dyn Host) {
        for (_, keys) in &*self.keys {
            if keys.head(host).is_none() {
                keys.create_head(host);
                keys.want(host, host.now());
            }
        }
    }

    /// How often [`Collector::tick`] wants to be called: ten times in the shortest interval, within
    /// [`limits::TICK`].
    #[must_use]
    pub fn tick_period(&self) -> Duration {
        let shortest = self.config.sources.iter().map(|source| source.interval).min();
        let tenth = shortest.unwrap_or(Duration::MAX) / 10;
        tenth.clamp(*limits::TICK.start(), *limits::TICK.end())
    }

    /// Pulls the due sources, if it is this VM's turn. `serves`: whether the VM has had a stream. May be called more
    /// often than [`Collector::tick_period`] asks: then it does nothing.
    pub fn tick(&mut self, host: &dyn Host, serves: bool) {
        let (now, tick) = (host.now(), self.tick_period());
        // Ticks come a little early or late; half a period tells one that was asked for from one that was not.
        if now.checked_sub(self.looked).is_some_and(|passed| passed < tick / 2) {
            return;
        }
        self.looked = now;
        let candidate = Candidate { vm: self.vm, serves };
        let config = Rc::clone(&self.config);
        let keys = Rc::clone(&self.keys);
        for (index, (source, (key, keys))) in config.sources.iter().zip(&*keys).enumerate() {
            if is_forwarding(source) || !self.pullers.is_newest(key, &self.name) {
                continue;
            }
            let Some(read) = keys.head(host) else {
                keys.create_head(host);
                continue;
            };
            let wanted = keys.wanted(host);
            let turn = lease::turn(&read.head, wanted, pace(source, tick), candidate, now);
            if let Some(scheduled) = turn
                && self.claim(host, keys, &read, scheduled, now)
            {
                self.pull(host, index, source, now);
            }
        }
    }

    /// Returns true if the page of a source that is pulled with its clients' credentials is to be pulled again.
    #[must_use]
    pub fn is_due(&self, host: &dyn Host, source: usize) -> bool {
        self.due(host, source, host.now()).is_some()
    }

    /// Returns true if the caller must pull such a source now, and then report how that [ended](Collector::pulled).
    #[must_use]
    pub fn claim_pull(&self, host: &dyn Host, source: usize) -> bool {
        let now = host.now();
        self.due(host, source, now)
            .is_some_and(|(keys, read)| self.claim(host, keys, &read, now, now))
    }

    /// Takes the result of a claimed pull; no answer if the host did not send it.
    pub fn pulled(&self, host: &dyn Host, source: usize, began: Time, answer: Option<Answer>) {
        let pull = Pull { source, began };
        let result = match answer {
            Some(answer) => self.judge(host, &pull, answer),
            None => Err(Plain::NotSent.into()),
        };
        self.conclude(host, &pull, result);
    }

    /// Gives up a claimed pull: the client may not see the page, which says nothing about the source. The next client may
    /// pull at once, so that a refused client keeps no other from the page.
    pub fn release(&self, host: &dyn Host, source: usize) {
        let Some((_, keys)) = self.keys.get(source) else { return };
        for _ in 0..limits::HEAD_TRIES {
            let Some(read) = keys.head(host) else { return };
            let head = Head { pulling: false, attempted: Time::ZERO, ..read.head.clone() };
            if keys.swap_head(host, &read, &head) != Err(HostError::Changed) {
                return;
            }
        }
    }

    fn due(&self, host: &dyn Host, source: usize, now: Time) -> Option<(&Keys, ReadHead)> {
        let (config, (_, keys)) = (self.config.sources.get(source)?, self.keys.get(source)?);
        let read = keys.head(host).or_else(|| {
            keys.create_head(host);
            keys.head(host)
        })?;
        lease::is_due(&read.head, config.interval, config.timeout, now).then_some((keys, read))
    }

    /// Takes the answer to a pull.
    pub fn answered(&mut self, host: &dyn Host, call: CallId, answer: Answer) {
        if let Some(pull) = self.pulls.remove(&call) {
            let result = self.judge(host, &pull, answer);
            self.conclude(host, &pull, result);
        }
    }

    fn judge(&self, host: &dyn Host, pull: &Pull, answer: Answer) -> Result<Page, Cause> {
        let source = self.config.sources.get(pull.source);
        let timeout = source.map_or(limits::TIMEOUT, |source| source.timeout);
        let takes = |family: &str| source.is_none_or(|source| source.takes(family));
        pull::judge(answer, host.now().saturating_sub(pull.began), timeout, &takes)
    }

    /// Returns true if this VM is the one that pulls now.
    fn claim(&self, host: &dyn Host, keys: &Keys, read: &ReadHead, due: Time, now: Time) -> bool {
        let claimed = Head {
            pulling: true,
            scheduled: due,
            attempted: now,
            puller: self.vm,
            ..read.head.clone()
        };
        keys.swap_head(host, read, &claimed).is_ok()
    }

    fn pull(&mut self, host: &dyn Host, index: usize, source: &Source, now: Time) {
        let pull = Pull { source: index, began: now };
        match pull::send(host, source) {
            Ok(call) => {
                self.pulls.insert(call, pull);
            }
            Err(reason) => {
                host.log(Level::Debug, &line(source, &reason.to_string()));
                self.conclude(host, &pull, Err(reason.cause()));
            }
        }
    }

    /// Stores the result of a pull: first its page, if it has one, then the head that names it.
    fn conclude(&self, host: &dyn Host, pull: &Pull, result: Result<Page, Cause>) {
        let (Some(source), Some((_, keys))) =
            (self.config.sources.get(pull.source), self.keys.get(pull.source))
        else {
            return;
        };
        let kept = result
            .and_then(|page| page.with_labels(&source.labels).map_err(|_| Plain::Rendered.into()))
            .and_then(|page| self.keep(host, keys, page));
        for _ in 0..limits::HEAD_TRIES {
            let Some(read) = keys.head(host) else { return };
            let head = concluded(&read.head, pull, &kept, host.now());
            match keys.swap_head(host, &read, &head) {
                Ok(()) => return report(host, source, &read.head, &head),
                Err(HostError::Changed) => {}
                Err(HostError::Refused) => return,
            }
        }
    }

    /// Stores a page, unless it is stored already: then every VM's renderings of it stay valid.
    fn keep(&self, host: &dyn Host, keys: &Keys, page: Page) -> Result<Kept, Cause> {
        let report = page.report().clone();
        let stored = page.into_stored();
        let bytes = stored.len();
        let before = keys.head(host).map_or(0, |read| read.head.generation);
        if keys.has_page(host, before, &stored) {
            return Ok(Kept { generation: before, bytes, report });
        }
        let generation = self.new_generation(host, before);
        let kept = keys.store_page(host, generation, stored);
        kept.map_err(|_| Cause::from(Plain::NotStored))?;
        Ok(Kept { generation, bytes, report })
    }

    /// A number that no other page of the source has: another VM may store one at the same time.
    fn new_generation(&self, host: &dyn Host, before: u64) -> u64 {
        let generation = nanoseconds(host.now()) ^ self.vm;
        if generation == before { generation.wrapping_add(1) } else { generation }.max(1)
    }
}

/// A page that is stored.
struct Kept {
    generation: u64,
    bytes: usize,
    report: Report,
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.pullers.leave(&self.name);
    }
}

fn is_forwarding(source: &Source) -> bool {
    matches!(source.credential, Credential::Forward)
}

/// The head after a pull.
fn concluded(before: &Head, pull: &Pull, kept: &Result<Kept, Cause>, now: Time) -> Head {
    let mut head = before.clone();
    head.pulling = false;
    head.took = now.saturating_sub(pull.began);
    head.ended = Some(kept.as_ref().map(|_| ()).map_err(|cause| *cause));
    if let Ok(Kept { generation, bytes, report }) = kept {
        head.generation = *generation;
        head.succeeded = now;
        head.samples = report.samples as u64;
        head.bytes = *bytes as u64;
        for (count, reason) in head.dropped.iter_mut().zip(Head::DROPPED) {
            *count += report.dropped.of(reason);
        }
        head.unreadable_lines += report.unreadable_lines;
    }
    let outcome = head.outcome();
    for (count, which) in head.fetches.iter_mut().zip(Outcome::ALL) {
        *count += u64::from(Some(which) == outcome);
    }
    head
}

/// Logs once when a source goes down, with the reason, and once when it is up again.
fn report(host: &dyn Host, source: &Source, before: &Head, after: &Head) {
    match after.ended {
        Some(Err(cause)) if before.ended != after.ended => {
            let what = format!("pull failed: {cause}; {}", cause.remedy());
            host.log(Level::Warn, &line(source, &what));
        }
        Some(Ok(())) if before.ended != after.ended => {
            host.log(Level::Info, &line(source, "is up"));
        }
        _ => {}
    }
}

fn line(source: &Source, what: &str) -> String {
    format!("awx_metrics: source {}: {what}", source.name)
}

fn pace(source: &Source, tick: Duration) -> Pace {
    Pace {
        interval: source.interval,
        timeout: source.timeout,
        idle_after: source.idle_after,
        stale_after: source.stale_after,
        tick,
    }
}

#[cfg(test)]
mod tests;
