//! Authentication of a scrape: by the configuration, by a remembered verdict, or by a new one.
//!
//! Credentials that are not known yet are charged to their client's address before they are checked, and refunded when
//! they turn out to be good: hashing a password and asking the controller cost much, so a client that failed too often
//! waits before either.

use super::controller_auth::{ControllerAuth, Settled};
use super::passwords::{PasswordCheck, PasswordQueue};
use super::question::{Question, Waiter, Wanted};
use super::{Context, StreamId};
use crate::auth::{
    self, CachedVerdict, Controller, Decision, LocalDecision, PendingPassword, RequestCredentials,
    Tag, Tagger, Verdict,
};
use crate::config::{Config, Credential};
use crate::host::{Answer, CallId, Host, Level, Time};
use crate::limits;
use crate::shared::question_budget::Probe;
use crate::shared::salt::salt;
use crate::shared::throttle::Throttle;
use crate::shared::verdicts::Verdicts;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// The authentication of one configuration, in one VM.
pub(super) struct Admission {
    config: Rc<Config>,
    tagger: Tagger,
    verdicts: Verdicts,
    throttle: Throttle,
    passwords: RefCell<PasswordQueue>,
    controller: RefCell<ControllerAuth>,
    /// Whether the log says that the clients' addresses come from a header.
    warned: Cell<bool>,
}

/// The key under which Envoy's filter state may have the address of the connection (`envoy.filters.network.set_filter_state`).
/// No property has it: `source.address` comes from `x-forwarded-for` unless `use_remote_address` is set (Envoy 1.36.2 and
/// 1.40.0).
const CONNECTION_ADDRESS: &str = "awx_metrics.connection_address";

/// A scrape that waited, and how its authentication ended.
pub(super) type Decided = (StreamId, Decision);

impl Admission {
    pub(super) fn new(config: Rc<Config>, host: &dyn Host) -> Self {
        let auth_key = config.auth_key();
        Self {
            tagger: Tagger::new(salt(host), auth_key),
            verdicts: Verdicts::new(&auth_key),
            throttle: Throttle::new(&auth_key),
            passwords: RefCell::default(),
            controller: RefCell::new(ControllerAuth::new(Rc::clone(&config), &auth_key)),
            warned: Cell::new(false),
            config,
        }
    }

    /// Decides about the credentials of a scrape; `None` if the scrape has to wait for [`Self::advance`] or
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
                let (tag, client) = (self.tagger.forwarded(&forwarded), self.client(context.host));
                let waiter = Waiter { stream, scheme, forwarded, tag, client };
                self.decide_by_controller(context, waiter, None)
            }
        }
    }

    /// Whether a scrape waits for [`Self::advance`].
    pub(super) fn is_busy(&self) -> bool {
        !self.passwords.borrow().is_empty() || self.controller.borrow().is_busy()
    }

    /// Does a slice of what scrapes wait for, on the root context.
    pub(super) fn advance(&self, context: Context<'_>) -> Vec<Decided> {
        let checked = self.passwords.borrow_mut().advance();
        let mut decided: Vec<_> = checked
            .map(|(check, result)| self.password_checked(context.host, &check, result))
            .into_iter()
            .collect();
        let settled = self.controller.borrow_mut().send(context, context.host.now());
        decided.extend(self.settle(context, settled));
        decided
    }

    /// Takes the answer to a call; `None` if the call was not sent here.
    pub(super) fn answered(
        &self,
        context: Context<'_>,
        call: CallId,
        answer: &mut Answer,
    ) -> Option<Vec<Decided>> {
        let now = context.host.now();
        let settled = self.controller.borrow_mut().answered(context, call, answer, now)?;
        let mut decided = self.settle(context, settled);
        let settled = self.controller.borrow_mut().send(context, now);
        decided.extend(self.settle(context, settled));
        Some(decided)
    }

    /// Forgets a stream that ended while it waited. Its attempt stays charged.
    pub(super) fn forget(&self, stream: StreamId) {
        self.passwords.borrow_mut().forget(stream);
        self.controller.borrow_mut().forget(stream);
    }

    /// The tag of the client's address: the connection's, if Envoy is configured to tell it, or else the one that Envoy
    /// trusts, by its settings for trusted hops.
    fn client(&self, host: &dyn Host) -> Tag {
        let connection = host.property(&["filter_state", CONNECTION_ADDRESS]);
        let source = connection.filter(|it| !it.is_empty()).unwrap_or_else(|| self.source(host));
        self.tagger.address(&auth::network(&source))
    }

    fn source(&self, host: &dyn Host) -> Vec<u8> {
        let source = host.property(&["source", "address"]).unwrap_or_default();
        if !self.warned.get() && self.is_from_a_header(host, &source) {
            self.warned.set(true);
            let line = "awx_metrics: the clients' addresses come from x-forwarded-for. A client that can \
                        send that header itself evades the limit on failed attempts, or uses up that of \
                        another: set use_remote_address where clients connect to this Envoy directly";
            host.log(Level::Warn, line);
        }
        source
    }

    fn is_from_a_header(&self, host: &dyn Host, source: &[u8]) -> bool {
        auth::has_no_port(source)
            && host
                .request_header("x-forwarded-for")
                .is_some_and(|header| auth::is_last_forwarded(source, &header))
    }

    /// Has a password checked, unless it was right a while ago.
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
        result: Result<auth::Permit, auth::Denial>,
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

    /// Decides by a new verdict, or else by what is remembered; `None` if the scrape has to wait for the controller.
    fn decide_by_controller(
        &self,
        context: Context<'_>,
        waiter: Waiter,
        new: Option<CachedVerdict>,
    ) -> Option<Decision> {
        let (host, now) = (context.host, context.host.now());
        let (policy, controller) = (&self.config.auth, self.config.auth.controller.as_ref()?);
        let verdict = new.unwrap_or_else(|| self.cached(host, controller, &waiter.tag, now));
        let state = self.controller.borrow().state(host, now);
        let is_unanswered = self.controller.borrow().is_unanswered(&waiter.tag, now);
        let is_down = state == Some(Probe::NoVerdict) || is_unanswered;
        let is_due_or_under_way = |source| {
            self.controller.borrow().is_pulling(source) || context.pulls.is_due(host, source)
        };
        match policy.apply(&verdict, waiter.scheme) {
            _ if state == Some(Probe::Permitted) => Some(Decision::Unavailable),
            Some(Err(denial)) => Some(Decision::Denied(denial)),
            Some(Ok(permit)) => match self.page_to_pull(controller, is_due_or_under_way) {
                Some(page) if !is_down => self.wait_for_page(waiter, page, permit),
                _ => Some(Decision::Allowed(permit)),
            },
            None if is_down => {
                let permit = policy.apply_while_down(&verdict, waiter.scheme);
                Some(permit.map_or(Decision::Unavailable, Decision::AllowedWhileDown))
            }
            None => self.ask(context, waiter, controller, &verdict),
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
            // A refusal takes the permit away: beside a valid permit no refusal need be looked for.
            CachedVerdict::Permitted => CachedVerdict::Permitted,
            _ => controller.cached(permit, self.verdicts.refusal(host, tag), now),
        }
    }

    /// The source of the controller whose page is to be pulled with a client's credentials, if there is one.
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

    /// Pulls a page with the credentials of a permitted client. If there is no room for that, the client gets the page
    /// that there is.
    fn wait_for_page(&self, waiter: Waiter, page: usize, permit: auth::Permit) -> Option<Decision> {
        let mut controller = self.controller.borrow_mut();
        let is_new = !controller.has_question(Wanted::Page(page), &waiter.tag);
        if !controller.has_room(&waiter.client, true, is_new) {
            return Some(Decision::Allowed(permit));
        }
        controller.enqueue(waiter, Wanted::Page(page), true);
        None
    }

    /// Asks the controller: a known client by a pull of the page, if one is due, since that is a verdict too. A client
    /// that was not permitted before has to be permitted first: it must not use up the interval of a source.
    fn ask(
        &self,
        context: Context<'_>,
        waiter: Waiter,
        controller: &Controller,
        verdict: &CachedVerdict,
    ) -> Option<Decision> {
        let known = matches!(verdict, CachedVerdict::Lapsed { .. });
        let is_due = |source| known && context.pulls.is_due(context.host, source);
        let page = self.page_to_pull(controller, is_due);
        let wanted = page.map_or(Wanted::Verdict, Wanted::Page);
        let mut controller = self.controller.borrow_mut();
        let is_new = !controller.has_question(wanted, &waiter.tag);
        if !controller.has_room(&waiter.client, known, is_new) {
            return Some(Decision::Throttled(limits::RETRY_AFTER));
        }
        if is_new
            && !known
            && let Err(wait) =
                self.throttle.charge(context.host, &waiter.client, context.host.now())
        {
            return Some(Decision::Throttled(wait));
        }
        controller.enqueue(waiter, wanted, known);
        None
    }

    /// Remembers verdicts, and decides about the scrapes that waited for them.
    fn settle(&self, context: Context<'_>, settled: Vec<Settled>) -> Vec<Decided> {
        let mut decided = Vec::new();
        for settled in settled {
            let (waiters, new) = match settled {
                Settled::Answered(question, verdict) => {
                    let new = self.learn(context.host, &question, verdict);
                    (question.waiters, new.map(|new| (question.tag, new)))
                }
                Settled::NotAsked(question) => {
                    self.refund(context.host, &question);
                    (question.waiters, None)
                }
            };
            for waiter in waiters {
                let new = new.as_ref().filter(|(tag, _)| *tag == waiter.tag);
                let (stream, new) = (waiter.stream, new.map(|(_, verdict)| verdict.clone()));
                let decision = self.decide_by_controller(context, waiter, new);
                decided.extend(decision.map(|decision| (stream, decision)));
            }
        }
        decided
    }

    /// Remembers a verdict. A question without one stays charged: its client made the controller work for nothing.
    fn learn(
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
                if question.known {
                    self.throttle.charge_known(host, &question.client, now);
                }
                Some(CachedVerdict::Refused(refusal))
            }
            // A page may fail for reasons of its own: then the controller is asked for nothing but its verdict.
            Verdict::None if question.wanted != Wanted::Verdict => None,
            Verdict::None => {
                self.controller.borrow_mut().note_unanswered(question.tag, now);
                None
            }
        }
    }

    fn refund(&self, host: &dyn Host, question: &Question) {
        if !question.known {
            self.throttle.refund(host, &question.client, host.now());
        }
    }
}
