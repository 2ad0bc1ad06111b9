//! Authentication of a scrape: by the configuration, by a remembered verdict, or by a new one.
//!
//! `auth` decides without I/O. This module adds the clock, shared data and the calls to the controller, and keeps the
//! scrapes that wait:
//!
//! | question | module |
//! |---|---|
//! | Which scrapes wait for a password to be hashed? | [`password_queue`] |
//! | How does the controller's verdict decide about a scrape? | [`by_controller`] |
//! | Which scrapes wait for the controller, what is asked next, and what did it answer? | [`question_queue`] |
//! | What is one question, and which request sends it? | [`question`] |
//! | Do the controller's verdicts mean anything, and is it down? | [`probe`] |
//! | About which credentials did it give no verdict? | [`unanswered`] |
//! | Which client is it? | [`client`] |
//!
//! Unknown credentials are charged to the client's address before they are checked, and refunded if they turn out to be
//! right. Hashing a password and asking the controller are expensive, so a client that failed too often must wait before
//! either.

mod by_controller;
mod client;
mod password_queue;
mod probe;
mod question;
mod question_queue;
mod unanswered;

use super::{Context, StreamId};
use crate::auth::{
    self, Decision, LocalDecision, PendingPassword, Permit, RequestCredentials, Tag, Tagger,
};
use crate::config::Config;
use crate::host::{Answer, CallId, Host};
use crate::limits;
use crate::shared::salt::salt;
use crate::shared::throttle::Throttle;
use crate::shared::verdicts::Verdicts;
use client::ClientAddress;
use password_queue::{PasswordCheck, PasswordQueue};
use question::PendingScrape;
use question_queue::QuestionQueue;
use std::cell::RefCell;
use std::rc::Rc;

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
            tagger: Tagger::new(salt(host), auth_key),
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
}
