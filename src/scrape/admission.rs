//! Authentication of a scrape: by the configuration, by a remembered verdict, or by a new one.
//!
//! `auth` decides without I/O. This module adds the clock, shared data and the calls to the controller, and keeps the
//! scrapes that wait:
//!
//! | question | module |
//! |---|---|
//! | Which scrapes wait for a password to be hashed? | [`password_queue`] |
//! | Which wait for the controller, what is asked next, and what did it answer? | [`question_queue`] |
//! | What is one question, and which request sends it? | [`question`] |
//! | Do the controller's verdicts mean anything, and is it down? | [`probe`] |
//! | About which credentials did it give no verdict? | [`unanswered`] |
//! | Which client is it? | [`client`] |
//!
//! Unknown credentials are charged to the client's address before they are checked, and refunded if they turn out to be
//! right. Hashing a password and asking the controller are expensive, so a client that failed too often must wait before
//! either.

mod client;
mod password_queue;
mod probe;
mod question;
mod question_queue;
mod unanswered;

use super::{Context, StreamId};
use crate::auth::{
    self, CachedVerdict, Controller, Decision, LocalDecision, PendingPassword, Permit,
    RequestCredentials, Tag, Tagger, Verdict,
};
use crate::config::{Config, Credential};
use crate::host::{Answer, CallId, Host, Time};
use crate::limits;
use crate::shared::question_budget::{self, Probe};
use crate::shared::throttle::Throttle;
use crate::shared::verdicts::Verdicts;
use client::ClientAddress;
use password_queue::{PasswordCheck, PasswordQueue};
use question::{PendingScrape, Question, Waiter, Wanted};
use question_queue::{QuestionQueue, Settled};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// The authentication of one configuration, in one VM.
pub(super) struct Admission {
    config: Rc<Config>,
    tagger: Tagger,
    verdicts: Verdicts,
    throttle: Throttle,
    address: ClientAddress,
    passwords: RefCell<PasswordQueue>,
    questions: RefCell<QuestionQueue>,
}

/// A scrape that waited, and the result of its authentication.
pub(super) type Decided = (StreamId, Decision);

impl Admission {
    pub(super) fn new(config: Rc<Config>, host: &dyn Host) -> Self {
        let auth_key = config.auth_key();
        Self {
            tagger: Tagger::new(question_budget::salt(host), auth_key),
            verdicts: Verdicts::new(&auth_key),
            throttle: Throttle::new(&auth_key),
            address: ClientAddress::default(),
            passwords: RefCell::default(),
            questions: RefCell::new(QuestionQueue::new(Rc::clone(&config), &auth_key)),
            config,
        }
    }

    /// Decides about the credentials of a scrape; `None` if the scrape must wait for [`Self::advance`] or
    /// [`Self::answered`].
    pub(super) fn admit(
        &self,
        context: Context<'_>,
        stream: StreamId,
        credentials: RequestCredentials,
    ) -> Option<Decision> {
        match auth::decide(&self.config.auth, &credentials, &self.tagger) {
            LocalDecision::Allowed(permit) => Some(Decision::Allowed(permit)),
            LocalDecision::Denied(denial) => Some(Decision::Denied(denial)),
            LocalDecision::CheckPassword(password) => {
                self.check_password(context.host, stream, password)
            }
            LocalDecision::AskController => {
                let (scheme, forwarded) = (credentials.scheme(), Rc::new(credentials.forwarded));
                let tag = self.tagger.forwarded(&forwarded);
                let scrape = PendingScrape { stream, scheme, forwarded, tag };
                self.decide_by_controller(context, scrape, &|| self.client(context.host), None)
            }
        }
    }

    /// Returns true if a scrape waits for [`Self::advance`].
    pub(super) fn is_busy(&self) -> bool {
        !self.passwords.borrow().is_empty() || self.questions.borrow().is_busy()
    }

    /// Does one slice of the work that scrapes wait for, on the root context.
    pub(super) fn advance(&self, context: Context<'_>) -> Vec<Decided> {
        let checked = self.passwords.borrow_mut().advance();
        let mut decided: Vec<_> = checked
            .map(|(check, result)| self.password_checked(context.host, &check, result))
            .into_iter()
            .collect();
        let settled = self.questions.borrow_mut().send(context, context.host.now());
        decided.extend(self.settle(context, settled));
        decided
    }

    /// Takes the answer to a call; `None` if this module did not send the call.
    pub(super) fn answered(
        &self,
        context: Context<'_>,
        call: CallId,
        answer: &mut Answer,
    ) -> Option<Vec<Decided>> {
        let now = context.host.now();
        let settled = self.questions.borrow_mut().answered(context, call, answer, now)?;
        let mut decided = self.settle(context, settled);
        let settled = self.questions.borrow_mut().send(context, now);
        decided.extend(self.settle(context, settled));
        Some(decided)
    }

    /// Forgets a stream that ended while it waited. Its attempt stays charged.
    pub(super) fn forget(&self, stream: StreamId) {
        self.passwords.borrow_mut().forget(stream);
        self.questions.borrow_mut().forget(stream);
    }

    /// The tag of the client's address, read from the current stream. Costs up to two calls of the host, so it is read
    /// only if the scrape is charged or must wait.
    fn client(&self, host: &dyn Host) -> Tag {
        self.tagger.address(&self.address.network(host))
    }

    /// Queues a password for hashing, unless it is remembered as right.
    fn check_password(
        &self,
        host: &dyn Host,
        stream: StreamId,
        password: Box<PendingPassword>,
    ) -> Option<Decision> {
        let now = host.now();
        let age = self.verdicts.password(host, password.tag()).and_then(|at| now.checked_sub(at));
        let is_remembered = age.is_some_and(|age| age < limits::REMEMBER_PASSWORD);
        if let Some(permit) = password.recall(is_remembered) {
            return Some(Decision::Allowed(permit));
        }
        let client = self.client(host);
        let mut passwords = self.passwords.borrow_mut();
        if !passwords.has_room(&client) {
            return Some(Decision::Throttled(limits::RETRY_AFTER));
        }
        if let Err(wait) = self.throttle.charge(host, &client, now) {
            return Some(Decision::Throttled(wait));
        }
        passwords.push(PasswordCheck { stream, password, client });
        None
    }

    fn password_checked(
        &self,
        host: &dyn Host,
        check: &PasswordCheck,
        result: Result<Permit, auth::Denial>,
    ) -> Decided {
        let decision = match result {
            Ok(permit) => {
                let now = host.now();
                self.verdicts.password_is_right(host, check.password.tag(), now);
                self.throttle.refund(host, &check.client, now);
                Decision::Allowed(permit)
            }
            Err(denial) => Decision::Denied(denial),
        };
        (check.stream, decision)
    }

    /// Decides by a new verdict, or else by the remembered one; `None` if the scrape must wait for the controller.
    fn decide_by_controller(
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
    fn settle(&self, context: Context<'_>, settled: Vec<Settled>) -> Vec<Decided> {
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
