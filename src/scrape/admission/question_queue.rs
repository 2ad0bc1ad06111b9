//! The questions to the controller: which ones wait, which are under way, and which is sent next.
//!
//! Scrapes with the same credentials share a question, and it is answered even if they all leave: the root context sends it
//! on its next tick, since a call ends with the stream that sent it (Envoy 1.36.2, 1.40.0). Before the first question, the
//! [probe](super::probe) must have shown that the controller's verdicts mean something.
//!
//! Every bound is divided among clients: one address gets only a part of the questions, of the scrapes that wait and of the
//! calls under way, and addresses take turns.

use super::probe::ControllerProbe;
use super::question::{self, Question, Waiter, Wanted};
use super::unanswered::Unanswered;
use super::{Context, StreamId};
use crate::auth::{Tag, Verdict};
use crate::config::Config;
use crate::host::{Answer, CallId, Host, Time};
use crate::limits;
use crate::shared::question_budget::{Probe, QuestionBudget};
use std::mem;
use std::rc::Rc;
use std::time::Duration;

/// The questions of one configuration, in one VM.
pub(super) struct QuestionQueue {
    config: Rc<Config>,
    budget: QuestionBudget,
    probe: ControllerProbe,
    /// In the order in which they came.
    questions: Vec<Question>,
    unanswered: Unanswered,
}

/// A question for which scrapes need not wait any longer.
pub(super) enum Settled {
    /// The controller answered, or gave no answer in time.
    Answered(Question, Verdict),
    /// The question is not asked now: its credentials were not checked.
    NotAsked(Question),
}

impl QuestionQueue {
    pub(super) fn new(config: Rc<Config>, auth_key: &[u8; 32]) -> Self {
        Self {
            budget: QuestionBudget::new(auth_key),
            probe: ControllerProbe::new(Rc::clone(&config), auth_key),
            config,
            questions: Vec::new(),
            unanswered: Unanswered::default(),
        }
    }

    /// Returns true if the page of this source is being pulled, or is about to be, with a permitted client's credentials.
    pub(super) fn is_pulling(&self, source: usize) -> bool {
        self.questions.iter().any(|question| question.wanted == Wanted::Page(source))
    }

    /// Returns true if there is a question that a scrape with these credentials can wait for.
    pub(super) fn has_question(&self, wanted: Wanted, tag: &Tag) -> bool {
        self.questions.iter().any(|question| question.answers(wanted, tag))
    }

    /// Returns true if a scrape of this client may wait, for an existing question or for a new one (`is_new`). `is_known`:
    /// its credentials were permitted before.
    pub(super) fn has_room(&self, client: &Tag, is_known: bool, is_new: bool) -> bool {
        let fits = |of_all: usize, of_client: usize, most: usize| {
            of_all < most_questions(most, is_known)
                && of_client < limits::for_one_client(most, is_known)
        };
        let waiters = || self.questions.iter().flat_map(|question| &question.waiters);
        let of_client = waiters().filter(|waiter| waiter.client == *client).count();
        if !fits(waiters().count(), of_client, limits::WAITERS) {
            return false;
        }
        let of_client = self.questions.iter().filter(|it| it.client == *client).count();
        !is_new || fits(self.questions.len(), of_client, limits::QUESTIONS)
    }

    /// Adds a scrape to the question that it can wait for, or to a new one. The queue must [have room](Self::has_room).
    pub(super) fn enqueue(&mut self, waiter: Waiter, wanted: Wanted, is_known: bool) {
        let is_same = |question: &&mut Question| question.answers(wanted, &waiter.scrape.tag);
        match self.questions.iter_mut().find(is_same) {
            Some(question) => question.waiters.push(waiter),
            None => self.questions.push(Question::new(waiter, wanted, is_known)),
        }
    }

    /// Returns true if there is a question or a probe to send.
    pub(super) fn is_busy(&self) -> bool {
        self.questions.iter().any(|question| question.sent.is_none()) || self.probe.is_wanted()
    }

    /// Forgets a stream that has ended. A question that was sent for it stays.
    pub(super) fn forget(&mut self, stream: StreamId) {
        for question in &mut self.questions {
            question.waiters.retain(|waiter| waiter.scrape.stream != stream);
        }
        let is_needed =
            |question: &Question| question.sent.is_some() || !question.waiters.is_empty();
        self.questions.retain(is_needed);
    }

    /// Returns true if the controller lately gave no verdict on these credentials.
    pub(super) fn is_unanswered(&self, tag: &Tag, now: Time) -> bool {
        self.unanswered.contains(tag, now)
    }

    /// Remembers that these credentials got no verdict, and has the probe find out whether others get one.
    pub(super) fn note_unanswered(&mut self, tag: Tag, now: Time) {
        self.unanswered.insert(tag, now);
        self.probe.want();
    }

    /// The state of the controller; `None` if it is unknown.
    pub(super) fn controller_state(&self, host: &dyn Host, now: Time) -> Option<Probe> {
        self.probe.state(host, now)
    }

    /// Sends the questions that may be sent now. Must be called on the root context.
    pub(super) fn send(&mut self, context: Context<'_>, now: Time) -> Vec<Settled> {
        let Some(timeout) = Wanted::Verdict.timeout(&self.config) else { return Vec::new() };
        self.probe.give_up_if_overdue(timeout, now);
        let mut settled = self.take_overdue(timeout, now);
        if !self.is_busy() {
            return settled;
        }
        self.probe.send_if_needed(context.host, now);
        settled.extend(match self.probe.state(context.host, now) {
            None => Vec::new(),
            Some(Probe::Refused) => self.send_questions(context, now),
            Some(Probe::Permitted | Probe::NoVerdict) => self.take_unsent(),
        });
        settled
    }

    /// Takes the answer to a call; `None` if the call was neither a question nor the probe.
    pub(super) fn answered(
        &mut self,
        context: Context<'_>,
        call: CallId,
        answer: &mut Answer,
        now: Time,
    ) -> Option<Vec<Settled>> {
        if self.probe.answered(context.host, call, answer, now) {
            return Some(Vec::new());
        }
        let index = self.questions.iter().position(|question| question.was_sent_as(call))?;
        let question = self.questions.remove(index);
        let verdict = Verdict::of(answer);
        if let (Wanted::Page(source), Some((_, sent))) = (question.wanted, question.sent) {
            match verdict {
                Verdict::Refusal(_) => context.pulls.release(context.host, source),
                _ => context.pulls.pulled(context.host, source, sent, Some(mem::take(answer))),
            }
        }
        Some(vec![Settled::Answered(question, verdict)])
    }

    /// Sends questions up to the bounds, first those about credentials that were permitted before.
    fn send_questions(&mut self, context: Context<'_>, now: Time) -> Vec<Settled> {
        let mut settled = Vec::new();
        for is_known in [true, false] {
            while self.under_way().count() < most_questions(limits::QUESTIONS_SENT, is_known)
                && let Some(index) = self.next(is_known)
                && self.budget.may_ask(
                    context.host,
                    most_questions(limits::QUESTIONS_A_SECOND, is_known),
                    now,
                )
            {
                settled.extend(self.send_question(context, index, now));
            }
        }
        settled
    }

    /// The index of the next question to send: clients take turns, and the oldest question of each client comes first.
    fn next(&self, is_known: bool) -> Option<usize> {
        let under_way = |client| self.under_way().filter(|sent| sent.client == client).count();
        let may_send = |question: &Question| {
            let has_turn = is_known || under_way(question.client) < limits::CLIENT_QUESTIONS_SENT;
            question.sent.is_none() && question.is_known == is_known && has_turn
        };
        let turn = |&(index, question): &(usize, &Question)| {
            let before = self.questions.iter().take(index);
            let earlier = before.filter(|it| it.sent.is_none() && it.client == question.client);
            under_way(question.client) + earlier.count()
        };
        let questions = self.questions.iter().enumerate();
        let waiting = questions.filter(|(_, question)| may_send(question));
        waiting.min_by_key(turn).map(|(index, _)| index)
    }

    fn send_question(&mut self, context: Context<'_>, index: usize, now: Time) -> Option<Settled> {
        let Context { host, pulls, .. } = context;
        let question = self.questions.get_mut(index)?;
        if let Wanted::Page(source) = question.wanted
            && !pulls.claim(host, source)
        {
            // Another VM pulls the page.
            return Some(Settled::NotAsked(self.questions.remove(index)));
        }
        let call = question::send(host, &self.config, question.wanted, &question.forwarded);
        question.sent = call.map(|call| (call, now));
        if question.sent.is_some() {
            return None;
        }
        if let Wanted::Page(source) = question.wanted {
            pulls.pulled(host, source, now, None);
        }
        self.probe.record_not_sent(host, now);
        Some(Settled::NotAsked(self.questions.remove(index)))
    }

    fn under_way(&self) -> impl Iterator<Item = &Question> {
        self.questions.iter().filter(|question| question.sent.is_some())
    }

    fn take_unsent(&mut self) -> Vec<Settled> {
        let unsent = self.questions.extract_if(.., |question| question.sent.is_none());
        unsent.map(Settled::NotAsked).collect()
    }

    /// Takes the questions whose answer is overdue. The host itself answers at the timeout, so there should never be one.
    fn take_overdue(&mut self, default_timeout: Duration, now: Time) -> Vec<Settled> {
        let config = &self.config;
        let overdue = self.questions.extract_if(.., |question| {
            let timeout = question.wanted.timeout(config).unwrap_or(default_timeout);
            let age = question.sent.and_then(|(_, sent)| now.checked_sub(sent));
            age.is_some_and(|age| age > timeout + limits::PULL_GRACE)
        });
        overdue.map(|question| Settled::Answered(question, Verdict::None)).collect()
    }
}

/// The part of a bound on questions that is for known or for unknown credentials.
const fn most_questions(bound: usize, is_known: bool) -> usize {
    if is_known { bound } else { limits::for_strangers(bound) }
}
