//! One question to the controller: the credentials that it is about, the scrapes that wait for its answer, and the request
//! that sends it. [`super::question_queue`] decides when it is sent.

use super::StreamId;
use crate::auth::{Controller, Forwarded, Scheme, Tag};
use crate::config::Config;
use crate::host::{ASKING, Call, CallId, Host, Time};
use std::rc::Rc;
use std::time::Duration;

/// A scrape whose credentials only the controller may know.
pub(super) struct PendingScrape {
    pub(super) stream: StreamId,
    pub(super) scheme: Scheme,
    pub(super) forwarded: Rc<Forwarded>,
    /// The tag of the credentials.
    pub(super) tag: Tag,
}

/// A scrape that waits for the answer to a question.
pub(super) struct Waiter {
    pub(super) scrape: PendingScrape,
    /// The tag of the client's address.
    pub(super) client: Tag,
}

/// The page that is requested from the controller with a client's credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The page of `auth.controller.path`, for its verdict alone.
    Verdict,
    /// The page of the source with this index in the configuration. Its answer is a verdict too.
    Page(usize),
}

/// One question.
pub(super) struct Question {
    pub(super) wanted: Wanted,
    pub(super) tag: Tag,
    pub(super) client: Tag,
    pub(super) forwarded: Rc<Forwarded>,
    /// True if the controller permitted the credentials before. If not, the question is charged to its client.
    pub(super) is_known: bool,
    /// The call, and when it was sent: the answer need not reflect later changes at the controller.
    pub(super) sent: Option<(CallId, Time)>,
    pub(super) waiters: Vec<Waiter>,
}

impl Question {
    /// Creates the question of the first scrape that waits for it.
    pub(super) fn new(waiter: Waiter, wanted: Wanted, is_known: bool) -> Self {
        let (tag, client) = (waiter.scrape.tag, waiter.client);
        let forwarded = Rc::clone(&waiter.scrape.forwarded);
        Self { wanted, tag, client, forwarded, is_known, sent: None, waiters: vec![waiter] }
    }

    /// Returns true if a scrape with these credentials can wait for this question. All permitted clients share the pull of
    /// a page.
    pub(super) fn answers(&self, wanted: Wanted, tag: &Tag) -> bool {
        self.wanted == wanted && (wanted != Wanted::Verdict || self.tag == *tag)
    }

    /// Returns true if the question was sent in this call.
    pub(super) fn was_sent_as(&self, call: CallId) -> bool {
        self.sent.is_some_and(|(sent, _)| sent == call)
    }
}

impl Wanted {
    /// The time limit for the answer.
    pub(super) fn timeout(self, config: &Config) -> Option<Duration> {
        match self {
            Self::Verdict => config.auth.controller.as_ref().map(|controller| controller.timeout),
            Self::Page(source) => config.sources.get(source).map(|source| source.timeout),
        }
    }
}

/// Requests a page from the controller with a client's credentials. Returns `None` if Envoy refuses the call.
pub(super) fn send(
    host: &dyn Host,
    config: &Config,
    wanted: Wanted,
    forwarded: &Forwarded,
) -> Option<CallId> {
    let Controller { cluster, authority, path, cookie, .. } = config.auth.controller.as_ref()?;
    let path = match wanted {
        Wanted::Verdict => path,
        Wanted::Page(source) => config.sources.get(source).map(|source| &source.path)?,
    };
    let timeout = wanted.timeout(config)?;
    let cookie = forwarded.session.as_ref().map(|it| format!("{cookie}={}", it.expose()));
    let mut headers = ASKING.to_vec();
    headers.extend(forwarded.authorization.as_ref().map(|it| ("authorization", it.expose())));
    headers.extend(cookie.as_deref().map(|cookie| ("cookie", cookie)));
    host.call(&Call { cluster, authority, path, headers: &headers, timeout }).ok()
}
