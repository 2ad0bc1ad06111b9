//! Questions to the controller about credentials that no entry of the configuration knows.
//!
//! Scrapes with the same credentials share one question, and it outlives them. A question is sent by the root context, on
//! its next tick, since a call dies with the stream that sent it (Envoy 1.36.2, 1.40.0).
//!
//! Before the first question the controller is shown a random token (the *probe*): one that permits it permits anyone.
//! The probe also decides whether the controller is down. A question that gets no verdict says nothing about other
//! credentials, since clients choose what they send; it only has the probe repeated.
//!
//! The bounds are shared out among clients: no address has more than a part of the questions, of the scrapes that wait or
//! of the calls under way, and addresses take turns.

use super::question::{self, Question, Waiter, Wanted};
use super::{Context, StreamId};
use crate::auth::{Controller, Forwarded, Secret, Tag, Verdict};
use crate::config::Config;
use crate::host::{Answer, CallId, Host, Level, Time};
use crate::limits;
use crate::shared::question_budget::{Probe, QuestionBudget};
use crate::upstream::{Cause, Plain};
use std::collections::VecDeque;
use std::fmt::Write;
use std::mem;
use std::rc::Rc;
use std::time::Duration;

/// The questions of one configuration, in one VM.
pub(super) struct ControllerAuth {
    config: Rc<Config>,
    budget: QuestionBudget,
    questions: Vec<Question>,
    probe: Option<CallId>,
    /// When the last probe was sent.
    probed: Time,
    /// Whether the probe is to tell whether the controller is down.
    probe_wanted: bool,
    /// Credentials that got no verdict, and when, the oldest first.
    unanswered: VecDeque<(Tag, Time)>,
    /// Whether the log says that the controller is down.
    reported: bool,
}

/// What scrapes waited for, and need not wait for any longer.
pub(super) enum Settled {
    /// The controller's answer.
    Answered(Question, Verdict),
    /// A question that is not asked now: its credentials were not tried.
    NotAsked(Question),
}

impl ControllerAuth {
    pub(super) fn new(config: Rc<Config>, auth_key: &[u8; 32]) -> Self {
        Self {
            config,
            budget: QuestionBudget::new(auth_key),
            questions: Vec::new(),
            probe: None,
            probed: Time::ZERO,
            probe_wanted: false,
            unanswered: VecDeque::new(),
            reported: false,
        }
    }

    /// Whether the page of this source is being pulled with a permitted client's credentials, or is about to be.
    pub(super) fn is_pulling(&self, source: usize) -> bool {
        self.questions.iter().any(|question| question.wanted == Wanted::Page(source))
    }

    /// Whether there is a question that a scrape with these credentials can wait for.
    pub(super) fn has_question(&self, wanted: Wanted, tag: &Tag) -> bool {
        self.questions.iter().any(|question| question.answers(wanted, tag))
    }

    /// Whether a scrape of this client may wait, for a question that exists or for a `new` one. `known`: its credentials
    /// were permitted before.
    pub(super) fn has_room(&self, client: &Tag, known: bool, new: bool) -> bool {
        let bound = |bound| if known { bound } else { limits::for_strangers(bound) };
        let fits = |of_all: usize, of_client: usize, most: usize| {
            of_all < bound(most) && of_client < limits::for_one_client(most, known)
        };
        let waits = |waiter: &&Waiter| waiter.client == *client;
        let of_client = self.waiters().filter(waits).count();
        if !fits(self.waiters().count(), of_client, limits::WAITERS) {
            return false;
        }
        let asks = |question: &&Question| question.client == *client;
        let of_client = self.questions.iter().filter(asks).count();
        !new || fits(self.questions.len(), of_client, limits::QUESTIONS)
    }

    /// Lets a scrape wait for an answer, to a question that exists or to a new one. There has to be
    /// [room](Self::has_room).
    pub(super) fn enqueue(&mut self, waiter: Waiter, wanted: Wanted, known: bool) {
        let same = |question: &&mut Question| question.answers(wanted, &waiter.tag);
        match self.questions.iter_mut().find(same) {
            Some(question) => question.waiters.push(waiter),
            None => self.questions.push(Question::new(waiter, wanted, known)),
        }
    }

    /// Whether something is to be sent.
    pub(super) fn is_busy(&self) -> bool {
        self.has_unsent() || self.probe_wanted
    }

    /// Forgets a stream that is gone. What was asked for it is answered all the same.
    pub(super) fn forget(&mut self, stream: StreamId) {
        for question in &mut self.questions {
            question.waiters.retain(|waiter| waiter.stream != stream);
        }
        let is_needed =
            |question: &Question| question.sent.is_some() || !question.waiters.is_empty();
        self.questions.retain(is_needed);
    }

    /// Whether these credentials got no verdict a moment ago.
    pub(super) fn is_unanswered(&self, tag: &Tag, now: Time) -> bool {
        let is_recent = |at| now.checked_sub(at).is_some_and(|age| age < limits::DOWN_FOR);
        self.unanswered.iter().any(|(about, at)| about == tag && is_recent(*at))
    }

    /// Remembers that these credentials got no verdict, and has the probe tell whether others get one.
    pub(super) fn note_unanswered(&mut self, tag: Tag, now: Time) {
        self.unanswered.retain(|(about, _)| *about != tag);
        if self.unanswered.len() >= limits::UNANSWERED {
            self.unanswered.pop_front();
        }
        self.unanswered.push_back((tag, now));
        self.probe_wanted = true;
    }

    /// What is known of the controller. If anyone is let in, its permits need not mean anything.
    pub(super) fn state(&self, host: &dyn Host, now: Time) -> Option<Probe> {
        match self.budget.probe(host, now) {
            Some(Probe::NoVerdict) => Some(Probe::NoVerdict),
            _ if self.config.auth.anonymous => Some(Probe::Refused),
            state => state,
        }
    }

    /// Sends what may be sent now. To be called on the root context.
    pub(super) fn send(&mut self, context: Context<'_>, now: Time) -> Vec<Settled> {
        let config = Rc::clone(&self.config);
        let Some(controller) = &config.auth.controller else { return Vec::new() };
        let mut settled = self.overdue(controller, now);
        if !self.is_busy() {
            return settled;
        }
        let state = self.state(context.host, now);
        self.probe_if_needed(context.host, state, now);
        settled.extend(match self.state(context.host, now) {
            None => Vec::new(),
            Some(Probe::Refused) => self.send_questions(context, now),
            Some(Probe::Permitted | Probe::NoVerdict) => self.take_unsent(),
        });
        settled
    }

    /// Takes the answer to a call; `None` if the call was not sent here.
    pub(super) fn answered(
        &mut self,
        context: Context<'_>,
        call: CallId,
        answer: &mut Answer,
        now: Time,
    ) -> Option<Vec<Settled>> {
        if self.probe == Some(call) {
            self.probe = None;
            self.probe_answered(context.host, answer, now);
            return Some(Vec::new());
        }
        let is_it = |question: &Question| question.sent.is_some_and(|(sent, _)| sent == call);
        let place = self.questions.iter().position(is_it)?;
        let question = self.questions.remove(place);
        let verdict = Verdict::of(answer);
        if let (Wanted::Page(source), Some((_, sent))) = (question.wanted, question.sent) {
            match verdict {
                Verdict::Refusal(_) => context.pulls.release(context.host, source),
                _ => context.pulls.pulled(context.host, source, sent, Some(mem::take(answer))),
            }
        }
        Some(vec![Settled::Answered(question, verdict)])
    }

    /// Sends the probe if nothing is known of the controller, or if it may be down.
    fn probe_if_needed(&mut self, host: &dyn Host, state: Option<Probe>, now: Time) {
        if state == Some(Probe::NoVerdict) {
            self.probe_wanted = false;
        }
        let is_recent = now.checked_sub(self.probed).is_some_and(|age| age < limits::PROBE_EVERY);
        let is_needed = state.is_none() || self.probe_wanted && !is_recent;
        if self.probe.is_some()
            || !is_needed
            || !self.budget.may_ask(host, limits::QUESTIONS_A_SECOND, now)
        {
            return;
        }
        (self.probed, self.probe_wanted) = (now, false);
        let forwarded = Forwarded { authorization: Some(random_token(host)), session: None };
        match question::send(host, &self.config, Wanted::Verdict, &forwarded) {
            Some(call) => self.probe = Some(call),
            None => self.found(host, Probe::NoVerdict, Some(Plain::NotSent.into()), now),
        }
    }

    fn probe_answered(&mut self, host: &dyn Host, answer: &Answer, now: Time) {
        let probe = match Verdict::of(answer) {
            Verdict::Permit if !self.config.auth.anonymous => Probe::Permitted,
            Verdict::Permit | Verdict::Refusal(_) => Probe::Refused,
            Verdict::None => Probe::NoVerdict,
        };
        let timeout = self.config.auth.controller.as_ref().map_or(Duration::ZERO, |it| it.timeout);
        let cause = Cause::of(answer, now.saturating_sub(self.probed), timeout);
        self.found(host, probe, cause, now);
    }

    /// Records what a probe found, and says it in the log if it is news.
    fn found(&mut self, host: &dyn Host, probe: Probe, cause: Option<Cause>, now: Time) {
        let is_news = self.budget.found(host, probe, now);
        if probe == Probe::Permitted && is_news {
            let line = "awx_metrics: auth.controller permits a random token: it would permit anyone, so \
                        its verdicts do not count. Is ALLOW_METRICS_FOR_ANONYMOUS_USERS set, or does \
                        another server answer?";
            host.log(Level::Error, line);
        }
        let is_down = probe == Probe::NoVerdict;
        let Some(controller) = self.config.auth.controller.as_ref() else { return };
        if self.reported != is_down {
            self.reported = is_down;
            let (level, mut what) = match is_down {
                true => (Level::Warn, "gives no verdict".to_owned()),
                false => (Level::Info, "answers".to_owned()),
            };
            if let Some(cause) = cause.filter(|_| is_down) {
                // Writing to a String cannot fail.
                let _ = write!(what, ": {cause}; {}", cause.remedy());
            }
            let line = format!("awx_metrics: auth.controller: {} {what}", controller.cluster);
            host.log(level, &line);
        }
    }

    /// Credentials that were permitted before come first.
    fn send_questions(&mut self, context: Context<'_>, now: Time) -> Vec<Settled> {
        let mut settled = Vec::new();
        for known in [true, false] {
            let bound = |bound| if known { bound } else { limits::for_strangers(bound) };
            while self.under_way().count() < bound(limits::QUESTIONS_SENT)
                && let Some(place) = self.next(known)
                && self.budget.may_ask(context.host, bound(limits::QUESTIONS_A_SECOND), now)
            {
                settled.extend(self.send_question(context, place, now));
            }
        }
        settled
    }

    /// The next question to send: clients take turns, the oldest question of each first.
    fn next(&self, known: bool) -> Option<usize> {
        let under_way = |client| self.under_way().filter(|sent| sent.client == client).count();
        let waits = |question: &Question| {
            let may_send = known || under_way(question.client) < limits::CLIENT_QUESTIONS_SENT;
            question.sent.is_none() && question.known == known && may_send
        };
        let questions = self.questions.iter().enumerate();
        let waiting = questions.filter(|(_, question)| waits(question));
        let turn = |&(place, question): &(usize, &Question)| {
            let before = self.questions.iter().take(place);
            let earlier = before.filter(|it| it.sent.is_none() && it.client == question.client);
            under_way(question.client) + earlier.count()
        };
        waiting.min_by_key(turn).map(|(place, _)| place)
    }

    fn send_question(&mut self, context: Context<'_>, place: usize, now: Time) -> Option<Settled> {
        let Context { host, pulls, .. } = context;
        let question = self.questions.get_mut(place)?;
        if let Wanted::Page(source) = question.wanted
            && !pulls.claim(host, source)
        {
            // Another VM was faster.
            return Some(Settled::NotAsked(self.questions.remove(place)));
        }
        question.sent = question::send(host, &self.config, question.wanted, &question.forwarded)
            .map(|call| (call, now));
        if question.sent.is_some() {
            return None;
        }
        if let Wanted::Page(source) = question.wanted {
            pulls.pulled(host, source, now, None);
        }
        // Envoy refuses a call whatever its headers: the cluster does not exist, or has no healthy host.
        self.found(host, Probe::NoVerdict, Some(Plain::NotSent.into()), now);
        Some(Settled::NotAsked(self.questions.remove(place)))
    }

    fn waiters(&self) -> impl Iterator<Item = &Waiter> {
        self.questions.iter().flat_map(|question| &question.waiters)
    }

    fn under_way(&self) -> impl Iterator<Item = &Question> {
        self.questions.iter().filter(|question| question.sent.is_some())
    }

    fn has_unsent(&self) -> bool {
        self.questions.iter().any(|question| question.sent.is_none())
    }

    fn take_unsent(&mut self) -> Vec<Settled> {
        let unsent = self.questions.extract_if(.., |question| question.sent.is_none());
        unsent.map(Settled::NotAsked).collect()
    }

    /// Gives up calls whose answer is overdue. The host itself answers at the timeout, so this should never happen.
    fn overdue(&mut self, controller: &Controller, now: Time) -> Vec<Settled> {
        let config = Rc::clone(&self.config);
        let is_late = |sent: Time, timeout| {
            now.checked_sub(sent).is_some_and(|age| age > timeout + limits::PULL_GRACE)
        };
        if self.probe.is_some() && is_late(self.probed, controller.timeout) {
            self.probe = None;
        }
        let late = self.questions.extract_if(.., |question| {
            let timeout = match question.wanted {
                Wanted::Verdict => None,
                Wanted::Page(source) => config.sources.get(source).map(|source| source.timeout),
            };
            let timeout = timeout.unwrap_or(controller.timeout);
            question.sent.is_some_and(|(_, sent)| is_late(sent, timeout))
        });
        late.map(|question| Settled::Answered(question, Verdict::None)).collect()
    }
}

/// Credentials that no controller can know.
fn random_token(host: &dyn Host) -> Secret {
    let mut random = [0; 20];
    host.random(&mut random);
    let mut token = "Bearer ".to_owned();
    for byte in random {
        // Writing to a String cannot fail.
        let _ = write!(token, "{byte:02x}");
    }
    Secret::new(token)
}
