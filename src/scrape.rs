//! SCRAPE: route -> permit -> gather -> merge -> render -> reply.
//!
//! Runs in a worker's VM, on a request that asks for the metrics page, and touches nothing but shared data: no source is
//! pulled, whoever scrapes. A scrape waits ([`Step::Wait`]) where a password's check takes long, or where only the
//! controller knows who asks and has to be asked again; everything else is answered at once.

pub mod accept;
mod admission;
mod desk;
pub mod encoding;
pub mod gather;
pub mod query;
mod question;
pub mod reply;
pub mod route;
mod waiting;

pub use waiting::StreamId;

use crate::auth::{Permit, Scheme, Tagger};
use crate::config::Config;
use crate::host::{Answer, CallId, Host, Time};
use crate::limits;
use crate::metrics::Sink;
use crate::shared::asking;
use crate::shared::throttle::Throttle;
use crate::shared::verdicts::Verdicts;
use accept::{Format, MediaType, NotAcceptable};
use admission::Ruling;
use desk::Desk;
use encoding::Encoding;
use gather::Gatherer;
use query::Query;
use reply::{Challenge, Reply};
use std::cell::RefCell;
use std::rc::Rc;
use waiting::Waiting;

/// Answers the scrapes of one configuration, in one VM.
pub struct Scraper {
    config: Rc<Config>,
    gatherer: Gatherer,
    tagger: Tagger,
    verdicts: Verdicts,
    throttle: Throttle,
    waiting: RefCell<Waiting>,
    desk: RefCell<Desk>,
}

/// What is around the flow.
#[derive(Clone, Copy)]
pub struct Around<'a> {
    /// The host.
    pub host: &'a dyn Host,
    /// Who counts.
    pub ledger: &'a dyn Ledger,
    /// Who keeps the sources' pages.
    pub pulls: &'a dyn Pulls,
}

/// Who counts what scrapes do, and has the families that the gateway counts.
pub trait Ledger {
    /// Credentials were checked. It may be published with the scrape that follows.
    fn attempted(&self, host: &dyn Host, scheme: Scheme, attempt: Attempt);
    /// A scrape was answered, with a page of this format or with none.
    fn scraped(&self, host: &dyn Host, format: Option<Format>, status: u16);
    /// Since when there are counts.
    fn created(&self, host: &dyn Host) -> Option<Time>;
    /// Writes the families.
    fn write(&self, host: &dyn Host, page: &mut dyn Sink);
}

/// Who keeps the pages of the sources that are pulled with their clients' credentials.
pub trait Pulls {
    /// Whether the page of the source at this place is to be pulled again.
    fn is_due(&self, host: &dyn Host, source: usize) -> bool;
    /// Whether the caller is to pull it now, alone.
    fn claim(&self, host: &dyn Host, source: usize) -> bool;
    /// The client was refused: nothing came of that.
    fn release(&self, host: &dyn Host, source: usize);
    /// Takes what came of that; no answer where it could not be sent.
    fn pulled(&self, host: &dyn Host, source: usize, began: Time, answer: Option<Answer>);
}

/// What a check of credentials came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// They are let in.
    Allowed,
    /// They are let in, since they were before and nobody can be asked.
    AllowedWhileDown,
    /// They are not.
    Denied,
    /// Too many others are being checked, or were wrong.
    Throttled,
    /// Nobody can be asked.
    Unavailable,
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
    path: Vec<u8>,
    query: Query,
    media: Result<MediaType, NotAcceptable>,
    encoding: Encoding,
}

impl Scraper {
    /// A scraper for this configuration.
    #[must_use]
    pub fn new(config: Rc<Config>, host: &dyn Host) -> Self {
        let auth_key = config.auth_key();
        Self {
            gatherer: Gatherer::new(Rc::clone(&config), host),
            tagger: Tagger::new(asking::salt(host), auth_key),
            verdicts: Verdicts::new(&auth_key),
            throttle: Throttle::new(&auth_key),
            waiting: RefCell::default(),
            desk: RefCell::new(Desk::new(Rc::clone(&config), &auth_key)),
            config,
        }
    }

    /// Takes a request by its headers. `target` is its `:path`.
    pub fn start(&self, around: Around<'_>, stream: StreamId, target: &[u8]) -> Step {
        if !self.routes(around.host, target) {
            return Step::Pass;
        }
        match self.decide(around, stream, target) {
            Some(reply) => Step::Reply(reply),
            None => Step::Wait,
        }
    }

    /// Whether a scrape waits for [`Scraper::advance`].
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !self.waiting.borrow().is_empty() || self.desk.borrow().is_busy()
    }

    /// Does a slice of what scrapes wait for, on the root context, and gives the answers that there are now.
    pub fn advance(&self, around: Around<'_>) -> Vec<(StreamId, Reply)> {
        let verified = self.waiting.borrow_mut().advance();
        let mut replies: Vec<_> =
            verified.map(|it| self.verified(around, it)).into_iter().collect();
        let settled = self.desk.borrow_mut().send(around, around.host.now());
        replies.extend(self.settle(around, settled));
        replies
    }

    /// Takes the answer to a call, unless it is none of these, and gives the answers that there are now.
    pub fn answered(
        &self,
        around: Around<'_>,
        call: CallId,
        answer: &mut Answer,
    ) -> Option<Vec<(StreamId, Reply)>> {
        let now = around.host.now();
        let settled = self.desk.borrow_mut().answered(around, call, answer, now)?;
        let mut replies = self.settle(around, settled);
        let settled = self.desk.borrow_mut().send(around, now);
        replies.extend(self.settle(around, settled));
        Some(replies)
    }

    /// Forgets a stream that ended while it waited.
    pub fn forget(&self, stream: StreamId) {
        self.waiting.borrow_mut().remove(stream);
        self.desk.borrow_mut().forget(stream);
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

    /// The answer to who was let in, or was not.
    fn answer(&self, around: Around<'_>, request: &Request, ruling: Ruling) -> Reply {
        let Around { host, ledger, .. } = around;
        ledger.attempted(host, request.scheme, ruling.attempt());
        let format = request.format();
        let (page, reply) = match ruling {
            Ruling::Allowed(permit) | Ruling::AllowedWhileDown(permit) => {
                self.serve(around, request, &permit)
            }
            Ruling::Denied(denial) => {
                let denial =
                    if request.query.holds_token { denial.of_token_in_url() } else { denial };
                (None, Reply::denied(&denial, self.challenge(), format, &request.path))
            }
            Ruling::Throttled(wait) => (None, Reply::throttled(wait, format)),
            Ruling::Unavailable => (None, Reply::unavailable(limits::DOWN_FOR, format)),
        };
        ledger.scraped(host, page, reply.status);
        reply
    }

    fn challenge(&self) -> Challenge {
        match self.config.auth.controller {
            Some(_) => Challenge::Bearer,
            None => Challenge::BearerAndBasic,
        }
    }

    /// The answer to who is let in.
    fn serve(
        &self,
        around: Around<'_>,
        request: &Request,
        permit: &Permit,
    ) -> (Option<Format>, Reply) {
        let format = request.format();
        match (request.method.as_slice(), request.media) {
            (b"GET" | b"HEAD", Ok(MediaType { format: Format::Html, .. })) => {
                (format, Reply::for_people(permit, request.encoding))
            }
            (b"GET" | b"HEAD", Ok(media)) => {
                let selection = &request.query.selection;
                let wanted = (media.format, request.encoding);
                let Around { host, ledger, .. } = around;
                let page = self.gatherer.page(host, ledger, permit, selection, wanted);
                (format, Reply::page(media, page))
            }
            (b"GET" | b"HEAD", Err(NotAcceptable)) => (None, Reply::not_acceptable()),
            (b"OPTIONS", _) => (None, Reply::options()),
            (method, _) => (None, Reply::method_not_allowed(method, format)),
        }
    }
}

impl Request {
    fn read(headers: &[(String, Vec<u8>)], target: &[u8], scheme: Scheme) -> Self {
        let query = Query::parse(route::query(target));
        Self {
            scheme,
            method: all(headers, ":method").next().unwrap_or_default().to_vec(),
            path: route::normal_form(target).into_owned(),
            media: accept::choose(query.format.as_deref(), all(headers, "accept")),
            encoding: encoding::choose(all(headers, "accept-encoding")),
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
