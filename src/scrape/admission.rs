//! Who is let in: by what is known here, by a verdict that is remembered, or by a new one. What costs much, hashing a
//! password or asking the controller, is not done for who failed too often.

use super::desk::Settled;
use super::question::{Asker, Question, Wanted};
use super::reply::Reply;
use super::waiting::{StreamId, Waiter};
use super::{Around, Attempt, Request, Scraper, all};
use crate::auth::{
    self, Controller, Decision, Denial, PendingPassword, Permit, Shown, Standing, Tag, Verdict,
};
use crate::config::Credential;
use crate::host::{Host, Time};
use crate::limits;
use crate::shared::asking::Door;
use std::rc::Rc;
use std::time::Duration;

/// What a check of credentials came to, with what the answer needs.
pub(super) enum Ruling {
    Allowed(Permit),
    AllowedWhileDown(Permit),
    Denied(Denial),
    Throttled(Duration),
    Unavailable,
}

impl Scraper {
    /// Authentication comes before everything but the route: who is not let in learns nothing else. No reply yet means
    /// that the scrape waits.
    pub(super) fn decide(
        &self,
        around: Around<'_>,
        stream: StreamId,
        target: &[u8],
    ) -> Option<Reply> {
        let headers = around.host.request_headers();
        let asks = self.config.auth.controller.is_some();
        let shown = Shown::read(all(&headers, "authorization"), all(&headers, "cookie"), asks);
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
    pub(super) fn verified(
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
            (desk.door(host, now) == Some(Door::Open), desk.is_down(&asker.tag, now))
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
        let permit = self.verdicts.permit(host, tag);
        match controller.standing(permit, None, now) {
            // A refusal takes the permit away: where there is one that counts, no refusal need be looked for.
            Standing::Permitted => Standing::Permitted,
            _ => controller.standing(permit, self.verdicts.refusal(host, tag), now),
        }
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
    pub(super) fn settle(
        &self,
        around: Around<'_>,
        settled: Vec<Settled>,
    ) -> Vec<(StreamId, Reply)> {
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
        let mut desk = self.desk.borrow_mut();
        let standing = match verdict {
            Verdict::Permit => {
                self.verdicts.permitted(host, &question.tag, at);
                Standing::Permitted
            }
            Verdict::Refusal(refusal) => {
                self.verdicts.refused(host, &question.tag, at, &refusal);
                self.throttle.fail(host, &question.client, now);
                Standing::Refused(refusal)
            }
            // A page may fail for reasons of its own: then the controller is asked for nothing but its verdict.
            Verdict::None { .. } if question.wanted != Wanted::Verdict => return None,
            Verdict::None { down } => {
                desk.note_unanswered(if down { None } else { Some(question.tag) }, now);
                desk.report(host, false);
                return None;
            }
        };
        desk.report(host, true);
        Some(standing)
    }
}

impl Ruling {
    pub(super) fn attempt(&self) -> Attempt {
        match self {
            Self::Allowed(_) => Attempt::Allowed,
            Self::AllowedWhileDown(_) => Attempt::AllowedWhileDown,
            Self::Denied(_) => Attempt::Denied,
            Self::Throttled(_) => Attempt::Throttled,
            Self::Unavailable => Attempt::Unavailable,
        }
    }
}
