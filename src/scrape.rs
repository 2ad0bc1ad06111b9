//! SCRAPE: route -> permit -> gather -> merge -> render -> reply.
//!
//! Runs in a worker's VM, on a request that asks for the metrics page, and touches nothing but shared data: the
//! controller is not asked, whoever scrapes. A password whose check takes long makes the scrape wait for ticks
//! ([`Step::Wait`]); everything else is answered at once.

pub mod accept;
pub mod encoding;
pub mod gather;
pub mod query;
pub mod reply;
pub mod route;
mod waiting;

pub use waiting::StreamId;

use crate::auth::{self, Credentials, Decision, Denial, Permit, Remembered, Scheme};
use crate::config::Config;
use crate::host::Host;
use crate::limits;
use crate::metrics::Sink;
use accept::{Format, MediaType, NotAcceptable};
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

/// Who counts what scrapes do, and has the families that the gateway counts.
pub trait Ledger {
    /// Credentials were checked. It may be published with the scrape that follows.
    fn attempted(&self, host: &dyn Host, scheme: Scheme, verdict: Verdict);
    /// A scrape was answered, with a page of this format or with none.
    fn scraped(&self, host: &dyn Host, format: Option<Format>, status: u16);
    /// Writes the families.
    fn write(&self, host: &dyn Host, page: &mut dyn Sink);
}

/// What a check of credentials came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They are let in.
    Allowed,
    /// They are not.
    Denied,
    /// Too many others are being checked.
    Throttled,
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
    scheme: Scheme,
    method: Vec<u8>,
    query: Query,
    media: Result<MediaType, NotAcceptable>,
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

    /// Takes a request by its headers. `target` is its `:path`.
    pub fn start(
        &self,
        host: &dyn Host,
        ledger: &dyn Ledger,
        stream: StreamId,
        target: &[u8],
    ) -> Step {
        if self.routes(host, target) {
            self.decide(host, ledger, stream, target)
        } else {
            Step::Pass
        }
    }

    /// Whether a scrape waits, and [`Scraper::advance`] has work to do.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !self.waiting.borrow().is_empty()
    }

    /// Does a slice of what scrapes wait for, and says which of them has its answer now.
    pub fn advance(&self, host: &dyn Host, ledger: &dyn Ledger) -> Option<(StreamId, Reply)> {
        let done = self.waiting.borrow_mut().advance(&mut self.remembered.borrow_mut(), host.now());
        let (waiter, result) = done?;
        Some((waiter.stream, self.answer(host, ledger, &waiter.request, result)))
    }

    /// Forgets a stream that ended while it waited.
    pub fn forget(&self, stream: StreamId) {
        self.waiting.borrow_mut().remove(stream);
    }

    /// Whether this is one of the paths that are answered, however it is spelt.
    #[must_use]
    pub fn has_path(&self, target: &[u8]) -> bool {
        let path = route::normal_form(target);
        self.config.paths.iter().any(|have| have.as_bytes() == &*path)
    }

    fn routes(&self, host: &dyn Host, target: &[u8]) -> bool {
        self.has_path(target) && self.config.serves_asking(|| host.request_header(":authority"))
    }

    /// Authentication comes before everything but the route: who is not let in learns nothing else.
    fn decide(
        &self,
        host: &dyn Host,
        ledger: &dyn Ledger,
        stream: StreamId,
        target: &[u8],
    ) -> Step {
        let headers = host.request_headers();
        let credentials = Credentials::parse(all(&headers, "authorization"));
        let request = Request::read(&headers, target, credentials.scheme());
        let decision = {
            let remembered = self.remembered.borrow();
            auth::decide(&self.config.auth, &credentials, &remembered, host.now())
        };
        let result = match decision {
            Decision::Allowed(permit) => Ok(permit),
            Decision::Denied(denial) => Err(denial),
            Decision::Derive(password) => {
                return self.wait(host, ledger, Waiter { stream, request, password });
            }
        };
        Step::Reply(self.answer(host, ledger, &request, result))
    }

    fn wait(&self, host: &dyn Host, ledger: &dyn Ledger, waiter: Waiter) -> Step {
        let (format, scheme) = (waiter.request.format(), waiter.request.scheme);
        if self.waiting.borrow_mut().push(waiter).is_ok() {
            return Step::Wait;
        }
        let reply = Reply::throttled(limits::RETRY_AFTER, format);
        ledger.attempted(host, scheme, Verdict::Throttled);
        ledger.scraped(host, None, reply.status);
        Step::Reply(reply)
    }

    /// The answer to who was let in, or was not.
    fn answer(
        &self,
        host: &dyn Host,
        ledger: &dyn Ledger,
        request: &Request,
        result: Result<Permit, Denial>,
    ) -> Reply {
        let verdict = if result.is_ok() { Verdict::Allowed } else { Verdict::Denied };
        ledger.attempted(host, request.scheme, verdict);
        let format = request.format();
        let (page, reply) = match (result, request.method.as_slice(), request.media) {
            (Err(denial), _, _) => (None, Reply::denied(denial, Challenge::BearerAndBasic, format)),
            (Ok(_), b"GET" | b"HEAD", Ok(MediaType { format: Format::Html, .. })) => {
                (None, Reply::not_acceptable())
            }
            (Ok(permit), b"GET" | b"HEAD", Ok(media)) => {
                let selection = &request.query.selection;
                let body = self.gatherer.page(host, ledger, &permit, selection, media.format);
                (format, Reply::page(media, body))
            }
            (Ok(_), b"GET" | b"HEAD", Err(NotAcceptable)) => (None, Reply::not_acceptable()),
            (Ok(_), b"OPTIONS", _) => (None, Reply::options()),
            (Ok(_), method, _) => (None, Reply::method_not_allowed(method, format)),
        };
        ledger.scraped(host, page, reply.status);
        reply
    }
}

impl Request {
    fn read(headers: &[(String, Vec<u8>)], target: &[u8], scheme: Scheme) -> Self {
        let query = Query::parse(route::query(target));
        Self {
            scheme,
            method: all(headers, ":method").next().unwrap_or_default().to_vec(),
            media: accept::choose(query.format.as_deref(), all(headers, "accept")),
            query,
        }
    }

    /// The format that it gets, if there is one for it.
    fn format(&self) -> Option<Format> {
        self.media.ok().map(|media| media.format)
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
