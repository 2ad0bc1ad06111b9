//! What one configuration does in one VM: the three flows, side by side, and what passes between them.
//!
//! The entry ([`crate`]'s wasm part) turns callbacks into calls of a [`Site`], and does what it says.

use crate::auth::Scheme;
use crate::collect::Collector;
use crate::config::{Config, Observe};
use crate::host::{Answer, CallId, Host, Level};
use crate::limits;
use crate::metrics::PageBuilder;
use crate::observe::series::{Format, Outcome};
use crate::observe::{Facts, Observer};
use crate::scrape::accept;
use crate::scrape::reply::Reply;
use crate::scrape::{Ledger, Scraper, Step, StreamId, Verdict};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

/// What there is once in a VM, whatever its configurations.
pub struct Vm {
    /// Tells it from other VMs: no property does.
    id: u64,
    /// Whether it has had a stream, and so stands on a worker thread.
    serves: Cell<bool>,
    /// One for each scope: a shard has one writer.
    observers: RefCell<HashMap<String, Rc<RefCell<Observer>>>>,
}

/// One configuration in a VM.
pub struct Site {
    vm: Rc<Vm>,
    config: Rc<Config>,
    scraper: Scraper,
    collector: RefCell<Collector>,
    observer: Rc<RefCell<Observer>>,
}

impl Vm {
    /// A VM with a random number of its own.
    #[must_use]
    pub fn new(host: &dyn Host) -> Self {
        let mut id = [0; 8];
        host.random(&mut id);
        Self { id: u64::from_le_bytes(id), serves: Cell::new(false), observers: RefCell::default() }
    }

    /// Notes that the VM has had a stream.
    pub fn serve(&self) {
        self.serves.set(true);
    }

    fn observer(&self, scope: &str) -> Rc<RefCell<Observer>> {
        let mut observers = self.observers.borrow_mut();
        if let Some(observer) = observers.get(scope) {
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
    pub fn new(vm: &Rc<Vm>, config: Config, host: &dyn Host) -> Self {
        for warning in config.warnings() {
            host.log(Level::Warn, &format!("awx_metrics: {warning}"));
        }
        let config = Rc::new(config);
        let collector = Collector::new(Rc::clone(&config), vm.id);
        collector.prepare(host);
        let observer = vm.observer(&config.scope);
        observer.borrow().prepare(host);
        Self {
            vm: Rc::clone(vm),
            scraper: Scraper::new(Rc::clone(&config), host),
            collector: RefCell::new(collector),
            config,
            observer,
        }
    }

    /// Whether requests are counted by `who`.
    #[must_use]
    pub fn observes_by(&self, who: Observe) -> bool {
        self.config.observe == who
    }

    /// A request whose headers came.
    pub fn request(&self, host: &dyn Host, stream: StreamId, target: &[u8]) -> Step {
        self.scraper.start(host, self, stream, target)
    }

    /// A request that ended. `authority` is asked for only where it matters.
    pub fn ended(
        &self,
        host: &dyn Host,
        facts: &Facts<'_>,
        authority: impl FnOnce() -> Option<Vec<u8>>,
    ) {
        // An access logger may never see a stream.
        self.vm.serve();
        if self.config.hosts.is_empty() || authority().is_some_and(|name| self.config.serves(&name))
        {
            self.observer.borrow_mut().record(host, facts);
        }
    }

    /// A stream that is gone, if it waited.
    pub fn forget(&self, stream: StreamId) {
        self.scraper.forget(stream);
    }

    /// The answer to a call.
    pub fn answered(&self, host: &dyn Host, call: CallId, answer: Answer) {
        self.collector.borrow_mut().answered(host, call, answer);
    }

    /// The tick of the filter's root. Gives the answer to a scrape that waited, if there is one now.
    pub fn tick(&self, host: &dyn Host) -> Option<(StreamId, Reply)> {
        self.collector.borrow_mut().tick(host, self.vm.serves.get());
        self.beat(host);
        if self.scraper.is_busy() { self.scraper.advance(host, self) } else { None }
    }

    /// Shows that this VM lives: the tick of a root that only counts.
    pub fn beat(&self, host: &dyn Host) {
        self.observer.borrow_mut().tick(host);
    }

    /// How often a tick is wanted now.
    #[must_use]
    pub fn tick_period(&self) -> Duration {
        if self.scraper.is_busy() {
            limits::PASSWORD_TICK
        } else {
            self.collector.borrow().tick_period().min(limits::BEAT)
        }
    }
}

impl Ledger for Site {
    fn attempted(&self, host: &dyn Host, scheme: Scheme, verdict: Verdict) {
        let outcome = match verdict {
            Verdict::Allowed => Outcome::Allowed,
            Verdict::Denied => Outcome::Denied,
            Verdict::Throttled => Outcome::Throttled,
        };
        self.observer.borrow_mut().attempted(host, scheme, outcome);
    }

    fn scraped(&self, host: &dyn Host, format: Option<accept::Format>, status: u16) {
        let format = match format {
            Some(accept::Format::Text) => Format::Text,
            Some(accept::Format::Json { .. }) => Format::Json,
            None => Format::None,
        };
        self.observer.borrow_mut().scraped(host, format, status);
    }

    fn write(&self, host: &dyn Host, page: &mut PageBuilder) {
        if let Some(counts) = self.observer.borrow().gather(host) {
            counts.write(page);
        }
    }
}
