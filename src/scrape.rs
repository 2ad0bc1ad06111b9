//! SCRAPE: route -> permit -> gather -> merge -> render -> reply.
//!
//! Runs in a worker's VM, on a request that asks for the metrics page, and touches nothing but shared data: the
//! controller is not asked, whoever scrapes. A password whose check takes long makes the scrape wait for ticks
//! ([`Step::Wait`]); everything else is answered at once.

pub mod accept;
pub mod gather;
pub mod query;
pub mod reply;
pub mod route;
mod waiting;

pub use waiting::StreamId;

use crate::auth::{self, Credentials, Decision, Denial, Permit, Remembered};
use crate::config::Config;
use crate::host::Host;
use crate::limits;
use accept::{Format, NotAcceptable};
use gather::Gatherer;
use query::Query;
use reply::{Challenge, Reply};
use std::cell::RefCell;
use std::rc::Rc;
use waiting::{Waiter, Waiting};

/// Answers the scrapes of one configuration, in one VM.
pub struct Scraper {
    config: Rc<Config>,
    gatherer: Gatherer,
    remembered: RefCell<Remembered>,
    waiting: RefCell<Waiting>,
}

/// What becomes of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// It is none of ours.
    Pass,
    /// It is answered with this.
    Reply(Reply),
    /// [`Scraper::advance`] will have its answer.
    Wait,
}

/// A scrape, as far as its headers say.
struct Request {
    method: Vec<u8>,
    query: Query,
    format: Result<Format, NotAcceptable>,
}

impl Scraper {
    /// A scraper for this configuration.
    #[must_use]
    pub fn new(config: Rc<Config>, host: &dyn Host) -> Self {
        let mut key = [0; 64];
        host.random(&mut key);
        Self {
            gatherer: Gatherer::new(Rc::clone(&config), host),
            config,
            remembered: RefCell::new(Remembered::new(key)),
            waiting: RefCell::default(),
        }
    }

    /// Takes a request by its headers.
    pub fn start(&self, host: &dyn Host, stream: StreamId) -> Step {
        match host.request_header(":path") {
            Some(target) if self.routes(host, &target) => self.decide(host, stream, &target),
            _ => Step::Pass,
        }
    }

    /// Whether a scrape waits, and [`Scraper::advance`] has work to do.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !self.waiting.borrow().is_empty()
    }

    /// Does a slice of what scrapes wait for, and says which of them has its answer now.
    pub fn advance(&self, host: &dyn Host) -> Option<(StreamId, Reply)> {
        let done = self.waiting.borrow_mut().advance(&mut self.remembered.borrow_mut(), host.now());
        let (waiter, result) = done?;
        Some((waiter.stream, self.answer(host, &waiter.request, result)))
    }

    /// Forgets a stream that ended while it waited.
    pub fn forget(&self, stream: StreamId) {
        self.waiting.borrow_mut().remove(stream);
    }

    fn routes(&self, host: &dyn Host, target: &[u8]) -> bool {
        let path = route::normal_form(target);
        self.config.paths.iter().any(|have| have.as_bytes() == &*path)
            && (self.config.hosts.is_empty()
                || host.request_header(":authority").is_some_and(|name| self.config.serves(&name)))
    }

    /// Authentication comes before everything but the route: who is not let in learns nothing else.
    fn decide(&self, host: &dyn Host, stream: StreamId, target: &[u8]) -> Step {
        let headers = host.request_headers();
        let request = Request::read(&headers, target);
        let credentials = Credentials::parse(all(&headers, "authorization"));
        let decision = {
            let remembered = self.remembered.borrow();
            auth::decide(&self.config.auth, &credentials, &remembered, host.now())
        };
        match decision {
            Decision::Allowed(permit) => Step::Reply(self.answer(host, &request, Ok(permit))),
            Decision::Denied(denial) => Step::Reply(self.answer(host, &request, Err(denial))),
            Decision::Derive(password) => self.wait(Waiter { stream, request, password }),
        }
    }

    fn wait(&self, waiter: Waiter) -> Step {
        let format = waiter.request.format;
        match self.waiting.borrow_mut().push(waiter) {
            Ok(()) => Step::Wait,
            Err(waiting::Full) => Step::Reply(Reply::throttled(limits::RETRY_AFTER, format.ok())),
        }
    }

    fn answer(&self, host: &dyn Host, request: &Request, who: Result<Permit, Denial>) -> Reply {
        let permit = match who {
            Ok(permit) => permit,
            Err(denial) => {
                return Reply::denied(denial, Challenge::BearerAndBasic, request.format.ok());
            }
        };
        match request.method.as_slice() {
            b"GET" | b"HEAD" => match request.format {
                Ok(format) => {
                    let selection = &request.query.selection;
                    Reply::page(format, self.gatherer.page(host, &permit, selection, format))
                }
                Err(NotAcceptable) => Reply::not_acceptable(),
            },
            b"OPTIONS" => Reply::options(),
            method => Reply::method_not_allowed(method, request.format.ok()),
        }
    }
}

impl Request {
    fn read(headers: &[(String, Vec<u8>)], target: &[u8]) -> Self {
        let query = Query::parse(route::query(target));
        Self {
            method: all(headers, ":method").next().unwrap_or_default().to_vec(),
            format: accept::choose(query.format.as_deref(), all(headers, "accept")),
            query,
        }
    }
}

/// The values of all headers of this name, in lower case.
fn all<'a>(
    headers: &'a [(String, Vec<u8>)],
    name: &'a str,
) -> impl Iterator<Item = &'a [u8]> + Clone {
    headers.iter().filter(move |(have, _)| have == name).map(|(_, value)| value.as_slice())
}

#[cfg(test)]
mod tests;
