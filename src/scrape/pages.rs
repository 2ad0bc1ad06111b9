//! The pages of permitted scrapes: at once, or after some ticks.
//!
//! A scrape waits for ticks if its page takes more than one callback to render, or if a source was not pulled yet since the
//! configuration was loaded: then until its first pull ends, or until the client's timeout is near.

use super::accept::MediaType;
use super::gather::{Gathered, Gatherer};
use super::reply::Reply;
use super::{Context, Request, ScrapeRecorder, StreamId};
use crate::auth::{Permit, UnknownSource};
use crate::config::Config;
use crate::exposition::Format;
use crate::host::{Host, Time};
use crate::limits;
use crate::metrics::{GatewaySelection, Selection};
use crate::scrape::encoding::Encoding;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

/// Serves the pages of one configuration, in one VM.
pub(super) struct Pages {
    config: Rc<Config>,
    gatherer: Gatherer,
    /// In the order they came; at most [`limits::WAITERS`].
    pending: RefCell<VecDeque<Pending>>,
}

/// A scrape that waits for its page.
struct Pending {
    stream: StreamId,
    request: Request,
    permit: Permit,
    /// The time at which it no longer waits for pulls.
    deadline: Time,
    /// The time of the next look at the pulls that it waits for; 0 if it waits for its page to be rendered.
    not_before: Time,
}

/// The result of an attempt to serve a page.
enum Attempt {
    Reply(Reply, Option<Format>),
    /// The page is being rendered.
    Renders,
    /// A source was not pulled yet.
    AwaitsPull,
}

/// [`Gatherer::page`] or [`Gatherer::advance`].
type Gather = fn(
    &Gatherer,
    &dyn Host,
    &dyn ScrapeRecorder,
    &Permit,
    &Selection,
    (Format, Encoding),
) -> Option<Gathered>;

impl Pages {
    pub(super) fn new(config: Rc<Config>, host: &dyn Host) -> Self {
        let gatherer = Gatherer::new(Rc::clone(&config), host);
        Self { config, gatherer, pending: RefCell::default() }
    }

    /// The reply to a permitted scrape, and the format of its page.
    ///
    /// # Errors
    /// If the scrape waits for ticks.
    pub(super) fn serve(
        &self,
        context: Context<'_>,
        stream: StreamId,
        request: Request,
        permit: Permit,
    ) -> Result<(Reply, Option<Format>), Waits> {
        let permit = match permit.narrowed(&self.config.sources, &request.query.sources) {
            Ok(permit) => permit,
            Err(UnknownSource { visible }) => {
                return Ok((Reply::unknown_source(&visible, request.format()), None));
            }
        };
        let deadline = Time::MAX;
        let mut pending = Pending { stream, request, permit, deadline, not_before: Time::ZERO };
        match self.attempt(context, &pending, Gatherer::page) {
            Attempt::Reply(reply, page) => return Ok((reply, page)),
            Attempt::Renders => {}
            Attempt::AwaitsPull => {
                let now = context.host.now();
                pending.deadline = now + patience(pending.request.timeout);
                pending.not_before = now + *limits::TICK.start();
            }
        }
        let mut queue = self.pending.borrow_mut();
        if queue.len() >= limits::WAITERS {
            let format = pending.request.format();
            return Ok((Reply::throttled(limits::RETRY_AFTER, format), None));
        }
        queue.push_back(pending);
        Err(Waits)
    }

    /// Does one slice of the work that scrapes wait for. Returns the replies that are ready, each with its page's format.
    pub(super) fn advance(&self, context: Context<'_>) -> Vec<(StreamId, Reply, Option<Format>)> {
        let mut pending = std::mem::take(&mut *self.pending.borrow_mut());
        let mut replies = Vec::new();
        // After one slice only pages that are complete are served.
        let mut gather: Gather = Gatherer::advance;
        let now = if pending.is_empty() { Time::ZERO } else { context.host.now() };
        while let Some(mut next) = pending.pop_front() {
            if next.not_before > now {
                self.pending.borrow_mut().push_back(next);
                continue;
            }
            match self.attempt(context, &next, gather) {
                Attempt::Reply(reply, page) => {
                    replies.push((next.stream, reply, page));
                    gather = Gatherer::page;
                    continue;
                }
                Attempt::AwaitsPull => next.not_before = now + *limits::TICK.start(),
                Attempt::Renders => next.not_before = Time::ZERO,
            }
            let renders = next.not_before.is_zero();
            self.pending.borrow_mut().push_back(next);
            if renders && replies.is_empty() {
                // The slice is done.
                break;
            }
        }
        self.pending.borrow_mut().append(&mut pending);
        replies
    }

    /// The period of ticks that the waiting scrapes need.
    pub(super) fn tick_period(&self) -> Option<Duration> {
        let pending = self.pending.borrow();
        let renders = pending.iter().any(|it| it.not_before.is_zero());
        let waits = (!pending.is_empty()).then_some(*limits::TICK.start());
        if renders { Some(limits::BUSY_TICK) } else { waits }
    }

    /// Discards a stream that ended.
    pub(super) fn forget(&self, stream: StreamId) {
        let mut pending = self.pending.borrow_mut();
        let waited = !pending.is_empty();
        pending.retain(|pending| pending.stream != stream);
        if waited && pending.is_empty() {
            self.gatherer.discard_job();
        }
    }

    fn attempt(
        &self,
        Context { host, recorder, .. }: Context<'_>,
        pending: &Pending,
        gather: Gather,
    ) -> Attempt {
        let Pending { request, permit, deadline, .. } = pending;
        let (Ok(media), format) = (request.media, request.format()) else {
            return Attempt::Reply(Reply::not_acceptable(), None);
        };
        let selection = &request.query.selection;
        // The gateway's own families need no page.
        let needs_pages = selection.gateway != GatewaySelection::Only;
        if needs_pages && self.gatherer.awaits_first_pull(host, permit) && host.now() < *deadline {
            return Attempt::AwaitsPull;
        }
        let wanted = (media.format, request.encoding);
        let Some(page) = gather(&self.gatherer, host, recorder, permit, selection, wanted) else {
            return Attempt::Renders;
        };
        self.reply(host, pending, media, page, format)
    }

    /// A page, or 503 if the only source that was asked for has none.
    fn reply(
        &self,
        host: &dyn Host,
        Pending { request, permit, .. }: &Pending,
        media: MediaType,
        page: Gathered,
        format: Option<Format>,
    ) -> Attempt {
        let is_single = request.query.sources.len() == 1;
        let problem = is_single.then(|| self.gatherer.problem(host, permit)).flatten();
        match problem {
            Some(problem) => Attempt::Reply(Reply::no_page(&problem, format), None),
            None => Attempt::Reply(Reply::page(media, page), format),
        }
    }
}

/// The scrape waits for ticks.
pub(super) struct Waits;

/// How long a client waits for a first pull: its own timeout, which Prometheus sends, less the time that the reply takes.
fn patience(timeout: Option<Duration>) -> Duration {
    let timeout = timeout.map(|timeout| timeout.saturating_sub(limits::REPLY_TIME));
    timeout.map_or(limits::FIRST_PULL, |timeout| timeout.min(limits::FIRST_PULL))
}
