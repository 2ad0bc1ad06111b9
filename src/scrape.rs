//! SCRAPE: route -> permit -> gather -> merge -> render -> reply.
//!
//! | step | module |
//! |---|---|
//! | Is the request a scrape? | [`route`] |
//! | What does it ask for? | [`query`] (the URL's), [`accept`] (format), [`encoding`] (gzip), with `header` for both |
//! | May it be answered? | `admission`, by the rules of [`crate::auth`] |
//! | The page, at once or after some ticks | [`gather`], called by `pages` |
//! | The reply, with its status | [`reply`] |
//!
//! Runs in a worker's VM, on a request for the metrics page, and reads only shared data. A scrape waits ([`Step::Wait`])
//! while its password is hashed, the controller is asked, a source is pulled for the first time, or a large page is
//! rendered. Every other scrape is answered at once.

pub mod accept;
mod admission;
pub mod encoding;
pub mod gather;
mod header;
mod pages;
pub mod query;
pub mod reply;
pub mod route;

use crate::auth::{AuthOutcome, Decision, Permit, RequestCredentials, Scheme};
use crate::config::Config;
use crate::exposition::Format;
use crate::host::{Answer, CallId, Host, Time};
use crate::limits;
use crate::metrics::Sink;
use accept::{MediaType, NotAcceptable};
use admission::{Admission, Decided};
use encoding::Encoding;
use pages::Pages;
use query::Query;
use reply::{Challenge, Reply};
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

/// The host's number of a stream.
pub type StreamId = u32;

/// Answers the scrapes of one configuration, in one VM.
pub struct Scraper {
    config: Rc<Config>,
    pages: Pages,
    admission: Admission,
    /// The scrapes that wait for [`Self::admission`], which bounds their number.
    waiting: RefCell<HashMap<StreamId, Request>>,
}

/// The surroundings of the flow.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The host.
    pub host: &'a dyn Host,
    /// Counts scrapes.
    pub recorder: &'a dyn ScrapeRecorder,
    /// Pulls the pages of sources on behalf of clients.
    pub pulls: &'a dyn Pulls,
}

/// Counts scrapes, and writes the families that the gateway counts.
pub trait ScrapeRecorder {
    /// Counts an authentication. The caller then counts the scrape, so both counts may be published together.
    fn attempted(&self, host: &dyn Host, scheme: Scheme, outcome: AuthOutcome);
    /// Counts a scrape that was answered, with a page of this format or with none.
    fn scraped(&self, host: &dyn Host, format: Option<Format>, status: u16);
    /// The time since which requests are counted.
    fn created(&self, host: &dyn Host) -> Option<Time>;
    /// Writes the families.
    fn write(&self, host: &dyn Host, page: &mut dyn Sink);
}

/// Pulls the pages of sources that are pulled with clients' credentials.
pub trait Pulls {
    /// Returns true if the page of the source with this index in the configuration is due.
    fn is_due(&self, host: &dyn Host, source: usize) -> bool;
    /// Claims the pull. Returns true if the caller, and no other VM, must pull the page now.
    fn claim(&self, host: &dyn Host, source: usize) -> bool;
    /// Ends a pull whose client was refused: the page stays due.
    fn release(&self, host: &dyn Host, source: usize);
    /// Ends a pull. `answer` is `None` if the call could not be sent.
    fn pulled(&self, host: &dyn Host, source: usize, began: Time, answer: Option<Answer>);
}

/// The filter's decision about a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// The request is not a scrape.
    Pass,
    /// The scrape is answered with this reply.
    Reply(Reply),
    /// [`Scraper::advance`] or [`Scraper::answered`] will return the reply.
    Wait,
}

/// A scrape, as read from its headers.
struct Request {
    scheme: Scheme,
    method: Vec<u8>,
    path: Vec<u8>,
    query: Query,
    media: Result<MediaType, NotAcceptable>,
    encoding: Encoding,
    /// The client's own timeout.
    timeout: Option<Duration>,
}

impl Scraper {
    /// Creates a scraper for this configuration.
    #[must_use]
    pub fn new(config: Rc<Config>, host: &dyn Host) -> Self {
        Self {
            pages: Pages::new(Rc::clone(&config), host),
            admission: Admission::new(Rc::clone(&config), host),
            waiting: RefCell::default(),
            config,
        }
    }

    /// Takes a request, whose headers it reads from the host. `target` is its `:path`.
    ///
    /// Authentication comes before everything except the route, so a client that is refused learns nothing else.
    pub fn start(&self, context: Context<'_>, stream: StreamId, target: &[u8]) -> Step {
        let Some(path) = self.route(context.host, target) else { return Step::Pass };
        let headers = context.host.request_headers();
        let controller = self.config.auth.controller.as_ref();
        let session_cookie = controller.map(|controller| controller.cookie.as_str());
        let (authorization, cookies) = (all(&headers, "authorization"), all(&headers, "cookie"));
        let credentials = RequestCredentials::read(authorization, cookies, session_cookie);
        let request = Request::read(&headers, target, path, credentials.scheme());
        match self.admission.admit(context, stream, credentials) {
            Some(decision) => {
                self.answer(context, stream, request, decision).map_or(Step::Wait, Step::Reply)
            }
            None => {
                self.waiting.borrow_mut().insert(stream, request);
                Step::Wait
            }
        }
    }

    /// The period of ticks that the scrapes need which wait for [`Scraper::advance`].
    #[must_use]
    pub fn tick_period(&self) -> Option<Duration> {
        if self.admission.is_busy() { Some(limits::BUSY_TICK) } else { self.pages.tick_period() }
    }

    /// Does one slice of the work that scrapes wait for, on the root context. Returns the replies that are ready.
    pub fn advance(&self, context: Context<'_>) -> Vec<(StreamId, Reply)> {
        let decided = self.admission.advance(context);
        let mut replies = self.answer_all(context, decided);
        let pages = self.pages.advance(context).into_iter();
        replies.extend(pages.map(|(stream, reply, page)| (stream, recorded(context, page, reply))));
        replies
    }

    /// Takes the answer to a call, and returns the replies that are ready; `None` if the scraper did not send the call.
    pub fn answered(
        &self,
        context: Context<'_>,
        call: CallId,
        answer: &mut Answer,
    ) -> Option<Vec<(StreamId, Reply)>> {
        let decided = self.admission.answered(context, call, answer)?;
        Some(self.answer_all(context, decided))
    }

    /// Forgets a stream that ended while it waited.
    pub fn forget(&self, stream: StreamId) {
        self.waiting.borrow_mut().remove(&stream);
        self.pages.forget(stream);
        self.admission.forget(stream);
    }

    /// Returns true if the filter answers this path, in any spelling.
    #[must_use]
    pub fn has_path(&self, target: &[u8]) -> bool {
        self.path(target).is_some()
    }

    /// The path in its normal form, if the filter answers it.
    fn path<'a>(&self, target: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        let path = route::normal_form(target);
        self.config.paths.iter().any(|configured| configured.as_bytes() == &*path).then_some(path)
    }

    fn route<'a>(&self, host: &dyn Host, target: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        let path = self.path(target)?;
        self.config.serves_asking(|| host.request_header(":authority")).then_some(path)
    }

    fn answer_all(&self, context: Context<'_>, decided: Vec<Decided>) -> Vec<(StreamId, Reply)> {
        let answer = |(stream, decision)| {
            let request = self.waiting.borrow_mut().remove(&stream)?;
            Some((stream, self.answer(context, stream, request, decision)?))
        };
        decided.into_iter().filter_map(answer).collect()
    }

    /// The reply to an authenticated or refused scrape; `None` if its page takes several ticks.
    fn answer(
        &self,
        context: Context<'_>,
        stream: StreamId,
        request: Request,
        decision: Decision,
    ) -> Option<Reply> {
        context.recorder.attempted(context.host, request.scheme, decision.outcome());
        let format = request.format();
        let reply = match decision {
            Decision::Allowed(permit) | Decision::AllowedWhileDown(permit) => {
                return self.permitted_reply(context, stream, request, permit);
            }
            Decision::Denied(denial) => {
                let denial =
                    if request.query.holds_token { denial.of_token_in_url() } else { denial };
                Reply::denied(&denial, self.challenge(), format, &request.path)
            }
            Decision::Throttled(wait) => Reply::throttled(wait, format),
            Decision::Unavailable => Reply::unavailable(limits::DOWN_FOR, format),
        };
        Some(recorded(context, None, reply))
    }

    fn challenge(&self) -> Challenge {
        match self.config.auth.controller {
            Some(_) => Challenge::Bearer,
            None => Challenge::BearerAndBasic,
        }
    }

    /// The reply to a permitted scrape; `None` if it waits for its page.
    fn permitted_reply(
        &self,
        context: Context<'_>,
        stream: StreamId,
        request: Request,
        permit: Permit,
    ) -> Option<Reply> {
        let format = request.format();
        let (reply, page) = match (request.method.as_slice(), request.media) {
            (b"GET" | b"HEAD", Ok(MediaType { format: Format::Html, .. })) => {
                (Reply::html_page(&permit, request.encoding), format)
            }
            (b"GET" | b"HEAD", Ok(_)) => self.pages.serve(context, stream, request, permit).ok()?,
            (b"GET" | b"HEAD", Err(NotAcceptable)) => (Reply::not_acceptable(), None),
            (b"OPTIONS", _) => (Reply::options(), None),
            (method, _) => (Reply::method_not_allowed(method, format), None),
        };
        Some(recorded(context, page, reply))
    }
}

/// Prometheus's timeout of the scrape, in seconds.
const TIMEOUT: &str = "x-prometheus-scrape-timeout-seconds";

fn seconds(header: &[u8]) -> Option<Duration> {
    let seconds: f64 = str::from_utf8(header).ok()?.trim().parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// Counts a reply, and returns it.
fn recorded(context: Context<'_>, page: Option<Format>, reply: Reply) -> Reply {
    context.recorder.scraped(context.host, page, reply.status);
    reply
}

impl Request {
    fn read(
        headers: &[(String, Vec<u8>)],
        target: &[u8],
        path: Cow<'_, [u8]>,
        scheme: Scheme,
    ) -> Self {
        let query = Query::parse(route::query(target));
        Self {
            scheme,
            method: all(headers, ":method").next().unwrap_or_default().to_vec(),
            path: path.into_owned(),
            media: accept::choose(query.format.as_deref(), all(headers, "accept")),
            encoding: encoding::choose(all(headers, "accept-encoding")),
            timeout: all(headers, TIMEOUT).next().and_then(seconds),
            query,
        }
    }

    /// The format of the reply, if an available one is acceptable.
    fn format(&self) -> Option<Format> {
        self.media.ok().map(|media| media.format)
    }
}

/// The values of all headers with this name, which must be in lower case.
fn all<'a>(
    headers: &'a [(String, Vec<u8>)],
    name: &'a str,
) -> impl Iterator<Item = &'a [u8]> + Clone {
    headers.iter().filter(move |(found, _)| found == name).map(|(_, value)| value.as_slice())
}

#[cfg(test)]
mod tests;
