//! What one configuration does in one VM: the three flows, side by side, and what passes between them.
//!
//! The entry ([`crate`]'s wasm part) turns callbacks into calls of a [`Site`], and does what it says.

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

/// What a scrape counts as, whatever path is configured and however a client spells it.
pub const METRICS: &[u8] = b"/api/v2/metrics/";

/// What a root is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The filter: it answers scrapes and pulls the sources, and counts if it is to.
    Filter,
    /// The access logger: it counts if it is to.
    AccessLog,
}

/// What there is once in a VM, whatever its configurations.
pub struct Vm {
    /// Tells it from other VMs: no property does.
    id: u64,
    /// Whether it has had a stream, and so stands on a worker thread.
    serves: Cell<bool>,
    /// One for each scope: a shard has one writer.
    observers: RefCell<HashMap<String, Rc<RefCell<Observer>>>>,
    /// By source key, the configurations that pull it, the newest last.
    pullers: Pullers,
}

/// One configuration in a VM.
pub struct Site {
    vm: Rc<Vm>,
    config: Rc<Config>,
    scraper: Scraper,
    /// None where this only counts.
    collector: Option<RefCell<Collector>>,
    observer: Rc<RefCell<Observer>>,
    ticks_every: Cell<Duration>,
}

impl Vm {
    /// A VM with a random number of its own.
    #[must_use]
    pub fn new(host: &dyn Host) -> Self {
        let mut id = [0; 8];
        host.random(&mut id);
        Self {
            id: u64::from_le_bytes(id),
            serves: Cell::new(false),
            observers: RefCell::default(),
            pullers: Pullers::default(),
        }
    }

    /// Notes that the VM has had a stream.
    pub fn serve(&self) {
        self.serves.set(true);
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
    /// Starts what a configuration asks for.
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

    /// Whether requests are counted by `who`.
    #[must_use]
    pub fn observes_by(&self, who: Observe) -> bool {
        self.config.observe == who
    }

    /// A request whose headers came.
    pub fn request(&self, host: &dyn Host, stream: StreamId, target: &[u8]) -> Step {
        self.scraper.start(self.context(host), stream, target)
    }

    /// Whether requests for this authority are counted. It is asked for only where it matters.
    pub fn serves(&self, authority: impl FnOnce() -> Option<Vec<u8>>) -> bool {
        self.config.serves_asking(authority)
    }

    /// The path that a request counts by: [`METRICS`] for those that are scrapes.
    #[must_use]
    pub fn counted_as<'a>(&self, path: &'a [u8]) -> &'a [u8] {
        if self.scraper.has_path(path) { METRICS } else { path }
    }

    /// A request that ended. Its path is the one to count it by.
    pub fn ended(&self, host: &dyn Host, facts: &Facts<'_>) {
        // An access logger may never see a stream.
        self.vm.serve();
        self.observer.borrow_mut().record(host, facts);
    }

    /// A stream that is gone, if it waited.
    pub fn forget(&self, stream: StreamId) {
        self.scraper.forget(stream);
    }

    /// The answer to a call. Gives the answers to scrapes that waited for it.
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

    /// A tick. Gives the answers to scrapes that waited, if there are any now.
    pub fn tick(&self, host: &dyn Host) -> Vec<(StreamId, Reply)> {
        if let Some(collector) = &self.collector {
            collector.borrow_mut().tick(host, self.vm.serves.get());
        }
        self.observer.borrow_mut().tick(host);
        self.scraper.advance(self.context(host))
    }

    fn context<'a>(&'a self, host: &'a dyn Host) -> Context<'a> {
        Context { host, recorder: self, pulls: self }
    }

    /// How often a tick is wanted from now on, where that is not as often as before.
    #[must_use]
    pub fn new_tick_period(&self) -> Option<Duration> {
        let period = match &self.collector {
            _ if self.scraper.is_busy() => limits::BUSY_TICK,
            Some(collector) => collector.borrow().tick_period(),
            None => *limits::TICK.end(),
        };
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
