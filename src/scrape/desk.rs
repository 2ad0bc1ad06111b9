//! Questions to the controller about credentials that nobody here knows.
//!
//! Scrapes that show the same credentials share one question, and it outlives them: an answer is everybody's. A question
//! is sent by the root context, on its next tick, since a call dies with the stream that sent it (Envoy 1.36.2, 1.40.0).
//! Before the first, the controller is asked about credentials that it cannot know: one that permits those permits all.

use super::question::{Asker, Question, Wanted, send};
use super::{Around, StreamId};
use crate::auth::{Controller, Forwarded, Secret, Tag, Verdict, judge};
use crate::config::Config;
use crate::host::{Answer, CallId, Host, Level, Time};
use crate::limits;
use crate::shared::asking::{Asking, Door};
use std::collections::VecDeque;
use std::fmt::Write;
use std::mem;
use std::rc::Rc;

/// The questions of one configuration, in one VM.
pub(super) struct Desk {
    config: Rc<Config>,
    asking: Asking,
    questions: Vec<Question>,
    /// The question about the door, and when it was asked.
    knock: Option<(CallId, Time)>,
    /// What got no verdict of late: these credentials, or, without any, whatever was asked. The oldest first.
    unanswered: VecDeque<(Option<Tag>, Time)>,
    /// Whether the log says that there are no verdicts.
    reported: bool,
}

/// A question that is over, with what came of it.
pub(super) type Settled = (Question, Verdict);

const DOWN: Verdict = Verdict::None { down: true };

impl Desk {
    pub(super) fn new(config: Rc<Config>, auth_key: &[u8; 32]) -> Self {
        Self {
            config,
            asking: Asking::new(auth_key),
            questions: Vec::new(),
            knock: None,
            unanswered: VecDeque::new(),
            reported: false,
        }
    }

    /// Lets a scrape wait for an answer, to a question that there is already or to a new one, or gives it back where there
    /// is no room. `known`: its credentials were permitted before.
    pub(super) fn ask(
        &mut self,
        asker: Asker,
        wanted: Wanted,
        known: bool,
    ) -> Result<(), Box<Asker>> {
        let bound = |bound| if known { bound } else { limits::for_strangers(bound) };
        let askers: usize = self.questions.iter().map(|question| question.askers.len()).sum();
        if askers >= bound(limits::ASKERS) {
            return Err(Box::new(asker));
        }
        let same = |question: &&mut Question| {
            // Whoever is permitted takes a page that another one pulls, who is not likely to be refused.
            let takes_any = wanted != Wanted::Verdict && known && question.known;
            question.wanted == wanted && (question.tag == asker.tag || takes_any)
        };
        if let Some(question) = self.questions.iter_mut().find(same) {
            question.askers.push(asker);
            return Ok(());
        }
        if self.questions.len() >= bound(limits::QUESTIONS) {
            return Err(Box::new(asker));
        }
        let (tag, client, shown) = (asker.tag, asker.client, Rc::clone(&asker.shown));
        let askers = vec![asker];
        self.questions.push(Question { wanted, tag, client, sent: None, askers, shown, known });
        Ok(())
    }

    /// Whether a page is being asked for by who was permitted before.
    pub(super) fn wants(&self, source: usize) -> bool {
        let pulls = |question: &Question| question.wanted == Wanted::Page(source);
        self.questions.iter().any(|question| question.known && pulls(question))
    }

    /// Whether a question is to be sent.
    pub(super) fn is_busy(&self) -> bool {
        self.questions.iter().any(|question| question.sent.is_none())
    }

    /// Forgets a stream that is gone. What was asked for it is answered all the same.
    pub(super) fn forget(&mut self, stream: StreamId) {
        for question in &mut self.questions {
            question.askers.retain(|asker| asker.stream != stream);
        }
        self.questions.retain(|question| question.sent.is_some() || !question.askers.is_empty());
    }

    /// Whether it is no use to ask about these credentials now.
    pub(super) fn is_down(&self, tag: &Tag, now: Time) -> bool {
        self.unanswered.iter().any(|(about, at)| {
            let recent = now.checked_sub(*at).is_some_and(|age| age < limits::DOWN_FOR);
            recent && about.as_ref().is_none_or(|about| about == tag)
        })
    }

    /// Says in the log when there are no verdicts any more and when there are again, once.
    pub(super) fn report(&mut self, host: &dyn Host, answers: bool) {
        let Some(controller) = self.config.auth.controller.as_ref() else { return };
        if self.reported == answers {
            self.reported = !answers;
            let (level, what) =
                if answers { (Level::Info, "answers") } else { (Level::Warn, "gives no verdict") };
            host.log(
                level,
                &format!("awx_metrics: auth.controller: {} {what}", controller.cluster),
            );
        }
    }

    /// Notes that there was no verdict on these credentials, or on any.
    pub(super) fn note_unanswered(&mut self, about: Option<Tag>, now: Time) {
        self.unanswered.retain(|(have, _)| *have != about);
        if self.unanswered.len() >= limits::UNANSWERED {
            self.unanswered.pop_front();
        }
        self.unanswered.push_back((about, now));
    }

    /// Whether the controller is known to permit whoever asks, or to refuse. Where everybody is let in, it need not.
    pub(super) fn door(&self, host: &dyn Host, now: Time) -> Option<Door> {
        if self.config.auth.anonymous { Some(Door::Closed) } else { self.asking.door(host, now) }
    }

    /// Sends what may be sent now. To be called on the root context. Gives back what is over without an answer.
    pub(super) fn send(&mut self, around: Around<'_>, now: Time) -> Vec<Settled> {
        let config = Rc::clone(&self.config);
        let Some(controller) = &config.auth.controller else { return Vec::new() };
        let mut over = self.overdue(controller, now);
        if self.is_busy() {
            over.extend(match self.door(around.host, now) {
                None => self.knock(around.host, now),
                Some(Door::Open) => self.unsent(),
                Some(Door::Closed) => self.send_questions(around, now),
            });
        }
        over
    }

    /// Takes the answer to a call; `None` where it is no question's.
    pub(super) fn answered(
        &mut self,
        around: Around<'_>,
        call: CallId,
        answer: &mut Answer,
        now: Time,
    ) -> Option<Vec<Settled>> {
        if self.knock.is_some_and(|(knock, _)| knock == call) {
            self.knock = None;
            return Some(self.opened(around.host, &judge(answer), now));
        }
        let is_it = |question: &Question| question.sent.is_some_and(|(sent, _)| sent == call);
        let place = self.questions.iter().position(is_it)?;
        let question = self.questions.remove(place);
        let verdict = judge(answer);
        if let (Wanted::Page(source), Some((_, sent))) = (question.wanted, question.sent) {
            match verdict {
                Verdict::Refusal(_) => around.pulls.release(around.host, source),
                _ => around.pulls.pulled(around.host, source, sent, Some(mem::take(answer))),
            }
        }
        Some(vec![(question, verdict)])
    }

    /// The door was tried: with credentials that the controller cannot know, it lets in or refuses.
    fn opened(&mut self, host: &dyn Host, verdict: &Verdict, now: Time) -> Vec<Settled> {
        match verdict {
            Verdict::Refusal(_) => {
                self.asking.found(host, Door::Closed, now);
                Vec::new()
            }
            Verdict::Permit => {
                if self.asking.found(host, Door::Open, now) {
                    let line = "awx_metrics: auth.controller lets in a random token: it would let in \
                                anybody, so its verdicts do not count (is \
                                ALLOW_METRICS_FOR_ANONYMOUS_USERS set, or another server asked?)";
                    host.log(Level::Error, line);
                }
                self.unsent()
            }
            Verdict::None { .. } => self.unsent(),
        }
    }

    /// Asks about a random token first. Where that cannot be asked, nothing can.
    fn knock(&mut self, host: &dyn Host, now: Time) -> Vec<Settled> {
        if self.knock.is_none() && self.asking.may_ask(host, limits::QUESTIONS_A_SECOND, now) {
            let mut random = [0; 20];
            host.random(&mut random);
            let mut token = "Bearer ".to_owned();
            for byte in random {
                // Writing to a String cannot fail.
                let _ = write!(token, "{byte:02x}");
            }
            let shown = Forwarded { authorization: Some(Secret::new(token)), session: None };
            match send(host, &self.config, Wanted::Verdict, &shown) {
                Some(call) => self.knock = Some((call, now)),
                None => return self.unsent(),
            }
        }
        Vec::new()
    }

    /// Those who were permitted before come first.
    fn send_questions(&mut self, around: Around<'_>, now: Time) -> Vec<Settled> {
        let mut over = Vec::new();
        for known in [true, false] {
            let bound = |bound| if known { bound } else { limits::for_strangers(bound) };
            let waits = |question: &Question| question.sent.is_none() && question.known == known;
            while let Some(place) = self.questions.iter().position(waits)
                && self.under_way() < bound(limits::QUESTIONS_SENT)
                && self.asking.may_ask(around.host, bound(limits::QUESTIONS_A_SECOND), now)
            {
                over.extend(self.send_question(around, place, now));
            }
        }
        over
    }

    fn send_question(&mut self, around: Around<'_>, place: usize, now: Time) -> Option<Settled> {
        let question = self.questions.get_mut(place)?;
        if let Wanted::Page(source) = question.wanted
            && !around.pulls.claim(around.host, source)
        {
            // Another VM was faster: whoever waits looks again.
            return Some((self.questions.remove(place), Verdict::None { down: false }));
        }
        match send(around.host, &self.config, question.wanted, &question.shown) {
            Some(call) => {
                question.sent = Some((call, now));
                None
            }
            None => {
                if let Wanted::Page(source) = question.wanted {
                    around.pulls.pulled(around.host, source, now, None);
                }
                Some((self.questions.remove(place), DOWN))
            }
        }
    }

    fn under_way(&self) -> usize {
        self.questions.iter().filter(|question| question.sent.is_some()).count()
    }

    /// All that is not sent yet: it will not be.
    fn unsent(&mut self) -> Vec<Settled> {
        let unsent = self.questions.extract_if(.., |question| question.sent.is_none());
        unsent.map(|question| (question, DOWN)).collect()
    }

    /// What should have been answered long ago. The host answers at the timeout itself, so this should never happen.
    fn overdue(&mut self, controller: &Controller, now: Time) -> Vec<Settled> {
        let sources = Rc::clone(&self.config);
        let is_late = |sent: Option<(CallId, Time)>, timeout| {
            sent.and_then(|(_, at)| now.checked_sub(at))
                .is_some_and(|age| age > timeout + limits::PULL_GRACE)
        };
        if is_late(self.knock, controller.timeout) {
            self.knock = None;
        }
        let late = self.questions.extract_if(.., |question| {
            let timeout = match question.wanted {
                Wanted::Verdict => None,
                Wanted::Page(source) => sources.sources.get(source).map(|source| source.timeout),
            };
            is_late(question.sent, timeout.unwrap_or(controller.timeout))
        });
        late.map(|question| (question, DOWN)).collect()
    }
}
