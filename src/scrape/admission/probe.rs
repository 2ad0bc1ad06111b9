//! The probe: a call to the controller with a random token, which it cannot know.
//!
//! A controller that permits the probe would permit anyone, so its verdicts do not count. A controller that gives no verdict
//! on it is down. A client's question cannot show either, since clients choose what they send; a question without a verdict
//! only has the probe repeated. All VMs share the result ([`QuestionBudget`]).

use super::question::{self, Wanted};
use crate::auth::{Forwarded, Secret, Verdict};
use crate::config::Config;
use crate::host::{Answer, CallId, Host, Level, Time};
use crate::limits;
use crate::shared::question_budget::{Probe, QuestionBudget};
use crate::upstream::{Cause, Plain};
use std::fmt::Write;
use std::rc::Rc;
use std::time::Duration;

/// Probes the controller of one configuration, from one VM.
pub(super) struct ControllerProbe {
    config: Rc<Config>,
    budget: QuestionBudget,
    /// The probe that has no answer yet.
    call: Option<CallId>,
    /// When the last probe was sent.
    sent_at: Time,
    /// True if a probe must find out whether the controller is down.
    is_wanted: bool,
    /// True if the log says that the controller is down.
    is_reported: bool,
}

impl ControllerProbe {
    pub(super) fn new(config: Rc<Config>, auth_key: &[u8; 32]) -> Self {
        Self {
            config,
            budget: QuestionBudget::new(auth_key),
            call: None,
            sent_at: Time::ZERO,
            is_wanted: false,
            is_reported: false,
        }
    }

    /// Has the next [`Self::send_if_needed`] find out whether the controller is down.
    pub(super) fn want(&mut self) {
        self.is_wanted = true;
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.is_wanted
    }

    /// The state of the controller; `None` if no VM knows it. If anonymous clients may scrape, it does not matter whether
    /// the controller would permit anyone.
    pub(super) fn state(&self, host: &dyn Host, now: Time) -> Option<Probe> {
        match self.budget.probe(host, now) {
            Some(Probe::NoVerdict) => Some(Probe::NoVerdict),
            _ if self.config.auth.anonymous => Some(Probe::Refused),
            state => state,
        }
    }

    /// Sends the probe if the controller's state is unknown, or if the controller may be down.
    pub(super) fn send_if_needed(&mut self, host: &dyn Host, now: Time) {
        let state = self.state(host, now);
        if state == Some(Probe::NoVerdict) {
            self.is_wanted = false;
        }
        let is_recent = now.checked_sub(self.sent_at).is_some_and(|age| age < limits::PROBE_EVERY);
        let is_needed = state.is_none() || self.is_wanted && !is_recent;
        if self.call.is_some()
            || !is_needed
            || !self.budget.may_ask(host, limits::QUESTIONS_A_SECOND, now)
        {
            return;
        }
        (self.sent_at, self.is_wanted) = (now, false);
        let forwarded = Forwarded { authorization: Some(random_token(host)), session: None };
        self.call = question::send(host, &self.config, Wanted::Verdict, &forwarded);
        if self.call.is_none() {
            self.record_not_sent(host, now);
        }
    }

    /// Takes the answer to a call. Returns false if the call was not the probe.
    pub(super) fn answered(
        &mut self,
        host: &dyn Host,
        call: CallId,
        answer: &Answer,
        now: Time,
    ) -> bool {
        if self.call != Some(call) {
            return false;
        }
        self.call = None;
        let result = match Verdict::of(answer) {
            Verdict::Permit if !self.config.auth.anonymous => Probe::Permitted,
            Verdict::Permit | Verdict::Refusal(_) => Probe::Refused,
            Verdict::None => Probe::NoVerdict,
        };
        let timeout = Wanted::Verdict.timeout(&self.config).unwrap_or_default();
        let cause = Cause::of(answer, now.saturating_sub(self.sent_at), timeout);
        self.record(host, result, cause, now);
        true
    }

    /// Gives up a probe whose answer is overdue by [`limits::PULL_GRACE`].
    pub(super) fn give_up_if_overdue(&mut self, timeout: Duration, now: Time) {
        let age = now.checked_sub(self.sent_at);
        if age.is_some_and(|age| age > timeout + limits::PULL_GRACE) {
            self.call = None;
        }
    }

    /// Records that Envoy refused to send a call: the cluster does not exist, or has no healthy host.
    pub(super) fn record_not_sent(&mut self, host: &dyn Host, now: Time) {
        self.record(host, Probe::NoVerdict, Some(Plain::NotSent.into()), now);
    }

    /// Stores a result for all VMs, and logs it if it is new.
    fn record(&mut self, host: &dyn Host, result: Probe, cause: Option<Cause>, now: Time) {
        let is_new = self.budget.found(host, result, now);
        if result == Probe::Permitted && is_new {
            let line = "awx_metrics: auth.controller permits a random token: it would permit anyone, so \
                        its verdicts do not count. Is ALLOW_METRICS_FOR_ANONYMOUS_USERS set, or does \
                        another server answer?";
            host.log(Level::Error, line);
        }
        let is_down = result == Probe::NoVerdict;
        if self.is_reported != is_down {
            self.is_reported = is_down;
            self.report(host, is_down, cause);
        }
    }

    /// Logs that the controller is down, or that it answers again.
    fn report(&self, host: &dyn Host, is_down: bool, cause: Option<Cause>) {
        let Some(controller) = &self.config.auth.controller else { return };
        let (level, state) = match is_down {
            true => (Level::Warn, "gives no verdict"),
            false => (Level::Info, "answers"),
        };
        let mut line = format!("awx_metrics: auth.controller: {} {state}", controller.cluster);
        if let Some(cause) = cause.filter(|_| is_down) {
            // Writing to a String cannot fail.
            let _ = write!(line, ": {cause}; {}", cause.remedy());
        }
        host.log(level, &line);
    }
}

/// A token that no controller can know.
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
