//! One configuration in one VM: joins the three flows, which do not know each other.
//!
//! `wasm` turns Envoy's callbacks into calls of a [`Site`], and carries out the [`Step`]s and [`Reply`]s that it returns.

use crate::auth::{AuthOutcome, Scheme};
use crate::collect::{Collector, Pullers};
use crate::config::{Config, Observe};
use crate::exposition::Format;
use crate::host::{Answer, CallId, Host, Level, Time};
use crate::limits;
use crate::metrics::Sink;
use crate::observe::{Facts, Observer};
use crate::scrape::reply::Reply;
use crate::scrape::{Context, Pulls, ScrapeRecorder, Scraper, Step, StreamId};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

/// The path under which every scrape is counted, independently of the configured paths and of the client's spelling.
pub const METRICS: &[u8] = b"/api/v2/metrics/";

/// The purpose of a root context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The filter: answers scrapes and pulls the sources, and counts requests if `observe.by` says so.
    Filter,
    /// The access logger: counts requests if `observe.by` says so.
    AccessLog,
}

/// The state that all configurations of a VM share.
pub struct Vm {
    /// A random number that identifies the VM: no property does.
    id: u64,
    /// True once the VM has had a stream: then it runs on a worker thread.
    has_streams: Cell<bool>,
    /// One for each scope, since a shard has one writer.
    observers: RefCell<HashMap<String, Rc<RefCell<Observer>>>>,
    /// The configurations that pull a source, by the source's key; the newest is the last.
    pullers: Pullers,
}

/// One configuration in a VM.
pub struct Site {
    vm: Rc<Vm>,
    config: Rc<Config>,
    scraper: Scraper,
    /// `None` in the access logger.
    collector: Option<RefCell<Collector>>,
    observer: Rc<RefCell<Observer>>,
    ticks_every: Cell<Duration>,
}

impl Vm {
    /// Creates the state of a VM.
    #[must_use]
    pub fn new(host: &dyn Host) -> Self {
        let mut id = [0; 8];
        host.random(&mut id);
        Self {
            id: u64::from_le_bytes(id),
            has_streams: Cell::new(false),
            observers: RefCell::default(),
            pullers: Pullers::default(),
        }
    }

    /// Notes that the VM has had a stream.
    pub fn note_stream(&self) {
        self.has_streams.set(true);
    }

    fn observer(&self, host: &dyn Host, scope: &str) -> Rc<RefCell<Observer>> {
        let mut observers = self.observers.borrow_mut();
        if let Some(observer) = observers.get(scope) {
            observer.borrow_mut().resume(host);
            return Rc::clone(observer);
        }
        let observer = Rc::new(RefCell::new(Observer::new(scope, self.id)));
        observers.insert(scope.to_owned(), Rc::clone(&observer));
        observer
    }
}

impl Site {
    /// Starts the flows of a configuration.
    #[must_use]
    pub fn new(vm: &Rc<Vm>, config: Config, role: Role, host: &dyn Host) -> Self {
        for warning in config.warnings() {
            host.log(Level::Warn, &format!("awx_metrics: {warning}"));
        }
        let config = Rc::new(config);
        let collector = (role == Role::Filter).then(|| {
            let collector = Collector::new(Rc::clone(&config), vm.id, &vm.pullers, host);
            collector.prepare(host);
            RefCell::new(collector)
        });
        let observer = vm.observer(host, &config.scope);
        observer.borrow().prepare(host);
        Self {
            vm: Rc::clone(vm),
            scraper: Scraper::new(Rc::clone(&config), host),
            collector,
            config,
            observer,
            ticks_every: Cell::default(),
        }
    }

    /// Returns true if `observer` counts requests.
    #[must_use]
    pub fn observes_by(&self, observer: Observe) -> bool {
        self.config.observe == observer
    }

    /// Handles the headers of a request. `target` is its `:path`.
    pub fn request(&self, host: &dyn Host, stream: StreamId, target: &[u8]) -> Step {
        self.scraper.start(self.context(host), stream, target)
    }

    /// Returns true if requests for this authority are counted. `authority` is called only if the configuration has `hosts`.
    pub fn counts_authority(&self, authority: impl FnOnce() -> Option<Vec<u8>>) -> bool {
        self.config.serves_asking(authority)
    }

    /// The path under which a request is counted: [`METRICS`] for a scrape.
    #[must_use]
    pub fn counted_as<'a>(&self, path: &'a [u8]) -> &'a [u8] {
        if self.scraper.has_path(path) { METRICS } else { path }
    }

    /// Counts a request that ended. `facts.path` is that of [`Self::counted_as`].
    pub fn ended(&self, host: &dyn Host, facts: &Facts<'_>) {
        // An access logger may never have a stream of its own.
        self.vm.note_stream();
        self.observer.borrow_mut().record(host, facts);
    }

    /// Forgets a stream that ended while it waited.
    pub fn forget(&self, stream: StreamId) {
        self.scraper.forget(stream);
    }

    /// Handles the answer to a call. Returns the replies to scrapes that waited for it.
    pub fn answered(
        &self,
        host: &dyn Host,
        call: CallId,
        mut answer: Answer,
    ) -> Vec<(StreamId, Reply)> {
        if let Some(replies) = self.scraper.answered(self.context(host), call, &mut answer) {
            return replies;
        }
        if let Some(collector) = &self.collector {
            collector.borrow_mut().answered(host, call, answer);
        }
        Vec::new()
    }

    /// Handles a tick. Returns the replies that are ready.
    pub fn tick(&self, host: &dyn Host) -> Vec<(StreamId, Reply)> {
        if let Some(collector) = &self.collector {
            collector.borrow_mut().tick(host, self.vm.has_streams.get());
        }
        self.observer.borrow_mut().tick(host);
        self.scraper.advance(self.context(host))
    }

    fn context<'a>(&'a self, host: &'a dyn Host) -> Context<'a> {
        Context { host, recorder: self, pulls: self }
    }

    /// The new period of ticks, if it has changed.
    #[must_use]
    pub fn new_tick_period(&self) -> Option<Duration> {
        let collects = self.collector.as_ref().map(|collector| collector.borrow().tick_period());
        let idle = collects.unwrap_or(*limits::TICK.end());
        let period = self.scraper.tick_period().map_or(idle, |period| period.min(idle));
        (self.ticks_every.replace(period) != period).then_some(period)
    }
}

impl Pulls for Site {
    fn is_due(&self, host: &dyn Host, source: usize) -> bool {
        self.collector.as_ref().is_some_and(|it| it.borrow().is_due(host, source))
    }

    fn claim(&self, host: &dyn Host, source: usize) -> bool {
        self.collector.as_ref().is_some_and(|it| it.borrow().claim_pull(host, source))
    }

    fn release(&self, host: &dyn Host, source: usize) {
        if let Some(collector) = &self.collector {
            collector.borrow().release(host, source);
        }
    }

    fn pulled(&self, host: &dyn Host, source: usize, began: Time, answer: Option<Answer>) {
        if let Some(collector) = &self.collector {
            collector.borrow().pulled(host, source, began, answer);
        }
    }
}

impl ScrapeRecorder for Site {
    fn attempted(&self, host: &dyn Host, scheme: Scheme, outcome: AuthOutcome) {
        self.observer.borrow_mut().attempted(host, scheme, outcome);
    }

    fn scraped(&self, host: &dyn Host, format: Option<Format>, status: u16) {
        self.observer.borrow_mut().scraped(host, format, status);
    }

    fn created(&self, host: &dyn Host) -> Option<Time> {
        self.observer.borrow().created(host)
    }

    fn write(&self, host: &dyn Host, page: &mut dyn Sink) {
        if let Some(counts) = self.observer.borrow_mut().gather(host) {
            counts.write(page);
        }
    }
}

#[cfg(test)]
mod tests;
