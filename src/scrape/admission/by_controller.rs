//! Decisions that depend on the controller: by a remembered verdict, by a new one, or by an earlier permit while the
//! controller is down. A scrape that needs a new verdict waits in the [queue](super::question_queue).

use super::question::{PendingScrape, Question, Waiter, Wanted};
use super::question_queue::Settled;
use super::{Admission, Context, Decided};
use crate::auth::{CachedVerdict, Controller, Decision, Permit, Tag, Verdict};
use crate::config::Credential;
use crate::host::{Host, Time};
use crate::limits;
use crate::shared::question_budget::Probe;
use std::time::Duration;

impl Admission {
    /// Decides by a new verdict, or else by the remembered one; `None` if the scrape must wait for the controller.
    pub(super) fn decide_by_controller(
        &self,
        context: Context<'_>,
        scrape: PendingScrape,
        client: &dyn Fn() -> Tag,
        new: Option<CachedVerdict>,
    ) -> Option<Decision> {
        let (host, now) = (context.host, context.host.now());
        let (policy, controller) = (&self.config.auth, self.config.auth.controller.as_ref()?);
        let verdict = new.unwrap_or_else(|| self.cached(host, controller, &scrape.tag, now));
        let state = self.questions.borrow().controller_state(host, now);
        let is_unanswered = self.questions.borrow().is_unanswered(&scrape.tag, now);
        let is_down = state == Some(Probe::NoVerdict) || is_unanswered;
        let is_due_or_under_way = |source| {
            self.questions.borrow().is_pulling(source) || context.pulls.is_due(host, source)
        };
        match policy.apply(&verdict, scrape.scheme) {
            _ if state == Some(Probe::Permitted) => Some(Decision::Unavailable),
            Some(Err(denial)) => Some(Decision::Denied(denial)),
            Some(Ok(permit)) => match self.page_to_pull(controller, is_due_or_under_way) {
                Some(page) if !is_down => {
                    self.wait_for_page(context.host, scrape, client, page, permit)
                }
                _ => Some(Decision::Allowed(permit)),
            },
            None if is_down => {
                let permit = policy.apply_while_down(&verdict, scrape.scheme);
                Some(permit.map_or(Decision::Unavailable, Decision::AllowedWhileDown))
            }
            None => {
                let is_known = matches!(verdict, CachedVerdict::Lapsed { .. });
                self.ask(context, scrape, client, controller, is_known)
            }
        }
    }

    fn cached(
        &self,
        host: &dyn Host,
        controller: &Controller,
        tag: &Tag,
        now: Time,
    ) -> CachedVerdict {
        let permit = self.verdicts.permit(host, tag);
        match controller.cached(permit, None, now) {
            // Storing a refusal removes the permit, so a valid permit makes reading the refusals unnecessary.
            CachedVerdict::Permitted => CachedVerdict::Permitted,
            _ => controller.cached(permit, self.verdicts.refusal(host, tag), now),
        }
    }

    /// The index of the controller's source whose page is to be pulled with a client's credentials, if there is one.
    fn page_to_pull(
        &self,
        controller: &Controller,
        is_wanted: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let forwards = |source: usize| {
            let source = self.config.sources.get(source);
            source.is_some_and(|source| matches!(source.credential, Credential::Forward))
        };
        let mut opened = controller.view.sources.iter().flatten().copied();
        opened.find(|&source| forwards(source) && is_wanted(source))
    }

    /// Pulls a page with the credentials of a permitted client. If the scrape cannot wait for it, the client receives the
    /// last good page.
    fn wait_for_page(
        &self,
        host: &dyn Host,
        scrape: PendingScrape,
        client: &dyn Fn() -> Tag,
        page: usize,
        permit: Permit,
    ) -> Option<Decision> {
        match self.enqueue(host, scrape, client, Wanted::Page(page), true) {
            Ok(()) => None,
            Err(_) => Some(Decision::Allowed(permit)),
        }
    }

    /// Asks the controller. For a client that was permitted before (`is_known`) the question is a pull of the page, if one
    /// is due, since the answer is a verdict too. Any other client must be permitted first: it must not use up the interval
    /// of a source.
    fn ask(
        &self,
        context: Context<'_>,
        scrape: PendingScrape,
        client: &dyn Fn() -> Tag,
        controller: &Controller,
        is_known: bool,
    ) -> Option<Decision> {
        let is_due = |source| is_known && context.pulls.is_due(context.host, source);
        let wanted = self.page_to_pull(controller, is_due).map_or(Wanted::Verdict, Wanted::Page);
        self.enqueue(context.host, scrape, client, wanted, is_known).err().map(Decision::Throttled)
    }

    /// Makes a scrape wait for the answer to a question. If it cannot wait, returns the time after which the client may try
    /// again. A new question about unknown credentials is charged to the client.
    fn enqueue(
        &self,
        host: &dyn Host,
        scrape: PendingScrape,
        client: &dyn Fn() -> Tag,
        wanted: Wanted,
        is_known: bool,
    ) -> Result<(), Duration> {
        let client = client();
        let mut questions = self.questions.borrow_mut();
        let is_new = !questions.has_question(wanted, &scrape.tag);
        if !questions.has_room(&client, is_known, is_new) {
            return Err(limits::RETRY_AFTER);
        }
        if is_new && !is_known {
            self.throttle.charge(host, &client, host.now())?;
        }
        questions.enqueue(Waiter { scrape, client }, wanted, is_known);
        Ok(())
    }

    /// Remembers verdicts, and decides about the scrapes that waited for them.
    pub(super) fn settle(&self, context: Context<'_>, settled: Vec<Settled>) -> Vec<Decided> {
        let mut decided = Vec::new();
        for settled in settled {
            let (waiters, new) = match settled {
                Settled::Answered(question, verdict) => {
                    let new = self.remember(context.host, &question, verdict);
                    (question.waiters, new.map(|new| (question.tag, new)))
                }
                Settled::NotAsked(question) => {
                    self.refund(context.host, &question);
                    (question.waiters, None)
                }
            };
            for Waiter { scrape, client } in waiters {
                let new = new.as_ref().filter(|(tag, _)| *tag == scrape.tag);
                let (stream, new) = (scrape.stream, new.map(|(_, verdict)| verdict.clone()));
                let decision = self.decide_by_controller(context, scrape, &|| client, new);
                decided.extend(decision.map(|decision| (stream, decision)));
            }
        }
        decided
    }

    /// Remembers a verdict. A question without one stays charged: the client made the controller work in vain.
    fn remember(
        &self,
        host: &dyn Host,
        question: &Question,
        verdict: Verdict,
    ) -> Option<CachedVerdict> {
        let now = host.now();
        let at = question.sent.map_or(now, |(_, at)| at);
        match verdict {
            Verdict::Permit => {
                self.verdicts.permitted(host, &question.tag, &question.client, at);
                self.refund(host, question);
                Some(CachedVerdict::Permitted)
            }
            Verdict::Refusal(refusal) => {
                self.verdicts.refused(host, &question.tag, at, &refusal);
                if question.is_known {
                    self.throttle.charge_known(host, &question.client, now);
                }
                Some(CachedVerdict::Refused(refusal))
            }
            // A page may fail for reasons of its own, so the next question is for the verdict alone.
            Verdict::None if question.wanted != Wanted::Verdict => None,
            Verdict::None => {
                self.questions.borrow_mut().note_unanswered(question.tag, now);
                None
            }
        }
    }

    fn refund(&self, host: &dyn Host, question: &Question) {
        if !question.is_known {
            self.throttle.refund(host, &question.client, host.now());
        }
    }
}
