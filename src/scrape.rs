//! SCRAPE: route -> permit -> gather -> merge -> render -> reply.
//!
//! Runs in a worker's VM, on a request that asks for the metrics page, and touches nothing but shared data: no source is
//! pulled, whoever scrapes. A scrape waits ([`Step::Wait`]) where a password's check takes long, or where only the
//! controller knows who asks and has to be asked again; everything else is answered at once.

pub mod accept;
mod desk;
pub mod gather;
pub mod query;
pub mod reply;
pub mod route;
mod waiting;

pub use waiting::StreamId;

use crate::auth::{
    self, Controller, Decision, Denial, PendingPassword, Permit, Scheme, Shown, Standing, Tag,
    Tagger, Verdict,
};
use crate::config::{Config, Credential};
use crate::host::{Answer, CallId, Host, Time};
use crate::limits;
use crate::metrics::Sink;
use crate::shared::asking;
use crate::shared::throttle::Throttle;
use crate::shared::verdicts::Verdicts;
use accept::{Format, NotAcceptable};
use desk::{Asker, Desk, Question, Settled, Wanted};
use gather::Gatherer;
use query::Query;
use reply::{Challenge, Reply};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use waiting::{Waiter, Waiting};

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

/// The same, with what the answer needs.
enum Ruling {
    Allowed(Permit),
    AllowedWhileDown(Permit),
    Denied(Denial),
    Throttled(Duration),
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
    query: Query,
    format: Result<Format, NotAcceptable>,
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

    /// Authentication comes before everything but the route: who is not let in learns nothing else. No reply yet means
    /// that the scrape waits.
    fn decide(&self, around: Around<'_>, stream: StreamId, target: &[u8]) -> Option<Reply> {
        let headers = around.host.request_headers();
        let sessions = self.config.auth.controller.is_some();
        let shown = Shown::read(all(&headers, "authorization"), all(&headers, "cookie"), sessions);
        let request = Request::read(&headers, target, shown.scheme());
        let ruling = match auth::decide(&self.config.auth, &shown, &self.tagger) {
            Decision::Allowed(permit) => Ruling::Allowed(permit),
            Decision::Denied(denial) => Ruling::Denied(denial),
            Decision::Derive(password) => return self.verify(around, stream, request, password),
            Decision::Ask => {
                let tag = self.tagger.forwarded(&shown.forwarded);
                let (shown, client) = (Rc::new(shown.forwarded), self.client(around.host));
                let asker = Asker { stream, request, shown, tag, client };
                return self.proceed(around, asker, None);
            }
        };
        Some(self.answer(around, &request, ruling))
    }

    /// Where the request comes from. Envoy's own word, by its settings for trusted hops.
    fn client(&self, host: &dyn Host) -> Tag {
        let source = host.property(&["source", "address"]).unwrap_or_default();
        self.tagger.address(&auth::network(&source))
    }

    /// Has a password checked, unless it was right before.
    fn verify(
        &self,
        around: Around<'_>,
        stream: StreamId,
        request: Request,
        password: Box<PendingPassword>,
    ) -> Option<Reply> {
        let (host, now) = (around.host, around.host.now());
        let since = self.verdicts.permit(host, password.tag());
        let age = since.and_then(|since| now.checked_sub(since));
        if let Some(permit) =
            password.recall(age.is_some_and(|age| age < limits::REMEMBER_PASSWORD))
        {
            return Some(self.answer(around, &request, Ruling::Allowed(permit)));
        }
        let client = self.client(host);
        if let Some(wait) = self.throttle.wait(host, &client, now) {
            return Some(self.answer(around, &request, Ruling::Throttled(wait)));
        }
        let waiter = Waiter { stream, request, password, client };
        let full = self.waiting.borrow_mut().push(waiter).err()?;
        Some(self.answer(around, &full.request, Ruling::Throttled(limits::RETRY_AFTER)))
    }

    /// A password was checked.
    fn verified(
        &self,
        around: Around<'_>,
        (waiter, result): (Waiter, Result<Permit, Denial>),
    ) -> (StreamId, Reply) {
        let (host, now) = (around.host, around.host.now());
        let ruling = match result {
            Ok(permit) => {
                self.verdicts.permitted(host, waiter.password.tag(), now);
                Ruling::Allowed(permit)
            }
            Err(denial) => {
                self.throttle.fail(host, &waiter.client, now);
                Ruling::Denied(denial)
            }
        };
        (waiter.stream, self.answer(around, &waiter.request, ruling))
    }

    /// Goes as far as can be gone with what is known of the credentials: by a new verdict, or else by what is
    /// remembered. No reply means that the scrape waits for the controller.
    fn proceed(&self, around: Around<'_>, asker: Asker, new: Option<Standing>) -> Option<Reply> {
        let (host, now) = (around.host, around.host.now());
        let controller = self.config.auth.controller.as_ref()?;
        let standing = new.unwrap_or_else(|| self.standing(host, controller, &asker.tag, now));
        let (is_open, is_down) = {
            let desk = self.desk.borrow();
            (desk.is_open(host, now), desk.is_down(&asker.tag, now))
        };
        let ruling = match self.config.auth.apply(&standing) {
            _ if is_open => Ruling::Unavailable,
            Some(Err(denial)) => Ruling::Denied(denial),
            Some(Ok(permit)) => match self.page_to_pull(around, controller, true) {
                Some(page) if !is_down => return self.ask_for_page(around, asker, page, permit),
                _ => Ruling::Allowed(permit),
            },
            None if is_down => {
                let permit = self.config.auth.apply_in_need(&standing);
                permit.map_or(Ruling::Unavailable, Ruling::AllowedWhileDown)
            }
            None => return self.ask(around, asker, controller, &standing),
        };
        Some(self.answer(around, &asker.request, ruling))
    }

    fn standing(&self, host: &dyn Host, controller: &Controller, tag: &Tag, now: Time) -> Standing {
        let (permit, refusal) = (self.verdicts.permit(host, tag), self.verdicts.refusal(host, tag));
        controller.standing(permit, refusal, now)
    }

    /// A source of the controller whose page is to be pulled with a client's credentials; or, `joining`, is being pulled
    /// with another's.
    fn page_to_pull(
        &self,
        around: Around<'_>,
        controller: &Controller,
        joining: bool,
    ) -> Option<usize> {
        let forwards = |source: usize| {
            let source = self.config.sources.get(source);
            source.is_some_and(|source| matches!(source.credential, Credential::Forward))
        };
        let is_wanted = |source| {
            joining && self.desk.borrow().wants(source) || around.pulls.is_due(around.host, source)
        };
        let mut opened = controller.view.sources.iter().flatten().copied();
        opened.find(|&source| forwards(source) && is_wanted(source))
    }

    /// Pulls a page on behalf of who is let in; where there is no room for that, what is there has to do.
    fn ask_for_page(
        &self,
        around: Around<'_>,
        asker: Asker,
        page: usize,
        permit: Permit,
    ) -> Option<Reply> {
        let full = self.desk.borrow_mut().ask(asker, Wanted::Page(page), true).err()?;
        Some(self.answer(around, &full.request, Ruling::Allowed(permit)))
    }

    /// Asks the controller. The answer to a page that is wanted anyway says as much as any.
    fn ask(
        &self,
        around: Around<'_>,
        asker: Asker,
        controller: &Controller,
        standing: &Standing,
    ) -> Option<Reply> {
        let known = matches!(standing, Standing::Lapsed { .. });
        let wait = self.throttle.wait(around.host, &asker.client, around.host.now());
        if let Some(wait) = wait.filter(|_| !known) {
            return Some(self.answer(around, &asker.request, Ruling::Throttled(wait)));
        }
        let page = self.page_to_pull(around, controller, false);
        let wanted = page.map_or(Wanted::Verdict, Wanted::Page);
        let full = self.desk.borrow_mut().ask(asker, wanted, known).err()?;
        Some(self.answer(around, &full.request, Ruling::Throttled(limits::RETRY_AFTER)))
    }

    /// Remembers verdicts, and gives those who waited for them their answers.
    fn settle(&self, around: Around<'_>, settled: Vec<Settled>) -> Vec<(StreamId, Reply)> {
        let mut replies = Vec::new();
        for (question, verdict) in settled {
            let new = self.learn(around.host, &question, verdict);
            for asker in question.askers {
                let new = new.clone().filter(|_| asker.tag == question.tag);
                let stream = asker.stream;
                replies.extend(self.proceed(around, asker, new).map(|reply| (stream, reply)));
            }
        }
        replies
    }

    fn learn(&self, host: &dyn Host, question: &Question, verdict: Verdict) -> Option<Standing> {
        let now = host.now();
        let at = question.sent.map_or(now, |(_, at)| at);
        match verdict {
            Verdict::Permit => {
                self.verdicts.permitted(host, &question.tag, at);
                Some(Standing::Permitted)
            }
            Verdict::Refusal(refusal) => {
                self.verdicts.refused(host, &question.tag, at, &refusal);
                self.throttle.fail(host, &question.client, now);
                Some(Standing::Refused(refusal))
            }
            // A page may fail for reasons of its own: then the controller is asked for nothing but its verdict.
            Verdict::None { .. } if question.wanted != Wanted::Verdict => None,
            Verdict::None { down } => {
                let about = if down { None } else { Some(question.tag) };
                self.desk.borrow_mut().note_unanswered(about, now);
                None
            }
        }
    }

    /// The answer to who was let in, or was not.
    fn answer(&self, around: Around<'_>, request: &Request, ruling: Ruling) -> Reply {
        let Around { host, ledger, .. } = around;
        ledger.attempted(host, request.scheme, ruling.attempt());
        let format = request.format.ok();
        let (page, reply) = match ruling {
            Ruling::Allowed(permit) | Ruling::AllowedWhileDown(permit) => {
                self.serve(around, request, &permit)
            }
            Ruling::Denied(denial) => (None, Reply::denied(&denial, self.challenge(), format)),
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
        match (request.method.as_slice(), request.format) {
            (b"GET" | b"HEAD", Ok(format)) => {
                let selection = &request.query.selection;
                let Around { host, ledger, .. } = around;
                let body = self.gatherer.page(host, ledger, permit, selection, format);
                (Some(format), Reply::page(format, body))
            }
            (b"GET" | b"HEAD", Err(NotAcceptable)) => (None, Reply::not_acceptable()),
            (b"OPTIONS", _) => (None, Reply::options()),
            (method, format) => (None, Reply::method_not_allowed(method, format.ok())),
        }
    }
}

impl Ruling {
    fn attempt(&self) -> Attempt {
        match self {
            Self::Allowed(_) => Attempt::Allowed,
            Self::AllowedWhileDown(_) => Attempt::AllowedWhileDown,
            Self::Denied(_) => Attempt::Denied,
            Self::Throttled(_) => Attempt::Throttled,
            Self::Unavailable => Attempt::Unavailable,
        }
    }
}

impl Request {
    fn read(headers: &[(String, Vec<u8>)], target: &[u8], scheme: Scheme) -> Self {
        let query = Query::parse(route::query(target));
        Self {
            scheme,
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
